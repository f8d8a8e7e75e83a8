package agent

import (
	"strings"
	"testing"

	"isthmus/usp"
	"isthmus/usp/usppb"
)

func instancesReq(paths ...string) *usppb.Request {
	return &usppb.Request{ReqType: &usppb.Request_GetInstances{GetInstances: &usppb.GetInstances{ObjPaths: paths}}}
}

// What a Controller may not know of is to it as if it were not there: it gets the same codes, and the same texts but for the path, where it writes.
func TestWhatIsHiddenIsNotThere(t *testing.T) {
	both(t, func(t *testing.T, r *rig, table string) {
		shown, hidden := r.added(obj{table, []param{req("ID", "a")}}), r.added(obj{table, []param{req("ID", "b")}})
		gone := table + "99."
		g := invite(r, readAll(), append(on(shown, "Param", "rw--"), req("InstantiatedObj", "r---")),
			append(on(hidden, "Param", "----"), req("Obj", "----"), req("InstantiatedObj", "----"), req("CommandEvent", "----")))
		for _, request := range []func(row string) *usppb.Request{
			func(row string) *usppb.Request { return getReq(row, row+"ID", row+"Sub.", row+"Nope") },
			func(row string) *usppb.Request { return instancesReq(row) },
			func(row string) *usppb.Request { return setReq(false, obj{row, []param{req("NotifExpiration", "5")}}) },
			func(row string) *usppb.Request { return setReq(true, obj{row, []param{req("NotifExpiration", "5")}}) },
			func(row string) *usppb.Request { return delReq(false, row) },
			func(row string) *usppb.Request { return delReq(true, row) },
			func(row string) *usppb.Request { return operateReq(row+"Test()", "", true) },
			func(row string) *usppb.Request { return addReq(false, obj{row + "Leaf.", nil}) },
			func(row string) *usppb.Request { return addReq(true, obj{row + "Leaf.", nil}) },
		} {
			got, want := g.ask(request(hidden)).String(), g.ask(request(gone)).String()
			equal(t, strings.ReplaceAll(got, hidden, gone), want)
		}
		equal(t, r.get(hidden+"NotifExpiration"), hidden+"NotifExpiration=0")
		// A search does not come across it, so it does not fail because of it (R-SET.2a).
		b := g.ask(setReq(false, obj{table + "*.", []param{req("NotifExpiration", "5")}}))
		ok := b.GetResponse().GetSetResp().GetUpdatedObjResults()[0].GetOperStatus().GetOperSuccess()
		equal(t, len(ok.GetUpdatedInstResults()), 1)
		equal(t, ok.GetUpdatedInstResults()[0].GetAffectedPath(), shown)
		equal(t, g.get(table+`*.ID`), shown+"ID=a")
		b = g.ask(delReq(false, table+"*."))
		wantError(t, b, 7006, shown+" 7006") // seen, and not to be deleted
	})
}

// A parameter that may be neither read nor written is 7010, one that may be read 7006.
func TestWriteOfWhatMayBeRead(t *testing.T) {
	both(t, func(t *testing.T, r *rig, table string) {
		row := r.added(obj{table, nil})
		g := invite(r, append(on(table, "Param", "rw--"), req("Obj", "rw--")), on(table+"*.ID", "Param", "----"), on(table+"*.NotifType", "Param", "r---"))
		set := func(name string) *usppb.Body { return g.ask(setReq(false, obj{row, []param{req(name, "Event")}})) }
		wantError(t, set("ID"), 7004, row+"ID 7010")
		wantError(t, set("Nope"), 7004, row+"Nope 7010")
		equal(t, strings.ReplaceAll(set("ID").String(), "ID", "Nope"), set("Nope").String())
		wantError(t, set("NotifType"), 7006, row+"NotifType 7006")
		add := func(name string) *usppb.Body { return g.ask(addReq(false, obj{table, []param{req(name, "Event")}})) }
		wantError(t, add("ID"), 7004, table+"{i}.ID 7010")
		wantError(t, add("NotifType"), 7006, table+" 7006")
	})
}

// R-GET.1: an object that may not be read does not show, even with parameters that may be; those are there by their own paths.
func TestGetNeedsReadOfTheObject(t *testing.T) {
	r := newRig(t)
	g := invite(r, on("Device.DeviceInfo.", "Param", "r---"))
	equal(t, g.get("Device.DeviceInfo."), "7026")
	equal(t, g.get("Device."), "7026")
	equal(t, g.get("Device.DeviceInfo.ModelName"), "Device.DeviceInfo.ModelName=M")
	g.allow(append(on("Device.DeviceInfo.", "Obj", "r---"), req("Param", "r---"))...)
	equal(t, strings.Contains(g.get("Device.DeviceInfo."), "ModelName=M"), true)
}

// R-DEL.2, R-DEL.4: rows that GetInstances would not show are not named in the answer to a Delete.
func TestDeleteNamesNoHiddenRow(t *testing.T) {
	r := newRig(t)
	one, two := r.added(obj{rowTable, nil}), r.added(obj{rowTable, nil})
	g := invite(r, readAll(), on(one, "InstantiatedObj", "-w--"), append(on(two, "InstantiatedObj", "----"), req("Param", "r---")))
	ok := g.ask(delReq(true, rowTable+"*.")).GetResponse().GetDeleteResp().GetDeletedObjResults()[0].GetOperStatus().GetOperSuccess()
	equal(t, ok != nil && len(ok.GetAffectedPaths())+len(ok.GetUnaffectedPathErrs()) == 0, true)
	equal(t, r.get(one) == "7026" && r.get(two) != "7026", true)
}

// R-GIN.0: what lies in a row that may not be listed is not listed, unless the Controller has named the row itself.
func TestRowsInHiddenRows(t *testing.T) {
	r := newRig(t)
	one := r.added(obj{rowTable, nil})
	leaf := r.added(obj{one + "Leaf.", nil})
	g := invite(r, readAll(), on(one, "InstantiatedObj", "----"), on(one+"Leaf.", "InstantiatedObj", "r---"))
	listed := func(path string) (out []string) {
		for _, c := range g.ask(instancesReq(path)).GetResponse().GetGetInstancesResp().GetReqPathResults()[0].GetCurrInsts() {
			out = append(out, c.GetInstantiatedObjPath())
		}
		return out
	}
	equal(t, len(listed(rowTable)), 0)
	equal(t, len(listed(rowTable+"*.Leaf.")), 0)
	equal(t, strings.Join(listed(one+"Leaf."), " "), leaf)
}

// A Subscription must not tell by its search what its Recipient may not read.
func TestSearchInReferenceListSeesWhatItsRecipientSees(t *testing.T) {
	r := newRig(t)
	row := r.added(obj{rowTable, []param{req("ID", "secret")}})
	g := invite(r, append(readAll(), req("Param", "r--n")), subscriber())
	denied := g.allow(on(rowTable+"*.ID", "Param", "----")...)
	g.subscribe("ValueChange", rowTable+`[ID=="secret"].Enable`)
	g.subscribe("ValueChange", "Device.DeviceInfo.ProvisioningCode")
	set := func(v string) {
		t.Helper()
		if err := r.a.Raise(t.Context(), &ValueChange{Path: row + "Enable", Value: v}, &ValueChange{Path: "Device.DeviceInfo.ProvisioningCode", Value: v}); err != nil {
			t.Fatal(err)
		}
	}
	set("true")
	equal(t, g.notified().GetValueChange().GetParamPath(), "Device.DeviceInfo.ProvisioningCode")
	r.ask(setReq(false, obj{denied, []param{req("Enable", "false")}}))
	set("false")
	equal(t, g.notified().GetValueChange().GetParamPath(), row+"Enable")
}

// A Permission whose search cannot be decided, since the CPE does not tell, allows nothing of what it might find; what is the Agent's own is not
// affected.
func TestUndecidedSearchDenies(t *testing.T) {
	r := newRig(t)
	row := r.added(obj{rowTable, []param{req("ID", "a")}})
	g := invite(r, readAll(), on(rowTable+`[Mode=="B"].`, "Param", "----"))
	equal(t, g.get(row+"ID"), row+"ID=a")
	delete(r.tree.values[row], "Mode")
	equal(t, g.get(row+"ID"), "7026")
	equal(t, strings.HasPrefix(g.get(ownRoot+"EndpointID"), ownRoot), true)
	r.tree.values[row]["Mode"] = "B"
	equal(t, g.get(row+"ID"), "7026")
}

// A Controller without any Role, as stores of earlier versions have them, has the untrusted one; one of the configuration has what that says.
func TestControllerWithoutRole(t *testing.T) {
	keep := &kept{records: map[string]Record{
		"a": {RowRecord, "LocalAgent.Controller.1.", []byte(`{"EndpointID":"` + ctl1 + `",".fleet":"1","ProvisioningCode":"kept"}`)},
		"b": {RowRecord, "LocalAgent.Controller.7.", []byte(`{"EndpointID":"self::added","Enable":"true","Alias":"cpe-7"}`)}}}
	a := roled(t, keep, reader("reader", "r---"))
	equal(t, may(t, a, ctl1, mayWrite), true)
	equal(t, read(t, a, controllerTable+"1.ProvisioningCode"), controllerTable+"1.ProvisioningCode=kept")
	equal(t, may(t, a, ctl2, mayRead) && !may(t, a, ctl2, mayWrite), true)
	equal(t, may(t, a, "self::added", mayRead), false)
	a = roled(t, keep, reader(Untrusted, "r---"))
	equal(t, may(t, a, "self::added", mayRead) && !may(t, a, "self::added", mayWrite), true)
}

// Whatever Controllers make of the Roles, the operator, who is in no table, may do everything.
func TestOperatorCannotBeLockedOut(t *testing.T) {
	r := newRig(t)
	// TP-469 2.25 gives a Permission the Order 1 in the Role that its Controller has.
	all := append(on("Device.", "Param", "----"), req("Obj", "----"), req("InstantiatedObj", "----"), req("CommandEvent", "----"), req("Order", "1"))
	denied := r.added(obj{roleTable + "1.Permission.", all})
	equal(t, r.get("Device.DeviceInfo.ModelName"), "7026")
	wantError(t, r.ask(delReq(false, denied)), 7004, denied+" 7026")
	for _, request := range []*usppb.Request{delReq(false, denied), setReq(false, obj{"Device.DeviceInfo.", []param{req("ProvisioningCode", "x")}})} {
		if b := r.a.Do(t.Context(), "self::isthmus", usp.NewRequest("1", request)).GetBody(); b.GetError() != nil {
			t.Fatal(b)
		}
	}
	equal(t, r.get("Device.DeviceInfo.ModelName"), "Device.DeviceInfo.ModelName=M")
}

// A setting of a new row cannot be in a table below it, any more than one of a row that is there.
func TestAddDoesNotEnterTables(t *testing.T) {
	r := newRig(t)
	wantError(t, r.ask(addReq(false, obj{rowTable, []param{req("Leaf.1.Name", "x")}})), 7004, rowTable+"{i}.Leaf.1.Name 7010")
}
