package agent

import (
	"context"

	"isthmus/usp"
	"isthmus/usp/usppb"
)

// get answers Get: errors are the paths' own, and each path has a result, in order (R-GET.0 to R-GET.5).
func (x *exchange) get(ctx context.Context, m *usppb.Get) (*usppb.GetResp, error) {
	targets := make([]*target, len(m.GetParamPaths()))
	for i, p := range m.GetParamPaths() {
		targets[i] = newTarget(p)
	}
	x.resolve(ctx, targets, false)
	found, err := x.readTargets(ctx, targets, m.GetMaxDepth())
	if err != nil {
		return nil, err
	}
	if err := x.judge(ctx, targets, found, m.GetMaxDepth()); err != nil {
		return nil, err
	}

	resp := &usppb.GetResp{ReqPathResults: make([]*usppb.GetResp_RequestedPathResult, len(targets))}
	for i, t := range targets {
		r := &usppb.GetResp_RequestedPathResult{RequestedPath: usp.ValidUTF8(t.raw)}
		if t.err != nil {
			e := x.a.asError(ctx, t.err)
			if e.Code == usp.InvalidPath { // what is not there and what may not be known of are the same
				e = usp.Errorf(usp.InvalidPath, "%s does not exist", t.raw)
			}
			r.ErrCode, r.ErrMsg = uint32(e.Code), usp.ValidUTF8(e.Msg)
		} else {
			r.ResolvedPathResults = resolved(found[i])
		}
		resp.ReqPathResults[i] = r
	}
	return resp, nil
}

// resolved leaves out objects without parameters.
func resolved(objects []Object) []*usppb.GetResp_ResolvedPathResult {
	out := make([]*usppb.GetResp_ResolvedPathResult, 0, len(objects))
	for _, o := range objects {
		if len(o.Params) == 0 {
			continue
		}
		params := make(map[string]string, len(o.Params))
		for _, p := range o.Params {
			params[p.Name] = usp.ValidUTF8(p.Value)
		}
		out = append(out, &usppb.GetResp_ResolvedPathResult{ResolvedPath: o.Path, ResultParams: params})
	}
	return out
}

// readTargets reads what the targets denote, all at once. It is an error if that is more than a response may have.
func (x *exchange) readTargets(ctx context.Context, targets []*target, depth uint32) ([][]Object, error) {
	queries := make([]Query, 0, len(targets))
	for _, t := range targets {
		t.asked = 0
		if t.err != nil || t.path != nil && (t.path.Kind == usp.CommandPath || t.path.Kind == usp.EventPath) {
			continue
		}
		if !x.spend(len(t.prefixes)) {
			t.err = errTooMuch
			continue
		}
		for _, p := range t.paths() {
			queries = append(queries, Query{Path: p, Depth: int(min(depth, usp.MaxSegments))})
			t.asked++
		}
	}
	readings := x.read(ctx, queries)
	found := make([][]Object, len(targets))
	for i, t := range targets {
		for _, r := range readings[:t.asked] {
			if r.Err != nil && t.err == nil {
				t.err = r.Err
			}
			found[i] = append(found[i], r.Objects...)
			if err := x.growObjects(r.Objects); err != nil {
				return nil, err
			}
		}
		readings = readings[t.asked:]
	}
	return found, nil
}

// judge looks again at what came to nothing: an object whose final dot is missing, a command or event, an object that is not there.
func (x *exchange) judge(ctx context.Context, targets []*target, found [][]Object, depth uint32) error {
	for i, t := range targets {
		switch {
		case t.err != nil && t.leaf != "" && x.a.asError(ctx, t.err).Code == usp.InvalidPath && t.prefixes != nil:
			again := *t
			again.err = nil
			again.object()
			got, err := x.readTargets(ctx, []*target{&again}, depth)
			if err != nil {
				return err
			}
			if again.err == nil {
				*t, found[i] = again, got[0]
			}
			if t.err == nil && len(found[i]) == 0 {
				x.absent(ctx, t)
			}
		case t.err != nil || len(found[i]) > 0:
		case t.path != nil && (t.path.Kind == usp.CommandPath || t.path.Kind == usp.EventPath):
			t.err = x.supports(ctx, t)
		default:
			x.absent(ctx, t)
			if t.err == nil && !t.searched && !x.may.allows(objects, mayRead, t.prefixes[0]) {
				t.err = usp.Errorf(usp.InvalidPath, "%s does not exist", t.raw)
			}
		}
	}
	return nil
}

// absent tells an object that is empty, which is fine (R-GET.1b), from one that is not there (R-GET.0).
func (x *exchange) absent(ctx context.Context, t *target) {
	if t.searched {
		return
	}
	missing := usp.Errorf(usp.InvalidPath, "%s does not exist", t.raw)
	if t.leaf != "" || t.isRow() {
		t.err = missing
		return
	}
	row := t.prefixes[0][:lastRow(t.prefixes[0])]
	if row == "" {
		return
	}
	r := x.read(ctx, []Query{{Path: row, Depth: 1, RowsOnly: true}})[0]
	if r.Err != nil {
		t.err = r.Err
	} else if len(r.Objects) == 0 {
		t.err = missing
	}
}

// supports says whether the supported data model has a command or event. All objects of a path share it, so the first tells.
func (x *exchange) supports(ctx context.Context, t *target) error {
	if len(t.prefixes) == 0 {
		return nil
	}
	p := t.prefixes[0]
	m, err := x.supported(ctx, p)
	if err != nil {
		return err
	}
	if !x.may.allows(commands, mayRead, p+t.leaf) {
		return unsupported(t.raw)
	}
	if o := m.Object(p); o != nil && (o.Command(t.leaf) != nil || o.Event(t.leaf) != nil) {
		return nil
	}
	if o := ownModel.Object(p); o != nil && o.Event(t.leaf) != nil {
		return nil
	}
	return unsupported(t.raw)
}
