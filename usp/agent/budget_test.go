package agent

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"

	"isthmus/usp"
	"isthmus/usp/usppb"
)

// TestHugeRequests sends what fits into one Record and would come to gigabytes: each gets 7005, for the whole or for the paths that went too
// far, and costs little more than itself.
func TestHugeRequests(t *testing.T) {
	const recordSize, most = 5 << 20, 512 << 20 // bytes; most is what may be allocated, over all of a request's time
	supported := func(paths ...string) *usppb.Request {
		return &usppb.Request{ReqType: &usppb.Request_GetSupportedDm{GetSupportedDm: &usppb.GetSupportedDM{ObjPaths: paths, ReturnParams: true}}}
	}
	listed := func(paths ...string) *usppb.Request {
		return &usppb.Request{ReqType: &usppb.Request_GetInstances{GetInstances: &usppb.GetInstances{ObjPaths: paths}}}
	}
	same := func(path string, n int) []string { return slices.Repeat([]string{path}, n) }
	var rows []obj
	for i := range 500 {
		rows = append(rows, subscription(event, "Device.Boot!", req("ID", fmt.Sprint(i))))
	}
	var invalid []param
	for range 30_000 {
		invalid = append(invalid, req("NotifRetry", "maybe"))
	}
	var unknown []param
	for i := range maxWork {
		unknown = append(unknown, opt(fmt.Sprintf("P%d", i), ""))
	}
	searches := make([]string, 50_000)
	for i := range searches {
		searches[i] = fmt.Sprintf(`Device.LocalAgent.Subscription.[ID!="x%d"].`, i)
	}
	for what, request := range map[string]*usppb.Request{
		"Get":                getReq(same("Device.", recordSize/9)...),
		"Get, fewer paths":   getReq(same("Device.LocalAgent.", 100_000)...),
		"Get, searches":      getReq(searches...),
		"GetInstances":       listed(same("Device.LocalAgent.Subscription.", 10_000)...),
		"GetSupportedDM":     supported(same("Device.", 10_000)...),
		"Set, wildcard":      setReq(false, obj{"Device.LocalAgent.Subscription.*.", unknown[:1000]}),
		"Set, settings":      setReq(false, obj{"Device.LocalAgent.Subscription.1.", unknown}),
		"Add":                addReq(true, obj{"Device.LocalAgent.Subscription.", unknown}),
		"Delete, wildcard":   delReq(false, same("Device.LocalAgent.Subscription.*.", 10_000)...),
		"Set, invalid":       setReq(false, obj{"Device.LocalAgent.Subscription.1.", invalid}),
		"Get, absent":        getReq(same("Device.LocalAgent.Subscription.9999.", 10_000)...),
		"Get, long paths":    getReq(same("Device."+strings.Repeat("A.", recordSize/8), 3)...),
		"Get, bracket bombs": getReq(same("Device."+strings.Repeat("[", recordSize/8), 3)...),
	} {
		t.Run(what, func(t *testing.T) {
			r := newRig(t)
			r.w.limit = recordSize
			r.ask(addReq(false, rows...))
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			b := r.ask(request)
			runtime.ReadMemStats(&after)
			if n := after.TotalAlloc - before.TotalAlloc; n > most {
				t.Errorf("%d MiB were allocated", n>>20)
			}
			switch code := usp.ErrorCode(b.GetError().GetErrCode()); what {
			case "Set, invalid":
				equal(t, code, usp.InvalidArguments)
			case "Get, absent", "Get, long paths", "Get, bracket bombs":
				if b.GetResponse().GetGetResp().GetReqPathResults()[2].GetErrCode() == 0 {
					t.Errorf("got %.300s", b)
				}
			default:
				equal(t, code, usp.ResourcesExceeded)
			}
			equal(t, r.get("Device.LocalAgent.Subscription.1.ID"), "Device.LocalAgent.Subscription.1.ID=0")
		})
	}
}
