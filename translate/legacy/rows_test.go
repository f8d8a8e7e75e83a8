package legacy

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

// TestRowsThereAndBack: where a row can be made, it is made in a table of the CPE's whose new row is one of the table that was asked for, and is found again by
// its number there.
func TestRowsThereAndBack(t *testing.T) {
	for _, w := range worlds {
		t.Run(w.name, func(t *testing.T) {
			m, top := w.m(), w.top(t)
			made := 0
			for path, settable := range project(m, top).settable {
				table := strings.TrimSuffix(path, ".")
				if last := table[strings.LastIndexByte(table, '.')+1:]; !settable || table == path || last == "{i}" || strings.HasPrefix(path, services) {
					continue
				} else if _, isRow := number32(last); isRow {
					continue
				}
				none := func(string) string { return "" }
				if path == "Device.NAT.PortMapping." {
					none = func(name string) string {
						return map[string]string{"Interface": "Device.IP.Interface.10151"}[name]
					}
				}
				own := m.Table(top, path, none)
				if n := child(top, strings.Split(strings.Trim(strings.TrimPrefix(own, m.root), "."), ".")...); own == "" || n == nil || !n.Settable() {
					t.Errorf("rows of %s can be made, but in %q", path, own)
					continue
				}
				made++
				i := slices.IndexFunc(m.Rows(own+"7."), func(row string) bool { return strings.HasPrefix(row, path) })
				if i < 0 {
					t.Errorf("%s: a new row of %s is %q", path, own, m.Rows(own+"7."))
				} else if back := m.Row(m.Rows(own + "7.")[i]); back != own+"7." {
					t.Errorf("%s is %s, which is %s", own+"7.", m.Rows(own + "7.")[i], back)
				}
			}
			t.Log(made, "tables")
		})
	}
}

// TestUnlistedTable: rows can be made in a table that the CPE counts the rows of and does not list; not in one that it knows nothing of.
func TestUnlistedTable(t *testing.T) {
	top := &tr{name: "root", kids: []*tr{}}
	const conn = "WANDevice.1.WANConnectionDevice.1."
	top.put(conn+"WANIPConnection.1.Enable", "1")
	for _, counted := range []bool{false, true} {
		if counted {
			top.put(conn+"WANIPConnection.1.PortMappingNumberOfEntries", "0")
		}
		settable := map[string]bool{}
		TR098().Project(top, func(path, _ string, w bool) { settable[path] = w })
		if settable["Device.NAT.PortMapping."] != counted || settable["Device.NAT.PortMapping.{i}.ExternalPort"] != counted {
			t.Errorf("counted %v: rows can be made: %v, with an ExternalPort: %v", counted, settable["Device.NAT.PortMapping."], settable["Device.NAT.PortMapping.{i}.ExternalPort"])
		}
	}
}

// TestShown: what is made of several parameters.
func TestShown(t *testing.T) {
	is := project(TR098(), full(t, "igd1.tsv", otherWay)).value
	for path, want := range map[string]string{
		"Device.Time.Client.1.Mode":                                "Unicast",
		"Device.Time.Client.1.Servers":                             "x,x,x,x,x",
		"Device.DHCPv4.Relay.Forwarding.1001.LocallyServed":        "false",
		"Device.DHCPv4.Server.Pool.1000.Interface":                 "Device.IP.Interface.1",
		"Device.DHCPv4.Server.Pool.1000.Client.1.Chaddr":           "00:11:22:33:44:55",
		"Device.DNS.Client.Server.101012.DNSServer":                "192.0.2.2",
		"Device.DNS.Client.Server.101511.Interface":                "Device.IP.Interface.10151",
		"Device.Routing.Router.1.IPv4Forwarding.1000000.Interface": "Device.IP.Interface.10151",
		"Device.Hosts.Host.1.AssociatedDevice":                     "Device.WiFi.AccessPoint.1.AssociatedDevice.1",
		"Device.Bridging.Filter.1.Interface":                       "Device.Ethernet.Interface.1",
		"Device.Bridging.Filter.1.Bridge":                          "Device.Bridging.Bridge.1001",
		"Device.Bridging.Bridge.1001.Port.1.LowerLayers":           "Device.Ethernet.Interface.1",
		"Device.QoS.Classification.1.DestMask":                     "/24",
		"Device.QoS.Classification.1.AllInterfaces":                "false",
		"Device.QoS.Queue.1.Interface":                             "Device.Ethernet.Interface.1",
		"Device.QoS.Shaper.10101.Interface":                        "Device.IP.Interface.10101",
		"Device.WiFi.AccessPoint.1.Security.ModeEnabled":           "WPA-WPA2-Personal",
		"Device.WiFi.AccessPoint.1.Security.EncryptionMode":        "AES",
		"Device.WiFi.AccessPoint.1.Security.WEPKey":                "",
		"Device.WiFi.AccessPoint.1.AC.1.AccessCategory":            "BE",
		"Device.PPP.Interface.10151.IPCP.PassthroughDHCPPool":      "Device.DHCPv4.Server.Pool.1000",
		"Device.DHCPv4.Client.10101.PassthroughEnable":             "false",
		"Device.IP.Diagnostics.IPv4PingSupported":                  "true",
		"Device.Services.X_TEST_Service.1.Name":                    "s",
		"Device.WiFi.SSID.1.LowerLayers":                           "Device.WiFi.Radio.1",
		"Device.IP.Interface.10151.LowerLayers":                    "Device.PPP.Interface.10151",
	} {
		if got, ok := is[path]; got != want || !ok {
			t.Errorf("%s = %q (%v), want %q", path, got, ok, want)
		}
	}
	for path := range is {
		if strings.HasPrefix(path, "Device.DHCPv4.Server.Pool.1001.") {
			t.Errorf("%s is shown, though another server's", path)
		}
	}
}

// TestBridged: a connection that is bridged has no interface of IP, but a port of the LAN's bridge.
func TestBridged(t *testing.T) {
	const conn = igd + "WANDevice.1.WANConnectionDevice.1.WANIPConnection.1."
	is := project(TR098(), full(t, "igd1.tsv", map[string]string{
		conn + "ConnectionType": "IP_Bridged", conn + "ConnectionStatus": "Connected", conn + "Name": "tv", conn + "Enable": "true",
	})).value
	const port = "Device.Bridging.Bridge.1.Port.10101."
	for path, want := range map[string]string{port + "Status": "Up", port + "Name": "tv", port + "ManagementPort": "false", port + "LowerLayers": "Device.ATM.Link.101"} {
		if is[path] != want {
			t.Errorf("%s = %q, want %q", path, is[path], want)
		}
	}
	if lower := is["Device.Bridging.Bridge.1.Port.1.LowerLayers"]; !strings.HasSuffix(lower, strings.TrimSuffix(port, ".")) {
		t.Errorf("the management port is above %q", lower)
	}
	for path := range is {
		if strings.HasPrefix(path, "Device.IP.Interface.10101.") || strings.HasPrefix(path, "Device.NAT.InterfaceSetting.10101.") {
			t.Errorf("%s is shown", path)
		}
	}
}

// TestMasks: masks whose bits are not together have no length.
func TestMasks(t *testing.T) {
	for v, want := range map[string]string{"255.255.255.0": "/24", "0.0.0.0": "/0", "255.255.255.255": "/32", "255.0.255.0": "", "": "", "x": "", "::": ""} {
		if got := maskLength(v); got != want {
			t.Errorf("%q is %q, want %q", v, got, want)
		}
		if back, ok := dottedMask(want); want != "" && (!ok || back != v) {
			t.Errorf("%q is %q, want %q", want, back, v)
		}
	}
	for _, v := range []string{"24", "/33", "/-1", "/x", "/"} {
		if got, ok := dottedMask(v); ok {
			t.Errorf("%q is %q", v, got)
		}
	}
}

// reading is a node that tells when its value is used.
type reading struct {
	Node
	path string
	used map[string]bool
}

func (r reading) Text() string {
	r.used[r.path] = true
	return r.Node.Text()
}

func (r reading) of(k Node) Node {
	sep := "."
	if r.path == "" {
		sep = ""
	}
	return reading{k, r.path + sep + k.Segment(), r.used}
}

func (r reading) Child(segment string) Node {
	if k := r.Node.Child(segment); k != nil {
		return r.of(k)
	}
	return nil
}

func (r reading) Each(f func(Node)) { r.Node.Each(func(k Node) { f(r.of(k)) }) }

// TestInputsHavePlaces: what is shown rests on no parameter that is said to be of no use, for such a one is never read.
func TestInputsHavePlaces(t *testing.T) {
	for _, w := range worlds {
		used := map[string]bool{}
		m := w.m()
		m.Project(reading{w.top(t), strings.TrimSuffix(m.root, "."), used}, func(string, string, bool) {})
		for path := range used {
			if len(m.Params(path)) == 0 {
				t.Errorf("%s: %s is used, but shown nowhere", w.name, path)
			}
		}
	}
}

// TestRelayedPool: what makes a new pool one of another server's can be written while it is none yet.
func TestRelayedPool(t *testing.T) {
	const own = igd + "LANDevice.1.LANHostConfigManagement.DHCPConditionalServingPool.1."
	top := full(t, "igd1.tsv", map[string]string{own + "LocallyServed": "true"})
	writes, err := TR098().Write(top, "Device.DHCPv4.Relay.Forwarding.1001.LocallyServed", "false")
	if err != nil || len(writes) != 1 || writes[0].Path != own+"LocallyServed" || writes[0].Value != "false" {
		t.Errorf("%v, %v", writes, err)
	}
}

// TestBridgedLinks: the WAN side of a bridge is the link that its connections are on; a routed connection is its interface.
func TestBridgedLinks(t *testing.T) {
	const device, port = igd + "WANDevice.1.WANConnectionDevice.1", "Device.Bridging.Bridge.1001.Port.1.LowerLayers"
	for ref, want := range map[string]string{device: "Device.ATM.Link.101", device + ".WANIPConnection.1": "Device.ATM.Link.101",
		device + ".WANPPPConnection.1": "Device.IP.Interface.10151", igd + "WANDevice.2.WANConnectionDevice.1": "Device.Ethernet.Interface.20000", igd + "Nowhere.1": ""} {
		with := maps.Clone(otherWay)
		with[device+".WANIPConnection.1.ConnectionType"] = "IP_Bridged"
		with[igd+"WANDevice.2.WANEthernetInterfaceConfig.Enable"] = "true"
		with[igd+"WANDevice.2.WANConnectionDevice.1.WANPPPConnectionNumberOfEntries"] = "0"
		with[igd+"Layer2Bridging.AvailableInterface.1.InterfaceReference"] = ref
		top := full(t, "igd1.tsv", with)
		if got := project(TR098(), top).value[port]; got != want {
			t.Errorf("%s is %q below a bridge, want %q", ref, got, want)
		}
		if writes, err := TR098().Write(top, port, want); err != nil || len(writes) != 1 || want != "" && writes[0].Value != "7" {
			t.Errorf("%q: %v, %v", want, writes, err)
		}
	}
}

// TestListsOfReferences: what has no place in Device:2 is left out of a list.
func TestListsOfReferences(t *testing.T) {
	top := full(t, "igd1.tsv", map[string]string{igd + "UPnP.Discovery.Device.1.Host": igd + "LANDevice.1.Hosts.Host.1," + igd + "Nowhere.3, " + igd + "LANDevice.2.Hosts.Host.7."})
	if got := project(TR098(), top).value["Device.UPnP.Discovery.Device.1.Host"]; got != "Device.Hosts.Host.1,Device.Hosts.Host.100007" {
		t.Errorf("%q", got)
	}
}
