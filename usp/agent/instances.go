package agent

import (
	"context"
	"slices"
	"strings"

	"isthmus/usp"
	"isthmus/usp/usppb"
)

// getInstances answers GetInstances.
func (x *exchange) getInstances(ctx context.Context, m *usppb.GetInstances) (*usppb.GetInstancesResp, error) {
	targets := make([]*target, len(m.GetObjPaths()))
	for i, p := range m.GetObjPaths() {
		targets[i] = newTarget(p)
	}
	x.resolve(ctx, targets, false)
	found, err := x.instances(ctx, targets, m.GetFirstLevelOnly())
	if err != nil {
		return nil, err
	}

	resp := &usppb.GetInstancesResp{ReqPathResults: make([]*usppb.GetInstancesResp_RequestedPathResult, len(targets))}
	for i, t := range targets {
		r := &usppb.GetInstancesResp_RequestedPathResult{RequestedPath: usp.ValidUTF8(t.raw)}
		if t.err != nil {
			e := x.a.asError(ctx, t.err)
			r.ErrCode, r.ErrMsg = uint32(e.Code), usp.ValidUTF8(e.Msg)
		} else {
			r.CurrInsts = found[i]
		}
		resp.ReqPathResults[i] = r
	}
	return resp, nil
}

// instances reads the rows of tables and their unique keys, all paths at once.
func (x *exchange) instances(ctx context.Context, targets []*target, first bool) ([][]*usppb.GetInstancesResp_CurrInstance, error) {
	var queries []Query
	depth := 0
	if first {
		depth = 1
	}
	for _, t := range targets {
		t.asked = 0
		if t.err != nil {
			continue
		}
		t.object()
		start := len(queries)
		for _, p := range t.prefixes {
			m, err := x.supported(ctx, p)
			if err != nil {
				t.err = err
				break
			}
			def := m.Object(p)
			if def == nil || !def.Multi {
				t.err = notTable(def, t.raw)
				break
			}
			queries = append(queries, Query{Path: p, Depth: depth, RowsOnly: true})
			queries = append(queries, keyQueries(m, def, p, t.isRow(), first)...)
		}
		if t.err == nil && !x.spend(len(queries)-start) {
			t.err = errTooMuch
		}
		if t.err != nil {
			queries = queries[:start]
		}
		t.asked = len(queries) - start
	}
	readings := x.read(ctx, queries)
	out := make([][]*usppb.GetInstancesResp_CurrInstance, len(targets))
	for i, t := range targets {
		out[i] = t.collect(readings[:t.asked], x.may)
		for _, row := range out[i] {
			if err := x.grow(len(row.GetInstantiatedObjPath())); err != nil {
				return nil, err
			}
		}
		readings = readings[t.asked:]
	}
	for i, t := range targets {
		if t.err == nil && !t.searched && len(out[i]) == 0 {
			x.absentTable(ctx, t)
		}
	}
	return out, nil
}

func notTable(def *ObjectDef, path string) error {
	if def == nil {
		return unsupported(path)
	}
	return usp.Errorf(usp.NotATable, "%s is not a table", path)
}

// absentTable tells an empty table from one in a row that is not there.
func (x *exchange) absentTable(ctx context.Context, t *target) {
	x.absent(ctx, t)
	if t.err != nil && x.a.asError(ctx, t.err).Code == usp.InvalidPath {
		t.err = usp.Errorf(usp.ObjectDoesNotExist, "%s does not exist", t.raw)
	}
}

// keyQueries asks for the unique keys of a table's rows and of those below.
func keyQueries(m *Model, def *ObjectDef, path string, isRow, first bool) []Query {
	row := path
	if !isRow {
		row += "*."
	}
	var out []Query
	for _, o := range m.Objects() {
		rest, below := strings.CutPrefix(o.Path, def.Path)
		if !below || !o.Multi || first && rest != "" {
			continue
		}
		var asked []string
		for _, k := range slices.Concat(o.Keys...) {
			if !slices.Contains(asked, k) {
				asked = append(asked, k)
				out = append(out, Query{Path: row + strings.ReplaceAll(rest, "{i}", "*") + k})
			}
		}
	}
	return out
}

// collect makes the answer of the rows that may be seen (R-GIN.0) and the keys that were read.
func (t *target) collect(readings []Reading, may *access) []*usppb.GetInstancesResp_CurrInstance {
	var out []*usppb.GetInstancesResp_CurrInstance
	at := make(map[string]*usppb.GetInstancesResp_CurrInstance)
	for _, r := range readings {
		if r.Err != nil {
			t.err = r.Err
			return nil
		}
		for _, o := range r.Objects {
			if len(o.Params) == 0 {
				if _, n := splitRow(o.Path); n != 0 && at[o.Path] == nil && may.listed(t.raw, o.Path) {
					at[o.Path] = &usppb.GetInstancesResp_CurrInstance{InstantiatedObjPath: o.Path, UniqueKeys: map[string]string{}}
					out = append(out, at[o.Path])
				}
				continue
			}
			for _, p := range o.Params {
				if c := at[o.Path]; c != nil {
					c.UniqueKeys[p.Name] = usp.ValidUTF8(p.Value)
				}
			}
		}
	}
	return out
}
