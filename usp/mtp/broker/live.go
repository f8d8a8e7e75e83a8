package broker

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"isthmus/usp"
	"isthmus/usp/mtp"
	"isthmus/usp/usppb"
)

// maxEarly is how many Records that arrive before the Channels are up wait for that.
const maxEarly = 64

// reopen is how long a Channel that the Agent has closed stays so, where the connection goes on for other Controllers.
const reopen = 5 * time.Second

// live is a connection that is, or is about to be, up, with its Channels.
type live struct {
	p       *Pool
	l       *link
	setup   Setup // of which the Session is made, with the live as its Host
	session Session
	over    error // why it has ended; the Pool's mu guards it, counted and learnt
	counted bool  // among the connections
	learnt  bool  // something new was assigned

	raised bool // this and the following need mu
	fallen bool

	mu          sync.Mutex // held while the Endpoint is called, so that its calls come one after the other
	to          []mtp.Target
	early       []message
	channels    []*channel
	subscribing chan struct{} // holds a token while the Session changes where it listens; nil: it never has
}

type message struct {
	record []byte
	reply  mtp.Address
}

// channel reaches one Controller over a connection. It implements mtp.Channel.
type channel struct {
	v  *live
	to *mtp.Target
}

// raise has the Channels come up, and hands over what has arrived before.
func (v *live) raise() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.fallen {
		return
	}
	if k, ok := v.l.endpoint.(mtp.Learner); ok && v.learnt {
		for i := range v.to {
			k.Learnt(v.to[i].Controller, v.session.State())
		}
	}
	v.raised = true
	for i := range v.to {
		v.open(&v.to[i])
	}
	for _, m := range v.early {
		v.deliver(m)
	}
	v.early = nil
}

func (v *live) open(t *mtp.Target) {
	ch := &channel{v, t}
	v.channels = append(v.channels, ch)
	v.contain(func() { v.l.endpoint.Up(ch) })
}

// Dial implements Host.
func (v *live) Dial(ctx context.Context) (net.Conn, error) {
	return v.p.dial(ctx, v.l.b, v.setup.Endpoint)
}

// Hosts implements Host.
func (v *live) Hosts(id usp.EndpointID) bool { return id != v.setup.Endpoint && v.p.hosts(id) }

// Down implements Host.
func (v *live) Down(err error) {
	if err == nil {
		err = mtp.ErrDown
	}
	v.mu.Lock()
	v.fallen = true
	for _, ch := range v.channels {
		v.contain(func() { v.l.endpoint.Down(ch, err) })
	}
	v.channels = nil
	v.mu.Unlock()
	v.p.ended(v.l, v, err)
}

// follow opens and closes Channels as the Targets say.
func (v *live) follow(to []mtp.Target) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.to = to
	if !v.raised || v.fallen {
		return
	}
	for i := range to {
		at := slices.IndexFunc(v.channels, func(ch *channel) bool { return ch.to.SameWay(to[i]) })
		if at >= 0 {
			continue
		}
		if at = slices.IndexFunc(v.channels, func(ch *channel) bool { return ch.to.Controller == to[i].Controller }); at >= 0 {
			v.shut(v.channels[at], mtp.ErrDown) // where the Controller listens has changed
		}
		v.open(&to[i])
	}
	for _, ch := range slices.Clone(v.channels) {
		if !slices.ContainsFunc(to, func(t mtp.Target) bool { return ch.to.SameWay(t) }) {
			v.shut(ch, mtp.ErrDown)
		}
	}
}

// shut ends one Channel. It needs mu.
func (v *live) shut(ch *channel, why error) {
	i := slices.Index(v.channels, ch)
	if i < 0 {
		return
	}
	v.channels = slices.Delete(v.channels, i, i+1)
	v.contain(func() { v.l.endpoint.Down(ch, why) })
}

// resubscribe has the Session listen where the Targets say now: one change after the other.
func (v *live) resubscribe(ctx context.Context) error {
	v.mu.Lock()
	if v.subscribing == nil {
		v.subscribing = make(chan struct{}, 1)
	}
	turn := v.subscribing
	v.mu.Unlock()
	select {
	case turn <- struct{}{}:
		defer func() { <-turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	v.mu.Lock()
	to := v.to
	v.mu.Unlock()
	return v.session.Resubscribe(ctx, to)
}

// Receive implements Host.
func (v *live) Receive(record []byte, reply mtp.Address) {
	v.p.meter.Received(len(record))
	v.mu.Lock()
	defer v.mu.Unlock()
	switch m := (message{record, reply}); {
	case v.raised:
		v.deliver(m)
	case len(v.early) < maxEarly:
		v.early = append(v.early, m)
	default:
		v.p.meter.Refused("early")
	}
}

// deliver hands a Record to the Channel of its sender; one that no Controller of this connection has sent the Agent refuses by itself. What is
// no Record is dropped: the connection is not that sender's. It needs mu.
func (v *live) deliver(m message) {
	if len(v.channels) == 0 {
		return
	}
	ch := v.channels[0]
	if len(v.channels) > 1 {
		r, err := usp.DecodeRecord(m.record)
		if r == nil {
			v.Refuse("record", fmt.Sprintf("a message is no Record: %v", err))
			return
		}
		from := usp.EndpointID(r.GetFromId())
		if i := slices.IndexFunc(v.channels, func(ch *channel) bool { return ch.to.Controller == from }); i >= 0 {
			ch = v.channels[i]
		}
	}
	var err error
	v.contain(func() { err = v.l.endpoint.Receive(ch, m.record, m.reply) })
	if err != nil {
		v.Refuse("record", fmt.Sprintf("a message is no Record: %v", err))
	}
}

// contain calls the Endpoint, whose panics must not end the process.
func (v *live) contain(call func()) {
	defer func() {
		if r := recover(); r != nil {
			v.p.log.Error("panic while a Record was taken", "protocol", v.p.o.Protocol, "endpoint", v.l.endpoint.EndpointID(), "panic", r)
			v.p.meter.Refused("panic")
		}
	}()
	call()
}

// Refuse implements Host.
func (v *live) Refuse(reason, text string) {
	v.p.meter.Refused(reason)
	v.p.mu.Lock()
	defer v.p.mu.Unlock()
	b := v.l.b
	if b.refused == nil {
		b.refused = map[string]bool{}
	}
	if b.refused[reason] {
		return
	}
	b.refused[reason] = true
	v.p.log.Warn("messages are refused; the next ones are only counted", "protocol", v.p.o.Protocol, "broker", b.key.to.Host, "endpoint", v.l.endpoint.EndpointID(),
		"reason", reason, "first", text)
}

// reason is what the end of a connection is counted as.
func (v *live) reason() string {
	if v.l.anew || v.l.gone || v.p.closed {
		return "local"
	}
	return "error"
}

// Peer implements mtp.Channel.
func (c *channel) Peer() usp.EndpointID { return c.to.Controller }

// Protocol implements mtp.Channel.
func (c *channel) Protocol() string { return c.v.p.o.Protocol }

// MaxSize implements mtp.Channel.
func (c *channel) MaxSize() int { return c.v.session.MaxSize() }

// ConnectRecord implements mtp.Channel.
func (c *channel) ConnectRecord() *usppb.Record { return c.v.session.ConnectRecord() }

// Send implements mtp.Channel.
func (c *channel) Send(ctx context.Context, record []byte, to mtp.Address) error {
	err := c.v.session.Send(ctx, record, c.to, to)
	if err == nil {
		c.v.p.meter.Sent(len(record))
	}
	return err
}

// Close implements mtp.Channel. The connection ends with its only Channel; where it goes on for others, this one comes up again after a while.
func (c *channel) Close(mtp.CloseReason) {
	v := c.v
	v.p.spawn(func() {
		v.mu.Lock()
		there, alone := slices.Contains(v.channels, c), len(v.channels) == 1
		if there && !alone {
			v.shut(c, mtp.ErrDown)
		}
		v.mu.Unlock()
		switch {
		case !there: // the connection is others' now
			return
		case alone:
			v.session.Close(v.p.end)
			return
		}
		select {
		case <-time.After(reopen):
		case <-v.p.ctx.Done():
		}
		v.mu.Lock()
		to := v.to
		v.mu.Unlock()
		v.follow(to)
	})
}
