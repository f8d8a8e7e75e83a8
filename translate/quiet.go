package translate

import (
	"time"

	"isthmus/usp/agent"
)

// valueChanges are the changes of Device:2 parameters that changes at the CPE come to. d.mu is held.
func (d *Device) valueChanges(changes []change) (happened []agent.Happening) {
	for _, v := range d.view().Changes(d.tree, changes) {
		if def := d.param(v.Path); def != nil && def.Quiet {
			if v.Quiet = true; !d.ripe(v, time.Now()) {
				continue
			}
		}
		happened = append(happened, v)
	}
	return happened
}

// moves are the rows that come and go with changes at the CPE, if a subscription is about rows. d.mu is held.
func (d *Device) moves(changes []change) (happened []agent.Happening) {
	if len(d.interest.Objects) == 0 || len(changes) == 0 {
		return nil
	}
	view := d.view()
	created, deleted := view.Moves(d.tree, changes)
	for _, row := range created {
		happened = append(happened, &agent.ObjectCreation{Path: row, Keys: d.keys(view, row)})
	}
	for _, row := range deleted {
		happened = append(happened, &agent.ObjectDeletion{Path: row})
	}
	return happened
}

// ripe says whether a counter or clock is told: if a subscription names it, and once in the interval of the poll, which tells what is left
// out here. What nobody has looked at yet who knows the newest subscriptions is told: it may be named. d.mu is held.
func (d *Device) ripe(v *agent.ValueChange, now time.Time) bool {
	x := d.watch
	if x == nil {
		return d.attributes
	}
	last, named := x.quiet[v.Path]
	if !named {
		return d.attributes
	}
	if !last.at.IsZero() && now.Sub(last.at) < d.p.verifyEvery() {
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
