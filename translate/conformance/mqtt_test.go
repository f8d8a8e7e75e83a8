package conformance_test

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"isthmus/usp"
	"isthmus/usp/identity/identitytest"
	"isthmus/usp/mtp"
	"isthmus/usp/usppb"
)

// mqttCases are the cases of chapter 11; only5 are those that MQTT 3.1.1 has nothing for.
var mqttCases = map[string]struct {
	run   func(*mqttRig)
	only5 bool
}{
	"11.1":  {run: mqttProfiles},
	"11.2":  {run: mqttConnect},
	"11.3":  {run: mqttTLS},
	"11.4":  {run: mqttClientID, only5: true},
	"11.5":  {run: mqttClientIDKept},
	"11.6":  {run: mqttRetry},
	"11.7":  {run: mqttKeepAlive, only5: true},
	"11.8":  {run: mqttSubscribe, only5: true},
	"11.9":  {run: mqttNewSubscription},
	"11.10": {run: mqttNoTopic, only5: true},
	"11.11": {run: mqttNotGranted},
	"11.12": {run: mqttPublish},
	"11.13": {run: mqttQoS},
	"11.14": {run: mqttReply},
	"11.15": {run: mqttContentType, only5: true},
	"11.16": {run: mqttDisconnected},
	"11.17": {run: mqttConnectRecord},
}

func runMQTT(t *testing.T, number string, start func(*testing.T, brokerSetup) anyBroker) {
	t.Parallel()
	c := mqttCases[number]
	for _, version := range []string{"5.0", "3.1.1"} {
		if !c.only5 || version == "5.0" {
			t.Run(version, func(t *testing.T) { c.run(&mqttRig{t, start, version, false}) })
		}
	}
}

// TestSharedMQTT: what does not depend on a connection of the Agent's own holds where Agents share some, too.
func TestSharedMQTT(t *testing.T) { sharedMQTT(t, newMochi) }

// TestBrokerSharedMQTT: the same at a real broker.
func TestBrokerSharedMQTT(t *testing.T) { sharedMQTT(t, newMosquitto) }

func sharedMQTT(t *testing.T, start func(*testing.T, brokerSetup) anyBroker) {
	for _, number := range []string{"11.2", "11.9", "11.10", "11.12", "11.13", "11.14", "11.15", "11.16", "11.17"} {
		for _, version := range []string{"5.0", "3.1.1"} {
			if c := mqttCases[number]; !c.only5 || version == "5.0" {
				t.Run(number+" "+version, func(t *testing.T) { c.run(&mqttRig{t, start, version, true}) })
			}
		}
	}
}

// TestBrokerMQTT: the same at a real broker.
func TestBrokerMQTT(t *testing.T) {
	for number := range mqttCases {
		t.Run(number, func(t *testing.T) { runMQTT(t, number, newMosquitto) })
	}
}

func TestTP469_11_1_Profiles(t *testing.T)        { runMQTT(t, "11.1", newMochi) }
func TestTP469_11_2_Connect(t *testing.T)         { runMQTT(t, "11.2", newMochi) }
func TestTP469_11_3_TLS(t *testing.T)             { runMQTT(t, "11.3", newMochi) }
func TestTP469_11_4_ClientID(t *testing.T)        { runMQTT(t, "11.4", newMochi) }
func TestTP469_11_5_ClientIDKept(t *testing.T)    { runMQTT(t, "11.5", newMochi) }
func TestTP469_11_6_Retry(t *testing.T)           { runMQTT(t, "11.6", newMochi) }
func TestTP469_11_7_KeepAlive(t *testing.T)       { runMQTT(t, "11.7", newMochi) }
func TestTP469_11_8_Subscribe(t *testing.T)       { runMQTT(t, "11.8", newMochi) }
func TestTP469_11_9_NewSubscription(t *testing.T) { runMQTT(t, "11.9", newMochi) }
func TestTP469_11_10_NoTopic(t *testing.T)        { runMQTT(t, "11.10", newMochi) }
func TestTP469_11_11_NotGranted(t *testing.T)     { runMQTT(t, "11.11", newMochi) }
func TestTP469_11_12_Publish(t *testing.T)        { runMQTT(t, "11.12", newMochi) }
func TestTP469_11_13_QoS(t *testing.T)            { runMQTT(t, "11.13", newMochi) }
func TestTP469_11_14_ReplyTopic(t *testing.T)     { runMQTT(t, "11.14", newMochi) }
func TestTP469_11_15_ContentType(t *testing.T)    { runMQTT(t, "11.15", newMochi) }
func TestTP469_11_16_Disconnected(t *testing.T)   { runMQTT(t, "11.16", newMochi) }
func TestTP469_11_17_ConnectRecord(t *testing.T)  { runMQTT(t, "11.17", newMochi) }

// mqttProfiles: MQTTClientCon:1, MQTTClientSubscribe:1, MQTTAgent:1, MQTTController:1 (R-MQTT.4).
func mqttProfiles(r *mqttRig) {
	e := r.agent()
	res := e.model(&usppb.GetSupportedDM{ReturnParams: true}, "Device.MQTT.", "Device.LocalAgent.")
	for path, params := range map[string][]string{
		"Device.MQTT.Capabilities.": {"ProtocolVersionsSupported", "TransportProtocolSupported"},
		"Device.MQTT.":              {"ClientNumberOfEntries"},
		"Device.MQTT.Client.{i}.": {"Alias", "Name", "Enable", "Status", "ProtocolVersion", "BrokerAddress", "BrokerPort", "CleanSession", "KeepAliveTime", "ClientID", "Username", "Password",
			"TransportProtocol", "MessageRetryTime", "ConnectRetryTime", "ConnectRetryIntervalMultiplier", "ConnectRetryMaxInterval", "ResponseInformation", "SubscriptionNumberOfEntries"},
		"Device.MQTT.Client.{i}.Stats.":                  {"BrokerConnectionEstablished", "MQTTMessagesSent", "MQTTMessagesReceived", "ConnectionErrors"},
		"Device.MQTT.Client.{i}.Subscription.{i}.":       {"Alias", "Enable", "Status", "Topic", "QoS"},
		"Device.LocalAgent.MTP.{i}.MQTT.":                {"Reference", "ResponseTopicConfigured", "ResponseTopicDiscovered"},
		"Device.LocalAgent.Controller.{i}.MTP.{i}.MQTT.": {"AgentMTPReference", "Topic"},
	} {
		q := res[0]
		if strings.HasPrefix(path, "Device.LocalAgent.") {
			q = res[1]
		}
		e.has(e.find(q, path), params...)
	}
	if got := e.values("Device.MQTT.Client.")[activeClient]; got["Status"] != "Connected" || got["ProtocolVersion"] != r.version || got["Username"] != "fleet" || got["Password"] != "" {
		e.Errorf("%s is %v", activeClient, got)
	}
}

// TestMQTTStats: MQTTClientBase:1: what crosses the connection is counted, over all the times it is made anew.
func TestMQTTStats(t *testing.T) {
	for _, shared := range []bool{false, true} {
		e := (&mqttRig{t, newMochi, "5.0", shared}).agent()
		stats := func() (sent, received, errs uint64, since time.Time) {
			t.Helper()
			v := e.values(activeClient + "Stats.")[activeClient+"Stats."]
			for name, to := range map[string]*uint64{"MQTTMessagesSent": &sent, "MQTTMessagesReceived": &received, "ConnectionErrors": &errs} {
				var err error
				if *to, err = strconv.ParseUint(v[name], 10, 64); err != nil {
					t.Error(err)
				}
			}
			since, err := time.Parse(time.RFC3339, v["BrokerConnectionEstablished"])
			e.must(err)
			return sent, received, errs, since
		}
		sent, received, errs, since := stats()
		if sent < 2 || received < 2 || errs != 0 || time.Since(since) > time.Minute {
			t.Errorf("%d sent, %d received, %d errors, since %v", sent, received, errs, since)
		}
		sentMore, receivedMore, _, _ := stats()
		if sentMore <= sent || receivedMore <= received {
			t.Errorf("%d sent after %d, %d received after %d", sentMore, sent, receivedMore, received)
		}
		e.tap.cut()
		for e.w.behind.State(e.w.id, controllerID).Status == mtp.Connected { // nothing here tells of that
			time.Sleep(time.Millisecond)
		}
		e.w.behind.Kick(e.w.id)
		e.back(2)
		if s, r, errs, _ := stats(); s <= sentMore || r <= receivedMore || errs == 0 {
			t.Errorf("%d sent, %d received, %d errors after the connection was lost", s, r, errs)
		}
	}
}

func mqttConnect(r *mqttRig) {
	e := r.agent()
	e.restart()
	c := e.tap.next(e.eut, packets.Connect, false, nil)
	want := byte(4)
	if r.v5() {
		want = 5
		if one := !r.shared; slices.Contains(c.Properties.User, packets.UserProperty{Key: "usp-endpoint-id", Val: string(e.w.id)}) != one { // a connection of many is nobody's
			e.Errorf("User Properties %v", c.Properties.User)
		}
	}
	if c.ProtocolVersion != want || string(c.Connect.Username) != "fleet" || string(c.Connect.Password) != "secret" {
		e.Errorf("CONNECT %+v", c.Connect)
	}
}

// mqttTLS: what crosses is TLS records of TLS 1.2 or later, and the Agent answers.
func mqttTLS(r *mqttRig) {
	ca := identitytest.Root(r.T, "ca")
	own := ca.Issue(r.T, "")
	b := r.start(r.T, brokerSetup{own: own, ca: ca.Cert})
	plain, secure := b.addresses()
	wire := newWire(r.T, secure)
	trust := &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
	trust.RootCAs.AddCert(ca.Cert)
	e := fresh(r.T, options{tls: trust, at: &atBroker{broker: plain, addr: wire.addr, version: r.version, encrypted: true, agentTopic: agentTopic}})
	e.wantValue("Device.DeviceInfo.SerialNumber", "S1")
	e.must(e.w.stop())
	e.must(e.w.open())
	e.must(e.a.WaitConnects(e.deadline(), 2))
	e.wantValue("Device.DeviceInfo.SerialNumber", "S1")
	for range 2 {
		if first := <-wire.first; first[0] != 0x16 || first[1] != 3 || first[5] != 1 { // a record with a ClientHello
			e.Errorf("a connection begins with % x", first)
		}
	}
}

// firstBytes passes bytes on and gives the first of each connection.
type firstBytes struct {
	addr  string
	first chan [6]byte
}

func newWire(t *testing.T, to string) *firstBytes {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &firstBytes{l.Addr().String(), make(chan [6]byte, 16)}
	ended := make(chan struct{})
	var all []net.Conn
	go func() {
		defer close(ended)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			b, err := net.Dial("tcp", to)
			if err != nil {
				_ = c.Close()
				continue
			}
			all = append(all, c, b)
			go func() { _, _ = io.Copy(c, b); _ = c.Close() }()
			go func() {
				in := bufio.NewReader(c)
				if begin, err := in.Peek(6); err == nil {
					f.first <- [6]byte(begin)
				}
				_, _ = io.Copy(b, in)
				_ = b.Close()
			}()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-ended
		for _, c := range all {
			_ = c.Close()
		}
	})
	return f
}

// refuseID has the broker not take the Agent's ClientID, as one does that assigns them itself, so that it connects without one.
func refuseID(pk *packets.Packet) {
	if pk.FixedHeader.Type == packets.Connack && pk.Properties.AssignedClientID == "" {
		pk.ReasonCode = 0x85
	}
}

// mqttClientID: an empty ClientID, which a Controller has set or the broker wants, and the assigned one in the table and in use after a restart
// (R-MQTT.8, R-MQTT.9).
func mqttClientID(r *mqttRig) {
	mqttClientIDSet(r)
	e := r.agent(func(_ *atBroker, t *tap) { t.change(refuseID) })
	ack := e.tap.next(e.eut, packets.Connack, true, func(s *seen) bool { return s.ReasonCode == 0 })
	id := ack.Properties.AssignedClientID
	if id == "" {
		e.Fatal("the broker assigned none")
	}
	e.wantValue(activeClient+"ClientID", id)
	e.tap.change(nil)
	e.restart()
	if c := e.tap.next(e.eut, packets.Connect, false, nil); c.Connect.ClientIdentifier != id {
		e.Errorf("ClientID %q after a restart, want %q", c.Connect.ClientIdentifier, id)
	}
	e.back(2)
	e.wantValue(activeClient+"ClientID", id)
}

func mqttClientIDSet(r *mqttRig) {
	e := r.agent()
	e.tap.skip()
	e.change(activeClient+"ClientID", "")
	if c := e.tap.next(e.eut, packets.Connect, false, nil); c.Connect.ClientIdentifier != "" {
		e.Errorf("ClientID %q", c.Connect.ClientIdentifier)
	}
	id := e.tap.next(e.eut, packets.Connack, true, nil).Properties.AssignedClientID
	e.back(2)
	e.wantValue(activeClient+"ClientID", id)
	e.restart()
	if c := e.tap.next(e.eut, packets.Connect, false, nil); c.Connect.ClientIdentifier != id || id == "" {
		e.Errorf("ClientID %q after a restart, want %q", c.Connect.ClientIdentifier, id)
	}
}

func mqttClientIDKept(r *mqttRig) {
	e := r.agent()
	first := e.tap.next(e.eut, packets.Connect, false, nil).Connect.ClientIdentifier
	if first == "" {
		e.Error("no ClientID")
	}
	e.wantValue(activeClient+"ClientID", first)
	e.restart()
	if c := e.tap.next(e.eut, packets.Connect, false, nil); c.Connect.ClientIdentifier != first {
		e.Errorf("ClientID %q after a restart, want %q", c.Connect.ClientIdentifier, first)
	}
}

const (
	late  = 4 * time.Second        // what a busy machine may take longer
	early = 100 * time.Millisecond // what two clocks may differ
)

// quick has the Agent wait as little as it may.
func (e *mqttEUT) quick() {
	e.Helper()
	_, err := e.set(false, obj{activeClient, []param{req("ConnectRetryTime", "1"), req("ConnectRetryIntervalMultiplier", "2000"), req("ConnectRetryMaxInterval", "4")}})
	e.must(err)
	e.back(2) // what has changed takes effect in a new connection
}

// mqttRetry: R-MQTT.10, two attempts in vain in their windows.
func mqttRetry(r *mqttRig) {
	e := r.agent()
	e.quick()
	e.tap.skip()
	lost := time.Now()
	e.broker.Stop()
	e.tap.cut()
	first := e.tap.next(e.eut, 0, false, nil).at
	second := e.tap.next(e.eut, 0, false, nil).at
	if wait := first.Sub(lost); wait < time.Second-early || wait > 2*time.Second+late {
		e.Errorf("the first attempt after %v, want 1 s to 2 s", wait)
	}
	if wait := second.Sub(first); wait < 2*time.Second-early || wait > 4*time.Second+late {
		e.Errorf("the second attempt after %v, want 2 s to 4 s", wait)
	}
	e.broker.Start()
	e.back(3)
}

// mqttKeepAlive: the row's in CONNECT; the broker's counts (MQTT 5.0, 3.2.2.3.14).
func mqttKeepAlive(r *mqttRig) {
	e := r.agent()
	e.change(activeClient+"KeepAliveTime", "40")
	e.back(2)
	e.tap.change(func(pk *packets.Packet) {
		pk.Properties.ServerKeepAlive, pk.Properties.ServerKeepAliveFlag = 2, true
	})
	e.restart()
	if c := e.tap.next(e.eut, packets.Connect, false, nil); c.Connect.Keepalive != 40 {
		e.Errorf("Keep Alive %d", c.Connect.Keepalive)
	}
	e.back(3)
	begin := time.Now()
	e.tap.next(e.eut, packets.Pingreq, false, nil)
	if wait := time.Since(begin); wait > 3*time.Second+late {
		e.Errorf("PINGREQ after %v", wait)
	}
}

// mqttSubscribe: R-MQTT.12, R-MQTT.15.
func mqttSubscribe(r *mqttRig) {
	e := r.agent()
	e.tap.change(func(pk *packets.Packet) {
		if pk.FixedHeader.Type == packets.Connack {
			pk.Properties.User = append(pk.Properties.User, packets.UserProperty{Key: "subscribe-topic", Val: "given/by/broker"})
			pk.Properties.ResponseInfo = "answers/to/" + string(e.w.id)
		}
	})
	e.restart()
	if c := e.tap.next(e.eut, packets.Connect, false, nil); c.Properties.RequestResponseInfo != 1 {
		e.Error("it does not ask for Response Information")
	}
	wantFilters(e, "given/by/broker", "answers/to/"+string(e.w.id))
	e.back(2)
	h := e.byHand("usp/hand")
	h.get("given/by/broker", "usp.msg", "Device.DeviceInfo.SerialNumber")
	e.wantValue("Device.LocalAgent.MTP.1.MQTT.ResponseTopicDiscovered", "answers/to/"+string(e.w.id))
}

// wantFilters says what the next SUBSCRIBE has among its topic filters.
func wantFilters(e *mqttEUT, want ...string) {
	e.Helper()
	s := e.tap.next(e.eut, packets.Subscribe, false, nil)
	for _, w := range want {
		if !slices.ContainsFunc(s.Filters, func(f packets.Subscription) bool { return f.Filter == w }) {
			e.Errorf("SUBSCRIBE has %v, not %s", s.Filters, w)
		}
	}
}

// filter is what a topic is subscribed to with: in 3.1.1 the reply topic is at its end.
func (r *mqttRig) filter(topic string) string {
	if r.v5() {
		return topic
	}
	return topic + "/#"
}

// mqttNewSubscription: R-MQTT.34.
func mqttNewSubscription(r *mqttRig) {
	e := r.agent()
	h := e.byHand("usp/hand")
	e.tap.skip()
	const topic = "newTopic-11-9"
	row, _ := e.added(activeClient+"Subscription.", req("Enable", "true"), req("Topic", r.filter(topic)))
	wantFilters(e, r.filter(topic))
	e.tap.next(e.eut, packets.Suback, true, nil)
	h.get(topic, "usp.msg", row)
	e.change(row+"Enable", "false")
	if u := e.tap.next(e.eut, packets.Unsubscribe, false, nil); len(u.Filters) != 1 || u.Filters[0].Filter != r.filter(topic) {
		e.Errorf("UNSUBSCRIBE %v", u.Filters)
	}
	if e.a.Connects() != 1 {
		e.Error("the connection was made anew")
	}
}

// mqttNoTopic: R-MQTT.16.
func mqttNoTopic(r *mqttRig) {
	given := func(pk *packets.Packet) {
		if pk.FixedHeader.Type == packets.Connack {
			pk.Properties.User = []packets.UserProperty{{Key: "subscribe-topic", Val: "given/topic"}}
		}
	}
	e := r.agent(func(at *atBroker, t *tap) {
		at.agentTopic = ""
		t.change(given)
	})
	e.tap.change(nil)
	e.restart()
	e.tap.next(e.eut, packets.Connack, true, nil)
	e.tap.next(e.eut, packets.Disconnect, false, nil)
	if n := len(e.tap.sent(packets.Publish)) + len(e.tap.sent(packets.Subscribe)); n > 0 {
		e.Errorf("%d packets after DISCONNECT", n)
	}
}

// mqttNotGranted: R-MQTT.17.
func mqttNotGranted(r *mqttRig) {
	e := r.agent()
	e.tap.change(func(pk *packets.Packet) {
		if pk.FixedHeader.Type == packets.Suback {
			for i := range pk.ReasonCodes {
				pk.ReasonCodes[i] = 0x80
			}
		}
	})
	e.restart()
	e.tap.next(e.eut, packets.Suback, true, nil)
	e.tap.next(e.eut, packets.Disconnect, false, nil)
	if n := len(e.tap.sent(packets.Publish)); n > 0 {
		e.Errorf("%d messages after a SUBACK that grants nothing", n)
	}
}

// response is the PUBLISH of the Agent that has the answer to a Get.
func (e *mqttEUT) response() *seen {
	e.Helper()
	return e.tap.next(e.eut, packets.Publish, false, func(s *seen) bool {
		r, err := usp.DecodeRecord(s.Payload)
		e.must(err)
		m, err := usp.DecodeMsg(r.GetNoSessionContext().GetPayload())
		return err == nil && m.GetBody().GetResponse().GetGetResp() != nil
	})
}

// mqttPublish: R-MQTT.21, .22, .24, .27.
func mqttPublish(r *mqttRig) {
	e := r.agent()
	mine := e.topic
	if r.v5() {
		mine = "answers/to/" + string(e.w.id)
		e.tap.change(func(pk *packets.Packet) {
			if pk.FixedHeader.Type == packets.Connack {
				pk.Properties.ResponseInfo = mine
			}
		})
	}
	e.restart()
	e.back(2)
	e.tap.skip()
	e.wantValue("Device.DeviceInfo.SerialNumber", "S1")
	p := e.response()
	if r.v5() && (p.Properties.ResponseTopic != mine || p.Properties.ContentType != "usp.msg") ||
		!r.v5() && !strings.HasSuffix(p.TopicName, "/reply-to="+strings.ReplaceAll(mine, "/", "%2F")) {
		e.Errorf("PUBLISH to %s, %+v", p.TopicName, p.Properties)
	}
}

// mqttQoS: a subscription with each, and a message that comes with each (R-MQTT.20).
func mqttQoS(r *mqttRig) {
	e := r.agent()
	h := e.byHand("usp/hand")
	for qos, topic := range []string{"newTopic-11-13-QoS0", "newTopic-11-13-QoS1"} {
		e.tap.skip()
		row, _ := e.added(activeClient+"Subscription.", req("Enable", "true"), req("Topic", r.filter(topic)), req("QoS", itoa(qos)))
		s := e.tap.next(e.eut, packets.Subscribe, false, nil)
		if i := slices.IndexFunc(s.Filters, func(f packets.Subscription) bool { return f.Filter == r.filter(topic) }); i < 0 || int(s.Filters[i].Qos) != qos {
			e.Errorf("SUBSCRIBE %v", s.Filters)
		}
		e.tap.next(e.eut, packets.Suback, true, nil)
		h.get(topic, "usp.msg", row)
		if p := e.tap.next(e.eut, packets.Publish, true, func(p *seen) bool { return strings.HasPrefix(p.TopicName, topic) }); int(p.FixedHeader.Qos) != qos {
			e.Errorf("%s came with QoS %d", topic, p.FixedHeader.Qos)
		}
	}
}

// mqttReply: R-MQTT.25, R-MQTT.26.
func mqttReply(r *mqttRig) {
	e := r.agent()
	h := e.byHand("usp/hand/of its own")
	e.tap.skip()
	h.get(e.topic, "usp.msg", "Device.DeviceInfo.SerialNumber")
	p := e.response()
	want, says := h.reply, p.Properties.ResponseTopic == e.topic
	if !r.v5() {
		want += "/reply-to=" + strings.ReplaceAll(e.topic, "/", "%2F")
		says = true
	}
	if p.TopicName != want || !says {
		e.Errorf("answered at %s, %+v", p.TopicName, p.Properties)
	}
}

// mqttContentType: R-MQTT.27, R-MQTT.27a.
func mqttContentType(r *mqttRig) {
	e := r.agent()
	h := e.byHand("usp/hand")
	h.get(e.topic, "usp.msg", "Device.DeviceInfo.SerialNumber")
	h.get(e.topic, "application/vnd.bbf.usp.msg", "Device.DeviceInfo.SerialNumber")
}

// mqttDisconnected: R-MQTT.10 after the broker's DISCONNECT.
func mqttDisconnected(r *mqttRig) {
	e := r.agent()
	e.quick()
	e.tap.skip()
	lost := time.Now()
	e.must(e.tap.disconnect())
	if wait := e.tap.next(e.eut, 0, false, nil).at.Sub(lost); wait < time.Second-early || wait > 2*time.Second+late {
		e.Errorf("connected again after %v, want 1 s to 2 s", wait)
	}
	e.back(3)
}

// mqttConnectRecord: R-MTP.6.
func mqttConnectRecord(r *mqttRig) {
	e := r.agent()
	begin := time.Now()
	e.restart()
	filters := e.tap.next(e.eut, packets.Subscribe, false, nil).Filters
	p := e.tap.next(e.eut, packets.Publish, false, nil)
	rec, err := usp.DecodeRecord(p.Payload)
	e.must(err)
	c := rec.GetMqttConnect()
	want := usppb.MQTTConnectRecord_V3_1_1
	if r.v5() {
		want = usppb.MQTTConnectRecord_V5
	}
	if c == nil || c.GetVersion() != want || !slices.ContainsFunc(filters, func(f packets.Subscription) bool { return f.Filter == r.filter(c.GetSubscribedTopic()) }) {
		e.Errorf("the first Record is %v; subscribed to %v", rec, filters)
	}
	if took := time.Since(begin); took > 30*time.Second {
		e.Errorf("after %v", took)
	}
}
