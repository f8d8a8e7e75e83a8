package translate

import (
	"slices"
	"time"

	"isthmus/cwmp"
)

// Some CPE take no RPCs for minutes after they have booted, or fail each (row S17). They are asked for a session again in the hour that
// follows; after that they are tried whenever they come by themselves.

const (
	firstPatience = time.Minute // until the first try; doubled by each
	maxPatience   = time.Hour   // for all tries
	askedAtOnce   = 100         // CPE of one sweep: a region that has booted is not asked as one
)

// retrial says when a CPE is asked next.
type retrial struct {
	since, next time.Time
	wait        time.Duration
}

// bear notes whether a CPE let itself be prepared.
func (p *Proxy) bear(d *Device, s *cwmp.Session, refused bool, now time.Time) {
	d.mu.RLock()
	booted := d.rebooted || hasEvent(s.Inform, cwmp.EventBootstrap)
	d.mu.RUnlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case !refused:
		delete(p.shy, d)
	case booted:
		p.shy[d] = retrial{since: now, next: now.Add(firstPatience), wait: firstPatience}
	}
}

func (p *Proxy) isShy(d *Device) bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	_, shy := p.shy[d]
	return shy
}

// askAgain asks those for a session whose time has come.
func (p *Proxy) askAgain(now time.Time) {
	p.mu.RLock()
	var due []*Device
	for d, b := range p.shy {
		if !now.Before(b.next) && len(due) < askedAtOnce {
			due = append(due, d)
		}
	}
	p.mu.RUnlock()
	due = slices.DeleteFunc(due, (*Device).busy) // the next sweep will see
	p.mu.Lock()
	for _, d := range due {
		b, ok := p.shy[d]
		if !ok {
			continue
		}
		b.wait *= 2
		b.next = now.Add(b.wait)
		if p.shy[d] = b; b.next.Sub(b.since) > maxPatience {
			delete(p.shy, d)
		}
	}
	p.mu.Unlock()
	for _, d := range due {
		d.ask()
	}
}

// busy says whether the CPE is in a session, or is being asked for one.
func (d *Device) busy() bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.session != nil || d.asking
}
