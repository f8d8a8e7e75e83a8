package connreq

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"isthmus/cwmp/xmpp"
)

// nsConnReq is the namespace of Connection Requests in XMPP (TR-069 K.2.3.1).
const nsConnReq = "urn:broadband-forum-org:cwmp:xmppConnReq-1-0"

const (
	pingEvery  = time.Minute // a server that says nothing for longer than two of them is taken for gone
	maxSilence = 2*pingEvery + pingEvery/2
	firstRetry = time.Second
	maxRetry   = 5 * time.Minute
	maxAsked   = 4096 // Connection Requests that wait for an answer
)

// XMPPOptions say what an XMPP works with.
type XMPPOptions struct {
	xmpp.Options
	// Domains are those of CPE besides the account's own. A Connection Request holds the CPE's password: it goes nowhere else.
	Domains    []string
	Timeout    time.Duration // of a Connection Request; 0: 10 s
	Logger     *slog.Logger  // nil: slog.Default()
	Registerer prometheus.Registerer
}

// XMPP makes Connection Requests over XMPP (TR-069 Annex K) through one account, which Run keeps connected. It is safe for concurrent use.
type XMPP struct {
	opts      XMPPOptions
	connected prometheus.Gauge

	mu    sync.Mutex
	conn  *xmpp.Conn // nil: not connected
	down  error      // why
	asked map[string]*question
}

// question is a Connection Request that waits for its answer.
type question struct {
	to     string
	answer chan error
}

var errNotConnected = errors.New("not connected to the XMPP server yet")

// NewXMPP makes an XMPP that is not connected.
func NewXMPP(opts XMPPOptions) *XMPP {
	opts.Logger, opts.Timeout = cmp.Or(opts.Logger, slog.Default()), cmp.Or(opts.Timeout, defaultTimeout)
	return &XMPP{opts: opts, down: errNotConnected, asked: make(map[string]*question),
		connected: promauto.With(opts.Registerer).NewGauge(prometheus.GaugeOpts{Name: "isthmus_xmpp_connected",
			Help: "Whether the account for Connection Requests is connected to its XMPP server."})}
}

// Run keeps the account connected until ctx ends.
func (x *XMPP) Run(ctx context.Context) {
	for retry := firstRetry; ; {
		start := time.Now()
		err := x.session(ctx)
		if ctx.Err() != nil {
			return
		}
		if time.Since(start) > maxRetry {
			retry = firstRetry
		}
		wait := retry/2 + mathrand.N(retry/2) //nolint:gosec // jitter
		x.opts.Logger.Warn("XMPP: no connection", "server", x.opts.Server, "jid", x.opts.JID, "err", err, "again_in", wait)
		if pause(ctx, wait) != nil {
			return
		}
		retry = min(2*retry, maxRetry)
	}
}

// session is one connection, from its beginning to its end.
func (x *XMPP) session(ctx context.Context) error {
	conn, err := xmpp.Dial(ctx, x.opts.Options)
	if err != nil {
		x.set(nil, err)
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	var pinger sync.WaitGroup
	pinger.Go(func() { x.keepAlive(ctx, conn) })
	closed := context.AfterFunc(ctx, conn.Close)
	x.set(conn, nil)
	x.opts.Logger.Info("XMPP: connected", "jid", conn.JID())
	// Without it, some servers take us for offline; with a negative priority nobody's messages come.
	priority := xmpp.New(xmpp.NSClient, "priority")
	priority.Text = "-1"
	if err = conn.Send(xmpp.New(xmpp.NSClient, "presence").Add(priority)); err == nil {
		err = x.read(conn)
	}
	x.set(nil, err)
	cancel()
	if closed() {
		conn.Close()
	}
	pinger.Wait()
	return err
}

// set notes whether there is a connection. Those who wait for answers of one that is gone are told.
func (x *XMPP) set(conn *xmpp.Conn, why error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.conn, x.down = conn, why
	x.connected.Set(0)
	if conn != nil {
		x.connected.Set(1)
		return
	}
	for id, q := range x.asked {
		delete(x.asked, id)
		q.answer <- fmt.Errorf("%w: the connection to the XMPP server is lost", ErrUnreachable)
	}
}

func (x *XMPP) keepAlive(ctx context.Context, conn *xmpp.Conn) {
	for n := 0; pause(ctx, pingEvery) == nil; n++ {
		ping := xmpp.New(xmpp.NSClient, "iq", "type", "get", "id", fmt.Sprintf("ping-%d", n)).Add(xmpp.New(xmpp.NSPing, "ping"))
		if err := conn.Send(ping); err != nil {
			conn.Close() // read tells
			return
		}
	}
}

// read takes stanzas until the connection ends.
func (x *XMPP) read(conn *xmpp.Conn) error {
	for {
		if err := conn.SetReadDeadline(time.Now().Add(maxSilence)); err != nil {
			return err
		}
		e, err := conn.Read()
		if err != nil {
			return err
		}
		if !e.Is(xmpp.NSClient, "iq") {
			continue
		}
		switch e.Get("type") {
		case "result", "error":
			x.answered(e)
		case "get", "set":
			if err := conn.Send(reply(e)); err != nil {
				return err
			}
		}
	}
}

// reply answers somebody's request: a ping, or something that is not known here.
func reply(e *xmpp.Element) *xmpp.Element {
	if e.Get("type") == "get" && e.Child(xmpp.NSPing, "ping") != nil {
		return xmpp.New(xmpp.NSClient, "iq", "type", "result", "to", e.Get("from"), "id", e.Get("id"))
	}
	return xmpp.New(xmpp.NSClient, "iq", "type", "error", "to", e.Get("from"), "id", e.Get("id")).Add(
		xmpp.New(xmpp.NSClient, "error", "type", "cancel").Add(xmpp.New(xmpp.NSStanzas, "service-unavailable")))
}

// answered gives an answer to whom it is for. It counts only if it is from whom was asked.
func (x *XMPP) answered(e *xmpp.Element) {
	id := e.Get("id")
	x.mu.Lock()
	q := x.asked[id]
	if q == nil || !strings.EqualFold(q.to, e.Get("from")) {
		x.mu.Unlock()
		return
	}
	delete(x.asked, id)
	x.mu.Unlock()
	q.answer <- outcome(e)
}

// outcome is what an answer says (TR-069 K.2.3).
func outcome(e *xmpp.Element) error {
	if e.Get("type") == "result" {
		return nil
	}
	condition := ""
	if reason := e.Child(xmpp.NSClient, "error"); reason != nil {
		condition = reason.Condition(xmpp.NSStanzas)
	}
	switch condition {
	case "not-authorized", "forbidden", "not-allowed":
		return fmt.Errorf("%w (%s)", ErrAuth, condition)
	case "service-unavailable", "recipient-unavailable", "item-not-found", "remote-server-not-found", "remote-server-timeout":
		return fmt.Errorf("%w: it is not connected to its XMPP server (%s)", ErrUnreachable, condition)
	case "resource-constraint":
		return ErrRefused
	}
	return fmt.Errorf("%w: XMPP error %q", ErrAnswer, condition)
}

// Request sends a Connection Request to t.JID, and returns nil if the CPE accepted it.
func (x *XMPP) Request(ctx context.Context, t Target) error {
	if err := x.allowed(t.JID); err != nil {
		return err
	}
	id := rand.Text()
	q := &question{to: t.JID, answer: make(chan error, 1)}
	x.mu.Lock()
	conn, down := x.conn, x.down
	if conn != nil && len(x.asked) >= maxAsked {
		conn, down = nil, fmt.Errorf("%d Connection Requests wait for an answer already", maxAsked)
	}
	if conn != nil {
		x.asked[id] = q
	}
	x.mu.Unlock()
	if conn == nil {
		return fmt.Errorf("%w: %w", ErrUnreachable, down)
	}
	defer func() {
		x.mu.Lock()
		delete(x.asked, id)
		x.mu.Unlock()
	}()
	username, password := xmpp.New(nsConnReq, "username"), xmpp.New(nsConnReq, "password")
	username.Text, password.Text = t.Username, t.Password
	if err := conn.Send(xmpp.New(xmpp.NSClient, "iq", "type", "get", "from", conn.JID(), "to", t.JID, "id", id).Add(
		xmpp.New(nsConnReq, "connectionRequest").Add(username, password))); err != nil {
		return fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	timer := time.NewTimer(x.opts.Timeout)
	defer timer.Stop()
	select {
	case err := <-q.answer:
		return err
	case <-timer.C:
		return fmt.Errorf("%w: no answer in %v", ErrUnreachable, x.opts.Timeout)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// allowed says whether a JID may be sent a CPE's password.
func (x *XMPP) allowed(jid string) error {
	_, domain, _, err := xmpp.SplitJID(jid)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotAllowed, err)
	}
	_, own, _, _ := xmpp.SplitJID(x.opts.JID) //nolint:errcheck // "" then
	same := func(d string) bool { return strings.EqualFold(d, domain) }
	if !same(own) && !slices.ContainsFunc(x.opts.Domains, same) {
		return fmt.Errorf("%w: %s is of another domain than our account", ErrNotAllowed, jid)
	}
	return nil
}
