package websocket

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"go.uber.org/goleak"

	"isthmus/usp"
	"isthmus/usp/mtp"
)

const (
	agentID      usp.EndpointID = "os::0A0B0C-A%2D1"
	controllerID usp.EndpointID = "proto::controller"
	patience                    = 10 * time.Second
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// endpoint tells a test what happens to it.
type endpoint struct {
	id      usp.EndpointID
	up      chan mtp.Channel
	records chan []byte
	down    chan error
	receive func(ch mtp.Channel, record []byte) error // in place of records
}

func newEndpoint(id usp.EndpointID) *endpoint {
	return &endpoint{id: id, up: make(chan mtp.Channel, 16), records: make(chan []byte, 16), down: make(chan error, 16)}
}

func (e *endpoint) EndpointID() usp.EndpointID       { return e.id }
func (e *endpoint) Up(ch mtp.Channel)                { e.up <- ch }
func (e *endpoint) Down(_ mtp.Channel, reason error) { e.down <- reason }

func (e *endpoint) Receive(ch mtp.Channel, record []byte, _ mtp.Address) error {
	if e.receive != nil {
		return e.receive(ch, record)
	}
	e.records <- record
	return nil
}

// within gives what comes out of c, and fails the test if nothing does.
func within[T any](t testing.TB, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("no %s within %v", what, patience)
		panic("unreachable")
	}
}

// end waits for the end of a channel, which always has a reason.
func end(t testing.TB, e *endpoint) error {
	t.Helper()
	reason := within(t, e.down, "end")
	if reason == nil {
		t.Error("an end without a reason")
	}
	return reason
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// serve runs a Server for one Endpoint and gives its address.
func serve(t testing.TB, e *endpoint, o ServerOptions) (*Server, string) {
	t.Helper()
	s := NewServer(func(id usp.EndpointID) (mtp.Endpoint, bool) { return e, id == e.id || id == "" }, o)
	l := listen(t)
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		s.Shutdown(ctx)
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return s, l.Addr().String()
}

func client(t testing.TB, o ClientOptions) *Client {
	t.Helper()
	c, err := NewClient(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		c.Close(ctx)
	})
	return c
}

// peer is a hand-made peer: it upgrades whatever comes and gives the test the connection.
func peer(t *testing.T, up websocket.Upgrader) (url string, conns chan *websocket.Conn, requests chan *http.Request) {
	t.Helper()
	conns, requests = make(chan *websocket.Conn, 16), make(chan *http.Request, 16)
	s := &http.Server{ReadHeaderTimeout: patience, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests <- r
		if ws, err := up.Upgrade(w, r, nil); err == nil {
			conns <- ws
		}
	})}
	l := listen(t)
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(l) }()
	t.Cleanup(func() {
		_ = s.Close()
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
		for len(conns) > 0 {
			_ = (<-conns).Close()
		}
	})
	return fmt.Sprintf("ws://%s/usp", l.Addr()), conns, requests
}

var v1usp = websocket.Upgrader{Subprotocols: []string{subprotocol}}

// handshake dials a Server by hand as the Controller.
func handshake(t *testing.T, addr, path string, header http.Header, protocols ...string) (*websocket.Conn, *http.Response, error) {
	t.Helper()
	d := websocket.Dialer{Subprotocols: protocols, HandshakeTimeout: patience}
	ws, resp, err := d.Dial("ws://"+addr+path, header)
	if ws != nil {
		t.Cleanup(func() { _ = ws.Close() })
		_ = ws.SetReadDeadline(time.Now().Add(patience))
	}
	return ws, resp, err
}

// closedWith says that err is the peer's Close frame.
func closedWith(err error, code int) bool {
	e := (*websocket.CloseError)(nil)
	return errors.As(err, &e) && e.Code == code
}

const agentPath = "/agent/os::0A0B0C-A%252D1"

// TestTP469_7_1 has both sides of this package meet: session, Records both ways, close.
func TestTP469_7_1_Session(t *testing.T) {
	a, ctl := newEndpoint(agentID), newEndpoint(controllerID)
	_, addr := serve(t, ctl, ServerOptions{Path: "/usp"})
	c := client(t, ClientOptions{URL: "ws://" + addr + "/usp?x=1", Controller: controllerID, Extension: true})
	c.Add(a)
	c.Add(a)

	ach, cch := within(t, a.up, "channel of the agent"), within(t, ctl.up, "channel of the controller")
	if ach.Peer() != controllerID || cch.Peer() != agentID || ach.Protocol() != "WebSocket" || ach.ConnectRecord().GetWebsocketConnect() == nil {
		t.Errorf("peers are %q and %q", ach.Peer(), cch.Peer())
	}
	for _, n := range []int{1, 300, 100 << 10, ach.MaxSize()} {
		if err := ach.Send(t.Context(), make([]byte, n), ""); err != nil {
			t.Fatal(err)
		}
		if got := within(t, ctl.records, "record"); len(got) != n {
			t.Errorf("%d bytes became %d", n, len(got))
		}
	}
	if err := cch.Send(t.Context(), []byte("answer"), ""); err != nil {
		t.Fatal(err)
	}
	if got := within(t, a.records, "answer"); string(got) != "answer" {
		t.Errorf("got %q", got)
	}
	if err := ach.Send(t.Context(), make([]byte, ach.MaxSize()+1), ""); !errors.Is(err, mtp.ErrTooBig) {
		t.Error(err)
	}
	c.Remove(agentID)
	if err := end(t, a); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	if err := end(t, ctl); !closedWith(err, websocket.CloseNormalClosure) {
		t.Error(err)
	}
	if err := ach.Send(t.Context(), []byte("late"), ""); !errors.Is(err, mtp.ErrDown) {
		t.Error(err)
	}
}

func TestR_WS_10b_EndpointIDInURL(t *testing.T) {
	u, err := dialURL("ws://h:1/a/{endpoint_id}/b?x=1", agentID)
	if err != nil || u.RequestURI() != "/a/os::0A0B0C-A%252D1/b?x=1&eid=os%3A%3A0A0B0C-A%252D1" {
		t.Errorf("%v, %v", u.RequestURI(), err)
	}
	for _, bad := range []string{"", "http://h/", "ws:///x", "ws://h:port/"} {
		if _, err := NewClient(t.Context(), ClientOptions{URL: bad}); err == nil {
			t.Errorf("%q is taken for a URL", bad)
		}
	}
}

// TestR_WS_12a_NoSubprotocol: a server that does not answer v1.usp is left and tried again.
func TestR_WS_12a_NoSubprotocol(t *testing.T) {
	url, _, requests := peer(t, websocket.Upgrader{})
	a := newEndpoint(agentID)
	c := client(t, ClientOptions{URL: url, Retry: usp.Retry{Minimum: time.Millisecond}})
	c.Add(a)
	for range 3 {
		r := within(t, requests, "handshake")
		if r.Header.Get("Sec-WebSocket-Protocol") != subprotocol || r.URL.Query().Get("eid") != string(agentID) || r.Header.Get(extHeader) != "" {
			t.Errorf("handshake %v", r)
		}
	}
	select {
	case <-a.up:
		t.Error("a channel came up")
	default:
	}
}

func TestTP469_7_4_PeerCloses(t *testing.T) {
	url, conns, _ := peer(t, v1usp)
	a := newEndpoint(agentID)
	c := client(t, ClientOptions{URL: url, Retry: usp.Retry{Minimum: time.Millisecond}})
	c.Add(a)
	ws := within(t, conns, "connection")
	if err := ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(1000, ""), time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := ws.ReadMessage(); !websocket.IsCloseError(err, 1000) {
		t.Errorf("R-WS.8: close was answered with %v", err)
	}
	_ = ws.Close()
	if err := end(t, a); !closedWith(err, websocket.CloseNormalClosure) {
		t.Error(err)
	}
	_ = within(t, conns, "next connection").Close()
}

func TestTP469_7_6_BadRecord1003(t *testing.T) {
	for name, kind := range map[string]int{"text": websocket.TextMessage, "garbage": websocket.BinaryMessage} {
		t.Run(name, func(t *testing.T) {
			a := newEndpoint(agentID)
			a.receive = func(mtp.Channel, []byte) error { return errors.New("garbage") }
			_, addr := serve(t, a, ServerOptions{})
			ws, _, err := handshake(t, addr, agentPath+"?eid=proto::controller", nil, subprotocol)
			if err != nil {
				t.Fatal(err)
			}
			if err := ws.WriteMessage(kind, []byte("x")); err != nil {
				t.Fatal(err)
			}
			if _, _, err := ws.ReadMessage(); !websocket.IsCloseError(err, websocket.CloseUnsupportedData) {
				t.Error(err)
			}
			if err := end(t, a); !errors.Is(err, ErrBadRecord) {
				t.Error(err)
			}
		})
	}
}

func TestTooBig1009(t *testing.T) {
	a := newEndpoint(agentID)
	_, addr := serve(t, a, ServerOptions{MaxSize: 1000})
	ws, _, err := handshake(t, addr, agentPath, nil, subprotocol)
	if err != nil {
		t.Fatal(err)
	}
	_ = ws.WriteMessage(websocket.BinaryMessage, make([]byte, 100_000))
	if _, _, err := ws.ReadMessage(); !websocket.IsCloseError(err, websocket.CloseMessageTooBig) {
		t.Error(err)
	}
	_ = ws.Close()
	if err := end(t, a); !errors.Is(err, websocket.ErrReadLimit) {
		t.Error(err)
	}
}

// TestTP469_7_7_Ping: a Ping is answered also while the Endpoint is handling nothing, and an unsolicited Pong does no harm.
func TestTP469_7_7_Ping(t *testing.T) {
	a := newEndpoint(agentID)
	_, addr := serve(t, a, ServerOptions{})
	ws, _, err := handshake(t, addr, agentPath, nil, subprotocol)
	if err != nil {
		t.Fatal(err)
	}
	pong := make(chan string, 1)
	ws.SetPongHandler(func(data string) error {
		pong <- data
		return errors.New("seen")
	})
	deadline := time.Now().Add(patience)
	if err := errors.Join(ws.WriteControl(websocket.PongMessage, []byte("unasked"), deadline), ws.WriteControl(websocket.PingMessage, []byte("p"), deadline)); err != nil {
		t.Fatal(err)
	}
	_, _, _ = ws.ReadMessage()
	if got := within(t, pong, "pong"); got != "p" {
		t.Errorf("pong %q", got)
	}
}

// TestTP469_7_11: the extension header is optional, and answered if it is there (R-WS.11a).
func TestTP469_7_11_Extension(t *testing.T) {
	for name, c := range map[string]struct {
		path   string
		header http.Header
		peer   usp.EndpointID
		answer string
	}{
		"none":  {path: agentPath, peer: ""},
		"query": {path: agentPath + "?eid=oui%3A00D09E%3Ax%252D", peer: "oui:00D09E:x%2D"},
		"header": {
			path: agentPath, header: http.Header{extHeader: {`foo, bbf-usp-protocol; eid="proto::controller"`}}, peer: controllerID, answer: string(agentID),
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := newEndpoint(agentID)
			_, addr := serve(t, a, ServerOptions{})
			ws, resp, err := handshake(t, addr, c.path, c.header, subprotocol)
			if err != nil {
				t.Fatal(err)
			}
			if ws.Subprotocol() != subprotocol || offered(resp.Header) != c.answer {
				t.Errorf("subprotocol %q, extension %q", ws.Subprotocol(), offered(resp.Header))
			}
			ch := within(t, a.up, "channel")
			if ch.Peer() != c.peer || !ch.(mtp.Truster).Trusted() {
				t.Errorf("peer %q, trusted %v", ch.Peer(), ch.(mtp.Truster).Trusted())
			}
		})
	}
}

func TestClientRefusesAnotherPeer(t *testing.T) {
	other := newEndpoint("proto::other")
	_, addr := serve(t, other, ServerOptions{Path: "/usp"})
	a := newEndpoint(agentID)
	c := client(t, ClientOptions{URL: "ws://" + addr + "/usp", Controller: controllerID, Extension: true})
	c.Add(a)
	_ = end(t, other)
	select {
	case <-a.up:
		t.Error("a channel came up")
	default:
	}
}

func TestTP469_7_12_Fragments(t *testing.T) {
	a := newEndpoint(agentID)
	_, addr := serve(t, a, ServerOptions{})
	ws, _, err := handshake(t, addr, agentPath, nil, subprotocol)
	if err != nil {
		t.Fatal(err)
	}
	w, err := ws.NextWriter(websocket.BinaryMessage)
	if err != nil {
		t.Fatal(err)
	}
	for range 100 { // more than the writer's buffer, so that it fragments
		if _, err := w.Write(make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(ws.WriteControl(websocket.PingMessage, nil, time.Now().Add(patience)), w.Close()); err != nil {
		t.Fatal(err)
	}
	if got := within(t, a.records, "record"); len(got) != 100_000 {
		t.Errorf("%d bytes", len(got))
	}
}

func TestServerRefuses(t *testing.T) {
	a := newEndpoint(agentID)
	_, addr := serve(t, a, ServerOptions{MaxConnections: 2})
	if _, _, err := handshake(t, addr, agentPath+"?eid=proto::controller", nil, subprotocol); err != nil {
		t.Fatal(err)
	}
	within(t, a.up, "channel")
	for name, c := range map[string]struct {
		path   string
		header http.Header
		proto  string
		want   int
	}{
		"TP469 7.2, R-WS.4 second session": {agentPath + "?eid=proto::controller", nil, subprotocol, http.StatusConflict},
		"unknown agent":                    {"/agent/os::x", nil, subprotocol, http.StatusNotFound},
		"no agent":                         {"/agent/", nil, subprotocol, http.StatusNotFound},
		"elsewhere":                        {"/", nil, subprotocol, http.StatusNotFound},
		"R-WS.12 no subprotocol":           {agentPath, nil, "mqtt", http.StatusBadRequest},
		"bad eid":                          {agentPath + "?eid=x", nil, subprotocol, http.StatusBadRequest},
		"web page":                         {agentPath, http.Header{"Origin": {"http://evil.example"}}, subprotocol, http.StatusForbidden},
	} {
		_, resp, err := handshake(t, addr, c.path, c.header, c.proto)
		if err == nil || resp == nil || resp.StatusCode != c.want {
			t.Errorf("%s: %v, %v; want %d", name, resp, err, c.want)
		}
	}
	if _, _, err := handshake(t, addr, agentPath+"?eid=proto::second", http.Header{"Origin": {"http://127.0.0.1"}}, subprotocol); err != nil {
		t.Fatal(err)
	}
	if _, resp, err := handshake(t, addr, agentPath+"?eid=proto::third", nil, subprotocol); err == nil || resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("connection over the limit: %v, %v", resp, err)
	}
}

// TestSecondSessionAfterTheFirst: the place is free again once the first session has ended.
func TestSecondSessionAfterTheFirst(t *testing.T) {
	a := newEndpoint(agentID)
	_, addr := serve(t, a, ServerOptions{})
	ctl := newEndpoint(controllerID)
	// With this back-off a single refusal makes the test fail.
	c := client(t, ClientOptions{URL: "ws://" + addr + "/agent/os::0A0B0C-A%252D1", Retry: usp.Retry{Minimum: time.Hour}})
	c.Add(ctl)
	for range 20 {
		within(t, ctl.up, "session")
		within(t, a.up, "session")
		c.Reconnect(controllerID)
		_, _ = end(t, ctl), end(t, a)
	}
}

func TestShutdownGoesAway(t *testing.T) {
	a := newEndpoint(agentID)
	s, addr := serve(t, a, ServerOptions{})
	ws, _, err := handshake(t, addr, agentPath, nil, subprotocol)
	if err != nil {
		t.Fatal(err)
	}
	within(t, a.up, "channel")
	seen := make(chan error, 1)
	go func() {
		_, _, err := ws.ReadMessage()
		seen <- err
	}()
	s.Shutdown(t.Context())
	if err := within(t, seen, "close"); !websocket.IsCloseError(err, websocket.CloseGoingAway) {
		t.Error(err)
	}
}

func TestPanicEndsOneConnection(t *testing.T) {
	a := newEndpoint(agentID)
	a.receive = func(mtp.Channel, []byte) error { panic("bug") }
	_, addr := serve(t, a, ServerOptions{Logger: slog.New(slog.DiscardHandler)})
	ws, _, err := handshake(t, addr, agentPath, nil, subprotocol)
	if err != nil {
		t.Fatal(err)
	}
	if err := ws.WriteMessage(websocket.BinaryMessage, []byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, _, err := ws.ReadMessage(); !websocket.IsCloseError(err, websocket.CloseInternalServerErr) {
		t.Error(err)
	}
	if err := end(t, a); !errors.Is(err, errPanic) {
		t.Error(err)
	}
}
