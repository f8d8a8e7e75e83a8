//go:build unix

package main

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"isthmus/cwmp"
	"isthmus/cwmp/cpe"
	"isthmus/usp/usppb"
)

// The line "State" of the matrix: messages that come twice, at the wrong time, or instead of others. A durable notification reaches the Controller
// once, whatever its Inform meets.
func TestFaultsState(t *testing.T) {
	t.Parallel()
	b := newBed(t, nil)
	const (
		repeated   = "cwmp_repeated_informs_total"
		superseded = `cwmp_sessions_total{outcome="superseded"}`
		unexpected = `cwmp_sessions_total{outcome="unexpected_answer"}`
	)
	rpc := func(name, outcome string) string {
		return `cwmp_rpc_duration_seconds_count{outcome="` + outcome + `",rpc="` + name + `"}`
	}
	again := func(change func(string) string) meddle {
		return func(m *meddler, head, body string) {
			if strings.Contains(body, "<cwmp:Inform>") {
				b.elsewhere(m.t, framed(head, change(body)))
			}
		}
	}
	retried := func(s string) string { return strings.Replace(s, "<RetryCount>0<", "<RetryCount>1<", 1) }
	b.each(t, []fault{
		{"duplicate Inform (S1)", repeated, func(t *testing.T, b *bed) { b.notifies(t, again(func(s string) string { return s })) }},
		{"duplicate Inform with another RetryCount (S1, S2)", superseded, func(t *testing.T, b *bed) { b.notifies(t, again(retried)) }},
		{"parallel sessions (S2)", superseded, func(t *testing.T, b *bed) {
			inform := ""
			var again func()
			d, p := b.boot(t, meddling(t, func(m *meddler, head, body string) {
				switch {
				case strings.Contains(body, "<cwmp:Inform>"):
					inform = framed(head, retried(body))
				case strings.Contains(body, "<cwmp:SetParameterValuesResponse>"):
					b.elsewhere(t, inform)
					again() // it has crashed, and begins anew
				}
			}))
			again = func() { d.Inform(cwmp.EventPeriodic) }
			settles(t, d, p)
		}},
		{"answer with the wrong method (S20)", unexpected, func(t *testing.T, b *bed) {
			d, p := b.boot(t, nil)
			d.SetFaults(answering("SetParameterValues", &cwmp.GetParameterNamesResponse{}))
			settles(t, d, p)
		}},
		{"InformResponse as an answer", unexpected, func(t *testing.T, b *bed) {
			d, p := b.boot(t, nil)
			d.SetFaults(answering("SetParameterValues", &cwmp.InformResponse{}))
			settles(t, d, p)
		}},
		{"empty answer (S3)", rpc("SetParameterAttributes", "fault"), func(t *testing.T, b *bed) { // it does not know the RPC
			d, p := b.boot(t, func(cfg *cpe.Config) { cfg.Faults.EmptyAnswer = map[string]bool{"SetParameterAttributes": true} })
			p.do(t, add(subscription, "ID", "s", "Enable", "true", "NotifType", "ValueChange", "ReferenceList", ssid))
			if _, err := d.WaitCall(p.ctx, "SetParameterAttributes", 1); err != nil {
				t.Fatal(err)
			}
			manages(t, d, p)
		}},
		{"GetRPCMethods at each step (S4)", rpc("GetRPCMethods", "ok"), func(t *testing.T, b *bed) {
			d, p := b.boot(t, meddling(t, func(m *meddler, head, _ string) {
				if !strings.Contains(head, "Cookie: ") {
					return // before the Inform
				}
				if status, answer := m.exchange(framed(head, encoded(t, &cwmp.GetRPCMethods{}))); status != 200 || !strings.Contains(answer, "GetRPCMethodsResponse") {
					t.Errorf("GetRPCMethods is answered with %d %s", status, answer)
				}
			}))
			manages(t, d, p)
		}},
		{"a request after the 204 (S5)", rpc("GetRPCMethods", "ok"), func(t *testing.T, b *bed) {
			r := b.dial(t)
			r.post(b.inform(t, b.id(), cwmp.EventPeriodic))
			r.wants(200)
			r.post("")
			r.denies()
			r.post(encoded(t, &cwmp.GetRPCMethods{}))
			r.wants(200)
		}},
		{"an answer before the Inform", `cwmp_malformed_total{reason="session"}`, func(t *testing.T, b *bed) {
			r := b.dial(t)
			r.post(encoded(t, &cwmp.RebootResponse{}))
			r.wants(400)
		}},
		{"a method that nobody knows", rpc("unknown", "fault"), func(t *testing.T, b *bed) {
			r := b.dial(t)
			r.post(b.inform(t, b.id(), cwmp.EventPeriodic))
			r.wants(200)
			r.post(strings.ReplaceAll(encoded(t, &cwmp.GetRPCMethods{}), "GetRPCMethods", "X_EXAMPLE_Order66"))
			if answer := r.wants(200); !strings.Contains(answer, "8000") {
				t.Error(answer)
			}
			r.post("")
			r.denies()
		}},
		{"an Inform without identity", `cwmp_malformed_total{reason="inform"}`, func(t *testing.T, b *bed) {
			r := b.dial(t)
			r.post(b.inform(t, cwmp.DeviceID{OUI: "00D09E"}, cwmp.EventBoot))
			if answer := r.wants(200); !strings.Contains(answer, "8003") {
				t.Error(answer)
			}
		}},
		{"events that nobody knows, and none (S11)", `cwmp_informs_total{event="vendor"}`, func(t *testing.T, b *bed) {
			for _, events := range [][]string{{"X 00D09E Coffee", "99 NOT YET", "", "boot"}, {}} {
				r := b.dial(t)
				r.post(b.inform(t, b.id(), events...))
				r.wants(200)
				r.post("")
				r.denies()
			}
		}},
		{"TransferComplete of nothing, twice, without times (S13, S14)", rpc("TransferComplete", "ok"), func(t *testing.T, b *bed) {
			d, p := b.boot(t, nil)
			for range 2 {
				d.Send(&cwmp.TransferComplete{CommandKey: "nobody's"}, cwmp.EventTransferComplete)
			}
			if err := d.WaitIdle(p.ctx); err != nil || d.Failures() != 0 {
				t.Errorf("%d sessions failed, %v", d.Failures(), err)
			}
			manages(t, d, p)
		}},
		{"TransferComplete before its event, and after the 204 (S13)", rpc("TransferComplete", "ok"), func(t *testing.T, b *bed) {
			r := b.dial(t)
			r.post(b.inform(t, b.id(), cwmp.EventBoot))
			r.wants(200)
			complete := encoded(t, &cwmp.TransferComplete{CommandKey: "early"})
			r.post(complete)
			r.wants(200)
			r.post("")
			r.denies()
			r.post(complete)
			r.wants(200)
		}},
		{"AutonomousTransferComplete, twice (S13)", rpc("AutonomousTransferComplete", "ok"), func(t *testing.T, b *bed) {
			d, p := b.boot(t, nil)
			p.do(t, add(subscription, "ID", "t", "Enable", "true", "NotifType", "Event", "ReferenceList", "Device.LocalAgent.TransferComplete!"))
			for range 2 {
				d.Send(&cwmp.AutonomousTransferComplete{TransferURL: "http://192.0.2.1/f"}, cwmp.EventAutonomousTransferComplete)
			}
			if err := d.WaitIdle(p.ctx); err != nil {
				t.Fatal(err)
			}
			b.once(t, p, func(n *usppb.Notify) bool { return n.GetEvent().GetEventName() == "TransferComplete!" })
		}},
		{"reboot without response (S8)", sessionsLost, func(t *testing.T, b *bed) {
			d, p := b.boot(t, nil)
			p.do(t, add(subscription, "ID", "b", "Enable", "true", "NotifType", "Event", "ReferenceList", "Device.Boot!"))
			d.SetFaults(cpe.Faults{CloseOn: "Reboot"})
			if _, err := p.try(reboot()); err != nil {
				t.Logf("the Controller was told: %v", err) // that the outcome is unknown, which is true
			}
			b.once(t, p, func(n *usppb.Notify) bool {
				return n.GetEvent().GetEventName() == "Boot!" && n.GetEvent().GetParams()["CommandKey"] == "peers"
			})
			if err := d.WaitIdle(p.ctx); err != nil {
				t.Fatal(err)
			}
			manages(t, d, p)
		}},
	})
}

// answering has a CPE answer an RPC, which it carries out, with something else; once is enough to end the session.
func answering(name string, with cwmp.RPC) cpe.Faults {
	return cpe.Faults{Answer: func(req, response cwmp.RPC) cwmp.RPC {
		if req.Name() == name {
			return with
		}
		return response
	}}
}

// notifies has a CPE tell of a change while a test meddles: the Controller that subscribed to it is told once.
func (b *bed) notifies(t *testing.T, f meddle) {
	t.Helper()
	d, p := b.boot(t, meddling(t, f))
	p.do(t, add(subscription, "ID", "v", "Enable", "true", "NotifType", "ValueChange", "NotifRetry", "true", "ReferenceList", ssid))
	if _, err := d.WaitCall(p.ctx, "SetParameterAttributes", 1); err != nil {
		t.Fatal(err)
	}
	if err := d.WaitIdle(p.ctx); err != nil {
		t.Fatal(err)
	}
	if err := d.SetValue(ssid, "by the owner"); err != nil {
		t.Fatal(err)
	}
	b.once(t, p, func(n *usppb.Notify) bool { return n.GetValueChange().GetParamValue() == "by the owner" })
}

// once fails the test unless there is one notification like this. Another one would have come before the answer to the Get.
func (b *bed) once(t *testing.T, p *peer, match func(*usppb.Notify) bool) {
	t.Helper()
	if _, err := p.agent.WaitNotify(p.ctx, match); err != nil {
		t.Fatal(err)
	}
	p.do(t, get("Device.LocalAgent.EndpointID"))
	n := 0
	for _, note := range p.agent.Notes() {
		if match(note) {
			n++
		}
	}
	if n != 1 {
		t.Errorf("notified %d times", n)
	}
}

// elsewhere sends a request over a connection of its own, and closes that without a look at the answer's body.
func (b *bed) elsewhere(t *testing.T, request string) {
	t.Helper()
	r := b.dial(t)
	r.write(request)
	r.wants(200)
	_ = r.conn.Close()
}

// meddle is called with each request of a CPE before it is sent.
type meddle func(m *meddler, head, body string)

// meddling has a test break into the sessions of a CPE.
func meddling(t *testing.T, f meddle) func(*cpe.Config) {
	return func(cfg *cpe.Config) {
		cfg.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
			return &meddler{conn, t, f}, err
		}
	}
}

type meddler struct {
	net.Conn
	t      *testing.T
	meddle meddle
}

func (m *meddler) Write(p []byte) (int, error) {
	head, body, _ := strings.Cut(string(p), "\r\n\r\n")
	m.meddle(m, head, body)
	return m.Conn.Write(p)
}

// exchange sends another request over the CPE's connection.
func (m *meddler) exchange(request string) (status int, body string) {
	_, err := io.WriteString(m.Conn, request)
	if err != nil {
		m.t.Error(err)
		return 0, ""
	}
	_ = m.Conn.SetReadDeadline(time.Now().Add(faultTime))
	resp, err := http.ReadResponse(bufio.NewReader(m.Conn), nil)
	if err != nil {
		m.t.Error(err)
		return 0, ""
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		m.t.Error(err)
	}
	return resp.StatusCode, string(text)
}
