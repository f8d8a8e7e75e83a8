package translate

import (
	"fmt"
	"time"

	"isthmus/cwmp"
)

// haste is how often a CPE informs without having been asked: a level that every Inform raises by one and that falls with time.
type haste struct {
	level float64
	at    time.Time // of level
	since time.Time // when it became restless; zero: it is not
}

const (
	// hurried is the pace of Informs that a CPE may keep up, unless its PeriodicInformInterval is shorter.
	hurried = 5 * time.Second
	// A CPE is restless from so many Informs above that pace on, until half of them are made good.
	maxHaste = 30
)

// now brings the level up to a time. interval is the CPE's PeriodicInformInterval in seconds, 0 if it is not known.
func (h *haste) now(now time.Time, interval int) {
	pace := hurried
	if interval > 0 {
		pace = min(pace, time.Duration(interval)*time.Second)
	}
	h.level = max(h.level-float64(now.Sub(h.at))/float64(pace), 0)
	h.at = now
	if h.level < maxHaste/2 {
		h.since = time.Time{}
	}
}

// String says why a CPE has to stand back.
func (h *haste) String() string {
	if h.since.IsZero() {
		return ""
	}
	return fmt.Sprintf("it has informed every few seconds since %s: in a storm it is let in last", h.since.UTC().Format(time.RFC3339))
}

// hurry counts an Inform that nobody asked for.
func (d *Device) hurry(s *cwmp.Session, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.wanted() {
		return
	}
	h := &d.haste
	h.now(now, d.head.Interval)
	if h.level = min(h.level+1, maxHaste); h.level < maxHaste || !h.since.IsZero() {
		return
	}
	h.since = now
	d.p.m.restless.Inc()
	d.p.log.Warn("a CPE informs every few seconds", "device", d.id, "remote", s.RemoteAddr, "events", s.Inform.Event)
}

// wanted says whether somebody waits for a session. d.mu is held.
func (d *Device) wanted() bool { return d.asking || len(d.queue) > 0 }

// Standing implements cwmp.Ranker.
func (p *Proxy) Standing(m *cwmp.Inform) cwmp.Standing {
	d := p.byID(m.DeviceId)
	if d == nil {
		return cwmp.Stranger
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.haste.now(time.Now(), d.head.Interval)
	switch {
	case d.wanted() && !d.unhurried():
		return cwmp.Wanted
	case !d.haste.since.IsZero():
		return cwmp.Restless
	case d.model == nil:
		return cwmp.Stranger
	}
	return cwmp.Known
}
