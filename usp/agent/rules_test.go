package agent

import (
	"strings"
	"testing"

	"isthmus/usp"
	"isthmus/usp/usppb"
)

// R-MSG.4a: a search that finds nothing is answered with nothing, in every message, whatever allow_partial says.
func TestR_MSG_4a_SearchFindsNothing(t *testing.T) {
	both(t, func(t *testing.T, r *rig, table string) {
		search := table + `[ID=="none"].`
		equal(t, r.get(search), "")
		equal(t, r.get(search+"Enable"), "")
		inst := r.ask(instancesReq(search, table)).GetResponse().GetGetInstancesResp().GetReqPathResults()
		for _, q := range inst {
			equal(t, q.GetErrCode() == 0 && len(q.GetCurrInsts()) == 0, true)
		}
		for _, partial := range []bool{false, true} {
			set := r.ask(setReq(partial, obj{search, []param{req("Enable", "true")}})).GetResponse().GetSetResp().GetUpdatedObjResults()
			equal(t, len(set) == 1 && set[0].GetOperStatus().GetOperSuccess() != nil && len(set[0].GetOperStatus().GetOperSuccess().GetUpdatedInstResults()) == 0, true)
			del := r.ask(delReq(partial, search)).GetResponse().GetDeleteResp().GetDeletedObjResults()
			equal(t, len(del) == 1 && del[0].GetOperStatus().GetOperSuccess() != nil && len(del[0].GetOperStatus().GetOperSuccess().GetAffectedPaths()) == 0, true)
		}
		nested, command := rowTable+`[ID=="none"].Leaf.`, rowTable+"*.Test()"
		if isOwn(table) {
			nested, command = controllerTable+`[Alias=="none"].BootParameter.`, requestTable+"*.Cancel()"
		}
		for _, partial := range []bool{false, true} {
			add := r.ask(addReq(partial, obj{nested, nil}))
			equal(t, add.GetResponse().GetAddResp() != nil && len(add.GetResponse().GetAddResp().GetCreatedObjResults()) == 0, true)
		}
		op := r.ask(operateReq(command, "", true))
		equal(t, op.GetResponse().GetOperateResp() != nil && len(op.GetResponse().GetOperateResp().GetOperationResults()) == 0, true)
	})
}

// R-SET.2a: what one path finds is set as a whole, also with allow_partial, and also where only the device knows that one fails.
func TestR_SET_2a_OnePathIsAWhole(t *testing.T) {
	r := newRig(t)
	one, two := r.added(obj{rowTable, nil}), r.added(obj{rowTable, nil})
	r.tree.fault[two+"NotifExpiration"] = usp.InvalidValue
	res := r.ask(setReq(true, obj{rowTable + "*.", []param{req("NotifExpiration", "5")}}, obj{one, []param{req("Enable", "true")}})).
		GetResponse().GetSetResp().GetUpdatedObjResults()
	f := res[0].GetOperStatus().GetOperFailure()
	equal(t, len(f.GetUpdatedInstFailures()), 1)
	equal(t, f.GetUpdatedInstFailures()[0].GetAffectedPath(), two)
	equal(t, f.GetUpdatedInstFailures()[0].GetParamErrs()[0].GetParam(), "NotifExpiration")
	equal(t, r.get(rowTable+"*.NotifExpiration"), one+"NotifExpiration=0\n"+two+"NotifExpiration=0")
	equal(t, r.get(one+"Enable"), one+"Enable=true") // another path is another whole (R-SET.0)
	wantError(t, r.ask(setReq(false, obj{rowTable + "*.", []param{req("NotifExpiration", "5")}})), 7004, two+"NotifExpiration 7012")
}

// R-ADD.2a: with allow_partial false nothing is left of an Add that a search spreads, when one of the rows fails.
func TestR_ADD_2a_SpreadAddIsAWhole(t *testing.T) {
	r := newRig(t)
	one, two := r.added(obj{rowTable, nil}), r.added(obj{rowTable, nil})
	r.tree.fault[two+"Leaf.*.Name"] = usp.InvalidValue
	wantError(t, r.ask(addReq(false, obj{rowTable + "*.Leaf.", []param{req("Name", "x")}})), 7004, two+"Leaf.1.Name 7012")
	equal(t, r.get(rowTable+"*.Leaf.*.Name"), "")
	res := r.ask(addReq(true, obj{rowTable + "*.Leaf.", []param{req("Name", "x")}})).GetResponse().GetAddResp().GetCreatedObjResults()
	equal(t, len(res), 2)
	equal(t, strings.HasPrefix(res[0].GetOperStatus().GetOperSuccess().GetInstantiatedPath(), one), true)
	equal(t, res[1].GetOperStatus().GetOperFailure().GetErrCode(), 7012)
}

// R-DEL.3: what a path finds and the device does not delete is listed beside what it does.
func TestR_DEL_3_LateFault(t *testing.T) {
	r := newRig(t)
	one, two := r.added(obj{rowTable, nil}), r.added(obj{rowTable, nil})
	r.tree.fault[two] = usp.RequestDenied
	ok := r.ask(delReq(false, rowTable+"*.")).GetResponse().GetDeleteResp().GetDeletedObjResults()[0].GetOperStatus().GetOperSuccess()
	equal(t, strings.Join(ok.GetAffectedPaths(), " "), one)
	equal(t, ok.GetUnaffectedPathErrs()[0].GetUnaffectedPath(), two)
}

// R-OPR.4, TP-469 2.18: with send_resp false there is no answer but what a command failed with.
func TestR_OPR_4_NoResponse(t *testing.T) {
	r := newRig(t)
	for _, command := range []string{"Device.Nope()", "Device..Reboot()"} {
		r.send(ctl1, usp.NewRequest(r.id(), operateReq(command, "", false)))
	}
	equal(t, r.get("Device.DeviceInfo.ModelName"), "Device.DeviceInfo.ModelName=M")
	res := r.ask(operateReq("Device.Need()", "", false)).GetResponse().GetOperateResp().GetOperationResults()
	equal(t, len(res), 1)
	equal(t, res[0].GetCmdFailure().GetErrCode(), 7027)
}

// An Agent is no Controller: what only one would take is 7001 (R-MSG.1), and a Response or an Error is never answered.
func TestR_MSG_1_NotForAnAgent(t *testing.T) {
	r := newRig(t)
	for _, request := range []*usppb.Request{
		{ReqType: &usppb.Request_Notify{Notify: &usppb.Notify{SendResp: true}}},
		{ReqType: &usppb.Request_Register{Register: &usppb.Register{}}},
		{ReqType: &usppb.Request_Deregister{Deregister: &usppb.Deregister{}}},
	} {
		equal(t, r.ask(request).GetError().GetErrCode(), 7001)
	}
	r.send(ctl1, usp.ErrorMsg("x", usp.Errorf(usp.RequestDenied, "no")))
	r.send(ctl1, usp.NewResponse("y", &usppb.Response{RespType: &usppb.Response_GetResp{GetResp: &usppb.GetResp{}}}))
	equal(t, r.get("Device.DeviceInfo.ModelName"), "Device.DeviceInfo.ModelName=M")
}
