package agent

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"google.golang.org/protobuf/proto"

	"isthmus/usp"
	"isthmus/usp/mtp"
	"isthmus/usp/usppb"
)

const (
	// sendTimeout is how long a Record may take to leave.
	sendTimeout = 30 * time.Second
	// resend is when a notification is tried again that a channel which is up did not take.
	resend = 5 * time.Second
	// eraseBatch is how many delivered notifications are deleted together.
	eraseBatch = 64
)

// kick starts the delivery of what can be sent and the settings that can be made now, and plans the rest.
func (a *Agent) kick() {
	now := time.Now()
	a.mu.Lock()
	for id, q := range a.st.queues {
		if !a.closing && !q.delivering && q.next(now) != nil && a.notifiable(id, now) != nil {
			q.delivering = true
			a.busy++
			a.work.Add(1)
			go a.deliver(q)
		}
	}
	if !a.closing && a.st.triggering == nil && a.nextTrigger(now) != "" {
		a.st.triggering = make(chan struct{})
		a.busy++
		a.work.Add(1)
		go a.runTriggers()
	}
	a.mu.Unlock()
	a.reschedule()
}

// deliver sends what waits for one Controller, in order, until nothing can be sent. There is one for a queue at most.
func (a *Agent) deliver(q *queue) {
	defer a.leave()
	var done []*note
	for {
		a.mu.Lock()
		now := time.Now()
		link, n := a.notifiable(q.to, now), q.next(now)
		if a.closing || link == nil || n == nil {
			if len(done) == 0 {
				q.delivering = false
				a.said(q.to)
				a.mu.Unlock()
				a.reschedule()
				return
			}
			n = nil
		} else {
			n.sending = true
		}
		a.mu.Unlock()
		if n == nil || len(done) == eraseBatch {
			a.erase(done)
			done = done[:0]
		}
		if n == nil {
			continue
		}
		switch finished, err := a.settle(n, a.transmit(link, n)); {
		case finished:
			done = append(done, n)
		case err == nil && n.Attempts > 1:
			a.keepAttempt(n)
		}
	}
}

// transmit sends one note.
func (a *Agent) transmit(l *channel, n *note) error {
	ctx, cancel := context.WithTimeout(a.life(), sendTimeout)
	defer cancel()
	for _, before := range []<-chan struct{}{l.ready.opened(), n.after} {
		if before == nil {
			continue
		}
		select {
		case <-before:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if !l.known { // it came up before the Controller was in the table
		if err := a.connect(ctx, l); err != nil {
			return err
		}
		l.known = true
	}
	msg := &usppb.Msg{}
	if err := proto.Unmarshal(n.Msg, msg); err != nil {
		return mtp.ErrTooBig // no channel will ever carry it
	}
	n.once = !l.manners.repeats(msg.GetBody().GetRequest().GetNotify())
	if !n.last { // it was looked at while the Controller still had its rights
		if err := a.withhold(ctx, n.To, msg.GetBody().GetRequest().GetNotify()); err != nil {
			return err
		}
	}
	if x := a.contextFor(n.To); x != nil {
		payload, err := proto.Marshal(msg)
		if err != nil {
			return mtp.ErrTooBig
		}
		return a.sendInContext(ctx, x, l, payload, "")
	}
	record, err := usp.EncodeRecord(a.id.ID, n.To, "", msg)
	if err != nil {
		return mtp.ErrTooBig
	}
	if record, err = a.sign(l, n.To, record); err != nil {
		return err
	}
	if limit := l.limit(); limit > 0 && len(record) > limit {
		return mtp.ErrTooBig
	}
	return l.put(ctx, record, "")
}

// settle says what becomes of a note after an attempt; true if it is finished.
func (a *Agent) settle(n *note, err error) (bool, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	n.sending = false
	switch {
	case errors.Is(err, errWithheld):
		return a.forget(n, withheld), nil
	case errors.Is(err, mtp.ErrTooBig):
		a.fleet.log.Warn("a notification is too big for the channel", "device", a.id.ID, "controller", n.To)
		return a.forget(n, dropped), err
	case err != nil:
		a.st.queues[n.To].paused = time.Now().Add(resend) // not only this one: what follows must not overtake it
		return false, err
	case !n.Retry || n.once:
		return a.forget(n, delivered), nil
	}
	n.Attempts++
	n.at = time.Now().Add(a.retry(n.To).Wait(n.Attempts, rand.Float64))
	return false, nil
}

// retry is the back-off that a Controller's row asks for (R-NOT.1). It is called with a.mu held.
func (a *Agent) retry(to usp.EndpointID) usp.Retry {
	path := a.st.rows.controller(to)
	if path == "" {
		return usp.Retry{}
	}
	return usp.Retry{
		Minimum:    time.Duration(a.st.rows.number(path, "USPNotifRetryMinimumWaitInterval")) * time.Second,
		Multiplier: uint32(a.st.rows.number(path, "USPNotifRetryIntervalMultiplier")),
	}
}

// acknowledge ends the wait for the response to a notification; an Error with its msg_id is one as well (R-NOT.8: by msg_id alone).
func (a *Agent) acknowledge(from usp.EndpointID, msgID string) {
	a.mu.Lock()
	q := a.st.queues[from]
	var n *note
	if q != nil {
		n = q.find(msgID)
	}
	if n == nil || !a.forget(n, delivered) {
		a.mu.Unlock()
		return
	}
	if n.Kind == onBoardRequest {
		delete(a.times.onBoard, from)
	}
	a.st.acknowledged = append(a.st.acknowledged, n)
	if !a.st.erasing && !a.closing {
		a.st.erasing = true
		a.busy++
		a.work.Add(1)
		go a.eraseAcknowledged()
	}
	a.mu.Unlock()
	a.reschedule()
}

// eraseAcknowledged erases what responses ended, many together.
func (a *Agent) eraseAcknowledged() {
	defer a.leave()
	a.mu.Lock()
	defer a.mu.Unlock()
	st := a.st
	for len(st.acknowledged) > 0 {
		notes := st.acknowledged
		st.acknowledged = nil
		a.mu.Unlock()
		a.erase(notes)
		a.mu.Lock()
	}
	st.erasing = false
}

// acknowledgeAtOnce takes a response in the transport's own goroutine, so that many of them keep no request out. It says no where the Agent
// has to be loaded, or a signature to be verified, for it.
func (a *Agent) acknowledgeAtOnce(in *inbound) bool {
	if in.err != nil || in.msg == nil || in.signed() || in.msg.GetBody().GetRequest() != nil {
		return false
	}
	if !a.enter() {
		return true
	}
	defer a.leave()
	if !a.loaded() {
		return false
	}
	switch g, ok := a.grant(in); {
	case !ok:
		a.refuse("controller")
	case g.lacksContext(in):
		return false
	case !in.l.stranger:
		a.acknowledge(in.from, in.msg.GetHeader().GetMsgId())
	}
	return true
}
