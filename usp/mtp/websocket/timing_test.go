package websocket

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"isthmus/usp"
	"isthmus/usp/mtp"
)

// pipes is a listener whose connections are pipes, so that time can be a bubble's.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.done) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "pipe"} }

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case p.conns <- far:
		return near, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// TestTP469_7_8_Retry: the waits of R-WS.19, their reset by a session, and Kick.
func TestTP469_7_8_Retry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var dials []time.Duration
		p := newPipes()
		var reachable atomic.Bool
		var mu sync.Mutex
		c, err := NewClient(t.Context(), ClientOptions{
			URL: "ws://peer/", Logger: slog.New(slog.DiscardHandler),
			Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
				mu.Lock()
				dials = append(dials, time.Since(start))
				mu.Unlock()
				if !reachable.Load() {
					return nil, errors.New("refused")
				}
				return p.dial(ctx, network, addr)
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		ctl := newEndpoint(controllerID)
		s := NewServer(func(usp.EndpointID) (mtp.Endpoint, bool) { return ctl, true }, ServerOptions{Path: "/"})
		go func() { _ = s.Serve(p) }()
		a := newEndpoint(agentID)
		c.Add(a)
		time.Sleep(3 * time.Hour)
		synctest.Wait()
		for n := 1; n < len(dials); n++ {
			from := 5 * time.Second << (min(n, 10) - 1)
			if wait := dials[n] - dials[n-1]; wait < from || wait > 2*from {
				t.Errorf("wait %d was %v, not %v to %v", n, wait, from, 2*from)
			}
		}
		if len(dials) < 10 {
			t.Fatalf("only %d dials in 3 hours", len(dials))
		}

		reachable.Store(true)
		c.Kick(agentID)
		synctest.Wait()
		if len(a.up) != 1 {
			t.Fatal("Kick did not connect at once")
		}
		reachable.Store(false)
		(<-a.up).(*conn).abort(io.ErrUnexpectedEOF)
		synctest.Wait()
		mu.Lock()
		lost, n := time.Now(), len(dials)
		mu.Unlock()
		time.Sleep(11 * time.Second)
		synctest.Wait()
		if wait := dials[n] - lost.Sub(start); wait < 5*time.Second || wait > 10*time.Second {
			t.Errorf("first wait after a session was %v", wait)
		}
		c.Close(t.Context())
		s.Shutdown(t.Context())
	})
}

// TestR_WS_17_KeepAlive: a peer that answers Pings is kept, one that does not is dropped within two intervals.
func TestR_WS_17_KeepAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipes()
		a := newEndpoint(agentID)
		s := NewServer(func(usp.EndpointID) (mtp.Endpoint, bool) { return a, true }, ServerOptions{KeepAlive: 60 * time.Second})
		go func() { _ = s.Serve(p) }()
		d := websocket.Dialer{Subprotocols: []string{subprotocol}, NetDialContext: p.dial}
		ws, _, err := d.Dial("ws://peer/agent/os::1", http.Header{})
		if err != nil {
			t.Fatal(err)
		}
		var pings atomic.Int32
		mute := make(chan struct{})
		answer := ws.PingHandler()
		ws.SetPingHandler(func(data string) error {
			if pings.Add(1) > 5 {
				<-mute
				return nil
			}
			return answer(data)
		})
		var wg sync.WaitGroup
		wg.Go(func() { _, _, _ = ws.ReadMessage() })
		start := time.Now()
		reason := <-a.down
		if took := time.Since(start); !errors.Is(reason, ErrKeepAlive) || pings.Load() != 6 || took < 419*time.Second || took > 421*time.Second {
			t.Errorf("ended after %v and %d pings: %v", took, pings.Load(), reason)
		}
		close(mute)
		_ = ws.Close()
		wg.Wait()
		s.Shutdown(t.Context())
	})
}

// TestPeerThatDoesNotRead costs a sender writeTimeout, and other connections nothing.
func TestPeerThatDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipes()
		a := newEndpoint(agentID)
		s := NewServer(func(usp.EndpointID) (mtp.Endpoint, bool) { return a, true }, ServerOptions{})
		go func() { _ = s.Serve(p) }()
		d := websocket.Dialer{Subprotocols: []string{subprotocol}, NetDialContext: p.dial}
		ws, _, err := d.Dial("ws://peer/agent/os::1", http.Header{})
		if err != nil {
			t.Fatal(err)
		}
		ch := <-a.up
		start := time.Now()
		if err := ch.Send(t.Context(), []byte("x"), ""); !errors.Is(err, mtp.ErrDown) || time.Since(start) != writeTimeout {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		_ = end(t, a)
		_ = ws.Close()
		s.Shutdown(t.Context())
	})
}

// TestHandshakeLimit: no more dials at a time than allowed, and all Endpoints get their turn.
func TestHandshakeLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit, agents = 3, 20
		var mu sync.Mutex
		now, most, all := 0, 0, 0
		c, err := NewClient(t.Context(), ClientOptions{
			URL: "ws://peer/", HandshakeLimit: limit, Logger: slog.New(slog.DiscardHandler), Retry: usp.Retry{Minimum: time.Hour},
			Dial: func(context.Context, string, string) (net.Conn, error) {
				mu.Lock()
				now++
				all++
				most = max(most, now)
				mu.Unlock()
				time.Sleep(time.Second)
				mu.Lock()
				now--
				mu.Unlock()
				return nil, errors.New("refused")
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		for i := range agents {
			c.Add(newEndpoint(usp.EndpointID("os::" + string(rune('a'+i)))))
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if most != limit || all != agents {
			t.Errorf("%d dials, %d at a time", all, most)
		}
		c.Close(t.Context())
	})
}
