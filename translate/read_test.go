package translate

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"isthmus/cwmp"
)

// leavesOnly is a CPE that leaves objects out of a GetParameterNames of all levels, as cwmp-sim does.
type leavesOnly []cwmp.ParameterInfoStruct

func (c leavesOnly) Call(_ context.Context, req cwmp.RPC) (cwmp.RPC, error) {
	r, ok := req.(*cwmp.GetParameterNames)
	if !ok {
		return nil, fmt.Errorf("unexpected %s", req.Name())
	}
	var resp cwmp.GetParameterNamesResponse
	for _, n := range c {
		rest, below := strings.CutPrefix(n.Name, r.ParameterPath)
		child := !strings.Contains(strings.TrimSuffix(rest, "."), ".")
		if below && rest != "" && (r.NextLevel && child || !r.NextLevel && !strings.HasSuffix(rest, ".")) {
			resp.ParameterList = append(resp.ParameterList, n)
		}
	}
	return &resp, nil
}

func TestListWithoutObjects(t *testing.T) {
	c := leavesOnly{{Name: "Device.NAT."}, {Name: "Device.NAT.PortMapping.", Writable: true}, {Name: "Device.NAT.PortMapping.1.", Writable: true},
		{Name: "Device.NAT.PortMapping.1.Enable", Writable: true}, {Name: "Device.NAT.PortMappingNumberOfEntries"}}
	names, err := listBelow(t.Context(), c, "Device.", 0)
	if err != nil {
		t.Fatal(err)
	}
	got, want := map[string]bool{}, map[string]bool{}
	for _, n := range names {
		got[n.path] = n.writable
	}
	for _, n := range c {
		want[n.Name] = n.Writable
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}
