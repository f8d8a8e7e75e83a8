package agent

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"isthmus/usp"
	"isthmus/usp/usppb"
)

type watcher struct{ seen []string }

func (w *watcher) Exchange(ctx context.Context, agent, from usp.EndpointID, req *usppb.Msg) (context.Context, func(*usppb.Msg) string) {
	return ctx, func(resp *usppb.Msg) string {
		w.seen = append(w.seen, string(from)+" "+usp.RequestType(req)+" "+resp.GetHeader().GetMsgType().String())
		return "0af7651916cd43dd8448eb211c80319c"
	}
}

func TestObserverAndMetrics(t *testing.T) {
	w, reg := &watcher{}, prometheus.NewRegistry()
	f := NewFleet(Options{Observer: w, Registerer: reg})
	a := f.NewAgent(Identity{ID: agentID}, newTree(), &kept{}, AgentOptions{})
	defer a.Close(context.Background())
	a.Do(t.Context(), "self::isthmus", usp.NewRequest("x", getReq("Device.DeviceInfo.")))
	a.Do(t.Context(), "self::isthmus", usp.NewRequest("y", delReq(false, "Device.")))
	if len(w.seen) != 2 || w.seen[0] != "self::isthmus Get GET_RESP" || w.seen[1] != "self::isthmus Delete ERROR" {
		t.Fatal(w.seen)
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]float64{}
	for _, fam := range families {
		for _, m := range fam.GetMetric() {
			if fam.GetName() == "isthmus_usp_requests_total" {
				counts[m.GetLabel()[0].GetValue()+m.GetLabel()[1].GetValue()] = m.GetCounter().GetValue()
			}
		}
	}
	if counts["0Get"] != 1 || counts["7004Delete"] != 1 {
		t.Fatal(counts)
	}
}

// A response that the channel cannot carry becomes an Error, a notification is given up and does not hold up the next.
func TestTooBig(t *testing.T) {
	r := newRig(t)
	r.added(subscription(valueChange, "Device.DeviceInfo."))
	r.w.limit = 250
	wantError(t, r.ask(getReq("Device.")), 7005)
	big := make([]byte, 300)
	for i := range big {
		big[i] = 'x'
	}
	if err := r.a.Raise(t.Context(), &ValueChange{Path: "Device.DeviceInfo.ModelName", Value: string(big)}, &ValueChange{Path: "Device.DeviceInfo.ModelName", Value: "small\xff"}); err != nil {
		t.Fatal(err)
	}
	equal(t, r.notify().GetBody().GetRequest().GetNotify().GetValueChange().GetParamValue(), "small�")
}

// While a channel does not take anything, what waits is kept, and sent later in the same order.
func TestSendFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.added(subscription(valueChange, "Device.DeviceInfo."))
		for _, back := range []func(){func() { r.w.setDown(false) }, func() { r.a.Down(r.w, nil); r.connect() }} {
			r.w.setDown(true)
			for _, v := range []string{"a", "b"} {
				if err := r.a.Raise(t.Context(), &ValueChange{Path: "Device.DeviceInfo.ModelName", Value: v}); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(time.Minute)
			equal(t, r.keep.count(NotificationRecord), 2)
			back()
			for _, v := range []string{"a", "b"} {
				equal(t, r.notify().GetBody().GetRequest().GetNotify().GetValueChange().GetParamValue(), v)
			}
			synctest.Wait()
		}
		r.stop()
	})
}
