package agent

import (
	"bufio"
	"os"
	"regexp"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"isthmus/usp/usppb"
)

// transcripts are exchanges recorded with the reference Agent, outside of this repository.
const transcripts = "../../../shared/transcripts/"

// known names the exchanges of 03-write.txt in which this Agent differs on purpose, and why.
var known = map[string]string{
	"r03-05": "rows of Controller.{i}.MTP. come from the configuration and cannot be added",
	"r03-14": "the Error names the path in param_errs as well",
	"r03-16": "booleans are kept in canonical form",
	"r03-15": "an immutable Subscription.ID is 7013 here, booleans are echoed in canonical form, and the device differs",
	"r03-18": "a single-instance object is 7018 in Delete, whose list of codes has no 7019",
}

// TestTranscripts replays what was written to the reference Agent and compares the answers but for texts.
func TestTranscripts(t *testing.T) {
	f, err := os.Open(transcripts + "03-write.txt")
	if err != nil {
		t.Skip("the transcripts of the reference Agent are not here: ", err)
	}
	defer f.Close()
	r := newRig(t)
	r.ask(addReq(false, obj{subscriptionTable, []param{req("ID", "boot-1"), req("NotifType", "Event"), req("ReferenceList", "Device.Boot!")}}))
	r.ask(addReq(false, obj{controllerTable + "1.BootParameter.", []param{req("ParameterName", "Device.DeviceInfo.SerialNumber")}}))

	compared := 0
	var block strings.Builder
	take := func() {
		m := &usppb.Msg{}
		if text := block.String(); strings.Contains(text, "header:") {
			if err := prototext.Unmarshal([]byte(text), m); err != nil {
				t.Fatalf("%v in %s", err, text)
			}
		}
		block.Reset()
		id := m.GetHeader().GetMsgId()
		switch {
		case m.GetBody().GetRequest() != nil:
			r.send(ctl1, m)
			return
		case m.GetBody() == nil:
			return
		}
		got := decode(t, r.next())
		for got.GetBody().GetRequest() != nil { // ValueChange comes at once here; the reference Agent polls
			got = decode(t, r.next())
		}
		equal(t, got.GetHeader().GetMsgId(), id)
		if known[id] != "" {
			return
		}
		compared++
		strip(m.ProtoReflect())
		strip(got.ProtoReflect())
		if !proto.Equal(got, m) {
			t.Errorf("%s\ngot  %s\nwant %s", id, flatten(got), flatten(m))
		}
	}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		line := lines.Text()
		if regexp.MustCompile(`^(C->A|A->C|## )`).MatchString(line) {
			take()
			continue
		}
		if !strings.HasPrefix(line, "websocket_connect") && !strings.HasPrefix(line, "version:") && !strings.HasPrefix(line, "to_id:") && !strings.HasPrefix(line, "from_id:") {
			block.WriteString(line + "\n")
		}
	}
	take()
	if compared < 10 {
		t.Fatalf("only %d exchanges compared", compared)
	}
}

// strip removes what may differ: texts, and values the Agent makes up.
func strip(m protoreflect.Message) {
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.Name() == "err_msg":
			m.Clear(f)
		case f.IsList() && f.Message() != nil:
			for i := range v.List().Len() {
				strip(v.List().Get(i).Message())
			}
		case !f.IsMap() && !f.IsList() && f.Message() != nil:
			strip(v.Message())
		}
		return true
	})
}

func flatten(m *usppb.Msg) string { return prototext.MarshalOptions{}.Format(m) }
