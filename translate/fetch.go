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
		if len(names) >= d.mute {
			d.mute = 0
		}
		d.mu.Unlock()
		d.take(resp.ParameterList, names, n)
		return nil
	case !errors.As(err, &f):
		if errors.Is(err, cwmp.ErrUnknownOutcome) {
			d.unanswered(len(names))
		}
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

// unanswered notes that the session was lost over a GetParameterValues of n names. Over fewer than a batch it says nothing of the batch. Once it may be the network's
// doing; a CPE to which it happens again over as many takes fewer from then on.
func (d *Device) unanswered(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if n < cmp.Or(d.batch, d.habit().NamesPerGet, firstBatch) {
		return
	}
	if d.mute != 0 && n >= d.mute {
		d.batch = max(1, n/2)
		n = d.batch
	}
	d.mute = n
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
