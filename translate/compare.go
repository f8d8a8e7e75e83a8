package translate

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"isthmus/cwmp"
	"isthmus/usp/agent"
)

const (
	// compareGap is the least time between two comparisons, so that a CPE which informs all the time is not read all the time.
	compareGap = 10 * time.Second
	// verifyInterval stands for PollInterval where that is turned off.
	verifyInterval = 5 * time.Minute
	// patience is how long a CPE has to report a change before it counts as one that does not.
	patience = time.Minute
)

// occasion is why there may be a comparison.
type occasion int

const (
	atInform occasion = iota
	atPoll
	atBoot // what changed meanwhile, the CPE has forgotten to report
)

func (p *Proxy) verifyEvery() time.Duration {
	if p.opts.PollInterval > 0 {
		return p.opts.PollInterval
	}
	return verifyInterval
}

// attend does what a session owes the subscriptions. read says that everything has just been read.
func (d *Device) attend(ctx context.Context, c cwmp.Caller, in *cwmp.Inform, rebooted, read bool) error {
	if err := d.listen(ctx, in, rebooted); err != nil {
		return err
	}
	d.mu.RLock()
	bootstrapped := d.head.Bootstrapped
	d.mu.RUnlock()
	if err := d.notifyAttributes(ctx, c, bootstrapped); err != nil {
		return err
	}
	if read {
		return d.tend(ctx, c)
	}
	why := atInform
	if rebooted {
		why = atBoot
	}
	if err := d.compare(ctx, c, why); err != nil {
		return err
	}
	return d.tend(ctx, c)
}

// tend does what has come up for subscriptions within a session: rows were made or found, events have happened.
func (d *Device) tend(ctx context.Context, c cwmp.Caller) error {
	return errors.Join(d.notifyAttributes(ctx, c, false), d.fire(ctx, c))
}

// compareDue says whether a session with a CPE is a reason to compare, from memory.
func (d *Device) compareDue(why occasion, now time.Time) bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.comparisonDue(why, now)
}

// comparisonDue is compareDue under d.mu.
func (d *Device) comparisonDue(why occasion, now time.Time) bool {
	x, every := d.watch, d.p.verifyEvery()
	if x == nil {
		return false
	}
	gap := compareGap
	if !d.haste.since.IsZero() {
		gap = every
	}
	switch {
	case why == atBoot, len(x.counted) > 0:
		return true
	case why == atInform && (d.served || now.Sub(x.compared) < min(gap, every)): // somebody waits for a session that was asked for
		return false
	case why == atPoll && now.Sub(x.compared) < every/2: // its own Inform was the occasion
		return false
	}
	return why == atPoll || x.leaves || x.bare || x.active && (x.silent || !x.proven && now.Sub(x.verified) >= every) ||
		x.tables && now.Sub(x.tabled) >= every
}

// compare reads what is subscribed and what the CPE does not report by itself, or has not shown to report, and tells what has changed.
func (d *Device) compare(ctx context.Context, c cwmp.Caller, why occasion) error {
	now := time.Now()
	if !d.compareDue(why, now) {
		return nil
	}
	if err := d.load(ctx); err != nil {
		return err
	}
	t, err := d.loadTold(ctx)
	if err != nil {
		return err
	}
	d.mu.Lock()
	w, x, every := d.watched(), d.watch, d.p.verifyEvery()
	names := slices.Concat(w.compared, t.Refused)
	verify := why == atBoot || x.silent || !x.proven && now.Sub(x.verified) >= every
	if verify {
		names = slices.Concat(names, t.Active)
	}
	all := why != atInform || now.Sub(x.tabled) >= every
	counted := x.counted
	x.counted = nil
	d.mu.Unlock()
	slices.Sort(names)
	names = slices.Compact(names)

	var n news
	err = d.values(ctx, c, names, &n)
	for _, table := range slices.Concat(counted, w.tables) {
		count := countOf(table)
		if err != nil || slices.Contains(n.listed, table) {
			continue
		}
		if all || slices.Contains(counted, table) || !has(names, count) && !has(t.Active, count) {
			err = d.list(ctx, c, table, &n)
		}
	}
	if err == nil {
		err = d.follow(ctx, c, &n)
	}
	if why != atBoot {
		d.suspect(t, &n)
	}
	d.mu.Lock()
	if err != nil {
		x.count(counted) // again
	} else {
		x.compared = now
		if verify {
			x.verified = now
		}
		if all {
			x.tabled = now
		}
		n.late = d.quietChanges(now)
	}
	d.mu.Unlock()
	return errors.Join(err, d.tell(ctx, &n)) // what was found is known from now on, so it is told even if the session is lost
}

// follow looks into what news are about: the rows of tables whose counts have changed, and the unique keys of rows that came to light, which
// ObjectCreation tells.
func (d *Device) follow(ctx context.Context, c cwmp.Caller, n *news) error {
	d.mu.RLock()
	watched := !d.interest.Empty() && d.model != nil && d.tree != nil
	var tables []string
	if watched {
		tables = d.countsOf(n.values)
	}
	d.mu.RUnlock()
	if !watched {
		return nil
	}
	for _, table := range tables {
		if slices.ContainsFunc(n.listed, func(object string) bool { return strings.HasPrefix(table, object) }) {
			continue
		}
		if err := d.list(ctx, c, table, n); err != nil {
			return err
		}
	}
	return d.values(ctx, c, d.keyNames(n.created), n)
}

// keyNames are the parameters behind the unique keys of new rows that have not been read.
func (d *Device) keyNames(created []string) (names []string) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	view := d.view()
	for _, own := range created {
		for _, row := range view.Rows(own) {
			def := d.model.Object(row)
			if def == nil {
				continue
			}
			for _, key := range slices.Concat(def.Keys...) {
				for _, need := range view.Needs(agent.Query{Path: row + key}) {
					if k := d.tree.get(need.path); k != nil && k.param && k.at == 0 {
						names = append(names, need.path)
					}
				}
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// suspect notes that a change was found which the CPE was to report. It may be about to: until its next Inform it is in a session with us.
func (d *Device) suspect(t *told, n *news) {
	if t == nil || t.Silent || !slices.ContainsFunc(n.values, func(c change) bool { return has(t.Active, c.path) }) {
		return
	}
	d.mu.Lock()
	if d.watch != nil && d.watch.suspected.IsZero() {
		d.watch.suspected = time.Now()
	}
	d.mu.Unlock()
}

// listen judges by an Inform whether the CPE reports what it was told to (row R23). One that does not is told once more, and compared from
// then on until it does.
func (d *Device) listen(ctx context.Context, in *cwmp.Inform, rebooted bool) error {
	now := time.Now()
	reports := hasEvent(in, cwmp.EventValueChange)
	d.mu.Lock()
	x := d.watch
	if x == nil {
		d.mu.Unlock()
		return nil
	}
	if rebooted {
		x.proven, x.suspected = false, time.Time{}
	}
	overdue := !x.suspected.IsZero() && now.Sub(x.suspected) >= patience
	idle := !x.active || !(reports && (!x.proven || x.silent || !x.suspected.IsZero())) && !overdue
	d.mu.Unlock()
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
	reports = reports && slices.ContainsFunc(in.ParameterList, func(p cwmp.ParameterValueStruct) bool { return has(before.Active, p.Name) })
	after := *before
	d.mu.Lock()
	switch {
	case reports:
		x.proven, x.silent, x.suspected = true, false, time.Time{}
		after.Silent = false
	case overdue:
		x.proven, x.silent, x.suspected = false, true, time.Time{}
		after.Silent, after.Active, d.attributes = true, nil, true // told once more
		d.p.log.Info("the CPE does not report what it was told to, changes are seen by comparing", "device", d.id)
	}
	after.Polled = x.polled(&after)
	d.mu.Unlock()
	return d.keepTold(ctx, before, &after)
}
