package conformance_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"isthmus/usp"
	"isthmus/usp/usppb"
)

// peer is a Controller made by hand, for what a well-behaved one does not do.
type peer struct {
	url   string
	conns chan *websocket.Conn
	wire  chan *http.Request
	tls   *tls.Config // that trusts the peer; nil for ws
	// mute has the peer agree to no subprotocol.
	mute  atomic.Bool
	fails chan string // TLS handshakes that did not come about
}

// Write takes what the HTTP server logs.
func (p *peer) Write(b []byte) (int, error) {
	select {
	case p.fails <- string(b):
	default:
	}
	return len(b), nil
}

func newPeer(t *testing.T, secure bool) *peer {
	t.Helper()
	p := &peer{conns: make(chan *websocket.Conn, 16), wire: make(chan *http.Request, 16), fails: make(chan string, 16)}
	up := websocket.Upgrader{Subprotocols: []string{"v1.usp"}, WriteBufferSize: 64} // no bbf-usp-protocol, and fragments of 64 bytes
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p.mute.Load() {
			r.Header.Del("Sec-WebSocket-Protocol")
		}
		ws, err := up.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		_ = ws.SetReadDeadline(time.Now().Add(patience))
		p.wire <- r
		p.conns <- ws
	}))
	s.Config.ErrorLog = log.New(p, "", 0)
	if secure {
		s.StartTLS()
		p.tls = &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
		p.tls.RootCAs.AddCert(s.Certificate())
	} else {
		s.Start()
	}
	p.url = "ws" + strings.TrimPrefix(s.URL, "http") + "/usp"
	t.Cleanup(s.Close)
	return p
}

// hand is a world whose Controller is a peer, and the first connection to it.
func hand(t *testing.T) (*eut, *peer, *wire) {
	t.Helper()
	p := newPeer(t, false)
	e := fresh(t, options{url: p.url})
	return e, p, p.accept(e)
}

// wire is a connection to the Agent.
type wire struct {
	*eut
	ws *websocket.Conn
}

// accept waits for the next connection.
func (p *peer) accept(e *eut) *wire {
	e.Helper()
	select {
	case ws := <-p.conns:
		e.Cleanup(func() { _ = ws.Close() })
		return &wire{e, ws}
	case <-time.After(patience):
		e.Fatal("the Agent does not connect")
		return nil
	}
}

// next reads a Record.
func (w *wire) next() *usppb.Record {
	w.Helper()
	kind, b, err := w.ws.ReadMessage()
	if err != nil || kind != websocket.BinaryMessage {
		w.Fatalf("message of type %d: %v", kind, err)
	}
	r, err := usp.DecodeRecord(b)
	w.must(err)
	return r
}

func (w *wire) record(from, to usp.EndpointID, id, path string) []byte {
	w.Helper()
	b, err := usp.EncodeRecord(from, to, "", usp.NewRequest(id,
		&usppb.Request{ReqType: &usppb.Request_Get{Get: &usppb.Get{ParamPaths: []string{path}}}}))
	w.must(err)
	return b
}

// send writes a message; longer ones go in fragments.
func (w *wire) send(b []byte) {
	w.Helper()
	m, err := w.ws.NextWriter(websocket.BinaryMessage)
	w.must(err)
	_, err = m.Write(b)
	w.must(errors.Join(err, m.Close()))
}

// answer waits for the answer to a request and fails where there is one to another that should have none.
func (w *wire) answer(id string) *usppb.Msg {
	w.Helper()
	for {
		r := w.next()
		if r.GetNoSessionContext() == nil {
			continue
		}
		m, err := usp.DecodeMsg(r.GetNoSessionContext().GetPayload())
		w.must(err)
		if m.GetBody().GetRequest() != nil {
			continue // a Notify
		}
		if m.GetHeader().GetMsgId() != id {
			w.Fatalf("an answer to %s, want one to %s", m.GetHeader().GetMsgId(), id)
		}
		return m
	}
}

// alive says that the Agent answers a Get of what the CPE has.
func (w *wire) alive() {
	w.Helper()
	id := unique("alive")
	w.send(w.record(controllerID, w.w.id, id, "Device.DeviceInfo."))
	res := w.answer(id).GetBody().GetResponse().GetGetResp().GetReqPathResults()
	if len(res) != 1 || res[0].GetErrCode() != 0 || res[0].GetResolvedPathResults()[0].GetResultParams()["SerialNumber"] != "S1" {
		w.Errorf("Get of Device.DeviceInfo.: %v", res)
	}
}

// closed waits for the end of the connection and gives the status of the Close frame, 0 for none.
func (w *wire) closed() int {
	w.Helper()
	for {
		if _, _, err := w.ws.ReadMessage(); err != nil {
			var c *websocket.CloseError
			if errors.As(err, &c) {
				return c.Code
			}
			w.Logf("ended with %v", err)
			return 0
		}
	}
}
