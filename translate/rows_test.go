package translate

import (
	"slices"
	"strings"
	"testing"

	"isthmus/cwmp"
	"isthmus/cwmp/cpe"
	"isthmus/usp"
)

// The tests of this file are named by the rows of quirks of RPCs and data models that they are for.

// odd boots a CPE whose answers are changed from its first session on; nothing is answered from the cache.
func (w *world) odd(answer func(req, response cwmp.RPC) cwmp.RPC) (*cpe.CPE, usp.EndpointID) {
	w.t.Helper()
	return w.boot(func(cfg *cpe.Config) { cfg.Faults.Answer = answer })
}

func live(o *Options) { o.MaxAge = 0 }

func TestR1_NoEmptyPath(t *testing.T) {
	w := newWorld(t, live)
	c, id := w.boot(nil)
	w.want(id, ssid, c.Value(ssid))
	calls := c.Calls("GetParameterNames")
	if len(calls) == 0 {
		t.Fatal("nothing was listed")
	}
	for _, call := range calls {
		if p := call.Request.(*cwmp.GetParameterNames).ParameterPath; p == "" || !strings.HasPrefix(p, "Device.") {
			t.Errorf("GetParameterNames of %q", p)
		}
	}
}

// TestR4_ListsWithMore: the object itself, what is further below, and what only begins alike.
func TestR4_ListsWithMore(t *testing.T) {
	w := newWorld(t, live)
	_, id := w.odd(func(req, response cwmp.RPC) cwmp.RPC {
		r, ok := response.(*cwmp.GetParameterNamesResponse)
		if !ok {
			return response
		}
		object := req.(*cwmp.GetParameterNames).ParameterPath
		list := append(slices.Clone(r.ParameterList), cwmp.ParameterInfoStruct{Name: object},
			cwmp.ParameterInfoStruct{Name: strings.TrimSuffix(object, ".") + "Alike."}, cwmp.ParameterInfoStruct{Name: strings.TrimSuffix(object, ".") + "Alike.Value"},
			cwmp.ParameterInfoStruct{Name: "Elsewhere."})
		return &cwmp.GetParameterNamesResponse{ParameterList: append(list, r.ParameterList...)}
	})
	got, err := w.get(id, "Device.")
	w.must(err)
	for path := range got {
		if strings.Contains(path, "Alike") || !strings.HasPrefix(path, "Device.") {
			t.Errorf("%s is shown", path)
		}
	}
	if got[ssid] == "" {
		t.Error("no ", ssid)
	}
}

// TestR5_EchoIsNoEvidence: a list that repeats the question does not make a row exist.
func TestR5_EchoIsNoEvidence(t *testing.T) {
	w := newWorld(t, live)
	_, id := w.odd(func(req, response cwmp.RPC) cwmp.RPC {
		q, ok := req.(*cwmp.GetParameterNames)
		if _, fault := response.(*cwmp.Fault); !ok || !fault {
			return response
		}
		return &cwmp.GetParameterNamesResponse{ParameterList: []cwmp.ParameterInfoStruct{{Name: q.ParameterPath}}}
	})
	if _, err := w.get(id, "Device.WiFi.SSID.77.SSID"); code(err) != usp.InvalidPath {
		t.Errorf("%v, want 7026", err)
	}
}

// TestR6_EmptyTable: one that the CPE denies while it has no rows can be added to.
func TestR6_EmptyTable(t *testing.T) {
	w := newWorld(t, live)
	c, id := w.odd(func(req, response cwmp.RPC) cwmp.RPC {
		q, ok := req.(*cwmp.GetParameterNames)
		if r, list := response.(*cwmp.GetParameterNamesResponse); ok && list && q.ParameterPath == mappings &&
			!slices.ContainsFunc(r.ParameterList, func(i cwmp.ParameterInfoStruct) bool { return len(i.Name) > len(mappings) }) {
			return cwmp.NewFault(cwmp.FaultInvalidParameterName)
		}
		return response
	})
	if _, err := w.delete(id, mappings+"*."); err != nil {
		t.Fatal(err)
	}
	got, err := w.get(id, mappings)
	if err != nil || len(got) != 0 {
		t.Errorf("%v %v", got, err)
	}
	row, err := w.add(id, mappings, map[string]string{"ExternalPort": "4711"})
	w.must(err)
	if !c.Exists(row.GetInstantiatedPath()) {
		t.Errorf("%s is not there", row.GetInstantiatedPath())
	}
}

// TestR9_10_12_NamesThatAreRefused: a batch with a name in it that the CPE lists and denies is halved until that name is found.
func TestR9_10_12_NamesThatAreRefused(t *testing.T) {
	const phantom = "Device.WiFi.SSID.1.BSSID"
	w := newWorld(t, live)
	c, id := w.odd(func(req, response cwmp.RPC) cwmp.RPC {
		if q, ok := req.(*cwmp.GetParameterValues); ok && slices.Contains(q.ParameterNames, phantom) {
			return cwmp.NewFault(cwmp.FaultInvalidParameterName)
		}
		return response
	})
	w.want(id, ssid, c.Value(ssid))
	got, err := w.get(id, "Device.WiFi.SSID.1.")
	w.must(err)
	if _, shown := got[phantom]; shown || len(got) < 3 {
		t.Errorf("%v", got)
	}
}

// TestR11_OtherLists: GetParameterValues answered in another order, twice, with more than was asked, and without one.
func TestR11_OtherLists(t *testing.T) {
	const left = "Device.WiFi.SSID.1.Alias"
	w := newWorld(t, live)
	c, id := w.odd(func(req, response cwmp.RPC) cwmp.RPC {
		r, ok := response.(*cwmp.GetParameterValuesResponse)
		if !ok {
			return response
		}
		list := slices.Clone(r.ParameterList)
		slices.Reverse(list)
		list = slices.DeleteFunc(append(list, r.ParameterList...), func(p cwmp.ParameterValueStruct) bool { return p.Name == left })
		return &cwmp.GetParameterValuesResponse{ParameterList: append(list, cwmp.ParameterValueStruct{Name: "Device.Not.Asked", Value: "x"})}
	})
	got, err := w.get(id, "Device.WiFi.SSID.")
	w.must(err)
	if got[ssid] != c.Value(ssid) {
		t.Errorf("%s is %q", ssid, got[ssid])
	}
	if _, err := w.get(id, "Device.Not.Asked"); code(err) != usp.InvalidPath {
		t.Errorf("%v, want 7026", err)
	}
}

// TestR14_PartialApplication: what a CPE has set of a SetParameterValues that it then refuses is seen, cache or not.
func TestR14_PartialApplication(t *testing.T) {
	w := newWorld(t, nil)
	c, id := w.boot(nil)
	c.SetFaults(cpe.Faults{Answer: func(req, response cwmp.RPC) cwmp.RPC {
		if req.Name() == "SetParameterValues" {
			return &cwmp.Fault{Code: cwmp.FaultInvalidArguments, String: "Invalid arguments",
				Params: []cwmp.ParameterFault{{Name: "Device.WiFi.SSID.1.Enable", Code: cwmp.FaultInvalidParameterValue, String: "no"}}}
		}
		return response // the simulated CPE has set both
	}})
	if _, err := w.set(id, "Device.WiFi.SSID.1.", map[string]string{"SSID": "half", "Enable": "false"}); code(err) == 0 {
		t.Error("the Controller was told that it is done")
	}
	w.want(id, ssid, "half")
}

func TestR15_StatusOne(t *testing.T) {
	w := newWorld(t, nil)
	c, id := w.boot(nil)
	c.SetFaults(cpe.Faults{StatusOne: true})
	resp, err := w.set(id, "Device.WiFi.SSID.1.", map[string]string{"SSID": "later"})
	w.must(err)
	if v := resp.GetUpdatedObjResults()[0].GetOperStatus().GetOperSuccess().GetUpdatedInstResults()[0].GetUpdatedParams()["SSID"]; v != "later" {
		t.Errorf("updated_params has %q", v)
	}
}

// TestR16_NoParameterKey: a lost answer of a CPE that keeps no key is settled by the values where they tell, and is unknown where they do not.
func TestR16_NoParameterKey(t *testing.T) {
	w := newWorld(t, nil)
	c, id := w.boot(nil)
	c.SetFaults(cpe.Faults{CloseOn: "SetParameterValues", Answer: func(_, response cwmp.RPC) cwmp.RPC {
		if r, ok := response.(*cwmp.GetParameterValuesResponse); ok {
			r = &cwmp.GetParameterValuesResponse{ParameterList: slices.Clone(r.ParameterList)}
			for i := range r.ParameterList {
				if strings.HasSuffix(r.ParameterList[i].Name, ".ParameterKey") {
					r.ParameterList[i].Value = ""
				}
			}
			return r
		}
		return response
	}})
	if _, err := w.set(id, "Device.WiFi.SSID.1.", map[string]string{"SSID": "set"}); code(err) != usp.OutcomeUnknown {
		t.Errorf("%v, want 7801", err)
	}
	w.want(id, ssid, "set")
}

// TestR17_ReadBackDiffers: what the CPE made of a value is what the Controller is told.
func TestR17_ReadBackDiffers(t *testing.T) {
	w := newWorld(t, nil)
	c, id := w.boot(nil)
	c.SetFaults(cpe.Faults{Answer: func(_, response cwmp.RPC) cwmp.RPC {
		if r, ok := response.(*cwmp.GetParameterValuesResponse); ok {
			r = &cwmp.GetParameterValuesResponse{ParameterList: slices.Clone(r.ParameterList)}
			for i, p := range r.ParameterList {
				r.ParameterList[i].Value = strings.ToUpper(p.Value)
			}
			return r
		}
		return response
	}})
	resp, err := w.set(id, "Device.WiFi.SSID.1.", map[string]string{"SSID": "small"})
	w.must(err)
	if v := resp.GetUpdatedObjResults()[0].GetOperStatus().GetOperSuccess().GetUpdatedInstResults()[0].GetUpdatedParams()["SSID"]; v != "SMALL" {
		t.Errorf("updated_params has %q", v)
	}
}

// TestR18_19_TypesAndOrder: each value has the type that the CPE gives it, and they come in the Controller's order.
func TestR18_19_TypesAndOrder(t *testing.T) {
	w := newWorld(t, nil)
	c, id := w.boot(nil)
	_, err := w.set(id, mappings+"1.", map[string]string{"Description": "d", "Enable": "true", "ExternalPort": "99", "LeaseDuration": "5"})
	w.must(err)
	var got []string
	for _, p := range c.Calls("SetParameterValues")[0].Request.(*cwmp.SetParameterValues).ParameterList {
		got = append(got, strings.TrimPrefix(p.Name, mappings+"1.")+" "+p.Type+" "+p.Value)
	}
	want := []string{"Description string d", "Enable boolean true", "ExternalPort unsignedInt 99", "LeaseDuration unsignedInt 5"}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

// TestR22_WrongCount: the rows are those that the CPE lists, whatever NumberOfEntries says.
func TestR22_WrongCount(t *testing.T) {
	w := newWorld(t, live)
	c, id := w.odd(func(_, response cwmp.RPC) cwmp.RPC {
		if r, ok := response.(*cwmp.GetParameterValuesResponse); ok {
			r = &cwmp.GetParameterValuesResponse{ParameterList: slices.Clone(r.ParameterList)}
			for i, p := range r.ParameterList {
				if strings.HasSuffix(p.Name, "NumberOfEntries") {
					r.ParameterList[i].Value = "99"
				}
			}
			return r
		}
		return response
	})
	got, err := w.get(id, "Device.WiFi.SSID.*.SSID")
	w.must(err)
	for path, v := range got {
		if c.Value(path) != v {
			t.Errorf("%s is %q", path, v)
		}
	}
	if len(got) != 2 {
		t.Errorf("%v", got)
	}
}

// TestR20_RowThatWasThere: an answer to AddObject that names an older row is not believed: that row is neither written to nor deleted, and the new one is
// found where there is one.
func TestR20_RowThatWasThere(t *testing.T) {
	w := newWorld(t, nil)
	c, id := w.boot(nil)
	before := c.Value(mappings + "1.ExternalPort")
	wrong := cpe.Faults{Answer: func(req, response cwmp.RPC) cwmp.RPC {
		if req.Name() == "AddObject" {
			return &cwmp.AddObjectResponse{InstanceNumber: 1}
		}
		return response
	}}
	c.SetFaults(wrong)
	row, err := w.add(id, mappings, map[string]string{"ExternalPort": "4711"})
	w.must(err)
	if p := row.GetInstantiatedPath(); p == mappings+"1." || c.Value(p+"ExternalPort") != "4711" {
		t.Errorf("%s has ExternalPort %q", p, c.Value(p+"ExternalPort"))
	}
	wrong.RPCFault = map[string]cwmp.FaultCode{"AddObject": cwmp.FaultResourcesExceeded} // it makes none, and says that it has
	c.SetFaults(wrong)
	if _, err := w.add(id, mappings, map[string]string{"ExternalPort": "4712"}); err == nil || !strings.Contains(err.Error(), "there before") {
		t.Errorf("%v, want an error that says so", err)
	}
	if now := c.Value(mappings + "1.ExternalPort"); now != before || !c.Exists(mappings+"1.") {
		t.Errorf("the row that was there has ExternalPort %q, had %q", now, before)
	}
}

// TestR24_AnotherRoot: a CPE that comes back with the other data model is read anew, and nothing of the old one is shown.
func TestR24_AnotherRoot(t *testing.T) {
	w := newWorld(t, live)
	c, id := w.boot(nil)
	w.want(id, ssid, c.Value(ssid))
	w.must(c.WaitIdle(w.in(deadline)))
	w.boot(func(cfg *cpe.Config) { cfg.Tree = cpe.IGD() })
	got, err := w.get(id, "Device.")
	w.must(err)
	const gone = "Device.SoftwareModules.ExecEnv.1.Name"
	if _, shown := got[gone]; shown || got["Device.DeviceInfo.SerialNumber"] != "S1" || got[ssid] != "Home" {
		t.Errorf("%d values, SerialNumber %q, SSID %q", len(got), got["Device.DeviceInfo.SerialNumber"], got[ssid])
	}
}
