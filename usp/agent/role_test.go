package agent

import (
	"fmt"
	"testing"

	"isthmus/usp"
)

func rights(s string) [classes]right {
	r, _ := parseRights(s)
	return [classes]right{r, r, r, r}
}

func TestRights(t *testing.T) {
	for s, want := range map[string]right{"rwxn": mayRead | mayWrite | mayExecute | mayNotify, "----": 0, "r--n": mayRead | mayNotify} {
		if got, ok := parseRights(s); !ok || got != want {
			t.Errorf("%s: %v %v", s, got, ok)
		}
	}
	for _, s := range []string{"", "r", "rwx", "wr--", "rwxnn", "RWXN", "r w "} {
		if CheckRights(s) == nil {
			t.Errorf("%q is taken", s)
		}
	}
}

func TestTargets(t *testing.T) {
	for _, s := range []string{"Device.", "Device.X.Row.*.Enable", "Device.Reboot()", "Device.Boot!", `Device.X.Row.[Enable==true].`, "Device.X.Row.1."} {
		if err := CheckTarget(s); err != nil {
			t.Error(err)
		}
	}
	for _, s := range []string{"", "X.", "Device.X.Row.{i}.", "Device.X.Row.1.Ref+.Name", "Device.X.[", "Device..X", "Device", "Device()"} {
		if CheckTarget(s) == nil {
			t.Errorf("%q is taken", s)
		}
	}
}

// made is the access of Roles, whose Permissions come highest Order first.
func made(roles ...[]permission) *access {
	c := &access{}
	for _, r := range roles {
		c.roles = append(c.roles, newRole(r))
	}
	return c
}

func TestTargetsCover(t *testing.T) {
	for _, c := range []struct {
		target, path string
		want         bool
	}{
		{"Device.", "Device.X.Y", true}, {"Device", "Device.X.", true}, {"Device.X.", "Device.X.", true}, {"Device.X.", "Device.XY.", false},
		{"Device.X.Y", "Device.X.", false}, {"Device.X.Y", "Device.X.YZ", false}, {"Device.X", "Device.X.1.A", true}, {"Device.X.Go()", "Device.X.Go()", true},
		{"Device.T.*.A", "Device.T.3.A", true}, {"Device.T.*.A", "Device.T.3.B", false}, {"Device.T.*.", "Device.T.{i}.", true}, {"Device.T.*", "Device.T.4.", true},
		{"Device.T.2.", "Device.T.{i}.A", false}, {"Device.T.2.", "Device.T.3.A", false}, {"Device.T.*.", "Device.T.", false}, {"Device.*.", "Device.X.", false},
		{"Device.T.*.B.2.", "Device.T.1.B.2.C", true}, {"Device.T.*.B.2.", "Device.T.1.B.3.C", false},
	} {
		if got := made([]permission{{0, []string{c.target}, rights("r---")}}).allows(params, mayRead, c.path); got != c.want {
			t.Errorf("%s of %s: %v, want %v", c.target, c.path, got, c.want)
		}
	}
}

// Inside a Role the highest Order counts, also where it allows less; Roles are united.
func TestAccessIsUnionOfRolesByOrder(t *testing.T) {
	limited := []permission{{2, []string{"Device.X.Secret", "Device.T.1."}, rights("----")}, {1, []string{"Device.X."}, rights("rw--")}}
	c := made(limited)
	for path, want := range map[string]bool{"Device.X.Open": true, "Device.X.Secret": false, "Device.Y": false} {
		equal(t, c.allows(params, mayRead, path), want)
	}
	c = made(limited, []permission{{1, []string{"Device.X.Secret"}, rights("r---")}})
	equal(t, c.allows(params, mayRead, "Device.X.Secret"), true)
	equal(t, c.allows(params, mayWrite, "Device.X.Secret"), false)
	// a wildcard and a number: the Order decides, not which is closer
	c = made([]permission{{2, []string{"Device.T.*.A"}, rights("----")}, {1, []string{"Device.T.1.A"}, rights("r---")}})
	equal(t, c.allows(params, mayRead, "Device.T.1.A"), false)

	// What is denied of one row is still in the supported data model; what is allowed of one row is.
	c = made([]permission{{2, []string{"Device.T.1."}, rights("----")}, {1, []string{"Device.T.2."}, rights("r---")}})
	equal(t, c.shows(objects, mayRead, "Device.T.{i}."), true)
	equal(t, c.shows(objects, mayRead, "Device.U.{i}."), false)
	equal(t, c.allows(objects, mayRead, "Device.T.{i}."), false) // a row that is still to be made is none of them
	equal(t, (*access)(nil).allows(commands, mayExecute, "Device.Reboot()") && (*access)(nil).shows(params, mayRead, "Device.A"), true)
	equal(t, (&access{}).nothing() && !(*access)(nil).nothing(), true)
}

// A search in Targets is decided when a path is looked at, live; where it cannot be decided nothing is allowed, whichever way the Permission meant it.
func TestSearchInTargets(t *testing.T) {
	r := newRig(t)
	on, off := r.added(obj{rowTable, []param{req("Enable", "true")}}), r.added(obj{rowTable, []param{req("Enable", "false")}})
	c := made([]permission{{2, []string{rowTable + "[Enable==true]."}, rights("----")}, {1, []string{"Device."}, rights("r---")}})
	c.searches = true
	equal(t, c.allows(params, mayRead, off+"ID"), false) // bound to nothing
	s := c.bind(t.Context(), r.a, false)
	equal(t, s.allows(params, mayRead, on+"ID"), false)
	equal(t, s.allows(params, mayRead, off+"ID"), true)
	equal(t, s.allows(objects, mayRead, rowTable+"{i}."), true) // a search finds rows that are there
	equal(t, s.shows(params, mayRead, rowTable+"{i}.ID"), true)
	delete(r.tree.values[off], "Enable") // not known, or not implemented
	s = c.bind(t.Context(), r.a, false)
	equal(t, s.allows(params, mayRead, off+"ID"), false)
	equal(t, s.allows(params, mayRead, rowTable+"9.ID"), false) // a row that came up since
	reads := r.tree.reads
	equal(t, s.allows(params, mayRead, on+"Sub.Level"), false)
	equal(t, r.tree.reads, reads)
	r.tree.mu.Lock()
	r.tree.reach = usp.Errorf(usp.Unreachable, "gone")
	r.tree.mu.Unlock()
	s = c.bind(t.Context(), r.a, false)
	equal(t, s.allows(params, mayRead, on+"ID"), false)
	equal(t, s.allows(params, mayRead, off+"ID"), false)
	equal(t, s.allows(params, mayRead, "Device.DeviceInfo.ModelName"), true)
}

// A search in two places, and one with a reference in it.
func TestNestedSearchInTargets(t *testing.T) {
	r := newRig(t)
	one, two := r.added(obj{rowTable, []param{req("ID", "a")}}), r.added(obj{rowTable, []param{req("ID", "b")}})
	x, y := r.added(obj{one + "Leaf.", []param{req("Name", "x")}}), r.added(obj{two + "Leaf.", []param{req("Name", "x")}})
	c := made([]permission{{1, []string{rowTable + `[ID=="a"].Leaf.[Name=="x"].`}, rights("r---")}})
	c.searches = true
	s := c.bind(t.Context(), r.a, false)
	equal(t, s.allows(params, mayRead, x+"Name"), true)
	equal(t, s.allows(params, mayRead, y+"Name"), false)

	r.tree.values[one]["Ref"] = "Device.DeviceInfo"
	c = made([]permission{{1, []string{rowTable + `[Ref+.ModelName=="M"].ID`}, rights("r---")}})
	c.searches = true
	s = c.bind(t.Context(), r.a, false)
	equal(t, s.allows(params, mayRead, one+"ID"), true)
	equal(t, s.allows(params, mayRead, two+"ID"), false)
}

// Full access costs nothing: it is the nil access, as soon as the Permission with the highest Order allows everything.
func TestFullAccessIsNil(t *testing.T) {
	f := NewFleet(Options{Roles: []Role{{Name: "reader", Permissions: []Permission{{Order: 1, Targets: []string{"Device."}, Param: "r---"}}}},
		Controllers: []ControllerConfig{{EndpointID: ctl1}, {EndpointID: ctl2, Role: "reader"}, {EndpointID: "self::none", Role: "nobody has this"}}})
	g := f.base.grants()
	equal(t, g[ctl1].may == nil, true)
	equal(t, g[ctl2].may.allows(params, mayRead, "Device.A"), true)
	equal(t, g[ctl2].may.allows(params, mayWrite, "Device.A"), false)
	equal(t, g["self::none"].may.nothing(), true)
	equal(t, g[""].may.nothing(), true)
	equal(t, f.base.grant("self::stranger").may.nothing(), true)
}

// BenchmarkAccess reads a tree of 800 parameters, in 100 objects, under a Role of 50 Permissions.
func BenchmarkAccess(b *testing.B) {
	var perms []permission
	for i := range 50 {
		perms = append(perms, permission{uint32(50 - i), []string{fmt.Sprintf("Device.WiFi.AccessPoint.%d.", i), fmt.Sprintf("Device.Group%d.*.Name", i)}, rights("r---")})
	}
	c := made(append(perms, permission{0, []string{"Device."}, rights("r---")}))
	names := []string{"Enable", "Status", "Alias", "Name", "SSID", "LastChange", "LowerLayers", "MaxBitRate"}
	var paths []string
	for i := range 100 {
		paths = append(paths, fmt.Sprintf("Device.WiFi.AccessPoint.%d.AssociatedDevice.%d.", i/2, i))
	}
	b.ReportAllocs()
	for b.Loop() {
		for _, path := range paths {
			p := c.at(path)
			for _, n := range names {
				if !p.allows(params, mayRead, n) {
					b.Fatal("denied")
				}
			}
		}
	}
}
