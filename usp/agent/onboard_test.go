package agent

import (
	"testing"
	"testing/synctest"
	"time"

	"isthmus/usp/usppb"
)

const onBoardRow = controllerTable + "1."

// onBoarded is the next Notify, an OnBoardRequest, answered after a while.
func (r *rig) onBoarded() {
	r.t.Helper()
	m := r.notify()
	if m.GetBody().GetRequest().GetNotify().GetOnBoardReq() == nil {
		r.t.Fatal(m)
	}
	time.Sleep(2 * time.Second)
	r.send(ctl1, respond(m))
	synctest.Wait()
}

func TestTP469_1_101_OnBoardingComplete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.ask(setOf(onBoardRow+"OnBoardingComplete", "true"))
		equal(t, r.operated(operateReq(onBoardRow+onBoardCommand, "", true))[0], "ok")
		r.onBoarded()
		equal(t, r.get(onBoardRow+"OnBoardingComplete"), onBoardRow+"OnBoardingComplete=false")
		r.stop()
	})
}

// The time counts from the NotifyResp, and goes on while the Agent is not in memory.
func TestTP469_1_102_OnBoardingRestartTime(t *testing.T) {
	for _, unload := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			r.ask(setOf(onBoardRow+"OnBoardingRestartTime", "60"))
			r.operated(operateReq(onBoardRow+onBoardCommand, "", true))
			for range 3 {
				r.onBoarded()
				at := time.Now()
				if unload {
					r.unload()
				}
				m := r.notify()
				equal(t, time.Since(at), time.Minute)
				r.send(ctl1, respond(m))
				synctest.Wait()
				r.operated(operateReq(onBoardRow+onBoardCommand, "", true))
			}
			r.onBoarded()
			r.ask(setOf(onBoardRow+"OnBoardingComplete", "true"))
			time.Sleep(time.Hour)
			r.silence()
			r.stop()
		})
	}
}

func TestTP469_1_103_NoOnBoardingRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		equal(t, r.get(onBoardRow+"OnBoardingRestartTime"), onBoardRow+"OnBoardingRestartTime=0")
		r.operated(operateReq(onBoardRow+onBoardCommand, "", true))
		r.onBoarded()
		time.Sleep(time.Hour)
		r.silence()
		r.stop()
	})
}

func TestTP469_1_104_WriteOnce(t *testing.T) {
	r := newRig(t)
	for _, table := range []string{controllerTable + "1.BootParameter.", rowTable} { // the Agent's own, the CPE's
		row := r.added(obj{table, []param{req("Alias", "mine")}})
		wantError(t, r.ask(setOf(row+"Alias", "other")), 7004, row+"Alias 7013")
		equal(t, r.get(row+"Alias"), row+"Alias=mine")
	}
}

// The flags of the request do not count: only what is named is described (TP-469 1.105 to 1.107).
func TestTP469_1_105_SupportedElements(t *testing.T) {
	r := newRig(t)
	for _, c := range []struct{ path, object, what string }{
		{timer, "Device.", "command"}, {"Device.Reboot()", "Device.", "command"}, {requestTable + "{i}.Cancel()", requestTable + "{i}.", "command"}, // 1.105
		{"Device.Boot!", "Device.", "event"}, {ownRoot + periodicEvent, ownRoot, "event"}, // 1.106
		{"Device.DeviceInfo.SerialNumber", "Device.DeviceInfo.", "param"}, {onBoardRow + "Enable", controllerTable + "{i}.", "param"}, // 1.107
	} {
		for _, on := range []bool{false, true} {
			res := r.ask(&usppb.Request{ReqType: &usppb.Request_GetSupportedDm{GetSupportedDm: &usppb.GetSupportedDM{ObjPaths: []string{c.path},
				FirstLevelOnly: on, ReturnCommands: on, ReturnEvents: on, ReturnParams: on}}}).GetResponse().GetGetSupportedDmResp().GetReqObjResults()
			if len(res) != 1 || len(res[0].GetSupportedObjs()) != 1 {
				t.Fatal(c.path, res)
			}
			o := res[0].GetSupportedObjs()[0]
			got := map[string]int{"command": len(o.GetSupportedCommands()), "event": len(o.GetSupportedEvents()), "param": len(o.GetSupportedParams())}
			if o.GetSupportedObjPath() != c.object || got[c.what] != 1 || got["command"]+got["event"]+got["param"] != 1 {
				t.Error(c.path, o)
			}
		}
	}
}

// Periodic! comes while the Agent is not in memory, too.
func TestPeriodicAfterUnload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.ask(setOf(onBoardRow+"PeriodicNotifInterval", "60"))
		r.added(subscription(event, "Device.LocalAgent.Periodic!"))
		r.notify()
		for range 3 {
			at := time.Now()
			r.unload()
			r.notify()
			equal(t, time.Since(at), time.Minute)
		}
		r.stop()
	})
}
