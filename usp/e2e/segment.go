package e2e

import (
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"isthmus/usp/usppb"
)

// part is what one Record carries of a message.
type part struct {
	payload         [][]byte
	state, recState usppb.SessionContextRecord_PayloadSARState
}

// maxPayloads is how many payload records one Record may carry, so that the smallest ones do not fill the memory.
const maxPayloads = 4096

// segment spreads the payload records of a message over Records ("SAR function algorithm").
func (s *Session) segment(payload [][]byte) ([]part, error) {
	room := s.room()
	total := 0
	for _, p := range payload {
		total += sizeOf(len(p))
	}
	if s.o.MaxRecord == 0 || total <= room {
		return []part{{payload: payload}}, nil
	}
	room -= sizeOf(room) - room // of one payload
	if room <= 0 {
		return nil, ErrTooSmall
	}
	var parts []part
	for _, p := range payload {
		first := len(parts)
		for piece := range slices.Chunk(p, room) {
			parts = append(parts, part{payload: [][]byte{piece}, recState: usppb.SessionContextRecord_INPROCESS, state: usppb.SessionContextRecord_INPROCESS})
		}
		if len(parts) == first+1 {
			parts[first].recState = usppb.SessionContextRecord_NONE
			continue
		}
		if len(parts) == first {
			continue // it was empty
		}
		parts[first].recState, parts[len(parts)-1].recState = usppb.SessionContextRecord_BEGIN, usppb.SessionContextRecord_COMPLETE
	}
	parts[0].state, parts[len(parts)-1].state = usppb.SessionContextRecord_BEGIN, usppb.SessionContextRecord_COMPLETE
	return parts, nil
}

// sizeOf is what a payload of n bytes takes in a Record.
func sizeOf(n int) int { return protowire.SizeTag(fieldPayload) + protowire.SizeBytes(n) }

// fieldPayload is SessionContextRecord.payload.
const fieldPayload = 7

// room is how many bytes a Record has for its payloads.
func (s *Session) room() int {
	const longest = 1<<64 - 1
	r := s.blank()
	c := r.GetSessionContext()
	c.SequenceId, c.ExpectedId, c.RetransmitId = longest, longest, longest
	c.PayloadSarState, c.PayloadrecSarState = usppb.SessionContextRecord_COMPLETE, usppb.SessionContextRecord_COMPLETE
	// The length of the context itself is at most as long as that of the whole Record.
	return s.o.MaxRecord - s.o.SignatureSize - proto.Size(r) - protowire.SizeVarint(uint64(s.o.MaxRecord))
}

// assemble puts the segments of a message together; nil while some are to come.
func (s *Session) assemble(c *usppb.SessionContextRecord) ([][]byte, error) {
	state, recState := c.GetPayloadSarState(), c.GetPayloadrecSarState()
	begins := state == usppb.SessionContextRecord_NONE || state == usppb.SessionContextRecord_BEGIN
	if begins == s.within || len(s.segments)+len(c.GetPayload()) > maxPayloads {
		return nil, ErrSegments
	}
	for _, p := range c.GetPayload() {
		if s.size += len(p); s.size > maxMessage {
			return nil, ErrFull
		}
	}
	switch recState {
	case usppb.SessionContextRecord_NONE, usppb.SessionContextRecord_BEGIN:
		if s.split {
			return nil, ErrSegments
		}
		s.segments = append(s.segments, c.GetPayload()...)
	case usppb.SessionContextRecord_INPROCESS, usppb.SessionContextRecord_COMPLETE:
		if !s.split || len(c.GetPayload()) != 1 {
			return nil, ErrSegments
		}
		last := &s.segments[len(s.segments)-1]
		*last = append(*last, c.GetPayload()[0]...)
	default:
		return nil, ErrSegments
	}
	s.split = recState == usppb.SessionContextRecord_BEGIN || recState == usppb.SessionContextRecord_INPROCESS
	switch state {
	case usppb.SessionContextRecord_NONE, usppb.SessionContextRecord_COMPLETE:
	case usppb.SessionContextRecord_BEGIN, usppb.SessionContextRecord_INPROCESS:
		s.within = true
		return nil, nil
	default:
		return nil, ErrSegments
	}
	if s.split {
		return nil, ErrSegments
	}
	message := s.segments
	s.segments, s.size, s.within = nil, 0, false
	return message, nil
}
