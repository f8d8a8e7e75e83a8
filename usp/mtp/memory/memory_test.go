package memory

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"isthmus/usp"
	"isthmus/usp/mtp"
	"isthmus/usp/usppb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type got struct {
	record string
	reply  mtp.Address
}

type endpoint struct {
	id   usp.EndpointID
	up   chan mtp.Channel
	got  chan got
	down chan error
	hold chan struct{} // if not nil, Receive waits for it
	err  error
}

func newEndpoint(id usp.EndpointID) *endpoint {
	return &endpoint{id: id, up: make(chan mtp.Channel, 1), got: make(chan got, 16), down: make(chan error, 1)}
}

func (e *endpoint) EndpointID() usp.EndpointID       { return e.id }
func (e *endpoint) Up(ch mtp.Channel)                { e.up <- ch }
func (e *endpoint) Down(_ mtp.Channel, reason error) { e.down <- reason }

func (e *endpoint) Receive(_ mtp.Channel, record []byte, reply mtp.Address) error {
	if e.hold != nil {
		<-e.hold
	}
	e.got <- got{string(record), reply}
	return e.err
}

func connectTo(t *testing.T, id usp.EndpointID) []byte {
	t.Helper()
	b, err := usp.Address(&usppb.Record{RecordType: &usppb.Record_UdsConnect{}}, "proto::c", id, "")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestTwoAgentsShareALink(t *testing.T) {
	ctl, a, b := newEndpoint("proto::c"), newEndpoint("os::1-A"), newEndpoint("os::1-B")
	l := New(ctl, Options{})
	defer l.Close()
	l.Add(a)
	l.Add(b)
	trunk, ach, bch := <-ctl.up, <-a.up, <-b.up
	if trunk.Peer() != "" || ach.Peer() != "proto::c" {
		t.Errorf("peers %q and %q", trunk.Peer(), ach.Peer())
	}
	for id, ch := range map[usp.EndpointID]mtp.Channel{"os::1-A": ach, "os::1-B": bch} {
		if err := ch.Send(t.Context(), []byte(id), ""); err != nil {
			t.Fatal(err)
		}
		if g := <-ctl.got; g.record != string(id) || g.reply != mtp.Address(id) {
			t.Errorf("controller got %+v", g)
		}
	}
	for _, e := range []*endpoint{a, b} {
		r := connectTo(t, e.id)
		if err := errors.Join(trunk.Send(t.Context(), r, ""), trunk.Send(t.Context(), []byte("reply"), mtp.Address(e.id))); err != nil {
			t.Fatal(err)
		}
		if g1, g2 := <-e.got, <-e.got; g1.record != string(r) || g2.record != "reply" || g1.reply != "" {
			t.Errorf("%s got %+v and %+v", e.id, g1, g2)
		}
	}
	l.Remove(a.id)
	if err := <-a.down; !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	for _, to := range []usp.EndpointID{a.id, "os::unknown"} {
		if err := trunk.Send(t.Context(), connectTo(t, to), ""); !errors.Is(err, mtp.ErrDown) {
			t.Error(err)
		}
	}
	if err := ach.Send(t.Context(), []byte("x"), ""); !errors.Is(err, mtp.ErrDown) {
		t.Error(err)
	}
}

func TestBadRecordEndsOneAgent(t *testing.T) {
	ctl, a, b := newEndpoint("proto::c"), newEndpoint("os::1-A"), newEndpoint("os::1-B")
	a.err = errors.New("no record")
	l := New(ctl, Options{})
	defer l.Close()
	l.Add(a)
	l.Add(b)
	trunk := <-ctl.up
	<-a.up
	if err := trunk.Send(t.Context(), []byte("x"), "os::1-A"); err != nil {
		t.Fatal(err)
	}
	if err := <-a.down; !errors.Is(err, a.err) {
		t.Error(err)
	}
	if err := trunk.Send(t.Context(), []byte("x"), "os::1-B"); err != nil {
		t.Error(err)
	}
}

// TestQueueIsBounded: an Agent that does not take its Records makes the sender wait, no longer than its deadline.
func TestQueueIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctl, a := newEndpoint("proto::c"), newEndpoint("os::1-A")
		a.hold = make(chan struct{})
		l := New(ctl, Options{Queue: 1, MaxSize: 10})
		l.Add(a)
		trunk := <-ctl.up
		<-a.up
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var err error
		sent := 0
		for ; err == nil; sent++ {
			err = trunk.Send(ctx, []byte("x"), "os::1-A")
			synctest.Wait()
		}
		if !errors.Is(err, context.DeadlineExceeded) || sent != 3 {
			t.Errorf("record %d: %v", sent, err)
		}
		if err := trunk.Send(t.Context(), make([]byte, 11), "os::1-A"); !errors.Is(err, mtp.ErrTooBig) {
			t.Error(err)
		}
		close(a.hold)
		l.Close()
	})
}
