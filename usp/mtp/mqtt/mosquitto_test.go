package mqtt

import (
	"testing"
	"time"

	"isthmus/usp/mtp"
	"isthmus/usp/mtp/broker"
	"isthmus/usp/mtp/brokertest"
)

// all waits for every Agent to be connected, or for none to be.
func all(t *testing.T, fleet []*endpoint, connected bool) {
	t.Helper()
	for _, e := range fleet {
		e.until(t, "all Agents to go the same way", func() bool { return (e.up[ctl1] != nil) == connected })
	}
}

// newFleet connects some Agents.
func newFleet(p *Pool, to mtp.Target) []*endpoint {
	fleet := make([]*endpoint, 50)
	for i := range fleet {
		fleet[i] = newEndpoint(idleID(i))
		p.Connect(fleet[i], []mtp.Target{to})
	}
	return fleet
}

// TestBrokerKilled: Agents lose a broker that is killed, and have it again when it is back.
func TestBrokerKilled(t *testing.T) {
	m := brokertest.NewMosquitto(t, brokertest.MosquittoOptions{})
	p := newPool(t, broker.Options{})
	fleet := newFleet(p, target(t, m.Addr, ctl1))
	all(t, fleet, true)
	m.Kill()
	all(t, fleet, false)
	m.Start()
	all(t, fleet, true)
	for _, e := range fleet {
		if err := e.up[ctl1].Send(t.Context(), []byte("x"), ""); err != nil {
			t.Error(err)
		}
	}
}

// TestBrokerFrozen: a broker that answers nothing is given up by the keep-alive (R-MQTT.14), what is sent meanwhile ends in time, and it is used again
// when it answers.
func TestBrokerFrozen(t *testing.T) {
	m := brokertest.NewMosquitto(t, brokertest.MosquittoOptions{})
	p := newPool(t, broker.Options{})
	fleet := newFleet(p, target(t, m.Addr, ctl1, func(to *mtp.Target) { to.KeepAlive = 2 * time.Second }))
	all(t, fleet, true)
	ch := fleet[0].channel(t, ctl1)
	m.Freeze()
	if err := ch.Send(t.Context(), []byte("x"), ""); err == nil {
		t.Error("what nobody has acknowledged counts as sent")
	}
	all(t, fleet, false)
	m.Thaw()
	all(t, fleet, true)
}

// TestBrokerRefuses: a password that the broker does not take is a failure that is tried again; with the right one the Agent is connected at once.
func TestBrokerRefuses(t *testing.T) {
	m := brokertest.NewMosquitto(t, brokertest.MosquittoOptions{Users: map[string]string{"u": "right"}})
	p, e := newPool(t, broker.Options{}), newEndpoint(agentID)
	with := func(password mtp.Secret) []mtp.Target {
		return []mtp.Target{target(t, m.Addr, ctl1, func(to *mtp.Target) { to.MQTT.Username, to.MQTT.Password = "u", password })}
	}
	p.Connect(e, with("wrong"))
	untilState(t, p, func(s mtp.State) bool { return s.Status == mtp.Failed && s.Failures > 1 })
	p.Connect(e, with("right"))
	e.channel(t, ctl1)
}
