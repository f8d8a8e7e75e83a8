package agent

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"isthmus/usp"
	"isthmus/usp/mtp"
)

// channel is a Channel that is up.
type channel struct {
	ch    mtp.Channel
	peer  usp.EndpointID
	ready gate // opened when the Connect Record has left: nothing may be sent before it (R-MTP.8)
	known bool // the Connect Record was sent; to be read when ready is open

	exclusive bool // see mtp.Exclusive
	dialled   bool // by the Dialer
	stranger  bool // the peer is not proven to be who it says it is (mtp.Truster)
	protected bool // see Agent.protected; to be read when ready is open

	manners *manners // of a Controller that has a Profile; else nil

	// The Agent's mu guards these.
	handling int      // Records that came over it and whose goroutine has not ended
	bytes    int      // of them
	parting  *parting // it is about to be closed
}

// gate is a channel that is closed once. The zero gate is open; an open one holds no channel of its own.
type gate struct{ c atomic.Pointer[chan struct{}] }

// openGate is a channel that is closed.
var openGate = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

func (g *gate) shut() { c := make(chan struct{}); g.c.Store(&c) }
func (g *gate) open() { close(*g.c.Swap(nil)) }

func (g *gate) opened() <-chan struct{} {
	if c := g.c.Load(); c != nil {
		return *c
	}
	return openGate
}

// maxStrangers is how many peers that nothing vouches for may be connected to one Agent.
const maxStrangers = 8

// Up sends the Connect Record and then what is waiting for the Controller. Two Endpoints have one session at most (R-WS.4): where there is a
// channel to the same Controller already, that one stays and the new one is closed as Superseded.
func (a *Agent) Up(ch mtp.Channel) { a.up(ch, false) }

func (a *Agent) up(ch mtp.Channel, dialled bool) {
	l := &channel{ch: ch, peer: ch.Peer(), dialled: dialled, manners: a.fleet.manners(ch.Peer())}
	l.ready.shut()
	_, l.exclusive = ch.(mtp.Exclusive)
	l.exclusive = l.exclusive && (l.manners == nil || l.manners.Gap == 0)
	if t, ok := ch.(mtp.Truster); ok {
		l.stranger = !t.Trusted()
	}
	a.mu.Lock()
	switch {
	case a.closing:
		a.mu.Unlock()
		ch.Close(mtp.Normal)
		return
	case l.stranger && a.strangers() >= maxStrangers:
		a.mu.Unlock()
		ch.Close(mtp.Normal)
		return
	case l.peer != "" && !l.stranger && a.linkTo(l.peer) != nil:
		a.mu.Unlock()
		ch.Close(mtp.Superseded)
		return
	}
	a.links = append(slices.Clip(a.links), l)
	a.busy++
	a.work.Add(1)
	a.mu.Unlock()
	go a.greet(l)
}

// greet sends the Connect Record to a Controller that may hear it, and has what waits for it delivered.
func (a *Agent) greet(l *channel) {
	defer a.leave()
	ctx, cancel := context.WithTimeout(a.life(), sendTimeout)
	defer cancel()
	err := a.load(ctx)
	if err == nil && a.rows().disabled(l.peer) {
		l.ready.open()
		a.unlink(l.ch) // so that it is in nobody's way until it is down
		l.ch.Close(mtp.Normal)
		return
	}
	if err == nil {
		err = a.admitCertificates(ctx, l)
	}
	if err == nil {
		l.protected = a.protected(l)
	}
	if err == nil && a.accepts(l.peer) {
		err = a.connect(ctx, l)
		l.known = err == nil
	}
	if err == nil {
		a.hurry(l.peer)
	}
	l.ready.open()
	if err != nil {
		if a.life().Err() == nil {
			a.fleet.log.Warn("a channel came up and the Controller could not be greeted", "device", a.id.ID, "controller", l.peer, "error", err)
			l.ch.Close(mtp.Normal) // so that the transport tries again
		}
		return
	}
	a.kick()
}

// hurry ends the waits of what is queued for a Controller that has just come back.
func (a *Agent) hurry(peer usp.EndpointID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if q := a.st.queues[peer]; q != nil {
		q.paused = time.Time{}
		for _, n := range q.notes {
			n.at = time.Time{}
		}
	}
}

func (a *Agent) connect(ctx context.Context, l *channel) error {
	if l.manners.silent() {
		return nil
	}
	record, err := usp.Address(l.ch.ConnectRecord(), a.id.ID, l.peer, "")
	if err == nil {
		record, err = a.sign(l, l.peer, record)
	}
	if err != nil {
		return err
	}
	return l.put(ctx, record, "")
}

func (a *Agent) disconnect(ctx context.Context, l *channel, why *usp.Error) {
	if l.manners.silent() || l.wait(ctx) != nil || !l.known {
		return
	}
	record, err := usp.Address(usp.Disconnect(why), a.id.ID, l.peer, "")
	if err == nil {
		record, err = a.sign(l, l.peer, record)
	}
	if err == nil {
		err = l.put(ctx, record, "")
	}
	if err != nil {
		a.fleet.log.Debug("a Disconnect Record could not be sent", "device", a.id.ID, "controller", l.peer, "error", err)
	}
}

// Down forgets a channel.
func (a *Agent) Down(ch mtp.Channel, reason error) {
	a.unlink(ch)
	a.fleet.log.Debug("channel is down", "device", a.id.ID, "controller", ch.Peer(), "reason", reason)
}

func (a *Agent) unlink(ch mtp.Channel) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.links = slices.DeleteFunc(slices.Clone(a.links), func(l *channel) bool {
		if l.ch == ch && l.parting != nil {
			close(l.parting.gone)
			a.forgetLast(l.peer)
		}
		return l.ch == ch
	})
	if len(a.links) == 0 {
		a.links = nil
	}
}

// strangers counts the channels of peers that nothing vouches for. It is called with a.mu held.
func (a *Agent) strangers() (n int) {
	for _, l := range a.links {
		if l.stranger {
			n++
		}
	}
	return n
}

// linkTo finds the channel to a Controller: a proven one, since a stranger could call itself so. It is called with a.mu held.
func (a *Agent) linkTo(id usp.EndpointID) *channel {
	for _, l := range a.links {
		if l.peer == id && !l.stranger {
			return l
		}
	}
	return nil
}

// route is the channel to a Controller that may be told something. It is called with a.mu held, the Agent being loaded.
func (a *Agent) route(id usp.EndpointID) *channel {
	l := a.linkTo(id)
	if g := a.st.rows.grant(id); (!g.listed || !g.enabled) && (l == nil || l.parting == nil) {
		return nil
	}
	return l
}

func (a *Agent) link(ch mtp.Channel) *channel {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, l := range a.links {
		if l.ch == ch {
			return l
		}
	}
	return nil
}

// accepts says whether a Controller is in the table and enabled. The Agent must be loaded.
func (a *Agent) accepts(id usp.EndpointID) bool { return a.rows().grant(id).enabled && id != a.id.ID }

func (a *Agent) send(ctx context.Context, l *channel, record []byte, to mtp.Address) error {
	if err := l.wait(ctx); err != nil {
		return err
	}
	return l.put(ctx, record, to)
}
