package translate

import (
	"context"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"isthmus/cwmp"
	"isthmus/cwmp/cpe"
	"isthmus/usp"
	"isthmus/usp/usppb"
)

// tracedWorld holds sessions open, reads everything anew, and gives the Exchanges as they end.
func tracedWorld(t *testing.T, change func(*Options)) (w *world, over <-chan Exchange) {
	ch := make(chan Exchange, 64)
	w = newWorld(t, func(o *Options) {
		o.MaxAge, o.Linger = 0, deadline
		o.Traced = func(_ usp.EndpointID, x Exchange) { ch <- x }
		if change != nil {
			change(o)
		}
	})
	return w, ch
}

// read has a Get of the uptime under way.
func (w *world) read(ctx context.Context, id usp.EndpointID) {
	go w.p.Do(ctx, id, "self::test", usp.NewRequest("m", &usppb.Request{ReqType: &usppb.Request_Get{Get: &usppb.Get{ParamPaths: []string{"Device.DeviceInfo.UpTime"}}}}))
}

func (w *world) next(over <-chan Exchange) Exchange {
	w.t.Helper()
	select {
	case x := <-over:
		return x
	case <-w.in(deadline).Done():
		w.t.Fatal("the request has no end")
	}
	return Exchange{}
}

// holdsRead has a CPE take its time for a GetParameterValues: begun says that it has come, close of answer lets it go on.
func holdsRead(c *cpe.CPE) (begun <-chan struct{}, answer chan<- struct{}) {
	b, a := make(chan struct{}, 8), make(chan struct{})
	c.SetFaults(cpe.Faults{Answer: func(req, resp cwmp.RPC) cwmp.RPC {
		if _, ok := req.(*cwmp.GetParameterValues); ok {
			b <- struct{}{}
			<-a
		}
		return resp
	}})
	return b, a
}

// TestTraceOfHang: a request that ends while the CPE owes an answer shows the RPC.
func TestTraceOfHang(t *testing.T) {
	w, over := tracedWorld(t, nil)
	c, id := w.boot(nil)
	begun, answer := holdsRead(c)
	defer close(answer)
	ctx, cancel := context.WithCancel(w.ctx)
	w.read(ctx, id)
	<-begun
	cancel()
	x := w.next(over)
	last := x.CWMP[max(0, len(x.CWMP)-1):]
	if len(last) == 0 || last[0].RPC != "GetParameterValues" || last[0].Result == "ok" || last[0].Session == "" || last[0].Time.Add(last[0].Duration).After(x.Time.Add(x.Duration)) {
		t.Errorf("%+v", x)
	}
	if len(x.Waits) != 1 || x.Waits[0].Taken.IsZero() || !x.Waits[0].Ended.IsZero() {
		t.Errorf("it waited %+v", x.Waits)
	}
}

// TestTraceMerged: a request says that it needed no RPC, since another that was before it in the queue read the same.
func TestTraceMerged(t *testing.T) {
	w, over := tracedWorld(t, nil)
	c, id := w.boot(nil)
	begun, answer := holdsRead(c)
	w.read(w.ctx, id)
	<-begun
	time.Sleep(time.Millisecond) // what is known has its age in milliseconds
	w.read(w.ctx, id)
	w.queues(id, 1)
	close(answer)
	first, second := w.next(over), w.next(over)
	if second.Time.Before(first.Time) {
		first, second = second, first
	}
	if len(second.CWMP) > 0 || !strings.HasSuffix(second.Why, merged) || strings.Contains(first.Why, merged) {
		t.Errorf("%+v\n%+v", first, second)
	}
}

// queues waits until so many requests wait for a CPE.
func (w *world) queues(id usp.EndpointID, n int) {
	w.t.Helper()
	d, ctx := w.device(id), w.in(deadline)
	for have := -1; have != n; {
		d.mu.RLock()
		have = len(d.queue)
		d.mu.RUnlock()
		if ctx.Err() != nil {
			w.t.Fatalf("%d requests wait, not %d", have, n)
		}
		time.Sleep(time.Millisecond)
	}
}

// TestTraceOfLoss: a read whose session was lost has been in two sessions.
func TestTraceOfLoss(t *testing.T) {
	w, over := tracedWorld(t, nil)
	c, id := w.boot(nil)
	c.SetFaults(cpe.Faults{LoseOn: "GetParameterValues"})
	w.read(w.ctx, id)
	x := w.next(over)
	if len(x.Waits) != 2 || x.Waits[0].Session == x.Waits[1].Session || x.Waits[0].Ended.IsZero() || x.Waits[1].Queued.Before(x.Waits[0].Ended) || x.Result != "ok" {
		t.Errorf("%+v", x)
	}
}

// TestTraceOfSharedRequest: who finds a Connection Request under way, or one that is accepted in vain, is told so.
func TestTraceOfSharedRequest(t *testing.T) {
	w, over := tracedWorld(t, func(o *Options) { o.ConnectionRequest.Timeout = time.Second })
	c, id := w.boot(nil)
	w.over(id)
	c.SetFaults(cpe.Faults{ConnReq: cpe.ConnReqIgnore})
	w.read(w.ctx, id)
	w.queues(id, 1)
	w.read(w.ctx, id)
	whys := map[string]bool{}
	for range 2 {
		x := w.next(over)
		whys[x.Why] = true
		if len(x.CWMP) != 1 || x.CWMP[0].Session != "" {
			t.Errorf("%+v", x)
		}
	}
	if !whys[byRequest] || !whys[bySharedRequest] {
		t.Error(whys)
	}
}

// TestTraceIsBounded: what a Controller or CPE says at length is kept in part, and of literals nothing, wherever the cut is.
func TestTraceIsBounded(t *testing.T) {
	long := "Device." + strings.Repeat("é", traceText)
	paths := pathsOf(&usppb.Msg{Body: &usppb.Body{MsgBody: &usppb.Body_Request{Request: &usppb.Request{ReqType: &usppb.Request_Get{Get: &usppb.Get{
		ParamPaths: []string{long, `Device.WiFi.SSID.[SSID=="` + long}}}}}}})
	result := resultOf(usp.ErrorMsg("m", usp.Errorf(usp.InvalidPath, "%s is unknown", long)))
	for _, s := range append(paths, result) {
		if len(s) > traceText+len("7026 …") || !utf8.ValidString(s) || len(s) < len(`Device.WiFi`) {
			t.Errorf("%d bytes are kept: %q", len(s), s)
		}
	}
	if strings.Contains(paths[1], "é") {
		t.Errorf("a literal is kept: %q", paths[1])
	}
}
