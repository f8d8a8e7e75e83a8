package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const mqttEntry = "usp:\n  controllers:\n    - endpoint_id: a::b\n      mqtt:\n"

func TestMQTTProblems(t *testing.T) {
	const at = "usp.controllers[0].mqtt."
	for name, c := range map[string]struct {
		entry string // lines of the section, from line 5 on
		want  []string
	}{
		"nothing":               {"version: \"5\"", []string{"4: usp.controllers[0].mqtt.broker: is missing: write where the broker is, such as mqtt://127.0.0.1"}},
		"another scheme":        {"broker: stomp://h", []string{"5: " + at + "broker: must be mqtt://host:port"}},
		"no host":               {"broker: \"mqtt://:1883\"", []string{"5: " + at + "broker: must be mqtt://host:port"}},
		"no URL":                {"broker: \"mqtt://h:x y\"", []string{"5: " + at + "broker: is no URL: it must be"}},
		"port":                  {"broker: mqtt://h:70000", []string{"5: " + at + "broker: has no valid port: 70000"}},
		"user name":             {"broker: mqtt://u:p@h", []string{"5: " + at + "broker: has a user name: write it as username"}},
		"path of mqtt":          {"broker: mqtt://h/x", []string{"5: " + at + "broker: has a path"}},
		"query":                 {"broker: ws://h/x?y", []string{"5: " + at + "broker: has a query or fragment"}},
		"a broker for each":     {"broker: \"ws://h/{endpoint_id}\"", []string{"5: " + at + "broker: has {endpoint_id}"}},
		"TLS on mqtt":           {"broker: mqtt://h\n      tls: { server_name: h }", []string{"5: " + at + "broker: is not encrypted, but tls is set"}},
		"version":               {"broker: mqtt://h\n        version: \"4\"", []string{`6: ` + at + `version: "4" is none of 5, 3.1.1`}},
		"version as a number":   {"broker: mqtt://h\n        version: 5", []string{`6: ` + at + `version: must be text, not a number (write "5" in quotes)`}},
		"connection":            {"broker: mqtt://h\n        connection: one", []string{`6: ` + at + `connection: "one" is none of per_agent, shared`}},
		"one topic for all":     {"broker: mqtt://h\n        agent_topic: usp/agent", []string{"6: " + at + "agent_topic: needs {endpoint_id}"}},
		"topic with a wildcard": {"broker: mqtt://h\n        agent_topic: usp/{endpoint_id}/#", []string{"6: " + at + "agent_topic: has a wildcard"}},
		"empty topic":           {"broker: mqtt://h\n        controller_topic: \"\"", []string{"6: " + at + "controller_topic: is empty"}},
		"long topic":            {"broker: mqtt://h\n        controller_topic: " + strings.Repeat("x", maxName+1), []string{"6: " + at + "controller_topic: is longer than 60000 bytes"}},
		"user":                  {"broker: mqtt://h\n        username: \"a\\x00\"", []string{"6: " + at + "username: has a control character"}},
		"control character":     {"broker: mqtt://h\n        controller_topic: \"a\\x00\"", []string{"6: " + at + "controller_topic: has a control character"}},
		"one topic for both":    {"broker: mqtt://h\n        controller_topic: usp/agent/{endpoint_id}", []string{"6: " + at + "controller_topic: is where the Agents listen"}},
		"password alone":        {"broker: mqtt://h\n        version: 3.1.1\n        password: p", []string{"7: " + at + "password: has no username"}},
		"an account for each":   {"broker: mqtt://h\n        connection: shared\n        username: \"{endpoint_id}\"", []string{"7: " + at + "username: has {endpoint_id}, but the Agents share"}},
		"secret twice":          {"broker: mqtt://h\n        username: u\n        password: p\n        password_file: f", []string{"8: " + at + "password_file: is set beside"}},
		"unknown key":           {"broker: mqtt://h\n        topic: t", []string{"6: " + at + "topic: unknown key"}},
	} {
		t.Run(name, func(t *testing.T) {
			for i := range c.want {
				c.want[i] = "isthmus.yaml:" + c.want[i]
			}
			wantProblems(t, c.want, problems(t, mqttEntry+"        "+c.entry+"\n"))
		})
	}
}

func TestSTOMPProblems(t *testing.T) {
	const at = "usp.controllers[0].stomp."
	for name, c := range map[string]struct {
		entry string // lines of the section, from line 5 on
		want  []string
	}{
		"nothing":             {"vhost: v", []string{"4: usp.controllers[0].stomp.broker: is missing: write where the broker is, such as stomp://127.0.0.1"}},
		"another scheme":      {"broker: mqtt://h", []string{"5: " + at + "broker: must be stomp://host:port or stomps://host:port"}},
		"TLS on stomp":        {"broker: stomp://h\n      tls: { server_name: h }", []string{"5: " + at + "broker: is not encrypted, but tls is set"}},
		"one destination":     {"broker: stomp://h\n        agent_destination: /queue/a", []string{"6: " + at + "agent_destination: needs {endpoint_id}"}},
		"wildcard":            {"broker: stomp://h\n        controller_destination: \"/topic/*\"", []string{"6: " + at + "controller_destination: has a wildcard"}},
		"password alone":      {"broker: stomp://h\n        password: p", []string{"6: " + at + "password: has no username"}},
		"virtual host":        {"broker: stomp://h\n        vhost: \"a\\nb\"", []string{"6: " + at + "vhost: has a control character"}},
		"an account for each": {"broker: stomp://h\n        connection: shared\n        username: \"{endpoint_id}\"", []string{"7: " + at + "username: has {endpoint_id}, but the Agents share"}},
	} {
		t.Run(name, func(t *testing.T) {
			for i := range c.want {
				c.want[i] = "isthmus.yaml:" + c.want[i]
			}
			wantProblems(t, c.want, problems(t, strings.Replace(mqttEntry, "mqtt", "stomp", 1)+"        "+c.entry+"\n"))
		})
	}
}

// TestOneConnectionTwoWays: Controllers that an Agent reaches over one connection want it of one kind.
func TestOneConnectionTwoWays(t *testing.T) {
	for name, c := range map[string]struct {
		section, other string
		want           []string
	}{
		"MQTT":            {"mqtt", "{ broker: \"mqtt://h:1883\", connection: shared }", []string{"7: usp.controllers[1].mqtt.connection: is shared, but usp.controllers[0] is at the same broker"}},
		"STOMP":           {"stomp", "{ broker: stomp://h, connection: shared }", []string{"7: usp.controllers[1].stomp.connection: is shared, but usp.controllers[0] is at the same broker"}},
		"both alike":      {"mqtt", "{ broker: mqtt://h }", nil},
		"another account": {"mqtt", "{ broker: mqtt://h, username: u, connection: shared }", nil},
		"another topic":   {"mqtt", "{ broker: mqtt://h, agent_topic: \"a/{endpoint_id}\", connection: shared }", nil},
		"another host":    {"stomp", "{ broker: stomp://i, connection: shared }", nil},
	} {
		t.Run(name, func(t *testing.T) {
			for i := range c.want {
				c.want[i] = "isthmus.yaml:" + c.want[i]
			}
			entries := fmt.Sprintf("usp:\n  controllers:\n    - endpoint_id: a::b\n      %[1]s: { broker: %[1]s://h }\n    - endpoint_id: a::c\n      profile: strict\n      %[1]s: %[2]s\n", c.section, c.other)
			wantProblems(t, c.want, problems(t, entries))
		})
	}
}

// A broker needs no more than its URL, and a secret may be in a file.
func TestMQTTEntry(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, _, err := Load(write(t, mqttEntry+fmt.Sprintf("        broker: mqtt://h\n        password_file: %q\n", secret)), nil)
	if err != nil {
		t.Fatal(err)
	}
	want := &MQTT{Broker: "mqtt://h", Version: "5", Password: "s3cret", PasswordFile: secret, Connection: "per_agent", AgentTopic: "usp/agent/{endpoint_id}", ControllerTopic: "usp/controller"}
	if d := cmp.Diff(want, c.USP.Controllers[0].MQTT); d != "" {
		t.Error(d)
	}
}

func TestBrokerURL(t *testing.T) {
	for raw, want := range map[string]Broker{
		"mqtt://h":          {Host: "h", Port: 1883},
		"mqtt://[::1]:5/":   {Host: "::1", Port: 5},
		"mqtts://h":         {Host: "h", Port: 8883, TLS: true},
		"ws://h/mqtt":       {Host: "h", Port: 80, Path: "/mqtt", WebSocket: true},
		"wss://h:8443/a/b":  {Host: "h", Port: 8443, Path: "/a/b", TLS: true, WebSocket: true},
		"stomp://127.0.0.1": {Host: "127.0.0.1", Port: 61613},
		"stomps://h":        {Host: "h", Port: 61614, TLS: true},
	} {
		got, problem := BrokerURL(raw, !strings.HasPrefix(raw, "stomp"))
		if got != want || problem != "" {
			t.Errorf("%s: %+v, %q", raw, got, problem)
		}
	}
}
