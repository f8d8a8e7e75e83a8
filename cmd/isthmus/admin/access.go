package admin

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"mime"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"
)

const (
	sessionCookie = "isthmus-session"
	sessionLife   = 12 * time.Hour
	maxSessions   = 1024 // the oldest gives way

	csrfField  = "csrf"
	csrfHeader = "X-CSRF-Token"

	// Of wrong tokens from one address so many are looked at in an interval.
	maxFailures     = 20
	failureInterval = time.Minute
	maxSources      = 4096

	maxForm = 16 << 10
)

// caller is who sent a request, for the audit log and for what its forms must carry.
type caller struct {
	who     string // "certificate CN=…", "token", "session", or "local" where nothing is asked for
	ambient bool   // a browser sends along by itself what lets it in, also for a page of another site
	binding string // what the CSRF token is bound to
}

type callerKey struct{}

func callerOf(r *http.Request) caller {
	c, _ := r.Context().Value(callerKey{}).(caller)
	return c
}

// access decides who gets in. The zero sessions and failures are ready for use.
type access struct {
	token    [sha256.Size]byte
	hasToken bool
	certs    bool // client certificates are asked for
	csrfKey  [32]byte
	now      func() time.Time

	mu       sync.Mutex
	sessions map[[sha256.Size]byte]time.Time // by the hash of the cookie: when it ends
	failures map[netip.Addr]*failure
}

type failure struct {
	since time.Time
	n     int
}

func newAccess(token string, certs bool) *access {
	a := &access{token: sha256.Sum256([]byte(token)), hasToken: token != "", certs: certs, now: time.Now,
		sessions: make(map[[sha256.Size]byte]time.Time), failures: make(map[netip.Addr]*failure)}
	_, _ = rand.Read(a.csrfKey[:]) // never fails
	return a
}

// setToken has another token let in from now on; who has logged in with the old one has to do it again.
func (a *access) setToken(token string) {
	sum := sha256.Sum256([]byte(token))
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.hasToken && token != "" && sum != a.token {
		a.token = sum
		clear(a.sessions)
	}
}

// SetToken has another bearer token let in from now on. A Server that asks for none goes on to do so.
func (s *Server) SetToken(token string) { s.access.setToken(token) }

// identify says who sent r; false where nobody who may come in.
func (a *access) identify(r *http.Request) (caller, bool) {
	if r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {
		subject := r.TLS.PeerCertificates[0].Subject.String()
		return caller{who: "certificate " + subject, ambient: true, binding: "certificate " + string(r.TLS.PeerCertificates[0].RawSubject)}, true
	}
	if scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " "); a.hasToken && strings.EqualFold(scheme, "Bearer") {
		return caller{who: "token"}, a.tokenFits(r, token)
	}
	if !a.hasToken && !a.certs {
		return caller{who: "local", ambient: true, binding: "local"}, true
	}
	if c, err := r.Cookie(sessionCookie); err == nil && a.inSession(c.Value) {
		return caller{who: "session", ambient: true, binding: "session " + c.Value}, true
	}
	return caller{}, false
}

// tokenFits compares a token, unless too many wrong ones have come from there.
func (a *access) tokenFits(r *http.Request, token string) bool {
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	f := a.failures[from.Addr()]
	if f != nil && a.now().Sub(f.since) > failureInterval {
		delete(a.failures, from.Addr())
		f = nil
	}
	if f != nil && f.n >= maxFailures {
		return false
	}
	got := sha256.Sum256([]byte(token))
	if subtle.ConstantTimeCompare(got[:], a.token[:]) == 1 {
		return true
	}
	if f == nil {
		if len(a.failures) >= maxSources {
			clear(a.failures)
		}
		f = &failure{since: a.now()}
		a.failures[from.Addr()] = f
	}
	f.n++
	return false
}

// begin makes a session and gives the value of its cookie.
func (a *access) begin() string {
	value := rand.Text()
	a.mu.Lock()
	defer a.mu.Unlock()
	now, oldest, first := a.now(), [sha256.Size]byte{}, time.Time{}
	for id, end := range a.sessions {
		if !end.After(now) {
			delete(a.sessions, id)
		} else if first.IsZero() || end.Before(first) {
			oldest, first = id, end
		}
	}
	if len(a.sessions) >= maxSessions {
		delete(a.sessions, oldest)
	}
	a.sessions[sha256.Sum256([]byte(value))] = now.Add(sessionLife)
	return value
}

func (a *access) inSession(value string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	end, ok := a.sessions[sha256.Sum256([]byte(value))]
	return ok && end.After(a.now())
}

func (a *access) end(value string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.sessions, sha256.Sum256([]byte(value)))
}

// csrf is what the forms of a page that c sees must carry.
func (a *access) csrf(c caller) string {
	mac := hmac.New(sha256.New, a.csrfKey[:])
	mac.Write([]byte(c.binding))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// forged says that a page of another site may have made a browser send r: what can be sent from there unasked, a form, lacks our token.
func (a *access) forged(w http.ResponseWriter, r *http.Request, c caller) bool {
	if !c.ambient || r.Method == http.MethodGet || r.Method == http.MethodHead {
		return false
	}
	switch t, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); t {
	case "application/x-www-form-urlencoded", "multipart/form-data":
	default:
		return false
	}
	got := r.Header.Get(csrfHeader)
	if got == "" {
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		got = r.PostFormValue(csrfField)
	}
	return !hmac.Equal([]byte(got), []byte(a.csrf(c)))
}

// guard lets through what may come in at all. The Host check keeps pages of other sites, whose names may be made to resolve to
// this machine, away from a loopback address that asks for no token.
func (s *Server) guard(next http.Handler) http.Handler {
	crossOrigin := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin")
		if s.loopback && !loopbackHost(r.Host) {
			fail(w, http.StatusMisdirectedRequest, "this address answers to loopback names only, such as 127.0.0.1 or localhost")
			return
		}
		if err := crossOrigin.Check(r); err != nil {
			fail(w, http.StatusForbidden, "requests from pages of other sites are refused")
			return
		}
		c, in := s.access.identify(r)
		if !in && !s.public(r.URL.Path) {
			s.refuse(w, r)
			return
		}
		if in && s.access.forged(w, r, c) {
			fail(w, http.StatusForbidden, "the form is too old or not from here: load the page again")
			return
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), callerKey{}, c)))
	})
}

// refuse asks for what is missing: a person for the token, on a page, others by a header.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request) {
	if s.access.hasToken && r.Method == http.MethodGet && !strings.HasPrefix(r.URL.Path, "/api/") && strings.Contains(r.Header.Get("Accept"), "text/html") {
		s.loginPage(w, r, http.StatusUnauthorized, "", r.URL.RequestURI())
		return
	}
	if !s.access.hasToken {
		fail(w, http.StatusUnauthorized, "a client certificate from the CA of admin.tls.client_ca_file is needed")
		return
	}
	w.Header().Set("WWW-Authenticate", "Bearer")
	fail(w, http.StatusUnauthorized, "the bearer token of admin.token_file is needed")
}

func (s *Server) public(path string) bool {
	return path == "/healthz" || path == "/readyz" || path == "/login" || strings.HasPrefix(path, "/assets/") || path == "/metrics" && s.opts.MetricsPublic
}

// login begins a session for who knows the token.
func (s *Server) login(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	next := r.PostFormValue("next")
	if !s.access.hasToken {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	}
	if !s.access.tokenFits(r, strings.TrimSpace(r.PostFormValue("token"))) {
		s.opts.Log.Warn("login at the admin address refused", "remote", r.RemoteAddr)
		s.loginPage(w, r, http.StatusUnauthorized, "This is not the token of admin.token_file, or too many wrong ones have come from here within a minute.", next)
		return
	}
	s.opts.Log.Info("login at the admin address", "remote", r.RemoteAddr)
	http.SetCookie(w, &http.Cookie{Name: sessionCookie, Value: s.access.begin(), Path: "/", MaxAge: int(sessionLife.Seconds()),
		HttpOnly: true, Secure: r.TLS != nil, SameSite: http.SameSiteStrictMode})
	http.Redirect(w, r, local(next), http.StatusSeeOther)
}

// local is a path of this server, whatever was asked for.
func local(next string) string {
	if !strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") || strings.ContainsAny(next, "\\\r\n") {
		return "/"
	}
	return next
}

func (s *Server) logout(w http.ResponseWriter, r *http.Request) {
	if c, err := r.Cookie(sessionCookie); err == nil {
		s.access.end(c.Value)
	}
	http.SetCookie(w, &http.Cookie{Name: sessionCookie, Path: "/", MaxAge: -1, HttpOnly: true, Secure: r.TLS != nil, SameSite: http.SameSiteStrictMode})
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func (s *Server) loginPage(w http.ResponseWriter, r *http.Request, status int, problem, next string) {
	s.render(w, r, status, "login.html", "Log in", struct{ Problem, Next string }{problem, next})
}

// audit says in the log who did what, to a device or (device "") to the proxy.
func (s *Server) audit(r *http.Request, action, device string, err error, more ...any) {
	log := s.opts.Log.With("who", callerOf(r).who, "remote", r.RemoteAddr, "action", action).With(more...)
	if device != "" {
		log = log.With("device", device)
	}
	if err != nil {
		log.Warn("audit", "err", err)
		return
	}
	log.Info("audit")
}
