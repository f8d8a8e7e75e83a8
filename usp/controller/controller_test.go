package controller

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"isthmus/usp"
	"isthmus/usp/mtp"
	"isthmus/usp/mtp/memory"
	"isthmus/usp/mtp/websocket"
	"isthmus/usp/usppb"
)

const (
	agentID      usp.EndpointID = "os::0A0B0C-SN1"
	controllerID usp.EndpointID = "proto::controller"
	patience                    = 10 * time.Second
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeAgent answers each request with what its answer says, on a goroutine of its own.
type fakeAgent struct {
	t      *testing.T
	id     usp.EndpointID
	up     chan mtp.Channel
	got    chan *usppb.Msg // what is no request
	answer func(*usppb.Msg) *usppb.Msg
	wg     sync.WaitGroup
}

func newFakeAgent(t *testing.T, id usp.EndpointID) *fakeAgent {
	f := &fakeAgent{t: t, id: id, up: make(chan mtp.Channel, 4), got: make(chan *usppb.Msg, 4)}
	t.Cleanup(f.wg.Wait)
	return f
}

func (f *fakeAgent) EndpointID() usp.EndpointID     { return f.id }
func (f *fakeAgent) Down(ch mtp.Channel, err error) {}

func (f *fakeAgent) Up(ch mtp.Channel) {
	b, err := usp.Address(ch.ConnectRecord(), f.id, controllerID, "")
	if err != nil {
		f.t.Error(err)
	}
	f.wg.Go(func() {
		if err := ch.Send(f.t.Context(), b, ""); err != nil {
			f.t.Error(err)
		}
		f.up <- ch
	})
}

func (f *fakeAgent) Receive(ch mtp.Channel, record []byte, reply mtp.Address) error {
	r, err := usp.DecodeRecord(record)
	if err != nil {
		return err
	}
	m, err := usp.DecodeMsg(r.GetNoSessionContext().GetPayload())
	if err != nil {
		return err
	}
	if usp.RequestType(m) == "" {
		f.got <- m
		return nil
	}
	if out := f.answer(m); out != nil {
		f.wg.Go(func() { f.send(ch, out, reply) })
	}
	return nil
}

func (f *fakeAgent) send(ch mtp.Channel, m *usppb.Msg, to mtp.Address) {
	b, err := usp.EncodeRecord(f.id, controllerID, "", m)
	if err != nil {
		f.t.Error(err)
		return
	}
	if err := ch.Send(f.t.Context(), b, to); err != nil {
		f.t.Error(err)
	}
}

func newController(t *testing.T, o Options) *Controller {
	t.Helper()
	o.EndpointID = controllerID
	c := New(context.Background(), o)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		c.Close(ctx)
	})
	return c
}

func deadline(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// versions answers GetSupportedProtocol, and anything else but an Operate with an Error.
func versions(m *usppb.Msg) *usppb.Msg {
	id := m.GetHeader().GetMsgId()
	if m.GetBody().GetRequest().GetOperate() != nil {
		return nil
	}
	if m.GetBody().GetRequest().GetGetSupportedProtocol() == nil {
		return usp.ErrorMsg(id, &usp.Error{Code: usp.RequestDenied, Msg: "no", Params: []usp.ParamError{{Path: "Device.A", Code: usp.InvalidPath}}})
	}
	return usp.NewResponse(id, &usppb.Response{RespType: &usppb.Response_GetSupportedProtocolResp{
		GetSupportedProtocolResp: &usppb.GetSupportedProtocolResp{AgentSupportedProtocolVersions: "1.3"},
	}})
}

// talk is what any MTP must make possible.
func talk(t *testing.T, c *Controller, f *fakeAgent) {
	t.Helper()
	ctx := deadline(t)
	a := c.Agent(f.id)
	if err := errors.Join(a.WaitUp(ctx), a.WaitConnects(ctx, 1)); err != nil {
		t.Fatal(err)
	}
	if v, err := a.GetSupportedProtocol(ctx); err != nil || v != "1.3" {
		t.Errorf("%q, %v", v, err)
	}
	_, err := a.Get(ctx, 0, "Device.")
	if e := (*usp.Error)(nil); !errors.As(err, &e) || e.Code != usp.RequestDenied || len(e.Params) != 1 {
		t.Error(err)
	}
	if r, err := a.Operate(ctx, &usppb.Operate{Command: "Device.Reboot()"}); r != nil || err != nil {
		t.Errorf("an Operate without response: %v, %v", r, err)
	}

	ch := <-f.up
	for _, id := range []string{"s1", "s2"} {
		f.send(ch, usp.NewRequest("n-"+id, &usppb.Request{ReqType: &usppb.Request_Notify{
			Notify: &usppb.Notify{SubscriptionId: id, SendResp: id == "s2"},
		}}), "")
	}
	n, err := a.WaitNotify(ctx, func(n *usppb.Notify) bool { return n.GetSubscriptionId() == "s2" })
	if err != nil || n.GetSubscriptionId() != "s2" {
		t.Fatal(n, err)
	}
	select {
	case m := <-f.got:
		if m.GetHeader().GetMsgId() != "n-s2" || m.GetBody().GetResponse().GetNotifyResp().GetSubscriptionId() != "s2" {
			t.Errorf("NotifyResp is %v", m)
		}
	case <-ctx.Done():
		t.Fatal("no NotifyResp")
	}
	if n, err := a.WaitNotify(ctx, nil); err != nil || n.GetSubscriptionId() != "s1" || len(a.Notes()) != 2 {
		t.Error(n, err, a.Notes())
	}
}

func TestAgentDialsIn(t *testing.T) {
	var mu sync.Mutex
	seen := map[Direction]int{}
	c := newController(t, Options{Observe: func(d Direction, _ *usppb.Record, _ *usppb.Msg) {
		mu.Lock()
		defer mu.Unlock()
		seen[d]++
	}})
	url, err := c.Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := newFakeAgent(t, agentID)
	f.answer = versions
	cl, err := websocket.NewClient(t.Context(), websocket.ClientOptions{URL: url, Controller: controllerID})
	if err != nil {
		t.Fatal(err)
	}
	cl.Add(f)
	talk(t, c, f)
	a := c.Agent(agentID)
	cl.Reconnect(agentID)
	if err := a.WaitConnects(deadline(t), 2); err != nil || a.Connects() != 2 {
		t.Error(a.Connects(), err)
	}
	cl.Close(deadline(t))
	mu.Lock()
	defer mu.Unlock()
	if seen[In] != 6 || seen[Out] != 4 {
		t.Errorf("observed %v", seen)
	}
}

func TestDialsAgent(t *testing.T) {
	f := newFakeAgent(t, agentID)
	f.answer = versions
	s := websocket.NewServer(func(id usp.EndpointID) (mtp.Endpoint, bool) { return f, id == agentID }, websocket.ServerOptions{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Shutdown(context.Background())
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	c := newController(t, Options{})
	if err := c.Dial(deadline(t), "ws://"+l.Addr().String()+"/agent/"+string(agentID), agentID); err != nil {
		t.Fatal(err)
	}
	talk(t, c, f)
}

// TestSharedChannel has two Agents on one channel whose transport cannot say who is there.
func TestSharedChannel(t *testing.T) {
	c := newController(t, Options{})
	l := memory.New(c, memory.Options{})
	defer l.Close()
	for _, id := range []usp.EndpointID{"os::1-A", "os::1-B"} {
		f := newFakeAgent(t, id)
		f.answer = versions
		l.Add(f)
		talk(t, c, f)
	}
}

func TestDoWithoutChannel(t *testing.T) {
	c := newController(t, Options{})
	if _, err := c.Agent(agentID).GetSupportedProtocol(t.Context()); !errors.Is(err, mtp.ErrDown) {
		t.Error(err)
	}
	l := memory.New(c, memory.Options{})
	f := newFakeAgent(t, agentID)
	asked := make(chan struct{})
	f.answer = func(*usppb.Msg) *usppb.Msg {
		close(asked)
		return nil
	}
	l.Add(f)
	if err := c.Agent(agentID).WaitUp(deadline(t)); err != nil {
		t.Fatal(err)
	}
	go func() {
		<-asked
		l.Close()
	}()
	if _, err := c.Agent(agentID).GetSupportedProtocol(deadline(t)); !errors.Is(err, mtp.ErrDown) {
		t.Error(err)
	}
}

func TestAnswerWithheld(t *testing.T) {
	c := newController(t, Options{Answer: func(_ usp.EndpointID, n *usppb.Notify) bool { return n.GetSubscriptionId() == "yes" }})
	l := memory.New(c, memory.Options{})
	defer l.Close()
	f := newFakeAgent(t, agentID)
	l.Add(f)
	ch := <-f.up
	for _, id := range []string{"no", "yes"} {
		f.send(ch, usp.NewRequest(id, &usppb.Request{ReqType: &usppb.Request_Notify{Notify: &usppb.Notify{SubscriptionId: id, SendResp: true}}}), "")
	}
	if m := <-f.got; m.GetHeader().GetMsgId() != "yes" {
		t.Errorf("answered %v", m)
	}
}

func TestReceiveOthersRecords(t *testing.T) {
	c := newController(t, Options{})
	l := memory.New(c, memory.Options{})
	defer l.Close()
	f := newFakeAgent(t, agentID)
	l.Add(f)
	ch := <-f.up
	if err := c.Receive(ch, []byte("garbage"), ""); err == nil {
		t.Error("garbage is a Record")
	}
	b, err := usp.EncodeRecord(agentID, "proto::other", "", usp.NewRequest("1", &usppb.Request{ReqType: &usppb.Request_Notify{Notify: &usppb.Notify{}}}))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Receive(ch, b, ""); err != nil || len(c.Agent(agentID).Notes()) != 0 {
		t.Errorf("R-E2E.1: %v, %v", err, c.Agent(agentID).Notes())
	}
}
