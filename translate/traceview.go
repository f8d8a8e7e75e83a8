package translate

import (
	"fmt"
	"strings"

	"isthmus/usp/usppb"
)

// withoutLiterals cuts the values out of a path's search expressions: they may be secrets.
func withoutLiterals(path string) string {
	if !strings.ContainsRune(path, '"') {
		return path
	}
	parts := strings.Split(path, `"`)
	for i := 1; i < len(parts); i += 2 {
		parts[i] = "…"
	}
	return strings.Join(parts, `"`)
}

// beginning is a text of up to n bytes, and more is not held in memory: the beginning of a longer one is a copy.
func beginning(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}

// pathsOf lists what a request is about, without values.
func pathsOf(m *usppb.Msg) []string {
	var paths []string
	add := func(p ...string) {
		if room := tracePaths - len(paths); len(p) > room {
			p = p[:room]
		}
		for _, path := range p {
			paths = append(paths, withoutLiterals(beginning(path, traceText)))
		}
	}
	switch r := m.GetBody().GetRequest().GetReqType().(type) {
	case *usppb.Request_Get:
		add(r.Get.GetParamPaths()...)
	case *usppb.Request_GetInstances:
		add(r.GetInstances.GetObjPaths()...)
	case *usppb.Request_GetSupportedDm:
		add(r.GetSupportedDm.GetObjPaths()...)
	case *usppb.Request_Set:
		for _, o := range r.Set.GetUpdateObjs() {
			for _, p := range o.GetParamSettings() {
				add(o.GetObjPath() + p.GetParam())
			}
		}
	case *usppb.Request_Add:
		for _, o := range r.Add.GetCreateObjs() {
			add(o.GetObjPath())
		}
	case *usppb.Request_Delete:
		add(r.Delete.GetObjPaths()...)
	case *usppb.Request_Operate:
		add(r.Operate.GetCommand())
	}
	return paths
}

// resultOf says how a request ended: "ok", or the first error in its answer.
func resultOf(m *usppb.Msg) string {
	if m == nil {
		return "not answered"
	}
	if e := m.GetBody().GetError(); e != nil {
		return problem(e.GetErrCode(), e.GetErrMsg())
	}
	switch r := m.GetBody().GetResponse().GetRespType().(type) {
	case *usppb.Response_GetResp:
		for _, q := range r.GetResp.GetReqPathResults() {
			if q.GetErrCode() != 0 {
				return problem(q.GetErrCode(), q.GetErrMsg())
			}
		}
	case *usppb.Response_GetInstancesResp:
		for _, q := range r.GetInstancesResp.GetReqPathResults() {
			if q.GetErrCode() != 0 {
				return problem(q.GetErrCode(), q.GetErrMsg())
			}
		}
	case *usppb.Response_GetSupportedDmResp:
		for _, q := range r.GetSupportedDmResp.GetReqObjResults() {
			if q.GetErrCode() != 0 {
				return problem(q.GetErrCode(), q.GetErrMsg())
			}
		}
	case *usppb.Response_SetResp:
		for _, o := range r.SetResp.GetUpdatedObjResults() {
			if f := o.GetOperStatus().GetOperFailure(); f != nil {
				return problem(f.GetErrCode(), f.GetErrMsg())
			}
		}
	case *usppb.Response_AddResp:
		for _, o := range r.AddResp.GetCreatedObjResults() {
			if f := o.GetOperStatus().GetOperFailure(); f != nil {
				return problem(f.GetErrCode(), f.GetErrMsg())
			}
		}
	case *usppb.Response_DeleteResp:
		for _, o := range r.DeleteResp.GetDeletedObjResults() {
			if f := o.GetOperStatus().GetOperFailure(); f != nil {
				return problem(f.GetErrCode(), f.GetErrMsg())
			}
		}
	case *usppb.Response_OperateResp:
		for _, o := range r.OperateResp.GetOperationResults() {
			if f := o.GetCmdFailure(); f != nil {
				return problem(f.GetErrCode(), f.GetErrMsg())
			}
		}
	}
	return "ok"
}

// problem is an error without what a CPE said of it, which may quote a value.
func problem(code uint32, msg string) string {
	if i := strings.Index(msg, cwmpFault); i >= 0 {
		number, _, _ := strings.Cut(msg[i+len(cwmpFault):], " ")
		msg = msg[:i+len(cwmpFault)] + number
	}
	return fmt.Sprintf("%d %s", code, withoutLiterals(beginning(msg, traceText)))
}
