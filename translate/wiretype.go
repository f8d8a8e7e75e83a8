package translate

import (
	"context"
	"errors"
	"slices"

	"isthmus/cwmp"
	"isthmus/translate/datamodel"
	"isthmus/translate/quirks"
	"isthmus/usp/agent"
)

// setTyped has the CPE take values. Where it answers that some are of a wrong type (R18), it is sent them once more in another one, which is
// remembered for its model.
func (d *Device) setTyped(ctx context.Context, c cwmp.Caller, spv *cwmp.SetParameterValues) (*cwmp.SetParameterValuesResponse, error) {
	resp, err := cwmp.Call(ctx, c, spv)
	var f *cwmp.Fault
	if !errors.As(err, &f) {
		return resp, err
	}
	list, other := d.retyped(spv.ParameterList, f)
	if len(other) == 0 {
		return nil, err
	}
	resp, err = cwmp.Call(ctx, c, &cwmp.SetParameterValues{ParameterList: list, ParameterKey: spv.ParameterKey})
	if err != nil {
		return nil, err
	}
	d.found(ctx, func(l *quirks.Learnt) {
		for _, p := range other {
			*l = l.WithType(agent.GenericPath(p.Name), p.Type)
		}
	})
	return resp, nil
}

// retyped gives those parameters another type that a fault says are of a wrong one; other are these alone. There are none where that
// would not help, since something else is wrong, too, or there is no other type that the value can have.
func (d *Device) retyped(list []cwmp.ParameterValueStruct, f *cwmp.Fault) (all, other []cwmp.ParameterValueStruct) {
	wrong := map[string]bool{}
	for _, p := range f.Params {
		if p.Code != cwmp.FaultInvalidParameterType {
			return nil, nil
		}
		wrong[p.Name] = true
	}
	if len(wrong) == 0 && f.Code != cwmp.FaultInvalidParameterType {
		return nil, nil
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	all = slices.Clone(list)
	for i := range all {
		p := &all[i]
		if len(wrong) > 0 && !wrong[p.Name] {
			continue
		}
		v, typ, err := datamodel.ToCWMP(d.otherType(p.Name, p.Type), p.Value)
		switch {
		case err != nil, typ == p.Type && len(wrong) > 0:
			return nil, nil
		case typ == p.Type:
			continue // the CPE does not say which it means: perhaps not this one
		case typ == "boolean":
			v = d.booleanValue(v)
		}
		p.Value, p.Type = v, typ
		other = append(other, *p)
	}
	return all, other
}

// wireType is the type to write a parameter in: the one that CPE of the model are known to take, else the one that the CPE itself gives it, else the
// data model's. d.mu is held.
func (d *Device) wireType(path string) string {
	if l := d.habit().learnt; l.Types != "" {
		if typ := l.Type(agent.GenericPath(path)); typ != "" {
			return datamodel.WireType(typ, schemaType(path))
		}
	}
	return d.reportedType(path)
}

// reportedType is the type that the CPE gives a parameter, else the data model's. d.mu is held.
func (d *Device) reportedType(path string) string {
	learnt := ""
	if n := d.tree.get(path); n != nil {
		learnt = n.typ
	}
	return datamodel.WireType(learnt, schemaType(path))
}

// otherType is what to try instead of a type that the CPE did not take. d.mu is held.
func (d *Device) otherType(path, refused string) string {
	for _, typ := range []string{d.reportedType(path), datamodel.XSDType(schemaType(path))} {
		if typ != refused {
			return typ
		}
	}
	return datamodel.XSDType(agent.TypeString)
}
