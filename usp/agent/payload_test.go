package agent

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"isthmus/usp"
	"isthmus/usp/e2e"
	"isthmus/usp/identity/identitytest"
	"isthmus/usp/secure"
	"isthmus/usp/usppb"
)

// private runs f in a bubble with a rig whose Agent has a certificate and wants TLS of ctl1, which is connected.
func private(t *testing.T, f func(t *testing.T, r *rig, ca *identitytest.Authority)) {
	synctest.Test(t, func(t *testing.T) {
		ca := identitytest.Root(t, "operator")
		own := ca.Issue(t, agentID)
		r := &rig{t: t, tree: newTree(), keep: &kept{}, cas: []*x509.Certificate{ca.Cert}, controllers: []ControllerConfig{{EndpointID: ctl1}},
			certificate: func(usp.EndpointID) (*tls.Certificate, error) { return own, nil }}
		r.start()
		defer func() { r.stop() }()
		r.connect()
		r.ask(setReq(false, obj{controllerTable + "1." + contextName, []param{req("PayloadSecurity", payloadTLS)}}))
		f(t, r, ca)
	})
}

// require has the Agent begin a session, and gives its first Record.
func (r *rig) require() *usppb.Record {
	r.t.Helper()
	r.send(ctl1, usp.NewRequest(r.id(), setReq(false, obj{controllerTable + "1." + contextName, []param{req("SessionMode", sessionRequire)}})))
	return r.begun()
}

// begun reads on until the Agent begins a session with a client hello.
func (r *rig) begun() *usppb.Record {
	r.t.Helper()
	for {
		if rec := r.next(); e2e.Begins(rec) {
			if c := rec.GetSessionContext(); rec.GetPayloadSecurity() != usppb.Record_TLS12 || len(c.GetPayload()) == 0 || c.GetPayload()[0][0] != 22 {
				r.t.Fatalf("no client hello: %v", rec)
			}
			return rec
		}
	}
}

// alert ends the TLS session that a Record has begun.
func (r *rig) alert(rec *usppb.Record) {
	r.t.Helper()
	b, err := usp.Address(&usppb.Record{PayloadSecurity: usppb.Record_TLS12, RecordType: &usppb.Record_SessionContext{SessionContext: &usppb.SessionContextRecord{
		SessionId: rec.GetSessionContext().GetSessionId(), SequenceId: 1, ExpectedId: 2, Payload: [][]byte{{21, 3, 3, 0, 2, 2, 40}}}}}, ctl1, agentID, "")
	if err != nil {
		r.t.Fatal(err)
	}
	if err := r.a.Receive(r.w, b, ""); err != nil {
		r.t.Fatal(err)
	}
}

// happens makes something that ctl1 is to be notified of.
func (r *rig) happens() {
	r.t.Helper()
	err := r.a.update(r.t.Context(), "", func(tx *tx) error {
		tx.put(controllerTable+"1.", "ProvisioningCode", r.id())
		return nil
	})
	if err != nil {
		r.t.Fatal(err)
	}
}

// subscribe has ctl1 notified of what happens.
func (r *rig) subscribe() {
	r.t.Helper()
	r.added(obj{subscriptionTable, []param{req("Enable", "true"), req("ID", "s"), req("NotifType", "ValueChange"), req("ReferenceList", ownRoot+"Controller.1.ProvisioningCode")}})
}

// TestTP469_3_5_Waits: R-E2E.10: at once, then after 5 to 10 s, 10 to 20 s, 20 to 40 s, whatever there is to be said meanwhile.
func TestTP469_3_5_Waits(t *testing.T) {
	private(t, func(t *testing.T, r *rig, _ *identitytest.Authority) {
		r.subscribe()
		rec := r.require()
		for _, least := range []time.Duration{0, 5, 10, 20} {
			failed := time.Now()
			r.alert(rec)
			if least > 0 {
				synctest.Wait()
				r.happens()
			}
			rec = r.begun()
			if took := time.Since(failed); took < least*time.Second || took > 2*least*time.Second {
				t.Errorf("%s passed, want %d to %d s", took, least, 2*least)
			}
			equal(t, r.status(), "Negotiating")
		}
	})
}

// status is what E2ESession says when all that is under way has been done, without a message.
func (r *rig) status() string {
	synctest.Wait()
	return contextStatus(r.a.view(), controllerTable+"1."+contextName)
}

// handshakes is how many TLS handshakes are under way: each is a coroutine.
func handshakes() int {
	stacks := make([]byte, 1<<20)
	return bytes.Count(stacks[:runtime.Stack(stacks, true)], []byte("created by iter.Pull"))
}

// TestHandshakeWithoutEnd: it has handshakeTime; a Controller that goes away meanwhile leaves nothing running.
func TestHandshakeWithoutEnd(t *testing.T) {
	private(t, func(t *testing.T, r *rig, _ *identitytest.Authority) {
		began := time.Now()
		r.require()
		synctest.Wait()
		under := handshakes()
		r.begun()
		equal(t, time.Since(began), handshakeTime)
		r.a.Down(r.w, nil)
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := handshakes(); under != 1 || n != 0 {
			t.Errorf("%d handshakes are under way, and were %d", n, under)
		}
		r.connect()
		r.begun() // the session is still required
	})
}

// TestNotificationsWaitForTLS: they are sent when the handshake is over, and a session that is up has no goroutine.
func TestNotificationsWaitForTLS(t *testing.T) {
	private(t, func(t *testing.T, r *rig, ca *identitytest.Authority) {
		r.subscribe()
		synctest.Wait()
		rec := r.require()
		r.happens()
		server := secure.NewTLS(secure.Config{Certificate: ca.Issue(t, ctl1), Verify: func([]*x509.Certificate) error { return nil }})
		defer server.Close()
		s := e2e.New(e2e.Options{From: ctl1, To: agentID, Security: usppb.Record_TLS12, Open: server.Feed, Sign: func(rec *usppb.Record) error {
			if server.Complete() {
				server.Protect(rec)
			}
			return nil
		}}, rec.GetSessionContext().GetSessionId())
		for {
			got, err := s.Receive(rec)
			if err != nil {
				t.Fatal(err)
			}
			if len(got.Messages) > 0 {
				m, err := usp.DecodeMsg(got.Messages[0][0])
				if err != nil || m.GetBody().GetRequest().GetNotify() == nil {
					t.Errorf("%v, %v", m, err)
				}
				break
			}
			if flight := server.Take(); len(flight) > 0 {
				records, err := s.Send(flight...)
				if err != nil {
					t.Fatal(err)
				}
				for _, b := range records {
					if err := r.a.Receive(r.w, b, ""); err != nil {
						t.Fatal(err)
					}
				}
			}
			for rec = r.next(); rec.GetSessionContext() == nil; {
				rec = r.next()
			}
		}
		synctest.Wait()
		equal(t, r.status(), "Up")
		equal(t, handshakes(), 0)
	})
}

// TestCloseDuringHandshake: an answer that waits for a handshake does not hold up the end of the process.
func TestCloseDuringHandshake(t *testing.T) {
	private(t, func(t *testing.T, r *rig, _ *identitytest.Authority) {
		r.ask(setReq(false, obj{context1, []param{req("PayloadSecurity", payloadPlaintext)}}))
		k := r.talk()
		k.asks(setContext(req("PayloadSecurity", payloadTLS)))
		_, records := k.records(operateReq(context1+contextResetCommand, "", true))
		k.say(records...)
		r.begun()
		synctest.Wait()
		before := time.Now()
		r.stop()
		equal(t, time.Since(before), 0)
	})
}
