package mqtt

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"isthmus/usp"
	"isthmus/usp/mtp"
	"isthmus/usp/mtp/broker"
	"isthmus/usp/mtp/mqtt/client"
)

// sharing connects Agents with ctl1 over two connections.
func sharing(t testing.TB, p *Pool, n int, to mtp.Target) []*endpoint {
	t.Helper()
	p.Fix(ctl1, broker.Fixed{Shared: 2})
	var all []*endpoint
	for i := range n {
		e := newEndpoint(usp.EndpointID(fmt.Sprint("os::00D09E-", i)))
		all = append(all, e)
		p.Connect(e, []mtp.Target{to})
	}
	for _, e := range all {
		e.channel(t, ctl1)
	}
	return all
}

// connected is how many clients the broker has, without its own.
func (s *server) connected() int {
	n := 0
	for _, c := range s.Clients.GetAll() {
		if !c.Net.Inline && !c.Closed() {
			n++
		}
	}
	return n
}

func TestSharedConnections(t *testing.T) {
	for version, v := range map[string]client.Version{"5.0": client.V5, "3.1.1": client.V311} {
		t.Run(version, func(t *testing.T) {
			s := startBroker(t, "127.0.0.1:0")
			addr := addressOf(t, s)
			l := listen(t, addr, v, "usp/controller/#")
			p := newPool(t, broker.Options{})
			to := target(t, addr, ctl1, func(to *mtp.Target) {
				to.MQTT.Version, to.MQTT.Subscriptions = version, "1 usp/all"
			})
			agents := sharing(t, p, 20, to)
			if n := s.connected(); n != 3 { // the listener's, and two
				t.Errorf("%d connections for %d Agents", n-1, len(agents))
			}
			for i, e := range agents {
				mine := "usp/agent/" + string(e.id)
				if r := e.channel(t, ctl1).ConnectRecord().GetMqttConnect(); r.GetSubscribedTopic() != mine {
					t.Errorf("Connect Record %v", r)
				}
				ask := &client.Publish{Topic: mine, ResponseTopic: "usp/controller/elsewhere", ContentType: contentType, Payload: []byte("ask"), QoS: 1}
				if v == client.V311 {
					ask = &client.Publish{Topic: withReply(mine, "usp/controller/elsewhere"), Payload: []byte("ask"), QoS: 1}
				}
				if err := l.Publish(t.Context(), ask); err != nil {
					t.Fatal(err)
				}
				if in := e.last(t, 1); in != (got{ctl1, "ask", "usp/controller/elsewhere"}) {
					t.Errorf("Agent %d got %+v", i, in)
				}
				if err := e.channel(t, ctl1).Send(t.Context(), []byte(e.id), ""); err != nil {
					t.Fatal(err)
				}
				if m := l.next(t); string(m.Payload) != string(e.id) || v == client.V5 && m.ResponseTopic != mine {
					t.Errorf("%+v", m)
				}
			}
			// A topic for all: to_id says whose it is.
			everybody := record(t, ctl1, agents[7].id)
			if err := l.Publish(t.Context(), &client.Publish{Topic: "usp/all", Payload: everybody, QoS: 1}); err != nil {
				t.Fatal(err)
			}
			agents[7].last(t, 2)
			for _, b := range [][]byte{[]byte("noise"), record(t, ctl1, "os::stranger")} {
				if err := l.Publish(t.Context(), &client.Publish{Topic: "usp/all", Payload: b, QoS: 1}); err != nil {
					t.Fatal(err)
				}
			}
			for i, e := range agents {
				e.mu.Lock()
				if n := len(e.got); n != 1 && i != 7 || n != 2 && i == 7 {
					t.Errorf("Agent %d got %d Records", i, n)
				}
				e.mu.Unlock()
			}
		})
	}
}

// TestOneLeavesASharedConnection: the Controller is told, the others stay, and the connection ends with the last.
func TestOneLeavesASharedConnection(t *testing.T) {
	s := startBroker(t, "127.0.0.1:0")
	addr := addressOf(t, s)
	l := listen(t, addr, client.V5, "usp/controller/#")
	p := newPool(t, broker.Options{})
	agents := sharing(t, p, 8, target(t, addr, ctl1))
	for i, e := range agents {
		p.Connect(e, nil)
		r, err := usp.DecodeRecord(l.next(t).Payload)
		if err != nil || r.GetDisconnect() == nil || r.GetFromId() != string(e.id) || r.GetToId() != string(ctl1) {
			t.Fatalf("%v, %v", r, err)
		}
		e.until(t, "the channel to end", func() bool { return e.up[ctl1] == nil })
		for _, other := range agents[i+1:] {
			if err := other.channel(t, ctl1).Send(t.Context(), []byte("x"), ""); err != nil {
				t.Fatal(err)
			}
			l.next(t)
			if other.ups != 1 {
				t.Errorf("the channel of %s came up %d times", other.id, other.ups)
			}
		}
	}
	again := sharing(t, p, 1, target(t, addr, ctl1))
	if err := again[0].channel(t, ctl1).Send(t.Context(), []byte("back"), ""); err != nil || string(l.next(t).Payload) != "back" {
		t.Errorf("once more: %v", err)
	}
}

// TestSharedConnectionIsLost for all, and made anew once.
func TestSharedConnectionIsLost(t *testing.T) {
	s := startBroker(t, "127.0.0.1:0")
	addr := addressOf(t, s)
	p := newPool(t, broker.Options{})
	agents := sharing(t, p, 20, target(t, addr, ctl1))
	for _, c := range s.Clients.GetAll() {
		if !c.Net.Inline {
			c.Stop(nil)
		}
	}
	for _, e := range agents {
		e.until(t, "its channel to come up again", func() bool { return e.ups == 2 && e.up[ctl1] != nil })
	}
	if n := s.connected(); n != 2 {
		t.Errorf("%d connections", n)
	}
}

// TestBackOnASharedConnection: an Agent that comes back before it has left is heard when both are done.
func TestBackOnASharedConnection(t *testing.T) {
	addr := addressOf(t, startBroker(t, "127.0.0.1:0"))
	l := listen(t, addr, client.V5, "usp/controller/#")
	p := newPool(t, broker.Options{})
	to := target(t, addr, ctl1)
	agents := sharing(t, p, 4, to)
	e := agents[0]
	for i := range 10 {
		p.Connect(e, nil)
		p.Connect(e, []mtp.Target{to})
		e.until(t, "its channel to come up again", func() bool { return e.ups == i+2 && e.up[ctl1] != nil })
		if err := l.Publish(t.Context(), &client.Publish{Topic: "usp/agent/" + string(e.id), Payload: []byte("ask"), QoS: 1}); err != nil {
			t.Fatal(err)
		}
		e.last(t, i+1)
	}
}

// TestSharedAccount: one connection cannot log in as each Agent.
func TestSharedAccount(t *testing.T) {
	addr := addressOf(t, startBroker(t, "127.0.0.1:0"))
	p := newPool(t, broker.Options{})
	p.Fix(ctl1, broker.Fixed{Shared: 2})
	e := newEndpoint(agentID)
	p.Connect(e, []mtp.Target{target(t, addr, ctl1, func(to *mtp.Target) { to.MQTT.Username = "{endpoint_id}" })})
	for p.State(agentID, ctl1).Status == mtp.Connecting { // which is over at once
		continue
	}
	if s := p.State(agentID, ctl1); s.Status != mtp.Misconfigured {
		t.Errorf("%+v", s)
	}
}

// TestSharedConnectionForNobody: what is for no Agent of a shared connection is counted, and disturbs none.
func TestSharedConnectionForNobody(t *testing.T) {
	addr, reg := addressOf(t, startBroker(t, "127.0.0.1:0")), prometheus.NewRegistry()
	l := listen(t, addr, client.V5, "none")
	p := newPool(t, broker.Options{Registerer: reg})
	agents := sharing(t, p, 4, target(t, addr, ctl1, func(to *mtp.Target) { to.MQTT.Subscriptions = "1 usp/all" }))
	for _, payload := range [][]byte{[]byte("no Record"), record(t, ctl1, "os::00D09E-404"), record(t, ctl1, agents[3].id)} {
		if err := l.Publish(t.Context(), &client.Publish{Topic: "usp/all", Payload: payload, QoS: 1}); err != nil {
			t.Fatal(err)
		}
	}
	agents[3].last(t, 1) // came last
	for _, reason := range []string{"record", "to_id"} {
		if refusals(t, reg, reason) == 0 {
			t.Errorf("%s is not counted", reason)
		}
	}
	for _, e := range agents[:3] {
		e.mu.Lock()
		if len(e.got) > 0 {
			t.Errorf("%s got %v", e.id, e.got)
		}
		e.mu.Unlock()
	}
}

// TestSharedSubscriptions: R-MQTT.34 on a connection that is shared: rows that come and go are followed on it, and what another Agent needs stays.
func TestSharedSubscriptions(t *testing.T) {
	addr := addressOf(t, startBroker(t, "127.0.0.1:0"))
	l := listen(t, addr, client.V5, "none")
	p := newPool(t, broker.Options{})
	with := func(rows string) []mtp.Target {
		return []mtp.Target{target(t, addr, ctl1, func(to *mtp.Target) { to.MQTT.Subscriptions = rows })}
	}
	p.Fix(ctl1, broker.Fixed{Shared: 1})
	one, two := newEndpoint("os::00D09E-1"), newEndpoint("os::00D09E-2")
	for _, e := range []*endpoint{one, two} {
		p.Connect(e, with("1 both\n"))
		e.channel(t, ctl1)
	}
	p.Connect(one, with("1 own\n"))
	for end := time.Now().Add(waiting); !slices.Contains(p.State(one.id, ctl1).Subscribed, "own"); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("subscribed to %v", p.State(one.id, ctl1).Subscribed)
		}
	}
	heard := 0
	for _, c := range []struct {
		topic string
		e     *endpoint
	}{{"own", one}, {"both", two}, {"usp/agent/os::00D09E-1", one}} {
		if err := l.Publish(t.Context(), &client.Publish{Topic: c.topic, Payload: record(t, ctl1, c.e.id), QoS: 1}); err != nil {
			t.Fatal(err)
		}
		if c.e == one {
			heard++
		}
	}
	one.last(t, heard)
	two.last(t, 1)
	if one.ups != 1 || two.ups != 1 {
		t.Errorf("%d and %d connections", one.ups, two.ups)
	}
}
