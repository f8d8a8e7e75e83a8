package translate

import (
	"fmt"
	"maps"
	"testing"
	"time"

	"isthmus/cwmp"
	"isthmus/cwmp/cpe"
	"isthmus/usp"
	"isthmus/usp/usppb"
)

const elements = "Device.WiFi.DataElements."

// rowEvents are the events that are new rows, with the objects that they are of.
var rowEvents = map[string]string{"Associated!": "AssociationEvent", "Disassociated!": "DisassociationEvent", "FailedConnection!": "FailedConnectionEvent"}

// eventTable is the table of an event.
func eventTable(object string) string { return elements + object + "." + object + "Data." }

// countedAt waits until a CPE has been told to report the number of rows of an event's table.
func (w *world) countedAt(c *cpe.CPE, id usp.EndpointID, object string) {
	w.t.Helper()
	w.attribute(c, countOf(eventTable(object)), cwmp.NotificationActive)
	w.must(c.WaitIdle(w.in(deadline)))
	w.over(id)
}

// A new row is its event, with the row's parameters for arguments, whether the CPE reports their number or not.
func TestEventOfANewRow(t *testing.T) {
	for name, object := range rowEvents {
		for how, faults := range map[string]cpe.Faults{"reported": {}, "compared": {Mute: true, EmptyAnswer: map[string]bool{"SetParameterAttributes": true}}} {
			t.Run(name+" "+how, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, nil)
				c, id := w.boot(func(cfg *cpe.Config) { cfg.Faults = faults })
				if !w.listed(id, elements+object+"."+name) {
					t.Error("not in the supported data model")
				}
				_, err := c.AddRow(eventTable(object)) // from before anybody asked
				w.must(err)
				w.subscribe(id, "event", "Event", elements+object+"."+name, nil)
				if _, err := c.WaitCall(w.in(deadline), "SetParameterAttributes", 1); err != nil {
					t.Fatal(err)
				}
				w.must(c.WaitIdle(w.in(deadline)))
				w.over(id)
				w.device(id).later(time.Hour)
				w.inform(c, cwmp.EventPeriodic)
				w.over(id)
				n := w.peer.count(eventOf(elements+object+".", name))
				_, err = c.AddRowOf(eventTable(object), map[string]string{"MACAddress": "00:D0:9E:00:00:07", "TimeStamp": "2026-11-23T08:00:00Z"})
				w.must(err)
				if faults.Mute {
					w.device(id).later(time.Hour)
					w.inform(c, cwmp.EventPeriodic)
				}
				got := w.notified(n+1, eventOf(elements+object+".", name)).GetEvent().GetParams()
				want := map[string]string{"MACAddress": "00:D0:9E:00:00:07", "TimeStamp": "2026-11-23T08:00:00Z", "BSSID": ""}
				maps.Copy(want, map[string]map[string]string{
					"AssociationEvent":      {"StatusCode": "0", "WiFi6Capabilities.HE160": "false"},
					"DisassociationEvent":   {"ReasonCode": "0", "BytesSent": "0"},
					"FailedConnectionEvent": {"StatusCode": "0", "ReasonCode": "0"},
				}[object])
				if !maps.Equal(got, want) {
					t.Errorf("arguments %v, want %v", got, want)
				}
				w.inform(c, cwmp.EventPeriodic)
				w.inform(c, cwmp.EventBoot)
				if again := w.peer.count(eventOf(elements+object+".", name)); again != n+1 {
					t.Errorf("%d events more", again-n-1)
				}
			})
		}
	}
}

// The session is lost before the arguments are read, and the process ends: the event comes all the same, once.
func TestEventOfANewRowSurvivesRestart(t *testing.T) {
	const object, name = "AssociationEvent", "Associated!"
	w := newWorld(t, nil)
	c, id := w.boot(nil)
	w.subscribe(id, "event", "Event", elements, map[string]string{"Persistent": "true", "NotifRetry": "true"})
	w.countedAt(c, id, object)
	c.SetFaults(cpe.Faults{CloseOn: "GetParameterValues"})
	n := c.Sessions()
	_, err := c.AddRowOf(eventTable(object), map[string]string{"MACAddress": "00:D0:9E:00:00:07"})
	w.must(err)
	w.must(c.WaitSessions(w.in(deadline), n+1))
	w.restart(func(*Options) {})
	w.inform(c, cwmp.EventPeriodic)
	w.inform(c, cwmp.EventPeriodic)
	got := w.notified(1, eventOf(elements+object+".", name)).GetEvent().GetParams()
	if got["MACAddress"] != "00:D0:9E:00:00:07" {
		t.Errorf("arguments %v", got)
	}
	if n := w.peer.count(eventOf(elements+object+".", name)); n != 1 {
		t.Errorf("%d events, want 1", n)
	}
}

// More rows at once than are told: the rest is counted.
func TestTooManyEventsAtOnce(t *testing.T) {
	const object, name, more = "AssociationEvent", "Associated!", 5
	w := newWorld(t, nil)
	c, id := w.boot(func(cfg *cpe.Config) { cfg.Faults.Mute = true })
	w.subscribe(id, "event", "Event", elements+object+"."+name, map[string]string{"NotifRetry": "true"})
	w.countedAt(c, id, object)
	for i := range maxFired + more {
		_, err := c.AddRowOf(eventTable(object), map[string]string{"MACAddress": fmt.Sprintf("00:D0:9E:00:00:%02X", i)})
		w.must(err)
	}
	w.device(id).later(time.Hour)
	w.inform(c, cwmp.EventPeriodic)
	last := w.notified(maxFired, func(n *usppb.Notify) bool { return n.GetEvent() != nil }).GetEvent().GetParams()["MACAddress"]
	if want := fmt.Sprintf("00:D0:9E:00:00:%02X", maxFired-1); last != want {
		t.Errorf("the last one is %s, want %s", last, want)
	}
	w.over(id)
	if n := w.peer.count(func(n *usppb.Notify) bool { return n.GetEvent() != nil }); n != maxFired {
		t.Errorf("%d events", n)
	}
	w.count(w.p.m.lostEvents, more)
}

// ForceCollection() reads what a set has sampled and tells it with Push!.
func TestForceCollection(t *testing.T) {
	const set = "Device.PeriodicStatistics.SampleSet.1."
	boot := func(t *testing.T) (*world, *cpe.CPE, usp.EndpointID) {
		w := newWorld(t, func(o *Options) { o.Agents.RequestTimeout = time.Second })
		c, id := w.boot(func(cfg *cpe.Config) {
			cfg.Tree = cpe.Device2().WithObject(set+"Parameter.4.").With(set+"Status", "string", "Enabled").
				With(set+"Parameter.4.Reference", "string", "Device.A").With(set+"Parameter.4.Values", "string", "1,2")
		})
		w.subscribe(id, "push", "Event", set+"Push!", nil)
		w.attribute(c, set+"Status", cwmp.NotificationActive)
		w.must(c.WaitIdle(w.in(deadline)))
		w.over(id)
		return w, c, id
	}
	t.Run("plain", func(t *testing.T) {
		w, c, id := boot(t)
		w.must(c.SetValue(set+"Parameter.4.Values", "3,4"))
		if r := w.operate(id, set+"ForceCollection()", ""); r.GetReqOutputArgs() == nil {
			t.Errorf("%v", r)
		}
		want := map[string]string{"Parameter.1.Reference": "Device.A", "Parameter.1.Values": "3,4"}
		if got := w.notified(1, eventOf(set, "Push!")).GetEvent().GetParams(); !maps.Equal(got, want) {
			t.Errorf("arguments %v", got)
		}
	})
	t.Run("no session", func(t *testing.T) {
		w, c, id := boot(t)
		c.SetFaults(cpe.Faults{ConnReq: cpe.ConnReqDrop})
		if f := w.operate(id, set+"ForceCollection()", "").GetCmdFailure(); f.GetErrCode() != uint32(usp.Unreachable) {
			t.Errorf("%v", f)
		}
	})
}
