package translate

import (
	"testing"
	"time"

	"isthmus/cwmp"
	"isthmus/cwmp/cpe"
)

// S17: a CPE that takes no RPCs right after its boot is asked for a session again, for an hour, and what a Controller wants of it then works.
func TestS17_NoRPCsAfterBoot(t *testing.T) {
	w := newWorld(t, nil)
	refuses := map[string]cwmp.FaultCode{"GetParameterNames": cwmp.FaultInternalError, "GetParameterValues": cwmp.FaultResourcesExceeded}
	c, id := w.run(func(c *cpe.Config) { c.Faults.RPCFault = refuses })
	w.must(c.WaitIdle(w.in(deadline)))
	w.over(id)
	now := time.Now()
	w.p.askAgain(now.Add(firstPatience - time.Second))
	if n := c.Sessions(); n != 1 {
		t.Fatalf("%d sessions before it was time", n)
	}
	now = now.Add(firstPatience)
	w.p.askAgain(now)
	w.must(c.WaitSessions(w.in(deadline), 2))
	w.must(c.WaitIdle(w.in(deadline)))
	w.over(id)
	w.p.askAgain(now.Add(2*firstPatience - time.Second))
	if n := c.Sessions(); n != 2 {
		t.Fatalf("%d sessions: the wait was not doubled", n)
	}
	c.SetFaults(cpe.Faults{})
	w.p.askAgain(now.Add(2 * firstPatience))
	w.must(c.WaitSessions(w.in(deadline), 3))
	w.discovered(id)
	w.must(c.WaitIdle(w.in(deadline)))
	w.want(id, ssid, c.Value(ssid))
	w.p.mu.RLock()
	left := len(w.p.shy)
	w.p.mu.RUnlock()
	if left != 0 {
		t.Error("it is still to be asked")
	}
}

// S17: one that never takes any is left alone, and is not asked again because of Informs of its own.
func TestS17_NeverTakesRPCs(t *testing.T) {
	w := newWorld(t, nil)
	c, id := w.run(func(c *cpe.Config) {
		c.Faults.RPCFault, c.Faults.ConnReq = map[string]cwmp.FaultCode{"GetParameterNames": cwmp.FaultInternalError}, cpe.ConnReqDrop
	})
	w.must(c.WaitIdle(w.in(deadline)))
	now := time.Now()
	for range 5 {
		w.over(id)
		now = now.Add(maxPatience / 4)
		w.p.askAgain(now)
	}
	w.informs(c)
	w.p.mu.RLock()
	defer w.p.mu.RUnlock()
	if len(w.p.shy) != 0 {
		t.Errorf("%v", w.p.shy)
	}
}
