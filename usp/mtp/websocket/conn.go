package websocket

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"isthmus/usp"
	"isthmus/usp/mtp"
	"isthmus/usp/usppb"
)

// What ends a channel besides the transport's own errors; Down is told one of them.
var (
	ErrClosed    = errors.New("websocket: closed from this side")
	ErrBadRecord = errors.New("websocket: peer sent what is no Record")
	ErrKeepAlive = errors.New("websocket: peer answered no Ping")
	errPanic     = errors.New("websocket: panic while handling a Record")
)

// errText is wrapped into ErrBadRecord for a text message (R-WS.14).
var errText = errors.New("text message")

// writeBuffers are shared by all connections of the process; gorilla takes one for the time of a message.
var writeBuffers sync.Pool

// shared is what all connections of a Client or Server have in common.
type shared struct {
	maxSize int
	log     *slog.Logger
	metrics *metrics
	wheel   *wheel
}

// conn is a Channel over a connection of its own.
type conn struct {
	*shared
	ws       *websocket.Conn
	endpoint mtp.Endpoint
	peer     usp.EndpointID
	trusted  bool
	writing  chan struct{} // holds a token while a Record is written
	done     chan struct{} // closed when nothing can be sent any more
	closing  atomic.Bool
	cause    atomic.Pointer[error] // why this side ended it
	pinged   atomic.Bool           // nothing came since the last Ping
	parted   bool                  // the peer's Close frame has come; the reader's
}

func newConn(sh *shared, ws *websocket.Conn, e mtp.Endpoint, peer usp.EndpointID, trusted bool) *conn {
	c := &conn{
		shared: sh, ws: ws, endpoint: e, peer: peer, trusted: trusted,
		writing: make(chan struct{}, 1), done: make(chan struct{}),
	}
	ws.SetReadLimit(int64(sh.maxSize))
	ws.SetPongHandler(func(string) error {
		c.pinged.Store(false)
		return nil
	})
	answer := ws.PingHandler()
	ws.SetPingHandler(func(data string) error {
		c.pinged.Store(false)
		return answer(data)
	})
	closed := ws.CloseHandler()
	ws.SetCloseHandler(func(code int, text string) error {
		c.parted = true
		c.closing.Store(true) // before the peer sees our answer, so that it may dial again at once
		return closed(code, text)
	})
	return c
}

// Peer implements mtp.Channel.
func (c *conn) Peer() usp.EndpointID { return c.peer }

// Protocol implements mtp.Channel.
func (c *conn) Protocol() string { return "WebSocket" }

// MaxSize implements mtp.Channel.
func (c *conn) MaxSize() int { return c.maxSize }

// Trusted implements mtp.Truster.
func (c *conn) Trusted() bool { return c.trusted }

// Certificates implements mtp.Certified.
func (c *conn) Certificates() []*x509.Certificate {
	if t, ok := c.ws.NetConn().(*tls.Conn); ok {
		return t.ConnectionState().PeerCertificates
	}
	return nil
}

// Exclusive implements mtp.Exclusive.
func (c *conn) Exclusive() {}

// ConnectRecord implements mtp.Channel.
func (c *conn) ConnectRecord() *usppb.Record {
	return &usppb.Record{RecordType: &usppb.Record_WebsocketConnect{WebsocketConnect: &usppb.WebSocketConnectRecord{}}}
}

// Send implements mtp.Channel: it returns when the kernel has all of the Record. One that could not be written in full ends the
// connection, since what follows would be read as part of it.
func (c *conn) Send(ctx context.Context, record []byte, _ mtp.Address) error {
	if len(record) > c.maxSize {
		return mtp.ErrTooBig
	}
	select {
	case c.writing <- struct{}{}:
		defer func() { <-c.writing }()
	case <-c.done:
		return mtp.ErrDown
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if c.closing.Load() {
		return mtp.ErrDown
	}
	deadline := time.Now().Add(writeTimeout)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	_ = c.ws.SetWriteDeadline(deadline)
	if err := c.ws.WriteMessage(websocket.BinaryMessage, record); err != nil {
		c.abort(err)
		return fmt.Errorf("%w: %w", mtp.ErrDown, err)
	}
	c.metrics.sent.Inc()
	c.metrics.sentBytes.Add(float64(len(record)))
	return nil
}

// Close implements mtp.Channel.
func (c *conn) Close(reason mtp.CloseReason) {
	switch reason {
	case mtp.BadRecord:
		c.shut(websocket.CloseUnsupportedData, "no USP Record", ErrBadRecord)
	case mtp.Superseded:
		c.shut(websocket.CloseNormalClosure, "superseded", ErrClosed)
	default:
		c.shut(websocket.CloseNormalClosure, "", ErrClosed)
	}
}

// shut begins the closing handshake (R-WS.8); the reader ends with the peer's Close frame or after closeWait.
func (c *conn) shut(code int, text string, cause error) {
	if !c.closing.CompareAndSwap(false, true) {
		return
	}
	c.cause.CompareAndSwap(nil, &cause)
	now := time.Now()
	if c.ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, text), now.Add(closeTimeout)) != nil {
		_ = c.ws.Close()
		return
	}
	_ = c.ws.NetConn().SetReadDeadline(now.Add(closeWait))
}

// abort drops the connection; the reader ends at once.
func (c *conn) abort(cause error) {
	c.closing.Store(true)
	c.cause.CompareAndSwap(nil, &cause)
	_ = c.ws.Close()
}

// serve reads until the connection ends. It calls Up, Receive and Down.
func (c *conn) serve() {
	c.metrics.connections.Inc()
	defer c.metrics.connections.Dec()
	c.wheel.add(c)
	defer c.wheel.remove(c)

	err := c.handle()
	close(c.done)
	if errors.Is(err, websocket.ErrReadLimit) {
		c.drain()
	}
	_ = c.ws.Close()
	if cause := c.cause.Load(); cause != nil {
		err = *cause
	}
	c.metrics.closed(err)
	_ = c.contain(func() error { // it is logged; the connection has ended
		c.endpoint.Down(c, err)
		return nil
	})
}

// drain takes in what a peer still sends after its message was too big: closing a socket with unread bytes resets it, and the
// peer would not see the Close frame with 1009.
func (c *conn) drain() {
	_ = c.ws.NetConn().SetReadDeadline(time.Now().Add(closeWait))
	_, _ = io.Copy(io.Discard, c.ws.NetConn())
}

func (c *conn) handle() error {
	err := c.contain(func() error {
		c.endpoint.Up(c)
		return nil
	})
	for err == nil {
		err = c.next()
	}
	return err
}

// next reads one message. While closing, messages are read and dropped, to come to the peer's Close frame.
func (c *conn) next() error {
	kind, r, err := c.ws.NextReader()
	if err != nil {
		return fmt.Errorf("reading: %w", err)
	}
	c.pinged.Store(false)
	if c.closing.Load() {
		return nil
	}
	if kind != websocket.BinaryMessage {
		c.shut(websocket.CloseUnsupportedData, "no USP Record", fmt.Errorf("%w: %w", ErrBadRecord, errText))
		return nil
	}
	b, err := io.ReadAll(r)
	if err != nil {
		return fmt.Errorf("reading: %w", err)
	}
	c.pinged.Store(false)
	c.metrics.received.Inc()
	c.metrics.receivedBytes.Add(float64(len(b)))
	return c.contain(func() error {
		if err := c.endpoint.Receive(c, b, ""); err != nil {
			c.shut(websocket.CloseUnsupportedData, "no USP Record", fmt.Errorf("%w: %w", ErrBadRecord, err))
		}
		return nil
	})
}

// contain calls the Endpoint and turns its panic into the end of this connection only.
func (c *conn) contain(call func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			c.log.Error("panic in an endpoint", "endpoint", c.endpoint.EndpointID(), "peer", c.peer, "panic", p, "stack", string(debug.Stack()))
			c.shut(websocket.CloseInternalServerErr, "", errPanic)
			err = errPanic
		}
	}()
	return call()
}
