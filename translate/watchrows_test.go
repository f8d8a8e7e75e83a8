package translate

import (
	"fmt"
	"testing"
	"time"

	"isthmus/cwmp"
	"isthmus/cwmp/cpe"
	"isthmus/usp"
	"isthmus/usp/usppb"
)

const mappingCount = "Device.NAT.PortMappingNumberOfEntries"

func creationOf(row string) func(*usppb.Notify) bool {
	return func(n *usppb.Notify) bool { return n.GetObjCreation().GetObjPath() == row }
}

func deletionOf(row string) func(*usppb.Notify) bool {
	return func(n *usppb.Notify) bool { return n.GetObjDeletion().GetObjPath() == row }
}

func rowNotes(n *usppb.Notify) bool { return n.GetObjCreation() != nil || n.GetObjDeletion() != nil }

// watchRows subscribes to the rows of a table.
func (w *world) watchRows(id usp.EndpointID, table string) {
	w.t.Helper()
	w.subscribe(id, "created", "ObjectCreation", table, map[string]string{"Persistent": "true"})
	w.subscribe(id, "deleted", "ObjectDeletion", table, map[string]string{"Persistent": "true"})
}

// Rows that come and go at the CPE are told at once where it reports their number, with their unique keys.
func TestRowsByCount(t *testing.T) {
	w := newWorld(t, nil)
	c, id := w.boot(nil)
	w.watchRows(id, ssids)
	w.attribute(c, "Device.WiFi.SSIDNumberOfEntries", cwmp.NotificationActive)
	w.must(c.WaitIdle(w.in(deadline)))
	n, err := c.AddRow(ssids)
	w.must(err)
	if n != 3 {
		t.Fatalf("row %d", n)
	}
	created := w.notified(1, creationOf(ssids+"3."))
	if k := created.GetObjCreation().GetUniqueKeys(); k["Alias"] != "cpe-3" {
		t.Errorf("unique keys %v", k)
	}
	w.must(c.WaitIdle(w.in(deadline)))
	w.must(c.RemoveRow(ssids + "3."))
	w.notified(1, deletionOf(ssids+"3."))
	if n := w.peer.count(rowNotes); n != 2 {
		t.Errorf("%d notifications of rows, want 2", n)
	}
}

// Where the CPE keeps the number of rows to itself, or it stays the same, comparing tells.
func TestRowsByComparing(t *testing.T) {
	for _, c := range []struct {
		name   string
		faults cpe.Faults
	}{
		{"count refused", cpe.Faults{Mute: true, NotifyFault: map[string]cwmp.FaultCode{mappingCount: cwmp.FaultNotificationRejected}}},
		{"silence", cpe.Faults{Mute: true, EmptyAnswer: map[string]bool{"SetParameterAttributes": true}}},
		{"mute", cpe.Faults{Mute: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, nil)
			g, id := w.boot(func(cfg *cpe.Config) { cfg.Faults = c.faults })
			w.watchRows(id, mappings)
			if _, err := g.WaitCall(w.in(deadline), "SetParameterAttributes", 1); err != nil {
				t.Fatal(err)
			}
			w.must(g.WaitIdle(w.in(deadline)))
			_, err := g.AddRow(mappings)
			w.must(err)
			w.must(g.RemoveRow(mappings + "1.")) // the number of rows is the same again
			w.device(id).later(time.Hour)
			w.inform(g, cwmp.EventPeriodic)
			w.notified(1, creationOf(mappings+"2."))
			w.notified(1, deletionOf(mappings+"1."))
		})
	}
}

// A CPE that does not report is polled for its rows, too.
func TestRowsByPoll(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.PollInterval = 200 * time.Millisecond })
	c, id := w.boot(func(cfg *cpe.Config) {
		cfg.Faults.Mute = true
		cfg.Faults.NotifyFault = map[string]cwmp.FaultCode{mappingCount: cwmp.FaultNotificationRejected}
	})
	w.watchRows(id, mappings) // from here on it is hardly ever idle
	_, err := c.AddRow(mappings)
	w.must(err)
	w.notified(1, creationOf(mappings+"2."))
}

// Rows that Controllers make and delete are told at once, and not again when the CPE tells their number.
func TestRowsOfOwnWrites(t *testing.T) {
	w := newWorld(t, nil)
	c, id := w.boot(nil)
	w.watchRows(id, mappings)
	w.attribute(c, mappingCount, cwmp.NotificationActive)
	row, err := w.add(id, mappings, map[string]string{"ExternalPort": "99"})
	w.must(err)
	created := w.notified(1, creationOf(row.GetInstantiatedPath()))
	if k := created.GetObjCreation().GetUniqueKeys(); k["ExternalPort"] != "99" {
		t.Errorf("unique keys %v", k)
	}
	_, err = w.delete(id, row.GetInstantiatedPath())
	w.must(err)
	w.notified(1, deletionOf(row.GetInstantiatedPath()))
	w.must(c.WaitIdle(w.in(deadline)))
	w.device(id).later(time.Hour)
	w.inform(c, cwmp.EventPeriodic, cwmp.EventValueChange)
	w.inform(c, cwmp.EventBoot)
	if n := w.peer.count(rowNotes); n != 2 {
		t.Errorf("%d notifications of rows, want 2: %s", n, w.peer.log())
	}
}

// Neither a restart nor a boot makes rows new, and what changed meanwhile is told.
func TestRowsOverRestart(t *testing.T) {
	w := newWorld(t, nil)
	c, id := w.boot(nil)
	w.watchRows(id, mappings)
	w.attribute(c, mappingCount, cwmp.NotificationActive)
	w.must(c.WaitIdle(w.in(deadline)))
	w.stop()
	w.start()
	w.inform(c, cwmp.EventPeriodic)
	w.device(id).later(time.Hour)
	w.inform(c, cwmp.EventPeriodic)
	w.inform(c, cwmp.EventBoot)
	if n := w.peer.count(rowNotes); n != 0 {
		t.Errorf("%d notifications of rows: %s", n, w.peer.log())
	}
	w.stop()
	c.SetFaults(cpe.Faults{Mute: true})
	_, err := c.AddRow(mappings)
	w.must(err)
	w.start()
	c.SetFaults(cpe.Faults{})
	w.inform(c, cwmp.EventBoot)
	w.notified(1, creationOf(mappings+"2."))
	if n := w.peer.count(rowNotes); n != 1 {
		t.Errorf("%d notifications of rows, want 1", n)
	}
}

// A subscription to the rows of tables in the rows of another follows those.
func TestRowsOfNestedTables(t *testing.T) {
	const interfaces, addresses = "Device.IP.Interface.", "IPv4Address."
	w := newWorld(t, nil)
	c, id := w.boot(nil)
	w.watchRows(id, interfaces+"*."+addresses)
	w.attribute(c, interfaces+"1.IPv4AddressNumberOfEntries", cwmp.NotificationActive)
	w.must(c.WaitIdle(w.in(deadline)))
	_, err := c.AddRow(interfaces + "1." + addresses)
	w.must(err)
	w.notified(1, func(n *usppb.Notify) bool { return n.GetObjCreation() != nil })
	w.must(c.WaitIdle(w.in(deadline)))
	n, err := c.AddRow(interfaces)
	w.must(err)
	row := fmt.Sprintf("%s%d.", interfaces, n)
	w.attribute(c, row+"IPv4AddressNumberOfEntries", cwmp.NotificationActive)
	w.must(c.WaitIdle(w.in(deadline)))
	_, err = c.AddRow(row + addresses)
	w.must(err)
	w.notified(1, creationOf(row+addresses+"1."))
}
