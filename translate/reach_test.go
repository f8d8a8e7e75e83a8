package translate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"isthmus/cwmp"
	"isthmus/cwmp/connreq"
	"isthmus/cwmp/cpe"
	"isthmus/cwmp/stun"
	"isthmus/usp"
)

// requester is a way to reach CPE that a test controls.
type requester struct {
	mu      sync.Mutex
	targets []connreq.Target
	do      func(ctx context.Context) error
}

func (r *requester) Request(ctx context.Context, t connreq.Target) error {
	r.mu.Lock()
	r.targets = append(r.targets, t)
	do := r.do
	r.mu.Unlock()
	return do(ctx)
}

func (r *requester) calls() []connreq.Target {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.targets)
}

func (r *requester) set(do func(ctx context.Context) error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.do = do
}

// count waits until a counter has a value.
func (w *world) count(c prometheus.Counter, want float64) {
	w.t.Helper()
	for testutil.ToFloat64(c) != want && w.ctx.Err() == nil {
		time.Sleep(time.Millisecond)
	}
	if n := testutil.ToFloat64(c); n != want {
		w.t.Errorf("%v, want %v", n, want)
	}
}

// address waits until what is known of how a CPE can be reached is as it should be.
func (w *world) address(id usp.EndpointID, ok func(*head) bool) {
	w.t.Helper()
	d := w.device(id)
	for w.ctx.Err() == nil {
		d.mu.RLock()
		is := ok(&d.head)
		d.mu.RUnlock()
		if is {
			return
		}
		time.Sleep(time.Millisecond)
	}
	w.t.Fatal("never")
}

// getWhile reads a value; once that waits for a session, f is called.
func (w *world) getWhile(id usp.EndpointID, f func()) error {
	w.t.Helper()
	answered := make(chan error, 1)
	go func() {
		_, err := w.get(id, ssid)
		answered <- err
	}()
	d := w.device(id)
	for waiting := false; !waiting && w.ctx.Err() == nil; time.Sleep(time.Millisecond) {
		d.mu.RLock()
		waiting = len(d.queue) > 0
		d.mu.RUnlock()
	}
	f()
	return <-answered
}

// comes has a CPE come when it is asked.
func comes(c *cpe.CPE) func(context.Context) error {
	return func(context.Context) error { c.Inform(cwmp.EventConnectionRequest); return nil }
}

// udpWorld has the STUN server of a Proxy on loopback.
func udpWorld(t *testing.T) (*world, *connreq.UDP) {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	u := connreq.NewUDP(conn.(*net.UDPConn), connreq.UDPOptions{Logger: slog.New(slog.DiscardHandler)})
	w := newWorld(t, func(o *Options) {
		o.MaxAge = 0
		o.ConnectionRequest.UDP, o.ConnectionRequest.Username, o.ConnectionRequest.Password = u, "cr", "secret"
	})
	done := make(chan error, 1)
	p := w.p // whatever comes after a restart
	go func() { done <- u.Serve(p) }()
	t.Cleanup(func() {
		if err := errors.Join(u.Close(), <-done); err != nil {
			t.Error(err)
		}
	})
	return w, u
}

func stunCPE(u *connreq.UDP, change func(*cpe.Config)) func(*cpe.Config) {
	return func(cfg *cpe.Config) {
		cfg.ConnReqUsername, cfg.ConnReqPassword = "cr", "secret"
		cfg.STUN = &cpe.STUN{Server: u.Addr().String()}
		if change != nil {
			change(cfg)
		}
	}
}

func methodsTried(t testing.TB, w *world, id usp.EndpointID) string {
	t.Helper()
	d, ok := w.p.Device(id)
	if !ok {
		t.Fatal("no device")
	}
	var tried []string
	for _, a := range d.Attempts {
		text := a.Method
		if a.Error != "" {
			text += " failed"
		}
		tried = append(tried, text)
	}
	return strings.Join(tried, ", ")
}

// A CPE that HTTP does not reach is reached by UDP, where the STUN server saw it; the next time that comes first.
func TestN8_LiveGetOverUDP(t *testing.T) {
	w, u := udpWorld(t)
	c, id := w.boot(stunCPE(u, func(cfg *cpe.Config) {
		cfg.Faults.ConnReq = cpe.ConnReqDrop
		cfg.STUN.Username, cfg.STUN.Password, cfg.STUN.Period = "00D09E-Gateway-S1", "secret", 50*time.Millisecond
	}))
	w.address(id, func(h *head) bool { return h.udpAddress() != "" })
	w.want(id, ssid, c.Value(ssid))
	if tried := methodsTried(t, w, id); tried != "http failed, udp" {
		t.Error(tried)
	}
	w.must(c.WaitIdle(w.in(deadline)))
	w.want(id, ssid, c.Value(ssid))
	if tried := methodsTried(t, w, id); tried != "udp" {
		t.Error(tried)
	}
	w.count(w.p.m.attempts.WithLabelValues("udp", "session"), 2)
	trace, _ := w.p.Trace(id)
	if calls := trace[0].CWMP; len(calls) == 0 || calls[0].RPC != "UDP Connection Request" || calls[0].Result != "ok" {
		t.Errorf("trace: %+v", calls)
	}
	w.stop()
	w.start()
	if got := w.head(id).udpAddress(); got != c.Value("Device.ManagementServer.UDPConnectionRequestAddress") {
		t.Errorf("after a restart the binding is %q", got)
	}
}

// A CPE that does not put its UDPConnectionRequestAddress into Informs is asked for it: after a boot, and when it could not be reached.
func TestN9_AddressIsRead(t *testing.T) {
	w, u := udpWorld(t)
	c, id := w.boot(stunCPE(u, func(cfg *cpe.Config) { cfg.Faults.ConnReq = cpe.ConnReqDrop }))
	const address = "Device.ManagementServer.UDPConnectionRequestAddress"
	for c.Value(address) == "" && w.ctx.Err() == nil {
		time.Sleep(time.Millisecond) // the binding may be older or younger than the first session
	}
	c.Inform(cwmp.EventBoot)
	w.must(c.WaitIdle(w.in(deadline)))
	if got := w.head(id).UDP; got != c.Value(address) {
		t.Errorf("after a boot: %q", got)
	}
	w.must(c.SetValue(address, "127.0.0.1:9"))
	w.must(c.SetValue("Device.ManagementServer.ConnectionRequestPassword", "another"))
	if _, err := w.get(id, ssid); code(err) != usp.Unreachable {
		t.Error(err)
	}
	c.Inform(cwmp.EventPeriodic)
	w.must(c.WaitIdle(w.in(deadline)))
	if got := w.head(id).UDP; got != "127.0.0.1:9" {
		t.Errorf("after it could not be reached: %q", got)
	}
}

// A CPE that moves behind its NAT and tells the STUN server so, with its password, is reached where that saw it.
func TestN9_LearntFromSTUN(t *testing.T) {
	w, u := udpWorld(t)
	_, id := w.boot(func(cfg *cpe.Config) { cfg.Faults.ConnReq = cpe.ConnReqDrop })
	conn, err := net.Dial("udp", u.Addr().String())
	w.must(err)
	t.Cleanup(func() { _ = conn.Close() })
	b := make([]byte, 2048)
	ask := func(password string) string {
		t.Helper()
		m := stun.New(stun.BindingRequest, stun.ID{1})
		m.Text(stun.ConnectionRequestBinding, stun.ConnectionRequestBindingValue)
		m.Text(stun.Username, string(id))
		if password != "" {
			m.Sign(password)
		}
		_, err := conn.Write(m.Bytes())
		w.must(err)
		w.must(conn.SetReadDeadline(time.Now().Add(deadline)))
		n, err := conn.Read(b)
		w.must(err)
		return string(b[:n])
	}
	error401 := func(s string) bool {
		m, err := stun.Parse([]byte(s))
		return err == nil && m.Error() == stun.Unauthorized
	}
	if !error401(ask("")) || error401(ask("")) {
		t.Error("a CPE is to be challenged once, and not again for a while")
	}
	ask("wrong")
	w.address(id, func(h *head) bool { return h.Bound == "" })
	ask("secret")
	w.address(id, func(h *head) bool { return h.Bound == conn.LocalAddr().String() })
	go func() { _, _ = w.get(id, ssid) }()
	n, err := conn.Read(b)
	if err != nil || !strings.HasPrefix(string(b[:n]), "GET http://"+conn.LocalAddr().String()) {
		t.Errorf("%q, %v", b[:n], err)
	}
	if _, ok := w.p.STUNPassword("nobody"); ok || w.p.Challenge("nobody", u.Addr()) {
		t.Error("nobody is known")
	}
	w.p.Bound("nobody", u.Addr())
}

// What the CPE tells outlives what the STUN server saw, if it is another thing than it told before.
func TestN9_LatestAddress(t *testing.T) {
	h := &head{}
	told := func(value string) { h.reach(paramUDPAddress, value) }
	told("192.0.2.1:1")
	h.Bound = "192.0.2.1:2"
	told("192.0.2.1:1")
	if got := h.udpAddress(); got != "192.0.2.1:2" {
		t.Errorf("an old address again: %s", got)
	}
	told(" 192.0.2.1:3")
	if got := h.udpAddress(); got != "192.0.2.1:3" {
		t.Errorf("a new address: %s", got)
	}
	h.reach(paramNAT, "TRUE")
	if told(strings.Repeat("x", maxReachValue+1)); !h.NAT || h.UDP != "192.0.2.1:3" {
		t.Errorf("%+v", h)
	}
}

// Success is a session, not the HTTP status.
func TestN4_AcceptedButNoSession(t *testing.T) {
	w, u := udpWorld(t)
	c, id := w.boot(stunCPE(u, func(cfg *cpe.Config) {
		cfg.Faults.ConnReq = cpe.ConnReqIgnore
		cfg.InformParameters = []string{"Device.ManagementServer.UDPConnectionRequestAddress"}
	}))
	for c.Value("Device.ManagementServer.UDPConnectionRequestAddress") == "" && w.ctx.Err() == nil {
		time.Sleep(time.Millisecond)
	}
	c.Inform(cwmp.EventPeriodic)
	w.must(c.WaitIdle(w.in(deadline)))
	w.want(id, ssid, c.Value(ssid))
	if tried := methodsTried(t, w, id); tried != "http, udp" {
		t.Error(tried)
	}
	w.count(w.p.m.attempts.WithLabelValues("http", "no_session"), 1)
}

// HTTP comes first, unless there is a NAT before the CPE; what brought a session last comes before all.
func TestOrderOfMethods(t *testing.T) {
	d := bareDevice(&Proxy{opts: Options{ConnectionRequest: ConnectionRequest{UDP: &requester{}, XMPP: &requester{}}}}, &awake{contact: new(contact)})
	all := connreq.Target{URL: "http://192.0.2.1/", UDPAddress: "192.0.2.1:1", JID: "cpe@example.com/r"}
	for _, tc := range []struct {
		target connreq.Target
		nat    bool
		worked string
		want   string
	}{
		{all, false, "", "http udp xmpp"},
		{all, true, "", "udp xmpp http"},
		{all, false, "xmpp", "xmpp http udp"},
		{all, true, "http", "http udp xmpp"},
		{connreq.Target{JID: all.JID}, true, "http", "xmpp"},
		{connreq.Target{}, false, "", ""},
	} {
		d.head.NAT, d.contact.worked = tc.nat, tc.worked
		var names []string
		for _, m := range d.methods(&round{d: d, target: tc.target}) {
			names = append(names, m.name)
		}
		if got := strings.Join(names, " "); got != tc.want {
			t.Errorf("%+v: %s", tc, got)
		}
	}
}

// A JID may be another after each boot.
func TestN10_JIDOfTheLastBoot(t *testing.T) {
	x := &requester{do: func(context.Context) error { return connreq.ErrUnreachable }}
	w := newWorld(t, func(o *Options) { o.MaxAge, o.ConnectionRequest.XMPP = 0, x })
	c, id := w.boot(func(cfg *cpe.Config) {
		cfg.Faults.ConnReq = cpe.ConnReqDrop
		cfg.Tree = cpe.Device2().With("Device.ManagementServer.ConnReqJabberID", "string", "cpe@example.com/1")
	})
	x.set(comes(c))
	w.want(id, ssid, c.Value(ssid))
	w.must(c.SetValue("Device.ManagementServer.ConnReqJabberID", "cpe@example.com/2"))
	c.Inform(cwmp.EventBoot)
	w.must(c.WaitIdle(w.in(deadline)))
	w.want(id, ssid, c.Value(ssid))
	if calls := x.calls(); len(calls) != 2 || calls[0].JID != "cpe@example.com/1" || calls[1].JID != "cpe@example.com/2" {
		t.Errorf("%+v", calls)
	}
}

// A CPE that only names its connection is asked for that one's JabberID.
func TestN10_JIDOfTheConnection(t *testing.T) {
	x := &requester{do: func(context.Context) error { return connreq.ErrUnreachable }}
	w := newWorld(t, func(o *Options) { o.ConnectionRequest.XMPP = x })
	_, id := w.boot(func(cfg *cpe.Config) {
		cfg.Tree = cpe.Device2().With("Device.ManagementServer.ConnReqXMPPConnection", "string", "Device.DeviceInfo").
			With("Device.DeviceInfo.JabberID", "string", "cpe@example.com/c")
	})
	if jid := w.head(id).JID; jid != "cpe@example.com/c" {
		t.Errorf("%q", jid)
	}
}

// Who fails to reach a CPE waits before the next round, longer each time, and no longer than a Controller waits. An Inform ends it.
func TestN5_BackOff(t *testing.T) {
	var dials atomic.Int32
	w := newWorld(t, func(o *Options) {
		o.MaxAge = 0
		o.ConnectionRequest.Client = &connreq.Client{DialContext: func(context.Context, string, string) (net.Conn, error) {
			dials.Add(1)
			return nil, fmt.Errorf("no route")
		}}
	})
	c, id := w.boot(nil)
	d := w.device(id)
	start := time.Now()
	for range 2 {
		if _, err := w.get(id, ssid); code(err) != usp.Unreachable {
			t.Error(err)
		}
	}
	if waited := time.Since(start); waited < firstBackOff || dials.Load() != 2 {
		t.Errorf("%d requests in %v", dials.Load(), waited)
	}
	d.mu.Lock()
	for range 20 {
		d.conclude(false)
	}
	end := d.contact.askAfter
	longest := time.Until(end)
	d.mu.Unlock()
	if longest > maxBackOff || longest < maxBackOff-time.Second {
		t.Errorf("%v at last", longest)
	}
	if err := w.getWhile(id, func() { c.Inform(cwmp.EventPeriodic) }); err != nil || time.Until(end) < 0 {
		t.Errorf("an Inform did not end the back-off: %v", err)
	}
	if dials.Load() != 2 {
		t.Errorf("%d requests", dials.Load())
	}
}

// However many ask at a time, the CPE gets one Connection Request.
func TestN5_Merged(t *testing.T) {
	var dials atomic.Int32
	w := newWorld(t, func(o *Options) {
		o.MaxAge = 0
		o.ConnectionRequest.Client = &connreq.Client{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			dials.Add(1)
			return new(net.Dialer).DialContext(ctx, network, address)
		}}
	})
	c, id := w.boot(nil)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() { w.want(id, ssid, c.Value(ssid)) })
	}
	wg.Wait()
	if n := dials.Load(); n != 1 {
		t.Errorf("%d Connection Requests", n)
	}
}

// A CPE that is in a session is not asked for another one.
func TestN6_NotWhileInSession(t *testing.T) {
	var dials atomic.Int32
	w := newWorld(t, func(o *Options) {
		o.MaxAge, o.Linger = 0, deadline
		o.ConnectionRequest.Client = &connreq.Client{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			dials.Add(1)
			return new(net.Dialer).DialContext(ctx, network, address)
		}}
	})
	c, id := w.run(func(cfg *cpe.Config) { cfg.BootEvents = []string{cwmp.EventBoot} })
	w.discovered(id)
	for range 3 {
		w.want(id, ssid, c.Value(ssid))
	}
	if n := dials.Load(); n > 1 {
		t.Errorf("%d Connection Requests for one session", n)
	}
}

// Where nothing gets through, the CPE's periodic Inform is what is left, and a Controller is told when to expect it.
func TestN12_NextContactIsTold(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.MaxAge = 0 })
	c, id := w.boot(func(cfg *cpe.Config) { cfg.Faults.ConnReq = cpe.ConnReqDrop })
	_, err := w.get(id, ssid)
	d, _ := w.p.Device(id)
	next := d.LastInform.Add(time.Hour).UTC().Format(time.RFC3339) // PeriodicInformInterval is 3600
	if code(err) != usp.Unreachable || !strings.Contains(err.Error(), "next one expected by "+next) {
		t.Errorf("%v, want %s", err, next)
	}
	if err := w.getWhile(id, func() { c.Inform(cwmp.EventPeriodic) }); err != nil {
		t.Errorf("the periodic Inform brought no answer: %v", err)
	}
}

// N3 and N13: what the CPE made of the Connection Request is in the Controller's error.
func TestN3_RefusalIsTold(t *testing.T) {
	for name, tc := range map[string]struct {
		err  error
		want string
	}{"N3": {connreq.ErrAuth, "did not accept the credentials"}, "N13": {connreq.ErrRefused, "503"}, "N10": {connreq.ErrUnreachable, "cannot be reached"}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(o *Options) {
				o.MaxAge = 0
				o.ConnectionRequest.XMPP = &requester{do: func(context.Context) error { return tc.err }}
			})
			_, id := w.boot(func(cfg *cpe.Config) {
				cfg.Faults.ConnReq = cpe.ConnReqDrop
				cfg.Tree = cpe.Device2().With("Device.ManagementServer.ConnReqJabberID", "string", "cpe@example.com/1")
			})
			_, err := w.get(id, ssid)
			if code(err) != usp.Unreachable || !strings.Contains(err.Error(), "XMPP Connection Request at ") || !strings.Contains(err.Error(), tc.want) {
				t.Error(err)
			}
		})
	}
}
