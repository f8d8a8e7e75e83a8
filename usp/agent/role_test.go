package agent

import (
	"context"
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
	for _, s := range []string{"", "X.", "Device.X.Row.{i}.", "Device.X.Row.1.Ref+.Name", "Device.X.[", "Device..X"} {
		if CheckTarget(s) == nil {
			t.Errorf("%q is taken", s)
		}
	}
}

func TestReach(t *testing.T) {
	for _, c := range []struct {
		target, path string
		want         extent
	}{
		{"Device.", "Device.X.Y", whole}, {"Device.X.", "Device.X.", whole}, {"Device.X.", "Device.XY.", none}, {"Device.X.Y", "Device.X.", none},
		{"Device.T.*.A", "Device.T.3.A", whole}, {"Device.T.*.A", "Device.T.3.B", none}, {"Device.T.*.", "Device.T.{i}.", whole},
		{"Device.T.2.", "Device.T.{i}.A", some}, {"Device.T.2.", "Device.T.3.A", none}, {"Device.T.*.", "Device.T.", none}, {"Device.*.", "Device.X.", none},
	} {
		if got := reach(c.target, c.path); got != c.want {
			t.Errorf("%s of %s: %v, want %v", c.target, c.path, got, c.want)
		}
	}
}

// Inside a Role the highest Order counts, also where it allows less; Roles are united.
func TestAccessIsUnionOfRolesByOrder(t *testing.T) {
	limited := []permission{{2, []string{"Device.X.Secret", "Device.T.1."}, rights("----")}, {1, []string{"Device.X."}, rights("rw--")}}
	c := &access{roles: [][]permission{limited}}
	for path, want := range map[string]bool{"Device.X.Open": true, "Device.X.Secret": false, "Device.Y": false} {
		equal(t, c.allows(params, mayRead, path), want)
	}
	c.roles = append(c.roles, []permission{{1, []string{"Device.X.Secret"}, rights("r---")}})
	equal(t, c.allows(params, mayRead, "Device.X.Secret"), true)
	equal(t, c.allows(params, mayWrite, "Device.X.Secret"), false)

	// What is denied of one row is still in the supported data model; what is allowed of one row is.
	c = &access{roles: [][]permission{{{2, []string{"Device.T.1."}, rights("----")}, {1, []string{"Device.T.2."}, rights("r---")}}}}
	equal(t, c.shows(objects, "Device.T.{i}."), true)
	equal(t, c.shows(objects, "Device.U.{i}."), false)
	equal(t, c.allows(objects, mayRead, "Device.T.{i}."), false) // a row that is still to be made is none of them
	equal(t, (*access)(nil).allows(commands, mayExecute, "Device.Reboot()") && (*access)(nil).shows(params, "Device.A"), true)
	equal(t, (&access{}).nothing() && !(*access)(nil).nothing(), true)
}

// A search in Targets goes by what is known; where that cannot be told nothing is allowed, whichever way the Permission meant it.
func TestSearchInTargets(t *testing.T) {
	r := newRig(t)
	on, off := r.added(obj{rowTable, []param{req("Enable", "true")}}), r.added(obj{rowTable, []param{req("Enable", "false")}})
	c := &access{searches: true, roles: [][]permission{{{2, []string{rowTable + "[Enable==true]."}, rights("----")}, {1, []string{"Device."}, rights("r---")}}}}
	s := c.settle(t.Context(), r.a)
	equal(t, s.allows(params, mayRead, on+"ID"), false)
	equal(t, s.allows(params, mayRead, off+"ID"), true)
	r.tree.mu.Lock()
	r.tree.reach = usp.Errorf(usp.Unreachable, "gone")
	r.tree.mu.Unlock()
	s = c.settle(context.Background(), r.a)
	equal(t, s.allows(params, mayRead, on+"ID"), false)
	equal(t, s.allows(params, mayRead, off+"ID"), false)
	equal(t, s.allows(params, mayRead, "Device.DeviceInfo.ModelName"), true)
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

func BenchmarkAccess(b *testing.B) {
	c := &access{roles: [][]permission{{{2, []string{"Device.LocalAgent."}, rights("----")}, {1, []string{"Device."}, rights("r---")}}}}
	for b.Loop() {
		if !c.allows(params, mayRead, "Device.WiFi.AccessPoint.1.AssociatedDevice.3.SignalStrength") {
			b.Fatal("denied")
		}
	}
}
