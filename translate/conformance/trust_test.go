package conformance_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"isthmus/usp"
	"isthmus/usp/usppb"
)

const (
	trustObject                = "Device.LocalAgent.ControllerTrust."
	roleTable                  = trustObject + "Role."
	guestID     usp.EndpointID = "proto::guest"
	denied                     = uint32(usp.PermissionDenied)
)

// on is a Permission for targets: each pair is one of Param, Obj, InstantiatedObj and CommandEvent and its rights.
func on(targets string, pairs ...string) []param {
	ps := []param{req("Enable", "true"), req("Targets", targets)}
	for i := 0; i < len(pairs); i += 2 {
		ps = append(ps, req(pairs[i], pairs[i+1]))
	}
	return ps
}

// invite gives the Agent as another Controller sees it whose Role has these Permissions, each of higher Order than the one before.
func (e *eut) invite(permissions ...[]param) (guest *eut, role string) {
	e.Helper()
	role, _ = e.added(roleTable, req("Name", "guest"), req("Enable", "true"))
	for _, p := range permissions {
		e.added(role+"Permission.", p...)
	}
	e.added(controllerTable, req("EndpointID", string(guestID)), req("Enable", "true"), req("AssignedRole", role))
	return &eut{e.T, e.w, e.dialIn(guestID)}, role
}

// wantDenied says that an Error is 7006 and names one parameter or object.
func (e *eut) wantDenied(err error, suffix string) {
	e.Helper()
	u := e.refused(err)
	e.blames(u, suffix)
	if uint32(u.Code) != denied || uint32(u.Params[0].Code) != denied {
		e.Errorf("%+v, want %d", u, denied)
	}
}

// wantAbsent says that a path is not there, as far as the Controller can see.
func (e *eut) wantAbsent(path string) {
	e.Helper()
	if r := e.get(0, path)[0]; r.GetErrCode() != uint32(usp.InvalidPath) || len(r.GetResolvedPathResults()) != 0 {
		e.Errorf("%s: %v", path, r)
	}
}

func TestTP469_2_9_UntrustedRole(t *testing.T) {
	e := shared(t)
	row, _ := e.added(controllerTable, req("EndpointID", string(guestID)), req("Enable", "true"))
	e.wantValue(row+"AssignedRole", e.values(trustObject + "UntrustedRole")[trustObject]["UntrustedRole"])
	g := &eut{e.T, e.w, e.dialIn(guestID)}
	g.wantAbsent("Device.DeviceInfo.SoftwareVersion")
	_, err := g.set(false, obj{"Device.DeviceInfo.", []param{req("ProvisioningCode", "x")}})
	if u := e.refused(err); u.Code != usp.InvalidPath { // it does not even know of it
		e.Errorf("%v", u)
	}
}

func TestTP469_2_10_AddRole(t *testing.T) {
	e := shared(t)
	row, keys := e.added(roleTable, req("Name", "Trusted"), req("Enable", "true"))
	e.wantValue(row+"Enable", "true")
	if keys["Name"] != "Trusted" || keys["Alias"] == "" {
		e.Errorf("keys %v", keys)
	}
}

func TestTP469_2_11_CreationAllowed(t *testing.T) {
	both(t, func(e *eut, s side) {
		g, _ := e.invite(on(s.table, "Obj", "rw--", "Param", "rw--"))
		path, keys := g.added(s.table, s.row(211)...)
		if !slices.Equal(slices.Sorted(maps.Keys(keys)), s.keys) {
			e.Errorf("keys %v", keys)
		}
		g.wantValue(path+s.key, s.id(211))
	})
}

func TestTP469_2_12_CreationDenied(t *testing.T) {
	both(t, func(e *eut, s side) {
		g, _ := e.invite(on(s.table, "Obj", "r---", "Param", "rw--"))
		_, err := g.add(false, obj{s.table, s.row(212)})
		g.wantDenied(err, s.table)
		e.wantRows(s.table)
	})
}

func TestTP469_2_13_DeletionAllowed(t *testing.T) {
	both(t, func(e *eut, s side) {
		path, _ := e.added(s.table, s.row(213)...)
		g, _ := e.invite(on(s.table, "InstantiatedObj", "rw--"))
		res, err := g.delete(false, strings.TrimSuffix(path, "."))
		e.must(err)
		e.deleted(res[0], strings.TrimSuffix(path, "."), path)
		e.wantRows(s.table)
	})
}

func TestTP469_2_14_DeletionDenied(t *testing.T) {
	both(t, func(e *eut, s side) {
		path, _ := e.added(s.table, s.row(214)...)
		g, _ := e.invite(on(s.table, "InstantiatedObj", "r---"))
		_, err := g.delete(false, path)
		g.wantDenied(err, path)
		e.wantRows(s.table, path)
	})
}

func TestTP469_2_15_UpdateAllowed(t *testing.T) {
	both(t, func(e *eut, s side) {
		path, _ := e.added(s.table, s.row(215)...)
		g, _ := e.invite(on(s.table, "Param", "rw--"))
		g.change(path+s.number, "7")
		e.wantValue(path+s.number, "7")
	})
}

func TestTP469_2_16_UpdateDenied(t *testing.T) {
	both(t, func(e *eut, s side) {
		path, _ := e.added(s.table, s.row(216, req(s.number, "1"))...)
		g, _ := e.invite(on(s.table, "Param", "r---"), on(s.table+"*."+s.toggle, "Param", "rw--"))
		_, err := g.set(false, obj{path, []param{req(s.toggle, "true"), req(s.number, "7")}})
		g.wantDenied(err, path+s.number)
		e.wantValue(path+s.number, "1")
		e.wantValue(path+s.toggle, "false")
	})
}

// A command of the Agent, and one that the CPE carries out.
func TestTP469_2_17_OperationAllowed(t *testing.T) {
	e := fresh(t, options{})
	g, _ := e.invite(on("Device.Reboot(),"+controllerTable, "CommandEvent", "r-x-"))
	for _, command := range []string{e.own() + "SendOnBoardRequest()", "Device.Reboot()"} {
		if r := g.operate(command, "", nil); r.GetReqOutputArgs() == nil || r.GetExecutedCommand() != command {
			e.Errorf("%v", r)
		}
	}
}

// Without send_resp, too, the Controller is told what it was denied, and of nothing else. What is allowed runs on when the test is over.
func TestTP469_2_18_OperationDenied(t *testing.T) {
	e := fresh(t, options{})
	g, role := e.invite(on("Device.", "CommandEvent", "r-x-"), on("Device.Reboot(),"+controllerTable, "CommandEvent", "r---"))
	commands := []string{"Device.Reboot()", e.own() + "SendOnBoardRequest()"}
	for _, command := range commands {
		if r := g.operate(command, "", nil); r.GetCmdFailure().GetErrCode() != denied {
			e.Errorf("%v", r)
		}
	}
	const silent = "proto::silent"
	e.added(controllerTable, req("EndpointID", silent), req("Enable", "true"), req("AssignedRole", role))
	w := e.dialHand(silent)
	for _, command := range append(commands, "Device.ScheduleTimer()") { // of which the last is allowed
		id := unique("silent")
		b, err := usp.EncodeRecord(silent, e.w.id, "", usp.NewRequest(id, &usppb.Request{ReqType: &usppb.Request_Operate{
			Operate: &usppb.Operate{Command: command, InputArgs: map[string]string{"DelaySeconds": "3600"}}}}))
		e.must(err)
		if w.send(b); !slices.Contains(commands, command) {
			break
		}
		if r := w.answer(id).GetBody().GetResponse().GetOperateResp().GetOperationResults(); len(r) != 1 || r[0].GetCmdFailure().GetErrCode() != denied {
			e.Errorf("without send_resp: %v", r)
		}
	}
	id := unique("barrier")
	w.send(w.record(silent, e.w.id, id, "Device.LocalAgent.EndpointID"))
	w.answer(id) // fails where there is one to the last Operate before it
}

func TestTP469_2_19_ValueChangeAllowed(t *testing.T) {
	both(t, func(e *eut, s side) {
		path, _ := e.added(s.table, s.row(219)...)
		g, _ := e.invite(on(subscriptionTable, "Param", "rw--", "Obj", "rw--", "InstantiatedObj", "rw--"), on(path, "Param", "rw-n"))
		g.subscribe("case219", "ValueChange", path+s.number)
		g.change(path+s.number, "219")
		if v := g.notified("case219").GetValueChange(); v.GetParamPath() != path+s.number || v.GetParamValue() != "219" {
			e.Errorf("%v", v)
		}
	})
}

// What may be told comes after what may not, in the order of happening: it is the barrier for silence.
func TestTP469_2_20_ValueChangeDenied(t *testing.T) {
	both(t, func(e *eut, s side) {
		path, _ := e.added(s.table, s.row(220)...)
		g, _ := e.invite(on(subscriptionTable, "Param", "rw--", "Obj", "rw--", "InstantiatedObj", "rw--"), on(path, "Param", "rw--"),
			on(e.own()+"ProvisioningCode", "Param", "rw-n"))
		g.subscribe("case220", "ValueChange", path+s.number)
		g.subscribe("barrier", "ValueChange", e.own()+"ProvisioningCode")
		g.change(path+s.number, "220")
		g.change(e.own()+"ProvisioningCode", "220"+s.name)
		g.notified("barrier")
		if n := g.count("case220"); n != 0 {
			e.Errorf("%d notifications", n)
		}
	})
}

func TestTP469_2_21_OverlappingPermissions(t *testing.T) {
	both(t, func(e *eut, s side) {
		one, two := e.two(s)
		g, _ := e.invite(on(s.table, "Param", "r---", "Obj", "r---"), on(two, "Param", "----", "Obj", "r---"))
		if rows := slices.Collect(maps.Keys(g.values(s.table))); !slices.Equal(rows, []string{one}) {
			e.Errorf("%v, want %s alone", rows, one)
		}
		g.wantAbsent(two)
	})
}

func TestTP469_2_22_UnreadableParameter(t *testing.T) {
	both(t, func(e *eut, s side) {
		path, _ := e.added(s.table, s.row(222)...)
		g, _ := e.invite(on(s.table, "Param", "r---", "Obj", "r---"), on(path+s.key, "Param", "----"))
		row := g.values(path)[path]
		if _, ok := row[s.key]; ok || row["Enable"] == "" {
			e.Errorf("%v", row)
		}
		g.wantAbsent(path + s.key)
	})
}

// addSpread adds to a table in two rows of another, the first of which may not be added to.
func addSpread(t *testing.T, run func(e, g *eut, n nested, first, second string)) {
	bothNested(t, func(e *eut, n nested) {
		var first, second string
		if n.name == "LocalAgent" {
			first = n.parent
			second, _ = e.added(n.parents, req("EndpointID", "proto::other"))
		} else {
			first = n.parent
			second, _ = e.added(n.parents)
		}
		g, _ := e.invite(on(n.parents, "Param", "rw--", "Obj", "rw--", "InstantiatedObj", "r---"), on(first+n.child, "Param", "rw--", "Obj", "r---"))
		run(e, g, n, first, second)
	})
}

func TestTP469_2_23_AddOneDenied(t *testing.T) {
	addSpread(t, func(e, g *eut, n nested, first, second string) {
		path := n.parents + `[Alias=="` + e.values(first + "Alias")[first]["Alias"] + `"].` + n.child
		res, err := g.add(true, obj{path, n.row(1, "true")}, obj{second + n.child, n.row(1, "true")})
		e.must(err)
		if f := res[0].GetOperStatus().GetOperFailure(); len(res) != 2 || f.GetErrCode() != denied {
			e.Fatalf("%v", res)
		}
		if made, _ := e.created(res[1]); !strings.HasPrefix(made, second) {
			e.Errorf("%s is not in %s", made, second)
		}
		e.wantRows(first + n.child)
	})
}

func TestTP469_2_24_AddOneDeniedNotPartial(t *testing.T) {
	addSpread(t, func(e, g *eut, n nested, first, second string) {
		_, err := g.add(false, obj{n.parents + "*." + n.child, n.row(1, "true")})
		g.wantDenied(err, n.child)
		e.wantRows(first + n.child)
		e.wantRows(second + n.child)
	})
}

func TestTP469_2_25_UnwritableOmitted(t *testing.T) {
	both(t, func(e *eut, s side) {
		g, _ := e.invite(on(s.table, "Param", "rw--", "Obj", "rw--"), on(s.table+"*."+s.number, "Param", "r---"))
		path, _ := g.added(s.table, s.row(225)...)
		g.wantValue(path+s.number, "0")
	})
}

func TestTP469_2_26_UnwritableRequired(t *testing.T) {
	both(t, func(e *eut, s side) {
		g, _ := e.invite(on(s.table, "Param", "rw--", "Obj", "rw--"), on(s.table+"*."+s.number, "Param", "r---"))
		res, err := g.add(true, obj{s.table, s.row(226, req(s.number, "9"))})
		e.must(err)
		if f := res[0].GetOperStatus().GetOperFailure(); f.GetErrCode() != denied {
			e.Errorf("%v", res)
		}
		_, err = g.add(false, obj{s.table, s.row(226, req(s.number, "9"))})
		g.wantDenied(err, s.table)
		e.wantRows(s.table)
	})
}

// A password of the CPE reads as empty also for a secured Role (2.27), since a CPE gives none (TR-181); what is set goes to the CPE.
func TestSecuredAtTheCPE(t *testing.T) {
	e := shared(t)
	const object, name = "Device.WiFi.AccessPoint.1.Security.", "KeyPassphrase"
	g, role := e.invite(on("Device.WiFi.AccessPoint.", "Param", "rw-n", "Obj", "r---"))
	e.Cleanup(func() {
		_, err := e.set(false, obj{trustObject, []param{req("SecuredRoles", "")}})
		e.must(err)
	})
	for _, secured := range []string{"", strings.TrimSuffix(role, ".")} {
		_, err := e.set(false, obj{trustObject, []param{req("SecuredRoles", secured)}})
		e.must(err)
		g.change(object+name, "passphrase of "+secured)
		if v := e.w.cpe.Value(object + name); v != "passphrase of "+secured {
			e.Errorf("the CPE has %q", v)
		}
		g.wantValue(object+name, "")
	}
}

// A Permission for what a search finds at the CPE goes by the values that the CPE has now, for Get, Set and notifications.
func TestSearchInTargetsAtTheCPE(t *testing.T) {
	e := shared(t)
	const table = "Device.NAT.PortMapping."
	e.clear(table)
	tcp, _ := e.added(table, onCPE.row(1)...)
	udp, _ := e.added(table, onCPE.row(2, req("Protocol", "UDP"))...)
	g, _ := e.invite(on(table, "Param", "rw-n", "Obj", "r---", "InstantiatedObj", "r---"), on(subscriptionTable, "Param", "rw--", "Obj", "rw--"),
		on(table+`[Protocol=="UDP"].`, "Param", "----", "Obj", "----", "InstantiatedObj", "----"))
	sees := func(want ...string) {
		t.Helper()
		if rows := slices.Sorted(maps.Keys(g.values(table))); !slices.Equal(rows, want) {
			t.Errorf("Get: %v, want %v", rows, want)
		}
		g.wantRows(table, want...)
	}
	sees(tcp)
	g.wantAbsent(udp + "Enable")
	if _, err := g.set(false, obj{udp, []param{req("Description", "x")}}); g.refused(err).Code != usp.ObjectDoesNotExist {
		t.Error(err)
	}
	g.subscribe("searched", "ValueChange", table)
	g.subscribe("barrier", "ValueChange", tcp+"Description")
	e.change(udp+"Description", "hidden")
	e.change(tcp+"Description", "shown")
	g.notified("barrier")
	g.valueChanged("searched", tcp+"Description", "shown")
	if n := g.count("searched"); n != 1 {
		t.Errorf("%d notifications", n)
	}
	e.change(tcp+"Protocol", "UDP")
	sees()
	e.change(udp+"Protocol", "TCP")
	sees(udp)
}
