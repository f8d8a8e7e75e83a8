package e2e

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"isthmus/usp/usppb"
)

const (
	none       = usppb.SessionContextRecord_NONE
	begin      = usppb.SessionContextRecord_BEGIN
	inProcess  = usppb.SessionContextRecord_INPROCESS
	complete   = usppb.SessionContextRecord_COMPLETE
	smallest   = 512
	longRecord = 700 // does not fit into the smallest Record
)

// The cases of "Segmentation Examples".
func TestSegments(t *testing.T) {
	long, short := strings.Repeat("l", longRecord), strings.Repeat("s", 250)
	for _, c := range []struct {
		name    string
		payload []string
		states  []string // payload_sar_state and payloadrec_sar_state
	}{
		{"1: one Record", []string{"x"}, []string{"NONE NONE"}},
		{"2: a message in many", []string{long + long}, []string{"BEGIN BEGIN", "INPROCESS INPROCESS", "INPROCESS INPROCESS", "COMPLETE COMPLETE"}},
		{"4: all TLS records in one", []string{"x", "y", "z"}, []string{"NONE NONE"}},
		{"5: a TLS record in two", []string{long}, []string{"BEGIN BEGIN", "COMPLETE COMPLETE"}},
		{"6: one TLS record each", []string{short, short, short}, []string{"BEGIN NONE", "INPROCESS NONE", "COMPLETE NONE"}},
		{"7: some in more than one", []string{long, short, long}, []string{"BEGIN BEGIN", "INPROCESS COMPLETE", "INPROCESS NONE", "INPROCESS BEGIN", "COMPLETE COMPLETE"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, b := pair(Options{MaxRecord: smallest})
			records := send(t, a, c.payload...)
			var states []string
			for _, r := range records {
				if len(r) > smallest {
					t.Errorf("a Record of %d bytes", len(r))
				}
				s := decoded(t, r).GetSessionContext()
				states = append(states, fmt.Sprint(s.GetPayloadSarState(), " ", s.GetPayloadrecSarState()))
			}
			if !slices.Equal(states, c.states) {
				t.Fatalf("states %q, want %q", states, c.states)
			}
			slices.Reverse(records) // the order is restored
			got, _ := receive(t, b, records...)
			want(t, got, strings.Join(c.payload, "|"))
			got, _ = receive(t, b, send(t, a, "next")...)
			want(t, got, "next")
		})
	}
}

// Every size around those at which a Record is full, and the largest message in the smallest Records.
func TestSegmentSizes(t *testing.T) {
	a, b := pair(Options{MaxRecord: smallest})
	for size := range 3 * smallest {
		if size == 0 {
			continue // carries nothing
		}
		message := strings.Repeat("m", size)
		records := send(t, a, message)
		for _, r := range records {
			if len(r) > smallest {
				t.Fatalf("a Record of %d bytes for a message of %d", len(r), size)
			}
		}
		a.acknowledge(a.next)
		got, _ := receive(t, b, records...)
		want(t, got, message)
	}
	message := strings.Repeat("m", 5<<20)
	records := send(t, a, message)
	for _, r := range records[:len(records)-1] {
		if len(r) < smallest-30 {
			t.Fatalf("a Record of %d bytes only", len(r))
		}
	}
	got, _ := receive(t, b, records...)
	want(t, got, message)
	a.o.MaxRecord = 20
	if _, err := a.Send([]byte(message)); !errors.Is(err, ErrTooSmall) {
		t.Fatal(err)
	}
}

// What makes no message fails the session (R-E2E.21).
func TestSegmentsThatMakeNoMessage(t *testing.T) {
	type state = usppb.SessionContextRecord_PayloadSARState
	for name, states := range map[string][][2]state{
		"no beginning":                  {{inProcess, inProcess}},
		"only an end":                   {{complete, complete}},
		"two beginnings":                {{begin, begin}, {begin, begin}},
		"a message within another":      {{begin, begin}, {none, none}},
		"a record within another":       {{begin, begin}, {inProcess, begin}},
		"a whole record within another": {{begin, begin}, {inProcess, none}},
		"the middle of no record":       {{begin, none}, {inProcess, inProcess}},
		"an end of no record":           {{begin, none}, {complete, complete}},
		"a record that does not end":    {{begin, begin}, {complete, inProcess}},
		"half a record":                 {{none, begin}},
		"an unknown state":              {{9, none}},
		"an unknown state of a record":  {{none, 9}},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := pair(Options{})
			for i, st := range states {
				r := decoded(t, send(t, a, "x")[0])
				r.GetSessionContext().PayloadSarState, r.GetSessionContext().PayloadrecSarState = st[0], st[1]
				if i == len(states)-1 {
					fails(t, b, r, ErrSegments)
				} else if got, err := b.Receive(r); err != nil || len(got.Messages) != 0 {
					t.Fatal(got, err)
				}
			}
		})
	}
}
