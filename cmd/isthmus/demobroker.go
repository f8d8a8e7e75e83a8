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
)

// demoTopic is where the Controller of the demonstration listens.
const demoTopic = "usp/controller/demo"

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
	addr, end, err := demoBroker()
	if err != nil {
		return fmt.Errorf("a broker: %w", err)
	}
	m := &config.MQTT{Broker: "mqtt://" + addr, Version: "5", Connection: "per_agent", AgentTopic: "usp/agent/{endpoint_id}", ControllerTopic: demoTopic}
	r.over, r.broker = "MQTT", end
	r.entry = config.Controller{EndpointID: demoController, Profile: "strict", Role: "full_access", MQTT: m}
	return c.MQTT(mqtt.ControllerOptions{Topic: demoTopic, AgentTopic: m.AgentTopic,
		Dial: func(ctx context.Context) (net.Conn, error) { return (&net.Dialer{}).DialContext(ctx, "tcp", addr) }})
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
