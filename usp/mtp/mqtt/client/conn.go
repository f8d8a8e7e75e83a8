package client

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

// Conn is a connection to a broker. Its methods may be called from any goroutine.
type Conn struct {
	nc      net.Conn
	in      *bufio.Reader
	version Version
	limit   int // bytes of a packet that the broker may send
	handle  func(*Publish)
	down    func(error)

	maxQoS    byte // of the broker, as are the next two
	retain    bool
	maxPacket int

	up      bool          // CONNACK has come
	writing chan struct{} // holds a token while a packet is written
	slots   chan struct{} // holds a token for each PUBLISH that is not yet acknowledged
	over    chan struct{} // closed when nothing more will be answered
	closing atomic.Bool
	cause   atomic.Pointer[error] // what has ended it

	mu      sync.Mutex
	pending map[uint16]*exchange
	lastID  uint16

	sent, received atomic.Uint64 // packets

	wheel *Wheel
	beat
}

// serve is the goroutine of a connection.
func (c *Conn) serve() {
	err := contain(c.read)
	var v *Violation
	var p *Panic
	switch {
	case errors.As(err, &v):
		c.shut(v.Code, err)
	case errors.As(err, &p):
		c.shut(implementationError, err)
	}
	if c.closing.Load() { // closing a socket that has unread bytes resets it, and the broker would not see our DISCONNECT
		_, _ = io.Copy(io.Discard, c.nc)
	}
	c.abort(err)
	c.wheel.remove(c)
	close(c.over)
	if c.down != nil {
		c.down(*c.cause.Load())
	}
}

// contain calls, and turns a panic into an error.
func contain(call func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &Panic{Value: p, Stack: debug.Stack()}
		}
	}()
	return call()
}

func (c *Conn) read() error {
	for {
		p, err := c.next()
		if err != nil {
			return err
		}
		if c.closing.Load() {
			return ErrClosed
		}
		if err := c.take(p); err != nil {
			return err
		}
	}
}

// take handles a packet of the broker's.
func (c *Conn) take(p inbound) error {
	switch kind := p.first >> 4; kind {
	case publish:
		m, id, err := decodePublish(c.version, p)
		if err != nil {
			return err
		}
		if c.handle != nil {
			c.handling.Store(true)
			c.handle(m)
			c.handling.Store(false)
		}
		if id == 0 {
			return nil
		}
		c.writing <- struct{}{} // whoever holds it has a deadline
		defer func() { <-c.writing }()
		return c.put([]byte{puback << 4, 2, byte(id >> 8), byte(id)})
	case puback, suback, unsuback:
		return c.answered(kind, p.body)
	case pingresp:
		if len(p.body) > 0 {
			return malformed("PINGRESP has a body")
		}
		return nil
	case disconnect:
		return decodeDisconnect(c.version, p.body)
	}
	return violation(fmt.Sprintf("a packet of type %d came", p.first>>4))
}

// send writes a packet whose body encode appends. It ends with ctx, unless the writing has begun.
func (c *Conn) send(ctx context.Context, first byte, encode func(b []byte) []byte) error {
	buf := packets.Get().(*[]byte)
	b := encode((*buf)[:headroom])
	defer func() {
		if cap(b) <= maxPooled {
			*buf = b
			packets.Put(buf)
		}
	}()
	if len(b)-headroom > maxRemaining {
		return ErrTooBig
	}
	packet := seal(b, first)
	if len(packet) > c.maxPacket {
		return ErrTooBig
	}
	select {
	case c.writing <- struct{}{}:
		defer func() { <-c.writing }()
	case <-c.over:
		return c.gone()
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return c.put(packet)
}

// put writes a packet; the caller holds the token. One that could not be written in full ends the connection.
func (c *Conn) put(packet []byte) error {
	if c.closing.Load() {
		return c.gone()
	}
	_ = c.nc.SetWriteDeadline(time.Now().Add(writeTimeout))
	c.sent.Add(1) // before anybody can know that it was
	if _, err := c.nc.Write(packet); err != nil {
		c.abort(err)
		return c.gone()
	}
	return nil
}

// Packets are how many were sent and received, CONNECT and CONNACK included.
func (c *Conn) Packets() (sent, received uint64) { return c.sent.Load(), c.received.Load() }

// gone is the error of what comes too late.
func (c *Conn) gone() error {
	if cause := c.cause.Load(); cause != nil {
		return fmt.Errorf("%w: %w", ErrDown, *cause)
	}
	return ErrDown
}

// Disconnect tells the broker that the connection ends, with a reason code of DISCONNECT: 0x00, or 0x04 if the Will is to be published, which
// in 3.1.1 is to close without a word. It does not wait for Down, but for a packet that is being written.
func (c *Conn) Disconnect(reason byte) { c.shut(reason, ErrClosed) }

// shut sends DISCONNECT. The reader then ends when the broker has closed, or after closeWait.
func (c *Conn) shut(reason byte, cause error) {
	if c.version == V311 && reason != 0 {
		c.abort(cause)
		return
	}
	if !c.closing.CompareAndSwap(false, true) {
		return
	}
	c.cause.CompareAndSwap(nil, &cause)
	_ = c.nc.SetWriteDeadline(time.Now().Add(closeWait)) // for who is writing
	c.writing <- struct{}{}
	defer func() { <-c.writing }()
	packet := []byte{disconnect << 4, 0}
	if reason != 0 {
		packet = []byte{disconnect << 4, 1, reason}
	}
	_ = c.nc.SetWriteDeadline(time.Now().Add(closeWait))
	if _, err := c.nc.Write(packet); err == nil {
		if half, ok := c.nc.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
			_ = c.nc.SetReadDeadline(time.Now().Add(closeWait))
			return
		}
	}
	_ = c.nc.Close()
}

// Abort drops the connection without a word; the broker publishes the Will.
func (c *Conn) Abort() { c.abort(ErrClosed) }

// abort drops the connection; the reader ends at once.
func (c *Conn) abort(cause error) {
	c.cause.CompareAndSwap(nil, &cause)
	c.closing.Store(true)
	_ = c.nc.Close()
}
