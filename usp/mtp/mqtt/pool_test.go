package mqtt

import (
	"errors"
	"strings"
	"testing"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"isthmus/usp"
	"isthmus/usp/mtp"
	"isthmus/usp/mtp/broker"
	"isthmus/usp/mtp/mqtt/client"
)

// TestRecords: R-MQTT.18 to R-MQTT.27: what an Agent sends says where it listens, an answer goes where the request says, all else to the Controller's topic.
func TestRecords(t *testing.T) {
	for version, v := range map[string]client.Version{"5.0": client.V5, "3.1.1": client.V311} {
		t.Run(version, func(t *testing.T) {
			addr := addressOf(t, startBroker(t, "127.0.0.1:0"))
			filter := "usp/controller/#"
			l := listen(t, addr, v, filter)
			p, e := newPool(t, broker.Options{}), newEndpoint(agentID)
			p.Connect(e, []mtp.Target{target(t, addr, ctl1, func(to *mtp.Target) { to.MQTT.Version = version })})
			ch := e.channel(t, ctl1)
			if s := p.State(agentID, ctl1); s.Status != mtp.Connected || s.ClientID != string(agentID) || s.Listens != "usp/agent/"+string(agentID) {
				t.Errorf("state %+v", s)
			}
			if r := ch.ConnectRecord().GetMqttConnect(); r.GetSubscribedTopic() != "usp/agent/"+string(agentID) {
				t.Errorf("Connect Record %v", r)
			}
			if err := ch.Send(t.Context(), []byte("hello"), ""); err != nil {
				t.Fatal(err)
			}
			reply := "usp/agent/" + string(agentID)
			if m := l.next(t); v == client.V5 && (m.Topic != "usp/controller/"+string(ctl1) || m.ResponseTopic != reply || m.ContentType != contentType) ||
				v == client.V311 && m.Topic != "usp/controller/"+string(ctl1)+"/reply-to=usp%2Fagent%2F"+string(agentID) {
				t.Errorf("%+v", m)
			}
			request := &client.Publish{Topic: reply, ResponseTopic: "usp/controller/elsewhere", ContentType: contentTypeLegacy, Payload: []byte("ask"), QoS: 1}
			if v == client.V311 {
				request = &client.Publish{Topic: withReply(reply, "usp/controller/elsewhere"), Payload: []byte("ask"), QoS: 1}
			}
			if err := l.Publish(t.Context(), request); err != nil {
				t.Fatal(err)
			}
			in := e.last(t, 1)
			if in != (got{ctl1, "ask", "usp/controller/elsewhere"}) {
				t.Errorf("%+v", in)
			}
			if err := ch.Send(t.Context(), []byte("answer"), in.reply); err != nil {
				t.Fatal(err)
			}
			if m := l.next(t); !strings.HasPrefix(m.Topic, "usp/controller/elsewhere") || string(m.Payload) != "answer" {
				t.Errorf("%+v", m)
			}
		})
	}
}

// TestControllersBehindOneClient: they share its connection; what arrives goes by from_id, and one that is taken away disturbs no other.
func TestControllersBehindOneClient(t *testing.T) {
	s := startBroker(t, "127.0.0.1:0")
	addr := addressOf(t, s)
	l := listen(t, addr, client.V5, "usp/controller/+")
	p, e := newPool(t, broker.Options{}), newEndpoint(agentID)
	one, two := target(t, addr, ctl1), target(t, addr, ctl2)
	p.Connect(e, []mtp.Target{one, two})
	first := e.channel(t, ctl1)
	second := e.channel(t, ctl2)
	if n := s.Clients.Len(); n != 3 { // and the listener and the inline client
		t.Errorf("%d clients", n)
	}
	for i, from := range []usp.EndpointID{ctl2, ctl1} {
		if err := l.Publish(t.Context(), &client.Publish{Topic: "usp/agent/" + string(agentID), Payload: record(t, from, agentID), QoS: 1}); err != nil {
			t.Fatal(err)
		}
		if in := e.last(t, i+1); in.controller != from {
			t.Errorf("%s, want %s", in.controller, from)
		}
	}
	p.Connect(e, []mtp.Target{one})
	e.until(t, "the end of a channel", func() bool { return e.up[ctl2] == nil })
	second.Close(mtp.Normal) // as the Agent does when it has seen a Controller off
	p.Reset(agentID, ctl2)   // what is not there any more is nobody's
	if err := first.Send(t.Context(), []byte("still here"), ""); err != nil || string(l.next(t).Payload) != "still here" {
		t.Error(err)
	}
	if e.ups != 2 {
		t.Errorf("%d channels came up", e.ups)
	}
}

// TestTP469_11_9_Subscriptions: R-MQTT.34: rows of Subscription. that come and go are followed without a new connection.
func TestTP469_11_9_Subscriptions(t *testing.T) {
	addr := addressOf(t, startBroker(t, "127.0.0.1:0"))
	l := listen(t, addr, client.V5, "none")
	p, e := newPool(t, broker.Options{}), newEndpoint(agentID)
	with := func(rows string) []mtp.Target {
		return []mtp.Target{target(t, addr, ctl1, func(to *mtp.Target) { to.MQTT.Subscriptions = rows })}
	}
	p.Connect(e, with("1 more/{x}\n"))
	e.channel(t, ctl1)
	p.Connect(e, with("1 other/+\n0 third\n"))
	n := 0
	for _, c := range []struct {
		topic string
		heard bool
	}{{"other/a", true}, {"third", true}, {"more/{x}", false}, {"usp/agent/" + string(agentID), true}} {
		for deadline := time.Now().Add(waiting); ; {
			if s := p.State(agentID, ctl1); len(s.Subscribed) == 3 {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("subscribed to %v", p.State(agentID, ctl1).Subscribed)
			}
			time.Sleep(time.Millisecond)
		}
		if err := l.Publish(t.Context(), &client.Publish{Topic: c.topic, Payload: []byte(c.topic), QoS: 1}); err != nil {
			t.Fatal(err)
		}
		if c.heard {
			if n++; e.last(t, n).record != c.topic {
				t.Errorf("%+v", e.got)
			}
		}
	}
	if e.ups != 1 {
		t.Errorf("%d connections", e.ups)
	}
}

// hook changes what a broker says, and writes down what it hears.
type hook struct {
	mochi.HookBase
	connected chan packets.Packet
	connack   func(*packets.Packet)
}

func (*hook) ID() string { return "test" }

func (h *hook) Provides(b byte) bool {
	return b == mochi.OnPacketRead || b == mochi.OnPacketEncode
}

func (h *hook) OnPacketRead(_ *mochi.Client, pk packets.Packet) (packets.Packet, error) {
	if pk.FixedHeader.Type == packets.Connect && len(pk.Connect.ClientIdentifier) != 1 {
		h.connected <- pk
	}
	return pk, nil
}

func (h *hook) OnPacketEncode(_ *mochi.Client, pk packets.Packet) packets.Packet {
	if pk.FixedHeader.Type == packets.Connack && h.connack != nil {
		h.connack(&pk)
	}
	return pk
}

// TestTP469_11_2_Connect: CONNECT says who connects and asks for Response Information (R-MQTT.12, R-MQTT.13); without a ClientID the broker assigns one, which the
// Agent learns and uses from then on (R-MQTT.8, R-MQTT.9); the broker's topics are subscribed to (R-MQTT.15) and its Response Information used (R-MQTT.21).
func TestTP469_11_2_Connect(t *testing.T) {
	h := &hook{connected: make(chan packets.Packet, 10), connack: func(pk *packets.Packet) {
		pk.Properties.ResponseInfo = "broker/answers"
		pk.Properties.User = append(pk.Properties.User, packets.UserProperty{Key: topicProperty, Val: "broker/more"})
	}}
	s := startBroker(t, "127.0.0.1:0", h)
	addr := addressOf(t, s)
	p, e := newPool(t, broker.Options{}), newEndpoint(agentID)
	to := target(t, addr, ctl1, func(to *mtp.Target) { to.MQTT.ClientID = "" })
	p.Connect(e, []mtp.Target{to})
	e.channel(t, ctl1)
	pk := <-h.connected
	if u := pk.Properties.User; len(u) != 1 || u[0].Key != endpointProperty || u[0].Val != string(agentID) || pk.Properties.RequestResponseInfo != 1 || pk.Connect.ClientIdentifier != "" {
		t.Errorf("%+v", pk.Properties)
	}
	if w := pk.Connect; !w.WillFlag || w.WillTopic != to.MQTT.Topic {
		t.Errorf("Will to %q", w.WillTopic)
	}
	state := p.State(agentID, ctl1)
	if len(e.learnt) != 1 || !state.Assigned || state.ClientID == "" || state.Listens != "broker/answers" || !strings.Contains(strings.Join(state.Subscribed, " "), "broker/more broker/answers") {
		t.Errorf("learnt %+v, state %+v", e.learnt, state)
	}
	to.MQTT.ClientID = state.ClientID // as the row says it now
	p.Connect(e, []mtp.Target{to})
	p.Reset(agentID, ctl1)
	if again := <-h.connected; again.Connect.ClientIdentifier != state.ClientID {
		t.Errorf("ClientID %q, want %q", again.Connect.ClientIdentifier, state.ClientID)
	}
	e.until(t, "a second connection", func() bool { return e.ups == 2 })
}

// TestTP469_11_10_NoTopic: R-MQTT.16: without one the MTP is of no use until its rows change.
func TestTP469_11_10_NoTopic(t *testing.T) {
	addr := addressOf(t, startBroker(t, "127.0.0.1:0"))
	p, e := newPool(t, broker.Options{}), newEndpoint(agentID)
	to := target(t, addr, ctl1, func(to *mtp.Target) { to.MQTT.ResponseTopic = "" })
	p.Connect(e, []mtp.Target{to})
	for deadline := time.Now().Add(waiting); p.State(agentID, ctl1).Status != mtp.Misconfigured; {
		if time.Now().After(deadline) {
			t.Fatalf("%+v", p.State(agentID, ctl1))
		}
		time.Sleep(time.Millisecond)
	}
	to.MQTT.Subscriptions = "1 here\n"
	p.Connect(e, []mtp.Target{to})
	e.channel(t, ctl1)
	if s := p.State(agentID, ctl1); s.Listens != "here" {
		t.Errorf("%+v", s)
	}
}

// TestForbiddenReplies: an answer goes to nobody but a Controller.
func TestForbiddenReplies(t *testing.T) {
	addr := addressOf(t, startBroker(t, "127.0.0.1:0"))
	l := listen(t, addr, client.V311, "none") // which may ask for anything
	p, e, other := newPool(t, broker.Options{}), newEndpoint(agentID), newEndpoint("os::00D09E-2")
	v311 := func(to *mtp.Target) { to.MQTT.Version = version311 }
	p.Connect(e, []mtp.Target{target(t, addr, ctl1, v311)})
	p.Connect(other, []mtp.Target{target(t, addr, ctl1, v311)})
	e.channel(t, ctl1)
	other.channel(t, ctl1)
	mine := "usp/agent/" + string(agentID)
	for _, reply := range []string{"a%2Fx", mine, "usp/agent/os::00D09E-2", "usp/agent/os::00D09E-3"} {
		if err := l.Publish(t.Context(), &client.Publish{Topic: withReply(mine, reply), Payload: []byte(reply), QoS: 1}); err != nil {
			t.Fatal(err)
		}
	}
	if first, second := e.last(t, 1), e.last(t, 2); first.record != "a%2Fx" || second.record != "usp/agent/os::00D09E-3" {
		t.Errorf("%+v, %+v", first, second)
	}
	for _, bad := range []string{"a/#", "+/b", "\x00"} {
		if isTopic(bad) {
			t.Errorf("%q is a topic", bad)
		}
	}
}

// TestBrokerRestart: a broker that goes away and comes back finds its Agents again; meanwhile nothing can be sent.
func TestBrokerRestart(t *testing.T) {
	s := startBroker(t, "127.0.0.1:0")
	addr := addressOf(t, s)
	p, e := newPool(t, broker.Options{}), newEndpoint(agentID)
	p.Connect(e, []mtp.Target{target(t, addr, ctl1)})
	ch := e.channel(t, ctl1)
	s.stop()
	e.until(t, "the end of the channel", func() bool { return e.up[ctl1] == nil })
	if err := ch.Send(t.Context(), []byte("x"), ""); !errors.Is(err, mtp.ErrDown) {
		t.Errorf("%v", err)
	}
	untilState(t, p, func(s mtp.State) bool { return s.Status != mtp.Connected })
	startBroker(t, addr)
	e.until(t, "a new channel", func() bool { return e.up[ctl1] != nil })
	if err := e.up[ctl1].Send(t.Context(), []byte("x"), ""); err != nil {
		t.Error(err)
	}
	if s := p.State(agentID, ctl1); s.Failures != 0 {
		t.Errorf("%+v", s)
	}
}

// TestTooBig: what the broker does not take is not sent, and MaxSize says so before.
func TestTooBig(t *testing.T) {
	h := &hook{connected: make(chan packets.Packet, 10), connack: func(pk *packets.Packet) { pk.Properties.MaximumPacketSize = 2000 }}
	addr := addressOf(t, startBroker(t, "127.0.0.1:0", h))
	p, e := newPool(t, broker.Options{}), newEndpoint(agentID)
	p.Connect(e, []mtp.Target{target(t, addr, ctl1)})
	ch := e.channel(t, ctl1)
	if n := ch.MaxSize(); n < 1500 || n >= 2000 {
		t.Errorf("MaxSize %d", n)
	}
	if err := ch.Send(t.Context(), make([]byte, ch.MaxSize()), ""); err != nil {
		t.Error(err)
	}
	if err := ch.Send(t.Context(), make([]byte, 2000), ""); !errors.Is(err, mtp.ErrTooBig) {
		t.Errorf("%v", err)
	}
}

func TestCovers(t *testing.T) {
	for _, c := range []struct {
		filter, topic string
		want          bool
	}{{"a/b", "a/b", true}, {"a/+", "a/b", true}, {"a/#", "a", true}, {"a/#", "a/b/c", true}, {"a/+", "a", false}, {"a", "a/b", false}, {"#", "a/b", true}, {"a/+/c", "a/b/d", false}, {"+/+", "a/b", true}} {
		if got := covers(c.filter, c.topic); got != c.want {
			t.Errorf("%s covers %s: %v", c.filter, c.topic, got)
		}
	}
}
