package conformance_test

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"isthmus/usp"
	"isthmus/usp/identity/identitytest"
)

const certificateTable = "Device.LocalAgent.Certificate."

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

// TestTP469_2_8_InvalidCertificate: nothing is said to a Controller whose certificate nobody vouches for, and one that dials in with a certificate
// that has expired, names another Endpoint or comes from nobody known gets no connection.
func TestTP469_2_8_InvalidCertificate(t *testing.T) {
	p := newPeer(t, true)
	ca, unknown := identitytest.Root(t, "ca"), identitytest.Root(t, "unknown")
	e := fresh(t, options{url: p.url, tls: &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12},
		dialInTLS: dialInTLS(t, ca), cas: []*x509.Certificate{ca.Cert}})
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
	late := func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Second) }
	for name, c := range map[string]struct {
		cert *tls.Certificate
		want int
	}{
		"valid":   {ca.Issue(t, guestID), http.StatusSwitchingProtocols},
		"expired": {ca.Issue(t, guestID, late), http.StatusForbidden},
		"another": {ca.Issue(t, controllerID), http.StatusForbidden},
		"unknown": {unknown.Issue(t, guestID), http.StatusForbidden},
	} {
		if got := e.knock(ca, guestID, c.cert); got != c.want {
			t.Errorf("%s: status %d, want %d", name, got, c.want)
		}
	}
}

// dialInTLS is what the Agents listen with.
func dialInTLS(t *testing.T, ca *identitytest.Authority) *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{*ca.Issue(t, "")}, ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS12}
}

// knock dials in with a certificate and gives the status of the answer.
func (e *eut) knock(ca *identitytest.Authority, as usp.EndpointID, cert *tls.Certificate) int {
	e.Helper()
	d := websocket.Dialer{Subprotocols: []string{"v1.usp"}, TLSClientConfig: &tls.Config{RootCAs: ca.Pool(), MinVersion: tls.VersionTLS12,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return cert, nil }}}
	ws, resp, err := d.DialContext(e.deadline(), "wss://"+e.w.addrs.dialIn+"/agent/"+string(e.w.id)+"?eid="+string(as), nil)
	if resp == nil {
		e.Fatal(err)
	}
	if err == nil {
		_ = ws.Close()
	}
	return resp.StatusCode
}

// TestTP469_9_2_AddCertificate: an added certificate is usable once it is referred to, as the data model says of AddCertificate(); by a Controller that
// the Agent dials, and by one that dials in.
func TestTP469_9_2_AddCertificate(t *testing.T) {
	ca, self := identitytest.Root(t, "ca"), &identitytest.Authority{}
	var current atomic.Pointer[tls.Certificate]
	asked := make(chan struct{}, 64)
	ctlTLS := &tls.Config{MinVersion: tls.VersionTLS12, SessionTicketsDisabled: true, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		asked <- struct{}{}
		return current.Load(), nil
	}}
	current.Store(ca.Issue(t, controllerID))
	e := fresh(t, options{tls: &tls.Config{RootCAs: ca.Pool(), MinVersion: tls.VersionTLS12}, ctlTLS: ctlTLS,
		dialInTLS: dialInTLS(t, ca), cas: []*x509.Certificate{ca.Cert}})
	<-asked
	add := func(alias string, cert *tls.Certificate) string {
		t.Helper()
		r := e.operate("Device.LocalAgent.AddCertificate()", "", map[string]string{"Alias": alias, "Certificate": identitytest.PEM(cert.Leaf)})
		if r.GetReqOutputArgs() == nil {
			t.Fatal(r)
		}
		for row := range e.values(certificateTable + `[Alias=="` + alias + `"].Alias`) {
			return row
		}
		t.Fatal(alias + " is not there")
		return ""
	}

	next := self.Issue(t, controllerID)
	row := add("addedCert", next)
	e.change(e.own()+"Credential", row)
	current.Store(next)
	e.w.client.Reconnect(e.w.id)
	e.must(e.a.WaitConnects(e.deadline(), 2))
	<-asked
	values := e.values(certificateTable)[row]
	if values["Alias"] != "addedCert" || values["Enable"] != "true" || values["SerialNumber"] == "" || values["Issuer"] != "CN="+string(controllerID) {
		t.Errorf("%v", values)
	}

	guest := self.Issue(t, guestID)
	add("guest", guest)
	ctl, _ := e.added(controllerTable, req("EndpointID", string(guestID)), req("Enable", "true"))
	if status := e.knock(ca, guestID, guest); status != http.StatusForbidden {
		t.Errorf("before anything refers to the certificate: %d", status)
	}
	e.change(ctl+"Credential", certificateTable+`[Alias=="guest"]`)
	if status := e.knock(ca, guestID, guest); status != http.StatusSwitchingProtocols {
		t.Errorf("with the certificate that was added: %d", status)
	}

	// Deleted, it is good for nothing, and the Controller has to come with another.
	if r := e.operate(row+"Delete()", "", nil); r.GetReqOutputArgs() == nil || r.GetExecutedCommand() != row+"Delete()" {
		t.Error(r)
	}
	e.w.client.Reconnect(e.w.id)
	<-asked
	<-asked // the attempt before this one has failed
	current.Store(ca.Issue(t, controllerID))
	e.must(e.a.WaitConnects(e.deadline(), 3))
	e.wantValue(e.own()+"Credential", "")
}
