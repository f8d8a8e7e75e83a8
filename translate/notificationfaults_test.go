package translate

import (
	"fmt"
	"testing"
	"time"

	"isthmus/cwmp"
	"isthmus/cwmp/cpe"
	"isthmus/store"
	"isthmus/usp"
	"isthmus/usp/usppb"
)

// The matrix of what a Controller is told unasked, and of what may happen on the way. A kind is a row of notificationRows, a fault one of
// notificationFaults; TestNotificationFaults runs every pair. Proven elsewhere:
//
//	OperationComplete, TransferComplete!, DUStateChange!   TestOperationFaults
//	Boot!                            TestRepeatedBootIsRaisedOnce, TestS9_Boots
//	WakeUp!                          TestWakeUp
//	events that are new rows         TestEventOfANewRowSurvivesRestart, TestControllerAwayFromTriggersAndEvents
//	OnBoardRequest, Periodic!        TestOnBoardRequest, usp/agent TestTP469_1_60_OnBoard, TestTP469_1_59_Periodic
//	the session of a comparison      TestChangeFoundBeforeTheSessionIsLost, TestChangeFoundBeforeDiscoveryIsLost

// notificationRow is a kind of notification, and who makes what it tells.
type notificationRow struct {
	name   string
	faults cpe.Faults // that the CPE has anyway
	tell   func(w *world, c *cpe.CPE, id usp.EndpointID)
	rpc    string // of an own write; "": the CPE makes the change
	ok     func(*usppb.Notify) bool
}

// hushed are the faults of a CPE that keeps its changes to itself.
var hushed = cpe.Faults{Mute: true}

// compared has the CPE inform when a comparison is due.
func (w *world) compared(c *cpe.CPE, id usp.EndpointID) {
	w.device(id).later(time.Hour)
	c.Inform(cwmp.EventPeriodic)
}

var notificationRows = []notificationRow{
	{name: "ValueChange by the CPE", ok: valueOf(ssid, "new"),
		tell: func(w *world, c *cpe.CPE, _ usp.EndpointID) { w.must(c.SetValue(ssid, "new")) }},
	{name: "ValueChange by comparing", ok: valueOf(ssid, "new"), faults: hushed,
		tell: func(w *world, c *cpe.CPE, id usp.EndpointID) { w.must(c.SetValue(ssid, "new")); w.compared(c, id) }},
	{name: "ValueChange by a Controller", ok: valueOf(ssid, "new"), rpc: "SetParameterValues",
		tell: func(w *world, _ *cpe.CPE, id usp.EndpointID) {
			_, _ = w.set(id, "Device.WiFi.SSID.1.", map[string]string{"SSID": "new"}) // which a kill fails
		}},
	{name: "ObjectCreation by the CPE", ok: creationOf(mappings + "2."),
		tell: func(w *world, c *cpe.CPE, _ usp.EndpointID) { _, err := c.AddRow(mappings); w.must(err) }},
	{name: "ObjectCreation by comparing", ok: creationOf(mappings + "2."), faults: hushed,
		tell: func(w *world, c *cpe.CPE, id usp.EndpointID) {
			_, err := c.AddRow(mappings)
			w.must(err)
			w.compared(c, id)
		}},
	{name: "ObjectDeletion by the CPE", ok: deletionOf(mappings + "1."),
		tell: func(w *world, c *cpe.CPE, _ usp.EndpointID) { w.must(c.RemoveRow(mappings + "1.")) }},
	{name: "ObjectDeletion by a Controller", ok: deletionOf(mappings + "1."), rpc: "DeleteObject",
		tell: func(w *world, _ *cpe.CPE, id usp.EndpointID) { _, _ = w.delete(id, mappings+"1.") }},
	{name: "event of a parameter", ok: eventOf(monitor, critical),
		tell: func(w *world, c *cpe.CPE, _ usp.EndpointID) { w.must(c.SetValue(rise, "2026-01-01T00:00:00Z")) }},
}

// notificationFaults are what happens from when there is something to tell until it is told.
var notificationFaults = []struct {
	name string
	post int // the POST of the session after which the connection is lost
	away bool
	boot bool
}{
	{name: "Inform lost", post: 1},
	{name: "session lost", post: 2},
	{name: "session lost later", post: 3},
	{name: "CPE reboots", boot: true},
	{name: "Controller away", away: true},
}

// bootFor has a Controller subscribe to everything that the rows are about.
func (r notificationRow) bootFor(t *testing.T) (*world, *cpe.CPE, usp.EndpointID) {
	w := newWorld(t, func(o *Options) { o.Agents.RequestTimeout = 2 * time.Second })
	c, id := w.boot(withMonitor)
	durable := map[string]string{"Persistent": "true", "NotifRetry": "true"}
	w.subscribe(id, "value", "ValueChange", ssid, durable)
	w.subscribe(id, "created", "ObjectCreation", mappings, durable)
	w.subscribe(id, "deleted", "ObjectDeletion", mappings, durable)
	w.subscribe(id, "event", "Event", monitor+critical, durable)
	for _, path := range []string{ssid, mappingCount, rise} {
		w.attribute(c, path, cwmp.NotificationActive)
	}
	w.must(c.WaitIdle(w.in(deadline)))
	w.over(id)
	return w, c, id
}

// Whatever happens on the way, what is to be told is told: once, unless the process was killed or the Controller away.
func TestNotificationFaults(t *testing.T) {
	for _, r := range notificationRows {
		for _, f := range notificationFaults {
			t.Run(r.name+"/"+f.name, func(t *testing.T) {
				t.Parallel()
				w, c, id := r.bootFor(t)
				faults := r.faults
				if faults.CloseAfterPost = f.post; r.rpc != "" && f.post > 1 {
					faults.CloseAfterPost, faults.CloseOn = 0, r.rpc
				}
				c.SetFaults(faults)
				w.peer.hush(f.away)
				r.tell(w, c, id)
				if f.boot {
					c.Inform(cwmp.EventBoot)
				}
				w.settle(c, id) // of a Delete whose answer is lost the next comparison tells
				w.notified(1, r.ok)
				if f.away {
					before := w.peer.count(r.ok)
					w.stop()
					w.peer.hush(false)
					w.start()
					w.notified(before+1, r.ok)
					return
				}
				if n := w.peer.count(r.ok); n != 1 {
					t.Errorf("told %d times: %s", n, w.peer.log())
				}
			})
		}
		const writes = 5
		for n := range writes {
			t.Run(fmt.Sprintf("%s/killed at write %d", r.name, n), func(t *testing.T) {
				t.Parallel()
				w, c, id := r.bootFor(t)
				var dead *dying
				w.stop()
				w.wrap = func(s store.Store) store.Store { dead = newDying(s); return dead }
				w.start()
				w.inform(c, cwmp.EventPeriodic)
				w.over(id)
				c.SetFaults(r.faults)
				dead.left.Store(int64(n))
				r.tell(w, c, id)
				w.until(dead.killed, func() bool { return w.peer.nth(1, r.ok) != nil })
				w.stop()
				w.wrap = nil
				w.start()
				w.settle(c, id)
				w.notified(1, r.ok)
			})
		}
	}
}

// settle has the CPE inform until it has said everything, and everything compared.
func (w *world) settle(c *cpe.CPE, id usp.EndpointID) {
	w.t.Helper()
	for range 2 {
		w.must(c.WaitIdle(w.in(deadline)))
		w.over(id)
		w.inform(c, cwmp.EventPeriodic)
		w.over(id)
		if d := w.device(id); d.compares() {
			d.later(time.Hour)
		}
	}
}

// compares says whether the device knows what to compare.
func (d *Device) compares() bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.watch != nil
}
