package cwmp

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// acs is a Handler whose methods are functions; what happened is in log.
type acs struct {
	begin   func(*Session) error
	run     func(context.Context, *Session)
	request func(RPC) (RPC, error)
	idle    func() bool

	ended chan error
	mu    sync.Mutex
	log   []string
}

func (h *acs) note(s string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.log = append(h.log, s)
}

func (h *acs) notes() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.log)
}

func (h *acs) Begin(_ context.Context, s *Session) error {
	h.note("begin")
	if h.begin != nil {
		return h.begin(s)
	}
	return nil
}

func (h *acs) Request(_ context.Context, _ *Session, req RPC) (RPC, error) {
	h.note(req.Name())
	if h.request != nil {
		return h.request(req)
	}
	return &TransferCompleteResponse{}, nil
}

func (h *acs) Run(ctx context.Context, s *Session) {
	h.note("run")
	if h.run != nil {
		h.run(ctx, s)
	}
}

func (h *acs) Idle(*Session) bool { return h.idle != nil && h.idle() }

func (h *acs) End(_ *Session, err error) {
	h.note("end")
	h.ended <- err
}

func (h *acs) end(t *testing.T) error {
	t.Helper()
	select {
	case err := <-h.ended:
		return err
	case <-time.After(10 * time.Second):
		t.Fatal("the session did not end")
		return nil
	}
}

var quiet = slog.New(slog.DiscardHandler)

// start serves h on a socket until the test's end.
func start(t *testing.T, h *acs, opts *ServerOptions) (*Server, string) {
	t.Helper()
	if opts == nil {
		opts = &ServerOptions{}
	}
	opts.Logger = quiet
	h.ended = make(chan error, 16)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	sv := NewServer(h, opts)
	served := make(chan error, 1)
	go func() { served <- sv.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := sv.Shutdown(ctx); err != nil {
			t.Error("Shutdown:", err)
		}
		if err := <-served; err != nil {
			t.Error("Serve:", err)
		}
	})
	return sv, l.Addr().String()
}

// cpe is a hand-rolled client: one socket, HTTP by hand.
type cpe struct {
	t      *testing.T
	addr   string
	conn   net.Conn
	br     *bufio.Reader
	cookie string // sent if not empty
	header string // further header lines
	reused bool   // keep the socket
}

func dial(t *testing.T, addr string) *cpe {
	c := &cpe{t: t, addr: addr, reused: true}
	t.Cleanup(c.hangUp)
	return c
}

func (c *cpe) hangUp() {
	if c.conn != nil {
		_ = c.conn.Close()
		c.conn = nil
	}
}

func (c *cpe) adopt(conn net.Conn) {
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	c.conn, c.br = conn, bufio.NewReader(conn)
}

func (c *cpe) send(body []byte) {
	c.t.Helper()
	if c.conn == nil {
		conn, err := net.Dial("tcp", c.addr)
		if err != nil {
			c.t.Fatal(err)
		}
		c.adopt(conn)
	}
	head := "POST /acs HTTP/1.1\r\nHost: x\r\n" + c.header
	if c.cookie != "" {
		head += "Cookie: " + c.cookie + "\r\n"
	}
	_, err := fmt.Fprintf(c.conn, "%sContent-Length: %d\r\n\r\n%s", head, len(body), body)
	if err != nil {
		c.t.Fatal(err)
	}
}

type reply struct {
	status int
	env    *Envelope
	body   []byte
	header http.Header
}

func (c *cpe) receive() reply {
	c.t.Helper()
	resp, err := http.ReadResponse(c.br, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	if resp.StatusCode != http.StatusNoContent && resp.Header.Get("Content-Length") == "" {
		c.t.Error("an answer without Content-Length")
	}
	r := reply{status: resp.StatusCode, body: b, header: resp.Header}
	if len(b) > 0 {
		if r.env, err = Decode(b, ""); err != nil {
			c.t.Fatalf("%v in %s", err, b)
		}
	}
	if resp.Close || !c.reused {
		c.hangUp()
	}
	return r
}

func (c *cpe) post(id string, body RPC) reply {
	c.t.Helper()
	c.send(message(c.t, id, body))
	return c.receive()
}

func (c *cpe) empty() reply {
	c.t.Helper()
	c.send(nil)
	return c.receive()
}

// inform opens a session and keeps the cookie as it was set, attributes and all.
func (c *cpe) inform(id string) reply {
	c.t.Helper()
	r := c.post(id, testInform())
	if r.status != http.StatusOK {
		c.t.Fatalf("Inform: status %d", r.status)
	}
	c.cookie = r.header.Get("Set-Cookie")
	if len(c.cookie) > 32+len("s=; Path=/") {
		c.t.Errorf("long cookie %q", c.cookie)
	}
	return r
}

func message(t testing.TB, id string, body RPC) []byte {
	t.Helper()
	b, err := Encode(&Envelope{ID: id, Namespace: NamespaceV1_0, Body: body})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func testInform() *Inform {
	m := &Inform{
		DeviceId:     DeviceID{"Maker", "00AA11", "Box", "S1"},
		Event:        []EventStruct{{EventCode: EventPeriodic}},
		MaxEnvelopes: 1,
		CurrentTime:  time.Date(2026, 11, 22, 20, 0, 0, 0, time.UTC),
	}
	for i := range 25 {
		m.ParameterList = append(m.ParameterList, ParameterValueStruct{
			Name: fmt.Sprintf("Device.DeviceInfo.X_SOME_Parameter.%d.Value", i), Value: fmt.Sprintf("value of %d", i), Type: "string",
		})
	}
	return m
}

func (r reply) want(t *testing.T, name string) {
	t.Helper()
	if r.env == nil || r.env.Body == nil || r.env.Body.Name() != name {
		t.Fatalf("want %s, got %d %s", name, r.status, r.body)
	}
}

func (r reply) wantStatus(t *testing.T, status int) {
	t.Helper()
	if r.status != status {
		t.Fatalf("want status %d, got %d %s", status, r.status, r.body)
	}
}

// readOne makes Run one GetParameterValues whose outcome is put in got.
func readOne(got chan<- error) func(context.Context, *Session) {
	return func(ctx context.Context, s *Session) {
		_, err := Call(ctx, s, &GetParameterValues{ParameterNames: []string{"Device."}})
		got <- err
	}
}

func TestSessionInformOnly(t *testing.T) {
	h := &acs{}
	_, addr := start(t, h, nil)
	c := dial(t, addr)
	r := c.inform("42")
	r.want(t, "InformResponse")
	if r.env.ID != "42" || r.env.Namespace != NamespaceV1_0 || r.env.UseCWMPVersion != "" {
		t.Errorf("InformResponse %+v", r.env)
	}
	c.empty().wantStatus(t, 204)
	if err := h.end(t); err != nil {
		t.Error(err)
	}
	if got := h.notes(); !slices.Equal(got, []string{"begin", "run", "end"}) {
		t.Error(got)
	}
}

// A session in which the Handler has nothing to do ends with the first empty POST, and its 204 does not wait for End; one whose CPE
// asks something first is like any other.
func TestSessionIdle(t *testing.T) {
	h := &acs{idle: func() bool { return true }}
	_, addr := start(t, h, nil)
	h.ended = make(chan error)
	c := dial(t, addr)
	c.inform("1")
	c.empty().wantStatus(t, 204)
	c.reused = false
	late := dial(t, addr)
	late.cookie = c.cookie
	late.empty().wantStatus(t, 204) // the same POST once more, while End is at work
	if err := h.end(t); err != nil {
		t.Error(err)
	}
	c.inform("2")
	c.post("3", &TransferComplete{}).want(t, "TransferCompleteResponse")
	c.empty().wantStatus(t, 204)
	if err := h.end(t); err != nil {
		t.Error(err)
	}
	if got := h.notes(); !slices.Equal(got, []string{"begin", "end", "begin", "TransferComplete", "run", "end"}) {
		t.Error(got)
	}
}

func TestSessionWaysToBelong(t *testing.T) {
	for name, prepare := range map[string]func(*cpe){
		"cookie on one socket":     func(*cpe) {},
		"no cookie":                func(c *cpe) { c.cookie = "" },
		"cookie, new socket":       func(c *cpe) { c.reused = false; c.hangUp() },
		"quoted":                   func(c *cpe) { c.reused = false; c.hangUp(); c.cookie = `s="` + c.cookie[2:28] + `"` },
		"among others, by comma":   func(c *cpe) { c.reused = false; c.hangUp(); c.cookie = "a=b, " + c.cookie[:28] + ",x" },
		"a stale one, same socket": func(c *cpe) { c.cookie = "s=STALE" },
	} {
		t.Run(name, func(t *testing.T) {
			got := make(chan error, 1)
			h := &acs{run: readOne(got)}
			_, addr := start(t, h, nil)
			c := dial(t, addr)
			c.inform("1")
			prepare(c)
			r := c.empty()
			r.want(t, "GetParameterValues")
			c.post(r.env.ID, &GetParameterValuesResponse{}).wantStatus(t, 204)
			if err := errors.Join(<-got, h.end(t)); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestSessionSupersededByNewInform(t *testing.T) {
	got := make(chan error, 2)
	h := &acs{run: readOne(got)}
	_, addr := start(t, h, nil)
	old := dial(t, addr)
	old.inform("1")
	old.empty().want(t, "GetParameterValues")
	c := dial(t, addr)
	c.cookie = old.cookie // an old cookie does not make it the old session
	c.inform("2")
	if err := <-got; !errors.Is(err, ErrUnknownOutcome) || !errors.Is(err, ErrSuperseded) {
		t.Error(err)
	}
	if err := h.end(t); !errors.Is(err, ErrSuperseded) {
		t.Error(err)
	}
	if got := h.notes(); !slices.Equal(got, []string{"begin", "run", "end", "begin"}) {
		t.Error(got)
	}
	old.post("1", &GetParameterValuesResponse{}).wantStatus(t, 204) // the old session's answer is nobody's
	c.empty().want(t, "GetParameterValues")
}

func TestSessionHeldPostSupersedes(t *testing.T) {
	h := &acs{run: func(ctx context.Context, _ *Session) { <-ctx.Done() }}
	_, addr := start(t, h, nil)
	old := dial(t, addr)
	old.inform("1")
	old.send(nil)
	c := dial(t, addr)
	m := testInform()
	m.RetryCount = 1
	c.post("2", m).want(t, "InformResponse")
	if err := h.end(t); !errors.Is(err, ErrSuperseded) {
		t.Error(err)
	}
}

func TestSessionDuplicateInform(t *testing.T) {
	h := &acs{}
	_, addr := start(t, h, nil)
	c := dial(t, addr)
	first := c.inform("1")
	c.hangUp()
	again := c.inform("1")
	if !bytes.Equal(first.body, again.body) || first.header.Get("Set-Cookie") != again.header.Get("Set-Cookie") {
		t.Error("another answer to the same Inform")
	}
	c.empty().wantStatus(t, 204)
	if err := h.end(t); err != nil {
		t.Error(err)
	}
	if got := h.notes(); !slices.Equal(got, []string{"begin", "run", "end"}) {
		t.Error(got)
	}
}

func TestSessionEmptyPostIsMethodNotSupported(t *testing.T) {
	got := make(chan error, 1)
	_, addr := start(t, &acs{run: readOne(got)}, nil)
	c := dial(t, addr)
	c.inform("1")
	c.empty().want(t, "GetParameterValues")
	c.send([]byte(" \r\n\x00"))
	c.receive().wantStatus(t, 204)
	var f *Fault
	if err := <-got; !errors.As(err, &f) || f.Code != FaultMethodNotSupported {
		t.Error(err)
	}
}

func TestSessionFault(t *testing.T) {
	got := make(chan error, 1)
	_, addr := start(t, &acs{run: readOne(got)}, nil)
	c := dial(t, addr)
	c.inform("1")
	c.empty().want(t, "GetParameterValues")
	want := NewFault(FaultInvalidParameterName)
	c.post("another ID", want).wantStatus(t, 204)
	if err := <-got; err == nil || err.Error() != want.Error() {
		t.Error(err)
	}
}

func TestSessionWrongAnswerEndsIt(t *testing.T) {
	got := make(chan error, 1)
	h := &acs{run: readOne(got)}
	_, addr := start(t, h, nil)
	c := dial(t, addr)
	c.inform("1")
	c.empty().want(t, "GetParameterValues")
	c.post("1", &RebootResponse{}).wantStatus(t, 204)
	if err := <-got; !errors.Is(err, ErrUnexpectedAnswer) {
		t.Error(err)
	}
	if err := h.end(t); !errors.Is(err, ErrUnexpectedAnswer) {
		t.Error(err)
	}
}

func TestSessionRequestsOfTheCPE(t *testing.T) {
	got := make(chan error, 1)
	h := &acs{run: readOne(got)}
	_, addr := start(t, h, nil)
	c := dial(t, addr)
	c.inform("1")
	// Before its empty POST, where they belong.
	r := c.post("7", &GetRPCMethods{})
	r.want(t, "GetRPCMethodsResponse")
	if m := r.env.Body.(*GetRPCMethodsResponse).MethodList; r.env.ID != "7" || !slices.Contains(m, "TransferComplete") {
		t.Error(r.env.ID, m)
	}
	c.post("8", &TransferComplete{}).want(t, "TransferCompleteResponse")
	r = c.post("9", &Unknown{Method: "X_Strange"})
	r.want(t, "Fault")
	if f := r.env.Body.(*Fault); f.Code != FaultACSMethodNotSupported || r.env.ID != "9" {
		t.Error(f, r.env.ID)
	}
	// In place of an answer, which follows.
	call := c.empty()
	call.want(t, "GetParameterValues")
	c.post("10", &TransferComplete{}).want(t, "TransferCompleteResponse")
	// ... or is forgotten: the request is sent again.
	again := c.empty()
	if !bytes.Equal(call.body, again.body) {
		t.Errorf("%s is not %s", again.body, call.body)
	}
	c.post(again.env.ID, &GetParameterValuesResponse{}).wantStatus(t, 204)
	if err := errors.Join(<-got, h.end(t)); err != nil {
		t.Error(err)
	}
	// After the 204.
	c.post("11", &TransferComplete{}).want(t, "TransferCompleteResponse")
	want := []string{"begin", "TransferComplete", "run", "TransferComplete", "end", "TransferComplete"}
	if got := h.notes(); !slices.Equal(got, want) {
		t.Error(got)
	}
	c.empty().wantStatus(t, 204)
}

func TestServerBadInput(t *testing.T) {
	inform := message(t, "1", testInform())
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, _ = z.Write(inform)
	_ = z.Close()
	nameless := testInform()
	nameless.DeviceId.SerialNumber = " "
	for name, tc := range map[string]struct {
		header string
		body   []byte
		status int
		fault  FaultCode
	}{
		"garbage":           {body: []byte("hello"), status: 400},
		"truncated":         {body: inform[:len(inform)/2], status: 400},
		"DOCTYPE":           {body: append([]byte("<!DOCTYPE a [<!ENTITY b 'c'>]>"), inform...), status: 400},
		"no envelope":       {body: []byte("<a></a>"), status: 400},
		"first too big":     {body: bytes.Repeat([]byte("a"), 5000), status: 413},
		"no session":        {body: message(t, "1", &TransferComplete{}), status: 400},
		"empty, no session": {status: 204},
		"no serial":         {body: message(t, "1", nameless), status: 200, fault: FaultACSInvalidArguments},
		"gzip":              {header: "Content-Encoding: gzip\r\n", body: zipped.Bytes(), status: 200},
		"not gzip":          {header: "Content-Encoding: gzip\r\n", body: inform, status: 400},
		"unknown encoding":  {header: "Content-Encoding: br\r\n", body: inform, status: 415},
	} {
		t.Run(name, func(t *testing.T) {
			_, addr := start(t, &acs{}, &ServerOptions{MaxFirstBody: 4900})
			c := dial(t, addr)
			c.header = tc.header
			c.send(tc.body)
			r := c.receive()
			r.wantStatus(t, tc.status)
			if tc.fault != 0 {
				r.want(t, "Fault")
				if f := r.env.Body.(*Fault); f.Code != tc.fault {
					t.Error(f)
				}
			}
			c.hangUp()
			c.header = ""
			c.inform("1") // the Server is unharmed
		})
	}
}

func TestServerOtherMethods(t *testing.T) {
	_, addr := start(t, &acs{}, nil)
	resp, err := http.Get("http://" + addr + "/")
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	if resp.StatusCode != http.StatusMethodNotAllowed {
		t.Error(resp.Status)
	}
}

func TestServerBodyOverLimitInSession(t *testing.T) {
	got := make(chan error, 1)
	h := &acs{run: readOne(got)}
	_, addr := start(t, h, &ServerOptions{MaxFirstBody: 8000, MaxBody: 20000})
	c := dial(t, addr)
	c.inform("1")
	r := c.empty()
	big := &GetParameterValuesResponse{ParameterList: []ParameterValueStruct{{Name: "a", Value: strings.Repeat("x", 15000)}}}
	_ = r
	c.send(append(message(t, "1", big), bytes.Repeat([]byte(" "), 6000)...))
	c.receive().wantStatus(t, 413)
	if err := <-got; !errors.Is(err, ErrUnknownOutcome) || !errors.Is(err, ErrTooLarge) {
		t.Error(err)
	}
	if err := h.end(t); !errors.Is(err, ErrTooLarge) {
		t.Error(err)
	}
}

func TestServerLargeAnswer(t *testing.T) {
	got := make(chan error, 1)
	_, addr := start(t, &acs{run: readOne(got)}, &ServerOptions{MaxFirstBody: 8000, MaxBody: 20000})
	c := dial(t, addr)
	c.inform("1")
	r := c.empty()
	big := &GetParameterValuesResponse{ParameterList: []ParameterValueStruct{{Name: "a", Value: strings.Repeat("x", 15000)}}}
	c.post(r.env.ID, big).wantStatus(t, 204)
	if err := <-got; err != nil {
		t.Error(err)
	}
}

func TestServerPanics(t *testing.T) {
	for name, h := range map[string]*acs{
		"begin":   {begin: func(*Session) error { panic("begin") }},
		"run":     {run: func(context.Context, *Session) { panic("run") }},
		"idle":    {idle: func() bool { panic("idle") }, run: func(context.Context, *Session) { panic("run") }},
		"request": {request: func(RPC) (RPC, error) { panic("request") }},
	} {
		t.Run(name, func(t *testing.T) {
			_, addr := start(t, h, nil)
			c := dial(t, addr)
			r := c.post("1", testInform())
			if name == "request" {
				r = c.post("2", &TransferComplete{})
			} else if name == "run" || name == "idle" {
				r = c.empty()
			}
			r.want(t, "Fault")
			if f := r.env.Body.(*Fault); f.Code != FaultACSInternalError {
				t.Error(f)
			}
		})
	}
}

func TestServerBeginRefuses(t *testing.T) {
	h := &acs{begin: func(*Session) error { return &Refused{Status: 503, RetryAfter: 7, Reason: "full"} }}
	_, addr := start(t, h, nil)
	r := dial(t, addr).post("1", testInform())
	if after, err := strconv.Atoi(r.header.Get("Retry-After")); r.status != 503 || err != nil || after < 7 || after > 10 {
		t.Error(r.status, r.header)
	}
	h.begin = func(*Session) error { return NewFault(FaultACSRetryRequest) }
	r = dial(t, addr).post("1", testInform())
	r.want(t, "Fault")
	if got := h.notes(); slices.Contains(got, "end") {
		t.Error("End without Begin", got)
	}
}

func TestServerDisconnectWhileHeld(t *testing.T) {
	running := make(chan struct{})
	h := &acs{run: func(ctx context.Context, _ *Session) { close(running); <-ctx.Done() }}
	_, addr := start(t, h, nil)
	c := dial(t, addr)
	c.inform("1")
	c.send(nil)
	<-running
	c.hangUp()
	if err := h.end(t); !errors.Is(err, ErrDisconnected) {
		t.Error(err)
	}
}

func TestServerVersions(t *testing.T) {
	for _, tc := range []struct {
		namespace, supported, answered, version, use string
	}{
		{NamespaceV1_0, "", NamespaceV1_0, "1.0", ""},
		{NamespaceV1_1, "", NamespaceV1_1, "1.1", ""},
		{NamespaceV1_2, "", NamespaceV1_2, "1.2", ""},
		{NamespaceV1_2, "1.0, 1.1,1.2,1.3", NamespaceV1_2, "1.3", "1.3"},
		{NamespaceV1_2, "1.0,1.1,1.2,1.3,1.4,1.5", NamespaceV1_2, "1.4", "1.4"},
		{"urn:dslforum-org:cwmp-1-4", "", "urn:dslforum-org:cwmp-1-4", "1.2", ""}, // never published, but what else would it read?
		{"urn:vendor", "", NamespaceV1_0, "1.0", ""},
		{NamespaceV1_2, "2.0", NamespaceV1_2, "", ""},
	} {
		t.Run(tc.namespace+" "+tc.supported, func(t *testing.T) {
			var version string
			_, addr := start(t, &acs{begin: func(s *Session) error { version = s.Version; return nil }}, nil)
			var supported []string
			if tc.supported != "" {
				supported = []string{tc.supported}
			}
			b, err := Encode(&Envelope{ID: "1", SupportedCWMPVersions: supported, Namespace: NamespaceV1_0, Body: testInform()})
			if err != nil {
				t.Fatal(err)
			}
			c := dial(t, addr)
			c.send(bytes.ReplaceAll(b, []byte(NamespaceV1_0), []byte(tc.namespace)))
			r := c.receive()
			if tc.version == "" {
				r.want(t, "Fault")
				return
			}
			r.want(t, "InformResponse")
			if r.env.Namespace != tc.answered || r.env.UseCWMPVersion != tc.use || version != tc.version {
				t.Errorf("%+v, version %q", r.env, version)
			}
		})
	}
}

func TestShutdown(t *testing.T) {
	t.Run("before the empty POST", func(t *testing.T) {
		h := &acs{}
		sv, addr := start(t, h, nil)
		c := dial(t, addr)
		c.inform("1")
		shutDown(t, sv)
		if err := h.end(t); !errors.Is(err, ErrServerClosed) {
			t.Error(err)
		}
	})
	t.Run("lingering", func(t *testing.T) {
		running := make(chan struct{})
		h := &acs{run: func(ctx context.Context, _ *Session) { close(running); <-ctx.Done() }}
		sv, addr := start(t, h, nil)
		c := dial(t, addr)
		c.inform("1")
		c.send(nil)
		<-running
		shutDown(t, sv)
		c.receive().wantStatus(t, 204)
		if err := h.end(t); err != nil {
			t.Error(err)
		}
	})
	t.Run("RPC in flight", func(t *testing.T) {
		got := make(chan error, 2)
		h := &acs{run: func(ctx context.Context, s *Session) { readOne(got)(ctx, s); readOne(got)(ctx, s) }}
		sv, addr := start(t, h, nil)
		c := dial(t, addr)
		c.inform("1")
		r := c.empty()
		closed := make(chan struct{})
		go func() { defer close(closed); shutDown(t, sv) }()
		other := dial(t, addr)
		m := testInform()
		m.DeviceId.SerialNumber = "S2"
		for other.post("1", m).status != 503 {
			m.RetryCount++ // until Shutdown has begun
		}
		c.post(r.env.ID, &GetParameterValuesResponse{}).wantStatus(t, 204)
		if err := <-got; err != nil {
			t.Error(err)
		}
		if err := <-got; !errors.Is(err, ErrSessionClosed) || !errors.Is(err, ErrServerClosed) {
			t.Error(err)
		}
		<-closed
	})
	t.Run("CPE does not answer", func(t *testing.T) {
		got := make(chan error, 1)
		h := &acs{run: readOne(got)}
		sv, addr := start(t, h, &ServerOptions{ShutdownGrace: time.Millisecond})
		c := dial(t, addr)
		c.inform("1")
		c.empty().want(t, "GetParameterValues")
		shutDown(t, sv)
		if err := <-got; !errors.Is(err, ErrUnknownOutcome) || !errors.Is(err, ErrServerClosed) {
			t.Error(err)
		}
	})
}

func shutDown(t *testing.T, sv *Server) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := sv.Shutdown(ctx); err != nil {
		t.Error(err)
	}
}
