package main

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"

	"isthmus/cmd/isthmus/config"
	"isthmus/usp/mtp"
	"isthmus/usp/mtp/broker"
	"isthmus/usp/mtp/mqtt"
	"isthmus/usp/mtp/websocket"
)

// A Controller must not have the Agents call whom it likes: what it adds is dialled only where the operator says, and never to a listener of ours, whatever
// name it gives.
func TestAddedControllersAreGuarded(t *testing.T) {
	target, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	own, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = target.Close(), own.Close() })
	port := func(l net.Listener) string { return l.Addr().String()[strings.LastIndex(l.Addr().String(), ":"):] }
	for _, c := range []struct {
		allow  string
		to     string
		denied bool
	}{
		{"", target.Addr().String(), true}, {"", "localhost" + port(target), true}, {"", "169.254.169.254:80", true}, {"", "[ff02::1]:80", true},
		{"127.0.0.0/8", target.Addr().String(), false}, {"127.0.0.0/8", "localhost" + port(target), false},
		{"127.0.0.0/8", own.Addr().String(), true}, {"127.0.0.0/8", "192.0.2.1:80", true},
	} {
		i := &instance{listeners: listeners{admin: own}}
		added := &config.AddedControllers{}
		if c.allow != "" {
			added.Allow = []config.Prefix{{Prefix: netip.MustParsePrefix(c.allow)}}
		}
		d := &dialer{}
		d.room.Store(1)
		guard := i.guard(added)
		conn, err := (&guarded{d, guard}).dial(context.Background(), "tcp", c.to)
		if denied := errors.Is(err, errNotAllowed); denied != c.denied {
			t.Errorf("%s with allow %q: %v", c.to, c.allow, err)
		}
		if conn != nil {
			_ = conn.Close()
		}
		if d.room.Load() != 1 {
			t.Error("a descriptor is not given back")
		}
		pool := websocket.NewPool(context.Background(), websocket.PoolOptions{Guard: guard})
		brokers := mqtt.NewPool(context.Background(), broker.Options{Guard: guard})
		host, _, err := net.SplitHostPort(c.to)
		if err != nil {
			t.Fatal(err)
		}
		a, err := netip.ParseAddrPort(c.to)
		if err != nil {
			pool.Close(context.Background())
			brokers.Close(context.Background())
			continue // a name is looked at when it is dialled
		}
		if err := pool.Check(mtp.Target{Host: host, Port: int(a.Port())}); (err != nil) != c.denied {
			t.Errorf("%s with allow %q: %v", c.to, c.allow, err)
		}
		if err := brokers.Check(mtp.Target{Added: true, Host: host, Port: int(a.Port())}); (err != nil) != c.denied {
			t.Errorf("a broker at %s with allow %q: %v", c.to, c.allow, err)
		}
		pool.Close(context.Background())
		brokers.Close(context.Background())
	}
}
