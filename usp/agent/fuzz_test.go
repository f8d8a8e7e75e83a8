package agent

import (
	"testing"
	"unicode/utf8"

	"isthmus/usp"
	"isthmus/usp/usppb"
)

// FuzzStrings puts a string where a Controller may write paths and expressions: into every request, and into the parameters of
// Subscriptions and Permissions that hold them. Something then happens that these are looked at for.
func FuzzStrings(f *testing.F) {
	for _, s := range []string{
		"Device.", "Device.X.Row.*.", `Device.X.Row.[ID=="a"&&Enable==true].Sub.Level`, `Device.X.Row.[Ref+.ID!="b"].`, "Device.X.Row.1.Ref#*+.Enable",
		"Device.LocalAgent.Subscription.[Recipient+.Enable==1].ID", "Device.X.Row.1.,Device.X.Row.*.Leaf.[Name~=c].", "Device.Boot!", "Device.Reboot()",
		"Device.X.Row.1.ID=a%2Cb", `Device.X.Row.[ID=="]"].ID=a`, "Device.X.Row.1.Enable=false, Device.X.Row.1.ID=", "[[[[", "Device.X.Row.{i}.",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if !utf8.ValidString(s) {
			t.Skip("protobuf has no such strings")
		}
		r := newRig(t)
		defer r.stop()
		r.added(obj{rowTable, []param{req("ID", "a"), req("Ref", "Device.X.Row.1.,Device.X.Row.2.")}})
		asked := []*usppb.Request{getReq(s), delReq(true, s), setReq(true, obj{s, []param{req("ID", "1"), req(s, s)}}), addReq(true, obj{s, []param{opt(s, s)}}),
			operateReq(s, s, true), delReq(false, s), setReq(false, obj{s, []param{req("ID", "1")}}),
			{ReqType: &usppb.Request_GetInstances{GetInstances: &usppb.GetInstances{ObjPaths: []string{s}}}},
			{ReqType: &usppb.Request_GetSupportedDm{GetSupportedDm: &usppb.GetSupportedDM{ObjPaths: []string{s}, ReturnParams: true}}}}
		for _, kind := range []string{valueChange, objectCreation, objectDeletion, event, operationComplete} {
			asked = append(asked, addReq(true, subscription(kind, s)))
		}
		asked = append(asked, addReq(true, subscription(event, "Device.Boot!", req("TriggerAction", triggerConfig), req("TriggerConfigSettings", s))),
			addReq(true, obj{trustObject + "Role.1.Permission.", []param{req("Enable", "true"), req("Targets", s), req("Param", "r---")}}),
			addReq(true, obj{controllerTable + "1.BootParameter.", []param{req("Enable", "true"), req("ParameterName", s)}}))
		for _, req := range asked {
			m := r.asks(req)
			if body := m.GetBody(); body.GetResponse() == nil && body.GetError().GetErrCode() == 0 {
				t.Fatalf("%v: %v", req, m)
			}
		}
		if err := r.a.Boot(t.Context(), BootInfo{}); err != nil {
			t.Error(err)
		}
		if err := r.a.Raise(t.Context(), &ValueChange{Path: rowTable + "1.ID", Value: s}, &ObjectCreation{Path: rowTable + "3."},
			&ObjectDeletion{Path: rowTable + "3."}, &Event{Object: "Device.", Name: s}, &OperationComplete{Object: rowTable + "1.", Command: "Test()", CommandKey: s}); err != nil {
			t.Error(err)
		}
	})
}

// A "]" and a "=" in quotes belong to the search.
func TestTriggerSettingQuoted(t *testing.T) {
	for _, quoted := range []string{"]", "[", "=", "a"} {
		want := `Device.X.Row.[ID=="` + quoted + `"].Ref`
		if path, value, err := triggerSetting(want + `=b="c"`); err != nil || path != want || value != `b="c"` {
			t.Errorf("%s: %q, %q, %v", quoted, path, value, err)
		}
	}
}

// asks gives the answer to a request, passing over notifications.
func (r *rig) asks(req *usppb.Request) *usppb.Msg {
	m := usp.NewRequest(r.id(), req)
	r.send(ctl1, m)
	for {
		rec := r.next()
		if rec.GetNoSessionContext() == nil {
			continue
		}
		if resp := decode(r.t, rec); resp.GetHeader().GetMsgId() == m.GetHeader().GetMsgId() {
			return resp
		}
	}
}
