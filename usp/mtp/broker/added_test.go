package broker

import (
	"context"
	"net"
	"testing"
	"testing/synctest"

	"isthmus/usp"
	"isthmus/usp/mtp"
)

// TestAdded: where a Controller has said where the broker is, nothing holds of what the configuration says of the way there: no connection that Agents
// share, no dialling around the guard. Of two Controllers behind one row, one of which is not moved yet, each is where it belongs.
func TestAdded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type attempt struct {
			host   string
			shared int
			to     []mtp.Target
		}
		attempts, dialled := make(chan attempt, 4), make(chan string, 4)
		dial := func(by string) func(context.Context, string, string) (net.Conn, error) {
			return func(_ context.Context, _, addr string) (net.Conn, error) {
				dialled <- by + " " + addr
				return nil, errNotNow
			}
		}
		p := New(t.Context(), Options{Protocol: "TEST", Dial: dial("file"), DialAdded: dial("guarded"), Open: func(ctx context.Context, s *Setup) (Session, error) {
			attempts <- attempt{s.To[0].Host, s.Shared, s.To}
			_, err := s.Dial(ctx)
			return nil, err
		}})
		defer p.Close(t.Context())
		const second = usp.EndpointID("proto::two")
		p.Fix(ctl, Fixed{Shared: 4})
		p.Fix(second, Fixed{Shared: 4})
		there, moved := target, target
		moved.Controller, moved.Host, moved.Added = second, "elsewhere", true
		p.Connect(&endpoint{id: "os::1"}, []mtp.Target{there, moved})
		synctest.Wait()
		got := map[string]attempt{}
		for range 2 {
			a := <-attempts
			got[a.host] = a
		}
		if a := got["broker"]; a.shared != 4 || len(a.to) != 1 {
			t.Errorf("%+v", a)
		}
		if a := got["elsewhere"]; a.shared != 0 || len(a.to) != 1 {
			t.Errorf("%+v", a)
		}
		by := map[string]bool{<-dialled: true, <-dialled: true}
		if !by["file broker:1"] || !by["guarded elsewhere:1"] {
			t.Errorf("%v", by)
		}
	})
}

// TestFirstLeaves: a connection with a broker of the configuration goes on whichever of its Controllers there is the first.
func TestFirstLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := &protocol{}
		p := New(t.Context(), Options{Protocol: "TEST", Open: x.open})
		defer p.Close(t.Context())
		one, two := target, target
		two.Controller = "proto::two"
		p.Fix(one.Controller, Fixed{})
		p.Fix(two.Controller, Fixed{})
		e := &endpoint{id: "os::1"}
		for _, to := range [][]mtp.Target{{one, two}, {two}, {one, two}} {
			p.Connect(e, to)
			synctest.Wait()
		}
		if len(x.at) != 1 || e.ups != 3 || e.ends != 1 {
			t.Errorf("%d connections, %d Channels of which %d ended", len(x.at), e.ups, e.ends)
		}
	})
}
