package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"

	"isthmus/usp/usppb"
)

// MsgType is the content type of a USP Msg.
const MsgType = "application/x-protobuf"

const (
	defaultLimit = 100
	maxLimit     = 1000
)

func (s *Server) health(w http.ResponseWriter, _ *http.Request) { plain(w, http.StatusOK, "ok\n") }

func (s *Server) ready(w http.ResponseWriter, _ *http.Request) {
	if s.opts.Ready != nil {
		if err := s.opts.Ready(); err != nil {
			plain(w, http.StatusServiceUnavailable, err.Error()+"\n")
			return
		}
	}
	plain(w, http.StatusOK, "ready\n")
}

func (s *Server) devices(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	limit := defaultLimit
	if text := q.Get("limit"); text != "" {
		var err error
		if limit, err = strconv.Atoi(text); err != nil || limit < 1 || limit > maxLimit {
			fail(w, http.StatusBadRequest, "limit must be a number from 1 to 1000")
			return
		}
	}
	by, err := filter(q)
	if err != nil {
		fail(w, http.StatusBadRequest, err.Error())
		return
	}
	answer(w, s.list(q.Get("after"), by, limit))
}

// filter is what a query selects.
func filter(q url.Values) (Filter, error) {
	by := Filter{Text: q.Get("q"), Root: q.Get("root"), State: q.Get("state")}
	if by.State != "" && !slices.Contains(States, by.State) {
		return by, fmt.Errorf("state must be one of %s", strings.Join(States, ", "))
	}
	return by, nil
}

// list gives one page. It asks for one device more than fits, to know whether there is another page.
func (s *Server) list(after string, by Filter, limit int) *List {
	l := &List{Devices: s.opts.Fleet.Devices(after, by, limit+1)}
	if len(l.Devices) > limit {
		l.Devices = l.Devices[:limit]
		l.Next = l.Devices[limit-1].EndpointID
	}
	if l.Devices == nil {
		l.Devices = []Device{}
	}
	return l
}

func (s *Server) sessions(w http.ResponseWriter, _ *http.Request) {
	answer(w, &Sessions{s.opts.Fleet.Sessions(maxLimit)})
}

// act does something to a device, for a program.
func (s *Server) act(w http.ResponseWriter, r *http.Request, a Action) {
	switch err := s.do(r, a); {
	case err == nil:
		answer(w, &Done{Result: "done"})
	case errors.Is(err, ErrNoDevice):
		noDevice(w, r)
	case errors.Is(err, ErrBusy):
		fail(w, http.StatusConflict, err.Error())
	default:
		fail(w, http.StatusBadGateway, err.Error())
	}
}

// do does something to the device of a request and writes it to the audit log.
func (s *Server) do(r *http.Request, a Action) error {
	ctx, cancel := context.WithTimeout(r.Context(), s.opts.RequestTimeout)
	defer cancel()
	err := s.opts.Fleet.Act(ctx, r.PathValue("id"), a)
	s.audit(r, string(a), r.PathValue("id"), err)
	return err
}

func (s *Server) device(w http.ResponseWriter, r *http.Request) {
	d, ok := s.opts.Fleet.Device(r.PathValue("id"))
	if !ok {
		noDevice(w, r)
		return
	}
	answer(w, d)
}

func (s *Server) trace(w http.ResponseWriter, r *http.Request) {
	t, ok := s.opts.Fleet.Trace(r.PathValue("id"))
	if !ok {
		noDevice(w, r)
		return
	}
	if t == nil {
		t = []Exchange{}
	}
	answer(w, &Trace{Exchanges: t})
}

// traced finds the exchange of a trace, such as an exemplar names.
func (s *Server) traced(w http.ResponseWriter, r *http.Request) {
	trace := strings.ToLower(r.PathValue("trace"))
	if id, ok := s.opts.Fleet.Traced(trace); ok {
		exchanges, _ := s.opts.Fleet.Trace(id)
		for i := range exchanges {
			if exchanges[i].TraceID == trace {
				answer(w, &Traced{id, exchanges[i]})
				return
			}
		}
	}
	fail(w, http.StatusNotFound, noTrace)
}

const noTrace = "no device has this trace, or no longer: the last 64 exchanges of each are kept, until a restart"

// usp passes a USP request on. No page of another site can send this content type without asking first, and nothing here says yes.
func (s *Server) usp(w http.ResponseWriter, r *http.Request) {
	if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != MsgType {
		fail(w, http.StatusUnsupportedMediaType, "send a USP Msg as "+MsgType)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	if err != nil {
		status := http.StatusBadRequest
		if tooBig := (*http.MaxBytesError)(nil); errors.As(err, &tooBig) {
			status = http.StatusRequestEntityTooLarge
		}
		fail(w, status, "the message was not received: "+err.Error())
		return
	}
	var req usppb.Msg
	if err := proto.Unmarshal(body, &req); err != nil || req.GetBody().GetRequest() == nil {
		fail(w, http.StatusBadRequest, "the body is no USP request")
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.opts.RequestTimeout)
	defer cancel()
	resp, err := s.opts.Fleet.Do(ctx, r.PathValue("id"), &req)
	if changes(&req) {
		s.audit(r, req.GetHeader().GetMsgType().String(), r.PathValue("id"), err)
	}
	switch {
	case errors.Is(err, ErrNoDevice):
		noDevice(w, r)
		return
	case errors.Is(err, context.DeadlineExceeded):
		fail(w, http.StatusGatewayTimeout, "the Agent did not answer in time")
		return
	case err != nil:
		s.opts.Log.Warn("USP request over the admin address failed", "device", r.PathValue("id"), "err", err)
		fail(w, http.StatusInternalServerError, "the request failed: see the log of isthmus")
		return
	}
	out, err := proto.Marshal(resp)
	if err != nil {
		s.opts.Log.Warn("encoding a USP answer failed", "device", r.PathValue("id"), "err", err)
		fail(w, http.StatusInternalServerError, "the answer could not be encoded: see the log of isthmus")
		return
	}
	w.Header().Set("Content-Type", MsgType)
	_, _ = w.Write(out) // the client is gone
}

// changes says whether a request does more than read.
func changes(req *usppb.Msg) bool {
	switch req.GetBody().GetRequest().GetReqType().(type) {
	case *usppb.Request_Set, *usppb.Request_Add, *usppb.Request_Delete, *usppb.Request_Operate:
		return true
	}
	return false
}

// Segment escapes an Endpoint ID as one path segment of this API.
func Segment(id string) string { return url.PathEscape(id) }

func noDevice(w http.ResponseWriter, r *http.Request) {
	fail(w, http.StatusNotFound, "no device "+r.PathValue("id")+" (in the path, % is written %25)")
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // the client is gone
}

func fail(w http.ResponseWriter, status int, msg string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(Error{msg}) // the client is gone
}

// html sets the headers of a page.
func html(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
}

func plain(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text) // the client is gone
}
