package conformance_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"

	"isthmus/usp"
	"isthmus/usp/controller"
	"isthmus/usp/e2e"
	"isthmus/usp/identity/identitytest"
	"isthmus/usp/usppb"
)

// talk is the Controller's end of a session context with the Agent, on a connection that the test reads and writes itself.
type talk struct {
	*wire
	s *e2e.Session
}

// talks opens no session yet: the first Record that is sent does.
func talks(t *testing.T) *talk {
	t.Helper()
	_, _, w := hand(t)
	w.next() // Connect
	return &talk{w, w.session(0)}
}

func (w *wire) session(id uint64) *e2e.Session {
	return e2e.New(e2e.Options{From: controllerID, To: w.w.id, Retransmits: -1}, id)
}

// request makes the Records of a request and does not send them.
func (k *talk) request(r *usppb.Request) (id string, records [][]byte) {
	k.Helper()
	id = unique("session")
	payload, err := proto.Marshal(usp.NewRequest(id, r))
	k.must(err)
	records, err = k.s.Send(payload)
	k.must(err)
	return id, records
}

func getOf(paths ...string) *usppb.Request {
	return &usppb.Request{ReqType: &usppb.Request_Get{Get: &usppb.Get{ParamPaths: paths}}}
}

func setOf(object, name, value string) *usppb.Request {
	return &usppb.Request{ReqType: &usppb.Request_Set{Set: &usppb.Set{UpdateObjs: []*usppb.Set_UpdateObject{{ObjPath: object,
		ParamSettings: []*usppb.Set_UpdateParamSetting{{Param: name, Value: value, Required: true}}}}}}}
}

func (k *talk) say(records ...[]byte) {
	k.Helper()
	for _, b := range records {
		k.send(b)
	}
}

// message reads on until there is a message that is no Notify, and gives the Record that completed it.
func (k *talk) message() (*usppb.Msg, *usppb.SessionContextRecord) {
	k.Helper()
	for {
		r := k.next()
		if r.GetNoSessionContext() != nil {
			continue // OnBoardRequest
		}
		c := r.GetSessionContext()
		if c.GetSessionId() != k.s.ID() {
			k.Fatalf("want session %d: %v", k.s.ID(), r)
		}
		got, err := k.s.Receive(r)
		k.must(err)
		for _, m := range got.Messages {
			msg, err := usp.DecodeMsg(bytes.Join(m, nil))
			k.must(err)
			if msg.GetBody().GetRequest() == nil {
				return msg, c
			}
		}
	}
}

// answered sends a request and reads its answer.
func (k *talk) answered(r *usppb.Request) (*usppb.Msg, *usppb.SessionContextRecord) {
	k.Helper()
	id, records := k.request(r)
	k.say(records...)
	m, c := k.message()
	if m.GetHeader().GetMsgId() != id || m.GetBody().GetError() != nil {
		k.Fatalf("%v answers %s", m, id)
	}
	return m, c
}

// renewed reads the Record that begins a session of the Agent's in place of the one that is.
func (k *talk) renewed() {
	k.Helper()
	for {
		r := k.next()
		if r.GetNoSessionContext() != nil {
			continue
		}
		if c := r.GetSessionContext(); c.GetSessionId() == k.s.ID() || !e2e.Begins(r) {
			k.Fatalf("no new session: %v", r)
		}
		k.s = k.session(r.GetSessionContext().GetSessionId())
		_, err := k.s.Receive(r)
		k.must(err)
		return
	}
}

func (k *talk) sequence(c *usppb.SessionContextRecord, want uint64) {
	k.Helper()
	if c.GetSequenceId() != want {
		k.Errorf("sequence_id %d, want %d", c.GetSequenceId(), want)
	}
}

const contextOfOwn = controllerTable + "1.E2ESession."

func TestTP469_3_8_SessionContext(t *testing.T) {
	k := talks(t)
	m, c := k.answered(getOf("Device.DeviceInfo."))
	k.sequence(c, 1)
	if c.GetExpectedId() != 2 || m.GetBody().GetResponse().GetGetResp() == nil {
		k.Errorf("%v %v", c, m)
	}
}

func TestTP469_3_9_NewSessionID(t *testing.T) {
	k := talks(t)
	k.answered(getOf("Device.DeviceInfo."))
	k.answered(getOf("Device.DeviceInfo."))
	k.s = k.session(0)
	_, c := k.answered(getOf("Device.DeviceInfo."))
	k.sequence(c, 1)
}

// TestTP469_3_11_Order: what comes before its turn waits for it, and is answered in its turn.
func TestTP469_3_11_Order(t *testing.T) {
	k := talks(t)
	_, c := k.answered(getOf("Device.DeviceInfo.ModelNumber"))
	k.sequence(c, 1)
	second, two := k.request(getOf("Device.DeviceInfo.HardwareVersion"))
	third, three := k.request(getOf("Device.DeviceInfo.HardwareVersion"))
	fourth, four := k.request(getOf("Device.DeviceInfo.SoftwareVersion"))
	k.say(four...)
	k.say(two...)
	for i, want := range []string{second, third, fourth} {
		m, c := k.message()
		k.sequence(c, uint64(i)+2)
		if m.GetHeader().GetMsgId() != want {
			k.Errorf("answer %d is to %s, want %s", i, m.GetHeader().GetMsgId(), want)
		}
		if i == 0 {
			k.say(three...)
		}
	}
}

// askAgain sends a Record that asks for one of the Agent's once more.
func (k *talk) askAgain(sequence uint64) {
	k.Helper()
	records, err := k.s.Ask(sequence)
	k.must(err)
	k.say(records...)
}

func TestTP469_3_12_Preservation(t *testing.T) {
	k := talks(t)
	id, records := k.request(getOf("Device.DeviceInfo."))
	k.say(records...)
	first := k.next()
	for first.GetSessionContext() == nil {
		first = k.next()
	}
	_, err := k.s.Receive(first)
	k.must(err)
	k.askAgain(first.GetSessionContext().GetSequenceId())
	if again := k.next(); !proto.Equal(first, again) {
		k.Errorf("the answer to %s is\n%v and then\n%v", id, first, again)
	}
}

func TestTP469_3_14_RetransmitTries(t *testing.T) {
	k := talks(t)
	_, c := k.answered(setOf(contextOfOwn, "MaxRetransmitTries", "2"))
	for range 2 {
		k.askAgain(c.GetSequenceId())
		if again := k.next().GetSessionContext(); again.GetSequenceId() != c.GetSequenceId() || again.GetSessionId() != k.s.ID() {
			k.Errorf("asked for %d again, got %v", c.GetSequenceId(), again)
		}
	}
	k.askAgain(c.GetSequenceId())
	k.renewed()
	k.answered(getOf("Device.DeviceInfo."))
}

func TestTP469_3_15_Duplicates(t *testing.T) {
	k := talks(t)
	id, records := k.request(getOf("Device.DeviceInfo.SerialNumber"))
	for range 4 {
		k.say(records...)
	}
	m, c := k.message()
	if m.GetHeader().GetMsgId() != id {
		k.Errorf("answer to %s", m.GetHeader().GetMsgId())
	}
	k.sequence(c, 1)
	_, c = k.answered(getOf("Device.DeviceInfo.SerialNumber")) // the barrier: nothing came in between
	k.sequence(c, 2)
}

// TestSegments: a GetSupportedDM of everything comes whole in Records of 512 bytes, and a request may come in segments, too.
func TestSegments(t *testing.T) {
	const size = 512
	k := talks(t)
	k.answered(setOf(contextOfOwn, "MaxUSPRecordSize", itoa(size)))
	id, records := k.request(&usppb.Request{ReqType: &usppb.Request_GetSupportedDm{GetSupportedDm: &usppb.GetSupportedDM{
		ObjPaths: []string{"Device."}, ReturnParams: true, ReturnCommands: true, ReturnEvents: true, ReturnUniqueKeySets: true}}})
	k.say(records...)
	var message [][]byte
	count := 0
	for message == nil {
		r := k.next()
		if n := proto.Size(r); n > size {
			k.Fatalf("a Record of %d bytes", n)
		}
		got, err := k.s.Receive(r)
		k.must(err)
		if count++; len(got.Messages) > 0 {
			message = got.Messages[0]
		}
		if count%100 == 0 { // what was sent is kept until it is acknowledged
			records, err := k.s.Send()
			k.must(err)
			k.say(records...)
		}
	}
	m, err := usp.DecodeMsg(bytes.Join(message, nil))
	k.must(err)
	objects := m.GetBody().GetResponse().GetGetSupportedDmResp().GetReqObjResults()[0].GetSupportedObjs()
	if m.GetHeader().GetMsgId() != id || count < 10 || len(objects) < 40 {
		k.Errorf("%d Records, %d objects, msg_id %s", count, len(objects), m.GetHeader().GetMsgId())
	}
	k.s.Limit(size, 0, -1)
	long := make([]string, 200)
	for i := range long {
		long[i] = "Device.DeviceInfo.SerialNumber"
	}
	if m, _ := k.answered(getOf(long...)); len(m.GetBody().GetResponse().GetGetResp().GetReqPathResults()) != len(long) {
		k.Error("a request in segments is answered in part")
	}
}

// TestSessionOverBadLine: the Controller loses, doubles and reorders its Records, and has to use a session; every request is answered, writes are done
// once, and notifications arrive in the session, also those after a new one has begun.
func TestSessionOverBadLine(t *testing.T) {
	t.Run("in clear", func(t *testing.T) { overBadLine(t, options{}) })
	t.Run("TLS", func(t *testing.T) {
		ca := identitytest.Root(t, "ca")
		overBadLine(t, options{cas: []*x509.Certificate{ca.Cert}, issue: func(id usp.EndpointID) (*tls.Certificate, error) { return ca.Issue(t, id), nil },
			security: controller.Security{Certificate: ca.Issue(t, controllerID), Roots: ca.Pool(), TLS: true}})
	})
}

func overBadLine(t *testing.T, o options) {
	var bad atomic.Bool
	var mu sync.Mutex
	var n int
	var held [][]byte
	o.mangle = func(records [][]byte) (out [][]byte) {
		if !bad.Load() {
			return records
		}
		mu.Lock()
		defer mu.Unlock()
		for _, r := range records {
			switch n++; n % 4 {
			case 0: // lost
			case 1:
				out = append(out, r, r)
			case 2:
				held = append(held, r)
			case 3:
				out = append(append(out, r), held...)
				held = nil
			}
		}
		return out
	}
	e := fresh(t, o)
	e.change(contextOfOwn+"SessionRetryMinimumWaitInterval", "1")
	e.change(contextOfOwn+"MaxRetransmitTries", "-1")
	e.must(e.a.OpenSession(e.deadline()))
	e.change(contextOfOwn+"SessionMode", "Require")
	id := unique("session")
	e.subscribe(id, "ValueChange", controllerTable+"1.ProvisioningCode", req("NotifRetry", "true"))
	e.wantValue(contextOfOwn+"Status", "Up")
	session := e.a.Session()
	bad.Store(true)
	const rounds = 12
	ctx := e.deadline()
	var work errgroup.Group
	for i := range rounds {
		work.Go(func() error {
			m := &usppb.Set{UpdateObjs: setOf(controllerTable+"1.", "ProvisioningCode", itoa(i)).GetSet().GetUpdateObjs()}
			if _, err := e.a.Set(ctx, m); err != nil {
				return err
			}
			_, err := e.a.Get(ctx, 0, "Device.DeviceInfo.SerialNumber")
			return err
		})
	}
	done := make(chan error, 1)
	go func() { done <- work.Wait() }()
	var probes errgroup.Group // something has to come after the last Record for its loss to be seen
	for waits := true; waits; {
		select {
		case err := <-done:
			e.must(err)
			waits = false
		case <-time.After(500 * time.Millisecond):
			probes.Go(func() error { _, err := e.a.GetSupportedProtocol(ctx); return err })
		}
	}
	bad.Store(false)
	_, err := e.a.GetSupportedProtocol(ctx)
	e.must(errors.Join(err, probes.Wait()))
	if e.a.Session() != session {
		t.Error("the session was not kept")
	}
	heard := func(value string) {
		e.Helper()
		_, err := e.a.WaitNotify(e.deadline(), func(n *usppb.Notify) bool {
			return n.GetSubscriptionId() == id && n.GetValueChange().GetParamValue() == value // it may come twice where its response was lost
		})
		e.must(err)
	}
	for i := range rounds {
		heard(itoa(i))
	}
	if r := e.operate(contextOfOwn+"Reset()", "", nil); r.GetCmdFailure() != nil {
		t.Error(r)
	}
	if e.a.Session() == session {
		t.Error("Reset() has begun no session")
	}
	e.change(controllerTable+"1.ProvisioningCode", "after")
	heard("after")
}
