package cpe

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"isthmus/cwmp"
)

const (
	info   = "Device.DeviceInfo."
	server = "Device.ManagementServer."
)

func TestBoot(t *testing.T) {
	a := newACS(t)
	c := run(t, Config{ACS: a.URL, DeviceID: cwmp.DeviceID{Manufacturer: "M", OUI: "ABCDEF", ProductClass: "P", SerialNumber: "S"}})
	idle(t, c)
	m := a.inform(0)
	if got, want := codes(m), "0 BOOTSTRAP,1 BOOT"; got != want {
		t.Errorf("events %q, want %q", got, want)
	}
	if m.DeviceId.SerialNumber != "S" || c.Value(info+"SerialNumber") != "S" {
		t.Errorf("identity %+v, tree %q", m.DeviceId, c.Value(info+"SerialNumber"))
	}
	for _, name := range forcedDevice {
		if valueIn(m.ParameterList, "Device."+name) == "(absent)" {
			t.Errorf("Inform lacks forced %s", name)
		}
	}
	if got := valueIn(m.ParameterList, server+"ConnectionRequestURL"); got != c.ConnectionRequestURL() || got == "" {
		t.Errorf("ConnectionRequestURL %q", got)
	}
	if c.Sessions() != 1 {
		t.Errorf("%d sessions, want 1", c.Sessions())
	}
}

func TestSecondRunBootsOnly(t *testing.T) {
	a := newACS(t)
	c := New(Config{ACS: a.URL})
	for i := range 2 {
		ctx, cancel := context.WithCancel(timeout(t))
		done := make(chan error)
		go func() { done <- c.Run(ctx) }()
		if err := c.WaitSessions(ctx, i+1); err != nil {
			t.Fatal(err)
		}
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	if got := codes(a.inform(1)); got != "1 BOOT" {
		t.Errorf("second power-on informs %q", got)
	}
}

func TestVersions(t *testing.T) {
	for version, ns := range map[string]string{"1.0": cwmp.NamespaceV1_0, "1.1": cwmp.NamespaceV1_1, "1.3": cwmp.NamespaceV1_2, "1.4": cwmp.NamespaceV1_2} {
		a := newACS(t)
		idle(t, run(t, Config{ACS: a.URL, Version: version}))
		if !strings.Contains(a.raw[0], ns) {
			t.Errorf("%s: Inform without %s", version, ns)
		}
		if got := strings.Contains(a.raw[0], "SupportedCWMPVersions"); got != (version == "1.4") {
			t.Errorf("%s: SupportedCWMPVersions %t", version, got)
		}
	}
}

func TestReboot(t *testing.T) {
	a := newACS(t)
	c := run(t, Config{ACS: a.URL})
	ask[*cwmp.RebootResponse](a, c, &cwmp.Reboot{CommandKey: "key"})
	idle(t, c)
	if got, want := codes(a.inform(-1)), "1 BOOT,M Reboot key"; got != want {
		t.Errorf("events %q, want %q", got, want)
	}
}

func TestFactoryReset(t *testing.T) {
	a := newACS(t)
	c := run(t, Config{ACS: a.URL})
	a.talk(c,
		&cwmp.SetParameterValues{ParameterList: []cwmp.ParameterValueStruct{{Name: info + "ProvisioningCode", Value: "x"}}},
		&cwmp.AddObject{ObjectName: "Device.NAT.PortMapping."}, &cwmp.FactoryReset{})
	idle(t, c)
	if got, want := codes(a.inform(-1)), "0 BOOTSTRAP,1 BOOT"; got != want {
		t.Errorf("events %q, want %q", got, want)
	}
	if c.Value(info+"ProvisioningCode") != "" || c.Exists("Device.NAT.PortMapping.2.") {
		t.Error("FactoryReset kept a value or a row")
	}
	if c.ConnectionRequestURL() == "" {
		t.Error("FactoryReset lost the ConnectionRequestURL")
	}
}

func TestValueChange(t *testing.T) {
	a := newACS(t)
	c := run(t, Config{ACS: a.URL})
	idle(t, c)
	const ssid = "Device.WiFi.SSID.1.SSID"
	attributes := func(notification int) cwmp.RPC {
		return &cwmp.SetParameterAttributes{ParameterList: []cwmp.SetParameterAttributesStruct{
			{Name: ssid, NotificationChange: true, Notification: notification},
		}}
	}
	write := func(value string) cwmp.RPC {
		return &cwmp.SetParameterValues{ParameterList: []cwmp.ParameterValueStruct{{Name: ssid, Value: value, Type: "string"}}}
	}
	a.talk(c, attributes(notificationActive), write("by ACS"))
	idle(t, c)
	n := c.Sessions()
	if err := c.SetValue(ssid, "active"); err != nil {
		t.Fatal(err)
	}
	if err := c.WaitSessions(timeout(t), n+1); err != nil {
		t.Fatal(err)
	}
	idle(t, c)
	m := a.inform(-1)
	if codes(m) != "4 VALUE CHANGE" || valueIn(m.ParameterList, ssid) != "active" || c.Sessions() != n+1 {
		t.Errorf("active: %q %q, %d sessions", codes(m), valueIn(m.ParameterList, ssid), c.Sessions()-n)
	}

	a.talk(c, attributes(notificationPassive))
	idle(t, c)
	n = c.Sessions()
	if err := c.SetValue(ssid, "passive"); err != nil {
		t.Fatal(err)
	}
	if c.Sessions() != n {
		t.Error("a passive notification opened a session")
	}
	a.talk(c)
	if m := a.inform(-1); codes(m) != "2 PERIODIC,4 VALUE CHANGE" || valueIn(m.ParameterList, ssid) != "passive" {
		t.Errorf("passive: %q %q", codes(m), valueIn(m.ParameterList, ssid))
	}
	a.talk(c)
	if m := a.inform(-1); codes(m) != "2 PERIODIC" || valueIn(m.ParameterList, ssid) != "(absent)" {
		t.Errorf("afterwards: %q %q", codes(m), valueIn(m.ParameterList, ssid))
	}
	if err := c.SetValue(ssid+"X", "v"); err == nil {
		t.Error("SetValue of no parameter gave no error")
	}
}

func TestChangeDUState(t *testing.T) {
	a := newACS(t)
	c := run(t, Config{ACS: a.URL})
	const uuid = "00000000-0000-4000-8000-000000000001"
	ask[*cwmp.ChangeDUStateResponse](a, c, &cwmp.ChangeDUState{CommandKey: "du", Operations: []cwmp.OperationStruct{
		&cwmp.InstallOpStruct{URL: "http://files.example/app", UUID: uuid},
		&cwmp.UninstallOpStruct{UUID: "unknown"},
	}})
	idle(t, c)
	if got := codes(a.inform(-1)); got != "11 DU STATE CHANGE COMPLETE,M ChangeDUState du" {
		t.Errorf("events %q", got)
	}
	r := a.request(0).(*cwmp.DUStateChangeComplete).Results
	if len(r) != 2 || r[0].CurrentState != "Installed" || r[1].Fault.FaultCode != cwmp.FaultUnknownDeploymentUnit {
		t.Fatalf("results %+v", r)
	}
	if c.Value(r[0].DeploymentUnitRef+".UUID") != uuid {
		t.Errorf("%s.UUID is %q", r[0].DeploymentUnitRef, c.Value(r[0].DeploymentUnitRef+".UUID"))
	}
	a.talk(c, &cwmp.ChangeDUState{Operations: []cwmp.OperationStruct{&cwmp.UninstallOpStruct{UUID: uuid}}})
	idle(t, c)
	if c.Exists(r[0].DeploymentUnitRef + ".") {
		t.Error("uninstalled unit has a row")
	}
}

func TestACSChange(t *testing.T) {
	first, second := newACS(t), newACS(t)
	c := run(t, Config{ACS: first.URL})
	first.talk(c, &cwmp.SetParameterValues{ParameterList: []cwmp.ParameterValueStruct{{Name: server + "URL", Value: second.URL}}})
	idle(t, c)
	if got := codes(second.inform(0)); got != "0 BOOTSTRAP" {
		t.Errorf("the new ACS got %q", got)
	}
}

// inBubble runs a CPE against an ACS over pipes, in the time of synctest.
func inBubble(t *testing.T, cfg Config, f func(a *testACS, c *CPE)) {
	synctest.Test(t, func(t *testing.T) {
		toACS, toCPE := newPipes(), newPipes()
		a := &testACS{t: t}
		s := &httptest.Server{Listener: toACS, Config: &http.Server{Handler: a}}
		s.Start()
		defer s.Close()
		cfg.ACS, cfg.Dial, cfg.Logger = "http://acs.example/", toACS.Dial, slog.New(slog.DiscardHandler)
		cfg.Listener = NewListener(toCPE)
		defer cfg.Listener.Close()
		c := New(cfg)
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- c.Run(ctx) }()
		f(a, c)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestRetryWaits(t *testing.T) {
	const failing = 5
	synctestConfig := Config{RetryWait: 5 * time.Second, PeriodicInterval: 24 * time.Hour}
	inBubble(t, synctestConfig, func(a *testACS, c *CPE) {
		a.mu.Lock()
		a.refuse = failing
		a.mu.Unlock()
		if err := c.WaitSessions(context.Background(), failing+1); err != nil {
			t.Fatal(err)
		}
		low := 5 * time.Second
		for i := range failing + 1 {
			if got := a.inform(i).RetryCount; got != i {
				t.Errorf("Inform %d has RetryCount %d", i, got)
			}
			if got := codes(a.inform(i)); got != "0 BOOTSTRAP,1 BOOT" {
				t.Errorf("Inform %d has events %q", i, got)
			}
			if i == 0 {
				continue
			}
			if wait := a.at[i].Sub(a.at[i-1]); wait < low || wait > 2*low {
				t.Errorf("wait %d is %v, want %v to %v", i, wait, low, 2*low)
			}
			low *= 2
		}
	})
}

func TestPeriodicInform(t *testing.T) {
	inBubble(t, Config{}, func(a *testACS, c *CPE) {
		if err := c.WaitSessions(context.Background(), 3); err != nil {
			t.Fatal(err)
		}
		for i := 1; i < 3; i++ {
			if wait := a.at[i].Sub(a.at[i-1]); wait != time.Hour || codes(a.inform(i)) != "2 PERIODIC" {
				t.Errorf("Inform %d after %v with %q", i, wait, codes(a.inform(i)))
			}
		}
		a.talk(c, &cwmp.SetParameterValues{ParameterList: []cwmp.ParameterValueStruct{
			{Name: server + "PeriodicInformInterval", Value: "60", Type: "unsignedInt"},
		}})
		n := c.Sessions()
		if err := c.WaitSessions(context.Background(), n+1); err != nil {
			t.Fatal(err)
		}
		if wait := a.at[n].Sub(a.at[n-1]); wait != time.Minute {
			t.Errorf("after the write: %v, want 1m", wait)
		}
	})
}

func TestScheduleInform(t *testing.T) {
	inBubble(t, Config{PeriodicInterval: 24 * time.Hour}, func(a *testACS, c *CPE) {
		if err := c.WaitSessions(context.Background(), 1); err != nil {
			t.Fatal(err)
		}
		ask[*cwmp.ScheduleInformResponse](a, c, &cwmp.ScheduleInform{DelaySeconds: 100, CommandKey: "si"})
		if err := c.WaitSessions(context.Background(), 3); err != nil {
			t.Fatal(err)
		}
		if wait := a.at[2].Sub(a.at[1]); wait != 100*time.Second || codes(a.inform(2)) != "3 SCHEDULED,M ScheduleInform si" {
			t.Errorf("after %v: %q", wait, codes(a.inform(2)))
		}
		wantFault(a, c, &cwmp.ScheduleInform{}, cwmp.FaultInvalidArguments)
	})
}

func TestRebootTime(t *testing.T) {
	inBubble(t, Config{RebootTime: time.Minute, PeriodicInterval: 24 * time.Hour}, func(a *testACS, c *CPE) {
		if err := c.WaitSessions(context.Background(), 1); err != nil {
			t.Fatal(err)
		}
		a.talk(c, &cwmp.Reboot{})
		if err := c.WaitIdle(context.Background()); err != nil {
			t.Fatal(err)
		}
		if wait := a.at[2].Sub(a.at[1]); wait != time.Minute {
			t.Errorf("the boot's Inform came after %v", wait)
		}
	})
}
