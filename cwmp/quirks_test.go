package cwmp

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// humouring is an ACS that humours every CPE in the same way and reads one parameter.
func humouring(q Quirks, got chan error) *acs {
	return &acs{begin: func(s *Session) error {
		s.Humour(q)
		return nil
	}, run: readOne(got)}
}

// TestH4_NeitherCookiesNorKeepAlive: the session goes on by the CPE's address, where that tells whose POST it is, and who posts has the Inform's
// credentials.
func TestH4_NeitherCookiesNorKeepAlive(t *testing.T) {
	anew := dial // a socket of its own for every POST, and no cookie
	t.Run("goes on", func(t *testing.T) {
		got := make(chan error, 1)
		_, addr := start(t, humouring(Quirks{ByAddress: true}, got), nil)
		first := dial(t, addr)
		first.inform("1")
		first.hangUp()
		second := anew(t, addr)
		r := second.empty()
		r.want(t, "GetParameterValues")
		second.hangUp()
		third := anew(t, addr)
		third.post(r.env.ID, &GetParameterValuesResponse{}).wantStatus(t, 204)
		if err := <-got; err != nil {
			t.Error(err)
		}
		anew(t, addr).post(r.env.ID, &GetParameterValuesResponse{}).wantStatus(t, 400) // the session is over
	})
	t.Run("whatever comes from there", func(t *testing.T) {
		got := make(chan error, 1)
		_, addr := start(t, humouring(Quirks{ByAddress: true}, got), nil)
		anew(t, addr).inform("1")
		c := anew(t, addr)
		c.send([]byte("no message"))
		c.receive().wantStatus(t, 400)
		r := anew(t, addr).empty()
		r.want(t, "GetParameterValues")
		anew(t, addr).post(r.env.ID, &GetParameterValuesResponse{}).wantStatus(t, 204)
		if err := <-got; err != nil {
			t.Error(err)
		}
	})
	t.Run("not of other CPE", func(t *testing.T) {
		_, addr := start(t, &acs{}, nil)
		anew(t, addr).inform("1")
		anew(t, addr).post("1", &GetParameterValuesResponse{}).wantStatus(t, 400)
	})
	t.Run("two behind one address", func(t *testing.T) {
		_, addr := start(t, humouring(Quirks{ByAddress: true}, make(chan error, 2)), nil)
		anew(t, addr).inform("1")
		other := testInform()
		other.DeviceId.SerialNumber = "OTHER"
		anew(t, addr).post("1", other).want(t, "InformResponse")
		anew(t, addr).post("1", &GetParameterValuesResponse{}).wantStatus(t, 400)
	})
	t.Run("with another login", func(t *testing.T) {
		got := make(chan error, 1)
		_, addr := start(t, humouring(Quirks{ByAddress: true}, got), &ServerOptions{Auth: testAuth(Basic)})
		as := func(login string) *cpe {
			c := anew(t, addr)
			c.header = login
			return c
		}
		one, two := basic("s1", "one"), basic("s2", "two")
		as(one).post("1", informOf("S1")).want(t, "InformResponse")
		as(two).post("1", &GetParameterValuesResponse{}).wantStatus(t, 400)
		r := as(one).empty()
		r.want(t, "GetParameterValues")
		as(one).post(r.env.ID, &GetParameterValuesResponse{}).wantStatus(t, 204)
		if err := <-got; err != nil {
			t.Error(err)
		}
	})
}

// TestH16_204NotUnderstood: a session ends with an empty 200, and again if the CPE says once more that it has nothing.
func TestH16_204NotUnderstood(t *testing.T) {
	got := make(chan error, 1)
	_, addr := start(t, humouring(Quirks{EndWith200: true}, got), nil)
	c := dial(t, addr)
	c.inform("1")
	r := c.empty()
	if last := c.post(r.env.ID, &GetParameterValuesResponse{}); last.status != 200 || len(last.body) > 0 || last.header.Get("Content-Length") != "0" {
		t.Errorf("the end: %d %q %v", last.status, last.body, last.header)
	}
	if again := c.empty(); again.status != 200 || len(again.body) > 0 {
		t.Errorf("after the end: %d %q", again.status, again.body)
	}
	if err := <-got; err != nil {
		t.Error(err)
	}
}

// TestS12_DeclaredMessages: a CPE may be given an XML declaration.
func TestS12_DeclaredMessages(t *testing.T) {
	_, addr := start(t, humouring(Quirks{Declared: true}, make(chan error, 1)), nil)
	c := dial(t, addr)
	for _, r := range []reply{c.post("1", testInform()), c.empty()} {
		if !strings.HasPrefix(string(r.body), declaration+"<SOAP-ENV:Envelope") {
			t.Errorf("%q", r.body)
		}
	}
}

// TestR3_WordsForBooleans: Booleans in RPCs are words where that is asked for.
func TestR3_WordsForBooleans(t *testing.T) {
	for words, want := range map[bool]string{false: "<NextLevel>1</NextLevel>", true: "<NextLevel>true</NextLevel>"} {
		b, err := Encode(&Envelope{Words: words, Body: &GetParameterNames{ParameterPath: "Device.", NextLevel: true}})
		if err != nil || !strings.Contains(string(b), want) {
			t.Errorf("%v: %v %s", words, err, b)
		}
	}
}

// TestH20_TimeoutOfAModel: a session is as patient as its CPE needs, unless that says so itself.
func TestH20_TimeoutOfAModel(t *testing.T) {
	s := &Session{timeout: time.Minute}
	if s.Humour(Quirks{Timeout: 5 * time.Minute}); s.timeout != 5*time.Minute {
		t.Error(s.timeout)
	}
	s = &Session{timeout: 30 * time.Second, timeoutTold: true}
	if s.Humour(Quirks{Timeout: 5 * time.Minute}); s.timeout != 30*time.Second {
		t.Error(s.timeout)
	}
}

// TestH4_AnotherCertificate: a POST with another certificate than the Inform's, or with none, is not the CPE's.
func TestH4_AnotherCertificate(t *testing.T) {
	from := netip.MustParseAddrPort("192.0.2.1:40000")
	post := func(certificate string) *http.Request {
		r := &http.Request{RemoteAddr: from.String()}
		if certificate != "" {
			r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{{Raw: []byte(certificate)}}}
		}
		return r
	}
	sv := &Server{byAddress: map[netip.Addr][]*Session{}}
	s := &Session{RemoteAddr: from}
	sv.expect(s, post("one"))
	for certificate, want := range map[string]*Session{"one": s, "two": nil, "": nil} {
		if got := sv.expected(post(certificate), &caller{}); got != want {
			t.Errorf("certificate %q: %v", certificate, got)
		}
	}
}
