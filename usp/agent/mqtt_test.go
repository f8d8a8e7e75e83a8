package agent

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"isthmus/usp"
	"isthmus/usp/mtp"
	"isthmus/usp/usppb"
)

// brokered is a Dialer at whose brokers the Agent is connected.
type brokered struct {
	dialled
	state mtp.State
	reset []usp.EndpointID
}

func (b *brokered) targets() []mtp.Target {
	synctest.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.to
}

func (b *brokered) State(_, _ usp.EndpointID) mtp.State { return b.state }

func (b *brokered) Reset(_, c usp.EndpointID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reset = append(b.reset, c)
}

// mqttRig has ctl1 and ctl2 behind one broker, and a third Controller at the same broker with another account.
func mqttRig(t *testing.T, d mtp.Dialer) *rig {
	behind := func(user string, topic string) MTPConfig {
		return MTPConfig{Protocol: "MQTT", Host: "broker", Port: 8883, EnableEncryption: true,
			MQTT: &MQTTConfig{Username: user, Password: "hunter2", AgentTopic: "usp/agent/{endpoint_id}", ControllerTopic: topic}}
	}
	return &rig{t: t, tree: newTree(), keep: &kept{}, dialer: d, controllers: []ControllerConfig{
		{EndpointID: ctl1, MTP: behind("a", "usp/one")}, {EndpointID: ctl2, MTP: behind("a", "usp/two")}, {EndpointID: "proto::three", MTP: behind("b", "usp/three")}}}
}

// TestMQTTRows: R-MQTT.4: what the configuration says of brokers is in every Agent's tables, one row of Device.MQTT.Client. for each, and makes its Targets.
func TestMQTTRows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &brokered{state: mtp.State{Status: mtp.Connected, ClientID: "given", Listens: "found", Subscribed: []string{"more/+"}}}
		r := mqttRig(t, d)
		r.start()
		defer func() { r.stop() }()
		r.connect()
		r.a.Connect()
		var got []string
		for _, to := range d.targets() {
			got = append(got, fmt.Sprintf("%s %s %s:%d %v %s %s %s %s", to.Controller, to.MQTT.Client, to.Host, to.Port, to.Encrypted, to.MQTT.ClientID, to.MQTT.Username, to.MQTT.Topic, to.MQTT.ResponseTopic))
		}
		equal(t, strings.Join(got, "\n"), `self::ctl-1 Device.MQTT.Client.1. broker:8883 true {endpoint_id} a usp/one usp/agent/{endpoint_id}
self::ctl-2 Device.MQTT.Client.1. broker:8883 true {endpoint_id} a usp/two usp/agent/{endpoint_id}
proto::three Device.MQTT.Client.2. broker:8883 true {endpoint_id}-2 b usp/three usp/agent/{endpoint_id}`)
		if fmt.Sprintf("%v %+v %#v", d.targets(), d.targets(), d.targets()[0]) == "" || strings.Contains(fmt.Sprintf("%v %+v %#v", d.targets(), d.targets(), d.targets()[0]), "hunter2") {
			t.Error("a Target prints its password")
		}
		const client = "Device.MQTT.Client.1."
		equal(t, r.get(client+"Password")+r.get(client+"Status")+r.get(client+"ClientID")+r.get(client+"TransportProtocol"),
			client+"Password="+client+"Status=Connected"+client+"ClientID=given"+client+"TransportProtocol=TLS")
		own := ownMTPTable + "1.MQTT."
		equal(t, r.get(own+"Reference")+r.get(own+"ResponseTopicConfigured")+r.get(own+"ResponseTopicDiscovered"),
			own+"Reference=Device.MQTT.Client.1"+own+"ResponseTopicConfigured=usp/agent/"+string(agentID)+own+"ResponseTopicDiscovered=found")
		equal(t, r.get("Device.MQTT.ClientNumberOfEntries"), "Device.MQTT.ClientNumberOfEntries=2")
		equal(t, r.get(ownRoot+"SupportedProtocols"), ownRoot+"SupportedProtocols=MQTT")
		wantError(t, r.ask(setReq(false, obj{controllerTable + "1.MTP.1.", []param{req("Order", "2")}})), 7004, controllerTable+"1.MTP.1.Order 7013")
		if m := r.get(controllerTable + "1.MTP.1."); strings.Contains(m, "WebSocket.") {
			t.Errorf("an MTP of MQTT has %s", m)
		}

		row := r.added(obj{client + "Subscription.", []param{req("Topic", "more/+"), req("Enable", "true")}})
		equal(t, d.targets()[0].MQTT.Subscriptions+d.targets()[1].MQTT.Subscriptions+d.targets()[2].MQTT.Subscriptions, "1 more/+\n1 more/+\n")
		equal(t, r.get(row+"Status"), row+"Status=Subscribed")
		wantError(t, r.ask(setReq(false, obj{row, []param{req("Topic", "a/#/b")}})), 7004, row+"Topic 7012")

		added := r.added(obj{controllerTable, []param{req("EndpointID", "self::added"), req("Enable", "true")}})
		r.added(obj{added + "MTP.", []param{req("Protocol", "MQTT"), req("Enable", "true"), req("MQTT.AgentMTPReference", strings.TrimSuffix(ownMTPTable, ".")+".2"), req("MQTT.Topic", "usp/added")}})
		if n := len(d.targets()); n != 4 || d.targets()[3].Controller != "self::added" || d.targets()[3].MQTT.Client != "Device.MQTT.Client.2." || d.targets()[3].MQTT.Topic != "usp/added" {
			t.Errorf("%d Targets, the last %v", n, d.targets()[n-1])
		}
		r.ask(operateReq(client+forceReconnect, "k", true))
		synctest.Wait()
		d.mu.Lock()
		defer d.mu.Unlock()
		equal(t, fmt.Sprint(d.reset), "[self::ctl-1]")
	})
}

// TestTP469_11_4_AssignedClientID: R-MQTT.9: what the broker has assigned outlives a restart; a broker that the configuration no longer has is forgotten with its rows.
func TestTP469_11_4_AssignedClientID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &brokered{}
		r := mqttRig(t, d)
		r.start()
		defer func() { r.stop() }()
		r.connect()
		r.a.Connect()
		r.added(obj{"Device.MQTT.Client.2.Subscription.", []param{req("Topic", "mine"), req("Enable", "true")}})
		d.targets()
		d.ups.(mtp.Learner).Learnt(ctl2, mtp.State{Assigned: true, ClientID: "assigned"})
		equal(t, d.targets()[0].MQTT.ClientID+" "+d.targets()[2].MQTT.ClientID, "assigned {endpoint_id}-2")
		r.stop()
		r.start()
		if _, err := r.a.Interest(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.a.Connect()
		r.connect()
		equal(t, d.targets()[0].MQTT.ClientID+" "+d.targets()[0].MQTT.Username+" "+d.targets()[2].MQTT.Subscriptions, "assigned a 1 mine\n")
		r.stop()
		r.controllers = r.controllers[:1]
		r.controllers[0].MTP.Host = "elsewhere"
		r.start()
		if _, err := r.a.Interest(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.a.Connect()
		r.connect()
		if n := len(d.targets()); n != 1 || d.targets()[0].Host != "elsewhere" {
			t.Errorf("%v", d.targets())
		}
		equal(t, r.get("Device.MQTT.ClientNumberOfEntries"), "Device.MQTT.ClientNumberOfEntries=1")
	})
}

// TestSTOMPRows: R-STOMP.0, R-STOMP.1: the same for a STOMP server; what a Controller sets of heart-beats is kept, and makes the connection anew.
func TestSTOMPRows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &brokered{state: mtp.State{Status: mtp.Connected, Listens: "/queue/given", ResponseInformation: "/queue/given"}}
		behind := func(c usp.EndpointID) ControllerConfig {
			return ControllerConfig{EndpointID: c, MTP: MTPConfig{Protocol: "STOMP", Host: "server", Port: 61613,
				STOMP: &STOMPConfig{Username: "u", Password: "hunter2", VirtualHost: "/", AgentDestination: "/queue/a.{endpoint_id}", ControllerDestination: "/queue/" + string(c)}}}
		}
		r := &rig{t: t, tree: newTree(), keep: &kept{}, dialer: d, controllers: []ControllerConfig{behind(ctl1), behind(ctl2)}}
		r.start()
		defer func() { r.stop() }()
		r.connect()
		r.a.Connect()
		const c, own = "Device.STOMP.Connection.1.", ownMTPTable + "1.STOMP."
		to := d.targets()
		equal(t, len(to), 2)
		equal(t, to[1], mtp.Target{Controller: ctl2, Protocol: "STOMP", Host: "server", Port: 61613, Retry: usp.Retry{Minimum: time.Minute, Multiplier: 2000, Cap: 30720 * time.Second, FromZero: true},
			STOMP: mtp.STOMP{Connection: c, Username: "u", Password: "hunter2", VirtualHost: "/", OwnDestination: "/queue/a.{endpoint_id}", Destination: "/queue/" + ctl2}})
		equal(t, r.get(c+"Status")+r.get(c+"Password")+r.get(own+"Destination")+r.get(own+"DestinationFromServer"),
			c+"Status=Enabled"+c+"Password="+own+"Destination=/queue/a."+string(agentID)+own+"DestinationFromServer=/queue/given")
		r.ask(setReq(false, obj{c, []param{req("EnableHeartbeats", "true"), req("OutgoingHeartbeat", "5000")}}))
		equal(t, fmt.Sprint(d.targets()[0].STOMP.Outgoing), "5s")
		r.stop()
		r.controllers[0].MTP.Port = 61614
		r.start()
		if _, err := r.a.Interest(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.a.Connect()
		r.connect()
		equal(t, fmt.Sprint(d.targets()[0].Port, d.targets()[0].STOMP.Outgoing), "61614 5s")
	})
}

// TestWayToBroker: a row of Device.MQTT.Client. shows, and ForceReconnect() makes anew, the connection of whoever is reached over it: a Controller that
// is disabled, or that has another MTP which comes first, is not. R-MQTT.4: a Controller's Topic is one that can be published to.
func TestWayToBroker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &brokered{state: mtp.State{Status: mtp.Connected, ClientID: "given"}}
		r := mqttRig(t, d)
		r.start()
		defer func() { r.stop() }()
		r.connect()
		r.a.Connect()
		added := r.added(obj{controllerTable, []param{req("EndpointID", "self::added"), req("Enable", "true")}})
		r.added(obj{added + "MTP.", []param{req("Enable", "true"), req("Order", "1"), req("WebSocket.Host", "controller")}})
		row := r.added(obj{added + "MTP.", []param{req("Protocol", "MQTT"), req("Enable", "true"), req("Order", "2"),
			req("MQTT.AgentMTPReference", ownMTPTable+"2"), req("MQTT.Topic", "usp/added")}})
		const second = "Device.MQTT.Client.2."
		r.ask(setReq(false, obj{controllerTable + "3.", []param{req("Enable", "false")}}))
		equal(t, len(d.targets()), 3)
		equal(t, r.get(second+"Status")+r.get(second+"ClientID"), second+"Status=Disabled"+second+"ClientID="+string(agentID)+"-2")
		for _, topic := range []string{"usp/#", "usp/+/x", "a\x00"} {
			wantError(t, r.ask(setReq(false, obj{row + "MQTT.", []param{req("Topic", topic)}})), 7004, row+"MQTT.Topic 7012")
		}
		for i, q := range []*usppb.Request{setReq(false, obj{controllerTable + "1.", []param{req("Enable", "false")}}), operateReq("Device.MQTT.Client.1."+forceReconnect, "k", true)} {
			if resp := r.a.Do(t.Context(), ctl2, usp.NewRequest(fmt.Sprint(i), q)); resp.GetBody().GetError() != nil {
				t.Fatal(resp)
			}
		}
		synctest.Wait()
		d.mu.Lock()
		defer d.mu.Unlock()
		equal(t, fmt.Sprint(d.reset), "[self::ctl-2]")
	})
}
