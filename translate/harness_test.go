package translate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"isthmus/cwmp"
	"isthmus/cwmp/connreq"
	"isthmus/cwmp/cpe"
	"isthmus/store"
	"isthmus/store/badger"
	"isthmus/usp"
	"isthmus/usp/agent"
	"isthmus/usp/mtp"
	"isthmus/usp/usppb"
)

func TestMain(m *testing.M) {
	if mode := os.Getenv(serverMode); mode != "" {
		run := serveForBenchmark
		if mode == stormMode {
			run = stormForBenchmark
		}
		if err := run(mode, os.Getenv("ISTHMUS_TEST_DIR")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	dozeAtOnce = os.Getenv("ISTHMUS_TEST_DOZE") != ""
	goleak.VerifyTestMain(m)
}

const testController usp.EndpointID = "proto::controller"

// world is a Proxy with everything real around it: the store on disk, the CWMP server and the CPE on sockets, and a Controller behind
// an MTP that is a function call.
type world struct {
	t      testing.TB
	dir    string
	opts   Options
	st     store.Store
	p      *Proxy
	server *cwmp.Server
	addr   string
	peer   *peer
	ctx    context.Context
	served chan error
	up     bool
	own    func(path string) string      // how the CPE calls a Device:2 path
	wrap   func(store.Store) store.Store // what the Proxy gets for its store; nil: the store
}

// deadline is for everything a test waits for: long past what a working proxy needs.
const deadline = 20 * time.Second

func newWorld(t testing.TB, change func(*Options)) *world {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	w := &world{t: t, dir: t.TempDir(), ctx: ctx, peer: newPeer(), own: func(p string) string { return p }}
	w.opts = Options{Linger: 200 * time.Millisecond, MaxAge: time.Minute, Logger: quiet(),
		ConnectionRequest: ConnectionRequest{Timeout: 3 * time.Second, Client: &connreq.Client{}},
		Agents: agent.Options{RequestTimeout: 8 * time.Second, Logger: quiet(),
			Controllers: []agent.ControllerConfig{{EndpointID: testController, MTP: agent.MTPConfig{Protocol: "WebSocket", Host: "127.0.0.1", Port: 1, Path: "/"}}}}}
	if change != nil {
		change(&w.opts)
	}
	w.start()
	t.Cleanup(w.stop)
	return w
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func (w *world) start() {
	w.t.Helper()
	st, err := badger.Open(w.dir, &badger.Options{Logger: quiet()})
	w.must(err)
	w.st = st
	w.opts.Store = st
	if w.wrap != nil {
		w.opts.Store = w.wrap(st)
	}
	w.opts.Agents.Dialer = w.peer
	w.p, err = New(w.ctx, w.opts)
	w.must(err)
	w.server = cwmp.NewServer(w.p, &cwmp.ServerOptions{Logger: quiet()})
	if w.addr == "" {
		w.addr = freeAddr(w.t)
	}
	l, err := net.Listen("tcp", w.addr)
	w.must(err)
	w.addr = l.Addr().String()
	w.served = make(chan error, 1)
	go func() { w.served <- w.server.Serve(l) }()
	w.p.Start()
	w.up = true
}

func (w *world) stop() {
	if !w.up {
		return
	}
	w.up = false
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	w.p.Stop()
	if err := w.server.Shutdown(ctx); err != nil {
		w.t.Errorf("Shutdown: %v", err)
	}
	if err := <-w.served; err != nil {
		w.t.Errorf("Serve: %v", err)
	}
	if err := w.p.Close(ctx); err != nil && !errors.Is(err, errKilled) {
		w.t.Errorf("Close: %v", err)
	}
	w.peer.reset()
	if err := w.st.Close(); err != nil {
		w.t.Errorf("store: %v", err)
	}
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// in bounds a wait.
func (w *world) in(d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(w.ctx, d)
	w.t.Cleanup(cancel)
	return ctx
}

// boot starts a CPE and waits until its data model is known and its session over.
func (w *world) boot(change func(*cpe.Config)) (*cpe.CPE, usp.EndpointID) {
	w.t.Helper()
	c, id := w.run(change)
	w.discovered(id)
	w.must(c.WaitIdle(w.in(deadline)))
	w.over(id)
	return c, id
}

func (w *world) run(change func(*cpe.Config)) (*cpe.CPE, usp.EndpointID) {
	w.t.Helper()
	cfg := cpe.Config{ACS: "http://" + w.addr + "/", Logger: quiet(), RebootTime: 50 * time.Millisecond, RetryWait: 200 * time.Millisecond,
		DeviceID: cwmp.DeviceID{Manufacturer: "Example", OUI: "00D09E", ProductClass: "Gateway", SerialNumber: "S1"}}
	if change != nil {
		change(&cfg)
	}
	c := cpe.New(cfg)
	ctx, cancel := context.WithCancel(w.ctx)
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	w.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Errorf("Run: %v", err)
		}
	})
	id, _, err := usp.AgentEndpointID(cfg.DeviceID.OUI, cfg.DeviceID.ProductClass, cfg.DeviceID.SerialNumber)
	w.must(err)
	w.must(c.WaitSessions(w.in(deadline), 1))
	return c, id
}

// discovered waits until the Agent answers for its data model.
func (w *world) discovered(id usp.EndpointID) {
	w.t.Helper()
	if _, err := w.device(id).Supported(w.in(deadline)); err != nil {
		w.t.Fatalf("discovery: %v", err)
	}
}

// over waits until the Proxy, too, knows that a session has ended, and the CPE is not being asked for another.
func (w *world) over(id usp.EndpointID) {
	w.t.Helper()
	for d := w.device(id); d.busy() && w.ctx.Err() == nil; {
		time.Sleep(time.Millisecond)
	}
}

func (w *world) device(id usp.EndpointID) *Device {
	w.t.Helper()
	w.p.mu.RLock()
	defer w.p.mu.RUnlock()
	d := w.p.devices[id]
	if d == nil {
		w.t.Fatalf("no device %s", id)
	}
	return d
}

// do sends a request to an Agent and gives the response; an Error message is an *usp.Error.
func (w *world) do(id usp.EndpointID, req *usppb.Request) (*usppb.Response, error) {
	w.t.Helper()
	resp, ok := w.p.Do(w.ctx, id, "self::test", usp.NewRequest("m", req))
	if !ok {
		w.t.Fatalf("no Agent %s", id)
	}
	if e := resp.GetBody().GetError(); e != nil {
		return nil, usp.ErrorFrom(e)
	}
	return resp.GetBody().GetResponse(), nil
}

// get reads paths and gives what was found by full path; a per-path error is an *usp.Error.
func (w *world) get(id usp.EndpointID, paths ...string) (map[string]string, error) {
	w.t.Helper()
	resp, err := w.do(id, &usppb.Request{ReqType: &usppb.Request_Get{Get: &usppb.Get{ParamPaths: paths}}})
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for _, q := range resp.GetGetResp().GetReqPathResults() {
		if q.GetErrCode() != 0 {
			return nil, usp.Errorf(usp.ErrorCode(q.GetErrCode()), "%s", q.GetErrMsg())
		}
		for _, o := range q.GetResolvedPathResults() {
			for name, v := range o.GetResultParams() {
				out[o.GetResolvedPath()+name] = v
			}
		}
	}
	return out, nil
}

func (w *world) want(id usp.EndpointID, path, value string) {
	w.t.Helper()
	got, err := w.get(id, path)
	w.must(err)
	if v, ok := got[path]; !ok || v != value {
		w.t.Errorf("%s is %q (%v), want %q", path, v, ok, value)
	}
}

// set writes parameters of one object, all required, and gives what failed.
func (w *world) set(id usp.EndpointID, object string, values map[string]string) (*usppb.SetResp, error) {
	w.t.Helper()
	o := &usppb.Set_UpdateObject{ObjPath: object}
	for _, k := range sortedKeys(values) {
		o.ParamSettings = append(o.ParamSettings, &usppb.Set_UpdateParamSetting{Param: k, Value: values[k], Required: true})
	}
	resp, err := w.do(id, &usppb.Request{ReqType: &usppb.Request_Set{Set: &usppb.Set{UpdateObjs: []*usppb.Set_UpdateObject{o}}}})
	return resp.GetSetResp(), err
}

func sortedKeys(m map[string]string) []string {
	var keys []string
	for k := range maps.Keys(m) {
		keys = append(keys, k)
	}
	for i := range keys {
		for j := i; j > 0 && keys[j] < keys[j-1]; j-- {
			keys[j], keys[j-1] = keys[j-1], keys[j]
		}
	}
	return keys
}

// add creates a row with parameters ("!" at the end of a name: not required) and gives its path.
func (w *world) add(id usp.EndpointID, table string, values map[string]string) (*usppb.AddResp_CreatedObjectResult_OperationStatus_OperationSuccess, error) {
	w.t.Helper()
	o := &usppb.Add_CreateObject{ObjPath: table}
	for _, k := range sortedKeys(values) {
		name, optional := strings.CutSuffix(k, "!")
		o.ParamSettings = append(o.ParamSettings, &usppb.Add_CreateParamSetting{Param: name, Value: values[k], Required: !optional})
	}
	resp, err := w.do(id, &usppb.Request{ReqType: &usppb.Request_Add{Add: &usppb.Add{CreateObjs: []*usppb.Add_CreateObject{o}}}})
	if err != nil {
		return nil, err
	}
	r := resp.GetAddResp().GetCreatedObjResults()[0].GetOperStatus()
	if f := r.GetOperFailure(); f != nil {
		return nil, usp.Errorf(usp.ErrorCode(f.GetErrCode()), "%s", f.GetErrMsg())
	}
	return r.GetOperSuccess(), nil
}

func (w *world) delete(id usp.EndpointID, paths ...string) (*usppb.DeleteResp, error) {
	w.t.Helper()
	resp, err := w.do(id, &usppb.Request{ReqType: &usppb.Request_Delete{Delete: &usppb.Delete{ObjPaths: paths}}})
	return resp.GetDeleteResp(), err
}

func (w *world) operate(id usp.EndpointID, command, key string) *usppb.OperateResp_OperationResult {
	w.t.Helper()
	resp, err := w.do(id, &usppb.Request{ReqType: &usppb.Request_Operate{Operate: &usppb.Operate{Command: command, CommandKey: key, SendResp: true}}})
	w.must(err)
	if len(resp.GetOperateResp().GetOperationResults()) != 1 {
		w.t.Fatalf("results: %v", resp)
	}
	return resp.GetOperateResp().GetOperationResults()[0]
}

// subscribe makes a Subscription of the Controller.
func (w *world) subscribe(id usp.EndpointID, name, kind, ref string, more map[string]string) {
	w.t.Helper()
	o := &usppb.Add_CreateObject{ObjPath: "Device.LocalAgent.Subscription."}
	values := map[string]string{"ID": name, "NotifType": kind, "ReferenceList": ref, "Enable": "true"}
	maps.Copy(values, more)
	for _, k := range sortedKeys(values) {
		o.ParamSettings = append(o.ParamSettings, &usppb.Add_CreateParamSetting{Param: k, Value: values[k], Required: true})
	}
	ch := w.peer.channel(w.in(deadline), id)
	m := ch.exchange(w.in(deadline), &usppb.Request{ReqType: &usppb.Request_Add{Add: &usppb.Add{CreateObjs: []*usppb.Add_CreateObject{o}}}})
	if m.GetBody().GetError() != nil {
		w.t.Fatalf("subscribe: %v", m)
	}
}

func code(err error) usp.ErrorCode {
	if err == nil {
		return 0
	}
	return usp.AsError(err).Code
}

// peer is the Controller and the MTP to it in one: a Dialer whose channels are function calls.
type peer struct {
	mu       sync.Mutex
	channels map[usp.EndpointID]*channel
	signal   chan struct{}
	notes    []note
	mute     bool        // NotifyResp is withheld
	stuck    atomic.Bool // Disconnect Records do not get through
}

type note struct {
	from   usp.EndpointID
	notify *usppb.Notify
}

func newPeer() *peer {
	return &peer{channels: map[usp.EndpointID]*channel{}, signal: make(chan struct{})}
}

func (p *peer) changed() {
	close(p.signal)
	p.signal = make(chan struct{})
}

// Connect implements mtp.Dialer.
func (p *peer) Connect(e mtp.Endpoint, _ []mtp.Target) {
	ch := &channel{p: p, e: e, answers: map[string]chan *usppb.Msg{}}
	p.mu.Lock()
	if p.channels[e.EndpointID()] != nil {
		p.mu.Unlock()
		return
	}
	p.channels[e.EndpointID()] = ch
	p.changed()
	p.mu.Unlock()
	e.Up(ch)
}

func (p *peer) Check(mtp.Target) error              { return nil }
func (p *peer) Kick(usp.EndpointID)                 {}
func (p *peer) Reboot(usp.EndpointID)               {}
func (p *peer) Reset(_, _ usp.EndpointID)           {}
func (p *peer) State(_, _ usp.EndpointID) mtp.State { return mtp.State{} }

func (p *peer) reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.channels = map[usp.EndpointID]*channel{}
}

func (p *peer) wait(ctx context.Context, ok func() bool) error {
	for {
		p.mu.Lock()
		done, signal := ok(), p.signal
		p.mu.Unlock()
		if done {
			return nil
		}
		select {
		case <-signal:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (p *peer) channel(ctx context.Context, id usp.EndpointID) (ch *channel) {
	_ = p.wait(ctx, func() bool { ch = p.channels[id]; return ch != nil })
	return ch
}

// notified waits for the nth Notify, from 1, that ok accepts.
func (w *world) notified(n int, ok func(*usppb.Notify) bool) *usppb.Notify {
	w.t.Helper()
	var found *usppb.Notify
	err := w.peer.wait(w.in(deadline), func() bool { found = w.peer.nth(n, ok); return found != nil })
	if err != nil {
		w.t.Fatalf("Notify %d did not come; those that did: %s", n, w.peer.log())
	}
	return found
}

func (p *peer) nth(n int, ok func(*usppb.Notify) bool) *usppb.Notify {
	for _, x := range p.notes {
		if ok(x.notify) {
			if n--; n == 0 {
				return x.notify
			}
		}
	}
	return nil
}

func (p *peer) count(ok func(*usppb.Notify) bool) (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, x := range p.notes {
		if ok(x.notify) {
			n++
		}
	}
	return n
}

func (p *peer) log() string {
	var b strings.Builder
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, x := range p.notes {
		fmt.Fprintf(&b, "\n%v", x.notify)
	}
	return b.String()
}

func onboard(n *usppb.Notify) bool { return n.GetOnBoardReq() != nil }
func bootEvent(n *usppb.Notify) bool {
	return n.GetEvent().GetEventName() == "Boot!"
}

func changeOf(path string) func(*usppb.Notify) bool {
	return func(n *usppb.Notify) bool { return n.GetValueChange().GetParamPath() == path }
}

// channel is one Agent's share of the peer.
type channel struct {
	p       *peer
	e       mtp.Endpoint
	mu      sync.Mutex
	answers map[string]chan *usppb.Msg
	last    int
}

func (c *channel) Peer() usp.EndpointID  { return testController }
func (c *channel) Protocol() string      { return "WebSocket" }
func (c *channel) MaxSize() int          { return 0 }
func (c *channel) Close(mtp.CloseReason) {}
func (c *channel) ConnectRecord() *usppb.Record {
	return &usppb.Record{RecordType: &usppb.Record_WebsocketConnect{WebsocketConnect: &usppb.WebSocketConnectRecord{}}}
}

func (c *channel) Send(ctx context.Context, record []byte, _ mtp.Address) error {
	var r usppb.Record
	var m usppb.Msg
	if err := proto.Unmarshal(record, &r); err != nil {
		return err
	}
	if r.GetDisconnect() != nil && c.p.stuck.Load() {
		<-ctx.Done()
		return ctx.Err()
	}
	if r.GetNoSessionContext() == nil {
		return nil
	}
	if err := proto.Unmarshal(r.GetNoSessionContext().GetPayload(), &m); err != nil {
		return err
	}
	id := m.GetHeader().GetMsgId()
	if n := m.GetBody().GetRequest().GetNotify(); n != nil {
		c.p.mu.Lock()
		c.p.notes = append(c.p.notes, note{c.e.EndpointID(), n})
		answer := n.GetSendResp() && !c.p.mute
		c.p.changed()
		c.p.mu.Unlock()
		if answer {
			go c.receive(usp.NewResponse(id, &usppb.Response{RespType: &usppb.Response_NotifyResp{NotifyResp: &usppb.NotifyResp{SubscriptionId: n.GetSubscriptionId()}}}))
		}
		return nil
	}
	c.mu.Lock()
	ch := c.answers[id]
	delete(c.answers, id)
	c.mu.Unlock()
	if ch != nil {
		ch <- &m
	}
	return nil
}

func (c *channel) receive(m *usppb.Msg) {
	b, err := usp.EncodeRecord(testController, c.e.EndpointID(), "1.4", m)
	if err == nil {
		_ = c.e.Receive(c, b, "")
	}
}

func (c *channel) exchange(ctx context.Context, req *usppb.Request) *usppb.Msg {
	answer := make(chan *usppb.Msg, 1)
	c.mu.Lock()
	c.last++
	id := fmt.Sprintf("t%d", c.last)
	c.answers[id] = answer
	c.mu.Unlock()
	c.receive(usp.NewRequest(id, req))
	select {
	case m := <-answer:
		return m
	case <-ctx.Done():
		return usp.ErrorMsg(id, usp.Errorf(usp.InternalError, "no answer: %v", ctx.Err()))
	}
}

// handedOut are the addresses that a test has, of which it may not be listening on one just now.
var handedOut sync.Map

// freeAddr is an address that the system gives no connection, and nobody gives another test, so that it can be listened on again.
func freeAddr(t testing.TB) string {
	const first, last = 10_000, 18_000 // below where Linux and macOS begin to give ports; other packages have those up to 30,000
	for range last - first {
		addr := fmt.Sprintf("127.0.0.1:%d", first+rand.IntN(last-first))
		if _, taken := handedOut.LoadOrStore(addr, true); taken {
			continue
		}
		if l, err := net.Listen("tcp", addr); err == nil {
			_ = l.Close()
			return addr
		}
	}
	t.Fatal("no port is free")
	return ""
}
