package translate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"isthmus/cwmp"
	"isthmus/translate/datamodel"
	"isthmus/usp"
	"isthmus/usp/agent"
)

// Most events of Device:2 have no message in CWMP: they are the changes of parameters, which datamodel tells. Those parameters are watched as
// if a subscription named them. What has happened is in the head before the CPE is told that we know of it; the arguments are read, and the event
// raised, in the session.

// maxFired bounds the events that wait for their arguments.
const maxFired = 64

// triggers are the parameters whose changes are events that subscriptions ask for, with "*" for instance numbers. d.mu is held.
func (d *Device) triggers() (params []string) {
	if len(d.interest.Events) == 0 || d.model == nil {
		return nil
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
		for _, e := range datamodel.Events(o.Path) {
			if slices.ContainsFunc(refs, func(ref string) bool { return strings.HasPrefix(o.Path+e.Name, ref) }) {
				for _, name := range e.Triggers {
					params = append(params, strings.ReplaceAll(o.Path, "{i}", "*")+name)
				}
			}
		}
	}
	return params
}

// fired notes which events changes are; it says whether there are any, for the head to be put. d.mu is held.
func (d *Device) fired(changes []change) (fired bool) {
	if len(d.interest.Events) == 0 || d.model == nil {
		return false
	}
	for _, v := range d.view().Changes(d.tree, changes) {
		object := objectOf(v.Path)
		def := d.model.Object(object)
		if def == nil || len(def.Events) == 0 {
			continue
		}
		for _, e := range datamodel.Events(def.Path) {
			path := object + e.Name
			if slices.Contains(e.Triggers, v.Path[len(object):]) && (e.Becomes == "" || e.Becomes == v.Value || e.Becomes == "*" && v.Value != "") &&
				len(d.head.Fired) < maxFired && !slices.Contains(d.head.Fired, path) {
				d.head.Fired, fired = append(slices.Clip(d.head.Fired), path), true
			}
		}
	}
	return fired
}

// fire raises the events that have happened.
func (d *Device) fire(ctx context.Context, c cwmp.Caller) error {
	d.mu.RLock()
	fired := d.head.Fired
	d.mu.RUnlock()
	if len(fired) == 0 {
		return nil
	}
	var happened []agent.Happening
	for _, path := range fired {
		e, err := d.eventNow(ctx, c, path)
		if err != nil {
			return err
		}
		happened = append(happened, e)
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

// eventNow reads the arguments of an event. What the CPE does not give is left out.
func (d *Device) eventNow(ctx context.Context, c cwmp.Caller, path string) (*agent.Event, error) {
	object := objectOf(path)
	out := &agent.Event{Object: object, Name: path[len(object):], Args: map[string]string{}}
	events := datamodel.Events(strings.TrimSuffix(agent.GenericPath(path), out.Name))
	i := slices.IndexFunc(events, func(e datamodel.Event) bool { return e.Name == out.Name })
	if i < 0 {
		return out, nil
	}
	var queries []agent.Query
	for _, s := range events[i].Sources {
		queries = append(queries, agent.Query{Path: object + strings.ReplaceAll(s.Param, "{i}", "*")})
	}
	if err := d.readNow(ctx, c, queries); err != nil {
		return nil, err
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	if d.tree == nil {
		return out, nil
	}
	view, rows := d.view(), map[string]int{}
	for k, s := range events[i].Sources {
		for _, o := range view.Render(d.tree, queries[k]) {
			if rows[o.Path] == 0 {
				rows[o.Path] = len(rows) + 1
			}
			for _, p := range o.Params {
				if s.Last {
					p.Value = strings.TrimSpace(p.Value[strings.LastIndexByte(p.Value, ',')+1:])
				}
				out.Args[strings.Replace(s.Arg, "{i}", strconv.Itoa(rows[o.Path]), 1)] = p.Value
			}
		}
	}
	return out, nil
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
