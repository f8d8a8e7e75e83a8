package agent

import (
	"context"
	"errors"
	"slices"
	"strings"

	"isthmus/usp"
	"isthmus/usp/usppb"
)

// creation is one CreateObject on its way: a search in its path makes several rows of it.
type creation struct {
	*target
	req     *usppb.Add_CreateObject
	refused []usp.ParamError // settings that are not required and that the supported data model refuses; relative
	rows    []Creation
	created []Created
	barred  []*usp.Error       // rows that the Controller may not make
	unset   [][]usp.ParamError // of each of rows: settings that it may not make; nil where it may do everything
}

// add answers Add (R-ADD.0 to R-ADD.6).
func (x *exchange) add(ctx context.Context, m *usppb.Add) (*usppb.AddResp, error) {
	creations := make([]*creation, len(m.GetCreateObjs()))
	targets := make([]*target, len(creations))
	for i, o := range m.GetCreateObjs() {
		targets[i] = newTarget(o.GetObjPath())
		creations[i] = &creation{target: targets[i], req: o}
	}
	x.resolve(ctx, targets, false)
	x.parents(ctx, creations)
	var rows []Creation
	for _, c := range creations {
		x.permit(ctx, c)
		if c.err != nil && !m.GetAllowPartial() {
			return nil, addError(x.a.asError(ctx, c.err), c.raw)
		}
		if len(c.barred) > 0 && !m.GetAllowPartial() {
			return nil, addError(c.barred[0], c.raw)
		}
		rows = append(rows, c.rows...)
	}
	if len(rows) > 0 {
		if err := x.aliasesTaken(ctx, creations); err != nil && !m.GetAllowPartial() {
			return nil, addError(err, err.Params[0].Path)
		}
		rows = rows[:0]
		for _, c := range creations {
			rows = append(rows, c.rows...)
		}
	}
	if len(rows) > 0 {
		created := x.create(ctx, rows, !m.GetAllowPartial())
		if err := firstError(created); err != nil && !m.GetAllowPartial() {
			for i := range created {
				if errors.Is(created[i].Err, err) {
					return nil, addError(x.a.asError(ctx, err), rows[i].Table)
				}
			}
		}
		for _, c := range creations {
			c.created, created = created[:len(c.rows)], created[len(c.rows):]
		}
	}
	resp := &usppb.AddResp{}
	for _, c := range creations {
		resp.CreatedObjResults = append(resp.CreatedObjResults, c.results(ctx, x)...)
	}
	return resp, nil
}

// aliasesTaken finds the new rows whose Alias another row of the device has, by what is known of it: the CPE would accept them. Their
// creation fails; the first error is returned. The Agent's own tables look after their keys themselves.
func (x *exchange) aliasesTaken(ctx context.Context, creations []*creation) (first *usp.Error) {
	for _, c := range creations {
		for _, row := range c.rows {
			i := slices.IndexFunc(row.Params, func(s Setting) bool { return s.Name == aliasName })
			if i < 0 || isOwn(row.Table) {
				continue
			}
			for _, o := range x.fetch(ctx, []Query{{Path: row.Table + "*." + aliasName, Cached: true}})[0].Objects {
				if len(o.Params) == 1 && o.Params[0].Value == row.Params[i].Value {
					path := row.Table + "{i}." + aliasName
					e := &usp.Error{Code: usp.DuplicateUniqueKey, Msg: "another row has this Alias",
						Params: []usp.ParamError{{Path: path, Code: usp.DuplicateUniqueKey, Msg: "another row has this Alias"}}}
					c.err, c.rows = e, nil
					if first == nil {
						first = e
					}
					break
				}
			}
		}
	}
	return first
}

// addError is the Error of a message that creates nothing: 7004 with what failed, unless the code speaks for itself.
func addError(e *usp.Error, path string) *usp.Error {
	out := &usp.Error{Code: e.Code, Msg: e.Msg, Params: slices.Clone(e.Params)}
	if len(out.Params) == 0 {
		out.Params = []usp.ParamError{{Path: path, Code: e.Code, Msg: e.Msg}}
	}
	for i, pe := range out.Params {
		if !strings.HasPrefix(pe.Path, "Device.") { // of a row that came to nothing, and so has no number
			out.Params[i].Path = path + "{i}." + pe.Path
		}
	}
	if isArgumentError(e.Code) {
		out.Code = usp.InvalidArguments
	}
	return out
}

// isArgumentError says that a code is about what was asked for, and not about the Agent or the device.
func isArgumentError(c usp.ErrorCode) bool {
	switch {
	case c == usp.InvalidPathSyntax, usp.UnsupportedParameter <= c && c <= usp.ValueConflict,
		usp.ObjectDoesNotExist <= c && c <= usp.RequiredParameterFailed, usp.DeleteFailure <= c && c <= usp.InvalidPath:
		return true
	}
	return false
}

// parents checks the tables and settings, finds the objects that the tables are in, and plans the rows.
func (x *exchange) parents(ctx context.Context, creations []*creation) {
	parents := make([]*target, len(creations))
	for i, c := range creations {
		parents[i] = &target{raw: c.raw, err: c.err, searched: c.searched}
		if c.err != nil {
			continue
		}
		c.object()
		var settings []Setting
		for _, p := range c.prefixes {
			m, err := x.supported(ctx, p)
			if err == nil {
				if settings, err = x.plan(ctx, c, m, p); err == nil {
					parents[i].prefixes = append(parents[i].prefixes, ParentPath(p))
					continue
				}
			}
			c.err, parents[i].err = err, err
			break
		}
		if c.err == nil && len(c.prefixes) > 0 {
			c.rows = []Creation{{Params: settings}}
		}
	}
	for i, found := range x.existing(ctx, parents) {
		c := creations[i]
		if c.err = parents[i].err; c.err != nil || len(c.rows) == 0 {
			c.rows = nil
			continue
		}
		settings := c.rows[0].Params
		c.rows = nil
		p := strings.TrimSuffix(c.prefixes[0], ".")
		for _, parent := range found {
			c.rows = append(c.rows, Creation{Table: parent + p[strings.LastIndexByte(p, '.')+1:] + ".", Params: settings})
		}
	}
}

// plan checks one table path and the settings against the model. Unique keys count as required, whatever the Controller says.
func (x *exchange) plan(ctx context.Context, c *creation, m *Model, path string) ([]Setting, error) {
	def := m.Object(path)
	switch {
	case def == nil || !x.may.supports(def, c.names()...):
		return nil, unsupported(c.raw)
	case !def.Multi:
		return nil, usp.Errorf(usp.NotATable, "%s is not a table", c.raw)
	case c.isRow():
		return nil, usp.Errorf(usp.ObjectNotCreated, "%s names a row, not a table", c.raw)
	case def.Access != AddDelete && def.Access != AddOnly:
		return nil, usp.Errorf(usp.NonCreatableObject, "rows of %s cannot be created", c.raw)
	}
	c.refused = nil
	var settings []Setting
	for _, s := range c.req.GetParamSettings() {
		required := s.GetRequired() || mustHold(def, s.GetParam())
		value, err := x.numbered(ctx, m, def.Path+s.GetParam(), s.GetValue())
		if err == nil {
			err = checkSetting(m, def.Path+s.GetParam(), value, true)
		}
		if err == nil && entersTable(s.GetParam()) {
			err = usp.Errorf(usp.UnsupportedParameter, "%s is in a row of its own", s.GetParam())
		}
		switch {
		case err == nil:
			settings = append(settings, Setting{Name: s.GetParam(), Value: value, Required: required})
		case required:
			err.Params = []usp.ParamError{{Path: path + "{i}." + s.GetParam(), Code: err.Code, Msg: err.Msg}}
			return nil, err
		default:
			c.refused = append(c.refused, usp.ParamError{Path: s.GetParam(), Code: err.Code, Msg: err.Msg})
		}
	}
	return settings, nil
}

// names are the parameters of the new row, relative to it.
func (c *creation) names() []string {
	names := make([]string, len(c.req.GetParamSettings()))
	for i, s := range c.req.GetParamSettings() {
		names[i] = s.GetParam()
	}
	return names
}

func (c *creation) results(ctx context.Context, x *exchange) []*usppb.AddResp_CreatedObjectResult {
	if c.err != nil {
		return []*usppb.AddResp_CreatedObjectResult{c.failure(x.a.asError(ctx, c.err))}
	}
	var out []*usppb.AddResp_CreatedObjectResult
	for _, e := range c.barred {
		out = append(out, c.failure(e))
	}
	for i, r := range c.created {
		if r.Err != nil {
			out = append(out, c.failure(x.a.asError(ctx, r.Err)))
			continue
		}
		ok := &usppb.AddResp_CreatedObjectResult_OperationStatus_OperationSuccess{InstantiatedPath: r.Path, UniqueKeys: valid(x.may.readableKeys(r.Path, r.Keys))}
		refused := [][]usp.ParamError{c.refused, r.Failed}
		if c.unset != nil {
			refused = append(refused, c.unset[i])
		}
		for _, errs := range refused {
			for _, e := range errs {
				ok.ParamErrs = append(ok.ParamErrs, &usppb.AddResp_ParameterError{Param: usp.ValidUTF8(e.Path), ErrCode: uint32(e.Code),
					ErrMsg: usp.ValidUTF8(e.Msg)})
			}
		}
		out = append(out, c.result(&usppb.AddResp_CreatedObjectResult_OperationStatus{
			OperStatus: &usppb.AddResp_CreatedObjectResult_OperationStatus_OperSuccess{OperSuccess: ok}}))
	}
	return out
}

// failure is an oper_failure. It has no room for a parameter's name, so the parameter's own code is given, and its name in the text.
func (c *creation) failure(e *usp.Error) *usppb.AddResp_CreatedObjectResult {
	return c.result(&usppb.AddResp_CreatedObjectResult_OperationStatus{
		OperStatus: &usppb.AddResp_CreatedObjectResult_OperationStatus_OperFailure{
			OperFailure: &usppb.AddResp_CreatedObjectResult_OperationStatus_OperationFailure{
				ErrCode: uint32(e.Code), ErrMsg: usp.ValidUTF8(e.Msg)}}})
}

func (c *creation) result(st *usppb.AddResp_CreatedObjectResult_OperationStatus) *usppb.AddResp_CreatedObjectResult {
	return &usppb.AddResp_CreatedObjectResult{RequestedPath: usp.ValidUTF8(c.raw), OperStatus: st}
}
