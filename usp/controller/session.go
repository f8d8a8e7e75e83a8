package controller

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	"isthmus/usp"
	"isthmus/usp/e2e"
	"isthmus/usp/mtp"
	"isthmus/usp/secure"
	"isthmus/usp/usppb"
)

// OpenSession begins a session context with the Agent (R-E2E.3), or another one. From then on requests go in it, until the Agent refuses it with a
// Disconnect Record. Where payloads are to be protected it waits for that. Without a channel the error is mtp.ErrDown.
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
	if err := sendAll(ctx, ch, records, reply); err != nil {
		return err
	}
	return a.wait(ctx, "a TLS session", func() bool { return a.session == nil || a.session.up() })
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

// begin makes the Record that begins a session.
func (a *Agent) begin() ([][]byte, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	security := usppb.Record_PLAINTEXT
	if a.c.o.Security.TLS || a.session != nil && a.session.Security() == usppb.Record_TLS12 {
		security = usppb.Record_TLS12
	}
	a.session.end()
	a.session, a.asked = a.newSession(0, security), 0
	if a.session.tls != nil {
		return a.session.shake()
	}
	return a.session.Send()
}

// records makes those that carry a message: in the session if there is one, unless it answers what came without (R-MSG.0a).
func (a *Agent) records(msg *usppb.Msg, plain bool) ([][]byte, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if plain || a.session == nil {
		b, err := usp.EncodeRecord(a.c.o.EndpointID, a.id, a.c.o.Version, msg)
		if err == nil && a.c.o.Security.Certificate != nil {
			b, err = secure.SignEncoded(b, a.c.o.EndpointID, a.id, a.c.o.Version, a.c.o.Security.Certificate)
		}
		return [][]byte{b}, err
	}
	payload, err := proto.Marshal(msg)
	if err != nil {
		return nil, fmt.Errorf("encoding a message to %s: %w", a.id, err)
	}
	records, err := a.session.say(payload)
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
		a.session.end()
		a.session, a.asked = a.newSession(id, r.GetPayloadSecurity()), 0
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
	waited := !a.session.up()
	flight, err := a.session.shake()
	if err != nil {
		return nil, messages, err
	}
	if waited && a.session.up() {
		close(a.changed)
		a.changed = make(chan struct{})
	}
	records = slices.Concat(got.Resend, flight)
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
	a.session.end()
	a.session = nil
	close(a.changed)
	a.changed = make(chan struct{})
}

func sendAll(ctx context.Context, ch mtp.Channel, records [][]byte, to mtp.Address) error {
	for _, b := range records {
		if err := ch.Send(ctx, b, to); err != nil {
			return err
		}
	}
	return nil
}
