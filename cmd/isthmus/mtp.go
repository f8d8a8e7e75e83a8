package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"isthmus/cmd/isthmus/config"
	"isthmus/usp"
	"isthmus/usp/agent"
	"isthmus/usp/mtp"
	"isthmus/usp/mtp/broker"
	"isthmus/usp/mtp/mqtt"
	"isthmus/usp/mtp/stomp"
	"isthmus/usp/mtp/websocket"
	"isthmus/usp/profile"
)

// pools are the MTP clients of the process.
type pools struct {
	webSocket *websocket.Pool
	mqtt      *mqtt.Pool
	stomp     *stomp.Pool
}

func (p *pools) dialers() mtp.Dialers {
	return mtp.Dialers{"WebSocket": p.webSocket, mqtt.Protocol: p.mqtt, stomp.Protocol: p.stomp}
}

// close ends all connections.
func (p *pools) close(ctx context.Context) {
	var wg sync.WaitGroup
	if p.webSocket != nil {
		wg.Go(func() { p.webSocket.Close(ctx) })
	}
	if p.mqtt != nil {
		wg.Go(func() { p.mqtt.Close(ctx) })
	}
	if p.stomp != nil {
		wg.Go(func() { p.stomp.Close(ctx) })
	}
	wg.Wait()
}

// newPools makes what dials Controllers; without Fix those that Controllers add.
func (i *instance) newPools(ctx context.Context, c *config.Config, reg prometheus.Registerer, d *dialer) error {
	added := &c.USP.AddedControllers
	guard := i.guard(added)
	trust, err := clientTLS(&config.ClientTLS{CAFile: added.CAFile})
	if err != nil {
		return fmt.Errorf("usp.added_controllers: %w", err)
	}
	checked := (&guarded{d, guard}).dial
	i.pools.webSocket = websocket.NewPool(ctx, websocket.PoolOptions{Guard: guard, Client: websocket.ClientOptions{TLS: trust, Certificate: i.issue,
		Dial: checked, Extension: true, Logger: i.log, Registerer: reg}})
	o := broker.Options{TLS: trust, Certificate: i.issue, Dial: d.dial, DialAdded: checked, Guard: guard, Logger: i.log, Registerer: reg}
	i.pools.stomp = stomp.NewPool(ctx, o)
	o.Stream = mqttStream
	i.pools.mqtt = mqtt.NewPool(ctx, o)
	return nil
}

// mqttStream opens what MQTT over WebSocket runs over.
func mqttStream(ctx context.Context, url string, t *tls.Config, dial func(ctx context.Context, network, addr string) (net.Conn, error)) (net.Conn, error) {
	return websocket.DialStream(ctx, url, "mqtt", t, dial)
}

// reach has a Controller of the configuration dialled over its MTP and gives its row in the Agents' tables. It has no MTP where it only dials in.
func (i *instance) reach(ctx context.Context, n int, k *config.Controller, reg prometheus.Registerer, d *dialer) (agent.ControllerConfig, error) {
	row := agent.ControllerConfig{EndpointID: usp.EndpointID(k.EndpointID), Role: k.Role, Profile: profile.Find(k.Profile)}
	var err error
	if row.CAs, err = certificates(k.TLS.CAFile); err != nil {
		return row, fmt.Errorf("tls: %w", err)
	}
	t, err := i.live.dial(n, &k.TLS)
	if err != nil {
		return row, fmt.Errorf("tls: %w", err)
	}
	certificate := i.issue
	if k.TLS.CertFile != "" {
		certificate = nil // what is said of this Controller counts more
	}
	fixed := broker.Fixed{TLS: t, Certificate: certificate, Cycle: k.CycleOnBoot}
	if shares(k) {
		fixed.Shared, fixed.Certificate = sharedConnections, nil // which no Agent's certificate is for
	}
	switch {
	case k.MQTT != nil:
		row.MTP = mqttMTP(k.MQTT)
		fixed.Password = passwordOf(k.MQTT.Password, func() config.Secret { return i.live.controller(n).MQTT.Password })
		i.pools.mqtt.Fix(row.EndpointID, fixed)
	case k.STOMP != nil:
		row.MTP = stompMTP(k.STOMP)
		fixed.Password = passwordOf(k.STOMP.Password, func() config.Secret { return i.live.controller(n).STOMP.Password })
		i.pools.stomp.Fix(row.EndpointID, fixed)
	case k.WebSocket != nil && k.WebSocket.URL != "":
		if row.MTP, err = webSocketMTP(k.WebSocket.URL); err != nil {
			return row, err
		}
		client, err := websocket.NewClient(ctx, websocket.ClientOptions{URL: k.WebSocket.URL, Controller: row.EndpointID, TLS: t,
			Certificate: certificate, Dial: d.dial, Extension: true, Pace: row.Profile.Pace, Logger: i.log, Registerer: reg})
		if err != nil {
			return row, err
		}
		i.pools.webSocket.Fix(row.EndpointID, client, k.CycleOnBoot)
	default:
		row.OnlyDialsIn = true
	}
	return row, nil
}

// mqttMTP is an entry of MQTT as the Agents' rows show it.
func mqttMTP(m *config.MQTT) agent.MTPConfig {
	at, _ := config.BrokerURL(m.Broker, true) // it was checked
	version := m.Version
	if version == "5" {
		version = "5.0" // in Device:2
	}
	return agent.MTPConfig{Protocol: mqtt.Protocol, Host: at.Host, Port: at.Port, Path: at.Path, EnableEncryption: at.TLS,
		MQTT: &agent.MQTTConfig{Version: version, WebSocket: at.WebSocket, Username: m.Username, Password: string(m.Password),
			AgentTopic: m.AgentTopic, ControllerTopic: m.ControllerTopic}}
}

// sharedConnections is how many connections with a broker Agents share, so that one of them does not bound what all can send.
const sharedConnections = 4

// heartBeat is what a STOMP server that is silently gone is found by.
const heartBeat = time.Minute

// stompMTP is an entry of STOMP as the Agents' rows show it.
func stompMTP(s *config.STOMP) agent.MTPConfig {
	at, _ := config.BrokerURL(s.Broker, false) // it was checked
	return agent.MTPConfig{Protocol: stomp.Protocol, Host: at.Host, Port: at.Port, EnableEncryption: at.TLS,
		STOMP: &agent.STOMPConfig{Username: s.Username, Password: string(s.Password), VirtualHost: s.VHost,
			AgentDestination: s.AgentDestination, ControllerDestination: s.ControllerDestination, Heartbeat: heartBeat}}
}

// account is a way to use a broker, which Controllers behind it share.
type account struct {
	at    agent.MTPConfig
	mqtt  agent.MQTTConfig
	stomp agent.STOMPConfig
}

// shares says whether the Agents share their connections with a Controller.
func shares(k *config.Controller) bool {
	return k.MQTT != nil && k.MQTT.Connection == "shared" || k.STOMP != nil && k.STOMP.Connection == "shared"
}

// connections is how many connections each Agent has with the Controllers of the configuration: one over WebSocket with each, and one for each broker
// and account unless the Agents share it. Rows are those of the Controllers, in their order.
func connections(rows []agent.ControllerConfig, of []config.Controller) int {
	n, brokers := 0, map[account]bool{}
	for i, r := range rows {
		if r.OnlyDialsIn || shares(&of[i]) {
			continue
		}
		a := account{at: r.MTP}
		a.at.MQTT, a.at.STOMP = nil, nil
		if m := r.MTP.MQTT; m != nil {
			a.mqtt = *m
			a.mqtt.ControllerTopic = ""
		}
		if s := r.MTP.STOMP; s != nil {
			a.stomp = *s
			a.stomp.ControllerDestination = ""
		}
		if one := r.MTP.MQTT == nil && r.MTP.STOMP == nil; one || !brokers[a] {
			brokers[a] = !one
			n++
		}
	}
	return n
}
