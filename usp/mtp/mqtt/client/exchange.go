package client

import (
	"context"
	"errors"
)

// errUnanswered is for a broker that leaves more unanswered than maxUnanswered.
var errUnanswered = errors.New("mqtt: broker leaves too many packets unanswered")

// maxUnanswered bounds what may wait for an answer, PUBLISH and the others together.
const maxUnanswered = 2 * maxInFlight

// exchange is a packet of ours that the broker has to answer.
type exchange struct {
	kind   byte // of the answer
	codes  int  // as many are wanted of it
	answer chan ack
}

// Publish sends a message. At QoS 0 it returns when that is written; at QoS 1 when the broker has acknowledged it, or with *Refused. No more are
// under way at once than the broker takes in; the others wait here. When ctx ends first nobody knows whether the broker has it.
func (c *Conn) Publish(ctx context.Context, p *Publish) error {
	if err := p.check(); err != nil {
		return err
	}
	switch {
	case p.QoS > c.maxQoS:
		return ErrQoS
	case p.Retain && !c.retain:
		return ErrRetain
	case p.QoS == 0:
		return c.send(ctx, publishFlags(p), func(b []byte) []byte { return appendPublish(b, c.version, p, 0) })
	}
	select {
	case c.slots <- struct{}{}: // until PUBACK comes, whoever still waits for it
	case <-c.over:
		return c.gone()
	case <-ctx.Done():
		return ctx.Err()
	}
	a, err := c.exchange(ctx, puback, 0, publishFlags(p), func(b []byte, id uint16) []byte { return appendPublish(b, c.version, p, id) })
	if err != nil {
		return err
	}
	if a.code >= 0x80 {
		return &Refused{Packet: "PUBACK", Version: c.version, Code: a.code, ReasonString: a.reason}
	}
	return nil
}

// Subscribe asks for the messages of topics, and returns what the broker has granted, in the same order: a QoS, or a reason code from 0x80 on
// where it refuses. That is no error.
func (c *Conn) Subscribe(ctx context.Context, subs []Subscription) ([]byte, error) {
	for _, s := range subs {
		switch {
		case !IsFilter(s.Filter):
			return nil, ErrTopic
		case s.QoS > 1:
			return nil, ErrQoS
		}
	}
	if len(subs) == 0 { // [3.8.3-2]
		return nil, ErrTopic
	}
	a, err := c.exchange(ctx, suback, len(subs), subscribe<<4|2, func(b []byte, id uint16) []byte {
		return appendSubscribe(b, c.version, subs, id)
	})
	if err != nil {
		return nil, err
	}
	for i, code := range a.codes {
		if code > subs[i].QoS && code < 0x80 {
			err := violation("SUBACK grants a higher QoS than was asked for")
			c.shut(protocolError, err)
			return nil, err
		}
	}
	return a.codes, nil
}

// Unsubscribe ends subscriptions.
func (c *Conn) Unsubscribe(ctx context.Context, filters []string) error {
	for _, f := range filters {
		if !IsFilter(f) {
			return ErrTopic
		}
	}
	if len(filters) == 0 { // [3.10.3-2]
		return ErrTopic
	}
	codes := 0
	if c.version == V5 {
		codes = len(filters)
	}
	a, err := c.exchange(ctx, unsuback, codes, unsubscribe<<4|2, func(b []byte, id uint16) []byte {
		return appendUnsubscribe(b, c.version, filters, id)
	})
	if err != nil {
		return err
	}
	for _, code := range a.codes {
		if code >= 0x80 {
			return &Refused{Packet: "UNSUBACK", Version: c.version, Code: code, ReasonString: a.reason}
		}
	}
	return nil
}

// exchange sends a packet and waits for the answer to it. The Packet Identifier stays taken until that comes.
func (c *Conn) exchange(ctx context.Context, kind byte, codes int, first byte, encode func(b []byte, id uint16) []byte) (ack, error) {
	e := &exchange{kind: kind, codes: codes, answer: make(chan ack, 1)}
	id, err := c.begin(e)
	if err != nil {
		return ack{}, err
	}
	if err := c.send(ctx, first, func(b []byte) []byte { return encode(b, id) }); err != nil { // nothing was sent, or the connection is over
		c.end(id)
		return ack{}, err
	}
	select {
	case a := <-e.answer:
		return a, nil
	case <-ctx.Done():
		return ack{}, ctx.Err()
	case <-c.over:
	}
	select {
	case a := <-e.answer: // the last that the broker said
		return a, nil
	default:
		return ack{}, c.gone()
	}
}

// begin gives an exchange a Packet Identifier.
func (c *Conn) begin(e *exchange) (uint16, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.pending) >= maxUnanswered {
		if e.kind == puback {
			<-c.slots
		}
		return 0, errUnanswered
	}
	if c.pending == nil {
		c.pending = map[uint16]*exchange{}
	}
	for {
		c.lastID++
		if c.lastID != 0 && c.pending[c.lastID] == nil {
			c.pending[c.lastID] = e
			return c.lastID, nil
		}
	}
}

// end ends the exchange of a Packet Identifier, if there is one.
func (c *Conn) end(id uint16) *exchange {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.pending[id]
	if e == nil {
		return nil
	}
	delete(c.pending, id)
	if e.kind == puback {
		<-c.slots
	}
	return e
}

// answered takes an answer in. One to nothing is passed over.
func (c *Conn) answered(kind byte, body []byte) error {
	a, err := decodeAck(c.version, kind, body)
	if err != nil {
		return err
	}
	e := c.end(a.id)
	if e == nil {
		return nil
	}
	if e.kind != kind || len(a.codes) != e.codes {
		return violation("an answer does not fit the packet with its Packet Identifier")
	}
	e.answer <- a
	return nil
}
