package translate

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"isthmus/cwmp"
	"isthmus/usp"
	"isthmus/usp/agent"
)

const (
	// maxActive bounds the parameters of one CPE that it is to report by itself; what subscriptions ask for beyond that is compared.
	maxActive = 512
	// maxCompared bounds the parameters of one CPE that are compared; what is beyond that is seen when it is read.
	maxCompared = 2048
	// maxTables bounds the tables of one CPE whose rows are watched.
	maxTables = 256
	// compareGap is the least time between two comparisons, so that a CPE which informs all the time is not read all the time.
	compareGap = 10 * time.Second
	// verifyInterval stands for PollInterval where that is turned off.
	verifyInterval = 5 * time.Minute
	// patience is how long a CPE has to report a change before it counts as one that does not.
	patience = time.Minute
)

// watchList is what the subscriptions come to, in the CPE's own names, sorted.
type watchList struct {
	active   []string // to be reported
	compared []string // to be read now and then: counters, clocks, and what only an object path names
	tables   []string // whose rows are subscribed to
	quiet    []string // of compared, in Device:2 names: counters and clocks
}

// watching is what is remembered of how a CPE's changes are learnt. Device.mu guards it.
type watching struct {
	active, leaves   bool // there are parameters to be reported; such as are always compared
	tables, bare     bool // there are tables; such without a count that is reported
	silent           bool // the CPE has kept a change to itself
	proven           bool // it has reported one since its boot
	compared         time.Time
	verified, tabled time.Time             // when the active parameters, and the rows, were compared
	suspected        time.Time             // when a change was found that the CPE has not reported; zero: none
	counted          []string              // own tables whose count has changed in an Inform
	quiet            map[string]quietValue // by Device:2 name: the counters and clocks that a subscription names
}

// quietValue is what was told last of a counter or clock, and when; the zero value where nothing was.
type quietValue struct {
	value string
	at    time.Time
}

// take notes what there is to watch.
func (x *watching) take(w watchList, t *told, now time.Time) {
	x.active, x.leaves = len(w.active) > 0, len(w.compared)+len(t.Refused) > 0
	x.tables, x.bare = len(w.tables) > 0, slices.ContainsFunc(w.tables, func(table string) bool { return !has(t.Active, countOf(table)) })
	x.silent = t.Silent
	if x.verified.IsZero() {
		x.verified, x.tabled = now, now
	}
	before := x.quiet
	x.quiet = nil
	for _, path := range w.quiet {
		if x.quiet == nil {
			x.quiet = make(map[string]quietValue, len(w.quiet))
		}
		x.quiet[path] = before[path]
	}
}

// polled says whether there is something that the CPE does not report.
func (x *watching) polled(t *told) bool { return x.leaves || x.bare || x.active && t.Silent }

// countOf is the parameter beside a table that counts its rows.
func countOf(table string) string { return strings.TrimSuffix(table, ".") + countSuffix }

const countSuffix = "NumberOfEntries"

// watched works out what the subscriptions are about. d.mu is held.
func (d *Device) watched() watchList {
	x := sorter{d: d, view: d.view(), active: map[string]bool{}, compared: map[string]bool{}}
	x.each(false) // what is named goes before what lies below something named
	tables := d.tables()
	for _, table := range tables {
		if count := countOf(table); d.tree.get(count) != nil && len(x.active) < maxActive {
			x.active[count] = true
		}
	}
	x.each(true)
	return watchList{active: slices.Sorted(maps.Keys(x.active)), compared: slices.Sorted(maps.Keys(x.compared)), tables: tables, quiet: x.quiet}
}

// sorter decides how the changes of each parameter are learnt that a subscription covers.
type sorter struct {
	d                *Device
	view             View
	active, compared map[string]bool
	quiet            []string
}

// each sorts what ValueChange subscriptions name, or, if broad, what is below the objects that they name.
func (x *sorter) each(broad bool) {
	for _, ref := range x.d.interest.ValueChange {
		p, err := usp.ParsePath(ref)
		if err != nil {
			continue
		}
		for _, need := range x.view.Needs(agent.Query{Path: p.Query()}) {
			if strings.HasSuffix(need.path, ".") == broad {
				x.d.tree.walk(need.path, need.depth, func(path string, n *node) { x.sort(path, n, broad) })
			}
		}
	}
}

func (x *sorter) sort(path string, n *node, broad bool) {
	if !n.param || x.active[path] || x.compared[path] {
		return
	}
	for _, shown := range x.view.Params(path) {
		def := x.d.param(shown)
		switch {
		case def == nil, broad && def.Quiet:
			continue
		case !def.Quiet && (!broad || def.Writable || isStatus(def)) && len(x.active) < maxActive:
			x.active[strings.Clone(path)] = true
		case len(x.compared) < maxCompared:
			x.compared[strings.Clone(path)] = true
			if def.Quiet {
				x.quiet = append(x.quiet, strings.Clone(shown))
			}
		}
		return
	}
}

// isStatus says whether a parameter that cannot be written tells a state rather than a measure or a name.
func isStatus(def *agent.ParamDef) bool {
	return len(def.Enum) > 0 || def.Type == agent.TypeBoolean || strings.HasSuffix(def.Name, "Status")
}

// tables lists the CPE's own tables whose rows are subscribed to. d.mu is held.
func (d *Device) tables() []string {
	var tables []string
	for _, ref := range d.interest.Objects {
		p, err := usp.ParsePath(ref)
		if err != nil {
			continue
		}
		path := p.Query()
		if last := path[strings.LastIndexByte(strings.TrimSuffix(path, "."), '.')+1:]; last == "*." || last == "*" || agent.IsInstance(strings.TrimSuffix(last, ".")) {
			path = strings.TrimSuffix(path, last) // of rows: ObjectDeletion
		}
		if !strings.HasSuffix(path, ".") {
			path += "."
		}
		for _, need := range d.view().Needs(agent.Query{Path: path, RowsOnly: true}) {
			if !strings.Contains(need.path, "*") && strings.HasSuffix(need.path, ".") {
				tables = append(tables, need.path) // be it that the CPE denies it while it is empty
				continue
			}
			d.tree.walk(need.path, 1, func(path string, n *node) {
				if !n.param && strings.Count(path, ".") == strings.Count(need.path, ".") && len(tables) < maxTables {
					tables = append(tables, strings.Clone(path))
				}
			})
		}
	}
	slices.Sort(tables)
	return slices.Compact(tables)
}

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
	if err := d.notifyAttributes(ctx, c, hasEvent(in, cwmp.EventBootstrap)); err != nil || read {
		return err
	}
	why := atInform
	if rebooted {
		why = atBoot
	}
	if err := d.compare(ctx, c, why); err != nil {
		return err
	}
	return d.notifyAttributes(ctx, c, false) // rows may have come to light
}

// compareDue says whether a session with a CPE is a reason to compare, from memory.
func (d *Device) compareDue(why occasion, now time.Time) bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	x, every := &d.watch, d.p.verifyEvery()
	if !x.active && !x.leaves && !x.tables {
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
	w, x, every := d.watched(), &d.watch, d.p.verifyEvery()
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
	if err := d.values(ctx, c, names, &n); err != nil {
		return err
	}
	for _, table := range w.tables {
		count := countOf(table)
		if all || slices.Contains(counted, table) || !has(names, count) && !has(t.Active, count) {
			if err := d.list(ctx, c, table, &n); err != nil {
				return err
			}
		}
	}
	if why != atBoot {
		d.suspect(t, &n)
	}
	d.mu.Lock()
	x.compared = now
	if verify {
		x.verified = now
	}
	if all {
		x.tabled = now
	}
	n.late = d.quietChanges(now)
	d.mu.Unlock()
	if err := d.follow(ctx, c, &n); err != nil {
		return err
	}
	return d.tell(ctx, &n)
}

// follow looks into what news are about: the rows of subscribed tables whose counts have changed, and the unique keys of rows that came to light,
// which ObjectCreation tells.
func (d *Device) follow(ctx context.Context, c cwmp.Caller, n *news) error {
	d.mu.RLock()
	var tables []string
	watched := len(d.interest.Objects) > 0 && d.model != nil && d.tree != nil
	if watched {
		for _, table := range d.tables() {
			count := countOf(table)
			listed := slices.ContainsFunc(n.listed, func(object string) bool { return strings.HasPrefix(table, object) })
			if !listed && slices.ContainsFunc(n.values, func(c change) bool { return c.path == count }) {
				tables = append(tables, table)
			}
		}
	}
	d.mu.RUnlock()
	if !watched {
		return nil
	}
	for _, table := range tables {
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
	if d.watch.suspected.IsZero() {
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
	x := &d.watch
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

// countsChanged notes which subscribed tables may have other rows, by what an Inform says. d.mu is held.
func (d *Device) countsChanged(changes []change) {
	if len(d.interest.Objects) == 0 || !slices.ContainsFunc(changes, func(c change) bool { return strings.HasSuffix(c.path, countSuffix) }) {
		return
	}
	for _, table := range d.tables() {
		if slices.ContainsFunc(changes, func(c change) bool { return c.path == countOf(table) }) {
			d.watch.counted = append(d.watch.counted, table)
		}
	}
}

// valueChanges are the changes of Device:2 parameters that changes at the CPE come to. d.mu is held.
func (d *Device) valueChanges(changes []change) (happened []agent.Happening) {
	view := d.view()
	for _, c := range changes {
		for _, p := range view.Params(c.path) {
			v := d.valueChange(view, p, c)
			if def := d.param(p); def != nil && def.Quiet {
				if v.Quiet = true; !d.ripe(v, time.Now()) {
					continue
				}
			}
			happened = append(happened, v)
		}
	}
	return happened
}

// ripe says whether a counter or clock is told: if a subscription names it, and once in the interval of the poll, which tells what is left
// out here. d.mu is held.
func (d *Device) ripe(v *agent.ValueChange, now time.Time) bool {
	x := &d.watch
	last, named := x.quiet[v.Path]
	if !named || !last.at.IsZero() && now.Sub(last.at) < d.p.verifyEvery() {
		return false
	}
	if !last.at.IsZero() {
		v.Old = last.value
	}
	x.quiet[v.Path] = quietValue{v.Value, now}
	return true
}

// quietChanges are the counters and clocks that stopped at another value than the one told. d.mu is held.
func (d *Device) quietChanges(now time.Time) (late []agent.Happening) {
	view := d.view()
	for path, last := range d.watch.quiet {
		if last.at.IsZero() {
			continue
		}
		for _, o := range view.Render(d.tree, agent.Query{Path: path}) {
			for _, p := range o.Params {
				if v := (&agent.ValueChange{Path: path, Value: p.Value, Quiet: true}); p.Value != last.value && d.ripe(v, now) {
					late = append(late, v)
				}
			}
		}
	}
	return late
}
