package agent

import (
	"runtime"
	"testing"

	"isthmus/usp"
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
	if each > 1024 {
		t.Fatalf("%d bytes an Agent", each)
	}
	runtime.KeepAlive(agents)
}
