package translate

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"

	"isthmus/cwmp"
	"isthmus/usp"
)

// Two CPE that inform under one DeviceId, a cloned one and its original, would pass for one whose values jump to and fro and whose settings
// go to whoever comes next. What gives them away is a mark that changes back: a CPE reports a new ConnectionRequestURL with 4 VALUE
// CHANGE and has other versions after a boot only, while each of the two believes that it has said all that long ago. An address proves
// nothing: a NAT may change it with every connection.

const (
	// maxReturns is how often the mark changes back, without an event that explains it, until two CPE are there; fewer may be one
	// with two WAN connections and no notification.
	maxReturns = 3
	// contestTime is how long all that may take, and how long a CPE must not have been heard of to be out of the contest.
	contestTime = 24 * time.Hour
)

// mark is a hash of what a CPE does not change in silence.
type mark uint64

func newMark(url, software, hardware string) mark {
	return mark(xxhash.Sum64String(url + "\x00" + software + "\x00" + hardware))
}

// rivals are the last two marks of a device that had another before.
type rivals struct {
	marks   [2]mark // in the order of their first Informs
	last    int     // whose the last Inform was
	returns int
	began   time.Time // of counting them
}

// quarantine is the lot of the CPE that came second. Its Informs change nothing and are not served; to neither of the two anything is written.
type quarantine struct {
	Since time.Time  `json:"since"`
	Seen  time.Time  `json:"seen"` // its last Inform, as of the last write of the head
	Mark  mark       `json:"mark"`
	URL   string     `json:"connection_request_url"`
	From  netip.Addr `json:"from,omitzero"`
	// ByHand is that an operator wants no session with the CPE, whatever it is.
	ByHand bool `json:"by_hand,omitempty"`
	Reset  bool `json:"reset,omitempty"` // it had passed for the other one, reset: its credentials tell it apart, not the Mark
}

func (q *quarantine) String() string {
	if q.ByHand {
		return fmt.Sprintf("an operator has put the CPE in quarantine, since %s: nothing is read from it or written to it", q.Since.UTC().Format(time.RFC3339))
	}
	s := "another CPE informs under this DeviceId"
	if q.Reset {
		s = "another CPE, which said that it was this one after a reset, informs under this DeviceId"
	}
	if q.From.IsValid() {
		s += " from " + q.From.String()
	}
	return fmt.Sprintf("%s, ConnectionRequestURL %q, in quarantine since %s: nothing is written to either", s, q.URL, q.Since.UTC().Format(time.RFC3339))
}

// judge says whether an Inform is of a CPE in quarantine, or of one that was reset. The head is written when one is put there, or let out.
func (d *Device) judge(ctx context.Context, s *cwmp.Session) (outsider, reset bool, err error) {
	d.mu.RLock()
	before := d.head.Quarantine
	d.mu.RUnlock()
	if before != nil && before.ByHand {
		d.p.m.quarantined.Inc()
		d.mu.Lock()
		defer d.mu.Unlock()
		d.outsider = s.ID
		return true, false, nil
	}
	who, err := d.identify(ctx, s)
	if err != nil {
		return false, false, err
	}
	reset = who == wasReset
	d.mu.Lock()
	outsider = who == notTheCPE || !reset && d.judged(s, time.Now())
	if d.outsider = ""; outsider {
		d.outsider = s.ID
	}
	after := d.head.Quarantine
	d.mu.Unlock()
	if outsider {
		d.p.m.quarantined.Inc()
	}
	if after == before {
		return outsider, reset, nil // nearly always
	}
	return outsider, reset, d.contested(ctx, s, after)
}

// contested tells the operator of a quarantine that has begun, or ended if there is none now, and writes the head.
func (d *Device) contested(ctx context.Context, s *cwmp.Session, now *quarantine) error {
	if now != nil {
		d.p.log.Warn("two CPE have one DeviceId", "device", d.id, "remote", s.RemoteAddr, "quarantine", now.String())
		d.p.m.contested.Inc()
	} else {
		d.p.log.Info("only one CPE has this DeviceId now", "device", d.id, "remote", s.RemoteAddr)
		d.p.m.contested.Dec()
	}
	return d.putHead(context.WithoutCancel(ctx))
}

// judged is judge under d.mu.
func (d *Device) judged(s *cwmp.Session, now time.Time) (outsider bool) {
	h := &d.head
	if d.inform.at.IsZero() {
		return false
	}
	if q := h.Quarantine; q != nil && q.Reset {
		if !d.p.opts.Provision.Credentials || d.keepsOwn(setCredentials) || now.Sub(q.Seen) > contestTime {
			h.Quarantine = nil // the other one is gone, or the operator tells them apart
		}
		return false
	}
	url, software, hardware := h.URL, h.Software, h.Hardware
	for _, p := range s.Inform.ParameterList {
		switch {
		case p.Value == "":
		case strings.HasSuffix(p.Name, ".ManagementServer.ConnectionRequestURL"):
			url = p.Value
		case strings.HasSuffix(p.Name, ".DeviceInfo.SoftwareVersion"):
			software = p.Value
		case strings.HasSuffix(p.Name, ".DeviceInfo.HardwareVersion"):
			hardware = p.Value
		}
	}
	same := url == h.URL && software == h.Software && hardware == h.Hardware
	if same && h.Quarantine == nil {
		return false // nearly always
	}
	m := newMark(url, software, hardware)
	if q := h.Quarantine; q != nil {
		second := m == q.Mark || url == q.URL && url != h.URL // it may have other firmware by now
		if second && now.Sub(d.inform.at) < contestTime {
			q.Seen, q.Mark = now, m
			return true
		}
		if second || now.Sub(q.Seen) > contestTime {
			h.Quarantine, h.StaleBefore = nil, now.UnixMilli() // the other one is gone
		}
	}
	r := d.rivals
	switch {
	case same:
		return false
	case r == nil || r.marks[1-r.last] != m:
		d.rivals = &rivals{marks: [2]mark{newMark(h.URL, h.Software, h.Hardware), m}, last: 1}
		return false
	}
	r.last = 1 - r.last
	if hasEvent(s.Inform, cwmp.EventBootstrap) || booted(s.Inform) || hasEvent(s.Inform, cwmp.EventValueChange) {
		return false
	}
	if now.Sub(r.began) > contestTime {
		r.returns, r.began = 0, now
	}
	if r.returns++; r.returns < maxReturns {
		return false
	}
	q := &quarantine{Since: now, Seen: now, Mark: r.marks[1], URL: h.URL}
	if outsider = r.last == 1; outsider {
		q.URL, q.From = strings.Clone(url), s.RemoteAddr.Addr().Unmap()
	}
	d.rivals, h.Quarantine, h.StaleBefore = nil, q, now.UnixMilli()
	return outsider
}

// uncontested is an error while nothing may be written, since it is not known to which of two CPE.
func (d *Device) uncontested() error {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if q := d.head.Quarantine; q != nil {
		return usp.Errorf(usp.RequestDenied, "%s", q)
	}
	return nil
}

// isOutsider says whether a session is of the CPE in quarantine.
func (d *Device) isOutsider(s *cwmp.Session) bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.outsider == s.ID
}
