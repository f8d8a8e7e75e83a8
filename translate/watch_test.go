package translate

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"isthmus/cwmp"
	"isthmus/cwmp/cpe"
	"isthmus/usp"
	"isthmus/usp/usppb"
)

const (
	ssid2      = "Device.WiFi.SSID.2.SSID"
	upTimePath = "Device.DeviceInfo.UpTime"
	memory     = "Device.DeviceInfo.MemoryStatus.Free"
	ssids      = "Device.WiFi.SSID."
	ssidAll    = "Device.WiFi.SSID.*.SSID"
)

// attributes are the notification attributes that a CPE was told, the last of each parameter.
func attributes(c *cpe.CPE) map[string]int {
	out := map[string]int{}
	for _, call := range c.Calls("SetParameterAttributes") {
		if _, refused := call.Response.(*cwmp.Fault); refused {
			continue
		}
		for _, p := range call.Request.(*cwmp.SetParameterAttributes).ParameterList {
			out[p.Name] = p.Notification
		}
	}
	return out
}

// attribute waits until a CPE was told an attribute of a parameter.
func (w *world) attribute(c *cpe.CPE, path string, value int) {
	w.t.Helper()
	for n := 1; ; n++ {
		if v, ok := attributes(c)[path]; ok && v == value {
			return
		}
		if _, err := c.WaitCall(w.in(deadline), "SetParameterAttributes", n); err != nil {
			w.t.Fatalf("%s was not told to be %d: %v", path, value, attributes(c))
		}
	}
}

// unsubscribe deletes a Subscription by its ID.
func (w *world) unsubscribe(id usp.EndpointID, name string) {
	w.t.Helper()
	_, err := w.delete(id, fmt.Sprintf(`Device.LocalAgent.Subscription.[ID=="%s"].`, name))
	w.must(err)
}

// inform has a CPE inform, and waits until the session is over.
func (w *world) inform(c *cpe.CPE, events ...string) {
	w.t.Helper()
	n := c.Sessions()
	c.Inform(events...)
	w.must(c.WaitSessions(w.in(deadline), n+1))
	w.must(c.WaitIdle(w.in(deadline)))
}

// later makes the last comparison one of long ago.
func (d *Device) later(by time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	x := d.watch
	for _, t := range []*time.Time{&x.compared, &x.verified, &x.tabled, &x.suspected} {
		if !t.IsZero() {
			*t = t.Add(-by)
		}
	}
	for path, q := range x.quiet {
		q.at = q.at.Add(-by)
		x.quiet[path] = q
	}
}

func valueOf(path, value string) func(*usppb.Notify) bool {
	return func(n *usppb.Notify) bool { return changeOf(path)(n) && n.GetValueChange().GetParamValue() == value }
}

// A parameter is reported as long as one Subscription asks for it, and no longer.
func TestAttributesAreCounted(t *testing.T) {
	w := newWorld(t, nil)
	c, id := w.boot(nil)
	w.subscribe(id, "one", "ValueChange", ssid, nil)
	w.attribute(c, ssid, cwmp.NotificationActive)
	w.subscribe(id, "two", "ValueChange", ssid+","+ssid2, nil)
	w.attribute(c, ssid2, cwmp.NotificationActive)
	w.unsubscribe(id, "one")
	w.subscribe(id, "three", "ValueChange", "Device.WiFi.SSID.1.Enable", nil)
	w.attribute(c, "Device.WiFi.SSID.1.Enable", cwmp.NotificationActive)
	if got := attributes(c)[ssid]; got != cwmp.NotificationActive {
		t.Errorf("%s is %d while a Subscription is left", ssid, got)
	}
	w.unsubscribe(id, "two")
	w.attribute(c, ssid, cwmp.NotificationOff)
	w.attribute(c, ssid2, cwmp.NotificationOff)
	if _, err := w.st.Get(w.ctx, w.device(id).key('a', "")); err != nil {
		t.Error(err)
	}
	w.unsubscribe(id, "three")
	w.attribute(c, "Device.WiFi.SSID.1.Enable", cwmp.NotificationOff)
}

// What the CPE could not be told in time it is told in its next session, whatever has become of the process meanwhile.
func TestAttributesAreDurable(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.ConnectionRequest.Timeout = 200 * time.Millisecond })
	c, id := w.boot(nil)
	w.subscribe(id, "one", "ValueChange", ssid, map[string]string{"Persistent": "true"})
	w.attribute(c, ssid, cwmp.NotificationActive)
	w.must(c.WaitIdle(w.in(deadline)))
	c.SetFaults(cpe.Faults{ConnReq: cpe.ConnReqDrop})
	w.unsubscribe(id, "one")
	w.stop()
	w.start()
	w.inform(c, cwmp.EventPeriodic)
	if got := attributes(c)[ssid]; got != cwmp.NotificationOff {
		t.Errorf("%s is %d after its last Subscription", ssid, got)
	}
	if n := len(c.Calls("SetParameterAttributes")); n != 2 {
		t.Errorf("%d SetParameterAttributes, want 2", n)
	}
}

// A CPE that was reset has forgotten what to report (TR-069 3.7.1.5, 0 BOOTSTRAP).
func TestAttributesAfterBootstrap(t *testing.T) {
	w := newWorld(t, nil)
	c, id := w.boot(nil)
	w.subscribe(id, "one", "ValueChange", ssid, map[string]string{"Persistent": "true"})
	w.attribute(c, ssid, cwmp.NotificationActive)
	w.must(c.WaitIdle(w.in(deadline)))
	w.inform(c, cwmp.EventBootstrap, cwmp.EventBoot)
	if n := len(c.Calls("SetParameterAttributes")); n != 2 {
		t.Errorf("%d SetParameterAttributes, want 2", n)
	}
}

// Below an object, what can be written and what tells a state is reported by the CPE, the rest is compared, counters and clocks are not told.
func TestObjectSubscription(t *testing.T) {
	w := newWorld(t, nil)
	c, id := w.boot(nil)
	w.subscribe(id, "all", "ValueChange", "Device.WiFi., Device.DeviceInfo.", nil)
	w.attribute(c, ssid, cwmp.NotificationActive)
	w.must(c.WaitIdle(w.in(deadline)))
	told := attributes(c)
	for path, active := range map[string]bool{ssid: true, "Device.WiFi.SSID.1.Status": true, "Device.WiFi.SSID.1.BSSID": false,
		"Device.WiFi.SSID.1.Stats.BytesSent": false, upTimePath: false, memory: false} {
		if _, ok := told[path]; ok != active {
			t.Errorf("%s active: %v, want %v", path, ok, active)
		}
	}
	w.must(c.SetValue("Device.WiFi.SSID.1.BSSID", "00:D0:9E:00:00:99"))
	w.must(c.SetValue("Device.WiFi.SSID.1.Stats.BytesSent", "99"))
	w.device(id).later(time.Hour)
	w.inform(c, cwmp.EventPeriodic)
	w.notified(1, valueOf("Device.WiFi.SSID.1.BSSID", "00:D0:9E:00:00:99"))
	if _, err := w.get(id, "Device.WiFi.SSID.1.Stats."); err != nil {
		t.Fatal(err)
	}
	if n := w.peer.count(func(n *usppb.Notify) bool {
		p := n.GetValueChange().GetParamPath()
		return strings.Contains(p, "Stats.") || p == upTimePath
	}); n > 0 {
		t.Errorf("%d notifications of counters and clocks", n)
	}
}

// A counter that a Subscription names is told once in the interval of the poll, with its last value at the end.
func TestCountersDoNotStorm(t *testing.T) {
	const sent = "Device.WiFi.SSID.1.Stats.BytesSent"
	w := newWorld(t, func(o *Options) { o.MaxAge = 0 })
	c, id := w.boot(nil)
	w.subscribe(id, "sent", "ValueChange", sent, nil)
	w.must(c.WaitIdle(w.in(deadline)))
	for i := range 5 {
		w.must(c.SetValue(sent, fmt.Sprint(i)))
		w.inform(c, cwmp.EventPeriodic)
		_, err := w.get(id, sent)
		w.must(err)
	}
	w.notified(1, changeOf(sent))
	if n := w.peer.count(changeOf(sent)); n != 1 {
		t.Errorf("%d notifications of a counter, want 1", n)
	}
	if _, ok := attributes(c)[sent]; ok {
		t.Error("a counter was made active")
	}
	w.device(id).later(time.Hour)
	w.inform(c, cwmp.EventPeriodic)
	w.notified(1, valueOf(sent, "4"))
}

// A CPE that refuses active notification of some parameters reports the others; these are compared when it informs.
func TestAttributesRefused(t *testing.T) {
	for _, c := range []struct {
		name   string
		faults cpe.Faults
		told   bool // the parameters that it does not refuse
	}{
		{"9009", cpe.Faults{NotifyFault: map[string]cwmp.FaultCode{ssid: cwmp.FaultNotificationRejected}}, true},
		{"silence", cpe.Faults{EmptyAnswer: map[string]bool{"SetParameterAttributes": true}}, false},
		{"9000", cpe.Faults{RPCFault: map[string]cwmp.FaultCode{"SetParameterAttributes": cwmp.FaultMethodNotSupported}}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, nil)
			g, id := w.boot(func(cfg *cpe.Config) { cfg.Faults = c.faults; cfg.Faults.Mute = !c.told })
			var refs []string
			for _, p := range []string{"SSID", "Enable", "Alias", "LowerLayers"} {
				refs = append(refs, "Device.WiFi.SSID.1."+p, "Device.WiFi.SSID.2."+p)
			}
			w.subscribe(id, "all", "ValueChange", strings.Join(refs, ","), nil)
			if _, err := g.WaitCall(w.in(deadline), "SetParameterAttributes", 1); err != nil {
				t.Fatal(err)
			}
			w.must(g.WaitIdle(w.in(deadline)))
			told := slices.Sorted(maps.Keys(attributes(g)))
			if c.name == "9009" && (len(told) != len(refs)-1 || slices.Contains(told, ssid)) {
				t.Errorf("told: %q", told)
			}
			calls := len(g.Calls("SetParameterAttributes"))
			w.must(g.SetValue(ssid, "by hand"))
			w.device(id).later(time.Hour)
			w.inform(g, cwmp.EventPeriodic)
			w.notified(1, valueOf(ssid, "by hand"))
			if n := len(g.Calls("SetParameterAttributes")); n != calls {
				t.Errorf("asked again: %d RPCs, then %d", calls, n)
			}
			if c.told {
				w.must(g.SetValue(ssid2, "by hand"))
				w.notified(1, valueOf(ssid2, "by hand"))
			}
		})
	}
}

// TestR23_SilentCPE: it takes the attributes and reports nothing. Its changes are found by comparing, and once that is clear it is polled.
func TestR23_SilentCPE(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.PollInterval = 200 * time.Millisecond })
	c, id := w.boot(func(cfg *cpe.Config) { cfg.Faults.Mute = true })
	w.subscribe(id, "ssid", "ValueChange", ssid, nil)
	w.attribute(c, ssid, cwmp.NotificationActive)
	w.must(c.WaitIdle(w.in(deadline)))
	d := w.device(id)
	w.must(c.SetValue(ssid, "one"))
	d.later(compareGap)
	w.inform(c, cwmp.EventPeriodic)
	w.notified(1, valueOf(ssid, "one"))
	d.later(patience)
	w.inform(c, cwmp.EventPeriodic)
	if n := len(c.Calls("SetParameterAttributes")); n != 2 {
		t.Errorf("%d SetParameterAttributes: it is to be told once more", n)
	}
	w.must(c.SetValue(ssid, "two"))
	w.notified(1, valueOf(ssid, "two")) // by the poll: it does not inform
	w.stop()
	w.start()
	w.must(c.SetValue(ssid, "three"))
	w.notified(1, valueOf(ssid, "three")) // so does the next process
	c.SetFaults(cpe.Faults{})
	w.must(c.SetValue(ssid, "four"))
	w.notified(1, valueOf(ssid, "four"))
	for {
		d = w.device(id)
		d.mu.RLock()
		proven := d.watch.proven
		d.mu.RUnlock()
		if proven {
			break
		}
		w.must(c.WaitSessions(w.in(deadline), c.Sessions()+1))
	}
}

// What changes while a CPE is down or boots it has forgotten to report.
func TestChangeOverBoot(t *testing.T) {
	w := newWorld(t, nil)
	c, id := w.boot(nil)
	w.subscribe(id, "ssid", "ValueChange", ssid, map[string]string{"Persistent": "true"})
	w.attribute(c, ssid, cwmp.NotificationActive)
	w.must(c.WaitIdle(w.in(deadline)))
	c.SetFaults(cpe.Faults{Mute: true})
	w.must(c.SetValue(ssid, "while it was down"))
	c.SetFaults(cpe.Faults{})
	w.inform(c, cwmp.EventBoot)
	w.notified(1, valueOf(ssid, "while it was down"))
}

// Wildcards follow new rows, whoever made them; what the CPE reports of a row that is gone is not asked for any more.
func TestWildcardFollowsRows(t *testing.T) {
	w := newWorld(t, nil)
	c, id := w.boot(nil)
	w.subscribe(id, "any", "ValueChange", ssidAll, nil)
	w.attribute(c, ssid2, cwmp.NotificationActive)
	row, err := w.add(id, ssids, map[string]string{"SSID": "new"})
	w.must(err)
	path := row.GetInstantiatedPath() + "SSID"
	w.attribute(c, path, cwmp.NotificationActive)
	w.must(c.WaitIdle(w.in(deadline)))
	w.must(c.SetValue(path, "by hand"))
	w.notified(1, valueOf(path, "by hand"))
	_, err = w.delete(id, row.GetInstantiatedPath())
	w.must(err)
	w.must(c.WaitIdle(w.in(deadline)))
	n, err := c.AddRow(ssids)
	w.must(err)
	w.attribute(c, fmt.Sprintf("%s%d.SSID", ssids, n), cwmp.NotificationActive)
	w.must(c.WaitIdle(w.in(deadline)))
	w.unsubscribe(id, "any")
	w.attribute(c, ssid, cwmp.NotificationOff)
	if got := attributes(c)[path]; got != cwmp.NotificationActive {
		t.Errorf("the attribute of a row that is gone was set to %d", got)
	}
}

// A change that was found is told even if the session is lost before the comparison is over: nobody would find it again.
func TestChangeFoundBeforeTheSessionIsLost(t *testing.T) {
	w := newWorld(t, nil)
	faults := cpe.Faults{Mute: true, EmptyAnswer: map[string]bool{"SetParameterAttributes": true}}
	c, id := w.boot(func(cfg *cpe.Config) { cfg.Faults = faults })
	w.subscribe(id, "ssid", "ValueChange", ssid, nil)
	w.subscribe(id, "rows", "ObjectCreation", mappings, nil)
	if _, err := c.WaitCall(w.in(deadline), "SetParameterAttributes", 1); err != nil {
		t.Fatal(err)
	}
	w.must(c.WaitIdle(w.in(deadline)))
	w.must(c.SetValue(ssid, "by hand"))
	faults.CloseOn = "GetParameterNames"
	c.SetFaults(faults)
	w.device(id).later(time.Hour)
	c.Inform(cwmp.EventPeriodic)
	w.notified(1, valueOf(ssid, "by hand"))
}

// The same of what is found while a CPE that was reset is read anew, wherever that session is lost.
func TestChangeFoundBeforeDiscoveryIsLost(t *testing.T) {
	const first, last = 1, 8 // POSTs: the Inform, none, the answers to GetParameterNames, GetParameterValues and what follows
	for post := first; post <= last; post++ {
		t.Run(fmt.Sprint(post), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			c, id := w.boot(nil)
			durable := map[string]string{"Persistent": "true", "NotifRetry": "true"}
			w.subscribe(id, "ssid", "ValueChange", ssid, durable)
			w.subscribe(id, "rows", "ObjectCreation", mappings, durable)
			w.attribute(c, ssid, cwmp.NotificationActive)
			w.must(c.WaitIdle(w.in(deadline)))
			w.over(id)
			c.SetFaults(cpe.Faults{Mute: true, CloseAfterPost: post})
			w.must(c.SetValue(ssid, "by hand"))
			_, err := c.AddRow(mappings)
			w.must(err)
			n := c.Sessions()
			c.Inform(cwmp.EventBootstrap)
			w.must(c.WaitSessions(w.in(deadline), n+2))
			w.must(c.WaitIdle(w.in(deadline)))
			w.over(id)
			w.notified(1, valueOf(ssid, "by hand"))
			w.notified(1, creationOf(mappings+"2."))
			if n := len(c.Calls("SetParameterAttributes")); n < 2 {
				t.Error("the CPE was not told again what to report")
			}
			if n := w.peer.count(func(n *usppb.Notify) bool { return changeOf(ssid)(n) || rowNotes(n) }); n != 2 {
				t.Errorf("%d notifications, want 2: %s", n, w.peer.log())
			}
		})
	}
}
