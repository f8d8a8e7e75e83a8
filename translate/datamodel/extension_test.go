package datamodel

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"isthmus/usp/agent"
)

// TestExtension: what an operator's table says of what a CPE has holds as if it were Device:2's.
func TestExtension(t *testing.T) {
	names := append(gateway(),
		Name{Path: "Device.WiFi.Radio.1.X_EXAMPLE_Temperature", Type: "string"},
		Name{Path: "Device.WiFi.Radio.1.X_EXAMPLE_Rescan", Writable: true, Type: "boolean"},
		Name{Path: "Device.X_EXAMPLE_Guest.Pass.", Writable: true},
		Name{Path: "Device.X_EXAMPLE_Guest.Pass.1.", Writable: true},
		Name{Path: "Device.X_EXAMPLE_Guest.Pass.1.Enable", Writable: true, Type: "boolean"},
		Name{Path: "Device.X_EXAMPLE_Guest.Pass.1.MAC", Writable: true, Type: "string"},
		Name{Path: "Device.X_EXAMPLE_Guest.Pass.1.Kind", Writable: true, Type: "string"},
		Name{Path: "Device.X_EXAMPLE_Guest.Pass.1.Secret", Writable: true, Type: "string"},
		Name{Path: "Device.X_EXAMPLE_Guest.Pass.1.Extend", Writable: true, Type: "boolean"})
	const pass = "Device.X_EXAMPLE_Guest.Pass.{i}."
	if m := Model(BuildShape(names), nil); len(m.Object(pass).Keys) != 0 || m.Object("Device.WiFi.Radio.{i}.").Command("X_EXAMPLE_Rescan()") != nil {
		t.Fatal("the standard tables know it")
	}
	e, err := LoadExtension([]string{"tr106/testdata/vendor.tsv"})
	if err != nil {
		t.Fatal(err)
	}
	e.Use()
	t.Cleanup(func() { extended.Store(nil) })
	m := Model(BuildShape(names), nil)
	radio, row := m.Object("Device.WiFi.Radio.{i}."), m.Object(pass)
	if p := radio.Param("X_EXAMPLE_Temperature"); p == nil || p.Type != agent.TypeInt || !p.List {
		t.Errorf("%+v", p)
	}
	if radio.Command("X_EXAMPLE_Rescan()") == nil || !Served("Device.WiFi.Radio.1.X_EXAMPLE_Rescan") {
		t.Error("a parameter that is a command in CWMP is none in USP")
	}
	if c := row.Command("Extend()"); c == nil || !c.Async || !slices.Equal(c.Mandatory, []string{"Hours"}) || c.Args["Hours"].Ranges[0] != (agent.Range{Min: 1, Max: 72}) {
		t.Errorf("%+v", c)
	}
	if len(row.Events) != 0 {
		t.Error("an event that CWMP cannot tell is listed")
	}
	if len(row.Keys) != 1 || !slices.Equal(row.Keys[0], []string{"MAC", "Kind"}) {
		t.Error(row.Keys)
	}
	if p := row.Param("Kind"); !slices.Equal(p.Enum, []string{"Day", "Week"}) || !row.Param("Secret").Secured {
		t.Errorf("%+v", p)
	}
}

// TestExtensionErrors: a table that contradicts the standard, or says nothing of use, is refused by file and line.
func TestExtensionErrors(t *testing.T) {
	header := strings.ReplaceAll(ModelHeader, " ", "\t") + "\n"
	for text, want := range map[string]string{
		"":       "x.tsv: empty",
		"a\tb\n": "x.tsv:1: columns are",
		header + "Device.WiFi.\tobject\tfixed\t\tsingle\t\t\tcurrent\t\n":                                        "x.tsv:2: Device.WiFi.: second row for the path",
		header + "InternetGatewayDevice.X.\tobject\tfixed\t\tsingle\t\t\tcurrent\t\n":                            "x.tsv:2: InternetGatewayDevice.X.: is not below Device.",
		header + "Device.ManagementServer.X_A\tparam\tr\tstring\t\t\t\tcurrent\t\n":                              "x.tsv:2: Device.ManagementServer.X_A: is the proxy's own",
		header + "Device.X_A.B\tparam\tr\tstring\t\t\t\tcurrent\t\n":                                             "x.tsv:2: Device.X_A.B: object is missing",
		header + "Device.X_A\tparam\tr\tnumber\t\t\t\tcurrent\t\n":                                               "x.tsv:2: Device.X_A: type \"number\"",
		header + "Device.X_A\tparam\tr\tstring\t\t\t\tcurrent\n":                                                 "x.tsv:2: 8 cells, want 9",
		header + "Device.X_A\tparam\tr\tint\t\t\t\tcurrent\t\n" + "Device.X_A\tparam\tr\tint\t\t\t\tcurrent\t\n": "x.tsv:3: Device.X_A: second row",
	} {
		file := filepath.Join(t.TempDir(), "x.tsv")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadExtension([]string{file}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	if _, err := LoadExtension([]string{"none.tsv"}); err == nil {
		t.Error("a file that is not there")
	}
}
