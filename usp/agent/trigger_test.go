package agent

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"isthmus/usp"
)

const provisioning = "Device.DeviceInfo.ProvisioningCode"

// The subscription disables itself, and nothing is sent.
func TestTP469_1_93_TriggerConfig(t *testing.T) {
	for _, own := range []string{subscriptionTable + "1.Enable", `Device.LocalAgent.Subscription.[ID=="s"].Enable`} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			sub := r.added(subscription(valueChange, "Device.LocalAgent.Controller.1.ProvisioningCode", req("ID", "s"), req("TriggerAction", triggerConfig),
				req("TriggerConfigSettings", own+"=false")))
			equal(t, r.get(sub+"TriggerAction"), sub+"TriggerAction=Config")
			r.ask(setOf("Device.LocalAgent.Controller.1.ProvisioningCode", "new"))
			equal(t, r.get(sub+"Enable"), sub+"Enable=false")
			r.silence()
			r.unload()
			r.stop()
		})
	}
}

func TestTP469_1_94_TriggerNotifyAndConfig(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		row := r.added(obj{rowTable, nil})
		sub := r.added(subscription(valueChange, provisioning, req("TriggerAction", triggerBoth),
			req("TriggerConfigSettings", subscriptionTable+"1.Enable=false, Device.Nope.X=1, "+row+"Ref=a%2Cb=c")))
		r.ask(setOf(provisioning, "new"))
		equal(t, r.notify().GetBody().GetRequest().GetNotify().GetValueChange().GetParamValue(), "new")
		time.Sleep(time.Second)
		equal(t, r.get(sub+"Enable"), sub+"Enable=false")
		equal(t, r.get(row+"Ref"), row+"Ref=a,b=c") // each setting for itself, whatever another one comes to
		r.ask(setOf(provisioning, "newer"))
		time.Sleep(time.Hour)
		r.silence()
		r.stop()
	})
}

// Settings that the CPE is not there for are made later, over a restart of the process too, and once.
func TestTriggerWaitsForTheCPE(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.added(subscription(event, "Device.Boot!", req("TriggerAction", triggerConfig), req("TriggerConfigSettings", provisioning+"=booted")))
		r.tree.noSet = usp.Errorf(usp.Unreachable, "no session")
		if err := r.a.Boot(t.Context(), BootInfo{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		equal(t, r.a.Unload(), false)
		if n := r.tree.sets; n < 3 || n > 6 {
			t.Fatal(n, "attempts in a minute")
		}
		r.stop()
		r.start()
		if _, err := r.a.Resume(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.connect()
		synctest.Wait()
		r.tree.mu.Lock()
		r.tree.noSet, r.tree.sets = nil, 0
		r.tree.mu.Unlock()
		time.Sleep(time.Hour)
		equal(t, r.get(provisioning), provisioning+"=booted")
		equal(t, r.tree.sets, 1)
		r.silence()
		r.stop()
	})
}

// Two subscriptions that set each other off do so once a second.
func TestTriggersInACircle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		for _, v := range []string{"a", "b"} {
			r.added(subscription(valueChange, provisioning, req("TriggerAction", triggerConfig), req("TriggerConfigSettings", provisioning+"="+v)))
		}
		r.ask(setOf(provisioning, "x"))
		time.Sleep(10*time.Second - time.Millisecond)
		r.tree.mu.Lock()
		if r.tree.sets < 3 || r.tree.sets > 1+2*10 {
			t.Error(r.tree.sets, "sets in ten seconds")
		}
		r.tree.mu.Unlock()
		r.stop()
	})
}

func TestTriggerSettingsAreChecked(t *testing.T) {
	r := newRig(t)
	sub := r.added(subscription(event, "Device.Boot!"))
	equal(t, r.get(sub+"TriggerAction"), sub+"TriggerAction=Notify")
	for _, bad := range []string{"Device.X.Y", "=1", "Device.X.=1", "X.Y=1", "Device.X.[A==1", "Device.X.Y()=1", strings.Repeat("Device.X.Y=1,", maxTriggerSettings+1)} {
		wantError(t, r.ask(setOf(sub+"TriggerConfigSettings", bad)), 7004, sub+"TriggerConfigSettings 7012")
	}
	wantError(t, r.ask(setOf(sub+"TriggerAction", "Nothing")), 7004, sub+"TriggerAction 7012")
	r.ask(setOf(sub+"TriggerConfigSettings", strings.Repeat("Device.X.Y=1,", maxTriggerSettings)))
	equal(t, strings.Count(r.get(sub+"TriggerConfigSettings"), "Device.X.Y=1"), maxTriggerSettings)
}
