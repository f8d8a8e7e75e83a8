package translate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"isthmus/cwmp"
	"isthmus/store"
	"isthmus/usp"
	"isthmus/usp/agent"
)

// interest is what the Agent's subscriptions ask for.
type interest = agent.Interest

const (
	// adoption is how long isthmus tries to have the CPE take over a changed subscription (MaxSubscriptionChangeAdoptionTime).
	adoption = 10 * time.Second
	// attributesBatch is how many parameters one SetParameterAttributes has.
	attributesBatch = 64
	// maxAttributeCalls bounds the RPCs by which the parameters are found that a CPE refuses to report.
	maxAttributeCalls = 64
)

// told is what a CPE was told to report, and how it took that: the record of kind store.Attributes. It is immutable once in a Device.
type told struct {
	Active   []string `json:"active,omitempty"`   // own parameters, sorted
	Refused  []string `json:"refused,omitempty"`  // own parameters whose active notification the CPE refused, sorted
	Software string   `json:"software,omitempty"` // of the CPE then
	Silent   bool     `json:"silent,omitempty"`   // it has kept a change to itself since
	Polled   bool     `json:"polled,omitempty"`   // something of it is to be compared
}

func (t *told) equal(o *told) bool {
	return slices.Equal(t.Active, o.Active) && slices.Equal(t.Refused, o.Refused) && t.Software == o.Software && t.Silent == o.Silent && t.Polled == o.Polled
}

// setInterest takes over what the subscriptions ask for and has the CPE told, now if it can be reached, else in its next session.
func (d *Device) setInterest(i agent.Interest) {
	d.mu.Lock()
	elsewhere := slices.Equal(d.interest.ValueChange, i.ValueChange) && slices.Equal(d.interest.Objects, i.Objects) && !d.triggered()
	d.interest = i
	if elsewhere && !d.triggered() {
		d.mu.Unlock()
		return // of events that do not come from parameters
	}
	d.attributes = true
	idle := d.model == nil || d.adopting || d.p.closing.Load()
	d.adopting = d.adopting || !idle
	d.mu.Unlock()
	if !idle {
		d.p.wg.Go(d.adopt)
	}
}

// adopt has the CPE told what is subscribed while that changes. There is one for a device at most.
func (d *Device) adopt() {
	for {
		ctx, cancel := context.WithTimeout(d.p.ctx, adoption)
		err := d.do(ctx, &job{talk: func(ctx context.Context, c cwmp.Caller) error { return d.notifyAttributes(ctx, c, false) }})
		cancel()
		d.mu.Lock()
		if d.adopting = err == nil && d.attributes; !d.adopting {
			d.mu.Unlock()
			if err != nil {
				d.p.log.Info("notification attributes are set in the next session", "device", d.id, "err", err)
			}
			return
		}
		d.mu.Unlock()
	}
}

// notifyAttributes makes the CPE report what is subscribed: active notification for what no subscription asked for before, none for what
// has lost its last one. What it refuses is compared. again says that the CPE has forgotten what it was told.
func (d *Device) notifyAttributes(ctx context.Context, c cwmp.Caller, again bool) error {
	d.mu.RLock()
	idle := !d.attributes && !again
	d.mu.RUnlock()
	if idle {
		return nil
	}
	if err := d.load(ctx); err != nil {
		return err
	}
	before, err := d.loadTold(ctx)
	if err != nil {
		return err
	}
	now := *before
	d.mu.Lock()
	d.attributes = false // what is subscribed from here on is for the next to tell
	w := d.watched()
	var off []string
	if !again {
		off = dropped(now.Active, w.active, d.tree)
	}
	if again || now.Software != d.head.Software {
		now = told{Software: d.head.Software} // another firmware may have lost them, and refuse less
		if d.watch != nil {
			d.watch.proven, d.watch.suspected = false, time.Time{}
		}
	}
	now.Active = both(now.Active, w.active)
	now.Refused = both(now.Refused, w.active)
	d.mu.Unlock()
	var on []string
	for _, name := range w.active {
		if !has(now.Active, name) && !has(now.Refused, name) {
			on = append(on, name)
		}
	}
	s := attributeSetter{d: d, c: c}
	err = s.set(ctx, off, cwmp.NotificationOff)
	if err != nil {
		now.Active = append(now.Active, off...) // as far as is known
	} else {
		s.taken, s.refused = nil, nil
		err = s.set(ctx, on, cwmp.NotificationActive)
		now.Active, now.Refused = append(now.Active, s.taken...), append(now.Refused, s.refused...)
	}
	if err == nil {
		err = d.baseline(ctx, c, on)
	}
	slices.Sort(now.Active)
	slices.Sort(now.Refused)
	if len(s.refused) > 0 {
		d.p.log.Info("the CPE refuses active notification, changes are seen by comparing", "device", d.id, "parameters", len(s.refused), "err", s.why)
	}
	d.mu.Lock()
	d.attributes = d.attributes || err != nil
	d.watch = d.watch.take(w, &now, time.Now())
	if now.Polled = d.watch.polled(&now); !now.Polled && len(now.Active) == 0 {
		now = told{}
	}
	d.mu.Unlock()
	return errors.Join(err, d.keepTold(ctx, before, &now))
}

// baseline reads what is to be watched and has never been read: without it a first report would be no change.
func (d *Device) baseline(ctx context.Context, c cwmp.Caller, names []string) error {
	d.mu.RLock()
	names = slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		n := d.tree.get(name)
		return n == nil || n.at != 0
	})
	d.mu.RUnlock()
	var n news
	err := d.values(ctx, c, names, &n)
	var f *cwmp.Fault
	if errors.As(err, &f) {
		return nil
	}
	return errors.Join(err, d.tell(ctx, &n))
}

// dropped are the parameters of had that are not wanted any more, as far as they are there.
func dropped(had, want []string, t *tree) (off []string) {
	for _, name := range had {
		if !has(want, name) && t.get(name) != nil {
			off = append(off, name)
		}
	}
	return off
}

// has says whether a sorted list has a name.
func has(sorted []string, name string) bool {
	_, ok := slices.BinarySearch(sorted, name)
	return ok
}

// both gives the names that are in both of two sorted lists.
func both(a, b []string) (out []string) {
	for _, name := range a {
		if has(b, name) {
			out = append(out, name)
		}
	}
	return out
}

// attributeSetter sets notification attributes and finds out by halving which of them the CPE refuses, since SetParameterAttributes is done as a
// whole or not at all (TR-069 A.3.2.4).
type attributeSetter struct {
	d              *Device
	c              cwmp.Caller
	calls          int
	taken, refused []string
	why            error // the last refusal
}

func (s *attributeSetter) set(ctx context.Context, names []string, notification int) error {
	for batch := range slices.Chunk(names, attributesBatch) {
		if err := s.setBatch(ctx, batch, notification); err != nil {
			return err
		}
	}
	return nil
}

func (s *attributeSetter) setBatch(ctx context.Context, names []string, notification int) error {
	if s.calls >= maxAttributeCalls {
		s.refused = append(s.refused, names...)
		return nil
	}
	s.calls++
	var spa cwmp.SetParameterAttributes
	for _, name := range names {
		spa.ParameterList = append(spa.ParameterList, cwmp.SetParameterAttributesStruct{Name: name, NotificationChange: true, Notification: notification})
	}
	_, err := cwmp.Call(ctx, s.c, &spa)
	var f *cwmp.Fault
	switch {
	case err == nil:
		s.taken = append(s.taken, names...)
		return nil
	case !errors.As(err, &f):
		return err
	}
	s.why = err
	if f.Code == cwmp.FaultMethodNotSupported {
		s.calls = maxAttributeCalls
	}
	if len(names) == 1 || f.Code == cwmp.FaultMethodNotSupported {
		s.refused = append(s.refused, names...)
		return nil
	}
	half := len(names) / 2
	if err := s.setBatch(ctx, names[:half], notification); err != nil {
		return err
	}
	return s.setBatch(ctx, names[half:], notification)
}

// loadTold gives what the CPE was told.
func (d *Device) loadTold(ctx context.Context) (*told, error) {
	d.mu.RLock()
	t := d.told
	d.mu.RUnlock()
	if t != nil {
		return t, nil
	}
	t = &told{}
	b, err := d.p.store.Get(ctx, d.key(store.Attributes, ""))
	switch {
	case errors.Is(err, store.ErrNotFound):
	case err != nil:
		return nil, fmt.Errorf("reading what %s was told: %w", d.id, err)
	default:
		if err := json.Unmarshal(b, t); err != nil {
			d.p.log.Error("what the CPE was told is damaged, telling it anew", "device", d.id, "err", err)
			t = &told{}
		}
	}
	d.mu.Lock()
	if d.tree != nil { // else nobody would forget it again
		d.told = t
	}
	d.mu.Unlock()
	return t, nil
}

// keepTold puts what the CPE was told on disk where that has changed, and sees to its being polled.
func (d *Device) keepTold(ctx context.Context, before, now *told) error {
	d.p.polls.set(d, now.Polled)
	if before.equal(now) {
		return nil
	}
	op := store.Op{Key: d.key(store.Attributes, "")}
	if !now.equal(&told{}) {
		b, err := json.Marshal(now)
		if err != nil {
			return fmt.Errorf("what %s was told: %w", d.id, err)
		}
		op.Value = b
	}
	if err := d.put(context.WithoutCancel(ctx), op); err != nil {
		return fmt.Errorf("keeping what %s was told: %w", d.id, err)
	}
	d.mu.Lock()
	if d.told = now; d.tree == nil {
		d.told = nil
	}
	d.mu.Unlock()
	return nil
}

// restoreTold has every CPE that was told something looked after: polled, and told anew what is subscribed in its next session.
func (p *Proxy) restoreTold(ctx context.Context) error {
	for item, err := range p.store.All(ctx, store.Attributes) {
		if err != nil {
			return fmt.Errorf("reading what CPE were told: %w", err)
		}
		if d := p.devices[usp.EndpointID(item.Key.Device)]; d != nil {
			var t told
			err := json.Unmarshal(item.Value, &t)
			d.attributes = true
			p.polls.set(d, err == nil && t.Polled)
		}
	}
	return nil
}
