package translate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"isthmus/cwmp"
	"isthmus/translate/datamodel"
	"isthmus/usp"
	"isthmus/usp/agent"
)

// Most events of Device:2 have no message in CWMP: they are the changes of parameters, or new rows, which datamodel tells. Those parameters and tables are
// watched as if a subscription named them. What has happened is in the head before the CPE is told that we know of it; the arguments are read, and the
// event raised, in the session.

// maxFired bounds the events that wait for their arguments; those beyond it are lost.
const maxFired = 64

// triggers are the parameters whose changes are events that subscriptions ask for, and the tables whose new rows are, with "*" for instance numbers. d.mu
// is held.
func (d *Device) triggers() (params, tables []string) {
	if len(d.interest.Events) == 0 || d.model == nil {
		return nil, nil
	}
	var refs []string
	for _, ref := range d.interest.Events {
		if p, err := usp.ParsePath(ref); err == nil {
			refs = append(refs, p.Supported())
		}
	}
	for _, o := range d.model.Objects() {
		if len(o.Events) == 0 {
			continue
		}
		object := strings.ReplaceAll(o.Path, "{i}", "*")
		for _, e := range datamodel.Events(o.Path) {
			if !slices.ContainsFunc(refs, func(ref string) bool { return strings.HasPrefix(o.Path+e.Name, ref) }) {
				continue
			}
			for _, name := range e.Triggers {
				params = append(params, object+name)
			}
			if e.Rows != "" {
				tables = append(tables, object+strings.TrimSuffix(e.Rows, "{i}."))
			}
		}
	}
	return params, tables
}

// triggered says whether subscriptions ask for events that the CPE has a part in. d.mu is held.
func (d *Device) triggered() bool {
	params, tables := d.triggers()
	return len(params)+len(tables) > 0
}

// fired notes which events changes are; it says whether there are any, for the head to be put. d.mu is held.
func (d *Device) fired(changes []change) bool {
	if len(d.interest.Events) == 0 || d.model == nil {
		return false
	}
	var fired []string
	for _, v := range d.view().Changes(d.tree, changes) {
		object := objectOf(v.Path)
		def := d.model.Object(object)
		if def == nil || len(def.Events) == 0 {
			continue
		}
		for _, e := range datamodel.Events(def.Path) {
			if slices.Contains(e.Triggers, v.Path[len(object):]) && (e.Becomes == "" || e.Becomes == v.Value || e.Becomes == "*" && v.Value != "") &&
				(e.Was == "" || e.Was == v.Old) && (e.Name != restarted || !d.restarting(object)) {
				fired = append(fired, object+e.Name)
			}
		}
	}
	return d.fires(fired)
}

// firedBy is fired for rows of the CPE that are new.
func (d *Device) firedBy(created []string) bool {
	if len(created) == 0 || len(d.interest.Events) == 0 || d.model == nil {
		return false
	}
	_, tables := d.triggers()
	if len(tables) == 0 {
		return false
	}
	view := d.view()
	var fired []string
	for _, own := range created {
		for _, row := range view.Rows(own) {
			table := agentParent(row)
			if object := agentParent(table); slices.ContainsFunc(tables, func(t string) bool { return agent.GenericPath(t) == agent.GenericPath(table) }) {
				for _, e := range datamodel.Events(agent.GenericPath(object)) {
					if e.Rows == agent.GenericPath(row)[len(agent.GenericPath(object)):] {
						fired = append(fired, object+e.Name+" "+row)
					}
				}
			}
		}
	}
	return d.fires(fired)
}

// fires notes down what has happened: events, each with the new row that it is, if it is one. d.mu is held.
func (d *Device) fires(events []string) (any bool) {
	lost := 0
	for _, e := range events {
		switch {
		case slices.Contains(d.head.Fired, e):
		case len(d.head.Fired) >= maxFired:
			lost++
		default:
			d.head.Fired, any = append(slices.Clip(d.head.Fired), e), true
		}
	}
	d.lost += lost
	return any
}

// fire raises the events that have happened.
func (d *Device) fire(ctx context.Context, c cwmp.Caller) error {
	d.mu.Lock()
	fired, lost := d.head.Fired, d.lost
	d.lost = 0
	d.mu.Unlock()
	if lost > 0 {
		d.p.m.lostEvents.Add(float64(lost))
		d.p.log.Warn("more events at once than are told", "device", d.id, "told", maxFired, "lost", lost)
	}
	if len(fired) == 0 {
		return nil
	}
	happened, err := d.eventsNow(ctx, c, fired)
	if err != nil {
		return err
	}
	ctx = context.WithoutCancel(ctx)
	if err := d.agent.Raise(ctx, happened...); err != nil {
		return fmt.Errorf("raising events of %s: %w", d.id, err)
	}
	d.mu.Lock()
	d.head.Fired = d.head.Fired[len(fired):]
	d.mu.Unlock()
	return d.putHead(ctx)
}

// eventsNow reads the arguments of events, all together. What the CPE does not give is left out.
func (d *Device) eventsNow(ctx context.Context, c cwmp.Caller, fired []string) (happened []agent.Happening, err error) {
	queries := make([][]agent.Query, len(fired)) // one for each source
	var all []agent.Query
	for i, f := range fired {
		event, row, _ := strings.Cut(f, " ")
		for _, s := range sourcesOf(event) {
			queries[i] = append(queries[i], agent.Query{Path: cmp.Or(row, objectOf(event)) + strings.ReplaceAll(s.Param, "{i}", "*")})
			if s.Param != "" {
				all = append(all, queries[i][len(queries[i])-1])
			}
		}
	}
	if err := d.readNow(ctx, c, all); err != nil {
		return nil, err
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	for i, f := range fired {
		event, _, _ := strings.Cut(f, " ")
		happened = append(happened, &agent.Event{Object: objectOf(event), Name: event[len(objectOf(event)):], Args: d.argsNow(sourcesOf(event), queries[i])})
	}
	return happened, nil
}

// sourcesOf are what fills the arguments of an event.
func sourcesOf(event string) []datamodel.Source {
	generic := agent.GenericPath(event)
	for _, e := range datamodel.Events(objectOf(generic)) {
		if e.Name == generic[len(objectOf(generic)):] {
			return e.Sources
		}
	}
	return nil
}

// argsNow are the arguments that sources come to by what is known, each by its query. d.mu is held.
func (d *Device) argsNow(sources []datamodel.Source, queries []agent.Query) map[string]string {
	args := map[string]string{}
	view, rows := d.view(), map[string]int{}
	for i, s := range sources {
		switch {
		case s.Now:
			args[s.Arg] = eventTime(time.Now())
		case s.Param == "":
			args[s.Arg] = ""
		case d.tree == nil:
		default:
			for _, o := range view.Render(d.tree, queries[i]) {
				if rows[o.Path] == 0 {
					rows[o.Path] = len(rows) + 1
				}
				for _, p := range o.Params {
					if s.Last {
						p.Value = strings.TrimSpace(p.Value[strings.LastIndexByte(p.Value, ',')+1:])
					}
					args[strings.Replace(s.Arg, "{i}", strconv.Itoa(rows[o.Path]), 1)] = p.Value
				}
			}
		}
	}
	return args
}

// readNow reads what queries need whatever its age. What the CPE refuses stays as it was.
func (d *Device) readNow(ctx context.Context, c cwmp.Caller, queries []agent.Query) error {
	if err := d.load(ctx); err != nil {
		return err
	}
	var n news
	var names []string
	var f *cwmp.Fault
	d.mu.RLock()
	view := d.view()
	d.mu.RUnlock()
	for _, q := range queries {
		for _, need := range view.Needs(q) {
			if table, _, rows := strings.Cut(need.path, "*"); rows && !slices.Contains(n.listed, table) {
				if err := d.list(ctx, c, table, &n); err != nil && !errors.As(err, &f) {
					return err
				}
			}
			d.mu.RLock()
			d.tree.walk(need.path, need.depth, func(path string, k *node) {
				if k.param {
					names = append(names, strings.Clone(path))
				}
			})
			d.mu.RUnlock()
		}
	}
	if err := d.values(ctx, c, names, &n); err != nil && !errors.As(err, &f) {
		return err
	}
	return d.tell(ctx, &n)
}

const collectCommand = "Device.PeriodicStatistics.SampleSet.{i}.ForceCollection()"

// collect runs ForceCollection(): the samples that a set has are read and told with Push!.
func (d *Device) collect(ctx context.Context, inv *agent.Invocation) (map[string]string, error) {
	err := d.do(ctx, &job{talk: func(ctx context.Context, c cwmp.Caller) error {
		happened, err := d.eventsNow(ctx, c, []string{objectOf(inv.Command) + "Push!"})
		if err != nil {
			return err
		}
		return d.agent.Raise(ctx, happened...)
	}})
	if err != nil {
		return nil, uspError(err, operating)
	}
	return map[string]string{}, nil
}
