//go:build unix

package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"isthmus/cmd/isthmus/config"
	"isthmus/cwmp"
	"isthmus/cwmp/cpe"
	"isthmus/usp"
	"isthmus/usp/controller"
	"isthmus/usp/identity/identitytest"
	"isthmus/usp/mtp"
)

// TestReload drives serve by SIGHUP: what needs no restart is as the file says from then on, what needs one is named, and a file that is wrong changes
// nothing, loudly.
func TestReload(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	s := newSite(t, "2s", "30s", "ws://127.0.0.1:1/")
	ca := identitytest.Root(t, "ca")
	certify := func() (serial string) {
		c := ca.Issue(t, "")
		identitytest.Files(t, s.dir, "admin", c.Leaf, c.PrivateKey)
		return c.Leaf.SerialNumber.String()
	}
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	conf := func(cwmp, more string) {
		write("isthmus.yaml", fmt.Sprintf(`data_dir: data
cwmp: { listen: "127.0.0.1:%s", auth: { mode: digest, %s } }
usp: { websocket_server: { listen: "127.0.0.1:%s" } }
admin: { listen: "127.0.0.1:%s", token_file: token, tls: { cert_file: admin.pem, key_file: admin.key } }
%s`, s.acs, cwmp, s.ws, s.admin, more))
	}
	// ask gives what the admin address says, and the certificate that it shows.
	ask := func(token, path string) (status int, text, serial string) {
		t.Helper()
		tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: ca.Pool()}}
		defer tr.CloseIdleConnections()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://127.0.0.1:"+s.admin+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		resp, err := (&http.Client{Transport: tr}).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(body), resp.TLS.PeerCertificates[0].SerialNumber.String()
	}
	comes := func(username, password string) bool {
		return session(t, cpe.Config{ACS: s.url(), DeviceID: numbered("S-1"), Username: username, Password: password})
	}
	const unsuccessful, successful = "isthmus_config_last_reload_successful 0", "isthmus_config_last_reload_successful 1"

	first := certify()
	write("token", "one")
	conf("username: fleet, password: one", "")
	p := s.serve(ctx, t)
	if status, text, serial := ask("one", "/metrics"); status != 200 || serial != first || !strings.Contains(text, successful) {
		t.Fatalf("at first: %d, certificate %s, want %s", status, serial, first)
	}
	if !comes("fleet", "one") {
		t.Fatal("the CPE is not let in")
	}

	second := certify()
	write("token", "two")
	write("credentials.csv", "endpoint_id,username,password,connreq_username,connreq_password\n"+endpointID(numbered("S-1"))+",own,three,,\n")
	conf("username: fleet, password: two, credentials_file: credentials.csv", "log: { level: error }\ncache: { max_age: 1h }\noperations: { expire_after: 1h }\n")
	p.signal(t, syscall.SIGHUP)
	line, err := p.out.line(ctx, "configuration reloaded")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(line, `changed="log.level cwmp.auth.password cwmp.auth.credentials_file cache.max_age"`) {
		t.Error(line)
	}
	if line, err := p.out.line(ctx, "level=WARN msg=\"restart isthmus for what else"); err != nil || !strings.Contains(line, "keys=operations.expire_after") {
		t.Errorf("%s, %v", line, err)
	}
	check := func(when string) {
		t.Helper()
		if status, _, _ := ask("one", "/api/v1/devices"); status != 401 {
			t.Errorf("%s, old token: %d", when, status)
		}
		if status, _, serial := ask("two", "/api/v1/devices"); status != 200 || serial != second {
			t.Errorf("%s, new token: %d; certificate %s, want %s", when, status, serial, second)
		}
		if comes("fleet", "two") || comes("own", "one") || !comes("own", "three") {
			t.Errorf("%s: the CPE's credentials are not those of the file", when)
		}
	}
	check("after the reload")
	if p.out.has("CPE not authenticated") {
		t.Error("warnings are logged still")
	}

	write("token", "four")
	conf("username: fleet, password: four", "cache: { max_age: soon }\n")
	p.signal(t, syscall.SIGHUP)
	if line, err := p.out.line(ctx, "cache.max_age: "); err != nil || !strings.Contains(line, "level=ERROR") || !strings.Contains(line, "isthmus.yaml:") || !p.out.has("NOT reloaded") {
		t.Errorf("%s, %v", line, err)
	}
	check("after a wrong file")
	if _, text, _ := ask("two", "/metrics"); !strings.Contains(text, unsuccessful) {
		t.Error("the metric does not tell of the wrong file")
	}
	p.signal(t, syscall.SIGTERM)
	if code := p.exit(ctx, t); code != exitFine {
		t.Errorf("exit code %d", code)
	}
}

// TestReloadClientCertificate: the certificate and the issuer of the next connection with a Controller are the new ones.
func TestReloadClientCertificate(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	log := slog.New(slog.DiscardHandler)
	dir := t.TempDir()
	ca := identitytest.Root(t, "ca")
	shown := make(chan string, 8)
	c := controller.New(ctx, controller.Options{EndpointID: demoController, Logger: log, TLS: &tls.Config{
		Certificates: []tls.Certificate{*ca.Issue(t, demoController)}, ClientCAs: ca.Pool(), ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS12,
		SessionTicketsDisabled: true,
		VerifyConnection: func(s tls.ConnectionState) error {
			shown <- s.PeerCertificates[0].SerialNumber.String()
			return nil
		}}})
	defer c.Close(ctx)
	at, err := c.Listen(ctx, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	certify := func() string {
		cert := ca.Issue(t, "")
		identitytest.Files(t, dir, "client", cert.Leaf, cert.PrivateKey)
		return cert.Leaf.SerialNumber.String()
	}
	first := certify()
	conf := func() *config.Config {
		cfg := demoConfig(filepath.Join(dir, "data"), overWebSocket(at))
		k := &cfg.USP.Controllers[0]
		k.CycleOnBoot = true
		k.TLS.CAFile, _ = identitytest.Files(t, dir, "ca", ca.Cert, ca.Key)
		k.TLS.CertFile, k.TLS.KeyFile = filepath.Join(dir, "client.pem"), filepath.Join(dir, "client.key")
		return cfg
	}
	i, err := start(ctx, conf(), log)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := i.stop(ctx); err != nil {
			t.Error(err)
		}
	}()
	d := on(t, cpe.Config{ACS: "http://" + i.listeners.cwmp.Addr().String() + "/", DeviceID: demoID, Logger: log})
	agent := c.Agent(usp.EndpointID(endpointID(demoID)))
	if err := agent.WaitConnects(ctx, 1); err != nil {
		t.Fatal(err)
	}
	if got := <-shown; got != first {
		t.Errorf("certificate %s, want %s", got, first)
	}
	second := certify()
	if err := i.reload(conf()); err != nil {
		t.Fatal(err)
	}
	d.Inform(cwmp.EventBoot)
	if err := agent.WaitConnects(ctx, 2); err != nil {
		t.Fatal(err)
	}
	if got := <-shown; got != second {
		t.Errorf("after the reload certificate %s, want %s", got, second)
	}
	// One that cannot be read changes nothing.
	if err := os.WriteFile(filepath.Join(dir, "client.pem"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := i.reload(conf()); err == nil || !strings.Contains(err.Error(), "usp.controllers[0].tls: cert_file") {
		t.Errorf("an empty certificate: %v", err)
	}
}

func TestPasswordOf(t *testing.T) {
	now := passwordOf("first", func() config.Secret { return "second" })
	for said, want := range map[mtp.Secret]mtp.Secret{"first": "second", "a Controller's": "a Controller's", "": ""} {
		if got := now(said); got != want {
			t.Error("the password is not the right one")
		}
	}
}
