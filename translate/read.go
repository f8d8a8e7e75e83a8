package translate

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"isthmus/cwmp"
	"isthmus/translate/quirks"
	"isthmus/usp"
	"isthmus/usp/agent"
)

// Read implements agent.DataModel: from the cache what is young enough there, the rest in one job.
func (d *Device) Read(ctx context.Context, queries []agent.Query) []agent.Reading {
	d.hold()
	defer d.release()
	out := make([]agent.Reading, len(queries))
	fail := func(err error) []agent.Reading {
		for i := range out {
			if out[i].Objects == nil && out[i].Err == nil {
				out[i].Err = uspError(err, reading)
			}
		}
		return out
	}
	atOnce := agent.NoWait(ctx)
	if atOnce && !d.warm() {
		return fail(agent.ErrWait)
	}
	if err := d.load(ctx); err != nil {
		return fail(err)
	}
	open := d.answerIdentity(queries, out) // what may have to be asked
	if len(open) > 0 && !atOnce {
		if err := d.waitModel(ctx); err != nil {
			return fail(err)
		}
	}
	asked := time.Now()
	p := d.plan(open, asked)
	var err error
	switch {
	case p.empty():
		d.p.m.hits.Inc()
		exchangeOf(ctx).because(fromCache)
	case atOnce:
		return fail(agent.ErrWait)
	default:
		d.p.m.misses.Inc()
		err = d.do(ctx, &job{talk: func(ctx context.Context, c cwmp.Caller) error { return d.fetch(ctx, c, open, asked) }})
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	view := d.view()
	pl := planner{d: d, ages: d.p.ages.Load(), view: view, now: time.Now().UnixMilli(), floor: asked.UnixMilli(), spare: d.p.opts.ServeStale}
	for i, q := range queries {
		if out[i].Objects != nil || out[i].Err != nil {
			continue
		}
		if err != nil && !q.Cached {
			var left plan
			if pl.add(&left, q); !left.empty() {
				out[i].Err = d.notFresh(view, q, uspError(err, reading))
				continue
			}
		}
		if d.tree == nil {
			out[i].Err = usp.Errorf(usp.Unreachable, "the data model of the CPE is being read again")
			continue
		}
		out[i].Objects = view.Render(d.tree, q)
		if len(out[i].Objects) == 0 && !d.supports(q.Path) {
			out[i].Err = usp.Errorf(usp.InvalidPath, "%s is not in the supported data model", q.Path)
		}
	}
	return out
}

// notFresh is the error of a query that the CPE was not there to answer: 7803 where older values are at hand and the operator allows
// values up to an age that these have passed. d.mu is held.
func (d *Device) notFresh(view View, q agent.Query, why *usp.Error) *usp.Error {
	if d.p.opts.ServeStale == 0 || why.Code != usp.Unreachable || d.tree == nil || len(view.Render(d.tree, q)) == 0 {
		return why
	}
	return usp.Errorf(usp.NoFreshValue, "what is known is older than %v; %s", d.p.opts.ServeStale, why.Msg)
}

// warm says that what is known of the CPE is in memory, and the model with it.
func (d *Device) warm() bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.tree != nil && d.model != nil
}

// answerIdentity answers what says who the CPE is and gives the other queries that may ask the CPE.
func (d *Device) answerIdentity(queries []agent.Query, out []agent.Reading) (open []agent.Query) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	for i, q := range queries {
		if v, ok := d.identity(q.Path); ok && !q.RowsOnly {
			_, name, _ := strings.Cut(q.Path, deviceInfo)
			out[i].Objects = []agent.Object{{Path: deviceInfo, Params: []agent.Param{{Name: name, Value: v}}}}
			continue
		}
		if !q.Cached {
			open = append(open, q)
		}
	}
	return open
}

// identity gives the value of an identity parameter: what the CPE's tree says if it says anything, else what the Inform said.
func (d *Device) identity(path string) (string, bool) {
	name, ok := strings.CutPrefix(path, deviceInfo)
	if !ok || !slices.Contains(identityParams, name) {
		return "", false
	}
	h := &d.head
	switch name {
	case "ManufacturerOUI":
		return h.OUI, true
	case "ProductClass":
		return h.ProductClass, true
	case "SerialNumber":
		return h.SerialNumber, true
	case "SoftwareVersion":
		return h.Software, true
	case "HardwareVersion":
		return h.Hardware, h.Hardware != "" || d.model == nil
	}
	if d.tree != nil {
		if n := d.tree.get(h.Root + "DeviceInfo." + name); n != nil && n.at != 0 {
			return n.value, true
		}
	}
	if name == "Manufacturer" {
		return h.Manufacturer, true
	}
	return h.ModelName, true
}

func (d *Device) waitModel(ctx context.Context) error {
	d.mu.RLock()
	known := d.model != nil
	d.mu.RUnlock()
	if known {
		return nil
	}
	return d.waitDiscovery(ctx)
}

// supports says whether a path is in the supported data model. d.mu is held.
func (d *Device) supports(path string) bool {
	if d.model == nil {
		return true // not for this to decide
	}
	if strings.HasSuffix(path, ".") {
		return d.model.Object(path) != nil
	}
	i := strings.LastIndexByte(path, '.') + 1
	o := d.model.Object(path[:i])
	return o != nil && o.Param(path[i:]) != nil
}

// plan says what of the queries the cache cannot answer.
func (d *Device) plan(queries []agent.Query, floor time.Time) plan {
	d.mu.RLock()
	defer d.mu.RUnlock()
	var p plan
	if d.tree == nil {
		return p
	}
	pl := planner{d: d, ages: d.p.ages.Load(), view: d.view(), now: time.Now().UnixMilli(), floor: floor.UnixMilli()}
	for _, q := range queries {
		pl.add(&p, q)
	}
	return p
}

// fetch asks the CPE for what the queries still need: listings first, then the values that those brought up.
func (d *Device) fetch(ctx context.Context, c cwmp.Caller, queries []agent.Query, floor time.Time) error {
	if err := d.load(ctx); err != nil {
		return err
	}
	var news news
	p := d.plan(queries, floor)
	if p.empty() && d.warm() {
		exchangeOf(ctx).merge()
	}
	slices.Sort(p.lists)
	done := "\x00"
	for _, object := range p.lists {
		if strings.HasPrefix(object, done) {
			continue // listed with the one above it
		}
		done = object
		if err := d.list(ctx, c, object, &news); err != nil {
			return err
		}
	}
	if len(p.lists) > 0 {
		p = d.plan(queries, floor)
	}
	err := d.values(ctx, c, p.values, &news)
	if err == nil {
		err = d.follow(ctx, c, &news)
	}
	d.mu.RLock()
	t := d.told
	d.mu.RUnlock()
	d.suspect(t, &news)
	return errors.Join(err, d.tell(ctx, &news)) // what was found is known from now on, so it is told even if the session is lost
}

// news is what a conversation with the CPE brought to light, in the CPE's own names.
type news struct {
	created, deleted []string
	values           []change
	names            bool              // names were listed
	listed           []string          // below these objects
	late             []agent.Happening // what was held back
}

// change is a parameter of the CPE that has another value than the one known before.
type change struct{ path, value, old string }

// list asks what exists below an object and takes it over.
func (d *Device) list(ctx context.Context, c cwmp.Caller, object string, n *news) error {
	names, err := listBelow(ctx, c, object, 0)
	if err != nil {
		return err
	}
	if len(names) > maxNames {
		return errTooManyNames
	}
	d.mu.Lock()
	if d.tree == nil {
		d.mu.Unlock()
		return nil
	}
	now, was := time.Now(), d.leaving(object, names)
	created, deleted := d.tree.listed(object, names, now.UnixMilli())
	if d.lookedUp == nil || len(d.lookedUp) >= maxLookedUp {
		d.lookedUp = map[string]time.Time{}
	}
	d.lookedUp[object] = now
	n.names, n.listed = true, append(n.listed, object)
	d.mu.Unlock()
	return d.rowNews(ctx, c, was, created, deleted, now.UnixMilli(), n)
}

const (
	// maxDepth bounds how deep a listing is followed level by level.
	maxDepth = 32
	// maxNames bounds what is believed to exist at one CPE: ten times what a large gateway has.
	maxNames = 100_000
)

var errTooManyNames = usp.Errorf(usp.ResourcesExceeded, "the CPE lists more than %d names", maxNames)

// listBelow lists all names below an object: in one call, or level by level where the CPE cannot. An object that is not there, and
// a table without rows, come out empty. A CPE that leaves all objects out of such a list (cwmp-sim) is asked level by level too: what
// else would tell which tables there are, and whether they can have more rows?
func listBelow(ctx context.Context, c cwmp.Caller, object string, depth int) ([]listedName, error) {
	resp, err := cwmp.Call(ctx, c, &cwmp.GetParameterNames{ParameterPath: object})
	var f *cwmp.Fault
	switch {
	case err == nil:
		names := takeNames(resp.ParameterList)
		if depth >= maxDepth || !withoutObjects(object, names) {
			return names, nil
		}
	case !errors.As(err, &f):
		return nil, err
	case f.Code == cwmp.FaultInvalidParameterName:
		return nil, nil
	case depth >= maxDepth:
		return nil, err
	}
	return listLevel(ctx, c, object, depth)
}

// withoutObjects tells a list that has parameters of objects below object, but none of these objects.
func withoutObjects(object string, names []listedName) bool {
	deeper := false
	for _, n := range names {
		rest, below := strings.CutPrefix(n.path, object)
		if below && strings.HasSuffix(rest, ".") {
			return false
		}
		deeper = deeper || below && strings.Contains(rest, ".")
	}
	return deeper
}

// listLevel lists an object's children and, below each, everything.
func listLevel(ctx context.Context, c cwmp.Caller, object string, depth int) ([]listedName, error) {
	resp, err := cwmp.Call(ctx, c, &cwmp.GetParameterNames{ParameterPath: object, NextLevel: true})
	if err != nil {
		return nil, err
	}
	names := takeNames(resp.ParameterList)
	for _, n := range slices.Clone(names) {
		if !strings.HasSuffix(n.path, ".") || len(n.path) <= len(object) || !strings.HasPrefix(n.path, object) {
			continue
		}
		below, err := listBelow(ctx, c, n.path, depth+1)
		if err != nil {
			return nil, err
		}
		if names = append(names, below...); len(names) > maxNames {
			return nil, errTooManyNames
		}
	}
	return names, nil
}

func takeNames(infos []cwmp.ParameterInfoStruct) []listedName {
	names := make([]listedName, 0, len(infos))
	for _, i := range infos {
		if i.Name != "" {
			names = append(names, listedName{i.Name, i.Writable})
		}
	}
	return names
}

// firstBatch is how many names one GetParameterValues has until a CPE refuses that many.
const firstBatch = 64

// fewestRemembered is the smallest batch that is remembered for a model: one odd CPE must not slow down all the others by more than that.
const fewestRemembered = 8

// fewest is the batch for a model of which one CPE takes known names, or nothing is known, and another takes more or less.
func fewest(known, names int) int { return max(min(cmp.Or(known, names), names), fewestRemembered) }

// values reads parameters in batches and takes them over. A batch that the CPE refuses is halved; a single name that it refuses does
// not exist.
func (d *Device) values(ctx context.Context, c cwmp.Caller, names []string, n *news) error {
	d.mu.RLock()
	had := d.batch
	first := cmp.Or(d.habit().NamesPerGet, firstBatch)
	d.mu.RUnlock()
	for rest := names; len(rest) > 0; {
		d.mu.RLock()
		size := min(cmp.Or(d.batch, first), len(rest))
		d.mu.RUnlock()
		if err := d.valuesOf(ctx, c, rest[:size], n); err != nil {
			return err
		}
		rest = rest[size:]
	}
	return d.learnBatch(ctx, c, had, names, n)
}

// learnBatch remembers for the CPE's model that a batch was too large, if it still is: a CPE that was busy for a moment says nothing about others.
func (d *Device) learnBatch(ctx context.Context, c cwmp.Caller, had int, names []string, n *news) error {
	d.mu.RLock()
	has := d.batch
	d.mu.RUnlock()
	if has == had {
		return nil
	}
	again := names[:min(2*has, len(names))]
	resp, err := cwmp.Call(ctx, c, &cwmp.GetParameterValues{ParameterNames: again})
	var f *cwmp.Fault
	switch {
	case err == nil:
		d.take(resp.ParameterList, again, n)
	case !errors.As(err, &f):
		return err
	case tooMuch(f):
		d.found(ctx, func(l *quirks.Learnt) { l.NamesPerGet = fewest(l.NamesPerGet, has) })
	}
	return nil
}

// tooMuch says whether a CPE may have been asked for too much at once.
func tooMuch(f *cwmp.Fault) bool {
	return f.Code == cwmp.FaultResourcesExceeded || f.Code == cwmp.FaultInternalError
}

func (d *Device) valuesOf(ctx context.Context, c cwmp.Caller, names []string, n *news) error {
	resp, err := cwmp.Call(ctx, c, &cwmp.GetParameterValues{ParameterNames: names})
	var f *cwmp.Fault
	switch {
	case err == nil:
		d.mu.Lock()
		if d.batch != 0 {
			d.batch = max(d.batch, len(names)) // it was not the number that the CPE could not do
		}
		d.mu.Unlock()
		d.take(resp.ParameterList, names, n)
		return nil
	case !errors.As(err, &f):
		return err
	case len(names) == 1:
		if f.Code == cwmp.FaultInvalidParameterName {
			d.mu.Lock()
			if d.tree != nil {
				d.tree.remove(names[0])
			}
			d.mu.Unlock()
			return nil
		}
		return err
	case tooMuch(f):
		d.mu.Lock()
		d.batch = max(1, len(names)/2)
		d.mu.Unlock()
	}
	half := len(names) / 2
	if err := d.valuesOf(ctx, c, names[:half], n); err != nil {
		return err
	}
	return d.valuesOf(ctx, c, names[half:], n)
}

// take stores values that the CPE gave; names is what was asked, and only that, or what is known anyway, is believed.
func (d *Device) take(params []cwmp.ParameterValueStruct, names []string, n *news) {
	at := time.Now().UnixMilli()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.tree == nil {
		return
	}
	for _, p := range params {
		if p.Name == "" || d.tree.get(p.Name) == nil && !slices.Contains(names, p.Name) {
			continue
		}
		d.booleans |= booleanForm(p.Type, p.Value)
		v := normalize(p.Name, p.Type, p.Value)
		if old, changed, known := d.tree.set(p.Name, v, p.Type, at); changed && known {
			n.values = append(n.values, change{p.Name, v, old})
		}
	}
	d.inform.hash = 0 // an Inform that says what an older one said is news again
}

// tell raises what came to light, for the subscriptions, and lets the model learn new names.
func (d *Device) tell(ctx context.Context, n *news) error {
	ctx = context.WithoutCancel(ctx)
	if n.names {
		if err := d.reshape(ctx); err != nil {
			return err
		}
	}
	d.mu.Lock()
	happened := n.late
	view := d.view()
	var gone []string
	if len(d.aliases) > 0 {
		for _, own := range n.deleted {
			gone = append(gone, view.Rows(own)...)
		}
	}
	if len(d.interest.ValueChange) > 0 {
		happened = append(happened, d.valueChanges(n.values)...)
	}
	fired := d.fired(n.values)
	fired = d.firedBy(n.created) || fired
	if len(n.created)+len(n.deleted) > 0 && !d.interest.Empty() {
		d.attributes = true // wildcards and searches follow the rows
	}
	happened = append(happened, d.moves(n.values)...)
	if len(d.interest.Objects) > 0 {
		for _, own := range n.created {
			for _, row := range view.Rows(own) {
				happened = append(happened, &agent.ObjectCreation{Path: row, Keys: d.keys(view, row)})
			}
		}
		for _, own := range n.deleted {
			for _, row := range view.Rows(own) {
				happened = append(happened, &agent.ObjectDeletion{Path: row})
			}
		}
	}
	d.mu.Unlock()
	if err := d.dropAliases(ctx, gone); err != nil {
		return err
	}
	if fired {
		if err := d.putHead(ctx); err != nil {
			return err
		}
	}
	if len(happened) == 0 {
		return nil
	}
	return d.agent.Raise(ctx, happened...)
}

// keys gives the unique keys of a row, as far as it has them. d.mu is held.
func (d *Device) keys(view View, row string) map[string]string {
	keys := map[string]string{}
	if d.model == nil || d.tree == nil {
		return keys
	}
	def := d.model.Object(row)
	if def == nil {
		return keys
	}
	for _, o := range view.Render(d.tree, agent.Query{Path: row, Depth: 1}) {
		if o.Path != row {
			continue
		}
		for _, p := range o.Params {
			for _, set := range def.Keys {
				if slices.Contains(set, p.Name) {
					keys[p.Name] = p.Value
				}
			}
		}
	}
	return keys
}
