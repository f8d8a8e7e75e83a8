package translate

import (
	"testing"

	"isthmus/usp/usppb"
)

// A timer of the Agent survives the end of the process and a boot of the CPE.
func TestTP469_1_79_TimerOverARestart(t *testing.T) {
	w := newWorld(t, nil)
	c, id := w.boot(nil)
	w.subscribe(id, "timer", "OperationComplete", "Device.ScheduleTimer()", map[string]string{"Persistent": "true"})
	resp, err := w.do(id, &usppb.Request{ReqType: &usppb.Request_Operate{Operate: &usppb.Operate{Command: "Device.ScheduleTimer()", CommandKey: "k",
		SendResp: true, InputArgs: map[string]string{"DelaySeconds": "2"}}}})
	w.must(err)
	if r := resp.GetOperateResp().GetOperationResults(); len(r) != 1 || r[0].GetReqObjPath() != "Device.LocalAgent.Request.1" {
		t.Fatal(resp)
	}
	n := c.Sessions()
	c.Inform("1 BOOT")
	w.must(c.WaitSessions(w.in(deadline), n+1))
	w.stop()
	w.start()
	w.want(id, "Device.LocalAgent.Request.1.CommandKey", "k")
	done := w.notified(1, func(n *usppb.Notify) bool { return n.GetOperComplete() != nil }).GetOperComplete()
	if done.GetCommandKey() != "k" || done.GetObjPath() != "Device." || done.GetReqOutputArgs() == nil {
		t.Fatal(done)
	}
	if got, err := w.get(id, "Device.LocalAgent.Request."); err != nil || len(got) != 0 {
		t.Error(got, err)
	}
}

// What happens to the CPE can have a parameter of the CPE set.
func TestTP469_1_94_TriggerConfigAtTheCPE(t *testing.T) {
	w := newWorld(t, nil)
	c, id := w.boot(nil)
	const path = "Device.DeviceInfo.ProvisioningCode"
	w.subscribe(id, "t", "ValueChange", ssid, map[string]string{"TriggerAction": "NotifyAndConfig",
		"TriggerConfigSettings": path + "=triggered, Device.LocalAgent.Subscription.1.Enable=false"})
	w.subscribe(id, "off", "ValueChange", "Device.LocalAgent.Subscription.1.Enable", nil)
	if _, err := w.set(id, "Device.WiFi.SSID.1.", map[string]string{"SSID": "by USP"}); err != nil {
		t.Fatal(err)
	}
	w.notified(1, changeOf(ssid))
	if _, err := c.WaitCall(w.in(deadline), "SetParameterValues", 2); err != nil {
		t.Fatal(err)
	}
	w.must(c.WaitIdle(w.in(deadline)))
	w.notified(1, changeOf("Device.LocalAgent.Subscription.1.Enable"))
	if v := c.Value(path); v != "triggered" {
		t.Errorf("%s is %q", path, v)
	}
}
