package translate

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"isthmus/cwmp"
	"isthmus/cwmp/cpe"
	"isthmus/usp"
	"isthmus/usp/agent"
)

// turn is an Inform of one of several CPE.
type turn struct {
	cpe      byte // 'A', 'B', …
	events   string
	after    time.Duration
	outsider bool
}

func TestJudge(t *testing.T) {
	const periodic, value, boot = cwmp.EventPeriodic, cwmp.EventValueChange, cwmp.EventBoot
	for name, turns := range map[string][]turn{
		"two, the second of which boots": {{'A', periodic, 0, false}, {'B', boot, 1, false}, {'A', periodic, 1, false}, {'B', periodic, 1, false},
			{'A', periodic, 1, false}, {'B', periodic, 1, true}, {'B', value, 1, true}, {'A', periodic, 1, false}},
		"two, told by the second": {{'A', periodic, 0, false}, {'B', periodic, 1, false}, {'A', periodic, 1, false}, {'B', periodic, 1, false},
			{'A', periodic, 1, false}, {'B', periodic, 1, true}},
		"three": {{'A', periodic, 0, false}, {'B', boot, 1, false}, {'A', periodic, 1, false}, {'B', periodic, 1, false}, {'A', periodic, 1, false},
			{'B', periodic, 1, true}, {'C', periodic, 1, false}, {'A', periodic, 1, false}, {'C', periodic, 1, false}, {'A', periodic, 1, false}, {'C', periodic, 1, true}},
		"one whose address changes": {{'A', periodic, 0, false}, {'B', value, 1, false}, {'A', value, 1, false}, {'B', value, 1, false}, {'A', value, 1, false},
			{'B', value, 1, false}, {'A', value, 1, false}, {'B', value, 1, false}},
		"one whose address changes in silence, now and then": {{'A', periodic, 0, false}, {'B', periodic, 1, false}, {'A', periodic, 13, false},
			{'B', periodic, 13, false}, {'A', periodic, 13, false}, {'B', periodic, 13, false}, {'A', periodic, 13, false}, {'B', periodic, 13, false}},
		"one whose address is another each time": {{'A', periodic, 0, false}, {'B', periodic, 1, false}, {'C', periodic, 1, false}, {'D', periodic, 1, false},
			{'A', periodic, 1, false}, {'B', periodic, 1, false}, {'C', periodic, 1, false}},
		"the first one goes": {{'A', periodic, 0, false}, {'B', boot, 1, false}, {'A', periodic, 1, false}, {'B', periodic, 1, false}, {'A', periodic, 1, false},
			{'B', periodic, 1, true}, {'B', periodic, 20, true}, {'B', periodic, 4, false}, {'B', periodic, 1, false}},
		"the second one goes": {{'A', periodic, 0, false}, {'B', boot, 1, false}, {'A', periodic, 1, false}, {'B', periodic, 1, false}, {'A', periodic, 1, false},
			{'A', periodic, 20, false}, {'A', periodic, 10, false}, {'B', periodic, 1, false}},
	} {
		t.Run(name, func(t *testing.T) {
			d, now := bareDevice(nil, newAwake()), time.Now()
			for i, turn := range turns {
				now = now.Add(turn.after * time.Hour)
				url := "http://" + string(turn.cpe) + "/"
				in := &cwmp.Inform{Event: []cwmp.EventStruct{{EventCode: turn.events}},
					ParameterList: []cwmp.ParameterValueStruct{{Name: "Device.ManagementServer.ConnectionRequestURL", Value: url}}}
				outsider := d.judged(&cwmp.Session{Inform: in}, now)
				if outsider != turn.outsider {
					t.Fatalf("turn %d: %v", i, outsider)
				}
				if !outsider {
					d.head.URL, d.inform.at = url, now // as begin does
				}
			}
		})
	}
}

// Two live CPE under one DeviceId: the one that came second is kept out, visibly, and neither is written to.
func TestContestedDevice(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.MaxAge = 0 })
	first, id := w.boot(nil)
	second, _ := w.boot(nil)
	inform := func(c *cpe.CPE, n int) {
		t.Helper()
		c.Inform(cwmp.EventPeriodic)
		w.must(c.WaitSessions(w.in(deadline), n))
		w.must(c.WaitIdle(w.in(deadline)))
	}
	for i := range 2 {
		inform(first, first.Sessions()+1)
		if i == 0 {
			inform(second, second.Sessions()+1)
		}
	}
	q := w.p.Devices("", Filter{}, 1)[0].Quarantine
	for _, want := range []string{"another CPE informs under this DeviceId", second.Value("Device.ManagementServer.ConnectionRequestURL")} {
		if !strings.Contains(q, want) {
			t.Errorf("%q does not say %q", q, want)
		}
	}
	// What waits for a session is not for the second: a job, and what the CPE is to notify.
	d := w.device(id)
	waiting := &job{ctx: w.ctx, done: make(chan struct{}), talk: func(ctx context.Context, c cwmp.Caller) error {
		_, err := cwmp.Call(ctx, c, &cwmp.GetParameterValues{ParameterNames: []string{"Device.DeviceInfo.SoftwareVersion"}})
		return err
	}}
	d.mu.Lock()
	d.queue, d.attributes, d.interest.ValueChange = append(d.queue, waiting), true, []string{"Device.WiFi.SSID.1.SSID"}
	w.p.m.queued.Inc()
	d.mu.Unlock()
	rpcs := len(second.Calls(""))
	w.must(second.SetValue("Device.DeviceInfo.SoftwareVersion", "9.9"))
	inform(second, second.Sessions()+1)
	if n := len(second.Calls("")); n != rpcs {
		t.Errorf("the second was asked %d times more", n-rpcs)
	}
	inform(first, first.Sessions()+1)
	select {
	case <-waiting.done:
		w.must(waiting.err)
	default:
		t.Error("the first was not asked")
	}
	for name, err := range map[string]error{
		"RPC":    d.do(w.ctx, &job{talk: func(ctx context.Context, c cwmp.Caller) error { return errorOf(c.Call(ctx, &cwmp.Reboot{})) }}),
		"Set":    errorOf(w.device(id).Set(w.ctx, []agent.Write{{Path: "Device.WiFi.SSID.1.SSID", Value: "mine"}})),
		"Add":    w.device(id).Add(w.ctx, []agent.Creation{{Table: "Device.NAT.PortMapping."}}, true)[0].Err,
		"Delete": w.device(id).Delete(w.ctx, []string{"Device.NAT.PortMapping.1."})[0],
		"Reboot": errorOf(w.device(id).Operate(w.ctx, &agent.Invocation{Command: "Device.Reboot()"})),
	} {
		if e := (*usp.Error)(nil); !errors.As(err, &e) || e.Code != usp.RequestDenied || e.Msg != q {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, c := range []*cpe.CPE{first, second} {
		for _, call := range c.Calls("") {
			if changes(call.Request) {
				t.Errorf("%s was sent", call.Request.Name())
			}
		}
	}
	// The first is still read, and remembered after a restart.
	w.must(first.SetValue("Device.WiFi.SSID.1.SSID", "the first's"))
	if got, err := w.get(id, "Device.WiFi.SSID.1.SSID"); err != nil || got["Device.WiFi.SSID.1.SSID"] != "the first's" {
		t.Errorf("read %q: %v", got, err)
	}
	w.stop()
	w.start()
	if got := w.p.Devices("", Filter{}, 1)[0].Quarantine; got != q {
		t.Errorf("after a restart: %q", got)
	}
	reg := prometheus.NewRegistry()
	reg.MustRegister(w.p.m.contested)
	if f, err := reg.Gather(); err != nil || f[0].GetMetric()[0].GetGauge().GetValue() != 1 {
		t.Errorf("after a restart: %v, %v", f, err)
	}
}

func errorOf[T any](_ T, err error) error { return err }
