package cwmp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// ServerOptions tune a Server. The zero value is good for production.
type ServerOptions struct {
	Logger     *slog.Logger          // nil: slog.Default
	Registerer prometheus.Registerer // nil: metrics are not exported
	Observe    func(RPCEvent)        // called after each RPC, in the session's goroutine; nil: nobody looks

	Secret func(name string) bool // whether the value of a parameter is not shown in captures; nil: none is

	Auth           *Auth          // nil: every CPE is let in
	TrustedProxies []netip.Prefix // whose Forwarded and X-Forwarded-For are believed

	SessionTimeout time.Duration // silence of the CPE that ends a session; 0: 60 s. A CPE's SessionTimeout header wins, within bounds.
	ShutdownGrace  time.Duration // how long Shutdown waits for answers; 0: 4 s
	MaxFirstBody   int64         // bytes of the message that opens a session; 0: 1 MiB
	MaxBody        int64         // bytes of any other; 0: 32 MiB
	MaxSessions    int           // open at a time; 0: 20,000. Further Informs get 503.

	ReadHeaderTimeout time.Duration // 0: 30 s
	ReadTimeout       time.Duration // of a whole POST; 0: 5 min, for CPE on slow lines
	WriteTimeout      time.Duration // of an answer; 0: 1 min
	IdleTimeout       time.Duration // of a connection; 0: 90 s
}

const (
	maxHeaderBytes = 16 << 10

	// Bounds to what a CPE may ask for in a SessionTimeout header.
	minSilence = 10 * time.Second
	maxSilence = 10 * time.Minute

	// maxHold is the longest that a POST is held open. No CPE waits that long.
	maxHold = 5 * time.Minute

	// reconnect is how long a CPE that closed its connection after the InformResponse has to open another. Meanwhile nobody can reach it.
	reconnect = 10 * time.Second

	// afterlife is how long a request of the CPE that follows the 204 on the same connection is answered: some CPE remember late.
	afterlife = 5 * time.Second

	// maxLargeBodies is how many messages above MaxFirstBody are in memory at a time; the others wait on their sockets.
	maxLargeBodies = 4

	// smallMessage is up to how many bytes a message is decoded at once. Of the others maxDecoding are at a time: an odd one may take fifty
	// times its size in memory meanwhile.
	smallMessage = 64 << 10
	maxDecoding  = 8

	// retryAfter is what a CPE is told to wait, in seconds, when there is no room for it.
	retryAfter = 60

	// closeGrace is for answers on their way when everything else has ended.
	closeGrace = 200 * time.Millisecond
)

func (o ServerOptions) withDefaults() ServerOptions {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	setDefault(&o.SessionTimeout, time.Minute)
	setDefault(&o.ShutdownGrace, 4*time.Second)
	setDefault(&o.MaxFirstBody, 1<<20)
	setDefault(&o.MaxBody, 32<<20)
	setDefault(&o.MaxSessions, 20_000)
	setDefault(&o.ReadHeaderTimeout, 30*time.Second)
	setDefault(&o.ReadTimeout, 5*time.Minute)
	setDefault(&o.WriteTimeout, time.Minute)
	setDefault(&o.IdleTimeout, 90*time.Second)
	return o
}

func setDefault[T comparable](v *T, value T) {
	var zero T
	if *v == zero {
		*v = value
	}
}

// Server is an ACS: it speaks CWMP with CPE on behalf of a Handler.
type Server struct {
	handler  Handler
	opts     ServerOptions
	log      *slog.Logger
	metrics  *serverMetrics
	http     *http.Server
	large    chan struct{}        // a place for each large body
	decoding chan struct{}        // and for each message above smallMessage that is decoded
	conns    sync.Map             // of net.Conn to *connState
	gate     atomic.Pointer[gate] // nil: every CPE is let in
	pacer    *pacer
	captures captures

	mu         sync.Mutex
	draining   bool // no new sessions
	closed     bool // nothing at all
	byCookie   map[string]*Session
	byIdentity map[DeviceID]*Session     // the newest of each CPE
	byAddress  map[netip.Addr][]*Session // those with Quirks.ByAddress
	work       sync.WaitGroup            // HTTP handlers; added to under mu while not closed
}

// NewServer returns a Server that has not begun to serve. opts may be nil.
func NewServer(h Handler, opts *ServerOptions) *Server {
	if opts == nil {
		opts = &ServerOptions{}
	}
	o := opts.withDefaults()
	sv := &Server{
		handler:    h,
		opts:       o,
		log:        o.Logger,
		metrics:    newServerMetrics(o.Registerer),
		pacer:      newPacer(),
		large:      make(chan struct{}, maxLargeBodies),
		decoding:   make(chan struct{}, maxDecoding),
		byCookie:   make(map[string]*Session),
		byIdentity: make(map[DeviceID]*Session),
		byAddress:  make(map[netip.Addr][]*Session),
	}
	sv.gate.Store(newGate(o.Auth))
	sv.metrics.watch(o.Registerer, sv.pacer)
	sv.http = &http.Server{
		Handler:           sv,
		ReadHeaderTimeout: o.ReadHeaderTimeout,
		ReadTimeout:       o.ReadTimeout,
		WriteTimeout:      o.WriteTimeout,
		IdleTimeout:       o.IdleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(o.Logger.Handler(), slog.LevelDebug),
		ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
			c := new(connState)
			sv.conns.Store(conn, c)
			return context.WithValue(ctx, connKey{}, c)
		},
		ConnState: sv.connChanged,
	}
	return sv
}

// connChanged counts what net/http refuses by itself as the first of a connection: it says so to nobody but the CPE.
func (sv *Server) connChanged(conn net.Conn, state http.ConnState) {
	v, ok := sv.conns.Load(conn)
	if !ok {
		return // it has only been accepted
	}
	c := v.(*connState)
	switch state {
	case http.StateActive:
		c.begun.Store(true)
	case http.StateClosed:
		sv.conns.Delete(conn)
		if c.begun.Load() {
			sv.metrics.malformed.WithLabelValues("http").Inc()
		}
		if s := c.session.Load(); s != nil && s.timeout <= sv.opts.IdleTimeout { // else it is the server that has closed it
			s.orphaned()
		}
		if secure, ok := conn.(*tls.Conn); ok && !secure.ConnectionState().HandshakeComplete {
			sv.metrics.handshakes.Inc()
		}
	default:
	}
}

// connState is what a connection remembers, for CPE that drop cookies or authenticate once.
type connState struct {
	session atomic.Pointer[Session]
	who     atomic.Pointer[caller]
	begun   atomic.Bool // the head of a request has begun to arrive
}

type connKey struct{}

// Serve accepts CPE on a listener until Shutdown, when it returns nil. It may be called for several listeners.
func (sv *Server) Serve(l net.Listener) error {
	if err := sv.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve CWMP: %w", err)
	}
	return nil
}

// Shutdown ends all sessions and then the listeners: no new session begins (503), a session without an RPC in flight ends with
// 204, the others get ShutdownGrace for the CPE's answer. When it returns nil no goroutine of the Server is left.
// ctx cuts the wait short; its error is returned then.
func (sv *Server) Shutdown(ctx context.Context) error {
	sv.mu.Lock()
	sv.draining = true
	sv.mu.Unlock()
	sv.pacer.close()
	defer sv.captures.close()

	for _, s := range sv.sessions() {
		s.drain()
	}
	grace, cancel := context.WithTimeout(ctx, sv.opts.ShutdownGrace)
	defer cancel()
	sv.wait(grace)
	for _, s := range sv.sessions() {
		s.end(ErrServerClosed)
	}
	sv.wait(ctx)

	sv.mu.Lock()
	sv.closed = true
	sv.mu.Unlock()
	last, cancel := context.WithTimeout(ctx, closeGrace)
	defer cancel()
	if err := sv.http.Shutdown(last); err != nil {
		// What is left are connections that never carried a request, or whose CPE does not read.
		if err := sv.http.Close(); err != nil {
			sv.log.Debug("close CWMP listeners", "err", err)
		}
	}
	idle := make(chan struct{})
	go func() {
		sv.work.Wait()
		close(idle)
	}()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (sv *Server) sessions() []*Session {
	sv.mu.Lock()
	defer sv.mu.Unlock()
	all := make([]*Session, 0, len(sv.byCookie))
	for _, s := range sv.byCookie {
		all = append(all, s)
	}
	return all
}

// wait waits for the end of all sessions, or of ctx.
func (sv *Server) wait(ctx context.Context) {
	for _, s := range sv.sessions() {
		select {
		case <-s.done:
		case <-ctx.Done():
			return
		}
	}
}

// enter counts an HTTP handler; false once the Server has closed.
func (sv *Server) enter() bool {
	sv.mu.Lock()
	defer sv.mu.Unlock()
	if sv.closed {
		return false
	}
	sv.work.Add(1)
	return true
}

// forget takes a session out of the tables; End has returned.
func (sv *Server) forget(s *Session) {
	key := identity(s.DeviceID)
	sv.mu.Lock()
	delete(sv.byCookie, s.cookie)
	if sv.byIdentity[key] == s {
		delete(sv.byIdentity, key)
	}
	if s.quirks.ByAddress {
		sv.expectNoMore(s)
	}
	sv.mu.Unlock()
	sv.metrics.active.Dec()
}

// identity is what makes two Informs come from the same CPE.
func identity(d DeviceID) DeviceID {
	d.Manufacturer = ""
	return d
}

func (sv *Server) endSession(s *Session, err error) {
	sv.metrics.sessions.WithLabelValues(sessionOutcome(err)).Inc()
	if err != nil {
		sv.log.Info("session ended early", "session", s.ID, "err", err)
	}
	defer func() {
		if p := recover(); p != nil {
			_ = sv.panicked(s, p)
		}
	}()
	sv.handler.End(s, err)
}

// panicked turns a panic into an error, counted and logged.
func (sv *Server) panicked(s *Session, p any) error {
	sv.metrics.panics.Inc()
	sv.log.Error("panic in a session", "session", s.ID, "panic", p, "stack", string(debug.Stack()))
	return fmt.Errorf("cwmp: panic: %v", p)
}

func (sv *Server) observe(s *Session, req RPC, fromCPE bool, started time.Time, err error) {
	took := time.Since(started)
	sv.metrics.rpcs.WithLabelValues(rpcLabel(req), rpcOutcome(err)).Observe(took.Seconds())
	if sv.opts.Observe != nil {
		sv.opts.Observe(RPCEvent{
			Device: s.DeviceID, Session: s.ID, Time: started, Duration: took, RPC: req.Name(), FromCPE: fromCPE, Result: rpcResult(err),
		})
	}
}

// methods is what the Server says to a CPE's GetRPCMethods: what A.3.3 and A.4.2 let a CPE call, but for the deprecated.
var methods = []string{
	"Inform", "GetRPCMethods", "TransferComplete", "AutonomousTransferComplete", "RequestDownload",
	"DUStateChangeComplete", "AutonomousDUStateChangeComplete",
}

// respond answers a request of the CPE; the error is the one that was answered, if any.
func (sv *Server) respond(ctx context.Context, s *Session, req RPC) (resp RPC, err error) {
	defer func() {
		if p := recover(); p != nil {
			resp, err = NewFault(FaultACSInternalError), sv.panicked(s, p)
		}
	}()
	switch req.(type) {
	case *GetRPCMethods:
		return &GetRPCMethodsResponse{MethodList: methods}, nil
	case *TransferComplete, *AutonomousTransferComplete, *RequestDownload, *DUStateChangeComplete, *AutonomousDUStateChangeComplete, *Kicked:
		resp, err = sv.handler.Request(ctx, s, req)
	default:
		err = NewFault(FaultACSMethodNotSupported)
	}
	if err == nil && (resp == nil || resp.Name() != req.Name()+"Response") {
		err = fmt.Errorf("cwmp: Handler answered %s with another message", req.Name())
	}
	if err == nil {
		return resp, nil
	}
	var f *Fault
	if errors.As(err, &f) {
		return f, f
	}
	sv.log.Error("request of a CPE failed", "session", s.ID, "rpc", req.Name(), "err", err)
	return NewFault(FaultACSInternalError), err
}

// cookieName is short: CPE have little room for headers.
const cookieName = "s"

// cookieValues returns what may be our cookie in the headers, however a CPE has garbled them: joined by commas, quoted, with the
// attributes of Set-Cookie echoed.
func cookieValues(header http.Header) []string {
	var values []string
	for _, line := range header["Cookie"] {
		for _, part := range strings.FieldsFunc(line, func(r rune) bool { return r == ';' || r == ',' }) {
			name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
			if strings.TrimSpace(name) == cookieName {
				values = append(values, strings.Trim(value, "\" \t"))
			}
		}
	}
	return values
}

// find returns the session that a POST belongs to: by cookie, else by connection; or nil.
func (sv *Server) find(r *http.Request, c *connState) *Session {
	sv.mu.Lock()
	defer sv.mu.Unlock()
	for _, v := range cookieValues(r.Header) {
		if s := sv.byCookie[v]; s != nil {
			return s
		}
	}
	if c == nil {
		return nil
	}
	return c.session.Load()
}
