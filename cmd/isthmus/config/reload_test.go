package config

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"isthmus/usp/identity/identitytest"
)

func TestChanges(t *testing.T) {
	dir := t.TempDir()
	load := func(text string) *Config {
		t.Helper()
		file := filepath.Join(dir, "isthmus.yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c, _, err := Load(file, nil)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	const first = `
cwmp: { max_devices: 7, auth: { mode: basic, username: u, password: p }, connection_request: { allow: [10.0.0.0/8] } }
usp:
  roles: { helper: [{ targets: [Device.], param: r--- }] }
  controllers:
    - { endpoint_id: "proto::a", mqtt: { broker: "mqtt://h", password: p, username: u } }
    - { endpoint_id: "proto::b", websocket: { url: "ws://h/" } }
cache: { rules: [{ path: Device., max_age: 1s }] }
`
	for _, tt := range []struct {
		name, second    string
		reload, restart []string
	}{
		{"nothing", first, nil, nil},
		{"much", `
log: { level: debug, format: json }
cwmp: { max_devices: 8, auth: { mode: basic, username: u, password: q }, connection_request: { allow: [11.0.0.0/8], username: x, password: y } }
usp:
  roles: { helper: [{ targets: [Device.], param: rw-- }] }
  controllers:
    - { endpoint_id: "proto::a", mqtt: { broker: "mqtt://h", password: q, username: v } }
    - { endpoint_id: "proto::c", websocket: { url: "ws://h/" } }
cache: { rules: [{ path: Device., max_age: 2s }], max_age: 3s, serve_stale: 1s }
`,
			[]string{"log.level", "cwmp.auth.password", "cwmp.connection_request.username", "cwmp.connection_request.password",
				"usp.controllers[0].mqtt.password", "cache.max_age", "cache.rules"},
			[]string{"log.format", "cwmp.max_devices", "cwmp.connection_request.allow", "usp.controllers[0].mqtt.username", "usp.controllers[1].endpoint_id",
				"usp.roles", "cache.serve_stale"}},
		{"less", `
cwmp: { max_devices: 7, connection_request: { allow: [10.0.0.0/8] } }
usp:
  controllers:
    - { endpoint_id: "proto::a", stomp: { broker: "stomp://h" } }
cache: { rules: [{ path: Device., max_age: 1s }] }
`, []string{"cwmp.auth.password"}, []string{"cwmp.auth.mode", "cwmp.auth.username", "usp.controllers", "usp.roles"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			old := load(first)
			reload, restart := load(tt.second).Changes(old)
			if diff := cmp.Diff(tt.reload, reload); diff != "" {
				t.Error("reload:", diff)
			}
			if diff := cmp.Diff(tt.restart, restart); diff != "" {
				t.Error("restart:", diff)
			}
		})
	}
}

// TestChangesOfFiles: CA certificates that are other ones in the same file are a change of its key.
func TestChangesOfFiles(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	load := func() *Config {
		t.Helper()
		ca := identitytest.Root(t, "ca")
		identitytest.Files(t, dir, "ca", ca.Cert, ca.Key)
		identitytest.Files(t, dir, "own", ca.Cert, ca.Key)
		file := filepath.Join(dir, "isthmus.yaml")
		if err := os.WriteFile(file, []byte(`
cwmp: { auth: { mode: certificate }, tls: { listen: "127.0.0.1:0", cert_file: own.pem, key_file: own.key, client_ca_file: ca.pem } }
usp: { controllers: [{ endpoint_id: "proto::a", mqtt: { broker: "mqtts://h" }, tls: { ca_file: ca.pem } }], added_controllers: { ca_file: ca.pem } }
`), 0o600); err != nil {
			t.Fatal(err)
		}
		c, _, err := Load(file, nil)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	first, second := load(), load()
	reload, restart := second.Changes(first)
	if diff := cmp.Diff([]string{"cwmp.tls.client_ca_file"}, reload); diff != "" {
		t.Error("reload:", diff)
	}
	if diff := cmp.Diff([]string{"usp.controllers[0].tls.ca_file", "usp.added_controllers.ca_file"}, restart); diff != "" {
		t.Error("restart:", diff)
	}
}
