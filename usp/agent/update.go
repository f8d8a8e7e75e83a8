package agent

import (
	"context"
	"maps"
	"slices"

	"isthmus/usp"
)

// update changes rows and raises notifications as one: both are on disk when it returns nil, or neither. The caller has the Agent in use.
func (a *Agent) update(ctx context.Context, from usp.EndpointID, change func(t *tx) error) error {
	if err := a.takeTurn(ctx); err != nil {
		return err
	}
	defer func() { <-a.turn() }()
	t := a.begin(a.rows(), from)
	if err := change(t); err != nil {
		return err
	}
	return a.commit(ctx, t)
}

// commit writes a tx and makes it seen. It is called in turn.
func (a *Agent) commit(ctx context.Context, t *tx) error {
	t.inherit()
	t.raised = latest(t.raised)
	t.cross(ctx, a.crossings(ctx, t.before, t.raised))
	t.notes = append(t.notes, a.match(ctx, t.before, t.rows, "", t.raised)...)
	t.trigger()
	t.notes = a.newest(a.fitting(t.notes))
	t.ownRoles()
	t.last = t.farewells(ctx)
	a.mu.Lock()
	st := a.st
	if len(t.changed) > 0 && !st.bound {
		t.bind()
	}
	t.bindBrokers()
	gone := st.affected(t)
	err := st.number(slices.Concat(t.notes, t.last), t.now)
	a.mu.Unlock()
	if err != nil {
		return err
	}

	var rows, notes []Record
	for _, path := range slices.Sorted(maps.Keys(t.changed)) {
		r, err := t.rows.record(path, a.fleet.base)
		if err != nil {
			return err
		}
		if id := t.deleted[path]; id != "" && r.Data == nil {
			r.Data = tombstone(id, a.fleet.base.run)
		}
		rows = append(rows, r)
	}
	for _, n := range t.notes {
		r, err := n.record()
		if err != nil {
			return err
		}
		notes = append(notes, r)
	}
	for _, n := range gone {
		notes = append(notes, Record{Kind: NotificationRecord, ID: n.ID})
	}
	if len(rows)+len(notes) == 0 {
		return nil
	}
	if err := a.keep(ctx, rows, notes); err != nil {
		return err
	}
	a.publish(ctx, t, gone)
	return nil
}

// bind has the numbers of the configuration's rows kept; those of the first Roles never change.
func (t *tx) bind() {
	for _, p := range slices.Concat(t.rows.instances(controllerTable), t.rows.instances(roleTable)) {
		if table, n := splitRow(p); t.rows.values[p][fleetMark] != "" && (table != roleTable || n > untrustedRole) {
			t.changed[p] = true
		}
	}
}

// publish makes a tx that is on disk the Agent's state.
func (a *Agent) publish(ctx context.Context, t *tx, gone []*note) {
	a.mu.Lock()
	st := a.st
	st.rows = t.rows
	st.bound = st.bound || len(t.changed) > 0
	for path := range st.answers {
		if _, ok := t.rows.values[path]; !ok {
			delete(st.answers, path)
		}
	}
	for _, n := range gone {
		a.forget(n, withdrawn)
	}
	for _, n := range slices.Concat(t.notes, t.last) {
		st.enqueue(n)
		a.fleet.metrics.pending.Inc()
	}
	overflow := a.trim()
	parted := a.rearrange(ctx, t.before, t.rows, t.changed)
	var changed *Interest
	if now := interest(t.rows); len(t.changed) > 0 && !now.equal(st.interest) {
		st.interest = now
		changed = &now
	}
	a.mu.Unlock()
	if len(overflow) > 0 {
		a.eraseInTurn(ctx, overflow)
	}
	if changed != nil && a.onInterest != nil {
		a.onInterest(*changed)
	}
	a.kick()
	a.seeOff(parted)
}
