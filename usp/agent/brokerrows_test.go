package agent

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"isthmus/usp/mtp"
)

// ways tells where the Agent is to be connected, by Controller.
func (b *brokered) ways() string {
	var out []string
	for _, to := range b.targets() {
		added := ""
		if to.Added {
			added = " added"
		}
		out = append(out, fmt.Sprintf("%s %s%s %s:%d %s/%s%s", to.Controller, to.MQTT.Client, to.STOMP.Connection, to.Host, to.Port, to.MQTT.Username+to.STOMP.Username,
			string(to.MQTT.Password+to.STOMP.Password), added))
	}
	return strings.Join(out, "\n")
}

// again is a restart of the process.
func (r *rig) again() {
	r.t.Helper()
	r.stop()
	r.start()
	if _, err := r.a.Interest(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
	r.a.Connect()
	r.connect()
}

// set writes parameters, which must work.
func (r *rig) set(path string, params ...param) {
	r.t.Helper()
	if b := r.ask(setReq(false, obj{path, params})); b.GetError() != nil || b.GetResponse().GetSetResp().GetUpdatedObjResults()[0].GetOperStatus().GetOperSuccess() == nil {
		r.t.Fatalf("Set %s %v: %v", path, params, b)
	}
}

// TestBrokerRowsChanged: R-MQTT.4: Controllers may change the rows that the configuration made of a broker. What they have said is kept, and goes with the
// broker however the file is ordered; the configuration's password goes to no other broker, and none is ever read.
func TestBrokerRowsChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &brokered{}
		r := mqttRig(t, d)
		r.start()
		defer func() { r.stop() }()
		r.connect()
		r.a.Connect()
		const one, two, three = "Device.MQTT.Client.1.", "Device.MQTT.Client.2.", "Device.MQTT.Client.3."
		const rest = "self::ctl-1 " + one + " broker:8883 a/hunter2\nself::ctl-2 " + one + " broker:8883 a/hunter2\n"
		r.set(two, req("BrokerAddress", "other"), req("KeepAliveTime", "20"))
		equal(t, d.ways(), rest+"proto::three "+two+" other:8883 b/ added")
		r.set(two, req("Password", "mine"), req("Username", "me"))
		moved := "proto::three " + two + " other:8883 me/mine added"
		equal(t, d.ways(), rest+moved)
		equal(t, r.get(two+"Password")+r.get(two+"BrokerAddress"), two+"Password="+two+"BrokerAddress=other")
		r.again()
		equal(t, d.ways(), rest+moved)

		// The file is ordered otherwise, has a broker more and moves one.
		was := r.controllers
		extra := was[0]
		extra.EndpointID, extra.MTP.Host = "proto::four", "fourth"
		r.controllers = []ControllerConfig{was[2], extra, was[1], was[0]}
		r.controllers[0].MTP.Host = "of the file"
		r.again()
		equal(t, d.ways(), rest+moved+"\nproto::four "+three+" fourth:8883 a/hunter2")
		equal(t, r.get(three+"Alias")+r.get(two+"KeepAliveTime")+r.get(ownMTPTable+"3.MQTT.Reference")+r.get(controllerTable+"4.MTP.1.MQTT.AgentMTPReference"),
			three+"Alias=cpe-3"+two+"KeepAliveTime=20"+ownMTPTable+"3.MQTT.Reference=Device.MQTT.Client.3"+
				controllerTable+"4.MTP.1.MQTT.AgentMTPReference="+ownMTPTable+"3")

		// Back where the file has it, with its account again.
		r.set(two, req("BrokerAddress", "of the file"), req("Username", "b"))
		if ways := d.ways(); !strings.Contains(ways, two+" of the file:8883 b/mine\n") {
			t.Error(ways)
		}

		// A broker that the file has no more goes with its rows, and its number is not used again.
		r.added(obj{three + "Subscription.", []param{req("Topic", "x")}})
		r.controllers = was
		r.again()
		equal(t, r.get("Device.MQTT.ClientNumberOfEntries")+r.get(three), "Device.MQTT.ClientNumberOfEntries=2"+"7026")
		equal(t, r.added(obj{mqttClientTable, nil}), "Device.MQTT.Client.4.")
		for _, record := range r.keep.records {
			if strings.Contains(string(record.Data), "hunter2") {
				t.Errorf("the configuration's password is kept in %s", record.ID)
			}
		}
	})
}

// TestBrokerRowsAdded: R-MQTT.4: rows of brokers that Controllers add are dialled, may be used by any Controller, and leave no reference behind.
func TestBrokerRowsAdded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &brokered{}
		r := mqttRig(t, d)
		r.start()
		defer func() { r.stop() }()
		r.connect()
		r.a.Connect()
		file := d.ways()
		client := r.added(obj{mqttClientTable, []param{req("BrokerAddress", "added"), req("Password", "secret"), req("TransportProtocol", "WebSocketTLS")}})
		equal(t, client, "Device.MQTT.Client.3.")
		equal(t, r.get(client+"Name")+r.get(client+"Enable")+r.get(client+"Password"), client+"Name=cpe-3"+client+"Enable=false"+client+"Password=")
		own := r.added(obj{ownMTPTable, []param{req("Protocol", "MQTT"), req("Enable", "true"), req("MQTT.Reference", client), req("MQTT.ResponseTopicConfigured", "mine/here")}})
		equal(t, own, ownMTPTable+"3.")
		equal(t, d.ways(), file)
		const third = controllerTable + "3.MTP.1.MQTT."
		r.set(third, req("AgentMTPReference", own), req("Topic", "there"))
		if ways := d.ways(); strings.Contains(ways, "proto::three") { // the Client is not enabled
			t.Error(ways)
		}
		r.set(client, req("Enable", "true"))
		rest := file[:strings.Index(file, "\nproto::three")+1]
		equal(t, d.ways(), rest+"proto::three "+client+" added:1883 /secret added")
		r.again()
		equal(t, d.ways(), rest+"proto::three "+client+" added:1883 /secret added")
		to := d.targets()[2]
		equal(t, fmt.Sprint(to.Encrypted, to.MQTT.WebSocket, to.Path, " ", to.MQTT.ResponseTopic, " ", to.MQTT.Topic), "true true/mqtt mine/here there")

		// What must not be.
		for _, c := range []struct {
			path  string
			param param
			code  string
		}{
			{client, req("BrokerAddress", "forbidden"), "7012"},
			{client, req("BrokerPort", "0"), "7012"},
			{client, req("TransportProtocol", "UDP"), "7012"},
			{own, req("Protocol", "WebSocket"), "7012"},
			{own + "MQTT.", req("ResponseTopicConfigured", "a/+"), "7012"},
			{own + "MQTT.", req("Reference", "Device.MQTT.Client.2"), "7012"},
			{ownMTPTable + "1.", req("Protocol", "STOMP"), "7013"},
		} {
			wantError(t, r.ask(setReq(false, obj{c.path, []param{c.param}})), 7004, c.path+c.param.name+" "+c.code)
		}
		for _, path := range []string{"Device.MQTT.Client.1.", ownMTPTable + "1."} {
			b := r.ask(delReq(true, path))
			if f := b.GetResponse().GetDeleteResp().GetDeletedObjResults()[0].GetOperStatus().GetOperFailure(); f.GetErrCode() != 7024 {
				t.Errorf("Delete %s: %v", path, b)
			}
		}
		for n := len(r.a.rows().instances(mqttClientTable)); n < maxBrokerRows; n++ {
			r.added(obj{mqttClientTable, nil})
		}
		b := r.ask(addReq(true, obj{mqttClientTable, nil}))
		equal(t, b.GetResponse().GetAddResp().GetCreatedObjResults()[0].GetOperStatus().GetOperFailure().GetErrCode(), 7005)

		r.ask(delReq(false, client))
		equal(t, r.get(own+"MQTT.Reference"), own+"MQTT.Reference=")
		equal(t, d.ways(), strings.TrimSuffix(rest, "\n"))
		r.ask(delReq(false, own))
		equal(t, r.get(third+"AgentMTPReference"), third+"AgentMTPReference=")
	})
}

// TestBrokerCutOff: a Controller of the configuration cannot have it that nobody connects with it any more; another one can.
func TestBrokerCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &brokered{}
		r := mqttRig(t, d)
		r.start()
		defer func() { r.stop() }()
		r.connect()
		r.a.Connect()
		client := r.added(obj{mqttClientTable, []param{req("Enable", "true"), req("BrokerAddress", "added")}})
		own := r.added(obj{ownMTPTable, []param{req("Enable", "true"), req("MQTT.Reference", client)}})
		r.set(controllerTable+"1.MTP.1.MQTT.", req("AgentMTPReference", own))
		for _, c := range []struct {
			path  string
			param param
		}{
			{client, req("Enable", "false")},
			{client, req("BrokerAddress", "")},
			{own, req("Enable", "false")},
			{own, req("Protocol", "STOMP")},
			{own + "MQTT.", req("Reference", "")},
			{controllerTable + "1.MTP.1.MQTT.", req("AgentMTPReference", "")},
		} {
			wantError(t, r.ask(setReq(false, obj{c.path, []param{c.param}})), 7004, c.path+c.param.name+" 7002")
		}
		b := r.ask(delReq(true, own))
		if f := b.GetResponse().GetDeleteResp().GetDeletedObjResults()[0].GetOperStatus().GetOperFailure(); f.GetErrCode() != 7024 {
			t.Errorf("%v", b)
		}
		r.set("Device.MQTT.Client.1.", req("Enable", "false")) // of others
		equal(t, d.ways(), "self::ctl-1 "+client+" added:1883 / added\nproto::three Device.MQTT.Client.2. broker:8883 b/hunter2")
	})
}

// TestSTOMPRowsWritable: R-STOMP.1: the same for servers. The Destination of the Agent's own MTP is followed on the connection (R-STOMP.29).
func TestSTOMPRowsWritable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &brokered{}
		r := &rig{t: t, tree: newTree(), keep: &kept{}, dialer: d, controllers: []ControllerConfig{{EndpointID: ctl1, MTP: MTPConfig{Protocol: "STOMP", Host: "server", Port: 61613,
			STOMP: &STOMPConfig{Username: "u", Password: "hunter2", AgentDestination: "/queue/a.{endpoint_id}", ControllerDestination: "/queue/ctl"}}}}}
		r.start()
		defer func() { r.stop() }()
		r.connect()
		r.a.Connect()
		before := d.targets()[0]
		r.set(ownMTPTable+"1.STOMP.", req("Destination", "/queue/mine"))
		after := d.targets()[0]
		equal(t, after.STOMP.OwnDestination, "/queue/mine")
		equal(t, before.SameWay(after), true)
		row := r.added(obj{stompConnectionTable, []param{req("Host", "other"), req("Enable", "true"), req("Username", "me"), req("Password", "mine"), req("EnableEncryption", "false")}})
		own := r.added(obj{ownMTPTable, []param{req("Protocol", "STOMP"), req("Enable", "true"), req("STOMP.Reference", row), req("STOMP.Destination", "/queue/there")}})
		r.set(controllerTable+"1.MTP.1.STOMP.", req("Reference", row), req("Destination", "/queue/elsewhere"))
		const moved = "self::ctl-1 Device.STOMP.Connection.2. other:61613 me/mine added"
		equal(t, d.ways(), moved)
		r.again()
		equal(t, d.ways(), moved)
		equal(t, d.targets()[0].STOMP.OwnDestination+" "+d.targets()[0].STOMP.Destination, "/queue/there /queue/elsewhere")
		equal(t, r.get(ownMTPTable+"1.STOMP.Destination"), ownMTPTable+"1.STOMP.Destination=/queue/mine")
		wantError(t, r.ask(setReq(false, obj{row, []param{req("Host", "forbidden")}})), 7004, row+"Host 7012")
		wantError(t, r.ask(setReq(false, obj{own, []param{req("Enable", "false")}})), 7004, own+"Enable 7002")
		wantError(t, r.ask(setReq(false, obj{own + "STOMP.", []param{req("Reference", stompConnectionTable+"1")}})), 7004, own+"STOMP.Reference 7012")
		r.set(stompConnectionTable+"1.", req("EnableEncryption", "true"))
		r.set(controllerTable+"1.MTP.1.STOMP.", req("Reference", stompConnectionTable+"1."))
		equal(t, d.ways(), "self::ctl-1 Device.STOMP.Connection.1. server:61613 u/ added") // the configuration's password is for a server without TLS
	})
}

// TestClientIDOfController: R-MQTT.8: a Client Identifier that a Controller sets is used in a new connection; one that the broker has assigned needs none.
func TestClientIDOfController(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &brokered{}
		r := mqttRig(t, d)
		r.start()
		defer func() { r.stop() }()
		r.a.Connect()
		d.targets()
		w := newWire(ctl2)
		d.ups.Up(w)
		<-w.out
		<-w.to
		r.connect()
		d.ups.(mtp.Learner).Learnt(ctl2, mtp.State{Assigned: true, ClientID: "assigned"})
		equal(t, d.targets()[0].MQTT.ClientID, "assigned")
		if len(w.closed) != 0 {
			t.Error("closed for what was assigned")
		}
		r.set("Device.MQTT.Client.1.", req("ClientID", ""))
		equal(t, d.targets()[0].MQTT.ClientID, "")
		if len(w.closed) != 1 {
			t.Error("the connection was not made anew")
		}
		w2 := d.ups
		w2.Down(w, nil)
	})
}
