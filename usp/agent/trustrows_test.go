package agent

import (
	"io"
	"log/slog"
	"strings"
	"testing"

	"isthmus/usp"
	"isthmus/usp/mtp"
)

func reader(name, rights string) Role {
	return Role{Name: name, Permissions: []Permission{{Order: 1, Targets: []string{"Device."}, Param: rights, Obj: rights, InstantiatedObj: rights}}}
}

// roled is an Agent of a fleet with Roles; ctl2 has that called "reader".
func roled(t *testing.T, keep *kept, roles ...Role) *Agent {
	t.Helper()
	f := NewFleet(Options{Roles: roles, Controllers: []ControllerConfig{{EndpointID: ctl1}, {EndpointID: ctl2, Role: "reader"}},
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	a := f.NewAgent(Identity{ID: agentID}, newTree(), keep, AgentOptions{})
	t.Cleanup(func() { a.Close(t.Context()) })
	return a
}

func do(t *testing.T, a *Agent, req obj) {
	t.Helper()
	b := a.Do(t.Context(), ctl1, usp.NewRequest("1", setReq(false, req))).GetBody()
	if b.GetError() != nil {
		t.Fatal(b)
	}
}

func read(t *testing.T, a *Agent, path string) string {
	t.Helper()
	b := a.Do(t.Context(), ctl1, usp.NewRequest("1", getReq(path))).GetBody()
	return strings.ReplaceAll(flat(b.GetResponse().GetGetResp().GetReqPathResults()[0]), trustObject, "")
}

func may(t *testing.T, a *Agent, id usp.EndpointID, r right) bool {
	t.Helper()
	if err := a.use(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer a.leave()
	return a.rows().grant(id).may.allows(params, r, "Device.DeviceInfo.ProvisioningCode")
}

// Roles of the configuration follow it and keep their numbers, and the configuration says which one a Controller has.
func TestRolesFollowTheConfiguration(t *testing.T) {
	keep := &kept{}
	a := roled(t, keep, reader("reader", "r---"), reader("other", "----"))
	equal(t, read(t, a, roleTable+"*.Name"), "Role.1.Name=full_access\nRole.2.Name=Untrusted\nRole.3.Name=reader\nRole.4.Name=other")
	equal(t, may(t, a, ctl2, mayRead) && !may(t, a, ctl2, mayWrite), true)
	do(t, a, obj{controllerTable + "1.", []param{req("ProvisioningCode", "x")}}) // something is kept

	a = roled(t, keep, reader("new", "----"), reader("reader", "rw--"))
	equal(t, read(t, a, roleTable+"*.Name"), "Role.1.Name=full_access\nRole.2.Name=Untrusted\nRole.3.Name=reader\nRole.5.Name=new")
	equal(t, may(t, a, ctl2, mayWrite), true)

	a = roled(t, keep) // the Controller's Role is gone
	equal(t, may(t, a, ctl2, mayRead), false)
	equal(t, read(t, a, controllerTable+"2.AssignedRole"), controllerTable+"2.AssignedRole=")

	a = roled(t, keep, reader("reader", "r---"))
	equal(t, read(t, a, roleTable+"*.Name"), "Role.1.Name=full_access\nRole.2.Name=Untrusted\nRole.3.Name=reader")
	equal(t, may(t, a, ctl2, mayRead), true)
}

// A Role that a Controller has changed is the Agent's own from then on, also over a restart; FactoryReset gives it back.
func TestChangedRoleIsTheAgentsOwn(t *testing.T) {
	keep := &kept{}
	a := roled(t, keep, reader("reader", "r---"))
	do(t, a, obj{roleTable + `[Name=="reader"].Permission.1.`, []param{req("Param", "rw--")}})
	equal(t, may(t, a, ctl2, mayWrite), true)
	a = roled(t, keep, reader("reader", "----"), reader("another", "----"))
	equal(t, may(t, a, ctl2, mayWrite), true)
	equal(t, read(t, a, roleTable+"3.Permission.*.Targets"), "Role.3.Permission.1.Targets=Device.")

	b := a.Do(t.Context(), ctl1, usp.NewRequest("1", delReq(false, roleTable+"3.Permission.1."))).GetBody()
	equal(t, b.GetError() == nil, true)
	a = roled(t, keep, reader("reader", "rw--"))
	equal(t, may(t, a, ctl2, mayRead), false)
	equal(t, read(t, a, roleTable+"3.Permission."), "")
	if err := a.Reset(t.Context()); err != nil {
		t.Fatal(err)
	}
	equal(t, may(t, a, ctl2, mayWrite), true)
	equal(t, keep.count(RowRecord), 0)
}

// The built-in Roles are rows like others: what a Controller takes from full_access is gone.
func TestFullAccessCanBeLimited(t *testing.T) {
	keep := &kept{}
	a := roled(t, keep)
	b := a.Do(t.Context(), ctl1, usp.NewRequest("1", addReq(false, obj{roleTable + "1.Permission.", on("Device.DeviceInfo.", "Param", "r---")}))).GetBody()
	equal(t, b.GetError() == nil, true)
	for range 2 {
		equal(t, may(t, a, ctl1, mayRead) && !may(t, a, ctl1, mayWrite), true)
		equal(t, read(t, a, roleTable+"1.Permission.*.Order"), "Role.1.Permission.1.Order=0\nRole.1.Permission.2.Order=1")
		a = roled(t, keep)
	}
}

// What the configuration says of a row no Controller can change; its own Roles it can delete, and what refers to them is cleared (R-ARC.12).
func TestRolesAndTheConfiguration(t *testing.T) {
	r := newRig(t)
	wantError(t, r.ask(setReq(false, obj{controllerTable + "2.", []param{req("AssignedRole", roleTable+"2")}})), 7004, controllerTable+"2.AssignedRole 7013")
	wantError(t, r.ask(setReq(false, obj{roleTable + "1.", []param{req("Name", "x")}})), 7004, roleTable+"1.Name 7013")
	wantError(t, r.ask(delReq(false, roleTable+"1.")), 7004, roleTable+"1. 7024")
	wantError(t, r.ask(setReq(false, obj{trustObject, []param{req("TOFUAllowed", "true")}})), 7004, trustObject+"TOFUAllowed 7013")
	wantError(t, r.ask(setReq(false, obj{trustObject, []param{req("UntrustedRole", roleTable+"1,"+roleTable+"2")}})), 7004, trustObject+"UntrustedRole 7012")
	role := r.added(obj{roleTable, []param{req("Enable", "true")}})
	c := r.added(obj{controllerTable, []param{req("EndpointID", guestID), req("AssignedRole", roleTable+"2,"+role)}})
	r.ask(setReq(false, obj{trustObject, []param{req("UntrustedRole", role), req("SecuredRoles", roleTable+`[Name=="cpe-3"]`)}}))
	equal(t, r.get(c+"AssignedRole")+r.get(trustObject+"SecuredRoles"),
		c+"AssignedRole="+roleTable+"2,"+roleTable+"3"+trustObject+"SecuredRoles="+roleTable+"3")
	r.ask(delReq(false, role))
	equal(t, r.get(c+"AssignedRole")+r.get(trustObject+"UntrustedRole")+r.get(trustObject+"SecuredRoles"),
		c+"AssignedRole="+roleTable+"2"+trustObject+"UntrustedRole="+trustObject+"SecuredRoles=")
	wantError(t, r.ask(addReq(false, obj{controllerTable, []param{req("AssignedRole", role)}})), 7004, controllerTable+"{i}.AssignedRole 7012")
}

// A Role that a Controller has made does not become that of the configuration by its name.
func TestRoleOfTheSameNameIsAnother(t *testing.T) {
	keep := &kept{}
	a := roled(t, keep)
	a.Do(t.Context(), ctl1, usp.NewRequest("1", addReq(false, obj{roleTable, []param{req("Name", "reader"), req("Enable", "true")}})))
	a.Do(t.Context(), ctl1, usp.NewRequest("2", addReq(false, obj{roleTable + "3.Permission.", on("Device.", "Param", "rw--")})))
	equal(t, read(t, a, roleTable+"3.Name"), "Role.3.Name=reader")
	a = roled(t, keep, reader("reader", "r---"))
	equal(t, may(t, a, ctl2, mayRead) && !may(t, a, ctl2, mayWrite), true)
}

// With a filled untrusted Role strangers, and Controllers in no table, may do what it says; with an empty one the latter are not answered.
func TestUntrustedRoleOfTheConfiguration(t *testing.T) {
	for _, filled := range []bool{true, false} {
		r := newRig(t)
		if filled {
			r.added(obj{roleTable + "2.Permission.", on("Device.DeviceInfo.ModelName", "Param", "r---")})
		}
		r.a.Down(r.w, nil)
		fake := unproven{newWire(ctl1)}
		r.a.Up(fake)
		r.w = fake.wire
		r.next()
		send := func(ch mtp.Channel, from usp.EndpointID, path string) {
			t.Helper()
			b, err := usp.EncodeRecord(from, agentID, "", usp.NewRequest(r.id(), getReq(path)))
			if err != nil {
				t.Fatal(err)
			}
			if err := r.a.Receive(ch, b, ""); err != nil {
				t.Fatal(err)
			}
		}
		send(fake, ctl1, "Device.DeviceInfo.ModelName")
		b := decode(t, r.next()).GetBody()
		if filled {
			equal(t, flat(b.GetResponse().GetGetResp().GetReqPathResults()[0]), "Device.DeviceInfo.ModelName=M")
			send(fake, ctl1, "Device.DeviceInfo.SerialNumber")
			equal(t, flat(decode(t, r.next()).GetBody().GetResponse().GetGetResp().GetReqPathResults()[0]), "7026")
		} else {
			wantError(t, b, 7006)
		}

		r.w = newWire("self::nobody")
		r.a.Up(r.w)
		send(r.w, "self::nobody", "Device.DeviceInfo.ModelName")
		if filled {
			equal(t, flat(decode(t, r.next()).GetBody().GetResponse().GetGetResp().GetReqPathResults()[0]), "Device.DeviceInfo.ModelName=M")
			continue
		}
		r.a.Close(t.Context()) // ends what is still at work
		r.silence()
	}
}

// Settings that a Subscription triggers, and the parameters in its Boot!, are those that its Controller may write and read.
func TestAgentActsWithTheControllersRights(t *testing.T) {
	r := newRig(t)
	g := invite(r, readAll(), append(subscriber(), req("InstantiatedObj", "r---")), on("Device.DeviceInfo.SerialNumber", "Param", "----"),
		append(on(controllerTable+"3.BootParameter.", "Param", "rw--"), req("Obj", "rw--")), on("Device.Boot!", "CommandEvent", "r--n"))
	for _, p := range []string{"Device.DeviceInfo.SerialNumber", "Device.DeviceInfo.ModelName"} {
		res := g.ask(addReq(false, obj{controllerTable + "3.BootParameter.", []param{req("Enable", "true"), req("ParameterName", p)}}))
		equal(t, res.GetError() == nil, true)
	}
	res := g.ask(addReq(false, obj{subscriptionTable, []param{req("Enable", "true"), req("NotifType", "Event"), req("ReferenceList", "Device.Boot!"),
		req("TriggerAction", triggerBoth), req("TriggerConfigSettings", "Device.DeviceInfo.ProvisioningCode=stolen")}}))
	equal(t, res.GetError() == nil, true)
	if err := r.a.Boot(t.Context(), BootInfo{}); err != nil {
		t.Fatal(err)
	}
	equal(t, g.notified().GetEvent().GetParams()["ParameterMap"], `{"Device.DeviceInfo.ModelName":"M"}`)
	r.unload() // the trigger has run
	equal(t, r.get("Device.DeviceInfo.ProvisioningCode"), "Device.DeviceInfo.ProvisioningCode=")

	// Nor can it have another Controller's Subscription do what it may not do itself.
	foreign := r.added(obj{subscriptionTable, []param{req("ID", "other")}})
	settings := obj{foreign, []param{req("TriggerConfigSettings", "Device.DeviceInfo.ProvisioningCode=stolen")}}
	wantError(t, g.ask(setReq(false, settings)), 7006, foreign+"TriggerConfigSettings 7006")
	equal(t, r.ask(setReq(false, settings)).GetError() == nil, true)
}
