package broker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"isthmus/usp"
	"isthmus/usp/mtp"
	"isthmus/usp/usppb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const ctl = usp.EndpointID("proto::one")

var errNotNow = errors.New("not now")

// target retries after 5 to 10 s, then 10 to 20 s, ….
var target = mtp.Target{Controller: ctl, Protocol: "TEST", Host: "broker", Port: 1, Retry: usp.Retry{Minimum: 5 * time.Second, Multiplier: 2000, Cap: time.Hour}}

// protocol is one whose brokers do what a test says.
type protocol struct {
	refuse func(attempt int) error
	takes  time.Duration // to connect
	lasts  time.Duration // of the reader after Close

	mu       sync.Mutex
	at       []time.Time // of attempts
	opening  int
	most     int
	sessions []*session
}

// session ends when its reader does.
type session struct {
	over   chan error
	closed sync.Once
}

func (p *protocol) open(_ context.Context, s *Setup) (Session, error) {
	p.mu.Lock()
	p.at = append(p.at, time.Now())
	n := len(p.at)
	p.opening++
	p.most = max(p.most, p.opening)
	p.mu.Unlock()
	time.Sleep(p.takes)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.opening--
	if p.refuse != nil {
		if err := p.refuse(n); err != nil {
			return nil, err
		}
	}
	x := &session{over: make(chan error, 1)}
	p.sessions = append(p.sessions, x)
	go func() {
		err := <-x.over
		time.Sleep(p.lasts)
		s.Down(err)
	}()
	return x, nil
}

func (x *session) end(err error) { x.closed.Do(func() { x.over <- err }) }

func (x *session) Send(context.Context, []byte, *mtp.Target, mtp.Address) error { return nil }
func (x *session) MaxSize() int                                                 { return 0 }
func (x *session) ConnectRecord() *usppb.Record                                 { return &usppb.Record{} }
func (x *session) State() mtp.State                                             { return mtp.State{} }
func (x *session) Resubscribe(context.Context, []mtp.Target) error              { return nil }
func (x *session) Close(context.Context)                                        { x.end(mtp.ErrDown) }

// endpoint counts.
type endpoint struct {
	id        usp.EndpointID
	mu        sync.Mutex
	ups, ends int
}

func (e *endpoint) EndpointID() usp.EndpointID                     { return e.id }
func (e *endpoint) Up(mtp.Channel)                                 { e.mu.Lock(); defer e.mu.Unlock(); e.ups++ }
func (e *endpoint) Down(mtp.Channel, error)                        { e.mu.Lock(); defer e.mu.Unlock(); e.ends++ }
func (e *endpoint) Receive(mtp.Channel, []byte, mtp.Address) error { return nil }

// logged is what a Pool has said.
type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// attempts are when there was one.
func (p *protocol) attempts() []time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.at)
}

// counts says how many Channels came up, and how many went.
func (e *endpoint) counts() (ups, ends int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.ups, e.ends
}

// play runs a test with a Pool in a bubble, and closes it.
func play(t *testing.T, of *protocol, f func(t *testing.T, p *Pool, log *logged)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var log logged
		p := New(t.Context(), Options{Protocol: "TEST", Open: of.open, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		f(t, p, &log)
		p.Close(t.Context())
		synctest.Wait()
	})
}

func wantWait(t *testing.T, what string, got, least, most time.Duration) {
	t.Helper()
	if got < least || got > most {
		t.Errorf("%s after %v, want %v to %v", what, got, least, most)
	}
}

// pass has time pass, and all that is to happen meanwhile.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// TestRetry: R-MQTT.10: each attempt in its window, from the first again after a success; the loss of a connection is the first failure.
func TestRetry(t *testing.T) {
	of := &protocol{refuse: func(n int) error {
		if n <= 4 {
			return errNotNow
		}
		return nil
	}}
	play(t, of, func(t *testing.T, p *Pool, _ *logged) {
		e := &endpoint{id: "os::1"}
		p.Connect(e, []mtp.Target{target})
		pass(time.Second)
		if s := p.State(e.id, ctl); s.Status != mtp.Unreachable || s.Failures != 1 {
			t.Errorf("%+v", s)
		}
		pass(3 * time.Minute)
		at := of.attempts()
		if ups, _ := e.counts(); len(at) != 5 || ups != 1 {
			t.Fatalf("%d attempts, %d Channels", len(at), ups)
		}
		for i, least := 1, 5*time.Second; i < 5; i, least = i+1, 2*least {
			wantWait(t, fmt.Sprint("attempt ", i+1), at[i].Sub(at[i-1]), least, 2*least)
		}
		if s := p.State(e.id, ctl); s.Status != mtp.Connected || s.Failures != 0 {
			t.Errorf("%+v", s)
		}
		lost := time.Now()
		of.sessions[0].end(errNotNow)
		pass(time.Minute)
		at = of.attempts()
		if ups, ends := e.counts(); len(at) != 6 || ups != 2 || ends != 1 {
			t.Fatalf("%d attempts, %d Channels, %d of them ended", len(at), ups, ends)
		}
		wantWait(t, "a new connection", at[5].Sub(lost), 5*time.Second, 10*time.Second)
	})
}

// TestMisconfigured: what cannot work is not tried again but on a Reset or a restart of the device (R-MQTT.16).
func TestMisconfigured(t *testing.T) {
	of := &protocol{refuse: func(n int) error {
		if n < 3 {
			return &Refusal{Err: errNotNow, Status: mtp.Misconfigured}
		}
		return nil
	}}
	play(t, of, func(t *testing.T, p *Pool, _ *logged) {
		e := &endpoint{id: "os::1"}
		p.Connect(e, []mtp.Target{target})
		for n, again := range []func(){func() { p.Kick(e.id) }, func() { p.Reset(e.id, ctl) }, func() { p.Reboot(e.id) }} {
			pass(24 * time.Hour)
			if got, want := len(of.attempts()), max(1, n); got != want {
				t.Fatalf("%d attempts, want %d", got, want)
			}
			again()
		}
		synctest.Wait()
		if ups, _ := e.counts(); ups != 1 {
			t.Errorf("%d Channels", ups)
		}
	})
}

// TestHandshakes: a fleet that starts makes 32 connections at a time.
func TestHandshakes(t *testing.T) {
	of := &protocol{takes: time.Second}
	play(t, of, func(t *testing.T, p *Pool, _ *logged) {
		for i := range 100 {
			p.Connect(&endpoint{id: usp.EndpointID(fmt.Sprint("os::", i))}, []mtp.Target{target})
		}
		pass(10 * time.Second)
		of.mu.Lock()
		defer of.mu.Unlock()
		if of.most != defaultHandshakes || len(of.sessions) != 100 {
			t.Errorf("%d at a time, %d in all", of.most, len(of.sessions))
		}
	})
}

// TestCloseWaits for the readers of all Sessions, and tells each Endpoint; nothing is dialled after it.
func TestCloseWaits(t *testing.T) {
	of := &protocol{lasts: 3 * time.Second}
	play(t, of, func(t *testing.T, p *Pool, _ *logged) {
		one, two := &endpoint{id: "os::1"}, &endpoint{id: "os::2"}
		p.Connect(one, []mtp.Target{target})
		p.Connect(two, []mtp.Target{target})
		synctest.Wait()
		p.Connect(two, nil) // which is closing when the Pool is
		began := time.Now()
		p.Close(t.Context())
		_, first := one.counts()
		if _, second := two.counts(); first != 1 || second != 1 || time.Since(began) != of.lasts {
			t.Errorf("%d and %d Channels ended after %v", first, second, time.Since(began))
		}
		p.Connect(two, []mtp.Target{target})
		pass(time.Hour)
		if n := len(of.attempts()); n != 2 {
			t.Errorf("%d attempts", n)
		}
	})
}

// TestTold: that a broker cannot be used is said once for all Agents, that it can again as soon as it does, and neither more than once a minute.
func TestTold(t *testing.T) {
	broken := true
	of := &protocol{}
	of.refuse = func(int) error {
		if broken {
			return errNotNow
		}
		return nil
	}
	play(t, of, func(t *testing.T, p *Pool, log *logged) {
		said := func(down, again int) {
			t.Helper()
			if d, a := strings.Count(log.String(), "cannot be used"), strings.Count(log.String(), "can be used again"); d != down || a != again {
				t.Fatalf("%d and %d times, want %d and %d:\n%s", d, a, down, again, log)
			}
		}
		for i := range 10 {
			p.Connect(&endpoint{id: usp.EndpointID(fmt.Sprint("os::", i))}, []mtp.Target{target})
		}
		pass(time.Second)
		said(1, 0)
		set := func(b bool) { of.mu.Lock(); defer of.mu.Unlock(); broken = b }
		set(false)
		pass(15 * time.Second)
		said(1, 1)
		set(true)
		of.mu.Lock()
		lost := of.sessions
		of.mu.Unlock()
		for _, s := range lost {
			s.end(errNotNow)
		}
		pass(20 * time.Second)
		said(1, 1)
		pass(10 * time.Minute)
		said(2, 1)
	})
}

// TestTurns: an Agent that shares a connection leaves room for the others.
func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, confirmed := &Share{Setup: &Setup{}}, make(chan struct{})
		var on atomic.Int32
		for range 2 * shareTurns {
			go func() { _ = h.InTurn(t.Context(), func() error { on.Add(1); <-confirmed; return nil }) }()
			synctest.Wait()
		}
		if n := on.Load(); n != shareTurns {
			t.Errorf("%d Records are on their way", n)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := h.InTurn(ctx, func() error { return nil }); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		for range 2 * shareTurns {
			confirmed <- struct{}{}
			synctest.Wait()
		}
		if n := on.Load(); n != 2*shareTurns {
			t.Errorf("%d Records were sent", n)
		}
	})
}
