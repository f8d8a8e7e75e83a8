package conformance_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"isthmus/usp"
	"isthmus/usp/usppb"
)

// TestTP469_7_1_Session: the Agent comes back by itself after a restart, which is a boot of the CPE, and after one of the proxy.
func TestTP469_7_1_Session(t *testing.T) {
	restarts := map[string]func(e *eut){
		"CPE": func(e *eut) {
			e.start("Device.Reboot()", "test71")
			_, err := e.w.cpe.WaitCall(e.deadline(), "Reboot", 1)
			e.must(err)
		},
		"proxy": func(e *eut) { e.must(e.w.stop()); e.must(e.w.open()) },
	}
	for name, restart := range restarts {
		t.Run(name, func(t *testing.T) {
			e := fresh(t, options{cycle: true})
			before := e.a.Connects()
			restart(e)
			e.must(e.a.WaitConnects(e.deadline(), before+1))
			e.wantValue("Device.DeviceInfo.SerialNumber", "S1")
		})
	}
}

// TestTP469_7_2_OneSession: the Agent has dialled the Controller, which now dials the Agent.
func TestTP469_7_2_OneSession(t *testing.T) {
	e, _, first := hand(t)
	first.alive()
	d := websocket.Dialer{Subprotocols: []string{"v1.usp"}, HandshakeTimeout: patience}
	ws, resp, err := d.DialContext(e.deadline(), "ws://"+e.w.addrs.dialIn+"/agent/"+string(e.w.id)+"?eid="+string(controllerID), nil)
	if err == nil {
		second := &wire{e, ws}
		_ = ws.SetReadDeadline(time.Now().Add(patience))
		if code := second.closed(); code == 0 {
			e.Error("the second session was not closed")
		}
		_ = ws.Close()
	} else if resp == nil || resp.StatusCode != http.StatusConflict {
		e.Error(err)
	}
	first.alive()
}

func TestTP469_7_4_Close(t *testing.T) {
	e, p, w := hand(t)
	e.must(w.ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""), time.Now().Add(patience)))
	if code := w.closed(); code != websocket.CloseNormalClosure {
		e.Errorf("Close was answered with %d", code)
	}
	p.accept(e).alive()
}

// TestTP469_7_5_NoSubprotocol: R-WS.12 and R-WS.12a, a connection without the subprotocol carries no Record, whoever asked for it.
func TestTP469_7_5_NoSubprotocol(t *testing.T) {
	e, p, w := hand(t)
	d := websocket.Dialer{HandshakeTimeout: patience}
	_, resp, err := d.DialContext(e.deadline(), "ws://"+e.w.addrs.dialIn+"/agent/"+string(e.w.id)+"?eid="+string(controllerID), nil)
	if err == nil || resp == nil || resp.StatusCode != http.StatusBadRequest {
		e.Errorf("without a subprotocol: %v, %v", resp, err)
	}
	p.mute.Store(true)
	e.must(w.ws.Close())
	w = p.accept(e)
	if _, _, err := w.ws.ReadMessage(); err == nil {
		e.Error("a Record came over a connection without the subprotocol")
	}
	p.mute.Store(false)
	for { // the Agent may have dialled again before
		if w = p.accept(e); w.ws.Subprotocol() != "" {
			break
		}
	}
	w.alive()
}

func TestTP469_7_6_MalformedRecord(t *testing.T) {
	e, p, w := hand(t)
	w.alive()
	w.send([]byte("not a Record"))
	if code := w.closed(); code != websocket.CloseUnsupportedData {
		e.Errorf("closed with %d, want 1003", code)
	}
	p.accept(e).alive()
}

func TestTP469_7_7_PingPong(t *testing.T) {
	e, _, w := hand(t)
	pong := make(chan string, 1)
	w.ws.SetPongHandler(func(data string) error { pong <- data; return nil })
	e.must(w.ws.WriteControl(websocket.PingMessage, []byte("are you there"), time.Now().Add(patience)))
	w.alive() // reads on, so that the Pong comes to its handler
	select {
	case data := <-pong:
		if data != "are you there" {
			e.Errorf("Pong %q", data)
		}
	default:
		e.Error("no Pong before the answer to what was sent after the Ping")
	}
	e.must(w.ws.WriteControl(websocket.PongMessage, []byte("unasked"), time.Now().Add(patience)))
	w.alive()
}

// TestTP469_7_10_ConnectRecord: R-MTP.8, it is the first Record. What a boot of the CPE raises comes over the new connection.
func TestTP469_7_10_ConnectRecord(t *testing.T) {
	t.Run("proxy", connectAfterRestart)
	t.Run("CPE", connectAfterBoot)
}

func connectAfterRestart(t *testing.T) {
	e, p, w := hand(t)
	check := func(w *wire) {
		r := w.next()
		if r.GetWebsocketConnect() == nil || r.GetFromId() != string(e.w.id) || r.GetToId() != string(controllerID) || r.GetVersion() == "" {
			e.Errorf("first Record %v", r)
		}
	}
	check(w)
	e.must(e.w.stop())
	e.must(e.w.open())
	check(p.accept(e))
}

func connectAfterBoot(t *testing.T) {
	p := newPeer(t, false)
	e := fresh(t, options{url: p.url, cycle: true})
	first := p.accept(e)
	for i, r := range []*usppb.Request{
		{ReqType: &usppb.Request_Add{Add: &usppb.Add{CreateObjs: []*usppb.Add_CreateObject{{ObjPath: subscriptionTable,
			ParamSettings: []*usppb.Add_CreateParamSetting{{Param: "Enable", Value: "true"}, {Param: "NotifType", Value: "Event"},
				{Param: "ReferenceList", Value: "Device.Boot!"}}}}}}},
		{ReqType: &usppb.Request_Operate{Operate: &usppb.Operate{Command: "Device.Reboot()"}}},
	} {
		record, err := usp.EncodeRecord(controllerID, e.w.id, "", usp.NewRequest(itoa(i), r))
		e.must(err)
		first.send(record)
	}
	second := p.accept(e)
	if r := second.next(); r.GetWebsocketConnect() == nil {
		e.Errorf("first Record %v", r)
	}
	for {
		m, err := usp.DecodeMsg(second.next().GetNoSessionContext().GetPayload())
		e.must(err)
		if v := m.GetBody().GetRequest().GetNotify().GetEvent(); v.GetEventName() == "Boot!" {
			return
		}
	}
}

// TestTP469_7_11_NoExtension: the peer's answer does not have the extension that the Agent offers.
func TestTP469_7_11_NoExtension(t *testing.T) {
	e, p, w := hand(t)
	if r := <-p.wire; r.Header.Get("Sec-WebSocket-Extensions") == "" || usp.EndpointID(r.URL.Query().Get("eid")) != e.w.id {
		e.Errorf("handshake %v", r.Header)
	}
	w.alive()
}

// TestTP469_7_12_Fragments: a Record in many frames.
func TestTP469_7_12_Fragments(t *testing.T) {
	_, _, w := hand(t)
	id := unique("fragments")
	b := w.record(controllerID, w.w.id, id, "Device.DeviceInfo.")
	m, err := w.ws.NextWriter(websocket.BinaryMessage)
	w.must(err)
	for len(b) > 0 {
		n := min(len(b), 64) // the write buffer of the connection: a frame each
		_, err := m.Write(b[:n])
		w.must(err)
		b = b[n:]
	}
	w.must(m.Close())
	if w.answer(id).GetBody().GetResponse().GetGetResp() == nil {
		w.Error("no GetResp")
	}
}
