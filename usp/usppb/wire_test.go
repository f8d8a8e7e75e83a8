package usppb_test

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"isthmus/usp/usppb"
)

// vectors were made by the reference Agent.
var vectors = map[string]string{
	"WebSocketConnect":     "0a03312e33120b73656c663a3a63746c2d311a0e6f733a3a3041304230432d534e314a00",
	"GetSupportedProtoRes": "0a03312e33120b73656c663a3a63746c2d311a0e6f733a3a3041304230432d534e313a2512230a0a0a067230312d30321012121512134a110a0f312e302c312e312c312e322c312e33",
	"OperateResp":          "0a03312e33120b73656c663a3a63746c2d311a0e6f733a3a3041304230432d534e313a2a12280a0b0a07723031622d30321007121912173a150a130a0f4465766963652e5265626f6f7428291a00",
	"GetResp":              "0a03312e33120b73656c663a3a63746c2d311a0e6f733a3a3041304230432d534e313a61125f0a0a0a067230312d303310021251124f0a4d0a4b0a1e4465766963652e446576696365496e666f2e53657269616c4e756d62657222290a124465766963652e446576696365496e666f2e12130a0c53657269616c4e756d6265721203534e31",
}

func TestVectors(t *testing.T) {
	for name, s := range vectors {
		t.Run(name, func(t *testing.T) { roundTrip(t, s) })
	}
}

// TestTranscripts takes every Record of the reference Agent that was recorded in full.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("../../../shared/transcripts/*.txt")
	if err != nil || len(files) == 0 {
		t.Skip("no transcripts of the reference Agent at ../shared/transcripts")
	}
	for _, file := range files {
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = f.Close() })
		for sc := bufio.NewScanner(f); sc.Scan(); {
			if s, ok := strings.CutPrefix(sc.Text(), "# hex: "); ok {
				roundTrip(t, s)
			}
		}
	}
}

// roundTrip decodes and encodes again. A Record comes out byte by byte; a message need not, since maps have no order and Go writes
// their empty values, so there what is decoded again is compared. Nothing may be unknown to the schema.
func roundTrip(t *testing.T, s string) {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	r := &usppb.Record{}
	out := recode(t, b, r)
	if !bytes.Equal(out, b) {
		t.Errorf("record %s became %x", s, out)
	}
	payload := r.GetNoSessionContext().GetPayload()
	if payload == nil {
		return
	}
	m := &usppb.Msg{}
	recode(t, payload, m)
	if m.GetBody().GetMsgBody() == nil {
		t.Errorf("message %x has no body", payload)
	}
}

func recode(t *testing.T, b []byte, m proto.Message) []byte {
	t.Helper()
	known := proto.Clone(m)
	if err := proto.Unmarshal(b, m); err != nil {
		t.Fatalf("%x: %v", b, err)
	}
	if err := (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(b, known); err != nil || !proto.Equal(known, m) {
		t.Errorf("%x has fields that the schema does not know: %v", b, err)
	}
	out, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	again := proto.Clone(m)
	proto.Reset(again)
	if err := proto.Unmarshal(out, again); err != nil || !proto.Equal(m, again) {
		t.Errorf("%x does not survive: %v", b, err)
	}
	return out
}
