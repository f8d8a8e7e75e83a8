package websocket

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
)

var errNoStream = errors.New("websocket: peer does not agree to the subprotocol")

// DialStream makes a byte stream over WebSocket for a protocol that is no MTP of its own, as MQTT has it (MQTT 5.0, section 6): what is written goes in
// binary messages, whose borders mean nothing. t is nil for ws. One goroutine may read and one may write at a time.
func DialStream(ctx context.Context, url, protocol string, t *tls.Config, dial func(ctx context.Context, network, addr string) (net.Conn, error)) (net.Conn, error) {
	d := websocket.Dialer{NetDialContext: dial, TLSClientConfig: t, Subprotocols: []string{protocol}, HandshakeTimeout: handshakeTimeout,
		ReadBufferSize: readBuffer, WriteBufferSize: writeBuffer, WriteBufferPool: &writeBuffers}
	ws, resp, err := d.DialContext(ctx, url, nil)
	if err != nil {
		if resp != nil {
			err = fmt.Errorf("peer answers %s: %w", resp.Status, err)
		}
		return nil, err
	}
	if ws.Subprotocol() != protocol {
		_ = ws.Close()
		return nil, errNoStream
	}
	return &stream{Conn: ws.NetConn(), ws: ws}, nil
}

// stream is a net.Conn: the addresses are those of the connection below.
type stream struct {
	net.Conn
	ws    *websocket.Conn
	in    io.Reader // what is left of a message
	until atomic.Int64
}

// Read implements net.Conn.
func (s *stream) Read(b []byte) (int, error) {
	for {
		if s.in == nil {
			kind, in, err := s.ws.NextReader()
			if err != nil {
				return 0, endOf(err)
			}
			if kind != websocket.BinaryMessage {
				return 0, errText
			}
			s.in = in
		}
		n, err := s.in.Read(b)
		if errors.Is(err, io.EOF) {
			s.in, err = nil, nil
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}

// endOf takes a closing handshake for the end of the stream.
func endOf(err error) error {
	if websocket.IsCloseError(err, websocket.CloseNormalClosure, websocket.CloseGoingAway) {
		return io.EOF
	}
	return err
}

// Write implements net.Conn.
func (s *stream) Write(b []byte) (int, error) {
	var until time.Time
	if n := s.until.Load(); n != 0 {
		until = time.Unix(0, n)
	}
	_ = s.ws.SetWriteDeadline(until) // gorilla keeps it for the next write, from the goroutine that writes
	if err := s.ws.WriteMessage(websocket.BinaryMessage, b); err != nil {
		return 0, err
	}
	return len(b), nil
}

// SetWriteDeadline implements net.Conn; it may be called from any goroutine.
func (s *stream) SetWriteDeadline(t time.Time) error {
	if t.IsZero() {
		s.until.Store(0)
	} else {
		s.until.Store(t.UnixNano())
	}
	return s.Conn.SetWriteDeadline(t)
}

// SetDeadline implements net.Conn.
func (s *stream) SetDeadline(t time.Time) error {
	return errors.Join(s.SetReadDeadline(t), s.SetWriteDeadline(t))
}
