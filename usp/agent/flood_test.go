package agent

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"

	"isthmus/usp"
	"isthmus/usp/mtp"
	"isthmus/usp/usppb"
)

// deaf is a Channel over which no message leaves: its peer reads nothing.
type deaf struct{ *wire }

func (d deaf) Send(ctx context.Context, record []byte, _ mtp.Address) error {
	r, err := usp.DecodeRecord(record)
	if err != nil || r.GetNoSessionContext() == nil {
		return err
	}
	<-ctx.Done()
	return ctx.Err()
}

// A Controller that sends and never reads costs the Agent a bounded number of goroutines, and the other Controllers nothing: theirs are
// answered, and their NotifyResp is heard.
func TestControllerThatNeverReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.ask(addReq(false, subscription(valueChange, "Device.LocalAgent.Controller.1.PeriodicNotifInterval", req("NotifRetry", "true"))))
		d := deaf{newWire(ctl2)}
		r.a.Up(d)
		synctest.Wait()
		before := runtime.NumGoroutine()
		flood := func(n int, msg func(id string) *usppb.Msg) {
			for i := range n {
				b, err := usp.EncodeRecord(ctl2, agentID, "", msg(fmt.Sprint("flood-", i)))
				if err != nil {
					t.Fatal(err)
				}
				if err := r.a.Receive(d, b, ""); err != nil {
					t.Fatal(err)
				}
			}
		}
		flood(10_000, func(id string) *usppb.Msg { return usp.NewRequest(id, getReq("Device.LocalAgent.")) })
		synctest.Wait()
		if n := runtime.NumGoroutine() - before; n > maxInFlight+maxRefusals {
			t.Errorf("%d goroutines for one Controller", n)
		}
		flood(10_000, func(id string) *usppb.Msg {
			return usp.NewResponse(id, &usppb.Response{RespType: &usppb.Response_NotifyResp{NotifyResp: &usppb.NotifyResp{SubscriptionId: id}}})
		})
		flood(10_000, func(id string) *usppb.Msg {
			return usp.NewRequest(id, &usppb.Request{ReqType: &usppb.Request_Notify{Notify: &usppb.Notify{SubscriptionId: id}}})
		})

		if r.ask(setOf("Device.LocalAgent.Controller.1.PeriodicNotifInterval", "100")).GetResponse() == nil {
			t.Error("another Controller is not served")
		}
		n := r.notify()
		r.send(ctl1, usp.NewResponse(n.GetHeader().GetMsgId(), &usppb.Response{RespType: &usppb.Response_NotifyResp{NotifyResp: &usppb.NotifyResp{}}}))
		synctest.Wait()
		equal(t, r.keep.count(NotificationRecord), 0)
		r.stop()
	})
}

// Whom nothing vouches for cannot take the places of the Controllers, however many connections it has.
func TestStrangersThatNeverRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		for i := range maxStrangers {
			d := unprovenDeaf{deaf{newWire(ctl2)}}
			r.a.Up(d)
			synctest.Wait()
			for j := range 1000 {
				b, err := usp.EncodeRecord(ctl2, agentID, "", usp.NewRequest(fmt.Sprintf("%d-%d", i, j), getReq("Device.")))
				if err != nil {
					t.Fatal(err)
				}
				if err := r.a.Receive(d, b, ""); err != nil {
					t.Fatal(err)
				}
			}
		}
		synctest.Wait()
		for range 100 {
			equal(t, r.get("Device.LocalAgent.EndpointID"), "Device.LocalAgent.EndpointID="+string(agentID))
		}
		r.stop()
	})
}

type unprovenDeaf struct{ deaf }

func (unprovenDeaf) Trusted() bool { return false }

// Long requests that wait are bounded in bytes as well.
func TestLongRequestsThatWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = 4 << 20
		r := newRig(t)
		r.tree.block = make(chan struct{})
		for range maxBytes / size {
			r.send(ctl1, usp.NewRequest(r.id(), setOf("Device.DeviceInfo.ProvisioningCode", strings.Repeat("v", size))))
			synctest.Wait()
			r.silence()
		}
		wantError(t, r.ask(setOf("Device.DeviceInfo.ProvisioningCode", "x")), usp.ResourcesExceeded)
		close(r.tree.block)
		for range maxBytes / size {
			if decode(t, r.next()).GetBody() == nil {
				t.Error("no answer")
			}
		}
		synctest.Wait()
		if r.ask(setOf("Device.DeviceInfo.ProvisioningCode", "x")).GetResponse() == nil {
			t.Error("nothing is free again")
		}
		r.stop()
	})
}

// A msg_id may be nearly as long as a Record: it comes back.
func TestHugeMsgID(t *testing.T) {
	r := newRig(t)
	r.w.limit = 5 << 20
	id := strings.Repeat("i", r.w.limit-1024)
	r.send(ctl1, usp.NewRequest(id, getReq("Device.LocalAgent.EndpointID")))
	if decode(t, r.next()).GetHeader().GetMsgId() != id {
		t.Error("not the same msg_id")
	}
}

// A thousand NotifyResp at once keep no request out, although the store is slow.
func TestManyNotifyResp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		var rows []obj
		for i := range maxPending {
			rows = append(rows, subscription(event, "Device.Boot!", req("NotifRetry", "true"), req("ID", fmt.Sprint(i))))
		}
		r.ask(addReq(false, rows...))
		if err := r.a.Boot(t.Context(), BootInfo{}); err != nil {
			t.Fatal(err)
		}
		var ids []string
		for range maxPending {
			ids = append(ids, r.notify().GetHeader().GetMsgId())
		}
		synctest.Wait()
		if err := r.a.takeTurn(t.Context()); err != nil { // a write that takes its time
			t.Fatal(err)
		}
		for _, id := range ids {
			r.send(ctl1, usp.NewResponse(id, &usppb.Response{RespType: &usppb.Response_NotifyResp{NotifyResp: &usppb.NotifyResp{}}}))
			synctest.Wait()
		}
		equal(t, r.get("Device.LocalAgent.EndpointID"), "Device.LocalAgent.EndpointID="+string(agentID))
		<-r.a.turn()
		synctest.Wait()
		equal(t, r.keep.count(NotificationRecord), 0)
		r.stop()
	})
}
