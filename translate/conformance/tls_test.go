package conformance_test

import (
	"crypto/tls"
	"crypto/x509"
	"strings"
	"testing"
	"time"
)

// overTLS is a world whose Controller has a certificate that the Agent trusts.
func overTLS(t *testing.T) (*eut, *peer, *wire) {
	p := newPeer(t, true)
	e := fresh(t, options{url: p.url, tls: p.tls})
	return e, p, p.accept(e)
}

// TestTP469_4_1_Certificates: the Agent verifies the Controller's certificate and then talks.
func TestTP469_4_1_Certificates(t *testing.T) {
	e, p, w := overTLS(t)
	if r := <-p.wire; r.TLS == nil || !r.TLS.HandshakeComplete || r.TLS.Version < tls.VersionTLS12 {
		e.Errorf("TLS %+v", r.TLS)
	}
	w.alive()
}

func TestTP469_7_9_TLS(t *testing.T) {
	e, p, w := overTLS(t)
	w.alive()
	e.must(e.w.stop())
	e.must(e.w.open())
	p.accept(e).alive()
}

// TestTP469_2_8_InvalidCertificate: nothing is said to a Controller whose certificate nobody vouches for.
func TestTP469_2_8_InvalidCertificate(t *testing.T) {
	p := newPeer(t, true)
	fresh(t, options{url: p.url, tls: &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}})
	for range 2 { // it tries again and is no less strict
		select {
		case msg := <-p.fails:
			if !strings.Contains(msg, "bad certificate") && !strings.Contains(msg, "unknown certificate") {
				t.Error(msg)
			}
		case <-time.After(patience):
			t.Fatal("the Agent does not connect")
		}
	}
	if len(p.conns) != 0 {
		t.Error("a connection came up")
	}
}
