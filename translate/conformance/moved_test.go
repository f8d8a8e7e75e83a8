package conformance_test

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"isthmus/usp"
	"isthmus/usp/controller"
	"isthmus/usp/mtp/mqtt"
)

const secondClient = "Device.MQTT.Client.2."

// hostPort is an address as rows have it.
func hostPort(t *testing.T, addr string) (host, port string) {
	t.Helper()
	at, err := netip.ParseAddrPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	return at.Addr().String(), itoa(int(at.Port()))
}

// TestMovedMQTT: a Controller moves an Agent to another broker: by changing the row that the configuration made, and by rows of its own. It is answered where
// it asked, reached at the other broker, also after a restart, and the configuration's password stays where it belongs.
func TestMovedMQTT(t *testing.T) { movedMQTT(t, newMochi) }

// TestBrokerMovedMQTT: the same at real brokers.
func TestBrokerMovedMQTT(t *testing.T) { movedMQTT(t, newMosquitto) }

func movedMQTT(t *testing.T, start func(*testing.T, brokerSetup) anyBroker) {
	for name, r := range map[string]*mqttRig{"5.0": {version: "5.0"}, "3.1.1": {version: "3.1.1"}, "shared": {version: "5.0", shared: true}} {
		t.Run(name, func(t *testing.T) {
			r.T, r.start = t, start
			e := r.agent()
			other := r.start(t, brokerSetup{})
			plain, _ := other.addresses()
			there := newTap(t, plain)
			e.must((&atBroker{broker: plain, version: r.version}).listen(e.w.ctl))
			host, port := hostPort(t, there.addr)
			_, home := hostPort(t, e.tap.addr)
			connects := 1
			arrives := func(at *tap) *seen {
				t.Helper()
				c := at.next(e.eut, packets.Connect, false, nil)
				connects++
				e.back(connects)
				at.skip()
				e.wantValue("Device.DeviceInfo.SerialNumber", "S1")
				at.next(e.eut, packets.Publish, false, nil)
				return c
			}

			e.change(activeClient+"BrokerPort", port)
			if c := arrives(there); len(c.Connect.Password) > 0 || string(c.Connect.Username) != "fleet" {
				t.Errorf("CONNECT %+v", c.Connect)
			}
			e.must(e.w.stop())
			there.skip()
			e.must(e.w.open())
			arrives(there)
			e.wantValue(activeClient+"BrokerPort", port)

			e.tap.skip()
			e.change(activeClient+"BrokerPort", home)
			if c := arrives(e.tap); string(c.Connect.Password) != "secret" {
				t.Errorf("CONNECT %+v", c.Connect)
			}

			there.skip()
			client, _ := e.added("Device.MQTT.Client.", req("BrokerAddress", host), req("BrokerPort", port), req("Enable", "true"), req("ProtocolVersion", r.version),
				req("ClientID", "chosen"))
			own, _ := e.added("Device.LocalAgent.MTP.", req("Protocol", "MQTT"), req("Enable", "true"), req("MQTT.Reference", client),
				req("MQTT.ResponseTopicConfigured", "mine/"+string(e.w.id)))
			if client != secondClient {
				t.Errorf("the new row is %s", client)
			}
			e.change("Device.LocalAgent.Controller.1.MTP.1.MQTT.AgentMTPReference", own)
			if c := arrives(there); c.Connect.ClientIdentifier != "chosen" || len(c.Connect.Username) > 0 {
				t.Errorf("CONNECT %+v", c.Connect)
			}
			e.wantValue(client+"Status", "Connected")
			e.wantValue(own+"Status", "Up")
			e.wantValue(activeClient+"Status", "Disabled")
			_, err := e.set(false, obj{client, []param{req("Enable", "false")}})
			if u := e.refused(err); !strings.HasSuffix(u.Params[0].Path, "Enable") {
				t.Errorf("%v", u)
			}
			e.change("Device.LocalAgent.Controller.1.MTP.1.MQTT.AgentMTPReference", "Device.LocalAgent.MTP.1")
			arrives(e.tap)
		})
	}
}

// atSame is a second Controller behind a broker.
type atSame struct{ *atBroker }

func (b *atSame) listen(c *controller.Controller) error {
	return c.MQTT(mqtt.ControllerOptions{ClientID: "second", Topic: controllerTopic, AgentTopic: agentTopic, Again: 50 * time.Millisecond, Logger: quiet(),
		Dial: func(ctx context.Context) (net.Conn, error) { return (&net.Dialer{}).DialContext(ctx, "tcp", b.broker) }})
}

// TestMovedTogether: Controllers behind one row go together: who asks is answered first, and another that asks meanwhile is answered, too.
func TestMovedTogether(t *testing.T) {
	var plain [2]string
	for i := range plain {
		plain[i], _ = newMochi(t, brokerSetup{}).addresses()
	}
	at := func(i int) *atBroker {
		return &atBroker{broker: plain[i], addr: plain[i], version: "5.0", agentTopic: agentTopic}
	}
	e := fresh(t, options{at: at(0), others: map[usp.EndpointID]reachable{mqttController: &atSame{at(0)}}})
	second := &eut{T: t, w: e.w, a: e.w.others[mqttController].Agent(e.w.id)}
	e.must(second.a.WaitConnects(e.deadline(), 1))
	e.wantRows("Device.MQTT.Client.", activeClient)
	e.must(at(1).listen(e.w.ctl))
	e.must((&atSame{at(1)}).listen(e.w.others[mqttController]))
	for n := 2; n < 6; n++ {
		_, port := hostPort(t, plain[(n-1)%2])
		from := []*eut{e, second}[n/2%2]
		from.change(activeClient+"BrokerPort", port)
		for _, c := range []*eut{e, second} {
			c.must(c.a.WaitConnects(c.deadline(), n))
			c.wantValue(activeClient+"BrokerPort", port)
			if c.a.Connects() != n {
				t.Errorf("%d Connect Records, want %d", c.a.Connects(), n)
			}
		}
	}
}

// TestMovedSTOMP: the same with STOMP, of which another address of the same server is enough.
func TestMovedSTOMP(t *testing.T) { movedSTOMP(t, newStomptest) }

// TestBrokerMovedSTOMP: the same at a real server.
func TestBrokerMovedSTOMP(t *testing.T) { movedSTOMP(t, newRabbitMQ) }

func movedSTOMP(t *testing.T, start func(*testing.T, brokerSetup) anyBroker) {
	e := (&stompRig{t, start, false}).agent()
	plain, _ := e.server.addresses()
	there := newFrames(t, plain)
	_, port := hostPort(t, there.addr)
	connects := 1
	arrives := func(at *frames, destination string) {
		t.Helper()
		if f := at.next(e.eut, "SUBSCRIBE", nil); f.Get("destination") != destination {
			t.Errorf("%v", f.Headers)
		}
		connects++
		e.back(connects)
		e.wantValue("Device.DeviceInfo.SerialNumber", "S1")
		at.next(e.eut, "SEND", nil)
	}
	e.change(stompConnection+"Port", port)
	arrives(there, e.destination)
	e.must(e.w.stop())
	there.skip()
	e.tap.skip()
	e.must(e.w.open())
	arrives(there, e.destination)
	row, _ := e.added("Device.STOMP.Connection.", req("Host", "localhost"), req("Port", port), req("Enable", "true"), req("EnableEncryption", "false"), req("VirtualHost", "/"))
	const mine = "/queue/mine"
	own, _ := e.added("Device.LocalAgent.MTP.", req("Protocol", "STOMP"), req("Enable", "true"), req("STOMP.Reference", row), req("STOMP.Destination", mine))
	there.skip()
	e.change("Device.LocalAgent.Controller.1.MTP.1.STOMP.Reference", row)
	arrives(there, mine)
	e.wantValue(row+"Status", "Enabled")
	e.wantValue(own+"Status", "Up")
	e.wantValue(stompConnection+"Status", "Disabled")
}
