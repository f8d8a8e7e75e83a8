package agent

import (
	"testing"

	"isthmus/usp"
	"isthmus/usp/usppb"
)

// unproven is a channel whose peer may be anybody.
type unproven struct{ *wire }

func (unproven) Trusted() bool { return false }

// Who merely says that it is a Controller gets nothing: no answer but what it may ask anyone, no notification, and no place that the real
// one then misses.
func TestStrangerIsNotTheControllerItNames(t *testing.T) {
	r := newRig(t)
	r.added(obj{"Device.LocalAgent.Subscription.", []param{req("Enable", "true"), req("ID", "rows"), req("NotifType", "ObjectCreation"), req("ReferenceList", rowTable)}})
	real := r.w
	r.a.Down(real, nil)
	fake := unproven{newWire(ctl1)}
	r.a.Up(fake)
	r.w = fake.wire
	if rec := r.next(); rec.GetWebsocketConnect() == nil {
		t.Fatalf("first record is %v", rec)
	}
	ask := func(req *usppb.Request) *usppb.Msg {
		t.Helper()
		record, err := usp.EncodeRecord(ctl1, agentID, "", usp.NewRequest(r.id(), req))
		if err != nil {
			t.Fatal(err)
		}
		if err := r.a.Receive(fake, record, ""); err != nil {
			t.Fatal(err)
		}
		rec := <-fake.out
		m, err := usp.DecodeMsg(rec.GetNoSessionContext().GetPayload())
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	for _, req := range []*usppb.Request{getReq("Device.DeviceInfo.SerialNumber"), setReq(true, obj{"Device.DeviceInfo.", []param{req("ProvisioningCode", "x")}})} {
		if m := ask(req); m.GetBody().GetError().GetErrCode() != uint32(usp.PermissionDenied) {
			t.Errorf("a stranger was answered %v", m)
		}
	}
	if r.tree.sets != 0 {
		t.Error("a stranger wrote")
	}
	if err := r.a.Raise(t.Context(), &ObjectCreation{Path: rowTable + "1."}); err != nil {
		t.Fatal(err)
	}
	back := newWire(ctl1)
	r.a.Up(back)
	for _, want := range []string{"connect", "notify"} {
		rec := <-back.out
		if (want == "connect") != (rec.GetWebsocketConnect() != nil) {
			t.Fatalf("%v, want %s", rec, want)
		}
	}
	select {
	case rec := <-fake.out:
		t.Errorf("a stranger was told %v", rec)
	default:
	}
	r.a.Down(fake, nil)
	r.a.Down(back, nil)
}
