package translate

import (
	"context"
	"slices"
	"strings"
	"time"

	"isthmus/cwmp"
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
