package stomp

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"isthmus/usp"
	"isthmus/usp/mtp"
	"isthmus/usp/mtp/broker"
	"isthmus/usp/mtp/stomp/client"
	"isthmus/usp/mtp/stomp/stomptest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	agentID = usp.EndpointID("os::00D09E-1")
	ctl1    = usp.EndpointID("proto::one")
	waiting = 10 * time.Second
)

// rig is an Agent and a Controller at one server.
type rig struct {
	t      *testing.T
	server *stomptest.Server
	frames chan *client.Frame // that came to the server
	pool   *Pool
	agent  *endpoint
	ctl    *endpoint
	to     mtp.Target
}

func newRig(t *testing.T, o stomptest.Options) *rig {
	r := &rig{t: t, frames: make(chan *client.Frame, 1000), agent: newEndpoint(agentID), ctl: newEndpoint(ctl1)}
	o.Observe = func(f *client.Frame) { r.frames <- f }
	r.serve("127.0.0.1:0", o)
	c, err := NewController(t.Context(), r.ctl, ControllerOptions{Dial: r.dial, Login: "ctl", Passcode: "x", Destination: "/queue/ctl", AgentDestination: "/queue/agent.{endpoint_id}",
		Again: 10 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	a, err := netip.ParseAddrPort(r.server.Addr())
	if err != nil {
		t.Fatal(err)
	}
	r.to = mtp.Target{Controller: ctl1, Protocol: Protocol, Host: a.Addr().String(), Port: int(a.Port()), Retry: usp.Retry{Minimum: 20 * time.Millisecond, FromZero: true},
		STOMP: mtp.STOMP{Connection: "Device.STOMP.Connection.1.", Username: "agent", Password: "hunter2", VirtualHost: "/", OwnDestination: "/queue/agent.{endpoint_id}", Destination: "/queue/ctl"}}
	r.pool = NewPool(t.Context(), broker.Options{Logger: slog.New(slog.DiscardHandler)})
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), waiting)
		defer cancel()
		r.pool.Close(ctx)
	})
	return r
}

func (r *rig) serve(addr string, o stomptest.Options) {
	r.t.Helper()
	s, err := stomptest.Listen(r.t.Context(), addr, o)
	if err != nil {
		r.t.Fatal(err)
	}
	r.server = s
	r.t.Cleanup(s.Close)
}

func (r *rig) dial(ctx context.Context) (net.Conn, error) {
	return (&net.Dialer{}).DialContext(ctx, "tcp", r.server.Addr())
}

// frame waits for one that the Agent has sent.
func (r *rig) frame(command string) *client.Frame {
	r.t.Helper()
	for end := time.After(waiting); ; {
		select {
		case f := <-r.frames:
			if f.Command == command && f.Get("login") != "ctl" && f.Get("destination") != "/queue/ctl" || command == "SEND" && f.Command == command {
				return f
			}
		case <-end:
			r.t.Fatalf("no %s came", command)
		}
	}
}

// endpoint writes down what happens to it.
type endpoint struct {
	id      usp.EndpointID
	mu      sync.Mutex
	changed chan struct{}
	ch      mtp.Channel
	ups     int
	got     []string
	replies []mtp.Address
}

func newEndpoint(id usp.EndpointID) *endpoint { return &endpoint{id: id, changed: make(chan struct{})} }

func (e *endpoint) change(f func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	f()
	close(e.changed)
	e.changed = make(chan struct{})
}

func (e *endpoint) EndpointID() usp.EndpointID  { return e.id }
func (e *endpoint) Up(ch mtp.Channel)           { e.change(func() { e.ch = ch; e.ups++ }) }
func (e *endpoint) Down(_ mtp.Channel, _ error) { e.change(func() { e.ch = nil }) }
func (e *endpoint) Receive(_ mtp.Channel, b []byte, reply mtp.Address) error {
	e.change(func() { e.got, e.replies = append(e.got, string(b)), append(e.replies, reply) })
	return nil
}

func (e *endpoint) until(t testing.TB, what string, is func() bool) {
	t.Helper()
	end := time.After(waiting)
	for {
		e.mu.Lock()
		done, changed := is(), e.changed
		e.mu.Unlock()
		if done {
			return
		}
		select {
		case <-changed:
		case <-end:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func (e *endpoint) channel(t testing.TB) (ch mtp.Channel) {
	t.Helper()
	e.until(t, "a channel", func() bool { ch = e.ch; return ch != nil })
	return ch
}

// TestTP469_6_2_Connect: R-STOMP.2 to R-STOMP.5 and R-STOMP.12 to R-STOMP.17: what is said when a session begins.
func TestTP469_6_2_Connect(t *testing.T) {
	r := newRig(t, stomptest.Options{})
	r.to.STOMP.Outgoing, r.to.STOMP.Incoming = 7*time.Second, 9*time.Second
	r.pool.Connect(r.agent, []mtp.Target{r.to})
	ch := r.agent.channel(t)
	f := r.frame("STOMP")
	for name, want := range map[string]string{"accept-version": "1.2", "host": "/", "login": "agent", "passcode": "hunter2", endpointHeader: string(agentID), "heart-beat": "7000,9000"} {
		if got := f.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	own := "/queue/agent." + string(agentID)
	if f := r.frame("SUBSCRIBE"); f.Get("destination") != own || f.Get("ack") != "auto" || f.Get("id") == "" {
		t.Errorf("%+v", f)
	}
	if c := ch.ConnectRecord().GetStompConnect(); c.GetSubscribedDestination() != own {
		t.Errorf("Connect Record %v", c)
	}
	if s := r.pool.State(agentID, ctl1); s.Status != mtp.Connected || s.Listens != own {
		t.Errorf("%+v", s)
	}
}

// TestTP469_6_5_SubscribeDest: R-STOMP.6, R-STOMP.14: the server's destination counts more than the row's.
func TestTP469_6_5_SubscribeDest(t *testing.T) {
	r := newRig(t, stomptest.Options{Connected: func(f *client.Frame) []client.Header {
		if f.Get("login") == "ctl" {
			return nil
		}
		return []client.Header{{Name: destHeader, Value: "/queue/given:1"}}
	}})
	r.pool.Connect(r.agent, []mtp.Target{r.to})
	r.agent.channel(t)
	if f := r.frame("SUBSCRIBE"); f.Get("destination") != "/queue/given:1" {
		t.Errorf("%+v", f)
	}
	r.to.STOMP.OwnDestination = "/queue/other" // of no consequence now
	r.pool.Connect(r.agent, []mtp.Target{r.to})
	if s := r.pool.State(agentID, ctl1); s.Listens != "/queue/given:1" || r.agent.ups != 1 {
		t.Errorf("%+v", s)
	}
}

// TestRecords: R-STOMP.18 to R-STOMP.23, both ways, and answers to Controllers only.
func TestRecords(t *testing.T) {
	r := newRig(t, stomptest.Options{})
	r.pool.Connect(r.agent, []mtp.Target{r.to})
	ch, ctl := r.agent.channel(t), r.ctl.channel(t)
	if err := ch.Send(t.Context(), []byte("hello\x00there"), ""); err != nil {
		t.Fatal(err)
	}
	f := r.frame("SEND")
	own := "/queue/agent." + string(agentID)
	if f.Get("destination") != "/queue/ctl" || f.Get("content-type") != contentType || f.Get(replyHeader) != own || f.Get("content-length") != "11" {
		t.Errorf("%+v", f)
	}
	r.ctl.until(t, "a Record", func() bool { return len(r.ctl.got) == 1 })
	if err := ctl.Send(t.Context(), []byte("ask"), r.ctl.replies[0]); err != nil {
		t.Fatal(err)
	}
	r.agent.until(t, "a Record", func() bool { return len(r.agent.got) == 1 })
	if r.agent.replies[0] != "/queue/ctl" {
		t.Errorf("%v", r.agent.replies)
	}
	other := newEndpoint("os::00D09E-2")
	r.pool.Connect(other, []mtp.Target{r.to})
	other.channel(t)
	nc, err := r.dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	down := make(chan error, 1)
	c, err := client.Connect(t.Context(), nc, client.Options{Login: "ctl", Down: func(err error) { down <- err }})
	if err != nil {
		t.Fatal(err)
	}
	for _, reply := range []string{own, "/queue/agent.os::00D09E-2", "/queue/*", "/queue/agent.os::00D09E-3"} {
		if err := c.Send(t.Context(), send(own, reply, []byte(reply))); err != nil {
			t.Fatal(err)
		}
	}
	c.Disconnect(t.Context())
	if err := <-down; err == nil {
		t.Error("a connection ended without a reason")
	}
	r.agent.until(t, "the last", func() bool { return len(r.agent.got) > 1 })
	if r.agent.got[1] != "/queue/agent.os::00D09E-3" {
		t.Errorf("%v", r.agent.got)
	}
}

// TestTP469_6_10_DestinationChange: R-STOMP.29: UNSUBSCRIBE and SUBSCRIBE, no new session.
func TestTP469_6_10_DestinationChange(t *testing.T) {
	r := newRig(t, stomptest.Options{})
	r.pool.Connect(r.agent, []mtp.Target{r.to})
	r.agent.channel(t)
	r.frame("SUBSCRIBE")
	r.to.STOMP.OwnDestination = "/queue/new"
	r.pool.Connect(r.agent, []mtp.Target{r.to})
	r.frame("UNSUBSCRIBE")
	if f := r.frame("SUBSCRIBE"); f.Get("destination") != "/queue/new" {
		t.Errorf("%+v", f)
	}
	if r.agent.ups != 1 {
		t.Errorf("%d sessions", r.agent.ups)
	}
}

// TestRefusedAndBack: R-STOMP.7, R-STOMP.16, R-STOMP.25: whatever the server refuses is tried again.
func TestRefusedAndBack(t *testing.T) {
	var mu sync.Mutex
	refused := map[string]int{"STOMP": 2, "SUBSCRIBE": 2}
	r := newRig(t, stomptest.Options{Refuse: func(f *client.Frame) string {
		mu.Lock()
		defer mu.Unlock()
		if f.Get("login") == "ctl" || f.Get("destination") == "/queue/ctl" || refused[f.Command] == 0 {
			return ""
		}
		refused[f.Command]--
		return "not now"
	}})
	r.pool.Connect(r.agent, []mtp.Target{r.to})
	ch := r.agent.channel(t)
	r.server.Drop()
	r.agent.until(t, "a new session", func() bool { return r.agent.ups == 2 && r.agent.ch != nil })
	if err := ch.Send(t.Context(), []byte("late"), ""); !errors.Is(err, mtp.ErrDown) {
		t.Error(err)
	}
	if s := r.pool.State(agentID, ctl1); s.Failures != 0 || s.Status != mtp.Connected {
		t.Errorf("%+v", s)
	}
}

// TestNoDestination: R-STOMP.16: the session ends and is tried again.
func TestNoDestination(t *testing.T) {
	r := newRig(t, stomptest.Options{})
	to := r.to
	to.STOMP.OwnDestination = ""
	r.pool.Connect(r.agent, []mtp.Target{to})
	r.frame("DISCONNECT")
	r.frame("DISCONNECT")
	if s := r.pool.State(agentID, ctl1); s.Status == mtp.Connected {
		t.Errorf("%+v", s)
	}
	r.pool.Connect(r.agent, []mtp.Target{r.to})
	r.agent.channel(t)
}
