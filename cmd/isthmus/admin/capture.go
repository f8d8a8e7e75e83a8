package admin

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"
)

// Captures are what CPE and proxy say to each other, captured on demand. It is safe for concurrent use.
type Captures interface {
	// StartCapture captures the SOAP of a device until the time that it gives, or has a capture under way go on until then. ErrNoDevice where
	// there is no such device; any other error says why another cannot begin.
	StartCapture(id string, d time.Duration) (until time.Time, err error)
	// Captured gives what was captured after the message with a number; false where nothing is.
	Captured(id string, after int) (*Capture, bool)
	// StopCapture ends a capture and forgets it; false where there is none.
	StopCapture(id string) bool
}

// Capture is the answer to GET /api/v1/devices/{endpoint_id}/capture.
type Capture struct {
	Until    time.Time `json:"until"`   // when it ends, or ended
	Dropped  int       `json:"dropped"` // messages that have given way to later ones
	Messages []Message `json:"messages"`
}

// Message is an HTTP message between CPE and proxy, as it was but for secrets.
type Message struct {
	Seq     int               `json:"seq"` // 1 for the first of a capture
	Time    time.Time         `json:"time"`
	FromCPE bool              `json:"from_cpe"`
	Remote  string            `json:"remote"`           // address of the CPE
	Method  string            `json:"method,omitempty"` // of a request
	Path    string            `json:"path,omitempty"`   // of a request
	Status  int               `json:"status,omitempty"` // of an answer
	Headers map[string]string `json:"headers"`
	Body    string            `json:"body"`
	Size    int               `json:"size"` // bytes of the body before anything was cut
	Note    string            `json:"note"` // why body is not the message
}

// How long a capture lasts.
const (
	defaultCapture = 5 * time.Minute
	maxCapture     = time.Hour
)

// capture starts one, gives what it has, and ends it.
func (s *Server) capture(mux *http.ServeMux) {
	const path = "/api/v1/devices/{id}/capture"
	mux.HandleFunc("POST "+path, s.startCapture)
	mux.HandleFunc("GET "+path, s.captured)
	mux.HandleFunc("DELETE "+path, s.stopCapture)
	mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) {
		const methods = "GET, POST, DELETE"
		w.Header().Set("Allow", methods)
		fail(w, http.StatusMethodNotAllowed, "only "+methods+" are known here")
	})
}

var errCaptureTime = errors.New("for must be a duration such as 5m, of an hour at most")

// beginCapture starts the capture of a request's device, for a time such as 5m, and writes it to the audit log.
func (s *Server) beginCapture(r *http.Request, text string) (until time.Time, err error) {
	d := defaultCapture
	if text != "" {
		if d, err = time.ParseDuration(text); err != nil || d <= 0 || d > maxCapture {
			return until, errCaptureTime
		}
	}
	id := r.PathValue("id")
	until, err = s.opts.Captures.StartCapture(id, d)
	s.audit(r, "start capture", id, err, "for", d)
	return until, err
}

// endCapture ends the capture of a request's device and writes it to the audit log; false where there is none.
func (s *Server) endCapture(r *http.Request) bool {
	id := r.PathValue("id")
	ended := s.opts.Captures.StopCapture(id)
	if ended {
		s.audit(r, "stop capture", id, nil)
	}
	return ended
}

func (s *Server) startCapture(w http.ResponseWriter, r *http.Request) {
	switch until, err := s.beginCapture(r, r.URL.Query().Get("for")); {
	case errors.Is(err, errCaptureTime):
		fail(w, http.StatusBadRequest, err.Error())
	case errors.Is(err, ErrNoDevice):
		noDevice(w, r)
	case err != nil:
		fail(w, http.StatusConflict, err.Error())
	default:
		answer(w, &Capture{Until: until.UTC(), Messages: []Message{}})
	}
}

// afterMessage is the message after which a request wants those of a capture, 0 for all of them.
func afterMessage(r *http.Request) (seq int, err error) {
	if text := r.URL.Query().Get("after"); text != "" {
		if seq, err = strconv.Atoi(text); err != nil || seq < 0 {
			return 0, errors.New("after must be the seq of a message")
		}
	}
	return seq, nil
}

func (s *Server) captured(w http.ResponseWriter, r *http.Request) {
	after, err := afterMessage(r)
	if err != nil {
		fail(w, http.StatusBadRequest, err.Error())
		return
	}
	c, ok := s.opts.Captures.Captured(r.PathValue("id"), after)
	if !ok {
		noCapture(w)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false) // XML would have six times its size
	_ = e.Encode(c)        // the client is gone
}

func (s *Server) stopCapture(w http.ResponseWriter, r *http.Request) {
	if !s.endCapture(r) {
		noCapture(w)
		return
	}
	answer(w, struct{}{})
}

func noCapture(w http.ResponseWriter) {
	fail(w, http.StatusNotFound, "no capture of this device: start one with POST")
}
