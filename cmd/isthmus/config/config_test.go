package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

func write(t *testing.T, text string) string {
	t.Helper()
	f := filepath.Join(t.TempDir(), "isthmus.yaml")
	if err := os.WriteFile(f, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return f
}

// problems loads a text and gives what is wrong with it, without the directory.
func problems(t *testing.T, text string, environ ...string) []string {
	t.Helper()
	f := write(t, text)
	_, _, err := Load(f, environ)
	if err == nil {
		return nil
	}
	var p Problems
	if !errors.As(err, &p) {
		t.Fatalf("error %v is no Problems", err)
	}
	return strings.Split(strings.ReplaceAll(p.Error(), filepath.Dir(f)+string(filepath.Separator), ""), "\n")
}

func TestProblems(t *testing.T) {
	for _, tc := range []struct {
		name, text string
		want       []string // beginnings of the lines
	}{
		{"unknown key", "cwmp:\n  listen: \":7547\"\n  lisen: \":7548\"\n", []string{"isthmus.yaml:3: cwmp.lisen: unknown key"}},
		{"unknown section", "\n\nfoo: 1\n", []string{"isthmus.yaml:3: foo: unknown key"}},
		{"unknown key in a list", "usp:\n  controllers:\n    - endpoint_id: a::b\n      websocket:\n        uri: ws://h/\n", []string{"isthmus.yaml:5: usp.controllers[0].websocket.uri: unknown key"}},
		{"duplicate key", "cache:\n  max_age: 1s\n  max_age: 2s\n", []string{"isthmus.yaml:3: cache.max_age: is given twice, first in line 2"}},
		{"duplicate section", "cache: {}\nlog: {}\ncache: {}\n", []string{"isthmus.yaml:3: cache: is given twice, first in line 1"}},
		{"list for a duration", "cwmp:\n  session:\n    linger: [1, 2]\n", []string{"isthmus.yaml:3: cwmp.session.linger: must be a duration such as 15s, not a list"}},
		{"text for a duration", "cache:\n  max_age: soon\n", []string{`isthmus.yaml:2: cache.max_age: "soon" is no duration`}},
		{"number for a duration", "cache:\n  max_age: 60\n", []string{`isthmus.yaml:2: cache.max_age: "60" is no duration: write it with a unit`}},
		{"negative duration", "cache: { max_age: -1s }\n", []string{"isthmus.yaml:1: cache.max_age: -1s is negative"}},
		{"zero where there must be time", "usp: { request_timeout: 0s }\n", []string{"isthmus.yaml:1: usp.request_timeout: must be more than 0s"}},
		{"an operation without time", "operations: { expire_after: 0s }\n", []string{"isthmus.yaml:1: operations.expire_after: must be more than 0s"}},
		{"too frequent a poll", "notifications: { poll_interval: 1s }\n", []string{"isthmus.yaml:1: notifications.poll_interval: 1s is too often: write at least 10s, or 0s"}},
		{"number for text", "data_dir: 5\n", []string{`isthmus.yaml:1: data_dir: must be text, not a number (write "5" in quotes)`}},
		{"number for a secret", "cwmp:\n  connection_request: { username: u, password: 12345 }\n", []string{"isthmus.yaml:2: cwmp.connection_request.password: must be text, not a number (put it in quotes)"}},
		{"text for a number", "cwmp: { max_devices: \"many\" }\n", []string{"isthmus.yaml:1: cwmp.max_devices: must be a whole number, not text"}},
		{"too small a number", "cwmp: { max_devices: 0 }\n", []string{"isthmus.yaml:1: cwmp.max_devices: must be 1 or more"}},
		{"text for a switch", "admin:\n  metrics_public: yes please\n", []string{"isthmus.yaml:2: admin.metrics_public: must be true or false, not text"}},
		{"section for text", "log: { level: { a: b } }\n", []string{"isthmus.yaml:1: log.level: must be text, not a section"}},
		{"text for a section", "cwmp: \":7547\"\n", []string{"isthmus.yaml:1: cwmp: must be a section"}},
		{"list for the file", "- a\n", []string{"isthmus.yaml:1: must be a section"}},
		{"section for a list", "usp:\n  controllers:\n    endpoint_id: a::b\n", []string{"isthmus.yaml:3: usp.controllers: must be a list"}},
		{"no value", "log:\n  level:\n", []string{"isthmus.yaml:2: log.level: has no value"}},
		{"none of the values", "log: { format: xml }\n", []string{`isthmus.yaml:1: log.format: "xml" is none of text, json`}},
		{"size", "cwmp: { max_body: 32MB }\n", []string{`isthmus.yaml:1: cwmp.max_body: "32MB" is no size`}},
		{"address", "cwmp: { listen: \"7547\" }\n", []string{`isthmus.yaml:1: cwmp.listen: "7547" is no address: write host:port`}},
		{"port", "cwmp: { listen: \":75470\" }\n", []string{`isthmus.yaml:1: cwmp.listen: ":75470" has no port`}},
		{"CIDR", "cwmp:\n  connection_request:\n    allow: [10.0.0.0/8, 10.1.0.0]\n", []string{`isthmus.yaml:3: cwmp.connection_request.allow[1]: "10.1.0.0" is no CIDR`}},
		{"CIDR with host bits", "cwmp:\n  connection_request:\n    allow:\n      - 10.1.2.3/8\n", []string{"isthmus.yaml:4: cwmp.connection_request.allow[0]: 10.1.2.3/8 has bits set beyond its length: write 10.0.0.0/8"}},
		{"IP address", "usp: { source_addresses: [here] }\n", []string{`isthmus.yaml:1: usp.source_addresses[0]: "here" is no IP address`}},
		{"no YAML", "cwmp:\n  listen: \":7547\"\n tls: {}\n", []string{"isthmus.yaml:2: not YAML: "}},
		{"two documents", "log: {}\n---\nlog: {}\n", []string{"isthmus.yaml:2: not YAML: a second document"}},
		{"two MTPs", "usp:\n  controllers:\n    - endpoint_id: \"proto::c\"\n      websocket: { url: \"ws://127.0.0.1:1/\" }\n      mqtt: { broker: \"mqtt://127.0.0.1:2\" }\n",
			[]string{"isthmus.yaml:3: usp.controllers[0]: has more than one MTP"}},
		{"no endpoint_id", "usp:\n  controllers:\n    - websocket: {}\n", []string{"isthmus.yaml:3: usp.controllers[0].endpoint_id: is missing"}},
		{"no Endpoint ID", "usp:\n  controllers:\n    - endpoint_id: me\n", []string{"isthmus.yaml:3: usp.controllers[0].endpoint_id: not an Endpoint ID"}},
		{"one Controller twice", "usp:\n  controllers:\n    - endpoint_id: a::b\n    - endpoint_id: a::b\n", []string{"isthmus.yaml:4: usp.controllers[1].endpoint_id: a::b is usp.controllers[0] already"}},
		{"URL scheme", "usp:\n  controllers:\n    - endpoint_id: a::b\n      websocket:\n        url: http://h/\n", []string{"isthmus.yaml:5: usp.controllers[0].websocket.url: must be ws://"}},
		{"URL without host", "usp:\n  controllers:\n    - { endpoint_id: a::b, websocket: { url: \"ws:///x\" } }\n", []string{"isthmus.yaml:3: usp.controllers[0].websocket.url: must be ws://"}},
		{"placeholder in the query", "usp:\n  controllers:\n    - { endpoint_id: a::b, websocket: { url: \"ws://h/x?a={endpoint_id}\" } }\n", []string{"isthmus.yaml:3: usp.controllers[0].websocket.url: has {endpoint_id} outside its path"}},
		{"TLS on ws", "usp:\n  controllers:\n    - { endpoint_id: a::b, tls: { server_name: h }, websocket: { url: \"ws://h/x\" } }\n", []string{"isthmus.yaml:3: usp.controllers[0].websocket.url: is not encrypted, but tls is set"}},
		{"CA file", "usp:\n  controllers:\n    - { endpoint_id: a::b, tls: { ca_file: /no/such }, websocket: { url: \"wss://h/x\" } }\n", []string{"isthmus.yaml:3: usp.controllers[0].tls.ca_file: cannot be used: open /no/such"}},
		{"CA file of added Controllers", "usp:\n  added_controllers:\n    ca_file: /no/such\n", []string{"isthmus.yaml:3: usp.added_controllers.ca_file: cannot be used: open /no/such"}},
		{"CIDR of added Controllers", "usp: { added_controllers: { allow: [here] } }\n", []string{`isthmus.yaml:1: usp.added_controllers.allow[0]: "here" is no CIDR`}},
		{"profile", "usp:\n  controllers:\n    - endpoint_id: a::b\n      profile: oktopus\n", []string{`isthmus.yaml:4: usp.controllers[0].profile: "oktopus" is none of strict, oktopus-ws, oktopus-mqtt, openusp`}},
		{"profile of another MTP", "usp:\n  controllers:\n    - endpoint_id: a::b\n      profile: oktopus-mqtt\n      websocket: { url: 'ws://h/' }\n",
			[]string{`isthmus.yaml:4: usp.controllers[0].profile: oktopus-mqtt is for MQTT and STOMP, and this Controller has WebSocket: choose another, or strict`}},
		{"role", "usp:\n  controllers:\n    - endpoint_id: a::b\n      role: reader\n", []string{`isthmus.yaml:4: usp.controllers[0].role: "reader" is no role: write full_access, or add it to usp.roles`}},
		{"roles", "usp:\n  roles:\n    full_access: []\n    reader:\n      - { targets: [Device.], param: rwx }\n      - targets:\n          - Nope.\n          - Device.X.{i}.\n        order: 1\n      - param: r---\n        oder: 1\n",
			[]string{"isthmus.yaml:3: usp.roles.full_access: is there already", `isthmus.yaml:5: usp.roles.reader[0].param: "rwx" is not rwxn`,
				"isthmus.yaml:7: usp.roles.reader[1].targets[0]: Nope. does not begin with Device.", "isthmus.yaml:8: usp.roles.reader[1].targets[1]: Device.X.{i}.: a target has neither",
				"isthmus.yaml:9: usp.roles.reader[1].order: 1 is that of entry [0] too", "isthmus.yaml:10: usp.roles.reader[2].targets: is missing",
				"isthmus.yaml:11: usp.roles.reader[2].oder: unknown key"}},
		{"roles of the wrong shape", "usp:\n  roles:\n    a: text\n    b: [1]\n    c: [{ order: -1, targets: Device. }]\n",
			[]string{"isthmus.yaml:3: usp.roles.a: must be a list", "isthmus.yaml:4: usp.roles.b[0]: must be a section", "isthmus.yaml:4: usp.roles.b[0].targets: is missing", "isthmus.yaml:5: usp.roles.c[0].order", "isthmus.yaml:5: usp.roles.c[0].targets: must be a list"}},
		{"role with a target that names nothing", "usp:\n  roles:\n    a: [{ targets: [Device], param: r--- }]\n", []string{"isthmus.yaml:3: usp.roles.a[0].targets[0]: Device names nothing: write Device."}},
		{"role without targets", "usp:\n  roles:\n    a: [{ targets: [], param: r--- }]\n", []string{"isthmus.yaml:3: usp.roles.a[0].targets: is empty"}},
		{"rule outside Device:2", "cache:\n  rules:\n    - { path: InternetGatewayDevice.DeviceInfo., max_age: 1h }\n", []string{"isthmus.yaml:3: cache.rules[0].path: must be a Device:2 path"}},
		{"rule with a partial wildcard", "cache:\n  rules:\n    - { path: Device.WiFi*., max_age: 1h }\n", []string{`isthmus.yaml:3: cache.rules[0].path: has the segment "WiFi*"`}},
		{"rule without age", "cache:\n  rules:\n    - path: Device.WiFi.\n", []string{"isthmus.yaml:3: cache.rules[0].max_age: is missing"}},
		{"certificate without key", "cwmp:\n  tls:\n    cert_file: a.pem\n", []string{"isthmus.yaml:3: cwmp.tls.cert_file: has no cwmp.tls.key_file"}},
		{"TLS without certificate", "cwmp:\n  tls:\n    listen: \":7548\"\n", []string{"isthmus.yaml:3: cwmp.tls.listen: needs cwmp.tls.cert_file"}},
		{"no listener for CPE", "cwmp: { listen: \"\" }\n", []string{"isthmus.yaml:1: cwmp.listen: is empty, and so is cwmp.tls.listen"}},
		{"one port twice", "cwmp: { listen: \"127.0.0.1:9647\" }\n", []string{"isthmus.yaml:1: cwmp.listen: 127.0.0.1:9647 is the address of admin.listen too"}},
		{"admin in public", "admin:\n  listen: \":9647\"\n", []string{"isthmus.yaml:2: admin.listen: :9647 can be reached from outside: set admin.tls, and admin.token_file or admin.tls.client_ca_file"}},
		{"token file", "admin:\n  token_file: /no/such\n", []string{"isthmus.yaml:2: admin.token_file: cannot be read"}},
		{"secret twice", "cwmp:\n  connection_request:\n    username: u\n    password: p\n    password_file: f\n", []string{"isthmus.yaml:5: cwmp.connection_request.password_file: is set beside"}},
		{"everything at once, in the order of the file", "log: { level: loud }\ncache:\n  max_age: 1\n  rule: []\nfoo: bar\n",
			[]string{"isthmus.yaml:1: log.level", "isthmus.yaml:3: cache.max_age", "isthmus.yaml:4: cache.rule", "isthmus.yaml:5: foo"}},
		{"OTLP receiver", "telemetry:\n  otlp_endpoint: collector:4317\n", []string{"isthmus.yaml:2: telemetry.otlp_endpoint: is no URL of a receiver of OTLP over HTTP: write it as http://collector:4318"}},
		{"admin CA without certificate", "admin:\n  tls:\n    client_ca_file: /no/such\n",
			[]string{"isthmus.yaml:3: admin.tls.client_ca_file: cannot be used: open /no/such", "isthmus.yaml:3: admin.tls.client_ca_file: is not used without"}},
		{"quirks file", "cwmp:\n  quirks_file: /no/such\n", []string{"isthmus.yaml:2: cwmp.quirks_file: open /no/such: no such file"}},
		{"provision", "cwmp:\n  provision:\n    credentials: true\n",
			[]string{"isthmus.yaml:3: cwmp.provision.credentials: has no effect: cwmp.auth.mode none"}},
		{"interval with a fraction", "cwmp:\n  provision:\n    periodic_inform_interval: 1500ms\n", []string{"isthmus.yaml:3: cwmp.provision.periodic_inform_interval: 1.5s is no"}},
		{"interval without end", "cwmp:\n  provision:\n    periodic_inform_interval: 2000000h\n", []string{"isthmus.yaml:3: cwmp.provision.periodic_inform_interval: 2000000h0m0s is no"}},
		{"interval without unit", "cwmp:\n  provision:\n    periodic_inform_interval: 300\n", []string{`isthmus.yaml:3: cwmp.provision.periodic_inform_interval: "300" is no duration`}},
		{"UDP address", "cwmp:\n  connection_request:\n    udp_listen: 3478\n", []string{"isthmus.yaml:3: cwmp.connection_request.udp_listen: "}},
		{"XMPP without JID", "cwmp:\n  connection_request:\n    xmpp: { server: x }\n", []string{"isthmus.yaml:3: cwmp.connection_request.xmpp.jid: is missing"}},
		{"XMPP", "cwmp:\n  connection_request:\n    xmpp:\n      jid: xmpp.example.com\n      server: xmpp://x\n      ca_file: /no/such\n      domains: [a.example, a@b]\n",
			[]string{"isthmus.yaml:4: cwmp.connection_request.xmpp.jid: \"xmpp.example.com\" is no account", "isthmus.yaml:5: cwmp.connection_request.xmpp.server: \"xmpp://x\" is no server",
				"isthmus.yaml:6: cwmp.connection_request.xmpp.ca_file: cannot be used", "isthmus.yaml:7: cwmp.connection_request.xmpp.domains[1]: \"a@b\" is no domain"}},
		{"XMPP without password", "cwmp: { connection_request: { xmpp: { jid: a@b } } }\n", []string{"isthmus.yaml:1: cwmp.connection_request.xmpp.password: is missing"}},
		{"OTLP receiver with a user", "telemetry: { otlp_endpoint: \"https://u:p@collector\" }\n", []string{"isthmus.yaml:1: telemetry.otlp_endpoint: has a user name: give"}},
		{"transfers without a place", "transfers:\n  listen: \":1\"\n", []string{"isthmus.yaml:1: transfers.public_url: is missing: :1 does not say where CPE find it"}},
		{"transfers at no place", "transfers:\n  listen: \":1\"\n  public_url: ftp://x\n", []string{"isthmus.yaml:3: transfers.public_url: \"ftp://x\" is no URL"}},
		{"transfers at too long a place", "transfers:\n  listen: \":1\"\n  public_url: http://" + strings.Repeat("x", 200) + "\n", []string{"isthmus.yaml:3: transfers.public_url: is longer than 158 characters"}},
		{"transfers that are off", "transfers:\n  public_url: http://x\n", []string{"isthmus.yaml:2: transfers.public_url: is set without transfers.listen"}},
		{"one address twice", "transfers:\n  listen: \"127.0.0.1:7548\"\nadmin:\n  listen: \"127.0.0.1:7548\"\n", []string{"isthmus.yaml:2: transfers.listen: 127.0.0.1:7548 is the address of admin.listen too"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			wantProblems(t, tc.want, problems(t, tc.text))
		})
	}
}

func TestGoodFiles(t *testing.T) {
	for name, text := range map[string]string{
		"empty":                       "",
		"a comment":                   "# nothing\n",
		"a section of comments":       "cwmp:\n  # listen: x\nusp:\n",
		"the keys' own defaults":      "cwmp:\n  auth: { mode: none }\n  legacy_tls: { listen: \"\" }\n  trusted_proxies: []\n  provision: { connection_request: false, periodic_inform_interval: 0s }\nusp: { roles: {}, identity: { ca_cert_file: \"\" } }\ntransfers: { max_size: 1GiB, allow: [] }\n",
		"a Controller that dials in":  "usp:\n  controllers:\n    - endpoint_id: a::b\n      websocket: {}\n    - endpoint_id: a::c\n",
		"a placeholder in the path":   "usp:\n  controllers:\n    - { endpoint_id: a::b, websocket: { url: \"ws://h:1/x/{endpoint_id}?y=1\" } }\n",
		"provision":                   "cwmp:\n  auth: { mode: digest, username: u, password: p }\n  provision: { connection_request: true, credentials: true, periodic_inform_interval: 1h, spread_periodic_inform: true }\n",
		"roles":                       "usp:\n  roles:\n    reader:\n      - { order: 5, targets: [Device., \"Device.WiFi.SSID.*.Enable\"], param: \"r--n\" }\n      - { targets: [Device.Reboot()], command_event: r-x- }\n    Untrusted: []\n  controllers:\n    - { endpoint_id: a::b, role: reader }\n    - { endpoint_id: a::c, role: Untrusted }\n",
		"an anchor":                   "cache: { max_age: &a 5s }\nusp: { request_timeout: *a }\n",
		"rules":                       "cache:\n  rules: [{path: \"Device.DeviceInfo.\", max_age: 24h}, {path: \"Device.*.Stats.\", max_age: 0s}, {path: Device.WiFi.SSID.1.SSID, max_age: 1s}]\n",
		"a public WebSocket listener": "usp: { websocket_server: { listen: \":8183\" } }\n",
	} {
		if got := problems(t, text); got != nil {
			t.Errorf("%s: %s", name, strings.Join(got, "\n"))
		}
	}
}

func TestValues(t *testing.T) {
	f := write(t, `
data_dir: d
cwmp:
  listen: "127.0.0.1:0"
  max_devices: 10_000
  max_body: 64KiB
  connection_request: { timeout: 4s, allow: [10.0.0.0/8] }
usp:
  controllers:
    - endpoint_id: a::b
      websocket: { url: "ws://h/" }
cache:
  max_age: 0
  rules: [{path: Device., max_age: 1h}]
admin: { metrics_public: false }
`)
	c, _, err := Load(f, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.DataDir, want.CWMP.Listen, want.CWMP.MaxDevices, want.CWMP.MaxBody = "d", "127.0.0.1:0", 10_000, 64<<10
	want.CWMP.ConnectionRequest.Timeout = Duration(4 * time.Second)
	want.CWMP.ConnectionRequest.Allow = make([]Prefix, 1)
	if err := want.CWMP.ConnectionRequest.Allow[0].parse("10.0.0.0/8"); err != nil {
		t.Fatal(err)
	}
	want.USP.Controllers = []Controller{{EndpointID: "a::b", Profile: "strict", Role: "full_access", WebSocket: &WebSocket{URL: "ws://h/"}}}
	want.Cache = Cache{Rules: []Rule{{Path: "Device.", MaxAge: Duration(time.Hour)}}}
	want.Admin.MetricsPublic = false
	if d := cmp.Diff(want, c, cmp.Comparer(func(a, b Prefix) bool { return a == b })); d != "" {
		t.Error(d)
	}
}

func TestEnvironment(t *testing.T) {
	f := write(t, "cache: { max_age: 1s }\nlog: { level: warn }\n")
	c, unknown, err := Load(f, []string{"ISTHMUS_CACHE_MAX_AGE=2s", "ISTHMUS_CWMP_CONNECTION_REQUEST_TIMEOUT=3s", "ISTHMUS_CWMP_MAX_BODY=1MiB",
		"ISTHMUS_USP_WEBSOCKET_SERVER_LISTEN=", "ISTHMUS_ADMIN_METRICS_PUBLIC=false", "ISTHMUS_PORT=tcp://10.0.0.1:7547", "HOME=/", "ISTHMUS_USP_SOURCE_ADDRESSES=x"})
	if err != nil {
		t.Fatal(err)
	}
	if c.Cache.MaxAge != Duration(2*time.Second) || c.CWMP.ConnectionRequest.Timeout != Duration(3*time.Second) || c.CWMP.MaxBody != 1<<20 ||
		c.USP.WebSocketServer.Listen != "" || c.Admin.MetricsPublic || c.Log.Level != "warn" {
		t.Errorf("got %+v", c)
	}
	if want := []string{"ISTHMUS_PORT", "ISTHMUS_USP_SOURCE_ADDRESSES"}; !slices.Equal(unknown, want) {
		t.Errorf("unknown %q, want %q", unknown, want)
	}
	for variable, want := range map[string]string{
		"ISTHMUS_CACHE_MAX_AGE=soon":      `ISTHMUS_CACHE_MAX_AGE: cache.max_age: "soon" is no duration`,
		"ISTHMUS_CWMP_AUTH_MODE=basic":    `ISTHMUS_CWMP_AUTH_MODE: cwmp.auth.mode: basic lets nobody in without credentials`,
		"ISTHMUS_LOG_LEVEL=loud":          `ISTHMUS_LOG_LEVEL: log.level: "loud" is none of`,
		"ISTHMUS_CWMP_MAX_DEVICES=-1":     `ISTHMUS_CWMP_MAX_DEVICES: cwmp.max_devices: "-1" is no whole number`,
		"ISTHMUS_ADMIN_METRICS_PUBLIC=on": `ISTHMUS_ADMIN_METRICS_PUBLIC: admin.metrics_public: must be true or false`,
		"ISTHMUS_ADMIN_LISTEN=0.0.0.0:1":  `ISTHMUS_ADMIN_LISTEN: admin.listen: 0.0.0.0:1 can be reached from outside`,
		"ISTHMUS_TRANSFERS_LISTEN=:1":     `isthmus.yaml: transfers.public_url: is missing`,
	} {
		if got := problems(t, "", variable); len(got) != 1 || !strings.HasPrefix(got[0], want) {
			t.Errorf("%s: got %q, want %s…", variable, got, want)
		}
	}
	if _, _, err := Load("", nil); err != nil {
		t.Errorf("no file: %v", err)
	}
}

func TestVariables(t *testing.T) {
	keys := map[string]bool{}
	for name, key := range Variables() {
		keys[key] = true
		if name != "ISTHMUS_"+strings.ToUpper(strings.ReplaceAll(key, ".", "_")) {
			t.Errorf("%s stands for %s", name, key)
		}
	}
	for _, key := range []string{"data_dir", "cwmp.tls.cert_file", "cwmp.connection_request.password", "usp.websocket_server.trust_endpoint_id", "admin.tls.key_file", "cwmp.connection_request.xmpp.jid"} {
		if !keys[key] {
			t.Errorf("%s has no variable", key)
		}
	}
}

func TestSecretFiles(t *testing.T) {
	dir := t.TempDir()
	secret := filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, []byte("s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, _, err := Load(write(t, fmt.Sprintf("cwmp: { connection_request: { username: u, password_file: %q } }\nadmin: { token_file: %q }\n", secret, secret)), nil)
	if err != nil {
		t.Fatal(err)
	}
	if string(c.CWMP.ConnectionRequest.Password) != "s3cret" || string(c.Admin.Token) != "s3cret" {
		t.Error("the secrets were not read")
	}
	if err := os.WriteFile(secret, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := problems(t, fmt.Sprintf("admin: { token_file: %q }\n", secret)); len(got) != 1 || !strings.Contains(got[0], "is empty") {
		t.Errorf("an empty token file: %q", got)
	}
}

func TestSecretNeverShows(t *testing.T) {
	c := Default()
	c.CWMP.ConnectionRequest.Password = "s3cret"
	c.Admin.Token = "s3cret"
	var texts []string
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		texts = append(texts, fmt.Sprintf(verb, c.CWMP.ConnectionRequest), fmt.Sprintf(verb, c.Admin.Token))
	}
	j, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	y, err := yaml.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("text", "c", c, "token", c.Admin.Token)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("json", "c", c, "token", c.Admin.Token)
	for _, text := range append(texts, string(j), string(y), log.String()) {
		if strings.Contains(text, "s3cret") || strings.Contains(text, fmt.Sprintf("%x", "s3cret")) {
			t.Errorf("a secret shows: %s", text)
		}
	}
	if !strings.Contains(string(j), "hidden") {
		t.Error("JSON does not say that something is hidden")
	}
}
