package brokertest

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Permission is what a user of RabbitMQ may do: with queues and exchanges whose names match.
type Permission struct {
	User      string `json:"user"`
	VHost     string `json:"vhost"`
	Configure string `json:"configure"`
	Write     string `json:"write"`
	Read      string `json:"read"`
}

// RabbitMQOptions say what a RabbitMQ asks of its clients; by default they need neither name nor password.
type RabbitMQOptions struct {
	Users       map[string]string // by user name, the password
	Permissions []Permission
	// CertFile and KeyFile are its own certificate, CAFile has the CA of those that clients have to show.
	CertFile, KeyFile, CAFile string
}

// RabbitMQ is a running RabbitMQ with its STOMP plugin.
type RabbitMQ struct {
	daemon
	Addr    string // STOMP over TCP
	TLSAddr string // over TLS, where there is a certificate
	epmd    string // port of its own, so that no other Erlang program is disturbed and nothing is left
}

// NewRabbitMQ starts one that ends with the test. That takes some seconds.
func NewRabbitMQ(t testing.TB, o RabbitMQOptions) *RabbitMQ {
	t.Helper()
	program(t, "rabbitmq-server", "rabbitmq-server")
	const script = "/usr/lib/rabbitmq/bin/rabbitmq-server" // that in PATH becomes another user, who may not read the directory
	dir, port := t.TempDir(), freePort()
	r := &RabbitMQ{Addr: "127.0.0.1:" + port, epmd: freePort()}
	guest := o.Users == nil
	if guest {
		o.Users = map[string]string{"any": "any"}
		o.Permissions = []Permission{{User: "any", VHost: "/", Configure: ".*", Write: ".*", Read: ".*"}}
	}
	lines := []string{
		"listeners.tcp = none", "stomp.listeners.tcp.1 = 127.0.0.1:" + port, "load_definitions = " + definitions(t, dir, &o),
		"vm_memory_high_watermark.absolute = 1GB", "disk_free_limit.absolute = 1MB",
	}
	if guest {
		lines = append(lines, "stomp.default_user = any", "stomp.default_pass = any")
	}
	if o.CertFile != "" {
		secure := freePort()
		r.TLSAddr = "127.0.0.1:" + secure
		lines = append(lines, "stomp.listeners.ssl.1 = 127.0.0.1:"+secure, "ssl_options.certfile = "+o.CertFile, "ssl_options.keyfile = "+o.KeyFile)
		if o.CAFile != "" {
			lines = append(lines, "ssl_options.cacertfile = "+o.CAFile, "ssl_options.verify = verify_peer", "ssl_options.fail_if_no_peer_cert = true")
		}
	}
	r.daemon = daemon{t: t, name: script, ready: "Server startup complete", env: []string{
		"HOME=" + dir, "RABBITMQ_NODENAME=isthmus-" + port + "@localhost", "RABBITMQ_MNESIA_BASE=" + filepath.Join(dir, "mnesia"), "RABBITMQ_LOG_BASE=" + dir,
		"RABBITMQ_LOGS=-", "RABBITMQ_ENABLED_PLUGINS_FILE=" + write(t, filepath.Join(dir, "enabled_plugins"), "[rabbitmq_stomp].\n"),
		"RABBITMQ_CONFIG_FILE=" + write(t, filepath.Join(dir, "rabbitmq.conf"), strings.Join(lines, "\n")+"\n"), "RABBITMQ_CONF_ENV_FILE=/dev/null",
		"RABBITMQ_DIST_PORT=" + freePort(), "ERL_EPMD_PORT=" + r.epmd, "ERL_EPMD_ADDRESS=127.0.0.1", "ERL_CRASH_DUMP_SECONDS=0"}}
	t.Cleanup(r.endEPMD)
	r.start()
	t.Cleanup(func() {
		r.Kill()
		if t.Failed() {
			t.Logf("%s:\n%s", script, r.Log())
		}
	})
	return r
}

// endEPMD ends the port mapper that Erlang has started beside the broker.
func (r *RabbitMQ) endEPMD() {
	kill := exec.Command("epmd", "-kill")
	kill.Env = append(os.Environ(), "ERL_EPMD_PORT="+r.epmd)
	if out, err := kill.CombinedOutput(); err != nil {
		r.t.Logf("epmd -kill: %v: %s", err, out)
	}
}

// definitions are the users and what they may do.
func definitions(t testing.TB, dir string, o *RabbitMQOptions) string {
	t.Helper()
	type user struct {
		Name     string   `json:"name"`
		Password string   `json:"password"`
		Tags     []string `json:"tags"`
	}
	all := struct {
		VHosts      []map[string]string `json:"vhosts"`
		Users       []user              `json:"users"`
		Permissions []Permission        `json:"permissions"`
	}{VHosts: []map[string]string{{"name": "/"}}, Permissions: o.Permissions}
	for name, password := range o.Users {
		all.Users = append(all.Users, user{name, password, []string{}})
	}
	text, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	return write(t, filepath.Join(dir, "definitions.json"), string(text))
}
