package conformance_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/hooks/auth"
	"github.com/mochi-mqtt/server/v2/listeners"

	"isthmus/usp"
	"isthmus/usp/agent"
	"isthmus/usp/controller"
	"isthmus/usp/identity/identitytest"
	"isthmus/usp/mtp/broker"
	"isthmus/usp/mtp/brokertest"
	"isthmus/usp/mtp/mqtt"
	"isthmus/usp/mtp/mqtt/client"
	"isthmus/usp/usppb"
)

const (
	agentTopic      = "usp/agent/{endpoint_id}"
	controllerTopic = "usp/controller"
	activeClient    = "Device.MQTT.Client.1."
)

// atBroker says how the Controller is behind a broker.
type atBroker struct {
	broker     string // where the Controller is connected
	addr       string // where the Agent is
	version    string
	encrypted  bool
	user       string
	password   string
	agentTopic string
	shared     int // connections that Agents share
}

func (*atBroker) protocol() string { return mqtt.Protocol }

func (b *atBroker) connections() int { return b.shared }

func (*atBroker) pool(ctx context.Context, o broker.Options) brokers { return mqtt.NewPool(ctx, o) }

func (b *atBroker) listen(c *controller.Controller) error {
	return c.MQTT(mqtt.ControllerOptions{Version: b.version, ClientID: "controller", Topic: controllerTopic, AgentTopic: agentTopic, Again: 50 * time.Millisecond, Logger: quiet(),
		Username: b.user, Password: b.password,
		Dial: func(ctx context.Context) (net.Conn, error) { return (&net.Dialer{}).DialContext(ctx, "tcp", b.broker) }})
}

func (b *atBroker) mtp() (agent.MTPConfig, error) {
	at, err := netip.ParseAddrPort(b.addr)
	return agent.MTPConfig{Protocol: mqtt.Protocol, Host: at.Addr().String(), Port: int(at.Port()), EnableEncryption: b.encrypted,
		MQTT: &agent.MQTTConfig{Version: b.version, Username: b.user, Password: b.password, AgentTopic: b.agentTopic, ControllerTopic: controllerTopic}}, err
}

// anyBroker is a broker that can be ended and started again.
type anyBroker interface {
	addresses() (plain, secure string)
	Start()
	Stop()
}

// brokerSetup is what a broker asks of its clients.
type brokerSetup struct {
	user, password string            // none: anybody
	own            *tls.Certificate  // its certificate, nil for none
	ca             *x509.Certificate // of own
}

// mochiBroker runs in this process.
type mochiBroker struct {
	t             *testing.T
	setup         brokerSetup
	plain, secure string
	s             *mochi.Server
}

func newMochi(t *testing.T, o brokerSetup) anyBroker {
	b := &mochiBroker{t: t, setup: o, plain: freeAddr()}
	if o.own != nil {
		b.secure = freeAddr()
	}
	b.Start()
	t.Cleanup(b.Stop)
	return b
}

func (b *mochiBroker) addresses() (plain, secure string) { return b.plain, b.secure }

func (b *mochiBroker) Stop() {
	if b.s != nil {
		_ = b.s.Close()
	}
	b.s = nil
}

func (b *mochiBroker) Start() {
	b.t.Helper()
	b.s = mochi.New(&mochi.Options{Logger: slog.New(slog.DiscardHandler)})
	rules := &auth.Options{Ledger: &auth.Ledger{Auth: auth.AuthRules{{Allow: true}}}}
	if b.setup.user != "" {
		rules.Ledger.Auth = auth.AuthRules{{Username: auth.RString(b.setup.user), Password: auth.RString(b.setup.password), Allow: true}}
	}
	err := b.s.AddHook(new(auth.Hook), rules)
	if err == nil {
		err = b.s.AddListener(listeners.NewTCP(listeners.Config{ID: "tcp", Address: b.plain}))
	}
	if err == nil && b.secure != "" {
		err = b.s.AddListener(listeners.NewTCP(listeners.Config{ID: "tls", Address: b.secure,
			TLSConfig: &tls.Config{Certificates: []tls.Certificate{*b.setup.own}, MinVersion: tls.VersionTLS12}}))
	}
	if err == nil {
		err = b.s.Serve()
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

// realMosquitto is one of Debian's.
type realMosquitto struct{ *brokertest.Mosquitto }

func newMosquitto(t *testing.T, o brokerSetup) anyBroker {
	m := brokertest.MosquittoOptions{}
	if o.user != "" {
		m.Users = map[string]string{o.user: o.password}
	}
	if o.own != nil {
		m.CertFile, m.KeyFile = identitytest.Files(t, t.TempDir(), "broker", o.own.Leaf, o.own.PrivateKey)
	}
	return realMosquitto{brokertest.NewMosquitto(t, m)}
}

func (m realMosquitto) addresses() (plain, secure string) { return m.Addr, m.TLSAddr }

// mqttRig starts brokers of one make, and Agents behind them that speak one version.
type mqttRig struct {
	*testing.T
	start   func(*testing.T, brokerSetup) anyBroker
	version string
	shared  bool // Agents share connections
}

func (r *mqttRig) v5() bool { return r.version == "5.0" }

func (r *mqttRig) code() client.Version {
	if r.v5() {
		return client.V5
	}
	return client.V311
}

// mqttEUT is an Agent behind a broker, with a tap between them.
type mqttEUT struct {
	*eut
	rig    *mqttRig
	broker anyBroker
	at     *atBroker
	tap    *tap
	topic  string // where it listens, as far as nobody says otherwise
}

// agent starts an Agent that onboards through a broker.
func (r *mqttRig) agent(changes ...func(*atBroker, *tap)) *mqttEUT {
	r.Helper()
	b := r.start(r.T, brokerSetup{user: "fleet", password: "secret"})
	plain, _ := b.addresses()
	t := newTap(r.T, plain)
	at := &atBroker{broker: plain, addr: t.addr, version: r.version, user: "fleet", password: "secret", agentTopic: agentTopic}
	if r.shared {
		at.shared = 2
	}
	for _, change := range changes {
		change(at, t)
	}
	e := fresh(r.T, options{at: at})
	return &mqttEUT{eut: e, rig: r, broker: b, at: at, tap: t, topic: strings.ReplaceAll(agentTopic, "{endpoint_id}", string(e.w.id))}
}

// restart is the EUT's reboot: that of the proxy.
func (e *mqttEUT) restart() {
	e.Helper()
	e.must(e.w.stop())
	e.tap.skip()
	e.must(e.w.open())
}

// back waits until the Agent has connected again, which its n-th Connect Record says.
func (e *mqttEUT) back(n int) {
	e.Helper()
	e.must(e.a.WaitConnects(e.deadline(), n))
}

// manual is a client of the broker made by hand, that listens at a topic of its own.
type manual struct {
	*mqttEUT
	c     *client.Conn
	reply string
	in    chan *client.Publish
}

// byHand makes a client that listens at reply.
func (e *mqttEUT) byHand(reply string) *manual {
	e.Helper()
	plain, _ := e.broker.addresses()
	nc, err := net.Dial("tcp", plain)
	e.must(err)
	h := &manual{mqttEUT: e, reply: reply, in: make(chan *client.Publish, 64)}
	wheel, down := client.NewWheel(), make(chan struct{})
	at := e.at
	h.c, _, err = client.Connect(e.deadline(), nc, client.Options{Version: e.rig.code(), Username: at.user, Password: []byte(at.password), CleanStart: true, Wheel: wheel,
		Handle: func(p *client.Publish) { h.in <- p }, Down: func(error) { close(down) }})
	e.must(err)
	e.Cleanup(sync.OnceFunc(func() {
		h.c.Disconnect(0)
		<-down
		wheel.Close()
	}))
	codes, err := h.c.Subscribe(e.deadline(), []client.Subscription{{Filter: reply + "/#", QoS: 1}})
	if err != nil || codes[0] > 1 {
		e.Fatalf("SUBSCRIBE: %v, %v", codes, err)
	}
	return h
}

// get publishes a Get of a path at a topic and gives the message that has the answer.
func (h *manual) get(topic, contentType, path string) *client.Publish {
	h.Helper()
	id := unique("hand")
	record, err := usp.EncodeRecord(controllerID, h.w.id, "", usp.NewRequest(id, &usppb.Request{ReqType: &usppb.Request_Get{Get: &usppb.Get{ParamPaths: []string{path}}}}))
	h.must(err)
	m := &client.Publish{Topic: topic, ResponseTopic: h.reply, ContentType: contentType, Payload: record, QoS: 1}
	if !h.rig.v5() {
		m.Topic, m.ResponseTopic, m.ContentType = topic+"/reply-to="+strings.ReplaceAll(h.reply, "/", "%2F"), "", ""
	}
	h.must(h.c.Publish(h.deadline(), m))
	for {
		select {
		case p := <-h.in:
			r, err := usp.DecodeRecord(p.Payload)
			h.must(err)
			if r.GetNoSessionContext() == nil {
				continue
			}
			msg, err := usp.DecodeMsg(r.GetNoSessionContext().GetPayload())
			h.must(err)
			if msg.GetHeader().GetMsgId() != id {
				continue
			}
			res := msg.GetBody().GetResponse().GetGetResp().GetReqPathResults()
			if len(res) != 1 || res[0].GetErrCode() != 0 || len(res[0].GetResolvedPathResults()) == 0 {
				h.Errorf("answer to a Get of %s: %v", path, msg)
			}
			return p
		case <-time.After(patience):
			h.Fatalf("no answer to a Get at %s", topic)
		}
	}
}
