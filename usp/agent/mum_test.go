package agent

import (
	"testing"

	"isthmus/usp"
)

// A device may refuse a write without saying what of it: CWMP's 9003 without a list. Which parameters are not required must not cost the
// ones that are.
func TestR_SET_2_RefusalThatNamesNobody(t *testing.T) {
	for _, partial := range []bool{false, true} {
		r := newRig(t)
		row := r.added(obj{rowTable, []param{req("Enable", "false")}})
		r.tree.mum = true
		r.tree.fault[row+"Ref"] = usp.InvalidValue
		b := r.ask(setReq(partial, obj{row, []param{opt("Ref", "bad"), opt("NotifType", "fine"), req("Enable", "true")}}))
		res := b.GetResponse().GetSetResp().GetUpdatedObjResults()
		if len(res) != 1 || res[0].GetOperStatus().GetOperSuccess() == nil {
			t.Fatalf("allow_partial %v: %v", partial, b)
		}
		inst := res[0].GetOperStatus().GetOperSuccess().GetUpdatedInstResults()[0]
		if len(inst.GetParamErrs()) != 1 || inst.GetParamErrs()[0].GetParam() != "Ref" || inst.GetParamErrs()[0].GetErrCode() != uint32(usp.InvalidValue) {
			t.Errorf("allow_partial %v: param_errs %v", partial, inst.GetParamErrs())
		}
		if inst.GetUpdatedParams()["Enable"] != "true" || inst.GetUpdatedParams()["NotifType"] != "fine" {
			t.Errorf("allow_partial %v: updated_params %v", partial, inst.GetUpdatedParams())
		}
		r.tree.fault[row+"Enable"] = usp.InvalidValue
		b = r.ask(setReq(partial, obj{row, []param{opt("NotifType", "other"), req("Enable", "false")}}))
		if partial && b.GetResponse().GetSetResp().GetUpdatedObjResults()[0].GetOperStatus().GetOperFailure() == nil || !partial && b.GetError() == nil {
			t.Errorf("allow_partial %v: a required parameter was refused: %v", partial, b)
		}
		if got := r.get(row + "NotifType"); got != row+"NotifType=fine" {
			t.Errorf("allow_partial %v: %s after a refused object", partial, got)
		}
	}
}
