package agent

import (
	"crypto/tls"
	"crypto/x509"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"google.golang.org/protobuf/proto"

	"isthmus/usp"
	"isthmus/usp/identity/identitytest"
	"isthmus/usp/secure"
	"isthmus/usp/usppb"
)

// signed sends a Get in a Record that spoil has changed after cert has signed it.
func (r *rig) signed(w *certifiedWire, cert *tls.Certificate, spoil func(*usppb.Record)) {
	r.t.Helper()
	payload, err := proto.Marshal(usp.NewRequest(r.id(), getReq(ownRoot+"EndpointID")))
	if err != nil {
		r.t.Fatal(err)
	}
	rec := &usppb.Record{Version: usp.RecordVersion, FromId: string(w.peer), ToId: agentID, RecordType: &usppb.Record_NoSessionContext{
		NoSessionContext: &usppb.NoSessionContextRecord{Payload: payload}}}
	if err := secure.Sign(rec, cert); err != nil {
		r.t.Fatal(err)
	}
	if spoil != nil {
		spoil(rec)
	}
	b, err := proto.Marshal(rec)
	if err != nil {
		r.t.Fatal(err)
	}
	if err := r.a.Receive(w, b, ""); err != nil {
		r.t.Fatal(err)
	}
}

// up is a channel to ctl2, whose Connect Record has been taken.
func (r *rig) up(shown *tls.Certificate) (*certifiedWire, *usppb.Record) {
	r.t.Helper()
	w := &certifiedWire{wire: newWire(ctl2)}
	if shown != nil {
		w.chain = identitytest.Chain(r.t, shown)
	}
	r.a.Up(w)
	return w, <-w.out
}

// TestTP469_2_7_Signature: R-E2E.23, R-E2E.30, R-SEC.10a. What is refused leaves no answer; what follows it is answered.
func TestTP469_2_7_Signature(t *testing.T) {
	r, operator, second := certified(t)
	good := operator.Issue(t, ctl2)
	refused := func(reason string) float64 {
		return testutil.ToFloat64(r.fleet.metrics.refused.WithLabelValues(reason))
	}
	w, _ := r.up(nil)
	for name, c := range map[string]struct {
		cert   *tls.Certificate
		spoil  func(*usppb.Record)
		reason string
	}{
		"another signature":     {good, func(rec *usppb.Record) { rec.MacSignature[8]++ }, "signature"},
		"no signature":          {good, func(rec *usppb.Record) { rec.MacSignature = []byte{0} }, "signature"},
		"another version":       {good, func(rec *usppb.Record) { rec.Version = "1.3" }, "signature"},
		"no certificate":        {good, func(rec *usppb.Record) { rec.SenderCert = nil }, "signature"},
		"another Controller's":  {operator.Issue(t, ctl1), nil, "certificate"},
		"nobody's":              {operator.Issue(t, ""), nil, "certificate"},
		"of an unknown CA":      {identitytest.Root(t, "stranger").Issue(t, ctl2), nil, "certificate"},
		"expired":               {operator.Issue(t, ctl2, longEnded), nil, "certificate"},
		"with an erroneous msg": {good, func(rec *usppb.Record) { rec.Version, rec.GetNoSessionContext().Payload = "x", []byte{0xff} }, "message"},
	} {
		before := refused(c.reason)
		r.signed(w, c.cert, c.spoil)
		r.signed(w, second.Issue(t, ctl2), nil) // the barrier
		if m := decode(t, <-w.out); m.GetHeader().GetMsgId() != "m"+itoa(r.n) {
			t.Errorf("%s: answered", name)
		}
		waitFor(t, func() bool { return refused(c.reason) == before+1 })
	}
}

func longEnded(c *x509.Certificate) { c.NotAfter = c.NotBefore.Add(time.Minute) }

func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); {
		if time.Now().After(end) {
			t.Fatal("it does not come about")
		}
		time.Sleep(time.Millisecond)
	}
}

// TestTP469_2_6_NoAbsoluteTime: an expired certificate will do while the clock is not set, which in a bubble it is not, and no longer (R-SEC.19, R-SEC.20).
func TestTP469_2_6_NoAbsoluteTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lasting := func(c *x509.Certificate) {
			c.NotBefore, c.NotAfter = c.NotBefore.AddDate(-9, 0, 0), c.NotAfter.AddDate(90, 0, 0)
		}
		ca := identitytest.Root(t, "operator", lasting)
		r := newRig(t)
		defer func() { r.stop() }()
		r.stop()
		r.cas = []*x509.Certificate{ca.Cert}
		r.start()
		expired := ca.Issue(t, ctl2, func(c *x509.Certificate) {
			c.NotBefore, c.NotAfter = c.NotBefore.AddDate(-3, 0, 0), c.NotAfter.AddDate(-2, 0, 0)
		})
		w, _ := r.up(nil)
		r.signed(w, expired, nil)
		if m := decode(t, <-w.out); m.GetBody().GetResponse().GetGetResp() == nil {
			t.Error(m)
		}
		time.Sleep(time.Until(time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)))
		r.signed(w, expired, nil)
		synctest.Wait()
		if len(w.out) != 0 {
			t.Errorf("with a clock: %v", <-w.out)
		}
		r.signed(w, ca.Issue(t, ctl2), nil)
		if m := decode(t, <-w.out); m.GetBody().GetResponse().GetGetResp() == nil {
			t.Error(m)
		}
	})
}

// TestSigns: R-E2E.28, R-E2E.29, R-SEC.10: every Record is signed by the Agent where the MTP does not protect it.
func TestSigns(t *testing.T) {
	r, operator, _ := certified(t)
	r.stop()
	own := operator.Issue(t, agentID)
	r.certificate = func(id usp.EndpointID) (*tls.Certificate, error) {
		if id != agentID {
			t.Errorf("a certificate for %s", id)
		}
		return own, nil
	}
	r.start()
	check := func(rec *usppb.Record, signed bool) {
		t.Helper()
		chain, err := secure.Verify(rec, nil)
		if signed && (err != nil || usp.Named(chain[0], agentID) != usp.NamesIt) || !signed && len(rec.GetMacSignature())+len(rec.GetSenderCert()) != 0 {
			t.Errorf("%T, to be signed %v: %v", rec.GetRecordType(), signed, err)
		}
	}
	for _, c := range []struct {
		shown  *tls.Certificate
		signed bool
	}{{nil, true}, {operator.Issue(t, ""), true}, {operator.Issue(t, ctl2), false}} {
		w, connect := r.up(c.shown)
		check(connect, c.signed)
		r.signed(w, operator.Issue(t, ctl2), nil)
		resp := <-w.out
		check(resp, c.signed)
		if decode(t, resp).GetBody().GetResponse().GetGetResp() == nil {
			t.Error(resp)
		}
		if err := r.a.Receive(w, tlsOutsideSession(t), ""); err != nil {
			t.Fatal(err)
		}
		disconnect := <-w.out
		check(disconnect, c.signed)
		if disconnect.GetDisconnect() == nil {
			t.Error(disconnect)
		}
		check(<-w.out, c.signed) // Connect again
		r.a.Down(w, nil)
	}
}

// TestRecordsWithoutMessage: what has no msg_id is no duplicate of anything; each is answered.
func TestRecordsWithoutMessage(t *testing.T) {
	r, _, _ := certified(t)
	w, _ := r.up(nil)
	for range 2 {
		if err := r.a.Receive(w, tlsOutsideSession(t), ""); err != nil {
			t.Fatal(err)
		}
	}
	disconnects := 0
	for range 4 {
		select {
		case rec := <-w.out:
			if rec.GetDisconnect() != nil {
				disconnects++
			}
		case <-time.After(5 * time.Second):
			t.Fatal("a Record was not answered")
		}
	}
	if disconnects != 2 {
		t.Errorf("%d Disconnect Records, want 2", disconnects)
	}
}

// tlsOutsideSession is a Record that is answered with a Disconnect Record.
func tlsOutsideSession(t *testing.T) []byte {
	b, err := usp.Address(&usppb.Record{PayloadSecurity: usppb.Record_TLS12, RecordType: &usppb.Record_NoSessionContext{
		NoSessionContext: &usppb.NoSessionContextRecord{Payload: []byte{1}}}}, ctl2, agentID, "")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestUnverifiedAcknowledgement: R-E2E.30: a response whose signature is not good ends no notification.
func TestUnverifiedAcknowledgement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer func() { r.stop() }()
		r.added(subscription(event, "Device.Boot!", req("NotifRetry", "true")))
		if err := r.a.Boot(t.Context(), BootInfo{}); err != nil {
			t.Fatal(err)
		}
		payload, err := proto.Marshal(respond(r.notify()))
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			signature []byte
			pending   int
		}{{[]byte{0}, 1}, {nil, 0}} {
			b, err := usp.Address(&usppb.Record{MacSignature: c.signature, RecordType: &usppb.Record_NoSessionContext{
				NoSessionContext: &usppb.NoSessionContextRecord{Payload: payload}}}, ctl1, agentID, "")
			if err != nil {
				t.Fatal(err)
			}
			if err := r.a.Receive(r.w, b, ""); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			equal(t, r.keep.count(NotificationRecord), c.pending)
		}
	})
}
