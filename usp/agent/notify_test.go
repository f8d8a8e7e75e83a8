package agent

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"isthmus/usp"
	"isthmus/usp/usppb"
)

func subscription(kind, refs string, more ...param) obj {
	return obj{subscriptionTable, append([]param{req("NotifType", kind), req("ReferenceList", refs), req("Enable", "true"), req("Persistent", "true")}, more...)}
}

func setOf(path, value string) *usppb.Request {
	dot := strings.LastIndexByte(path, '.') + 1
	return setReq(false, obj{path[:dot], []param{req(path[dot:], value)}})
}

func respond(m *usppb.Msg) *usppb.Msg {
	return usp.NewResponse(m.GetHeader().GetMsgId(), &usppb.Response{RespType: &usppb.Response_NotifyResp{NotifyResp: &usppb.NotifyResp{}}})
}

func TestTP469_1_52_ValueChange(t *testing.T) {
	for _, path := range []string{"Device.LocalAgent.Controller.1.ProvisioningCode", "Device.DeviceInfo.ProvisioningCode"} {
		for _, ref := range []string{path, path[:strings.LastIndexByte(path, '.')+1], "Device.", strings.Replace(path, ".1.", ".*.", 1)} {
			r := newRig(t)
			r.added(subscription(valueChange, ref, req("ID", "s")))
			r.ask(setOf(path, "new")) // the response comes first
			n := r.notify().GetBody().GetRequest().GetNotify()
			if n.GetSubscriptionId() != "s" || n.GetSendResp() || n.GetValueChange().GetParamPath() != path || n.GetValueChange().GetParamValue() != "new" {
				t.Fatal(n)
			}
			r.stop()
			equal(t, r.keep.count(NotificationRecord), 0)
		}
	}
}

func TestTP469_1_53_NoNotifyAfterDeletion(t *testing.T) {
	r := newRig(t)
	path := "Device.LocalAgent.Controller.1.ProvisioningCode"
	sub := r.added(subscription(valueChange, path))
	r.ask(delReq(false, sub))
	r.ask(setOf(path, "new"))
	r.get(path)
	r.silence()
}

func TestTP469_1_57_ObjectCreationAndDeletion(t *testing.T) {
	r := newRig(t)
	r.added(subscription(objectCreation, "Device.LocalAgent.Controller.*.BootParameter.", req("ID", "c")))
	r.added(subscription(objectDeletion, "Device.LocalAgent.Controller.1.BootParameter.*.", req("ID", "d")))
	row := r.added(obj{"Device.LocalAgent.Controller.1.BootParameter.", []param{req("ParameterName", "Device.X.")}})
	n := r.notify().GetBody().GetRequest().GetNotify().GetObjCreation()
	if n.GetObjPath() != row || n.GetUniqueKeys()["ParameterName"] != "Device.X." {
		t.Fatal(n)
	}
	r.ask(delReq(false, row))
	equal(t, r.notify().GetBody().GetRequest().GetNotify().GetObjDeletion().GetObjPath(), row)
}

func TestTP469_1_84_WildcardAndSearch(t *testing.T) {
	r := newRig(t)
	row := r.added(obj{"Device.LocalAgent.Controller.1.BootParameter.", []param{req("ParameterName", "Device.X.")}})
	r.added(subscription(valueChange, `Device.LocalAgent.Controller.[EndpointID=="self::ctl-1"].BootParameter.*.Enable`))
	r.ask(setOf(row+"Enable", "true"))
	equal(t, r.notify().GetBody().GetRequest().GetNotify().GetValueChange().GetParamPath(), row+"Enable")
}

func TestTP469_1_54_Retry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.added(subscription(event, "Device.Boot!", req("NotifRetry", "true")))
		if err := r.a.Boot(t.Context(), BootInfo{Cause: "LocalReboot"}); err != nil {
			t.Fatal(err)
		}
		first := r.notify()
		equal(t, first.GetBody().GetRequest().GetNotify().GetSendResp(), true)
		at := time.Now()
		for _, window := range []time.Duration{5 * time.Second, 10 * time.Second, 20 * time.Second} {
			again := r.notify()
			if wait := time.Since(at); wait < window || wait > 2*window || !proto.Equal(again, first) {
				t.Fatalf("retry after %s: %v", wait, again)
			}
			at = time.Now()
		}
		equal(t, r.keep.count(NotificationRecord), 1)
		synctest.Wait() // for the attempt to be written down
		// A restart of the process goes on: same content, then the fifth attempt's window.
		r.stop()
		r.start()
		r.connect()
		if again := r.notify(); !proto.Equal(again, first) {
			t.Fatal(again)
		}
		at = time.Now()
		r.notify()
		if wait := time.Since(at); wait < 80*time.Second || wait > 160*time.Second {
			t.Fatalf("retry after %s", wait)
		}
		r.send(ctl1, respond(first))
		time.Sleep(time.Hour)
		r.silence()
		equal(t, r.keep.count(NotificationRecord), 0)
		r.stop()
	})
}

func TestTP469_1_56_Expiration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.added(subscription(event, "Device.Boot!", req("NotifRetry", "true"), req("NotifExpiration", "3")))
		if err := r.a.Boot(t.Context(), BootInfo{}); err != nil {
			t.Fatal(err)
		}
		r.notify()
		time.Sleep(time.Hour)
		r.silence()
		equal(t, r.keep.count(NotificationRecord), 0)
		r.stop()
	})
}

func TestTP469_1_55_TimeToLive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		sub := r.added(subscription(event, "Device.Boot!", req("TimeToLive", "20")))
		r.stop()
		r.start()
		if _, err := r.a.Resume(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.unload()
		r.connect()
		time.Sleep(18 * time.Second)
		equal(t, r.get(sub+"TimeToLive"), sub+"TimeToLive=20")
		time.Sleep(3 * time.Second)
		equal(t, r.get(sub+"TimeToLive"), "7026")
		r.stop()
	})
}

func TestTP469_1_59_Periodic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.ask(setOf("Device.LocalAgent.Controller.1.PeriodicNotifInterval", "60"))
		r.added(subscription(event, "Device.LocalAgent.Periodic!"))
		r.notify()
		for range 3 {
			at := time.Now()
			n := r.notify().GetBody().GetRequest().GetNotify().GetEvent()
			if wait := time.Since(at); wait != time.Minute || n.GetEventName() != "Periodic!" || n.GetObjPath() != "Device.LocalAgent." {
				t.Fatalf("%s: %v", wait, n)
			}
		}
		phase := time.Now().Add(90 * time.Second).Truncate(time.Second)
		r.ask(setOf("Device.LocalAgent.Controller.1.PeriodicNotifTime", phase.UTC().Format(time.RFC3339)))
		r.notify()
		equal(t, time.Now().Unix()%60, phase.Unix()%60)
		r.stop()
	})
}

func TestTP469_1_60_OnBoard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		for range 2 { // the second finds the first unanswered
			if err := r.a.OnBoard(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		equal(t, r.keep.count(NotificationRecord), 2) // one a Controller
		m := r.notify()
		n := m.GetBody().GetRequest().GetNotify()
		o := n.GetOnBoardReq()
		if n.GetSubscriptionId() != "" || !n.GetSendResp() || o.GetOui() != "0A0B0C" || o.GetProductClass() != "P" || o.GetSerialNumber() != "SN1" ||
			o.GetAgentSupportedProtocolVersions() != usp.SupportedVersions {
			t.Fatal(n)
		}
		r.send(ctl1, respond(m))
		synctest.Wait()
		// 1.102: again a minute after the answer, as long as it is not complete; 1.101: the command starts over.
		r.ask(setReq(false, obj{"Device.LocalAgent.Controller.1.", []param{req("OnBoardingRestartTime", "60"), req("OnBoardingComplete", "true")}}))
		time.Sleep(time.Hour)
		r.silence()
		r.send(ctl1, usp.NewRequest("op", &usppb.Request{ReqType: &usppb.Request_Operate{Operate: &usppb.Operate{
			Command: "Device.LocalAgent.Controller.1.SendOnBoardRequest()", SendResp: true}}}))
		if decode(t, r.next()).GetBody().GetResponse().GetOperateResp() == nil {
			t.Fatal("the Notify overtook the OperateResp")
		}
		m = r.notify()
		time.Sleep(2 * time.Second)
		r.send(ctl1, respond(m))
		at := time.Now()
		r.notify()
		equal(t, time.Since(at).Round(time.Second), time.Minute)
		equal(t, r.get("Device.LocalAgent.Controller.1.OnBoardingComplete"), "Device.LocalAgent.Controller.1.OnBoardingComplete=false")
		r.stop()
	})
}

// With OnBoardingRestartTime 0 there is no second request.
func TestTP469_1_103_NoRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.ask(setOf("Device.LocalAgent.Controller.1.OnBoardingRestartTime", "0"))
		r.send(ctl1, usp.NewRequest("op", &usppb.Request{ReqType: &usppb.Request_Operate{Operate: &usppb.Operate{
			Command: "Device.LocalAgent.Controller.1.SendOnBoardRequest()"}}}))
		m := r.notify()
		if m.GetBody().GetRequest().GetNotify().GetOnBoardReq() == nil {
			t.Fatal(m)
		}
		r.send(ctl1, respond(m))
		time.Sleep(time.Hour)
		r.silence()
		equal(t, r.get("Device.LocalAgent.Controller.1.OnBoardingComplete"), "Device.LocalAgent.Controller.1.OnBoardingComplete=false")
		r.stop()
	})
}

func TestBoot(t *testing.T) {
	r := newRig(t)
	r.added(obj{"Device.LocalAgent.Controller.1.BootParameter.", []param{req("ParameterName", "Device.DeviceInfo.SerialNumber"), req("Enable", "true")}})
	r.added(obj{"Device.LocalAgent.Controller.1.BootParameter.", []param{req("ParameterName", "Device.DeviceInfo.Nope"), req("Enable", "true")}})
	r.added(obj{"Device.LocalAgent.Controller.1.BootParameter.", []param{req("ParameterName", "Device.DeviceInfo.ModelName")}})
	gone := r.added(subscription(event, "Device.Boot!"))
	r.ask(setOf(gone+"Persistent", "false"))
	kept := r.added(subscription(event, "Device."))
	if err := r.a.Boot(t.Context(), BootInfo{Cause: "RemoteReboot", CommandKey: "k", Reason: "why", FirmwareUpdated: true}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		p := r.notify().GetBody().GetRequest().GetNotify().GetEvent().GetParams()
		if p["Cause"] != "RemoteReboot" || p["CommandKey"] != "k" || p["FirmwareUpdated"] != "true" || p["Reason"] != "why" ||
			p["ParameterMap"] != `{"Device.DeviceInfo.SerialNumber":"SN1"}` {
			t.Fatal(p)
		}
	}
	equal(t, r.get(gone+"ID"), "7026")
	equal(t, r.get(kept+"ID"), kept+"ID=cpe-2")
}

// What was acknowledged survives a restart; an untouched Agent keeps nothing; instance numbers are not used twice.
func TestPersistence(t *testing.T) {
	r := newRig(t)
	r.get("Device.LocalAgent.")
	equal(t, len(r.keep.records), 0)
	r.ask(setOf("Device.LocalAgent.Controller.2.ProvisioningCode", "p"))
	equal(t, len(r.keep.records), 2) // both Controllers keep their numbers
	one := r.added(subscription(valueChange, "Device.DeviceInfo."))
	r.ask(delReq(false, one))
	before := r.get("Device.LocalAgent.Controller.") + r.get("Device.LocalAgent.MTP.")
	r.stop()
	r.start()
	r.connect()
	equal(t, r.get("Device.LocalAgent.Controller.")+r.get("Device.LocalAgent.MTP."), before)
	if two := r.added(subscription(valueChange, "Device.DeviceInfo.")); two == one {
		t.Fatal(two)
	}
	r.ask(delReq(false, controllerTable+"2."))
	r.unload()
	equal(t, r.get(controllerTable+"2.Alias")+r.get(controllerTable+"3.Alias"), "70267026") // a Controller of the configuration that was deleted …
	r.stop()
	r.start()
	r.connect()
	equal(t, r.get(controllerTable+"2.Alias"), "7026")
	equal(t, r.get(controllerTable+"3.EndpointID"), controllerTable+"3.EndpointID=self::ctl-2") // … is back at the next start, with a number of its own
	r.unload()
	if in, err := r.a.Interest(t.Context()); err != nil || len(in.ValueChange) != 1 {
		t.Fatal(in, err)
	}
	if err := r.a.Reset(t.Context()); err != nil {
		t.Fatal(err)
	}
	equal(t, len(r.keep.records), 0)
	equal(t, r.get(controllerTable+"2.EndpointID"), controllerTable+"2.EndpointID=self::ctl-2")
	equal(t, len(r.wants[len(r.wants)-1].ValueChange), 0)
}

// TestResetKeepsItsPromises: a Boot! that is not delivered yet outlives the FactoryReset that it tells of, also over a restart of the process; what is for a
// Controller that goes with the reset does not.
func TestResetKeepsItsPromises(t *testing.T) {
	r := newRig(t)
	r.added(subscription(event, "Device.Boot!"))
	r.added(obj{controllerTable, []param{req("EndpointID", "self::guest"), req("Enable", "true")}})
	r.a.Down(r.w, nil)
	if err := errors.Join(r.a.OnBoard(t.Context()), r.a.Boot(t.Context(), BootInfo{Cause: "RemoteFactoryReset"}), r.a.Reset(t.Context())); err != nil {
		t.Fatal(err)
	}
	r.stop()
	r.start()
	r.connect()
	equal(t, r.notify().GetBody().GetRequest().GetNotify().GetOnBoardReq() != nil, true)
	equal(t, r.notify().GetBody().GetRequest().GetNotify().GetEvent().GetParams()["Cause"], "RemoteFactoryReset")
	r.a.mu.Lock()
	defer r.a.mu.Unlock()
	equal(t, r.a.st.queues["self::guest"] == nil, true)
}

// A notification that was promised waits for its Controller; nothing is told that is not on disk.
func TestOffline(t *testing.T) {
	r := newRig(t)
	r.added(subscription(valueChange, "Device.DeviceInfo."))
	r.a.Down(r.w, nil)
	for _, v := range []string{"1", "2", "3"} {
		if err := r.a.Raise(t.Context(), &ValueChange{Path: "Device.DeviceInfo.ModelName", Value: v}); err != nil {
			t.Fatal(err)
		}
	}
	equal(t, r.a.Unload(), false)
	r.stop()
	r.start()
	r.connect()
	for _, v := range []string{"1", "2", "3"} {
		equal(t, r.notify().GetBody().GetRequest().GetNotify().GetValueChange().GetParamValue(), v)
	}
	r.keep.failWith(errDisk)
	if err := r.a.Raise(t.Context(), &ValueChange{Path: "Device.DeviceInfo.ModelName", Value: "4"}); err == nil {
		t.Fatal("raised without being kept")
	}
	wantError(t, r.ask(addReq(false, obj{subscriptionTable, nil})), 7003, subscriptionTable+" 7003")
	r.keep.failWith(nil)
	r.silence()
}

func TestQueueIsBounded(t *testing.T) {
	r := newRig(t)
	r.added(subscription(valueChange, "Device.DeviceInfo."))
	r.a.Down(r.w, nil)
	hs := make([]Happening, 0, maxPending+10)
	for i := range maxPending + 10 {
		hs = append(hs, &ValueChange{Path: "Device.DeviceInfo.ModelName", Value: itoa(i)})
	}
	if err := r.a.Raise(context.Background(), hs...); err != nil {
		t.Fatal(err)
	}
	equal(t, r.keep.count(NotificationRecord), maxPending)
	r.connect()
	equal(t, r.notify().GetBody().GetRequest().GetNotify().GetValueChange().GetParamValue(), "10")
}

// A Controller that the configuration does not name any more is refused, and its row goes after 30 days with its Subscriptions.
func TestControllerLeavesConfiguration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		sub := r.added(subscription(event, "Device.Boot!"))
		r.stop()
		r.controllers = []ControllerConfig{{EndpointID: ctl2, OnlyDialsIn: true}}
		r.start()
		if _, err := r.a.Resume(t.Context()); err != nil {
			t.Fatal(err)
		}
		ask := func(path string) string {
			m := r.a.Do(t.Context(), "self::isthmus", mustRequest(r, getReq(path)))
			return flat(m.GetBody().GetResponse().GetGetResp().GetReqPathResults()[0])
		}
		equal(t, ask("Device.LocalAgent.Controller.1.Enable"), "Device.LocalAgent.Controller.1.Enable=false")
		equal(t, ask("Device.LocalAgent.Controller.2.Enable"), "Device.LocalAgent.Controller.2.Enable=true")
		time.Sleep(29 * 24 * time.Hour)
		equal(t, ask(sub+"ID"), sub+"ID=cpe-1")
		time.Sleep(2 * 24 * time.Hour)
		equal(t, ask(sub+"ID"), "7026")
		equal(t, ask("Device.LocalAgent.Controller.*.EndpointID"), "Device.LocalAgent.Controller.2.EndpointID=self::ctl-2")
		r.stop()
	})
}
