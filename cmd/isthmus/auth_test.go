package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"isthmus/cmd/isthmus/config"
	"isthmus/cwmp"
	"isthmus/cwmp/cpe"
	"isthmus/usp"
	"isthmus/usp/controller"
	"isthmus/usp/usppb"
)

// files are certificates of one CA, as an operator has them.
type files struct {
	ca, serverCert, serverKey string
	pool                      *x509.CertPool
	client                    func(name string) tls.Certificate
}

func newFiles(t *testing.T) *files {
	t.Helper()
	dir := t.TempDir()
	write := func(name, kind string, der []byte) string {
		f := filepath.Join(dir, name)
		if err := os.WriteFile(f, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return f
	}
	var parent *x509.Certificate
	var signer any
	issue := func(template *x509.Certificate, public, private any) []byte {
		template.SerialNumber, template.NotBefore, template.NotAfter = big.NewInt(time.Now().UnixNano()), time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
		if parent == nil {
			parent, signer = template, private
		}
		der, err := x509.CreateCertificate(rand.Reader, template, parent, public, signer)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	// RSA for the server, without which the oldest suites cannot be had.
	authority, err1 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	server, err2 := rsa.GenerateKey(rand.Reader, 2048)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	f := &files{pool: x509.NewCertPool()}
	der := issue(&x509.Certificate{IsCA: true, BasicConstraintsValid: true, Subject: pkix.Name{CommonName: "test CA"}}, &authority.PublicKey, authority)
	f.ca = write("ca.pem", "CERTIFICATE", der)
	var err error
	if parent, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	f.pool.AddCert(parent)
	f.serverCert = write("server.pem", "CERTIFICATE", issue(&x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}, &server.PublicKey, server))
	f.serverKey = write("server.key", "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(server))
	f.client = func(name string) tls.Certificate {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return tls.Certificate{Certificate: [][]byte{issue(&x509.Certificate{Subject: pkix.Name{CommonName: name}}, &key.PublicKey, key)}, PrivateKey: key}
	}
	return f
}

// running is a proxy and a Controller on loopback.
func running(t *testing.T, change func(*config.Config)) (*instance, *controller.Controller) {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	c := controller.New(ctx, controller.Options{EndpointID: demoController, Logger: log})
	url, err := c.Listen(ctx, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg := demoConfig(filepath.Join(t.TempDir(), "data"), overWebSocket(url))
	change(cfg)
	i, err := start(ctx, cfg, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := i.stop(ctx); err != nil {
			t.Error(err)
		}
		c.Close(ctx)
		cancel()
	})
	return i, c
}

// session runs a CPE for one session and says whether it succeeded.
func session(t *testing.T, cfg cpe.Config) bool {
	t.Helper()
	cfg.Logger, cfg.RetryWait = slog.New(slog.DiscardHandler), time.Hour
	d := on(t, cfg)
	if err := d.WaitSessions(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	return d.Failures() == 0
}

// on switches a CPE on until the test's end.
func on(t *testing.T, cfg cpe.Config) *cpe.CPE {
	t.Helper()
	d := cpe.New(cfg)
	power, off := context.WithCancel(context.Background())
	down := make(chan error, 1)
	go func() { down <- d.Run(power) }()
	t.Cleanup(func() {
		off()
		if err := <-down; err != nil {
			t.Error(err)
		}
	})
	return d
}

func numbered(serial string) cwmp.DeviceID {
	id := demoID
	id.SerialNumber = serial
	return id
}

// The whole of cwmp.auth, from the configuration to the CPE.
func TestServeAuthenticates(t *testing.T) {
	own := endpointID(numbered("OWN"))
	for _, mode := range []string{"basic", "digest"} {
		t.Run(mode, func(t *testing.T) {
			i, _ := running(t, func(c *config.Config) {
				c.CWMP.Auth = config.Auth{Mode: mode, Username: "fleet", Password: "f", Credentials: []config.Credential{{EndpointID: own, Username: "own", Password: "o"}}}
			})
			acs := "http://" + i.listeners.cwmp.Addr().String() + "/"
			for _, tc := range []struct {
				serial, username, password string
				want                       bool
			}{
				{"ANY", "fleet", "f", true}, {"OWN", "own", "o", true},
				{"OWN", "fleet", "f", false}, {"ANY", "own", "o", false}, {"ANY", "fleet", "x", false}, {"NEW", "", "", false},
			} {
				if got := session(t, cpe.Config{ACS: acs, DeviceID: numbered(tc.serial), Username: tc.username, Password: tc.password}); got != tc.want {
					t.Errorf("%+v: %v", tc, got)
				}
			}
			if n := i.proxy.Len(); n != 2 {
				t.Errorf("%d devices are known", n)
			}
		})
	}
	t.Run("certificate+digest", func(t *testing.T) {
		f := newFiles(t)
		i, _ := running(t, func(c *config.Config) {
			c.CWMP.Auth = config.Auth{Mode: "certificate+digest", Username: "fleet", Password: "f"}
			c.CWMP.TLS = config.ListenTLS{Listen: "127.0.0.1:0", ServerTLS: config.ServerTLS{CertFile: f.serverCert, KeyFile: f.serverKey}, ClientCAFile: f.ca}
		})
		acs := "https://" + i.listeners.secureCWMP.Addr().String() + "/"
		for _, tc := range []struct {
			name, password string
			want           bool
		}{
			{endpointID(demoID), "f", true}, {demoID.OUI + "-" + demoID.ProductClass + "-" + demoID.SerialNumber, "f", true},
			{endpointID(demoID), "x", false}, {endpointID(numbered("OTHER")), "f", false}, {"", "f", false},
		} {
			config := &tls.Config{RootCAs: f.pool}
			if tc.name != "" {
				config.Certificates = []tls.Certificate{f.client(tc.name)}
			}
			if got := session(t, cpe.Config{ACS: acs, DeviceID: demoID, Username: "fleet", Password: tc.password, TLS: config}); got != tc.want {
				t.Errorf("%+v: %v", tc, got)
			}
		}
		if session(t, cpe.Config{ACS: "http://" + i.listeners.cwmp.Addr().String() + "/", DeviceID: demoID, Username: "fleet", Password: "f"}) {
			t.Error("a CPE without TLS was let in")
		}
	})
}

// Each CPE of the credentials file is asked for sessions with its own credentials, the others with the common ones.
func TestConnectionRequestCredentials(t *testing.T) {
	i, c := running(t, func(c *config.Config) {
		c.CWMP.ConnectionRequest.Username, c.CWMP.ConnectionRequest.Password = "all", "a"
		c.CWMP.Auth.Credentials = []config.Credential{{EndpointID: endpointID(numbered("OWN")), ConnReqUsername: "own", ConnReqPassword: "o"},
			{EndpointID: endpointID(numbered("NONE")), Username: "u", Password: "p"}}
	})
	for _, tc := range []struct{ serial, username, password string }{{"OWN", "own", "o"}, {"NONE", "all", "a"}, {"ANY", "all", "a"}} {
		id := numbered(tc.serial)
		d := on(t, cpe.Config{ACS: "http://" + i.listeners.cwmp.Addr().String() + "/", DeviceID: id, ConnReqUsername: tc.username, ConnReqPassword: tc.password,
			Logger: slog.New(slog.DiscardHandler)})
		agent := c.Agent(usp.EndpointID(endpointID(id)))
		if err := errors.Join(agent.WaitConnects(t.Context(), 1), d.WaitSessions(t.Context(), 1), d.WaitIdle(t.Context())); err != nil {
			t.Fatal(err)
		}
		r, err := agent.Get(t.Context(), 0, "Device.WiFi.Radio.1.Channel") // never cached
		if err != nil || len(r.GetReqPathResults()) != 1 || r.GetReqPathResults()[0].GetErrCode() != 0 {
			t.Errorf("%s: %v %v", tc.serial, r, err)
		}
	}
}

func TestCertificateNames(t *testing.T) {
	for _, tc := range []struct {
		id   cwmp.DeviceID
		want []string
	}{
		{cwmp.DeviceID{OUI: "001122", ProductClass: "Box", SerialNumber: "A1"}, []string{"ops::001122-Box-A1", "001122-Box-A1", "001122-Box-A1"}},
		{cwmp.DeviceID{OUI: "001122", SerialNumber: "A.1"}, []string{"os::001122-A%2E1", "001122-A%2E1", "001122-A.1"}},
		// Another CPE could have these plain names: class "A", serial number "B-C", or "A-B" and "C".
		{cwmp.DeviceID{OUI: "001122", ProductClass: "A-B", SerialNumber: "C"}, []string{"ops::001122-A%2DB-C", "001122-A%2DB-C"}},
		{cwmp.DeviceID{OUI: "001122", ProductClass: "A%2DB", SerialNumber: "C"}, []string{"ops::001122-A%252DB-C", "001122-A%252DB-C"}},
		{cwmp.DeviceID{}, nil},
	} {
		if got := certificateNames(tc.id); !slices.Equal(got, tc.want) {
			t.Errorf("%+v: %q, want %q", tc.id, got, tc.want)
		}
	}
}

// H19: old TLS has a listener of its own, and no other takes it.
func TestH19_LegacyTLS(t *testing.T) {
	f := newFiles(t)
	pair := config.ServerTLS{CertFile: f.serverCert, KeyFile: f.serverKey}
	i, _ := running(t, func(c *config.Config) {
		c.CWMP.TLS = config.ListenTLS{Listen: "127.0.0.1:0", ServerTLS: pair}
		c.CWMP.LegacyTLS = config.LegacyTLS{Listen: "127.0.0.1:0", ServerTLS: pair}
	})
	legacy, modern := i.listeners.legacyCWMP.Addr().String(), i.listeners.secureCWMP.Addr().String()
	for _, tc := range []struct {
		version, suite uint16
		legacy, modern bool
	}{
		{tls.VersionTLS10, tls.TLS_RSA_WITH_3DES_EDE_CBC_SHA, true, false},
		{tls.VersionTLS10, tls.TLS_RSA_WITH_AES_128_CBC_SHA, true, false},
		{tls.VersionTLS11, tls.TLS_RSA_WITH_AES_256_CBC_SHA, true, false},
		{tls.VersionTLS12, tls.TLS_RSA_WITH_AES_128_CBC_SHA256, true, false},
		{tls.VersionTLS12, tls.TLS_RSA_WITH_RC4_128_SHA, false, false},
		{tls.VersionTLS12, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, true, true},
		{tls.VersionTLS13, 0, true, true},
	} {
		client := &tls.Config{RootCAs: f.pool, MinVersion: tc.version, MaxVersion: tc.version, CipherSuites: []uint16{tc.suite}}
		for at, want := range map[string]bool{legacy: tc.legacy, modern: tc.modern} {
			conn, err := tls.Dial("tcp", at, client)
			if err == nil {
				_ = conn.Close()
			}
			if (err == nil) != want {
				t.Errorf("%s, %s, legacy %v: %v", tls.VersionName(tc.version), tls.CipherSuiteName(tc.suite), at == legacy, err)
			}
		}
	}
	old := &tls.Config{RootCAs: f.pool, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS10, CipherSuites: []uint16{tls.TLS_RSA_WITH_3DES_EDE_CBC_SHA}}
	if !session(t, cpe.Config{ACS: "https://" + legacy + "/", DeviceID: demoID, TLS: old}) {
		t.Error("no session over TLS 1.0 with 3DES")
	}
	if session(t, cpe.Config{ACS: "https://" + modern + "/", DeviceID: demoID, TLS: old}) {
		t.Error("a session over TLS 1.0 on the other listener")
	}
}

// A configuration that lets everybody in says so at the start.
func TestWarnings(t *testing.T) {
	c := config.Default()
	c.CWMP.LegacyTLS.Listen, c.CWMP.TLS.ClientCAFile = ":7549", "ca.pem"
	var text strings.Builder
	warn(c, slog.New(slog.NewTextHandler(&text, nil)))
	for _, want := range []string{"cwmp.auth.mode is none on an address that others can reach\" key=cwmp.listen", "key=cwmp.legacy_tls.listen",
		"broken encryption", "client_ca_file is not used"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %q in %s", want, text.String())
		}
	}
}

// A11, R27: a CPE changes from the fleet's credentials to its own at its first contact. Both are good until it has used its own; once
// isthmus has reset it, both are again.
func TestA11_R27_CredentialsReplaced(t *testing.T) {
	for _, mode := range []string{"basic", "digest"} {
		t.Run(mode, func(t *testing.T) {
			i, c := running(t, func(c *config.Config) {
				c.CWMP.Auth = config.Auth{Mode: mode, Username: "fleet", Password: "f"}
				c.CWMP.Provision.Credentials, c.CWMP.Provision.ConnectionRequest = true, true
			})
			acs := "http://" + i.listeners.cwmp.Addr().String() + "/"
			fleet := cpe.Config{ACS: acs, DeviceID: demoID, Username: "fleet", Password: "f", BootEvents: []string{cwmp.EventPeriodic}}
			first := fleet
			first.BootEvents, first.RebootTime, first.RetryWait, first.Logger = nil, time.Millisecond, 10*time.Millisecond, slog.New(slog.DiscardHandler)
			d := on(t, first)
			agent := c.Agent(usp.EndpointID(endpointID(demoID)))
			if err := errors.Join(agent.WaitConnects(t.Context(), 1), d.WaitSessions(t.Context(), 1), d.WaitIdle(t.Context())); err != nil {
				t.Fatal(err)
			}
			name, password := d.Value("Device.ManagementServer.Username"), d.Value("Device.ManagementServer.Password")
			if _, instance, _ := strings.Cut(endpointID(demoID), "::"); name != instance || password == "f" {
				t.Fatalf("the CPE has the user name %q", name)
			}
			if !session(t, fleet) {
				t.Error("the fleet's credentials are not good any more, and the CPE has not used its own")
			}
			other := fleet
			other.DeviceID, other.Username, other.Password = numbered("OTHER"), name, password
			if session(t, other) {
				t.Error("another CPE was let in with them")
			}
			again := func() {
				t.Helper()
				n := d.Sessions()
				d.Inform(cwmp.EventPeriodic)
				if err := errors.Join(d.WaitSessions(t.Context(), n+1), d.WaitIdle(t.Context())); err != nil {
					t.Fatal(err)
				}
			}
			again()
			if session(t, fleet) {
				t.Error("the fleet's credentials are good, and the CPE has used its own")
			}
			n := d.Sessions()
			if _, err := agent.Operate(t.Context(), &usppb.Operate{Command: "Device.FactoryReset()", CommandKey: "r", SendResp: true}); err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(d.WaitSessions(t.Context(), n+2), d.WaitIdle(t.Context())); err != nil {
				t.Fatal(err)
			}
			if d.Value("Device.ManagementServer.Username") != name || d.Failures() != 0 {
				t.Errorf("after its reset the CPE has %q, %d sessions failed", d.Value("Device.ManagementServer.Username"), d.Failures())
			}
			again()
			if session(t, fleet) {
				t.Error("the fleet's credentials are good again")
			}
		})
	}
}
