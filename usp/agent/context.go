package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"time"

	"google.golang.org/protobuf/proto"

	"isthmus/usp"
	"isthmus/usp/e2e"
	"isthmus/usp/mtp"
	"isthmus/usp/usppb"
)

// sessionContext is an Agent's end of the session context with one Controller (R-E2E.5). It is there once the Controller has used one or the
// Agent has had to begin one.
type sessionContext struct {
	peer usp.EndpointID // the Controller

	turn    chan struct{}   // held while what follows is used, and until the Records that it made have left in their order
	s       *securedSession // nil: there is none, or none any more
	before  uint64          // session_id of the one whose place s, or nothing, has taken
	secured bool            // payloads were protected in the last one
	over    bool            // sessions are forbidden by now: there will be no other one

	// Agent.mu guards what follows.
	inbox   []*inbound // Records that wait for the goroutine that works; there is one at most
	waiting int        // bytes of them
	working bool
	up      bool      // s is there
	heard   bool      // the Controller has sent something in s
	renew   bool      // one has expired or failed: what is sent next begins another one (R-E2E.7)
	began   time.Time // when s took its place
	used    time.Time // when a Record last came or left
	retries int       // sessions that had to be begun anew since a message came in one (R-E2E.10)
	retryAt time.Time // when the next one is to begin by itself
	missing uint64    // what is missing between Records that have come
	askAt   time.Time // when to ask for it; later again to give up
	asked   bool
	shakeBy time.Time // when to give the TLS handshake in s up
}

const (
	// maxInbox and maxInboxSize are how many Records of a session, and of how many bytes, may wait to be looked at.
	maxInbox     = 256
	maxInboxSize = 8 << 20
	// maxContexts is how many session contexts an Agent may have; those of Controllers that are gone make room.
	maxContexts = 64
	// lastWords is how long a session that is forbidden by now is kept for the response to the request that forbade it.
	lastWords = time.Second
)

var errSessionForbidden = usp.Errorf(usp.SessionNotAllowed, "session contexts are not allowed for this Controller")

// contextWith gives the state of the session context with a Controller. It is called with a.mu held.
func (a *Agent) contextWith(id usp.EndpointID) *sessionContext {
	x := a.contexts[id]
	if x == nil {
		x = &sessionContext{turn: make(chan struct{}, 1), peer: id}
		if a.contexts == nil {
			a.contexts = make(map[usp.EndpointID]*sessionContext)
		}
		a.contexts[id] = x
	}
	return x
}

// receiveInContext hands a Record to the goroutine that takes those of its session one after the other.
func (a *Agent) receiveInContext(in *inbound) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closing {
		return
	}
	if a.contexts[in.from] == nil && len(a.contexts) >= maxContexts {
		maps.DeleteFunc(a.contexts, func(id usp.EndpointID, x *sessionContext) bool {
			return !x.working && x.shakeBy.IsZero() && a.st != nil && a.st.rows.controller(id) == ""
		})
		if len(a.contexts) >= maxContexts {
			a.refuse("busy")
			return
		}
	}
	x, size := a.contextWith(in.from), in.size()
	if len(x.inbox) >= maxInbox || len(x.inbox) > 0 && x.waiting+size > maxInboxSize {
		a.refuse("busy")
		return
	}
	x.inbox, x.waiting = append(x.inbox, in), x.waiting+size
	if !x.working {
		x.working = true
		a.busy++
		a.work.Add(1)
		go a.readContext(x)
	}
}

// size is how many bytes a Record of a session carries.
func (in *inbound) size() (n int) {
	for _, p := range in.record.GetSessionContext().GetPayload() {
		n += len(p)
	}
	return n
}

// limit is the size of the largest response, 0 for maxResponse: in a session it goes in segments, whatever the channel takes.
func (in *inbound) limit() int {
	if in.session != nil {
		return 0
	}
	return in.l.limit()
}

// readContext takes the Records of one session in the order in which they came.
func (a *Agent) readContext(x *sessionContext) {
	defer a.leave()
	for {
		a.mu.Lock()
		if len(x.inbox) == 0 || a.closing {
			x.inbox, x.working = nil, false
			if !x.up && !x.renew && len(x.turn) == 0 && a.contexts[x.peer] == x {
				delete(a.contexts, x.peer)
			}
			due := a.st != nil && (len(a.orphans()) > 0 || !a.contextDue(a.st.rows.controller(x.peer), time.Now()).IsZero())
			a.mu.Unlock()
			if due {
				a.reschedule()
			}
			return
		}
		in := x.inbox[0]
		x.inbox, x.waiting = x.inbox[1:], x.waiting-in.size()
		a.mu.Unlock()
		if err := a.readInContext(x, in); err != nil && a.life().Err() == nil {
			a.fleet.log.Info("a Record of a session could not be taken", "device", a.id.ID, "controller", x.peer, "error", err)
		}
	}
}

// readInContext takes one Record: it ends as messages at work, as an answer to what it asks for, or in another session.
func (a *Agent) readInContext(x *sessionContext, in *inbound) error {
	ctx, cancel := context.WithTimeoutCause(a.life(), a.fleet.opts.RequestTimeout, errTooLate)
	defer cancel()
	if err := a.load(ctx); err != nil {
		return err
	}
	if _, ok := a.grant(in); !ok {
		a.refuse("controller")
		return nil
	}
	if err := in.l.wait(ctx); err != nil {
		return err
	}
	rs := a.rows()
	if row := rs.controller(in.from); row == "" || in.l.stranger || sessionMode(rs, row) == sessionForbid {
		a.hangUp(ctx, in, errSessionForbidden)
		return nil
	}
	messages, err := a.advance(ctx, x, in, rs)
	for _, m := range messages {
		next := &inbound{l: in.l, from: in.from, reply: in.reply, record: in.record, session: x}
		next.msg, next.err = usp.DecodeMsg(bytes.Join(m, nil))
		if next.msg.GetHeader().GetMsgId() == "" {
			a.refuse("message")
			return errors.Join(err, a.restartContext(ctx, x, in.l, in.reply)) // R-E2E.21
		}
		a.take(next)
	}
	return err
}

// advance gives the Record to the session, or begins one that it asks for. What the session has to say by itself has left when it returns.
func (a *Agent) advance(ctx context.Context, x *sessionContext, in *inbound, rs *rowSet) ([][][]byte, error) {
	if err := x.takeTurn(ctx); err != nil {
		return nil, err
	}
	defer x.giveTurn()
	a.expireContext(x, rs)
	id := in.record.GetSessionContext().GetSessionId()
	switch {
	case x.s != nil && x.s.ID() == id:
	case e2e.Begins(in.record):
		if begun, err := a.acceptContext(ctx, x, in, rs); !begun {
			return nil, err
		}
	case a.late(x, id, rs):
		a.refuse("session")
		return nil, nil
	default:
		err := a.renewContext(ctx, x, in.l, in.reply, fmt.Errorf("session %d is not known", id)) // R-E2E.24
		x.before = id
		return nil, err
	}
	if err := x.s.use(rs, in.l); err != nil {
		return nil, err
	}
	got, err := x.s.Receive(in.record)
	if err != nil {
		return got.Messages, errors.Join(a.shake(ctx, x.s, in.reply), a.renewContext(ctx, x, in.l, in.reply, err))
	}
	a.note(x, rs, len(got.Messages) > 0)
	err = errors.Join(a.sendAll(ctx, in.l, got.Resend, in.reply), a.shake(ctx, x.s, in.reply))
	a.settleShake(x)
	return got.Messages, err
}

// late says that a Record of a session that is not has been answered with a new one already: its sender could not know that when it left, or a
// session is to begin once the wait is over.
func (a *Agent) late(x *sessionContext, id uint64, rs *rowSet) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	return x.retryAt.After(now) || x.s != nil && x.before == id && now.Sub(x.began) < contextRetry(rs, x.peer).Minimum
}

// replaceContext puts a session, or none, in the place of the one that was. The caller has the turn.
func (a *Agent) replaceContext(x *sessionContext, s *securedSession) {
	if x.s != nil {
		x.before = x.s.ID()
		x.s.end()
	}
	if x.s = s; s != nil {
		x.secured = s.tls != nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	x.up, x.renew, x.heard, x.began, x.used = s != nil, s == nil, false, time.Now(), time.Now()
	x.retryAt, x.missing, x.askAt, x.asked, x.shakeBy = time.Time{}, 0, time.Time{}, false, time.Time{}
	if s != nil && s.tls != nil {
		x.shakeBy = x.began.Add(handshakeTime)
	}
}

// note keeps account of a session in which a Record has come.
func (a *Agent) note(x *sessionContext, rs *rowSet, message bool) {
	missing, gap := x.s.Waits()
	a.mu.Lock()
	defer a.mu.Unlock()
	x.heard, x.used = x.shakeBy.IsZero(), time.Now()
	if message {
		x.retries = 0 // R-E2E.12
	}
	switch {
	case !gap:
		x.missing, x.askAt, x.asked = 0, time.Time{}, false
	case missing != x.missing:
		x.missing, x.askAt = missing, x.used
		if !x.asked { // it may only be late, unlike what follows one that had to be asked for
			x.askAt = x.used.Add(contextRetry(rs, x.peer).Minimum)
		}
		x.asked = false
	}
}

// renewContext begins a new session in place of one that has failed: at once the first time, then with the back-off of R-E2E.10. The caller has
// the turn.
func (a *Agent) renewContext(ctx context.Context, x *sessionContext, l *channel, to mtp.Address, why error) error {
	a.fleet.metrics.contexts.WithLabelValues("failed").Inc()
	a.fleet.log.Info("a session context is begun anew", "device", a.id.ID, "controller", x.peer, "reason", why)
	a.replaceContext(x, nil)
	retry := contextRetry(a.rows(), x.peer)
	a.mu.Lock()
	x.retries++
	wait := x.retries > 1
	if wait {
		x.retryAt = time.Now().Add(retry.Wait(x.retries-1, rand.Float64))
	}
	a.mu.Unlock()
	if wait {
		return nil
	}
	return a.beginContext(ctx, x, l, to)
}

// restartContext is renewContext for who has not the turn.
func (a *Agent) restartContext(ctx context.Context, x *sessionContext, l *channel, to mtp.Address) error {
	if err := x.takeTurn(ctx); err != nil {
		return err
	}
	defer x.giveTurn()
	return a.renewContext(ctx, x, l, to, errors.New("it carried no message"))
}

// beginContext begins a session of the Agent's own, with a Record that carries nothing, or the first of a TLS handshake. The caller has the turn.
func (a *Agent) beginContext(ctx context.Context, x *sessionContext, l *channel, to mtp.Address) error {
	if err := l.wait(ctx); err != nil {
		return err
	}
	rs := a.rows()
	s, err := a.secureSession(rs, x.peer, l, 0, x.security(rs))
	if err == nil {
		var records [][]byte
		if records, err = s.Send(s.flight()...); err == nil {
			err = a.sendAll(ctx, l, records, to)
		}
		if err == nil {
			a.replaceContext(x, s)
			return nil
		}
		s.end()
	}
	a.replaceContext(x, nil)
	a.mu.Lock()
	defer a.mu.Unlock()
	x.retryAt = time.Now().Add(resend)
	return fmt.Errorf("begin a session: %w", err)
}

// sendInContext sends a message in the session with a Controller, and begins one if there is none. The error is an mtp.ErrTooBig for a message
// that no session can carry.
func (a *Agent) sendInContext(ctx context.Context, x *sessionContext, l *channel, msg []byte, to mtp.Address) error {
	if err := x.takeTurn(ctx); err != nil {
		return err
	}
	defer x.giveTurn()
	if x.over {
		return errSessionForbidden
	}
	if err := l.wait(ctx); err != nil {
		return err
	}
	rs := a.rows()
	a.expireContext(x, rs)
	s, err := x.s, e2e.ErrExhausted
	var records [][]byte
	if s != nil {
		records, err = s.say(rs, l, msg)
	}
	if errors.Is(err, e2e.ErrExhausted) || errors.Is(err, e2e.ErrFull) { // R-E2E.9, R-E2E.21
		if x.security(rs) == usppb.Record_TLS12 {
			return a.negotiate(ctx, x, l, to)
		}
		if s, err = a.secureSession(rs, x.peer, l, 0, usppb.Record_PLAINTEXT); err == nil {
			records, err = s.say(rs, l, msg)
		}
	}
	switch {
	case errors.Is(err, e2e.ErrFull) || errors.Is(err, e2e.ErrTooSmall):
		return fmt.Errorf("%w: %w", mtp.ErrTooBig, err)
	case err != nil:
		return err
	}
	if s != x.s {
		a.replaceContext(x, s)
		defer a.reschedule() // to its expiry
	}
	if err := a.sendAll(ctx, l, records, to); err != nil {
		a.replaceContext(x, nil) // the Controller would wait for what has not left
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	x.used = time.Now()
	return nil
}

func (a *Agent) sendAll(ctx context.Context, l *channel, records [][]byte, to mtp.Address) error {
	for _, r := range records {
		if err := a.send(ctx, l, r, to); err != nil {
			return err
		}
	}
	return nil
}

func (x *sessionContext) takeTurn(ctx context.Context) error {
	select {
	case x.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for the session: %w", context.Cause(ctx))
	}
}

func (x *sessionContext) giveTurn() { <-x.turn }

// contextLimits are what the Controller's row and the channel allow.
func contextLimits(rs *rowSet, peer usp.EndpointID, l *channel) (maxRecord, retransmits int) {
	object := contextObject(rs.controller(peer))
	maxRecord = int(rs.number(object, "MaxUSPRecordSize"))
	if limit := l.limit(); limit > 0 && (maxRecord == 0 || limit < maxRecord) {
		maxRecord = limit
	}
	return maxRecord, int(signed(rs.get(object, "MaxRetransmitTries")))
}

func contextRetry(rs *rowSet, peer usp.EndpointID) usp.Retry {
	object := contextObject(rs.controller(peer))
	return usp.Retry{
		Minimum:    time.Duration(rs.number(object, "SessionRetryMinimumWaitInterval")) * time.Second,
		Multiplier: uint32(rs.number(object, "SessionRetryIntervalMultiplier")),
	}
}

// replyInContext is reply for a request that came in a session (R-MSG.0a).
func (a *Agent) replyInContext(ctx context.Context, in *inbound, resp *usppb.Msg) {
	payload, err := proto.Marshal(resp)
	if err == nil {
		err = a.answerInContext(ctx, in, payload)
	}
	if errors.Is(err, mtp.ErrTooBig) {
		e := usp.Errorf(usp.ResourcesExceeded, "the response has %d bytes, more than a session carries", len(payload))
		if payload, err = proto.Marshal(usp.ErrorMsg(resp.GetHeader().GetMsgId(), e)); err == nil {
			err = a.answerInContext(ctx, in, payload)
		}
	}
	if err != nil {
		a.fleet.log.Info("a response could not be sent", "device", a.id.ID, "controller", in.from, "error", err)
	}
}

// contextFor is the session in which something unasked goes to a Controller, nil if it goes without (R-E2E.7).
func (a *Agent) contextFor(to usp.EndpointID) *sessionContext {
	a.mu.Lock()
	defer a.mu.Unlock()
	row := a.st.rows.controller(to)
	if row == "" {
		return nil
	}
	switch x := a.contexts[to]; sessionMode(a.st.rows, row) {
	case sessionRequire:
		return a.contextWith(to)
	case sessionAllow:
		if x != nil && (x.up || x.renew) {
			return x
		}
	}
	return nil
}
