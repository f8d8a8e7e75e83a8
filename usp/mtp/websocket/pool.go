package websocket

import (
	"context"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"

	"isthmus/usp"
	"isthmus/usp/mtp"
)

// defaultMaxTargets is a bound that a fleet whose Agents were all given the same few Controllers never meets.
const defaultMaxTargets = 1024

// PoolOptions say how a Pool reaches Controllers that Controllers have added.
type PoolOptions struct {
	// Client is what the Clients that the Pool makes have in common; URL, Controller, KeepAlive and Retry are the Target's.
	Client ClientOptions
	// Guard, if there is one, says why an address must not be dialled. Check asks it of a Host that is an address; for a name Client.Dial has to.
	Guard func(netip.AddrPort) error
	// MaxTargets is how many different Targets there may be; 0: 1024.
	MaxTargets int
}

// Pool is the mtp.Dialer of WebSocket: one Client for each Controller of the configuration, and one for each other Target, for as long as any
// Endpoint has it. An Endpoint that is dialled to the former alone costs it nothing.
type Pool struct {
	ctx context.Context
	o   PoolOptions
	log *slog.Logger

	mu      sync.Mutex
	fixed   map[usp.EndpointID]*fixedClient
	clients map[mtp.Target]*sharedClient
	own     map[usp.EndpointID][]mtp.Target // of Endpoints that have others than fixed ones
	closed  bool
	closing sync.WaitGroup // Clients that nobody needs any more
}

// fixedClient is that of a Controller of the configuration.
type fixedClient struct {
	*Client
	cycle bool // a restart of the device makes the connection anew
}

// sharedClient is made for a Target, and ends with its last user.
type sharedClient struct {
	*Client
	users int
}

// NewPool makes a Pool. Its Clients dial no more when ctx is done; Close ends them.
func NewPool(ctx context.Context, o PoolOptions) *Pool {
	o.MaxTargets = orDefault(o.MaxTargets, defaultMaxTargets)
	p := &Pool{ctx: ctx, o: o, log: o.Client.Logger, fixed: map[usp.EndpointID]*fixedClient{}, clients: map[mtp.Target]*sharedClient{},
		own: map[usp.EndpointID][]mtp.Target{}}
	if p.log == nil {
		p.log = slog.Default()
	}
	return p
}

// Fix has a Controller reached by this Client whatever a Target says; with cycle, Reboot reconnects. The Pool closes the Client. It must be
// called before Connect.
func (p *Pool) Fix(controller usp.EndpointID, c *Client, cycle bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fixed[controller] = &fixedClient{c, cycle}
}

// Connect implements mtp.Dialer.
func (p *Pool) Connect(e mtp.Endpoint, to []mtp.Target) {
	id := e.EndpointID()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	var own []mtp.Target
	for _, t := range to {
		if p.fixed[t.Controller] == nil {
			own = append(own, t)
		}
	}
	for controller, c := range p.fixed {
		if slices.ContainsFunc(to, func(t mtp.Target) bool { return t.Controller == controller }) {
			c.Add(e)
		} else {
			c.Remove(id)
		}
	}
	had := p.own[id]
	for _, t := range had {
		if !slices.Contains(own, t) {
			p.drop(id, t)
		}
	}
	own = slices.DeleteFunc(own, func(t mtp.Target) bool { return !slices.Contains(had, t) && !p.take(e, t) })
	if len(own) > 0 {
		p.own[id] = own
	} else {
		delete(p.own, id)
	}
}

// take has an Endpoint dialled to a Target; false if that cannot be. It needs mu, as drop does.
func (p *Pool) take(e mtp.Endpoint, t mtp.Target) bool {
	c := p.clients[t]
	if c == nil {
		o := p.o.Client
		o.URL, o.Controller, o.KeepAlive, o.Retry = urlOf(t), t.Controller, t.KeepAlive, t.Retry
		client, err := NewClient(p.ctx, o)
		if err != nil {
			p.log.Warn("Controller cannot be dialled", "device", e.EndpointID(), "controller", t.Controller, "err", err)
			return false
		}
		c = &sharedClient{Client: client}
		p.clients[t] = c
	}
	c.users++
	c.Add(e)
	return true
}

func (p *Pool) drop(id usp.EndpointID, t mtp.Target) {
	c := p.clients[t]
	c.Remove(id)
	if c.users--; c.users == 0 {
		delete(p.clients, t)
		p.closing.Go(func() {
			ctx, cancel := context.WithTimeout(p.ctx, closeTimeout+closeWait)
			defer cancel()
			c.Close(ctx)
		})
	}
}

// Check implements mtp.Dialer: 7012 for what makes no URL and for an address that must not be dialled, 7005 where there are too many Targets.
func (p *Pool) Check(t mtp.Target) error {
	u, err := url.Parse(urlOf(t))
	if err != nil || u.Hostname() != t.Host || u.User != nil || strings.ContainsAny(t.Path, "?#") {
		return usp.Errorf(usp.InvalidValue, "%s is no host, or %s no path, of a WebSocket URL", t.Host, t.Path)
	}
	if a, err := netip.ParseAddr(t.Host); err == nil && p.o.Guard != nil {
		if err := p.o.Guard(netip.AddrPortFrom(a.Unmap(), uint16(t.Port))); err != nil {
			return usp.Errorf(usp.InvalidValue, "%v", err)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.clients[t] == nil && len(p.clients) >= p.o.MaxTargets {
		return usp.Errorf(usp.ResourcesExceeded, "the Agents dial %d different Controllers already", len(p.clients))
	}
	return nil
}

func urlOf(t mtp.Target) string {
	scheme := "ws://"
	if t.Encrypted {
		scheme = "wss://"
	}
	return scheme + net.JoinHostPort(t.Host, strconv.Itoa(t.Port)) + "/" + strings.TrimPrefix(t.Path, "/")
}

// Kick implements mtp.Dialer.
func (p *Pool) Kick(e usp.EndpointID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.fixed {
		c.Kick(e)
	}
	for _, t := range p.own[e] {
		p.clients[t].Kick(e)
	}
}

// Reboot implements mtp.Dialer.
func (p *Pool) Reboot(e usp.EndpointID) {
	for _, c := range p.cycled() {
		c.Reconnect(e)
	}
}

func (p *Pool) cycled() []*Client {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []*Client
	for _, c := range p.fixed {
		if c.cycle {
			out = append(out, c.Client)
		}
	}
	return out
}

// Reset implements mtp.Dialer.
func (p *Pool) Reset(e, controller usp.EndpointID) {
	if c := p.client(e, controller); c != nil {
		c.Reconnect(e)
	}
}

// State implements mtp.Dialer.
func (p *Pool) State(e, controller usp.EndpointID) mtp.State {
	if c := p.client(e, controller); c != nil {
		return c.State(e)
	}
	return mtp.State{}
}

// client is the one that dials a Controller for an Endpoint, nil if none does.
func (p *Pool) client(e, controller usp.EndpointID) *Client {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c := p.fixed[controller]; c != nil {
		return c.Client
	}
	for _, t := range p.own[e] {
		if t.Controller == controller {
			return p.clients[t].Client
		}
	}
	return nil
}

// Close ends all connections, as Client.Close does; what was being closed already is waited for until ctx ends.
func (p *Pool) Close(ctx context.Context) {
	p.mu.Lock()
	p.closed = true
	var all []*Client
	for _, c := range p.fixed {
		all = append(all, c.Client)
	}
	for c := range maps.Values(p.clients) {
		all = append(all, c.Client)
	}
	p.mu.Unlock()
	var wg sync.WaitGroup
	for _, c := range all {
		wg.Go(func() { c.Close(ctx) })
	}
	wg.Wait()
	ended := make(chan struct{})
	go func() {
		p.closing.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-ctx.Done(): // they end by themselves soon
	}
}
