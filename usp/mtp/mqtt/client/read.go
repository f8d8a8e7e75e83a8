package client

import (
	"errors"
	"io"
	"math"
	"time"
)

const (
	readBuffer = 512  // what an idle connection keeps for what may come
	firstChunk = 4096 // what is allocated of a packet before its bytes are there; from then on, as much again as has come
)

// inbound is a packet of the broker's.
type inbound struct {
	first byte
	body  []byte // of a PUBLISH the receiver's, of any other good until the next is read
	cut   bool   // a PUBLISH is larger than limit, and the end of it is not here
}

// next reads a packet. There is no deadline for one to begin, but one for each part of it to come.
func (c *Conn) next() (p inbound, err error) {
	if p.first, err = c.in.ReadByte(); err != nil {
		return p, err
	}
	c.heard.Store(true)
	c.received.Add(1)
	kind := p.first >> 4
	if kind != publish && p.first&0x0F != 0 {
		return p, malformed("a packet has reserved flags")
	}
	waited := false
	wait := func(n int) {
		if c.in.Buffered() < n {
			waited = true
			c.until(time.Now().Add(stallTimeout))
		}
	}
	n, head, err := c.length(wait)
	switch fits := 1+head+n <= c.limit; {
	case err != nil:
	case fits:
		p.body, err = c.body(kind, n, wait)
	case kind == publish && c.version == V311: // no way to tell the broker before, and it may send the same again for ever
		p.cut = true
		p.body, err = c.start(n, wait)
	default:
		err = &Violation{Code: packetTooLarge, Text: "a packet is larger than it was told to send"}
	}
	if waited {
		c.until(time.Time{})
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return p, err
}

// length reads how long the body is (1.5.5), and says how many bytes that took.
func (c *Conn) length(wait func(int)) (n, head int, err error) {
	for shift := 0; shift < 28; shift += 7 {
		wait(1)
		b, err := c.in.ReadByte()
		if err != nil {
			return 0, 0, err
		}
		n |= int(b&0x7F) << shift
		if b == 0 && shift > 0 {
			break
		}
		if b < 0x80 {
			return n, shift/7 + 1, nil
		}
	}
	return 0, 0, malformed("a packet's length has more bytes than it needs, or more than four")
}

func (c *Conn) body(kind byte, n int, wait func(int)) ([]byte, error) {
	if kind != publish && n <= readBuffer {
		wait(n)
		b, err := c.in.Peek(n)
		if err == nil {
			_, err = c.in.Discard(n)
		}
		return b, err
	}
	b := make([]byte, min(n, firstChunk))
	for at := 0; ; {
		wait(len(b) - at)
		if _, err := io.ReadFull(c.in, b[at:]); err != nil {
			return nil, err
		}
		c.heard.Store(true)
		if at = len(b); at == n {
			return b, nil
		}
		b = append(b, make([]byte, min(at, n-at))...)
	}
}

// start reads as much of a PUBLISH as its topic and Packet Identifier may take, and passes over the rest.
func (c *Conn) start(n int, wait func(int)) ([]byte, error) {
	b, err := c.body(publish, min(n, 2+math.MaxUint16+2), wait)
	for n -= len(b); n > 0 && err == nil; {
		part := min(n, maxPooled)
		wait(part)
		_, err = c.in.Discard(part)
		c.heard.Store(true)
		n -= part
	}
	return b, err
}

// until sets the deadline of what is read. Once the connection is being closed, that is closeWait away.
func (c *Conn) until(t time.Time) {
	if !c.up {
		return // Connect's context is the deadline
	}
	_ = c.nc.SetReadDeadline(t)
	if c.closing.Load() { // shut may have set its deadline just before
		_ = c.nc.SetReadDeadline(time.Now().Add(closeWait))
	}
}
