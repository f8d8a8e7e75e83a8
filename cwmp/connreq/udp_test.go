package connreq

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"isthmus/cwmp/stun"
)

// bindings knows one CPE.
type bindings struct {
	name, password string
	known          netip.AddrPort
	at             chan netip.AddrPort
}

func (b *bindings) STUNPassword(name string) (string, bool)    { return b.password, name == b.name }
func (b *bindings) Challenge(_ string, at netip.AddrPort) bool { return at != b.known }
func (b *bindings) Bound(_ string, at netip.AddrPort)          { b.at <- at }
func (b *bindings) next(t *testing.T) (at netip.AddrPort)      { return within(t, b.at) }
func newBindings() *bindings {
	return &bindings{name: "cpe", password: "secret", at: make(chan netip.AddrPort, 8)}
}
func addrOf(c *net.UDPConn) netip.AddrPort { return c.LocalAddr().(*net.UDPAddr).AddrPort() }
func udpSocket(t *testing.T, address string) *net.UDPConn {
	t.Helper()
	conn, err := net.ListenPacket("udp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn.(*net.UDPConn)
}

func within[T any](t *testing.T, c <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(10 * time.Second):
		t.Fatal("nothing came")
	}
	return v
}

func startUDP(t *testing.T, address string, b Bindings) *UDP {
	t.Helper()
	u := NewUDP(udpSocket(t, address), UDPOptions{Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry()})
	done := make(chan error, 1)
	go func() { done <- u.Serve(b) }()
	t.Cleanup(func() {
		if err := errors.Join(u.Close(), <-done); err != nil {
			t.Error(err)
		}
	})
	return u
}

// ask sends a datagram and reads the answer; nil if the server says nothing. Silence is told from an answer to come by a request
// behind it, which is answered after it.
func ask(t *testing.T, c *net.UDPConn, to netip.AddrPort, datagram []byte) *stun.Message {
	t.Helper()
	barrier := stun.ID{0xBA}
	for _, b := range [][]byte{datagram, stun.New(stun.BindingRequest, barrier).Bytes()} {
		if _, err := c.WriteToUDPAddrPort(b, to); err != nil {
			t.Fatal(err)
		}
	}
	var found *stun.Message
	for {
		m, from := receive(t, c)
		if from != to {
			t.Errorf("answer from %v", from)
		}
		if m.ID == barrier {
			return found
		}
		found = m
	}
}

func receive(t *testing.T, c *net.UDPConn) (*stun.Message, netip.AddrPort) {
	t.Helper()
	b := make([]byte, maxDatagram)
	if err := c.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	n, from, err := c.ReadFromUDPAddrPort(b)
	if err != nil {
		t.Fatal(err)
	}
	m, err := stun.Parse(b[:n])
	if err != nil {
		t.Fatalf("%v: %q", err, b[:n])
	}
	return m, netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
}

func binding(change func(*stun.Builder)) []byte {
	w := stun.New(stun.BindingRequest, stun.ID{1, 2, 3})
	if change != nil {
		change(w)
	}
	return w.Bytes()
}

func TestN8_BindingRequest(t *testing.T) {
	u := startUDP(t, "127.0.0.1:0", newBindings())
	c := udpSocket(t, "127.0.0.1:0")
	for name, b := range map[string][]byte{
		"bare":        binding(nil),
		"for ConnReq": binding(func(w *stun.Builder) { w.Text(stun.ConnectionRequestBinding, stun.ConnectionRequestBindingValue) }),
		"stranger's": binding(func(w *stun.Builder) {
			w.Text(stun.Username, "somebody")
			w.Text(stun.ConnectionRequestBinding, stun.ConnectionRequestBindingValue)
			w.Text(stun.BindingChange, "")
			w.Sign("something")
		}),
	} {
		m := ask(t, c, u.Addr(), b)
		if m == nil || m.Type != stun.BindingResponse || m.ID != (stun.ID{1, 2, 3}) || m.Address(stun.MappedAddress) != addrOf(c) ||
			m.Address(stun.SourceAddress) != u.Addr() || m.Address(stun.ChangedAddress) != u.Addr() || m.Has(stun.XORMappedAddress) ||
			m.Has(stun.MessageIntegrity) {
			t.Errorf("%s: %+v", name, m)
		}
	}
	w := stun.New(stun.BindingRequest, stun.ID{0x21, 0x12, 0xA4, 0x42})
	if m := ask(t, c, u.Addr(), w.Bytes()); m == nil || !m.Has(stun.XORMappedAddress) {
		t.Errorf("RFC 5389: %+v", m)
	}
}

// Whoever asks the wildcard address is answered from where he asked, and told which that is.
func TestN8_WildcardSocket(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux has all of 127.0.0.0/8")
	}
	for _, address := range []string{"0.0.0.0:0", "[::]:0"} {
		u := startUDP(t, address, newBindings())
		c := udpSocket(t, "127.0.0.1:0")
		to := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.3"), u.Addr().Port())
		if m := ask(t, c, to, binding(nil)); m == nil || m.Address(stun.SourceAddress) != to {
			t.Errorf("%s: %+v", address, m)
		}
	}
}

func TestN8_BindingIsAuthenticated(t *testing.T) {
	b := newBindings()
	c := udpSocket(t, "127.0.0.1:0")
	request := func(key string) []byte {
		return binding(func(w *stun.Builder) {
			w.Text(stun.ConnectionRequestBinding, stun.ConnectionRequestBindingValue)
			w.Text(stun.BindingChange, "")
			w.Text(stun.Username, "cpe")
			if key != "" {
				w.Sign(key)
			}
		})
	}
	u := startUDP(t, "127.0.0.1:0", b)
	if m := ask(t, c, u.Addr(), request("")); m == nil || m.Type != stun.BindingError || m.Error() != stun.Unauthorized {
		t.Errorf("without MESSAGE-INTEGRITY: %+v", m)
	}
	if m := ask(t, c, u.Addr(), request("wrong")); m == nil || m.Type != stun.BindingResponse || m.Has(stun.MessageIntegrity) {
		t.Errorf("wrong password: %+v", m)
	}
	select {
	case at := <-b.at:
		t.Errorf("%v was believed", at)
	default:
	}
	if m := ask(t, c, u.Addr(), request("secret")); m == nil || !m.Authentic("secret") {
		t.Errorf("authentic: %+v", m)
	}
	if at := b.next(t); at != addrOf(c) {
		t.Errorf("bound to %v", at)
	}
	known := newBindings()
	known.known = addrOf(c)
	u = startUDP(t, "127.0.0.1:0", known)
	if m := ask(t, c, u.Addr(), request("")); m == nil || m.Type != stun.BindingResponse {
		t.Errorf("what is known needs no proof: %+v", m)
	}
}

// Nothing is sent to anybody but the host that asked, and nothing for what a single address cannot do.
func TestN8_NoReflector(t *testing.T) {
	u := startUDP(t, "127.0.0.1:0", newBindings())
	c, second := udpSocket(t, "127.0.0.1:0"), udpSocket(t, "127.0.0.1:0")
	elsewhere := netip.MustParseAddrPort("127.0.0.2:9")
	for name, b := range map[string][]byte{
		"RESPONSE-ADDRESS of another host": binding(func(w *stun.Builder) { w.Address(stun.ResponseAddress, elsewhere) }),
		"CHANGE-REQUEST":                   binding(func(w *stun.Builder) { w.Text(stun.ChangeRequest, "\x00\x00\x00\x06") }),
		"a response":                       stun.New(stun.BindingResponse, stun.ID{}).Bytes(),
		"HTTP":                             []byte("GET http://127.0.0.1 HTTP/1.1\r\n\r\n"),
		"nothing":                          {},
		"too much":                         bytes.Repeat([]byte{0, 1, 0x10, 0}, maxDatagram),
	} {
		if m := ask(t, c, u.Addr(), b); m != nil {
			t.Errorf("%s: %+v", name, m)
		}
	}
	// G.2.1.2: from a second port, the answer for the first.
	if m := ask(t, c, u.Addr(), binding(func(w *stun.Builder) { w.Address(stun.ResponseAddress, addrOf(second)) })); m != nil {
		t.Errorf("%+v", m)
	}
	if m, _ := receive(t, second); m.Address(stun.ReflectedFrom) != addrOf(c) {
		t.Errorf("%+v", m)
	}
	if n := testutil.ToFloat64(u.stun.WithLabelValues("ignored")); n != 2 {
		t.Errorf("%v ignored", n)
	}
}

func TestN8_RateOfASource(t *testing.T) {
	l := newLimiter(10, 20)
	now := l.start
	count := func(addr string) (n int) {
		for range 100 {
			if l.allow(netip.MustParseAddr(addr), now) {
				n++
			}
		}
		return n
	}
	if n := count("192.0.2.1"); n != 20 {
		t.Error("burst of", n)
	}
	if n := count("192.0.2.2"); n != 20 {
		t.Error("another's burst of", n)
	}
	now = now.Add(time.Second)
	if n := count("::ffff:192.0.2.1"); n != 10 {
		t.Error(n, "a second later")
	}
	if n := count("2001:db8::1") + count("2001:db8::2"); n != 20 {
		t.Error("a host with many addresses:", n)
	}
	u := startUDP(t, "127.0.0.1:0", nil)
	u.rates = newLimiter(0, 1)
	c := udpSocket(t, "127.0.0.1:0")
	if _, _, outcome := u.handle(binding(nil), addrOf(c), u.Addr(), nil); outcome != "answered" {
		t.Error(outcome)
	}
	if out, _, outcome := u.handle(binding(nil), addrOf(c), u.Addr(), nil); outcome != "limited" || out != nil {
		t.Error(outcome)
	}
}

// What leaves is never much larger than what came: the server is of no use to amplify.
func TestN8_AnswerIsSmall(t *testing.T) {
	u := startUDP(t, "127.0.0.1:0", newBindings())
	const most = 100 // bytes
	from := netip.MustParseAddrPort("[2001:db8::1]:1")
	for _, w := range []*stun.Builder{stun.New(stun.BindingRequest, stun.ID{}), stun.New(stun.BindingRequest, stun.ID{0x21, 0x12, 0xA4, 0x42})} {
		if out, _, _ := u.handle(w.Bytes(), from, u.Addr(), nil); len(out) > most {
			t.Errorf("%d bytes for %d", len(out), len(w.Bytes()))
		}
	}
}

// datagrams reads what comes to a CPE.
func datagrams(t *testing.T, c *net.UDPConn, n int) []string {
	t.Helper()
	var out []string
	b := make([]byte, maxDatagram)
	for range n {
		if err := c.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		n, _, err := c.ReadFromUDPAddrPort(b)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, string(b[:n]))
	}
	return out
}

func TestN8_UDPConnectionRequest(t *testing.T) {
	u := startUDP(t, "127.0.0.1:0", nil)
	c := udpSocket(t, "127.0.0.1:0")
	target := Target{UDPAddress: addrOf(c).String(), Username: "c&p e", Password: "secret", InformFromLoopback: true}
	seen := map[string]bool{}
	last := ""
	for range 2 {
		if err := u.Request(t.Context(), target); err != nil {
			t.Fatal(err)
		}
		copies := datagrams(t, c, udpCopies)
		if copies[0] != copies[1] || copies[0] != copies[2] {
			t.Errorf("copies differ: %q", copies)
		}
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(copies[0])))
		if err != nil {
			t.Fatal(err)
		}
		q := r.URL.Query()
		if r.Method != http.MethodGet || r.URL.Host != addrOf(c).String() || q.Get("un") != target.Username || seen[q.Get("id")] || q.Get("ts") <= last ||
			!strings.EqualFold(q.Get("sig"), Signature("secret", q.Get("ts"), q.Get("id"), target.Username, q.Get("cn"))) {
			t.Errorf("%q", copies[0])
		}
		if strings.Contains(copies[0], "secret") {
			t.Error("the password is sent")
		}
		seen[q.Get("id")], last = true, q.Get("ts")
	}
}

// The example of TR-069 G.2.2.3 has this form; the value is that of an implementation of HMAC that is not Go's.
func TestSignature(t *testing.T) {
	if got := Signature("password", "1120673700", "1234", "CPE57689", "XTGRWIPC6D3IPXS3"); got != "F749EE6D9E3BC469FB709EAD2A75EE7535F58552" {
		t.Error(got)
	}
}

func TestN7_UDPAddressRules(t *testing.T) {
	u := startUDP(t, "127.0.0.1:0", nil)
	u.opts.Own = []netip.AddrPort{u.Addr()}
	for _, address := range []string{"127.0.0.1:7547", "224.0.0.1:1", "255.255.255.255:9", "0.0.0.0:80", "[fe80::1]:80", "192.0.2.1:0", "192.0.2.1:x"} {
		if err := u.Request(t.Context(), Target{UDPAddress: address, Username: "u", Password: "p"}); !errors.Is(err, ErrNotAllowed) {
			t.Errorf("%s: %v", address, err)
		}
	}
	if err := u.Request(t.Context(), Target{UDPAddress: u.Addr().String(), Username: "u", InformFromLoopback: true}); !errors.Is(err, ErrNotAllowed) {
		t.Error("our own socket:", err)
	}
	if err := u.Request(t.Context(), Target{UDPAddress: "192.0.2.1:1"}); !errors.Is(err, ErrAuth) {
		t.Error("no credentials:", err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := u.Request(gone, Target{UDPAddress: "localhost:1", Username: "u", InformFromLoopback: true}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// A UDPConnectionRequestAddress without a port means port 80.
func TestN9_DefaultPort(t *testing.T) {
	for s, want := range map[string]string{"192.0.2.1": "192.0.2.1:80", "192.0.2.1:7547": "192.0.2.1:7547", "[2001:db8::1]": "[2001:db8::1]:80",
		"2001:db8::1": "[2001:db8::1]:80", "[2001:db8::1]:9": "[2001:db8::1]:9"} {
		host, port := splitAuthority(s)
		got, err := new(Rules).resolve(t.Context(), host, port, false)
		if err != nil || len(got) != 1 || got[0].String() != want {
			t.Errorf("%s: %v, %v", s, got, err)
		}
	}
}

func FuzzDatagram(f *testing.F) {
	f.Add(binding(nil))
	f.Add(binding(func(w *stun.Builder) {
		w.Text(stun.ConnectionRequestBinding, stun.ConnectionRequestBindingValue)
		w.Text(stun.BindingChange, "")
		w.Text(stun.Username, "cpe")
		w.Sign("secret")
	}))
	f.Add(binding(func(w *stun.Builder) { w.Address(stun.ResponseAddress, netip.MustParseAddrPort("192.0.2.1:5")) }))
	f.Add([]byte("GET http://192.0.2.1?ts=1&id=2&un=u&cn=c&sig=00 HTTP/1.1\r\n\r\n"))
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		f.Fatal(err)
	}
	u := NewUDP(conn.(*net.UDPConn), UDPOptions{Logger: slog.New(slog.DiscardHandler)})
	f.Cleanup(func() { _ = u.Close() })
	from, b := netip.MustParseAddrPort("192.0.2.1:61000"), newBindings()
	f.Fuzz(func(t *testing.T, datagram []byte) {
		out, to, _ := u.handle(datagram, from, u.Addr(), b)
		select {
		case <-b.at:
		default:
		}
		if out == nil {
			return
		}
		if m, err := stun.Parse(out); err != nil || m.Type == stun.BindingRequest || to.Addr() != from.Addr() || len(out) > stun.MaxSize {
			t.Errorf("%q is answered to %v with %q: %v", datagram, to, out, err)
		}
	})
}
