package translate

import (
	"time"

	"isthmus/cwmp"
)

// Idle implements cwmp.Idler. Run goes by it, too: what is missing here is never done, rather than sometimes.
func (p *Proxy) Idle(s *cwmp.Session) bool {
	d := deviceOf(s)
	return d == nil || d.isOutsider(s) || !d.owes(s, time.Now())
}

// owes says, from memory, whether there may be something to do in a session: by the CPE, for a Controller or on disk.
func (d *Device) owes(s *cwmp.Session, now time.Time) bool {
	in := s.Inform
	d.mu.RLock()
	h, x := &d.head, d.watch
	noted := d.trial != nil || h.Raised != nil
	alone := noted || d.rebooted || booted(in) || hasEvent(in, cwmp.EventBootstrap) || now.Before(d.resting) || h.Owed != nil
	left := h.Pending != nil || h.Quarantine != nil || len(h.Revive) > 0 || len(d.journals) > 0 || len(d.operations) > 0
	learns := d.learns() || d.reachDue(in)
	watches := d.attributes || d.lost > 0 || len(h.Fired) > 0 ||
		x != nil && (hasEvent(in, cwmp.EventValueChange) || !x.suspected.IsZero() || d.comparisonDue(atInform, now))
	asked := d.served || len(d.queue) > 0
	d.mu.RUnlock()
	if hasEvent(in, cwmp.EventHeartbeat) {
		return noted
	}
	return alone || left || learns || watches || asked || d.p.isShy(d) || len(d.owed()) > 0
}
