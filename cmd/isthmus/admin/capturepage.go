package admin

import (
	"errors"
	"net/http"
	"regexp"
	"strconv"
	"time"
)

// captureShown is how many messages of a capture a page shows.
const captureShown = 50

// capturePage shows what was captured of a device.
func (s *Server) capturePage(w http.ResponseWriter, r *http.Request) {
	after, err := afterMessage(r)
	if err != nil {
		s.errorPage(w, r, http.StatusBadRequest, err)
		return
	}
	s.showCapture(w, r, http.StatusOK, after, "")
}

// showCapture is the page of a capture, or of there being none, with why one has not begun.
func (s *Server) showCapture(w http.ResponseWriter, r *http.Request, status, after int, failed string) {
	id := r.PathValue("id")
	if _, ok := s.opts.Fleet.Device(id); !ok {
		s.noDevicePage(w, r)
		return
	}
	at := "/devices/" + Segment(id) + "/capture"
	next := ""
	c, ok := s.opts.Captures.Captured(id, after)
	if !ok {
		c = nil
	} else if len(c.Messages) > captureShown {
		c.Messages = c.Messages[:captureShown]
		next = at + "?after=" + strconv.Itoa(c.Messages[captureShown-1].Seq)
	}
	s.render(w, r, status, "capture.html", "SOAP of "+id, struct {
		*Capture     // nil: there is none
		ID, At, Next string
		Running      bool
		Later        bool // not the first messages
		Failed       string
		Lengths      []choice
	}{c, id, at, next, ok && time.Now().Before(c.Until), after > 0, failed, choices("5m", "5m", "5 minutes", "15m", "15 minutes", "1h", "an hour")})
}

// startCapturePage starts a capture, for a person, or has one go on.
func (s *Server) startCapturePage(w http.ResponseWriter, r *http.Request) {
	switch _, err := s.beginCapture(r, r.PostFormValue("for")); {
	case errors.Is(err, errCaptureTime):
		s.showCapture(w, r, http.StatusBadRequest, 0, err.Error())
	case errors.Is(err, ErrNoDevice):
		s.noDevicePage(w, r)
	case err != nil:
		s.showCapture(w, r, http.StatusConflict, 0, err.Error())
	default:
		s.toCapture(w, r)
	}
}

// stopCapturePage ends a capture, for a person; one that is over already has ended as they wanted.
func (s *Server) stopCapturePage(w http.ResponseWriter, r *http.Request) {
	s.endCapture(r)
	s.toCapture(w, r)
}

func (s *Server) toCapture(w http.ResponseWriter, r *http.Request) {
	http.Redirect(w, r, "/devices/"+Segment(r.PathValue("id"))+"/capture", http.StatusSeeOther)
}

// inBody finds the first element in the Body of an Envelope, whatever its prefix.
var inBody = regexp.MustCompile(`<(?:[\w.-]{1,64}:)?Body\b[^>]*>\s*<(?:[\w.-]{1,64}:)?(\w{1,64})`)

// bodyName is what a message is, such as Inform; "" where that cannot be said.
func bodyName(m Message) string {
	if found := inBody.FindStringSubmatch(m.Body); found != nil {
		return found[1]
	}
	return ""
}

var between = regexp.MustCompile(`>(<[^/])`)

// lines is a body with each element on a line of its own, as a person can read it; many CPE send one line.
func lines(body string) string { return between.ReplaceAllString(body, ">\n$1") }
