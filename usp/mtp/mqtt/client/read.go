package client

import (
	"errors"
	"io"
	"time"
)

const (
	readBuffer = 512  // what an idle connection keeps for what may come
	firstChunk = 4096 // what is allocated of a packet before its bytes are there; from then on, as much again as has come
)

// next reads a packet: its first byte and its body. The body of a PUBLISH is the caller's, any other is good until the next call.
// There is no deadline for a packet to begin, but one for each part of it to come.
func (c *Conn) next() (first byte, body []byte, err error) {
	if first, err = c.in.ReadByte(); err != nil {
		return 0, nil, err
	}
	c.heard.Store(true)
	waited := false
	wait := func(n int) {
		if c.in.Buffered() < n {
			waited = true
			c.until(time.Now().Add(stallTimeout))
		}
	}
	n, err := c.length(wait)
	if err == nil {
		body, err = c.body(first>>4, n, wait)
	}
	if waited {
		c.until(time.Time{})
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	if err == nil && first>>4 != publish && first&0x0F != 0 {
		err = malformed("a packet has reserved flags")
	}
	return first, body, err
}

// length reads how long the body is (1.5.5): too long a packet is not read.
func (c *Conn) length(wait func(int)) (int, error) {
	n := 0
	for shift := 0; shift < 28; shift += 7 {
		wait(1)
		b, err := c.in.ReadByte()
		if err != nil {
			return 0, err
		}
		n |= int(b&0x7F) << shift
		if b >= 0x80 {
			continue
		}
		if b == 0 && shift > 0 {
			break
		}
		if 1+shift/7+1+n > c.limit {
			return 0, &Violation{Code: packetTooLarge, Text: "a packet is larger than it was told to send"}
		}
		return n, nil
	}
	return 0, malformed("a packet's length has more bytes than it needs, or more than four")
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
