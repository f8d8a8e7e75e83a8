package translate

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"isthmus/cwmp"
	"isthmus/cwmp/cpe"
	"isthmus/store"
	"isthmus/usp"
	"isthmus/usp/usppb"
)

const (
	envRow  = "Device.SoftwareModules.ExecEnv.1."
	unitEU  = "Device.SoftwareModules.ExecutionUnit.1."
	euState = unitEU + "RequestedState"
)

func withUnit(cfg *cpe.Config) {
	cfg.Tree = cpe.Device2().WithObject(unitEU).With(unitEU+"Status", "string", "Active").WithWritable(euState, "string", "Active")
}

// switched are the values that a parameter was written, in order.
func switched(c *cpe.CPE, path string) string {
	var values []string
	for _, call := range c.Calls("SetParameterValues") {
		for _, p := range call.Request.(*cwmp.SetParameterValues).ParameterList {
			if p.Name == path {
				values = append(values, p.Value)
			}
		}
	}
	return strings.Join(values, " ")
}

func restartedEvents(n *usppb.Notify) bool { return n.GetEvent().GetEventName() == restarted }

// wantUp says that an environment is up at the CPE, and that nothing waits to be switched on.
func (w *world) wantUp(c *cpe.CPE, id usp.EndpointID) {
	w.t.Helper()
	if e, s := c.Value(envRow+"Enable"), c.Value(envRow+"Status"); e != "true" || s != "Up" {
		w.t.Errorf("Enable is %s, Status %s", e, s)
	}
	d := w.device(id)
	d.mu.RLock()
	defer d.mu.RUnlock()
	if len(d.head.Revive) > 0 {
		w.t.Errorf("left: %+v", d.head.Revive)
	}
}

// An execution environment is restarted in one session, or over two where the CPE acts only when one has ended; the answer to either write is lost; the
// process is restarted; the CPE reboots. It is up in the end, and the Controller hears of it once.
func TestExecEnvRestart(t *testing.T) {
	for name, test := range map[string]struct {
		faults cpe.Faults
		after  func(w *world, c *cpe.CPE)
		writes string
	}{
		"one session":   {writes: "false true"},
		"two sessions":  {faults: cpe.Faults{ActAtEnd: true}, writes: "false true"},
		"answer lost":   {faults: cpe.Faults{CloseOn: "SetParameterValues"}, writes: "false true"},
		"killed":        {faults: cpe.Faults{ActAtEnd: true}, after: func(w *world, _ *cpe.CPE) { w.restart(func(*Options) {}) }, writes: "false true"},
		"CPE reboots":   {faults: cpe.Faults{ActAtEnd: true}, after: func(w *world, c *cpe.CPE) { w.inform(c, cwmp.EventBoot) }, writes: "false true"},
		"applied later": {faults: cpe.Faults{StatusOne: true}, writes: "false true"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			c, id := w.boot(away)
			w.watch(id)
			w.subscribe(id, "restarted", "Event", "Device.SoftwareModules.ExecEnv.*."+restarted, map[string]string{"Persistent": "true"})
			request := w.begin(id, envRow+"Restart()", "restart", map[string]string{"Reason": "maintenance"})
			w.want(id, request+".Status", "Requested")
			test.faults.ConnReq = cpe.ConnReqDrop
			c.SetFaults(test.faults)
			w.contact(c)
			w.over(id)
			if test.after != nil {
				test.after(w, c)
			}
			for range 3 { // at most: to switch it on, to see that it is
				w.contact(c)
				w.over(id)
			}
			if out := w.notified(1, completed("restart")).GetOperComplete(); out.GetReqOutputArgs() == nil {
				t.Errorf("%v", out)
			}
			e := w.notified(1, restartedEvents).GetEvent()
			if e.GetObjPath() != envRow || e.GetParams()["RestartReason"] != "maintenance" || e.GetParams()["RestartTime"] == "" {
				t.Errorf("%v", e)
			}
			if got := switched(c, envRow+"Enable"); got != test.writes {
				t.Errorf("Enable was set to %s", got)
			}
			w.wantUp(c, id)
			w.want(id, envRow+"Status", "Up")
			w.contact(c)
			w.over(id)
			if n := w.peer.count(restartedEvents); n != 1 {
				t.Errorf("%d times %s", n, restarted)
			}
			w.idleOperations(id)
		})
	}
}

// The process may be killed between any two writes: the environment is up in the end.
func TestExecEnvRestartSurvivesKillAtAnyWrite(t *testing.T) {
	const writes = 10 // more than there are
	for n := range writes {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			c, id := w.boot(away)
			w.watch(id)
			var dead *dying
			w.stop()
			w.wrap = func(s store.Store) store.Store { dead = newDying(s); return dead }
			w.start()
			w.begin(id, envRow+"Restart()", "restart", nil)
			dead.left.Store(int64(n))
			w.contact(c)
			select {
			case <-dead.killed:
			default: // there are not that many writes
			}
			w.stop()
			w.wrap = nil
			w.start()
			for range 3 {
				w.contact(c)
				w.over(id)
			}
			if out := w.notified(1, completed("restart")).GetOperComplete(); out.GetReqOutputArgs() == nil {
				t.Errorf("%v", out)
			}
			w.wantUp(c, id)
			w.idleOperations(id)
		})
	}
}

// What cannot be restarted is left alone; what a Controller switches off meanwhile stays so.
func TestExecEnvRestartRefused(t *testing.T) {
	t.Run("fault", func(t *testing.T) {
		w := newWorld(t, nil)
		c, id := w.boot(func(cfg *cpe.Config) {
			cfg.Faults.SetFault = map[string]cwmp.FaultCode{envRow + "Enable": cwmp.FaultRequestDenied}
		})
		w.watch(id)
		w.begin(id, envRow+"Restart()", "restart", nil)
		w.failure("restart", usp.CommandFailure, "CWMP fault 9003")
		w.wantUp(c, id)
	})
	t.Run("disabled", func(t *testing.T) {
		w := newWorld(t, nil)
		c, id := w.boot(nil)
		w.watch(id)
		w.must(c.SetValue(envRow+"Status", "Disabled"))
		w.begin(id, envRow+"Restart()", "restart", nil)
		w.failure("restart", usp.CommandFailure, "Disabled")
		if got := switched(c, envRow+"Enable"); got != "" {
			t.Errorf("Enable was set to %s", got)
		}
	})
	t.Run("switched off", func(t *testing.T) {
		w := newWorld(t, nil)
		c, id := w.boot(func(cfg *cpe.Config) { cfg.Faults.ActAtEnd = true })
		w.watch(id)
		w.begin(id, envRow+"Restart()", "restart", nil)
		if _, err := c.WaitCall(w.in(deadline), "SetParameterValues", 1); err != nil {
			t.Fatal(err)
		}
		w.must(w.device(id).superseded(w.ctx, []cpeWrite{{path: envRow + "Enable"}}))
		w.over(id)
		w.informs(c)
		if got := switched(c, envRow+"Enable"); got != "false" {
			t.Errorf("Enable was set to %s", got)
		}
	})
	t.Run("never up", func(t *testing.T) {
		w := newWorld(t, nil)
		c, id := w.boot(away)
		w.watch(id)
		w.begin(id, envRow+"Restart()", "restart", nil)
		c.SetFaults(cpe.Faults{ConnReq: cpe.ConnReqDrop, Mute: true, ActAtEnd: true})
		w.contact(c)
		w.over(id)
		w.must(c.SetValue(envRow+"Status", "Error"))
		d := w.device(id)
		d.mu.Lock()
		d.head.Revive[0].Since = time.Now().Add(-time.Hour) // it has had its time to stop
		d.operations[0].Sent = time.Now().Add(-time.Hour)
		d.mu.Unlock()
		c.SetFaults(cpe.Faults{ConnReq: cpe.ConnReqDrop, RPCFault: map[string]cwmp.FaultCode{"SetParameterValues": cwmp.FaultInternalError}})
		w.contact(c)
		w.over(id)
		d.mu.RLock()
		if len(d.head.Revive) != 1 {
			t.Error("given up after a single refusal")
		}
		d.mu.RUnlock()
		c.SetFaults(cpe.Faults{ConnReq: cpe.ConnReqDrop, ActAtEnd: true})
		w.contact(c)
		w.over(id)
		w.must(c.SetValue(envRow+"Status", "Error"))
		w.contact(c)
		w.failure("restart", usp.CommandFailure, `"Error"`)
		if got := switched(c, envRow+"Enable"); got != "false true true" {
			t.Errorf("Enable was set to %s", got)
		}
	})
}

// Restarted! also tells of a restart that nobody here asked for.
func TestExecEnvRestartedByItself(t *testing.T) {
	w := newWorld(t, nil)
	c, id := w.boot(nil)
	w.subscribe(id, "restarted", "Event", envRow+restarted, nil)
	w.attribute(c, envRow+"Status", cwmp.NotificationActive)
	w.must(c.WaitIdle(w.in(deadline)))
	for _, status := range []string{"Restarting", "Up", "Disabled", "Up"} {
		n := c.Sessions()
		w.must(c.SetValue(envRow+"Status", status))
		w.must(c.WaitSessions(w.in(deadline), n+1))
	}
	e := w.notified(1, restartedEvents).GetEvent()
	if reason, ok := e.GetParams()["RestartReason"]; reason != "" || !ok || e.GetParams()["RestartTime"] == "" {
		t.Errorf("%v", e)
	}
	w.over(id)
	if n := w.peer.count(restartedEvents); n != 1 {
		t.Errorf("%d times %s", n, restarted)
	}
}

// An execution unit is restarted before the answer, over two sessions if need be; not while it is stopping; and never stays stopped.
func TestExecutionUnitRestart(t *testing.T) {
	const command = unitEU + "Restart()"
	for name, test := range map[string]struct {
		faults cpe.Faults
		status string
		code   usp.ErrorCode
		writes string
	}{
		"plain":        {status: "Active", writes: "Idle Active"},
		"idle":         {status: "Idle", writes: "Active"},
		"two sessions": {faults: cpe.Faults{ActAtEnd: true}, status: "Active", writes: "Idle Active"},
		"stopping":     {status: "Stopping", code: usp.CommandFailure},
		"refused":      {faults: cpe.Faults{SetFault: map[string]cwmp.FaultCode{euState: cwmp.FaultRequestDenied}}, status: "Active", code: usp.CommandFailure, writes: "Idle"},
		"lost":         {faults: cpe.Faults{CloseOn: "SetParameterValues"}, status: "Active", code: usp.OutcomeUnknown, writes: "Idle Active"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, func(o *Options) { o.Agents.RequestTimeout = deadline })
			c, id := w.boot(withUnit)
			w.must(c.SetValue(unitEU+"Status", test.status))
			c.SetFaults(test.faults)
			r := w.operate(id, command, "")
			if code := r.GetCmdFailure().GetErrCode(); code != uint32(test.code) {
				t.Errorf("%v", r)
			}
			w.must(c.WaitIdle(w.in(deadline)))
			w.informs(c)
			w.over(id)
			if got := switched(c, euState); got != test.writes {
				t.Errorf("RequestedState was set to %q", got)
			}
			if s := c.Value(unitEU + "Status"); test.writes != "" && s != "Active" {
				t.Errorf("Status %s", s)
			}
		})
	}
}
