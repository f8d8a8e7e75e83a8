package agent

import (
	"bytes"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"isthmus/usp"
	"isthmus/usp/e2e"
	"isthmus/usp/usppb"
)

const context1 = controllerTable + "1." + contextName

// talk is the Controller's end of a session with the Agent of a rig.
type talk struct {
	*rig
	s *e2e.Session
}

func (r *rig) talk() *talk {
	return &talk{r, e2e.New(e2e.Options{From: ctl1, To: agentID, Retransmits: -1}, 0)}
}

// say sends Records of the session.
func (k *talk) say(records ...[]byte) {
	k.t.Helper()
	for _, b := range records {
		if err := k.a.Receive(k.w, b, "reply"); err != nil {
			k.t.Fatal(err)
		}
	}
}

// records are those of a request, not sent yet.
func (k *talk) records(request *usppb.Request) (id string, records [][]byte) {
	k.t.Helper()
	m := usp.NewRequest(k.id(), request)
	payload, err := proto.Marshal(m)
	if err != nil {
		k.t.Fatal(err)
	}
	if records, err = k.s.Send(payload); err != nil {
		k.t.Fatal(err)
	}
	return m.GetHeader().GetMsgId(), records
}

// message reads Records of this session until there is a message.
func (k *talk) message() (*usppb.Msg, *usppb.Record) {
	k.t.Helper()
	for {
		r := k.next()
		if r.GetSessionContext().GetSessionId() != k.s.ID() {
			k.t.Fatalf("want session %d: %v", k.s.ID(), r)
		}
		got, err := k.s.Receive(r)
		if err != nil {
			k.t.Fatal(err)
		}
		if len(got.Messages) > 0 {
			m, err := usp.DecodeMsg(bytes.Join(got.Messages[0], nil))
			if err != nil {
				k.t.Fatal(err)
			}
			return m, r
		}
	}
}

func (k *talk) asks(request *usppb.Request) *usppb.Body {
	k.t.Helper()
	id, records := k.records(request)
	k.say(records...)
	m, _ := k.message()
	equal(k.t, m.GetHeader().GetMsgId(), id)
	return m.GetBody()
}

// follows reads the Record that begins a session of the Agent's, and goes over to that.
func (k *talk) follows() *usppb.Record {
	k.t.Helper()
	r := k.next()
	k.over(r)
	return r
}

// over goes over to the session that a Record begins.
func (k *talk) over(r *usppb.Record) {
	k.t.Helper()
	if !e2e.Begins(r) || r.GetSessionContext().GetSessionId() == k.s.ID() {
		k.t.Fatalf("no new session: %v", r)
	}
	k.s = sessionOf(r)
	if _, err := k.s.Receive(r); err != nil {
		k.t.Fatal(err)
	}
}

// sessionOf is the Controller's end of the session in which a Record came.
func sessionOf(r *usppb.Record) *e2e.Session {
	return e2e.New(e2e.Options{From: ctl1, To: agentID, Retransmits: -1}, r.GetSessionContext().GetSessionId())
}

func setContext(values ...param) *usppb.Request { return setReq(false, obj{context1, values}) }

// TestTP469_3_10_Expiration, R-E2E.7: what is raised within SessionExpiration comes in the same session, later in a new one each time.
func TestTP469_3_10_Expiration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		k := r.talk()
		r.ask(addReq(false, obj{subscriptionTable, []param{req("Enable", "true"), req("ID", "p"), req("NotifType", "Event"), req("ReferenceList", "Device.LocalAgent.Periodic!")}}))
		k.asks(setReq(false, obj{context1, []param{req("SessionExpiration", "60")}}, obj{controllerTable + "1.", []param{req("PeriodicNotifInterval", "10")}}))
		for range 3 {
			m, _ := k.message()
			equal(t, m.GetBody().GetRequest().GetNotify().GetEvent().GetEventName(), "Periodic!")
		}
		equal(t, r.statusOf(k), "Up")
		k.asks(setContext(req("SessionExpiration", "5")))
		seen := map[uint64]bool{k.s.ID(): true}
		for range 3 {
			rec := k.next()
			c := rec.GetSessionContext()
			equal(t, c.GetSequenceId(), 1)
			if seen[c.GetSessionId()] {
				t.Error("a session was used again after its end")
			}
			seen[c.GetSessionId()] = true
		}
		r.stop()
	})
}

func (r *rig) statusOf(k *talk) string {
	res := k.asks(getReq(context1 + "Status")).GetResponse().GetGetResp().GetReqPathResults()
	return res[0].GetResolvedPathResults()[0].GetResultParams()["Status"]
}

// TestContextBackOff, R-E2E.10 to R-E2E.12: the first session that fails is followed by another at once, the next after the wait, and a message that
// comes through ends the count.
func TestContextBackOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		k := r.talk()
		k.asks(getReq("Device.LocalAgent.EndpointID"))
		bad := func() {
			rec := &usppb.Record{}
			_, records := k.records(getReq("Device."))
			if err := proto.Unmarshal(records[0], rec); err != nil {
				t.Fatal(err)
			}
			rec.GetSessionContext().RetransmitId = 1 << 40
			b, err := proto.Marshal(rec)
			if err != nil {
				t.Fatal(err)
			}
			k.say(b)
		}
		bad()
		k.follows()
		for _, window := range []time.Duration{5 * time.Second, 10 * time.Second} {
			bad()
			at := time.Now()
			k.follows()
			if wait := time.Since(at); wait < window || wait > 2*window {
				t.Errorf("waited %v, want %v to %v", wait, window, 2*window)
			}
		}
		k.asks(getReq("Device.LocalAgent.EndpointID"))
		bad()
		at := time.Now()
		k.follows()
		equal(t, time.Since(at), 0)
		r.stop()
	})
}

// TestContextAsksForWhatIsMissing: a Record that does not come is asked for, and where that does not help there is a new session.
func TestContextAsksForWhatIsMissing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		k := r.talk()
		k.asks(getReq("Device.LocalAgent.EndpointID"))
		lostID, lost := k.records(getReq("Device.LocalAgent.UpTime"))
		_, later := k.records(getReq("Device.LocalAgent.SoftwareVersion"))
		k.say(later...)
		rec := k.next()
		equal(t, rec.GetSessionContext().GetRetransmitId(), 2)
		if _, err := k.s.Receive(rec); err != nil {
			t.Fatal(err)
		}
		k.say(lost...)
		m, _ := k.message()
		equal(t, m.GetHeader().GetMsgId(), lostID)
		k.message()
		k.records(getReq("Device.LocalAgent.UpTime"))
		_, later = k.records(getReq("Device.LocalAgent.SoftwareVersion"))
		k.say(later...)
		equal(t, k.next().GetSessionContext().GetRetransmitId(), 4)
		k.follows()
		r.stop()
	})
}

// TestContextRequired: SessionMode Require begins a session at once and takes no message without one; Forbid ends it (R-E2E.6b).
func TestContextRequired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		k := r.talk()
		r.send(ctl1, usp.NewRequest(r.id(), setContext(req("SessionMode", sessionRequire))))
		response, first := r.next(), r.next()
		if response.GetNoSessionContext() == nil { // they leave in either order
			response, first = first, response
		}
		equal(t, len(decode(t, response).GetBody().GetResponse().GetSetResp().GetUpdatedObjResults()), 1)
		k.over(first)
		k.asks(getReq("Device.LocalAgent.EndpointID"))
		r.send(ctl1, usp.NewRequest("plain", getReq("Device.LocalAgent.EndpointID")))
		equal(t, r.next().GetDisconnect().GetReasonCode(), 7101)
		equal(t, r.next().GetWebsocketConnect() != nil, true)
		k.asks(setContext(req("SessionMode", sessionForbid)))
		equal(t, r.next().GetDisconnect().GetReasonCode(), 7105)
		r.stop()
	})
}

// TestContextReset: E2ESession.Reset() begins a new session.
func TestContextReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		k := r.talk()
		id, records := k.records(operateReq(context1+contextResetCommand, "", true))
		k.say(records...)
		k.follows()
		m, _ := k.message()
		equal(t, m.GetHeader().GetMsgId(), id)
		r.stop()
	})
}

// TestContextOfAnEarlierProcess, R-E2E.24: a Controller that goes on in a session that the Agent does not know of is given a new one.
func TestContextOfAnEarlierProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		k := r.talk()
		k.asks(getReq("Device.LocalAgent.EndpointID"))
		r.stop()
		r.start()
		r.connect()
		_, records := k.records(getReq("Device.LocalAgent.EndpointID"))
		k.say(records...)
		_, more := k.records(getReq("Device.LocalAgent.EndpointID")) // sent before the Controller knows
		k.say(more...)
		k.follows()
		k.asks(getReq("Device.LocalAgent.EndpointID"))
		r.stop()
	})
}

// TestContextLimits: what cannot be, and what is too small, is refused.
func TestContextLimits(t *testing.T) {
	r := newRig(t)
	for _, p := range []param{req("MaxUSPRecordSize", "511"), req("MaxRetransmitTries", "11"), req("MaxRetransmitTries", "-2"), req("SessionMode", "Perhaps"),
		req("SessionRetryIntervalMultiplier", "999"), req("Status", "Up")} {
		if e := r.ask(setContext(p)).GetError(); e == nil {
			t.Errorf("%s was set to %s", p.name, p.value)
		}
	}
	equal(t, r.ask(setContext(req("MaxRetransmitTries", "-1"), req("MaxUSPRecordSize", "512"))).GetError() == nil, true)
}

// TestContextOfADeletedController: nothing is left of the session of a Controller whose row is deleted.
func TestContextOfADeletedController(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		k := r.talk()
		k.asks(getReq("Device.LocalAgent.EndpointID"))
		r.a.Do(t.Context(), "self::isthmus", usp.NewRequest("1", delReq(false, controllerTable+"1.")))
		synctest.Wait()
		r.a.mu.Lock()
		defer r.a.mu.Unlock()
		equal(t, len(r.a.contexts), 0)
	})
}

// TestContextOfAControllerDeletedMeanwhile: nor is anything left where a Record of it was being read then.
func TestContextOfAControllerDeletedMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		k := r.talk()
		k.asks(getReq("Device.LocalAgent.EndpointID"))
		r.a.mu.Lock()
		x := r.a.contexts[ctl1]
		r.a.mu.Unlock()
		if err := x.takeTurn(t.Context()); err != nil {
			t.Fatal(err)
		}
		_, records := k.records(getReq("Device.LocalAgent.EndpointID"))
		k.say(records...)
		synctest.Wait()
		deleted := make(chan struct{})
		go func() {
			defer close(deleted)
			r.a.Do(t.Context(), "self::isthmus", usp.NewRequest("1", delReq(false, controllerTable+"1.")))
		}()
		synctest.Wait()
		x.giveTurn()
		<-deleted
		synctest.Wait()
		r.a.mu.Lock()
		defer r.a.mu.Unlock()
		equal(t, len(r.a.contexts), 0)
	})
}
