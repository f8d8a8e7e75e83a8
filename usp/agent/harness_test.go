package agent

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"isthmus/usp"
	"isthmus/usp/mtp"
	"isthmus/usp/usppb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	agentID = "os::0A0B0C-SN1"
	ctl1    = "self::ctl-1"
	ctl2    = "self::ctl-2"
)

// kept is a Keeper that forgets nothing while the process lives.
type kept struct {
	mu      sync.Mutex
	records map[string]Record
	fail    error
	commits int
}

func (m *kept) Load(context.Context) ([]Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Collect(maps.Values(m.records)), m.fail
}

func (m *kept) Commit(_ context.Context, changes []Record) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return m.fail
	}
	m.commits++
	if m.records == nil {
		m.records = map[string]Record{}
	}
	for _, r := range changes {
		key := fmt.Sprint(r.Kind, r.ID)
		if r.Data == nil {
			delete(m.records, key)
		} else {
			m.records[key] = r
		}
	}
	return nil
}

func (m *kept) failWith(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fail = err
}

func (m *kept) count(kind RecordKind) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for _, r := range m.records {
		if r.Kind == kind {
			n++
		}
	}
	return n
}

// wire is a Channel whose other end is the test.
type wire struct {
	peer   usp.EndpointID
	out    chan *usppb.Record
	to     chan mtp.Address
	closed chan mtp.CloseReason
	limit  int
	mu     sync.Mutex
	down   bool
}

func newWire(peer usp.EndpointID) *wire {
	return &wire{peer: peer, out: make(chan *usppb.Record, 4096), to: make(chan mtp.Address, 4096), closed: make(chan mtp.CloseReason, 4)}
}

func (w *wire) Peer() usp.EndpointID { return w.peer }
func (w *wire) Protocol() string     { return "WebSocket" }
func (w *wire) MaxSize() int         { return w.limit }
func (w *wire) ConnectRecord() *usppb.Record {
	return &usppb.Record{RecordType: &usppb.Record_WebsocketConnect{WebsocketConnect: &usppb.WebSocketConnectRecord{}}}
}
func (w *wire) Close(r mtp.CloseReason) { w.closed <- r }

func (w *wire) Send(ctx context.Context, record []byte, to mtp.Address) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.down {
		return mtp.ErrDown
	}
	r := &usppb.Record{}
	if err := proto.Unmarshal(record, r); err != nil {
		return err
	}
	w.out <- r
	w.to <- to
	return nil
}

func (w *wire) setDown(down bool) {
	w.mu.Lock()
	w.down = down
	w.mu.Unlock()
}

// rig is an Agent with two Controllers, the first connected.
type rig struct {
	t     testing.TB
	fleet *Fleet
	a     *Agent
	tree  *tree
	over  func(*tree) DataModel // what the tree is behind, if anything
	keep  *kept
	w     *wire
	who   usp.EndpointID // sends; "" is ctl1
	n     int
	stop  func()
	wants []Interest

	controllers []ControllerConfig
	roles       []Role
	cas         []*x509.Certificate
	certificate func(usp.EndpointID) (*tls.Certificate, error)
	dialer      mtp.Dialer
}

func newRig(t testing.TB) *rig {
	r := &rig{t: t, tree: newTree(), keep: &kept{}}
	r.controllers = []ControllerConfig{
		{EndpointID: ctl1, MTP: MTPConfig{Host: "h", Port: 80, Path: "/"}}, {EndpointID: ctl2, OnlyDialsIn: true}}
	r.start()
	r.connect()
	return r
}

// start makes the process, again after halt.
func (r *rig) start() {
	r.fleet = NewFleet(Options{Controllers: r.controllers, Roles: r.roles, CAs: r.cas, Certificate: r.certificate, Dialer: r.dialer, SoftwareVersion: "1", Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	device := DataModel(r.tree)
	if r.over != nil {
		device = r.over(r.tree)
	}
	r.a = r.fleet.NewAgent(Identity{ID: agentID, OUI: "0A0B0C", ProductClass: "P", SerialNumber: "SN1"}, device, r.keep, AgentOptions{
		OnInterest: func(in Interest) { r.wants = append(r.wants, in) }})
	r.tree.raise = r.a.Raise
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = r.fleet.Run(ctx) }()
	var once sync.Once
	r.stop = func() {
		once.Do(func() {
			r.a.Close(context.Background())
			cancel()
			<-done
		})
	}
	r.t.Cleanup(r.stop)
}

func (r *rig) connect() {
	r.w = newWire(ctl1)
	r.a.Up(r.w)
	if rec := r.next(); rec.GetWebsocketConnect() == nil {
		r.t.Fatalf("first record is %v", rec)
	}
}

func (r *rig) next() *usppb.Record {
	r.t.Helper()
	select {
	case rec := <-r.w.out:
		<-r.w.to
		return rec
	case <-time.After(5 * time.Minute):
		r.t.Fatal("no record")
		return nil
	}
}

func decode(t testing.TB, rec *usppb.Record) *usppb.Msg {
	t.Helper()
	m, err := usp.DecodeMsg(rec.GetNoSessionContext().GetPayload())
	if err != nil {
		t.Fatalf("%v: %v", err, rec)
	}
	return m
}

func (r *rig) send(from usp.EndpointID, m *usppb.Msg) {
	r.t.Helper()
	b, err := usp.EncodeRecord(from, agentID, "", m)
	if err != nil {
		r.t.Fatal(err)
	}
	if err := r.a.Receive(r.w, b, "reply"); err != nil {
		r.t.Fatal(err)
	}
}

// unload waits until the Agent has nothing to do.
func (r *rig) unload() {
	for !r.a.Unload() {
		runtime.Gosched()
	}
}

func (r *rig) id() string { r.n++; return fmt.Sprintf("m%d", r.n) }

// ask sends a request over the channel and waits for its response.
func (r *rig) ask(req *usppb.Request) *usppb.Body {
	r.t.Helper()
	m := usp.NewRequest(r.id(), req)
	r.send(cmp.Or(r.who, ctl1), m)
	resp := decode(r.t, r.next())
	if resp.GetHeader().GetMsgId() != m.GetHeader().GetMsgId() {
		r.t.Fatalf("answer to another request: %v", resp)
	}
	checkCodes(r.t, req, resp.GetBody())
	return resp.GetBody()
}

func (r *rig) notify() *usppb.Msg {
	r.t.Helper()
	m := decode(r.t, r.next())
	if m.GetBody().GetRequest().GetNotify() == nil {
		r.t.Fatalf("not a Notify: %v", m)
	}
	return m
}

func (r *rig) silence() {
	r.t.Helper()
	select {
	case rec := <-r.w.out:
		r.t.Fatalf("unexpected %v", rec)
	default:
	}
}

type param struct {
	name, value string
	required    bool
}

func req(name, value string) param { return param{name, value, true} }
func opt(name, value string) param { return param{name, value, false} }

type obj struct {
	path   string
	params []param
}

func addReq(partial bool, objs ...obj) *usppb.Request {
	m := &usppb.Add{AllowPartial: partial}
	for _, o := range objs {
		c := &usppb.Add_CreateObject{ObjPath: o.path}
		for _, p := range o.params {
			c.ParamSettings = append(c.ParamSettings, &usppb.Add_CreateParamSetting{Param: p.name, Value: p.value, Required: p.required})
		}
		m.CreateObjs = append(m.CreateObjs, c)
	}
	return &usppb.Request{ReqType: &usppb.Request_Add{Add: m}}
}

func setReq(partial bool, objs ...obj) *usppb.Request {
	m := &usppb.Set{AllowPartial: partial}
	for _, o := range objs {
		c := &usppb.Set_UpdateObject{ObjPath: o.path}
		for _, p := range o.params {
			c.ParamSettings = append(c.ParamSettings, &usppb.Set_UpdateParamSetting{Param: p.name, Value: p.value, Required: p.required})
		}
		m.UpdateObjs = append(m.UpdateObjs, c)
	}
	return &usppb.Request{ReqType: &usppb.Request_Set{Set: m}}
}

func delReq(partial bool, paths ...string) *usppb.Request {
	return &usppb.Request{ReqType: &usppb.Request_Delete{Delete: &usppb.Delete{AllowPartial: partial, ObjPaths: paths}}}
}

func getReq(paths ...string) *usppb.Request {
	return &usppb.Request{ReqType: &usppb.Request_Get{Get: &usppb.Get{ParamPaths: paths}}}
}

// get reads one path flat: "path=value" lines, or the code.
func (r *rig) get(path string) string {
	r.t.Helper()
	res := r.ask(getReq(path)).GetResponse().GetGetResp().GetReqPathResults()
	if len(res) != 1 {
		r.t.Fatalf("%d results for %s", len(res), path)
	}
	return flat(res[0])
}

func flat(res *usppb.GetResp_RequestedPathResult) string {
	if res.GetErrCode() != 0 {
		return fmt.Sprint(res.GetErrCode())
	}
	var lines []string
	for _, o := range res.GetResolvedPathResults() {
		for _, k := range slices.Sorted(maps.Keys(o.GetResultParams())) {
			lines = append(lines, o.GetResolvedPath()+k+"="+o.GetResultParams()[k])
		}
	}
	return strings.Join(lines, "\n")
}

// added is the path that an Add of one row made.
func (r *rig) added(o obj) string {
	r.t.Helper()
	b := r.ask(addReq(false, o))
	res := b.GetResponse().GetAddResp().GetCreatedObjResults()
	if len(res) != 1 || res[0].GetOperStatus().GetOperSuccess() == nil {
		r.t.Fatalf("Add %v: %v", o, b)
	}
	return res[0].GetOperStatus().GetOperSuccess().GetInstantiatedPath()
}

func wantError(t testing.TB, b *usppb.Body, code usp.ErrorCode, params ...string) {
	t.Helper()
	var got []string
	for _, p := range b.GetError().GetParamErrs() {
		got = append(got, fmt.Sprintf("%s %d", p.GetParamPath(), p.GetErrCode()))
	}
	if usp.ErrorCode(b.GetError().GetErrCode()) != code || !slices.Equal(got, params) {
		t.Fatalf("got %v, want %d %q", b, code, params)
	}
}

func equal[T comparable](t testing.TB, got, want T) {
	t.Helper()
	if got != want {
		t.Fatalf("got %v, want %v", got, want)
	}
}

var errDisk = errors.New("disk full")
