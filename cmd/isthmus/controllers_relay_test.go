//go:build unix

package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/gorilla/websocket"
	"google.golang.org/protobuf/proto"

	"isthmus/usp"
	"isthmus/usp/usppb"
)

const uspProtocol = "v1.usp"

// crossing is a Record that passed a relay.
type crossing struct {
	fromAgent bool
	record    *usppb.Record
	msg       *usppb.Msg // nil if the Record has none
}

func (c crossing) String() string {
	what := strings.TrimPrefix(fmt.Sprintf("%T", c.record.GetRecordType()), "*usppb.Record_")
	if c.msg != nil {
		what = c.msg.GetHeader().GetMsgType().String() + " " + c.msg.GetHeader().GetMsgId()
	}
	if c.fromAgent {
		return "Agent -> Controller  " + what
	}
	return "Agent <- Controller  " + what
}

// relay stands between an Agent and a Controller that nobody here wrote. What crosses is seen.
type relay struct {
	target string // URL of the Controller

	mu    sync.Mutex
	seen  []crossing
	taken int           // of seen, by next
	grown chan struct{} // closed and made anew with every crossing
}

// startRelay gives the URL that an Agent dials.
func startRelay(t *testing.T, target string) (*relay, string) {
	t.Helper()
	r := &relay{target: target, grown: make(chan struct{})}
	s := httptest.NewServer(r)
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
		if t.Failed() {
			r.mu.Lock()
			defer r.mu.Unlock()
			for _, c := range r.seen {
				t.Log(c)
			}
		}
	})
	return r, "ws" + strings.TrimPrefix(s.URL, "http")
}

func (r *relay) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	d := websocket.Dialer{Subprotocols: []string{uspProtocol}}
	far, resp, err := d.DialContext(req.Context(), r.target+"?"+req.URL.RawQuery, nil)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	resp.Body.Close()
	defer func() { _ = far.Close() }()
	up := websocket.Upgrader{Subprotocols: []string{uspProtocol}}
	near, err := up.Upgrade(w, req, nil)
	if err != nil {
		return // Upgrade has answered
	}
	defer func() { _ = near.Close() }()
	var wg sync.WaitGroup
	wg.Go(func() {
		defer func() { _ = far.Close() }()
		r.pass(near, far, true)
	})
	r.pass(far, near, false)
	_ = near.Close()
	wg.Wait()
}

func (r *relay) pass(from, to *websocket.Conn, fromAgent bool) {
	for {
		kind, data, err := from.ReadMessage()
		if err != nil {
			return
		}
		record := &usppb.Record{}
		if proto.Unmarshal(data, record) == nil {
			r.note(fromAgent, record)
		}
		if to.WriteMessage(kind, data) != nil {
			return
		}
	}
}

func (r *relay) note(fromAgent bool, record *usppb.Record) {
	c := crossing{fromAgent: fromAgent, record: record}
	if n := record.GetNoSessionContext(); n != nil {
		c.msg, _ = usp.DecodeMsg(n.GetPayload())
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen = append(r.seen, c)
	close(r.grown)
	r.grown = make(chan struct{})
}

// next waits for a message of a type that was not taken before, passing over others.
func (r *relay) next(ctx context.Context, t *testing.T, fromAgent bool, kind usppb.Header_MsgType) *usppb.Msg {
	t.Helper()
	for {
		r.mu.Lock()
		grown := r.grown
		for r.taken < len(r.seen) {
			c := r.seen[r.taken]
			r.taken++
			if c.fromAgent == fromAgent && c.msg.GetHeader() != nil && c.msg.GetHeader().GetMsgType() == kind {
				r.mu.Unlock()
				return c.msg
			}
		}
		r.mu.Unlock()
		select {
		case <-grown:
		case <-ctx.Done():
			t.Fatalf("no %s (of the Agent: %v): %v", kind, fromAgent, ctx.Err())
		}
	}
}
