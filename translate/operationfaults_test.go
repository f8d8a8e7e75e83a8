package translate

import (
	"context"
	"fmt"
	"testing"

	"isthmus/cwmp"
	"isthmus/cwmp/cpe"
	"isthmus/store"
	"isthmus/usp"
	"isthmus/usp/usppb"
)

// The matrix of commands that a CPE carries out, and of what may happen on the way. A command is a row of operationRows, a fault one of operationFaults;
// TestOperationFaults runs every pair. Proven elsewhere, of the rows named:
//
//	killed at each write    Download: TestOperationSurvivesKillAtAnyWrite; ExecEnv.Restart: TestExecEnvRestartSurvivesKillAtAnyWrite
//	Reboot, FactoryReset    which are synchronous: TestRestartFaults
//	triggers                which are synchronous: TestTriggerFaults; ExecutionUnit.Restart: TestExecutionUnitRestart
//	the CPE refuses         TestOperationFailures, TestDeploymentUnitFaults, TestExecEnvRestartRefused
//	the CPE never returns   TestOperationExpires
//	odd TransferCompletes   TestS13_14_16_TransferComplete, TestS15_DownloadStatus

// operationRow is an asynchronous command.
type operationRow struct {
	name, command, rpc string
	args               func(url string) map[string]string
	prepare            func(w *world, id usp.EndpointID) // what has to be there; nil: nothing
	event              func(*usppb.Notify) bool          // told beside OperationComplete; nil: none
	kills              int                               // more writes than its end takes; 0: see above
	blind              bool                              // the CPE cannot be asked whether it has begun: a lost RPC ends by TestOperationExpires, or TestAsynchronousTrigger
}

func none(string) map[string]string { return nil }

func upload(url string) map[string]string {
	return map[string]string{"URL": url + "/up", "Username": "", "Password": ""}
}

func unit(string) map[string]string {
	return map[string]string{"URL": "http://files.example/unit", "UUID": unitUUID}
}

// installed has the CPE install a unit, and leaves no trace of that with the Controller.
func installed(w *world, id usp.EndpointID) {
	w.begin(id, installCommand, "before", unit(""))
	w.notified(1, completed("before"))
	w.idleOperations(id)
	w.over(id)
	w.want(id, unitRow+"UUID", unitUUID)
	w.over(id)
	w.peer.forget()
}

// forget drops what was notified.
func (p *peer) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.notes = nil
}

// hush has the Controller acknowledge nothing, or everything again.
func (p *peer) hush(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mute = on
}

const resetTrigger = "Device.SoftwareModules.ExecEnv.1.Reset"

var operationRows = []operationRow{
	{name: "Download", command: downloadCommand, rpc: "Download", args: firmware, event: transferComplete},
	{name: "Restore", command: restoreCommand, rpc: "Download", event: transferComplete,
		args: func(url string) map[string]string {
			return map[string]string{"URL": url + "/config", "Username": "", "Password": "", "TargetFileName": ""}
		}},
	{name: "Backup", command: backupCommand, rpc: "Upload", args: upload, event: transferComplete},
	{name: "Upload", command: logCommand, rpc: "Upload", args: upload, event: transferComplete, kills: 12},
	{name: "InstallDU", command: installCommand, rpc: "ChangeDUState", blind: true, args: unit, event: unitChange, kills: 12},
	{name: "Update", command: unitRow + "Update()", rpc: "ChangeDUState", blind: true, args: none, prepare: installed, event: unitChange},
	{name: "Uninstall", command: unitRow + "Uninstall()", rpc: "ChangeDUState", blind: true, args: none, prepare: installed, event: unitChange},
	{name: "trigger", command: resetTrigger + "()", rpc: "SetParameterValues", blind: true, args: none, kills: 8},
}

const rpcLost = "RPC lost"

// operationFaults are what happens to a command from when it has begun until its end is told.
var operationFaults = []struct {
	name   string
	faults func(r operationRow) cpe.Faults // of the session that it is sent in
	then   func(w *world, c *cpe.CPE)
	again  bool // the end may be told twice
}{
	{name: "none"},
	{name: "lost before the RPC", faults: func(operationRow) cpe.Faults { return cpe.Faults{CloseAfterPost: 1} }},
	{name: rpcLost, faults: func(r operationRow) cpe.Faults { return cpe.Faults{LoseOn: r.rpc} }},
	{name: "answer lost", faults: func(r operationRow) cpe.Faults { return cpe.Faults{CloseOn: r.rpc} }},
	{name: "CPE reboots before", then: func(w *world, c *cpe.CPE) { w.inform(c, cwmp.EventBoot) }},
	{name: "answer lost, CPE reboots", faults: func(r operationRow) cpe.Faults { return cpe.Faults{CloseOn: r.rpc} },
		then: func(w *world, c *cpe.CPE) { w.contact(c); w.inform(c, cwmp.EventBoot) }},
	{name: "Proxy restarts before", then: func(w *world, _ *cpe.CPE) { w.restart(func(*Options) {}) }},
	{name: "answer lost, Proxy restarts", faults: func(r operationRow) cpe.Faults { return cpe.Faults{CloseOn: r.rpc} },
		then: func(w *world, c *cpe.CPE) { w.contact(c); w.restart(func(*Options) {}) }},
	{name: "Controller away", again: true, then: func(w *world, _ *cpe.CPE) { w.peer.hush(true) }},
}

// bootFor begins a row's command at a CPE that is away.
func (r operationRow) bootFor(t *testing.T) (*world, *cpe.CPE, usp.EndpointID) {
	w := newWorld(t, nil)
	c, id := w.boot(func(cfg *cpe.Config) { cfg.Tree = cpe.Device2().WithWritable(resetTrigger, "boolean", "false") })
	durable := map[string]string{"Persistent": "true", "NotifRetry": "true"}
	w.watch(id)
	w.subscribe(id, "units", "Event", "Device.SoftwareModules.DUStateChange!", durable)
	if r.prepare != nil {
		r.prepare(w, id)
	}
	c.SetFaults(cpe.Faults{ConnReq: cpe.ConnReqDrop})
	return w, c, id
}

// Whatever happens between the Operate and its end: the CPE does it once, and the Controller is told of that, once unless it was away.
func TestOperationFaults(t *testing.T) {
	for _, r := range operationRows {
		for _, f := range operationFaults {
			if r.blind && f.name == rpcLost {
				continue
			}
			t.Run(r.name+"/"+f.name, func(t *testing.T) {
				t.Parallel()
				w, c, id := r.bootFor(t)
				url, _ := files(t)
				before := len(c.Calls(r.rpc))
				w.begin(id, r.command, "key", r.args(url))
				if f.faults != nil {
					faults := f.faults(r)
					faults.ConnReq = cpe.ConnReqDrop
					c.SetFaults(faults)
				}
				if f.then != nil {
					f.then(w, c)
				}
				w.drive(c, id, "key", 1)
				if f.again {
					w.over(id)
					w.stop()
					w.peer.hush(false)
					w.start()
					w.drive(c, id, "key", 2)
				}
				w.ended(t, c, id, r, before, f.again)
			})
		}
		for n := range r.kills {
			t.Run(fmt.Sprintf("%s/killed at write %d", r.name, n), func(t *testing.T) {
				t.Parallel()
				w, c, id := r.bootFor(t)
				url, _ := files(t)
				var dead *dying
				w.stop()
				w.wrap = func(s store.Store) store.Store { dead = newDying(s); return dead }
				w.start()
				w.begin(id, r.command, "key", r.args(url))
				dead.left.Store(int64(n))
				c.Inform(cwmp.EventPeriodic)
				w.until(dead.killed, func() bool { return w.peer.nth(1, completed("key")) != nil })
				w.stop()
				w.wrap = nil
				w.start()
				w.drive(c, id, "key", 1)
				w.ended(t, c, id, r, 0, true)
			})
		}
	}
}

// drive has the CPE come until the end of a command was told so often.
func (w *world) drive(c *cpe.CPE, id usp.EndpointID, key string, times int) {
	w.t.Helper()
	for ctx := w.in(deadline); w.peer.count(completed(key)) < times && ctx.Err() == nil; {
		w.contact(c)
		w.must(c.WaitIdle(w.in(deadline)))
		w.over(id)
	}
	w.notified(times, completed(key))
}

// ended says that a command has succeeded, that the CPE was asked for it once, and that nothing is left of it.
func (w *world) ended(t *testing.T, c *cpe.CPE, id usp.EndpointID, r operationRow, before int, again bool) {
	t.Helper()
	w.idleOperations(id)
	if done := w.notified(1, completed("key")).GetOperComplete(); done.GetReqOutputArgs() == nil {
		t.Errorf("OperationComplete %v", done)
	}
	if n := len(c.Calls(r.rpc)) - before; n != 1 {
		t.Errorf("%d times %s", n, r.rpc)
	}
	for what, ok := range map[string]func(*usppb.Notify) bool{"OperationComplete": completed("key"), "event": r.event} {
		if ok == nil {
			continue
		}
		if n := w.peer.count(ok); n != 1 && !(again && n > 1) {
			t.Errorf("%d times %s:%s", n, what, w.peer.log())
		}
	}
}

// until waits until something is closed, or the Controller was told something.
func (w *world) until(closed <-chan struct{}, told func() bool) {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.in(deadline))
	defer cancel()
	go func() {
		select {
		case <-closed:
			cancel()
		case <-ctx.Done():
		}
	}()
	_ = w.peer.wait(ctx, told)
}
