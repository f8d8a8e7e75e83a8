package agent

import (
	"context"

	"isthmus/usp"
	"isthmus/usp/mtp"
	"isthmus/usp/usppb"
)

// grant says what the sender of a Record may do, and whether it is answered at all. Whom nothing proves to be who it says has the untrusted
// Role, and so has one in no table; where that Role may do nothing the Agent ignores the latter.
func (a *Agent) grant(in *inbound) (grant, bool) {
	rs := a.rows()
	g, untrusted := rs.grant(in.from), rs.grant("")
	switch {
	case in.from == a.id.ID || g.listed && !g.enabled:
		return grant{}, false
	case g.listed && !in.l.stranger:
		return g, true
	}
	return untrusted, g.listed || !untrusted.may.nothing()
}

// Receive takes one Record (R-E2E.1, R-ARC.2). What does not concern the Agent, or does not come from an enabled Controller, is ignored; an
// erroneous message is answered as R-MTP.5 says. It returns an error only for bytes that are no Record (R-WS.16).
func (a *Agent) Receive(ch mtp.Channel, record []byte, reply mtp.Address) error {
	l := a.link(ch)
	r, err := usp.DecodeRecordFrom(record, l.anyName())
	if r == nil {
		a.refuse("unparsable")
		return err
	}
	from := usp.EndpointID(r.GetFromId())
	switch {
	case l == nil:
		a.refuse("channel_down")
	case r.GetToId() != string(a.id.ID):
		a.refuse("to_id")
	case from == "" || from == a.id.ID || l.peer != "" && l.peer != from:
		a.refuse("from_id")
	default:
		a.admit(&inbound{l: l, from: from, reply: reply, record: r, bytes: len(record), err: err})
	}
	return nil
}

func (a *Agent) refuse(reason string) { a.fleet.metrics.refused.WithLabelValues(reason).Inc() }

// inbound is a Record on its way through the Agent.
type inbound struct {
	l      *channel
	from   usp.EndpointID
	reply  mtp.Address
	record *usppb.Record
	bytes  int // of the Record
	err    error
	msg    *usppb.Msg
	full   bool // the Agent has too much to do already

	session *sessionContext // the Record came in one
}

// requestKey tells requests that are being worked on (R-MSG.4).
type requestKey struct {
	from usp.EndpointID
	id   string
}

const (
	// maxInFlight is how many requests of one channel an Agent works on, so that a Controller that sends too many or reads no answers costs
	// no other; maxOfStranger is how many of a peer that nothing vouches for, maxOfAll how many of all together. The rest is refused: by the
	// transport's goroutine where that may take the time, else by at most maxRefusals goroutines, beyond which a request goes unanswered.
	maxInFlight   = 256
	maxOfStranger = 16
	maxOfAll      = 1024
	maxBytes      = 32 << 20 // of the Records of one channel
	maxRefusals   = 64
)

// errStranger is what a stranger may do where the untrusted Role may do nothing.
var errStranger = usp.Errorf(usp.PermissionDenied, "nothing proves that this Controller is the Endpoint it says it is")

var errFull = usp.Errorf(usp.ResourcesExceeded, "too many requests are waiting already")

// admit starts the goroutine that handles a Record, unless it need not be handled.
func (a *Agent) admit(in *inbound) {
	if in.err == nil {
		n, ok := in.record.GetRecordType().(*usppb.Record_NoSessionContext)
		if ok {
			in.msg, in.err = usp.DecodeMsg(n.NoSessionContext.GetPayload())
			if in.msg.GetHeader().GetMsgId() == "" {
				a.refuse("message")
				return
			}
		} else {
			if _, ok := in.record.GetRecordType().(*usppb.Record_SessionContext); ok {
				a.receiveInContext(in)
			}
			return // connect and disconnect say nothing that the transport has not said
		}
	}
	a.take(in)
}

// take starts the goroutine that handles a message, unless it is answered at once.
func (a *Agent) take(in *inbound) {
	if a.acknowledgeAtOnce(in) {
		return
	}
	key := requestKey{in.from, in.msg.GetHeader().GetMsgId()}
	if !a.enroll(in, key) {
		a.refuse("busy")
		return
	}
	if in.full && in.l.exclusive && !in.signed() && !in.private() && in.msg.GetBody().GetRequest() != nil {
		a.reply(a.life(), in, usp.ErrorMsg(key.id, errFull))
		a.retire(in, key)
		return
	}
	if a.answerAtOnce(in, key) {
		a.retire(in, key)
		return
	}
	go a.handle(in, key)
}

// enroll counts a Record that is to be handled, until retire.
func (a *Agent) enroll(in *inbound, key requestKey) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, twice := a.inFlight[key]
	own := maxInFlight
	if in.l.stranger {
		own = maxOfStranger
	}
	over := max(in.l.handling-own, a.handling-maxOfAll)
	if twice || a.closing || over >= maxRefusals {
		return false
	}
	in.full = over >= 0 || in.l.bytes > maxBytes
	in.l.begins()
	in.l.handling++
	in.l.bytes += in.bytes
	a.handling++
	if key.id != "" { // else it is no message, and a duplicate of none
		if a.inFlight == nil {
			a.inFlight = make(map[requestKey]struct{})
		}
		a.inFlight[key] = struct{}{}
	}
	a.busy++
	a.work.Add(1)
	return true
}

func (a *Agent) retire(in *inbound, key requestKey) {
	a.finished(key)
	a.mu.Lock()
	in.l.handling--
	in.l.bytes -= in.bytes
	a.handling--
	a.mu.Unlock()
	a.ends(in)
	a.leave()
}

// answerAtOnce answers a read from what is in memory, in the transport's own goroutine: a hand-over to another one would cost more than
// the answer. It says no where anything has to be waited for; nothing has happened then.
func (a *Agent) answerAtOnce(in *inbound, key requestKey) bool {
	if !in.l.exclusive && in.session == nil || in.err != nil || in.full || !a.loaded() || in.signed() || in.private() {
		return false
	}
	switch in.msg.GetBody().GetRequest().GetReqType().(type) {
	case *usppb.Request_Get, *usppb.Request_GetInstances, *usppb.Request_GetSupportedProtocol:
	default:
		return false
	}
	select {
	case <-in.l.ready.opened():
	default:
		return false
	}
	g, ok := a.grant(in)
	if !ok || in.l.stranger || g.may != nil && g.may.searches || g.lacksContext(in) {
		return false
	}
	x := &exchange{a: a, from: in.from, may: g.may, secrets: g.secrets, legacy: g.legacy, sent: make(chan struct{}), limit: in.limit(),
		always: in.l.manners.always(), noWait: true}
	resp := x.answer(a.life(), in.msg)
	if x.waits {
		return false
	}
	a.finished(key)
	a.reply(a.life(), in, resp)
	close(x.sent)
	return true
}

// handle serves one Record.
func (a *Agent) handle(in *inbound, key requestKey) {
	defer a.retire(in, key)
	ctx, cancel := context.WithTimeoutCause(a.life(), in.l.timeout(a.fleet.opts.RequestTimeout), errTooLate)
	defer cancel()
	if err := a.load(ctx); err != nil {
		if in.msg.GetBody().GetRequest() != nil {
			a.respond(ctx, in, usp.ErrorMsg(key.id, a.asError(ctx, err)))
		}
		return
	}
	if in.signed() && a.verify(ctx, in.l, in.record) != nil {
		return
	}
	g, ok := a.grant(in)
	if !ok {
		a.refuse("controller")
		return
	}
	e := usp.AsError(in.err)
	switch {
	case in.msg == nil:
		a.hangUp(ctx, in, e)
	case g.lacksContext(in):
		a.hangUp(ctx, in, usp.Errorf(usp.SecureSessionRequired, "this Controller has to use a session context"))
	case in.err != nil:
		if in.msg.GetBody().GetError() == nil && in.msg.GetBody().GetResponse() == nil {
			a.respond(ctx, in, usp.ErrorMsg(key.id, e))
		}
	case in.l.stranger && in.msg.GetBody().GetRequest() == nil:
	case in.l.stranger && g.may.nothing() && in.msg.GetBody().GetRequest().GetGetSupportedProtocol() == nil:
		a.respond(ctx, in, usp.ErrorMsg(key.id, errStranger))
	case in.msg.GetBody().GetRequest() == nil:
		a.acknowledge(in.from, key.id)
	case in.full:
		a.respond(ctx, in, usp.ErrorMsg(key.id, errFull))
	default:
		x := &exchange{a: a, from: in.from, stranger: in.l.stranger, may: g.may, secrets: g.secrets, legacy: g.legacy, sent: make(chan struct{}), limit: in.limit(),
			always: in.l.manners.always()}
		inTime := a.byDeadline(in)
		resp := x.answer(ctx, in.msg)
		a.finished(key) // a Controller that has the response may use the msg_id again at once
		if inTime() && resp != nil {
			a.respond(ctx, in, resp)
		}
		close(x.sent)
	}
}

// finished ends the time in which a request with the same msg_id is a duplicate.
func (a *Agent) finished(key requestKey) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.inFlight, key)
	if len(a.inFlight) == 0 {
		a.inFlight = nil
	}
}

// respond sends a response to where its request came from. A response that came late still leaves.
func (a *Agent) respond(ctx context.Context, in *inbound, resp *usppb.Msg) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), sendTimeout)
	defer cancel()
	a.reply(ctx, in, resp)
}

// reply encodes and sends; the channel bounds how long that takes.
func (a *Agent) reply(ctx context.Context, in *inbound, resp *usppb.Msg) {
	if in.session != nil {
		a.replyInContext(ctx, in, resp)
		return
	}
	record, err := a.encode(ctx, in.l, in.from, resp)
	if limit := in.l.limit(); err == nil && limit > 0 && len(record) > limit {
		e := usp.Errorf(usp.ResourcesExceeded, "the response has %d bytes, and this channel takes %d", len(record), limit)
		record, err = a.encode(ctx, in.l, in.from, usp.ErrorMsg(resp.GetHeader().GetMsgId(), e))
	}
	if err == nil {
		err = a.send(ctx, in.l, record, in.reply)
	}
	if err != nil {
		a.fleet.log.Info("a response could not be sent", "device", a.id.ID, "controller", in.from, "error", err)
	}
}

// hangUp refuses a session (R-E2E.6a). The channel stays, so the Agent announces itself again (R-MTP.8).
func (a *Agent) hangUp(ctx context.Context, in *inbound, why *usp.Error) {
	if in.l.wait(ctx) != nil {
		return
	}
	peer := channel{ch: in.l.ch, peer: in.from, known: true, protected: in.l.protected, manners: in.l.manners}
	a.disconnect(ctx, &peer, why)
	if err := a.connect(ctx, &peer); err != nil {
		a.fleet.log.Debug("a Connect Record could not be sent", "device", a.id.ID, "controller", in.from, "error", err)
	}
}
