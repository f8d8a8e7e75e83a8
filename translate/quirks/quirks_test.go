package quirks

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

func write(t *testing.T, text string) string {
	t.Helper()
	f := filepath.Join(t.TempDir(), "quirks.yaml")
	if err := os.WriteFile(f, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return f
}

// TestBuiltIn: what comes with isthmus can be read, and is for the CPE that it names.
func TestBuiltIn(t *testing.T) {
	for class, want := range map[string]string{"SpeedTouch 780": End200, "Thomson SpeedTouch 780i WL": End200, "P-2602HW-D1A": End200, "P-660": "", "": ""} {
		if q, _ := Default().Of(CPE{OUI: "00D09E", ProductClass: class}, Learnt{}); q.SessionEnd != want {
			t.Errorf("%q: session_end %q, want %q", class, q.SessionEnd, want)
		}
	}
}

// TestPrecedence: later profiles go before earlier ones, what was learnt before what is built in, the operator before all; field by field.
func TestPrecedence(t *testing.T) {
	table, err := Load(write(t, `
profiles:
- name: everybody
  match: { product_class: "*" }
  set: { names_per_get: 8, session_timeout: 2m }
- name: one maker
  match: { oui: 00d09e }
  set: { names_per_get: 4, value_booleans: digits }
- name: old firmware
  match: { oui: 00D09E, software_version: "1.*.7" }
  set: { session_end: "204" }
- name: one CPE
  match: { endpoint_id: "os::00D09E-S1" }
  set: { connection_request_url: "http://192.0.2.1:7547/a", connection_request_host: observed, correlate: address }
`))
	if err != nil {
		t.Fatal(err)
	}
	c := CPE{OUI: "00D09E", ProductClass: "P-2602", SoftwareVersion: "1.2.3.7", EndpointID: "os::00D09E-S1"}
	q, names := table.Of(c, Learnt{NamesPerGet: 2, ValueBooleans: Words, Envelope: Declared})
	want := Quirks{SessionEnd: "204", SessionTimeout: Duration(2 * time.Minute), NamesPerGet: 4, ValueBooleans: Digits, Envelope: Declared,
		ConnectionRequestURL: "http://192.0.2.1:7547/a", ConnectionRequestHost: Observed, Correlate: Address}
	if q != want {
		t.Errorf("%+v\nwant %+v", q, want)
	}
	if got := strings.Join(names, ", "); got != "Zyxel P-2602, everybody, one maker, old firmware, one CPE" {
		t.Error(got)
	}
	if !table.Individual(c) || table.Individual(c.Model()) || Default().Individual(c) {
		t.Error("Individual")
	}
	c.SoftwareVersion = "1.2.8"
	if q, _ := table.Of(c, Learnt{}); q.SessionEnd != End200 {
		t.Errorf("another version: %+v", q)
	}
}

// TestLoadErrors: everything that is wrong is told, with its line and what to do.
func TestLoadErrors(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"no YAML":               {"profiles: [", []string{"quirks.yaml:"}},
		"another key":           {"profile: []\n", []string{"quirks.yaml:1: field profile not found"}},
		"another key inside":    {"profiles:\n- name: a\n  match: { oui: \"00D09E\", model: x }\n", []string{`quirks.yaml:3: unknown key "model": write one of oui, product_class`}},
		"another key to set":    {"profiles:\n- name: a\n  match: { oui: \"00D09E\" }\n  set:\n    batch: 3\n", []string{`quirks.yaml:5: unknown key "batch": write one of session_end`}},
		"no mapping":            {"profiles:\n- a\n", []string{"quirks.yaml:2: must have keys: name, match, set"}},
		"no duration":           {"profiles:\n- name: a\n  match: { oui: \"00D09E\" }\n  set: { session_timeout: 5 }\n", []string{`quirks.yaml:4: "5" is no duration`}},
		"no number":             {"profiles:\n- name: a\n  match: { oui: \"00D09E\" }\n  set: { names_per_get: many }\n", []string{"quirks.yaml:4:"}},
		"zeros":                 {"profiles:\n- name: a\n  match: { oui: \"00D09E\" }\n  set: { session_end: \"200\", names_per_get: 0 }\n", []string{`quirks.yaml:4: names_per_get "0" says nothing: leave it out`}},
		"nothing said":          {"profiles:\n- {}\n", []string{"has no name", "match is empty", "set is empty"}},
		"values":                {"profiles:\n- name: a\n  match: { oui: \"00D09\" }\n  set: { session_end: \"205\", session_timeout: 6m, names_per_get: 2000, rest_after_boot: 2h }\n", []string{`profile "a": match.oui "00D09" is no OUI`, `set.session_end "205" is unknown: write one of 204, 200`, "set.session_timeout 6m0s must be from 10s to 5m0s", "set.rest_after_boot 2h0m0s", "set.names_per_get 2000"}},
		"one URL for many":      {"profiles:\n- name: a\n  match: { oui: \"00D09E\" }\n  set: { connection_request_url: \"http://192.0.2.1/\" }\n", []string{"would be that of several CPE: match one endpoint_id"}},
		"URL that is none":      {"profiles:\n- name: a\n  match: { endpoint_id: x }\n  set: { connection_request_url: \"192.0.2.1\" }\n", []string{"is no URL of http or https"}},
		"URL with a login":      {"profiles:\n- name: a\n  match: { endpoint_id: x }\n  set: { connection_request_url: \"http://u:secret@192.0.2.1/\" }\n", []string{"has a user name"}},
		"two documents":         {"profiles: []\n---\nprofiles: []\n", []string{"quirks.yaml:2: a second document begins here"}},
		"two in different ones": {"profiles:\n- name: a\n  match: { oui: \"1\" }\n  set: { session_end: \"200\" }\n- name: b\n  match: { oui: \"2\" }\n  set: { session_end: \"200\" }\n", []string{`quirks.yaml:2: profile "a"`, `quirks.yaml:5: profile "b"`}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Load(write(t, c.text))
			if err == nil {
				t.Fatal("no error")
			}
			for _, w := range c.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%v\nlacks %q", err, w)
				}
			}
		})
	}
	if _, err := Load("/no/such/file"); err == nil {
		t.Error("no file, no error")
	}
	if _, err := Load(write(t, "")); err != nil {
		t.Error("an empty file:", err)
	}
}

func TestGlob(t *testing.T) {
	for _, c := range []struct {
		pattern, s string
		want       bool
	}{
		{"", "", true}, {"a", "a", true}, {"a", "ab", false}, {"*", "", true}, {"a*", "abc", true}, {"*c", "abc", true}, {"*b*", "abc", true},
		{"a*c", "ac", true}, {"a*b*c", "axbxc", true}, {"a*b*c", "acb", false}, {"*a", "ab", false}, {"a*a", "a", false}, {"A*", "a", false},
	} {
		if got := glob(c.pattern, c.s); got != c.want {
			t.Errorf("%q %q: %v", c.pattern, c.s, got)
		}
	}
}

func TestLearnt(t *testing.T) {
	l := Learnt{NamesPerGet: 16, ValueBooleans: Words, Envelope: Declared}
	b, err := l.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := DecodeLearnt(b); err != nil || got != l {
		t.Error(got, err)
	}
	for _, bad := range []string{"", "x", `{"names_per_get":-1}`, `{"envelope":"y"}`} {
		if got, err := DecodeLearnt([]byte(bad)); err == nil || got != (Learnt{}) {
			t.Errorf("%q: %v %v", bad, got, err)
		}
	}
	if a, b := RecordName(CPE{OUI: "a", ProductClass: "b"}), RecordName(CPE{OUI: "a", ProductClass: "b", EndpointID: "c"}); a != b || len(a) > 64 {
		t.Error(a, b)
	}
}

// TestReadme: the example that operators start from is right, and says everything that can be said.
func TestReadme(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, example, found := strings.Cut(string(text), "```yaml\nprofiles:\n")
	example, _, closed := strings.Cut(example, "```")
	if !found || !closed {
		t.Fatal("README.md has no example")
	}
	table, err := Load(write(t, "profiles:\n"+example))
	if err != nil {
		t.Fatal(err)
	}
	if q, _ := table.Of(CPE{OUI: "00D09E", ProductClass: "Gateway", SoftwareVersion: "1.0"}, Learnt{}); q.NamesPerGet != 16 || q.Correlate != Address {
		t.Errorf("%+v", q)
	}
	for _, key := range setKeys {
		if !strings.Contains(example, "    "+key+": ") && !strings.Contains(example, "# "+key+": ") {
			t.Errorf("the example lacks %s", key)
		}
	}
}

// TestLearntTypes: one type a path, no more paths than there is room for, and nothing that could not be read back.
func TestLearntTypes(t *testing.T) {
	var l Learnt
	l = l.WithType("Device.A.{i}.B", "string").WithType("Device.A.{i}.C", "int").WithType("Device.A.{i}.B", "unsignedInt")
	if l.Type("Device.A.{i}.B") != "unsignedInt" || l.Type("Device.A.{i}.C") != "int" || l.Type("Device.A.{i}.") != "" {
		t.Errorf("%+v", l)
	}
	if l.WithType("Device.A B", "int") != l || l.WithType("Device.A=B", "int") != l || l.WithType("Device."+strings.Repeat("a", maxPath), "int") != l {
		t.Error("a path that is none is learnt")
	}
	for i := range 2 * maxTypes {
		l = l.WithType("Device.X"+strconv.Itoa(i), "int")
	}
	if n := len(strings.Fields(l.Types)); n != maxTypes || l.Type("Device.A.{i}.C") != "int" {
		t.Errorf("%d types", n)
	}
	b, err := l.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if back, err := DecodeLearnt(b); err != nil || back != l {
		t.Errorf("%+v, %v", back, err)
	}
	if _, err := DecodeLearnt([]byte(`{"value_types":"` + l.Types + ` Device.Y=int"}`)); err == nil {
		t.Error("too many are taken")
	}
}
