package conformance_test

import (
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"isthmus/usp"
	"isthmus/usp/controller"
	"isthmus/usp/usppb"
)

const (
	addedID    = usp.EndpointID("proto::added")
	fullAccess = `Device.LocalAgent.ControllerTrust.Role.[Name=="full_access"]`
)

// addController has the Agent know a Controller at a WebSocket URL, and gives the rows of the Controller and of its MTP.
func (e *eut) addController(id usp.EndpointID, at string, more ...param) (row, mtp string) {
	e.Helper()
	u, err := url.Parse(at)
	e.must(err)
	row, _ = e.added(controllerTable, req("Alias", "usp-111-Controller"), req("EndpointID", string(id)), req("Enable", "true"), req("AssignedRole", fullAccess))
	mtp, _ = e.added(row+"MTP.", append([]param{req("Enable", "true"), req("Protocol", "WebSocket"), req("WebSocket.Host", u.Hostname()),
		req("WebSocket.Port", u.Port()), req("WebSocket.Path", u.Path), req("WebSocket.EnableEncryption", "false")}, more...)...)
	return row, mtp
}

// TestTP469_9_9_NewController: the Agent dials the new Controller, which then works, also after a restart of the proxy.
func TestTP469_9_9_NewController(t *testing.T) {
	e := fresh(t, options{})
	c := controller.New(e.w.ctx, controller.Options{EndpointID: addedID, Logger: quiet()})
	t.Cleanup(func() { c.Close(e.deadline()) })
	at, err := c.Listen(e.w.ctx, "127.0.0.1:0")
	e.must(err)
	row, mtp := e.addController(addedID, at)
	second := &eut{t, e.w, c.Agent(e.w.id)}
	e.must(second.a.WaitConnects(e.deadline(), 1))
	e.start(row+"SendOnBoardRequest()", "case99")
	if n := second.onBoarding(); n.GetOnBoardReq().GetSerialNumber() != "S1" || n.GetSubscriptionId() != "" {
		e.Errorf("%v", n)
	}
	second.wantValue("Device.DeviceInfo.SerialNumber", "S1")
	second.wantValue(mtp+"Order", "1")
	second.wantValue(mtp+"WebSocket.CurrentRetryCount", "0")
	second.wantValue("Device.LocalAgent.MTP.1.Status", "Up")

	second.subscribe("after", "ValueChange", row+"ControllerCode")
	e.must(e.w.stop())
	e.must(e.w.open())
	e.must(second.a.WaitConnects(e.deadline(), 2))
	e.must(e.a.WaitConnects(e.deadline(), 2))
	e.change(row+"ControllerCode", "restarted")
	if v := second.notified("after").GetValueChange(); v.GetParamValue() != "restarted" {
		e.Errorf("%v", v)
	}
}

// added is a Controller made by hand that the Agent has been told of, with its connection.
func added(t *testing.T) (e *eut, p *peer, w *wire, row, mtp string) {
	t.Helper()
	e, p = fresh(t, options{}), newPeer(t, false)
	row, mtp = e.addController(addedID, p.url)
	w = p.accept(e)
	if r := w.next(); r.GetWebsocketConnect() == nil || r.GetToId() != string(addedID) {
		e.Fatalf("first Record %v", r)
	}
	return e, p, w, row, mtp
}

// ask sends a request as the added Controller.
func (w *wire) ask(id string, r *usppb.Request) {
	w.Helper()
	b, err := usp.EncodeRecord(addedID, w.w.id, "", usp.NewRequest(id, r))
	w.must(err)
	w.send(b)
}

// own subscribes the added Controller.
func (w *wire) own(kind, ref string) {
	w.Helper()
	id := unique("own")
	w.ask(id, &usppb.Request{ReqType: &usppb.Request_Add{Add: addMsg(false, obj{subscriptionTable,
		[]param{req("Enable", "true"), req("ID", id), req("NotifType", kind), req("ReferenceList", ref)}})}})
	if w.answer(id).GetBody().GetResponse().GetAddResp() == nil {
		w.Fatal("no Subscription")
	}
}

// last reads to the end of the connection and gives the Notify messages and whether a Disconnect Record ended them.
func (w *wire) last() (notes []*usppb.Notify, disconnected bool) {
	w.Helper()
	for {
		_, b, err := w.ws.ReadMessage()
		if err != nil {
			return notes, disconnected
		}
		r, err := usp.DecodeRecord(b)
		w.must(err)
		if disconnected {
			w.Errorf("%v after the Disconnect Record", r)
		}
		disconnected = r.GetDisconnect() != nil
		if p := r.GetNoSessionContext().GetPayload(); p != nil {
			m, err := usp.DecodeMsg(p)
			w.must(err)
			if n := m.GetBody().GetRequest().GetNotify(); n != nil {
				notes = append(notes, n)
			}
		}
	}
}

// A Controller that is deleted hears that as the last thing, over a connection that then ends.
func TestDeletedControllerIsTold(t *testing.T) {
	e, p, w, row, _ := added(t)
	w.own("ObjectDeletion", controllerTable)
	w.own("ValueChange", row)
	w.own("ObjectDeletion", subscriptionTable) // those go with it, unsaid
	_, err := e.delete(false, row)
	e.must(err)
	notes, disconnected := w.last()
	if len(notes) != 1 || notes[0].GetObjDeletion().GetObjPath() != row || !disconnected {
		e.Errorf("%v, Disconnect %v", notes, disconnected)
	}
	e.wantRows(controllerTable, e.own())
	e.addController(addedID, p.url)
	if r := p.accept(e).next(); r.GetWebsocketConnect() == nil {
		e.Errorf("first Record %v", r)
	}
}

// A Controller that deletes its own row has the answer to that before the connection ends.
func TestControllerDeletesItself(t *testing.T) {
	e, _, w, row, _ := added(t)
	w.own("ObjectDeletion", row)
	w.ask("bye", &usppb.Request{ReqType: &usppb.Request_Delete{Delete: &usppb.Delete{ObjPaths: []string{row}}}})
	if w.answer("bye").GetBody().GetResponse().GetDeleteResp() == nil {
		e.Error("no DeleteResp")
	}
	if notes, disconnected := w.last(); len(notes) != 1 || !disconnected {
		e.Errorf("%v, Disconnect %v", notes, disconnected)
	}
}

// Enable false is the last thing that a Controller hears until it is true again.
func TestDisabledController(t *testing.T) {
	e, p, w, row, _ := added(t)
	w.own("ValueChange", row)
	e.change(row+"Enable", "false")
	notes, disconnected := w.last()
	if len(notes) != 1 || notes[0].GetValueChange().GetParamPath() != row+"Enable" || notes[0].GetValueChange().GetParamValue() != "false" || !disconnected {
		e.Errorf("%v, Disconnect %v", notes, disconnected)
	}
	e.change(row+"ControllerCode", "unheard")
	e.must(e.w.stop())
	e.must(e.w.open())
	e.must(e.a.WaitConnects(e.deadline(), 2))
	in := e.dialHand(addedID)
	if code := in.closed(); code != 1000 {
		e.Errorf("a disabled Controller that dials in is closed with %d", code)
	}
	e.change(row+"Enable", "true")
	again := p.accept(e)
	if r := again.next(); r.GetWebsocketConnect() == nil {
		e.Errorf("first Record %v", r)
	}
	again.ask("alive", &usppb.Request{ReqType: &usppb.Request_GetSupportedProtocol{GetSupportedProtocol: &usppb.GetSupportedProtocol{}}})
	again.answer("alive")
}

// The connection follows the MTP row.
func TestChangedMTP(t *testing.T) {
	e, p, w, _, mtp := added(t)
	ended := func(w *wire) {
		t.Helper()
		if notes, disconnected := w.last(); len(notes) != 0 || !disconnected {
			e.Errorf("%v, Disconnect %v", notes, disconnected)
		}
	}
	joined := func() *wire {
		w := p.accept(e)
		w.next() // the Agent's side is up, too
		return w
	}
	<-p.wire
	e.change(mtp+"WebSocket.Path", "/elsewhere/{endpoint_id}")
	ended(w)
	w = joined()
	if r := <-p.wire; !strings.HasPrefix(r.URL.Path, "/elsewhere/"+string(e.w.id)) {
		e.Errorf("dialled to %s", r.URL.Path)
	}
	e.change(mtp+"Enable", "false")
	ended(w)
	e.change(mtp+"Enable", "true")
	w = joined()
	e.start(mtp+"WebSocket.Reset()", "")
	if code := w.closed(); code != 1000 {
		e.Errorf("closed with %d", code)
	}
	w = joined()
	_, err := e.delete(false, mtp)
	e.must(err)
	ended(w)
}

// What names no place that may be dialled is refused at once.
func TestBadMTP(t *testing.T) {
	e := shared(t)
	row, _ := e.added(controllerTable, req("EndpointID", "proto::nowhere"), req("Enable", "true"))
	for name, value := range map[string]string{"WebSocket.Host": "a/b", "WebSocket.Path": "?x", "WebSocket.Port": "0", "WebSocket.KeepAliveInterval": "0",
		"WebSocket.CurrentRetryCount": "1", "WebSocket.NoSuch": "1", "NoSuch.Host": "h", "Protocol": "CoAP", "Order": "0"} {
		params := []param{req("WebSocket.Host", "controller.example"), req(name, value)}
		if name == "WebSocket.Host" {
			params = params[1:]
		}
		_, err := e.add(false, obj{row + "MTP.", params})
		_ = e.refused(err)
	}
	e.wantRows(row + "MTP.")
}

// The configuration says how its Controllers are reached, and they cannot do away with themselves.
func TestConfiguredController(t *testing.T) {
	e := fresh(t, options{})
	own := e.own()
	_, err := e.set(false, obj{own + "MTP.1.WebSocket.", []param{req("Host", "elsewhere.example")}})
	_ = e.refused(err)
	_, err = e.set(false, obj{own + "MTP.1.", []param{req("Enable", "false")}})
	_ = e.refused(err)
	_, err = e.set(false, obj{own, []param{req("Enable", "false")}})
	_ = e.refused(err)
	_, err = e.add(false, obj{own + "MTP.", []param{req("Protocol", "WebSocket")}})
	_ = e.refused(err)
	for _, path := range []string{own, own + "MTP.1."} {
		_, err = e.delete(false, path)
		_ = e.refused(err)
	}
	e.wantValue(own+"Enable", "true")
}

// What another Controller deletes is back at the next start, since the file has it.
func TestConfiguredControllerComesBack(t *testing.T) {
	e := fresh(t, options{})
	own := e.own()
	e.added(controllerTable, req("EndpointID", string(guestID)), req("Enable", "true"), req("AssignedRole", fullAccess))
	guest := &eut{t, e.w, e.dialIn(guestID)}
	before := e.a.Connects()
	_, err := guest.delete(false, own)
	e.must(err)
	if rows := guest.rows(controllerTable); slices.Contains(rows, own) {
		e.Errorf("rows %v", rows)
	}
	e.must(e.w.stop())
	e.must(e.w.open())
	e.must(e.a.WaitConnects(e.deadline(), before+1))
	if now := e.own(); now == own {
		e.Errorf("%s was given away again", now)
	}
	e.wantValue("Device.DeviceInfo.SerialNumber", "S1")
	e.must(e.w.stop())
	e.must(e.w.open())
	e.must(e.a.WaitConnects(e.deadline(), before+2))
	if rows := e.rows(controllerTable); len(rows) != 2 {
		e.Errorf("rows %v", rows)
	}
}

// dialHand dials the Agent by hand, as a Controller.
func (e *eut) dialHand(id usp.EndpointID) *wire {
	e.Helper()
	ws, _, err := dialer.DialContext(e.deadline(), "ws://"+e.w.addrs.dialIn+"/agent/"+string(e.w.id)+"?eid="+string(id), nil)
	e.must(err)
	e.Cleanup(func() { _ = ws.Close() })
	e.must(ws.SetReadDeadline(time.Now().Add(patience)))
	return &wire{e, ws}
}

var dialer = websocket.Dialer{Subprotocols: []string{"v1.usp"}, HandshakeTimeout: patience}
