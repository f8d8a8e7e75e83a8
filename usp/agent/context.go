package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
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
	turn chan struct{}  // held while s is used, and until the Records that it made have left in their order
	s    *e2e.Session   // nil: there is none, or none any more
	peer usp.EndpointID // the Controller

	// Agent.mu guards what follows.
	inbox   []*inbound // Records that wait for the goroutine that works; there is one at most
	working bool
	up      bool      // s is there
	heard   bool      // the Controller has sent something in s
	renew   bool      // one has expired or failed: what is sent next begins another one (R-E2E.7)
	used    time.Time // when a Record last came or left
	retries int       // sessions that had to be begun anew since a message came in one (R-E2E.10)
	retryAt time.Time // when the next one may begin
	missing uint64    // what is missing between Records that have come
	askAt   time.Time // when to ask for it; later again to give up
	asked   bool
}

const (
	// maxInbox is how many Records of a session may wait to be looked at.
	maxInbox = 256
	// maxContexts is how many session contexts an Agent may have before those of Controllers that are gone are dropped.
	maxContexts = 64
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
	if len(a.contexts) >= maxContexts && a.contexts[in.from] == nil {
		a.refuse("busy")
		return
	}
	x := a.contextWith(in.from)
	if len(x.inbox) >= maxInbox {
		a.refuse("busy")
		return
	}
	x.inbox = append(x.inbox, in)
	if !x.working {
		x.working = true
		a.busy++
		a.work.Add(1)
		go a.readContext(x)
	}
}

// readContext takes the Records of one session in the order in which they came.
func (a *Agent) readContext(x *sessionContext) {
	defer a.leave()
	for {
		a.mu.Lock()
		if len(x.inbox) == 0 || a.closing {
			x.inbox, x.working = nil, false
			if !x.up && !x.renew && a.contexts[x.peer] == x {
				delete(a.contexts, x.peer)
			}
			a.mu.Unlock()
			a.rescheduleLoaded()
			return
		}
		in := x.inbox[0]
		x.inbox = x.inbox[1:]
		a.mu.Unlock()
		if err := a.readInContext(x, in); err != nil && a.life.Err() == nil {
			a.fleet.log.Info("a Record of a session could not be taken", "device", a.id.ID, "controller", x.peer, "error", err)
		}
	}
}

// rescheduleLoaded is reschedule where the Agent may not be loaded.
func (a *Agent) rescheduleLoaded() {
	if a.loaded() {
		a.reschedule()
	}
}

// readInContext takes one Record: it ends as messages at work, as an answer to what it asks for, or in another session.
func (a *Agent) readInContext(x *sessionContext, in *inbound) error {
	ctx, cancel := context.WithTimeoutCause(a.life, a.fleet.opts.RequestTimeout, errTooLate)
	defer cancel()
	if err := a.load(ctx); err != nil {
		return err
	}
	if _, ok := a.grant(in); !ok {
		a.refuse("controller")
		return nil
	}
	rs := a.rows()
	row := rs.controller(in.from)
	switch {
	case row == "" || in.l.stranger || sessionMode(rs, row) == sessionForbid:
		a.hangUp(ctx, in, errSessionForbidden)
		return nil
	case in.record.GetPayloadSecurity() != usppb.Record_PLAINTEXT:
		a.hangUp(ctx, in, usp.Errorf(usp.SecureSessionNotSupported, "payload security is not supported"))
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
		x.s = e2e.New(a.contextOptions(rs, x.peer, in.l), id) // R-E2E.4, R-E2E.6
	default:
		return nil, a.renewContext(ctx, x, in.l, in.reply, fmt.Errorf("session %d is not known", id)) // R-E2E.24
	}
	a.limitContext(x, rs, in.l)
	got, err := x.s.Receive(in.record)
	if err != nil {
		return got.Messages, a.renewContext(ctx, x, in.l, in.reply, err)
	}
	a.note(x, rs, len(got.Messages) > 0)
	return got.Messages, a.sendAll(ctx, in.l, got.Resend, in.reply)
}

// note keeps account of a session in which a Record has come.
func (a *Agent) note(x *sessionContext, rs *rowSet, message bool) {
	missing, gap := x.s.Waits()
	a.mu.Lock()
	defer a.mu.Unlock()
	x.up, x.heard, x.renew, x.used = true, true, false, time.Now()
	if message {
		x.retries, x.retryAt = 0, time.Time{} // R-E2E.12
	}
	switch {
	case !gap:
		x.missing, x.askAt, x.asked = 0, time.Time{}, false
	case missing != x.missing:
		x.missing, x.askAt, x.asked = missing, x.used.Add(contextRetry(rs, x.peer).Minimum), false
	}
}

// renewContext begins a new session in place of one that has failed: at once the first time, then with the back-off of R-E2E.10. The caller has
// the turn.
func (a *Agent) renewContext(ctx context.Context, x *sessionContext, l *channel, to mtp.Address, why error) error {
	a.fleet.metrics.contexts.WithLabelValues("failed").Inc()
	a.fleet.log.Info("a session context is begun anew", "device", a.id.ID, "controller", x.peer, "reason", why)
	rs := a.rows()
	x.s = nil
	a.mu.Lock()
	x.retries++
	wait := x.retries > 1
	if wait {
		x.retryAt = time.Now().Add(contextRetry(rs, x.peer).Wait(x.retries-1, rand.Float64))
	}
	x.up, x.heard, x.renew, x.missing, x.askAt, x.asked = false, false, true, 0, time.Time{}, false
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

// beginContext begins a session of the Agent's own, with a Record that carries nothing. The caller has the turn.
func (a *Agent) beginContext(ctx context.Context, x *sessionContext, l *channel, to mtp.Address) error {
	x.s = e2e.New(a.contextOptions(a.rows(), x.peer, l), 0)
	records, err := x.s.Send()
	if err == nil {
		err = a.sendAll(ctx, l, records, to)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	x.up, x.heard, x.renew, x.used, x.retryAt = err == nil, false, err != nil, time.Now(), time.Time{}
	if err != nil {
		x.s = nil
		x.retryAt = x.used.Add(resend)
		return fmt.Errorf("begin a session: %w", err)
	}
	return nil
}

// sendInContext sends a message in the session with a Controller, and begins one if there is none.
func (a *Agent) sendInContext(ctx context.Context, x *sessionContext, l *channel, msg []byte, to mtp.Address) error {
	if err := x.takeTurn(ctx); err != nil {
		return err
	}
	defer x.giveTurn()
	rs := a.rows()
	a.expireContext(x, rs)
	var records [][]byte
	err := e2e.ErrExhausted
	if x.s != nil {
		a.limitContext(x, rs, l)
		records, err = x.s.Send(msg)
	}
	if errors.Is(err, e2e.ErrExhausted) || errors.Is(err, e2e.ErrFull) { // R-E2E.9, R-E2E.21
		x.s = e2e.New(a.contextOptions(rs, x.peer, l), 0)
		records, err = x.s.Send(msg)
	}
	if err == nil {
		err = a.sendAll(ctx, l, records, to)
	}
	if err != nil {
		x.s = nil // the Controller would wait for what has not left
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	x.up, x.renew, x.used = err == nil, err != nil, time.Now()
	return err
}

func (a *Agent) sendAll(ctx context.Context, l *channel, records [][]byte, to mtp.Address) error {
	for _, r := range records {
		if err := a.send(ctx, l, r, to); err != nil {
			return err
		}
	}
	return nil
}

// expireContext ends a session in which nothing has been said for SessionExpiration. The caller has the turn.
func (a *Agent) expireContext(x *sessionContext, rs *rowSet) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if x.s != nil && x.idle(rs, time.Now()) {
		x.s = nil
		x.up, x.heard, x.renew = false, false, true
		a.fleet.metrics.contexts.WithLabelValues("expired").Inc()
	}
}

// idle says that SessionExpiration has passed since a Record last came or left. It is called with a.mu held.
func (x *sessionContext) idle(rs *rowSet, now time.Time) bool {
	most := number32(rs.values[contextObject(rs.controller(x.peer))]["SessionExpiration"]) // 0, which is never, if it was not set
	return most > 0 && now.Sub(x.used) >= time.Duration(most)*time.Second
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

// contextOptions are those of a session that begins.
func (a *Agent) contextOptions(rs *rowSet, peer usp.EndpointID, l *channel) e2e.Options {
	o := e2e.Options{From: a.id.ID, To: peer}
	o.MaxRecord, o.Retransmits = contextLimits(rs, peer, l)
	return o
}

func (a *Agent) limitContext(x *sessionContext, rs *rowSet, l *channel) {
	x.s.Limit(contextLimits(rs, x.peer, l))
}

// contextLimits are what the Controller's row and the channel allow.
func contextLimits(rs *rowSet, peer usp.EndpointID, l *channel) (maxRecord, retransmits int) {
	object := contextObject(rs.controller(peer))
	maxRecord = int(rs.number(object, "MaxUSPRecordSize"))
	if limit := l.ch.MaxSize(); limit > 0 && (maxRecord == 0 || limit < maxRecord) {
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

// wantsContext says that a message came without a session and its Controller has to use one. The Agent must be loaded.
func (a *Agent) wantsContext(in *inbound) bool {
	if in.session != nil {
		return false
	}
	rs := a.rows()
	row := rs.controller(in.from)
	return row != "" && sessionMode(rs, row) == sessionRequire
}

// replyInContext is reply for a request that came in a session (R-MSG.0a).
func (a *Agent) replyInContext(ctx context.Context, in *inbound, resp *usppb.Msg) {
	payload, err := proto.Marshal(resp)
	if err == nil {
		err = a.sendInContext(ctx, in.session, in.l, payload, in.reply)
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

// contextDue is when the Agent has to do something about the session with a Controller, the zero time for never. It is called with a.mu held.
func (a *Agent) contextDue(row string, now time.Time) time.Time {
	rs := a.st.rows
	if len(a.contexts) == 0 && rs.values[contextObject(row)]["SessionMode"] != sessionRequire {
		return time.Time{} // as good as always
	}
	id := usp.EndpointID(rs.get(row, "EndpointID"))
	x, mode := a.contexts[id], sessionMode(rs, row)
	switch {
	case mode == sessionForbid && x != nil:
		return now
	case a.route(id) == nil || mode == sessionForbid:
	case mode == sessionRequire && (x == nil || !x.up):
		if x != nil {
			return later(now, x.retryAt)
		}
		return now
	case x == nil:
	case !x.retryAt.IsZero():
		return x.retryAt
	default:
		return x.askAt
	}
	return time.Time{}
}

// serveContexts does what is due about sessions.
func (a *Agent) serveContexts(ctx context.Context) {
	for _, row := range a.rows().instances(controllerTable) {
		a.mu.Lock()
		now := time.Now()
		due := a.contextDue(row, now)
		id := usp.EndpointID(a.st.rows.get(row, "EndpointID"))
		forbidden := sessionMode(a.st.rows, row) == sessionForbid
		var x *sessionContext
		l := a.linkTo(id)
		if !due.IsZero() && !due.After(now) {
			if x = a.contextWith(id); forbidden {
				delete(a.contexts, id)
			}
		}
		a.mu.Unlock()
		if x == nil {
			continue
		}
		var err error
		if forbidden {
			err = a.endContext(ctx, x, l)
		} else if l != nil {
			err = a.serveContext(ctx, x, l)
		}
		if err != nil && a.life.Err() == nil {
			a.fleet.log.Info("a session context could not be served", "device", a.id.ID, "controller", id, "error", err)
		}
	}
}

// serveContext begins the session that is wanted, asks for what is missing, and gives a session up in which what was asked for does not come.
func (a *Agent) serveContext(ctx context.Context, x *sessionContext, l *channel) error {
	if err := x.takeTurn(ctx); err != nil {
		return err
	}
	defer x.giveTurn()
	select {
	case <-l.ready:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if x.s == nil {
		return a.beginContext(ctx, x, l, "")
	}
	missing, gap := x.s.Waits()
	a.mu.Lock()
	ask := gap && !x.askAt.IsZero() && !x.askAt.After(time.Now())
	again := x.asked
	if ask {
		x.asked, x.askAt = true, time.Now().Add(contextRetry(a.st.rows, x.peer).Minimum)
	}
	a.mu.Unlock()
	switch {
	case !ask:
		return nil
	case again:
		return a.renewContext(ctx, x, l, "", fmt.Errorf("Record %d does not come", missing))
	}
	records, err := x.s.Ask(missing)
	if err != nil {
		return a.renewContext(ctx, x, l, "", err)
	}
	return a.sendAll(ctx, l, records, "")
}

// endContext ends a session that is forbidden by now (R-E2E.6b).
func (a *Agent) endContext(ctx context.Context, x *sessionContext, l *channel) error {
	if err := x.takeTurn(ctx); err != nil {
		return err
	}
	defer x.giveTurn()
	if x.s == nil || l == nil {
		return nil
	}
	x.s = nil
	a.hangUp(ctx, &inbound{l: l, from: x.peer}, usp.Errorf(usp.SessionTerminated, "session contexts are not allowed any more"))
	return nil
}

// resetContext runs E2ESession.Reset().
func (a *Agent) resetContext(ctx context.Context, object string) error {
	a.mu.Lock()
	id := usp.EndpointID(a.st.rows.get(ParentPath(object), "EndpointID"))
	x, l := a.contexts[id], a.route(id)
	a.mu.Unlock()
	if x == nil || l == nil {
		return nil
	}
	if err := x.takeTurn(ctx); err != nil {
		return err
	}
	defer x.giveTurn()
	a.mu.Lock()
	x.retries, x.missing, x.askAt, x.asked = 0, 0, time.Time{}, false
	a.mu.Unlock()
	return a.beginContext(ctx, x, l, "")
}

// bootContexts starts the count of retries anew (R-E2E.13).
func (a *Agent) bootContexts() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, x := range a.contexts {
		x.retries, x.retryAt = 0, time.Time{}
	}
}
