package translate

import (
	"maps"
	"testing"
	"time"

	"isthmus/cwmp"
	"isthmus/cwmp/cpe"
	"isthmus/usp/usppb"
)

func eventOf(object, name string) func(*usppb.Notify) bool {
	return func(n *usppb.Notify) bool {
		return n.GetEvent().GetObjPath() == object && n.GetEvent().GetEventName() == name
	}
}

const (
	monitor  = "Device.DeviceInfo.MemoryStatus.MemoryMonitor."
	rise     = monitor + "CriticalRiseTimeStamp"
	critical = "MemoryCriticalState!"
)

func withMonitor(cfg *cpe.Config) {
	cfg.Tree = cpe.Device2().WithObject(monitor).With(rise, "dateTime", "0001-01-01T00:00:00Z").With(monitor+"MemUtilization", "unsignedInt", "10")
}

// An event that is the change of a parameter comes with its arguments as they are then, by a Subscription to the event alone.
func TestEventOfAParameter(t *testing.T) {
	for _, c := range []struct {
		name   string
		faults cpe.Faults
	}{
		{"reported", cpe.Faults{}},
		{"compared", cpe.Faults{Mute: true, EmptyAnswer: map[string]bool{"SetParameterAttributes": true}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, nil)
			g, id := w.boot(func(cfg *cpe.Config) { withMonitor(cfg); cfg.Faults = c.faults })
			w.subscribe(id, "critical", "Event", monitor+critical, nil)
			if _, err := g.WaitCall(w.in(deadline), "SetParameterAttributes", 1); err != nil {
				t.Fatal(err)
			}
			w.must(g.WaitIdle(w.in(deadline)))
			w.must(g.SetValue(monitor+"MemUtilization", "95"))
			w.must(g.SetValue(rise, "2026-01-01T00:00:00Z"))
			if c.faults.Mute {
				w.device(id).later(time.Hour)
				w.inform(g, cwmp.EventPeriodic)
			}
			n := w.notified(1, eventOf(monitor, critical))
			if got := n.GetEvent().GetParams(); !maps.Equal(got, map[string]string{"MemUtilization": "95"}) {
				t.Errorf("arguments %v", got)
			}
			w.must(g.WaitIdle(w.in(deadline)))
			w.inform(g, cwmp.EventPeriodic)
			if n := w.peer.count(eventOf(monitor, critical)); n != 1 {
				t.Errorf("%d events, want 1", n)
			}
		})
	}
}

// Push! has an argument for each of its rows, counted from 1, and comes of no Status but Trigger.
func TestEventWithRows(t *testing.T) {
	const set = "Device.PeriodicStatistics.SampleSet.1."
	w := newWorld(t, nil)
	c, id := w.boot(func(cfg *cpe.Config) {
		tree := cpe.Device2()
		for _, o := range []string{"Device.PeriodicStatistics.", "Device.PeriodicStatistics.SampleSet.", set, set + "Parameter.", set + "Parameter.3.", set + "Parameter.7."} {
			tree = tree.WithObject(o)
		}
		tree = tree.With(set+"Status", "string", "Enabled")
		for row, ref := range map[string]string{"3.": "Device.A", "7.": "Device.B"} {
			tree = tree.With(set+"Parameter."+row+"Reference", "string", ref).With(set+"Parameter."+row+"Values", "string", "1,2").
				With(set+"Parameter."+row+"SampleSeconds", "string", "60, 61")
		}
		cfg.Tree = tree
	})
	w.subscribe(id, "push", "Event", "Device.PeriodicStatistics.SampleSet.*.Push!", nil)
	w.attribute(c, set+"Status", cwmp.NotificationActive)
	w.must(c.WaitIdle(w.in(deadline)))
	for _, status := range []string{"Disabled", "Trigger"} {
		n := c.Sessions()
		w.must(c.SetValue(set+"Status", status))
		w.must(c.WaitSessions(w.in(deadline), n+1))
	}
	n := w.notified(1, eventOf(set, "Push!"))
	want := map[string]string{"Parameter.1.Reference": "Device.A", "Parameter.1.Values": "1,2", "Parameter.1.SampleSeconds": "61",
		"Parameter.2.Reference": "Device.B", "Parameter.2.Values": "1,2", "Parameter.2.SampleSeconds": "61"}
	if got := n.GetEvent().GetParams(); !maps.Equal(got, want) {
		t.Errorf("arguments %v", got)
	}
	if n := w.peer.count(eventOf(set, "Push!")); n != 1 {
		t.Errorf("%d events, want 1", n)
	}
}

// The process ends between the Inform and the session: the event comes all the same.
func TestEventSurvivesRestart(t *testing.T) {
	w := newWorld(t, nil)
	c, id := w.boot(withMonitor)
	w.subscribe(id, "critical", "Event", monitor+critical, map[string]string{"Persistent": "true"})
	w.attribute(c, rise, cwmp.NotificationActive)
	w.must(c.WaitIdle(w.in(deadline)))
	c.SetFaults(cpe.Faults{CloseOn: "GetParameterValues"})
	n := c.Sessions()
	w.must(c.SetValue(rise, "2026-01-01T00:00:00Z"))
	w.must(c.WaitSessions(w.in(deadline), n+1))
	w.stop()
	w.start()
	w.inform(c, cwmp.EventPeriodic)
	w.notified(1, eventOf(monitor, critical))
	d := w.device(id)
	d.mu.RLock()
	defer d.mu.RUnlock()
	if len(d.head.Fired) > 0 {
		t.Errorf("%q", d.head.Fired)
	}
}

// A Subscription to an event that the CPE has no part in does not have it called.
func TestEventOfTheAgentAlone(t *testing.T) {
	w := newWorld(t, nil)
	c, id := w.boot(nil)
	n := c.Sessions()
	w.subscribe(id, "boot", "Event", "Device.Boot!", nil)
	w.subscribe(id, "all", "Event", "Device.NAT.", nil)
	w.want(id, "Device.LocalAgent.SubscriptionNumberOfEntries", "2")
	d := w.device(id)
	d.mu.RLock()
	defer d.mu.RUnlock()
	if d.adopting || c.Sessions() != n {
		t.Error("the CPE was asked for a session")
	}
}
