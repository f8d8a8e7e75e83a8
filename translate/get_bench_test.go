package translate

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	ws "github.com/gorilla/websocket"

	"isthmus/cwmp/cpe"
	"isthmus/usp"
	"isthmus/usp/mtp/websocket"
	"isthmus/usp/usppb"
)

// benchAgent is the Agent of the CPE that cpe.New makes of nothing.
const benchAgent usp.EndpointID = "ops::00D09E-Gateway-1"

// BenchmarkCachedGet compares a Get of one cached parameter through a real WebSocket with an echo of the same bytes through the same
// library: one request at a time, Record in to Record out, the Controller in another process than the server.
func BenchmarkCachedGet(b *testing.B) {
	record, err := usp.EncodeRecord(testController, benchAgent, usp.RecordVersion, usp.NewRequest("1234",
		&usppb.Request{ReqType: &usppb.Request_Get{Get: &usppb.Get{ParamPaths: []string{ssid}}}}))
	if err != nil {
		b.Fatal(err)
	}
	for _, mode := range []string{"echo", "get"} {
		b.Run(mode, func(b *testing.B) {
			s := startServer(b, mode)
			u, _, _ := strings.Cut(s.url, " ")
			c, _, err := (&ws.Dialer{Subprotocols: []string{"v1.usp"}}).Dial(u, nil)
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() {
				if err := c.Close(); err != nil {
					b.Error(err)
				}
			})
			if err := c.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if err := c.WriteMessage(ws.BinaryMessage, record); err != nil {
					b.Fatal(err)
				}
				for answered := false; !answered; { // a Connect Record comes before the first answer, and is short
					_, got, err := c.ReadMessage()
					if err != nil {
						b.Fatal(err)
					}
					answered = len(got) >= len(record)/2
				}
			}
		})
	}
}

// serveEcho answers every message with itself.
func serveEcho(l net.Listener) (addr string) {
	up := ws.Upgrader{Subprotocols: []string{"v1.usp"}}
	srv := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := up.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		for {
			kind, m, err := c.ReadMessage()
			if err != nil || c.WriteMessage(kind, m) != nil {
				return
			}
		}
	})}
	go func() { _ = srv.Serve(l) }()
	return "ws://" + l.Addr().String() + "/"
}

// serveGet has a CPE boot at the proxy and serves its Agent once its data model is known.
func serveGet(ctx context.Context, p *Proxy, acs string) (addr string, err error) {
	c := cpe.New(cpe.Config{ACS: acs, Logger: quiet()})
	go func() { _ = c.Run(ctx) }()
	if err := c.WaitSessions(ctx, 1); err != nil {
		return "", err
	}
	p.mu.RLock()
	d := p.devices[benchAgent]
	p.mu.RUnlock()
	if d == nil {
		return "", fmt.Errorf("no Agent %s", benchAgent)
	}
	if _, err := d.Supported(ctx); err != nil {
		return "", err
	}
	if err := c.WaitIdle(ctx); err != nil {
		return "", err
	}
	return serveAgents(p)
}

// serveAgents gives the URL of benchAgent.
func serveAgents(p *Proxy) (addr string, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	srv := websocket.NewServer(p.Lookup, websocket.ServerOptions{Logger: quiet()})
	go func() { _ = srv.Serve(l) }()
	return "ws://" + l.Addr().String() + "/agent/" + string(benchAgent) + "?eid=" + url.QueryEscape(string(testController)), nil
}
