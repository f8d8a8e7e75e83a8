package agent

import (
	"strings"
	"testing"

	"isthmus/usp"
	"isthmus/usp/usppb"
)

// both runs a case of TP-469 chapter 1 over the Agent's own Subscription table and over the same columns on the CPE.
func both(t *testing.T, run func(t *testing.T, r *rig, table string)) {
	for name, table := range map[string]string{"own": subscriptionTable, "cpe": rowTable} {
		t.Run(name, func(t *testing.T) { run(t, newRig(t), table) })
	}
}

func TestTP469_1_1_AddAndGet(t *testing.T) {
	both(t, func(t *testing.T, r *rig, table string) {
		for _, partial := range []bool{false, true} { // 1.1, 1.2
			id := map[bool]string{false: "a", true: "b"}[partial]
			b := r.ask(addReq(partial, obj{table, []param{req("ID", id), req("Enable", "true"), req("NotifExpiration", "7")}}))
			ok := b.GetResponse().GetAddResp().GetCreatedObjResults()[0].GetOperStatus().GetOperSuccess()
			if ok == nil || len(ok.GetParamErrs()) != 0 || ok.GetUniqueKeys()["ID"] != id || ok.GetUniqueKeys()["Alias"] == "" {
				t.Fatalf("%v", b)
			}
			equal(t, r.get(ok.GetInstantiatedPath()+"NotifExpiration"), ok.GetInstantiatedPath()+"NotifExpiration=7")
		}
	})
}

func TestTP469_1_3_AddRequiredFails(t *testing.T) {
	both(t, func(t *testing.T, r *rig, table string) {
		b := r.ask(addReq(false, obj{table, []param{req("ID", "a"), req("Enable", "maybe")}}))
		wantError(t, b, 7004, table+"{i}.Enable 7011")
		equal(t, r.get(table), "")
		// 1.6, 1.7: the first object is not left behind
		b = r.ask(addReq(false, obj{table, []param{req("ID", "a")}}, obj{"Device.Nope.", nil}))
		wantError(t, b, 7004, "Device.Nope. 7026")
		b = r.ask(addReq(false, obj{table, []param{req("ID", "a")}}, obj{table, []param{req("ID", "a")}}))
		if b.GetError().GetErrCode() != 7004 || b.GetError().GetParamErrs()[0].GetErrCode() != 7025 {
			t.Fatal(b)
		}
		equal(t, r.get(table), "")
		// 1.4
		wantError(t, r.ask(addReq(false, obj{"Device.LocalAgent.Nope.", nil})), 7004, "Device.LocalAgent.Nope. 7026")
	})
}

func TestTP469_1_8_AddPartial(t *testing.T) {
	both(t, func(t *testing.T, r *rig, table string) {
		b := r.ask(addReq(true, obj{table, []param{req("ID", "a"), opt("Enable", "x"), opt("Nope", "1"), opt("Recipient", "z")}},
			obj{table, []param{req("ID", "a")}}, obj{table, []param{req("Enable", "x")}}, obj{table, []param{opt("Alias", "1x"), opt("ID", "c")}}))
		res := b.GetResponse().GetAddResp().GetCreatedObjResults()
		var errs []uint32
		for _, e := range res[0].GetOperStatus().GetOperSuccess().GetParamErrs() {
			errs = append(errs, e.GetErrCode())
		}
		if len(errs) != 3 || errs[0] != 7011 || errs[1] != 7010 || errs[2] != 7013 {
			t.Fatalf("%v", b)
		}
		equal(t, res[1].GetOperStatus().GetOperFailure().GetErrCode(), 7025)
		equal(t, res[2].GetOperStatus().GetOperFailure().GetErrCode(), 7011)
		if table == subscriptionTable { // 1.88; for the CPE's tables the DataModel decides
			equal(t, res[3].GetOperStatus().GetOperFailure().GetErrCode(), 7012)
		}
	})
}

func TestTP469_1_10_AddBySearch(t *testing.T) {
	r := newRig(t)
	r.added(obj{`Device.LocalAgent.Controller.[EndpointID=="self::ctl-1"&&Alias=="cpe-1"].BootParameter.`, []param{req("ParameterName", "Device.DeviceInfo.SerialNumber")}})
	// 1.95
	b := r.ask(addReq(false, obj{"Device.LocalAgent.Controller.[Enable==true].BootParameter.", []param{req("ParameterName", "Device.X.")}}))
	res := b.GetResponse().GetAddResp().GetCreatedObjResults()
	equal(t, len(res), 2)
	equal(t, res[0].GetOperStatus().GetOperSuccess().GetInstantiatedPath(), "Device.LocalAgent.Controller.1.BootParameter.2.")
	equal(t, res[1].GetOperStatus().GetOperSuccess().GetInstantiatedPath(), "Device.LocalAgent.Controller.2.BootParameter.1.")
	// R-ADD.2a: all or nothing
	b = r.ask(addReq(false, obj{"Device.LocalAgent.Controller.*.BootParameter.", []param{req("ParameterName", "Device.DeviceInfo.SerialNumber")}}))
	equal(t, b.GetError().GetErrCode(), 7004)
	equal(t, r.get("Device.LocalAgent.Controller.*.BootParameterNumberOfEntries"),
		"Device.LocalAgent.Controller.1.BootParameterNumberOfEntries=2\nDevice.LocalAgent.Controller.2.BootParameterNumberOfEntries=1")
	for path, code := range map[string]uint32{"Device.DeviceInfo.": 7018, "Device.LocalAgent.Controller.1.": 7017, "Device.LocalAgent.Certificate.": 7019,
		"Device.X.Fixed.": 7019, "Device.LocalAgent.Controller.9.BootParameter.": 7016} {
		b := r.ask(addReq(true, obj{path, nil}))
		equal(t, b.GetResponse().GetAddResp().GetCreatedObjResults()[0].GetOperStatus().GetOperFailure().GetErrCode(), code)
	}
}

func TestTP469_1_11_Set(t *testing.T) {
	both(t, func(t *testing.T, r *rig, table string) {
		one := r.added(obj{table, []param{req("ID", "a"), req("NotifExpiration", "5")}})
		two := r.added(obj{table, []param{req("ID", "b")}})
		b := r.ask(setReq(false, obj{one, []param{req("Enable", "1")}}, obj{two, []param{req("NotifExpiration", "9")}})) // 1.11, 1.13
		res := b.GetResponse().GetSetResp().GetUpdatedObjResults()
		equal(t, len(res), 2)
		equal(t, res[1].GetOperStatus().GetOperSuccess().GetUpdatedInstResults()[0].GetUpdatedParams()["NotifExpiration"], "9")
		// 1.14, 1.15: the other object stays as it was
		b = r.ask(setReq(false, obj{one, []param{req("NotifExpiration", "1")}}, obj{two, []param{req("NotifExpiration", "x")}}))
		wantError(t, b, 7004, two+"NotifExpiration 7011")
		equal(t, r.get(one+"NotifExpiration"), one+"NotifExpiration=5")
		// 1.16
		b = r.ask(setReq(true, obj{one, []param{req("NotifExpiration", "6")}}, obj{two, []param{req("Nope", "x")}}))
		res = b.GetResponse().GetSetResp().GetUpdatedObjResults()
		f := res[1].GetOperStatus().GetOperFailure()
		if res[0].GetOperStatus().GetOperSuccess() == nil || f.GetErrCode() != 7021 || f.GetUpdatedInstFailures()[0].GetParamErrs()[0].GetParam() != "Nope" {
			t.Fatal(b)
		}
		// 1.17, both values of allow_partial
		for _, partial := range []bool{true, false} {
			b = r.ask(setReq(partial, obj{one, []param{opt("Enable", "z"), opt("NotifExpiration", "8")}}))
			inst := b.GetResponse().GetSetResp().GetUpdatedObjResults()[0].GetOperStatus().GetOperSuccess().GetUpdatedInstResults()[0]
			if inst.GetParamErrs()[0].GetParam() != "Enable" || inst.GetUpdatedParams()["NotifExpiration"] != "8" || len(inst.GetUpdatedParams()) != 1 {
				t.Fatal(b)
			}
		}
		// 1.18, 1.22, 1.23
		b = r.ask(setReq(false, obj{table + `[ID=="b"].`, []param{req("NotifExpiration", "3")}}, obj{table + "[NotifExpiration>7].", []param{req("Enable", "false")}},
			obj{table + "[NotifExpiration>100].", []param{req("Enable", "false")}}))
		res = b.GetResponse().GetSetResp().GetUpdatedObjResults()
		equal(t, res[0].GetOperStatus().GetOperSuccess().GetUpdatedInstResults()[0].GetAffectedPath(), two)
		equal(t, res[1].GetOperStatus().GetOperSuccess().GetUpdatedInstResults()[0].GetAffectedPath(), one)
		if ok := res[2].GetOperStatus().GetOperSuccess(); ok == nil || len(ok.GetUpdatedInstResults()) != 0 {
			t.Fatal(b)
		}
		// 1.19
		b = r.ask(setReq(false, obj{table + "*.", []param{req("NotifExpiration", "4")}}))
		equal(t, len(b.GetResponse().GetSetResp().GetUpdatedObjResults()[0].GetOperStatus().GetOperSuccess().GetUpdatedInstResults()), 2)
		// 1.20, 1.21
		b = r.ask(setReq(false, obj{table + "*.", []param{req("NotifExpiration", "x")}}))
		wantError(t, b, 7004, one+"NotifExpiration 7011", two+"NotifExpiration 7011")
		b = r.ask(setReq(true, obj{table + "*.", []param{req("NotifExpiration", "x"), req("Enable", "true")}}))
		equal(t, len(b.GetResponse().GetSetResp().GetUpdatedObjResults()[0].GetOperStatus().GetOperFailure().GetUpdatedInstFailures()), 2)
		equal(t, r.get(one+"NotifExpiration"), one+"NotifExpiration=4")
		// 1.104, missing instance, unknown object
		wantError(t, r.ask(setReq(false, obj{one, []param{req("Alias", "other")}})), 7004, one+"Alias 7013")
		wantError(t, r.ask(setReq(false, obj{table + "99.", []param{req("Enable", "true")}})), 7016, table+"99. 7016")
		wantError(t, r.ask(setReq(false, obj{"Device.Nope.1.", []param{req("Enable", "true")}})), 7026, "Device.Nope.1. 7026")
	})
}

// The device refuses parameters that the model lets through.
func TestSetDeviceRefuses(t *testing.T) {
	r := newRig(t)
	one, two := r.added(obj{rowTable, nil}), r.added(obj{rowTable, nil})
	r.tree.fault[two+"Mode"] = 7012
	r.tree.sets = 0
	b := r.ask(setReq(false, obj{one, []param{req("Mode", "B")}}, obj{two, []param{req("Mode", "B")}}))
	wantError(t, b, 7004, two+"Mode 7012")
	equal(t, r.tree.sets, 1)
	b = r.ask(setReq(false, obj{one, []param{req("Mode", "B")}}, obj{two, []param{opt("Mode", "B"), req("Enable", "true")}}))
	res := b.GetResponse().GetSetResp().GetUpdatedObjResults()
	inst := res[1].GetOperStatus().GetOperSuccess().GetUpdatedInstResults()[0]
	equal(t, inst.GetParamErrs()[0].GetErrCode(), 7012)
	equal(t, inst.GetUpdatedParams()["Enable"], "true")
	b = r.ask(setReq(true, obj{one, []param{req("Mode", "A")}}, obj{rowTable + "*.", []param{req("Mode", "B")}}))
	res = b.GetResponse().GetSetResp().GetUpdatedObjResults()
	if res[0].GetOperStatus().GetOperSuccess() == nil || res[1].GetOperStatus().GetOperFailure().GetErrCode() != 7021 {
		t.Fatal(b)
	}
	equal(t, r.get(one+"Mode"), one+"Mode=A") // R-SET.2a: the wildcard changed nothing
	// A mixed message: what is refused on either side leaves both as they were.
	own := "Device.LocalAgent.Controller.1."
	b = r.ask(setReq(false, obj{own, []param{req("ProvisioningCode", "x")}}, obj{two, []param{req("Mode", "B")}}))
	equal(t, b.GetError().GetErrCode(), 7004)
	equal(t, r.get(own+"ProvisioningCode"), own+"ProvisioningCode=")
	b = r.ask(setReq(false, obj{own, []param{req("ProvisioningCode", strings.Repeat("x", 65))}}, obj{one, []param{req("Mode", "B")}}))
	wantError(t, b, 7004, own+"ProvisioningCode 7012")
	equal(t, r.get(one+"Mode"), one+"Mode=A")
}

func TestTP469_1_24_Delete(t *testing.T) {
	both(t, func(t *testing.T, r *rig, table string) {
		add := func(id string) string {
			return r.added(obj{table, []param{req("ID", id), req("Enable", map[bool]string{true: "true", false: "false"}[id > "c"])}})
		}
		affected := func(b *usppb.Body) string {
			var out []string
			for _, d := range b.GetResponse().GetDeleteResp().GetDeletedObjResults() {
				switch {
				case d.GetOperStatus().GetOperSuccess() != nil:
					out = append(out, strings.Join(d.GetOperStatus().GetOperSuccess().GetAffectedPaths(), "+"))
				case d.GetOperStatus().GetOperFailure() != nil:
					out = append(out, "fail")
				}
			}
			return strings.Join(out, ",")
		}
		one := add("a")
		equal(t, affected(r.ask(delReq(false, one))), one) // 1.24
		equal(t, r.get(table), "")
		for _, partial := range []bool{false, true} { // 1.25, 1.29
			b := r.ask(delReq(partial, table+"99."))
			if ok := b.GetResponse().GetDeleteResp().GetDeletedObjResults()[0].GetOperStatus().GetOperSuccess(); ok == nil || len(ok.GetAffectedPaths()) != 0 {
				t.Fatal(b)
			}
		}
		two := add("b")
		wantError(t, r.ask(delReq(false, two, "Device.Nope.1.")), 7004, "Device.Nope.1. 7026") // 1.26, 1.28
		equal(t, r.get(two+"ID"), two+"ID=b")
		equal(t, affected(r.ask(delReq(true, two, "Device.Nope.1.", table+"99."))), two+",fail,") // 1.30 to 1.32
		three, four, five := add("c"), add("d"), add("e")
		equal(t, affected(r.ask(delReq(false, table+`[ID=="c"].`))), three)              // 1.33
		equal(t, affected(r.ask(delReq(false, table+`[ID=="zz"].`))), "")                // 1.90
		equal(t, affected(r.ask(delReq(false, table+"[Enable==true]."))), four+"+"+five) // 1.35
		six, seven := add("f"), add("g")
		equal(t, affected(r.ask(delReq(false, table+"*."))), six+"+"+seven) // 1.34
		equal(t, affected(r.ask(delReq(true, "Device.DeviceInfo.", table, "Device.X.Fixed.1."))), "fail,fail,fail")
		if strings.Contains(add("h"), ".1.") {
			t.Fatal("an instance number was used twice") // R-ARC.8
		}
	})
}

func TestTP469_1_36_Get(t *testing.T) {
	both(t, func(t *testing.T, r *rig, table string) {
		one := r.added(obj{table, []param{req("ID", "a"), req("NotifExpiration", "5"), req("Enable", "true")}})
		two := r.added(obj{table, []param{req("ID", "b"), req("NotifExpiration", "6")}})
		id := func(p string) string { return p + "ID=" + r.tree.idOf(r, p) }
		for _, c := range []struct{ path, want string }{
			{one + "ID", one + "ID=a"},
			{table + `[ID=="b"].ID`, two + "ID=b"}, // 1.43
			{table + "*.ID", one + "ID=a\n" + two + "ID=b"},
			{table + "[Enable==true].ID", one + "ID=a"},
			{table + "[Enable!=true].ID", two + "ID=b"},
			{table + "[NotifExpiration>5].ID", two + "ID=b"},
			{table + "[NotifExpiration<6].ID", one + "ID=a"},
			{table + "[NotifExpiration>=5&&NotifExpiration<=5].ID", one + "ID=a"},
			{table + "[NotifExpiration<=6].ID", one + "ID=a\n" + two + "ID=b"},
			{table + `[ID=="zz"].`, ""}, // 1.82, 1.86
			{table + "99.ID", "7026"},
			{table + "99.", "7026"},
			{table + "1.Nope", "7026"},
			{table + "{i}.ID", "7026"},
			{table + `[Nope=="x"].ID`, "7026"},
			{table + `[ID="x"].ID`, "7008"},
			{table + `[Enable=="true"].ID`, "7008"},
			{"Device.Nope", "7026"},
			{"InternetGatewayDevice.", "7026"},
			{"", "7026"},
			{"Device.Boot!", ""},
			{"Device.Reboot()", ""},
			{"Device.Nope()", "7026"},
			{"Device.DeviceInfo", "Device.DeviceInfo.ModelName=M\nDevice.DeviceInfo.ProvisioningCode=\nDevice.DeviceInfo.SerialNumber=SN1"},
		} {
			if got := r.get(c.path); got != c.want {
				t.Errorf("%s: got %q, want %q", c.path, got, c.want)
			}
		}
		equal(t, id(one), one+"ID=a")
		// 1.37, 1.38, 1.42: one result a path, in order
		res := r.ask(getReq(one+"ID", one+"Enable", "Device.Nope", one+"ID")).GetResponse().GetGetResp().GetReqPathResults()
		equal(t, len(res), 4)
		equal(t, flat(res[2]), "7026")
		equal(t, flat(res[3]), flat(res[0]))
	})
}

// idOf reads an ID through the Agent.
func (t *tree) idOf(r *rig, row string) string {
	_, v, _ := strings.Cut(r.get(row+"ID"), "ID=")
	return v
}

func TestTP469_1_87_GetEmptyAndDepth(t *testing.T) {
	r := newRig(t)
	equal(t, r.get("Device.LocalAgent.Controller.1.BootParameter."), "") // 1.87
	equal(t, r.get("Device.LocalAgent.Controller.9.BootParameter."), "7026")
	equal(t, r.get(rowTable), "")
	levels := func(path string, depth uint32) int { // 1.89
		req := getReq(path)
		req.GetGet().MaxDepth = depth
		return len(r.ask(req).GetResponse().GetGetResp().GetReqPathResults()[0].GetResolvedPathResults())
	}
	equal(t, levels("Device.LocalAgent.", 1), 1)
	equal(t, levels("Device.LocalAgent.", 2), 6)  // and MTP.1., X_ISTHMUS_CPE., ControllerTrust., Controller.1. and 2.
	equal(t, levels("Device.LocalAgent.", 3), 13) // and Controller.1.MTP.1., both E2ESession. and TransferCompletePolicy., Role.1. and 2.
	equal(t, levels("Device.LocalAgent.", 0), 15)
	equal(t, levels("Device.LocalAgent.Controller.", 1), 2)
	if all := r.get("Device."); !strings.Contains(all, "SerialNumber=SN1") || !strings.Contains(all, "Controller.2.EndpointID=self::ctl-2") {
		t.Fatal(all)
	}
	sub := r.added(obj{subscriptionTable, nil})
	equal(t, r.get(sub+"Recipient+.EndpointID"), "Device.LocalAgent.Controller.1.EndpointID=self::ctl-1")
	equal(t, r.get(subscriptionTable+`[Recipient+.EndpointID=="self::ctl-1"].ID`), sub+"ID=cpe-1")
	equal(t, r.get(subscriptionTable+`[Recipient+.EndpointID=="self::ctl-2"].ID`), "")
}

func TestTP469_1_66_GetInstances(t *testing.T) {
	r := newRig(t)
	r.added(obj{"Device.LocalAgent.Controller.2.BootParameter.", []param{req("ParameterName", "Device.X.")}})
	row := r.added(obj{rowTable, []param{req("ID", "q")}})
	r.added(obj{row + "Leaf.", []param{req("Name", "n")}})
	ask := func(first bool, paths ...string) string {
		b := r.ask(&usppb.Request{ReqType: &usppb.Request_GetInstances{GetInstances: &usppb.GetInstances{ObjPaths: paths, FirstLevelOnly: first}}})
		var out []string
		for _, p := range b.GetResponse().GetGetInstancesResp().GetReqPathResults() {
			s := ""
			if p.GetErrCode() != 0 {
				s = itoa(p.GetErrCode())
			}
			for _, i := range p.GetCurrInsts() {
				s += " " + strings.TrimPrefix(i.GetInstantiatedObjPath(), "Device.") + i.GetUniqueKeys()["EndpointID"] + i.GetUniqueKeys()["ID"] + i.GetUniqueKeys()["Name"]
			}
			out = append(out, s)
		}
		return strings.Join(out, "|")
	}
	equal(t, ask(true, controllerTable), " LocalAgent.Controller.1.self::ctl-1 LocalAgent.Controller.2.self::ctl-2")
	equal(t, ask(false, controllerTable, rowTable), " LocalAgent.Controller.1.self::ctl-1 LocalAgent.Controller.1.MTP.1. LocalAgent.Controller.2.self::ctl-2 LocalAgent.Controller.2.BootParameter.1.| X.Row.1.q X.Row.1.Leaf.1.n")
	equal(t, ask(true, controllerTable+"*.MTP.", controllerTable+`[Alias=="cpe-2"].BootParameter.`, controllerTable+`[Alias=="no"].BootParameter.`),
		" LocalAgent.Controller.1.MTP.1.| LocalAgent.Controller.2.BootParameter.1.|") // 1.70, 1.71, 1.83
	equal(t, ask(true, "Device.DeviceInfo.", "Device.Nope.", controllerTable+"9.", controllerTable+"9.MTP.", controllerTable+"1.BootParameter.", rowTable+"1."),
		"7018|7026|7016|7016|| X.Row.1.q")
}

func TestTP469_1_72_GetSupportedDM(t *testing.T) {
	r := newRig(t)
	ask := func(m *usppb.GetSupportedDM) []*usppb.GetSupportedDMResp_RequestedObjectResult {
		return r.ask(&usppb.Request{ReqType: &usppb.Request_GetSupportedDm{GetSupportedDm: m}}).GetResponse().GetGetSupportedDmResp().GetReqObjResults()
	}
	all := func(paths ...string) *usppb.GetSupportedDM {
		return &usppb.GetSupportedDM{ObjPaths: paths, ReturnCommands: true, ReturnEvents: true, ReturnParams: true, ReturnUniqueKeySets: true}
	}
	names := func(res *usppb.GetSupportedDMResp_RequestedObjectResult) string {
		var out []string
		for _, o := range res.GetSupportedObjs() {
			out = append(out, o.GetSupportedObjPath())
		}
		return strings.Join(out, " ")
	}
	first := all("Device.LocalAgent.", "Device.X.")
	first.FirstLevelOnly = true // 1.73, 1.75
	res := ask(first)
	equal(t, names(res[0]), "Device.LocalAgent. Device.LocalAgent.Certificate.{i}. Device.LocalAgent.Controller.{i}. Device.LocalAgent.ControllerTrust. Device.LocalAgent.MTP.{i}. Device.LocalAgent.Request.{i}. Device.LocalAgent.Subscription.{i}. Device.LocalAgent.Threshold.{i}. Device.LocalAgent.X_ISTHMUS_CPE.")
	equal(t, names(res[1]), "Device.X. Device.X.Fixed.{i}. Device.X.Row.{i}.")
	c := res[0].GetSupportedObjs()[2]
	if len(c.GetSupportedParams())+len(c.GetSupportedCommands()) != 0 || len(c.GetUniqueKeySets()) != 2 || !c.GetIsMultiInstance() ||
		c.GetAccess() != usppb.GetSupportedDMResp_OBJ_ADD_DELETE {
		t.Fatal(c)
	}
	res = ask(all("Device.")) // 1.76, 1.97, 1.98
	objs := res[0].GetSupportedObjs()
	const ofDevice = 6
	if len(objs) != len(byPath)+ofDevice {
		t.Fatalf("%d objects: %s", len(objs), names(res[0]))
	}
	equal(t, objs[0].GetSupportedCommands()[0].GetCommandName(), "ScheduleTimer()") // of the Agent; then those of the CPE
	equal(t, objs[0].GetSupportedCommands()[1].GetCommandName(), "Reboot()")
	equal(t, objs[0].GetSupportedEvents()[0].GetEventName(), "Boot!")
	res = ask(all("Device.LocalAgent.Subscription", "Device.LocalAgent.Controller.1.BootParameter.", "Device.Reboot()", "Device.Boot!",
		"Device.DeviceInfo.SerialNumber", "Device.Nope.", "", rowTable+"{i}.Leaf.{i}.")) // 1.77, 1.99, 1.105 to 1.107
	keys := res[0].GetSupportedObjs()[0].GetUniqueKeySets()
	equal(t, keys[0].GetKeyNames()[0]+strings.Join(keys[1].GetKeyNames(), ","), "AliasRecipient,ID")
	equal(t, names(res[1]), "Device.LocalAgent.Controller.{i}.BootParameter.{i}.")
	equal(t, len(res[2].GetSupportedObjs()[0].GetSupportedCommands()), 1)
	equal(t, len(res[2].GetSupportedObjs()[0].GetSupportedEvents()), 0)
	equal(t, res[3].GetSupportedObjs()[0].GetSupportedEvents()[0].GetEventName(), "Boot!")
	equal(t, len(res[4].GetSupportedObjs()[0].GetSupportedParams()), 1)
	equal(t, res[5].GetErrCode(), 7026)
	equal(t, res[6].GetErrCode(), 7026)
	equal(t, names(res[7]), rowTable+"{i}.Leaf.{i}.")
	equal(t, res[7].GetDataModelInstUri(), DefaultURI)
}

func TestTP469_1_61_Operate(t *testing.T) {
	r := newRig(t)
	op := func(cmd string, resp bool, args map[string]string) *usppb.Request {
		return &usppb.Request{ReqType: &usppb.Request_Operate{Operate: &usppb.Operate{Command: cmd, CommandKey: "k", SendResp: resp, InputArgs: args}}}
	}
	res := func(b *usppb.Body) *usppb.OperateResp_OperationResult {
		return b.GetResponse().GetOperateResp().GetOperationResults()[0]
	}
	b := r.ask(op("Device.Reboot()", true, map[string]string{"Unknown": "x", "Reason": "why"})) // 1.61, 1.91
	if _, ok := res(b).GetOperationResp().(*usppb.OperateResp_OperationResult_ReqOutputArgs); !ok || res(b).GetExecutedCommand() != "Device.Reboot()" {
		t.Fatal(b)
	}
	if inv := r.tree.ran[0]; inv.CommandKey != "k" || inv.Controller != ctl1 || len(inv.Args) != 1 || inv.Args["Reason"] != "why" {
		t.Fatalf("%+v", inv)
	}
	equal(t, res(r.ask(op("Device.Need()", true, nil))).GetCmdFailure().GetErrCode(), 7027) // 1.100
	equal(t, res(r.ask(op("Device.Need()", true, map[string]string{"What": "w"}))).GetReqOutputArgs().GetOutputArgs()["Got"], "w")
	r.send(ctl1, mustRequest(r, op("Device.Reboot()", false, nil))) // 1.62: no answer; the next request's comes next
	wantError(t, r.ask(op("Device.Nope()", true, nil)), 7026)
	wantError(t, r.ask(op("Device.DeviceInfo.SerialNumber", true, nil)), 7022)
	wantError(t, r.ask(op("Device.LocalAgent.Controller.7.SendOnBoardRequest()", true, nil)), 7016)
	b = r.ask(op(`Device.LocalAgent.Controller.[Alias=="no"].SendOnBoardRequest()`, true, nil))
	equal(t, len(b.GetResponse().GetOperateResp().GetOperationResults()), 0)
	equal(t, res(r.ask(op("Device.Reboot()", true, map[string]string{"Cause": "none"}))).GetCmdFailure().GetErrCode(), 0)
	wantError(t, r.ask(op("Device.Reboot()", true, map[string]string{"Cause": "panic"})), 7003)
}

func TestTP469_1_78_ControllerDeletionCascades(t *testing.T) {
	r := newRig(t)
	c := r.added(obj{controllerTable, []param{req("EndpointID", "self::ctl-3"), req("Enable", "true")}})
	sub := r.a.Do(t.Context(), "self::ctl-3", mustRequest(r, addReq(false, obj{subscriptionTable, []param{req("ID", "x")}})))
	path := sub.GetBody().GetResponse().GetAddResp().GetCreatedObjResults()[0].GetOperStatus().GetOperSuccess().GetInstantiatedPath()
	equal(t, r.get(path+"Recipient"), path+"Recipient="+strings.TrimSuffix(c, "."))
	r.ask(delReq(false, c))
	equal(t, r.get(path+"ID"), "7026")
	denied := r.a.Do(t.Context(), "self::isthmus", mustRequest(r, addReq(false, obj{subscriptionTable, nil})))
	equal(t, denied.GetBody().GetError().GetErrCode(), 7002)
	read := r.a.Do(t.Context(), "self::isthmus", mustRequest(r, getReq("Device.LocalAgent.EndpointID")))
	equal(t, flat(read.GetBody().GetResponse().GetGetResp().GetReqPathResults()[0]), "Device.LocalAgent.EndpointID="+agentID)
}

func TestTP469_1_81_GeneratedKeys(t *testing.T) {
	r := newRig(t)
	one, two := r.added(obj{subscriptionTable, nil}), r.added(obj{subscriptionTable, nil})
	equal(t, r.get(one+"Alias")+r.get(two+"ID"), one+"Alias=cpe-1"+two+"ID=cpe-2")
	wantError(t, r.ask(setReq(false, obj{one, []param{req("ID", "other")}})), 7004, one+"ID 7013") // 1.96
	r.ask(setReq(false, obj{one, []param{req("NotifType", "Event"), req("ReferenceList", "Device.Boot!")}}))
	wantError(t, r.ask(setReq(false, obj{one, []param{req("ReferenceList", "Device.Reboot!")}})), 7004, one+"ReferenceList 7013")
	wantError(t, r.ask(setReq(false, obj{two, []param{req("NotifType", "Event"), req("ReferenceList", "Device.DeviceInfo.SerialNumber")}})), 7004, two+"ReferenceList 7026")
	wantError(t, r.ask(addReq(false, obj{subscriptionTable, []param{req("NotifType", "Sometimes")}})), 7004, subscriptionTable+"{i}.NotifType 7012")
}

func mustRequest(r *rig, req *usppb.Request) *usppb.Msg {
	return usp.NewRequest(r.id(), req)
}

// A message over both sides with allow_partial false leaves neither changed.
func TestMixedAdd(t *testing.T) {
	r := newRig(t)
	r.tree.fault[rowTable+"*.Mode"] = 7012
	sub, row := obj{subscriptionTable, []param{req("ID", "a")}}, obj{rowTable, []param{req("Mode", "B")}}
	for _, objs := range [][]obj{{sub, row}, {row, sub}} {
		equal(t, r.ask(addReq(false, objs...)).GetError().GetErrCode(), 7004)
	}
	delete(r.tree.fault, rowTable+"*.Mode")
	equal(t, r.ask(addReq(false, row, sub, sub)).GetError().GetErrCode(), 7004) // the Agent's own part fails
	equal(t, r.get(subscriptionTable)+r.get(rowTable), "")
	res := r.ask(addReq(false, row, sub, row)).GetResponse().GetAddResp().GetCreatedObjResults()
	if len(res) != 3 || !strings.HasPrefix(res[1].GetOperStatus().GetOperSuccess().GetInstantiatedPath(), subscriptionTable) {
		t.Fatal(res)
	}
	del := r.ask(delReq(false, subscriptionTable+"*.", rowTable+"*.")).GetResponse().GetDeleteResp().GetDeletedObjResults()
	equal(t, len(del[0].GetOperStatus().GetOperSuccess().GetAffectedPaths()), 1)
	equal(t, len(del[1].GetOperStatus().GetOperSuccess().GetAffectedPaths()), 2)
}

// A device that cannot be reached fails what needs it, and nothing else.
func TestUnreachable(t *testing.T) {
	r := newRig(t)
	row := r.added(obj{rowTable, nil})
	r.tree.reach = usp.Errorf(usp.Unreachable, "no session")
	res := r.ask(getReq(row, "Device.LocalAgent.EndpointID")).GetResponse().GetGetResp().GetReqPathResults()
	equal(t, flat(res[0]), "7800")
	equal(t, flat(res[1]), "Device.LocalAgent.EndpointID="+agentID)
	equal(t, r.ask(setReq(false, obj{row, []param{req("Enable", "true")}})).GetError().GetErrCode(), 7800)
	for range 2 { // the data model is not known; it is, but there is no session for the write
		st := r.ask(setReq(true, obj{row, []param{req("Enable", "true")}}, obj{controllerTable + "1.", []param{req("ProvisioningCode", "x")}})).
			GetResponse().GetSetResp().GetUpdatedObjResults()
		equal(t, st[0].GetOperStatus().GetOperFailure().GetErrCode(), 7800)
		if st[1].GetOperStatus().GetOperSuccess() == nil {
			t.Fatal(st[1])
		}
		r.tree.reach, r.tree.noSet = nil, r.tree.reach
	}
}

func TestSubscriptionQuota(t *testing.T) {
	r := newRig(t)
	r.fleet.opts.MaxSubscriptions = 2
	r.added(obj{subscriptionTable, nil})
	r.added(obj{subscriptionTable, nil})
	wantError(t, r.ask(addReq(false, obj{subscriptionTable, nil})), 7005, subscriptionTable+" 7005")
}
