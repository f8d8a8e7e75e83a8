package translate

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"isthmus/cwmp"
	"isthmus/usp/agent"
)

// A CPE that gives the rows of a table other numbers, at a boot or when one of them is deleted, breaks its specification, and exists (row
// R21). It gives itself away by a row that is gone though nobody here deleted it. Then the unique keys of the rows are read: of one that has
// another number now no creation and no deletion is told, and what was known of a number that stands for another row now is too old.

// identities are the rows of tables that lose some, by the CPE's own paths, with their unique keys in one text; "" where they are not known.
type identities map[string]string

// leaving gives the rows of those tables of which a listing lacks a row that is known. d.mu is held.
func (d *Device) leaving(object string, names []listedName) identities {
	if d.tree.listedAt(object) == 0 {
		return nil
	}
	there := map[string]bool{}
	for _, l := range names {
		for p := objectOf(l.path); len(p) > len(object) && !there[p]; p = agentParent(p) {
			there[p] = true
		}
	}
	var out identities
	gone := "\x00"
	d.tree.walk(object, 0, func(p string, n *node) {
		if n.num == 0 || n.param || p == object || there[p] || strings.HasPrefix(p, gone) {
			return
		}
		gone = strings.Clone(p)
		table := agentParent(gone)
		if out == nil {
			out = identities{}
		}
		if _, done := out[gone]; done {
			return
		}
		for _, row := range d.rowsOf(table) {
			out[row], _ = d.identityOf(row)
		}
	})
	return out
}

// rowsOf lists the rows of a table. d.mu is held.
func (d *Device) rowsOf(table string) (rows []string) {
	if t := d.tree.get(table); t != nil {
		for _, k := range t.kids {
			if k.num != 0 && !k.param {
				rows = append(rows, table+k.name+".")
			}
		}
	}
	return rows
}

// identityOf gives the unique keys of a row, and the CPE's parameters that they come from. An Alias counts only where there is nothing else:
// many a CPE makes it of the number. d.mu is held.
func (d *Device) identityOf(own string) (text string, params []string) {
	view := d.view()
	rows := view.Rows(own)
	if d.model == nil || len(rows) == 0 {
		return "", nil
	}
	def := d.model.Object(rows[0])
	if def == nil {
		return "", nil
	}
	sets := slices.DeleteFunc(slices.Clone(def.Keys), func(set []string) bool { return slices.Equal(set, []string{"Alias"}) })
	if len(sets) == 0 {
		sets = def.Keys
	}
	values := d.keys(view, rows[0])
	var b strings.Builder
	for _, name := range slices.Compact(slices.Sorted(slices.Values(slices.Concat(sets...)))) {
		for _, n := range view.Needs(agent.Query{Path: rows[0] + name}) {
			params = append(params, n.path)
		}
		if values[name] != "" {
			b.WriteString(name + "\x00" + values[name] + "\x00")
		}
	}
	return b.String(), params
}

// rowNews reads the unique keys of tables that have lost rows and takes those rows from the news that have another number now.
func (d *Device) rowNews(ctx context.Context, c cwmp.Caller, was identities, created, deleted []string, listed int64, n *news) error {
	if len(was) > 0 {
		var params []string
		d.mu.RLock()
		for _, table := range was.tables() {
			for _, row := range d.rowsOf(table) {
				_, p := d.identityOf(row)
				params = append(params, p...)
			}
		}
		params = slices.DeleteFunc(params, func(p string) bool { return d.tree.get(p) == nil })
		d.mu.RUnlock()
		if err := d.values(ctx, c, params, n); err != nil {
			return err
		}
		created, deleted = d.renumbered(was, created, deleted, listed)
	}
	n.created, n.deleted = append(n.created, created...), append(n.deleted, deleted...)
	return nil
}

func (i identities) tables() []string {
	tables := map[string]bool{}
	for row := range i {
		tables[agentParent(row)] = true
	}
	return slices.Sorted(maps.Keys(tables))
}

// renumbered takes rows that have another number now from those that came and went, and makes too old what was read before the listing of
// those that are others now. The unique keys were read since.
func (d *Device) renumbered(was identities, created, deleted []string, listed int64) (came, went []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.tree == nil {
		return created, deleted
	}
	for _, table := range was.tables() {
		before, now := identities{}, identities{}
		for row, id := range was {
			if agentParent(row) == table {
				before[row] = id
			}
		}
		for _, row := range d.rowsOf(table) {
			now[row], _ = d.identityOf(row)
			if id, stayed := before[row]; stayed && (id == "" || id != now[row]) {
				d.tree.walk(row, 0, func(_ string, n *node) {
					if n.param && n.at < listed {
						n.at, d.tree.dirty = 0, true
					}
				})
			}
		}
		if before.tell() && now.tell() {
			created, deleted = now.news(created, before), before.news(deleted, now)
		}
	}
	return created, deleted
}

// tell says whether the rows of a table can be told apart.
func (i identities) tell() bool {
	seen := map[string]bool{}
	for _, id := range i {
		if id == "" || seen[id] {
			return false
		}
		seen[id] = true
	}
	return true
}

// news leaves of the rows whose numbers are not among the others' as many as there are that the others lack: those first, if they are among
// them. What is below a row goes with it.
func (i identities) news(rows []string, others identities) []string {
	there := map[string]bool{}
	for _, id := range others {
		there[id] = true
	}
	left := 0
	for _, id := range i {
		left += int(b2i(!there[id]))
	}
	var moved []string
	for _, r := range rows {
		switch id, ofTable := i[r]; {
		case !ofTable:
		case there[id]:
			moved = append(moved, r)
		default:
			left--
		}
	}
	for _, m := range moved[min(max(left, 0), len(moved)):] {
		rows = slices.DeleteFunc(rows, func(r string) bool { return strings.HasPrefix(r, m) })
	}
	return rows
}

// recheck finds out whether a CPE has renumbered a table of which it was told to delete rows.
func (d *Device) recheck(ctx context.Context, c cwmp.Caller, table string, n *news) error {
	resp, err := cwmp.Call(ctx, c, &cwmp.GetParameterNames{ParameterPath: table, NextLevel: true})
	var f *cwmp.Fault
	if errors.As(err, &f) {
		return nil // a table without rows, or a CPE that does not know better
	}
	if err != nil {
		return err
	}
	d.mu.RLock()
	rows := d.rowsOf(table)
	d.mu.RUnlock()
	for _, l := range takeNames(resp.ParameterList) {
		if agentParent(l.path) == table && agent.IsInstance(strings.TrimSuffix(l.path[len(table):], ".")) && !slices.Contains(rows, l.path) {
			return d.list(ctx, c, table, n)
		}
	}
	return nil
}
