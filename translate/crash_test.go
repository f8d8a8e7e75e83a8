package translate

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"isthmus/cwmp"
	"isthmus/cwmp/connreq"
	"isthmus/store"
	"isthmus/usp/usppb"
)

var errKilled = errors.New("killed")

// dying is the store of a process that is killed after some more writes: what is written later is not there for the next one. No such write ever
// seems to succeed, not while the dead process is swept away either: it would tell the Controller what is on no disk.
type dying struct {
	store.Store
	left   atomic.Int64 // writes until then
	killed chan struct{}
	once   sync.Once
}

func newDying(s store.Store) *dying {
	const plenty = 1 << 30 // it lives for now
	d := &dying{Store: s, killed: make(chan struct{})}
	d.left.Store(plenty)
	return d
}

// dies gives the error that a write comes to.
func (s *dying) dies() error {
	if s.left.Add(-1) >= 0 {
		return nil
	}
	s.once.Do(func() { close(s.killed) })
	return errKilled
}

func (s *dying) Write(ctx context.Context, l store.Lease, ops ...store.Op) error {
	if err := s.dies(); err != nil {
		return err
	}
	return s.Store.Write(ctx, l, ops...)
}

func (s *dying) PutFleet(ctx context.Context, name string, old, value []byte) error {
	if err := s.dies(); err != nil {
		return err
	}
	return s.Store.PutFleet(ctx, name, old, value)
}

// A process may be killed between any two writes. A change that the CPE tells of must reach the Controller: the CPE repeats an Inform
// that was not answered, and the repetition must not count as old.
func TestValueChangeSurvivesKillAtAnyWrite(t *testing.T) {
	const writes = 3 // that a told change makes: the notification, the Inform, the end of the notification
	for n := range writes {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			c, id := w.boot(nil)
			w.subscribe(id, "name", "ValueChange", ssid, map[string]string{"Persistent": "true", "NotifRetry": "true"})
			if _, err := c.WaitCall(w.in(deadline), "SetParameterAttributes", 1); err != nil {
				t.Fatal(err)
			}
			w.must(c.WaitIdle(w.in(deadline)))

			var dead *dying
			w.stop()
			w.wrap = func(s store.Store) store.Store { dead = newDying(s); return dead }
			w.start()
			sessions := c.Sessions()
			c.Inform(cwmp.EventPeriodic)
			w.must(c.WaitSessions(w.in(deadline), sessions+1))
			w.must(c.WaitIdle(w.in(deadline)))

			dead.left.Store(int64(n))
			w.must(c.SetValue(ssid, "changed"))
			select {
			case <-dead.killed:
			case <-w.in(deadline).Done():
				t.Fatal("nothing was written")
			}
			w.stop()
			w.wrap = nil
			w.start()
			w.must(c.WaitIdle(w.in(deadline)))
			w.notified(1, func(n *usppb.Notify) bool { return n.GetValueChange().GetParamValue() == "changed" })
		})
	}
}

// slowAnswer is a connection whose answer comes late.
type slowAnswer struct {
	net.Conn
	come <-chan struct{}
}

func (c slowAnswer) Read(b []byte) (int, error) {
	<-c.come
	return c.Conn.Read(b)
}

// The session that a Connection Request asked for may be over before the Connection Request is answered. A request of that time gets a
// session of its own.
func TestRequestBetweenSessionAndAnswerToConnectionRequest(t *testing.T) {
	come := make(chan struct{})
	var dials atomic.Int64
	w := newWorld(t, func(o *Options) {
		o.Linger = 0
		o.ConnectionRequest.Client = &connreq.Client{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
			if err == nil && dials.Add(1) == 1 {
				conn = slowAnswer{conn, come}
			}
			return conn, err
		}}
	})
	c, id := w.boot(nil)
	sessions := c.Sessions()
	if _, err := w.set(id, "Device.WiFi.SSID.1.", map[string]string{"SSID": "first"}); err != nil {
		t.Fatal(err)
	}
	w.must(c.WaitSessions(w.in(deadline), sessions+1))
	second := make(chan error, 1)
	go func() {
		_, err := w.set(id, "Device.WiFi.SSID.1.", map[string]string{"SSID": "second"})
		second <- err
	}()
	d := w.device(id)
	for waiting := false; !waiting && w.ctx.Err() == nil; time.Sleep(time.Millisecond) {
		d.mu.RLock()
		waiting = len(d.queue) == 1
		d.mu.RUnlock()
	}
	close(come)
	w.must(<-second)
	if v := c.Value(ssid); v != "second" {
		t.Errorf("the CPE's SSID is %q", v)
	}
}
