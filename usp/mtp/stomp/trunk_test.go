package stomp

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"isthmus/usp"
	"isthmus/usp/mtp"
	"isthmus/usp/mtp/broker"
	"isthmus/usp/mtp/stomp/client"
	"isthmus/usp/mtp/stomp/stomptest"
)

// sharing connects Agents with ctl1 over two connections.
func (r *rig) sharing(n int) (all []*endpoint) {
	r.t.Helper()
	r.pool.Fix(ctl1, broker.Fixed{Shared: 2})
	for i := range n {
		e := newEndpoint(usp.EndpointID(fmt.Sprint("os::00D09E-", i)))
		all = append(all, e)
		r.pool.Connect(e, []mtp.Target{r.to})
	}
	for _, e := range all {
		e.channel(r.t)
	}
	return all
}

// connects counts the sessions that have begun since the last call, without the Controller's.
func (r *rig) connects() (n int) {
	for {
		select {
		case f := <-r.frames:
			if f.Command == "STOMP" && f.Get("login") != "ctl" {
				n++
			}
		default:
			return n
		}
	}
}

func destination(e *endpoint) string { return "/queue/agent." + string(e.id) }

// TestSharedConnections: each Agent has a subscription of its own, whose messages are its own, in their order.
func TestSharedConnections(t *testing.T) {
	r := newRig(t, stomptest.Options{})
	agents := r.sharing(20)
	if n := r.connects(); n != 2 {
		t.Errorf("%d connections for %d Agents", n, len(agents))
	}
	ctl := r.ctl.channel(t)
	var want []string
	for round := range 20 {
		want = append(want, fmt.Sprint(round))
		for _, e := range agents {
			if err := ctl.Send(t.Context(), []byte(want[round]), mtp.Address(destination(e))); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i, e := range agents {
		e.until(t, "its messages", func() bool { return len(e.got) == len(want) })
		if !slices.Equal(e.got, want) || e.replies[0] != "/queue/ctl" {
			t.Errorf("%s got %v", e.id, e.got)
		}
		ch := e.channel(t)
		if c := ch.ConnectRecord().GetStompConnect(); c.GetSubscribedDestination() != destination(e) {
			t.Errorf("Connect Record %v", c)
		}
		if err := ch.Send(t.Context(), []byte(e.id), ""); err != nil {
			t.Fatal(err)
		}
		r.ctl.until(t, "a Record", func() bool { return len(r.ctl.got) == i+1 })
		if r.ctl.got[i] != string(e.id) || r.ctl.replies[i] != mtp.Address(destination(e)) {
			t.Errorf("%s, %s", r.ctl.got[i], r.ctl.replies[i])
		}
	}
}

// TestOneLeavesASharedConnection: the Controller is told, the others stay, and the connection ends with the last, each time by a receipt.
func TestOneLeavesASharedConnection(t *testing.T) {
	r := newRig(t, stomptest.Options{})
	agents := r.sharing(6)
	for i, e := range agents {
		r.pool.Connect(e, nil)
		r.ctl.until(t, "a Disconnect Record", func() bool { return len(r.ctl.got) == 2*i+1 })
		d, err := usp.DecodeRecord([]byte(r.ctl.got[2*i]))
		if err != nil || d.GetDisconnect() == nil || d.GetFromId() != string(e.id) || d.GetToId() != string(ctl1) {
			t.Fatalf("%v, %v", d, err)
		}
		if f := r.frame("UNSUBSCRIBE"); f.Get("receipt") == "" {
			t.Errorf("%+v", f)
		}
		e.until(t, "its channel to end", func() bool { return e.ch == nil })
		other := agents[(i+1)%len(agents)]
		if i == len(agents)-1 {
			r.pool.Connect(other, []mtp.Target{r.to})
		}
		if err := other.channel(t).Send(t.Context(), []byte("x"), ""); err != nil {
			t.Fatal(err)
		}
		r.ctl.until(t, "a Record of another one", func() bool { return len(r.ctl.got) == 2*i+2 })
	}
	if f := r.frame("DISCONNECT"); f.Get("receipt") == "" {
		t.Errorf("%+v", f)
	}
}

// TestSharedConnectionIsLost for all, and made anew once.
func TestSharedConnectionIsLost(t *testing.T) {
	r := newRig(t, stomptest.Options{})
	agents := r.sharing(20)
	r.connects()
	r.server.Drop()
	for _, e := range agents {
		e.until(t, "its channel to come up again", func() bool { return e.ups == 2 && e.ch != nil })
	}
	if n := r.connects(); n != 2 {
		t.Errorf("%d connections", n)
	}
}

// TestSharedSubscriptionMoves: R-STOMP.29 for one Agent of a shared connection; another Agent's destination is not for it.
func TestSharedSubscriptionMoves(t *testing.T) {
	r := newRig(t, stomptest.Options{})
	agents := r.sharing(4)
	r.connects()
	e := agents[0]
	r.to.STOMP.OwnDestination = "/queue/elsewhere.{endpoint_id}"
	r.pool.Connect(e, []mtp.Target{r.to})
	gone := r.frame("UNSUBSCRIBE").Get("id")
	ctl := r.ctl.channel(t)
	for i, to := range []string{"/queue/elsewhere." + string(e.id), destination(agents[1])} {
		if err := ctl.Send(t.Context(), []byte("ask"), mtp.Address(to)); err != nil {
			t.Fatal(err)
		}
		agents[i].until(t, "a Record", func() bool { return len(agents[i].got) == 1 })
	}
	if gone == "" || e.ups != 1 {
		t.Errorf("%q, %d sessions", gone, e.ups)
	}
	r.listensAs(e.id, "/queue/elsewhere."+string(e.id))
}

func (r *rig) listensAs(id usp.EndpointID, want string) {
	r.t.Helper()
	for end := time.Now().Add(waiting); r.pool.State(id, ctl1).Listens != want; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			r.t.Fatalf("%s listens at %s", id, r.pool.State(id, ctl1).Listens)
		}
	}
}

// TestNotToBeShared: what a connection of many cannot be is said, and not tried again.
func TestNotToBeShared(t *testing.T) {
	r := newRig(t, stomptest.Options{Connected: func(f *client.Frame) []client.Header {
		if f.Get("login") != "named" {
			return nil
		}
		return []client.Header{{Name: destHeader, Value: "/queue/given"}}
	}})
	r.pool.Fix(ctl1, broker.Fixed{Shared: 1})
	there := newEndpoint("os::00D09E-there")
	r.pool.Connect(there, []mtp.Target{r.to})
	there.channel(t)
	for name, change := range map[string]func(*mtp.STOMP){
		"an account for each": func(s *mtp.STOMP) { s.Username = "{endpoint_id}" },
		"one destination":     func(s *mtp.STOMP) { s.Username = "named" },
		"another Agent's":     func(s *mtp.STOMP) { s.OwnDestination = destination(there) },
	} {
		e := newEndpoint(usp.EndpointID("os::00D09E-" + strings.ReplaceAll(name, " ", "")))
		to := r.to
		change(&to.STOMP)
		r.pool.Connect(e, []mtp.Target{to})
		for end := time.Now().Add(waiting); r.pool.State(e.id, ctl1).Status != mtp.Misconfigured; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%s: %+v", name, r.pool.State(e.id, ctl1))
			}
		}
	}
	if err := there.channel(t).Send(t.Context(), []byte("x"), ""); err != nil {
		t.Error(err)
	}
}
