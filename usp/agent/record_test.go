package agent

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"isthmus/usp"
	"isthmus/usp/mtp"
	"isthmus/usp/mtp/memory"
	"isthmus/usp/usppb"
)

// What is not for the Agent, or not from an enabled Controller, stays without an answer (TP-469 2.1, 2.2, 3.1).
func TestTP469_2_1_Silence(t *testing.T) {
	r := newRig(t)
	r.ask(setOf("Device.LocalAgent.Controller.2.Enable", "false"))
	ignored := func(from, to usp.EndpointID) {
		b, err := usp.EncodeRecord(from, to, "", usp.NewRequest(r.id(), getReq("Device.")))
		if err != nil {
			t.Fatal(err)
		}
		if err := r.a.Receive(r.w, b, ""); err != nil {
			t.Fatal(err)
		}
	}
	ignored(agentID, agentID)
	ignored(ctl1, "os::other")
	ignored("self::stranger", agentID)
	ignored(ctl2, agentID)
	w := newWire("self::stranger")
	r.a.Up(w)
	b, _ := usp.EncodeRecord("self::stranger", agentID, "", usp.NewRequest("x", getReq("Device.")))
	if err := r.a.Receive(w, b, ""); err != nil {
		t.Fatal(err)
	}
	r.get("Device.LocalAgent.EndpointID")
	r.stop()
	if len(w.out) != 0 {
		t.Fatal(<-w.out)
	}
}

func TestTP469_7_6_Garbage(t *testing.T) {
	r := newRig(t)
	if r.a.Receive(r.w, []byte("no record"), "") == nil {
		t.Fatal("taken for a Record")
	}
	// A Record whose payload is no message is ignored: no msg_id (R-MTP.5).
	rec, err := usp.Address(&usppb.Record{RecordType: &usppb.Record_NoSessionContext{NoSessionContext: &usppb.NoSessionContextRecord{Payload: []byte{0xff}}}}, ctl1, agentID, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := r.a.Receive(r.w, rec, ""); err != nil {
		t.Fatal(err)
	}
	wantError(t, r.ask(&usppb.Request{ReqType: &usppb.Request_Notify{Notify: &usppb.Notify{SubscriptionId: "x"}}}), 7001)
	wantError(t, r.ask(&usppb.Request{ReqType: &usppb.Request_Register{Register: &usppb.Register{}}}), 7001)
	// Responses nobody asked for say nothing.
	r.send(ctl1, usp.NewResponse("zz", &usppb.Response{RespType: &usppb.Response_GetResp{GetResp: &usppb.GetResp{}}}))
	equal(t, r.ask(&usppb.Request{ReqType: &usppb.Request_GetSupportedProtocol{GetSupportedProtocol: &usppb.GetSupportedProtocol{}}}).
		GetResponse().GetGetSupportedProtocolResp().GetAgentSupportedProtocolVersions(), usp.SupportedVersions) // 1.80
}

func TestSessionContextForbidden(t *testing.T) {
	r := newRig(t)
	r.ask(setReq(false, obj{contextObject(controllerTable + "1."), []param{req("SessionMode", sessionForbid)}}))
	rec, err := usp.Address(&usppb.Record{RecordType: &usppb.Record_SessionContext{SessionContext: &usppb.SessionContextRecord{SessionId: 2, SequenceId: 1}}}, ctl1, agentID, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := r.a.Receive(r.w, rec, ""); err != nil {
		t.Fatal(err)
	}
	equal(t, r.next().GetDisconnect().GetReasonCode(), 7106) // R-E2E.6a
	if r.next().GetWebsocketConnect() == nil {
		t.Fatal("no Connect Record after the Disconnect") // R-MTP.8
	}
}

// R-WS.4: the first channel stays.
func TestTP469_7_2_OneChannel(t *testing.T) {
	r := newRig(t)
	second := newWire(ctl1)
	r.a.Up(second)
	equal(t, <-second.closed, mtp.Superseded)
	r.a.Down(second, nil)
	r.get("Device.LocalAgent.EndpointID")
}

// R-MSG.4: a repeat of what is still at work is dropped, and a finished msg_id runs again.
func TestDuplicates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.tree.block = make(chan struct{})
		m := usp.NewRequest("same", setOf("Device.DeviceInfo.ProvisioningCode", "x"))
		r.send(ctl1, m)
		synctest.Wait()
		r.send(ctl1, m)
		equal(t, r.get("Device.LocalAgent.EndpointID"), "Device.LocalAgent.EndpointID="+agentID) // waits for nobody
		close(r.tree.block)
		equal(t, decode(t, r.next()).GetHeader().GetMsgId(), "same")
		synctest.Wait()
		r.silence()
		r.send(ctl1, m)
		equal(t, decode(t, r.next()).GetHeader().GetMsgId(), "same")
		r.stop()
	})
}

// … also where it comes over another channel of the same Controller, as it may from a broker; that of another Controller is another.
func TestDuplicatesOnTwoChannels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		broker := newWire("")
		r.a.Up(broker)
		r.tree.block = make(chan struct{})
		m := usp.NewRequest("same", setOf("Device.DeviceInfo.ProvisioningCode", "x"))
		over := func(from usp.EndpointID) {
			b, err := usp.EncodeRecord(from, agentID, "", m)
			if err != nil {
				t.Fatal(err)
			}
			if err := r.a.Receive(broker, b, ""); err != nil {
				t.Fatal(err)
			}
		}
		r.send(ctl1, m)
		over(ctl1)
		over(ctl2)
		synctest.Wait()
		close(r.tree.block)
		synctest.Wait()
		equal(t, decode(t, r.next()).GetHeader().GetMsgId(), "same")
		equal(t, len(r.w.out), 0)
		equal(t, len(broker.out), 1)
		equal(t, r.tree.sets, 2)
		over(ctl1)
		synctest.Wait()
		equal(t, len(broker.out), 2) // a finished msg_id runs again
		equal(t, r.tree.sets, 3)
		r.stop()
	})
}

// Too many requests at once, the deadline, and the end of the Agent.
func TestDeadlineAndClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.tree.block = make(chan struct{})
		for range maxInFlight + 1 {
			r.send(ctl1, usp.NewRequest(r.id(), setOf("Device.DeviceInfo.ProvisioningCode", "x")))
		}
		wantError(t, decode(t, r.next()).GetBody(), 7005)
		at := time.Now()
		for range maxInFlight {
			if code := decode(t, r.next()).GetBody().GetError().GetErrCode(); code != 7800 {
				t.Fatal(code)
			}
		}
		equal(t, time.Since(at), defaultTimeout)
		r.send(ctl1, usp.NewRequest("last", setOf("Device.DeviceInfo.ProvisioningCode", "x")))
		synctest.Wait()
		r.a.Close(context.Background())
		e := decode(t, r.next()).GetBody().GetError()
		equal(t, e.GetErrMsg(), "shutting down")
		if r.next().GetDisconnect() == nil {
			t.Fatal("no Disconnect Record")
		}
		equal(t, <-r.w.closed, mtp.Normal)
		r.stop()
	})
}

func TestReplyAddress(t *testing.T) {
	r := newRig(t)
	b, _ := usp.EncodeRecord(ctl1, agentID, "", usp.NewRequest("x", getReq("Device.LocalAgent.UpTime")))
	if err := r.a.Receive(r.w, b, "topic"); err != nil {
		t.Fatal(err)
	}
	<-r.w.out
	equal(t, <-r.w.to, "topic")
}

func FuzzReceive(f *testing.F) {
	for _, req := range []*usppb.Request{getReq("Device.", `Device.X.Row.[ID=="a"].`), setOf("Device.LocalAgent.Controller.1.Enable", "1"), addReq(true, subscription(valueChange, "Device.")), delReq(false, "Device.X.Row.*.")} {
		b, err := usp.EncodeRecord(ctl1, agentID, "", usp.NewRequest("x", req))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, record []byte) {
		r := newRig(t)
		if err := r.a.Receive(r.w, record, ""); err == nil && proto.Unmarshal(record, &usppb.Record{}) != nil {
			t.Fatal("taken for a Record")
		}
		r.stop()
	})
}

// hub is a Controller on a Link that carries many Agents.
type hub struct {
	ch  chan mtp.Channel
	got chan *usppb.Record
}

func (*hub) EndpointID() usp.EndpointID { return ctl1 }
func (h *hub) Up(ch mtp.Channel)        { h.ch <- ch }
func (*hub) Down(mtp.Channel, error)    {}
func (h *hub) Receive(_ mtp.Channel, record []byte, _ mtp.Address) error {
	r, err := usp.DecodeRecord(record)
	h.got <- r
	return err
}

// Two Agents on one connection: each hears only what is for it, and both announce themselves.
func TestSharedChannel(t *testing.T) {
	h := &hub{ch: make(chan mtp.Channel, 1), got: make(chan *usppb.Record, 16)}
	link := memory.New(h, memory.Options{})
	f := NewFleet(Options{Controllers: []ControllerConfig{{EndpointID: ctl1}}})
	for _, id := range []usp.EndpointID{agentID, "os::0A0B0C-SN2"} {
		a := f.NewAgent(Identity{ID: id}, newTree(), &kept{}, AgentOptions{})
		defer a.Close(context.Background())
		link.Add(a)
		if rec := <-h.got; rec.GetUdsConnect() == nil || rec.GetFromId() != string(id) {
			t.Fatal(rec)
		}
	}
	defer link.Close()
	ch := <-h.ch
	for _, to := range []usp.EndpointID{agentID, "os::0A0B0C-SN2"} {
		b, err := usp.EncodeRecord(ctl1, to, "", usp.NewRequest("x", getReq("Device.LocalAgent.EndpointID")))
		if err != nil {
			t.Fatal(err)
		}
		if err := ch.Send(t.Context(), b, ""); err != nil {
			t.Fatal(err)
		}
		rec := <-h.got
		equal(t, rec.GetFromId(), string(to))
		equal(t, flat(decode(t, rec).GetBody().GetResponse().GetGetResp().GetReqPathResults()[0]), "Device.LocalAgent.EndpointID="+string(to))
	}
}
