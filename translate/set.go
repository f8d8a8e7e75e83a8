package translate

import (
	"context"
	"errors"
	"slices"

	"isthmus/cwmp"
	"isthmus/translate/datamodel"
	"isthmus/usp"
	"isthmus/usp/agent"
)

// Set implements agent.DataModel: one SetParameterValues, which is atomic, and a read-back in the same session.
func (d *Device) Set(ctx context.Context, writes []agent.Write) ([]agent.Write, error) {
	d.hold()
	defer d.release()
	if err := d.waitModel(ctx); err != nil {
		return nil, err
	}
	if err := d.uncontested(); err != nil {
		return nil, err
	}
	if err := d.load(ctx); err != nil {
		return nil, uspError(err, writing)
	}
	d.mu.RLock()
	own, err := d.view().Writes(d.tree, writes)
	d.mu.RUnlock()
	if err != nil {
		return nil, err
	}
	if len(own) == 0 {
		return d.written(writes, own, 0), nil // all is so already
	}
	pathOf := func(i int) string { return writes[i].Path }
	spv, err := d.setValues(own, pathOf)
	if err != nil {
		return nil, err
	}
	trust := d.distrust(own) // whoever reads these now waits behind this write
	status := 0
	j := &job{}
	j.talk = func(ctx context.Context, c cwmp.Caller) error {
		resp, err := d.setTyped(ctx, c, spv)
		if err != nil {
			return err
		}
		status = resp.Status
		d.settled(j)
		if err := d.superseded(ctx, own); err != nil {
			return err
		}
		return d.readBack(ctx, c, own, status == 0)
	}
	err = d.do(ctx, j)
	switch {
	case errors.Is(err, cwmp.ErrUnknownOutcome):
		if err := d.settle(ctx, spv, own); err != nil {
			return nil, err
		}
	case err != nil:
		d.mu.RLock()
		touched := j.wrote
		d.mu.RUnlock()
		if !touched {
			trust()
		}
		return nil, writeError(err, own, pathOf)
	}
	return d.written(writes, own, status), nil
}

// setValues makes the RPC: each value in the type that the CPE takes, as far as that is known.
func (d *Device) setValues(own []cpeWrite, path func(int) string) (*cwmp.SetParameterValues, error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	spv := &cwmp.SetParameterValues{ParameterKey: token(d.p.random)}
	for i := range own {
		w := &own[i]
		w.value = d.referenceForm(w.path, w.value)
		v, typ, err := datamodel.ToCWMP(d.wireType(w.path), w.value)
		if err != nil {
			e := usp.Errorf(usp.InvalidType, "%v", err)
			for _, i := range w.from {
				e.Params = append(e.Params, usp.ParamError{Path: path(i), Code: usp.InvalidType, Msg: err.Error()})
			}
			return nil, e
		}
		if typ == "boolean" {
			v = d.booleanValue(v)
		}
		spv.ParameterList = append(spv.ParameterList, cwmp.ParameterValueStruct{Name: w.path, Value: v, Type: typ})
	}
	return spv, nil
}

// distrust makes the parameters of a write too old to be answered from the cache; the function it returns takes that back.
func (d *Device) distrust(own []cpeWrite) (back func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	old := map[*node]int64{}
	for _, w := range own {
		if n := d.tree.get(w.path); n != nil {
			old[n], n.at = n.at, longAgo
		}
	}
	d.tree.dirty = true
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		for n, at := range old {
			if n.at == longAgo {
				n.at = at
			}
		}
	}
}

// longAgo is the time of a value that is known but not to be answered.
const longAgo = 1

// readBack reads what was written, since a CPE may have trimmed, rounded or normalised it. A CPE that is gone by then has done what
// it was asked all the same: where applied, what could not be read is what was written.
func (d *Device) readBack(ctx context.Context, c cwmp.Caller, own []cpeWrite, applied bool) error {
	ctx = context.WithoutCancel(ctx)
	var n news
	names := make([]string, 0, len(own))
	for _, w := range own {
		names = append(append(names, w.path), w.follow...)
	}
	err := d.values(ctx, c, names, &n)
	if err == nil && applied {
		err = d.bring(ctx, c, own, &n)
	}
	if err != nil {
		d.p.log.Debug("values could not be read back", "device", d.id, "err", err)
	}
	d.mu.Lock()
	for _, w := range own {
		if k := d.tree.get(w.path); applied && k != nil && k.at == longAgo && k.value != w.value {
			n.values = append(n.values, change{w.path, w.value, k.value})
			d.tree.setNode(k, w.value, "", longAgo)
		}
	}
	d.mu.Unlock()
	return d.tell(ctx, &n)
}

// bring writes the parameters that were to follow a write and have not.
func (d *Device) bring(ctx context.Context, c cwmp.Caller, own []cpeWrite, n *news) error {
	var behind []cpeWrite
	var names []string
	d.mu.RLock()
	for _, w := range own {
		for _, path := range w.follow {
			if k := d.tree.get(path); k != nil && k.writable && k.value != w.value {
				behind, names = append(behind, cpeWrite{path: path, value: w.value}), append(names, path)
			}
		}
	}
	d.mu.RUnlock()
	if len(behind) == 0 {
		return nil
	}
	spv, err := d.setValues(behind, func(int) string { return "" })
	if err != nil {
		return err
	}
	if _, err := d.setTyped(ctx, c, spv); err != nil {
		return err
	}
	return d.values(ctx, c, names, n)
}

// settle finds out, in the next session, whether a write whose answer was lost was carried out: a CPE stores the ParameterKey only with
// the values. Where that does not tell, the outcome stays unknown.
func (d *Device) settle(ctx context.Context, spv *cwmp.SetParameterValues, own []cpeWrite) error {
	applied, known := false, false
	err := d.do(ctx, &job{talk: func(ctx context.Context, c cwmp.Caller) error {
		key, err := d.parameterKey(ctx, c)
		if err != nil {
			return err
		}
		known, applied = key != nil, key != nil && *key == spv.ParameterKey
		return d.readBack(ctx, c, own, applied)
	}})
	unknown := errOutcomeUnknown
	switch {
	case err != nil || !known:
		return unknown
	case applied:
		return nil
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	for _, w := range own {
		n := d.tree.get(w.path)
		if n == nil || n.at == longAgo {
			return unknown
		}
		if datamodel.Equal(datamodel.TypeOf(datamodel.WireType(n.typ, schemaType(w.path))), n.value, w.value) {
			return unknown // a CPE that keeps no ParameterKey may have applied it, or it was so before
		}
	}
	return usp.Errorf(usp.Unreachable, "the session with the CPE was lost before the change reached it: nothing was changed")
}

var errOutcomeUnknown = usp.Errorf(usp.OutcomeUnknown, "the session with the CPE was lost before it answered: the outcome is unknown")

// parameterKey reads which write the CPE has taken last; nil is that it does not tell.
func (d *Device) parameterKey(ctx context.Context, c cwmp.Caller) (*string, error) {
	d.mu.RLock()
	name := d.head.Root + "ManagementServer.ParameterKey"
	d.mu.RUnlock()
	resp, err := cwmp.Call(ctx, c, &cwmp.GetParameterValues{ParameterNames: []string{name}})
	if err != nil || len(resp.ParameterList) != 1 {
		return nil, err
	}
	return &resp.ParameterList[0].Value, nil
}

// written gives the values as the CPE has them now: those read back, and where that was not possible, or the CPE applies them
// later, those that were asked for.
func (d *Device) written(writes []agent.Write, own []cpeWrite, status int) []agent.Write {
	d.mu.RLock()
	defer d.mu.RUnlock()
	out := slices.Clone(writes)
	if status != 0 {
		return out
	}
	unread := map[int]bool{}
	for _, w := range own {
		if n := d.tree.get(w.path); n == nil || n.at == longAgo {
			for _, i := range w.from {
				unread[i] = true
			}
		}
	}
	view := d.view()
	for i, w := range out {
		if unread[i] {
			continue
		}
		if def := d.param(w.Path); def != nil && def.Secured {
			continue
		}
		for _, o := range view.Render(d.tree, agent.Query{Path: w.Path}) {
			for _, p := range o.Params {
				out[i].Value = p.Value
			}
		}
	}
	return out
}

// param finds the definition of a Device:2 parameter, nil where the model has none. d.mu is held.
func (d *Device) param(path string) *agent.ParamDef {
	if d.model == nil {
		return nil
	}
	o := d.model.Object(objectOf(path))
	if o == nil {
		return nil
	}
	return o.Param(path[len(objectOf(path)):])
}
