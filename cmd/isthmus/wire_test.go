package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"isthmus/cmd/isthmus/config"
	"isthmus/usp/agent"
)

// The numbers of the roles' rows follow their order, so it must be the same at every start.
func TestRolesInOrder(t *testing.T) {
	c := &config.Config{USP: config.USP{Roles: map[string][]config.Permission{"b": nil, "a": {{Order: 3, Targets: []string{"Device."}, Param: "r---"}}, "c": nil}}}
	want := []agent.Role{{Name: "a", Permissions: []agent.Permission{{Order: 3, Targets: []string{"Device."}, Param: "r---"}}}, {Name: "b"}, {Name: "c"}}
	for range 10 {
		if d := cmp.Diff(want, roles(c)); d != "" {
			t.Fatal(d)
		}
	}
}

// The CPE's own trees are shown where a role of the configuration names them, and nowhere else.
func TestNamesLegacy(t *testing.T) {
	for target, want := range map[string]bool{"Device.": false, "Device.X_ISTHMUS_Legacy.": true, "Device.X_ISTHMUS_Legacy.InternetGatewayDevice.Time.": true} {
		c := config.Default()
		c.USP.Roles = map[string][]config.Permission{"expert": {{Targets: []string{"Device.WiFi."}}, {Targets: []string{target}}}}
		if got := namesLegacy(c); got != want {
			t.Errorf("%s: %v", target, got)
		}
	}
}
