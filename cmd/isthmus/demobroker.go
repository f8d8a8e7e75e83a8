package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/hooks/auth"
	mochitcp "github.com/mochi-mqtt/server/v2/listeners"

	"isthmus/cmd/isthmus/config"
	"isthmus/usp/controller"
	"isthmus/usp/mtp/mqtt"
	"isthmus/usp/mtp/stomp"
	"isthmus/usp/mtp/stomp/stomptest"
)

// Where the Controller of the demonstration listens.
const (
	demoTopic       = "usp/controller/demo"
	demoDestination = "/queue/usp.controller.demo"
)

// demoReach is how the demonstration's Controller is reached.
type demoReach struct {
	over   string            // what carries USP, in the words of the introduction
	entry  config.Controller // of the configuration
	broker func() error      // ends it, if there is one
}

func (r *demoReach) close() error {
	if r.broker == nil {
		return nil
	}
	return r.broker()
}

// listen has the Controller listen over an MTP.
func (r *demoReach) listen(ctx context.Context, name string, c *controller.Controller) error {
	if name == "websocket" {
		url, err := c.Listen(ctx, "127.0.0.1:0")
		r.over, r.entry = "WebSocket", overWebSocket(url)
		return err
	}
	dial := func(addr string) func(context.Context) (net.Conn, error) {
		return func(ctx context.Context) (net.Conn, error) { return (&net.Dialer{}).DialContext(ctx, "tcp", addr) }
	}
	r.entry = config.Controller{EndpointID: demoController, Profile: "strict", Role: "full_access"}
	if name == "stomp" {
		server, err := stomptest.Listen(ctx, "127.0.0.1:0", stomptest.Options{})
		if err != nil {
			return fmt.Errorf("a server: %w", err)
		}
		s := &config.STOMP{Broker: "stomp://" + server.Addr(), VHost: "/", Connection: "per_agent", AgentDestination: "/queue/usp.agent.{endpoint_id}", ControllerDestination: demoDestination}
		r.over, r.entry.STOMP, r.broker = "STOMP", s, func() error { server.Close(); return nil }
		return c.STOMP(stomp.ControllerOptions{Destination: demoDestination, AgentDestination: s.AgentDestination, Host: s.VHost, Dial: dial(server.Addr())})
	}
	addr, end, err := demoBroker()
	if err != nil {
		return fmt.Errorf("a broker: %w", err)
	}
	m := &config.MQTT{Broker: "mqtt://" + addr, Version: "5", Connection: "per_agent", AgentTopic: "usp/agent/{endpoint_id}", ControllerTopic: demoTopic}
	r.over, r.entry.MQTT, r.broker = "MQTT", m, end
	return c.MQTT(mqtt.ControllerOptions{Topic: demoTopic, AgentTopic: m.AgentTopic, Dial: dial(addr)})
}

func overWebSocket(url string) config.Controller {
	return config.Controller{EndpointID: demoController, Profile: "strict", Role: "full_access", WebSocket: &config.WebSocket{URL: url}}
}

// demoBroker is a small MQTT broker that lets in everybody on loopback.
func demoBroker() (addr string, end func() error, err error) {
	s := mochi.New(&mochi.Options{Logger: slog.New(slog.DiscardHandler)})
	if err := s.AddHook(new(auth.AllowHook), nil); err != nil {
		return "", nil, err
	}
	l := mochitcp.NewTCP(mochitcp.Config{ID: "demo", Address: "127.0.0.1:0"})
	if err := s.AddListener(l); err != nil {
		return "", nil, err
	}
	if err := s.Serve(); err != nil {
		return "", nil, err
	}
	return l.Address(), s.Close, nil
}
