package cpe

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"isthmus/cwmp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testACS is a scripted ACS for one CPE at a time.
type testACS struct {
	t   testing.TB
	URL string

	mu        sync.Mutex
	queue     []cwmp.RPC // to ask in the next sessions, in order
	answers   []cwmp.RPC // what the CPE said to that; nil for an empty POST
	informs   []*cwmp.Inform
	at        []time.Time // of the Informs
	requests  []cwmp.RPC  // of the CPE, other than Informs
	refuse    int         // POSTs to answer with 503
	retry     int         // Informs to answer with 8005
	hold      bool
	asked     bool
	challenge func(r *http.Request) string // what a 401 asks for; "": let in
	cookies   int                          // POSTs that returned ours
	protocols []string
	raw       []string
}

func newACS(t testing.TB) *testACS {
	a := &testACS{t: t}
	s := httptest.NewServer(a)
	t.Cleanup(s.Close)
	a.URL = s.URL
	return a
}

func (a *testACS) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.protocols = append(a.protocols, r.Proto)
	if a.refuse > 0 {
		a.refuse--
		if len(body) > 0 {
			a.note(body, r)
		}
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	if a.challenge != nil {
		if c := a.challenge(r); c != "" {
			w.Header().Set("Www-Authenticate", c)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
	}
	if c, err := r.Cookie("session"); err == nil && c.Value == "x" {
		a.cookies++
	}
	e := &cwmp.Envelope{Namespace: cwmp.NamespaceV1_2, HoldRequests: a.hold}
	if len(body) > 0 {
		e = a.note(body, r)
	}
	switch e.Body.(type) {
	case *cwmp.Inform:
		http.SetCookie(w, &http.Cookie{Name: "session", Value: "x", Path: "/"})
		a.asked = false
		if a.retry > 0 {
			a.retry--
			a.send(w, e.ID, cwmp.NewFault(cwmp.FaultACSRetryRequest))
			return
		}
		a.send(w, e.ID, &cwmp.InformResponse{MaxEnvelopes: 1})
		return
	case *cwmp.TransferComplete:
		a.send(w, e.ID, &cwmp.TransferCompleteResponse{})
		return
	case *cwmp.DUStateChangeComplete:
		a.send(w, e.ID, &cwmp.DUStateChangeCompleteResponse{})
		return
	case *cwmp.RequestDownload:
		a.send(w, e.ID, cwmp.NewFault(cwmp.FaultACSMethodNotSupported))
		return
	}
	if a.asked {
		a.answers = append(a.answers, e.Body)
		a.asked = false
	}
	if len(a.queue) == 0 {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	next := a.queue[0]
	a.queue = a.queue[1:]
	a.asked = true
	a.send(w, "acs-1", next)
}

func (a *testACS) note(body []byte, r *http.Request) *cwmp.Envelope {
	a.raw = append(a.raw, string(body))
	e, err := cwmp.Decode(body, r.Header.Get("Content-Type"))
	if err != nil {
		a.t.Errorf("CPE sent %q: %v", body, err)
		return &cwmp.Envelope{}
	}
	switch m := e.Body.(type) {
	case *cwmp.Inform:
		a.informs = append(a.informs, m)
		a.at = append(a.at, time.Now())
	case *cwmp.TransferComplete, *cwmp.DUStateChangeComplete, *cwmp.RequestDownload:
		a.requests = append(a.requests, m)
	}
	return e
}

func (a *testACS) send(w http.ResponseWriter, id string, rpc cwmp.RPC) {
	body, err := cwmp.Encode(&cwmp.Envelope{ID: id, Namespace: cwmp.NamespaceV1_2, Body: rpc, HoldRequests: a.hold})
	if err != nil {
		a.t.Errorf("encode %s: %v", rpc.Name(), err)
		return
	}
	w.Header().Set("Content-Type", "text/xml; charset=utf-8")
	w.Write(body)
}

// inform is the n-th Inform, from 0; negative counts from the end.
func (a *testACS) inform(n int) *cwmp.Inform {
	a.mu.Lock()
	defer a.mu.Unlock()
	if n < 0 {
		n += len(a.informs)
	}
	return a.informs[n]
}

func (a *testACS) request(n int) cwmp.RPC {
	a.mu.Lock()
	defer a.mu.Unlock()
	if n >= len(a.requests) {
		a.t.Fatalf("the CPE made %d requests, want %d", len(a.requests), n+1)
	}
	return a.requests[n]
}

// talk asks the CPE the RPCs in one session and returns its answers.
func (a *testACS) talk(c *CPE, rpcs ...cwmp.RPC) []cwmp.RPC {
	a.t.Helper()
	a.mu.Lock()
	from := len(a.answers)
	a.queue = rpcs
	a.mu.Unlock()
	n := c.Sessions()
	c.Inform(cwmp.EventPeriodic)
	if err := c.WaitSessions(timeout(a.t), n+1); err != nil {
		a.t.Fatal(err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.answers)-from != len(rpcs) {
		a.t.Fatalf("%d answers to %d requests", len(a.answers)-from, len(rpcs))
	}
	return slices.Clone(a.answers[from:])
}

// ask is talk with one RPC.
func ask[R cwmp.RPC](a *testACS, c *CPE, req cwmp.RPC) R {
	a.t.Helper()
	answer := a.talk(c, req)[0]
	r, ok := answer.(R)
	if !ok {
		a.t.Fatalf("%s: got %v, want %T", req.Name(), answer, r)
	}
	return r
}

func wantFault(a *testACS, c *CPE, req cwmp.RPC, code cwmp.FaultCode) {
	a.t.Helper()
	if f := ask[*cwmp.Fault](a, c, req); f.Code != code {
		a.t.Errorf("%s: fault %d, want %d", req.Name(), f.Code, code)
	}
}

const testTimeout = 20 * time.Second

func timeout(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	t.Cleanup(cancel)
	return ctx
}

// run starts a CPE and waits until it has booted.
func run(t testing.TB, cfg Config) *CPE {
	t.Helper()
	if cfg.RetryWait == 0 {
		cfg.RetryWait = time.Millisecond
	}
	cfg.Logger = slog.New(slog.DiscardHandler)
	c := New(cfg)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	if err := c.WaitSessions(timeout(t), 1); err != nil {
		t.Fatalf("boot: %v", err)
	}
	return c
}

func idle(t testing.TB, c *CPE) {
	t.Helper()
	if err := c.WaitIdle(timeout(t)); err != nil {
		t.Fatalf("not idle: %v", err)
	}
}

func codes(m *cwmp.Inform) string {
	var list []string
	for _, e := range m.Event {
		list = append(list, strings.TrimSpace(e.EventCode+" "+e.CommandKey))
	}
	slices.Sort(list)
	return strings.Join(list, ",")
}

func valueIn(list []cwmp.ParameterValueStruct, name string) string {
	for _, p := range list {
		if p.Name == name {
			return p.Value
		}
	}
	return "(absent)"
}

// pipes is a listener and its dialler over net.Pipe, for synctest.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), closed: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }

func (p *pipes) Dial(ctx context.Context, _, _ string) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case p.conns <- there:
		return here, nil
	case <-p.closed:
		return nil, fmt.Errorf("dial: %w", net.ErrClosed)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func itoa(n int) string { return strconv.Itoa(n) }
