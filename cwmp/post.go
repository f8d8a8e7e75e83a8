package cwmp

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mrand "math/rand/v2"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"time"
)

// ServeHTTP takes one POST of a CPE (TR-069 3.7).
func (sv *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !sv.enter() {
		unavailable(w, retryAfter)
		return
	}
	defer sv.work.Done()
	c, _ := r.Context().Value(connKey{}).(*connState)
	if c != nil {
		c.begun.Store(false)
	}
	if r.Method != http.MethodPost {
		sv.metrics.malformed.WithLabelValues("method").Inc()
		w.Header().Set("Allow", http.MethodPost)
		write(w, answer{status: http.StatusMethodNotAllowed})
		return
	}
	if len(sv.opts.TrustedProxies) > 0 {
		if from, proxied := source(r, sv.opts.TrustedProxies); proxied {
			r.RemoteAddr, c = from.String(), nil // the connection may carry many CPE
		}
	}
	s := sv.find(r, c)
	t, w := sv.tap(w, r)
	var who *caller
	gate := sv.gate.Load()
	if gate != nil && s == nil {
		var user, outcome string
		if who, user, outcome = gate.authenticate(r, c); who == nil {
			sv.deny(w, r, user, outcome)
			return
		}
	}
	certain := s
	if s == nil {
		s = sv.expected(r, who)
	}
	limit := sv.opts.MaxFirstBody
	if s != nil && r.ContentLength != 0 && s.receiving() {
		limit = sv.opts.MaxBody
	}
	env, of, err := sv.readMessage(r, limit, t)
	t.received(s, env)
	if err != nil {
		sv.reject(w, r, certain, err) // what is no message proves nothing of whose it is
		return
	}
	if env == nil {
		sv.meet(w, r, s, nil)
		return
	}
	if env.Repaired {
		sv.metrics.repaired.Inc()
	}
	sv.metrics.skipped.Add(float64(env.Skipped))
	if m, ok := env.Body.(*Inform); ok {
		if gate != nil {
			if who = sv.letIn(w, r, c, who, m); who == nil {
				return
			}
		}
		sv.inform(w, r, c, env, of, who)
		return
	}
	sv.meet(w, r, s, env)
}

// reject answers what is no message, and ends the session that it came in.
func (sv *Server) reject(w http.ResponseWriter, r *http.Request, s *Session, err error) {
	status, reason := http.StatusBadRequest, malformedReason(err)
	switch {
	case errors.Is(err, ErrTooLarge):
		status = http.StatusRequestEntityTooLarge
	case errors.Is(err, errEncoding):
		status, reason = http.StatusUnsupportedMediaType, "encoding"
	case errors.Is(err, ErrMalformed), errors.Is(err, ErrDoctype), errors.Is(err, ErrLimit):
	default:
		reason = "read"
	}
	sv.metrics.malformed.WithLabelValues(reason).Inc()
	if reason != "read" {
		sv.log.Warn("message refused", "remote", r.RemoteAddr, "err", err)
		if s != nil {
			s.end(err)
		}
	}
	w.Header().Set("Connection", "close")
	write(w, answer{status: status})
}

// meet hands a POST to its session and waits for the answer.
func (sv *Server) meet(w http.ResponseWriter, r *http.Request, s *Session, env *Envelope) {
	if env == nil && s != nil && sv.idle(s) && s.concluded() {
		write(w, s.farewell())
		_ = http.NewResponseController(w).Flush() // End may take its time
		s.finish(nil)
		return
	}
	x := newExchange(env)
	if s == nil || !s.deliver(x) {
		sv.stray(w, r, s, x)
		return
	}
	// The server's deadlines are for reading and writing; a held POST outlasts both.
	rc := http.NewResponseController(w)
	_ = rc.SetReadDeadline(time.Now().Add(maxHold)) // not supported: no deadline to move
	var a answer
	select {
	case a = <-x.answer:
	case <-r.Context().Done():
		if x.abandon() {
			s.hungUp(x)
			return
		}
		a = <-x.answer
	}
	if a.status == tooLate.status {
		sv.stray(w, r, s, x)
		return
	}
	_ = rc.SetWriteDeadline(time.Now().Add(sv.opts.WriteTimeout)) // as above
	write(sv.tapAnswer(w, r, s), a)
}

// idle says whether the Handler has nothing to ask in a session.
func (sv *Server) idle(s *Session) (idle bool) {
	h, ok := sv.handler.(Idler)
	if !ok {
		return false
	}
	defer func() {
		if p := recover(); p != nil {
			_, idle = sv.panicked(s, p), false
		}
	}()
	return h.Idle(s)
}

// stray answers a POST that belongs to no open session. s may be one that has ended.
func (sv *Server) stray(w http.ResponseWriter, r *http.Request, s *Session, x *exchange) {
	req := x.request()
	stale := s == nil && len(cookieValues(r.Header)) > 0 // of a session that is none of ours, or long over
	if req == nil && (x.env == nil || s != nil) && !stale {
		write(w, s.farewell())
		return
	}
	if req != nil && s != nil {
		if late := sv.revive(r.Context(), s); late != nil {
			started := time.Now()
			resp, err := sv.respond(late.ctx, s, req)
			write(w, late.envelope(x.env.ID, resp))
			sv.observe(s, req, true, started, err)
			late.finish(nil)
			return
		}
	}
	sv.metrics.malformed.WithLabelValues("session").Inc()
	rpc := "empty"
	if x.env != nil {
		rpc = rpcLabel(x.env.Body)
	}
	sv.log.Warn("message outside of a session", "remote", r.RemoteAddr, "rpc", rpc)
	write(w, answer{status: http.StatusBadRequest})
}

// revive makes a stand-in for a session that ended just now, so that an Inform that comes meanwhile waits its turn.
func (sv *Server) revive(ctx context.Context, s *Session) *Session {
	select {
	case <-s.done: // the 204 is sent before End, which may take its time
	case <-ctx.Done():
		return nil
	}
	s.mu.Lock()
	recent := s.state == over && s.begun && time.Since(s.ended) < afterlife
	s.mu.Unlock()
	if !recent {
		return nil
	}
	late := sv.newSession(ctx, s.Inform, s.namespace)
	late.ID, late.Version, late.RemoteAddr, late.quirks = s.ID, s.Version, s.RemoteAddr, s.quirks
	sv.mu.Lock()
	defer sv.mu.Unlock()
	key := identity(s.DeviceID)
	if sv.draining || sv.byIdentity[key] != nil {
		late.cancel(ErrSessionClosed)
		return nil
	}
	sv.byCookie[late.cookie], sv.byIdentity[key] = late, late
	sv.metrics.active.Inc()
	return late
}

func (sv *Server) newSession(ctx context.Context, m *Inform, namespace string) *Session {
	cookie, id := rand.Text(), rand.Text()
	s := &Session{
		DeviceID: m.DeviceId, Inform: m, ID: id[:8],
		server: sv, namespace: namespace, cookie: cookie, timeout: sv.opts.SessionTimeout,
		done: make(chan struct{}),
	}
	s.ctx, s.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	return s
}

// inform opens a session: after the end of the CPE's former one, if that is still there. who is nil without an Auth.
func (sv *Server) inform(w http.ResponseWriter, r *http.Request, c *connState, env *Envelope, of imprint, who *caller) {
	m := env.Body.(*Inform)
	s := sv.newSession(r.Context(), m, env.Namespace)
	s.informSum = of.sum
	if who != nil {
		s.Username = who.user
	}
	s.RemoteAddr, _ = netip.ParseAddrPort(r.RemoteAddr) // a pipe has none
	if env.SessionTimeout != 0 {
		s.timeout, s.timeoutTold = min(max(env.SessionTimeout, minSilence), maxSilence), true
	}
	version, use, ok := negotiate(env)
	s.Version = version
	if f := acceptable(m, ok); f != nil {
		s.cancel(f)
		sv.metrics.malformed.WithLabelValues("inform").Inc()
		sv.log.Warn("Inform refused", "remote", r.RemoteAddr, "err", f)
		write(w, s.envelope(env.ID, f))
		return
	}
	if former, body := sv.repeated(m, of.sum); former != nil {
		s.cancel(ErrSessionClosed)
		sv.metrics.repeated.Inc()
		greet(w, c, former, body)
		return
	}
	if err := sv.pace(r.Context(), m, of.size); err != nil {
		sv.refuse(w, s, env.ID, err)
		return
	}
	former, err := sv.admit(s)
	if err == nil {
		err = sv.begin(r.Context(), s, former)
	}
	if err != nil {
		sv.refuse(w, s, env.ID, err)
		return
	}
	a := answer{status: http.StatusOK}
	a.body, err = encodeInformResponse(env.ID, use, env.Namespace, s.quirks.Declared)
	if err != nil {
		s.cancel(err)
	}
	if r.Context().Err() != nil {
		s.cancel(ErrDisconnected) // the CPE has tried again by now, and its newer session may even be over
	}
	if s.quirks.ByAddress {
		sv.expect(s, r)
	}
	if !s.opened(a.body) {
		unavailable(w, 0)
		return
	}
	sv.metrics.informed(m)
	greet(w, c, s, a.body)
}

func acceptable(m *Inform, version bool) *Fault {
	switch {
	case m.DeviceId.OUI == "" || m.DeviceId.SerialNumber == "":
		return &Fault{Code: FaultACSInvalidArguments, String: "DeviceId without OUI or SerialNumber"}
	case !version:
		return NewFault(FaultACSVersion)
	}
	return nil
}

// greet answers an Inform. The cookie is set here only.
func greet(w http.ResponseWriter, c *connState, s *Session, body []byte) {
	if c != nil {
		c.session.Store(s)
	}
	w.Header()["Set-Cookie"] = []string{cookieName + "=" + s.cookie + "; Path=/"}
	write(w, answer{status: http.StatusOK, body: body})
}

// repeated returns the session that the very same Inform has opened, and its InformResponse, which seems to have been lost.
func (sv *Server) repeated(m *Inform, sum uint64) (*Session, []byte) {
	sv.mu.Lock()
	s := sv.byIdentity[identity(m.DeviceId)]
	sv.mu.Unlock()
	if s == nil {
		return nil, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != open || s.informSum != sum {
		return nil, nil
	}
	s.silence.Reset(s.timeout)
	return s, s.informResponse
}

// admit puts a session in the tables and ends the CPE's former one, which is returned.
func (sv *Server) admit(s *Session) (*Session, error) {
	key := identity(s.DeviceID)
	sv.mu.Lock()
	if sv.draining {
		sv.mu.Unlock()
		return nil, &Refused{Status: http.StatusServiceUnavailable, RetryAfter: retryAfter, Reason: "draining"}
	}
	if len(sv.byCookie) >= sv.opts.MaxSessions {
		sv.mu.Unlock()
		return nil, &Refused{Status: http.StatusServiceUnavailable, RetryAfter: retryAfter, Reason: "full"}
	}
	former := sv.byIdentity[key]
	sv.byCookie[s.cookie], sv.byIdentity[key] = s, s
	sv.mu.Unlock()
	sv.metrics.active.Inc()
	if former != nil {
		former.end(ErrSuperseded)
	}
	return former, nil
}

// begin calls Begin once the former session's End has returned. When it fails the session has left the tables, or will when the
// former one has.
func (sv *Server) begin(ctx context.Context, s *Session, former *Session) error {
	if former != nil {
		select {
		case <-former.done:
		case <-s.ctx.Done():
		case <-ctx.Done():
		}
		select {
		case <-former.done:
		default:
			s.cancel(ErrDisconnected)
			sv.work.Add(1) // the caller's own count keeps it above 0
			go func() {
				defer sv.work.Done()
				<-former.done
				s.finish(nil)
			}()
			return fmt.Errorf("wait for the former session: %w", context.Cause(s.ctx))
		}
	}
	err := context.Cause(s.ctx)
	if err == nil {
		err = sv.callBegin(s)
	}
	if err != nil {
		s.finish(err)
	}
	return err
}

func (sv *Server) callBegin(s *Session) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = sv.panicked(s, p)
		}
	}()
	return sv.handler.Begin(s.ctx, s)
}

// opened makes it the CPE's turn, unless the session was ended while Begin was at work.
func (s *Session) opened(informResponse []byte) bool {
	s.mu.Lock()
	s.begun = true
	cause := context.Cause(s.ctx)
	if cause == nil {
		s.state = open
		s.informResponse = informResponse
		s.silence = time.AfterFunc(s.timeout, func() { s.end(ErrTimeout) })
	}
	s.mu.Unlock()
	if cause != nil {
		s.finish(cause)
	}
	return cause == nil
}

// refuse answers an Inform whose session did not begin.
func (sv *Server) refuse(w http.ResponseWriter, s *Session, id string, err error) {
	s.cancel(err)
	var refused *Refused
	var f *Fault
	switch {
	case errors.As(err, &refused):
		reason := "http"
		if refused.Reason == busy {
			reason = busy
		}
		sv.metrics.refused.WithLabelValues(reason).Inc()
		if refused.Status == http.StatusServiceUnavailable {
			unavailable(w, refused.RetryAfter)
			return
		}
		write(w, answer{status: refused.Status})
	case errors.As(err, &f):
		sv.metrics.refused.WithLabelValues("fault").Inc()
		write(w, s.envelope(id, f))
	case errors.Is(err, ErrSuperseded), errors.Is(err, ErrServerClosed), errors.Is(err, ErrDisconnected):
		sv.metrics.refused.WithLabelValues("ended").Inc()
		unavailable(w, 0)
	default:
		sv.metrics.refused.WithLabelValues("error").Inc()
		sv.log.Error("Inform failed", "session", s.ID, "err", err)
		write(w, s.envelope(id, NewFault(FaultACSInternalError)))
	}
}

// versions are those of CWMP that the Server speaks.
var versions = []string{"1.0", "1.1", "1.2", "1.3", "1.4"}

// negotiate finds the version to speak (TR-069 3.4.4): the highest that both sides have, which the CPE is told in UseCWMPVersion, or the
// one of its namespace.
func negotiate(env *Envelope) (version, use string, ok bool) {
	if len(env.SupportedCWMPVersions) == 0 {
		switch published(env.Namespace) {
		case NamespaceV1_0:
			return "1.0", "", true
		case NamespaceV1_1:
			return "1.1", "", true
		}
		return "1.2", "", true
	}
	for _, v := range slices.Backward(versions) {
		if slices.Contains(env.SupportedCWMPVersions, v) {
			return v, v, true
		}
	}
	return "", "", false
}

func unavailable(w http.ResponseWriter, retryAfter int) {
	if retryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(retryAfter+mrand.IntN(retryAfter/2+1)))
	}
	w.Header().Set("Connection", "close")
	write(w, answer{status: http.StatusServiceUnavailable})
}

var contentType = []string{"text/xml; charset=utf-8"}

// write sends an answer with as few headers as HTTP allows: CPE have small buffers.
func write(w http.ResponseWriter, a answer) {
	h := w.Header()
	h["Date"] = nil
	if len(a.body) > 0 {
		h["Content-Type"] = contentType
	}
	if a.status != http.StatusNoContent {
		h["Content-Length"] = []string{strconv.Itoa(len(a.body))}
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body) // a CPE that is gone will come again
}
