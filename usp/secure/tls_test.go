package secure

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"isthmus/usp"
	"isthmus/usp/identity/identitytest"
)

// ends are the two sides of a session.
type ends struct {
	testing.TB
	client, server *TLS
}

// accept verifies what a peer has shown.
func accept(id usp.EndpointID, ca *identitytest.Authority) func([]*x509.Certificate) error {
	return func(shown []*x509.Certificate) error {
		if _, err := shown[0].Verify(x509.VerifyOptions{Roots: ca.Pool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err != nil {
			return err
		}
		if usp.Named(shown[0], id) != usp.NamesIt {
			return fmt.Errorf("the certificate does not name %s", id)
		}
		return nil
	}
}

func newEnds(t testing.TB, edit func(client, server *Config)) *ends {
	t.Helper()
	ca := identitytest.Root(t, "root")
	client := Config{Client: true, Certificate: ca.Issue(t, controllerID), Verify: accept(agentID, ca)}
	server := Config{Certificate: ca.Issue(t, agentID), Verify: accept(controllerID, ca)}
	if edit != nil {
		edit(&client, &server)
	}
	e := &ends{t, NewTLS(client), NewTLS(server)}
	t.Cleanup(e.client.Close)
	t.Cleanup(e.server.Close)
	return e
}

// shake carries flights to and fro until nobody has any, and gives what failed.
func (e *ends) shake() (atClient, atServer error) {
	e.Helper()
	for range 10 {
		up := e.client.Take()
		if len(up) > 0 {
			_, atServer = e.server.Feed(up)
		}
		down := e.server.Take()
		if len(down) > 0 {
			_, atClient = e.client.Feed(down)
		}
		if len(up) == 0 && len(down) == 0 {
			return atClient, atServer
		}
	}
	e.Fatal("the handshake has no end")
	return nil, nil
}

func (e *ends) establish() {
	e.Helper()
	if a, b := e.shake(); a != nil || b != nil || !e.client.Complete() || !e.server.Complete() {
		e.Fatal(a, b)
	}
}

func (e *ends) carry(from, to *TLS, msg []byte) {
	e.Helper()
	records, err := from.Seal(msg)
	if err != nil {
		e.Fatal(err)
	}
	got, err := to.Feed(records)
	if err != nil || !bytes.Equal(got, msg) {
		e.Fatalf("%d bytes became %d: %v", len(msg), len(got), err)
	}
}

// versioned runs f with either version of TLS.
func versioned(t *testing.T, f func(t *testing.T, e *ends)) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			e := newEnds(t, func(_, server *Config) { server.MaxVersion = version })
			e.establish()
			if v := e.client.conn.ConnectionState().Version; v != version {
				t.Fatal(tls.VersionName(v))
			}
			f(t, e)
		})
	}
}

// R-E2E.40.
func TestTLSCarriesMessages(t *testing.T) {
	versioned(t, func(t *testing.T, e *ends) {
		if s := e.client.conn.ConnectionState().CipherSuite; s != tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 && s != tls.TLS_AES_128_GCM_SHA256 {
			t.Error(tls.CipherSuiteName(s))
		}
		for _, n := range []int{1, 1000, 16384, 16385, 1 << 20} {
			msg := bytes.Repeat([]byte{7}, n)
			e.carry(e.client, e.server, msg)
			e.carry(e.server, e.client, msg)
		}
		if more := e.server.Take(); len(more) != 0 {
			t.Errorf("%d TLS records that nobody asked for", len(more))
		}
	})
}

// TestTLSRecords: each of what Seal gives is one TLS record, so that they can be told apart when they are segmented.
func TestTLSRecords(t *testing.T) {
	versioned(t, func(t *testing.T, e *ends) {
		records, err := e.client.Seal(make([]byte, 40000))
		if err != nil || len(records) != 3 {
			t.Fatal(len(records), err)
		}
		got := 0
		for _, r := range records { // each in a payload of its own is no less good
			msg, err := e.server.Feed([][]byte{r[:7], nil, r[7:]})
			if err != nil {
				t.Fatal(err)
			}
			got += len(msg)
		}
		if got != 40000 {
			t.Error(got)
		}
	})
}

// R-E2E.33 to R-E2E.39: the keys are the exporter's, the first half the client's.
func TestMAC(t *testing.T) {
	versioned(t, func(t *testing.T, e *ends) {
		state := e.server.conn.ConnectionState()
		keys, err := state.ExportKeyingMaterial("EXPORTER-BBF-USP-Record", []byte{}, 64)
		if err != nil {
			t.Fatal(err)
		}
		up, down := sessionRecord(), sessionRecord()
		e.client.Protect(up)
		e.server.Protect(down)
		if !bytes.Equal(up.MacSignature, mac(keys[:32], up)) || !bytes.Equal(down.MacSignature, mac(keys[32:], down)) || bytes.Equal(up.MacSignature, down.MacSignature) {
			t.Error("the keys are others")
		}
		if err := errors.Join(e.server.Check(up), e.client.Check(down)); err != nil {
			t.Error(err)
		}
		if err := e.client.Check(up); !errors.Is(err, ErrMismatch) {
			t.Errorf("its own: %v", err)
		}
		up.GetSessionContext().SequenceId++
		if err := e.server.Check(up); !errors.Is(err, ErrMismatch) {
			t.Error(err)
		}
		up.MacSignature = nil
		if err := e.server.Check(up); !errors.Is(err, ErrUnsigned) {
			t.Error(err)
		}
	})
}

// R-E2E.43, R-SEC.0a: both sides judge the other's certificate, and the one that refuses says so by an alert.
func TestTLSCertificates(t *testing.T) {
	other := identitytest.Root(t, "other")
	for name, c := range map[string]struct {
		edit             func(client, server *Config)
		atServer, reason string
	}{
		"client names another": {func(c, s *Config) { c.Certificate = other.Issue(t, "proto::x"); s.Verify = accept(controllerID, other) }, "yes", "does not name"},
		"client of another CA": {func(c, _ *Config) { c.Certificate = other.Issue(t, controllerID) }, "yes", "unknown authority"},
		"client without any":   {func(c, _ *Config) { c.Certificate = &tls.Certificate{} }, "yes", "certificate"},
		"server of another CA": {func(_, s *Config) { s.Certificate = other.Issue(t, agentID) }, "", "unknown authority"},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEnds(t, c.edit)
			a, b := e.shake()
			judge, told := a, b
			if c.atServer != "" {
				judge, told = b, a
			}
			if judge == nil || !strings.Contains(judge.Error(), c.reason) {
				t.Errorf("refused with %v", judge)
			}
			var alert tls.AlertError
			if told == nil || !errors.As(told, &alert) && !strings.Contains(told.Error(), "remote error") {
				t.Errorf("told %v", told)
			}
			if _, err := e.server.Seal([]byte("x")); err == nil && c.atServer != "" {
				t.Error("the session goes on")
			}
		})
	}
}

// R-E2E.42.
func TestRenegotiation(t *testing.T) {
	versioned(t, func(t *testing.T, e *ends) {
		hello := NewTLS(Config{Client: true, Certificate: &tls.Certificate{}})
		defer hello.Close()
		for _, ask := range [][][]byte{hello.Take(), {{tlsHandshake, 3, 3, 0, 4, helloRequest, 0, 0, 0}}} {
			for _, side := range []*TLS{e.server, e.client} {
				if msg, err := side.Feed(ask); err != nil || len(msg) != 0 || len(side.Take()) != 0 {
					t.Errorf("%x: %q, %v", ask[0][:9], msg, err)
				}
			}
		}
		e.carry(e.client, e.server, []byte("still here"))
		e.carry(e.server, e.client, []byte("still here"))
	})
}

func TestTLSEnds(t *testing.T) {
	versioned(t, func(t *testing.T, e *ends) {
		records, err := e.client.Seal([]byte("hello"))
		if err != nil {
			t.Fatal(err)
		}
		records[0][len(records[0])-1]++
		if msg, err := e.server.Feed(records); err == nil {
			t.Fatalf("tampered with: %q", msg)
		}
		alert := e.server.Take()
		if len(alert) != 1 {
			t.Fatalf("%d alerts", len(alert))
		}
		if _, err := e.client.Feed(alert); err == nil || !strings.Contains(err.Error(), "bad record MAC") {
			t.Error(err)
		}
		for _, side := range []*TLS{e.client, e.server} {
			if _, err := side.Seal([]byte("x")); err == nil {
				t.Error("an ended session sends")
			}
			if _, err := side.Feed([][]byte{{1}}); err == nil {
				t.Error("an ended session receives")
			}
		}
	})
}

// TestTLSAbandoned leaves a session in its handshake: goleak would see what is left of it.
func TestTLSAbandoned(t *testing.T) {
	e := newEnds(t, nil)
	if _, err := e.server.Feed(e.client.Take()); err != nil || e.server.Complete() {
		t.Fatal(err)
	}
	e.server.Close()
	if _, err := e.server.Feed([][]byte{{1}}); err == nil {
		t.Error("a closed session receives")
	}
}

// FuzzTLS feeds what a peer could send to either side, at each stage of the handshake and after it.
func FuzzTLS(f *testing.F) {
	hello := newEnds(f, nil)
	f.Add(0, slices.Concat(hello.client.Take()...))
	f.Add(1, []byte{21, 3, 3, 0, 2, 2, 40})
	f.Add(4, []byte{tlsHandshake, 3, 3, 0, 4, helloRequest, 0, 0, 0})
	f.Add(5, []byte{23, 3, 3, 0x40, 0})
	ca := identitytest.Root(f, "root")
	client := Config{Client: true, Certificate: ca.Issue(f, controllerID), Verify: accept(agentID, ca)}
	server := Config{Certificate: ca.Issue(f, agentID), Verify: accept(controllerID, ca)}
	f.Fuzz(func(t *testing.T, stage int, b []byte) {
		e := &ends{t, NewTLS(client), NewTLS(server)}
		defer e.client.Close()
		defer e.server.Close()
		sides := []*TLS{e.server, e.client}
		for i := range stage & 7 {
			from, to := sides[(i+1)%2], sides[i%2]
			if _, err := to.Feed(from.Take()); err != nil {
				t.Fatal(err)
			}
		}
		for _, side := range sides {
			msg, err := side.Feed([][]byte{b})
			if err == nil && len(msg) > 0 {
				t.Errorf("%x came through as %q", b, msg)
			}
			side.Take()
		}
	})
}
