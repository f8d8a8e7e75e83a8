package agent

import (
	"context"
	"slices"

	"isthmus/usp"
	"isthmus/usp/usppb"
)

// deletion is one path of a Delete on its way.
type deletion struct {
	*target
	rows []string
}

// delete answers Delete (R-DEL.0 to R-DEL.4). Everything that can be known before is checked before, so that allow_partial false leaves
// nothing half done. A row that is not there is no error, as TP-469 1.25 and 1.29 want it.
func (x *exchange) delete(ctx context.Context, m *usppb.Delete) (*usppb.DeleteResp, error) {
	deletions := make([]*deletion, len(m.GetObjPaths()))
	targets := make([]*target, len(deletions))
	for i, p := range m.GetObjPaths() {
		targets[i] = newTarget(p)
		deletions[i] = &deletion{target: targets[i]}
	}
	x.resolve(ctx, targets, false)
	for _, d := range deletions {
		x.checkDelete(ctx, d)
	}
	for i, rows := range x.existing(ctx, targets) {
		d := deletions[i]
		d.rows = x.seen(ctx, d.target, rows)
		if d.err != nil && x.a.asError(ctx, d.err).Code == usp.ObjectDoesNotExist && d.isRow() {
			d.err = nil
		}
	}
	failed := make(map[string]error)
	var rows []string
	for _, d := range deletions {
		for _, r := range d.rows {
			if x.may.allows(instances, mayWrite, r) {
				continue
			}
			if failed[r] = errDenied(r); !m.GetAllowPartial() {
				return nil, addError(errDenied(r), r)
			}
		}
		if d.err != nil && !m.GetAllowPartial() {
			return nil, addError(x.a.asError(ctx, d.err), d.raw)
		}
		if d.err == nil {
			rows = append(rows, d.rows...)
		}
	}
	rows = topmost(slices.DeleteFunc(rows, func(r string) bool { return failed[r] != nil }))
	for i, err := range x.remove(ctx, rows) {
		if err != nil {
			failed[rows[i]] = err
		}
	}
	if len(rows) > 0 && len(failed) == len(rows) && !m.GetAllowPartial() {
		for _, r := range rows {
			return nil, addError(x.a.asError(ctx, failed[r]), r)
		}
	}
	resp := &usppb.DeleteResp{}
	for _, d := range deletions {
		resp.DeletedObjResults = append(resp.DeletedObjResults, d.result(ctx, x, failed))
	}
	return resp, nil
}

// topmost leaves out rows named twice and rows that go with one above them.
func topmost(rows []string) []string {
	named := make(map[string]bool, len(rows))
	for _, r := range rows {
		named[r] = true
	}
	seen := make(map[string]bool, len(rows))
	var out []string
	for _, r := range rows {
		covered := seen[r]
		for p := ParentPath(r); p != "" && !covered; p = ParentPath(p) {
			covered = named[p]
		}
		seen[r] = true
		if !covered {
			out = append(out, r)
		}
	}
	return out
}

// checkDelete looks at the path as far as the supported data model can tell.
func (x *exchange) checkDelete(ctx context.Context, d *deletion) {
	if d.err != nil {
		return
	}
	d.object()
	for _, p := range d.prefixes {
		m, err := x.supported(ctx, p)
		if err != nil {
			d.err = err
			return
		}
		def := m.Object(p)
		switch {
		case def == nil || !x.may.supports(def):
			d.err = unsupported(d.raw)
		case !def.Multi:
			d.err = usp.Errorf(usp.NotATable, "%s is no row of a table", d.raw)
		case !d.isRow():
			d.err = usp.Errorf(usp.ObjectDoesNotExist, "%s is a table and no row of one", d.raw)
		case def.Access != AddDelete && def.Access != DeleteOnly:
			d.err = usp.Errorf(usp.DeleteFailure, "rows of %s cannot be deleted", def.Path)
		}
		if d.err != nil {
			return
		}
	}
}

func (d *deletion) result(ctx context.Context, x *exchange, failed map[string]error) *usppb.DeleteResp_DeletedObjectResult {
	st := &usppb.DeleteResp_DeletedObjectResult_OperationStatus{}
	ok := &usppb.DeleteResp_DeletedObjectResult_OperationStatus_OperationSuccess{}
	err := d.err
	for _, r := range d.rows {
		e := failed[r]
		if e != nil && !d.searched {
			err = e
		}
		switch {
		case !x.may.allows(instances, mayRead, r): // R-DEL.2, R-DEL.4
		case e == nil:
			ok.AffectedPaths = append(ok.AffectedPaths, r)
		default:
			u := x.a.asError(ctx, e)
			ok.UnaffectedPathErrs = append(ok.UnaffectedPathErrs, &usppb.DeleteResp_UnaffectedPathError{UnaffectedPath: r,
				ErrCode: uint32(u.Code), ErrMsg: usp.ValidUTF8(u.Msg)})
		}
	}
	if err != nil {
		e := x.a.asError(ctx, err)
		st.OperStatus = &usppb.DeleteResp_DeletedObjectResult_OperationStatus_OperFailure{
			OperFailure: &usppb.DeleteResp_DeletedObjectResult_OperationStatus_OperationFailure{
				ErrCode: uint32(e.Code), ErrMsg: usp.ValidUTF8(e.Msg)}}
	} else {
		st.OperStatus = &usppb.DeleteResp_DeletedObjectResult_OperationStatus_OperSuccess{OperSuccess: ok}
	}
	return &usppb.DeleteResp_DeletedObjectResult{RequestedPath: usp.ValidUTF8(d.raw), OperStatus: st}
}
