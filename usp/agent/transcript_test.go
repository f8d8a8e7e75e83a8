package agent

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"isthmus/usp"
	"isthmus/usp/usppb"
)

// transcripts are exchanges recorded with the reference Agent, outside of this repository.
const transcripts = "../../../shared/transcripts/"

// TestTranscripts asks this Agent what the reference Agent was asked, at the same times, and compares the answers: codes, and which fields and
// elements there are, keys and what a Set has set; not other values, and no texts. What differs must be in differs, and be right for the reason there.
func TestTranscripts(t *testing.T) {
	used := make([]bool, len(differs))
	for _, name := range []string{"01-ws-agent-dials-out", "02-read", "03-write", "04-operate-subscribe-notify", "05-edge-and-retry", "08-full-tree-and-gsdm"} {
		text, err := os.ReadFile(filepath.Join(transcripts, name+".txt"))
		if err != nil {
			t.Skip("the transcripts of the reference Agent are not here, so nothing is compared: ", err)
		}
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { replay(t, name[:2], string(text), used) })
		})
	}
	for i, d := range differs {
		if !used[i] {
			t.Errorf("%s %s: there is no such difference (any more)", d.where, d.line)
		}
	}
}

// item is a Record of a transcript.
type item struct {
	section string // number of the connection and of the section: "1/05"
	out     bool   // of the Agent
	at      time.Duration
	from    string
	to      string
	tls     bool
	msg     *usppb.Msg
	record  *usppb.Record // one without a message
	raw     bool          // bytes that are no Record
	boot    bool          // no Record: the CPE boots
}

var (
	reConnection = regexp.MustCompile(`^# =+ connection (\d+)`)
	reSection    = regexp.MustCompile(`^## (\d+)`)
	reRecord     = regexp.MustCompile(`^(C->A|A->C) \(t=([0-9.]+)s\)`)
	reEnds       = regexp.MustCompile(`to_id: "([^"]*)" from_id: "([^"]*)"`)
)

func parseTranscript(t *testing.T, text string) (items []*item) {
	connection, section := "1", ""
	var cur *item
	var block strings.Builder
	flush := func() {
		body := strings.TrimSpace(block.String())
		block.Reset()
		if cur == nil {
			return
		}
		var err error
		switch {
		case strings.HasPrefix(body, "header"):
			cur.msg = &usppb.Msg{}
			err = prototext.Unmarshal([]byte(body), cur.msg)
		case strings.HasPrefix(body, "version"):
			cur.record = &usppb.Record{}
			err = prototext.Unmarshal([]byte(body), cur.record)
		}
		if err != nil {
			t.Fatalf("%v in %s", err, body)
		}
		if cur.msg != nil || cur.record != nil || cur.tls {
			items = append(items, cur)
		}
		cur = nil
	}
	for line := range strings.SplitSeq(text, "\n") {
		switch {
		case reConnection.MatchString(line):
			flush()
			connection = reConnection.FindStringSubmatch(line)[1]
		case reSection.MatchString(line):
			flush()
			section = connection + "/" + reSection.FindStringSubmatch(line)[1]
		case reRecord.MatchString(line):
			flush()
			f := reRecord.FindStringSubmatch(line)
			s, err := strconv.ParseFloat(f[2], 64)
			if err != nil {
				t.Fatal(err)
			}
			cur = &item{section: section, out: f[1] == "A->C", at: time.Duration(s * float64(time.Second))}
		case strings.HasPrefix(line, "C->A raw bytes"):
			flush()
			items = append(items, &item{section: section, raw: true})
		case strings.HasPrefix(line, "# local action"):
			items = append(items, &item{section: section, boot: true})
		case strings.HasPrefix(line, "# Record: ") && cur != nil:
			if f := reEnds.FindStringSubmatch(line); f != nil {
				cur.to, cur.from = f[1], f[2]
			}
			cur.tls = strings.Contains(line, "payload_security: TLS12")
		case !strings.HasPrefix(line, "#"):
			block.WriteString(line + "\n")
		}
	}
	flush()
	return items
}

// referee compares what two Agents said in one section.
type referee struct {
	*rig
	file       string
	used       []bool
	began      time.Time
	theirs     []string
	ours       []string
	theirNotes []string // notifications, of the whole file: their times are each Agent's own
	ourNotes   []string
	unanswered []string // msg_ids of our own notifications
}

func replay(t *testing.T, file, text string, used []bool) {
	r := &rig{t: t, tree: referenceTree(), keep: &kept{}, controllers: []ControllerConfig{
		{EndpointID: ctl1, MTP: MTPConfig{Host: "h", Port: 80, Path: "/"}}, {EndpointID: ctl2, OnlyDialsIn: true}}}
	r.start()
	r.tree.raise = nil
	defer r.stop()
	r.a.Do(t.Context(), ctl1, usp.NewRequest("a", addReq(false, obj{subscriptionTable, []param{req("ID", "boot-1"), req("NotifType", "Event"),
		req("ReferenceList", "Device.Boot!"), req("Enable", "true"), req("Persistent", "true"), req("NotifRetry", "true")}})))
	r.a.Do(t.Context(), ctl1, usp.NewRequest("b", addReq(false, obj{controllerTable + "1.BootParameter.", []param{req("Alias", "bp1"),
		req("ParameterName", "Device.DeviceInfo.SerialNumber"), req("Enable", "true")}})))
	f := &referee{rig: r, file: file, used: used}
	connection, section := "", ""
	for _, it := range parseTranscript(t, text) {
		if c, _, _ := strings.Cut(it.section, "/"); c != connection {
			f.verdict(section)
			connection = c
			if r.w != nil {
				r.a.Down(r.w, nil)
			}
			r.w = newWire(ctl1)
			f.began = time.Now()
			if file == "01" && c != "2" || (file == "04" || file == "05") && c == "1" { // the Agent has been started
				f.boot(&Event{Object: "Device.", Name: bootEvent, Args: bootArgs})
			}
			r.a.Up(r.w)
		} else if it.section != section {
			f.verdict(section)
		}
		section = it.section
		f.play(it)
	}
	time.Sleep(3 * time.Second)
	f.listen()
	f.verdict(section)
	f.theirs, f.ours = unique(f.theirNotes), unique(f.ourNotes)
	f.verdict("notify")
}

// bootArgs are those of every Boot!, whatever its cause.
var bootArgs = map[string]string{"Cause": "", "CommandKey": "", "FirmwareUpdated": "", "ParameterMap": "", "Reason": ""}

// boot raises Boot! without the end of Subscriptions that are not persistent: the recorder did no more.
func (f *referee) boot(e *Event) {
	if err := f.a.Raise(f.t.Context(), e); err != nil {
		f.t.Fatal(err)
	}
}

func (f *referee) play(it *item) {
	time.Sleep(time.Until(f.began.Add(it.at)))
	synctest.Wait()
	f.listen()
	switch {
	case it.boot:
		f.boot(&Event{Object: "Device.", Name: bootEvent, Args: bootArgs})
	case it.raw:
		if f.a.Receive(f.w, []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0}, "") == nil {
			f.t.Error("bytes that are no Record are taken for one")
		}
	case it.out && it.msg.GetBody().GetRequest() != nil:
		f.theirNotes = append(f.theirNotes, noted(it.msg))
	case it.out && it.msg != nil:
		f.theirs = append(f.theirs, said(it.msg)...)
	case it.out:
		f.theirs = append(f.theirs, recorded(it.record)...)
	case it.tls:
		f.receive(&usppb.Record{Version: "1.3", ToId: agentID, FromId: ctl1, PayloadSecurity: usppb.Record_TLS12,
			RecordType: &usppb.Record_NoSessionContext{NoSessionContext: &usppb.NoSessionContextRecord{Payload: []byte("x")}}})
	case it.record != nil:
		f.receive(it.record)
	case it.msg.GetBody().GetResponse().GetNotifyResp() != nil:
		if len(f.unanswered) > 0 {
			it.msg.Header.MsgId, f.unanswered = f.unanswered[0], f.unanswered[1:]
			f.receive(f.wrap(it))
		}
	default:
		f.receive(f.wrap(it))
	}
	synctest.Wait()
	f.listen()
}

func (f *referee) wrap(it *item) *usppb.Record {
	payload, err := proto.Marshal(it.msg)
	if err != nil {
		f.t.Fatal(err)
	}
	return &usppb.Record{Version: "1.3", ToId: it.to, FromId: it.from,
		RecordType: &usppb.Record_NoSessionContext{NoSessionContext: &usppb.NoSessionContextRecord{Payload: payload}}}
}

func (f *referee) receive(r *usppb.Record) {
	b, err := proto.Marshal(r)
	if err != nil {
		f.t.Fatal(err)
	}
	if err := f.a.Receive(f.w, b, ""); err != nil {
		f.t.Error(err)
	}
}

// listen takes what this Agent has said.
func (f *referee) listen() {
	for {
		select {
		case r := <-f.w.out:
			<-f.w.to
			if r.GetNoSessionContext() == nil {
				f.ours = append(f.ours, recorded(r)...)
				continue
			}
			m := decode(f.t, r)
			n := m.GetBody().GetRequest().GetNotify()
			if n.GetSendResp() && !slices.Contains(f.unanswered, m.GetHeader().GetMsgId()) {
				f.unanswered = append(f.unanswered, m.GetHeader().GetMsgId())
			}
			if n != nil {
				f.ourNotes = append(f.ourNotes, noted(m))
			} else {
				f.ours = append(f.ours, said(m)...)
			}
		default:
			return
		}
	}
}

// verdict compares a section that is over.
func (f *referee) verdict(section string) {
	where := f.file + "/" + section
	count := map[string]int{}
	for _, l := range f.theirs {
		count[l]--
	}
	for _, l := range f.ours {
		count[l]++
	}
	f.theirs, f.ours = nil, nil
	for _, l := range slices.Sorted(maps.Keys(count)) {
		if count[l] == 0 {
			continue
		}
		line := map[bool]string{true: "+", false: "-"}[count[l] > 0] + l
		i := slices.IndexFunc(differs, func(d difference) bool {
			return regexp.MustCompile("^"+d.where).MatchString(where) && regexp.MustCompile("^"+d.line+"$").MatchString(line)
		})
		if i < 0 {
			f.t.Errorf("%s: %s: nothing says why", where, line)
			continue
		}
		f.used[i] = true
	}
}

func recorded(r *usppb.Record) []string {
	d := r.GetDisconnect()
	if d == nil {
		return []string{"connect"}
	}
	return []string{fmt.Sprint("disconnect ", d.GetReasonCode())}
}

// noted is a notification as one line.
func noted(m *usppb.Msg) string {
	lines := said(m)
	slices.Sort(lines)
	return strings.Join(lines, " ")
}

// said is a message as lines: which fields, elements and codes it has.
func said(m *usppb.Msg) []string {
	var out []string
	body := m.GetBody().ProtoReflect()
	body.Range(func(_ protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		tell(v.Message(), "", &out)
		return true
	})
	return out
}

func tell(m protoreflect.Message, at string, out *[]string) {
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		name := at + "/" + string(f.Name())
		switch {
		case f.Name() == "err_msg", f.Name() == "data_model_inst_uri", f.Name() == "resolved_path", f.Name() == "supported_obj_path", f.Name() == "param_name":
		case f.IsMap():
			v.Map().Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
				line := name + ":" + k.String()
				if f.Name() == "updated_params" || f.Name() == "unique_keys" {
					line += "=" + v.String()
				}
				*out = append(*out, line)
				return true
			})
		case f.IsList() && f.Message() == nil:
			var items []string
			for i := range v.List().Len() {
				items = append(items, v.List().Get(i).String())
			}
			slices.Sort(items)
			*out = append(*out, name+"="+strings.Join(items, ","))
		case f.IsList():
			for i := range v.List().Len() {
				item := v.List().Get(i).Message()
				tell(item, at+"/"+title(item), out)
				*out = append(*out, at+"/"+title(item))
			}
		case f.Message() != nil:
			*out = append(*out, name)
			tell(v.Message(), name, out)
		default:
			*out = append(*out, name+"="+v.String())
		}
		return true
	})
}

// title names an element of a list by the first text in it that is not for people.
func title(m protoreflect.Message) string {
	for i := range m.Descriptor().Fields().Len() {
		if f := m.Descriptor().Fields().Get(i); f.Kind() == protoreflect.StringKind && !f.IsList() && f.Name() != "err_msg" && f.Name() != "data_model_inst_uri" && m.Get(f).String() != "" {
			return m.Get(f).String()
		}
	}
	return "?"
}
