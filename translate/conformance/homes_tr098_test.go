package conformance_test

import (
	"slices"
	"testing"

	"isthmus/cwmp"
	"isthmus/usp"
)

// What only a CPE of TR-098 can do, since it has one parameter for several of Device:2, or several for one.

func legacyHome(t *testing.T) *eut {
	t.Helper()
	i := slices.IndexFunc(homes, func(h *home) bool { return h.model == tr098 })
	return homes[i].open(t, options{tree: homes[i].tree()})
}

// because says that a request was refused for a parameter or object with this code.
func (e *eut) because(err error, code usp.ErrorCode) {
	e.Helper()
	if u := e.refused(err); !slices.ContainsFunc(u.Params, func(p usp.ParamError) bool { return p.Code == code }) {
		e.Errorf("%v %+v, want %d", u, u.Params, code)
	}
}

const ownWLAN = rootIGD + "LANDevice.1.WLANConfiguration."

// TestTR098Conflict: an SSID and its access point are switched on by one parameter, so they are switched on and off together.
func TestTR098Conflict(t *testing.T) {
	e := legacyHome(t)
	e.restore("Device.WiFi.SSID.2.Enable")
	both := func(ssid, ap string) []obj {
		return []obj{{"Device.WiFi.SSID.2.", []param{req("Enable", ssid)}}, {"Device.WiFi.AccessPoint.2.", []param{req("Enable", ap)}}}
	}
	_, err := e.set(false, both("true", "false")...)
	e.because(err, usp.ValueConflict)
	e.wantValue("Device.WiFi.SSID.2.Enable", "false")
	if n := e.written(func() {
		_, err := e.set(false, both("true", "true")...)
		e.must(err)
	}); n != 1 {
		e.Errorf("%d SetParameterValues", n)
	}
	e.wantValue("Device.WiFi.AccessPoint.2.Enable", "true")
	if v := e.w.cpe.Value(ownWLAN + "2.Enable"); v != "true" {
		e.Errorf("the CPE has %q", v)
	}
}

// TestTR098Radio: a channel is written to the first member of the radio, and to those that do not follow by themselves.
func TestTR098Radio(t *testing.T) {
	e := legacyHome(t)
	e.restore("Device.WiFi.Radio.1.Channel")
	e.change("Device.WiFi.Radio.1.Channel", "9")
	for n, want := range map[string]string{"1": "9", "2": "9", "3": "36", "4": "36"} {
		if v := e.w.cpe.Value(ownWLAN + n + ".Channel"); v != want {
			e.Errorf("WLANConfiguration.%s has channel %s, want %s", n, v, want)
		}
	}
}

// TestTR098Security: all parameters that a mode comes to are written at once, with the passphrase.
func TestTR098Security(t *testing.T) {
	e := legacyHome(t)
	e.restore("Device.WiFi.AccessPoint.2.Security.ModeEnabled")
	n := e.written(func() {
		_, err := e.set(false, obj{"Device.WiFi.AccessPoint.2.Security.", []param{req("ModeEnabled", "WPA-WPA2-Personal"), req("KeyPassphrase", "correct horse")}})
		e.must(err)
	})
	if n != 1 {
		e.Errorf("%d SetParameterValues", n)
	}
	for name, want := range map[string]string{"BeaconType": "WPAand11i", "WPAAuthenticationMode": "PSKAuthentication", "IEEE11iAuthenticationMode": "PSKAuthentication",
		"PreSharedKey.1.KeyPassphrase": "correct horse"} {
		if v := e.w.cpe.Value(ownWLAN + "2." + name); v != want {
			e.Errorf("%s is %q, want %q", name, v, want)
		}
	}
	if v := e.values("Device.WiFi.AccessPoint.2.Security.KeyPassphrase")["Device.WiFi.AccessPoint.2.Security."]["KeyPassphrase"]; v != "" {
		e.Errorf("a passphrase is read: %q", v)
	}
}

// TestTR098Parent: a port mapping goes to the connection that its Interface names, and to the default one where it names none; it cannot move.
func TestTR098Parent(t *testing.T) {
	e := legacyHome(t)
	const table = "Device.NAT.PortMapping."
	for _, c := range []struct{ of, row, own string }{
		{"Device.IP.Interface.10201", "Device.IP.Interface.10201", "WANDevice.1.WANConnectionDevice.2.WANIPConnection.1.PortMapping."},
		{"Device.IP.Interface.10151", "Device.IP.Interface.10151", "WANDevice.1.WANConnectionDevice.1.WANPPPConnection.1.PortMapping."},
		{"", "Device.IP.Interface.10151", "WANDevice.1.WANConnectionDevice.1.WANPPPConnection.1.PortMapping."},
	} {
		n := len(e.w.cpe.Calls("AddObject"))
		params := []param{req("Alias", unique("parent")), req("ExternalPort", "3333"), req("Protocol", "UDP"), req("InternalClient", "192.168.1.9")}
		if c.of != "" {
			params = append(params, req("Interface", c.of))
		}
		path, _ := e.added(table, params...)
		if got := e.w.cpe.Calls("AddObject")[n].Request.(*cwmp.AddObject).ObjectName; got != rootIGD+c.own {
			e.Errorf("a row of %q was made in %s", c.of, got)
		}
		e.wantValue(path+"Interface", c.row)
		_, err := e.set(false, obj{path, []param{req("Interface", "Device.IP.Interface.1")}})
		_ = e.refused(err)
		_, err = e.delete(false, path)
		e.must(err)
	}
	res, err := e.add(true, obj{table, []param{req("Interface", "Device.IP.Interface.1"), req("ExternalPort", "1")}})
	e.must(err)
	if code := res[0].GetOperStatus().GetOperFailure().GetErrCode(); code != uint32(usp.NonCreatableObject) {
		e.Errorf("a row of an interface that has none: %v", res)
	}
}

// TestTR098NotChanged: what changes at the CPE and not in Device:2 is no change.
func TestTR098NotChanged(t *testing.T) {
	e := legacyHome(t)
	const status = "Device.WiFi.Radio.3.Status"
	id, before := unique("radio"), len(e.w.cpe.Calls("SetParameterAttributes"))
	e.subscribe(id, "ValueChange", status)
	e.watching(ownWLAN+"4.Status", before)
	e.must(e.w.cpe.SetValue(ownWLAN+"4.Status", "Error")) // the other one is up, and so is the radio
	e.must(e.w.cpe.SetValue(ownWLAN+"3.Status", "Disabled"))
	e.valueChanged(id, status, "Error")
	e.must(e.w.cpe.SetValue(ownWLAN+"3.Status", "Up"))
	e.valueChanged(id, status, "Up")
	e.must(e.w.cpe.SetValue(ownWLAN+"4.Status", "Disabled"))
	if n := e.count(id); n != 2 {
		e.Errorf("%d notifications", n)
	}
}

// TestTR098RowsOfAValue: DNS servers are a list in one parameter there, and rows of Device:2 that come and go with its items.
func TestTR098RowsOfAValue(t *testing.T) {
	const table, own = "Device.DNS.Client.Server.", rootIGD + "WANDevice.1.WANConnectionDevice.1.WANPPPConnection.1.DNSServers"
	const had = "192.0.2.75,192.0.2.76"
	h := homes[slices.IndexFunc(homes, func(h *home) bool { return h.model == tr098 })]
	e := fresh(t, options{tree: h.tree().WithWritable(own, "string", had)})
	came, went, before := unique("came"), unique("went"), len(e.w.cpe.Calls("SetParameterAttributes"))
	e.subscribe(came, "ObjectCreation", table)
	e.subscribe(went, "ObjectDeletion", table)
	e.watching(own, before)
	e.must(e.w.cpe.SetValue(own, had+",192.0.2.77"))
	e.w.cpe.Inform(cwmp.EventPeriodic)
	row := e.notified(came).GetObjCreation().GetObjPath()
	e.wantValue(row+"DNSServer", "192.0.2.77")
	e.must(e.w.cpe.SetValue(own, had))
	e.w.cpe.Inform(cwmp.EventPeriodic)
	if n := e.notified(went).GetObjDeletion(); n.GetObjPath() != row {
		e.Errorf("%v, want %s", n, row)
	}
}
