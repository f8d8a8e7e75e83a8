package conformance_test

import (
	"slices"
	"strings"
	"testing"

	"isthmus/usp/usppb"
)

func (e *eut) setOne(s side, partial bool, address func(path string) string) {
	e.Helper()
	path, _ := e.added(s.table, s.row(1)...)
	res, err := e.set(partial, obj{address(path), []param{req(s.toggle, "true")}})
	e.must(err)
	if len(res) != 1 || res[0].GetRequestedPath() != address(path) {
		e.Fatalf("results %v", res)
	}
	e.updated(res[0], path, s.toggle)
	e.wantValue(path+s.toggle, "true")
}

func itself(path string) string { return path }

func TestTP469_1_11_SetOne(t *testing.T) {
	both(t, func(e *eut, s side) { e.setOne(s, false, itself) })
}

func TestTP469_1_12_SetPartial(t *testing.T) {
	both(t, func(e *eut, s side) { e.setOne(s, true, itself) })
}

// two makes two rows, their toggles off.
func (e *eut) two(s side) (one, two string) {
	e.Helper()
	one, _ = e.added(s.table, s.row(1, req(s.toggle, "false"))...)
	two, _ = e.added(s.table, s.row(2, req(s.toggle, "false"))...)
	return one, two
}

func TestTP469_1_13_SetTwo(t *testing.T) {
	both(t, func(e *eut, s side) {
		one, two := e.two(s)
		res, err := e.set(false, obj{one, []param{req(s.toggle, "true")}}, obj{two, []param{req(s.toggle, "true")}})
		e.must(err)
		if len(res) != 2 {
			e.Fatalf("results %v", res)
		}
		for i, path := range []string{one, two} {
			e.updated(res[i], path, s.toggle)
			e.wantValue(path+s.toggle, "true")
		}
	})
}

func TestTP469_1_14_SetRequiredFails(t *testing.T) {
	both(t, func(e *eut, s side) {
		path, _ := e.added(s.table, s.row(1)...)
		for _, w := range append([]param{req("InvalidParameter", "IrrelevantValue")}, s.wrong...) {
			_, err := e.set(false, obj{path, []param{w}})
			e.blames(e.refused(err), path+w.name)
			if v, ok := e.values(path)[path][w.name]; v == w.value || ok == (w.name == "InvalidParameter") {
				e.Errorf("%s is %q (%v)", w.name, v, ok)
			}
		}
	})
}

func TestTP469_1_15_SetTwoOneFails(t *testing.T) {
	both(t, func(e *eut, s side) {
		one, two := e.two(s)
		for _, w := range append([]param{req("InvalidParameter", "IrrelevantValue")}, s.wrong...) {
			_, err := e.set(false, obj{one, []param{req(s.toggle, "true")}}, obj{two, []param{w}})
			e.blames(e.refused(err), two+w.name)
			e.wantValue(one+s.toggle, "false")
		}
	})
}

func TestTP469_1_16_SetPartialOneFails(t *testing.T) {
	both(t, func(e *eut, s side) {
		one, two := e.two(s)
		for i, w := range append([]param{req("InvalidParameter", "IrrelevantValue")}, s.wrong...) {
			value := []string{"true", "false"}[i%2]
			res, err := e.set(true, obj{one, []param{req(s.toggle, value)}}, obj{two, []param{w}})
			e.must(err)
			if len(res) != 2 {
				e.Fatalf("results %v", res)
			}
			e.updated(res[0], one, s.toggle)
			e.failed(res[1], w.name, two)
			e.wantValue(one+s.toggle, value)
		}
	})
}

// failed takes a result that must be a failure of one parameter in each of the instances.
func (e *eut) failed(r *usppb.SetResp_UpdatedObjectResult, name string, paths ...string) {
	e.Helper()
	f := r.GetOperStatus().GetOperFailure()
	var got []string
	for _, u := range f.GetUpdatedInstFailures() {
		got = append(got, u.GetAffectedPath())
		if p := u.GetParamErrs(); len(p) != 1 || p[0].GetParam() != name || p[0].GetErrCode() == 0 {
			e.Errorf("%v does not blame %s", u, name)
		}
	}
	if f.GetErrCode() == 0 || !slices.Equal(got, paths) {
		e.Fatalf("not a failure of %v: %v", paths, r)
	}
}

func TestTP469_1_17_SetOptionalFails(t *testing.T) {
	both(t, func(e *eut, s side) {
		path, _ := e.added(s.table, s.row(1)...)
		for i, w := range append([]param{opt("InvalidParameter", "IrrelevantValue")}, s.wrong...) {
			w.required = false
			value := []string{"true", "false"}[i%2]
			res, err := e.set(true, obj{path, []param{opt(s.toggle, value), w}})
			e.must(err)
			inst := res[0].GetOperStatus().GetOperSuccess().GetUpdatedInstResults()
			if len(inst) != 1 || inst[0].GetAffectedPath() != path || len(inst[0].GetUpdatedParams()) != 1 || inst[0].GetUpdatedParams()[s.toggle] != value {
				e.Fatalf("%v: %v", w, res)
			}
			if p := inst[0].GetParamErrs(); len(p) != 1 || p[0].GetParam() != w.name || p[0].GetErrCode() == 0 {
				e.Errorf("%v: %v", w, p)
			}
			e.wantValue(path+s.toggle, value)
		}
	})
}

func TestTP469_1_18_SetByUniqueKey(t *testing.T) {
	both(t, func(e *eut, s side) { e.setOne(s, false, func(string) string { return s.find(1) }) })
}

func TestTP469_1_19_SetWildcard(t *testing.T) {
	both(t, func(e *eut, s side) {
		one, two := e.two(s)
		res, err := e.set(false, obj{s.table + "*.", []param{req(s.toggle, "true")}})
		e.must(err)
		var got []string
		for _, i := range res[0].GetOperStatus().GetOperSuccess().GetUpdatedInstResults() {
			got = append(got, i.GetAffectedPath())
			if len(i.GetUpdatedParams()) != 1 || i.GetUpdatedParams()[s.toggle] != "true" {
				e.Errorf("updated %v", i)
			}
		}
		if len(res) != 1 || !slices.Equal(got, []string{one, two}) {
			e.Fatalf("results %v", res)
		}
		e.wantValue(one+s.toggle, "true")
		e.wantValue(two+s.toggle, "true")
	})
}

func TestTP469_1_20_SetWildcardFails(t *testing.T) {
	both(t, func(e *eut, s side) {
		one, two := e.two(s)
		_, err := e.set(false, obj{s.table + "*.", []param{req("InvalidParameter", "IrrelevantValue")}})
		u := e.refused(err)
		for _, p := range u.Params {
			if p.Path != one+"InvalidParameter" && p.Path != two+"InvalidParameter" || p.Code == 0 {
				e.Errorf("param_errs %+v", u.Params)
			}
		}
		if len(u.Params) == 0 {
			e.Error("no param_errs")
		}
		for path, row := range e.values(s.table) {
			if _, ok := row["InvalidParameter"]; ok {
				e.Errorf("%s has it", path)
			}
		}
	})
}

// TestTP469_1_21_SetWildcardPartialFails: R-SET.2a, nothing changes even where it could.
func TestTP469_1_21_SetWildcardPartialFails(t *testing.T) {
	both(t, func(e *eut, s side) {
		one, two := e.two(s)
		for _, w := range s.wrong {
			if w.name == "NotifType" {
				continue // a value once given is fixed, which is another failure
			}
			res, err := e.set(true, obj{s.table + "*.", []param{w, req(s.toggle, "true")}})
			e.must(err)
			f := res[0].GetOperStatus().GetOperFailure()
			if len(res) != 1 || f.GetErrCode() == 0 || len(f.GetUpdatedInstFailures()) == 0 {
				e.Fatalf("results %v", res)
			}
			for _, u := range f.GetUpdatedInstFailures() {
				if p := u.GetParamErrs(); len(p) != 1 || p[0].GetParam() != w.name || p[0].GetErrCode() == 0 ||
					u.GetAffectedPath() != one && u.GetAffectedPath() != two {
					e.Errorf("failure %v", u)
				}
			}
			for path, row := range e.values(s.table) {
				if row[w.name] == w.value || row[s.toggle] != "false" {
					e.Errorf("%s changed: %v", path, row)
				}
			}
		}
	})
}

func TestTP469_1_22_SetBySearch(t *testing.T) {
	both(t, func(e *eut, s side) {
		one, _ := e.added(s.table, s.row(1, req(s.number, "0"), req(s.toggle, "false"))...)
		two, _ := e.added(s.table, s.row(2, req(s.number, "5"), req(s.toggle, "false"))...)
		res, err := e.set(false, obj{s.table + "[" + s.number + ">0].", []param{req(s.toggle, "true")}})
		e.must(err)
		e.updated(res[0], two, s.toggle)
		e.wantValue(one+s.toggle, "false")
		e.wantValue(two+s.toggle, "true")
	})
}

func TestTP469_1_23_SetMatchesNothing(t *testing.T) {
	both(t, func(e *eut, s side) {
		e.added(s.table, s.row(1)...)
		search := map[string]string{"LocalAgent": `[Recipient=="InvalidValue"].`, "CPE": `[RemoteHost=="InvalidValue"].`}[s.name]
		res, err := e.set(true, obj{s.table + search, []param{req(s.toggle, "true")}})
		e.must(err)
		ok := res[0].GetOperStatus().GetOperSuccess()
		if len(res) != 1 || ok == nil || len(ok.GetUpdatedInstResults()) != 0 {
			e.Fatalf("results %v", res)
		}
	})
}

// TestTP469_1_96_KeyIsImmutable: R-KEY.1. The keys of the CPE's table are functional ones, which may change; the Alias may not (1.104).
func TestTP469_1_96_KeyIsImmutable(t *testing.T) {
	e := shared(t)
	path, _ := e.added(subscriptionTable, req("ID", "add96"))
	_, err := e.set(false, obj{path, []param{req("ID", "add96-NEW")}})
	e.blames(e.refused(err), path+"ID")
	e.wantValue(path+"ID", "add96")
}

func TestTP469_1_104_WriteOnce(t *testing.T) {
	both(t, func(e *eut, s side) {
		path, keys := e.added(s.table, s.row(104, opt("Alias", "test-1-104"))...)
		if keys["Alias"] != "test-1-104" {
			e.Errorf("keys %v", keys)
		}
		_, err := e.set(false, obj{path, []param{req("Alias", "test-1-104-new-alias")}})
		e.blames(e.refused(err), path+"Alias")
		e.wantValue(path+"Alias", "test-1-104")
		if !strings.HasPrefix(path, s.table) {
			e.Errorf("created %s", path)
		}
	})
}
