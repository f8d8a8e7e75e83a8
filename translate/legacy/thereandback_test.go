package legacy

import (
	"slices"
	"strings"
	"testing"

	"isthmus/translate/datamodel"
	"isthmus/usp/agent"
)

// TestThereAndBack: whatever a CPE with everything lets be written reads as it was written, for values of every kind that Device:2 allows; what the CPE has no
// counterpart for is refused, and nothing but what is asked for changes in the CPE. What is chosen by an argument of a command is no parameter to be written:
// TestHomesDiagnosticsOfALine has those.
func TestThereAndBack(t *testing.T) {
	for _, w := range worlds {
		t.Run(w.name, func(t *testing.T) {
			m, before := w.m(), project(w.m(), w.top(t))
			written, refused := 0, 0
			top := w.top(t)
			for path, settable := range before.settable {
				if !settable || strings.HasSuffix(path, ".") || strings.Contains(path, "{i}") || slices.ContainsFunc(m.sources[path], func(r *rule) bool { return r.chosen }) {
					continue
				}
				tried := false
				for _, v := range values(path, before) {
					writes, err := m.Write(top, path, v)
					if err != nil {
						refused++
						continue
					}
					tried = true
					undo := apply(t, m, top, path, writes)
					got, shown := project(m, top).value[path]
					undo()
					written++
					i := strings.LastIndexByte(path, '.') + 1
					switch {
					case len(writes) == 0, datamodel.Secured(path[:i], path[i:]):
					case !shown && !slices.Contains(gone, agent.GenericPath(path)):
						t.Errorf("%s is not there once it is %q (%v)", path, v, writes)
					case shown && !same(path, got, v):
						t.Errorf("%s = %q reads %q (%v)", path, v, got, writes)
					}
				}
				if !tried {
					t.Errorf("%s can be written, but not with any of %q", path, values(path, before))
				}
			}
			t.Logf("%d values written, %d refused", written, refused)
		})
	}
}

// apply makes writes happen, and gives what undoes them.
func apply(t *testing.T, m *Map, top *testNode, path string, writes []Write) (undo func()) {
	t.Helper()
	was := map[*testNode]string{}
	for _, w := range writes {
		below, in := strings.CutPrefix(w.Path, m.root)
		n, _ := child(top, strings.Split(below, ".")...).(*testNode)
		switch {
		case !in || n == nil || !n.param:
			t.Fatalf("%s writes %s, which is not there", path, w.Path)
		case !n.settable:
			t.Errorf("%s writes %s, which is read-only", path, w.Path)
		}
		was[n] = n.value
		n.value = w.Value
	}
	return func() {
		for n, v := range was {
			n.value = v
		}
	}
}

// gone are parameters of rows that a value of theirs makes go.
var gone = []string{"Device.QoS.Shaper.{i}.ShapingRate", "Device.DNS.Client.Server.{i}.DNSServer", "Device.DHCPv4.Relay.Forwarding.{i}.LocallyServed"}

// same compares values of a parameter; the order of a list of ciphers says nothing.
func same(path, a, b string) bool {
	p, _ := datamodel.LookupParam(agent.GenericPath(path))
	if p.List {
		x, y := strings.Split(a, ","), strings.Split(b, ",")
		slices.Sort(x)
		slices.Sort(y)
		return slices.Equal(x, y)
	}
	if p.Type == agent.TypeHexBinary {
		return strings.EqualFold(a, b)
	}
	return a == b
}

// values are some that Device:2 allows a parameter.
func values(path string, s shown) []string {
	p, ok := datamodel.LookupParam(agent.GenericPath(path))
	switch {
	case !ok:
		return []string{s.value[path]}
	case strings.HasSuffix(path, ".ModeEnabled"):
		return strings.Split(s.value[strings.TrimSuffix(path, "Enabled")+"sSupported"], ",")
	case p.List && len(p.Enum) > 1:
		return append(slices.Clone(p.Enum), strings.Join(p.Enum[:2], ","))
	case len(p.Enum) > 0:
		return p.Enum
	case p.Reference != datamodel.NoReference:
		return []string{"", s.value[path]}
	case p.Type == agent.TypeBoolean:
		return []string{"true", "false"}
	case p.Type == agent.TypeHexBinary:
		return []string{"", "00FF10", strings.Repeat("AB", 5), strings.Repeat("CD", 13), strings.Repeat("EF", 32)}
	case p.Type == agent.TypeDateTime:
		return []string{"2026-02-03T04:05:06Z"}
	case p.Type == agent.TypeInt, p.Type == agent.TypeLong:
		return []string{"-1", "0", "1", "100"}
	case p.Type == agent.TypeUnsignedInt, p.Type == agent.TypeUnsignedLong:
		return []string{"0", "1", "100", "4000000000"}
	case strings.HasSuffix(path, "Mask") && strings.Contains(path, "Classification"):
		return []string{"", "/0", "/1", "/24", "/32"}
	case strings.HasSuffix(path, ".PIN"):
		return []string{"01234567"}
	case p.List:
		return []string{"", "192.0.2.7", "192.0.2.7,192.0.2.8"}
	}
	return []string{"", "a", "192.0.2.7", "CET-1CEST,M3.5.0,M10.5.0/3"}
}

// world is a CPE with everything.
type world struct {
	name string
	m    func() *Map
	top  func(t testing.TB) *testNode
}

const igd = "InternetGatewayDevice."

var worlds = []world{
	{"TR-098", TR098, func(t testing.TB) *testNode { return full(t, "igd1.tsv", nil) }},
	{"TR-098 another way", TR098, func(t testing.TB) *testNode { return full(t, "igd1.tsv", otherWay) }},
	{"Device:1", Device1, func(t testing.TB) *testNode { return full(t, "device1.tsv", nil) }},
}

// otherWay are values of a CPE that show what the first of each enumeration hides.
var otherWay = map[string]string{
	igd + "LANDevice.1.LANHostConfigManagement.DHCPConditionalServingPool.1.LocallyServed": "false",
	igd + "LANDevice.1.LANHostConfigManagement.AssociatedConnection":                       igd + "WANDevice.1.WANConnectionDevice.1.WANPPPConnection.1",
	igd + "LANDevice.2.LANHostConfigManagement.AssociatedConnection":                       igd + "WANDevice.1.WANConnectionDevice.1.WANIPConnection.1",
	igd + "LANDevice.2.LANHostConfigManagement.UseAllocatedWAN":                            "Normal",
	igd + "LANDevice.1.WLANConfiguration.1.BeaconType":                                     "WPAand11i",
	igd + "LANDevice.1.WLANConfiguration.1.IEEE11iAuthenticationMode":                      "PSKAuthentication",
	igd + "LANDevice.1.WLANConfiguration.1.IEEE11iEncryptionModes":                         "AESEncryption",
	igd + "LANDevice.1.WLANConfiguration.1.Name":                                           "wl0",
	igd + "LANDevice.1.Hosts.Host.1.AddressSource":                                         "DHCP",
	igd + "LANDevice.1.Hosts.Host.1.Layer2Interface":                                       igd + "LANDevice.1.WLANConfiguration.1",
	igd + "LANDevice.1.Hosts.Host.1.MACAddress":                                            "00:11:22:33:44:55",
	igd + "LANDevice.1.WLANConfiguration.1.AssociatedDevice.1.AssociatedDeviceMACAddress":  "00:11:22:33:44:55",
	igd + "WANDevice.1.WANConnectionDevice.1.WANIPConnection.1.ConnectionStatus":           "Connected",
	igd + "WANDevice.1.WANConnectionDevice.1.WANPPPConnection.1.ConnectionStatus":          "Connected",
	igd + "WANDevice.1.WANConnectionDevice.1.WANIPConnection.1.ConnectionType":             "IP_Routed",
	igd + "WANDevice.1.WANConnectionDevice.1.WANPPPConnection.1.ConnectionType":            "IP_Routed",
	igd + "WANDevice.1.WANConnectionDevice.1.WANIPConnection.1.DNSServers":                 "192.0.2.1,192.0.2.2",
	igd + "WANDevice.1.WANConnectionDevice.1.WANPPPConnection.1.DNSServers":                "192.0.2.3",
	igd + "WANDevice.1.WANConnectionDevice.1.WANDSLLinkConfig.LinkType":                    "EoA",
	igd + "Layer3Forwarding.DefaultConnectionService":                                      igd + "WANDevice.1.WANConnectionDevice.1.WANPPPConnection.1",
	igd + "Layer3Forwarding.Forwarding.1.DestIPAddress":                                    "198.51.100.0",
	igd + "Layer2Bridging.Bridge.1.BridgeKey":                                              "1",
	igd + "Layer2Bridging.AvailableInterface.1.AvailableInterfaceKey":                      "7",
	igd + "Layer2Bridging.AvailableInterface.1.InterfaceReference":                         igd + "LANDevice.1.LANEthernetInterfaceConfig.1",
	igd + "Layer2Bridging.Filter.1.FilterInterface":                                        "7",
	igd + "Layer2Bridging.Bridge.1.Port.1.PortInterface":                                   "7",
	igd + "QueueManagement.Classification.1.ClassInterface":                                igd + "LANDevice.1.LANEthernetInterfaceConfig.1",
	igd + "QueueManagement.Queue.1.QueueInterface":                                         igd + "LANDevice.1.LANEthernetInterfaceConfig.1",
	igd + "QueueManagement.Classification.1.DestMask":                                      "255.255.255.0",
}
