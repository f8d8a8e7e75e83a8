package conformance_test

import (
	"net"
	"strings"
	"testing"
	"time"

	"isthmus/usp"
	"isthmus/usp/usppb"
)

const (
	mqttController  usp.EndpointID = "proto::mqtt"
	stompController usp.EndpointID = "proto::stomp"
)

// several is an Agent with Controllers on three MTPs.
type several struct {
	*eut
	mqtt, stomp  *eut
	broker, line anyBroker
}

func newSeveral(t *testing.T, broker, server anyBroker) *several {
	t.Helper()
	mqttAt, _ := broker.addresses()
	stompAt, _ := server.addresses()
	e := fresh(t, options{others: map[usp.EndpointID]reachable{
		mqttController:  &atBroker{broker: mqttAt, addr: mqttAt, version: "5.0", agentTopic: agentTopic},
		stompController: &atServer{server: stompAt, addr: stompAt, agentDestination: agentDestination},
	}})
	with := func(id usp.EndpointID) *eut {
		a := e.w.others[id].Agent(e.w.id)
		e.must(a.WaitConnects(e.deadline(), 1))
		return &eut{T: t, w: e.w, a: a}
	}
	s := &several{eut: e, mqtt: with(mqttController), stomp: with(stompController), broker: broker, line: server}
	_, err := e.set(false, obj{activeClient, []param{req("ConnectRetryTime", "1"), req("ConnectRetryMaxInterval", "4")}},
		obj{stompConnection, []param{req("ServerRetryInitialInterval", "1"), req("ServerRetryMaxInterval", "4")}})
	e.must(err)
	e.must(s.mqtt.a.WaitConnects(e.deadline(), 2))
	e.must(s.stomp.a.WaitConnects(e.deadline(), 2))
	return s
}

// asks is how long some Gets take.
func (e *eut) asks() time.Duration {
	e.Helper()
	begin := time.Now()
	for range 20 {
		e.wantValue("Device.DeviceInfo.SerialNumber", "S1")
	}
	return time.Since(begin)
}

// renamed waits for the ValueChange of the network's name.
func (e *eut) renamed(name string) {
	e.Helper()
	_, err := e.a.WaitNotify(e.deadline(), func(n *usppb.Notify) bool { return n.GetValueChange().GetParamValue() == name })
	e.must(err)
}

// TestSeveralMTPs: each Controller is answered where it asked and told what it has subscribed to. A broker that is gone or does not answer keeps no other
// Controller waiting, and what its own was to be told comes when it is back.
func TestSeveralMTPs(t *testing.T) {
	severalMTPs(t, newMochi(t, brokerSetup{}), newStomptest(t, brokerSetup{}))
}

// TestBrokerSeveralMTPs: the same at real brokers, which are also killed and frozen.
func TestBrokerSeveralMTPs(t *testing.T) {
	severalMTPs(t, newMosquitto(t, brokerSetup{}), newRabbitMQ(t, brokerSetup{}))
}

func severalMTPs(t *testing.T, broker, server anyBroker) {
	s := newSeveral(t, broker, server)
	for _, e := range []*eut{s.eut, s.mqtt, s.stomp} {
		e.subscribe(unique("name"), "ValueChange", "Device.WiFi.SSID.1.SSID", req("NotifRetry", "true"))
	}
	s.must(s.w.cpe.WaitIdle(s.deadline()))
	rename := func(name string) {
		t.Helper()
		s.must(s.w.cpe.SetValue("Device.WiFi.SSID.1.SSID", name))
	}
	rename("all hear")
	for _, e := range []*eut{s.eut, s.mqtt, s.stomp} {
		e.renamed("all hear")
		e.asks()
	}
	before := s.asks()
	out := func(what, name string, end, begin func(), rest, gone *eut) {
		t.Helper()
		end()
		rename(name)
		s.renamed(name)
		rest.renamed(name)
		if took := s.asks(); took > 5*before+late {
			t.Errorf("%s: 20 Gets took %v, %v before", what, took, before)
		}
		rest.asks()
		begin()
		gone.renamed(name)
		gone.asks()
	}
	out("MQTT broker away", "no MQTT", broker.Stop, broker.Start, s.stomp, s.mqtt)
	out("STOMP server away", "no STOMP", server.Stop, server.Start, s.mqtt, s.stomp)
	if m, ok := broker.(realMosquitto); ok {
		out("killed", "killed", m.Kill, m.Start, s.stomp, s.mqtt)
		out("frozen", "frozen", m.Freeze, m.Thaw, s.stomp, s.mqtt)
	}
}

// TestMQTTDropsMidPacket: a broker that ends connections in the middle of a packet, and one that says nothing, is tried again; nobody hangs.
func TestMQTTDropsMidPacket(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	tried := make(chan struct{}, 100)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for n := 0; ; n++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Read(make([]byte, 1024))
			_, _ = c.Write([]byte("\x20\x0f\x00\x00\x0c\x12\x00\x20half"[:3+n%10])) // of a CONNACK
			_ = c.Close()
			tried <- struct{}{}
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-ended })
	server := newStomptest(t, brokerSetup{})
	stompAt, _ := server.addresses()
	own := newMochi(t, brokerSetup{})
	ctlAt, _ := own.addresses()
	e := fresh(t, options{others: map[usp.EndpointID]reachable{
		mqttController:  &atBroker{broker: ctlAt, addr: l.Addr().String(), version: "5.0", agentTopic: agentTopic},
		stompController: &atServer{server: stompAt, addr: stompAt, agentDestination: agentDestination},
	}})
	e.change(activeClient+"ConnectRetryTime", "1")
	for range 3 {
		select {
		case <-tried:
		case <-time.After(patience):
			t.Fatal("the Agent does not try again")
		}
	}
	if status := e.values(activeClient)[activeClient]["Status"]; !strings.HasPrefix(status, "Error") && status != "Connecting" {
		t.Errorf("Status %s", status)
	}
	e.asks()
	(&eut{T: t, w: e.w, a: e.w.others[stompController].Agent(e.w.id)}).asks()
}
