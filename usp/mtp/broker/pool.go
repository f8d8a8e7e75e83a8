package broker

import (
	"context"
	"crypto/tls"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"isthmus/usp"
	"isthmus/usp/mtp"
	"isthmus/usp/mtp/meter"
)

const (
	defaultHandshakes = 32
	// defaultMaxBrokers is a bound that a fleet whose Agents were all given the same few brokers never meets.
	defaultMaxBrokers = 1024
	handshakeTime     = 30 * time.Second
	resubscribeTime   = 30 * time.Second
	// tellAgain is how long the log is silent about a broker that fails again.
	tellAgain = time.Minute
	// sessionCache is how many TLS sessions are kept of one broker.
	sessionCache = 8
	// closers is how many connections are closed at a time when the Pool ends.
	closers = 64
)

// Options say how a Pool reaches brokers.
type Options struct {
	Protocol string // of Targets and Channels: "MQTT", "STOMP"
	Open     Opener
	// TLS is for brokers that Controllers have added; nil: the system's roots.
	TLS *tls.Config
	// Certificate gives an Endpoint's own certificate when a broker that Controllers have added asks for one.
	Certificate func(usp.EndpointID) (*tls.Certificate, error)
	// Dial opens TCP connections to brokers of the configuration, DialAdded to those that Controllers have added; nil: plain TCP.
	Dial, DialAdded func(ctx context.Context, network, addr string) (net.Conn, error)
	// Stream opens a byte stream over WebSocket at a URL; nil where the protocol has none.
	Stream func(ctx context.Context, url string, t *tls.Config, dial func(ctx context.Context, network, addr string) (net.Conn, error)) (net.Conn, error)
	// Guard, if there is one, says why an address that a Controller has set must not be dialled. DialAdded has to ask it of names.
	Guard          func(netip.AddrPort) error
	HandshakeLimit int // connections being set up at a time with one broker; 0: 32
	MaxBrokers     int // different connections that Controllers may have set; 0: 1024
	Logger         *slog.Logger
	Registerer     prometheus.Registerer
}

// Fixed says how a Controller of the configuration is reached, besides its Target.
type Fixed struct {
	TLS         *tls.Config                                    // nil: the system's roots
	Certificate func(usp.EndpointID) (*tls.Certificate, error) // for a broker that asks for one; nil: what TLS says
	Password    func(targets mtp.Secret) mtp.Secret            // what the Target's password has become, for each new connection; nil: that one
	Cycle       bool                                           // a restart of the device makes the connection anew
	// Shared is how many connections all Agents share, of a protocol whose Sessions can; 0: each has its own.
	Shared int
}

// Pool is an mtp.Dialer.
type Pool struct {
	ctx    context.Context // of dialling
	cancel context.CancelFunc
	end    context.Context // of closing in order
	kill   context.CancelFunc
	o      Options
	log    *slog.Logger
	meter  *meter.Meter

	mu      sync.Mutex
	fixed   map[usp.EndpointID]*Fixed
	brokers map[brokerKey]*broker
	agents  map[usp.EndpointID][]*link
	closed  bool
	wg      sync.WaitGroup // of goroutines, and of Sessions that are up
}

// brokerKey tells brokers, and ways to use one, apart: what is the same for all Controllers and Agents there.
type brokerKey struct {
	to    mtp.Target
	fixed *Fixed
}

// serves says whether a connection that was made for one key is good for another: whichever of the configuration's Controllers behind it was the first.
func (k *brokerKey) serves(o *brokerKey) bool {
	return k.to == o.to && (k.fixed == o.fixed || k.fixed != nil && o.fixed != nil)
}

// broker is one that is dialled for at least one Agent. The Pool's mu guards it.
type broker struct {
	key      brokerKey
	tls      *tls.Config
	links    int
	queue    []*link // waiting for one of the HandshakeLimit places
	dialling int
	failing  bool            // it was said to be out of reach
	told     time.Time       // when that was
	refused  map[string]bool // reasons for which a message was refused, said already
}

// New makes a Pool. It dials no more when ctx is done; Close ends it.
func New(ctx context.Context, o Options) *Pool {
	if o.HandshakeLimit <= 0 {
		o.HandshakeLimit = defaultHandshakes
	}
	if o.MaxBrokers <= 0 {
		o.MaxBrokers = defaultMaxBrokers
	}
	tcp := func(ctx context.Context, network, addr string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, addr)
	}
	if o.Dial == nil {
		o.Dial = tcp
	}
	if o.DialAdded == nil {
		o.DialAdded = tcp
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	p := &Pool{o: o, log: o.Logger, meter: meter.New(o.Registerer, o.Protocol), fixed: map[usp.EndpointID]*Fixed{},
		brokers: map[brokerKey]*broker{}, agents: map[usp.EndpointID][]*link{}}
	p.ctx, p.cancel = context.WithCancel(ctx)
	p.end, p.kill = context.WithCancel(ctx)
	return p
}

// Fix says how a Controller of the configuration is reached. It must be called before Connect.
func (p *Pool) Fix(controller usp.EndpointID, f Fixed) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fixed[controller] = &f
}

// Connect implements mtp.Dialer.
func (p *Pool) Connect(e mtp.Endpoint, to []mtp.Target) {
	id := e.EndpointID()
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return
	}
	had := p.agents[id]
	var have []*link
	var after []func() // what needs no lock
	for _, g := range p.groups(to) {
		i := slices.IndexFunc(had, func(l *link) bool { return l.b.key.serves(&g.key) })
		if i < 0 {
			have = append(have, p.take(e, g))
			continue
		}
		have = append(have, had[i])
		after = append(after, p.retarget(had[i], g.to))
	}
	for _, l := range had {
		if !slices.Contains(have, l) {
			after = append(after, p.drop(l))
		}
	}
	if p.agents[id] = have; len(have) == 0 {
		delete(p.agents, id)
	}
	p.mu.Unlock()
	for _, f := range after {
		if f != nil {
			f()
		}
	}
}

// group are Targets behind one connection.
type group struct {
	key brokerKey
	to  []mtp.Target
}

// sameConnection goes by the row, and by where that leads to, which is not the same for all behind it while they are moved one after the other.
func sameConnection(a, b *mtp.Target) bool {
	return a.MQTT.Client == b.MQTT.Client && a.STOMP.Connection == b.STOMP.Connection && a.Host == b.Host && a.Port == b.Port && a.Added == b.Added
}

// groups puts Targets together that share a connection: the first one's settings count. It needs mu.
func (p *Pool) groups(to []mtp.Target) []group {
	var out []group
	for i := range to {
		t := &to[i]
		at := slices.IndexFunc(out, func(g group) bool { return sameConnection(&g.to[0], t) })
		if at < 0 {
			out = append(out, group{key: brokerKey{to: common(*t)}, to: to[i : i+1 : i+1]})
			at = len(out) - 1
		} else {
			out[at].to = append(out[at].to, *t)
		}
		if f := p.fixed[t.Controller]; out[at].key.fixed == nil && !t.Added {
			out[at].key.fixed = f
		}
	}
	return out
}

// common is a Target without what may differ between Controllers behind one connection, or may change while it is up.
func common(t mtp.Target) mtp.Target {
	t.Controller = ""
	t.MQTT.ClientID, t.MQTT.Subscriptions, t.MQTT.Topic, t.MQTT.RetainResponse, t.MQTT.RetainNotification = "", "", "", false, false
	t.STOMP.OwnDestination, t.STOMP.Destination = "", ""
	return t
}

// take has an Endpoint connected. It needs mu, as retarget and drop do.
func (p *Pool) take(e mtp.Endpoint, g group) *link {
	b := p.brokers[g.key]
	if b == nil {
		b = &broker{key: g.key, tls: p.tls(g.key)}
		p.brokers[g.key] = b
	}
	b.links++
	l := &link{b: b, endpoint: e, to: g.to}
	p.enqueue(l)
	return l
}

// retarget has a connection follow its Targets and gives what is left to do without mu.
func (p *Pool) retarget(l *link, to []mtp.Target) func() {
	was := l.to
	l.to = to
	if slices.Equal(was, to) {
		return nil
	}
	if id := to[0].MQTT.ClientID; id != was[0].MQTT.ClientID && Expand(id, l.endpoint.EndpointID()) != l.state().ClientID {
		return p.again(l)
	}
	p.wake(l)
	v := l.live
	if v == nil {
		return nil
	}
	return func() {
		v.follow(to)
		p.moved(v, was, to)
	}
}

// moved has a connection that was made for some Targets listen where others say.
func (p *Pool) moved(v *live, was, to []mtp.Target) {
	if was[0].MQTT.Subscriptions == to[0].MQTT.Subscriptions && was[0].STOMP.OwnDestination == to[0].STOMP.OwnDestination {
		return
	}
	p.spawn(func() {
		ctx, cancel := context.WithTimeout(p.ctx, resubscribeTime)
		defer cancel()
		if err := v.resubscribe(ctx); err != nil {
			p.log.Debug("new subscription", "protocol", p.o.Protocol, "endpoint", v.l.endpoint.EndpointID(), "err", err)
			v.session.Close(ctx)
		}
	})
}

func (p *Pool) drop(l *link) func() {
	l.gone = true
	l.stopTimer()
	if l.b.links--; l.b.links == 0 {
		delete(p.brokers, l.b.key)
	}
	v := l.live
	if v == nil {
		return nil
	}
	return func() { p.spawn(func() { v.session.Close(p.end) }) }
}

// spawn runs what may wait for a peer, unless the Pool is closed.
func (p *Pool) spawn(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.wg.Go(f)
	}
}

// Check implements mtp.Dialer: 7012 for what names no host and for an address that must not be dialled, 7005 where there are too many.
func (p *Pool) Check(t mtp.Target) error {
	if t.MQTT.WebSocket && p.o.Stream == nil {
		return usp.Errorf(usp.InvalidValue, "this Agent speaks %s over TCP and TLS only", p.o.Protocol)
	}
	if !validHost(t.Host) {
		return usp.Errorf(usp.InvalidValue, "%q is neither the name of a host nor an address", t.Host)
	}
	if a, err := netip.ParseAddr(t.Host); err == nil && p.o.Guard != nil {
		if err := p.o.Guard(netip.AddrPortFrom(a.Unmap(), uint16(t.Port))); err != nil {
			return usp.Errorf(usp.InvalidValue, "%v", err)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.brokers[brokerKey{to: common(t)}] == nil && len(p.brokers) >= p.o.MaxBrokers {
		return usp.Errorf(usp.ResourcesExceeded, "the Agents are connected with %d different brokers already", len(p.brokers))
	}
	return nil
}

func validHost(h string) bool {
	if h == "" {
		return false
	}
	for _, r := range h {
		if r <= ' ' || r == 0x7F || r == '/' || r == '@' || r == '?' || r == '#' || r == '[' || r == ']' {
			return false
		}
	}
	return true
}

// Kick implements mtp.Dialer.
func (p *Pool) Kick(e usp.EndpointID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.agents[e] {
		if l.status != mtp.Misconfigured {
			p.wake(l)
		}
	}
}

// Reboot implements mtp.Dialer.
func (p *Pool) Reboot(e usp.EndpointID) {
	p.each(e, func(l *link) bool {
		return l.b.key.fixed != nil && l.b.key.fixed.Cycle || l.status == mtp.Misconfigured
	})
}

// Reset implements mtp.Dialer.
func (p *Pool) Reset(e, controller usp.EndpointID) {
	p.each(e, func(l *link) bool { return l.serves(controller) })
}

// each makes those connections of an Endpoint anew that are meant.
func (p *Pool) each(e usp.EndpointID, meant func(*link) bool) {
	var after []func()
	p.mu.Lock()
	for _, l := range p.agents[e] {
		if meant(l) {
			after = append(after, p.again(l))
		}
	}
	p.mu.Unlock()
	for _, f := range after {
		if f != nil {
			f()
		}
	}
}

// State implements mtp.Dialer.
func (p *Pool) State(e, controller usp.EndpointID) mtp.State {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.agents[e] {
		if l.serves(controller) {
			return l.state()
		}
	}
	return mtp.State{}
}

// Close ends all connections and returns when that is done: after ctx without a word to the broker.
func (p *Pool) Close(ctx context.Context) {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return
	}
	p.closed = true
	var up []Session
	for links := range maps.Values(p.agents) {
		for _, l := range links {
			l.gone = true
			l.stopTimer()
			if l.live != nil {
				up = append(up, l.live.session)
			}
		}
	}
	p.mu.Unlock()
	p.cancel()
	defer p.kill()
	defer context.AfterFunc(ctx, p.kill)() // what its Endpoint is closing already has the time, too
	work := make(chan Session)
	var wg sync.WaitGroup
	for range min(closers, len(up)) {
		wg.Go(func() {
			for s := range work {
				s.Close(ctx)
			}
		})
	}
	for _, s := range up {
		work <- s
	}
	close(work)
	wg.Wait()
	p.wg.Wait()
}
