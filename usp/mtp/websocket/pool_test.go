package websocket

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"isthmus/usp"
	"isthmus/usp/mtp"
)

func pool(t *testing.T, o PoolOptions) *Pool {
	t.Helper()
	p := NewPool(context.Background(), o)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		p.Close(ctx)
	})
	return p
}

// target is that of a Server's address.
func target(t *testing.T, controller usp.EndpointID, addr, path string) mtp.Target {
	t.Helper()
	a, err := netip.ParseAddrPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	return mtp.Target{Controller: controller, Protocol: "WebSocket", Host: a.Addr().String(), Port: int(a.Port()), Path: path}
}

// made is how many Clients the Pool has made and still has.
func (p *Pool) made() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.clients)
}

// Endpoints share the Client of a Target, which ends with the last of them; that of the configuration stays.
func TestPoolShares(t *testing.T) {
	ctl := newEndpoint("proto::added")
	_, addr := serve(t, ctl, ServerOptions{Path: "/added"})
	home := newEndpoint("proto::home")
	_, at := serve(t, home, ServerOptions{Path: "/home"})
	p := pool(t, PoolOptions{})
	fixed, err := NewClient(context.Background(), ClientOptions{URL: "ws://" + at + "/home", Controller: home.id})
	if err != nil {
		t.Fatal(err)
	}
	p.Fix(home.id, fixed, true)
	own, fleet := target(t, ctl.id, addr, "added"), mtp.Target{Controller: home.id}
	one, two := newEndpoint("os::1"), newEndpoint("os::2")
	for _, e := range []*endpoint{one, two} {
		p.Connect(e, []mtp.Target{fleet})
		within(t, e.up, "connection")
		p.Connect(e, []mtp.Target{fleet, own})
		within(t, e.up, "connection")
	}
	if n := p.made(); n != 1 || len(p.fixed) != 1 || p.State(one.id, ctl.id).Failures != 0 {
		t.Errorf("%d Clients", n)
	}
	p.Reset(one.id, ctl.id)
	_ = end(t, one)
	within(t, one.up, "connection after Reset")
	p.Reboot(two.id) // of the configuration's alone
	_ = end(t, two)
	within(t, two.up, "connection after Reboot")
	p.Connect(one, []mtp.Target{fleet})
	_ = end(t, one)
	if p.made() != 1 {
		t.Error("the Client of a Target that is in use has gone")
	}
	p.Connect(two, nil)
	_, _ = end(t, two), end(t, two)
	if p.made() != 0 || len(p.fixed) != 1 || len(p.own) != 0 {
		t.Errorf("%d Clients, %v", p.made(), p.own)
	}
	if len(one.up)+len(one.down)+len(two.up)+len(two.down) != 0 {
		t.Error("more has happened")
	}
}

func TestPoolChecks(t *testing.T) {
	guard := func(to netip.AddrPort) error {
		if to.Addr().IsLoopback() {
			return errors.New("not here")
		}
		return nil
	}
	p := pool(t, PoolOptions{Guard: guard, MaxTargets: 1})
	for _, c := range []struct {
		host, path string
		code       usp.ErrorCode
	}{
		{"controller.example", "/usp", 0}, {"192.0.2.1", "", 0}, {"2001:db8::1", "usp", 0}, {"127.0.0.1", "", usp.InvalidValue}, {"::1", "", usp.InvalidValue},
		{"::ffff:127.0.0.1", "", usp.InvalidValue}, {"user@host", "", usp.InvalidValue}, {"host/path", "", usp.InvalidValue}, {"host:1", "", usp.InvalidValue},
		{"a b", "", usp.InvalidValue}, {"host", "/a?b", usp.InvalidValue}, {"host", "/a#b", usp.InvalidValue}, {"host", "/%zz", usp.InvalidValue},
	} {
		err := p.Check(mtp.Target{Host: c.host, Port: 80, Path: c.path})
		if got := usp.AsError(err); c.code == 0 && err != nil || c.code != 0 && (got == nil || got.Code != c.code) {
			t.Errorf("%s %s: %v, want code %d", c.host, c.path, err, c.code)
		}
	}
	first := target(t, "proto::a", "192.0.2.1:1", "")
	p.o.Client.Dial = newPipes().dial // nobody answers
	p.Connect(newEndpoint("os::1"), []mtp.Target{first})
	if err := p.Check(first); err != nil {
		t.Error(err)
	}
	if err := usp.AsError(p.Check(target(t, "proto::a", "192.0.2.1:2", ""))); err == nil || err.Code != usp.ResourcesExceeded {
		t.Error(err)
	}
}

// TestTP469_7_8_RetryOfATarget: the back-off is that of the MTP row (R-WS.19), and so is the count of attempts that failed.
func TestTP469_7_8_RetryOfATarget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var dials []time.Time
		p := NewPool(t.Context(), PoolOptions{Client: ClientOptions{Logger: slog.New(slog.DiscardHandler),
			Dial: func(context.Context, string, string) (net.Conn, error) {
				dials = append(dials, time.Now())
				return nil, errors.New("refused")
			}}})
		e := newEndpoint(agentID)
		to := mtp.Target{Controller: controllerID, Host: "peer", Port: 1, Retry: usp.Retry{Minimum: 3 * time.Second, Multiplier: 1500}}
		p.Connect(e, []mtp.Target{to})
		time.Sleep(time.Minute)
		synctest.Wait()
		from := 3 * time.Second
		for n := 1; n < len(dials); n++ {
			if wait := dials[n].Sub(dials[n-1]); wait < from || wait > from*3/2 {
				t.Errorf("wait %d was %v, not %v to %v", n, wait, from, from*3/2)
			}
			from = from * 3 / 2
		}
		if len(dials) < 4 || p.State(agentID, controllerID).Failures != len(dials) {
			t.Errorf("%d dials, %d failures", len(dials), p.State(agentID, controllerID).Failures)
		}
		p.Close(t.Context())
	})
}

// A long interval does not make a large wheel.
func TestWheelIsBounded(t *testing.T) {
	w := newWheel(1 << 32 * 1e9)
	defer w.close()
	if len(w.slots) > maxSlots || !strings.HasPrefix(w.tick.String(), "3976h") {
		t.Errorf("%d slots, a turn every %v", len(w.slots), w.tick)
	}
}
