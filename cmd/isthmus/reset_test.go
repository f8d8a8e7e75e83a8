package main

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"isthmus/cmd/isthmus/config"
	"isthmus/cwmp"
	"isthmus/cwmp/cpe"
	"isthmus/usp"
	"isthmus/usp/controller"
	"isthmus/usp/usppb"
)

// place is a proxy that gives CPE credentials of their own, and can be started again, with a Controller.
type place struct {
	t     *testing.T
	ctx   context.Context
	cfg   *config.Config
	i     *instance
	agent *controller.Agent
}

const (
	acsUsername = "Device.ManagementServer.Username"
	acsPassword = "Device.ManagementServer.Password"
)

var ownUsername = strings.TrimPrefix(endpointID(demoID), "ops::")

func newPlace(t *testing.T, change func(*config.Config)) *place {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	c := controller.New(ctx, controller.Options{EndpointID: demoController, Logger: slog.New(slog.DiscardHandler)})
	t.Cleanup(func() { c.Close(ctx) })
	url, err := c.Listen(ctx, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &place{t: t, ctx: ctx, cfg: demoConfig(filepath.Join(t.TempDir(), "data"), overWebSocket(url)), agent: c.Agent(usp.EndpointID(endpointID(demoID)))}
	s.cfg.CWMP.Auth = config.Auth{Mode: "digest", Username: "fleet", Password: "f"}
	s.cfg.CWMP.Provision.Credentials, s.cfg.CWMP.Provision.ConnectionRequest = true, true
	s.cfg.CWMP.ConnectionRequest.Timeout = config.Duration(50 * time.Millisecond)
	change(s.cfg)
	s.start()
	t.Cleanup(s.stop)
	return s
}

func (s *place) start() {
	s.t.Helper()
	var err error
	s.i, err = start(context.Background(), s.cfg, slog.New(slog.DiscardHandler))
	s.must(err)
	s.cfg.CWMP.Listen = config.Address(s.i.listeners.cwmp.Addr().String()) // where CPE go on to look for it
}

func (s *place) stop() {
	s.t.Helper()
	if err := s.i.stop(context.Background()); err != nil {
		s.t.Error(err)
	}
}

// restart ends the proxy and starts it again.
func (s *place) restart(change func(*config.Config)) {
	s.t.Helper()
	s.stop()
	change(s.cfg)
	s.start()
	s.must(s.agent.WaitUp(s.ctx))
}

func (s *place) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// box is a CPE with the fleet's credentials.
func (s *place) box(events ...string) cpe.Config {
	return cpe.Config{ACS: "http://" + string(s.cfg.CWMP.Listen) + "/", DeviceID: demoID, Username: "fleet", Password: "f", BootEvents: events,
		RetryWait: 5 * time.Millisecond, Logger: slog.New(slog.DiscardHandler)}
}

// on switches a CPE on until off, or the test's end.
func (s *place) on(cfg cpe.Config) (d *cpe.CPE, off func()) {
	d = cpe.New(cfg)
	power, cut := context.WithCancel(context.Background())
	down := make(chan error, 1)
	go func() { down <- d.Run(power); close(down) }()
	off = func() {
		cut()
		if err := <-down; err != nil {
			s.t.Error(err)
		}
	}
	s.t.Cleanup(off)
	return d, off
}

// owned waits until a CPE has credentials of its own, and has shown them.
func (s *place) owned(d *cpe.CPE, name string) {
	s.t.Helper()
	for d.Value(acsUsername) != name {
		s.must(d.WaitSessions(s.ctx, d.Sessions()+1))
	}
	s.must(d.WaitIdle(s.ctx))
	if !s.again(d) {
		s.t.Error("its own credentials are refused")
	}
}

// again has a CPE inform once more.
func (s *place) again(d *cpe.CPE) bool {
	s.t.Helper()
	n, failures := d.Sessions(), d.Failures()
	d.Inform(cwmp.EventPeriodic)
	s.must(errors.Join(d.WaitSessions(s.ctx, n+1), d.WaitIdle(s.ctx)))
	return d.Failures() == failures
}

// once says whether a CPE that tries once is let in.
func (s *place) once(cfg cpe.Config) bool {
	s.t.Helper()
	cfg.RetryWait = time.Hour
	return session(s.t, cfg)
}

// writes has the Controller write to the CPE and gives its error.
func (s *place) writes(d *cpe.CPE, ssid string) string {
	s.t.Helper()
	answer, err := s.agent.Do(s.ctx, &usppb.Request{ReqType: &usppb.Request_Set{Set: &usppb.Set{UpdateObjs: []*usppb.Set_UpdateObject{{
		ObjPath: "Device.WiFi.SSID.1.", ParamSettings: []*usppb.Set_UpdateParamSetting{{Param: "SSID", Value: ssid, Required: true}}}}}}})
	if err == nil {
		o := results(answer)
		err = o.err()
	}
	switch {
	case err != nil:
		return err.Error()
	case d.Value("Device.WiFi.SSID.1.SSID") != ssid:
		return "the CPE has another value"
	}
	return ""
}

// first lets a CPE in and gives it credentials of its own.
func (s *place) first(change func(*cpe.Config)) (d *cpe.CPE, off func()) {
	s.t.Helper()
	cfg := s.box()
	change(&cfg)
	d, off = s.on(cfg)
	s.must(s.agent.WaitConnects(s.ctx, 1))
	s.owned(d, ownUsername)
	return d, off
}

func asItIs(*cpe.Config) {}

func (s *place) detail() (quarantine string, reset time.Time) {
	d, _ := s.i.proxy.Device(usp.EndpointID(endpointID(demoID)))
	return d.Quarantine, d.Reset.Time
}

// A11: what a CPE was given, and that it has used it, is known after a restart.
func TestA11_OwnCredentialsAfterRestart(t *testing.T) {
	for _, mode := range []string{"basic", "digest"} {
		t.Run(mode, func(t *testing.T) {
			s := newPlace(t, func(c *config.Config) { c.CWMP.Auth.Mode = mode })
			d, _ := s.first(asItIs)
			s.restart(func(*config.Config) {})
			if !s.again(d) {
				t.Error("its own credentials are refused")
			}
			fleet := s.box(cwmp.EventPeriodic)
			if s.once(fleet) {
				t.Error("the fleet's credentials are good again")
			}
			fleet.Username = ownUsername
			if s.once(fleet) {
				t.Error("let in with another password")
			}
		})
	}
}

// R27: a CPE that was reset by hand comes with the fleet's credentials, is let in once nobody has disproved it, and gets new ones. It shows.
func TestR27_ResetByHand(t *testing.T) {
	for name, events := range map[string][]string{"with 0 BOOTSTRAP": {cwmp.EventBootstrap, cwmp.EventBoot}, "with 1 BOOT alone": {cwmp.EventBoot}} {
		t.Run(name, func(t *testing.T) {
			s := newPlace(t, func(*config.Config) {})
			before, off := s.first(asItIs)
			off()
			_, err := s.agent.Add(s.ctx, &usppb.Add{CreateObjs: []*usppb.Add_CreateObject{{ObjPath: "Device.LocalAgent.Subscription.",
				ParamSettings: []*usppb.Add_CreateParamSetting{{Param: "Enable", Value: "true"}, {Param: "ID", Value: "boot"},
					{Param: "NotifType", Value: "Event"}, {Param: "ReferenceList", Value: "Device.Boot!"}}}}})
			s.must(err)
			d, _ := s.on(s.box(events...))
			s.owned(d, ownUsername+"~1")
			if was, now := before.Value(acsPassword), d.Value(acsPassword); now == was || len(now) != len(was) {
				t.Error("it has the password that it had before")
			}
			n, err := s.agent.WaitNotify(s.ctx, func(n *usppb.Notify) bool { return n.GetEvent().GetEventName() == "Boot!" })
			s.must(err)
			if got := n.GetEvent().GetParams()["Cause"]; got != "LocalFactoryReset" {
				t.Errorf("Boot! has the Cause %q", got)
			}
			onBoarded := 0
			for _, n := range s.agent.Notes() {
				if n.GetOnBoardReq() != nil {
					onBoarded++
				}
			}
			if onBoarded != 2 {
				t.Errorf("%d OnBoardRequests", onBoarded)
			}
			check := func() {
				t.Helper()
				if quarantine, reset := s.detail(); reset.IsZero() || quarantine != "" {
					t.Errorf("it was reset at %s, quarantine %q", reset, quarantine)
				}
				if why := s.writes(d, "anew"); why != "" {
					t.Error(why)
				}
				if !s.again(d) || s.once(s.box(cwmp.EventPeriodic)) {
					t.Error("its own credentials are not the only ones that are good")
				}
			}
			check()
			s.restart(func(*config.Config) {})
			check()
		})
	}
}

// R27: whoever knows the fleet's credentials cannot pass for a CPE that can be reached: it is asked for a session, and shows its own.
func TestR27_ClaimIsDisproved(t *testing.T) {
	s := newPlace(t, func(c *config.Config) { c.CWMP.ConnectionRequest.Timeout = config.Duration(10 * time.Second) })
	d, _ := s.first(asItIs)
	n := d.Sessions()
	var welcome atomic.Bool
	cfg := s.box()
	cfg.Observe = func(e cpe.Exchange) {
		if e.RPC == "InformResponse" {
			welcome.Store(true)
		}
	}
	thief, off := s.on(cfg)
	s.must(d.WaitSessions(s.ctx, n+1))
	s.must(d.WaitIdle(s.ctx))
	s.must(thief.WaitSessions(s.ctx, thief.Sessions()+3)) // it tries again
	off()
	if welcome.Load() {
		t.Error("the other one was let in")
	}
	if quarantine, reset := s.detail(); d.Failures() != 0 || d.Value(acsUsername) != ownUsername || quarantine != "" || !reset.IsZero() {
		t.Errorf("%d sessions of the CPE failed, it is %q, quarantine %q, reset %s", d.Failures(), d.Value(acsUsername), quarantine, reset)
	}
	if why := s.writes(d, "mine"); why != "" {
		t.Error(why)
	}
}

// R27: nor for one that cannot be reached, for long. When that comes with its own credentials the other one is in quarantine, and neither is
// written to, whatever the other one shows; a restart changes nothing of it.
func TestR27_ClaimIsContested(t *testing.T) {
	s := newPlace(t, func(*config.Config) {})
	d, _ := s.first(func(c *cpe.Config) { c.Faults.ConnReq = cpe.ConnReqIgnore })
	thief, _ := s.on(s.box())
	s.owned(thief, ownUsername+"~1")
	check := func() {
		t.Helper()
		if !s.again(d) {
			t.Error("the CPE's own credentials are refused")
		}
		quarantine, _ := s.detail()
		for _, want := range []string{"another CPE", "after a reset", "127.0.0.1", thief.ConnectionRequestURL()} {
			if !strings.Contains(quarantine, want) {
				t.Errorf("quarantine %q does not say %q", quarantine, want)
			}
		}
		d.SetFaults(cpe.Faults{})
		if why := s.writes(d, "lost"); !strings.Contains(why, "another CPE") {
			t.Errorf("a write: %q", why)
		}
		calls := len(thief.Calls(""))
		if s.again(thief); len(thief.Calls("")) != calls {
			t.Error("the other CPE was sent something")
		}
		if s.once(s.box()) {
			t.Error("it was let in with the fleet's credentials")
		}
	}
	check()
	s.restart(func(*config.Config) {})
	check()
	s.restart(func(c *config.Config) {
		c.CWMP.Auth.Credentials = []config.Credential{{EndpointID: endpointID(demoID), Username: "row", Password: "r"}}
	})
	row := s.box(cwmp.EventPeriodic)
	if row.Username, row.Password = "row", "r"; !s.once(row) || !s.again(d) {
		t.Error("the operator has told them apart, and the CPE is not let in")
	}
	sessions, failures := thief.Sessions(), thief.Failures()
	thief.Inform(cwmp.EventPeriodic)
	s.must(thief.WaitSessions(s.ctx, sessions+1))
	if thief.Failures() == failures {
		t.Error("the other one is let in")
	}
	if quarantine, _ := s.detail(); quarantine != "" {
		t.Error(quarantine)
	}
	if why := s.writes(d, "mine"); why != "" {
		t.Error(why)
	}
}

// R27: the fleet's credentials are no good for a CPE that is in a session, which goes on.
func TestR27_ClaimDuringSession(t *testing.T) {
	s := newPlace(t, func(c *config.Config) { c.CWMP.ConnectionRequest.Timeout = config.Duration(10 * time.Second) })
	asked, goOn := make(chan struct{}), make(chan struct{})
	var held atomic.Bool
	d, _ := s.first(asItIs)
	d.SetFaults(cpe.Faults{Answer: func(_, resp cwmp.RPC) cwmp.RPC {
		if held.CompareAndSwap(false, true) {
			close(asked)
			<-goOn
		}
		return resp
	}})
	got := make(chan error, 1)
	go func() {
		_, err := s.agent.Get(s.ctx, 0, "Device.WiFi.Radio.1.Channel")
		got <- err
	}()
	<-asked
	for range 2 {
		if s.once(s.box()) {
			t.Error("let in")
		}
	}
	close(goOn)
	s.must(<-got)
}

// R27: turning the key off lets everybody in, and on again asks of nobody what it has lost meanwhile.
func TestR27_KeyTurnedOffAndOn(t *testing.T) {
	s := newPlace(t, func(*config.Config) {})
	_, off := s.first(asItIs)
	off()
	for _, on := range []bool{false, true} {
		s.restart(func(c *config.Config) { c.CWMP.Provision.Credentials = on })
		if !s.once(s.box(cwmp.EventPeriodic)) {
			t.Errorf("refused while the key is %v", on)
		}
	}
}
