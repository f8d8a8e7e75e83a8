package cwmp

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"testing"
	"testing/synctest"
	"time"
)

// pipes is a net.Listener whose connections are pipes, so that time in a synctest bubble is virtual.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	select {
	case <-p.closed:
	default:
		close(p.closed)
	}
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

// bubble runs a test in virtual time with a Server on pipes; post sends a body over one pipe and returns the HTTP status.
func bubble(t *testing.T, h *acs, test func(t *testing.T, post func(body []byte) int)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		h.ended = make(chan error, 4)
		l := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
		sv := NewServer(h, &ServerOptions{Logger: quiet})
		served := make(chan error, 1)
		go func() { served <- sv.Serve(l) }()
		client, server := net.Pipe()
		l.conns <- server
		br := bufio.NewReader(client)
		test(t, func(body []byte) int {
			_, err := io.WriteString(client, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: "+strconv.Itoa(len(body))+"\r\n\r\n"+string(body))
			if err != nil {
				t.Fatal(err)
			}
			resp, err := http.ReadResponse(br, nil)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			return resp.StatusCode
		})
		_ = client.Close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := errors.Join(sv.Shutdown(ctx), <-served); err != nil {
			t.Error(err)
		}
	})
}

func TestSessionTimeout(t *testing.T) {
	h := &acs{}
	bubble(t, h, func(t *testing.T, post func([]byte) int) {
		got := make(chan error, 1) // of the bubble, or waiting on it would stop the clock
		h.run = readOne(got)
		post(message(t, "1", testInform()))
		time.Sleep(59 * time.Second)
		post(nil)
		sent := time.Now()
		if err := <-got; !errors.Is(err, ErrUnknownOutcome) || !errors.Is(err, ErrTimeout) {
			t.Error(err)
		}
		if d := time.Since(sent); d != time.Minute {
			t.Error("timed out after", d)
		}
		if err := h.end(t); !errors.Is(err, ErrTimeout) {
			t.Error(err)
		}
	})
}

func TestSessionTimeoutBeforeTheEmptyPost(t *testing.T) {
	h := &acs{}
	bubble(t, h, func(t *testing.T, post func([]byte) int) {
		b, err := Encode(&Envelope{SessionTimeout: 40 * time.Second, Body: testInform()})
		if err != nil {
			t.Fatal(err)
		}
		post(b)
		opened := time.Now()
		if err := <-h.ended; !errors.Is(err, ErrTimeout) {
			t.Error(err)
		}
		if d := time.Since(opened); d != 40*time.Second {
			t.Error("timed out after", d)
		}
		if status := post(nil); status != http.StatusNoContent {
			t.Error(status)
		}
	})
}

// TestSessionHeldLong: no deadline of the server cuts a POST that is held for long.
func TestSessionHeldLong(t *testing.T) {
	h := &acs{run: func(ctx context.Context, _ *Session) {
		select {
		case <-time.After(4 * time.Minute):
		case <-ctx.Done():
		}
	}}
	bubble(t, h, func(t *testing.T, post func([]byte) int) {
		post(message(t, "1", testInform()))
		if status := post(nil); status != http.StatusNoContent {
			t.Error(status)
		}
		if err := <-h.ended; err != nil {
			t.Error(err)
		}
	})
}

// TestRequestWhileTheSessionEnds: the CPE may be faster with its next request than End.
func TestRequestWhileTheSessionEnds(t *testing.T) {
	h := &acs{}
	bubble(t, h, func(t *testing.T, post func([]byte) int) {
		h.ended = make(chan error) // End returns when this is read
		post(message(t, "1", testInform()))
		post(nil)
		status := make(chan int)
		go func() { status <- post(message(t, "2", &TransferComplete{})) }()
		synctest.Wait()
		if err := <-h.ended; err != nil {
			t.Error(err)
		}
		if got := <-status; got != http.StatusOK {
			t.Error(got)
		}
	})
}

func TestSessionAfterlifeIsShort(t *testing.T) {
	h := &acs{}
	bubble(t, h, func(t *testing.T, post func([]byte) int) {
		post(message(t, "1", testInform()))
		post(nil)
		if err := <-h.ended; err != nil {
			t.Error(err)
		}
		time.Sleep(afterlife - time.Second)
		if status := post(message(t, "2", &TransferComplete{})); status != http.StatusOK {
			t.Error(status)
		}
		time.Sleep(2 * time.Second)
		if status := post(message(t, "3", &TransferComplete{})); status != http.StatusBadRequest {
			t.Error(status)
		}
	})
}

func TestCallHonoursItsContextUntilItIsSent(t *testing.T) {
	h := &acs{}
	bubble(t, h, func(t *testing.T, post func([]byte) int) {
		got := make(chan error, 2)
		h.run = func(ctx context.Context, s *Session) {
			ended, cancel := context.WithCancel(ctx)
			cancel()
			readOne(got)(ended, s)
			short, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			readOne(got)(short, s)
		}
		post(message(t, "1", testInform()))
		post(nil)
		if err := <-got; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		time.Sleep(30 * time.Second) // the second call was sent: its deadline is no more
		if status := post(message(t, "1", &GetParameterValuesResponse{})); status != http.StatusNoContent {
			t.Error(status)
		}
		if err := <-got; err != nil {
			t.Error(err)
		}
	})
}
