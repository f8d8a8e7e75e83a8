package cwmp

import (
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// CapturedMessage is one HTTP message of a session as it was on the wire, without secrets.
type CapturedMessage struct {
	Seq     int // 1 for the first of a Capture
	Time    time.Time
	FromCPE bool
	Remote  string            // address of the CPE
	Method  string            // of a request
	Path    string            // of a request; its query is cut
	Status  int               // of an answer
	Header  map[string]string // those that matter; of credentials the scheme, of cookies nothing
	Body    string            // in UTF-8, inflated; "[cut]" where a secret was, or may be
	Size    int               // bytes of the body before anything was cut
	Note    string            // why Body is not the message; "": it is
}

// Capture is what was captured of a CPE.
type Capture struct {
	Until    time.Time // when it ends, or ended
	Dropped  int       // messages that have given way to later ones
	Messages []CapturedMessage
}

// The bounds of captures.
const (
	MaxCaptures    = 8         // CPE at a time
	MaxCapture     = time.Hour // how long one lasts at most
	captureKept    = 10 * time.Minute
	captureSize    = 4 << 20 // of one CPE, in bytes; the oldest messages give way
	captureMessage = 1 << 20 // a larger body is not shown
	captureHeader  = 256     // bytes of a header's value, and of a path
	captureEntry   = 512     // what a message counts beside its body
)

// ErrCaptures says that MaxCaptures are under way, or that the Server is closing.
var ErrCaptures = errors.New("cwmp: too many captures are under way")

// captures are those of a Server.
type captures struct {
	all    atomic.Pointer[map[DeviceID]*capture] // replaced, never changed; nil: there are none
	mu     sync.Mutex                            // held to replace it
	closed bool
}

type capture struct {
	end *time.Timer // after which nothing is kept

	mu   sync.Mutex
	seq  int
	size int
	Capture
}

// change replaces the table; mu is held.
func (cs *captures) change(f func(map[DeviceID]*capture)) {
	next := make(map[DeviceID]*capture)
	if all := cs.all.Load(); all != nil {
		maps.Copy(next, *all)
	}
	f(next)
	if len(next) == 0 {
		cs.all.Store(nil)
		return
	}
	cs.all.Store(&next)
}

func (cs *captures) find(id DeviceID) *capture {
	if all := cs.all.Load(); all != nil {
		return (*all)[identity(id)]
	}
	return nil
}

func (cs *captures) close() {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.closed = true
	cs.change(func(all map[DeviceID]*capture) {
		for _, c := range all {
			c.end.Stop()
		}
		clear(all)
	})
}

// Capture keeps what a CPE says and is told from now on: for d, MaxCapture at most, then for ten minutes more as it is. One that is
// under way goes on, with the new end. The error is ErrCaptures.
func (sv *Server) Capture(id DeviceID, d time.Duration) (until time.Time, err error) {
	id, d = identity(id), min(d, MaxCapture)
	until = time.Now().Add(d)
	cs := &sv.captures
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if cs.closed {
		return until, ErrCaptures
	}
	cs.change(func(all map[DeviceID]*capture) {
		if c := all[id]; c != nil {
			c.mu.Lock()
			c.Until = until
			c.mu.Unlock()
			c.end.Reset(d + captureKept)
			return
		}
		if len(all) >= MaxCaptures && !makeRoom(all) {
			err = ErrCaptures
			return
		}
		c := &capture{Capture: Capture{Until: until}}
		c.end = time.AfterFunc(d+captureKept, func() { sv.endCapture(id, c) })
		all[id] = c
	})
	return until, err
}

// Capturing are the CPE of captures that are under way, in no order.
func (sv *Server) Capturing() []DeviceID {
	var ids []DeviceID
	if all := sv.captures.all.Load(); all != nil {
		for id, c := range *all {
			c.mu.Lock()
			if time.Now().Before(c.Until) {
				ids = append(ids, id)
			}
			c.mu.Unlock()
		}
	}
	return ids
}

// makeRoom takes away the capture that ended first, if one has.
func makeRoom(all map[DeviceID]*capture) bool {
	oldest, end := DeviceID{}, time.Now()
	for id, c := range all {
		c.mu.Lock()
		if c.Until.Before(end) {
			oldest, end = id, c.Until
		}
		c.mu.Unlock()
	}
	c := all[oldest]
	if c == nil {
		return false
	}
	c.end.Stop()
	delete(all, oldest)
	return true
}

// Captured gives what was captured of a CPE after the message with a number, 0 for all of it; false where nothing is captured.
func (sv *Server) Captured(id DeviceID, after int) (Capture, bool) {
	c := sv.captures.find(id)
	if c == nil {
		return Capture{}, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	out := c.Capture
	from, _ := slices.BinarySearchFunc(out.Messages, after+1, func(m CapturedMessage, seq int) int { return m.Seq - seq })
	out.Messages = slices.Clone(out.Messages[from:])
	return out, true
}

// EndCapture ends the capture of a CPE and forgets what it has; false where there is none.
func (sv *Server) EndCapture(id DeviceID) bool {
	c := sv.captures.find(id)
	return c != nil && sv.endCapture(identity(id), c)
}

func (sv *Server) endCapture(id DeviceID, c *capture) (ended bool) {
	cs := &sv.captures
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.change(func(all map[DeviceID]*capture) {
		if ended = all[id] == c; ended {
			c.end.Stop()
			delete(all, id)
		}
	})
	return ended
}

func (c *capture) add(m CapturedMessage) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if m.Time.After(c.Until) {
		return
	}
	c.seq++
	m.Seq = c.seq
	c.size += m.weight()
	for c.size > captureSize && len(c.Messages) > 0 {
		c.size -= c.Messages[0].weight()
		c.Messages[0] = CapturedMessage{}
		c.Messages = c.Messages[1:]
		c.Dropped++
	}
	c.Messages = append(c.Messages, m)
}

func (m *CapturedMessage) weight() int {
	n := captureEntry + len(m.Path) + len(m.Body)
	for name, value := range m.Header {
		n += len(name) + len(value)
	}
	return n
}

// tap is where a POST and its answer are captured: in place of the ResponseWriter, while any CPE is captured. A nil tap does nothing.
type tap struct {
	http.ResponseWriter
	sv      *Server
	of      map[DeviceID]*capture
	to      *capture // nil: not known yet, or nobody looks
	request CapturedMessage
	charset string // Content-Type of the request
	body    string
	status  int
}

// tap is nil while no CPE is captured. Whose a POST is says its body: a connection may have been another CPE's.
func (sv *Server) tap(w http.ResponseWriter, r *http.Request) (*tap, http.ResponseWriter) {
	all := sv.captures.all.Load()
	if all == nil {
		return nil, w
	}
	t := &tap{ResponseWriter: w, sv: sv, of: *all, charset: r.Header.Get("Content-Type"), request: CapturedMessage{Time: time.Now(), FromCPE: true,
		Remote: r.RemoteAddr, Method: r.Method, Path: bounded(r.URL.EscapedPath()), Header: shownHeaders(r.Header)}}
	if r.URL.RawQuery != "" {
		t.request.Path += "?" + cut
	}
	if r.ContentLength != 0 {
		t.request.Note = "the body was refused before it was read"
	}
	return t, t
}

// tapAnswer is tap for the answer to a POST of a session that was held: its CPE may be captured only now.
func (sv *Server) tapAnswer(w http.ResponseWriter, r *http.Request, s *Session) http.ResponseWriter {
	c := sv.captures.find(s.DeviceID)
	if c == nil {
		return w
	}
	t, ok := w.(*tap)
	if !ok {
		t = &tap{ResponseWriter: w, sv: sv, request: CapturedMessage{Remote: r.RemoteAddr}}
	}
	t.to = c
	return t
}

// Unwrap lets http.ResponseController find the connection.
func (t *tap) Unwrap() http.ResponseWriter { return t.ResponseWriter }

// took keeps a body until it is known whose it is.
func (t *tap) took(body string) {
	if t == nil {
		return
	}
	t.request.Note, t.request.Size = "", len(body)
	if len(body) <= captureMessage {
		t.body = body
	}
}

// received captures the POST if its CPE, which an Inform says and else the session, is one that is captured.
func (t *tap) received(s *Session, env *Envelope) {
	if t == nil {
		return
	}
	body := t.body
	t.body = ""
	if env != nil {
		if m, ok := env.Body.(*Inform); ok {
			t.to = t.of[identity(m.DeviceId)]
			s = nil
		}
	}
	if s != nil {
		t.to = t.of[identity(s.DeviceID)]
	}
	if t.to != nil {
		t.capture(&t.request, body, t.charset)
	}
}

// WriteHeader implements http.ResponseWriter.
func (t *tap) WriteHeader(status int) {
	t.status = status
	t.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter; an answer is one Write. It is captured first, so that who has got it finds it there.
func (t *tap) Write(b []byte) (int, error) {
	if t.to != nil {
		m := CapturedMessage{Time: time.Now(), Remote: t.request.Remote, Status: t.status, Header: shownHeaders(t.Header()), Size: len(b)}
		body := ""
		if len(b) <= captureMessage {
			body = string(b)
		}
		t.capture(&m, body, "")
	}
	return t.ResponseWriter.Write(b)
}

// capture keeps a message with its body, or with why it has none.
func (t *tap) capture(m *CapturedMessage, body, contentType string) {
	switch {
	case m.Size > captureMessage:
		m.Note = "the body is too large to be shown"
	case strings.TrimLeft(body, " \t\r\n\x00") != "":
		if len(body) > smallMessage {
			t.sv.decoding <- struct{}{}
			defer func() { <-t.sv.decoding }()
		}
		var ok bool
		if m.Body, ok = redact(body, contentType, t.sv.secret); !ok {
			m.Note = "the body is no SOAP message, so that nobody knows what in it is secret"
		}
	}
	t.to.add(*m)
}

// secret says whether the value of a parameter is not to be shown.
func (sv *Server) secret(name string) bool { return sv.opts.Secret == nil || sv.opts.Secret(name) }

// The headers that captures show: whole, or the scheme alone.
var (
	wholeHeaders  = []string{"Connection", "Content-Encoding", "Content-Length", "Content-Type", "Retry-After", "Soapaction", "User-Agent"}
	schemeHeaders = []string{"Authorization", "Www-Authenticate"}
	cutHeaders    = []string{"Cookie", "Set-Cookie"}
)

func shownHeaders(h http.Header) map[string]string {
	out := make(map[string]string)
	for _, name := range wholeHeaders {
		if v := h[name]; len(v) > 0 {
			out[name] = bounded(strings.Join(v, ", "))
		}
	}
	for _, name := range schemeHeaders {
		if v := h[name]; len(v) > 0 {
			out[name] = cut
			for _, scheme := range []Scheme{Basic, Digest} {
				if s, _, _ := strings.Cut(strings.TrimSpace(v[0]), " "); strings.EqualFold(s, string(scheme)) {
					out[name] = string(scheme) + " " + cut
				}
			}
		}
	}
	for _, name := range cutHeaders {
		if len(h[name]) > 0 {
			out[name] = cut
		}
	}
	return out
}

func bounded(s string) string {
	if len(s) > captureHeader {
		return s[:captureHeader] + "…"
	}
	return s
}
