package broker

import (
	"context"
	"crypto/tls"
	"errors"
	"math/rand/v2"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"isthmus/usp"
	"isthmus/usp/mtp"
)

// link is one Endpoint's use of one broker; the Pool's mu guards it.
type link struct {
	b        *broker
	endpoint mtp.Endpoint
	to       []mtp.Target // the Controllers behind it
	status   mtp.Status
	since    time.Time // status
	failures int       // in a row; they count for the back-off, too
	timer    *time.Timer
	live     *live
	last     *mtp.State // what the broker assigned for the last connection; nil: nothing, or live knows
	counts   mtp.Counts // of the connections that have ended
	at       place
	anew     bool // dial at once when the connection has ended
	gone     bool // nobody wants it any more
}

type place uint8

const (
	waiting place = iota // for its timer, or with Status Misconfigured for nothing
	queued
	dialling
	up
)

func (l *link) serves(controller usp.EndpointID) bool {
	return slices.ContainsFunc(l.to, func(t mtp.Target) bool { return t.Controller == controller })
}

func (l *link) stopTimer() {
	if l.timer != nil {
		l.timer.Stop()
		l.timer = nil
	}
}

func (l *link) is(s mtp.Status) {
	if l.status != s {
		l.status, l.since = s, time.Now()
	}
}

func (l *link) state() (s mtp.State) {
	if l.live != nil {
		s = l.live.session.State()
	} else if l.last != nil {
		s = *l.last
	}
	s.Status, s.Since, s.Failures = l.status, l.since, l.failures
	return s
}

// enqueue gives l a place in the queue of those to dial. Like the functions below it needs mu.
func (p *Pool) enqueue(l *link) {
	if p.closed || l.gone || l.at != waiting {
		return
	}
	l.stopTimer()
	l.at = queued
	l.is(mtp.Connecting)
	l.b.queue = append(l.b.queue, l)
	p.pump(l.b)
}

func (p *Pool) pump(b *broker) {
	for !p.closed && b.dialling < p.o.HandshakeLimit && len(b.queue) > 0 {
		l := b.queue[0]
		b.queue = b.queue[1:]
		if l.gone {
			continue
		}
		l.at = dialling
		b.dialling++
		to, assigned := l.to, ""
		if l.last != nil && l.last.Assigned {
			assigned = l.last.ClientID
		}
		p.wg.Go(func() { p.connect(l, to, assigned) })
	}
}

// wake ends the wait of a link and starts its back-off anew.
func (p *Pool) wake(l *link) {
	if l.at == waiting {
		l.failures = 0
		p.enqueue(l)
	}
}

// again makes a connection anew at once; it gives what is left to do without mu.
func (p *Pool) again(l *link) func() {
	v := l.live
	if v == nil {
		l.anew = l.at == dialling
		p.wake(l)
		return nil
	}
	l.anew = true
	return func() { p.spawn(func() { v.session.Close(p.end) }) }
}

// later dials again after the back-off, or not where that is of no use.
func (p *Pool) later(l *link, why mtp.Status) {
	l.at = waiting
	l.counts.Errors++
	l.is(why)
	if why == mtp.Misconfigured {
		return
	}
	l.failures++
	l.timer = time.AfterFunc(l.b.key.to.Retry.Wait(l.failures, rand.Float64), func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.enqueue(l)
	})
}

// tell logs that a broker cannot be reached, and, where that was said, that it can again: once for all Agents.
func (p *Pool) tell(b *broker, err error) {
	failing := err != nil
	if failing == b.failing || failing && time.Since(b.told) < tellAgain {
		return
	}
	b.failing = failing
	at := net.JoinHostPort(b.key.to.Host, strconv.Itoa(b.key.to.Port))
	if failing {
		b.told = time.Now()
		p.log.Warn("broker cannot be used", "protocol", p.o.Protocol, "broker", at, "err", err)
	} else {
		p.log.Info("broker can be used again", "protocol", p.o.Protocol, "broker", at)
	}
}

func (p *Pool) connect(l *link, to []mtp.Target, assigned string) {
	ctx, cancel := context.WithTimeout(p.ctx, handshakeTime)
	defer cancel()
	v := &live{p: p, l: l, to: to}
	id := l.endpoint.EndpointID()
	shared, with := 0, to
	if f := l.b.key.fixed; f != nil {
		shared = f.Shared
		with = f.current(to)
	}
	v.setup = Setup{Endpoint: id, To: with, Shared: shared, Way: l.b, Assigned: assigned, Host: v}
	s, err := p.o.Open(ctx, &v.setup)
	if !p.connected(l, v, s, err) {
		if s != nil {
			s.Close(p.end)
		}
		return
	}
	v.raise()
	v.mu.Lock()
	now := v.to
	v.mu.Unlock()
	p.moved(v, to, now)
}

// current gives Targets with the passwords of now: the very same ones as a rule, since a Session keeps them.
func (f *Fixed) current(to []mtp.Target) []mtp.Target {
	if f.Password == nil {
		return to
	}
	now := to
	for i := range to {
		m, s := f.Password(to[i].MQTT.Password), f.Password(to[i].STOMP.Password)
		if m == to[i].MQTT.Password && s == to[i].STOMP.Password {
			continue
		}
		if &now[0] == &to[0] {
			now = slices.Clone(to)
		}
		now[i].MQTT.Password, now[i].STOMP.Password = m, s
	}
	return now
}

// connected takes the outcome of an attempt, and says whether the connection is wanted.
func (p *Pool) connected(l *link, v *live, s Session, err error) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	l.b.dialling--
	defer p.pump(l.b)
	anew := l.anew
	l.anew = false
	if v.over != nil && err == nil {
		err = v.over
	}
	if err != nil {
		p.meter.Dialed(outcome(err))
	} else {
		p.meter.Dialed("ok")
	}
	switch {
	case p.closed || l.gone:
		l.at = waiting
	case anew:
		l.at = waiting
		p.enqueue(l)
	case err != nil:
		p.tell(l.b, err)
		p.log.Debug("broker", "protocol", p.o.Protocol, "endpoint", l.endpoint.EndpointID(), "failures", l.failures+1, "err", err)
		p.later(l, statusOf(err))
	default:
		p.tell(l.b, nil)
		p.meter.Connections.Inc()
		v.session, v.counted = s, true
		p.wg.Add(1)
		was, now := l.state(), s.State()
		l.at, l.live, l.last, l.failures = up, v, nil, 0
		l.is(mtp.Connected)
		v.learnt = now.Assigned && now.ClientID != was.ClientID || now.Listens != was.Listens
		v.to = l.to
		return true
	}
	return false
}

func statusOf(err error) mtp.Status {
	if r := (*Refusal)(nil); errors.As(err, &r) {
		return r.Status
	}
	return mtp.Unreachable
}

// outcome is what a failed attempt is counted as.
func outcome(err error) string {
	switch statusOf(err) {
	case mtp.Misconfigured:
		return "misconfigured"
	case mtp.Failed:
		return "refused"
	}
	return "failed"
}

func (p *Pool) hosts(id usp.EndpointID) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.agents[id] != nil
}

// ended forgets a connection that is over and sees to the next.
func (p *Pool) ended(l *link, v *live, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	v.over = err
	if !v.counted {
		return
	}
	v.counted = false
	defer p.wg.Done()
	p.meter.Connections.Dec()
	p.meter.Closed(v.reason())
	l.counts = l.count()
	last := v.session.State()
	l.live, l.last, l.at = nil, &last, waiting
	anew := l.anew
	l.anew = false
	switch {
	case p.closed || l.gone:
	case anew:
		l.failures = 0
		p.enqueue(l)
	default:
		p.later(l, mtp.Unreachable)
	}
}

// tls is what a broker's TLS connections begin with.
func (p *Pool) tls(key brokerKey) *tls.Config {
	if !key.to.Encrypted {
		return nil
	}
	from, certificate := p.o.TLS, p.o.Certificate
	if key.fixed != nil {
		from, certificate = key.fixed.TLS, key.fixed.Certificate
	}
	t := from.Clone()
	if t == nil {
		t = &tls.Config{}
	}
	t.MinVersion = max(t.MinVersion, tls.VersionTLS12)
	if t.ServerName == "" {
		t.ServerName = key.to.Host
	}
	if certificate == nil { // else a session would be another Endpoint's
		t.ClientSessionCache = tls.NewLRUClientSessionCache(sessionCache)
	}
	return t
}

// dial opens what the protocol runs over.
func (p *Pool) dial(ctx context.Context, b *broker, id usp.EndpointID) (net.Conn, error) {
	key, t := &b.key, b.tls
	dial, certificate := p.o.DialAdded, p.o.Certificate
	if key.fixed != nil {
		dial, certificate = p.o.Dial, key.fixed.Certificate
	}
	if t != nil && certificate != nil {
		t = t.Clone()
		t.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return certificate(id) }
	}
	addr := net.JoinHostPort(key.to.Host, strconv.Itoa(key.to.Port))
	if key.to.MQTT.WebSocket {
		if p.o.Stream == nil {
			return nil, &Refusal{Err: errNoStream, Status: mtp.Misconfigured}
		}
		return p.o.Stream(ctx, streamURL(&key.to, id), t, dial)
	}
	nc, err := dial(ctx, "tcp", addr)
	if err != nil || t == nil {
		return nc, err
	}
	secure := tls.Client(nc, t)
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = nc.Close()
		return nil, err
	}
	return secure, nil
}

var errNoStream = errors.New("there is no WebSocket here")

func streamURL(t *mtp.Target, id usp.EndpointID) string {
	u := url.URL{Scheme: "ws", Host: net.JoinHostPort(t.Host, strconv.Itoa(t.Port))}
	if t.Encrypted {
		u.Scheme = "wss"
	}
	path := "/" + strings.TrimPrefix(t.Path, "/")
	return u.String() + strings.ReplaceAll(path, Placeholder, url.PathEscape(string(id)))
}

// Placeholder stands for the Agent's Endpoint ID in the strings of a Target.
const Placeholder = "{endpoint_id}"

// Expand puts the Endpoint ID where a string of a Target wants it.
func Expand(s string, id usp.EndpointID) string {
	return strings.ReplaceAll(s, Placeholder, string(id))
}

// Match finds what stands in a string where its template has the Endpoint ID.
func Match(template, s string) (id string, ok bool) {
	before, after, ok := strings.Cut(template, Placeholder)
	if !ok || len(s) <= len(before)+len(after) || !strings.HasPrefix(s, before) || !strings.HasSuffix(s, after) {
		return "", false
	}
	return s[len(before) : len(s)-len(after)], true
}
