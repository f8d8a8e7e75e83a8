package conformance_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"isthmus/usp"
	"isthmus/usp/controller"
	"isthmus/usp/usppb"
)

// eut is the endpoint under test, as a Controller sees it in one test.
type eut struct {
	*testing.T
	w *world
	a *controller.Agent
}

type param struct {
	name, value string
	required    bool
}

func req(name, value string) param { return param{name, value, true} }
func opt(name, value string) param { return param{name, value, false} }

type obj struct {
	path   string
	params []param
}

func (e *eut) deadline() context.Context {
	ctx, cancel := context.WithTimeout(e.w.ctx, patience)
	e.Cleanup(cancel)
	return ctx
}

func (e *eut) must(err error) {
	e.Helper()
	if err != nil {
		e.Fatal(err)
	}
}

// refused is the Error message that a request must be answered with.
func (e *eut) refused(err error) *usp.Error {
	e.Helper()
	var u *usp.Error
	if !errors.As(err, &u) || u.Code == 0 {
		e.Fatalf("not an Error message: %v", err)
	}
	return u
}

// blames says that an Error names one parameter or object, which ends in suffix.
func (e *eut) blames(u *usp.Error, suffix string) {
	e.Helper()
	if len(u.Params) != 1 || !strings.HasSuffix(u.Params[0].Path, suffix) || u.Params[0].Code == 0 {
		e.Errorf("param_errs %+v of %v do not name %s alone", u.Params, u, suffix)
	}
}

func addMsg(partial bool, objs ...obj) *usppb.Add {
	m := &usppb.Add{AllowPartial: partial}
	for _, o := range objs {
		c := &usppb.Add_CreateObject{ObjPath: o.path}
		for _, p := range o.params {
			c.ParamSettings = append(c.ParamSettings, &usppb.Add_CreateParamSetting{Param: p.name, Value: p.value, Required: p.required})
		}
		m.CreateObjs = append(m.CreateObjs, c)
	}
	return m
}

func (e *eut) add(partial bool, objs ...obj) ([]*usppb.AddResp_CreatedObjectResult, error) {
	r, err := e.a.Add(e.deadline(), addMsg(partial, objs...))
	return r.GetCreatedObjResults(), err
}

// added makes a row and removes it at the end of the test; what is asked for must be done in full.
func (e *eut) added(table string, params ...param) (path string, keys map[string]string) {
	e.Helper()
	res, err := e.add(false, obj{table, params})
	e.must(err)
	if len(res) != 1 {
		e.Fatalf("%d results", len(res))
	}
	return e.created(res[0])
}

// created takes a result that must be a success without a flaw.
func (e *eut) created(r *usppb.AddResp_CreatedObjectResult) (path string, keys map[string]string) {
	e.Helper()
	ok := r.GetOperStatus().GetOperSuccess()
	if ok == nil || len(ok.GetParamErrs()) != 0 || !strings.HasPrefix(ok.GetInstantiatedPath(), "Device.") {
		e.Fatalf("not created: %v", r)
	}
	e.Cleanup(func() {
		_, _ = e.a.Delete(e.deadline(), &usppb.Delete{ObjPaths: []string{ok.GetInstantiatedPath()}, AllowPartial: true})
	})
	return ok.GetInstantiatedPath(), ok.GetUniqueKeys()
}

func (e *eut) set(partial bool, objs ...obj) ([]*usppb.SetResp_UpdatedObjectResult, error) {
	m := &usppb.Set{AllowPartial: partial}
	for _, o := range objs {
		u := &usppb.Set_UpdateObject{ObjPath: o.path}
		for _, p := range o.params {
			u.ParamSettings = append(u.ParamSettings, &usppb.Set_UpdateParamSetting{Param: p.name, Value: p.value, Required: p.required})
		}
		m.UpdateObjs = append(m.UpdateObjs, u)
	}
	r, err := e.a.Set(e.deadline(), m)
	return r.GetUpdatedObjResults(), err
}

// change sets one parameter, which must work.
func (e *eut) change(path, value string) {
	e.Helper()
	i := strings.LastIndexByte(path, '.') + 1
	res, err := e.set(false, obj{path[:i], []param{req(path[i:], value)}})
	e.must(err)
	e.updated(res[0], path[:i], path[i:])
}

// updated takes a result that must be a success for one instance and one parameter.
func (e *eut) updated(r *usppb.SetResp_UpdatedObjectResult, path, name string) {
	e.Helper()
	inst := r.GetOperStatus().GetOperSuccess().GetUpdatedInstResults()
	if len(inst) != 1 || inst[0].GetAffectedPath() != path || len(inst[0].GetParamErrs()) != 0 || len(inst[0].GetUpdatedParams()) != 1 {
		e.Fatalf("%v is not an update of %s of %s", r, name, path)
	}
	if _, ok := inst[0].GetUpdatedParams()[name]; !ok {
		e.Fatalf("%s is not in %v", name, r)
	}
}

func (e *eut) delete(partial bool, paths ...string) ([]*usppb.DeleteResp_DeletedObjectResult, error) {
	r, err := e.a.Delete(e.deadline(), &usppb.Delete{AllowPartial: partial, ObjPaths: paths})
	return r.GetDeletedObjResults(), err
}

// deleted takes a result that must be a success with these rows.
func (e *eut) deleted(r *usppb.DeleteResp_DeletedObjectResult, requested string, rows ...string) {
	e.Helper()
	ok := r.GetOperStatus().GetOperSuccess()
	if ok == nil || r.GetRequestedPath() != requested || !slices.Equal(slices.Sorted(slices.Values(ok.GetAffectedPaths())), slices.Sorted(slices.Values(rows))) {
		e.Fatalf("%v: want %s to have removed %v", r, requested, rows)
	}
}

// get asks for paths; there must be a result for each, in their order.
func (e *eut) get(depth uint32, paths ...string) []*usppb.GetResp_RequestedPathResult {
	e.Helper()
	r, err := e.a.Get(e.deadline(), depth, paths...)
	e.must(err)
	res := r.GetReqPathResults()
	if len(res) != len(paths) {
		e.Fatalf("%d results for %d paths", len(res), len(paths))
	}
	for i, q := range res {
		if q.GetRequestedPath() != paths[i] {
			e.Fatalf("result %d is of %s, not %s", i, q.GetRequestedPath(), paths[i])
		}
		for _, o := range q.GetResolvedPathResults() {
			for name := range o.GetResultParams() {
				if strings.Contains(name, ".") || name == "" {
					e.Errorf("%q of %s is not a relative path of a parameter", name, o.GetResolvedPath())
				}
			}
		}
	}
	return res
}

// values gives what a path resolves to, by object.
func (e *eut) values(path string) map[string]map[string]string {
	e.Helper()
	r := e.get(0, path)[0]
	if r.GetErrCode() != 0 {
		e.Fatalf("%s: %d %s", path, r.GetErrCode(), r.GetErrMsg())
	}
	out := map[string]map[string]string{}
	for _, o := range r.GetResolvedPathResults() {
		out[o.GetResolvedPath()] = o.GetResultParams()
	}
	return out
}

// wantValue reads one parameter.
func (e *eut) wantValue(path, want string) {
	e.Helper()
	i := strings.LastIndexByte(path, '.') + 1
	if got, ok := e.values(path)[path[:i]][path[i:]]; !ok || got != want {
		e.Errorf("%s is %q (%v), want %q", path, got, ok, want)
	}
}

// rows lists the rows of a table, without those below them.
func (e *eut) rows(table string) []string {
	e.Helper()
	return e.instances(true, table)[0]
}

// instances lists rows for each path, none of which may fail.
func (e *eut) instances(first bool, paths ...string) [][]string {
	e.Helper()
	r, err := e.a.GetInstances(e.deadline(), first, paths...)
	e.must(err)
	if len(r.GetReqPathResults()) != len(paths) {
		e.Fatalf("%d results for %d paths", len(r.GetReqPathResults()), len(paths))
	}
	out := make([][]string, len(paths))
	for i, q := range r.GetReqPathResults() {
		if q.GetErrCode() != 0 || q.GetRequestedPath() != paths[i] {
			e.Fatalf("%v for %s", q, paths[i])
		}
		for _, c := range q.GetCurrInsts() {
			out[i] = append(out[i], c.GetInstantiatedObjPath())
		}
	}
	return out
}

// wantRows says which rows a table has.
func (e *eut) wantRows(table string, rows ...string) {
	e.Helper()
	if got := e.rows(table); !slices.Equal(got, rows) {
		e.Errorf("%s has %v, want %v", table, got, rows)
	}
}

// operate runs a command with send_resp true and gives its only result.
func (e *eut) operate(command, key string, args map[string]string) *usppb.OperateResp_OperationResult {
	e.Helper()
	r, err := e.a.Operate(e.deadline(), &usppb.Operate{Command: command, CommandKey: key, SendResp: true, InputArgs: args})
	e.must(err)
	if len(r.GetOperationResults()) != 1 {
		e.Fatalf("results %v", r)
	}
	return r.GetOperationResults()[0]
}

// start runs a command with send_resp false.
func (e *eut) start(command, key string) {
	e.Helper()
	_, err := e.a.Operate(e.deadline(), &usppb.Operate{Command: command, CommandKey: key})
	e.must(err)
}

// subscribe makes a Subscription, which goes at the end of the test.
func (e *eut) subscribe(id, kind, ref string, more ...param) string {
	e.Helper()
	path, _ := e.added(subscriptionTable, append([]param{req("Enable", "true"), req("ID", id), req("NotifType", kind), req("ReferenceList", ref)}, more...)...)
	return path
}

// notified waits for the next Notify of a Subscription.
func (e *eut) notified(id string) *usppb.Notify {
	e.Helper()
	n, err := e.a.WaitNotify(e.deadline(), func(n *usppb.Notify) bool { return n.GetSubscriptionId() == id })
	if err != nil {
		e.Fatalf("%s: %v; there were %v", id, err, e.a.Notes())
	}
	return n
}

// count is how many notifications of a Subscription have come.
func (e *eut) count(id string) (n int) {
	for _, x := range e.a.Notes() {
		if x.GetSubscriptionId() == id {
			n++
		}
	}
	return n
}

// own is the Controller's row in the Agent's table.
func (e *eut) own() string {
	e.Helper()
	for path := range e.values(controllerTable + `[EndpointID=="` + string(controllerID) + `"].EndpointID`) {
		return path
	}
	e.Fatal("the Controller has no row")
	return ""
}

// dialIn makes another Controller, which dials the Agent.
func (e *eut) dialIn(id usp.EndpointID) *controller.Agent {
	e.Helper()
	c := controller.New(e.w.ctx, controller.Options{EndpointID: id, Logger: quiet()})
	e.Cleanup(func() { c.Close(e.deadline()) })
	e.must(c.Dial(e.deadline(), "ws://"+e.w.addrs.dialIn+"/agent/"+string(e.w.id), e.w.id))
	return c.Agent(e.w.id)
}

var ids atomic.Int64

// unique is a name that no other test and no other run of this one has.
func unique(prefix string) string { return prefix + "-" + itoa(int(ids.Add(1))) }
