package client

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"time"
)

var errNoWheel = errors.New("mqtt: a connection needs a Wheel")

// Connect makes an MQTT connection of a net.Conn, which it closes if that fails: with *Refused, and the Connack, if the broker has refused it.
// It waits for the broker until ctx ends, and half a minute at most.
func Connect(ctx context.Context, nc net.Conn, o Options) (c *Conn, a *Connack, err error) {
	defer func() {
		if err != nil {
			c = nil
			_ = nc.Close()
		}
	}()
	if err := o.complete(); err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = nc.SetDeadline(time.Unix(1, 0)) })
	c = &Conn{
		nc: nc, in: bufio.NewReaderSize(nc, readBuffer), version: o.Version, limit: o.MaxPacket, wheel: o.Wheel, handle: o.Handle, down: o.Down,
		writing: make(chan struct{}, 1), over: make(chan struct{}),
	}
	err = contain(func() error {
		a, err = c.handshake(&o)
		return err
	})
	if !stop() {
		return nil, nil, fmt.Errorf("mqtt: waiting for CONNACK: %w", ctx.Err())
	}
	if err != nil {
		return nil, a, err
	}
	c.maxQoS, c.retain, c.maxPacket = a.MaximumQoS, a.RetainAvailable, a.MaximumPacket
	c.slots = make(chan struct{}, min(a.ReceiveMaximum, maxInFlight))
	c.up = true
	c.wheel.add(c, a.KeepAlive)
	go c.serve()
	return c, a, nil
}

// complete puts in the defaults and says what cannot be sent.
func (o *Options) complete() error {
	if o.Version == 0 {
		o.Version = V5
	}
	if o.MaxPacket == 0 {
		o.MaxPacket = defaultMaxPacket
	}
	o.KeepAlive = min(o.KeepAlive+time.Second-1, math.MaxUint16*time.Second).Truncate(time.Second)
	if o.Wheel == nil {
		return errNoWheel
	}
	texts := []string{o.ClientID, o.Username}
	for _, p := range o.UserProperties {
		texts = append(texts, p[:]...)
	}
	for _, s := range texts {
		if !isText(s) {
			return ErrText
		}
	}
	if len(o.Password) > math.MaxUint16 || o.Version == V311 && o.Password != nil && o.Username == "" { // [3.1.1: 3.1.2-22]
		return fmt.Errorf("%w: the password", ErrText)
	}
	if o.Will != nil {
		if len(o.Will.Payload) > math.MaxUint16 {
			return fmt.Errorf("%w: the Will", ErrTooBig)
		}
		return o.Will.check()
	}
	return nil
}

// check says what of a message cannot be sent to any broker.
func (p *Publish) check() error {
	switch {
	case !isTopic(p.Topic) || p.ResponseTopic != "" && !isTopic(p.ResponseTopic):
		return ErrTopic
	case !isText(p.ContentType) || len(p.CorrelationData) > math.MaxUint16:
		return ErrText
	case p.QoS > 1:
		return ErrQoS
	case len(p.Payload) > maxRemaining:
		return ErrTooBig
	}
	return nil
}

func (c *Conn) handshake(o *Options) (*Connack, error) {
	if _, err := c.nc.Write(seal(appendConnect(make([]byte, headroom, 256), o), connect<<4)); err != nil {
		return nil, fmt.Errorf("mqtt: sending CONNECT: %w", err)
	}
	c.sent.Add(1)
	p, err := c.next()
	if err != nil {
		return nil, fmt.Errorf("mqtt: waiting for CONNACK: %w", err)
	}
	if p.first>>4 != connack { // [3.2.0-1]
		return nil, violation("another packet came before CONNACK")
	}
	return decodeConnack(o, p.body)
}
