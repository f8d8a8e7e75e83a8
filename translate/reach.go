package translate

import (
	"context"
	"errors"
	"slices"
	"time"

	"isthmus/cwmp/connreq"
	"isthmus/usp"
)

// errNoURL says that a Connection Request cannot even be tried.
var errNoURL = errors.New("the CPE has told no ConnectionRequestURL")

// Requester makes Connection Requests in one way: nil says that the CPE accepted one, or that it cannot say so. The errors are connreq's.
type Requester interface {
	Request(ctx context.Context, t connreq.Target) error
}

// ask sees to it that a session is coming: one round of Connection Requests at a time, however many jobs wait for it. A CPE that is
// about to reboot because we told it to is not asked: its boot brings the session. One that has informed since, without a boot, is.
func (d *Device) ask() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.asking || d.session != nil || d.p.closing.Load() {
		return
	}
	if time.Now().Before(d.resting) {
		d.p.askLater(d, d.resting)
		return
	}
	if p := d.head.Pending; p != nil && time.Since(p.At) < rebootTime && !d.inform.at.After(p.At) {
		return
	}
	d.asking = true
	if d.contact == nil {
		d.contact = new(contact)
	}
	opened := make(chan struct{})
	d.opened = opened
	r := &round{d: d, opened: opened, target: connreq.Target{CPE: string(d.id), URL: d.connectionRequestURL(), UDPAddress: d.head.udpAddress(),
		JID: d.head.JID, InformFromLoopback: d.head.Loopback}}
	r.logins = d.logins()
	r.methods = d.methods(r)
	d.p.wg.Go(r.run)
}

// credentials are what a CPE asks of Connection Requests.
func (o *ConnectionRequest) credentials(id usp.EndpointID) (username, password string) {
	if o.Credentials != nil {
		if username, password = o.Credentials(id); username != "" {
			return username, password
		}
	}
	return o.Username, o.Password
}

// rebootTime is how long a CPE that was told to reboot is left in peace.
const rebootTime = 3 * time.Minute

// method is a way to reach a CPE.
type method struct {
	name, title string // of metrics and the API; of texts
	request     func(ctx context.Context, t connreq.Target) error
}

const (
	methodHTTP = "http"
	methodUDP  = "udp"
	methodXMPP = "xmpp"
)

// methods are the ways to this CPE, the most promising first: what worked last, then HTTP, unless the CPE has found a NAT before it.
// d.mu is held.
func (d *Device) methods(r *round) []method {
	o := &d.p.opts.ConnectionRequest
	var ms []method
	if r.target.URL != "" {
		ms = append(ms, method{methodHTTP, "Connection Request", r.http})
	}
	if r.target.UDPAddress != "" && o.UDP != nil {
		ms = append(ms, method{methodUDP, "UDP Connection Request", o.UDP.Request})
	}
	if r.target.JID != "" && o.XMPP != nil {
		ms = append(ms, method{methodXMPP, "XMPP Connection Request", o.XMPP.Request})
	}
	rank := func(m method) int {
		switch {
		case m.name == d.contact.worked:
			return 0
		case m.name == methodHTTP && d.head.NAT:
			return 2
		}
		return 1
	}
	slices.SortStableFunc(ms, func(a, b method) int { return rank(a) - rank(b) })
	return ms
}

// attempt is a Connection Request of a round. Device.mu guards what is not set at the start.
type attempt struct {
	method
	at   time.Time
	err  error         // nil: the CPE accepted it, or has not answered
	done chan struct{} // closed when err is settled
}

// contact is what trying to reach a CPE has come to. Device.mu guards it; nil is that nobody has tried.
type contact struct {
	tried      []*attempt // of the last round
	worked     string     // the method that brought the last session that was asked for
	rounds     int        // without a session since the last Inform
	askAfter   time.Time  // no round begins before
	relearn    bool       // the CPE is to be asked how it can be reached
	login      int        // of Device.logins: which of them the CPE took last
	challenged time.Time  // when the STUN server asked the CPE last who it is
}

func (c *contact) attempts() []*attempt {
	if c == nil {
		return nil
	}
	return c.tried
}

// made notes that the CPE has come.
func (c *contact) made() {
	if c != nil {
		c.rounds, c.askAfter = 0, time.Time{}
	}
}

// round is one try to have a CPE open a session, by all ways there are.
type round struct {
	d       *Device
	target  connreq.Target
	logins  []login
	methods []method
	opened  <-chan struct{} // closed when the session is there
}

// run asks the CPE and waits for the session; if none comes in time, everybody who waits is told why.
func (r *round) run() {
	d := r.d
	r.backOff()
	ctx, cancel := context.WithTimeout(d.p.ctx, d.p.opts.ConnectionRequest.Timeout)
	defer cancel()
	d.mu.Lock()
	d.contact.tried = nil
	d.mu.Unlock()
	err := r.try(ctx)
	d.mu.Lock()
	d.asking = false
	if d.opened == r.opened {
		d.opened = nil
	}
	open, waiting, came := d.session != nil, d.waits(), r.came()
	if a := d.contact.promising(); a != nil && !came {
		d.traceAttempt(a)
	}
	d.conclude(came)
	d.mu.Unlock()
	d.p.m.connectionRequests.WithLabelValues(outcomeOf(err, came || open)).Inc()
	switch {
	case open:
	case came: // and is over already
		if waiting {
			d.ask() // who came meanwhile took this round for its own
		}
	case err == nil:
		d.failQueue(d.unreachable("the CPE opened no session"))
	default:
		d.failQueue(d.unreachable("the CPE cannot be reached"))
	}
}

func (r *round) came() bool {
	select {
	case <-r.opened:
		return true
	default:
		return false
	}
}

// try makes the Connection Requests, one after the other: the next when the one before has failed, or has had its share of the time
// without a session. It returns when the session is there, nothing is left to wait for, or ctx has ended; nil where the CPE accepted any.
func (r *round) try(ctx context.Context) error {
	if len(r.methods) == 0 {
		return errNoURL
	}
	requests, cancel := context.WithCancel(ctx)
	defer cancel()
	share := r.d.p.opts.ConnectionRequest.Timeout / time.Duration(len(r.methods))
	var tried []*attempt
	for _, m := range r.methods {
		if r.came() || ctx.Err() != nil {
			break
		}
		a := r.start(requests, m)
		tried = append(tried, a)
		r.wait(ctx, a, share)
	}
	accepted := false
	for _, a := range tried {
		accepted = r.answered(ctx, a) && a.err == nil || accepted
	}
	if accepted {
		select {
		case <-r.opened:
		case <-ctx.Done():
		}
	}
	if len(tried) > 1 || !r.came() {
		cancel() // a single one is left to finish: the CPE is about to answer it
	}
	var err error
	for _, a := range tried {
		<-a.done
		err = a.err
	}
	if accepted || r.came() {
		return nil
	}
	return err
}

// start makes a Connection Request.
func (r *round) start(ctx context.Context, m method) *attempt {
	a := &attempt{method: m, at: time.Now(), done: make(chan struct{})}
	d := r.d
	d.mu.Lock()
	d.contact.tried = append(d.contact.tried, a)
	d.mu.Unlock()
	d.p.wg.Go(func() {
		defer close(a.done)
		err := r.request(ctx, m)
		if err == nil || r.came() {
			return
		}
		if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
			err = errNoAnswer
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		a.err = err
		d.traceAttempt(a)
	})
	return a
}

var errNoAnswer = errors.New("no answer in time")

// wait gives an attempt its time, and less if it fails.
func (r *round) wait(ctx context.Context, a *attempt, share time.Duration) {
	timer := time.NewTimer(share)
	defer timer.Stop()
	for done := a.done; ; done = nil {
		select {
		case <-done:
			if a.err != nil {
				return
			}
		case <-timer.C:
			return
		case <-r.opened:
			return
		case <-ctx.Done():
			return
		}
	}
}

// answered waits for the outcome of an attempt, false if the session or ctx's end came first.
func (r *round) answered(ctx context.Context, a *attempt) bool {
	select {
	case <-a.done:
		return true
	case <-r.opened:
	case <-ctx.Done():
	}
	return false
}

// busyRetry is how long a CPE that answers 503 is left alone: it limits the rate, or has just ended a session.
const busyRetry = time.Second

// http sends a Connection Request, again while the CPE says that it is busy and there is time.
func (r *round) http(ctx context.Context, t connreq.Target) error {
	for {
		err := r.d.p.connreq.Request(ctx, t)
		if !errors.Is(err, connreq.ErrRefused) {
			return err
		}
		wait := time.NewTimer(busyRetry)
		select {
		case <-wait.C:
		case <-r.opened: // it came by itself
			wait.Stop()
			return nil
		case <-ctx.Done():
			wait.Stop()
			return err
		}
	}
}

const (
	firstBackOff = time.Second
	maxBackOff   = 10 * time.Second // who waits for its end still has the time of a round within usp.request_timeout
	backOffSteps = 4
)

// backOff waits where rounds have failed of late: a CPE that limits their rate would never be reached otherwise. An Inform ends it.
func (r *round) backOff() {
	r.d.mu.RLock()
	wait := time.Until(r.d.contact.askAfter)
	r.d.mu.RUnlock()
	if wait <= 0 {
		return
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.opened:
	case <-r.d.p.ctx.Done():
	}
}

// conclude counts a round and draws the conclusions from it. d.mu is held.
func (d *Device) conclude(came bool) {
	c, sent := d.contact, false
	for _, a := range c.tried {
		brought := came && a == c.promising()
		d.p.m.attempts.WithLabelValues(a.name, outcomeOf(a.err, brought)).Inc()
		if brought {
			c.worked = a.name
		}
		sent = sent || !errors.Is(a.err, connreq.ErrNotAllowed)
	}
	switch {
	case came:
		c.made()
	case sent:
		c.relearn = true // what the CPE told of itself may be out of date
		c.askAfter = time.Now().Add(min(firstBackOff<<c.rounds, maxBackOff))
		c.rounds = min(c.rounds+1, backOffSteps)
	}
}

// promising is the attempt of the round that a session is the result of, if one is: the last that has not failed.
func (c *contact) promising() *attempt {
	for _, a := range slices.Backward(c.attempts()) {
		if a.err == nil {
			return a
		}
	}
	return nil
}

// traceAttempt notes an attempt for the requests that wait for its session. d.mu is held.
func (d *Device) traceAttempt(a *attempt) {
	for _, j := range d.queue {
		ex := exchangeOf(j.ctx)
		ex.answered(ex.called(a.at, "", a.title), a.err)
	}
}

func outcomeOf(err error, session bool) string {
	switch {
	case session:
		return "session"
	case err == nil:
		return "no_session"
	case errors.Is(err, errNoURL):
		return "no_url"
	case errors.Is(err, connreq.ErrNotAllowed):
		return "not_allowed"
	case errors.Is(err, connreq.ErrAuth):
		return "unauthorized"
	case errors.Is(err, connreq.ErrRefused):
		return "refused"
	}
	return "unreachable"
}
