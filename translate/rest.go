package translate

import (
	"time"

	"isthmus/cwmp"
)

// rests says whether nothing is to be asked of the CPE in this session, since it has booted and its profile has it left in peace (S17).
func (d *Device) rests(s *cwmp.Session) bool {
	now := time.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	if booted(s.Inform) || hasEvent(s.Inform, cwmp.EventBootstrap) {
		d.resting = now.Add(time.Duration(d.habit().RestAfterBoot))
	}
	if !now.Before(d.resting) {
		return false
	}
	d.p.askLater(d, d.resting)
	return true
}

// askLater has a session asked for at a time.
func (p *Proxy) askLater(d *Device, at time.Time) {
	p.mu.Lock()
	p.later[d] = at
	p.mu.Unlock()
}

// dueSessions takes those devices out whose time has come.
func (p *Proxy) dueSessions(now time.Time) (due []*Device) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for d, at := range p.later {
		if !now.Before(at) {
			due = append(due, d)
			delete(p.later, d)
		}
	}
	return due
}
