package agent

import (
	"runtime"
	"testing"

	"google.golang.org/protobuf/proto"

	"isthmus/usp"
	"isthmus/usp/usppb"
)

// BenchmarkGetOne is a Get of one parameter of the CPE from the Record that comes in to the Record that goes out.
func BenchmarkGetOne(b *testing.B) {
	r := newRig(b)
	record, err := usp.EncodeRecord(ctl1, agentID, "", usp.NewRequest("x", getReq("Device.DeviceInfo.SerialNumber")))
	if err != nil {
		b.Fatal(err)
	}
	r.tree.raise = nil
	b.ReportAllocs()
	for b.Loop() {
		if err := r.a.Receive(r.w, record, ""); err != nil {
			b.Fatal(err)
		}
		<-r.w.out
		<-r.w.to
		for r.a.pendingRequests() {
			runtime.Gosched() // the same msg_id would be a repeat
		}
	}
}

// BenchmarkGetOneInSession is the same in a session context, with the Controller's part in making the Record.
func BenchmarkGetOneInSession(b *testing.B) {
	r := newRig(b)
	payload, err := proto.Marshal(usp.NewRequest("x", getReq("Device.DeviceInfo.SerialNumber")))
	if err != nil {
		b.Fatal(err)
	}
	r.tree.raise = nil
	c := &usppb.SessionContextRecord{SessionId: 2, Payload: [][]byte{payload}}
	record := &usppb.Record{Version: usp.RecordVersion, FromId: ctl1, ToId: agentID, RecordType: &usppb.Record_SessionContext{SessionContext: c}}
	b.ReportAllocs()
	for b.Loop() {
		c.SequenceId++
		c.ExpectedId = c.SequenceId
		in, err := proto.Marshal(record)
		if err != nil {
			b.Fatal(err)
		}
		if err := r.a.Receive(r.w, in, ""); err != nil {
			b.Fatal(err)
		}
		<-r.w.out
		<-r.w.to
		for r.a.pendingRequests() {
			runtime.Gosched()
		}
	}
}

func (a *Agent) pendingRequests() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.inFlight) > 0
}

// TestIdleAgentIsCheap measures what an Agent costs that was used and unloaded.
func TestIdleAgentIsCheap(t *testing.T) {
	f := NewFleet(Options{Controllers: []ControllerConfig{{EndpointID: ctl1}}})
	const n = 10000
	agents, tree, keep := make([]*Agent, n), newTree(), &kept{}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range agents {
		agents[i] = f.NewAgent(Identity{ID: agentID}, tree, keep, AgentOptions{})
		if _, err := agents[i].Interest(t.Context()); err != nil || !agents[i].Unload() {
			t.Fatal(err)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	each := (after.HeapAlloc - before.HeapAlloc) / n
	t.Logf("%d bytes an Agent", each)
	if each > 400 {
		t.Fatalf("%d bytes an Agent", each)
	}
	runtime.KeepAlive(agents)
}
