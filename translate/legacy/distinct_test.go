package legacy

import "testing"

// TestDistinct: names that Device:2 wants to be different are, whatever the CPE says, and a host that is listed twice is one.
func TestDistinct(t *testing.T) {
	const conn = igd + "WANDevice.1.WANConnectionDevice.1."
	top := &testNode{}
	for path, v := range map[string]string{
		conn + "WANIPConnection.1.Name": "internet", conn + "WANIPConnection.2.Name": "internet", conn + "WANIPConnection.3.Name": "",
		conn + "WANPPPConnection.1.Name":                      "voice",
		igd + "LANDevice.1.Hosts.Host.1.MACAddress":           "00:AA:00:00:00:01",
		igd + "LANDevice.1.Hosts.Host.2.MACAddress":           "00:aa:00:00:00:01",
		igd + "LANDevice.1.Hosts.Host.3.MACAddress":           "",
		igd + "LANDevice.1.Hosts.Host.4.MACAddress":           "",
		igd + "LANDevice.1.WLANConfiguration.1.Name":          "wl0",
		igd + "LANDevice.1.WLANConfiguration.2.Name":          "wl0",
		igd + "LANDevice.1.LANEthernetInterfaceConfig.1.Name": "wl0",
	} {
		top.at(path).value = v
	}
	is := project(TR098(), top.kids[0]).value
	a, b := is["Device.IP.Interface.10101.Name"], is["Device.IP.Interface.10102.Name"]
	if !(a == "internet" && b == "internet.10102" || a == "internet.10101" && b == "internet") {
		t.Errorf("interfaces are named %q and %q", a, b)
	}
	for path, want := range map[string]string{
		"Device.IP.Interface.10103.Name": "", "Device.IP.Interface.10151.Name": "voice", "Device.PPP.Interface.10151.Name": "voice", "Device.Ethernet.Interface.1.Name": "wl0",
		"Device.Hosts.Host.3.PhysAddress": "", "Device.Hosts.Host.4.PhysAddress": "",
	} {
		if got, ok := is[path]; got != want || !ok {
			t.Errorf("%s = %q (%v), want %q", path, got, ok, want)
		}
	}
	_, first := is["Device.Hosts.Host.1.PhysAddress"]
	_, second := is["Device.Hosts.Host.2.PhysAddress"]
	if first == second {
		t.Errorf("a host that is listed twice is shown as %v, %v", first, second)
	}
	if x, y := is["Device.WiFi.SSID.1.Name"], is["Device.WiFi.SSID.2.Name"]; x == y {
		t.Errorf("two SSIDs are named %q", x)
	}
}
