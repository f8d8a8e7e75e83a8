package legacy

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// physicalStatus is PhysicalLinkStatus of WANCommonInterfaceConfig.
var physicalStatus = enumMap("Up=Up;Down=Down;Initializing=Dormant;Unavailable=NotPresent")

// bitsPerMegabit makes bit/s Mbit/s.
const bitsPerMegabit = 1_000_000

// commonCounters are the counters that all kinds of access have in WANCommonInterfaceConfig.
var commonCounters = []string{"BytesSent", "BytesReceived", "PacketsSent", "PacketsReceived"}

// wanRest puts what a WANDevice says of its access as a whole, where the interface itself does not say it.
func (p *projection) wanRest(root Node, w numbered) {
	common := w.n.Child("WANCommonInterfaceConfig")
	count := func(stats string) {
		for _, name := range commonCounters {
			if k := child(common, "Total"+name); k != nil {
				p.put(stats+name, k.Text(), false)
			}
		}
	}
	if e := w.n.Child("WANEthernetInterfaceConfig"); e != nil {
		eth := "Device.Ethernet.Interface." + itoa(10000*w.nums[0])
		if k := child(common, "PhysicalLinkStatus"); k != nil && e.Child("Status") == nil {
			p.put(eth+".Status", physicalStatus.to(k.Text()), false)
		}
		if v, err := strconv.ParseUint(text(common, "Layer1DownstreamMaxBitRate"), 10, 64); err == nil && e.Child("MaxBitRate") == nil {
			p.put(eth+".MaxBitRate", strconv.FormatUint(v/bitsPerMegabit, 10), false)
		}
		if e.Child("Stats") == nil {
			count(eth + ".Stats.")
		}
		p.shaper(w.nums[0], e, eth)
	}
	if w.n.Child("WANDSLInterfaceConfig") != nil {
		count("Device.DSL.Channel." + itoa(w.nums[0]) + ".Stats.")
		if k := child(root, "DeviceInfo", "ModemFirmwareVersion"); k != nil {
			p.put("Device.DSL.Line."+itoa(w.nums[0])+".FirmwareVersion", k.Text(), false)
		}
	}
}

// unshaped is the rate of what is not shaped; there is no row for it.
const unshaped = "-1"

func (p *projection) shaper(number uint32, n Node, of string) {
	rate := n.Child("ShapingRate")
	if rate == nil || rate.Text() == unshaped || rate.Text() == "" {
		return
	}
	row := "Device.QoS.Shaper." + itoa(number) + "."
	p.put(row, "", false)
	p.put(row+"Enable", "true", false)
	p.put(row+"Interface", of, false)
	p.put(row+"ShapingRate", rate.Text(), rate.Settable())
	if burst := n.Child("ShapingBurstSize"); burst != nil {
		p.put(row+"ShapingBurstSize", burst.Text(), burst.Settable())
	}
}

// maxDNS is how many DNS servers of a connection have a number.
const maxDNS = 9

// connRest puts what a connection has beyond rules.
func (p *projection) connRest(c connRow) {
	ip := "Device.IP.Interface." + itoa(c.number)
	p.shaper(c.number, c.n, ip)
	if k := c.n.Child("Uptime"); k != nil && text(c.n, "ConnectionStatus") == "Connected" {
		p.put(ip+".LastChange", k.Text(), false)
	}
	kind, pass := "DHCPv4", "Device.DHCPv4.Client."+itoa(c.number)+"."
	if c.ppp {
		kind, pass = "IPCP", "Device.PPP.Interface."+itoa(c.number)+".IPCP."
	}
	if k := c.n.Child("DNSOverrideAllowed"); k != nil && !isTrue(k.Text()) {
		kind = "Static"
	}
	if servers := c.n.Child("DNSServers"); servers != nil {
		p.resolvers(c.number, servers, ip, kind)
	}
	if k := c.n.Child("AddressingType"); k != nil && !c.ppp {
		p.put("Device.DHCPv4.Client."+itoa(c.number)+".Enable", strconv.FormatBool(k.Text() == "DHCP"), k.Settable())
	}
	if l, ok := p.passing[ip]; ok {
		if k := child(l.n, "LANHostConfigManagement", "UseAllocatedWAN"); k != nil {
			p.put(pass+"PassthroughEnable", strconv.FormatBool(k.Text() == "Passthrough" || k.Text() == "UseAllocatedSubnet"), k.Settable())
			p.put(pass+"PassthroughDHCPPool", "Device.DHCPv4.Server.Pool."+itoa(1000*l.a), false)
		}
	}
}

// defaultRoute is the row of the route over the default connection where no row of the CPE's own is a default route.
const (
	defaultRoute     = 1_000_000
	defaultRoutePath = "Device.Routing.Router.1.IPv4Forwarding.1000000."
)

func (p *projection) defaultRoute(root Node) {
	service := child(root, "Layer3Forwarding", defaultConnection)
	if service == nil || slices.ContainsFunc(all(root, "Layer3Forwarding.Forwarding.{i}"), func(l located) bool { return anywhere(text(l.n, "DestIPAddress")) }) {
		return
	}
	ip := p.m.refer(service.Text())
	if ip == "" {
		return
	}
	p.put(defaultRoutePath, "", false)
	p.put(defaultRoutePath+"Enable", "true", false)
	p.put(defaultRoutePath+"Status", "Enabled", false)
	p.put(defaultRoutePath+"DestIPAddress", "", false)
	p.put(defaultRoutePath+"DestSubnetMask", "", false)
	p.put(defaultRoutePath+"Interface", ip, service.Settable())
	if k := child(p.m.node(root, service.Text()), "DefaultGateway"); k != nil {
		p.put(defaultRoutePath+"GatewayIPAddress", k.Text(), k.Settable())
	}
}

// anywhere says whether a destination is that of a default route.
func anywhere(dest string) bool { return dest == "" || dest == "0.0.0.0" }

// queues puts the interfaces of QoS rows, which TR-098 says in words, too.
func (p *projection) queues(root Node) {
	for _, q := range [][3]string{{"Classification", "ClassInterface"}, {"Queue", "QueueInterface"}} {
		for _, l := range all(root, "QueueManagement."+q[0]+".{i}."+q[1]) {
			row := "Device.QoS." + q[0] + "." + itoa(l.nums[0]) + "."
			v := l.n.Text()
			p.put(row+"AllInterfaces", strconv.FormatBool(v == "" || q[0] == "Queue" && (v == "WAN" || v == "LAN")), l.n.Settable())
			p.put(row+"Interface", p.refer(v), l.n.Settable())
		}
	}
}

// bridging puts what the tables of Layer2Bridging say by keys.
func (p *projection) bridging(root Node) {
	interfaces := map[string]string{}
	for _, l := range all(root, "Layer2Bridging.AvailableInterface.{i}") {
		interfaces[text(l.n, "AvailableInterfaceKey")] = p.m.available(root, text(l.n, "InterfaceReference"))
	}
	bridges := map[string]string{}
	for _, l := range all(root, "Layer2Bridging.Bridge.{i}") {
		if key := text(l.n, "BridgeKey"); bridges[key] == "" && l.nums[0] <= maxBridge {
			bridges[key] = bridgePath(l)
		}
	}
	for _, l := range all(root, "Layer2Bridging.Filter.{i}") {
		row := "Device.Bridging.Filter." + itoa(l.nums[0]) + "."
		if k := l.n.Child("FilterBridgeReference"); k != nil {
			p.put(row+"Bridge", bridges[k.Text()], k.Settable())
		}
		if k := l.n.Child("FilterInterface"); k != nil {
			p.put(row+"Interface", interfaces[k.Text()], k.Settable())
		}
	}
	for _, l := range all(root, "Layer2Bridging.Bridge.{i}.Port.{i}.PortInterface") {
		if l.nums[0] <= maxBridge {
			port := bridgePath(l) + ".Port." + itoa(l.nums[1])
			lower := interfaces[l.n.Text()]
			p.lower(port, list(lower)...)
			p.put(port+".LowerLayers", lower, l.n.Settable())
		}
	}
}

// available is what a bridge can have below it for an interface of TR-098: on the WAN side the link that a WANConnectionDevice, or a connection that is bridged,
// is on, where a connection that is routed is its interface.
func (m *Map) available(root Node, ref string) string {
	ref = strings.TrimSuffix(ref, ".")
	s, nums := m.find(ref)
	below, wan := strings.CutPrefix(ref, m.root+"WANDevice.")
	if s == nil || !wan || !strings.Contains(below, ".WANConnectionDevice.") {
		return m.refer(ref)
	}
	if s.mark == ipConnection || s.mark == pppConnection {
		if !slices.Contains(bridged, text(m.node(root, ref), "ConnectionType")) {
			return m.refer(ref)
		}
	}
	lower, _ := (&projection{m: m}).access(root, connRow{a: nums[0], b: nums[1]})
	return lower
}

const (
	bridgeOffset = 1000
	maxBridge    = 8999
)

// bridgePath is the bridge that a row of Layer2Bridging is, or is in.
func bridgePath(l located) string { return "Device.Bridging.Bridge." + itoa(bridgeOffset+l.nums[0]) }

// maskLength makes a dotted mask the length of a prefix, "" where its bits are not together.
func maskLength(v string) string {
	a, err := netip.ParseAddr(v)
	if err != nil || !a.Is4() {
		return ""
	}
	for bits := range 33 {
		if p, err := netip.AddrFrom4([4]byte{255, 255, 255, 255}).Prefix(bits); err == nil && p.Addr() == a {
			return "/" + strconv.Itoa(bits)
		}
	}
	return ""
}

// dottedMask is the way back of maskLength; an address before the length does not count.
func dottedMask(v string) (string, bool) {
	if v == "" {
		return "", true
	}
	_, length, ok := strings.Cut(v, "/")
	bits, err := strconv.Atoi(length)
	p, perr := netip.AddrFrom4([4]byte{255, 255, 255, 255}).Prefix(bits)
	return p.Addr().String(), ok && cmp.Or(err, perr) == nil
}
