package mqtt

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/hooks/auth"
	"github.com/mochi-mqtt/server/v2/listeners"
	"go.uber.org/goleak"

	"isthmus/usp"
	"isthmus/usp/mtp"
	"isthmus/usp/mtp/broker"
	"isthmus/usp/mtp/mqtt/client"
	"isthmus/usp/usppb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	agentID = usp.EndpointID("os::00D09E-1")
	ctl1    = usp.EndpointID("proto::one")
	ctl2    = usp.EndpointID("proto::two")
	waiting = 10 * time.Second
)

// startBroker starts a broker at addr, "127.0.0.1:0" for any, that allows everything.
func startBroker(t testing.TB, addr string, hooks ...mochi.Hook) *server {
	t.Helper()
	return startServer(t, addr, append(hooks, new(auth.AllowHook))...)
}

// startServer starts a broker that allows what its hooks do.
func startServer(t testing.TB, addr string, hooks ...mochi.Hook) *server {
	t.Helper()
	s := mochi.New(&mochi.Options{Logger: slog.New(slog.DiscardHandler), InlineClient: true})
	for _, h := range hooks {
		if err := s.AddHook(h, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.AddListener(listeners.NewTCP(listeners.Config{ID: "tcp", Address: addr})); err != nil {
		t.Fatal(err)
	}
	if err := s.Serve(); err != nil {
		t.Fatal(err)
	}
	out := &server{Server: s}
	t.Cleanup(out.stop)
	return out
}

type server struct {
	*mochi.Server
	once sync.Once
}

// stop first lets those go that are going: mochi takes a lock for reading twice as it closes, and hangs if a client that leaves wants it in between.
func (s *server) stop() {
	const look, most = 20 * time.Millisecond, 100
	s.once.Do(func() {
		connected := func() int64 { return atomic.LoadInt64(&s.Info.ClientsConnected) }
		for before, n := int64(-1), 0; before != connected() && n < most; n++ {
			before = connected()
			time.Sleep(look)
		}
		_ = s.Close()
	})
}

func addressOf(t testing.TB, s *server) string {
	t.Helper()
	l, ok := s.Listeners.Get("tcp")
	if !ok {
		t.Fatal("the broker does not listen")
	}
	return l.Address()
}

// target is a Controller behind the broker at addr.
func target(t testing.TB, addr string, controller usp.EndpointID, change ...func(*mtp.Target)) mtp.Target {
	t.Helper()
	a, err := netip.ParseAddrPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	to := mtp.Target{Controller: controller, Protocol: Protocol, Host: a.Addr().String(), Port: int(a.Port()), KeepAlive: time.Minute,
		Retry: usp.Retry{Minimum: 20 * time.Millisecond},
		MQTT: mtp.MQTT{Client: "Device.MQTT.Client.1.", Version: "5.0", ClientID: "{endpoint_id}", CleanStart: true, QoS: 1,
			ResponseTopic: "usp/agent/{endpoint_id}", Topic: "usp/controller/" + string(controller)}}
	for _, f := range change {
		f(&to)
	}
	return to
}

// newPool makes a Pool that ends with the test.
func newPool(t testing.TB, o broker.Options) *Pool {
	o.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	p := NewPool(t.Context(), o)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), waiting)
		defer cancel()
		p.Close(ctx)
	})
	return p
}

// endpoint is an Agent that writes down what happens to it.
type endpoint struct {
	id      usp.EndpointID
	mu      sync.Mutex
	changed chan struct{}
	up      map[usp.EndpointID]mtp.Channel
	ups     int
	got     []got
	learnt  []mtp.State
}

type got struct {
	controller usp.EndpointID
	record     string
	reply      mtp.Address
}

func newEndpoint(id usp.EndpointID) *endpoint {
	return &endpoint{id: id, changed: make(chan struct{}), up: map[usp.EndpointID]mtp.Channel{}}
}

func (e *endpoint) change(f func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	f()
	close(e.changed)
	e.changed = make(chan struct{})
}

// until waits for something to be so.
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

func (e *endpoint) EndpointID() usp.EndpointID { return e.id }

func (e *endpoint) Up(ch mtp.Channel) { e.change(func() { e.up[ch.Peer()] = ch; e.ups++ }) }

func (e *endpoint) Down(ch mtp.Channel, _ error) {
	e.change(func() {
		if e.up[ch.Peer()] == ch {
			delete(e.up, ch.Peer())
		}
	})
}

func (e *endpoint) Receive(ch mtp.Channel, record []byte, reply mtp.Address) error {
	e.change(func() { e.got = append(e.got, got{ch.Peer(), string(record), reply}) })
	return nil
}

func (e *endpoint) Learnt(_ usp.EndpointID, s mtp.State) {
	e.change(func() { e.learnt = append(e.learnt, s) })
}

// channel waits for the one to a Controller.
func (e *endpoint) channel(t testing.TB, controller usp.EndpointID) mtp.Channel {
	t.Helper()
	e.until(t, "a channel to "+string(controller), func() bool { return e.up[controller] != nil })
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.up[controller]
}

// last waits for n Records and gives the last.
func (e *endpoint) last(t testing.TB, n int) got {
	t.Helper()
	e.until(t, "Records", func() bool { return len(e.got) >= n })
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.got[n-1]
}

// listener is a client of the broker that is no USP Endpoint.
type listener struct {
	*client.Conn
	in chan *client.Publish
}

// listen subscribes to a topic.
func listen(t testing.TB, addr string, v client.Version, filter string) *listener {
	t.Helper()
	nc, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	w := client.NewWheel()
	down := make(chan struct{})
	l := &listener{in: make(chan *client.Publish, 100)}
	if l.Conn, _, err = client.Connect(t.Context(), nc, client.Options{Version: v, CleanStart: true, Wheel: w, Handle: func(p *client.Publish) { l.in <- p },
		Down: func(error) { close(down) }}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		l.Disconnect(0)
		<-down
		w.Close()
	})
	if codes, err := l.Subscribe(t.Context(), []client.Subscription{{Filter: filter, QoS: 1}}); err != nil || codes[0] > 1 {
		t.Fatalf("%v, %v", codes, err)
	}
	return l
}

func (l *listener) next(t testing.TB) *client.Publish {
	t.Helper()
	select {
	case p := <-l.in:
		return p
	case <-time.After(waiting):
		t.Fatal("no message came")
		return nil
	}
}

// record is one from a Controller to the Agent.
func record(t testing.TB, from, to usp.EndpointID) []byte {
	t.Helper()
	b, err := usp.EncodeRecord(from, to, usp.RecordVersion, usp.NewRequest("1", &usppb.Request{ReqType: &usppb.Request_Get{Get: &usppb.Get{}}}))
	if err != nil {
		t.Fatal(err)
	}
	return b
}
