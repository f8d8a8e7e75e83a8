package conformance_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"isthmus/usp"
	"isthmus/usp/e2e"
	"isthmus/usp/identity/identitytest"
	"isthmus/usp/secure"
	"isthmus/usp/usppb"
)

// private is the Controller's end of session contexts whose Records are signed and whose payloads are protected by TLS.
type private struct {
	*talk
	ca      *identitytest.Authority
	cert    *tls.Certificate // of the Controller
	version uint16           // of TLS at most; 0: the latest
	tls     *secure.TLS
	mac     bool
	small   bool                // Records are too small to be signed
	shown   []*x509.Certificate // by the Agent
}

// privately is a world whose Agent has a certificate; no session is open yet.
func privately(t *testing.T) *private {
	t.Helper()
	p := newPeer(t, false)
	ca := identitytest.Root(t, "ca")
	e := fresh(t, options{url: p.url, cas: []*x509.Certificate{ca.Cert},
		issue: func(id usp.EndpointID) (*tls.Certificate, error) { return ca.Issue(t, id), nil }})
	k := &private{talk: &talk{wire: p.accept(e)}, ca: ca, cert: ca.Issue(t, controllerID)}
	t.Cleanup(func() {
		if k.tls != nil {
			k.tls.Close()
		}
	})
	k.signed(k.next()) // Connect
	return k
}

// signed says that the Agent has signed a Record (R-E2E.29).
func (k *private) signed(r *usppb.Record) {
	k.Helper()
	chain, err := secure.Verify(r, nil)
	if err != nil || usp.Named(chain[0], k.w.id) != usp.NamesIt {
		k.Fatalf("%T: %v", r.GetRecordType(), err)
	}
}

// prepare makes the state of a session: of the Agent's, if id is not 0.
func (k *private) prepare(id uint64) {
	k.Helper()
	if k.tls != nil {
		k.tls.Close()
	}
	k.mac = false
	k.tls = secure.NewTLS(secure.Config{Client: id == 0, Certificate: k.cert, MaxVersion: k.version, Verify: func(shown []*x509.Certificate) error {
		k.shown = shown
		_, err := shown[0].Verify(x509.VerifyOptions{Roots: k.ca.Pool()})
		return err
	}})
	k.s = e2e.New(e2e.Options{From: controllerID, To: k.w.id, Retransmits: -1, Security: usppb.Record_TLS12, Open: k.tls.Feed,
		Sign: func(r *usppb.Record) error {
			if k.mac {
				k.tls.Protect(r)
				return nil
			}
			return secure.Sign(r, k.cert)
		},
		Check: func(r *usppb.Record) error {
			if k.tls.Complete() {
				return k.tls.Check(r)
			}
			if !k.small {
				k.signed(r)
			}
			return nil
		}}, id)
}

// fly sends what TLS has to say.
func (k *private) fly() {
	k.Helper()
	if flight := k.tls.Take(); len(flight) > 0 {
		records, err := k.s.Send(flight...)
		k.must(err)
		k.say(records...)
	}
	k.mac = k.tls.Complete()
}

// in reads the next Record of a session; none may be answered outside of one.
func (k *private) in() *usppb.Record {
	k.Helper()
	for {
		if r := k.next(); r.GetNoSessionContext() == nil {
			return r
		}
	}
}

// shake goes on with a handshake until it is complete.
func (k *private) shake() {
	k.Helper()
	for k.fly(); !k.tls.Complete(); k.fly() {
		_, err := k.s.Receive(k.in())
		k.must(err)
	}
}

// open opens a session of the Controller's.
func (k *private) open() {
	k.Helper()
	k.prepare(0)
	k.shake()
}

// ask makes the Records of a request.
func (k *private) ask(paths ...string) (id string, records [][]byte) {
	k.Helper()
	id = unique("private")
	msg, err := proto.Marshal(usp.NewRequest(id, getOf(paths...)))
	k.must(err)
	payload, err := k.tls.Seal(msg)
	k.must(err)
	records, err = k.s.Send(payload...)
	k.must(err)
	return id, records
}

// answered has a Get answered within the session.
func (k *private) answered() {
	k.Helper()
	id, records := k.ask("Device.DeviceInfo.")
	k.say(records...)
	m, _ := k.message()
	if m.GetHeader().GetMsgId() != id || m.GetBody().GetResponse().GetGetResp() == nil {
		k.Fatalf("%v answers %s", m, id)
	}
}

// alerted reads on until the Agent has ended the TLS handshake with an alert, and gives it.
func (k *private) alerted() error {
	k.Helper()
	for {
		if _, err := k.s.Receive(k.in()); err != nil {
			return err
		}
		k.fly()
	}
}

// begun reads the first Record of a session of the Agent's. Before it there may be notifications in the one that was, and nothing else.
func (k *private) begun() *usppb.Record {
	k.Helper()
	r := k.in()
	for k.mac && r.GetSessionContext().GetSessionId() == k.s.ID() {
		got, err := k.s.Receive(r)
		k.must(err)
		for _, m := range got.Messages {
			if msg, err := usp.DecodeMsg(bytes.Join(m, nil)); err != nil || msg.GetBody().GetRequest() == nil {
				k.Fatalf("%v, %v", msg, err)
			}
		}
		r = k.in()
	}
	if !e2e.Begins(r) || r.GetPayloadSecurity() != usppb.Record_TLS12 || k.s != nil && r.GetSessionContext().GetSessionId() == k.s.ID() {
		k.Fatalf("no new session: %v", r)
	}
	return r
}

// follow takes part in a session that the Agent has begun.
func (k *private) follow(r *usppb.Record) {
	k.Helper()
	k.prepare(r.GetSessionContext().GetSessionId())
	_, err := k.s.Receive(r)
	k.must(err)
	k.shake()
}

// sealed is a Get outside of sessions, in a signed Record.
func (k *private) sealed(spoil bool) (id string, record []byte) {
	k.Helper()
	id = unique("signed")
	payload, err := proto.Marshal(usp.NewRequest(id, getOf("Device.DeviceInfo.")))
	k.must(err)
	r := &usppb.Record{Version: "1.4", FromId: string(controllerID), ToId: string(k.w.id), RecordType: &usppb.Record_NoSessionContext{
		NoSessionContext: &usppb.NoSessionContextRecord{Payload: payload}}}
	k.must(secure.Sign(r, k.cert))
	if spoil {
		r.MacSignature[len(r.MacSignature)-1]++
	}
	record, err = proto.Marshal(r)
	k.must(err)
	return id, record
}

// TestTP469_2_7_InvalidSignature: no answer; the one to what is signed well comes first, and is signed itself.
func TestTP469_2_7_InvalidSignature(t *testing.T) {
	k := privately(t)
	_, bad := k.sealed(true)
	id, good := k.sealed(false)
	k.say(bad, good)
	for {
		r := k.next()
		k.signed(r)
		m, err := usp.DecodeMsg(r.GetNoSessionContext().GetPayload())
		k.must(err)
		if m.GetBody().GetRequest() != nil {
			continue // OnBoardRequest
		}
		if m.GetHeader().GetMsgId() != id || m.GetBody().GetResponse().GetGetResp() == nil {
			t.Errorf("%v answers %s", m, id)
		}
		return
	}
}

// TestTP469_3_2_NonPayloadIntegrity: what is not protected is refused where it has to be, by a Disconnect Record (R-MTP.5, 7101), with or without a session.
func TestTP469_3_2_NonPayloadIntegrity(t *testing.T) {
	k := privately(t)
	k.s = k.session(0)
	k.send(k.record(controllerID, k.w.id, "set", "Device.DeviceInfo.")) // what is to change is still allowed
	k.wire.answer("set")
	k.plainSet("PayloadSecurity", "TLS")
	_, records := k.request(getOf("Device.DeviceInfo."))
	k.say(records...)
	k.disconnected(usp.SecureSessionRequired) // a session in clear
	b, err := usp.EncodeRecord(controllerID, k.w.id, "", usp.NewRequest("require", setOf(contextOfOwn, "SessionMode", "Require")))
	k.must(err)
	k.send(b)
	k.follow(k.begun())
	k.send(k.record(controllerID, k.w.id, "plain", "Device.DeviceInfo."))
	k.disconnected(usp.SecureSessionRequired) // none at all
	k.answered()
}

// disconnected reads on until a Disconnect Record and the Connect Record after it; what comes in a session goes on.
func (k *private) disconnected(code usp.ErrorCode) {
	k.Helper()
	for told := false; ; {
		switch r := k.in(); {
		case r.GetDisconnect() != nil:
			if told = r.GetDisconnect().GetReasonCode() == uint32(code); !told {
				k.Fatalf("%v, want %d", r, code)
			}
		case r.GetWebsocketConnect() != nil && told:
			return
		default:
			_, err := k.s.Receive(r)
			k.must(err)
		}
	}
}

// plainSet changes E2ESession without a session.
func (k *private) plainSet(name, value string) {
	k.Helper()
	id := unique("plain")
	b, err := usp.EncodeRecord(controllerID, k.w.id, "", usp.NewRequest(id, setOf(contextOfOwn, name, value)))
	k.must(err)
	k.send(b)
	if m := k.wire.answer(id); m.GetBody().GetError() != nil {
		k.Fatal(m)
	}
}

// TestTP469_3_3_InvalidSignatureOfSession: the client hello is ignored, and another one with a good signature is not.
func TestTP469_3_3_InvalidSignatureOfSession(t *testing.T) {
	k := privately(t)
	k.prepare(0)
	records, err := k.s.Send(k.tls.Take()...)
	k.must(err)
	r := &usppb.Record{}
	k.must(proto.Unmarshal(records[0], r))
	r.GetSessionContext().SessionId++
	bad, err := proto.Marshal(r)
	k.must(err)
	k.say(bad)
	k.open()
	k.answered()
}

// TestTP469_3_4_MAC: what the Agent sends in the session has a MAC of the keys of the handshake: k's Check insists.
func TestTP469_3_4_MAC(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			k := privately(t)
			k.version = version
			k.open()
			id, records := k.ask("Device.LocalAgent.")
			k.say(records...)
			m, _ := k.message()
			if m.GetHeader().GetMsgId() != id || m.GetBody().GetResponse().GetGetResp() == nil {
				t.Errorf("%v answers %s", m, id)
			}
			// A Record whose MAC is wrong brings no answer, and another session (R-E2E.23).
			_, records = k.ask("Device.LocalAgent.")
			r := &usppb.Record{}
			k.must(proto.Unmarshal(records[0], r))
			r.MacSignature[0]++
			bad, err := proto.Marshal(r)
			k.must(err)
			k.say(bad)
			k.follow(k.begun())
			k.answered()
		})
	}
}

// TestTP469_3_5_TLSFails: the Agent begins another session after an alert, at once and then with SessionRetry's waits, until one comes about.
func TestTP469_3_5_TLSFails(t *testing.T) {
	k := privately(t)
	k.plainSet("SessionRetryMinimumWaitInterval", "1")
	good, alert := k.cert, []byte{21, 3, 3, 0, 2, 2, 40} // handshake_failure
	k.cert = identitytest.Root(t, "unknown").Issue(t, controllerID)
	k.s, k.tls = nil, nil
	k.prepare(0)
	k.s = e2e.New(e2e.Options{From: controllerID, To: k.w.id, Security: usppb.Record_TLS12, Open: k.tls.Feed}, 0) // signed by nobody that it knows
	if err := k.alertedFrom(); err == nil {
		t.Fatal("the Agent takes any certificate")
	}
	k.cert = good
	var failed time.Time
	for range 2 {
		r := k.begun()
		if !failed.IsZero() && time.Since(failed) < time.Second {
			t.Errorf("tried again after %s", time.Since(failed))
		}
		k.prepare(r.GetSessionContext().GetSessionId())
		_, err := k.s.Receive(r)
		k.must(err)
		records, err := k.s.Send(alert)
		k.must(err)
		failed = time.Now()
		k.say(records...)
	}
	r := k.begun()
	if time.Since(failed) < time.Second {
		t.Errorf("tried again after %s", time.Since(failed))
	}
	k.follow(r)
	k.answered()
}

// alertedFrom begins a session and gives the alert that ends it.
func (k *private) alertedFrom() error {
	k.Helper()
	k.fly()
	return k.alerted()
}

// TestTP469_3_6_NoRenegotiation: the session goes on.
func TestTP469_3_6_NoRenegotiation(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			k := privately(t)
			k.version = version
			k.open()
			again := secure.NewTLS(secure.Config{Client: true, Certificate: k.cert})
			defer again.Close()
			records, err := k.s.Send(again.Take()...)
			k.must(err)
			id, get := k.ask("Device.DeviceInfo.")
			k.say(slices.Concat(records, get)...)
			m, _ := k.message() // it fails on an alert, and on a Record of another session
			if m.GetHeader().GetMsgId() != id || m.GetBody().GetResponse().GetGetResp() == nil {
				t.Errorf("%v answers %s", m, id)
			}
			k.answered()
		})
	}
}

func (k *private) expected() uint64 {
	e, _ := k.s.Waits()
	return e
}

// TestTP469_3_7_Certificates: the Agent shows its own, asks for the Controller's, and rejects one that names another Endpoint.
func TestTP469_3_7_Certificates(t *testing.T) {
	k := privately(t)
	k.cert = k.ca.Issue(t, "proto::other")
	k.prepare(0)
	k.s = e2e.New(e2e.Options{From: controllerID, To: k.w.id, Security: usppb.Record_TLS12, Open: k.tls.Feed}, 0)
	if err := k.alertedFrom(); err == nil {
		t.Error("the Agent accepts it")
	}
	if len(k.shown) == 0 || usp.Named(k.shown[0], k.w.id) != usp.NamesIt {
		t.Error("the Agent's certificate does not name it")
	}
	k.cert = k.ca.Issue(t, controllerID)
	k.follow(k.begun())
	k.answered()
}

// TestTP469_3_13_OtherSecurity: a Record in clear is not answered, and the Agent begins another session.
func TestTP469_3_13_OtherSecurity(t *testing.T) {
	k := privately(t)
	k.open()
	k.answered()
	payload, err := proto.Marshal(usp.NewRequest("clear", getOf("Device.DeviceInfo.")))
	k.must(err)
	b, err := usp.Address(&usppb.Record{RecordType: &usppb.Record_SessionContext{SessionContext: &usppb.SessionContextRecord{
		SessionId: k.s.ID(), SequenceId: 4, ExpectedId: k.expected(), Payload: [][]byte{payload}}}}, controllerID, k.w.id, "")
	k.must(err)
	k.say(b)
	k.follow(k.begun())
	k.answered()
}

// TestPayloadInSegments: TLS records of which each takes several USP Records of the smallest size.
func TestPayloadInSegments(t *testing.T) {
	k := privately(t)
	k.plainSet("MaxUSPRecordSize", "512")
	k.small = true
	k.open()
	id, records := k.ask("Device.")
	k.say(records...)
	m, c := k.message()
	if m.GetHeader().GetMsgId() != id || c.GetPayloadSarState() != usppb.SessionContextRecord_COMPLETE {
		t.Errorf("answer to %s with %v", m.GetHeader().GetMsgId(), c.GetPayloadSarState())
	}
}

// TestPayloadOutOfOrder: a request that comes before the end of the handshake waits for its turn, and is verified by its MAC then.
func TestPayloadOutOfOrder(t *testing.T) {
	k := privately(t)
	k.version = tls.VersionTLS13
	k.prepare(0)
	k.fly()
	for !k.tls.Complete() {
		_, err := k.s.Receive(k.in())
		k.must(err)
	}
	finished, err := k.s.Send(k.tls.Take()...)
	k.must(err)
	k.mac = true
	id, get := k.ask("Device.DeviceInfo.")
	k.say(slices.Concat(get, finished)...)
	if m, _ := k.message(); m.GetHeader().GetMsgId() != id || m.GetBody().GetResponse().GetGetResp() == nil {
		t.Errorf("%v answers %s", m, id)
	}
}

// TestPayloadWithoutCertificate: 7102 where the Agent has no certificate, and PayloadSecurity cannot be TLS there.
func TestPayloadWithoutCertificate(t *testing.T) {
	k := &private{talk: talks(t), ca: identitytest.Root(t, "ca")}
	k.cert = &tls.Certificate{}
	k.prepare(0)
	k.s = e2e.New(e2e.Options{From: controllerID, To: k.w.id, Security: usppb.Record_TLS12}, 0)
	defer k.tls.Close()
	records, err := k.s.Send(k.tls.Take()...)
	k.must(err)
	k.say(records...)
	k.disconnected(usp.SecureSessionNotSupported)
	b, err := usp.EncodeRecord(controllerID, k.w.id, "", usp.NewRequest("set", setOf(contextOfOwn, "PayloadSecurity", "TLS")))
	k.must(err)
	k.send(b)
	if m := k.wire.answer("set"); m.GetBody().GetError() == nil {
		t.Errorf("%v", m)
	}
}
