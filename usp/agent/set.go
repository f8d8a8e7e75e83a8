package agent

import (
	"context"
	"errors"
	"slices"
	"strings"

	"isthmus/usp"
	"isthmus/usp/usppb"
)

// maxRounds is how often a write is tried again without the parameters that were refused.
const maxRounds = 4

// update is one UpdateObject on its way.
type update struct {
	*target
	req       *usppb.Set_UpdateObject
	instances []string
	// refused are the parameters that failed, by their full path: they are not written (again).
	refused map[string]usp.ParamError
	failed  bool // a required parameter is among them
	done    map[string]string
	// values are those of the settings in the form that is written.
	values map[*usppb.Set_UpdateParamSetting]string
}

// set answers Set (R-SET.0 to R-SET.3).
func (x *exchange) set(ctx context.Context, m *usppb.Set) (*usppb.SetResp, error) {
	updates := make([]*update, len(m.GetUpdateObjs()))
	targets := make([]*target, len(updates))
	for i, o := range m.GetUpdateObjs() {
		targets[i] = newTarget(o.GetObjPath())
		updates[i] = &update{target: targets[i], req: o, refused: map[string]usp.ParamError{}, values: map[*usppb.Set_UpdateParamSetting]string{}}
	}
	x.resolve(ctx, targets, false)
	for _, u := range updates {
		if u.err == nil {
			u.object()
			x.checkUpdate(ctx, u)
		}
	}
	for i, rows := range x.existing(ctx, targets) {
		updates[i].instances = x.seen(ctx, targets[i], rows, updates[i].names()...)
	}
	for _, u := range updates {
		if u.err == nil && !x.spend(len(u.instances)*len(u.req.GetParamSettings())) {
			u.err = errTooMuch
		}
		x.checkSettings(ctx, u)
	}
	if !m.GetAllowPartial() {
		if err := x.setAll(ctx, updates); err != nil {
			return nil, err
		}
	} else {
		x.setSome(ctx, updates)
	}
	resp := &usppb.SetResp{}
	for _, u := range updates {
		resp.UpdatedObjResults = append(resp.UpdatedObjResults, u.result(ctx, x))
	}
	return resp, nil
}

// checkUpdate looks at the path as far as the supported data model can tell.
func (x *exchange) checkUpdate(ctx context.Context, u *update) {
	for _, p := range u.prefixes {
		m, err := x.supported(ctx, p)
		if err != nil {
			u.err = err
			return
		}
		switch def := m.Object(p); {
		case def == nil || !x.may.supports(def, u.names()...):
			u.err = unsupported(u.raw)
			return
		case def.Multi && !u.isRow():
			u.err = usp.Errorf(usp.ObjectDoesNotExist, "%s is a table and no row of one", u.raw)
			return
		}
	}
}

// names are the parameters to set, relative to the object.
func (u *update) names() []string {
	names := make([]string, len(u.req.GetParamSettings()))
	for i, s := range u.req.GetParamSettings() {
		names[i] = s.GetParam()
	}
	return names
}

// checkSettings refuses what the supported data model refuses, so that the device is not asked.
func (x *exchange) checkSettings(ctx context.Context, u *update) {
	if u.err != nil {
		return
	}
	for _, inst := range u.instances {
		m, err := x.supported(ctx, inst)
		if err != nil {
			u.err = err
			return
		}
		for _, s := range u.req.GetParamSettings() {
			path := inst + s.GetParam()
			value, err := x.numbered(ctx, m, path, s.GetValue())
			if err == nil {
				u.values[s] = value
				err = checkSetting(m, path, value, false)
			}
			if (err == nil || err.Code != usp.UnsupportedParameter) && !x.mayWrite(inst, s.GetParam()) {
				err = x.may.errWrite(path)
			}
			if err == nil && entersTable(s.GetParam()) {
				err = usp.Errorf(usp.UnsupportedParameter, "%s is in a row of its own", path)
			}
			if err != nil {
				u.refuse(usp.ParamError{Path: path, Code: err.Code, Msg: err.Msg}, s.GetRequired())
			}
		}
	}
}

// checkSetting looks one parameter up; create says that the object is only being made.
func checkSetting(m *Model, path, value string, create bool) *usp.Error {
	dot := strings.LastIndexByte(path, '.') + 1
	var def *ParamDef
	if o := m.Object(path[:dot]); o != nil {
		def = o.Param(path[dot:])
	}
	switch {
	case def == nil:
		return usp.Errorf(usp.UnsupportedParameter, "%s is not supported", path)
	case !def.Writable || def.WriteOnce && !create:
		return usp.Errorf(usp.NonWritableParameter, "%s is read-only", path)
	case def.Name == aliasName && def.WriteOnce && !startsWithLetter(value):
		return usp.Errorf(usp.InvalidValue, "an Alias starts with a letter")
	}
	return checkValue(def, value)
}

// entersTable says that a setting's relative name goes into a table: it may descend into single-instance sub-objects only.
func entersTable(param string) bool {
	for seg := range strings.SplitSeq(param, ".") {
		if seg == "*" || IsInstance(seg) {
			return true
		}
	}
	return false
}

func (u *update) refuse(e usp.ParamError, required bool) {
	if _, twice := u.refused[e.Path]; !twice {
		u.refused[e.Path] = e
	}
	u.failed = u.failed || required
}

// writes is what is left to write.
func (u *update) writes() []Write {
	if u.err != nil || u.failed {
		return nil
	}
	var out []Write
	for _, inst := range u.instances {
		for _, s := range u.req.GetParamSettings() {
			if _, no := u.refused[inst+s.GetParam()]; !no {
				out = append(out, Write{inst + s.GetParam(), u.values[s]})
			}
		}
	}
	return out
}

// blame gives each refused parameter to the object that wanted to write it; false if nothing new came of it.
func blame(updates []*update, e *usp.Error) bool {
	bad := make(map[string]usp.ParamError, len(e.Params))
	for _, p := range e.Params {
		bad[p.Path] = p
	}
	progress := false
	for _, u := range updates {
		for _, inst := range u.instances {
			for _, s := range u.req.GetParamSettings() {
				path := inst + s.GetParam()
				p, failed := bad[path]
				if _, known := u.refused[path]; failed && !known {
					u.refuse(p, s.GetRequired())
					progress = true
				}
			}
		}
	}
	return progress
}

// setAll writes everything in one go or nothing (R-SET.1); parameters that are not required may drop out.
func (x *exchange) setAll(ctx context.Context, updates []*update) error {
	for range maxRounds {
		if err := x.firstFailure(ctx, updates); err != nil {
			return err
		}
		err := x.try(ctx, updates)
		if err == nil {
			return nil
		}
		e := (*usp.Error)(nil)
		if !errors.As(err, &e) {
			return err
		}
		if !blame(updates, e) {
			return x.withoutOptional(ctx, updates, e)
		}
	}
	if err := x.firstFailure(ctx, updates); err != nil {
		return err
	}
	return usp.Errorf(usp.RequestDenied, "the device refuses ever more parameters")
}

// firstFailure is the Error that a failed object makes of the whole message: a path's own code, or 7004 with the parameters.
func (x *exchange) firstFailure(ctx context.Context, updates []*update) error {
	for _, u := range updates {
		if u.err != nil {
			e := *x.a.asError(ctx, u.err)
			if len(e.Params) == 0 {
				e.Params = []usp.ParamError{{Path: u.raw, Code: e.Code, Msg: e.Msg}}
			}
			return &e
		}
		if u.failed {
			e := &usp.Error{Code: usp.InvalidArguments}
			for _, inst := range u.instances {
				e.Params = append(e.Params, u.errorsOf(inst, true)...)
			}
			e.Msg = e.Params[0].Msg
			if denied := slices.IndexFunc(e.Params, func(p usp.ParamError) bool { return p.Code == usp.PermissionDenied }); denied >= 0 {
				e.Code, e.Msg = usp.PermissionDenied, e.Params[denied].Msg
			}
			return e
		}
	}
	return nil
}

// errorsOf gives what was refused of one instance, of all settings or only of the required ones.
func (u *update) errorsOf(inst string, required bool) []usp.ParamError {
	var out []usp.ParamError
	for _, s := range u.req.GetParamSettings() {
		if e, ok := u.refused[inst+s.GetParam()]; ok && (s.GetRequired() || !required) {
			out = append(out, e)
		}
	}
	return out
}

// try writes what is left of the updates, and notes what the values are then.
func (x *exchange) try(ctx context.Context, updates []*update) error {
	var writes []Write
	for _, u := range updates {
		writes = append(writes, u.writes()...)
	}
	if len(writes) == 0 {
		return nil
	}
	done, err := x.write(ctx, writes)
	if err != nil {
		return err
	}
	values := make(map[string]string, len(done))
	for _, w := range done {
		values[w.Path] = w.Value
	}
	for _, u := range updates {
		if u.err == nil && !u.failed {
			u.done = values
		}
	}
	return nil
}

// setSome writes the objects each for itself (R-SET.0), but in one go as long as the device lets them.
func (x *exchange) setSome(ctx context.Context, updates []*update) {
	for range maxRounds {
		err := x.try(ctx, updates)
		if err == nil {
			return
		}
		e := x.a.asError(ctx, err)
		if e.Code == usp.Unreachable || e.Code == usp.OutcomeUnknown {
			for _, u := range updates {
				if len(u.instances) > 0 && !isOwn(u.instances[0]) {
					u.fail(e) // asking again would only take more time; the Agent's own rows need no CPE
				}
			}
			break
		}
		if !blame(updates, e) {
			break
		}
	}
	for _, u := range updates {
		for {
			err := x.try(ctx, []*update{u})
			if err == nil {
				break
			}
			e := x.a.asError(ctx, err)
			if blame([]*update{u}, e) {
				continue
			}
			if x.withoutOptional(ctx, []*update{u}, e) != nil {
				u.fail(e)
			}
			break
		}
	}
}

// maxSingly is how many parameters are written one by one to find out which of them a device refuses.
const maxSingly = 16

// withoutOptional is for a device that refuses a write and does not say what of it (R-SET.2): the required parameters are written alone,
// then the others one by one. It returns an error where the required ones are refused too; then nothing is written.
func (x *exchange) withoutOptional(ctx context.Context, updates []*update, e *usp.Error) error {
	if e.Code == usp.Unreachable || e.Code == usp.OutcomeUnknown {
		return e
	}
	type optional struct {
		u *update
		Write
	}
	var singly []optional
	for _, u := range updates {
		if u.err != nil || u.failed {
			continue
		}
		for _, inst := range u.instances {
			for _, s := range u.req.GetParamSettings() {
				path := inst + s.GetParam()
				if _, no := u.refused[path]; !no && !s.GetRequired() {
					singly = append(singly, optional{u, Write{path, u.values[s]}})
				}
			}
		}
	}
	if len(singly) == 0 {
		return e
	}
	for _, o := range singly {
		o.u.refused[o.Path] = usp.ParamError{Path: o.Path, Code: e.Code, Msg: e.Msg}
	}
	if err := x.try(ctx, updates); err != nil {
		for _, o := range singly {
			delete(o.u.refused, o.Path)
		}
		return err
	}
	for i, o := range singly {
		if i == maxSingly {
			break
		}
		done, err := x.write(ctx, []Write{o.Write})
		if err != nil {
			pe := x.a.asError(ctx, err)
			o.u.refused[o.Path] = usp.ParamError{Path: o.Path, Code: pe.Code, Msg: pe.Msg}
			if len(pe.Params) == 1 {
				o.u.refused[o.Path] = pe.Params[0]
			}
			continue
		}
		delete(o.u.refused, o.Path)
		if o.u.done == nil {
			o.u.done = map[string]string{}
		}
		for _, w := range done {
			o.u.done[w.Path] = w.Value
		}
	}
	return nil
}

// fail ends an update that has something to write with an error of the whole object.
func (u *update) fail(e *usp.Error) {
	if len(u.writes()) > 0 {
		u.err = e
	}
}

func (u *update) result(ctx context.Context, x *exchange) *usppb.SetResp_UpdatedObjectResult {
	st := &usppb.SetResp_UpdatedObjectResult_OperationStatus{}
	switch {
	case u.err != nil:
		e := x.a.asError(ctx, u.err)
		st.OperStatus = setFailure(e.Code, e.Msg, nil)
	case u.failed:
		var failures []*usppb.SetResp_UpdatedInstanceFailure
		for _, inst := range u.instances {
			if errs := u.errorsOf(inst, true); len(errs) > 0 {
				failures = append(failures, &usppb.SetResp_UpdatedInstanceFailure{AffectedPath: inst, ParamErrs: relative(inst, errs)})
			}
		}
		st.OperStatus = setFailure(usp.RequiredParameterFailed, "a required parameter failed", failures)
	default:
		ok := &usppb.SetResp_UpdatedObjectResult_OperationStatus_OperationSuccess{}
		for _, inst := range u.instances {
			r := &usppb.SetResp_UpdatedInstanceResult{AffectedPath: inst, ParamErrs: relative(inst, u.errorsOf(inst, false)),
				UpdatedParams: map[string]string{}}
			for _, s := range u.req.GetParamSettings() {
				if v, set := u.done[inst+s.GetParam()]; set && u.refused[inst+s.GetParam()].Code == 0 &&
					x.may.allows(params, mayRead, inst+s.GetParam()) { // R-SET.3
					r.UpdatedParams[s.GetParam()] = usp.ValidUTF8(v)
				}
			}
			ok.UpdatedInstResults = append(ok.UpdatedInstResults, r)
		}
		st.OperStatus = &usppb.SetResp_UpdatedObjectResult_OperationStatus_OperSuccess{OperSuccess: ok}
	}
	return &usppb.SetResp_UpdatedObjectResult{RequestedPath: usp.ValidUTF8(u.raw), OperStatus: st}
}

func setFailure(code usp.ErrorCode, msg string, failures []*usppb.SetResp_UpdatedInstanceFailure) *usppb.SetResp_UpdatedObjectResult_OperationStatus_OperFailure {
	return &usppb.SetResp_UpdatedObjectResult_OperationStatus_OperFailure{
		OperFailure: &usppb.SetResp_UpdatedObjectResult_OperationStatus_OperationFailure{
			ErrCode: uint32(code), ErrMsg: usp.ValidUTF8(msg), UpdatedInstFailures: failures}}
}

func relative(inst string, errs []usp.ParamError) []*usppb.SetResp_ParameterError {
	var out []*usppb.SetResp_ParameterError
	for _, e := range errs {
		out = append(out, &usppb.SetResp_ParameterError{Param: usp.ValidUTF8(strings.TrimPrefix(e.Path, inst)), ErrCode: uint32(e.Code),
			ErrMsg: usp.ValidUTF8(e.Msg)})
	}
	return out
}
