package usp

import (
	"bytes"
	"encoding/hex"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"isthmus/usp/usppb"
)

const (
	agentID      EndpointID = "os::0A0B0C-SN1"
	controllerID EndpointID = "self::ctl-1"
)

func getMsg(id string) *usppb.Msg {
	return NewRequest(id, &usppb.Request{ReqType: &usppb.Request_Get{Get: &usppb.Get{ParamPaths: []string{"Device."}}}})
}

func TestEncodeRecord(t *testing.T) {
	msg := ErrorMsg("m1", &Error{Code: RequestDenied, Msg: "no\xff", Params: []ParamError{{Path: "Device.A", Code: InvalidType, Msg: "x"}}})
	got, err := EncodeRecord(agentID, controllerID, "", msg)
	if err != nil {
		t.Fatal(err)
	}
	payload, err := proto.Marshal(msg)
	if err != nil {
		t.Fatal(err)
	}
	want, err := proto.Marshal(&usppb.Record{
		Version: RecordVersion, ToId: string(controllerID), FromId: string(agentID),
		RecordType: &usppb.Record_NoSessionContext{NoSessionContext: &usppb.NoSessionContextRecord{Payload: payload}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) || cap(got) != len(want) {
		t.Errorf("got %x (cap %d)\nwant %x", got, cap(got), want)
	}
	r, err := DecodeRecord(got)
	if err != nil {
		t.Fatal(err)
	}
	back, err := DecodeMsg(r.GetNoSessionContext().GetPayload())
	if d := cmp.Diff(msg, back, protocmp.Transform()); err != nil || d != "" {
		t.Error(err, d)
	}
	e := ErrorFrom(back.GetBody().GetError())
	if e.Code != RequestDenied || e.Msg != "no\uFFFD" || len(e.Params) != 1 || e.Params[0].Code != InvalidType {
		t.Errorf("error came back as %+v", e)
	}
}

func TestEncodeRecordNotUTF8(t *testing.T) {
	msg := getMsg("m1")
	msg.GetBody().GetRequest().GetGet().ParamPaths[0] = "\xff"
	if _, err := EncodeRecord(agentID, controllerID, "1.3", msg); err == nil {
		t.Error("no error")
	}
}

func TestDecodeRecord(t *testing.T) {
	noSession := func(payload string) *usppb.Record_NoSessionContext {
		return &usppb.Record_NoSessionContext{NoSessionContext: &usppb.NoSessionContextRecord{Payload: []byte(payload)}}
	}
	encode := func(change func(*usppb.Record)) []byte {
		r := &usppb.Record{Version: "1.3", ToId: string(agentID), FromId: string(controllerID), RecordType: noSession("x")}
		change(r)
		b, err := proto.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for _, c := range []struct {
		name string
		in   []byte
		want ErrorCode // 0: none
	}{
		{"good", encode(func(*usppb.Record) {}), 0},
		{"no version", encode(func(r *usppb.Record) { r.Version = "" }), 0},
		{"session context", encode(func(r *usppb.Record) {
			r.RecordType = &usppb.Record_SessionContext{SessionContext: &usppb.SessionContextRecord{}}
		}), 0},
		{"connect", encode(func(r *usppb.Record) {
			r.RecordType = &usppb.Record_WebsocketConnect{WebsocketConnect: &usppb.WebSocketConnectRecord{}}
		}), 0},
		{"garbage", []byte("garbage"), RecordUnparsable},
		{"cut", encode(func(*usppb.Record) {})[:20], RecordUnparsable},
		{"empty", nil, InvalidRecordValue},
		{"no from_id", encode(func(r *usppb.Record) { r.FromId = "" }), InvalidRecordValue},
		{"no to_id", encode(func(r *usppb.Record) { r.ToId = "" }), InvalidRecordValue},
		{"R-ENC.4 no type", encode(func(r *usppb.Record) { r.RecordType = nil }), InvalidRecordValue},
		{"R-ENC.4 two types", append(encode(func(*usppb.Record) {}), 0x4a, 0), InvalidRecordValue},
		{"empty payload", encode(func(r *usppb.Record) { r.RecordType = noSession("") }), InvalidRecordValue},
		{"R-E2E.41 secure payload", encode(func(r *usppb.Record) { r.PayloadSecurity = usppb.Record_TLS12 }), SecureSessionNotSupported},
		{"R-ENC.2 unknown enum", encode(func(r *usppb.Record) { r.PayloadSecurity = 7 }), InvalidRecordValue},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := DecodeRecord(c.in)
			if c.want == 0 && (err != nil || r == nil) || c.want != 0 && (err == nil || AsError(err).Code != c.want) {
				t.Errorf("%v, %v; want %d", r, err, c.want)
			}
			if (r == nil) != (c.want == RecordUnparsable) {
				t.Errorf("record is %v", r)
			}
		})
	}
}

func TestDecodeMsg(t *testing.T) {
	encode := func(m *usppb.Msg) []byte {
		b, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for _, c := range []struct {
		name string
		in   []byte
		want ErrorCode
	}{
		{"request", encode(getMsg("1")), 0},
		{"no msg_id", encode(getMsg("")), InvalidArguments},
		{"no body", encode(&usppb.Msg{Header: &usppb.Header{MsgId: "1"}}), InvalidArguments},
		{"empty request", encode(NewRequest("1", &usppb.Request{})), InvalidArguments},
		{"R-MSG.1 request of tomorrow", append(encode(&usppb.Msg{Header: &usppb.Header{MsgId: "1"}}), 0x12, 5, 0x0a, 3, 0xa2, 1, 0), MessageNotSupported},
		{"garbage", []byte("garbage"), InvalidArguments},
	} {
		m, err := DecodeMsg(c.in)
		if c.want == 0 && err != nil || c.want != 0 && (err == nil || AsError(err).Code != c.want) {
			t.Errorf("%s: %v, %v; want %d", c.name, m, err, c.want)
		}
	}
}

func TestRequestType(t *testing.T) {
	if got := RequestType(getMsg("1")); got != "Get" {
		t.Error(got)
	}
	if got := getMsg("1").GetHeader().GetMsgType(); got != usppb.Header_GET {
		t.Error(got)
	}
	resp := NewResponse("1", &usppb.Response{RespType: &usppb.Response_DeregisterResp{DeregisterResp: &usppb.DeregisterResp{}}})
	if got := resp.GetHeader().GetMsgType(); got != usppb.Header_DEREGISTER_RESP {
		t.Error(got)
	}
	for _, m := range []*usppb.Msg{nil, {}, resp, ErrorMsg("1", &Error{})} {
		if got := RequestType(m); got != "" {
			t.Error(got)
		}
	}
}

// TestDisconnect compares with what the specification's table of fields makes of it.
func TestDisconnect(t *testing.T) {
	b, err := Address(Disconnect(Errorf(SessionNotAllowed, "no")), agentID, controllerID, "1.3")
	const want = "0a03312e33120b73656c663a3a63746c2d311a0e6f733a3a3041304230432d534e3162090a026e6f15c21b0000"
	if got := hex.EncodeToString(b); err != nil || got != want {
		t.Errorf("%s, %v", got, err)
	}
}

func FuzzDecodeRecord(f *testing.F) {
	good, err := EncodeRecord(agentID, controllerID, "1.3", getMsg("1"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte("garbage"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := DecodeRecord(b)
		if err != nil {
			return
		}
		if m, err := DecodeMsg(r.GetNoSessionContext().GetPayload()); err == nil && m.GetHeader().GetMsgId() == "" {
			t.Error("a message without msg_id is good")
		}
	})
}

func BenchmarkEncodeRecord(b *testing.B) {
	msg := getMsg("1")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := EncodeRecord(agentID, controllerID, "", msg); err != nil {
			b.Fatal(err)
		}
	}
}

// A Controller may have a name that is no Endpoint ID where its profile says so; nobody else.
func TestDecodeRecordFrom(t *testing.T) {
	b, err := EncodeRecord("oktopusController", "os::0A0B0C-SN1", "", NewRequest("1", &usppb.Request{ReqType: &usppb.Request_Get{Get: &usppb.Get{}}}))
	if err != nil {
		t.Fatal(err)
	}
	for name, ok := range map[EndpointID]bool{"oktopusController": true, "another": false, "": false} {
		if _, err := DecodeRecordFrom(b, name); (err == nil) != ok {
			t.Errorf("%q: %v", name, err)
		}
	}
}
