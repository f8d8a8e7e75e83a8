package conformance_test

import (
	"slices"
	"strings"
	"testing"

	"isthmus/cwmp"
	"isthmus/usp/usppb"
)

// watched runs a case on a parameter of the Agent's own and on one of the CPE's.
func watched(t *testing.T, run func(e *eut, path string)) {
	t.Run("LocalAgent", func(t *testing.T) {
		e := shared(t)
		run(e, e.own()+"ProvisioningCode")
	})
	t.Run("CPE", func(t *testing.T) { run(shared(t), "Device.DeviceInfo.ProvisioningCode") })
}

// valueChanged waits for the next Notify of a Subscription, which must tell this.
func (e *eut) valueChanged(id, path, value string) {
	e.Helper()
	if v := e.notified(id).GetValueChange(); v.GetParamPath() != path || v.GetParamValue() != value {
		e.Errorf("%s: %v, want %s %q", id, v, path, value)
	}
}

// TestTP469_1_52_ValueChange: the Controller itself makes the change.
func TestTP469_1_52_ValueChange(t *testing.T) {
	watched(t, func(e *eut, path string) {
		id := unique("notify52")
		e.subscribe(id, "ValueChange", path, req("NotifRetry", "true"))
		e.change(path, "Value52"+id)
		e.valueChanged(id, path, "Value52"+id)
	})
	t.Run("at the CPE", func(t *testing.T) {
		e := shared(t)
		id, ssid := unique("notify52"), "Device.WiFi.SSID.1.SSID"
		before := len(e.w.cpe.Calls("SetParameterAttributes"))
		e.subscribe(id, "ValueChange", ssid)
		e.watching(ssid, before)
		e.must(e.w.cpe.SetValue(ssid, "LAN"+id))
		e.valueChanged(id, ssid, "LAN"+id)
	})
}

// watching waits until the CPE has been told, after a number of other calls, to report a parameter, which it is within
// MaxSubscriptionChangeAdoptionTime.
func (e *eut) watching(path string, after int) {
	e.Helper()
	for n := after + 1; ; n++ {
		call, err := e.w.cpe.WaitCall(e.deadline(), "SetParameterAttributes", n)
		e.must(err)
		for _, p := range call.Request.(*cwmp.SetParameterAttributes).ParameterList {
			if p.Name == path && p.Notification == cwmp.NotificationActive {
				return
			}
		}
	}
}

// TestTP469_1_53_NoNotifyAfterDeletion: a second Subscription tells when the change has been told.
func TestTP469_1_53_NoNotifyAfterDeletion(t *testing.T) {
	watched(t, func(e *eut, path string) {
		id := unique("notify53")
		sub := e.subscribe(id, "ValueChange", path, req("NotifRetry", "true"))
		e.change(path, "a"+id)
		e.valueChanged(id, path, "a"+id)
		e.subscribe(id+"-other", "ValueChange", path)
		_, err := e.delete(false, sub)
		e.must(err)
		for _, v := range []string{"b", "c"} {
			e.change(path, v+id)
			e.valueChanged(id+"-other", path, v+id)
		}
		if n := e.count(id); n != 1 {
			e.Errorf("%d notifications of a Subscription that is deleted", n-1)
		}
	})
}

// TestTP469_1_55_TimeToLive: the deletion of the Subscription is told; what changes then is not, and another one tells when that is settled.
func TestTP469_1_55_TimeToLive(t *testing.T) {
	watched(t, func(e *eut, path string) {
		id := unique("notify55")
		e.subscribe(id+"-gone", "ObjectDeletion", subscriptionTable)
		sub := e.subscribe(id, "ValueChange", path, req("TimeToLive", "2"))
		e.change(path, "a"+id)
		e.valueChanged(id, path, "a"+id)
		e.wantValue(sub+"TimeToLive", "2")
		if got := e.notified(id + "-gone").GetObjDeletion().GetObjPath(); got != sub {
			e.Errorf("%s is gone, want %s", got, sub)
		}
		e.wantAbsent(sub)
		e.subscribe(id+"-other", "ValueChange", path)
		e.change(path, "b"+id)
		e.valueChanged(id+"-other", path, "b"+id)
		if n := e.count(id); n != 1 {
			e.Errorf("%d notifications of a Subscription that has ended", n-1)
		}
	})
}

func TestTP469_1_57_ObjectCreation(t *testing.T) {
	both(t, func(e *eut, s side) {
		id := unique("notify57")
		e.subscribe(id, "ObjectCreation", s.table, req("NotifRetry", "true"))
		path, keys := e.added(s.table, s.row(57)...)
		c := e.notified(id).GetObjCreation()
		if c.GetObjPath() != path || len(c.GetUniqueKeys()) != len(s.keys) {
			e.Errorf("%v", c)
		}
		for name, v := range keys {
			if c.GetUniqueKeys()[name] != v {
				e.Errorf("key %s is %q, want %q", name, c.GetUniqueKeys()[name], v)
			}
		}
	})
}

func TestTP469_1_58_ObjectDeletion(t *testing.T) {
	both(t, func(e *eut, s side) {
		id := unique("notify58")
		path, _ := e.added(s.table, s.row(58)...)
		e.subscribe(id, "ObjectDeletion", s.table, req("NotifRetry", "true"))
		_, err := e.delete(false, path)
		e.must(err)
		if got := e.notified(id).GetObjDeletion().GetObjPath(); got != path {
			e.Errorf("%s, want %s", got, path)
		}
	})
}

// TestTP469_1_78_ControllerDeletion: the Subscriptions of a Controller go with it.
func TestTP469_1_78_ControllerDeletion(t *testing.T) {
	e := shared(t)
	row, _ := e.added(controllerTable, req("EndpointID", "proto::second"), req("Enable", "true"),
		req("AssignedRole", `Device.LocalAgent.ControllerTrust.Role.[Name=="full_access"]`))
	second := e.dialIn("proto::second")
	mine := e.subscribe("notify78", "ValueChange", eutID)
	r, err := second.Add(e.deadline(), addMsg(false, obj{subscriptionTable, localAgent.row(78)}))
	e.must(err)
	path, _ := e.created(r.GetCreatedObjResults()[0])
	e.wantValue(path+"Recipient", strings.TrimSuffix(row, "."))
	_, err = e.delete(false, row)
	e.must(err)
	if rows := e.rows(subscriptionTable); slices.Contains(rows, path) || !slices.Contains(rows, mine) {
		e.Errorf("rows are %v; %s should be gone", rows, path)
	}
}

func TestTP469_1_84_SearchPath(t *testing.T) {
	bothNested(t, func(e *eut, n nested) {
		id := unique("notify84")
		row, _ := e.added(n.table(), n.row(0, "true")...)
		e.subscribe(id, "ValueChange", n.table()+"*.Enable")
		e.change(row+"Enable", "false")
		e.valueChanged(id, row+"Enable", "false")
	})
}

// onBoarding waits for the next OnBoardRequest.
func (e *eut) onBoarding() *usppb.Notify {
	e.Helper()
	n, err := e.a.WaitNotify(e.deadline(), func(n *usppb.Notify) bool { return n.GetOnBoardReq() != nil })
	e.must(err)
	return n
}

func TestTP469_1_60_OnBoardRequest(t *testing.T) {
	e := fresh(t, options{})
	e.onBoarding() // the Agent's first contact
	e.start(e.own()+"SendOnBoardRequest()", "test60")
	n := e.onBoarding()
	o := n.GetOnBoardReq()
	if n.GetSubscriptionId() != "" || !n.GetSendResp() || o.GetOui() != "00D09E" || o.GetProductClass() != "Gateway" || o.GetSerialNumber() != "S1" ||
		!strings.Contains(o.GetAgentSupportedProtocolVersions(), "1.") {
		e.Errorf("%v", n)
	}
}

func TestTP469_1_101_OnBoardingComplete(t *testing.T) {
	e := fresh(t, options{})
	e.onBoarding()
	e.change(e.own()+"OnBoardingComplete", "true")
	e.start(e.own()+"SendOnBoardRequest()", "test101")
	e.onBoarding()
	e.wantValue(e.own()+"OnBoardingComplete", "false")
	e.change(e.own()+"OnBoardingComplete", "true")
	e.wantValue(e.own()+"OnBoardingComplete", "true")
}
