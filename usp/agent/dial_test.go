package agent

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"isthmus/usp"
	"isthmus/usp/mtp"
)

// dialled is a Dialer that takes down what it is told.
type dialled struct {
	mu  sync.Mutex
	to  []mtp.Target
	ups mtp.Endpoint
}

func (d *dialled) Connect(e mtp.Endpoint, to []mtp.Target) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ups, d.to = e, slices.Clone(to)
}

func (d *dialled) Check(t mtp.Target) error {
	if t.Host == "forbidden" {
		return usp.Errorf(usp.InvalidValue, "forbidden")
	}
	return nil
}
func (d *dialled) Kick(usp.EndpointID)                 {}
func (d *dialled) Reboot(usp.EndpointID)               {}
func (d *dialled) Reset(_, _ usp.EndpointID)           {}
func (d *dialled) State(_, c usp.EndpointID) mtp.State { return mtp.State{Failures: len(c)} }

func (d *dialled) String() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []string
	for _, t := range d.to {
		out = append(out, fmt.Sprintf("%s=%s:%d%s", t.Controller, t.Host, t.Port, t.Path))
	}
	return strings.Join(out, " ")
}

// The Dialer follows the tables, over restarts and whatever the file says meanwhile.
func TestDialerFollowsTheTables(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &dialled{}
		r := &rig{t: t, tree: newTree(), keep: &kept{}, dialer: d, controllers: []ControllerConfig{
			{EndpointID: ctl1, MTP: MTPConfig{Host: "h", Port: 80, Path: "/"}}, {EndpointID: ctl2, OnlyDialsIn: true}}}
		r.start()
		defer func() { r.stop() }()
		r.connect()
		want := func(to string) { t.Helper(); synctest.Wait(); equal(t, d.String(), to) }
		const file = ctl1 + "=h:80/"
		want("") // nobody has asked it to connect
		r.a.Connect()
		want(file)
		row := r.added(obj{controllerTable, []param{req("EndpointID", "self::added"), req("Enable", "true")}})
		mtpRow := r.added(obj{row + "MTP.", []param{req("WebSocket.Port", "8080")}})
		equal(t, r.get(mtpRow+"Alias")+r.get(mtpRow+"Protocol"), mtpRow+"Alias=cpe-1"+mtpRow+"Protocol=WebSocket")
		want(file) // not enabled, and nowhere to go
		r.ask(setReq(false, obj{mtpRow, []param{req("Enable", "true")}}, obj{mtpRow + "WebSocket.", []param{req("Host", "there"), req("Path", "/usp"),
			req("KeepAliveInterval", "7"), req("SessionRetryMinimumWaitInterval", "3"), req("SessionRetryIntervalMultiplier", "1500")}}))
		const both = file + " self::added=there:8080/usp"
		want(both)
		added := d.to[1]
		equal(t, added, mtp.Target{Controller: "self::added", Protocol: "WebSocket", Host: "there", Port: 8080, Path: "/usp", Encrypted: true,
			KeepAlive: 7 * time.Second, Retry: usp.Retry{Minimum: 3 * time.Second, Multiplier: 1500}})
		equal(t, r.get(mtpRow+"WebSocket.CurrentRetryCount"), mtpRow+"WebSocket.CurrentRetryCount=11")
		wantError(t, r.ask(addReq(false, obj{row + "MTP.", nil})), 7004, row+"MTP.{i}.Protocol 7025")
		wantError(t, r.ask(setReq(false, obj{mtpRow + "WebSocket.", []param{req("Host", "forbidden")}})), 7004, mtpRow+"WebSocket.Host 7012")

		r.stop()
		r.start()
		if _, err := r.a.Interest(t.Context()); err != nil {
			t.Fatal(err)
		}
		*d = dialled{}
		r.a.Connect()
		want(both)
		r.connect()
		r.unload()
		r.ask(setReq(false, obj{mtpRow + "WebSocket.", []param{req("Path", "/new")}}))
		want(file + " self::added=there:8080/new")
		r.ask(setReq(false, obj{controllerTable + "2.", []param{req("Enable", "false")}})) // that only dials in
		r.ask(setReq(false, obj{row, []param{req("Enable", "false")}}))
		want(file)
		r.ask(setReq(false, obj{row, []param{req("Enable", "true")}}))
		want(file + " self::added=there:8080/new")

		// The operator names the Controller: now the file says where it is.
		r.stop()
		r.controllers = append(r.controllers, ControllerConfig{EndpointID: "self::added", MTP: MTPConfig{Host: "file", Port: 443}})
		r.start()
		if _, err := r.a.Interest(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.a.Connect()
		want(file + " self::added=file:443")
		r.connect()
		equal(t, r.get(row+"MTPNumberOfEntries"), row+"MTPNumberOfEntries=1")
		equal(t, r.get(row+"AssignedRole"), row+"AssignedRole="+roleTable+"1")
		r.stop()
		r.controllers = r.controllers[:2]
		r.start()
		if err := r.a.Reset(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.a.Connect()
		want(file)
		equal(t, len(r.keep.records), 0)
	})
}

// A row that is deleted leaves nothing on disk but the numbers of the tables.
func TestDeletedMTPLeavesNoRecord(t *testing.T) {
	r := newRig(t)
	row := r.added(obj{controllerTable, []param{req("EndpointID", "self::added")}})
	r.added(obj{row + "MTP.", []param{req("WebSocket.Host", "there")}})
	r.ask(delReq(false, row))
	for id := range r.keep.records {
		if strings.Contains(id, "Controller.3.") {
			t.Errorf("%s is still there", id)
		}
	}
}

// Where Controllers dial in is shown with the Agent's own path, and not at all where they cannot.
func TestOwnMTP(t *testing.T) {
	r := newRig(t)
	const row = ownRoot + "MTP.1."
	equal(t, r.get(row+"Status")+r.get(row+"EnableMDNS"), row+"Status=Up"+row+"EnableMDNS=false")
	equal(t, r.get(row+"WebSocket.")+r.get(row+"WebSocket.Port"), "7026") // of an object with nothing in it, and of a parameter
	wantError(t, r.ask(setReq(false, obj{row, []param{req("Enable", "false")}})), 7004, row+"Enable 7013")
	status := func() string {
		resp := r.a.Do(t.Context(), ctl1, mustRequest(r, getReq(row+"Status")))
		return flat(resp.GetBody().GetResponse().GetGetResp().GetReqPathResults()[0])
	}
	r.a.Down(r.w, nil)
	equal(t, status(), row+"Status=Down")

	f := NewFleet(Options{Server: &ServerConfig{Port: 8183, Path: "/agent/{endpoint_id}"}, Controllers: []ControllerConfig{{EndpointID: ctl1, OnlyDialsIn: true}}})
	r.a = f.NewAgent(Identity{ID: "os::0A0B0C-S%2FN"}, r.tree, &kept{}, AgentOptions{})
	t.Cleanup(func() { r.a.Close(context.Background()) })
	equal(t, status(), row+"Status=Up")
	resp := r.a.Do(t.Context(), ctl1, mustRequest(r, getReq(row+"WebSocket.")))
	equal(t, flat(resp.GetBody().GetResponse().GetGetResp().GetReqPathResults()[0]), row+"WebSocket.EnableEncryption=false\n"+row+"WebSocket.Interfaces=\n"+
		row+"WebSocket.KeepAliveInterval=30\n"+row+"WebSocket.Path=/agent/os::0A0B0C-S%252FN\n"+row+"WebSocket.Port=8183")
}
