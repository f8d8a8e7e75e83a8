//go:build unix

package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"isthmus/cmd/isthmus/config"
	"isthmus/cwmp"
	"isthmus/cwmp/cpe"
	"isthmus/usp"
)

const (
	// requested is the time of a round of Connection Requests, which those that nobody hears take whole.
	requested = 1500 * time.Millisecond
	overUDP   = `connection_request_attempts_total{method="udp",outcome="session"}`
)

// The line "CR" of the matrix: CPE that are hard to reach, or lead isthmus astray. A Controller's Get is answered in time, with the value if a
// session came and else with what was tried.
func TestFaultsCR(t *testing.T) {
	t.Parallel()
	b := newBed(t, func(c *config.Config) {
		cr := &c.CWMP.ConnectionRequest
		cr.Username, cr.Password, cr.Timeout, cr.UDPListen = "cr", "secret", config.Duration(requested), "127.0.0.1:0"
	})
	httpOutcome := func(outcome string) string {
		return `connection_request_attempts_total{method="http",outcome="` + outcome + `"}`
	}
	challenge := func(text string) answers { // which it lets in who answers
		return func(w http.ResponseWriter, r *http.Request, come func(events ...string)) {
			if r.Header.Get("Authorization") != "" {
				come(cwmp.EventConnectionRequest)
				return
			}
			w.Header().Set("WWW-Authenticate", text)
			w.WriteHeader(http.StatusUnauthorized)
		}
	}
	var faults []fault
	for _, f := range []struct {
		name, outcome string
		answers       answers
	}{
		{"401, Digest", "session", challenge(`Digest realm="CPE", qop="auth", nonce="n", algorithm=MD5`)},
		{"401 without qop and algorithm (N1)", "session", challenge(`Digest realm="CPE", nonce="n"`)},
		{"401 with blanks for commas (N1)", "session", challenge(`Digest realm="CPE" qop="auth" nonce="n"`)},
		{"401 with Basic only (N1)", "unauthorized", challenge(`Basic realm="CPE"`)},
		{"401 without a challenge (N1)", "unauthorized", func(w http.ResponseWriter, _ *http.Request, _ func(...string)) { w.WriteHeader(401) }},
		{"401 for ever (N3)", "unauthorized", func(w http.ResponseWriter, _ *http.Request, _ func(...string)) {
			w.Header().Set("WWW-Authenticate", `Digest realm="CPE", qop="auth", nonce="n"`)
			w.WriteHeader(401)
		}},
		{"401 and another connection (N2)", "session", func(w http.ResponseWriter, r *http.Request, come func(events ...string)) {
			w.Header().Set("Connection", "close")
			challenge(`Digest realm="CPE", nonce="n"`)(w, r, come)
		}},
		{"reset", "unreachable", func(w http.ResponseWriter, _ *http.Request, _ func(...string)) { reset(w) }},
		{"reset after the credentials (N2)", "session", func(w http.ResponseWriter, r *http.Request, come func(events ...string)) {
			if r.Header.Get("Authorization") == "" {
				challenge(`Digest realm="CPE", nonce="n"`)(w, r, come)
				return
			}
			come(cwmp.EventConnectionRequest)
			reset(w)
		}},
		{"503 for ever (N5)", "refused", func(w http.ResponseWriter, _ *http.Request, _ func(...string)) { w.WriteHeader(503) }},
		{"404 (N11)", "unreachable", func(w http.ResponseWriter, _ *http.Request, _ func(...string)) { w.WriteHeader(404) }},
		{"a redirect to the metadata of a cloud (N7)", "unreachable", func(w http.ResponseWriter, r *http.Request, _ func(...string)) {
			http.Redirect(w, r, "http://169.254.169.254/latest/meta-data/", http.StatusFound)
		}},
		{"no session (N4)", "no_session", func(http.ResponseWriter, *http.Request, func(...string)) {}},
		{"session without event 6 (N4)", "session", func(_ http.ResponseWriter, _ *http.Request, come func(...string)) { come(cwmp.EventPeriodic) }},
		{"session without an event (N4, S11)", "session", func(_ http.ResponseWriter, _ *http.Request, come func(...string)) { come() }},
		{"no answer", "unreachable", func(_ http.ResponseWriter, r *http.Request, _ func(...string)) { <-r.Context().Done() }},
		{"an answer without end", "no_session", func(w http.ResponseWriter, r *http.Request, _ func(...string)) {
			for r.Context().Err() == nil {
				_, _ = w.Write(make([]byte, 64<<10))
			}
		}},
	} {
		faults = append(faults, fault{f.name, httpOutcome(f.outcome), func(t *testing.T, b *bed) {
			d, p := b.requestable(t, f.answers)
			b.readsLive(t, d, p, f.outcome == "session")
		}})
	}
	for _, f := range []struct{ name, url, outcome string }{
		{"URL of the metadata of a cloud (N7)", "http://169.254.169.254/latest/meta-data/", "not_allowed"},
		{"URL of a multicast group (N7)", "http://239.255.255.250:1900/", "not_allowed"},
		{"URL of isthmus itself (N7)", "http://" + b.listeners.admin.Addr().String() + "/api/v1/devices", "not_allowed"},
		{"URL 0.0.0.0 (N7)", "http://0.0.0.0:7547/", "unreachable"},
		{"URL without a port that can be (N7)", "http://192.0.2.1:99999/", "unreachable"},
		{"URL of another scheme (N7)", "file:///etc/passwd", "unreachable"},
		{"URL that is none (N7)", "http://[::1", "unreachable"},
	} {
		counts := httpOutcome(f.outcome) + "|" + httpOutcome("not_allowed")
		faults = append(faults, fault{f.name, counts, func(t *testing.T, b *bed) {
			_, p := b.boot(t, garbled(located(f.url)))
			p.refused(t, get(live), usp.Unreachable)
		}})
	}
	b.each(t, append(faults,
		fault{"STUN mapping change (N9)", overUDP, b.moves},
		fault{"replayed UDP id (N8)", overUDP, b.replays},
		fault{"datagrams that are no STUN", `stun_requests_total{outcome="malformed"}`, func(t *testing.T, b *bed) {
			conn, err := net.Dial("udp", b.listeners.udpAddress())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			for _, text := range []string{"", "\x00", "GET http://x?ts=1 HTTP/1.1\r\n\r\n", "\x00\x01\xff\xff" + strings.Repeat("x", 1400), strings.Repeat("\xff", 60000)} {
				if _, err := io.WriteString(conn, text); err != nil {
					t.Fatal(err)
				}
			}
		}},
	))
}

// answers is a CPE's Connection Request server; come has the CPE open a session.
type answers func(w http.ResponseWriter, r *http.Request, come func(events ...string))

// requestable is a CPE with such a server.
func (b *bed) requestable(t *testing.T, a answers) (d *cpe.CPE, p *peer) {
	t.Helper()
	var mu sync.Mutex
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		asked := d
		mu.Unlock()
		a(w, r, asked.Inform)
	}))
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	mu.Lock()
	defer mu.Unlock()
	d, p = b.boot(t, garbled(located(s.URL+"/cr")))
	return d, p
}

var ownURL = regexp.MustCompile(`http://127\.0\.0\.1:\d+/[0-9a-f]{24}`)

// located has a CPE tell another ConnectionRequestURL than its own.
func located(at string) garble {
	return func(head, body string) string { return framed(head, ownURL.ReplaceAllString(body, at)) }
}

func reset(w http.ResponseWriter) {
	if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
		_ = conn.(*net.TCPConn).SetLinger(0)
		_ = conn.Close()
	}
}

// readsLive has a Controller read what only the CPE can tell.
func (b *bed) readsLive(t *testing.T, d *cpe.CPE, p *peer, comes bool) {
	t.Helper()
	if comes {
		p.has(t, get(live), live+" = "+d.Value(live))
		return
	}
	p.refused(t, get(live), usp.Unreachable)
	d.Inform(cwmp.EventPeriodic) // and it is served when it comes by itself
	if err := d.WaitIdle(p.ctx); err != nil {
		t.Error(err)
	}
}

// behindNAT is a CPE that is reached over UDP only, where its NAT has it.
func (b *bed) behindNAT(t *testing.T) (*cpe.CPE, *peer, *nat) {
	t.Helper()
	n := &nat{}
	d, p := b.boot(t, func(cfg *cpe.Config) {
		cfg.ConnReqUsername, cfg.ConnReqPassword = "cr", "secret"
		cfg.Faults.ConnReq = cpe.ConnReqDrop
		cfg.STUN = &cpe.STUN{Server: b.listeners.udpAddress(), Username: strings.TrimPrefix(endpointID(cfg.DeviceID), "ops::"), Password: "secret",
			Period: 20 * time.Millisecond}
		cfg.Dial = n.dial
	})
	n.told(t, d, p)
	return d, p, n
}

// told waits until the CPE knows where its NAT has it, and has it tell the ACS, if the STUN server has not by then.
func (n *nat) told(t *testing.T, d *cpe.CPE, p *peer) {
	t.Helper()
	for d.Value("Device.ManagementServer.UDPConnectionRequestAddress") != n.address() && p.ctx.Err() == nil {
		nextMoment()
	}
	d.Inform(cwmp.EventBoot)
	if err := d.WaitIdle(p.ctx); err != nil {
		t.Fatal(err)
	}
	nextMoment()
}

// moves has the NAT give the CPE another address: it is reached there.
func (b *bed) moves(t *testing.T, _ *bed) {
	d, p, n := b.behindNAT(t)
	for range 2 {
		p.has(t, get(live), live+" = "+d.Value(live))
		n.move(t)
		n.told(t, d, p)
	}
	p.has(t, get(live), live+" = "+d.Value(live))
}

// replays has Connection Requests come twice: the CPE, which is a strict one, takes each once, since none has the id or the ts of an older one.
func (b *bed) replays(t *testing.T, _ *bed) {
	d, p, n := b.behindNAT(t)
	n.again.Store(true)
	for len(n.ids()) < 2 && p.ctx.Err() == nil {
		nextMoment()
		p.has(t, get(live), live+" = "+d.Value(live))
		if err := d.WaitIdle(p.ctx); err != nil {
			t.Fatal(err)
		}
	}
}

// nat is the way of a CPE's datagrams. It can give them another source address, and hand on twice what comes in.
type nat struct {
	again atomic.Bool

	mu   sync.Mutex
	conn *natConn
	seen []string
}

var requestID = regexp.MustCompile(`[?&]id=(\d+)`)

func (n *nat) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
	if err != nil || network != "udp" {
		return conn, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.conn = &natConn{Conn: conn, nat: n, addr: addr}
	return n.conn, nil
}

// ids are those of the Connection Requests that came in.
func (n *nat) ids() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.seen
}

func (n *nat) address() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.conn.Conn.LocalAddr().String()
}

func (n *nat) move(t *testing.T) {
	t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	conn, err := net.Dial("udp", n.conn.addr)
	if err != nil {
		t.Fatal(err)
	}
	old := n.conn.Conn
	n.conn.Conn = conn
	_ = old.Close()
}

// natConn is a CPE's socket; Conn is what its NAT has for it now.
type natConn struct {
	net.Conn
	nat      *nat
	addr     string
	deadline time.Time
	repeat   []byte
}

func (c *natConn) current() net.Conn {
	c.nat.mu.Lock()
	defer c.nat.mu.Unlock()
	return c.Conn
}

func (c *natConn) Write(p []byte) (int, error) { return c.current().Write(p) }
func (c *natConn) Close() error                { return c.current().Close() }

func (c *natConn) SetReadDeadline(t time.Time) error {
	c.deadline = t
	return c.current().SetReadDeadline(t)
}

func (c *natConn) Read(p []byte) (int, error) {
	if c.repeat != nil {
		n := copy(p, c.repeat)
		c.repeat = nil
		return n, nil
	}
	conn := c.current()
	n, err := conn.Read(p)
	if err != nil && conn != c.current() {
		if err := c.SetReadDeadline(c.deadline); err != nil {
			return 0, err
		}
		return c.Read(p)
	}
	if m := requestID.FindSubmatch(p[:n]); m != nil {
		c.nat.mu.Lock()
		if id := string(m[1]); !slices.Contains(c.nat.seen, id) {
			c.nat.seen = append(c.nat.seen, id)
		}
		c.nat.mu.Unlock()
		if c.nat.again.Load() {
			c.repeat = slices.Clone(p[:n])
		}
	}
	return n, err
}
