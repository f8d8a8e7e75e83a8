package main

import (
	"context"
	"log/slog"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"isthmus/cmd/isthmus/config"
	"isthmus/cwmp/cpe"
	"isthmus/usp"
	"isthmus/usp/agent"
	"isthmus/usp/identity/identitytest"
	"isthmus/usp/mtp"
	"isthmus/usp/mtp/brokertest"
)

// TestDemoOverBrokers: the whole main job over MQTT and over STOMP.
func TestDemoOverBrokers(t *testing.T) {
	for _, name := range []string{"mqtt", "stomp"} {
		var out strings.Builder
		if code := run(t.Context(), []string{"demo", "--mtp", name}, &out, &out, nil); code != exitFine || !strings.Contains(out.String(), "All 9 steps worked") {
			t.Errorf("%s: exit %d:\n%s", name, code, out.String())
		}
	}
}

const terminal = "proto::terminal"

func mqttEntry(url string) *config.MQTT {
	return &config.MQTT{Broker: url, Version: "5", Connection: "per_agent", AgentTopic: "usp/agent/{endpoint_id}", ControllerTopic: "usp/controller"}
}

// atBroker runs a proxy with a CPE, whose Agent is at a broker when it returns.
func atBroker(t *testing.T, change func(*config.Controller), identity config.Identity) {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	entry := config.Controller{EndpointID: terminal, Profile: "strict", Role: "full_access"}
	change(&entry)
	cfg := demoConfig(filepath.Join(t.TempDir(), "data"), entry)
	cfg.USP.Identity = identity
	i, err := start(t.Context(), cfg, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := i.stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	device := cpe.New(cpe.Config{ACS: "http://" + i.listeners.cwmp.Addr().String() + "/", DeviceID: demoID, Logger: log})
	power, off := context.WithCancel(t.Context())
	down := make(chan error, 1)
	go func() { down <- device.Run(power) }()
	t.Cleanup(func() {
		off()
		if err := <-down; err != nil {
			t.Error(err)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), demoTime)
	defer cancel()
	id := usp.EndpointID(endpointID(demoID))
	for i.pools.dialers().State(id, terminal).Status != mtp.Connected { // nothing here tells of that
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			t.Fatalf("the Agent does not reach the broker: %+v", i.pools.dialers().State(id, terminal))
		}
	}
}

// asked says that `isthmus usp --connect` gets the CPE's serial number through a broker.
func asked(t *testing.T, url string, flags ...string) {
	t.Helper()
	var stdout, stderr strings.Builder
	args := append([]string{"usp", "get", "--agent", endpointID(demoID), "--as", terminal, "--connect", url}, flags...)
	if code := run(t.Context(), append(args, "Device.DeviceInfo.SerialNumber"), &stdout, &stderr, nil); code != exitFine || !strings.Contains(stdout.String(), "= "+demoID.SerialNumber) {
		t.Errorf("exit %d: %s%s", code, stdout.String(), stderr.String())
	}
}

// TestUSPOverMQTT: a person at a terminal reaches an Agent through its broker, and is told where there is none.
func TestUSPOverMQTT(t *testing.T) {
	addr, end, err := demoBroker()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = end() })
	atBroker(t, func(k *config.Controller) { k.MQTT = mqttEntry("mqtt://" + addr) }, config.Identity{})
	asked(t, "mqtt://"+addr)
	atBroker(t, func(k *config.Controller) {
		k.MQTT = mqttEntry("mqtt://" + addr)
		k.MQTT.Connection, k.MQTT.AgentTopic = "shared", "usp/shared/{endpoint_id}"
	}, config.Identity{})
	asked(t, "mqtt://"+addr, "--topic", "usp/shared/{endpoint_id}")
	for url, want := range map[string]string{"mqtt://127.0.0.1:1": "is of no use", "mqtt://user:s3cret@127.0.0.1:1": "is of no use", "mqtt://": "--connect: must be mqtt://"} {
		var out strings.Builder
		if code := run(t.Context(), []string{"usp", "get", "--agent", "a::b", "--as", terminal, "--connect", url, "Device."}, &out, &out, nil); code == exitFine ||
			!strings.Contains(out.String(), want) || strings.Contains(out.String(), "s3cret") {
			t.Errorf("%s: exit %d, %s", url, code, out.String())
		}
	}
}

// TestBrokerServe: what an operator configures works at a real broker: either version, WebSocket, passwords with an ACL that lets each Agent use its own
// topic only, and TLS with a certificate for each Agent.
func TestBrokerServeMQTT(t *testing.T) {
	open := brokertest.NewMosquitto(t, brokertest.MosquittoOptions{})
	t.Run("5", func(t *testing.T) {
		atBroker(t, func(k *config.Controller) { k.MQTT = mqttEntry("mqtt://" + open.Addr) }, config.Identity{})
		asked(t, "mqtt://"+open.Addr)
	})
	t.Run("3.1.1", func(t *testing.T) {
		atBroker(t, func(k *config.Controller) {
			k.MQTT = mqttEntry("mqtt://" + open.Addr)
			k.MQTT.Version = "3.1.1"
		}, config.Identity{})
		asked(t, "mqtt://"+open.Addr, "--mqtt-version", "3.1.1")
	})
	t.Run("WebSocket", func(t *testing.T) {
		atBroker(t, func(k *config.Controller) { k.MQTT = mqttEntry("ws://" + open.WebSocketAddr + "/mqtt") }, config.Identity{})
		asked(t, "mqtt://"+open.Addr)
	})
	t.Run("ACL", func(t *testing.T) {
		m := brokertest.NewMosquitto(t, brokertest.MosquittoOptions{Users: map[string]string{"fleet": "f-password", "controller": "c-password"},
			ACL: []string{"pattern read usp/agent/%c", "user fleet", "topic write usp/controller/#", "user controller", "topic readwrite usp/#"}})
		atBroker(t, func(k *config.Controller) {
			k.MQTT = mqttEntry("mqtt://" + m.Addr)
			k.MQTT.Username, k.MQTT.Password = "fleet", "f-password"
		}, config.Identity{})
		asked(t, "mqtt://controller:c-password@"+m.Addr)
	})
	t.Run("TLS", func(t *testing.T) {
		dir, ca := t.TempDir(), identitytest.Root(t, "ca")
		caFile, caKey := identitytest.Files(t, dir, "ca", ca.Cert, ca.Key)
		own := ca.Issue(t, "")
		o := brokertest.MosquittoOptions{CAFile: caFile, More: []string{"use_identity_as_username true"}}
		o.CertFile, o.KeyFile = identitytest.Files(t, dir, "broker", own.Leaf, own.PrivateKey)
		m := brokertest.NewMosquitto(t, o)
		atBroker(t, func(k *config.Controller) {
			k.MQTT = mqttEntry("mqtts://" + m.TLSAddr)
			k.TLS.CAFile = caFile
		}, config.Identity{CACertFile: caFile, CAKeyFile: caKey})
		asked(t, "mqtt://"+m.Addr)
	})
}

// TestBrokerServeSTOMP: the same at a STOMP server.
func TestBrokerServeSTOMP(t *testing.T) {
	entry := func(url string) *config.STOMP {
		return &config.STOMP{Broker: url, VHost: "/", Connection: "per_agent", AgentDestination: "/queue/usp.agent.{endpoint_id}", ControllerDestination: "/queue/usp.controller"}
	}
	t.Run("ACL", func(t *testing.T) {
		own := regexp.QuoteMeta("usp.agent." + endpointID(demoID))
		r := brokertest.NewRabbitMQ(t, brokertest.RabbitMQOptions{Users: map[string]string{endpointID(demoID): "a-password", "controller": "c-password"},
			Permissions: []brokertest.Permission{
				{User: "controller", VHost: "/", Configure: ".*", Write: ".*", Read: ".*"},
				{User: endpointID(demoID), VHost: "/", Configure: "^(" + own + "|usp\\.controller.*)$", Write: "^(" + own + "|usp\\.controller.*|amq\\.default)$", Read: "^" + own + "$"}}})
		atBroker(t, func(k *config.Controller) {
			k.STOMP = entry("stomp://" + r.Addr)
			k.STOMP.Username, k.STOMP.Password = "{endpoint_id}", "a-password"
		}, config.Identity{})
		asked(t, "stomp://controller:c-password@"+r.Addr)
	})
	t.Run("TLS", func(t *testing.T) {
		dir, ca := t.TempDir(), identitytest.Root(t, "ca")
		caFile, caKey := identitytest.Files(t, dir, "ca", ca.Cert, ca.Key)
		own := ca.Issue(t, "")
		o := brokertest.RabbitMQOptions{CAFile: caFile}
		o.CertFile, o.KeyFile = identitytest.Files(t, dir, "broker", own.Leaf, own.PrivateKey)
		r := brokertest.NewRabbitMQ(t, o)
		atBroker(t, func(k *config.Controller) {
			k.STOMP = entry("stomps://" + r.TLSAddr)
			k.TLS.CAFile = caFile
		}, config.Identity{CACertFile: caFile, CAKeyFile: caKey})
		asked(t, "stomp://"+r.Addr)
	})
}

// TestConnections: Controllers behind one broker and account share an Agent's connection.
func TestConnections(t *testing.T) {
	at := func(broker, user string) agent.ControllerConfig {
		m := mqttEntry(broker)
		m.Username, m.ControllerTopic = user, "usp/"+broker+user
		return agent.ControllerConfig{MTP: mqttMTP(m)}
	}
	same := at("mqtt://one", "a")
	same.MTP.MQTT.ControllerTopic = "usp/other"
	for want, rows := range map[int][]agent.ControllerConfig{
		0: {{OnlyDialsIn: true}},
		1: {at("mqtt://one", "a"), same},
		2: {at("mqtt://one", "a"), {MTP: agent.MTPConfig{Host: "h"}}, {OnlyDialsIn: true}},
		4: {at("mqtt://one", "a"), at("mqtt://one", "b"), at("mqtt://two", "a"), at("mqtts://two", "a")},
	} {
		if got := connections(rows, make([]config.Controller, len(rows))); got != want {
			t.Errorf("%d connections, want %d", got, want)
		}
	}
	shared := mqttEntry("mqtt://one")
	shared.Connection = "shared"
	if got := connections([]agent.ControllerConfig{at("mqtt://one", "a")}, []config.Controller{{MQTT: shared}}); got != 0 {
		t.Errorf("%d connections of an Agent that shares one", got)
	}
	server := &config.STOMP{Broker: "stomp://one", Connection: "shared"}
	if got := connections([]agent.ControllerConfig{{MTP: stompMTP(server)}}, []config.Controller{{STOMP: server}}); got != 0 {
		t.Errorf("%d connections of an Agent that shares one with a STOMP server", got)
	}
}
