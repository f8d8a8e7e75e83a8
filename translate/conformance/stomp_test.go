package conformance_test

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"isthmus/usp"
	"isthmus/usp/identity/identitytest"
	"isthmus/usp/mtp/stomp/client"
	"isthmus/usp/usppb"
)

// stompCases are the cases of chapter 6.
var stompCases = map[string]func(*stompRig){
	"6.1": stompProfiles, "6.2": stompSession, "6.3": stompRetry, "6.4": stompHeaders, "6.5": stompSubscribeDest, "6.6": stompConfigured,
	"6.7": stompNoDestination, "6.8": stompHeartbeat, "6.9": stompMalformed, "6.10": stompChanged, "6.11": stompTLS, "6.12": stompConnectRecord,
}

func runSTOMP(t *testing.T, number string) {
	t.Parallel()
	stompCases[number](&stompRig{t, newStomptest, false})
}

// TestSharedSTOMP: what does not depend on a connection of the Agent's own holds where Agents share some, too.
func TestSharedSTOMP(t *testing.T) { sharedSTOMP(t, newStomptest) }

func sharedSTOMP(t *testing.T, start func(*testing.T, brokerSetup) anyBroker) {
	for _, number := range []string{"6.4", "6.6", "6.8", "6.9", "6.12"} {
		t.Run("shared "+number, func(t *testing.T) { stompCases[number](&stompRig{t, start, true}) })
	}
}

// TestBrokerSTOMP: the same at a real server, one for all that need none of their own: it takes long to start.
func TestBrokerSTOMP(t *testing.T) {
	one := newRabbitMQ(t, brokerSetup{})
	start := func(t *testing.T, o brokerSetup) anyBroker {
		if o.own != nil {
			return newRabbitMQ(t, o)
		}
		return one
	}
	for number, run := range stompCases {
		t.Run(number, func(t *testing.T) { run(&stompRig{t, start, false}) })
	}
	sharedSTOMP(t, start)
}

func TestTP469_6_1_Profiles(t *testing.T)       { runSTOMP(t, "6.1") }
func TestTP469_6_2_Session(t *testing.T)        { runSTOMP(t, "6.2") }
func TestTP469_6_3_Retry(t *testing.T)          { runSTOMP(t, "6.3") }
func TestTP469_6_4_Headers(t *testing.T)        { runSTOMP(t, "6.4") }
func TestTP469_6_5_SubscribeDest(t *testing.T)  { runSTOMP(t, "6.5") }
func TestTP469_6_6_Configured(t *testing.T)     { runSTOMP(t, "6.6") }
func TestTP469_6_7_NoDestination(t *testing.T)  { runSTOMP(t, "6.7") }
func TestTP469_6_8_Heartbeat(t *testing.T)      { runSTOMP(t, "6.8") }
func TestTP469_6_9_Malformed(t *testing.T)      { runSTOMP(t, "6.9") }
func TestTP469_6_10_Changed(t *testing.T)       { runSTOMP(t, "6.10") }
func TestTP469_6_11_TLS(t *testing.T)           { runSTOMP(t, "6.11") }
func TestTP469_6_12_ConnectRecord(t *testing.T) { runSTOMP(t, "6.12") }

func stompProfiles(r *stompRig) {
	e := r.agent()
	res := e.model(&usppb.GetSupportedDM{ReturnParams: true}, "Device.STOMP.", "Device.LocalAgent.")
	e.has(e.find(res[1], "Device.LocalAgent.Controller.{i}.MTP.{i}.STOMP."), "Reference", "Destination")
	e.has(e.find(res[0], "Device.STOMP."), "ConnectionNumberOfEntries")
	e.has(e.find(res[0], "Device.STOMP.Connection.{i}."), "Alias", "Enable", "Status", "Host", "Port", "VirtualHost",
		"ServerRetryInitialInterval", "ServerRetryIntervalMultiplier", "ServerRetryMaxInterval")
	e.wantValue(stompConnection+"Status", "Enabled")
}

// stompSession: R-STOMP.2, R-STOMP.4.
func stompSession(r *stompRig) {
	e := r.agent()
	e.restart()
	if f := e.tap.next(e.eut, "STOMP", nil); f.Get("endpoint-id") != string(e.w.id) || f.Get("accept-version") != "1.2" || f.Get("host") != "/" {
		e.Errorf("%v", f.Headers)
	}
	if f := e.tap.next(e.eut, "SUBSCRIBE", nil); f.Get("destination") != e.destination {
		e.Errorf("%v", f.Headers)
	}
}

// stompRetry: two attempts in vain in their windows, which all begin at once (R-STOMP.7).
func stompRetry(r *stompRig) {
	e := r.agent()
	_, err := e.set(false, obj{stompConnection, []param{req("ServerRetryInitialInterval", "2"), req("ServerRetryIntervalMultiplier", "2000"),
		req("ServerRetryMaxInterval", "4")}}) // a real server takes its time to start
	e.must(err)
	e.back(2)
	e.tap.skip()
	lost := time.Now()
	e.server.Stop()
	e.tap.cut()
	first := e.tap.next(e.eut, "", nil).at
	second := e.tap.next(e.eut, "", nil).at
	if wait := first.Sub(lost); wait > 2*time.Second+late {
		e.Errorf("the first attempt after %v, want at most 2 s", wait)
	}
	if wait := second.Sub(first); wait > 4*time.Second+late {
		e.Errorf("the second attempt after %v, want at most 4 s", wait)
	}
	e.server.Start()
	e.back(3)
}

// response is the frame that has the answer to a Get.
func (e *stompEUT) response() frame {
	e.Helper()
	return e.tap.next(e.eut, "SEND", func(f *client.Frame) bool {
		r, err := usp.DecodeRecord(f.Body)
		e.must(err)
		m, err := usp.DecodeMsg(r.GetNoSessionContext().GetPayload())
		return err == nil && m.GetBody().GetResponse().GetGetResp() != nil
	})
}

// stompHeaders: R-STOMP.19 to R-STOMP.21.
func stompHeaders(r *stompRig) {
	e := r.agent()
	e.tap.skip()
	e.wantValue("Device.DeviceInfo.SerialNumber", "S1")
	if f := e.response(); f.Get("content-length") != strconv.Itoa(len(f.Body)) || f.Get("content-type") != "application/vnd.bbf.usp.msg" || f.Get("reply-to-dest") != e.destination {
		e.Errorf("%v", f.Headers)
	}
}

// subscribed says where the Agent listens after a restart, and that its answers say so.
func (e *stompEUT) subscribed(want string) {
	e.Helper()
	if f := e.tap.next(e.eut, "SUBSCRIBE", nil); f.Get("destination") != want {
		e.Errorf("SUBSCRIBE %v, want %s", f.Headers, want)
	}
	e.back(2)
	e.wantValue("Device.LocalAgent.EndpointID", string(e.w.id))
	if f := e.response(); f.Get("reply-to-dest") != want {
		e.Errorf("%v", f.Headers)
	}
}

// stompSubscribeDest: R-STOMP.14.
func stompSubscribeDest(r *stompRig) {
	e := r.agent()
	const given = "/queue/given-by-the-server"
	e.tap.add(client.Header{Name: "subscribe-dest", Value: given})
	e.restart()
	e.subscribed(given)
	e.wantValue("Device.LocalAgent.MTP.1.STOMP.DestinationFromServer", given)
}

const ownDestination = "Device.LocalAgent.MTP.1.STOMP.Destination"

// stompConfigured: R-STOMP.15.
func stompConfigured(r *stompRig) {
	e := r.agent()
	want := "/queue/another." + string(e.w.id)
	e.change(ownDestination, want)
	e.restart()
	e.subscribed(want)
	e.wantValue(ownDestination, want)
}

// stompNoDestination: R-STOMP.16.
func stompNoDestination(r *stompRig) {
	e := r.agent()
	e.change(ownDestination, "")
	e.restart()
	e.tap.next(e.eut, "STOMP", nil)
	e.tap.next(e.eut, "DISCONNECT", nil)
	e.tap.mu.Lock()
	defer e.tap.mu.Unlock()
	for _, f := range e.tap.all[e.tap.taken:] {
		if f.Command == "SEND" || f.Command == "SUBSCRIBE" {
			e.Errorf("%s after DISCONNECT", f.Command)
		}
	}
}

// stompHeartbeat: R-STOMP.8 to R-STOMP.11, in a fifteenth of the plan's time.
func stompHeartbeat(r *stompRig) {
	e := r.agent()
	_, err := e.set(false, obj{stompConnection, []param{req("EnableHeartbeats", "true"), req("IncomingHeartbeat", "10000"), req("OutgoingHeartbeat", "1000")}})
	e.must(err)
	e.back(2)
	e.restart()
	if f := e.tap.next(e.eut, "STOMP", nil); strings.ReplaceAll(f.Get("heart-beat"), " ", "") != "1000,10000" {
		e.Errorf("%v", f.Headers)
	}
	e.back(3)
	last := e.tap.next(e.eut, beat, nil).at
	for range 2 {
		at := e.tap.next(e.eut, beat, nil).at
		if wait := at.Sub(last); wait > time.Second+late {
			e.Errorf("a heart-beat after %v", wait)
		}
		last = at
	}
}

// stompMalformed: R-MTP.5; the connection stands.
func stompMalformed(r *stompRig) {
	e := r.agent()
	plain, _ := e.server.addresses()
	nc, err := net.Dial("tcp", plain)
	e.must(err)
	down := make(chan error, 1)
	c, err := client.Connect(e.deadline(), nc, client.Options{Host: "/", Down: func(err error) { down <- err }})
	e.must(err)
	for _, body := range []string{"no Record", "\x0a\xff", ""} {
		e.must(c.Send(e.deadline(), &client.Frame{Command: "SEND", Body: []byte(body), Headers: []client.Header{{Name: "destination", Value: e.destination},
			{Name: "content-type", Value: "application/vnd.bbf.usp.msg"}, {Name: "reply-to-dest", Value: "/queue/nobody"}}}))
	}
	c.Abort()
	if err := <-down; err == nil {
		e.Error("it ended, and nothing says why")
	}
	e.wantValue("Device.DeviceInfo.SerialNumber", "S1")
	if e.a.Connects() != 1 {
		e.Error("the connection was made anew")
	}
}

// stompChanged: R-STOMP.29, on the connection that there is.
func stompChanged(r *stompRig) {
	e := r.agent()
	e.tap.skip()
	want := "/queue/changed." + string(e.w.id)
	e.change(ownDestination, want)
	e.tap.next(e.eut, "UNSUBSCRIBE", nil)
	if f := e.tap.next(e.eut, "SUBSCRIBE", nil); f.Get("destination") != want {
		e.Errorf("%v", f.Headers)
	}
	if e.a.Connects() != 1 {
		e.Error("the connection was made anew")
	}
	e.restart()
	e.subscribed(want)
}

func stompTLS(r *stompRig) {
	ca := identitytest.Root(r.T, "ca")
	b := r.start(r.T, brokerSetup{own: ca.Issue(r.T, ""), ca: ca.Cert})
	plain, secure := b.addresses()
	wire := newWire(r.T, secure)
	trust := &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
	trust.RootCAs.AddCert(ca.Cert)
	e := fresh(r.T, options{tls: trust, at: &atServer{server: plain, addr: wire.addr, encrypted: true, agentDestination: agentDestination}})
	e.must(e.w.stop())
	e.must(e.w.open())
	e.must(e.a.WaitConnects(e.deadline(), 2))
	e.wantValue("Device.DeviceInfo.SerialNumber", "S1")
	for range 2 {
		if first := <-wire.first; first[0] != 0x16 || first[1] != 3 || first[5] != 1 { // a record with a ClientHello
			e.Errorf("a connection begins with % x", first)
		}
	}
}

// stompConnectRecord: R-MTP.6.
func stompConnectRecord(r *stompRig) {
	e := r.agent()
	begin := time.Now()
	e.restart()
	at := e.tap.next(e.eut, "SUBSCRIBE", nil).Get("destination")
	rec, err := usp.DecodeRecord(e.tap.next(e.eut, "SEND", nil).Body)
	e.must(err)
	if c := rec.GetStompConnect(); c == nil || c.GetVersion() != usppb.STOMPConnectRecord_V1_2 || c.GetSubscribedDestination() != at || at != e.destination {
		e.Errorf("the first Record is %v; subscribed to %s", rec, at)
	}
	if took := time.Since(begin); took > 30*time.Second {
		e.Errorf("after %v", took)
	}
}
