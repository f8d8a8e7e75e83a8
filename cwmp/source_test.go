package cwmp

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
)

func prefixes(cidrs ...string) (out []netip.Prefix) {
	for _, c := range cidrs {
		out = append(out, netip.MustParsePrefix(c))
	}
	return out
}

// recorded is a POST without a socket, with header lines.
func recorded(h http.Handler, lines string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, "/acs", nil)
	for line := range strings.SplitSeq(strings.TrimSuffix(lines, "\r\n"), "\r\n") {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Add(name, value)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestSource(t *testing.T) {
	const none = "invalid AddrPort"
	trusted := prefixes("10.0.0.0/8", "127.0.0.0/8", "2001:db8:1::/48")
	for _, tc := range []struct {
		peer    string
		headers []string
		want    string
		proxied bool
	}{
		{"192.0.2.9:1", nil, "192.0.2.9:1", false},
		{"192.0.2.9:1", []string{"X-Forwarded-For: 127.0.0.1"}, "192.0.2.9:1", false}, // nobody's proxy
		{"10.0.0.1:1", nil, "10.0.0.1:1", true},
		{"10.0.0.1:1", []string{"X-Forwarded-For: 192.0.2.1"}, "192.0.2.1:0", true},
		{"[::ffff:10.0.0.1]:1", []string{"X-Forwarded-For: 192.0.2.1"}, "192.0.2.1:0", true},
		{"10.0.0.1:1", []string{"X-Forwarded-For: 198.51.100.7, 192.0.2.1, 10.0.0.2"}, "192.0.2.1:0", true},
		{"10.0.0.1:1", []string{"X-Forwarded-For: 198.51.100.7", "X-Forwarded-For: 192.0.2.1"}, "192.0.2.1:0", true},
		{"10.0.0.1:1", []string{"X-Forwarded-For: 10.0.0.3,10.0.0.2"}, "10.0.0.3:0", true},
		{"10.0.0.1:1", []string{"X-Forwarded-For: 192.0.2.1:4711"}, "192.0.2.1:4711", true},
		{"10.0.0.1:1", []string{"X-Forwarded-For: 2001:db8::1"}, "[2001:db8::1]:0", true},
		{"10.0.0.1:1", []string{`Forwarded: for=192.0.2.1;proto=https;by=10.0.0.1`}, "192.0.2.1:0", true},
		{"10.0.0.1:1", []string{`Forwarded: For="[2001:db8::1]:4711", for=10.9.9.9`}, "[2001:db8::1]:4711", true},
		{"10.0.0.1:1", []string{`Forwarded: proto=https;for="[2001:db8::1]"`}, "[2001:db8::1]:0", true},
		{"10.0.0.1:1", []string{"Forwarded: for=192.0.2.1", "X-Forwarded-For: 192.0.2.1"}, "192.0.2.1:0", true},
		{"10.0.0.1:1", []string{"Forwarded: for=192.0.2.66", "X-Forwarded-For: 192.0.2.1"}, none, true}, // one of them is the CPE's own
		{"10.0.0.1:1", []string{"Forwarded: for=unknown"}, none, true},
		{"10.0.0.1:1", []string{"Forwarded: for=_hidden, for=10.0.0.2"}, none, true},
		{"10.0.0.1:1", []string{"X-Forwarded-For: somewhere"}, none, true},
		{"10.0.0.1:1", []string{"X-Forwarded-For: 127.0.0.1"}, none, true}, // loopback of which host?
		{"127.0.0.1:1", []string{"X-Forwarded-For: 127.0.0.1"}, "127.0.0.1:0", true},
		{"@", []string{"X-Forwarded-For: 192.0.2.1"}, none, false},
	} {
		r := &http.Request{RemoteAddr: tc.peer, Header: http.Header{}}
		for _, line := range tc.headers {
			name, value, _ := strings.Cut(line, ": ")
			r.Header.Add(name, value)
		}
		if got, proxied := source(r, trusted); got.String() != tc.want || proxied != tc.proxied {
			t.Errorf("%s %q: %v %v, want %v %v", tc.peer, tc.headers, got, proxied, tc.want, tc.proxied)
		}
	}
}

// The session's address is the CPE's, not the proxy's.
func TestSessionSource(t *testing.T) {
	seen := make(chan netip.AddrPort, 1)
	hd := &acs{begin: func(s *Session) error { seen <- s.RemoteAddr; return nil }}
	_, addr := start(t, hd, &ServerOptions{TrustedProxies: prefixes("127.0.0.1/32")})
	c := dial(t, addr)
	c.header = "Forwarded: for=192.0.2.1\r\n"
	c.inform("1")
	if got := <-seen; got.Addr() != netip.MustParseAddr("192.0.2.1") {
		t.Error(got)
	}
	c.finish(hd)
}
