package translate

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"

	"isthmus/cwmp"
	"isthmus/usp"
)

// Delete implements agent.DataModel: one DeleteObject a row, each of them atomic. A row that is not there is deleted already.
func (d *Device) Delete(ctx context.Context, instances []string) []error {
	d.hold()
	defer d.release()
	out := make([]error, len(instances))
	fail := func(err error) []error {
		for i := range out {
			out[i] = uspError(err, deleting)
		}
		return out
	}
	if err := d.waitModel(ctx); err != nil {
		return fail(err)
	}
	if err := d.uncontested(); err != nil {
		return fail(err)
	}
	if err := d.load(ctx); err != nil {
		return fail(err)
	}
	done := &deletions{err: make([]error, len(instances)), known: make([]bool, len(instances))}
	j := &job{talk: func(ctx context.Context, c cwmp.Caller) error {
		return d.deleteRows(ctx, c, instances, done)
	}}
	err := d.do(ctx, j)
	done.mu.Lock()
	defer done.mu.Unlock()
	for i := range out {
		if out[i] = done.err[i]; !done.known[i] && err != nil {
			out[i] = uspError(err, deleting)
		}
	}
	return out
}

// deletions are outcomes as they become known: a requester whose deadline passes in between is told of those that are.
type deletions struct {
	mu    sync.Mutex
	err   []error
	known []bool
}

func (x *deletions) set(i int, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.err[i], x.known[i] = err, true
}

func (d *Device) deleteRows(ctx context.Context, c cwmp.Caller, instances []string, out *deletions) error {
	if err := d.load(ctx); err != nil {
		return err
	}
	var n news
	var tables []string
	first := true
	for _, i := range downward(instances) {
		row := instances[i]
		own := d.ownRow(row)
		if own == "" {
			out.set(i, usp.Errorf(usp.DeleteFailure, "%s cannot be deleted on this CPE", row))
			continue
		}
		trust := d.doubt(agentParent(own))
		_, err := cwmp.Call(ctx, c, &cwmp.DeleteObject{ObjectName: own, ParameterKey: token(d.p.random)})
		var f *cwmp.Fault
		sent := !first
		first = false
		if err != nil && !errors.As(err, &f) {
			if !errors.Is(err, cwmp.ErrUnknownOutcome) {
				trust()
			}
			if !sent {
				return err
			}
			// What is done is done and told; the rest was not asked for, or has an unknown end.
			out.set(i, uspError(err, deleting))
			continue
		}
		trust()
		if err != nil && f.Code != cwmp.FaultInvalidParameterName {
			out.set(i, uspError(err, deleting))
			continue
		}
		out.set(i, nil)
		n.deleted = append(n.deleted, d.gone(own)...)
		if table := agentParent(own); !slices.Contains(tables, table) {
			tables = append(tables, table)
		}
	}
	for _, table := range tables {
		if err := d.recheck(ctx, c, table, &n); err != nil {
			d.p.log.Debug("a table could not be listed", "device", d.id, "table", table, "err", err)
		}
	}
	if err := d.refreshCounts(ctx, c, tables, &n); err != nil {
		d.p.log.Debug("row counts could not be read", "device", d.id, "err", err)
	}
	return d.tell(ctx, &n)
}

// downward orders rows so that of one table the highest number comes first: a CPE that fills the gap (row R21) moves none of the others
// before it is their turn.
func downward(instances []string) []int {
	order := make([]int, len(instances))
	first := map[string]int{}
	for i, row := range instances {
		order[i] = i
		if _, ok := first[agentParent(row)]; !ok {
			first[agentParent(row)] = i
		}
	}
	slices.SortStableFunc(order, func(a, b int) int {
		tableA, tableB := agentParent(instances[a]), agentParent(instances[b])
		_, numA := segment(strings.TrimSuffix(instances[a][len(tableA):], "."))
		_, numB := segment(strings.TrimSuffix(instances[b][len(tableB):], "."))
		return cmp.Or(cmp.Compare(first[tableA], first[tableB]), cmp.Compare(numB, numA))
	})
	return order
}

func (d *Device) ownRow(row string) string {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.view().Row(row)
}

// doubt makes a table's list of rows too old to be answered from the cache; the function it returns takes that back.
func (d *Device) doubt(table string) (back func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	at := d.tree.listedAt(table)
	d.tree.doubt(table)
	d.tree.dirty = true
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if n := d.tree.get(table); n != nil {
			n.at = max(n.at, at)
		}
	}
}

// gone takes a row out of the tree and gives it and the rows below it.
func (d *Device) gone(own string) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	rows := []string{own}
	d.tree.walk(own, 0, func(path string, n *node) {
		if n.num != 0 && !n.param && path != own {
			rows = append(rows, path)
		}
	})
	d.tree.remove(own)
	return rows
}
