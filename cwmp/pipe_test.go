package cwmp

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestS7_InformOfADeadConnection: an Inform that is taken up when its CPE has gone opens no session. It would outlive those that the CPE has
// opened since, and keep everybody from reaching it.
func TestS7_InformOfADeadConnection(t *testing.T) {
	ctx, hangUp := context.WithCancel(t.Context())
	h := &acs{begin: func(*Session) error { hangUp(); return nil }}
	sv, _ := start(t, h, nil)
	sv.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, http.MethodPost, "/", strings.NewReader(informText(t))))
	if err := h.end(t); !errors.Is(err, ErrDisconnected) {
		t.Error(err)
	}
}

// TestS7_GoneAfterTheInform: a CPE that closes its connection after the InformResponse and does not come back keeps its session for
// a moment only.
func TestS7_GoneAfterTheInform(t *testing.T) {
	h := &acs{}
	overPipe(t, h, func(client net.Conn, answer func() int) {
		body := informText(t)
		pour(t, client, "POST / HTTP/1.1\r\nHost: x\r\n"+length(body)+body)
		if status := answer(); status != http.StatusOK {
			t.Error(status)
		}
		_ = client.Close()
		closed := time.Now()
		if err := <-h.ended; !errors.Is(err, ErrTimeout) {
			t.Error(err)
		}
		if d := time.Since(closed); d != reconnect {
			t.Error("ended after", d)
		}
	})
}

// TestH20_SlowCPE: a CPE on a line of 1 kB/s, which takes longer for its answer than it may be silent, keeps its session.
func TestH20_SlowCPE(t *testing.T) {
	const (
		perSecond = 1000 // bytes
		seconds   = 120
	)
	h := &acs{}
	overPipe(t, h, func(client net.Conn, answer func() int) {
		got := make(chan error, 1)
		h.run = readOne(got)
		slowly := func(text string) {
			for len(text) > 0 {
				n := min(len(text), perSecond)
				pour(t, client, text[:n])
				text = text[n:]
				time.Sleep(time.Second)
			}
		}
		for _, body := range []string{informText(t), "", string(message(t, "1", &GetParameterValuesResponse{ParameterList: []ParameterValueStruct{
			{Name: "Device.X_Log", Value: strings.Repeat("x", seconds*perSecond)}}}))} {
			slowly("POST / HTTP/1.1\r\nHost: x\r\n" + length(body) + body)
			if status := answer(); status != http.StatusOK && status != http.StatusNoContent {
				t.Error(status)
			}
		}
		if err := <-got; err != nil {
			t.Error(err)
		}
		if err := <-h.ended; err != nil {
			t.Error(err)
		}
	})
}

func pour(t *testing.T, w io.Writer, text string) {
	t.Helper()
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
}

// overPipe has a test write what it likes to a Server, in virtual time; answer reads an answer's status.
func overPipe(t *testing.T, h *acs, test func(client net.Conn, answer func() int)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		h.ended = make(chan error, 1)
		l := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
		sv := NewServer(h, &ServerOptions{Logger: quiet})
		served := make(chan error, 1)
		go func() { served <- sv.Serve(l) }()
		client, server := net.Pipe()
		l.conns <- server
		br := bufio.NewReader(client)
		test(client, func() int {
			resp, err := http.ReadResponse(br, nil)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			return resp.StatusCode
		})
		_ = client.Close()
		if err := errors.Join(sv.Shutdown(t.Context()), <-served); err != nil {
			t.Error(err)
		}
	})
}
