package cwmp

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/md5"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/icholy/digest"
	"github.com/prometheus/client_golang/prometheus"
)

const fleetUser, fleetPassword = "fleet", "the fleet's: secret"

// testAuth knows the fleet and, as user "s1", the CPE of testInform; "s2" belongs to another.
func testAuth(scheme Scheme) *Auth {
	return &Auth{Scheme: scheme, Username: fleetUser, Password: fleetPassword, Identity: testEndpoint,
		Credentials: map[string]Credential{"s1": {Identity: "ops::00AA11-Box-S1", Password: "one"}, "s2": {Identity: "ops::00AA11-Box-S2", Password: "two"}}}
}

func testEndpoint(id DeviceID) string {
	return "ops::" + id.OUI + "-" + id.ProductClass + "-" + id.SerialNumber
}

func informOf(serial string) *Inform {
	m := testInform()
	m.DeviceId.SerialNumber = serial
	return m
}

// challenge gives the one in a 401, which real CPE must be able to take: short, of one line.
func (r reply) challenge(t *testing.T) *digest.Challenge {
	t.Helper()
	r.wantStatus(t, 401)
	lines := r.header.Values("WWW-Authenticate")
	if len(lines) != 1 || len(lines[0]) > 128 {
		t.Fatalf("challenge %q", lines)
	}
	c, err := digest.ParseChallenge(lines[0])
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// respond is what a well-behaved CPE makes of a challenge.
func respond(t *testing.T, c *digest.Challenge, user, password string, count int) string {
	t.Helper()
	a, err := digest.Digest(c, digest.Options{Method: "POST", URI: "/acs", Count: count, Username: user, Password: password})
	if err != nil {
		t.Fatal(err)
	}
	return "Authorization: " + a.String() + "\r\n"
}

// h is the hash of RFC 2617, written once more.
func h(parts ...string) string {
	return fmt.Sprintf("%x", md5.Sum([]byte(strings.Join(parts, ":"))))
}

// bare is the form of RFC 2069, with whatever uri.
func bare(c *digest.Challenge, user, password, uri string) string {
	return fmt.Sprintf("Authorization: Digest username=%q, realm=%q, nonce=%q, uri=%q, response=%q\r\n",
		user, c.Realm, c.Nonce, uri, h(h(user, c.Realm, password), c.Nonce, h("POST", uri)))
}

// outcomes is how often an outcome of authentication was counted.
func outcomes(t *testing.T, sv *Server, outcome string) (n int) {
	t.Helper()
	reg := prometheus.NewRegistry()
	reg.MustRegister(sv.metrics.authentications)
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if m.GetLabel()[0].GetValue() == outcome {
				n = int(m.GetCounter().GetValue())
			}
		}
	}
	return n
}

// finish ends a session that an Inform has opened.
func (c *cpe) finish(hd *acs) {
	c.t.Helper()
	c.empty().wantStatus(c.t, 204)
	if err := hd.end(c.t); err != nil {
		c.t.Error(err)
	}
}

func basic(user, password string) string {
	return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password)) + "\r\n"
}

// A1: Basic that nobody asked for is taken where Basic is the policy, and answered with the challenge where it is not.
func TestA1_BasicUnasked(t *testing.T) {
	hd := &acs{}
	_, addr := start(t, hd, &ServerOptions{Auth: testAuth(Basic)})
	c := dial(t, addr)
	c.header = basic(fleetUser, fleetPassword)
	c.post("1", informOf("S9")).want(t, "InformResponse")
	c.finish(hd)

	hd = &acs{}
	_, addr = start(t, hd, &ServerOptions{Auth: testAuth(Digest)})
	c = dial(t, addr)
	c.header = basic(fleetUser, fleetPassword)
	ch := c.post("1", informOf("S9")).challenge(t)
	c.header = respond(t, ch, fleetUser, fleetPassword, 1)
	c.post("1", informOf("S9")).want(t, "InformResponse")
	c.finish(hd)
}

// A1, the other way round: who asks for Basic says so, and refuses wrong credentials of every kind alike.
func TestA1_BasicWrong(t *testing.T) {
	hd := &acs{}
	sv, addr := start(t, hd, &ServerOptions{Auth: testAuth(Basic)})
	for _, header := range []string{basic(fleetUser, "wrong"), basic("nobody", ""), basic("", ""), "Authorization: Basic %%%\r\n", "Authorization: Basic\r\n"} {
		c := dial(t, addr)
		c.header = header
		r := c.post("1", informOf("S9"))
		r.wantStatus(t, 401)
		if got := r.header.Get("WWW-Authenticate"); got != `Basic realm="isthmus"` {
			t.Errorf("challenge %q", got)
		}
	}
	if n := outcomes(t, sv, authCredentials); n != 5 || len(hd.notes()) != 0 {
		t.Errorf("%d refusals, %v", n, hd.notes())
	}
	_, addr = start(t, &acs{}, &ServerOptions{Auth: &Auth{Scheme: Basic, Identity: testEndpoint}}) // no fleet, no CPE
	c := dial(t, addr)
	c.header = basic("", "")
	c.post("1", informOf("S9")).wantStatus(t, 401)
}

// A2: an empty POST comes first, only to fetch the challenge.
func TestA2_EmptyPostFirst(t *testing.T) {
	hd := &acs{}
	_, addr := start(t, hd, &ServerOptions{Auth: testAuth(Digest)})
	c := dial(t, addr)
	ch := c.empty().challenge(t)
	c.header = bare(ch, fleetUser, fleetPassword, "")
	c.post("1", informOf("S9")).want(t, "InformResponse")
	c.header = ""
	c.finish(hd)

	// One that authenticates the empty POST, too, goes on as it were without authentication.
	c = dial(t, addr)
	c.header = respond(t, c.empty().challenge(t), fleetUser, fleetPassword, 1)
	c.empty().wantStatus(t, 204)
	c.header = ""
	c.post("1", informOf("S9")).want(t, "InformResponse")
	c.finish(hd)

	hd = &acs{}
	_, addr = start(t, hd, nil)
	c = dial(t, addr)
	c.empty().wantStatus(t, 204)
	c.post("1", testInform()).want(t, "InformResponse")
	c.finish(hd)
}

// A3: the 401 is answered on another connection.
func TestA3_NewConnectionAfter401(t *testing.T) {
	hd := &acs{}
	_, addr := start(t, hd, &ServerOptions{Auth: testAuth(Digest)})
	c := dial(t, addr)
	ch := c.post("1", testInform()).challenge(t)
	c.hangUp()
	c.header = respond(t, ch, "s1", "one", 1)
	c.post("1", testInform()).want(t, "InformResponse")
	c.header = ""
	c.finish(hd)
}

// A4: nothing after the first POST is authenticated, whether the CPE returns on the same connection or with its cookie.
func TestA4_AuthenticatedOnce(t *testing.T) {
	for name, prepare := range map[string]func(*cpe){
		"same connection, no cookie":  func(c *cpe) { c.cookie = "" },
		"another connection, cookie":  func(c *cpe) { c.hangUp() },
		"another each time, cookie":   func(c *cpe) { c.hangUp(); c.reused = false },
		"wrong credentials, but late": func(c *cpe) { c.header = basic("x", "y") },
	} {
		t.Run(name, func(t *testing.T) {
			got := make(chan error, 1)
			hd := &acs{run: readOne(got)}
			_, addr := start(t, hd, &ServerOptions{Auth: testAuth(Digest)})
			c := dial(t, addr)
			c.header = respond(t, c.post("1", testInform()).challenge(t), "s1", "one", 1)
			c.inform("1")
			c.header = ""
			prepare(c)
			r := c.empty()
			r.want(t, "GetParameterValues")
			c.post(r.env.ID, &GetParameterValuesResponse{}).wantStatus(t, 204)
			if err := errors.Join(<-got, hd.end(t)); err != nil {
				t.Error(err)
			}
		})
	}
	t.Run("another connection, no cookie", func(t *testing.T) {
		hd := &acs{}
		_, addr := start(t, hd, &ServerOptions{Auth: testAuth(Digest)})
		c := dial(t, addr)
		c.header = respond(t, c.post("1", testInform()).challenge(t), "s1", "one", 1)
		c.inform("1")
		c.hangUp()
		c.header, c.cookie = "", ""
		c.empty().challenge(t)
	})
}

// A4: a second session on the connection needs no header, but the first one's credentials must do for it.
func TestA4_NextSessionOnConnection(t *testing.T) {
	hd := &acs{}
	_, addr := start(t, hd, &ServerOptions{Auth: testAuth(Digest)})
	c := dial(t, addr)
	c.header = respond(t, c.post("1", testInform()).challenge(t), "s1", "one", 1)
	c.post("1", testInform()).want(t, "InformResponse")
	c.header = ""
	c.finish(hd)
	c.post("2", testInform()).want(t, "InformResponse")
	c.finish(hd)
	c.post("3", informOf("S2")).challenge(t)
}

// A5: credentials come with every POST, with a nonce count that rises or does not.
func TestA5_RepeatedDigest(t *testing.T) {
	for name, step := range map[string]int{"rising": 1, "stuck": 0} {
		t.Run(name, func(t *testing.T) {
			got := make(chan error, 1)
			hd := &acs{run: readOne(got)}
			_, addr := start(t, hd, &ServerOptions{Auth: testAuth(Digest)})
			c := dial(t, addr)
			ch := c.post("1", testInform()).challenge(t)
			count := 1
			next := func() { c.header = respond(t, ch, "s1", "one", count); count += step }
			next()
			c.inform("1")
			next()
			r := c.empty()
			r.want(t, "GetParameterValues")
			next()
			c.post(r.env.ID, &GetParameterValuesResponse{}).wantStatus(t, 204)
			if err := hd.end(t); err != nil {
				t.Error(err)
			}
			next()
			c.inform("2")
		})
	}
}

// A6: the uri of the credentials is the CPE's own affair.
func TestA6_ForeignURI(t *testing.T) {
	for _, uri := range []string{"", "/", "/acs", "http://acs.example:7547/acs", "//acs", "/other?x=1,2"} {
		hd := &acs{}
		_, addr := start(t, hd, &ServerOptions{Auth: testAuth(Digest)})
		c := dial(t, addr)
		c.header = bare(c.empty().challenge(t), "s1", "one", uri)
		c.post("1", testInform()).want(t, "InformResponse")
		c.finish(hd)
	}
}

// A7: what is longer than 32 characters gets cut.
func TestA7_ShortNonce(t *testing.T) {
	sv, addr := start(t, &acs{}, &ServerOptions{Auth: testAuth(Digest)})
	ch := dial(t, addr).empty().challenge(t)
	if len(ch.Nonce) > 32 || len(ch.Realm) > 32 || len(ch.Opaque) > 32 {
		t.Errorf("challenge %+v", ch)
	}
	// One that was cut all the same is answered with another.
	c := dial(t, addr)
	ch.Nonce = ch.Nonce[:16]
	c.header = bare(ch, "s1", "one", "")
	r := c.post("1", testInform())
	if again := r.challenge(t); !again.Stale || outcomes(t, sv, authStale) != 1 {
		t.Errorf("challenge %+v", again)
	}
}

// A8: both forms are taken, quoted or not.
func TestA8_Forms(t *testing.T) {
	for name, form := range map[string]string{
		"no qop":           `Digest username="s1", realm="isthmus", nonce="NONCE", uri="/acs", response="BARE"`,
		"qop, unquoted":    `Digest username="s1", realm="isthmus", nonce="NONCE", uri="/acs", cnonce="c", nc=00000001, qop=auth, response="QOP", opaque=""`,
		"qop, quoted":      `Digest username="s1", realm="isthmus", nonce="NONCE", uri="/acs", cnonce="c", nc="00000001", qop="auth", response="QOP"`,
		"nothing quoted":   `Digest username=s1,realm=isthmus,nonce=NONCE,uri=/acs,cnonce=c,nc=00000001,qop=auth,response=QOP,algorithm=MD5`,
		"blanks, no comma": `digest  username="s1" realm = "isthmus" nonce="NONCE" uri="/acs" response="BARE" algorithm="md5"`,
		"upper case":       `DIGEST Username="s1",REALM="isthmus",Nonce="NONCE",URI="/acs",RESPONSE="UPPER"`,
		"escapes":          `Digest username="\s1", realm="isthmus", nonce="NONCE", uri="/acs", response="BARE"`,
		"no closing quote": `Digest username="s1", realm="isthmus", nonce="NONCE", uri="/acs", response="BARE`,
	} {
		t.Run(name, func(t *testing.T) {
			hd := &acs{}
			_, addr := start(t, hd, &ServerOptions{Auth: testAuth(Digest)})
			c := dial(t, addr)
			n := c.empty().challenge(t).Nonce
			ha1, ha2 := h("s1", "isthmus", "one"), h("POST", "/acs")
			noQop := h(ha1, n, ha2)
			c.header = "Authorization: " + strings.NewReplacer("NONCE", n, "BARE", noQop, "UPPER", strings.ToUpper(noQop),
				"QOP", h(ha1, n, "00000001", "c", "auth", ha2)).Replace(form) + "\r\n"
			c.post("1", testInform()).want(t, "InformResponse")
			c.finish(hd)
		})
	}
}

// A8: auth-int, which was not offered, is none.
func TestA8_AuthInt(t *testing.T) {
	_, addr := start(t, &acs{}, &ServerOptions{Auth: testAuth(Digest)})
	c := dial(t, addr)
	ch := c.empty().challenge(t)
	if len(ch.QOP) != 1 || ch.QOP[0] != "auth" {
		t.Errorf("offered %q", ch.QOP)
	}
	body := message(t, "1", testInform())
	ha2 := h("POST", "/acs", fmt.Sprintf("%x", md5.Sum(body)))
	c.header = fmt.Sprintf("Authorization: Digest username=\"s1\", realm=\"isthmus\", nonce=%q, uri=\"/acs\", qop=auth-int, nc=1, cnonce=c, response=%q\r\n",
		ch.Nonce, h(h("s1", "isthmus", "one"), ch.Nonce, "1", "c", "auth-int", ha2))
	c.send(body)
	c.receive().challenge(t)
}

// A9: MD5 is what is offered, MD5-sess is taken as well.
func TestA9_Algorithms(t *testing.T) {
	for algorithm, want := range map[string]int{"MD5": 200, "MD5-sess": 200, "SHA-256": 401} {
		hd := &acs{}
		_, addr := start(t, hd, &ServerOptions{Auth: testAuth(Digest)})
		c := dial(t, addr)
		ch := c.empty().challenge(t)
		if ch.Algorithm != "MD5" {
			t.Errorf("offered %q", ch.Algorithm)
		}
		ha1 := h("s1", "isthmus", "one")
		if algorithm == "MD5-sess" {
			ha1 = h(ha1, ch.Nonce, "c")
		}
		c.header = fmt.Sprintf("Authorization: Digest username=s1, realm=isthmus, nonce=%s, uri=/, algorithm=%s, qop=auth, nc=1, cnonce=c, response=%s\r\n",
			ch.Nonce, algorithm, h(ha1, ch.Nonce, "1", "c", "auth", h("POST", "/")))
		c.post("1", testInform()).wantStatus(t, want)
	}
}

// A10: the user name finds the credential, and the DeviceId must be its. All that is wrong is refused alike.
func TestA10_UserNameAndDeviceId(t *testing.T) {
	for _, tc := range []struct {
		user, password, serial string
		want                   string
	}{
		{"s1", "one", "S1", authOK},
		{fleetUser, fleetPassword, "S9", authOK},
		{fleetUser, fleetPassword, "S1", authIdentity}, // it has a credential of its own
		{"s2", "two", "S1", authIdentity},
		{"s2", "two", "S9", authIdentity},
		{"s1", "two", "S1", authCredentials},
		{"s1", "", "S1", authCredentials},
		{"nobody", "one", "S1", authCredentials},
		{"", "", "S1", authCredentials},
	} {
		for _, scheme := range []Scheme{Basic, Digest} {
			hd := &acs{}
			sv, addr := start(t, hd, &ServerOptions{Auth: testAuth(scheme)})
			c := dial(t, addr)
			first := c.empty()
			first.wantStatus(t, 401)
			if c.header = basic(tc.user, tc.password); scheme == Digest {
				c.header = respond(t, first.challenge(t), tc.user, tc.password, 1)
			}
			r := c.post("1", informOf(tc.serial))
			if r.status == 200 != (tc.want == authOK) || outcomes(t, sv, tc.want) != 1 {
				t.Errorf("%s %+v: status %d, %s %d times", scheme, tc, r.status, tc.want, outcomes(t, sv, tc.want))
			}
			if r.status == 401 {
				if len(hd.notes()) > 0 || len(r.body) > 0 || strings.Contains(r.header.Get("WWW-Authenticate"), "stale") {
					t.Errorf("%s %+v: %v %v", scheme, tc, hd.notes(), r.header)
				}
			}
		}
	}
}

// A12: a DeviceId that is not the certificate's does not become its Agent.
func TestA12_ForeignDeviceId(t *testing.T) {
	ca := newCA(t)
	auth := &Auth{Certificate: true, CertificateNames: func(id DeviceID) []string {
		return []string{testEndpoint(id), strings.TrimPrefix(testEndpoint(id), "ops::")}
	}}
	for name, tc := range map[string]struct {
		subject x509.Certificate
		serial  string
		want    int
	}{
		"CN":              {x509.Certificate{Subject: pkix.Name{CommonName: "00AA11-Box-S1"}}, "S1", 200},
		"DNS name":        {x509.Certificate{DNSNames: []string{"x.example", "00AA11-Box-S1"}}, "S1", 200},
		"URI":             {x509.Certificate{URIs: []*url.URL{{Scheme: "ops", Opaque: ":00AA11-Box-S1"}}}, "S1", 200},
		"another's":       {x509.Certificate{Subject: pkix.Name{CommonName: "00AA11-Box-S1"}}, "S2", 403},
		"nobody's":        {x509.Certificate{}, "S1", 403},
		"part of another": {x509.Certificate{Subject: pkix.Name{CommonName: "00AA11-Box-S11"}}, "S1", 403},
	} {
		t.Run(name, func(t *testing.T) {
			hd := &acs{}
			addr := startTLS(t, hd, auth, ca)
			c := dial(t, addr)
			c.secure(ca, ca.issue(t, &tc.subject))
			c.post("1", informOf(tc.serial)).wantStatus(t, tc.want)
			if tc.want == 200 {
				c.finish(hd)
			}
		})
	}
	t.Run("no certificate", func(t *testing.T) {
		c := dial(t, startTLS(t, &acs{}, auth, ca))
		c.secure(ca)
		c.post("1", testInform()).wantStatus(t, 403)
	})
	t.Run("no TLS", func(t *testing.T) {
		_, addr := start(t, &acs{}, &ServerOptions{Auth: auth})
		dial(t, addr).empty().wantStatus(t, 403)
	})
	t.Run("and Digest", func(t *testing.T) {
		both := testAuth(Digest)
		both.Certificate, both.CertificateNames = true, auth.CertificateNames
		hd := &acs{}
		addr := startTLS(t, hd, both, ca)
		c := dial(t, addr)
		c.secure(ca, ca.issue(t, &x509.Certificate{Subject: pkix.Name{CommonName: "00AA11-Box-S1"}}))
		c.header = respond(t, c.post("1", testInform()).challenge(t), "s1", "one", 1)
		c.post("1", testInform()).want(t, "InformResponse")
		c.finish(hd)
	})
}

// A12: an Inform that does not say whose it is gets Fault 8003, whoever has authenticated: no credentials would make it a CPE's.
func TestA12_NoDeviceId(t *testing.T) {
	for _, user := range [][2]string{{fleetUser, fleetPassword}, {"s1", "one"}} {
		_, addr := start(t, &acs{}, &ServerOptions{Auth: testAuth(Digest)})
		for _, id := range []DeviceID{{OUI: "00AA11"}, {SerialNumber: "S1"}, {}} {
			c := dial(t, addr)
			c.header = respond(t, c.empty().challenge(t), user[0], user[1], 1)
			m := testInform()
			m.DeviceId = id
			r := c.post("1", m)
			r.want(t, "Fault")
			if f := r.env.Body.(*Fault); f.Code != FaultACSInvalidArguments {
				t.Errorf("%s, %+v: %v", user[0], id, f)
			}
		}
	}
}

// A nonce is good for a minute, on every connection; a late answer gets another with stale=true, whatever its password.
func TestDigestStaleNonce(t *testing.T) {
	hd := &acs{}
	sv, addr := start(t, hd, &ServerOptions{Auth: testAuth(Digest)})
	c := dial(t, addr)
	ch := c.empty().challenge(t)
	for name, nonce := range map[string]string{
		"old":         sv.gate.Load().nonce(uint32(time.Now().Add(-nonceLife - 2*time.Second).Unix())),
		"of tomorrow": sv.gate.Load().nonce(uint32(time.Now().Add(24 * time.Hour).Unix())),
		"not ours":    (&gate{}).nonce(uint32(time.Now().Unix())),
		"none":        "",
	} {
		ch.Nonce = nonce
		c.header = bare(ch, "s1", "one", "/")
		if again := c.post("1", testInform()).challenge(t); !again.Stale {
			t.Errorf("%s: %+v", name, again)
		}
		c.header = bare(ch, "s1", "wrong", "/")
		if again := c.post("1", testInform()).challenge(t); again.Stale {
			t.Errorf("%s, wrong password: %+v", name, again)
		}
	}
	// Wrong, then right.
	c.header = bare(c.post("1", testInform()).challenge(t), "s1", "one", "/")
	c.post("1", testInform()).want(t, "InformResponse")
	c.finish(hd)
}

// Credentials that are replaced are good no longer, on a connection that has shown them either; a challenge that is out may be answered with the new.
func TestSetCredentials(t *testing.T) {
	hd := &acs{}
	sv, addr := start(t, hd, &ServerOptions{Auth: testAuth(Digest)})
	c := dial(t, addr)
	ch := c.empty().challenge(t)
	c.header = respond(t, ch, "s1", "one", 1)
	c.post("1", testInform()).want(t, "InformResponse")
	c.finish(hd)
	next := testAuth(Digest)
	next.Credentials = map[string]Credential{"other": {Identity: next.Credentials["s1"].Identity, Password: "three"}}
	sv.SetCredentials(next)
	c.header = ""
	c.post("1", testInform()).challenge(t) // remembered no more
	c.header = respond(t, ch, "s1", "one", 2)
	c.post("1", testInform()).challenge(t)
	c.header = respond(t, ch, "other", "three", 3)
	c.post("1", testInform()).want(t, "InformResponse")
	c.finish(hd)

	hd = &acs{}
	sv, addr = start(t, hd, nil)
	sv.SetCredentials(testAuth(Digest))
	c = dial(t, addr)
	c.post("1", testInform()).want(t, "InformResponse")
	c.finish(hd)
}

// Secrets are in no log line, wherever a CPE puts them.
func TestAuthLogsNoSecret(t *testing.T) {
	for _, scheme := range []Scheme{Basic, Digest} {
		var log strings.Builder
		sv := NewServer(&acs{}, &ServerOptions{Auth: testAuth(scheme), Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
		for _, header := range []string{basic(fleetUser, "s3cret"), basic("", "s3cret"), bare(&digest.Challenge{Realm: realm}, "s1", "s3cret", "/")} {
			r := recorded(sv, header)
			if r.Code != 401 {
				t.Errorf("%s: %d", header, r.Code)
			}
		}
		if text := log.String(); strings.Contains(text, "s3cret") || !strings.Contains(text, "CPE not authenticated") || strings.Contains(text, "czNjcmV0") {
			t.Error(text)
		}
	}
}

// Of a connection that a proxy shares between CPE nothing is remembered: neither who has authenticated on it nor its session.
func TestAuthBehindProxy(t *testing.T) {
	hd := &acs{}
	_, addr := start(t, hd, &ServerOptions{Auth: testAuth(Digest), TrustedProxies: prefixes("127.0.0.0/8")})
	c := dial(t, addr)
	forwarded := "X-Forwarded-For: 192.0.2.1\r\n"
	c.header = forwarded
	ch := c.empty().challenge(t)
	c.header = forwarded + respond(t, ch, fleetUser, fleetPassword, 1)
	c.post("1", informOf("S8")).want(t, "InformResponse")
	c.header = "X-Forwarded-For: 192.0.2.2\r\n"
	c.empty().challenge(t)
	c.post("1", informOf("S9")).challenge(t)
}

// ca signs certificates.
type ca struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newCA(t *testing.T) *ca {
	t.Helper()
	c := &ca{pool: x509.NewCertPool()}
	template := &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, Subject: pkix.Name{CommonName: "test CA"}}
	pair := c.issue(t, template)
	c.cert, c.key = pair.Leaf, pair.PrivateKey.(*ecdsa.PrivateKey)
	c.pool.AddCert(c.cert)
	return c
}

// issue signs a template; the CA's own first.
func (c *ca) issue(t *testing.T, template *x509.Certificate) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber, template.NotBefore, template.NotAfter = big.NewInt(time.Now().UnixNano()), time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := template, key
	if c.cert != nil {
		parent, signer = c.cert, c.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// startTLS is start behind TLS, for clients with a certificate.
func startTLS(t *testing.T, hd *acs, auth *Auth, ca *ca) string {
	t.Helper()
	sv, _ := start(t, hd, &ServerOptions{Auth: auth})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = sv.Serve(tls.NewListener(l, &tls.Config{ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: ca.pool,
			Certificates: []tls.Certificate{ca.issue(t, &x509.Certificate{DNSNames: []string{"acs.example"}})}}))
	}()
	t.Cleanup(func() { // before start's, which shuts the server down
		_ = l.Close()
		<-served
	})
	return l.Addr().String()
}

// secure connects by TLS.
func (c *cpe) secure(ca *ca, certs ...tls.Certificate) {
	c.t.Helper()
	conn, err := tls.Dial("tcp", c.addr, &tls.Config{RootCAs: ca.pool, ServerName: "acs.example", Certificates: certs})
	if err != nil {
		c.t.Fatal(err)
	}
	c.adopt(conn)
}
