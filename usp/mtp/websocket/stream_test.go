package websocket

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// streamPeer echoes what it is sent in messages of three bytes, and knows these subprotocols.
func streamPeer(t *testing.T, protocols ...string) (url string, config *tls.Config) {
	t.Helper()
	up := websocket.Upgrader{Subprotocols: protocols}
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ws, err := up.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer func() { _ = ws.Close() }()
		for {
			_, b, err := ws.ReadMessage()
			if err != nil {
				return
			}
			kind := websocket.BinaryMessage
			if bytes.Equal(b, []byte("text")) {
				kind = websocket.TextMessage
			}
			if bytes.Equal(b, []byte("end")) {
				_ = ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""), time.Now().Add(patience))
			}
			for part := range sliceOf(b, 3) {
				if ws.WriteMessage(kind, part) != nil {
					return
				}
			}
		}
	}))
	t.Cleanup(s.Close)
	return "wss" + strings.TrimPrefix(s.URL, "https"), s.Client().Transport.(*http.Transport).TLSClientConfig
}

func sliceOf(b []byte, n int) func(yield func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for ; len(b) > n; b = b[n:] {
			if !yield(b[:n]) {
				return
			}
		}
		yield(b)
	}
}

// TestStream: bytes come as they were written, whatever messages they are in; deadlines hold, and what is no stream ends it.
func TestStream(t *testing.T) {
	url, config := streamPeer(t, "mqtt")
	dialed := 0
	dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
		dialed++
		return (&net.Dialer{}).DialContext(ctx, network, addr)
	}
	open := func() net.Conn {
		t.Helper()
		c, err := DialStream(t.Context(), url, "mqtt", config, dial)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		return c
	}
	c := open()
	want := bytes.Repeat([]byte("0123456789"), 1000)
	if _, err := c.Write(want); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	if _, err := c.Write([]byte("end")); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Read(got); !errors.Is(err, io.EOF) {
		t.Errorf("after the close: %d, %v", n, err)
	}
	c = open()
	_ = c.SetWriteDeadline(time.Now().Add(-time.Second))
	if _, err := c.Write([]byte("x")); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("after the deadline: %v", err)
	}
	c = open()
	if _, err := c.Write([]byte("text")); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(got); !errors.Is(err, errText) {
		t.Errorf("a text message: %v", err)
	}
	if dialed != 3 {
		t.Errorf("dialled %d times", dialed)
	}
}

// A peer that speaks something else is not spoken to.
func TestStreamWithoutSubprotocol(t *testing.T) {
	url, config := streamPeer(t)
	if _, err := DialStream(t.Context(), url, "mqtt", config, nil); !errors.Is(err, errNoStream) {
		t.Error(err)
	}
	if _, err := DialStream(t.Context(), url+"0", "mqtt", config, nil); err == nil {
		t.Error("an address without a listener")
	}
}
