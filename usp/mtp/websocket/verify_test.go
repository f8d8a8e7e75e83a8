package websocket

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"isthmus/usp"
	"isthmus/usp/identity/identitytest"
	"isthmus/usp/mtp"
)

// judge is an Endpoint that has an opinion of certificates.
type judge struct {
	*endpoint
	authenticate func(peer usp.EndpointID, shown []*x509.Certificate) (bool, error)
}

func (j *judge) Authenticate(_ context.Context, peer usp.EndpointID, shown []*x509.Certificate) (bool, error) {
	return j.authenticate(peer, shown)
}

// R-MTP.4, R-SEC.0a: the server's certificate comes from a CA that is trusted, and names the Controller, or where it names no Endpoint the host.
func TestServerCertificate(t *testing.T) {
	ca, unknown := identitytest.Root(t, "ca"), identitytest.Root(t, "unknown")
	elsewhere := func(c *x509.Certificate) { c.IPAddresses, c.DNSNames = nil, []string{"ctl.example.com"} }
	late := func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }
	forClients := func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }
	accept := func(proven bool) func(usp.EndpointID, []*x509.Certificate) (bool, error) {
		return func(usp.EndpointID, []*x509.Certificate) (bool, error) { return proven, nil }
	}
	refuse := func(usp.EndpointID, []*x509.Certificate) (bool, error) { return false, errors.New("no") }
	for name, c := range map[string]struct {
		cert *tls.Certificate
		ask  func(usp.EndpointID, []*x509.Certificate) (bool, error)
		want bool
	}{
		"Controller and host":                    {ca.Issue(t, controllerID), nil, true},
		"Controller, another host":               {ca.Issue(t, controllerID, elsewhere), nil, true},
		"host, no Endpoint":                      {ca.Issue(t, ""), nil, true},
		"host, another Endpoint":                 {ca.Issue(t, agentID), nil, false},
		"another host, no Endpoint":              {ca.Issue(t, "", elsewhere), nil, false},
		"through a CA below":                     {ca.CA(t, "below").Issue(t, controllerID), nil, true},
		"expired":                                {ca.Issue(t, controllerID, late), nil, false},
		"for clients":                            {ca.Issue(t, controllerID, forClients), nil, false},
		"unknown CA":                             {unknown.Issue(t, controllerID), nil, false},
		"unknown CA, the Agent refuses":          {unknown.Issue(t, controllerID), refuse, false},
		"unknown CA, the Agent proves":           {unknown.Issue(t, "", elsewhere), accept(true), true},
		"unknown CA, the Agent accepts":          {unknown.Issue(t, controllerID, elsewhere), accept(false), true},
		"unknown CA, the Agent accepts, host":    {unknown.Issue(t, ""), accept(false), true},
		"unknown CA, the Agent accepts, no host": {unknown.Issue(t, "", elsewhere), accept(false), false},
		"unknown CA, the Agent accepts, other":   {unknown.Issue(t, agentID), accept(false), false},
	} {
		var e mtp.Endpoint = newEndpoint(agentID)
		if c.ask != nil {
			e = &judge{newEndpoint(agentID), c.ask}
		}
		k, err := NewClient(t.Context(), ClientOptions{URL: "wss://127.0.0.1:1/", Controller: controllerID,
			TLS: &tls.Config{RootCAs: ca.Pool(), MinVersion: tls.VersionTLS12}})
		if err != nil {
			t.Fatal(err)
		}
		if err := shake(t, c.cert, k.tls(t.Context(), e, "127.0.0.1")); (err == nil) != c.want {
			t.Errorf("%s: %v", name, err)
		}
		k.Close(t.Context())
	}
}

// shake shows a client a server's certificate.
func shake(t *testing.T, server *tls.Certificate, client *tls.Config) error {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{*server}, MinVersion: tls.VersionTLS12})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		if c, err := l.Accept(); err == nil {
			_, _ = io.Copy(io.Discard, c)
			c.Close()
		}
	}()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	err = tls.Client(c, client).Handshake()
	c.Close()
	<-done
	return err
}

// R-MTP.4: a resumed session is judged like any, and one that is refused is not tried again.
func TestRefusedSessionIsForgotten(t *testing.T) {
	var refused error
	j := &judge{newEndpoint(agentID), func(usp.EndpointID, []*x509.Certificate) (bool, error) { return true, refused }}
	k, err := NewClient(t.Context(), ClientOptions{URL: "wss://127.0.0.1:1/", Controller: controllerID,
		TLS: &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}})
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close(t.Context())
	resumed := make(chan bool, 1)
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{MinVersion: tls.VersionTLS12,
		Certificates:     []tls.Certificate{*(&identitytest.Authority{}).Issue(t, controllerID)},
		VerifyConnection: func(s tls.ConnectionState) error { resumed <- s.DidResume; return nil }})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for c, err := l.Accept(); err == nil; c, err = l.Accept() {
			_, _ = c.Write([]byte("x")) // after the tickets
			c.Close()
		}
	}()
	for i, step := range []struct {
		refuse  error
		resumed bool
	}{{nil, false}, {nil, true}, {errors.New("no"), true}, {nil, false}} {
		refused = step.refuse
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tls.Client(c, k.tls(t.Context(), j, "127.0.0.1")).Read(make([]byte, 1)); (err != nil) != (step.refuse != nil) {
			t.Errorf("step %d: %v", i, err)
		}
		c.Close()
		if got := within(t, resumed, "handshake"); got != step.resumed {
			t.Errorf("step %d: resumed %v", i, got)
		}
	}
}

// server_name is what the certificate must name instead of the URL's host.
func TestServerName(t *testing.T) {
	ca := identitytest.Root(t, "ca")
	cert := ca.Issue(t, "", func(c *x509.Certificate) { c.IPAddresses, c.DNSNames = nil, []string{"ctl.example.com"} })
	for name, want := range map[string]bool{"ctl.example.com": true, "x.example.com": false} {
		k, err := NewClient(t.Context(), ClientOptions{URL: "wss://127.0.0.1:1/", Controller: controllerID,
			TLS: &tls.Config{RootCAs: ca.Pool(), ServerName: name, MinVersion: tls.VersionTLS12}})
		if err != nil {
			t.Fatal(err)
		}
		if err := shake(t, cert, k.tls(t.Context(), newEndpoint(agentID), "127.0.0.1")); (err == nil) != want {
			t.Errorf("%s: %v", name, err)
		}
		k.Close(t.Context())
	}
}

// R-SEC.2: an Endpoint that judges certificates decides who is trusted, and who is refused, at its server.
func TestEndpointJudgesClients(t *testing.T) {
	ca := identitytest.Root(t, "ca")
	answer := make(chan error, 1)
	proof := make(chan bool, 1)
	j := &judge{newEndpoint(agentID), func(peer usp.EndpointID, shown []*x509.Certificate) (bool, error) {
		if usp.Named(shown[0], controllerID) != usp.NamesIt || peer != controllerID {
			t.Errorf("%s shows %v", peer, shown[0].URIs)
		}
		return <-proof, <-answer
	}}
	s := NewServer(func(usp.EndpointID) (mtp.Endpoint, bool) { return j, true }, ServerOptions{TLS: &tls.Config{
		Certificates: []tls.Certificate{*ca.Issue(t, agentID)}, ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS12}})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Shutdown(t.Context())
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	get := func(cert *tls.Certificate) int {
		h := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: ca.Pool(), MinVersion: tls.VersionTLS12}}}
		if cert != nil {
			h.Transport.(*http.Transport).TLSClientConfig.Certificates = []tls.Certificate{*cert}
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+l.Addr().String()+"/agent/a%3A%3Ab?eid="+string(controllerID), nil)
		if err != nil {
			t.Fatal(err)
		}
		for k, v := range map[string]string{"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
			"Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==", "Sec-WebSocket-Protocol": subprotocol} {
			req.Header.Set(k, v)
		}
		resp, err := h.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		return resp.StatusCode
	}
	own := ca.Issue(t, controllerID)
	proof <- false
	answer <- errors.New("revoked")
	if status := get(own); status != http.StatusForbidden {
		t.Errorf("refused with %d", status)
	}
	proof <- true
	answer <- nil
	if status := get(own); status != http.StatusSwitchingProtocols {
		t.Errorf("accepted with %d", status)
	}
	ch := within[mtp.Channel](t, j.up, "channel")
	if !ch.(mtp.Truster).Trusted() || !ch.(mtp.Certified).Certificates()[0].Equal(own.Leaf) {
		t.Error("not trusted, or another certificate")
	}
}
