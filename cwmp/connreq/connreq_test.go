package connreq

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/icholy/digest"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve answers Connection Requests: first without credentials, then with.
func serve(t *testing.T, challenge string, after func(w http.ResponseWriter, r *http.Request, c *digest.Credentials)) Target {
	t.Helper()
	sv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		auth := r.Header.Get("Authorization")
		if auth == "" && challenge != "" {
			w.Header().Set("WWW-Authenticate", challenge)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if strings.HasPrefix(auth, "Basic") {
			t.Error("Basic credentials were sent")
		}
		cred, err := digest.ParseCredentials(auth)
		if err != nil && challenge != "" {
			t.Error(err)
		}
		after(w, r, cred)
	}))
	t.Cleanup(sv.Close)
	return Target{URL: sv.URL + "/path%2Fkept?a=b", Username: "cpe", Password: "secret", InformFromLoopback: true}
}

func TestN1_Digest(t *testing.T) {
	for name, challenge := range map[string]string{
		"MD5":            `Digest realm="r", nonce="n", qop="auth", algorithm=MD5`,
		"SHA-256":        `Digest realm="r", nonce="n", qop="auth-int, auth", algorithm=SHA-256`,
		"no qop":         `Digest realm="r", nonce="n"`,
		"blanks between": `Digest qop="auth" nonce="n" opaque="" realm="r"`,
		"unquoted":       `digest realm=r,nonce=n,qop=auth`,
	} {
		t.Run(name, func(t *testing.T) {
			target := serve(t, challenge, func(w http.ResponseWriter, r *http.Request, c *digest.Credentials) {
				want, err := digest.Digest(&digest.Challenge{Realm: "r", Nonce: "n", Algorithm: c.Algorithm, QOP: qop(c)},
					digest.Options{Method: "GET", URI: r.RequestURI, Count: 1, Cnonce: c.Cnonce, Username: "cpe", Password: "secret"})
				if err != nil || want.Response != c.Response || c.URI != "/path%2Fkept?a=b" {
					t.Errorf("%+v, want %+v, %v", c, want, err)
				}
			})
			if err := new(Client).Request(t.Context(), target); err != nil {
				t.Error(err)
			}
		})
	}
}

func qop(c *digest.Credentials) []string {
	if c.QOP == "" {
		return nil
	}
	return []string{c.QOP}
}

func TestAnswers(t *testing.T) {
	const challenge = `Digest realm="r", nonce="n"`
	for name, tc := range map[string]struct {
		challenge string
		status    int
		want      error
	}{
		"no credentials wanted": {"", 200, nil},
		"204":                   {challenge, 204, nil},
		"busy":                  {challenge, 503, ErrRefused},
		"wrong credentials":     {challenge, 401, ErrAuth},
		"Basic only":            {`Basic realm="r"`, 200, ErrAuth},
		"redirect":              {"", 302, ErrAnswer},
		"not found":             {challenge, 404, ErrAnswer},
	} {
		t.Run(name, func(t *testing.T) {
			target := serve(t, tc.challenge, func(w http.ResponseWriter, _ *http.Request, _ *digest.Credentials) {
				w.Header().Set("Location", "http://192.0.2.1/")
				w.WriteHeader(tc.status)
			})
			err := new(Client).Request(t.Context(), target)
			if !errors.Is(err, tc.want) {
				t.Error(err)
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Error("the password is in", err)
			}
		})
	}
	target := serve(t, challenge, nil)
	target.Username, target.Password = "", ""
	if err := new(Client).Request(t.Context(), target); !errors.Is(err, ErrAuth) {
		t.Error(err)
	}
}

// Basic is what is left for CPE that offer nothing else, if the operator says so.
func TestN1_Basic(t *testing.T) {
	for _, tc := range []struct {
		challenges []string
		allowed    bool
		want       string // the scheme that was used; "": none
	}{
		{[]string{`Basic realm="r"`}, true, "Basic"},
		{[]string{"basic"}, true, "Basic"},
		{[]string{`Basic realm="r"`}, false, ""},
		{[]string{`Basic realm="r"`, `Digest realm="r", nonce="n"`}, true, "Digest"},
		{nil, true, ""}, // a 401 that does not say how
		{[]string{"", "Bearer"}, true, ""},
	} {
		used := ""
		sv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if auth := r.Header.Get("Authorization"); auth != "" {
				used, _, _ = strings.Cut(auth, " ")
				if user, password, ok := r.BasicAuth(); ok && (user != "u" || password != "p") {
					t.Errorf("%s:%s", user, password)
				}
				return
			}
			w.Header()["Www-Authenticate"] = tc.challenges
			w.WriteHeader(http.StatusUnauthorized)
		}))
		err := (&Client{Basic: tc.allowed}).Request(t.Context(), Target{URL: sv.URL, Username: "u", Password: "p", InformFromLoopback: true})
		sv.Close()
		if used != tc.want || (err == nil) != (tc.want != "") || err != nil && !errors.Is(err, ErrAuth) {
			t.Errorf("%q, allowed %t: %q, %v", tc.challenges, tc.allowed, used, err)
		}
	}
}

func TestN7_IPv6WithoutBrackets(t *testing.T) {
	for raw, want := range map[string]string{
		"http://2001:db8::1:7547/p?q":    "http://[2001:db8::1]:7547/p?q",
		"http://2001:db8:0:0:0:0:0:1/":   "http://[2001:db8:0:0:0:0:0:1]/",
		"http://2001:db8:0:0:0:0:0:1:80": "http://[2001:db8:0:0:0:0:0:1]:80",
		"http://2001:db8::1":             "http://[2001:db8::1]",
		"http://[2001:db8::1]:7547/":     "http://[2001:db8::1]:7547/",
		"http://192.0.2.1:7547/a:b:c":    "http://192.0.2.1:7547/a:b:c",
		"192.0.2.1":                      "192.0.2.1",
	} {
		if got := bracketed(raw); got != want {
			t.Errorf("%s became %s", raw, got)
		}
	}
	var dialled string
	c := &Client{DialContext: func(_ context.Context, _, address string) (net.Conn, error) {
		dialled = address
		return nil, errors.New("dialled")
	}}
	_ = c.Request(t.Context(), Target{URL: "http://2001:db8::1:7547/"})
	if dialled != "[2001:db8::1]:7547" {
		t.Error(dialled)
	}
}

// The path is the secret of some CPE: it is sent as it was told, to the byte.
func TestN11_Path(t *testing.T) {
	for _, path := range []string{"/5eb63bbbe01eeed093cb22bb8f5acdc3", "//a/../b/./c", "/%7Ea%2fb", "/a;b=c?d&e=%20+", "/A/a//"} {
		got := ""
		sv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.RequestURI }))
		err := new(Client).Request(t.Context(), Target{URL: sv.URL + path, InformFromLoopback: true})
		sv.Close()
		if err != nil || got != path {
			t.Errorf("%s: %s was asked for, %v", path, got, err)
		}
	}
}

// rawCPE answers one request per connection with each of the answers and closes; an empty answer resets nothing, it just closes.
func rawCPE(t *testing.T, answers ...string) Target {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for _, a := range answers {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = http.ReadRequest(bufio.NewReader(conn))
			_, _ = conn.Write([]byte(a))
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	return Target{URL: "http://" + l.Addr().String() + "/", Username: "u", Password: "p", InformFromLoopback: true}
}

func TestN2_ClosedSockets(t *testing.T) {
	const challenge = "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Digest realm=\"r\" nonce=\"n\"\r\nContent-Length: 0\r\n\r\n"
	if err := new(Client).Request(t.Context(), rawCPE(t, challenge, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")); err != nil {
		t.Error("closed after the 401:", err)
	}
	if err := new(Client).Request(t.Context(), rawCPE(t, challenge, "", "")); err != nil {
		t.Error("closed after the credentials:", err)
	}
	if err := new(Client).Request(t.Context(), rawCPE(t, "")); !errors.Is(err, ErrUnreachable) {
		t.Error("closed at once:", err)
	}
	if err := new(Client).Request(t.Context(), rawCPE(t, "HTTP/1.1 200 OK\r\nX: "+strings.Repeat("x", 2*maxAnswer))); err == nil {
		t.Error("endless header accepted")
	}
}

func TestN7_Allowed(t *testing.T) {
	lan := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("127.0.0.0/8")}
	own := []netip.AddrPort{netip.MustParseAddrPort("[::]:7547"), netip.MustParseAddrPort("192.0.2.9:80")}
	for _, tc := range []struct {
		url      string
		allow    []netip.Prefix
		loopback bool
		ok       bool
	}{
		{"http://192.0.2.1:7547/", nil, false, true},
		{"http://10.1.1.1/", nil, false, true},
		{"http://[2001:db8::1]:80/", nil, false, true},
		{"http://127.0.0.1:80/", nil, false, false},
		{"http://127.0.0.1:80/", nil, true, true},
		{"http://127.0.0.1:7547/", nil, true, false},
		{"http://[::ffff:127.0.0.1]:80/", nil, false, false},
		{"http://0.0.0.0:80/", nil, true, false},
		{"http://192.0.2.9/", nil, false, false},
		{"http://224.0.0.1/", nil, false, false},
		{"http://169.254.1.1/", nil, false, false},
		{"http://[fe80::1]/", nil, false, false},
		{"http://192.0.2.1/", lan, false, false},
		{"http://10.1.1.1/", lan, false, true},
		{"http://127.0.0.1/", lan, false, true},
		{"http://127.0.0.1:7547/", lan, true, false},
		{"http://10.1.1.1:0/", nil, false, false},
		{"https://192.0.2.1/", nil, false, false},
		{"ftp://192.0.2.1/", nil, false, false},
		{"192.0.2.1", nil, false, false},
		{"http://[/", nil, false, false},
	} {
		errDialled := errors.New("dialled")
		c := &Client{Rules: Rules{Allow: tc.allow, Own: own}, DialContext: func(context.Context, string, string) (net.Conn, error) { return nil, errDialled }}
		err := c.Request(t.Context(), Target{URL: tc.url, InformFromLoopback: tc.loopback})
		if tc.ok && !errors.Is(err, errDialled) || !tc.ok && !errors.Is(err, ErrNotAllowed) {
			t.Errorf("%s, allowed %v, loopback %t: %v", tc.url, tc.allow, tc.loopback, err)
		}
	}
}

func TestTimeout(t *testing.T) {
	c := &Client{Timeout: time.Millisecond, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}}
	if err := c.Request(t.Context(), Target{URL: "http://192.0.2.1/"}); !errors.Is(err, ErrUnreachable) {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Request(ctx, Target{URL: "http://192.0.2.1/"}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestOneInFlight(t *testing.T) {
	var dials atomic.Int32
	dialling, release := make(chan struct{}), make(chan struct{})
	c := &Client{DialContext: func(context.Context, string, string) (net.Conn, error) {
		dials.Add(1)
		close(dialling)
		<-release
		return nil, fmt.Errorf("no route")
	}}
	target := Target{URL: "http://192.0.2.1/"}
	errs := make(chan error, 3)
	go func() { errs <- c.Request(context.Background(), target) }()
	<-dialling
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	if err := c.Request(gone, target); !errors.Is(err, context.Canceled) {
		t.Error("a waiter that gives up:", err)
	}
	c.mu.Lock()
	f := c.flying[target]
	c.mu.Unlock()
	close(release)
	if err := <-errs; !errors.Is(err, ErrUnreachable) || !errors.Is(f.err, ErrUnreachable) {
		t.Error(err, f.err)
	}
	if dials.Load() != 1 {
		t.Error(dials.Load(), "connections")
	}
}

func FuzzParseChallenge(f *testing.F) {
	for _, s := range []string{`Digest qop="auth" nonce="n"`, `Digest a=b, c="d`, "Digest =", "Basic realm=x", "Digest ,,,=\"\""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if ch := parseChallenge(s); ch != nil && digest.CanDigest(ch) {
			if _, err := digest.Digest(ch, digest.Options{Method: "GET", URI: (&url.URL{Path: "/"}).RequestURI(), Count: 1}); err != nil {
				t.Skip(err) // auth-int
			}
		}
	})
}
