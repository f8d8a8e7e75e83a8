package websocket

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"isthmus/usp"
	"isthmus/usp/mtp"
)

// dials are when, after the first, dials were begun.
type dials struct {
	mu sync.Mutex
	at []time.Time
}

func (d *dials) add() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.at = append(d.at, time.Now())
}

func (d *dials) after(n int) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.at[n].Sub(d.at[n-1])
}

func (d *dials) count() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.at)
}

func TestPaceOfConnects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const agents = 20
		var d dials
		c, err := NewClient(t.Context(), ClientOptions{
			URL: "ws://peer/", Pace: mtp.Pace{Connects: 250 * time.Millisecond}, Logger: slog.New(slog.DiscardHandler), Retry: usp.Retry{Minimum: time.Hour},
			Dial: func(context.Context, string, string) (net.Conn, error) {
				d.add()
				return nil, errors.New("refused")
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		for i := range agents {
			c.Add(newEndpoint(usp.EndpointID("os::" + string(rune('a'+i)))))
		}
		c.Remove("os::c") // takes no turn
		time.Sleep(time.Minute)
		synctest.Wait()
		if d.count() != agents-1 {
			t.Fatalf("%d dials", d.count())
		}
		for n := 1; n < d.count(); n++ {
			if d.after(n) != 250*time.Millisecond {
				t.Errorf("dial %d came %v after the one before", n, d.after(n))
			}
		}
		c.Add(newEndpoint("os::late"))
		c.Add(newEndpoint("os::later")) // waits when the Client closes
		c.Close(t.Context())
		time.Sleep(time.Second)
		if d.count() != agents {
			t.Errorf("%d dials", d.count())
		}
	})
}

func TestWaitAfterLoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d dials
		p := newPipes()
		far := make(chan net.Conn, 1)
		c, err := NewClient(t.Context(), ClientOptions{
			URL: "ws://peer/", Pace: mtp.Pace{AfterLoss: 11 * time.Second}, Logger: slog.New(slog.DiscardHandler),
			Retry: usp.Retry{Minimum: time.Second, Multiplier: 1000},
			Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
				d.add()
				nc, err := p.dial(ctx, network, addr)
				select {
				case <-far:
				default:
				}
				far <- nc
				return nc, err
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
		synctest.Wait()

		_ = (<-far).Close() // it is gone without a Close frame
		synctest.Wait()
		c.Kick(agentID) // what the CPE does makes it no better
		c.Reconnect(agentID)
		time.Sleep(20 * time.Second)
		if d.count() != 2 || d.after(1) < 11*time.Second {
			t.Fatalf("%d dials, the last after %v", d.count(), d.after(d.count()-1))
		}

		lost := time.Now()
		(<-ctl.up).Close(mtp.Normal) // that of the first connection, which is over
		(<-ctl.up).Close(mtp.Normal)
		time.Sleep(5 * time.Second)
		if d.count() != 3 || d.at[2].Sub(lost) > 2*time.Second {
			t.Errorf("%d dials: an orderly end has a wait of its own", d.count())
		}
		c.Close(t.Context())
		s.Shutdown(t.Context())
	})
}
