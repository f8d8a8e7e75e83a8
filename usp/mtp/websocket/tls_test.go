package websocket

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"isthmus/usp"
	"isthmus/usp/mtp"
)

// certificate makes a self-signed one that is good for 127.0.0.1 and names an Endpoint.
func certificate(t *testing.T, id usp.EndpointID) (tls.Certificate, *x509.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, certTemplate(t, id), certTemplate(t, id), key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, leaf
}

func certTemplate(t *testing.T, id usp.EndpointID) *x509.Certificate {
	t.Helper()
	urn, err := url.Parse(id.URN())
	if err != nil {
		t.Fatal(err)
	}
	return &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), URIs: []*url.URL{urn},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
}

// TestTP469_7_9_TLS connects over wss with a certificate of each Endpoint's own.
func TestTP469_7_9_TLS(t *testing.T) {
	server, serverLeaf := certificate(t, controllerID)
	own, ownLeaf := certificate(t, agentID)
	roots, clients := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(serverLeaf)
	clients.AddCert(ownLeaf)
	ctl, a := newEndpoint(controllerID), newEndpoint(agentID)
	_, addr := serve(t, ctl, ServerOptions{Path: "/usp", TLS: &tls.Config{
		Certificates: []tls.Certificate{server}, ClientCAs: clients, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS12,
	}})
	var asked atomic.Value
	c := client(t, ClientOptions{
		URL: "wss://" + addr + "/usp", TLS: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		Certificate: func(id usp.EndpointID) (*tls.Certificate, error) {
			asked.Store(id)
			return &own, nil
		},
	})
	c.Add(a)
	ch := within[mtp.Channel](t, a.up, "channel")
	if err := ch.Send(t.Context(), []byte("x"), ""); err != nil {
		t.Fatal(err)
	}
	within(t, ctl.records, "record")
	if asked.Load() != agentID {
		t.Errorf("certificate of %v", asked.Load())
	}
}

// TestR_SEC_0a_Proven: who is believed to be who.
func TestR_SEC_0a_Proven(t *testing.T) {
	_, leaf := certificate(t, agentID)
	named := &tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{leaf}}}
	for name, c := range map[string]struct {
		remote string
		tls    *tls.ConnectionState
		peer   usp.EndpointID
		want   bool
	}{
		"loopback":             {"127.0.0.1:1", nil, controllerID, true},
		"mapped loopback":      {"[::ffff:127.0.0.1]:1", nil, controllerID, true},
		"plain":                {"192.0.2.1:1", nil, agentID, false},
		"named":                {"192.0.2.1:1", named, agentID, true},
		"another":              {"192.0.2.1:1", named, controllerID, false},
		"not verified":         {"192.0.2.1:1", &tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf}}, agentID, false},
		"does not say who":     {"192.0.2.1:1", named, "", false},
		"no address to go by":  {"@", nil, agentID, false},
		"certificate, no name": {"192.0.2.1:1", &tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{{}}}}, agentID, false},
	} {
		if got := proven(&http.Request{RemoteAddr: c.remote, TLS: c.tls}, c.peer); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// R-SEC.10a: with certificates of their own, no Endpoint resumes the TLS session of another.
func TestSessionsAreNotShared(t *testing.T) {
	server, serverLeaf := certificate(t, controllerID)
	roots := x509.NewCertPool()
	roots.AddCert(serverLeaf)
	ctl := newEndpoint(controllerID)
	shown := make(chan *x509.Certificate, 2)
	_, addr := serve(t, ctl, ServerOptions{Path: "/usp", TLS: &tls.Config{
		Certificates: []tls.Certificate{server}, ClientAuth: tls.RequireAnyClientCert, MinVersion: tls.VersionTLS12,
		VerifyConnection: func(s tls.ConnectionState) error { shown <- s.PeerCertificates[0]; return nil },
	}})
	c := client(t, ClientOptions{
		URL: "wss://" + addr + "/usp",
		TLS: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		Certificate: func(id usp.EndpointID) (*tls.Certificate, error) {
			own, _ := certificate(t, id)
			return &own, nil
		},
	})
	for _, id := range []usp.EndpointID{agentID, "os::012345-second"} {
		a := newEndpoint(id)
		c.Add(a)
		ch := within[mtp.Channel](t, a.up, "channel")
		if err := ch.Send(t.Context(), []byte("x"), ""); err != nil { // the ticket of the session has come before the answer
			t.Fatal(err)
		}
		within(t, ctl.records, "record")
		if got := within(t, shown, "certificate"); got.URIs[0].String() != id.URN() {
			t.Errorf("%s shows the certificate of %s", id, got.URIs[0])
		}
	}
}
