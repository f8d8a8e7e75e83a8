package legacy

import (
	"strings"
	"testing"

	"isthmus/usp/agent"
)

// FuzzPaths: a path of a Controller, or a name of a CPE, is looked up without harm, whatever it is; what is found is of the other data model.
func FuzzPaths(f *testing.F) {
	for _, seed := range []string{
		"Device.", "Device.WiFi.SSID.3.SSID", "Device.WiFi.Radio.*.Channel", "Device.NAT.PortMapping.101510007.", "Device.InterfaceStack.",
		"Device.IP.Interface.4294967295.IPv4Address.0.", "Device.Services.VoiceService.1.", "Device.DNS.Client.Server.101011.DNSServer",
		"InternetGatewayDevice.LANDevice.1.WLANConfiguration.3.SSID", "InternetGatewayDevice.WANDevice.1.WANConnectionDevice.1.WANIPConnection.1.",
		"Device.LAN.IPAddress", "..", "", "Device", "Device.Bridging.Bridge.1001.Port..LowerLayers", "Device.QoS.Shaper..ShapingRate",
		"Device.Routing.Router.1.IPv4Forwarding.1000000.Interface", strings.Repeat("1.", 100),
	} {
		f.Add(seed, "true")
	}
	type cpe struct {
		m    *Map
		root *testNode
	}
	cpes := []cpe{{TR098(), full(f, "igd1.tsv", otherWay)}, {Device1(), full(f, "device1.tsv", nil)}}
	f.Fuzz(func(t *testing.T, path, value string) {
		for _, c := range cpes {
			for _, rows := range []bool{false, true} {
				for _, n := range c.m.Needs(path, rows) {
					if !strings.HasPrefix(n.Path, c.m.root) {
						t.Errorf("%q needs %q", path, n.Path)
					}
				}
			}
			for _, p := range append(c.m.Params(path), c.m.Rows(path)...) {
				if !strings.HasPrefix(p, "Device.") {
					t.Errorf("%q is shown as %q", path, p)
				}
			}
			if own := c.m.Row(path); own != "" && !strings.HasPrefix(own, c.m.root) {
				t.Errorf("%q is %q of the CPE", path, own)
			}
			if table := c.m.Table(c.root, path, func(string) string { return value }); table != "" && !strings.HasPrefix(table, c.m.root) {
				t.Errorf("a row of %q is made in %q", path, table)
			}
			c.m.Made(agent.GenericPath(path))
			c.m.Type(path)
			writes, err := c.m.Write(c.root, path, value)
			if err != nil && len(writes) > 0 {
				t.Errorf("%q is written and refused: %v", path, err)
			}
			for _, w := range writes {
				below, in := strings.CutPrefix(w.Path, c.m.root)
				if n := child(c.root, strings.Split(below, ".")...); !in || n == nil || !n.Param() {
					t.Errorf("%q writes %q, which is not there", path, w.Path)
				}
			}
		}
	})
}

// FuzzValues: whatever a CPE says, what is shown of it is made without harm.
func FuzzValues(f *testing.F) {
	for _, seed := range []string{"", "-1", "255.255.255.0", "+01:00", "1,2,3", "wl0.1", "WPAand11i", "16", "99999999999999999999", ",,", igd + "LANDevice.1", "AQI=", "/33"} {
		f.Add(seed)
	}
	root := full(f, "igd1.tsv", otherWay)
	var params []*testNode
	var collect func(n *testNode)
	collect = func(n *testNode) {
		if n.param && n.name != "ConnectionType" {
			params = append(params, n)
		}
		for _, k := range n.kids {
			collect(k)
		}
	}
	collect(root)
	f.Fuzz(func(t *testing.T, value string) {
		for _, n := range params {
			n.value = value
		}
		TR098().Project(root, func(path, _ string, _ bool) {
			if !strings.HasPrefix(path, "Device.") {
				t.Errorf("%q is shown", path)
			}
		})
	})
}
