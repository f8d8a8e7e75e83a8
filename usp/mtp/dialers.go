package mtp

import (
	"slices"

	"isthmus/usp"
)

// Dialers are the Dialers of the MTPs that a process speaks, by Protocol. Together they are a Dialer.
type Dialers map[string]Dialer

// Connect implements Dialer. A Target whose Protocol has no Dialer is left out.
func (d Dialers) Connect(e Endpoint, to []Target) {
	for protocol, one := range d {
		one.Connect(e, only(protocol, to))
	}
}

// only gives the Targets of one Protocol: a part of the list where that is possible, since a fleet shares it.
func only(protocol string, to []Target) []Target {
	other := func(t Target) bool { return t.Protocol != protocol }
	from := slices.IndexFunc(to, func(t Target) bool { return !other(t) })
	if from < 0 {
		return nil
	}
	own := to[from:]
	if end := slices.IndexFunc(own, other); end >= 0 {
		if slices.ContainsFunc(own[end:], func(t Target) bool { return !other(t) }) {
			return slices.DeleteFunc(slices.Clone(to), other)
		}
		own = own[:end]
	}
	return slices.Clip(own)
}

// Check implements Dialer: 7012 for a Protocol without a Dialer.
func (d Dialers) Check(t Target) error {
	if one := d[t.Protocol]; one != nil {
		return one.Check(t)
	}
	return usp.Errorf(usp.InvalidValue, "this Agent has no MTP %s", t.Protocol)
}

// Kick implements Dialer.
func (d Dialers) Kick(e usp.EndpointID) {
	for _, one := range d {
		one.Kick(e)
	}
}

// Reboot implements Dialer.
func (d Dialers) Reboot(e usp.EndpointID) {
	for _, one := range d {
		one.Reboot(e)
	}
}

// Reset implements Dialer.
func (d Dialers) Reset(e, controller usp.EndpointID) {
	for _, one := range d {
		one.Reset(e, controller)
	}
}

// State implements Dialer: that of the Dialer which has the Controller as its Target.
func (d Dialers) State(e, controller usp.EndpointID) State {
	for _, one := range d {
		if s := one.State(e, controller); s.Status != Disabled {
			return s
		}
	}
	return State{}
}

// Counts implements Counter.
func (d Dialers) Counts(e, controller usp.EndpointID) Counts {
	for _, one := range d {
		if c, ok := one.(Counter); ok && one.State(e, controller).Status != Disabled {
			return c.Counts(e, controller)
		}
	}
	return Counts{}
}
