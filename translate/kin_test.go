package translate

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"isthmus/cwmp"
	"isthmus/cwmp/cpe"
	"isthmus/usp"
)

// sibling is a CPE of one model, by its serial number.
func (w *world) sibling(serial string, f cpe.Faults) (*cpe.CPE, usp.EndpointID) {
	w.t.Helper()
	return w.boot(func(cfg *cpe.Config) { cfg.DeviceID.SerialNumber, cfg.Faults = serial, f })
}

// listings are the paths of the GetParameterNames of a CPE, those of one level with a "/".
func listings(c *cpe.CPE) (paths []string) {
	for _, call := range c.Calls("GetParameterNames") {
		r := call.Request.(*cwmp.GetParameterNames)
		if r.NextLevel {
			paths = append(paths, r.ParameterPath+"/")
		} else {
			paths = append(paths, r.ParameterPath)
		}
	}
	return paths
}

// TestKin: what the first CPE of a model has shown level by level saves the next ones all questions but one, and what is known of them is the same.
func TestKin(t *testing.T) {
	w := newWorld(t, nil)
	first, a := w.sibling("A", cpe.Faults{})
	if got := listings(first); len(got) < 3 || got[0] != "Device./" || slices.Contains(got, "Device.") {
		t.Error("the first is listed by", got)
	}
	next, b := w.sibling("B", cpe.Faults{})
	if diff := cmp.Diff([]string{"Device."}, listings(next)); diff != "" {
		t.Error("the next one:", diff)
	}
	if n := len(next.Calls("GetRPCMethods")); n != 0 {
		t.Errorf("%d GetRPCMethods", n)
	}
	names := func(id usp.EndpointID) (all []string) {
		d := w.device(id)
		w.must(d.load(w.ctx))
		d.mu.RLock()
		defer d.mu.RUnlock()
		for _, n := range d.tree.names("Device.") {
			all = append(all, n.Path)
		}
		return all
	}
	if diff := cmp.Diff(names(a), names(b)); diff != "" {
		t.Error("names:", diff)
	}
	one, other := w.head(a), w.head(b)
	if one.Shape != other.Shape || one.Interval != other.Interval || !slices.Equal(one.RPCs, other.RPCs) || one.OneImage != other.OneImage {
		t.Errorf("%+v is not like %+v", other, one)
	}
}

// R2: a CPE that does not answer the one question as it should is read level by level, and no other of its model is asked so.
func TestR2_KinApart(t *testing.T) {
	for name, faults := range map[string]cpe.Faults{
		"refused": {NoGPNDeep: true},
		"cut": {Answer: func(req, response cwmp.RPC) cwmp.RPC {
			q, ok := req.(*cwmp.GetParameterNames)
			r, list := response.(*cwmp.GetParameterNamesResponse)
			if ok && list && q.ParameterPath == "Device." && !q.NextLevel {
				return &cwmp.GetParameterNamesResponse{ParameterList: r.ParameterList[:len(r.ParameterList)/2]}
			}
			return response
		}},
		"without objects": {Answer: func(req, response cwmp.RPC) cwmp.RPC {
			q, ok := req.(*cwmp.GetParameterNames)
			r, list := response.(*cwmp.GetParameterNamesResponse)
			if !ok || !list || q.NextLevel {
				return response
			}
			return &cwmp.GetParameterNamesResponse{ParameterList: slices.DeleteFunc(slices.Clone(r.ParameterList), func(i cwmp.ParameterInfoStruct) bool {
				return strings.HasSuffix(i.Name, ".")
			})}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil)
			_, first := w.sibling("A", cpe.Faults{})
			odd, id := w.sibling("B", faults)
			if got := listings(odd); len(got) < 2 || got[0] != "Device." || got[1] != "Device./" {
				t.Error("the odd one is listed by", got)
			}
			if name != "without objects" && w.head(id).Shape != w.head(first).Shape {
				t.Error("it has another data model than the first")
			}
			next, _ := w.sibling("C", faults)
			if got := listings(next); got[0] != "Device./" {
				t.Error("the next one is listed by", got)
			}
		})
	}
}

// R2: a CPE that is lost over the one question is read level by level when it comes back. A model of which maxLost are lost is no more asked so.
func TestR2_KinLost(t *testing.T) {
	w := newWorld(t, nil)
	_, first := w.sibling("A", cpe.Faults{})
	for _, serial := range []string{"B", "C", "D"} {
		lost, id := w.sibling(serial, cpe.Faults{LoseOn: "GetParameterNames"})
		if got := listings(lost); got[0] != "Device./" {
			t.Error(serial, "is listed by", got)
		}
		if w.head(id).Shape != w.head(first).Shape {
			t.Error(serial, "has another data model than the first")
		}
	}
	last, _ := w.sibling("E", cpe.Faults{})
	if got := listings(last); got[0] != "Device./" {
		t.Error("after so many the next one is listed by", got)
	}
}
