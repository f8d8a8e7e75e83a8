package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"isthmus/usp"
	"isthmus/usp/usppb"
)

// outcome is an answer for a person: lines of what worked, errors of what did not.
type outcome struct {
	lines  []string
	failed []error
}

func (o *outcome) say(format string, args ...any) {
	o.lines = append(o.lines, fmt.Sprintf(format, args...))
}

func (o *outcome) fail(path string, code uint32, text string) {
	o.failed = append(o.failed, fmt.Errorf("%s: %w", path, &usp.Error{Code: usp.ErrorCode(code), Msg: text}))
}

func (o *outcome) err() error { return errors.Join(o.failed...) }

func (o *outcome) print(w io.Writer) error {
	for _, l := range o.lines {
		if _, err := fmt.Fprintln(w, l); err != nil {
			return err
		}
	}
	return o.err()
}

// shown is a value as it may go to a terminal: one with control characters is quoted.
func shown(v string) string {
	if strings.ContainsFunc(v, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.Quote(v)
	}
	return v
}

func keys(m map[string]string) string {
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(m)) {
		fmt.Fprintf(&b, " %s=%s", k, shown(m[k]))
	}
	return b.String()
}

// agentError is a USP Error with all it says about parameters.
func agentError(e *usppb.Error) error {
	err := usp.ErrorFrom(e)
	errs := []error{err}
	for _, p := range err.Params {
		errs = append(errs, fmt.Errorf("%s: %d %s", p.Path, p.Code, p.Msg))
	}
	return fmt.Errorf("the Agent answers: %w", errors.Join(errs...))
}

// results turns a response into lines, in the order of the answer.
func results(r *usppb.Response) *outcome {
	o := &outcome{}
	switch r := r.GetRespType().(type) {
	case *usppb.Response_GetResp:
		for _, q := range r.GetResp.GetReqPathResults() {
			if q.GetErrCode() != 0 {
				o.fail(q.GetRequestedPath(), q.GetErrCode(), q.GetErrMsg())
			}
			for _, obj := range q.GetResolvedPathResults() {
				for _, name := range slices.Sorted(maps.Keys(obj.GetResultParams())) {
					o.say("%s%s = %s", obj.GetResolvedPath(), name, shown(obj.GetResultParams()[name]))
				}
			}
		}
	case *usppb.Response_SetResp:
		o.set(r.SetResp)
	case *usppb.Response_AddResp:
		for _, c := range r.AddResp.GetCreatedObjResults() {
			if f := c.GetOperStatus().GetOperFailure(); f != nil {
				o.fail(c.GetRequestedPath(), f.GetErrCode(), f.GetErrMsg())
			}
			if s := c.GetOperStatus().GetOperSuccess(); s != nil {
				o.say("created %s%s", s.GetInstantiatedPath(), keys(s.GetUniqueKeys()))
				for _, p := range s.GetParamErrs() {
					o.fail(s.GetInstantiatedPath()+p.GetParam(), p.GetErrCode(), p.GetErrMsg())
				}
			}
		}
	case *usppb.Response_DeleteResp:
		for _, d := range r.DeleteResp.GetDeletedObjResults() {
			if f := d.GetOperStatus().GetOperFailure(); f != nil {
				o.fail(d.GetRequestedPath(), f.GetErrCode(), f.GetErrMsg())
			}
			for _, p := range d.GetOperStatus().GetOperSuccess().GetAffectedPaths() {
				o.say("deleted %s", p)
			}
			for _, u := range d.GetOperStatus().GetOperSuccess().GetUnaffectedPathErrs() {
				o.fail(u.GetUnaffectedPath(), u.GetErrCode(), u.GetErrMsg())
			}
		}
	case *usppb.Response_OperateResp:
		o.operate(r.OperateResp)
	case *usppb.Response_GetInstancesResp:
		for _, q := range r.GetInstancesResp.GetReqPathResults() {
			if q.GetErrCode() != 0 {
				o.fail(q.GetRequestedPath(), q.GetErrCode(), q.GetErrMsg())
			}
			for _, i := range q.GetCurrInsts() {
				o.say("%s%s", i.GetInstantiatedObjPath(), keys(i.GetUniqueKeys()))
			}
		}
	case *usppb.Response_GetSupportedDmResp:
		for _, q := range r.GetSupportedDmResp.GetReqObjResults() {
			if q.GetErrCode() != 0 {
				o.fail(q.GetReqObjPath(), q.GetErrCode(), q.GetErrMsg())
			}
			for _, obj := range q.GetSupportedObjs() {
				o.supported(obj)
			}
		}
	}
	return o
}

func (o *outcome) set(r *usppb.SetResp) {
	for _, u := range r.GetUpdatedObjResults() {
		if f := u.GetOperStatus().GetOperFailure(); f != nil {
			o.fail(u.GetRequestedPath(), f.GetErrCode(), f.GetErrMsg())
			for _, inst := range f.GetUpdatedInstFailures() {
				for _, p := range inst.GetParamErrs() {
					o.fail(inst.GetAffectedPath()+p.GetParam(), p.GetErrCode(), p.GetErrMsg())
				}
			}
		}
		for _, inst := range u.GetOperStatus().GetOperSuccess().GetUpdatedInstResults() {
			for _, name := range slices.Sorted(maps.Keys(inst.GetUpdatedParams())) {
				o.say("%s%s = %s", inst.GetAffectedPath(), name, shown(inst.GetUpdatedParams()[name]))
			}
			for _, p := range inst.GetParamErrs() {
				o.fail(inst.GetAffectedPath()+p.GetParam(), p.GetErrCode(), p.GetErrMsg())
			}
		}
	}
}

func (o *outcome) operate(r *usppb.OperateResp) {
	for _, res := range r.GetOperationResults() {
		switch {
		case res.GetCmdFailure() != nil:
			o.fail(res.GetExecutedCommand(), res.GetCmdFailure().GetErrCode(), res.GetCmdFailure().GetErrMsg())
		case res.GetReqObjPath() != "":
			o.say("%s runs as %s", res.GetExecutedCommand(), res.GetReqObjPath())
		default:
			o.say("%s done%s", res.GetExecutedCommand(), keys(res.GetReqOutputArgs().GetOutputArgs()))
		}
	}
}

func (o *outcome) supported(obj *usppb.GetSupportedDMResp_SupportedObjectResult) {
	o.say("%s  %s", obj.GetSupportedObjPath(), word(obj.GetAccess(), "OBJ_"))
	for _, p := range obj.GetSupportedParams() {
		o.say("  %s  %s %s", p.GetParamName(), word(p.GetValueType(), "PARAM_"), word(p.GetAccess(), "PARAM_"))
	}
	for _, c := range obj.GetSupportedCommands() {
		o.say("  %s  %s(%s) -> (%s)", c.GetCommandName(), word(c.GetCommandType(), "CMD_"), strings.Join(c.GetInputArgNames(), ", "), strings.Join(c.GetOutputArgNames(), ", "))
	}
	for _, e := range obj.GetSupportedEvents() {
		o.say("  %s  event(%s)", e.GetEventName(), strings.Join(e.GetArgNames(), ", "))
	}
}

// word is an enumeration's value as people write it: OBJ_ADD_DELETE gives "add-delete".
func word(e fmt.Stringer, prefix string) string {
	return strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(e.String(), prefix)), "_", "-")
}
