package usp

import (
	"errors"
	"strings"
	"testing"
)

func TestAgentEndpointID(t *testing.T) {
	fill := func(n int) string { return strings.Repeat("S", n) }
	for _, c := range []struct {
		name, oui, class, serial string
		id, long                 string // id "": the same as long
	}{
		{name: "ops", oui: "0A0B0C", class: "Box", serial: "SN_1", long: "ops::0A0B0C-Box-SN_1"},
		{name: "os without ProductClass", oui: "0A0B0C", serial: "SN1", long: "os::0A0B0C-SN1"},
		{name: "hyphens and dots are escaped", oui: "0A0B0C", class: "A-B.C", serial: "1-2", long: "ops::0A0B0C-A%2DB%2EC-1%2D2"},
		{name: "bytes of UTF-8", oui: "0A0B0C", class: "é /%", serial: "1", long: "ops::0A0B0C-%C3%A9%20%2F%25-1"},
		{name: "50 characters", oui: "0A0B0C", class: "Box", serial: fill(39), long: "ops::0A0B0C-Box-" + fill(39)},
		{
			name: "51 characters", oui: "0A0B0C", class: "Box", serial: fill(40),
			id: "uuid::e4765496-7668-5936-b5c5-1252a99f8573", long: "ops::0A0B0C-Box-" + fill(40),
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.id == "" {
				c.id = c.long
			}
			id, long, err := AgentEndpointID(c.oui, c.class, c.serial)
			if err != nil || string(id) != c.id || long != c.long {
				t.Errorf("got %s, %s, %v; want %s, %s", id, long, err, c.id, c.long)
			}
			if _, err := ParseEndpointID(string(id)); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAgentEndpointIDNeedsIdentity(t *testing.T) {
	for _, c := range [][2]string{{"", "SN1"}, {"0A0B0C", ""}} {
		if _, _, err := AgentEndpointID(c[0], "Box", c[1]); !errors.Is(err, ErrNoIdentity) {
			t.Errorf("OUI %q, SerialNumber %q: %v", c[0], c[1], err)
		}
	}
}

func TestParseEndpointID(t *testing.T) {
	for _, s := range []string{"proto::controller", "oui:00D09E:x", "self::ctl-1", "os::0A0B0C-A%2D1", "pen:3561:a:b"} {
		if id, err := ParseEndpointID(s); err != nil || string(id) != s {
			t.Errorf("%q: %q, %v", s, id, err)
		}
	}
	for _, s := range []string{"", "controller", "a:b", "::x", "os::", "os::a b", "os::a\n", "os::é", "os::" + strings.Repeat("x", 300)} {
		if id, err := ParseEndpointID(s); !errors.Is(err, ErrEndpointID) || id != "" {
			t.Errorf("%q: %q, %v", s, id, err)
		}
	}
}
