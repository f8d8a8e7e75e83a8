package translate

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"isthmus/cwmp"
)

// A CPE that was reset by its button comes with the fleet's credentials again (row R27), and so may whoever knows those and wants to pass for
// it. What tells them apart is that the CPE which was not reset still has its own. So a reset is a claim: the CPE is asked for a session, and
// whoever shows its own credentials disproves it. Where nobody does in time it is believed, and the CPE is given new ones. The old ones stay
// known, whoever shows them later is the CPE, and who came in between is in quarantine. So neither can a live CPE be replaced unseen nor one
// that was switched off meanwhile be locked out.

// claim is a CPE's word that it was reset.
type claim struct {
	since     time.Time
	disproved bool
}

const (
	// claimTime is how long a claim lasts: the CPE has to come again in it, and nobody may claim it anew after it was disproved.
	claimTime = 10 * time.Minute
	// claimRetry is how soon a CPE is told to come again, in seconds.
	claimRetry = 30
	// maxFormer bounds the credentials beside a CPE's present ones, and so the resets that are believed in contestTime.
	maxFormer = 8
)

// The outcomes of claims, as the metric shows them.
const (
	resetClaimed   = "claimed"
	resetDisproved = "disproved" // before it was believed
	resetBelieved  = "believed"
	resetContested = "contested" // it was believed, then the CPE came with what it had before
)

// resets are what came of the resets that were believed. They are not changed once they are in a given.
type resets struct {
	Last   time.Time  `json:"last"`
	From   netip.Addr `json:"from,omitzero"`
	Former []former   `json:"former"`
}

// former are credentials of a CPE that it, or another that claimed to be it, was given before or after its present ones.
type former struct {
	Number   int       `json:"number"`
	Password string    `json:"password,omitempty"`
	ConnReq  string    `json:"connection_request_password,omitempty"`
	Until    time.Time `json:"until"`
}

// full says that no more resets are believed.
func (r *resets) full(now time.Time) bool {
	return r != nil && len(r.Former) >= maxFormer && now.Sub(r.Former[0].Until) < contestTime
}

// reset puts the CPE's credentials aside, for new ones.
func (g *given) reset(now time.Time, from netip.Addr) {
	next := &resets{Last: now, From: from}
	number := g.Number
	if g.Resets != nil {
		next.Former = slices.Clone(g.Resets.Former)
	}
	for _, f := range next.Former {
		number = max(number, f.Number)
	}
	if len(next.Former) >= maxFormer {
		next.Former = next.Former[1:]
	}
	next.Former = append(next.Former, g.former(now))
	*g = given{Number: number + 1, Resets: next}
}

func (g *given) former(now time.Time) former {
	return former{Number: g.Number, Password: g.Password, ConnReq: g.ConnReq, Until: now}
}

// restore makes the i-th of the former credentials the CPE's own.
func (g *given) restore(i int, now time.Time) {
	f, r := g.Resets.Former[i], *g.Resets
	r.Former = append(slices.Delete(slices.Clone(r.Former), i, i+1), g.former(now))
	*g = given{Number: f.Number, Password: f.Password, ConnReq: f.ConnReq, Used: true, Resets: &r}
	g.Gifts[setCredentials].Done = wantOwn
	if g.ConnReq != "" {
		g.Gifts[setConnReq].Done = wantOwn
	}
}

// find gives the place of credentials among the former ones.
func (g *given) find(number int) (i int, ok bool) {
	if g.Resets == nil {
		return 0, false
	}
	i = slices.IndexFunc(g.Resets.Former, func(f former) bool { return f.Number == number && f.Password != "" })
	return i, i >= 0
}

// ownName is the user name of the CPE's own credentials for CWMP; they are numbered by its resets.
func (d *Device) ownName(number int) string {
	if number == 0 {
		return loginName(d.id)
	}
	return loginName(d.id) + resetMark + strconv.Itoa(number)
}

const resetMark = "~" // is in no Endpoint ID

// owned finds the number of the credentials whose user name this is.
func (d *Device) owned(username string) (number int, ok bool) {
	name, suffix, numbered := strings.Cut(username, resetMark)
	if numbered {
		number, _ = strconv.Atoi(suffix)
	}
	return number, name == loginName(d.id) && d.ownName(number) == username
}

// Issued implements cwmp.Issuer.
func (p *Proxy) Issued(username string) (cwmp.Credential, bool) {
	name, _, _ := strings.Cut(username, resetMark)
	d := p.named(name)
	if d == nil {
		return cwmp.Credential{}, false
	}
	number, ok := d.owned(username)
	if !ok {
		return cwmp.Credential{}, false
	}
	g := d.givenNow()
	password := g.Password
	if number != g.Number {
		password = ""
		if i, ok := g.find(number); ok && !d.keepsOwn(setCredentials) { // where the operator tells them apart, only one is left
			password = g.Resets.Former[i].Password
		}
	}
	return cwmp.Credential{Identity: string(d.id), Password: password}, password != ""
}

// Fleet implements cwmp.Issuer: a CPE that isthmus has reset has its first credentials again, one that says it was reset may.
func (p *Proxy) Fleet(identity string, in *cwmp.Inform) (ok bool, retryAfter int) {
	d := p.named(identity)
	if d == nil {
		return true, 0
	}
	d.mu.Lock()
	ok, begun := d.fleet(in, time.Now())
	d.mu.Unlock()
	if begun {
		p.m.resets.WithLabelValues(resetClaimed).Inc()
		p.log.Warn("a CPE with the fleet's credentials says that it was reset; it is let in unless the one with credentials of its own shows up", "device", d.id)
		d.ask()
	}
	if !ok && claims(in) {
		retryAfter = claimRetry
	}
	return ok, retryAfter
}

// claims says whether an Inform is one after a reset. Some CPE have no 0 BOOTSTRAP (row S10), and nothing proves it.
func claims(in *cwmp.Inform) bool {
	return hasEvent(in, cwmp.EventBootstrap) || booted(in)
}

// fleet says whether the fleet's credentials are good for the CPE, which it claims here or has claimed. d.mu is held.
func (d *Device) fleet(in *cwmp.Inform, now time.Time) (ok, begun bool) {
	g, q, c := d.given, d.head.Quarantine, d.claim
	switch {
	case !d.p.opts.Provision.Credentials || g == nil || !g.Used || d.head.Pending != nil && d.head.Pending.Reset:
		return true, false
	case !claims(in):
	case q != nil && now.Sub(d.inform.at) < contestTime:
		q.Seen = now
	case d.session != nil || g.Resets.full(now):
	case c == nil || now.Sub(c.since) > claimTime:
		d.claim = &claim{since: now}
		return false, true
	default:
		return !c.disproved && now.Sub(c.since) >= d.p.opts.ConnectionRequest.Timeout, false
	}
	return false, false
}

// identified is what the credentials of an Inform say about the CPE.
type identified int

const (
	known     identified = iota // the CPE, as far as credentials tell
	wasReset                    // the CPE, which was reset
	notTheCPE                   // another, that was given credentials when it claimed a reset
)

// identify finds out which CPE it is by its credentials; what changes is on disk on return.
func (d *Device) identify(ctx context.Context, s *cwmp.Session) (identified, error) {
	if d.keepsOwn(setCredentials) {
		return known, nil
	}
	d.mu.Lock()
	if d.given == nil || s.Username == "" {
		d.mu.Unlock()
		return known, nil // nearly always
	}
	who, changed, err := d.identified(s, time.Now())
	d.mu.Unlock()
	if err != nil || changed == nil {
		return who, err
	}
	return who, d.keepGiven(context.WithoutCancel(ctx), changed)
}

// identified is identify under d.mu, of a CPE that was given credentials and has shown some.
func (d *Device) identified(s *cwmp.Session, now time.Time) (who identified, changed *given, err error) {
	g := *d.given
	defer func() {
		if changed != nil {
			d.given = changed
		}
	}()
	number, own := d.owned(s.Username)
	if !own {
		if ok, _ := d.fleet(s.Inform, now); !ok {
			return known, nil, &cwmp.Refused{Status: http.StatusServiceUnavailable, RetryAfter: claimRetry, Reason: "the CPE has credentials of its own"}
		}
		return d.anew(g, s, now)
	}
	if c := d.claim; c != nil && !c.disproved && number == g.Number {
		c.disproved = true
		d.p.m.resets.WithLabelValues(resetDisproved).Inc()
		d.p.log.Warn("the CPE that was said to be reset shows credentials of its own", "device", d.id, "remote", s.RemoteAddr)
	}
	i, isFormer := g.find(number)
	switch {
	case number == g.Number:
		if g.Used {
			return known, nil, nil
		}
		g.Used = true
		d.p.log.Info("the CPE uses the credentials that it was given", "device", d.id)
	case !isFormer:
		return known, nil, &cwmp.Refused{Status: http.StatusServiceUnavailable, RetryAfter: claimRetry, Reason: "its credentials were replaced"}
	case number > g.Number && d.head.Quarantine != nil && now.Sub(d.inform.at) < contestTime:
		d.head.Quarantine.Seen = now
		return notTheCPE, nil, nil
	case number > g.Number: // the other one is gone
		g.restore(i, now)
		d.head.Quarantine, d.head.StaleBefore = nil, now.UnixMilli()
	default:
		g.restore(i, now)
		d.head.Quarantine = &quarantine{Since: now, Seen: now, URL: d.head.URL, From: g.Resets.From, Reset: true}
		d.head.StaleBefore = now.UnixMilli()
		d.p.m.resets.WithLabelValues(resetContested).Inc()
	}
	return known, &g, nil
}

// anew is of a CPE that may show the fleet's credentials, whatever it was given.
func (d *Device) anew(g given, s *cwmp.Session, now time.Time) (who identified, changed *given, err error) {
	switch {
	case !g.Used || d.head.Pending != nil && d.head.Pending.Reset:
		return known, nil, nil
	case !d.p.opts.Provision.Credentials:
		g.Used = false // should they be asked for again, it has these
		return known, &g, nil
	case !d.p.news.admit(s.RemoteAddr.Addr(), now):
		d.p.m.refused.WithLabelValues("rate").Inc()
		return known, nil, &cwmp.Refused{Status: http.StatusServiceUnavailable, RetryAfter: newRetry,
			Reason: fmt.Sprintf("more new devices from %s than cwmp.new_devices_per_second allows", s.RemoteAddr.Addr())}
	}
	d.claim = nil
	g.reset(now, s.RemoteAddr.Addr().Unmap())
	d.p.m.resets.WithLabelValues(resetBelieved).Inc()
	d.p.log.Warn("the CPE was reset, it is given new credentials", "device", d.id, "remote", s.RemoteAddr)
	return wasReset, &g, nil
}
