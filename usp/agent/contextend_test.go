package agent

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"isthmus/usp"
	"isthmus/usp/usppb"
)

// breaks sends a Record that ends the session, since it asks for one that never was, and gives those of a request that is on its way then.
func (k *talk) breaks() (late [][]byte) {
	k.t.Helper()
	records, err := k.s.Ask(1 << 40)
	if err != nil {
		k.t.Fatal(err)
	}
	_, late = k.records(getReq("Device.LocalAgent.EndpointID"))
	k.say(records...)
	return late
}

func (r *rig) context() *sessionContext {
	r.a.mu.Lock()
	defer r.a.mu.Unlock()
	return r.a.contexts[ctl1]
}

// open says whether there is a session.
func (r *rig) open() bool {
	x := r.context()
	x.turn <- struct{}{}
	defer x.giveTurn()
	return x.s != nil
}

// TestContextIgnoresLateRecords: what the Controller had sent before it heard of the new session ends neither that one nor the wait for one.
func TestContextIgnoresLateRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		k := r.talk()
		k.asks(getReq("Device.LocalAgent.EndpointID"))
		late := k.breaks()
		old := *k
		k.say(late...)
		k.follows()
		k.say(late...)
		synctest.Wait()
		r.silence()
		k.asks(getReq("Device.LocalAgent.EndpointID"))
		// Where the Controller has not heard of it after SessionRetryMinimumWaitInterval, it is told again.
		time.Sleep(5 * time.Second)
		old.say(late...)
		k.follows()
		k.breaks() // the second in a row: there is a wait of 5 to 10 seconds
		synctest.Wait()
		for range 4 {
			old.say(late...)
			time.Sleep(time.Second)
			r.silence()
		}
		k.follows()
		r.stop()
	})
}

// TestContextInTheWait: a notification that is due while a new session is waited for begins it, and then nothing is left to be done.
func TestContextInTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		k := r.talk()
		k.asks(addReq(false, subscription(valueChange, "Device.DeviceInfo.ProvisioningCode", req("ID", "s"))))
		k.breaks()
		k.follows()
		k.breaks()
		synctest.Wait()
		r.ask(setOf("Device.DeviceInfo.ProvisioningCode", "new"))
		k.follows() // with the notification in it
		time.Sleep(time.Hour)
		r.silence()
		equal(t, r.open(), true)
		r.stop()
	})
}

// TestContextExpires, R-E2E.7: what a session has kept goes with it, also where nobody says anything, and a Controller that has to use one is given
// another when there is something to say.
func TestContextExpires(t *testing.T) {
	for _, mode := range []string{sessionAllow, sessionRequire} {
		t.Run(mode, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				k := r.talk()
				k.asks(getReq("Device.LocalAgent.EndpointID"))
				k.asks(setContext(req("SessionMode", mode), req("SessionExpiration", "5")))
				k.asks(addReq(false, subscription(valueChange, "Device.DeviceInfo.ProvisioningCode", req("ID", "s"))))
				time.Sleep(4 * time.Second)
				k.asks(getReq("Device.LocalAgent.EndpointID"))
				time.Sleep(4 * time.Second)
				equal(t, r.open(), true)
				time.Sleep(2 * time.Second)
				equal(t, r.open(), false)
				time.Sleep(time.Hour)
				r.silence()
				if err := r.a.Raise(t.Context(), &ValueChange{Path: "Device.DeviceInfo.ProvisioningCode", Value: "new"}); err != nil {
					t.Fatal(err)
				}
				k.follows()
				synctest.Wait()
				r.silence()
				r.stop()
			})
		})
	}
}

// TestContextManyMissing: after the first Record that had to be asked for, the Agent asks for the others at once.
func TestContextManyMissing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		k := r.talk()
		k.asks(getReq("Device.LocalAgent.EndpointID"))
		const missing = 5
		lost := make([][][]byte, missing)
		for i := range lost {
			_, lost[i] = k.records(getReq("Device.LocalAgent.EndpointID"))
			_, after := k.records(getReq("Device.LocalAgent.EndpointID"))
			k.say(after...)
		}
		at := time.Now()
		for _, records := range lost {
			for asked := false; !asked; {
				rec := r.next()
				if _, err := k.s.Receive(rec); err != nil {
					t.Fatal(err)
				}
				asked = rec.GetSessionContext().GetRetransmitId() > 0
			}
			k.say(records...)
		}
		for range 2 { // the last one and what came after it
			k.message()
		}
		equal(t, time.Since(at), 5*time.Second)
		r.stop()
	})
}

// TestContextExpiresInAGap: nothing is asked for in a session that is over.
func TestContextExpiresInAGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		k := r.talk()
		k.asks(setContext(req("SessionExpiration", "3")))
		k.records(getReq("Device.LocalAgent.EndpointID"))
		_, later := k.records(getReq("Device.LocalAgent.EndpointID"))
		k.say(later...)
		time.Sleep(time.Hour)
		r.silence()
		equal(t, r.open(), false)
		r.stop()
	})
}

// TestContextCarriesMoreThanTheChannel: what is too big for a Record on this channel comes in segments, what is too big for a session is refused.
func TestContextCarriesMoreThanTheChannel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.w.limit = 1000
		k := r.talk()
		r.tree.values["Device.DeviceInfo."]["ModelName"] = strings.Repeat("m", 5000)
		records := len(r.w.out)
		body := k.asks(getReq("Device.DeviceInfo.ModelName"))
		equal(t, len(flat(body.GetResponse().GetGetResp().GetReqPathResults()[0])) > 5000, true)
		equal(t, records, 0)
		equal(t, r.open(), true)
		r.tree.values["Device.DeviceInfo."]["ModelName"] = strings.Repeat("m", 9<<20)
		wantError(t, k.asks(getReq("Device.DeviceInfo.ModelName")), 7005)
		r.stop()
	})
}

// TestContextLosesNoNotification: one that awaits its NotifyResp when the process ends comes again, in the session that the Agent begins then.
func TestContextLosesNoNotification(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		k := r.talk()
		k.asks(addReq(false, subscription(valueChange, "Device.DeviceInfo.ProvisioningCode", req("ID", "s"), req("NotifRetry", "true"))))
		r.ask(setContext(req("SessionMode", sessionRequire)))
		k.asks(setOf("Device.DeviceInfo.ProvisioningCode", "new"))
		sent, _ := k.message()
		r.stop()
		r.start()
		r.connect()
		var again *usppb.Msg
		for again.GetHeader().GetMsgId() != sent.GetHeader().GetMsgId() {
			rec := r.next()
			if rec.GetSessionContext().GetSessionId() != k.s.ID() {
				k.s = sessionOf(rec)
			}
			got, err := k.s.Receive(rec)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range got.Messages {
				if again, err = usp.DecodeMsg(bytes.Join(m, nil)); err != nil {
					t.Fatal(err)
				}
			}
		}
		answer, err := proto.Marshal(respond(again))
		if err != nil {
			t.Fatal(err)
		}
		records, err := k.s.Send(answer)
		if err != nil {
			t.Fatal(err)
		}
		k.say(records...)
		synctest.Wait()
		equal(t, r.keep.count(NotificationRecord), 0)
		r.stop()
	})
}

// TestContextFlood: what waits for its turn has a bound, and a Controller that was one of too many is served when the others are gone.
func TestContextFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		k := r.talk()
		k.asks(getReq("Device.LocalAgent.EndpointID"))
		x := r.context()
		x.turn <- struct{}{} // as while a Record leaves
		records, err := k.s.Send(make([]byte, 1<<20))
		if err != nil {
			t.Fatal(err)
		}
		for range 20 {
			k.say(records...)
		}
		synctest.Wait()
		r.a.mu.Lock()
		waiting := x.waiting
		r.a.mu.Unlock()
		if waiting > maxInboxSize {
			t.Errorf("%d bytes wait", waiting)
		}
		x.giveTurn()
		synctest.Wait()
		r.stop()
	})
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.get("Device.LocalAgent.EndpointID")
		r.a.mu.Lock()
		for i := range maxContexts {
			r.a.contextWith(usp.EndpointID("proto::gone-" + itoa(i)))
		}
		r.a.mu.Unlock()
		r.talk().asks(getReq("Device.LocalAgent.EndpointID"))
		r.stop()
		equal(t, len(r.a.contexts), 1)
	})
}
