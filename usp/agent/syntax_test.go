package agent

import (
	"testing"

	"isthmus/usp/usppb"
)

// A malformed path is 7008 in every message, wherever it stands (§2.13).
func TestMalformedPaths(t *testing.T) {
	r := newRig(t)
	gsdm := func(path string) *usppb.Request {
		return &usppb.Request{ReqType: &usppb.Request_GetSupportedDm{GetSupportedDm: &usppb.GetSupportedDM{ObjPaths: []string{path}}}}
	}
	for _, path := range []string{"Device..A", "Device.X.Row.01.", "Device.X.Row.[ID=\"a\"].", "Device.X.Row.[].", "Device.X/Row.", "Device.X.Row.1.2."} {
		equal(t, r.get(path), "7008")
		equal(t, r.ask(gsdm(path)).GetResponse().GetGetSupportedDmResp().GetReqObjResults()[0].GetErrCode(), 7008)
		equal(t, r.ask(instancesReq(path)).GetResponse().GetGetInstancesResp().GetReqPathResults()[0].GetErrCode(), 7008)
		equal(t, r.ask(setReq(false, obj{path, nil})).GetError().GetErrCode(), 7008)
		equal(t, r.ask(setReq(true, obj{path, nil})).GetResponse().GetSetResp().GetUpdatedObjResults()[0].GetOperStatus().GetOperFailure().GetErrCode(), 7008)
		wantError(t, r.ask(addReq(false, obj{path, nil})), 7004, path+" 7008")
		equal(t, r.ask(addReq(true, obj{path, nil})).GetResponse().GetAddResp().GetCreatedObjResults()[0].GetOperStatus().GetOperFailure().GetErrCode(), 7008)
		wantError(t, r.ask(delReq(false, path)), 7004, path+" 7008")
		equal(t, r.ask(delReq(true, path)).GetResponse().GetDeleteResp().GetDeletedObjResults()[0].GetOperStatus().GetOperFailure().GetErrCode(), 7008)
		equal(t, r.ask(operateReq(path+"Go()", "", true)).GetError().GetErrCode(), 7008)
	}
	// A search is none of a path of the supported data model, {i} is.
	equal(t, r.ask(gsdm(rowTable + "[Enable==true].")).GetResponse().GetGetSupportedDmResp().GetReqObjResults()[0].GetErrCode(), 7008)
	equal(t, r.ask(gsdm(rowTable + "{i}.")).GetResponse().GetGetSupportedDmResp().GetReqObjResults()[0].GetErrCode(), 0)
}
