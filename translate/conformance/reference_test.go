package conformance_test

import (
	"strings"
	"testing"
)

// R-ARC.11 on the CPE: a reference by keys goes to the CPE with instance numbers, in the form that the CPE has for references.
func TestReferenceByKeyAtTheCPE(t *testing.T) {
	e := shared(t)
	const ssid, lower = "Device.WiFi.SSID.1.", "LowerLayers"
	before := e.values(ssid + lower)[ssid][lower]
	e.Cleanup(func() { e.change(ssid+lower, before) })
	e.change(ssid+lower, `Device.WiFi.Radio.[Alias=="`+e.values("Device.WiFi.Radio.2.Alias")["Device.WiFi.Radio.2."]["Alias"]+`"]`)
	if v := e.w.cpe.Value(ssid + lower); v != "Device.WiFi.Radio.2." {
		t.Errorf("the CPE has %q", v)
	}
	_, err := e.set(false, obj{ssid, []param{req(lower, `Device.WiFi.Radio.[Alias=="none"]`)}})
	e.blames(e.refused(err), ssid+lower)

	path, _ := e.added("Device.NAT.PortMapping.", onCPE.row(11, req("Interface", `Device.IP.Interface.[Alias=="cpe-2"]`))...)
	if v := e.w.cpe.Value(path + "Interface"); strings.TrimSuffix(v, ".") != "Device.IP.Interface.2" {
		t.Errorf("the CPE has %q", v)
	}
	for row := range e.values(path + "Interface+.Name") {
		if row != "Device.IP.Interface.2." {
			t.Errorf("it leads to %s", row)
		}
	}
}
