package config

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRoles(t *testing.T) {
	file := filepath.Join(t.TempDir(), "isthmus.yaml")
	text := "usp:\n  roles:\n    reader:\n      - { order: 5, targets: [Device.], param: r--n }\n      - { targets: [Device.Reboot()], command_event: r-x- }\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, _, err := Load(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]Permission{"reader": {
		{Order: 5, Targets: []string{"Device."}, Param: "r--n", Obj: "----", InstantiatedObj: "----", CommandEvent: "----"},
		{Order: 6, Targets: []string{"Device.Reboot()"}, Param: "----", Obj: "----", InstantiatedObj: "----", CommandEvent: "r-x-"},
	}}
	if d := cmp.Diff(want, c.USP.Roles); d != "" {
		t.Error(d)
	}
}
