package e2e

import (
	"bytes"
	"errors"
	"math"
	"slices"
	"testing"

	"isthmus/usp/usppb"
)

func send(t testing.TB, s *Session, payload ...string) [][]byte {
	t.Helper()
	var all [][]byte
	for _, p := range payload {
		all = append(all, []byte(p))
	}
	records, err := s.Send(all...)
	if err != nil {
		t.Fatal(err)
	}
	return records
}

// receive gives Records to a session, and what the messages in them are.
func receive(t testing.TB, s *Session, records ...[]byte) (messages []string, resent [][]byte) {
	t.Helper()
	for _, b := range records {
		got, err := s.Receive(decoded(t, b))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range got.Messages {
			messages = append(messages, string(bytes.Join(m, []byte("|"))))
		}
		resent = append(resent, got.Resend...)
	}
	return messages, resent
}

func want(t testing.TB, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Fatalf("got %q, want %q", got, want)
	}
}

func fails(t testing.TB, s *Session, r *usppb.Record, want error) {
	t.Helper()
	if _, err := s.Receive(r); !errors.Is(err, want) {
		t.Fatalf("got %v, want %v", err, want)
	}
}

// R-E2E.3, R-E2E.14, R-E2E.15, R-E2E.17.
func TestSequence(t *testing.T) {
	a, b := pair(Options{})
	if a.ID() <= 1 {
		t.Fatal(a.ID())
	}
	for i := uint64(1); i < 4; i++ {
		for _, end := range [][2]*Session{{a, b}, {b, a}} {
			records := send(t, end[0], "x")
			c := decoded(t, records[0]).GetSessionContext()
			expected := i
			if end[0] == b {
				expected++
			}
			if len(records) != 1 || c.GetSequenceId() != i || c.GetExpectedId() != expected || c.GetSessionId() != a.ID() || c.GetRetransmitId() != 0 {
				t.Fatalf("record %d of %d: %v", i, len(records), c)
			}
			got, _ := receive(t, end[1], records...)
			want(t, got, "x")
		}
	}
}

// R-E2E.16: what was sent is kept until it is acknowledged, and not longer.
func TestPreserved(t *testing.T) {
	a, b := pair(Options{Retransmits: -1})
	first, second := send(t, a, "1"), send(t, a, "2")
	receive(t, b, first[0])
	if receive(t, a, send(t, b)[0]); len(a.sent) != 1 || a.sent[0].sequence != 2 || a.sentSize != len(second[0]) {
		t.Fatalf("%d Records of %d bytes are kept", len(a.sent), a.sentSize)
	}
	for range 20 { // as often as one likes
		ask, err := b.Ask(2)
		if err != nil {
			t.Fatal(err)
		}
		if _, again := receive(t, a, ask...); len(again) != 1 || !bytes.Equal(again[0], second[0]) {
			t.Fatalf("%d Records come again", len(again))
		}
	}
	got, _ := receive(t, b, second[0], second[0])
	want(t, got, "2")
	receive(t, a, send(t, b)[0])
	if len(a.sent) != 0 || a.sentSize != 0 {
		t.Fatalf("%d Records are kept", len(a.sent))
	}
	ask, _ := b.Ask(2)
	fails(t, a, decoded(t, ask[0]), ErrRetransmit) // R-E2E.21
}

// A Record is sent again MaxRetransmitTries times, each for itself.
func TestRetransmitTries(t *testing.T) {
	a, b := pair(Options{Retransmits: 1})
	send(t, a, "1")
	send(t, a, "2")
	for _, missing := range []uint64{1, 2} {
		ask, _ := b.Ask(missing)
		if _, again := receive(t, a, ask[0]); len(again) != 1 {
			t.Fatalf("Record %d does not come again", missing)
		}
	}
	ask, _ := b.Ask(2)
	fails(t, a, decoded(t, ask[0]), ErrRetransmit)
	a, b = pair(Options{})
	send(t, a, "1")
	ask, _ = b.Ask(1)
	fails(t, a, decoded(t, ask[0]), ErrRetransmit) // none is the data model's default
}

// R-E2E.20, R-E2E.25: whatever the order, and however often.
func TestOrder(t *testing.T) {
	for _, order := range [][]int{{0, 1, 2, 3}, {3, 2, 1, 0}, {0, 0, 2, 2, 1, 1, 3, 0, 3}, {1, 3, 1, 3, 0, 2}} {
		a, b := pair(Options{})
		var records [][]byte
		for _, p := range []string{"1", "2", "3", "4"} {
			records = append(records, send(t, a, p)...)
		}
		var got []string
		for _, i := range order {
			m, _ := receive(t, b, records[i])
			got = append(got, m...)
		}
		want(t, got, "1", "2", "3", "4")
		if _, gap := b.Waits(); gap || len(b.early) != 0 || b.earlySum != 0 {
			t.Fatalf("%d bytes in %d Records wait", b.earlySum, len(b.early))
		}
	}
	a, b := pair(Options{})
	send(t, a, "1")
	receive(t, b, send(t, a, "2")...)
	if missing, gap := b.Waits(); !gap || missing != 1 {
		t.Fatalf("%d is missing: %v", missing, gap)
	}
}

// R-E2E.18, R-E2E.19.
func TestSecurityStays(t *testing.T) {
	a, b := pair(Options{})
	r := decoded(t, send(t, a, "x")[0])
	r.PayloadSecurity = usppb.Record_TLS12
	fails(t, b, r, ErrSecurity)
	a, b = pair(Options{Security: usppb.Record_TLS12})
	r = decoded(t, send(t, a, "x")[0])
	if r.GetPayloadSecurity() != usppb.Record_TLS12 {
		t.Fatal(r)
	}
	r.PayloadSecurity = usppb.Record_PLAINTEXT
	fails(t, b, r, ErrSecurity)
}

// R-E2E.8, R-E2E.9: the end of the sequence IDs.
func TestExhausted(t *testing.T) {
	const last = math.MaxUint64 - nearEnd
	a, b := pair(Options{})
	a.next, b.expected = last, last
	got, _ := receive(t, b, send(t, a, "last")...)
	want(t, got, "last")
	if _, err := a.Send([]byte("x")); !errors.Is(err, ErrExhausted) {
		t.Fatal(err)
	}
	r := decoded(t, send(t, b)[0])
	r.GetSessionContext().SequenceId = last + 1
	fails(t, a, r, ErrExhausted)
}

// A message that does not fit uses no sequence_id, so that the session can go on once something is acknowledged.
func TestFullUsesNoSequenceID(t *testing.T) {
	a, b := pair(Options{MaxRecord: smallest})
	send(t, a, string(make([]byte, maxBuffered/2)))
	if _, err := a.Send(make([]byte, maxBuffered/2)); !errors.Is(err, ErrFull) {
		t.Fatal(err)
	}
	a.acknowledge(a.next)
	b.expected = a.next
	got, _ := receive(t, b, send(t, a, "x")...)
	want(t, got, "x")
}

// Sign is given what is sent, complete but for its signature.
func TestSign(t *testing.T) {
	a, _ := pair(Options{MaxRecord: 512, SignatureSize: 100, Sign: func(r *usppb.Record) error {
		r.MacSignature = bytes.Repeat([]byte{1}, 98)
		return nil
	}})
	records := send(t, a, string(make([]byte, 5000)))
	for _, b := range records {
		if len(b) > 512 || len(decoded(t, b).GetMacSignature()) != 98 {
			t.Fatalf("%d bytes, %d of them a signature", len(b), len(decoded(t, b).GetMacSignature()))
		}
	}
	broken := errors.New("no key")
	a.o.Sign = func(*usppb.Record) error { return broken }
	if _, err := a.Send([]byte("x")); !errors.Is(err, broken) {
		t.Fatal(err)
	}
}
