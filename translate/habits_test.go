package translate

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"isthmus/cwmp"
	"isthmus/cwmp/cpe"
	"isthmus/translate/quirks"
	"isthmus/usp"
)

// profiles gives the Proxy an operator's file.
func profiles(t *testing.T, text string) func(*Options) {
	t.Helper()
	f := filepath.Join(t.TempDir(), "quirks.yaml")
	if err := os.WriteFile(f, []byte("profiles:\n"+text), 0o600); err != nil {
		t.Fatal(err)
	}
	table, err := quirks.Load(f)
	if err != nil {
		t.Fatal(err)
	}
	return func(o *Options) { o.Quirks, o.MaxAge = table, 0 }
}

func serial(n int) func(*cpe.Config) {
	return func(cfg *cpe.Config) { cfg.DeviceID.SerialNumber = fmt.Sprint("S", n) }
}

// mostNames is the largest GetParameterValues that a CPE was sent.
func mostNames(c *cpe.CPE) (most int) {
	for _, call := range c.Calls("GetParameterValues") {
		most = max(most, len(call.Request.(*cwmp.GetParameterValues).ParameterNames))
	}
	return most
}

// TestR9_BatchOfAModel: how many names a CPE takes is found out once for its model, whatever happens to the process, and may be told beforehand.
func TestR9_BatchOfAModel(t *testing.T) {
	limit := func(cfg *cpe.Config) { cfg.Faults.MaxGPV = 10 }
	w := newWorld(t, live)
	first, _ := w.boot(limit)
	if mostNames(first) <= 10 {
		t.Error("nothing was to be learnt")
	}
	second, id := w.boot(func(cfg *cpe.Config) { limit(cfg); serial(2)(cfg) })
	if most := mostNames(second); most > 10 {
		t.Errorf("the second CPE of the model was asked for %d names", most)
	}
	if detail, _ := w.p.Device(id); !slices.Contains(detail.Quirks, fmt.Sprintf("learnt: names_per_get %d", mostNames(second))) {
		t.Errorf("shown: %q", detail.Quirks)
	}
	w.stop()
	w.start()
	third, _ := w.boot(func(cfg *cpe.Config) { limit(cfg); serial(3)(cfg) })
	if most := mostNames(third); most > 10 {
		t.Errorf("after a restart the third was asked for %d names", most)
	}
	other, _ := w.boot(func(cfg *cpe.Config) { serial(4)(cfg); cfg.DeviceID.ProductClass = "Other" })
	if most := mostNames(other); most <= 10 {
		t.Errorf("a CPE of another model was asked for %d names only", most)
	}

	w = newWorld(t, profiles(t, "- { name: small, match: { product_class: Gate* }, set: { names_per_get: 7 } }\n"))
	told, _ := w.boot(nil)
	if most := mostNames(told); most != 7 {
		t.Errorf("by its profile a CPE was asked for %d names", most)
	}
}

// hangUp has a CPE close its connection in place of an answer to each GetParameterValues that is to be lost.
func hangUp(lost func(names int) bool) func(*cpe.Config) {
	return func(cfg *cpe.Config) {
		var conn atomic.Pointer[net.Conn]
		cfg.RetryWait = 20 * time.Millisecond
		cfg.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
			nc, err := (&net.Dialer{}).DialContext(ctx, network, addr)
			if err == nil {
				conn.Store(&nc)
			}
			return nc, err
		}
		cfg.Faults.Answer = func(req, response cwmp.RPC) cwmp.RPC {
			if g, ok := req.(*cwmp.GetParameterValues); ok && lost(len(g.ParameterNames)) {
				(*conn.Load()).Close()
			}
			return response
		}
	}
}

// TestR9_Silence: a CPE that does not survive a GetParameterValues of many names is asked for fewer when it comes back.
func TestR9_Silence(t *testing.T) {
	const most = 20
	w := newWorld(t, live)
	c, id := w.boot(hangUp(func(names int) bool { return names > most }))
	var lost []int
	for _, call := range c.Calls("GetParameterValues") {
		if n := len(call.Request.(*cwmp.GetParameterValues).ParameterNames); n > most {
			lost = append(lost, n)
		}
	}
	if len(lost) != 3 || lost[1] != lost[0] || lost[2] != lost[0]/2 {
		t.Errorf("it was asked for %v names", lost)
	}
	w.want(id, ssid, c.Value(ssid))
}

// TestR9_LostOverFew: sessions that are lost over a few names say nothing of how many a CPE takes.
func TestR9_LostOverFew(t *testing.T) {
	var armed atomic.Bool
	var losses atomic.Int32
	w := newWorld(t, live)
	_, id := w.boot(hangUp(func(names int) bool { return armed.Load() && names == 1 && losses.Add(1) <= 4 }))
	armed.Store(true)
	for losses.Load() <= 4 {
		_, _ = w.get(id, liveSSID) // it may be lost, or answered by the next session
	}
	w.over(id)
	d := w.device(id)
	d.mu.RLock()
	defer d.mu.RUnlock()
	if d.batch != 0 || d.mute != 0 {
		t.Errorf("it is asked for %d names at a time now; the last session was lost over %d", d.batch, d.mute)
	}
}

// TestR9_BusyForAMoment: that every CPE of a model refuses a batch once does not make the batches of the model smaller.
func TestR9_BusyForAMoment(t *testing.T) {
	w := newWorld(t, live)
	for i := range 3 {
		var refused atomic.Bool
		_, id := w.boot(func(cfg *cpe.Config) {
			serial(i)(cfg)
			cfg.Faults.Answer = func(req, response cwmp.RPC) cwmp.RPC {
				if g, ok := req.(*cwmp.GetParameterValues); ok && len(g.ParameterNames) > 1 && !refused.Swap(true) {
					return cwmp.NewFault(cwmp.FaultInternalError)
				}
				return response
			}
		})
		detail, _ := w.p.Device(id)
		if !refused.Load() || slices.ContainsFunc(detail.Quirks, func(q string) bool { return strings.Contains(q, "names_per_get") }) {
			t.Errorf("CPE %d: %q", i, detail.Quirks)
		}
	}
}

// TestX18_BooleanValues: a CPE is given the form of Boolean values that it uses itself, or the one that its profile says.
func TestX18_BooleanValues(t *testing.T) {
	digits := func(_, response cwmp.RPC) cwmp.RPC {
		if r, ok := response.(*cwmp.GetParameterValuesResponse); ok {
			for i, p := range r.ParameterList {
				switch {
				case p.Type == "boolean" && p.Value == "true":
					r.ParameterList[i].Value = "1"
				case p.Type == "boolean":
					r.ParameterList[i].Value = "0"
				}
			}
		}
		return response
	}
	for name, c := range map[string]struct {
		profile string
		answer  func(req, response cwmp.RPC) cwmp.RPC
		want    string
	}{
		"words":            {"", nil, "true"},
		"digits":           {"", digits, "1"},
		"told to be words": {"words", digits, "true"},
		"told to be digit": {"digits", nil, "1"},
	} {
		t.Run(name, func(t *testing.T) {
			change := live
			if c.profile != "" {
				change = profiles(t, "- { name: form, match: { oui: 00D09E }, set: { value_booleans: "+c.profile+" } }\n")
			}
			w := newWorld(t, change)
			sim, id := w.odd(c.answer)
			_, err := w.set(id, mappings+"1.", map[string]string{"Enable": "true"})
			w.must(err)
			if p := sim.Calls("SetParameterValues")[0].Request.(*cwmp.SetParameterValues).ParameterList[0]; p.Value != c.want {
				t.Errorf("%s is written as %q, want %q", p.Name, p.Value, c.want)
			}
		})
	}
}

// stubborn is a CPE of its own kind that repeats its Inform; it gives the InformResponse.
func stubborn(t *testing.T, w *world, serial string, retries int) (response []byte, goOn func()) {
	t.Helper()
	in := &cwmp.Inform{DeviceId: cwmp.DeviceID{OUI: "00AA11", ProductClass: "Stubborn", SerialNumber: serial}, Event: []cwmp.EventStruct{{EventCode: cwmp.EventPeriodic}},
		MaxEnvelopes: 1, RetryCount: retries, ParameterList: []cwmp.ParameterValueStruct{{Name: "Device.DeviceInfo.SoftwareVersion", Value: "1", Type: "string"}}}
	body, err := cwmp.Encode(&cwmp.Envelope{ID: fmt.Sprint(retries), Namespace: cwmp.NamespaceV1_0, Body: in})
	w.must(err)
	client := &http.Client{Transport: &http.Transport{}}
	t.Cleanup(client.CloseIdleConnections)
	post := func(body []byte, cookie string) (*http.Response, []byte) {
		t.Helper()
		req, err := http.NewRequestWithContext(w.in(deadline), http.MethodPost, "http://"+w.addr, bytes.NewReader(body))
		w.must(err)
		if cookie != "" {
			req.Header.Set("Cookie", cookie)
		}
		resp, err := client.Do(req)
		w.must(err)
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		w.must(err)
		return resp, b
	}
	resp, b := post(body, "")
	return b, func() { post(nil, resp.Header.Get("Set-Cookie")) }
}

// TestS12_InformResponseDisliked: a CPE that repeats its Inform for ever is given another form of InformResponse, by turns; the form with which
// it goes on is the one for its model from then on.
func TestS12_InformResponseDisliked(t *testing.T) {
	w := newWorld(t, nil)
	declared := func(b []byte) bool { return bytes.HasPrefix(b, []byte("<?xml")) }
	var forms []bool
	var goOn func()
	for retries := 8; len(forms) < 2 || !forms[len(forms)-1]; retries++ {
		if retries > 20 {
			t.Fatal("no other form in", forms)
		}
		var b []byte
		b, goOn = stubborn(t, w, "S1", retries)
		forms = append(forms, declared(b))
	}
	if slices.Contains(forms[:3], true) {
		t.Errorf("another form too early: %v", forms)
	}
	goOn()
	if b, _ := stubborn(t, w, "S2", 0); !declared(b) {
		t.Error("the next CPE of the model is not given the form that was found")
	}
	id, _, err := usp.AgentEndpointID("00AA11", "Stubborn", "S2")
	w.must(err)
	if detail, _ := w.p.Device(id); !slices.Contains(detail.Quirks, "learnt: envelope declared") {
		t.Errorf("shown: %q", detail.Quirks)
	}
	var b []byte // with a CPE of the model that does not take what was learnt it begins anew
	for retries := 10; len(b) == 0 || declared(b); retries++ {
		if retries > 20 {
			t.Fatal("what was learnt stays for good")
		}
		b, goOn = stubborn(t, w, "S3", retries)
	}
	goOn()
	if b, _ := stubborn(t, w, "S4", 0); declared(b) {
		t.Error("what was learnt wrong is not forgotten")
	}
}

// TestOwnProfile: the profile of a single CPE is put together once, and again when something was learnt about its model.
func TestOwnProfile(t *testing.T) {
	var o Options
	profiles(t, "- { name: one, match: { endpoint_id: e }, set: { session_end: \"200\" } }\n")(&o)
	h, c := newHabits(o.Quirks), quirks.CPE{OUI: "00D09E", EndpointID: "e"}
	h.keep(c.Model(), quirks.Learnt{})
	first, _ := h.of(c)
	if again, known := h.of(c); again != first || !known || first.SessionEnd != quirks.End200 {
		t.Errorf("%+v, then %+v", first, again)
	}
	h.keep(c.Model(), quirks.Learnt{NamesPerGet: 8})
	if now, _ := h.of(c); now.NamesPerGet != 8 || now.SessionEnd != quirks.End200 {
		t.Errorf("%+v", now)
	}
	if model, _ := h.of(c.Model()); model.SessionEnd != "" {
		t.Errorf("of the model: %+v", model)
	}
}

// TestS17_RestAfterBoot: a CPE whose profile says so is asked for nothing after its boot, and for a session when that time is over.
func TestS17_RestAfterBoot(t *testing.T) {
	w := newWorld(t, profiles(t, "- { name: slow starter, match: { oui: 00D09E }, set: { rest_after_boot: 10m } }\n"))
	c, id := w.run(nil)
	w.must(c.WaitIdle(w.in(deadline)))
	w.over(id)
	for _, rpc := range []string{"GetRPCMethods", "GetParameterNames", "GetParameterValues"} {
		if n := len(c.Calls(rpc)); n > 0 {
			t.Errorf("%d %s after the boot", n, rpc)
		}
	}
	d := w.device(id)
	if due := w.p.dueSessions(time.Now().Add(9 * time.Minute)); len(due) > 0 {
		t.Error("asked for a session too early")
	}
	if due := w.p.dueSessions(time.Now().Add(11 * time.Minute)); len(due) != 1 || due[0] != d {
		t.Fatalf("due: %v", due)
	}
	d.mu.Lock()
	d.resting = time.Time{} // as if the time were over
	d.mu.Unlock()
	d.ask()
	w.discovered(id)
}

// TestN7_OtherURL: Connection Requests go where a profile says, or to where the CPE's Informs come from.
func TestN7_OtherURL(t *testing.T) {
	for name, set := range map[string]string{"observed": "connection_request_host: observed", "told": `connection_request_url: "%s"`} {
		t.Run(name, func(t *testing.T) {
			plain := newWorld(t, live)
			c, id := plain.boot(nil)
			was := c.ConnectionRequestURL()
			if strings.Contains(set, "%s") {
				set = fmt.Sprintf(set, was)
			}
			table := Options{}
			profiles(t, "- { name: behind a NAT, match: { endpoint_id: \""+string(id)+"\" }, set: { "+set+" } }\n")(&table)
			plain.p.habits = newHabits(table.Quirks)
			_, port, _ := strings.Cut(strings.TrimPrefix(was, "http://"), ":")
			w := plain
			w.must(c.SetValue("Device.ManagementServer.ConnectionRequestURL", "http://192.0.2.9:"+port))
			n := c.Sessions()
			c.Inform(cwmp.EventValueChange)
			w.must(c.WaitSessions(w.in(deadline), n+1))
			w.must(c.WaitIdle(w.in(deadline)))
			if got, _ := w.p.Device(id); !strings.Contains(got.ConnectionRequestURL, "192.0.2.9") {
				t.Fatal("the CPE has told", got.ConnectionRequestURL)
			}
			w.want(id, ssid, c.Value(ssid))
		})
	}
	for address, want := range map[string]string{"http://10.0.0.1:7547/a?b": "http://[2001:db8::1]:7547/a?b", "http://x/": "http://[2001:db8::1]/", "": "", ":": ":"} {
		if got := withHost(address, netip.MustParseAddr("2001:db8::1")); got != want {
			t.Errorf("%q: %q, want %q", address, got, want)
		}
	}
}
