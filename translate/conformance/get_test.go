package conformance_test

import (
	"strings"
	"testing"

	"isthmus/usp/usppb"
)

const eutID = "Device.LocalAgent.EndpointID"

// one takes a result that must be one object with one parameter.
func (e *eut) one(r *usppb.GetResp_RequestedPathResult, object, name, want string) {
	e.Helper()
	res := r.GetResolvedPathResults()
	if r.GetErrCode() != 0 || len(res) != 1 || res[0].GetResolvedPath() != object || len(res[0].GetResultParams()) != 1 {
		e.Fatalf("%v is not %s of %s alone", r, name, object)
	}
	if v, ok := res[0].GetResultParams()[name]; !ok || v != want {
		e.Errorf("%s%s is %q (%v), want %q", object, name, v, ok, want)
	}
}

func TestTP469_1_36_GetParameter(t *testing.T) {
	both(t, func(e *eut, s side) {
		if s.name == "LocalAgent" {
			e.one(e.get(0, eutID)[0], "Device.LocalAgent.", "EndpointID", string(e.w.id))
			return
		}
		e.one(e.get(0, "Device.DeviceInfo.SerialNumber")[0], "Device.DeviceInfo.", "SerialNumber", "S1")
	})
}

func TestTP469_1_37_GetTwoOfOneObject(t *testing.T) {
	both(t, func(e *eut, s side) {
		if s.name == "LocalAgent" {
			res := e.get(0, eutID, "Device.LocalAgent.SoftwareVersion")
			e.one(res[0], "Device.LocalAgent.", "EndpointID", string(e.w.id))
			e.one(res[1], "Device.LocalAgent.", "SoftwareVersion", "test")
			return
		}
		res := e.get(0, "Device.DeviceInfo.SerialNumber", "Device.DeviceInfo.ModelName")
		e.one(res[0], "Device.DeviceInfo.", "SerialNumber", "S1")
		e.one(res[1], "Device.DeviceInfo.", "ModelName", e.w.cpe.Value("Device.DeviceInfo.ModelName"))
	})
}

func TestTP469_1_38_GetTwoObjects(t *testing.T) {
	both(t, func(e *eut, s side) {
		path, _ := e.added(s.table, s.row(1)...)
		res := e.get(0, eutID, path+"Enable")
		e.one(res[0], "Device.LocalAgent.", "EndpointID", string(e.w.id))
		e.one(res[1], path, "Enable", "true")
	})
}

// below says what a Get of an object must have: itself and the objects below, each once, with parameters.
func (e *eut) below(r *usppb.GetResp_RequestedPathResult, object string, want ...string) {
	e.Helper()
	seen := map[string]bool{}
	for _, o := range r.GetResolvedPathResults() {
		path := o.GetResolvedPath()
		if seen[path] || !strings.HasPrefix(path, object) || len(o.GetResultParams()) == 0 {
			e.Errorf("resolved %v", o)
		}
		seen[path] = true
	}
	for _, path := range want {
		if !seen[path] {
			e.Errorf("%s is missing in %v", path, seen)
		}
	}
	if r.GetErrCode() != 0 {
		e.Errorf("%v", r)
	}
}

func TestTP469_1_39_GetObject(t *testing.T) {
	both(t, func(e *eut, s side) {
		path, _ := e.added(s.table, s.row(1)...)
		object := map[string]string{"LocalAgent": "Device.LocalAgent.", "CPE": "Device.NAT."}[s.name]
		e.below(e.get(0, object)[0], object, object, path)
		if s.name == "LocalAgent" {
			e.below(e.get(0, object)[0], object, e.own(), e.own()+"MTP.1.", e.own()+"MTP.1.WebSocket.", "Device.LocalAgent.MTP.1.")
		}
	})
}

func TestTP469_1_40_GetInstance(t *testing.T) {
	both(t, func(e *eut, s side) {
		path, _ := e.added(s.table, s.row(1)...)
		if got := e.values(path); len(got) != 1 || len(got[path]) < 8 {
			e.Errorf("%v", got)
		}
	})
}

func TestTP469_1_41_GetInvalid(t *testing.T) {
	both(t, func(e *eut, s side) {
		r := e.get(0, s.unsupported+"InvalidParameter", strings.TrimSuffix(s.unsupported, "Object.")+"Parameter")
		for _, q := range r {
			if q.GetErrCode() == 0 || len(q.GetResolvedPathResults()) != 0 {
				e.Errorf("%v", q)
			}
		}
	})
}

func TestTP469_1_42_GetValidAndInvalid(t *testing.T) {
	both(t, func(e *eut, s side) {
		path, _ := e.added(s.table, s.row(1)...)
		r := e.get(0, path+"Enable", path+"InvalidParameter")
		e.one(r[0], path, "Enable", "true")
		if r[1].GetErrCode() == 0 {
			e.Errorf("%v", r[1])
		}
	})
}

func TestTP469_1_43_GetByUniqueKey(t *testing.T) {
	both(t, func(e *eut, s side) {
		_, two := e.two(s)
		e.one(e.get(0, s.find(2)+"Enable")[0], two, "Enable", "true")
	})
}

func TestTP469_1_44_GetWildcardParameter(t *testing.T) {
	both(t, func(e *eut, s side) {
		one, two := e.two(s)
		got := e.values(s.table + "*.Enable")
		if len(got) != 2 || len(got[one]) != 1 || got[one]["Enable"] != "true" || got[two]["Enable"] != "true" {
			e.Errorf("%v", got)
		}
	})
}

func TestTP469_1_45_GetWildcardObject(t *testing.T) {
	both(t, func(e *eut, s side) {
		one, two := e.two(s)
		got := e.values(s.table + "*.")
		if len(got) != 2 || len(got[one]) < 8 || len(got[two]) < 8 {
			e.Errorf("%v", got)
		}
	})
}

// found says which of the rows a search of the whole table gives.
func (e *eut) found(search string, want ...string) {
	e.Helper()
	got := e.values(search)
	for _, path := range want {
		if len(got[path]) < 8 {
			e.Errorf("%s: %s has %v", search, path, got[path])
		}
	}
	if len(got) != len(want) {
		e.Errorf("%s: got %v, want %v", search, got, want)
	}
}

// searched runs a search over three rows: off with a number below 10, on with 10, on with one above.
func searched(t *testing.T, search func(s side) string, want ...int) {
	t.Helper()
	both(t, func(e *eut, s side) {
		e.Helper()
		var rows, expected []string
		for i, p := range [][]param{
			{req("Enable", "false"), req(s.number, "9")}, {req(s.number, "10")}, {req(s.number, "100")},
		} {
			path, _ := e.added(s.table, s.row(i, p...)...)
			rows = append(rows, path)
		}
		for _, i := range want {
			expected = append(expected, rows[i])
		}
		e.found(s.table+"["+search(s)+"].", expected...)
	})
}

func TestTP469_1_46_SearchEqual(t *testing.T) {
	searched(t, func(side) string { return "Enable==true" }, 1, 2)
}

func TestTP469_1_47_SearchUnequal(t *testing.T) {
	searched(t, func(side) string { return "Enable!=true" }, 0)
}

// A comparison of strings would find "9" greater than "10", and "100" not.
func TestTP469_1_48_SearchGreater(t *testing.T) {
	searched(t, func(s side) string { return s.number + ">10" }, 2)
}

func TestTP469_1_49_SearchLess(t *testing.T) {
	searched(t, func(s side) string { return s.number + "<10" }, 0)
}

func TestTP469_1_50_SearchGreaterOrEqual(t *testing.T) {
	searched(t, func(s side) string { return s.number + ">=10" }, 1, 2)
}

func TestTP469_1_51_SearchLessOrEqual(t *testing.T) {
	searched(t, func(s side) string { return s.number + "<=10" }, 0, 1)
}

// empty says that a path is answered with nothing and without an error.
func (e *eut) empty(path string) {
	e.Helper()
	if r := e.get(0, path)[0]; r.GetErrCode() != 0 || len(r.GetResolvedPathResults()) != 0 {
		e.Errorf("%v", r)
	}
}

func TestTP469_1_82_SearchMatchesNothing(t *testing.T) {
	both(t, func(e *eut, s side) {
		e.added(s.table, s.row(1, req("Enable", "false"))...)
		e.empty(s.table + "[Enable==true].")
	})
}

// TestTP469_1_86_SearchOfEmptyTable: there is no row to search.
func TestTP469_1_86_SearchOfEmptyTable(t *testing.T) {
	both(t, func(e *eut, s side) {
		e.empty(s.table + "[Enable==true].")
		e.empty(s.table + "*.Enable")
	})
}

func TestTP469_1_87_GetEmptyTable(t *testing.T) {
	both(t, func(e *eut, s side) { e.empty(s.table) })
}

func TestTP469_1_89_MaxDepth(t *testing.T) {
	both(t, func(e *eut, s side) {
		path, _ := e.added(s.table, s.row(1)...)
		object, deep := "Device.LocalAgent.", e.own()+"MTP.1.WebSocket."
		if s.name == "CPE" {
			object, deep, path = "Device.WiFi.", "Device.WiFi.SSID.1.Stats.", "Device.WiFi.SSID.1."
		}
		first, second, all := e.get(1, object)[0], e.get(2, object)[0], e.get(0, object)[0]
		e.below(first, object, object)
		if len(first.GetResolvedPathResults()) != 1 {
			e.Errorf("depth 1: %v", first)
		}
		e.below(second, object, object, path)
		for _, o := range second.GetResolvedPathResults() {
			if o.GetResolvedPath() == deep {
				e.Errorf("%s is deeper than 2", deep)
			}
		}
		e.below(all, object, object, path, deep)
	})
}
