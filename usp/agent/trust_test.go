package agent

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"isthmus/usp"
	"isthmus/usp/usppb"
)

const guestID = "self::guest"

// guest is a second Controller, whose Role the first has made.
type guest struct {
	*rig
	w    *wire
	role string // the row
}

// invite makes a Role with Permissions of rising Order, and a connected Controller that has it.
func invite(r *rig, permissions ...[]param) *guest {
	r.t.Helper()
	g := &guest{rig: r, role: r.added(obj{roleTable, []param{req("Name", "guest"), req("Enable", "true")}})}
	for _, p := range permissions {
		g.allow(p...)
	}
	r.added(obj{controllerTable, []param{req("EndpointID", guestID), req("Enable", "true"), req("AssignedRole", g.role)}})
	g.w = newWire(guestID)
	r.a.Up(g.w)
	if rec := g.next(); rec.GetWebsocketConnect() == nil {
		r.t.Fatalf("first record is %v", rec)
	}
	return g
}

// on is a Permission: rights of one class for targets.
func on(targets, class, rights string) []param {
	return []param{req("Enable", "true"), req("Targets", targets), req(class, rights)}
}

// readAll reads everything; Permissions that follow are of higher Order.
func readAll() []param {
	return append(on("Device.", "Param", "r---"), req("Obj", "r---"), req("InstantiatedObj", "r---"), req("CommandEvent", "r---"))
}

func (g *guest) allow(p ...param) string {
	g.t.Helper()
	return g.added(obj{g.role + "Permission.", p})
}

func (g *guest) next() *usppb.Record {
	g.t.Helper()
	defer func(w *wire) { g.rig.w = w }(g.rig.w)
	g.rig.w = g.w
	return g.rig.next()
}

// ask sends a request as the second Controller.
func (g *guest) ask(req *usppb.Request) *usppb.Body {
	g.t.Helper()
	b, err := usp.EncodeRecord(guestID, agentID, "", usp.NewRequest(g.id(), req))
	if err != nil {
		g.t.Fatal(err)
	}
	if err := g.a.Receive(g.w, b, ""); err != nil {
		g.t.Fatal(err)
	}
	body := decode(g.t, g.next()).GetBody()
	checkCodes(g.t, req, body)
	return body
}

func (g *guest) get(path string) string {
	g.t.Helper()
	return flat(g.ask(getReq(path)).GetResponse().GetGetResp().GetReqPathResults()[0])
}

func TestTP469_2_9_UntrustedRole(t *testing.T) {
	r := newRig(t)
	c := r.added(obj{controllerTable, []param{req("EndpointID", guestID), req("Enable", "true")}})
	untrusted := strings.TrimPrefix(r.get(trustObject+"UntrustedRole"), trustObject+"UntrustedRole=")
	equal(t, untrusted, roleTable+"2")
	equal(t, r.get(c+"AssignedRole"), c+"AssignedRole="+untrusted)
	g := &guest{rig: r, w: newWire(guestID)}
	r.a.Up(g.w)
	g.next()
	equal(t, g.get("Device.DeviceInfo.ModelName"), "7026")
	wantError(t, g.ask(setReq(false, obj{"Device.DeviceInfo.", []param{req("ProvisioningCode", "x")}})), 7026, "Device.DeviceInfo. 7026")
	// The Role can be raised.
	r.ask(setReq(false, obj{c, []param{req("AssignedRole", roleTable+"1")}}))
	equal(t, g.get("Device.DeviceInfo.ModelName"), "Device.DeviceInfo.ModelName=M")
}

func TestTP469_2_10_AddRole(t *testing.T) {
	r := newRig(t)
	role := r.added(obj{roleTable, []param{req("Enable", "true"), req("Name", "Trusted")}})
	equal(t, r.get(role+"Name"), role+"Name=Trusted")
	equal(t, r.get(trustObject+"RoleNumberOfEntries"), trustObject+"RoleNumberOfEntries=3")
	wantError(t, r.ask(addReq(false, obj{roleTable, []param{req("Name", "Trusted")}})), 7004, roleTable+"{i}.Name 7025")
	// Order is one more than the highest where it is left out, and unique.
	perms := role + "Permission."
	r.added(obj{perms, []param{req("Order", "7")}})
	next := r.added(obj{perms, on("Device.", "Param", "rw-n")})
	equal(t, r.get(next+"Order"), next+"Order=8")
	wantError(t, r.ask(addReq(false, obj{perms, []param{req("Order", "7")}})), 7004, perms+"{i}.Order 7025")
	for _, p := range []param{req("Param", "rw"), req("Obj", "xxxx"), req("Targets", "Nope."), req("Targets", "Device.X.{i}.")} {
		wantError(t, r.ask(setReq(false, obj{next, []param{p}})), 7004, next+p.name+" 7012")
	}
}

func TestTP469_2_11_CreationAllowed(t *testing.T) {
	both(t, func(t *testing.T, r *rig, table string) {
		g := invite(r, readAll(), append(on(table, "Obj", "rw--"), req("Param", "r---")))
		res := g.ask(addReq(false, obj{table, nil})).GetResponse().GetAddResp().GetCreatedObjResults()
		ok := res[0].GetOperStatus().GetOperSuccess()
		if ok == nil || ok.GetUniqueKeys()["ID"] == "" || g.get(ok.GetInstantiatedPath()+"ID") == "7026" {
			t.Fatalf("%v", res)
		}
		// R-ADD.6: keys that may not be read are not given.
		g.allow(on(table+"*.ID", "Param", "----")...)
		ok = g.ask(addReq(false, obj{table, nil})).GetResponse().GetAddResp().GetCreatedObjResults()[0].GetOperStatus().GetOperSuccess()
		_, id := ok.GetUniqueKeys()["ID"]
		_, alias := ok.GetUniqueKeys()["Alias"]
		equal(t, alias && !id, true)
	})
}

func TestTP469_2_12_CreationDenied(t *testing.T) {
	both(t, func(t *testing.T, r *rig, table string) {
		g := invite(r, on(table, "Obj", "r---"))
		wantError(t, g.ask(addReq(false, obj{table, nil})), 7006, table+" 7006")
		equal(t, r.get(table), "")
		res := g.ask(addReq(true, obj{table, nil})).GetResponse().GetAddResp().GetCreatedObjResults()
		equal(t, res[0].GetOperStatus().GetOperFailure().GetErrCode(), 7006)
	})
}

func TestTP469_2_13_DeletionAllowed(t *testing.T) {
	both(t, func(t *testing.T, r *rig, table string) {
		row := r.added(obj{table, nil})
		g := invite(r, on(table, "InstantiatedObj", "rw--"))
		res := g.ask(delReq(false, strings.TrimSuffix(row, "."))).GetResponse().GetDeleteResp().GetDeletedObjResults()
		equal(t, strings.Join(res[0].GetOperStatus().GetOperSuccess().GetAffectedPaths(), " "), row)
		equal(t, r.get(row), "7026")
		// R-DEL.2: a row that may not be seen is not named.
		row = r.added(obj{table, nil})
		g.allow(on(table, "InstantiatedObj", "-w--")...)
		ok := g.ask(delReq(false, row)).GetResponse().GetDeleteResp().GetDeletedObjResults()[0].GetOperStatus().GetOperSuccess()
		equal(t, ok != nil && len(ok.GetAffectedPaths()) == 0, true)
		equal(t, r.get(row), "7026")
	})
}

func TestTP469_2_14_DeletionDenied(t *testing.T) {
	both(t, func(t *testing.T, r *rig, table string) {
		one, two := r.added(obj{table, nil}), r.added(obj{table, nil})
		g := invite(r, on(table, "InstantiatedObj", "r---"), on(two, "InstantiatedObj", "rw--"))
		wantError(t, g.ask(delReq(false, two, one)), 7006, one+" 7006")
		equal(t, r.get(two+"ID") != "7026", true)
		res := g.ask(delReq(true, one, table+"*.")).GetResponse().GetDeleteResp().GetDeletedObjResults()
		equal(t, res[0].GetOperStatus().GetOperFailure().GetErrCode(), 7006)
		ok := res[1].GetOperStatus().GetOperSuccess()
		equal(t, strings.Join(ok.GetAffectedPaths(), " "), two)
		equal(t, ok.GetUnaffectedPathErrs()[0].GetUnaffectedPath(), one)
		equal(t, ok.GetUnaffectedPathErrs()[0].GetErrCode(), 7006)
		equal(t, r.get(one+"ID") != "7026", true)
	})
}

func TestTP469_2_15_UpdateAllowed(t *testing.T) {
	both(t, func(t *testing.T, r *rig, table string) {
		row := r.added(obj{table, nil})
		g := invite(r, on(table, "Param", "rw--"))
		b := g.ask(setReq(false, obj{row, []param{req("NotifExpiration", "5")}}))
		ok := b.GetResponse().GetSetResp().GetUpdatedObjResults()[0].GetOperStatus().GetOperSuccess()
		equal(t, ok.GetUpdatedInstResults()[0].GetUpdatedParams()["NotifExpiration"], "5")
		// R-SET.3: what may not be read is not echoed, but written.
		g.allow(on(table, "Param", "-w--")...)
		b = g.ask(setReq(false, obj{row, []param{req("NotifExpiration", "6")}}))
		ok = b.GetResponse().GetSetResp().GetUpdatedObjResults()[0].GetOperStatus().GetOperSuccess()
		equal(t, ok != nil && len(ok.GetUpdatedInstResults()[0].GetUpdatedParams()) == 0, true)
		equal(t, r.get(row+"NotifExpiration"), row+"NotifExpiration=6")
	})
}

func TestTP469_2_16_UpdateDenied(t *testing.T) {
	both(t, func(t *testing.T, r *rig, table string) {
		row := r.added(obj{table, []param{req("NotifExpiration", "1")}})
		g := invite(r, on(table, "Param", "r---"), on(table+"*.Enable", "Param", "rw--"))
		wantError(t, g.ask(setReq(false, obj{row, []param{req("NotifExpiration", "5"), req("Enable", "true")}})), 7006, row+"NotifExpiration 7006")
		equal(t, r.get(row+"Enable")+r.get(row+"NotifExpiration"), row+"Enable=false"+row+"NotifExpiration=1")
		// one that is not required fails alone; a parameter that there is not stays 7010
		b := g.ask(setReq(false, obj{row, []param{opt("NotifExpiration", "5"), opt("Enable", "true"), opt("Nope", "1")}}))
		in := b.GetResponse().GetSetResp().GetUpdatedObjResults()[0].GetOperStatus().GetOperSuccess().GetUpdatedInstResults()[0]
		equal(t, len(in.GetUpdatedParams()), 1)
		equal(t, in.GetParamErrs()[0].GetErrCode(), 7006)
		equal(t, in.GetParamErrs()[1].GetErrCode(), 7010)
		b = g.ask(setReq(true, obj{row, []param{req("NotifExpiration", "5")}}))
		f := b.GetResponse().GetSetResp().GetUpdatedObjResults()[0].GetOperStatus().GetOperFailure()
		equal(t, f.GetUpdatedInstFailures()[0].GetParamErrs()[0].GetErrCode(), 7006)
	})
}

func TestTP469_2_17_OperationAllowed(t *testing.T) {
	r := newRig(t)
	g := invite(r, on("Device.Reboot()", "CommandEvent", "r-x-"))
	res := g.ask(operateReq("Device.Reboot()", "", true)).GetResponse().GetOperateResp().GetOperationResults()
	equal(t, res[0].GetReqOutputArgs() != nil && len(r.tree.ran) == 1, true)
}

func TestTP469_2_18_OperationDenied(t *testing.T) {
	r := newRig(t)
	g := invite(r, on("Device.", "CommandEvent", "r-x-"), on("Device.Reboot()", "CommandEvent", "r---"),
		on(controllerTable+"1.", "CommandEvent", "----"))
	res := g.ask(operateReq("Device.Reboot()", "", true)).GetResponse().GetOperateResp().GetOperationResults()
	equal(t, res[0].GetCmdFailure().GetErrCode(), 7006)
	// What may not even be known of is not there: in one row, and at all.
	wantError(t, g.ask(operateReq(controllerTable+"1.SendOnBoardRequest()", "", true)), 7016)
	wantError(t, g.ask(operateReq(controllerTable+"99.SendOnBoardRequest()", "", true)), 7016)
	g.allow(on("Device.", "CommandEvent", "----")...)
	wantError(t, g.ask(operateReq("Device.Reboot()", "", true)), 7026)
	equal(t, len(r.tree.ran), 0)
	r.silence()
}

// subscribe makes a Subscription of the guest.
func (g *guest) subscribe(kind, reference string) {
	g.t.Helper()
	res := g.ask(addReq(false, obj{subscriptionTable, []param{req("Enable", "true"), req("NotifType", kind), req("ReferenceList", reference)}})).
		GetResponse().GetAddResp().GetCreatedObjResults()
	if len(res) != 1 || res[0].GetOperStatus().GetOperSuccess() == nil {
		g.t.Fatalf("%v", res)
	}
}

// subscriber may subscribe, and read.
func subscriber() []param {
	return append(on(subscriptionTable, "Param", "rw--"), req("Obj", "rw--"))
}

func (g *guest) notified() *usppb.Notify {
	g.t.Helper()
	return decode(g.t, g.next()).GetBody().GetRequest().GetNotify()
}

func TestTP469_2_19_ValueChangeAllowed(t *testing.T) {
	r := newRig(t)
	g := invite(r, subscriber(), on("Device.DeviceInfo.ProvisioningCode", "Param", "r--n"))
	g.subscribe("ValueChange", "Device.DeviceInfo.ProvisioningCode")
	r.ask(setReq(false, obj{"Device.DeviceInfo.", []param{req("ProvisioningCode", "new")}}))
	equal(t, g.notified().GetValueChange().GetParamValue(), "new")
}

// 2.20: the Subscription is accepted, and what it asks for withheld when it would be sent, of every kind.
func TestTP469_2_20_NotificationsDenied(t *testing.T) {
	r := newRig(t)
	r.tree.raise = nil
	g := invite(r, on("Device.", "Param", "r--n"), subscriber())
	own := g.allow(on("Device.X.", "Param", "r---")...)
	for kind, ref := range map[string]string{"ValueChange": "Device.X.Row.1.ID", "ObjectCreation": rowTable, "ObjectDeletion": rowTable,
		"Event": "Device.Boot!", "OperationComplete": rowTable + "1.Test()"} {
		g.subscribe(kind, ref)
	}
	g.subscribe("ValueChange", "Device.DeviceInfo.")
	happen := func() {
		t.Helper()
		if err := r.a.Raise(t.Context(), &ValueChange{Path: "Device.X.Row.1.ID", Value: "v"}, &ObjectCreation{Path: rowTable + "1.", Keys: map[string]string{"ID": "a", "Alias": "b"}},
			&ObjectDeletion{rowTable + "1."}, &Event{"Device.", "Boot!", nil}, &OperationComplete{Object: rowTable + "1.", Command: "Test()"},
			&ValueChange{Path: "Device.DeviceInfo.ModelName", Value: "last"}); err != nil {
			t.Fatal(err)
		}
	}
	happen()
	equal(t, g.notified().GetValueChange().GetParamValue(), "last") // in order: nothing came before
	r.unload()
	equal(t, r.keep.count(NotificationRecord), 0)

	// The same with the rights to hear of it.
	r.ask(setReq(false, obj{own, []param{req("Param", "r--n"), req("Obj", "r--n"), req("InstantiatedObj", "r--n"), req("CommandEvent", "r--n")}}))
	g.allow(on("Device.Boot!", "CommandEvent", "---n")...)
	g.allow(on(rowTable+"*.ID", "Param", "---n")...)
	happen()
	equal(t, g.notified().GetValueChange().GetParamValue(), "v")
	equal(t, strings.Join(slices.Collect(maps.Keys(g.notified().GetObjCreation().GetUniqueKeys())), " "), "Alias")
	equal(t, g.notified().GetObjDeletion() != nil, true)
	equal(t, g.notified().GetEvent() != nil, true)
	equal(t, g.notified().GetOperComplete() != nil, true)
	equal(t, g.notified().GetValueChange().GetParamValue(), "last")
}

// A notification that waits when the right is taken away is not sent.
func TestNotificationIsCheckedWhenItIsSent(t *testing.T) {
	r := newRig(t)
	g := invite(r, subscriber(), on("Device.DeviceInfo.", "Param", "r--n"))
	g.subscribe("ValueChange", "Device.DeviceInfo.")
	r.a.Down(g.w, nil)
	if err := r.a.Raise(t.Context(), &ValueChange{Path: "Device.DeviceInfo.ModelName", Value: "early"}); err != nil {
		t.Fatal(err)
	}
	denied := g.allow(on("Device.DeviceInfo.", "Param", "r---")...)
	g.w = newWire(guestID)
	r.a.Up(g.w)
	g.next()
	r.unload() // nothing waits any more
	r.ask(setReq(false, obj{denied, []param{req("Enable", "false")}}))
	if err := r.a.Raise(t.Context(), &ValueChange{Path: "Device.DeviceInfo.ModelName", Value: "late"}); err != nil {
		t.Fatal(err)
	}
	equal(t, g.notified().GetValueChange().GetParamValue(), "late")
}

func TestTP469_2_21_OverlappingPermissions(t *testing.T) {
	both(t, func(t *testing.T, r *rig, table string) {
		one, two := r.added(obj{table, []param{req("ID", "a")}}), r.added(obj{table, []param{req("ID", "b")}})
		g := invite(r, readAll())
		denied := g.allow(on(two, "Param", "----")...)
		equal(t, g.get(table+"*.ID"), one+"ID=a")
		equal(t, strings.Contains(g.get(table), two), false) // the row vanishes, it does not show empty
		equal(t, g.get(two), "7026")
		equal(t, g.get(two+"ID"), "7026")
		equal(t, g.get(table+`[ID=="b"].Enable`), "") // nor does a search find it
		// With a lower Order than the other it says nothing.
		r.ask(setReq(false, obj{denied, []param{req("Order", "0")}}))
		equal(t, g.get(table+"*.ID"), one+"ID=a\n"+two+"ID=b")
	})
}

func TestTP469_2_22_UnreadableParameter(t *testing.T) {
	both(t, func(t *testing.T, r *rig, table string) {
		row := r.added(obj{table, []param{req("ID", "a")}})
		g := invite(r, readAll(), on(row+"ID", "Param", "----"))
		equal(t, strings.Contains(g.get(row), row+"ID="), false)
		equal(t, strings.Contains(g.get(row), row+"Enable="), true)
		equal(t, g.get(row+"ID"), "7026")
		inst := g.ask(&usppb.Request{ReqType: &usppb.Request_GetInstances{GetInstances: &usppb.GetInstances{ObjPaths: []string{table}}}}).
			GetResponse().GetGetInstancesResp().GetReqPathResults()[0].GetCurrInsts()
		equal(t, inst[0].GetInstantiatedObjPath(), row)
		_, has := inst[0].GetUniqueKeys()["ID"]
		equal(t, has, false)
	})
}

// 2.23 and 2.24: an Add that a search spreads over two tables, one of which may not be added to.
func TestTP469_2_23_AddOneDenied(t *testing.T) {
	search := controllerTable + "*.BootParameter."
	add := obj{search, []param{req("ParameterName", "Device.DeviceInfo.SerialNumber")}}
	r := newRig(t)
	g := invite(r, append(on(controllerTable, "Param", "rw--"), req("Obj", "rw--"), req("InstantiatedObj", "r---")),
		append(on(controllerTable+"1.BootParameter.,"+controllerTable+"3.BootParameter.", "Param", "rw--"), req("Obj", "r---")))
	res := g.ask(addReq(true, add)).GetResponse().GetAddResp().GetCreatedObjResults()
	var made, failed []string
	for _, c := range res {
		equal(t, c.GetRequestedPath(), search)
		if f := c.GetOperStatus().GetOperFailure(); f != nil {
			failed = append(failed, c.GetRequestedPath())
			equal(t, f.GetErrCode(), 7006)
			continue
		}
		made = append(made, c.GetOperStatus().GetOperSuccess().GetInstantiatedPath())
	}
	equal(t, strings.Join(made, " "), controllerTable+"2.BootParameter.1.")
	equal(t, len(failed), 2)
}

func TestTP469_2_24_AddOneDeniedNotPartial(t *testing.T) {
	r := newRig(t)
	g := invite(r, append(on(controllerTable, "Param", "rw--"), req("Obj", "rw--")), on(controllerTable+"1.BootParameter.", "Obj", "r---"))
	b := g.ask(addReq(false, obj{controllerTable + "*.BootParameter.", []param{req("ParameterName", "Device.DeviceInfo.SerialNumber")}}))
	wantError(t, b, 7006, controllerTable+"1.BootParameter. 7006") // the table in the row that must not have it
	equal(t, r.get(controllerTable+"*.BootParameter.*.ParameterName"), "")
}

func TestTP469_2_25_UnwritableOmitted(t *testing.T) {
	both(t, func(t *testing.T, r *rig, table string) {
		g := invite(r, append(on(table, "Param", "rw--"), req("Obj", "rw--")), on(table+"*.NotifExpiration", "Param", "r---"))
		res := g.ask(addReq(false, obj{table, []param{req("ID", "a"), req("Enable", "true")}})).GetResponse().GetAddResp().GetCreatedObjResults()
		ok := res[0].GetOperStatus().GetOperSuccess()
		if ok == nil || len(ok.GetParamErrs()) != 0 {
			t.Fatalf("%v", res)
		}
		equal(t, g.get(ok.GetInstantiatedPath()+"NotifExpiration"), ok.GetInstantiatedPath()+"NotifExpiration=0")
	})
}

func TestTP469_2_26_UnwritableRequired(t *testing.T) {
	both(t, func(t *testing.T, r *rig, table string) {
		g := invite(r, append(on(table, "Param", "rw--"), req("Obj", "rw--")), on(table+"*.NotifExpiration", "Param", "r---"))
		res := g.ask(addReq(true, obj{table, []param{req("ID", "a"), req("NotifExpiration", "9")}})).GetResponse().GetAddResp().GetCreatedObjResults()
		equal(t, res[0].GetOperStatus().GetOperFailure().GetErrCode(), 7006)
		wantError(t, g.ask(addReq(false, obj{table, []param{req("NotifExpiration", "9")}})), 7006, table+" 7006")
		equal(t, r.get(table), "")
		res = g.ask(addReq(false, obj{table, []param{req("ID", "a"), opt("NotifExpiration", "9")}})).GetResponse().GetAddResp().GetCreatedObjResults()
		ok := res[0].GetOperStatus().GetOperSuccess()
		equal(t, ok.GetParamErrs()[0].GetParam(), "NotifExpiration")
		equal(t, ok.GetParamErrs()[0].GetErrCode(), 7006)
		equal(t, r.get(ok.GetInstantiatedPath()+"NotifExpiration"), ok.GetInstantiatedPath()+"NotifExpiration=0")
	})
}

// discreet is a CPE whose ProvisioningCode is secured.
type discreet struct{ *tree }

func (discreet) Secured(object, name string) bool {
	return object+name == "Device.DeviceInfo.ProvisioningCode"
}

func TestTP469_2_27_SecuredRoles(t *testing.T) {
	r := &rig{t: t, tree: newTree(), keep: &kept{}, over: func(t *tree) DataModel { return discreet{t} },
		controllers: []ControllerConfig{{EndpointID: ctl1}, {EndpointID: ctl2}}}
	r.start()
	r.connect()
	const code = "Device.DeviceInfo.ProvisioningCode"
	r.ask(setReq(false, obj{"Device.DeviceInfo.", []param{req("ProvisioningCode", "secret")}}))
	r.added(obj{subscriptionTable, []param{req("Enable", "true"), req("NotifType", "ValueChange"), req("ReferenceList", "Device.DeviceInfo.")}})
	for _, path := range []string{code, "Device.DeviceInfo."} {
		equal(t, strings.Contains(r.get(path), code+"=") && !strings.Contains(r.get(path), "secret"), true)
	}
	equal(t, r.get("Device.DeviceInfo.ModelName"), "Device.DeviceInfo.ModelName=M")
	r.ask(setReq(false, obj{"Device.DeviceInfo.", []param{req("ProvisioningCode", "hidden")}}))
	equal(t, r.notify().GetBody().GetRequest().GetNotify().GetValueChange().GetParamValue(), "")
	b := r.a.Do(t.Context(), "self::isthmus", mustRequest(r, getReq(code)))
	equal(t, flat(b.GetBody().GetResponse().GetGetResp().GetReqPathResults()[0]), code+"=")

	r.ask(setReq(false, obj{trustObject, []param{req("SecuredRoles", roleTable+`[Name=="full_access"]`)}}))
	equal(t, r.get(trustObject+"SecuredRoles"), trustObject+"SecuredRoles="+roleTable+"1")
	equal(t, r.get(code), code+"=hidden")
	equal(t, r.tree.values["Device.DeviceInfo."]["ProvisioningCode"], "hidden")
	wantError(t, r.ask(setReq(false, obj{trustObject, []param{req("SecuredRoles", roleTable+"9")}})), 7004, trustObject+"SecuredRoles 7012")
}

// What a Role may not read is not in the supported data model either (R-GSP.0), nor among the instances (R-GIN.0).
func TestWhatARoleMayKnow(t *testing.T) {
	r := newRig(t)
	one, two := r.added(obj{rowTable, nil}), r.added(obj{rowTable, nil})
	g := invite(r, append(on("Device.X.", "Param", "r---"), req("Obj", "r---"), req("InstantiatedObj", "r---"), req("CommandEvent", "r---")),
		on(rowTable+"*.ID,"+rowTable+"*.Test()", "Param", "----"), append(on(two, "InstantiatedObj", "----"), req("Param", "r---")))
	ask := func(path string) *usppb.GetSupportedDMResp_RequestedObjectResult {
		t.Helper()
		m := &usppb.GetSupportedDM{ObjPaths: []string{path}, ReturnParams: true, ReturnCommands: true, ReturnEvents: true}
		return g.ask(&usppb.Request{ReqType: &usppb.Request_GetSupportedDm{GetSupportedDm: m}}).GetResponse().GetGetSupportedDmResp().GetReqObjResults()[0]
	}
	var paths []string
	for _, o := range ask("Device.").GetSupportedObjs() {
		paths = append(paths, o.GetSupportedObjPath())
	}
	equal(t, strings.Join(paths, " "), "Device.X. Device.X.Fixed.{i}. Device.X.Row.{i}. Device.X.Row.{i}.Leaf.{i}. Device.X.Row.{i}.Sub.")
	equal(t, len(ask(rowTable).GetSupportedObjs()[0].GetSupportedCommands()), 0)
	for path, code := range map[string]uint32{"Device.DeviceInfo.": 7026, "Device.DeviceInfo.ModelName": 7026, "Device.LocalAgent.": 7026, "Device.Reboot()": 7026,
		rowTable + "{i}.Test()": 7026, rowTable + "{i}.Enable": 0, rowTable + "{i}.ID": 0} { // ID may be read in one row
		equal(t, ask(path).GetErrCode(), code)
	}
	inst := g.ask(&usppb.Request{ReqType: &usppb.Request_GetInstances{GetInstances: &usppb.GetInstances{ObjPaths: []string{rowTable, two, one}}}}).
		GetResponse().GetGetInstancesResp().GetReqPathResults()
	equal(t, len(inst[0].GetCurrInsts()), 1)
	equal(t, inst[0].GetCurrInsts()[0].GetInstantiatedObjPath(), one)
	equal(t, inst[1].GetErrCode(), 7016)
	equal(t, len(inst[2].GetCurrInsts()), 1)
	equal(t, g.get("Device.DeviceInfo."), "7026")
	equal(t, g.get("Device.Reboot()"), "7026")
	reads := r.tree.reads
	equal(t, g.get("Device.DeviceInfo.ModelName"), "7026")
	equal(t, r.tree.reads, reads) // the CPE is not asked in vain
}
