// Package admin is the administration address of a running proxy: metrics, health, the fleet as JSON, a plain page, and USP requests
// for a person at a terminal.
package admin

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Options say what a Server shows, and to whom.
type Options struct {
	Fleet          Fleet
	Backup         Backup
	Ready          func() error        // why the proxy is not ready, nil if it is; nil: always ready
	Gatherer       prometheus.Gatherer // nil: prometheus.DefaultGatherer
	Token          string              // bearer token; "": none is asked for
	MetricsPublic  bool                // /metrics without the token
	TLS            *tls.Config         // nil: plain HTTP
	RequestTimeout time.Duration       // of a USP request; 0: 30 s
	Log            *slog.Logger        // nil: slog.Default()
}

const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 20 * time.Second
	idleTimeout       = 2 * time.Minute
	maxHeader         = 16 << 10
	maxRequest        = 4 << 20 // one USP message

	defaultRequestTimeout = 30 * time.Second
)

// Server serves the administration address.
type Server struct {
	opts     Options
	http     *http.Server
	loopback bool // the listener's address; set before the first request

	backingUp sync.Mutex
}

// New makes a Server that serves nothing yet.
func New(opts Options) *Server {
	if opts.Log == nil {
		opts.Log = slog.Default()
	}
	if opts.Gatherer == nil {
		opts.Gatherer = prometheus.DefaultGatherer
	}
	if opts.RequestTimeout == 0 {
		opts.RequestTimeout = defaultRequestTimeout
	}
	s := &Server{opts: opts}
	s.http = &http.Server{
		Handler:           s.guard(s.routes()),
		TLSConfig:         opts.TLS,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      opts.RequestTimeout + readTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(opts.Log.Handler(), slog.LevelDebug),
	}
	return s
}

// Serve serves a listener until Shutdown; it may be called once. The error is never http.ErrServerClosed.
func (s *Server) Serve(l net.Listener) error {
	if a, ok := l.Addr().(*net.TCPAddr); ok {
		s.loopback = a.IP.IsLoopback()
	}
	var err error
	if s.opts.TLS != nil {
		err = s.http.ServeTLS(l, "", "")
	} else {
		err = s.http.Serve(l)
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// Shutdown ends Serve: requests under way may end until ctx does, then they are cut.
func (s *Server) Shutdown(ctx context.Context) error {
	err := s.http.Shutdown(ctx)
	return errors.Join(err, s.http.Close())
}

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	route := func(method, path string, h http.HandlerFunc) {
		mux.HandleFunc(method+" "+path, h)
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Allow", method)
			fail(w, http.StatusMethodNotAllowed, "only "+method+" is known here")
		})
	}
	route("GET", "/{$}", s.page)
	route("GET", "/healthz", s.health)
	route("GET", "/readyz", s.ready)
	route("GET", "/metrics", promhttp.HandlerFor(s.opts.Gatherer, promhttp.HandlerOpts{}).ServeHTTP)
	route("GET", "/api/v1/devices", s.devices)
	route("GET", "/api/v1/devices/{id}", s.device)
	route("GET", "/api/v1/devices/{id}/trace", s.trace)
	route("POST", "/api/v1/devices/{id}/usp", s.usp)
	route("POST", "/api/v1/backup", s.backup)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		fail(w, http.StatusNotFound, "no such resource")
	})
	return mux
}

// guard lets through what may come in at all. The Host check keeps pages of other sites, whose names may be made to resolve to
// this machine, away from a loopback address that asks for no token.
func (s *Server) guard(next http.Handler) http.Handler {
	want := sha256.Sum256([]byte(s.opts.Token))
	crossOrigin := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		if s.loopback && !loopbackHost(r.Host) {
			fail(w, http.StatusMisdirectedRequest, "this address answers to loopback names only, such as 127.0.0.1 or localhost")
			return
		}
		if s.opts.Token != "" && !s.public(r.URL.Path) {
			scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
			got := sha256.Sum256([]byte(token))
			if !strings.EqualFold(scheme, "Bearer") || subtle.ConstantTimeCompare(got[:], want[:]) == 0 {
				w.Header().Set("WWW-Authenticate", "Bearer")
				fail(w, http.StatusUnauthorized, "the bearer token of admin.token_file is needed")
				return
			}
		}
		if err := crossOrigin.Check(r); err != nil {
			fail(w, http.StatusForbidden, "requests from pages of other sites are refused")
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (s *Server) public(path string) bool {
	return path == "/healthz" || path == "/readyz" || path == "/metrics" && s.opts.MetricsPublic
}

func loopbackHost(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = hostport
	}
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	ip, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || err == nil && ip.Unmap().IsLoopback()
}
