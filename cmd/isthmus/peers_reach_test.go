//go:build unix

package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"isthmus/cmd/isthmus/admin"
)

// reachTime is how long one of these tests may take.
const reachTime = 60 * time.Second

// reachable is a proxy and a CPE in processes of their own; HTTP Connection Requests do not get from one to the other.
type reachable struct {
	ctx         context.Context
	t           *testing.T
	dir, binary string
	enter       []string // what precedes a command that is to run beside the proxy
	admin       string
}

const (
	reachID = "ops::00D09E-Simulated-R1"
	// reachConfig wants what is added to cwmp and to connection_request. Nothing is answered from the cache, and no session lingers.
	reachConfig = `
data_dir: data
log: {format: json}
cwmp:
  listen: "%s:0"
  session: {linger: 0s}
  connection_request: {username: cr, password: cr-password, timeout: 10s, %s}
usp: {websocket_server: {listen: ""}}
cache: {max_age: 0s}
admin: {listen: "127.0.0.1:0"}
`
)

// newReachable builds isthmus and runs it at an address, with more keys of connection_request, and gives what it says of itself.
func newReachable(t *testing.T, address, keys string, enter ...string) (r *reachable, serving map[string]any) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), reachTime)
	t.Cleanup(cancel)
	dir := t.TempDir()
	r = &reachable{ctx: ctx, t: t, dir: dir, binary: filepath.Join(dir, "isthmus"), enter: enter}
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", r.binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	r.write("isthmus.yaml", fmt.Sprintf(reachConfig, address, keys))
	r.write("cr-password", "cr-password")
	out := r.start(enter, "serve", "--config", "isthmus.yaml")
	line, err := out.line(ctx, `"msg":"serving"`)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(line), &serving); err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	r.admin = fmt.Sprint(serving["admin"])
	return r, serving
}

func (r *reachable) write(name, text string) {
	r.t.Helper()
	if err := os.WriteFile(filepath.Join(r.dir, name), []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

func (r *reachable) start(enter []string, args ...string) *transcript {
	args = append(append(append([]string{}, enter...), r.binary), args...)
	return launch(r.t, syscall.SIGTERM, r.dir, args[0], args[1:]...)
}

// cpe runs the CPE.
func (r *reachable) cpe(enter []string, acs string, args ...string) *transcript {
	return r.start(enter, append([]string{"cpe", "--acs", acs, "--serial", "R1", "-v", "--connreq-username", "cr", "--connreq-password-file", "cr-password"}, args...)...)
}

// ask runs isthmus as a person would.
func (r *reachable) ask(args ...string) (string, error) {
	args = append(append(append([]string{}, r.enter...), r.binary), append(args, "--admin", r.admin)...)
	cmd := exec.CommandContext(r.ctx, args[0], args[1:]...)
	cmd.Dir = r.dir
	out, err := cmd.Output()
	return string(out), err
}

// liveGet reads a value that only the CPE knows, once it is known how to reach it, and checks which method brought the session.
func (r *reachable) liveGet(method string) {
	r.t.Helper()
	var text string
	err := fmt.Errorf("not tried")
	for tries := 0; err != nil; tries++ {
		if r.ctx.Err() != nil {
			r.t.Fatalf("no live Get over %s: %v", method, err)
		}
		time.Sleep(200 * time.Millisecond) // the CPE may not have told its address yet
		text, err = r.ask("usp", "get", "Device.DeviceInfo.UpTime", "--agent", reachID)
	}
	if !strings.Contains(text, "UpTime") {
		r.t.Errorf("%q", text)
	}
	text, err = r.ask("devices", reachID, "--json")
	var d admin.Detail
	if err != nil || json.Unmarshal([]byte(text), &d) != nil {
		r.t.Fatalf("%v: %s", err, text)
	}
	if last := d.ConnectionRequest; last.Method != method || last.Error != "" {
		r.t.Errorf("the last Connection Request was %+v", last)
	}
	// Again: what worked comes first now.
	if _, err := r.ask("usp", "get", "Device.DeviceInfo.UpTime", "--agent", reachID); err != nil {
		r.t.Error(err)
	}
}

func wantPeers(t *testing.T, what string, programs ...string) {
	t.Helper()
	if os.Getenv("ISTHMUS_PEERS") != "1" {
		t.Skipf("NOT TESTED %s: run make test-peers", what)
	}
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			t.Skipf("NOT TESTED %s: %v", what, err)
		}
	}
}

const prosodyConfig = `
run_as_root = true
daemonize = false
pidfile = %[1]q .. "/pid"
data_path = %[1]q .. "/prosody"
certificates = %[1]q
log = { { levels = { min = "info" }, to = "console" } }
interfaces = { "127.0.0.1" }
c2s_ports = { %[2]s }
s2s_ports = { }
modules_enabled = { "saslauth", "tls", "ping", "posix" }
modules_disabled = { "s2s" }
authentication = "internal_hashed"
c2s_require_encryption = true
VirtualHost "xmpp.example"
ssl = { certificate = %[1]q .. "/cert.pem", key = %[1]q .. "/key.pem" }
`

// TestPeerXMPP reaches a CPE through a real XMPP server, prosody.
func TestPeerXMPP(t *testing.T) {
	wantPeers(t, "against a real XMPP server", "prosody", "prosodyctl")
	dir, port := t.TempDir(), freePort(t)
	selfSigned(t, dir, "xmpp.example")
	config := filepath.Join(dir, "prosody.cfg.lua")
	for name, text := range map[string]string{config: fmt.Sprintf(prosodyConfig, dir, port), filepath.Join(dir, "other"): "the CPE's"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "prosody"), 0o700); err != nil {
		t.Fatal(err)
	}
	for account, password := range map[string]string{"acs": "the ACS's", "cpe": "the CPE's"} {
		if out, err := exec.CommandContext(t.Context(), "prosodyctl", "--config", config, "register", account, "xmpp.example", password).CombinedOutput(); err != nil {
			t.Fatalf("prosodyctl: %v\n%s", err, out)
		}
	}
	out := launch(t, syscall.SIGKILL, dir, "prosody", "--config", config, "-F")
	ctx, cancel := context.WithTimeout(t.Context(), reachTime)
	defer cancel()
	if _, err := out.line(ctx, "Activated service 'c2s' on"); err != nil {
		t.Fatal(err)
	}
	// HTTP Connection Requests may go nowhere, so what comes comes over XMPP.
	r, serving := newReachable(t, "127.0.0.1", fmt.Sprintf(`allow: [192.0.2.0/24], xmpp: {server: "127.0.0.1:%s", jid: acs@xmpp.example, password: "the ACS's", ca_file: %q}`,
		port, filepath.Join(dir, "cert.pem")))
	r.cpe(nil, fmt.Sprintf("http://%v/", serving["cwmp"]), "--xmpp-jid", "cpe@xmpp.example/cwmp", "--xmpp-server", "127.0.0.1:"+port,
		"--xmpp-password-file", filepath.Join(dir, "other"), "--ca-file", filepath.Join(dir, "cert.pem"))
	r.liveGet("xmpp")
}

// selfSigned writes cert.pem and key.pem.
func selfSigned(t *testing.T, dir, name string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{name}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: cert}, "key.pem": {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(filepath.Join(dir, file), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestPeerNAT reaches a CPE behind a NAT: the proxy, the NAT and the CPE each in a network namespace of its own. The NAT is the
// kernel's; it lets in what comes from where the CPE has sent something, and nothing else.
func TestPeerNAT(t *testing.T) {
	const what = "through a NAT"
	wantPeers(t, what, "ip", "iptables", "sysctl")
	if os.Geteuid() != 0 {
		t.Skipf("NOT TESTED %s: only root makes network namespaces", what)
	}
	suffix := fmt.Sprint(os.Getpid())
	acs, nat, home := "isthmus-acs-"+suffix, "isthmus-nat-"+suffix, "isthmus-cpe-"+suffix
	command := func(line string) error {
		args := strings.Fields(line)
		out, err := exec.CommandContext(t.Context(), args[0], args[1:]...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%s: %w: %s", line, err, out)
		}
		return nil
	}
	for _, ns := range []string{acs, nat, home} {
		if err := command("ip netns add " + ns); err != nil {
			t.Skipf("NOT TESTED %s: this machine cannot: %v", what, err)
		}
		t.Cleanup(func() {
			if out, err := exec.Command("ip", "netns", "del", ns).CombinedOutput(); err != nil {
				t.Errorf("ip netns del: %v: %s", err, out)
			}
		})
	}
	in := func(ns, line string) string { return "ip netns exec " + ns + " " + line }
	for _, line := range []string{
		"ip link add wan netns " + nat + " type veth peer name eth0 netns " + acs,
		"ip link add lan netns " + nat + " type veth peer name eth0 netns " + home,
		in(acs, "ip addr add 198.18.0.1/24 dev eth0"), in(acs, "ip link set eth0 up"), in(acs, "ip link set lo up"),
		in(nat, "ip addr add 198.18.0.254/24 dev wan"), in(nat, "ip link set wan up"),
		in(nat, "ip addr add 192.168.77.1/24 dev lan"), in(nat, "ip link set lan up"), in(nat, "sysctl -qw net.ipv4.ip_forward=1"),
		in(nat, "iptables -t nat -A POSTROUTING -o wan -p udp -j MASQUERADE --to-ports 61000-61999"), in(nat, "iptables -t nat -A POSTROUTING -o wan -j MASQUERADE"),
		in(home, "ip addr add 192.168.77.2/24 dev eth0"), in(home, "ip link set eth0 up"), in(home, "ip link set lo up"),
		in(home, "ip route add default via 192.168.77.1"),
	} {
		if err := command(line); err != nil {
			t.Skipf("NOT TESTED %s: this machine cannot: %v", what, err)
		}
	}
	enter := func(ns string) []string { return []string{"ip", "netns", "exec", ns} }
	r, serving := newReachable(t, "198.18.0.1", `udp_listen: "0.0.0.0:3478"`, enter(acs)...)
	out := r.cpe(enter(home), fmt.Sprintf("http://%v/", serving["cwmp"]), "--connreq-listen", "192.168.77.2:0", "--stun", "198.18.0.1:3478",
		"--stun-username", reachID, "--stun-password-file", "cr-password")
	r.liveGet("udp")
	if !out.has("UDPConnectionRequestAddress = 198.18.0.254:61") || !out.has("NATDetected = true") {
		t.Error("the CPE does not know of the NAT")
	}
}
