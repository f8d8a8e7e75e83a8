package e2e

import (
	"bytes"
	"errors"
	"testing"

	"isthmus/usp/usppb"
)

// TestCheckAndOpen: both see Records and messages in their turn and once, whatever the order of arrival; what fails ends the session (R-E2E.23), and a
// message that protects nothing is none.
func TestCheckAndOpen(t *testing.T) {
	var checked []uint64
	bad := errors.New("bad")
	a := New(Options{From: "self::a", To: "self::b"}, 0)
	b := New(Options{From: "self::b", To: "self::a",
		Check: func(r *usppb.Record) error {
			if len(r.GetMacSignature()) > 0 {
				return bad
			}
			checked = append(checked, r.GetSessionContext().GetSequenceId())
			return nil
		},
		Open: func(payload [][]byte) ([]byte, error) {
			msg, fails := bytes.CutPrefix(bytes.Join(payload, nil), []byte("bad"))
			if fails {
				return nil, bad
			}
			return bytes.TrimPrefix(msg, []byte("handshake")), nil
		}}, a.ID())
	first, second, third := send(t, a, "handshake"), send(t, a, "he", "llo"), send(t, a, "handshake")
	got, _ := receive(t, b, second[0], third[0], first[0], second[0])
	want(t, got, "hello")
	if len(checked) != 3 || checked[0] != 1 || checked[2] != 3 {
		t.Errorf("checked %v", checked)
	}
	fails(t, b, decoded(t, send(t, a, "bad")[0]), bad)
	r := decoded(t, send(t, a, "x")[0])
	r.MacSignature = []byte{1}
	b.expected = r.GetSessionContext().GetSequenceId()
	fails(t, b, r, bad)
}
