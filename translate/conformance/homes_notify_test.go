package conformance_test

import (
	"fmt"
	"testing"

	"isthmus/cwmp"
)

// TestHomesValueChange: by a write of the Controller's own, and at the CPE.
func TestHomesValueChange(t *testing.T) {
	for _, c := range []struct {
		path, value, atCPE string
		lack               []string
	}{
		{"Device.DeviceInfo.ProvisioningCode", "NOTE.1", "NOTE.2", nil},
		{"Device.UserInterface.RemoteAccess.Port", "8081", "8082", nil},
		{"Device.IP.Interface.1.IPv4Address.1.IPAddress", "192.168.1.3", "192.168.1.4", nil},
		{"Device.WiFi.SSID.2.SSID", "Note", "Noted", []string{device1}},
		{"Device.NAT.PortMapping.101510001.Description", "note", "noted", []string{device1}},
		{"Device.DHCPv4.Server.Pool.1000.MaxAddress", "192.168.1.150", "192.168.1.160", []string{device1}},
	} {
		t.Run(c.path, func(t *testing.T) {
			each(t, func(e *eut, h *home) {
				e.restore(c.path)
				id, before := unique("home"), len(e.w.cpe.Calls("SetParameterAttributes"))
				e.subscribe(id, "ValueChange", c.path)
				e.watching(h.own(c.path), before)
				e.change(c.path, c.value)
				e.valueChanged(id, c.path, c.value)
				e.must(e.w.cpe.SetValue(h.own(c.path), c.atCPE))
				e.valueChanged(id, c.path, c.atCPE)
			}, c.lack...)
		})
	}
}

// TestHomesStatusChange: what the CPE says in words of its own.
func TestHomesStatusChange(t *testing.T) {
	each(t, func(e *eut, h *home) {
		const path = "Device.Ethernet.Interface.1.Status"
		id, before := unique("home"), len(e.w.cpe.Calls("SetParameterAttributes"))
		e.subscribe(id, "ValueChange", path)
		e.watching(h.own(path), before)
		down := "Down"
		if h.model == tr098 {
			down = "NoLink"
		}
		e.must(e.w.cpe.SetValue(h.own(path), down))
		e.valueChanged(id, path, "Down")
		e.must(e.w.cpe.SetValue(h.own(path), "Up"))
		e.valueChanged(id, path, "Up")
	}, device1)
}

// TestHomesRows: rows that come and go, by the Controller's own requests and at the CPE.
func TestHomesRows(t *testing.T) {
	for _, c := range homeTables {
		t.Run(c.path, func(t *testing.T) {
			each(t, func(e *eut, h *home) {
				came, went := unique("came"), unique("went")
				e.subscribe(came, "ObjectCreation", c.path)
				e.subscribe(went, "ObjectDeletion", c.path)
				path, _ := e.added(c.path, c.row...)
				if n := e.notified(came).GetObjCreation(); n.GetObjPath() != path {
					e.Errorf("%v, want %s", n, path)
				}
				_, err := e.delete(false, path)
				e.must(err)
				if n := e.notified(went).GetObjDeletion(); n.GetObjPath() != path {
					e.Errorf("%v, want %s", n, path)
				}
				own := h.own(c.path)
				number, err := e.w.cpe.AddRow(own)
				e.must(err)
				e.w.cpe.Inform(cwmp.EventPeriodic)
				made := e.notified(came).GetObjCreation().GetObjPath()
				if generic(made) != generic(c.path+"1.") {
					e.Errorf("%s came", made)
				}
				e.must(e.w.cpe.RemoveRow(fmt.Sprintf("%s%d.", own, number)))
				e.w.cpe.Inform(cwmp.EventPeriodic)
				if n := e.notified(went).GetObjDeletion(); n.GetObjPath() != made {
					e.Errorf("%v, want %s", n, made)
				}
			}, c.lack...)
		})
	}
}
