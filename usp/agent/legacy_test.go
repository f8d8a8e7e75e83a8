package agent

import (
	"context"
	"strings"
	"testing"

	"isthmus/usp/usppb"
)

// withLegacyTree is a tree that has LegacyRoot, which it does not show as a part of "Device.".
type withLegacyTree struct{ *tree }

const legacyParam = LegacyRoot + "IGD.Name"

func (l withLegacyTree) Read(ctx context.Context, queries []Query) []Reading {
	out := l.tree.Read(ctx, queries)
	for i := range out {
		if queries[i].Path != "Device." {
			continue
		}
		var rest []Object
		for _, o := range out[i].Objects {
			if !Legacy(o.Path) {
				rest = append(rest, o)
			}
		}
		out[i].Objects = rest
	}
	return out
}

func legacyRig(t *testing.T, role string) *rig {
	r := &rig{t: t, tree: newTree(), keep: &kept{}, over: func(t *tree) DataModel { return withLegacyTree{t} }}
	r.tree.model = NewModel(append(treeModel.Objects(), &ObjectDef{Path: LegacyRoot},
		&ObjectDef{Path: LegacyRoot + "IGD.", Params: []ParamDef{rw("Name", TypeString)}, Commands: []CommandDef{{Name: "Go()"}}},
		&ObjectDef{Path: LegacyRoot + "IGD.Row.{i}.", Multi: true, Access: AddDelete, Params: []ParamDef{rw("Name", TypeString)}}))
	r.tree.values[LegacyRoot] = map[string]string{}
	r.tree.values[LegacyRoot+"IGD."] = map[string]string{"Name": "n"}
	r.tree.values[LegacyRoot+"IGD.Row.1."] = map[string]string{"Name": "row"}
	all := Permission{Order: 1, Targets: []string{"Device."}, Param: "rwxn", Obj: "rwxn", InstantiatedObj: "rwxn", CommandEvent: "rwxn"}
	legacy := all
	legacy.Order, legacy.Targets = 2, []string{LegacyRoot}
	none := Permission{Order: 2, Targets: []string{LegacyRoot}}
	some := Permission{Order: 2, Targets: []string{LegacyRoot + "IGD.Name"}, Param: "r--n", Obj: "r---"}
	r.roles = []Role{{Name: "expert", Permissions: []Permission{all, legacy}}, {Name: "plain", Permissions: []Permission{all}},
		{Name: "shut", Permissions: []Permission{all, none}}, {Name: "reader", Permissions: []Permission{some}}}
	r.controllers = []ControllerConfig{{EndpointID: ctl1, Role: role, MTP: MTPConfig{Host: "h", Port: 80, Path: "/"}}}
	r.start()
	r.connect()
	return r
}

func supportedReq(path string) *usppb.Request {
	return &usppb.Request{ReqType: &usppb.Request_GetSupportedDm{GetSupportedDm: &usppb.GetSupportedDM{ObjPaths: []string{path}, ReturnParams: true, ReturnCommands: true}}}
}

// TestLegacyIsForRolesThatNameIt: whatever else a Role allows, the CPE's own tree is there for those alone of which a Permission names it.
func TestLegacyIsForRolesThatNameIt(t *testing.T) {
	for role, want := range map[string]bool{"expert": true, "reader": true, FullAccess: false, "plain": false, "shut": false} {
		t.Run(role, func(t *testing.T) {
			r := legacyRig(t, role)
			code := func(want bool, missing string) string {
				if want {
					return legacyParam + "=n"
				}
				return missing
			}
			equal(t, r.get(legacyParam), code(want, "7026"))
			equal(t, strings.Contains(r.get("Device."), legacyParam+"=n"), want && role == "expert")
			for _, path := range []string{"Device.", LegacyRoot, legacyParam} {
				have := false
				for _, o := range r.ask(supportedReq(path)).GetResponse().GetGetSupportedDmResp().GetReqObjResults()[0].GetSupportedObjs() {
					have = have || o.GetSupportedObjPath() == LegacyRoot+"IGD." && len(o.GetSupportedParams()) == 1
				}
				equal(t, have, want && (role == "expert" || path == legacyParam))
			}
			if role != "expert" {
				before := r.tree.sets
				for _, req := range []*usppb.Request{setReq(false, obj{LegacyRoot + "IGD.", []param{req("Name", "x")}}), addReq(false, obj{LegacyRoot + "IGD.Row.", nil}),
					delReq(false, LegacyRoot+"IGD.Row.1."), getReq(LegacyRoot + `IGD.Row.[Name=="row"].`), getReq(LegacyRoot + "IGD.Row.*.Name")} {
					body := r.ask(req)
					if got := body.GetResponse().GetGetResp().GetReqPathResults(); body.GetError() == nil && (len(got) == 0 || len(got[0].GetResolvedPathResults()) > 0) {
						t.Errorf("%v: %v", req, body)
					}
				}
				equal(t, r.tree.sets, before)
				equal(t, len(r.tree.values), len(newTree().values)+3)
				return
			}
			if body := r.ask(setReq(false, obj{LegacyRoot + "IGD.", []param{req("Name", "x")}})); body.GetError() != nil {
				t.Error(body)
			}
			equal(t, r.get(legacyParam), legacyParam+"=x")
			equal(t, r.get(LegacyRoot+`IGD.Row.[Name=="row"].Name`), LegacyRoot+"IGD.Row.1.Name=row")
		})
	}
}

// TestLegacyIsToldToWhoNamesIt: its changes go to Subscriptions that name it, of Controllers that have it, and to nobody who subscribed to "Device.".
func TestLegacyIsToldToWhoNamesIt(t *testing.T) {
	for role, want := range map[string]bool{"expert": true, FullAccess: false} {
		t.Run(role, func(t *testing.T) {
			r := legacyRig(t, role)
			for _, ref := range []string{LegacyRoot, "Device."} {
				r.ask(addReq(false, obj{subscriptionTable, []param{req("Enable", "true"), req("ID", ref), req("NotifType", valueChange), req("ReferenceList", ref)}}))
			}
			if err := r.a.Raise(t.Context(), &ValueChange{Path: legacyParam, Value: "y"}); err != nil {
				t.Fatal(err)
			}
			if err := r.a.Raise(t.Context(), &ValueChange{Path: "Device.DeviceInfo.ProvisioningCode", Value: "z"}); err != nil {
				t.Fatal(err)
			}
			if want {
				equal(t, r.notify().GetBody().GetRequest().GetNotify().GetSubscriptionId(), LegacyRoot)
			}
			equal(t, r.notify().GetBody().GetRequest().GetNotify().GetValueChange().GetParamValue(), "z")
			r.silence()
		})
	}
}
