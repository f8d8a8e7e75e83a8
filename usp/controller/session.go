package controller

import (
	"bytes"
	"context"
	"fmt"

	"google.golang.org/protobuf/proto"

	"isthmus/usp"
	"isthmus/usp/e2e"
	"isthmus/usp/mtp"
	"isthmus/usp/usppb"
)

// OpenSession begins a session context with the Agent (R-E2E.3), or another one. From then on requests go in it, until the Agent refuses it with a
// Disconnect Record. Without a channel the error is mtp.ErrDown.
func (a *Agent) OpenSession(ctx context.Context) error {
	a.mu.Lock()
	ch, reply := a.ch, a.reply
	a.mu.Unlock()
	if ch == nil {
		return mtp.ErrDown
	}
	records, err := a.begin()
	if err != nil {
		return fmt.Errorf("beginning a session with %s: %w", a.id, err)
	}
	return sendAll(ctx, ch, records, reply)
}

// Session is the session_id of the session context with the Agent, 0 if there is none.
func (a *Agent) Session() uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.session == nil {
		return 0
	}
	return a.session.ID()
}

func (a *Agent) newSession(id uint64) *e2e.Session {
	return e2e.New(e2e.Options{From: a.c.o.EndpointID, To: a.id, MaxRecord: a.c.o.MaxRecord, Retransmits: -1}, id)
}

// begin makes the Record that begins a session.
func (a *Agent) begin() ([][]byte, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.session, a.asked = a.newSession(0), 0
	return a.session.Send()
}

// records makes those that carry a message: in the session if there is one, unless it answers what came without (R-MSG.0a).
func (a *Agent) records(msg *usppb.Msg, plain bool) ([][]byte, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if plain || a.session == nil {
		b, err := usp.EncodeRecord(a.c.o.EndpointID, a.id, a.c.o.Version, msg)
		return [][]byte{b}, err
	}
	payload, err := proto.Marshal(msg)
	if err != nil {
		return nil, fmt.Errorf("encoding a message to %s: %w", a.id, err)
	}
	records, err := a.session.Send(payload)
	if err == nil && a.c.o.Mangle != nil {
		records = a.c.o.Mangle(records)
	}
	return records, err
}

// receiveInSession takes a Record of a session and gives the messages that are complete now. What has to be sent at once it hands over to send: what
// the Agent asks for, a request for what is missing, or the beginning of another session where this one has failed (R-E2E.21).
func (a *Agent) receiveInSession(r *usppb.Record, ch mtp.Channel, reply mtp.Address) (messages [][]byte) {
	records, messages, err := a.advance(r)
	if err != nil {
		a.c.o.Logger.Info("a session is begun anew", "controller", a.c.o.EndpointID, "agent", a.id, "err", err)
		if records, err = a.begin(); err != nil {
			a.c.o.Logger.Warn("no session", "controller", a.c.o.EndpointID, "agent", a.id, "err", err)
		}
	}
	if len(records) > 0 {
		a.c.answer(answer{agent: a, records: records, ch: ch, reply: reply})
	}
	return messages
}

func (a *Agent) advance(r *usppb.Record) (records, messages [][]byte, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	id := r.GetSessionContext().GetSessionId()
	switch {
	case a.session != nil && a.session.ID() == id:
	case e2e.Begins(r):
		a.session, a.asked = a.newSession(id), 0
	case a.session != nil:
		return nil, nil, nil // of one that is over
	default:
		return nil, nil, fmt.Errorf("session %d is not known", id)
	}
	got, err := a.session.Receive(r)
	for _, m := range got.Messages {
		messages = append(messages, bytes.Join(m, nil))
	}
	if err != nil {
		return nil, messages, err
	}
	records = got.Resend
	if missing, gap := a.session.Waits(); gap && missing != a.asked {
		ask, err := a.session.Ask(missing)
		if err != nil {
			return nil, messages, err
		}
		a.asked, records = missing, append(records, ask...)
	}
	return records, messages, nil
}

func (a *Agent) endSession() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.session = nil
}

func sendAll(ctx context.Context, ch mtp.Channel, records [][]byte, to mtp.Address) error {
	for _, b := range records {
		if err := ch.Send(ctx, b, to); err != nil {
			return err
		}
	}
	return nil
}
