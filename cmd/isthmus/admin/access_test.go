package admin

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"time"
)

// browser is a client that keeps cookies and follows no redirect.
func browser(t *testing.T) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Jar: jar, Transport: tr, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

func page(t *testing.T, c *http.Client, at string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, at, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "text/html,*/*")
	return body(t, c, req)
}

func body(t *testing.T, c *http.Client, req *http.Request) (int, string) {
	t.Helper()
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

func form(t *testing.T, c *http.Client, at string, fields url.Values) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, at, strings.NewReader(fields.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return body(t, c, req)
}

func TestLogin(t *testing.T) {
	at := start(t, Options{Token: "s3cret"})
	c := browser(t)
	if status, text := page(t, c, at+"/?q=x"); status != http.StatusUnauthorized || !strings.Contains(text, `name="next" value="/?q=x"`) {
		t.Errorf("a person without the token: %d %s", status, text)
	}
	if status, text := form(t, c, at+"/login", url.Values{"token": {"wrong"}}); status != http.StatusUnauthorized || !strings.Contains(text, `role="alert"`) {
		t.Errorf("wrong token: %d %s", status, text)
	}
	if status, text := form(t, c, at+"/login", url.Values{"token": {"s3cret"}, "next": {"/?q=x"}}); status != http.StatusSeeOther {
		t.Fatalf("the token: %d %s", status, text)
	}
	where, err := url.Parse(at)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(c.Jar.Cookies(where)); n != 1 {
		t.Fatalf("%d cookies", n)
	}
	if status, _ := page(t, c, at+"/"); status != http.StatusOK {
		t.Errorf("logged in: %d", status)
	}
	// A form without what the page put into it may come from anywhere.
	if status, _ := form(t, c, at+"/logout", nil); status != http.StatusForbidden {
		t.Errorf("forged logout: %d", status)
	}
	if status, _ := page(t, c, at+"/"); status != http.StatusOK {
		t.Error("the forged logout took effect")
	}
	a := newAccess("s3cret", false)
	if a.csrf(caller{binding: "session a"}) == a.csrf(caller{binding: "session b"}) {
		t.Error("one session's forms fit another")
	}
}

func TestForms(t *testing.T) {
	s := New(Options{Fleet: fakeFleet{}, Token: "s3cret"})
	at := serve(t, s)
	c := browser(t)
	if status, _ := form(t, c, at+"/login", url.Values{"token": {"s3cret"}, "next": {"//example.org/"}}); status != http.StatusSeeOther {
		t.Fatal(status)
	}
	where, err := url.Parse(at)
	if err != nil {
		t.Fatal(err)
	}
	token := s.access.csrf(caller{binding: "session " + c.Jar.Cookies(where)[0].Value})
	if status, _ := form(t, c, at+"/logout", url.Values{csrfField: {token}}); status != http.StatusSeeOther {
		t.Errorf("logout: %d", status)
	}
	if status, _ := page(t, c, at+"/"); status != http.StatusUnauthorized {
		t.Errorf("after the logout: %d", status)
	}
}

func TestLocal(t *testing.T) {
	for next, want := range map[string]string{"/a?b": "/a?b", "": "/", "//example.org": "/", "http://example.org": "/", `/\example.org`: "/", "/\nx": "/"} {
		if got := local(next); got != want {
			t.Errorf("local(%q) = %q, want %q", next, got, want)
		}
	}
}

func TestSessionsEnd(t *testing.T) {
	a := newAccess("t", false)
	now := time.Unix(0, 0)
	a.now = func() time.Time { return now }
	first := a.begin()
	now = now.Add(time.Second)
	for range maxSessions - 1 {
		a.begin()
	}
	if !a.inSession(first) || a.inSession("") {
		t.Error("the first session is not there, or one that never began")
	}
	last := a.begin()
	if a.inSession(first) || !a.inSession(last) || len(a.sessions) != maxSessions {
		t.Errorf("%d sessions; the oldest should have given way", len(a.sessions))
	}
	now = now.Add(sessionLife)
	if a.inSession(last) {
		t.Error("a session has no end")
	}
}

func TestGuessing(t *testing.T) {
	a := newAccess("right", false)
	now := time.Unix(0, 0)
	a.now = func() time.Time { return now }
	from := func(addr, token string) bool { return a.tokenFits(&http.Request{RemoteAddr: addr}, token) }
	for range maxFailures {
		if from("192.0.2.1:1", "wrong") {
			t.Fatal("wrong token fits")
		}
	}
	if from("192.0.2.1:2", "right") {
		t.Error("the guessing goes on")
	}
	if !from("192.0.2.2:1", "right") {
		t.Error("somebody else is locked out")
	}
	now = now.Add(failureInterval + 1)
	if !from("192.0.2.1:3", "right") {
		t.Error("locked out for good")
	}
}

// authority signs certificates.
func authority(t *testing.T, name string) (*x509.Certificate, func(subject string) tls.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, ca, ca, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	if ca, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return ca, func(subject string) tls.Certificate {
		leaf := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: subject}, NotAfter: time.Now().Add(time.Hour),
			DNSNames: []string{"localhost"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}}
		der, err := x509.CreateCertificate(rand.Reader, leaf, ca, &key.PublicKey, key)
		if err != nil {
			t.Fatal(err)
		}
		return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	}
}

func TestClientCertificate(t *testing.T) {
	ca, sign := authority(t, "ours")
	_, signOther := authority(t, "others")
	pool := x509.NewCertPool()
	pool.AddCert(ca)
	for _, token := range []string{"", "s3cret"} {
		at := strings.Replace(start(t, Options{Token: token, Certificates: true, TLS: &tls.Config{Certificates: []tls.Certificate{sign("server")}, ClientCAs: pool,
			ClientAuth: tls.VerifyClientCertIfGiven}}), "http://127.0.0.1", "https://localhost", 1)
		get := func(bearer string, certs ...tls.Certificate) int {
			t.Helper()
			tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, Certificates: certs}}
			defer tr.CloseIdleConnections()
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, at+"/api/v1/devices", nil)
			if err != nil {
				t.Fatal(err)
			}
			if bearer != "" {
				req.Header.Set("Authorization", "Bearer "+bearer)
			}
			resp, err := (&http.Client{Transport: tr}).Do(req)
			if err != nil {
				return 0
			}
			resp.Body.Close()
			return resp.StatusCode
		}
		if status := get("", sign("alice")); status != http.StatusOK {
			t.Errorf("token %q, with a certificate: %d", token, status)
		}
		if status := get(""); status != http.StatusUnauthorized {
			t.Errorf("token %q, with nothing: %d", token, status)
		}
		if status := get("", signOther("mallory")); status == http.StatusOK {
			t.Errorf("token %q, with a certificate of another CA: %d", token, status)
		}
		want := http.StatusUnauthorized
		if token != "" {
			want = http.StatusOK
		}
		if status := get("s3cret"); status != want {
			t.Errorf("token %q, with the token: %d, want %d", token, status, want)
		}
	}
}
