package translate

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	ws "github.com/gorilla/websocket"

	"isthmus/cwmp"
	"isthmus/cwmp/cpe"
	"isthmus/usp"
	"isthmus/usp/agent"
	"isthmus/usp/mtp/websocket"
	"isthmus/usp/usppb"
)

// BenchmarkCachedGet compares a Get of one cached parameter through a real WebSocket with an echo of the same bytes through the same
// library: one request at a time, Record in to Record out.
func BenchmarkCachedGet(b *testing.B) {
	const controller usp.EndpointID = "proto::bench"
	var id usp.EndpointID
	get := func() []byte {
		rec, err := usp.EncodeRecord(controller, id, usp.RecordVersion, usp.NewRequest("1234",
			&usppb.Request{ReqType: &usppb.Request_Get{Get: &usppb.Get{ParamPaths: []string{ssid}}}}))
		if err != nil {
			b.Fatal(err)
		}
		return rec
	}
	roundTrips := func(b *testing.B, addr string, record []byte) {
		c, _, err := (&ws.Dialer{Subprotocols: []string{"v1.usp"}}).Dial(addr, nil)
		if err != nil {
			b.Fatal(err)
		}
		defer c.Close()
		c.SetReadDeadline(time.Now().Add(time.Minute))
		b.ReportAllocs()
		for b.Loop() {
			if err := c.WriteMessage(ws.BinaryMessage, record); err != nil {
				b.Fatal(err)
			}
			for { // a Connect Record comes first, and is short
				_, got, err := c.ReadMessage()
				if err != nil {
					b.Fatal(err)
				}
				if len(got) >= len(record)/2 {
					break
				}
			}
		}
	}
	w := newWorld(b, func(o *Options) {
		o.Agents.Controllers = append(o.Agents.Controllers, agent.ControllerConfig{EndpointID: controller, OnlyDialsIn: true})
	})
	_, id = w.boot(func(c *cpe.Config) { c.BootEvents = []string{cwmp.EventPeriodic} })
	b.Run("echo", func(b *testing.B) {
		up := ws.Upgrader{Subprotocols: []string{"v1.usp"}}
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c, err := up.Upgrade(w, r, nil)
			if err != nil {
				return
			}
			defer c.Close()
			for {
				kind, m, err := c.ReadMessage()
				if err != nil || c.WriteMessage(kind, m) != nil {
					return
				}
			}
		}))
		defer srv.Close()
		roundTrips(b, "ws"+strings.TrimPrefix(srv.URL, "http"), get())
	})
	b.Run("get", func(b *testing.B) {
		srv := websocket.NewServer(w.p.Lookup, websocket.ServerOptions{Logger: quiet()})
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- srv.Serve(l) }()
		defer func() {
			srv.Shutdown(context.Background())
			<-done
		}()
		roundTrips(b, "ws://"+l.Addr().String()+"/agent/"+string(id)+"?eid="+url.QueryEscape(string(controller)), get())
	})
}
