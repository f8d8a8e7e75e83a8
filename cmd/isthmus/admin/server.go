// Package admin is the administration address of a running proxy: metrics, health, the fleet as JSON, a plain page, and USP requests
// for a person at a terminal.
package admin

import (
	"context"
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
	Captures       Captures
	Ready          func() error        // why the proxy is not ready, nil if it is; nil: always ready
	Gatherer       prometheus.Gatherer // nil: prometheus.DefaultGatherer
	Token          string              // bearer token; "": none, and without Certificates nothing is asked for
	MetricsPublic  bool                // /metrics without the token
	TLS            *tls.Config         // nil: plain HTTP
	Certificates   bool                // a client certificate that TLS has verified lets in, too
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
	access   *access
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
	s := &Server{opts: opts, access: newAccess(opts.Token, opts.Certificates)}
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
	route("GET", "/{$}", s.fleetPage)
	route("GET", "/sessions", s.sessionsPage)
	route("GET", "/problems", s.problemsPage)
	route("GET", "/devices/{id}", s.devicePage)
	route("GET", "/assets/{file}", s.asset)
	mux.HandleFunc("GET /login", func(w http.ResponseWriter, r *http.Request) {
		s.loginPage(w, r, http.StatusOK, "", r.URL.Query().Get("next"))
	})
	mux.HandleFunc("POST /login", s.login)
	route("POST", "/logout", s.logout)
	route("GET", "/healthz", s.health)
	route("GET", "/readyz", s.ready)
	route("GET", "/metrics", promhttp.HandlerFor(s.opts.Gatherer, promhttp.HandlerOpts{EnableOpenMetrics: true}).ServeHTTP)
	route("GET", "/api/v1/devices", s.devices)
	route("GET", "/api/v1/devices/{id}", s.device)
	route("GET", "/api/v1/devices/{id}/trace", s.trace)
	route("GET", "/api/v1/traces/{trace}", s.traced)
	route("GET", "/traces/{trace}", s.tracedPage)
	route("POST", "/api/v1/devices/{id}/usp", s.usp)
	s.capture(mux)
	route("GET", "/devices/{id}/capture", s.capturePage)
	route("POST", "/devices/{id}/capture/start", s.startCapturePage)
	route("POST", "/devices/{id}/capture/stop", s.stopCapturePage)
	for _, a := range []Action{Refresh, Ask, Quarantine, Release, Forget} {
		route("POST", "/api/v1/devices/{id}/"+string(a), func(w http.ResponseWriter, r *http.Request) { s.act(w, r, a) })
		route("POST", "/devices/{id}/"+string(a), func(w http.ResponseWriter, r *http.Request) { s.actPage(w, r, a) })
	}
	route("GET", "/api/v1/sessions", s.sessions)
	route("POST", "/api/v1/backup", s.backup)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		fail(w, http.StatusNotFound, "no such resource")
	})
	return mux
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
