package cwmp

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
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
	synctest.Test(t, func(t *testing.T) {
		h.ended = make(chan error, 1)
		l := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
		sv := NewServer(h, &ServerOptions{Logger: quiet})
		served := make(chan error, 1)
		go func() { served <- sv.Serve(l) }()
		client, server := net.Pipe()
		l.conns <- server
		body := informText(t)
		go func() { _, _ = io.Copy(io.Discard, client) }()
		if _, err := io.WriteString(client, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: "+strconv.Itoa(len(body))+"\r\n\r\n"+body); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		_ = client.Close()
		closed := time.Now()
		if err := <-h.ended; !errors.Is(err, ErrTimeout) {
			t.Error(err)
		}
		if d := time.Since(closed); d != reconnect {
			t.Error("ended after", d)
		}
		if err := errors.Join(sv.Shutdown(t.Context()), <-served); err != nil {
			t.Error(err)
		}
	})
}
