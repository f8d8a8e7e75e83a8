package e2e

import (
	"bytes"
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"google.golang.org/protobuf/proto"

	"isthmus/usp"
	"isthmus/usp/usppb"
)

const (
	left  usp.EndpointID = "proto::left"
	right usp.EndpointID = "proto::right"
)

func pair(o Options) (a, b *Session) {
	oa, ob := o, o
	oa.From, oa.To, ob.From, ob.To = left, right, right, left
	a = New(oa, 0)
	return a, New(ob, a.ID())
}

func decoded(t testing.TB, b []byte) *usppb.Record {
	t.Helper()
	r, err := usp.DecodeRecord(b)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestLossyLine: whatever is lost, doubled and shuffled on the way, the messages arrive whole and in order.
func TestLossyLine(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	a, b := pair(Options{MaxRecord: 200, Retransmits: -1})
	var sent, got [][]byte
	var line [][]byte
	take := func(s *Session, records [][]byte) (answers [][]byte) {
		for _, r := range records {
			x, err := s.Receive(decoded(t, r))
			if err != nil {
				t.Fatal(err)
			}
			answers = append(answers, x.Resend...)
			for _, m := range x.Messages {
				got = append(got, bytes.Join(m, nil))
			}
		}
		return answers
	}
	for n := range 50 {
		message := bytes.Repeat([]byte{byte(n)}, 1+rnd.IntN(2000))
		records, err := a.Send(message)
		if err != nil {
			t.Fatal(err)
		}
		sent = append(sent, message)
		for _, r := range records {
			if len(r) > 200 {
				t.Fatalf("a Record of %d bytes", len(r))
			}
			if rnd.IntN(5) > 0 {
				line = append(line, r)
			}
			if rnd.IntN(5) == 0 {
				line = append(line, r)
			}
		}
		rnd.Shuffle(len(line), func(i, j int) { line[i], line[j] = line[j], line[i] })
		take(b, line)
		line = line[:0]
		for len(got) < len(sent) {
			missing, _ := b.Waits()
			ask, err := b.Ask(missing)
			if err != nil {
				t.Fatal(err)
			}
			take(b, take(a, ask))
		}
	}
	for i := range sent {
		if !bytes.Equal(sent[i], got[i]) {
			t.Fatalf("message %d is another", i)
		}
	}
	if len(a.sent) > 50 || len(b.early) > 0 || b.earlySum != 0 {
		t.Errorf("%d unacknowledged, %d early, %d bytes", len(a.sent), len(b.early), b.earlySum)
	}
}

// TestPayloadRecords: those of a message keep their bounds, in one Record, in one each, and in pieces (cases 4, 6 and 7 of the specification).
func TestPayloadRecords(t *testing.T) {
	message := [][]byte{bytes.Repeat([]byte("a"), 100), bytes.Repeat([]byte("b"), 700), bytes.Repeat([]byte("c"), 5)}
	for limit, count := range map[int]int{0: 1, 1000: 1, 820: 3, 400: 5} {
		a, b := pair(Options{MaxRecord: limit, Security: usppb.Record_TLS12})
		records, err := a.Send(message...)
		if err != nil {
			t.Fatal(err)
		}
		if len(records) != count {
			t.Errorf("%d: %d Records, want %d", limit, len(records), count)
		}
		var got [][]byte
		for i, r := range records {
			x, err := b.Receive(decoded(t, r))
			if err != nil || len(x.Messages) > 0 != (i == len(records)-1) {
				t.Fatalf("%d: Record %d: %v, %v", limit, i, x.Messages, err)
			}
			if len(x.Messages) > 0 {
				got = x.Messages[0]
			}
		}
		for i := range message {
			if len(got) != len(message) || !bytes.Equal(got[i], message[i]) {
				t.Fatalf("%d: %q", limit, got)
			}
		}
	}
	a, _ := pair(Options{MaxRecord: 60})
	if _, err := a.Send(message...); !errors.Is(err, ErrTooSmall) {
		t.Errorf("no room: %v", err)
	}
}

func record(s *Session, edit func(*usppb.Record, *usppb.SessionContextRecord)) *usppb.Record {
	r := s.blank()
	r.GetSessionContext().SequenceId = 1
	edit(r, r.GetSessionContext())
	return r
}

// TestFailures, R-E2E.8, R-E2E.18, R-E2E.21: each ends the session with its reason.
func TestFailures(t *testing.T) {
	const (
		begin    = usppb.SessionContextRecord_BEGIN
		complete = usppb.SessionContextRecord_COMPLETE
		within   = usppb.SessionContextRecord_INPROCESS
	)
	payload := [][]byte{[]byte("x")}
	for name, tc := range map[string]struct {
		edit func(*usppb.Record, *usppb.SessionContextRecord)
		want error
	}{
		"another security":  {func(r *usppb.Record, _ *usppb.SessionContextRecord) { r.PayloadSecurity = usppb.Record_TLS12 }, ErrSecurity},
		"near the end":      {func(_ *usppb.Record, c *usppb.SessionContextRecord) { c.SequenceId = math.MaxUint64 - nearEnd + 1 }, ErrExhausted},
		"never sent":        {func(_ *usppb.Record, c *usppb.SessionContextRecord) { c.RetransmitId = 7 }, ErrRetransmit},
		"end without begin": {func(_ *usppb.Record, c *usppb.SessionContextRecord) { c.Payload, c.PayloadSarState = payload, complete }, ErrSegments},
		"piece of nothing": {func(_ *usppb.Record, c *usppb.SessionContextRecord) {
			c.Payload, c.PayloadrecSarState = payload, within
		}, ErrSegments},
		"unknown state":         {func(_ *usppb.Record, c *usppb.SessionContextRecord) { c.Payload, c.PayloadSarState = payload, 9 }, ErrSegments},
		"unknown record state":  {func(_ *usppb.Record, c *usppb.SessionContextRecord) { c.Payload, c.PayloadrecSarState = payload, 9 }, ErrSegments},
		"message in a record":   {func(_ *usppb.Record, c *usppb.SessionContextRecord) { c.Payload, c.PayloadrecSarState = payload, begin }, ErrSegments},
		"too many payloads":     {func(_ *usppb.Record, c *usppb.SessionContextRecord) { c.Payload = make([][]byte, maxPayloads+1) }, ErrSegments},
		"message that is large": {func(_ *usppb.Record, c *usppb.SessionContextRecord) { c.Payload = [][]byte{make([]byte, maxMessage+1)} }, ErrFull},
	} {
		_, b := pair(Options{})
		if _, err := b.Receive(record(b, tc.edit)); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", name, err, tc.want)
		}
	}
}

// TestBounds: neither what is not acknowledged nor what comes early can fill the memory.
func TestBounds(t *testing.T) {
	a, b := pair(Options{})
	var err error
	for n := 0; err == nil; n++ {
		if _, err = a.Send([]byte("x")); n > maxUnacknowledged {
			t.Fatal("more than may wait")
		}
	}
	if !errors.Is(err, ErrFull) {
		t.Error(err)
	}
	err = nil
	for n := uint64(2); err == nil; n++ {
		_, err = b.Receive(record(b, func(_ *usppb.Record, c *usppb.SessionContextRecord) {
			c.SequenceId, c.Payload = n, [][]byte{make([]byte, 1<<10)}
		}))
		if n > maxEarly+2 {
			t.Fatal("more than may wait")
		}
	}
	if !errors.Is(err, ErrFull) {
		t.Error(err)
	}
}

// TestExpectedBeyond: a peer that claims to have what was never sent forgets nothing of ours.
func TestExpectedBeyond(t *testing.T) {
	a, b := pair(Options{})
	if _, err := b.Receive(record(b, func(_ *usppb.Record, c *usppb.SessionContextRecord) { c.ExpectedId = 9 })); err != nil {
		t.Fatal(err)
	}
	records, err := b.Send([]byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := a.Receive(decoded(t, records[0])); err != nil || len(got.Messages) != 1 {
		t.Errorf("%v %v", got, err)
	}
}

// FuzzReceive: no Record makes a session panic or keep more than it may.
func FuzzReceive(f *testing.F) {
	a, _ := pair(Options{MaxRecord: 150})
	for _, n := range []int{0, 10, 1000} {
		records, err := a.Send(make([]byte, n))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(bytes.Join(records, nil), uint16(len(records[0])))
	}
	f.Fuzz(func(t *testing.T, in []byte, cut uint16) {
		if len(in)/(int(cut)+1) > 1000 {
			t.Skip("more Records than are worth the time")
		}
		s := New(Options{From: right, To: left, Retransmits: 2}, 2)
		for len(in) > 0 {
			n := min(int(cut)+1, len(in))
			r := &usppb.Record{}
			if proto.Unmarshal(in[:n], r) == nil {
				if _, err := s.Receive(r); err != nil {
					return
				}
			}
			in = in[n:]
			if s.earlySum > maxBuffered || len(s.early) > maxEarly || s.size > maxMessage || len(s.segments) > maxPayloads {
				t.Fatalf("%d early of %d bytes, %d segments of %d", len(s.early), s.earlySum, len(s.segments), s.size)
			}
			if _, err := s.Send([]byte("x")); err != nil && !errors.Is(err, ErrFull) {
				t.Fatal(err)
			}
		}
	})
}
