package mqtt

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"
	"github.com/prometheus/client_golang/prometheus"

	"isthmus/usp"
	"isthmus/usp/mtp"
	"isthmus/usp/mtp/broker"
	"isthmus/usp/mtp/mqtt/client"
)

// refusals is how many messages a Pool has refused for a reason.
func refusals(t *testing.T, reg *prometheus.Registry, reason string) (n float64) {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if f.GetName() == "isthmus_mtp_refused_total" && l.GetName() == "reason" && l.GetValue() == reason {
					n += m.GetCounter().GetValue()
				}
			}
		}
	}
	return n
}

// untilState waits for what is known of the way to the first Controller.
func untilState(t *testing.T, p *Pool, is func(mtp.State) bool) {
	t.Helper()
	for deadline := time.Now().Add(waiting); !is(p.State(agentID, ctl1)); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("state %+v", p.State(agentID, ctl1))
		}
	}
}

// TestHostileConnack: what a broker may say in CONNACK, reasonable or not, leaves the Agent connected as well as can be, or trying again later.
func TestHostileConnack(t *testing.T) {
	own := "usp/agent/" + string(agentID)
	topics := func(n int, topic func(int) string) func(*packets.Packet) {
		return func(pk *packets.Packet) {
			for i := range n {
				pk.Properties.User = append(pk.Properties.User, packets.UserProperty{Key: topicProperty, Val: topic(i)})
			}
		}
	}
	for name, c := range map[string]struct {
		connack func(*packets.Packet)
		refused string     // reason that is counted
		never   mtp.Status // the connection does not come about
		listens string
	}{
		"a window of one": {connack: func(pk *packets.Packet) { pk.Properties.ReceiveMaximum = 1 }, listens: own},
		"no keep-alive": {connack: func(pk *packets.Packet) {
			pk.Properties.ServerKeepAlive, pk.Properties.ServerKeepAliveFlag = 0, true
		}, listens: own},
		"a keep-alive of 1 s": {connack: func(pk *packets.Packet) {
			pk.Properties.ServerKeepAlive, pk.Properties.ServerKeepAliveFlag = 1, true
		}, listens: own},
		"Response Information with a wildcard": {connack: func(pk *packets.Packet) { pk.Properties.ResponseInfo = "usp/#" }, refused: "response_information", listens: own},
		"a subscribe-topic that is none":       {connack: topics(1, func(int) string { return "a/#/b" }), refused: "subscribe_topic", listens: own},
		"50 topics":                            {connack: topics(50, func(i int) string { return fmt.Sprint("more/", i) }), listens: own},
		"1,000 topics":                         {connack: topics(1000, func(i int) string { return fmt.Sprint("more/", i) }), never: mtp.Unreachable},
		"packets of 10 bytes":                  {connack: func(pk *packets.Packet) { pk.Properties.MaximumPacketSize = 10 }, never: mtp.Failed},
		"packets of 130 bytes":                 {connack: func(pk *packets.Packet) { pk.Properties.MaximumPacketSize = 130 }, listens: own},
	} {
		t.Run(name, func(t *testing.T) {
			addr := addressOf(t, startBroker(t, "127.0.0.1:0", &hook{connected: make(chan packets.Packet, 1000), connack: c.connack}))
			reg := prometheus.NewRegistry()
			p, e := newPool(t, broker.Options{Registerer: reg}), newEndpoint(agentID)
			p.Connect(e, []mtp.Target{target(t, addr, ctl1)})
			if c.never != mtp.Disabled {
				untilState(t, p, func(s mtp.State) bool { return s.Status == c.never && s.Failures > 0 })
				return
			}
			ch := e.channel(t, ctl1)
			var wg sync.WaitGroup
			for range 20 {
				wg.Go(func() {
					if err := ch.Send(t.Context(), []byte("x"), ""); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if s := p.State(agentID, ctl1); s.Listens != c.listens {
				t.Errorf("it listens at %q, want %q", s.Listens, c.listens)
			}
			if c.refused != "" && refusals(t, reg, c.refused) != 1 {
				t.Errorf("%s is not counted", c.refused)
			}
		})
	}
}

// TestTP469_11_13_MaximumQoS: a broker of QoS 0 only has an Agent that publishes at QoS 0 (R-MQTT.20), its Will too.
func TestTP469_11_13_MaximumQoS(t *testing.T) {
	h := &hook{connected: make(chan packets.Packet, 10)}
	s := startBroker(t, "127.0.0.1:0", h)
	s.Options.Capabilities.MaximumQos = 0
	addr := addressOf(t, s)
	l := listen(t, addr, client.V5, "usp/controller/+")
	<-h.connected
	p, e := newPool(t, broker.Options{}), newEndpoint(agentID)
	p.Connect(e, []mtp.Target{target(t, addr, ctl1)})
	if err := e.channel(t, ctl1).Send(t.Context(), []byte("x"), ""); err != nil {
		t.Fatal(err)
	}
	if m := l.next(t); m.QoS != 0 || string(m.Payload) != "x" {
		t.Errorf("%+v", m)
	}
	if first, second := <-h.connected, <-h.connected; first.Connect.WillQos != 1 || second.Connect.WillQos != 0 || !second.Connect.WillFlag {
		t.Errorf("Will at QoS %d, then %d", first.Connect.WillQos, second.Connect.WillQos)
	}
}

// TestTP469_11_4_ClientIDRefused: where the broker takes no Client Identifier of ours it gives one, and that is kept (R-MQTT.8, R-MQTT.9).
func TestTP469_11_4_ClientIDRefused(t *testing.T) {
	var asked atomic.Int32
	h := &hook{connected: make(chan packets.Packet, 10), connack: func(pk *packets.Packet) {
		if asked.Add(1) == 1 {
			pk.ReasonCode = packets.ErrClientIdentifierNotValid.Code
		}
	}}
	addr := addressOf(t, startBroker(t, "127.0.0.1:0", h))
	p, e := newPool(t, broker.Options{}), newEndpoint(agentID)
	p.Connect(e, []mtp.Target{target(t, addr, ctl1)})
	e.channel(t, ctl1)
	if first, second := <-h.connected, <-h.connected; first.Connect.ClientIdentifier != string(agentID) || second.Connect.ClientIdentifier != "" {
		t.Errorf("ClientID %q, then %q", first.Connect.ClientIdentifier, second.Connect.ClientIdentifier)
	}
	if s := p.State(agentID, ctl1); !s.Assigned || s.ClientID == "" || s.ClientID == string(agentID) || len(e.learnt) != 1 {
		t.Errorf("%+v, learnt %+v", s, e.learnt)
	}
}

// noAgents is a broker that lets nobody subscribe where Agents listen.
type noAgents struct{ mochi.HookBase }

func (*noAgents) ID() string { return "no Agents" }

func (*noAgents) Provides(b byte) bool {
	return b == mochi.OnConnectAuthenticate || b == mochi.OnACLCheck
}

func (*noAgents) OnConnectAuthenticate(*mochi.Client, packets.Packet) bool { return true }

func (*noAgents) OnACLCheck(_ *mochi.Client, topic string, _ bool) bool {
	return !strings.HasPrefix(topic, "usp/agent/")
}

// TestTP469_11_11_NothingGranted: R-MQTT.17: an Agent that may subscribe to nothing publishes nothing and disconnects.
func TestTP469_11_11_NothingGranted(t *testing.T) {
	p, e := newPool(t, broker.Options{}), newEndpoint(agentID)
	p.Connect(e, []mtp.Target{target(t, addressOf(t, startServer(t, "127.0.0.1:0", &noAgents{})), ctl1)})
	untilState(t, p, func(s mtp.State) bool { return s.Status == mtp.Failed })
	if e.ups > 0 {
		t.Error("a channel came up")
	}
}

// TestTP469_11_15_ContentType: a message that says it is no Record is not taken for one (R-MQTT.27, R-MQTT.27a).
func TestTP469_11_15_ContentType(t *testing.T) {
	addr, reg := addressOf(t, startBroker(t, "127.0.0.1:0")), prometheus.NewRegistry()
	l := listen(t, addr, client.V5, "none")
	p, e := newPool(t, broker.Options{Registerer: reg}), newEndpoint(agentID)
	p.Connect(e, []mtp.Target{target(t, addr, ctl1)})
	e.channel(t, ctl1)
	for _, kind := range []string{"text/plain", "usp.error", contentType, contentTypeLegacy, ""} {
		if err := l.Publish(t.Context(), &client.Publish{Topic: "usp/agent/" + string(agentID), ContentType: kind, Payload: []byte("as " + kind), QoS: 1}); err != nil {
			t.Fatal(err)
		}
	}
	if got := []string{e.last(t, 1).record, e.last(t, 2).record, e.last(t, 3).record}; strings.Join(got, ",") != "as usp.msg,as application/vnd.bbf.usp.msg,as " {
		t.Errorf("%q", got)
	}
	if n := refusals(t, reg, "content_type"); n != 2 {
		t.Errorf("%v are counted", n)
	}
}

// cut passes what goes between an Agent and its broker through, up to n bytes of what the broker says.
type cut struct {
	net.Conn
	n int
}

func (c *cut) Read(b []byte) (int, error) {
	if c.n == 0 {
		_ = c.Close()
		return 0, io.ErrUnexpectedEOF
	}
	n, err := c.Conn.Read(b[:min(len(b), c.n)])
	c.n -= n
	return n, err
}

// TestCutAnywhere: a connection that ends after any number of bytes is made anew, and the last of them serves.
func TestCutAnywhere(t *testing.T) {
	addr := addressOf(t, startBroker(t, "127.0.0.1:0"))
	const most = 60 // more than CONNACK and SUBACK
	n := 0
	p, e := newPool(t, broker.Options{Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
		nc, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		if n++; err == nil && n <= most {
			nc = &cut{nc, n}
		}
		return nc, err
	}}), newEndpoint(agentID)
	p.Fix(ctl1, broker.Fixed{})
	p.Connect(e, []mtp.Target{target(t, addr, ctl1, func(to *mtp.Target) { to.Retry = usp.Retry{Minimum: time.Millisecond, Multiplier: 1000} })})
	for deadline := time.Now().Add(waiting); ; time.Sleep(time.Millisecond) {
		e.mu.Lock()
		ch := e.up[ctl1]
		e.mu.Unlock()
		if ch != nil && ch.Send(t.Context(), []byte("x"), "") == nil && ch.Send(t.Context(), make([]byte, 100), "") == nil && p.State(agentID, ctl1).Status == mtp.Connected {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%+v", p.State(agentID, ctl1))
		}
	}
}

// fleetBroker is one over TLS that counts handshakes: how many are under way, and how many resume an earlier session.
type fleetBroker struct {
	mochi.HookBase
	now, most, resumed atomic.Int32
}

func (*fleetBroker) ID() string { return "fleet" }

func (*fleetBroker) Provides(b byte) bool { return b == mochi.OnPacketEncode }

func (f *fleetBroker) OnPacketEncode(_ *mochi.Client, pk packets.Packet) packets.Packet {
	if pk.FixedHeader.Type == packets.Suback {
		f.now.Add(-1)
	}
	return pk
}

// TestFleetStart: no more Agents than the limit are connecting at a time, at first and after all have been thrown out, and they resume TLS sessions.
func TestFleetStart(t *testing.T) {
	const agents, limit = 200, 8
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	own, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(own)
	f := &fleetBroker{}
	s := startBroker(t, "127.0.0.1:0", f)
	secure := listeners.NewTCP(listeners.Config{ID: "tls", Address: "127.0.0.1:0", TLSConfig: &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
		VerifyConnection: func(c tls.ConnectionState) error {
			if c.DidResume {
				f.resumed.Add(1)
			}
			return nil
		}}})
	if err := s.AddListener(secure); err != nil {
		t.Fatal(err)
	}
	go secure.Serve(s.EstablishConnection)
	var mu sync.Mutex
	var conns []net.Conn
	p := newPool(t, broker.Options{HandshakeLimit: limit, Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
		nc, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		now := f.now.Add(1)
		for most := f.most.Load(); now > most && !f.most.CompareAndSwap(most, now); most = f.most.Load() {
		}
		mu.Lock()
		defer mu.Unlock()
		conns = append(conns, nc)
		return nc, nil
	}})
	p.Fix(ctl1, broker.Fixed{TLS: &tls.Config{RootCAs: roots}})
	up := make(chan struct{}, agents)
	to := []mtp.Target{target(t, secure.Address(), ctl1, func(to *mtp.Target) { to.Encrypted = true })}
	for i := range agents {
		p.Connect(&idle{idleID(i), up}, to)
	}
	for round := range 2 {
		for range agents {
			select {
			case <-up:
			case <-time.After(waiting):
				t.Fatalf("an Agent is missing in round %d", round)
			}
		}
		if n := f.most.Load(); n > limit {
			t.Errorf("%d are connecting at a time", n)
		}
		if want := int32(agents - limit + round*agents); f.resumed.Load() < want {
			t.Errorf("%d of %d sessions are resumed, want %d", f.resumed.Load(), (round+1)*agents, want)
		}
		mu.Lock()
		for _, nc := range conns {
			_ = nc.Close()
		}
		conns = nil
		mu.Unlock()
	}
}
