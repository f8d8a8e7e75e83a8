package client

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"testing"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/hooks/auth"
	"github.com/mochi-mqtt/server/v2/listeners"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if benchProcess() {
		return
	}
	goleak.VerifyTestMain(m)
}

// versions are what every test of messages runs with.
var versions = map[string]Version{"5.0": V5, "3.1.1": V311}

// broker starts a broker that lets everybody in, and returns its address.
func broker(t testing.TB, capabilities func(*mqtt.Capabilities), hooks ...mqtt.Hook) (address string, server *mqtt.Server) {
	t.Helper()
	c := mqtt.NewDefaultServerCapabilities()
	if capabilities != nil {
		capabilities(c)
	}
	server = mqtt.New(&mqtt.Options{Capabilities: c, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)), InlineClient: true})
	if len(hooks) == 0 {
		hooks = []mqtt.Hook{new(auth.AllowHook)}
	}
	for _, h := range hooks {
		if err := server.AddHook(h, nil); err != nil {
			t.Fatal(err)
		}
	}
	l := listeners.NewTCP(listeners.Config{ID: "tcp", Address: "127.0.0.1:0"})
	if err := server.AddListener(l); err != nil {
		t.Fatal(err)
	}
	if err := server.Serve(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	return l.Address(), server
}

// peer is a connection under test and what came of it.
type peer struct {
	*Conn
	connack  *Connack
	messages chan *Publish
	down     chan error
}

// join connects with a broker. Down has been called when the test is over.
func join(t testing.TB, address string, o Options) *peer {
	t.Helper()
	p, err := try(t, address, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Disconnect(0)
		if err, first := <-p.down; first && err == nil {
			t.Error("a connection ended without a reason")
		}
	})
	return p
}

func try(t testing.TB, address string, o Options) (*peer, error) {
	t.Helper()
	nc, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	p := &peer{messages: make(chan *Publish, 100), down: make(chan error, 2)}
	o.Handle = func(m *Publish) { p.messages <- m }
	o.Down = func(err error) {
		p.down <- err
		close(p.down)
	}
	if o.Wheel == nil {
		o.Wheel = NewWheel()
		t.Cleanup(o.Wheel.Close)
	}
	p.Conn, p.connack, err = Connect(soon(t), nc, o)
	return p, err
}

// soon is a context for what must happen at once.
func soon(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// next is the next message.
func (p *peer) next(t testing.TB) *Publish {
	t.Helper()
	select {
	case m := <-p.messages:
		return m
	case err := <-p.down:
		t.Fatalf("connection ended: %v", err)
	case <-time.After(20 * time.Second):
		t.Fatal("no message came")
	}
	return nil
}

func same(a, b *Publish) bool {
	return a.Topic == b.Topic && a.ResponseTopic == b.ResponseTopic && a.ContentType == b.ContentType && a.QoS == b.QoS && a.Retain == b.Retain &&
		bytes.Equal(a.Payload, b.Payload) && bytes.Equal(a.CorrelationData, b.CorrelationData)
}
