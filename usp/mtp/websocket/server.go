package websocket

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
	"github.com/prometheus/client_golang/prometheus"

	"isthmus/usp"
	"isthmus/usp/mtp"
)

const (
	defaultPath           = "/agent/" + endpointHole
	defaultMaxConnections = 20000
	headerTimeout         = 10 * time.Second
	maxHeader             = 16 << 10
)

// ServerOptions say how a Server listens. The zero value is that of an Agents' server.
type ServerOptions struct {
	// Path is where Endpoints are found, "/agent/{endpoint_id}" if empty. Without {endpoint_id} all requests are for the Endpoint that
	// lookup gives for "": a Controller that Agents dial.
	Path string
	// TLS is nil for ws. With RequestClientCert the Endpoints judge the certificates of peers.
	TLS            *tls.Config
	KeepAlive      time.Duration // interval of Pings (R-WS.17); 0: 30 s
	MaxSize        int           // largest Record either way; 0: 5 MiB
	MaxConnections int           // beyond it 503; 0: 20000
	// TrustEndpointID believes the Endpoint ID that a peer gives. Otherwise it is believed over TLS with a certificate that names it, verified by
	// TLS or by an Endpoint that is an mtp.Authenticator, and from loopback.
	TrustEndpointID bool
	Logger          *slog.Logger
	Registerer      prometheus.Registerer
}

// Server takes the connections of peers that dial in. Two Endpoints have one session (R-WS.4): while it lasts a second one is
// refused with 409, as the reference Agent does; one whose peer is dead is found out by its Pings. Where the first is being closed
// the second waits until it has ended.
type Server struct {
	o      ServerOptions
	lookup func(usp.EndpointID) (mtp.Endpoint, bool)
	sh     *shared
	up     websocket.Upgrader
	http   *http.Server
	prefix string
	suffix string
	fixed  bool // the path has no {endpoint_id}

	mu     sync.Mutex
	pairs  map[pair]*session // those of peers that say who they are
	all    map[*session]struct{}
	closed bool
	wg     sync.WaitGroup
}

type pair struct{ local, peer usp.EndpointID }

// session is a connection that is up or being set up; the Server's mu guards conn.
type session struct {
	pair
	trusted bool  // the peer is proven to be who it says it is
	conn    *conn // nil until the handshake is over
	ended   chan struct{}
}

// NewServer makes a Server for the Endpoints that lookup knows. lookup must not block.
func NewServer(lookup func(usp.EndpointID) (mtp.Endpoint, bool), o ServerOptions) *Server {
	if o.Path == "" {
		o.Path = defaultPath
	}
	o.MaxSize = orDefault(o.MaxSize, defaultMaxSize)
	o.MaxConnections = orDefault(o.MaxConnections, defaultMaxConnections)
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	s := &Server{o: o, lookup: lookup, pairs: map[pair]*session{}, all: map[*session]struct{}{}}
	s.sh = &shared{maxSize: o.MaxSize, log: o.Logger, metrics: newMetrics(o.Registerer), wheel: newWheel(o.KeepAlive)}
	s.up = websocket.Upgrader{
		ReadBufferSize: readBuffer, WriteBufferSize: writeBuffer, WriteBufferPool: &writeBuffers, HandshakeTimeout: handshakeTimeout,
		Subprotocols: []string{subprotocol}, CheckOrigin: sameHost,
	}
	s.http = &http.Server{
		Handler: s, TLSConfig: o.TLS, ReadHeaderTimeout: headerTimeout, IdleTimeout: headerTimeout, MaxHeaderBytes: maxHeader,
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){}, // WebSocket is HTTP/1.1
		ErrorLog:     slog.NewLogLogger(o.Logger.Handler(), slog.LevelDebug),
	}
	var hole bool
	s.prefix, s.suffix, hole = strings.Cut(o.Path, endpointHole)
	s.fixed = !hole
	return s
}

// Serve accepts connections until Shutdown; it then returns nil.
func (s *Server) Serve(l net.Listener) error {
	if s.o.TLS != nil {
		l = tls.NewListener(l, s.o.TLS)
	}
	if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("websocket server at %s: %w", l.Addr(), err)
	}
	return nil
}

// Shutdown stops listening, closes all connections (1001) and returns when all is ended: after ctx without closing handshakes.
func (s *Server) Shutdown(ctx context.Context) {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return
	}
	s.closed = true
	live := make([]*conn, 0, len(s.all))
	for n := range s.all {
		if n.conn != nil {
			live = append(live, n.conn)
		}
	}
	s.mu.Unlock()
	if s.http.Shutdown(ctx) != nil {
		_ = s.http.Close()
	}
	shutAll(ctx, live, &s.wg)
	s.sh.wheel.close()
}

// ServeHTTP answers a handshake: 404 for an Endpoint that lookup does not know, 400 without v1.usp (R-WS.12), 403 for a certificate that the
// Endpoint does not accept, 409 for a second session of two Endpoints (R-WS.4), 503 beyond MaxConnections and while shutting down.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id, ok := s.endpointID(r)
	if !ok {
		http.NotFound(w, r)
		return
	}
	e, ok := s.lookup(id)
	if !ok {
		s.sh.metrics.accepted(dialRefused)
		http.NotFound(w, r)
		return
	}
	if !speaksUSP(r) {
		s.sh.metrics.accepted(dialSubprotocol)
		http.Error(w, "the subprotocol must be "+subprotocol, http.StatusBadRequest)
		return
	}
	peer, err := peerID(r)
	if err != nil {
		s.sh.metrics.accepted(dialPeer)
		http.Error(w, "eid is no Endpoint ID", http.StatusBadRequest)
		return
	}
	trusted, err := s.trusts(r, e, peer)
	if err != nil {
		s.sh.metrics.accepted(dialPeer)
		s.o.Logger.Info("a peer was refused for its certificate", "endpoint", e.EndpointID(), "peer", peer, "err", err)
		http.Error(w, "certificate refused", http.StatusForbidden)
		return
	}
	n := &session{pair: pair{e.EndpointID(), peer}, trusted: trusted, ended: make(chan struct{})}
	if status := s.reserve(r.Context(), n); status != 0 {
		s.sh.metrics.accepted(dialRefused)
		http.Error(w, http.StatusText(status), status)
		return
	}
	c, err := s.upgrade(w, r, e, n)
	if err != nil {
		s.sh.metrics.accepted(dialFailed)
		s.o.Logger.Debug("websocket handshake", "endpoint", n.local, "peer", peer, "err", err)
		s.release(n)
		return
	}
	s.sh.metrics.accepted(dialOK)
	// A goroutine of its own, so that what the HTTP server holds for the connection is freed.
	go func() {
		defer s.release(n)
		c.serve()
	}()
}

func (s *Server) endpointID(r *http.Request) (usp.EndpointID, bool) {
	path := r.URL.EscapedPath()
	if s.fixed {
		return "", path == s.o.Path
	}
	escaped, ok1 := strings.CutPrefix(path, s.prefix)
	escaped, ok2 := strings.CutSuffix(escaped, s.suffix)
	id, err := url.PathUnescape(escaped)
	return usp.EndpointID(id), ok1 && ok2 && err == nil && id != "" && !strings.Contains(escaped, "/")
}

// peerID is the Endpoint that dials: from the query, or from the header of older Controllers; "" if it does not say.
func peerID(r *http.Request) (usp.EndpointID, error) {
	eid := r.URL.Query().Get(eidItem)
	if eid == "" {
		eid = offered(r.Header)
	}
	if eid == "" {
		return "", nil
	}
	return usp.ParseEndpointID(eid)
}

func speaksUSP(r *http.Request) bool {
	for _, p := range websocket.Subprotocols(r) {
		if p == subprotocol {
			return true
		}
	}
	return false
}

// sameHost keeps web pages out: a browser on the machine of a loopback listener would otherwise count as trusted. USP peers send no
// Origin, or the host that they dial.
func sameHost(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return true
	}
	o, err := url.Parse(origin)
	host := url.URL{Host: r.Host}
	return err == nil && strings.EqualFold(o.Hostname(), host.Hostname())
}

// reserve takes the place of a session, or gives the HTTP status to refuse it with. A place counts in wg until release.
func (s *Server) reserve(ctx context.Context, n *session) int {
	ctx, cancel := context.WithTimeout(ctx, 2*closeWait)
	defer cancel()
	for {
		old, status := s.tryReserve(n)
		if old == nil {
			return status
		}
		select {
		case <-old.ended:
		case <-ctx.Done():
			return http.StatusConflict
		}
	}
}

// tryReserve gives the session of the same pair to wait for, if that one is closing, or has to make room for a peer that is proven.
func (s *Server) tryReserve(n *session) (old *session, status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old = s.pairs[n.pair]
	switch {
	case s.closed:
		return nil, http.StatusServiceUnavailable
	case old != nil && old.conn != nil && old.conn.closing.Load():
		return old, 0
	case old != nil && old.conn != nil && n.trusted && !old.trusted:
		old.conn.abort(ErrClosed) // who merely claims to be this peer must not keep it out
		return old, 0
	case old != nil:
		return nil, http.StatusConflict
	case len(s.all) >= s.o.MaxConnections:
		return nil, http.StatusServiceUnavailable
	}
	if n.peer != "" {
		s.pairs[n.pair] = n
	}
	s.all[n] = struct{}{}
	s.wg.Add(1)
	return nil, 0
}

func (s *Server) release(n *session) {
	s.mu.Lock()
	delete(s.all, n)
	if s.pairs[n.pair] == n {
		delete(s.pairs, n.pair)
	}
	s.mu.Unlock()
	close(n.ended)
	s.wg.Done()
}

func (s *Server) upgrade(w http.ResponseWriter, r *http.Request, e mtp.Endpoint, n *session) (*conn, error) {
	header := http.Header{}
	if offered(r.Header) != "" {
		header[extHeader] = []string{offer(e.EndpointID())} // R-WS.11a
	}
	ws, err := s.up.Upgrade(w, r, header)
	if err != nil {
		return nil, err
	}
	c := newConn(s.sh, ws, e, n.peer, n.trusted)
	s.mu.Lock()
	n.conn = c
	closed := s.closed
	s.mu.Unlock()
	if closed {
		c.abort(ErrClosed)
	}
	return c, nil
}

// trusts says whether a peer is proven to be the Endpoint that it says it is. Who shows a certificate is judged by it, wherever it comes from; one that
// names no Endpoint says nothing.
func (s *Server) trusts(r *http.Request, e mtp.Endpoint, peer usp.EndpointID) (bool, error) {
	if a, ok := e.(mtp.Authenticator); ok && r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
		ctx, cancel := context.WithTimeout(r.Context(), handshakeTimeout)
		defer cancel()
		if proven, err := a.Authenticate(ctx, peer, r.TLS.PeerCertificates); err != nil || proven {
			return proven, err
		}
	}
	return s.o.TrustEndpointID || proven(r, peer), nil
}

// proven says that the peer's Endpoint ID is in its verified certificate, or that the peer is on this machine.
func proven(r *http.Request, peer usp.EndpointID) bool {
	if a, err := netip.ParseAddrPort(r.RemoteAddr); err == nil && a.Addr().Unmap().IsLoopback() {
		return true
	}
	if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 || peer == "" {
		return false
	}
	return usp.Named(r.TLS.VerifiedChains[0][0], peer) == usp.NamesIt
}
