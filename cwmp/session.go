package cwmp

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Session is one CWMP session, from its Inform to the 204. The exported fields don't change, but for Own.
type Session struct {
	DeviceID   DeviceID
	Inform     *Inform
	RemoteAddr netip.AddrPort // of the Inform; zero if the transport has none
	ID         string         // for logs: random, not the cookie
	Version    string         // of CWMP, negotiated: "1.4"
	Username   string         // that the CPE has proven; "" where Auth asks for none
	Own        any            // the Handler's own: what Begin has set, for Run and End

	server    *Server
	namespace string
	cookie    string
	timeout   time.Duration
	quirks    Quirks // set in Begin

	timeoutTold bool // by the CPE
	certificate []byte

	ctx    context.Context
	cancel context.CancelCauseFunc
	done   chan struct{} // closed when End has returned

	// Made with the session's goroutine.
	in      chan *exchange
	calling chan struct{} // holds a token while a Call is under way

	mu             sync.Mutex
	state          sessionState
	begun          bool        // Begin returned nil: End is owed
	silence        *time.Timer // runs while it is the CPE's turn
	latest         *exchange
	inFlight       bool // an RPC was sent, its answer is awaited
	draining       bool
	informSum      uint64 // the Inform's bytes, until the CPE has shown that it got the InformResponse
	informResponse []byte
	ended          time.Time

	// The goroutine of Run, or a Call made on its behalf, owns what follows.
	held   *exchange // the POST to which the CPE awaits our answer
	lastID int
}

type sessionState int

const (
	starting sessionState = iota // in Begin
	open                         // the CPE's turn, no goroutine yet
	running                      // the session's goroutine lives
	over
)

// exchange is one POST of the CPE and what is to be answered. Either the session answers it or the CPE hangs up, never both.
type exchange struct {
	env     *Envelope // nil: an empty POST
	settled atomic.Bool
	answer  chan answer
}

type answer struct {
	status int
	body   []byte
}

// tooLate is the answer to a POST that came when the session had had its last word.
var tooLate answer

func newExchange(env *Envelope) *exchange {
	if env != nil && env.Body == nil {
		env = nil
	}
	return &exchange{env: env, answer: make(chan answer, 1)}
}

// reply tells whether the answer is on its way.
func (x *exchange) reply(a answer) bool {
	if !x.settled.CompareAndSwap(false, true) {
		return false
	}
	x.answer <- a
	return true
}

func (x *exchange) abandon() bool { return x.settled.CompareAndSwap(false, true) }

// request returns the CPE's request in the POST, or nil.
func (x *exchange) request() RPC {
	if x.env == nil {
		return nil
	}
	if _, ok := x.env.Body.(*Fault); ok || strings.HasSuffix(x.env.Body.Name(), "Response") {
		return nil
	}
	return x.env.Body
}

// deliver hands a POST to the session's goroutine, which the first POST after the Inform starts. A POST that comes while another
// is held is the CPE's second try after it lost the first one's connection. It is false when the session is over.
func (s *Session) deliver(x *exchange) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != open && s.state != running {
		return false
	}
	s.silence.Stop()
	s.informResponse = nil
	s.latest = x
	if s.state == open {
		s.state = running
		s.in, s.calling = make(chan *exchange, 1), make(chan struct{}, 1)
		s.in <- x
		go s.run()
		return true
	}
	select {
	case older := <-s.in:
		older.reply(s.farewell())
	default:
	}
	s.in <- x
	return true
}

// concluded ends a session whose CPE has sent nothing but its Inform; the caller finishes it.
func (s *Session) concluded() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != open {
		return false
	}
	s.state = over
	return true
}

// hungUp ends the session if the CPE's last word was x.
func (s *Session) hungUp(x *exchange) {
	s.mu.Lock()
	last := s.latest == x
	s.mu.Unlock()
	if last {
		s.end(ErrDisconnected)
	}
}

// orphaned has a session end soon whose CPE has closed the connection of its Inform and said nothing since.
func (s *Session) orphaned() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state == open {
		s.silence.Reset(min(s.timeout, reconnect))
	}
}

// receiving gives a body that has begun to arrive the time that the server gives any, and tells whether the session still lives.
func (s *Session) receiving() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != open && s.state != running {
		return false
	}
	s.silence.Reset(s.timeout + s.server.opts.ReadTimeout)
	return true
}

// end ends the session for a cause; whoever is at work in it winds up.
func (s *Session) end(cause error) {
	s.cancel(cause)
	s.mu.Lock()
	idle := s.state == open
	if idle {
		s.state = over
	}
	s.mu.Unlock()
	if idle {
		s.finish(cause)
	}
}

// drain ends the session unless an RPC is in flight, whose answer is still awaited.
func (s *Session) drain() {
	s.mu.Lock()
	s.draining = true
	busy := s.inFlight
	s.mu.Unlock()
	if !busy {
		s.end(ErrServerClosed)
	}
}

// finish is called once, by the goroutine that was last at work.
func (s *Session) finish(err error) {
	s.cancel(ErrSessionClosed)
	s.mu.Lock()
	s.state = over
	s.ended = time.Now()
	s.informResponse = nil
	begun := s.begun
	if s.silence != nil {
		s.silence.Stop()
	}
	s.mu.Unlock()
	if begun {
		s.server.endSession(s, err)
	}
	s.server.forget(s)
	close(s.done)
}

// run is the session's goroutine.
func (s *Session) run() {
	err := s.serve()
	if x := s.held; x != nil {
		x.reply(s.farewell())
	}
	s.mu.Lock()
	s.state = over
	s.mu.Unlock()
	select {
	case x := <-s.in:
		x.reply(tooLate)
	default:
	}
	s.finish(err)
}

func (s *Session) serve() (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = s.server.panicked(s, p)
			if s.held != nil {
				s.held.reply(s.envelope("", NewFault(FaultACSInternalError)))
			}
		}
	}()
	if err := s.turn(s.ctx); err != nil {
		return err
	}
	if s.ctx.Err() == nil {
		s.server.handler.Run(s.ctx, s)
	}
	if s.ctx.Err() == nil {
		if err := s.turn(s.ctx); err != nil {
			return err
		}
	}
	cause := context.Cause(s.ctx)
	if s.held != nil && s.held.reply(s.farewell()) {
		s.held = nil
		if errors.Is(cause, ErrServerClosed) {
			return nil
		}
	}
	return cause
}

// turn answers what the CPE asks until it has handed over: then a POST is held that an RPC or a 204 may answer.
func (s *Session) turn(ctx context.Context) error {
	for {
		if s.held == nil || len(s.in) > 0 {
			x, err := s.receive(ctx)
			if err != nil {
				return err
			}
			if s.held != nil {
				s.held.reply(s.farewell())
			}
			s.held = x
		}
		req := s.held.request()
		if req == nil {
			return nil
		}
		s.answer(req)
	}
}

// receive waits for the CPE's next POST. One that is there already counts, even if the session ends at the same time.
func (s *Session) receive(ctx context.Context) (*exchange, error) {
	select {
	case x := <-s.in:
		return x, nil
	case <-s.ctx.Done():
	case <-ctx.Done():
	}
	select {
	case x := <-s.in:
		return x, nil
	default:
	}
	if s.ctx.Err() != nil {
		return nil, context.Cause(s.ctx)
	}
	return nil, ctx.Err()
}

// send answers the held POST; the CPE's clock runs from here.
func (s *Session) send(a answer) bool {
	x := s.held
	s.held = nil
	s.mu.Lock()
	if s.state != over {
		s.silence.Reset(s.timeout)
	}
	s.mu.Unlock()
	return x.reply(a)
}

// answer answers the CPE's request in the held POST.
func (s *Session) answer(req RPC) {
	started := time.Now()
	resp, err := s.server.respond(s.ctx, s, req)
	s.send(s.envelope(s.held.env.ID, resp))
	s.server.observe(s, req, true, started, err)
}

// envelope encodes a response.
func (s *Session) envelope(id string, body RPC) answer {
	b, err := Encode(&Envelope{ID: id, Namespace: s.namespace, Words: s.quirks.Words, Declared: s.quirks.Declared, Body: body})
	if err != nil {
		s.server.log.Error("cannot encode", "session", s.ID, "rpc", body.Name(), "err", err)
		return answer{status: http.StatusInternalServerError}
	}
	return answer{status: http.StatusOK, body: b}
}

// Call implements Caller. Calls made at the same time are sent one after the other.
func (s *Session) Call(ctx context.Context, req RPC) (RPC, error) {
	select {
	case s.calling <- struct{}{}:
		defer func() { <-s.calling }()
	case <-s.ctx.Done():
	case <-ctx.Done():
	}
	if s.ctx.Err() != nil {
		return nil, s.closed()
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.lastID++
	id := strconv.Itoa(s.lastID)
	body, err := Encode(&Envelope{ID: id, Namespace: s.namespace, Words: s.quirks.Words, Declared: s.quirks.Declared, Body: req})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", req.Name(), err)
	}
	if err := s.turn(ctx); err != nil {
		if s.ctx.Err() != nil {
			return nil, s.closed()
		}
		return nil, err
	}
	if err := ctx.Err(); err != nil && s.ctx.Err() == nil {
		return nil, err
	}
	if !s.takeOff() {
		return nil, s.closed()
	}
	defer s.landed()
	started := time.Now()
	if !s.send(answer{status: http.StatusOK, body: body}) {
		s.end(ErrDisconnected)
		return nil, s.closed()
	}
	resp, err := s.await(req, id, body)
	s.server.observe(s, req, false, started, err)
	return resp, err
}

func (s *Session) closed() error {
	return fmt.Errorf("%w: %w", ErrSessionClosed, context.Cause(s.ctx))
}

// takeOff marks an RPC as in flight, unless the session is ending.
func (s *Session) takeOff() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inFlight = !s.draining && s.ctx.Err() == nil
	return s.inFlight
}

func (s *Session) landed() {
	s.mu.Lock()
	s.inFlight = false
	draining := s.draining
	s.mu.Unlock()
	if draining {
		s.end(ErrServerClosed)
	}
}

// await is the wait for an answer. The CPE may ask something first; if an empty POST follows on that, it has forgotten our
// request, which is then sent once more.
func (s *Session) await(req RPC, id string, body []byte) (RPC, error) {
	asked := false
	for {
		x, err := s.receive(s.ctx)
		if err != nil {
			return nil, fmt.Errorf("%s: %w: %w", req.Name(), ErrUnknownOutcome, err)
		}
		s.held = x
		if r := x.request(); r != nil {
			s.answer(r)
			asked = true
			continue
		}
		if x.env == nil {
			if !asked {
				return nil, NewFault(FaultMethodNotSupported)
			}
			asked = false
			s.send(answer{status: http.StatusOK, body: body})
			continue
		}
		if x.env.ID != id {
			s.server.metrics.idMismatches.Inc()
		}
		if f, ok := x.env.Body.(*Fault); ok {
			return nil, f
		}
		if x.env.Body.Name() == req.Name()+"Response" {
			return x.env.Body, nil
		}
		s.end(ErrUnexpectedAnswer)
		return nil, fmt.Errorf("%s answered with %s: %w, %w", req.Name(), x.env.Body.Name(), ErrUnexpectedAnswer, ErrUnknownOutcome)
	}
}
