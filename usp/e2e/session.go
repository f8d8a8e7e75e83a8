// Package e2e is the E2E session context of USP (TR-369, "End to End Message Exchange"): Records in order, acknowledged and sent again on request,
// messages in segments. A Session is the state of one such context at one of its ends, a pure machine: Records come in and go out by the
// hands of its owner, which also decides when one begins, expires or is begun anew.
package e2e

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"google.golang.org/protobuf/proto"

	"isthmus/usp"
	"isthmus/usp/usppb"
)

// The bounds of what a Session keeps. What goes beyond them ends it (R-E2E.21).
const (
	maxUnacknowledged = 1 << 15 // Records that were sent: the longest message in the smallest Records
	maxEarly          = 256     // Records that came before their turn
	maxBuffered       = 8 << 20 // bytes of either
	maxMessage        = 8 << 20 // bytes of a message in segments
	// nearEnd is how close to its end the count of Records may come (R-E2E.8, R-E2E.9).
	nearEnd = 10_000
)

// The reasons for which a Session has failed: the owner begins a new one (R-E2E.21 to R-E2E.24).
var (
	ErrFull       = errors.New("e2e: too much is waiting to be acknowledged or for its turn")
	ErrExhausted  = errors.New("e2e: the session has run out of sequence IDs")
	ErrRetransmit = errors.New("e2e: a Record is asked for that cannot be sent again")
	ErrSegments   = errors.New("e2e: segments that make no message")
	ErrSecurity   = errors.New("e2e: payload_security has changed within the session")
	ErrTooSmall   = errors.New("e2e: the largest Record has no room for a payload")
)

// Options say who talks to whom, and how. From and To are needed.
type Options struct {
	From, To usp.EndpointID
	// MaxRecord is the size in bytes of the largest Record that may be sent, 0 for any: longer messages go in segments.
	MaxRecord int
	// Retransmits is how often a Record is sent again, -1 for any number of times.
	Retransmits int
	// Security is the payload_security of all Records.
	Security usppb.Record_PayloadSecurity
	// Sign, if there is one, is given each Record before it leaves, and adds SignatureSize bytes at most.
	Sign          func(*usppb.Record) error
	SignatureSize int
	// Check, if there is one, is asked for each Record whose turn it is before it is read; the session fails with its error (R-E2E.23).
	Check func(*usppb.Record) error
	// Open, if there is one, turns the payload records of a message into what they protect; empty if that is none.
	Open func(payload [][]byte) ([]byte, error)
}

// Session is one end of a session context. It is for one goroutine at a time.
type Session struct {
	o        Options
	id       uint64
	next     uint64 // sequence_id of the next Record that leaves
	expected uint64 // sequence_id of the next Record that is to come
	sent     []sent // not acknowledged yet, in order
	sentSize int
	early    map[uint64]*usppb.Record
	earlySum int

	segments [][]byte // payload records of a message that is not complete
	size     int
	within   bool // in a message
	split    bool // in a payload record
}

type sent struct {
	sequence uint64
	record   []byte
	again    int // how often it was sent again
}

// New makes the state of a session that begins. An id of 0 stands for one of our own (R-E2E.3), another for the peer's.
func New(o Options, id uint64) *Session {
	for id <= 1 {
		id = rand.Uint64()
	}
	return &Session{o: o, id: id, next: 1, expected: 1}
}

// Limit changes what Options say of the size of Records and of their signatures, and how often they are sent again.
func (s *Session) Limit(maxRecord, signatureSize, retransmits int) {
	s.o.MaxRecord, s.o.SignatureSize, s.o.Retransmits = maxRecord, signatureSize, retransmits
}

// Security is the payload_security of all its Records.
func (s *Session) Security() usppb.Record_PayloadSecurity { return s.o.Security }

// ID is the session_id.
func (s *Session) ID() uint64 { return s.id }

// Begins says whether a Record may be the first of a session.
func Begins(r *usppb.Record) bool {
	c := r.GetSessionContext()
	return c.GetSessionId() > 1 && c.GetSequenceId() == 1
}

// Waits says that Records have come that are not to be read before another one, and gives the sequence_id of that one.
func (s *Session) Waits() (missing uint64, ok bool) { return s.expected, len(s.early) > 0 }

// Send gives the Records that carry payload records, which together are one message: one where the payload is in clear, TLS records where it is
// not. All of it may be empty, which says no more than what was received.
func (s *Session) Send(payload ...[]byte) ([][]byte, error) { return s.send(0, payload) }

// Ask gives the Record that asks for one that is missing.
func (s *Session) Ask(missing uint64) ([][]byte, error) { return s.send(missing, nil) }

// send makes Records and keeps them until they are acknowledged (R-E2E.14 to R-E2E.17): all that a message takes, or after an error none.
func (s *Session) send(retransmit uint64, payload [][]byte) ([][]byte, error) {
	parts, err := s.segment(payload)
	if err != nil {
		return nil, err
	}
	if len(s.sent)+len(parts) > maxUnacknowledged {
		return nil, ErrFull
	}
	out, size := make([][]byte, len(parts)), s.sentSize
	for i, p := range parts {
		if out[i], err = s.record(p, s.next+uint64(i), retransmit); err != nil {
			return nil, err
		}
		if size += len(out[i]); size > maxBuffered {
			return nil, ErrFull
		}
	}
	for _, b := range out {
		s.sent = append(s.sent, sent{sequence: s.next, record: b})
		s.next++
	}
	s.sentSize = size
	return out, nil
}

func (s *Session) record(p part, sequence, retransmit uint64) ([]byte, error) {
	if sequence > math.MaxUint64-nearEnd {
		return nil, ErrExhausted // R-E2E.9
	}
	r := s.blank()
	c := r.GetSessionContext()
	c.SequenceId, c.RetransmitId = sequence, retransmit
	c.Payload, c.PayloadSarState, c.PayloadrecSarState = p.payload, p.state, p.recState
	if s.o.Sign != nil {
		if err := s.o.Sign(r); err != nil {
			return nil, fmt.Errorf("sign a record: %w", err)
		}
	}
	b, err := proto.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("encode a record: %w", err)
	}
	return b, nil
}

func (s *Session) blank() *usppb.Record {
	return &usppb.Record{Version: usp.RecordVersion, FromId: string(s.o.From), ToId: string(s.o.To), PayloadSecurity: s.o.Security,
		RecordType: &usppb.Record_SessionContext{SessionContext: &usppb.SessionContextRecord{SessionId: s.id, ExpectedId: s.expected}}}
}

// Received is what a Record has brought.
type Received struct {
	Messages [][][]byte // complete ones, each by its payload records
	Resend   [][]byte   // Records that the peer asks for
}

// Receive takes a Record of this session (R-E2E.20, R-E2E.25). One that came before its turn is kept, one that came before is ignored. After an
// error, which is one of those above or of Options, the session is of no use any more.
func (s *Session) Receive(r *usppb.Record) (Received, error) {
	var got Received
	c := r.GetSessionContext()
	switch sequence := c.GetSequenceId(); {
	case r.GetPayloadSecurity() != s.o.Security:
		return got, ErrSecurity
	case sequence > math.MaxUint64-nearEnd:
		return got, ErrExhausted
	case sequence < s.expected:
		return got, nil
	case sequence > s.expected:
		return got, s.keepEarly(r)
	}
	for ok := true; ok; {
		if err := s.process(r, &got); err != nil {
			return got, err
		}
		s.expected++
		if r, ok = s.early[s.expected]; ok {
			delete(s.early, s.expected)
			s.earlySum -= payloadSize(r)
		}
	}
	return got, nil
}

func (s *Session) keepEarly(r *usppb.Record) error {
	sequence := r.GetSessionContext().GetSequenceId()
	if s.early[sequence] != nil {
		return nil
	}
	if len(s.early) >= maxEarly || s.earlySum+payloadSize(r) > maxBuffered {
		return ErrFull
	}
	if s.early == nil {
		s.early = make(map[uint64]*usppb.Record)
	}
	s.early[sequence] = r
	s.earlySum += payloadSize(r)
	return nil
}

// recordOverhead is what keeping a Record costs beside its payload.
const recordOverhead = 256

func payloadSize(r *usppb.Record) int {
	n := recordOverhead
	for _, p := range r.GetSessionContext().GetPayload() {
		n += len(p) + recordOverhead/8
	}
	return n
}

// process takes the Record whose turn it is.
func (s *Session) process(r *usppb.Record, got *Received) error {
	if s.o.Check != nil {
		if err := s.o.Check(r); err != nil {
			return err
		}
	}
	c := r.GetSessionContext()
	acknowledged := c.GetExpectedId()
	if again := c.GetRetransmitId(); again > 0 {
		i := slices.IndexFunc(s.sent, func(x sent) bool { return x.sequence == again })
		if i < 0 || s.o.Retransmits >= 0 && s.sent[i].again >= s.o.Retransmits {
			return fmt.Errorf("%w: %d", ErrRetransmit, again)
		}
		s.sent[i].again++
		got.Resend = append(got.Resend, s.sent[i].record)
		acknowledged = min(acknowledged, again) // whoever asks for a Record has not got it, whatever expected_id says
	}
	s.acknowledge(acknowledged)
	if len(c.GetPayload()) == 0 {
		return nil
	}
	message, err := s.assemble(c)
	if message != nil && s.o.Open != nil {
		var msg []byte
		if msg, err = s.o.Open(message); len(msg) == 0 {
			return err
		}
		message = [][]byte{msg}
	}
	if message != nil {
		got.Messages = append(got.Messages, message)
	}
	return err
}

// acknowledge forgets Records before the one that the peer expects.
func (s *Session) acknowledge(expected uint64) {
	n := 0
	for n < len(s.sent) && s.sent[n].sequence < expected {
		s.sentSize -= len(s.sent[n].record)
		n++
	}
	s.sent = slices.Delete(s.sent, 0, n)
}
