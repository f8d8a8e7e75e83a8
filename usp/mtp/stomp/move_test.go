package stomp

import (
	"fmt"
	"sync"
	"testing"

	"isthmus/usp/mtp"
	"isthmus/usp/mtp/stomp/client"
	"isthmus/usp/mtp/stomp/stomptest"
)

// listens waits until the Agent's destination is one.
func (r *rig) listens(destination string) {
	r.t.Helper()
	for {
		if f := r.frame("SUBSCRIBE"); f.Get("destination") == destination {
			return
		}
	}
}

// TestDestinationChangesWhileConnecting: R-STOMP.29 holds for a session that is being set up, too.
func TestDestinationChangesWhileConnecting(t *testing.T) {
	connecting, changed := make(chan struct{}), make(chan struct{})
	r := newRig(t, stomptest.Options{Refuse: func(f *client.Frame) string {
		if f.Get("login") == "agent" {
			close(connecting)
			<-changed
		}
		return ""
	}})
	r.pool.Connect(r.agent, []mtp.Target{r.to})
	<-connecting
	r.to.STOMP.OwnDestination = "/queue/new"
	r.pool.Connect(r.agent, []mtp.Target{r.to})
	close(changed)
	r.listens("/queue/new")
}

// TestDestinationChangesQuickly: R-STOMP.29: one change comes after the other, each subscription ends once, and the last destination is the one in use.
func TestDestinationChangesQuickly(t *testing.T) {
	var mu sync.Mutex
	there := map[string]bool{}
	r := newRig(t, stomptest.Options{Refuse: func(f *client.Frame) string {
		if f.Get("destination") == "/queue/ctl" {
			return ""
		}
		mu.Lock()
		defer mu.Unlock()
		id := f.Get("id")
		switch f.Command {
		case "SUBSCRIBE":
			if there[id] {
				return "there is one of that id"
			}
			there[id] = true
		case "UNSUBSCRIBE":
			if !there[id] {
				return "there is none of that id"
			}
			delete(there, id)
		}
		return ""
	}})
	r.pool.Connect(r.agent, []mtp.Target{r.to})
	r.agent.channel(t)
	for i := range 50 {
		r.to.STOMP.OwnDestination = fmt.Sprintf("/queue/new.%d.{endpoint_id}", i)
		r.pool.Connect(r.agent, []mtp.Target{r.to})
	}
	own := "/queue/new.49." + string(agentID)
	r.listens(own)
	r.agent.until(t, "no more than one session", func() bool { return r.agent.ups == 1 && r.agent.ch != nil })

	// Where the others listen follows from the new template.
	other := newEndpoint("os::00D09E-2")
	r.pool.Connect(other, []mtp.Target{r.to})
	other.channel(t)
	nc, err := r.dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c, err := client.Connect(t.Context(), nc, client.Options{Login: "ctl"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Disconnect(t.Context())
	for _, reply := range []string{"/queue/new.49." + string(other.id), "/queue/mine"} {
		if err := c.Send(t.Context(), send(own, reply, []byte(reply))); err != nil {
			t.Fatal(err)
		}
	}
	r.agent.until(t, "a Record", func() bool { return len(r.agent.got) > 0 })
	if r.agent.got[0] != "/queue/mine" {
		t.Errorf("%v", r.agent.got)
	}
}
