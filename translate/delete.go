package translate

import (
	"context"
	"errors"
	"slices"

	"isthmus/cwmp"
	"isthmus/usp"
)

// Delete implements agent.DataModel: one DeleteObject a row, each of them atomic. A row that is not there is deleted already.
func (d *Device) Delete(ctx context.Context, instances []string) []error {
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
	if err := d.load(ctx); err != nil {
		return fail(err)
	}
	results := make([]error, len(instances))
	j := &job{what: deleting, talk: func(ctx context.Context, c cwmp.Caller) error {
		return d.deleteRows(ctx, c, instances, results)
	}}
	if err := d.do(ctx, j); err != nil {
		return fail(err)
	}
	copy(out, results)
	return out
}

func (d *Device) deleteRows(ctx context.Context, c cwmp.Caller, instances []string, out []error) error {
	if err := d.load(ctx); err != nil {
		return err
	}
	var n news
	var tables []string
	for i, row := range instances {
		own := d.view().Row(row)
		if own == "" {
			out[i] = usp.Errorf(usp.DeleteFailure, "%s cannot be deleted on this CPE", row)
			continue
		}
		_, err := cwmp.Call(ctx, c, &cwmp.DeleteObject{ObjectName: own, ParameterKey: token(d.p.random)})
		var f *cwmp.Fault
		switch {
		case errors.As(err, &f) && f.Code == cwmp.FaultInvalidParameterName:
		case errors.As(err, &f):
			out[i] = uspError(err, deleting)
			continue
		case err != nil && i == 0:
			return err
		case err != nil:
			// What is done is done and told; the rest was not asked for, or has an unknown end.
			out[i] = uspError(err, deleting)
			continue
		}
		n.deleted = append(n.deleted, d.gone(own)...)
		if table := agentParent(own); !slices.Contains(tables, table) {
			tables = append(tables, table)
		}
	}
	if err := d.refreshCounts(ctx, c, tables, &n); err != nil {
		d.p.log.Debug("row counts could not be read", "device", d.id, "err", err)
	}
	return d.tell(ctx, &n)
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
