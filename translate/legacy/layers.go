package legacy

import (
	"slices"
	"strconv"
	"strings"
)

// facts are rows of the older data model that more hangs on than rules say.
type facts struct {
	lans    []lanRow
	wans    []numbered
	conns   []connRow
	bridges []connRow  // connections that are ports of a bridge
	rows    []numbered // of tables that need a column or two more

	hosts   map[string]bool    // those met, by their MAC addresses in lower case
	station map[string]string  // the row of an access point, by MAC address in lower case
	passing map[string]*lanRow // the LANDevice that has an IP interface to itself
	leased  bool               // the host at hand has its address of DHCP
	relayed bool               // the pool at hand is another server's
}

type numbered struct {
	mark mark
	nums [maxNums]uint32
	n    Node
}

type lanRow struct {
	a         uint32
	n         Node
	ports     []uint32 // of Ethernet
	wlans     []uint32
	addressed bool // an IP address is enabled
}

type connRow struct {
	a, b, c uint32
	ppp     bool
	n       Node
	number  uint32
}

// bridged are the values of ConnectionType of connections that have no IP interface.
var bridged = []string{"IP_Bridged", "PPPoE_Bridged", "PPPoE_Relay", "PPTP_Relay", "L2TP_Relay", "DHCP_Spoofed"}

// connectionStatus is ConnectionStatus as the status of an interface.
var connectionStatus = enumMap("Unconfigured=Down;Connecting=Dormant;Authenticating=Dormant;Connected=Up;PendingDisconnect=Up;Disconnecting=Down;Disconnected=Down;" +
	"Disconneting=Down")

// meet notes a row; false leaves it out with all below.
func (p *projection) meet(m mark, n Node) bool {
	last := func() *lanRow { return &p.lans[len(p.lans)-1] }
	switch m {
	case lanDevice:
		p.lans = append(p.lans, lanRow{a: p.nums[0], n: n})
	case lanPort:
		last().ports = append(last().ports, p.nums[1])
	case wlan:
		last().wlans = append(last().wlans, p.nums[1])
	case address:
		last().addressed = last().addressed || isTrue(text(n, "Enable"))
	case wanDevice:
		p.wans = append(p.wans, numbered{m, p.nums, n})
	case ipConnection, pppConnection:
		c := connRow{a: p.nums[0], b: p.nums[1], c: p.nums[2], ppp: m == pppConnection, n: n}
		expr := "wanip(a,b,c)"
		if c.ppp {
			expr = "wanppp(a,b,c)"
		}
		number, ok := numbers[expr].of(p.nums[:])
		if !ok {
			return false
		}
		c.number = number
		if slices.Contains(bridged, text(n, "ConnectionType")) {
			p.bridges = append(p.bridges, c)
			return false
		}
		p.conns = append(p.conns, c)
	case host, pool, ipMapping, pppMapping:
		if m == host && p.twice(n) {
			return false
		}
		p.leased = m == host && text(n, "AddressSource") == "DHCP"
		p.relayed = m == pool && relays(n)
		p.rows = append(p.rows, numbered{m, p.nums, n})
	}
	return true
}

// relays says whether a pool is another server's; one that does not say is the CPE's own (TR-098, LocallyServed).
func relays(pool Node) bool {
	v := text(pool, "LocallyServed")
	return v != "" && !isTrue(v)
}

func itoa(n uint32) string { return strconv.FormatUint(uint64(n), 10) }

// enabled is Enabled or Disabled.
func enabled(v string) string {
	if isTrue(v) {
		return "Enabled"
	}
	return "Disabled"
}

// synthesize puts what no parameter of the CPE says by itself.
func (p *projection) synthesize(root Node) {
	if p.m.root == "Device." {
		p.device1(root)
		return
	}
	p.wifi()
	p.zone(root)
	for i := range p.lans {
		p.lan(root, &p.lans[i], i == 0)
	}
	for _, w := range p.wans {
		p.wan(w)
	}
	for _, c := range p.conns {
		p.connection(root, c)
	}
	if len(p.lans)+len(p.conns) > 0 {
		p.put("Device.IP.IPv4Capable", "true", false)
		p.put("Device.IP.IPv4Enable", "true", false)
		p.put("Device.IP.IPv4Status", "Enabled", false)
	}
	if root.Child("Layer3Forwarding") != nil {
		p.put("Device.Routing.Router.1.Enable", "true", false)
		p.put("Device.Routing.Router.1.Status", "Enabled", false)
	}
	p.station = p.stations()
	for _, r := range p.rows {
		p.row(r)
	}
	p.rest(root)
}

// zone is the time zone: the name where it is one of POSIX, else the offset.
func (p *projection) zone(root Node) {
	const path = "Device.Time.LocalTimeZone"
	name, offset := child(root, "Time", "LocalTimeZoneName"), child(root, "Time", "LocalTimeZone")
	switch {
	case name != nil && isPOSIX(name.Text()):
		p.put(path, name.Text(), name.Settable())
	case offset != nil && offset.Text() != "":
		p.put(path, offsetToPOSIX(offset.Text()), name != nil && name.Settable())
	case name != nil:
		p.put(path, "", name.Settable())
	}
}

// isPOSIX tells a time zone of POSIX, such as CET-1CEST,M3.5.0,M10.5.0/3 or <+0100>-1, from a name such as Europe/Berlin.
func isPOSIX(v string) bool {
	const shortest = 3 // letters of an abbreviation
	offset := strings.TrimLeft(v, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
	switch name, rest, quoted := strings.Cut(v, ">"); {
	case quoted && strings.HasPrefix(name, "<"):
		offset = rest
	case len(v)-len(offset) < shortest:
		return false
	}
	offset = strings.TrimLeft(offset, "+-")
	return offset != "" && offset[0] >= '0' && offset[0] <= '9' && !strings.ContainsAny(v, " ()")
}

// lan puts the interfaces of a LANDevice. The first has the bridge that bridged connections are ports of: TR-098 does not say which.
func (p *projection) lan(root Node, l *lanRow, first bool) {
	a := itoa(l.a)
	ip, link, bridge := "Device.IP.Interface."+a, "Device.Ethernet.Link."+a, "Device.Bridging.Bridge."+a
	config := l.n.Child("LANHostConfigManagement")
	if config == nil {
		return
	}
	status := "Down"
	if l.addressed {
		status = "Up"
	}
	p.interfaceRow(ip, "true", status, "br-lan"+a, link)
	if server := config.Child("DHCPServerEnable"); server != nil {
		pool := "Device.DHCPv4.Server.Pool." + itoa(1000*l.a) + "."
		p.put(pool+"Interface", ip, false)
		conditional := 0
		if table := config.Child("DHCPConditionalServingPool"); table != nil {
			table.Each(func(k Node) { conditional += int(min(k.Number(), 1)) })
		}
		p.put(pool+"Order", strconv.Itoa(conditional+1), false)
	}
	var ports []string
	up := false
	member := func(number uint32, of, layer, kind string) {
		port := bridge + ".Port." + itoa(number)
		n := child(l.n, kind, of)
		s := text(n, "Status")
		p.put(port+".", "", false)
		p.put(port+".Enable", text(n, "Enable"), false)
		if s == "NoLink" || s == "Disabled" {
			s = "Down"
		}
		up = up || s == "Up"
		p.put(port+".Status", s, false)
		p.put(port+".Name", text(n, "Name"), false)
		p.put(port+".ManagementPort", "false", false)
		p.lower(port, layer)
		ports = append(ports, port)
	}
	for _, b := range l.ports {
		n := port(l.a, b)
		member(100+b, itoa(b), "Device.Ethernet.Interface."+itoa(n), "LANEthernetInterfaceConfig")
		p.put("Device.Ethernet.Interface."+itoa(n)+".Upstream", "false", false)
		p.put("Device.Ethernet.Interface."+itoa(n)+".LowerLayers", "", false)
	}
	for _, b := range l.wlans {
		member(200+b, itoa(b), "Device.WiFi.SSID."+itoa(port(l.a, b)), "WLANConfiguration")
	}
	if first {
		for _, c := range p.bridges {
			port := bridge + ".Port." + itoa(c.number)
			p.put(port+".", "", false)
			p.put(port+".Enable", text(c.n, "Enable"), false)
			p.put(port+".Status", connectionStatus.to(text(c.n, "ConnectionStatus")), false)
			p.put(port+".Name", text(c.n, "Name"), false)
			p.put(port+".ManagementPort", "false", false)
			lower, _ := p.access(root, c)
			p.lower(port, list(lower)...)
			ports = append(ports, port)
		}
	}
	state := "LowerLayerDown"
	if up {
		state = "Up"
	}
	p.put(bridge+".Enable", "true", false)
	p.put(bridge+".Status", "Enabled", false)
	p.put(bridge+".Standard", "802.1D-2004", false)
	management := bridge + ".Port.1"
	p.put(management+".", "", false)
	p.put(management+".Enable", "true", false)
	p.put(management+".Status", state, false)
	p.put(management+".Name", "br-lan"+a, false)
	p.put(management+".ManagementPort", "true", false)
	p.lower(management, ports...)
	p.linkRow(link, state, "lan"+a, management)
}

// interfaceRow puts what every IP interface has.
func (p *projection) interfaceRow(ip, enable, status, name, lower string) {
	p.put(ip+".IPv4Enable", "true", false)
	p.put(ip+".Type", "Normal", false)
	p.put(ip+".Router", "Device.Routing.Router.1", false)
	if enable != "" {
		p.put(ip+".Enable", enable, false)
		p.put(ip+".Status", status, false)
		p.put(ip+".Name", name, false)
	}
	if lower != "" {
		p.lower(ip, lower)
	}
}

func (p *projection) linkRow(link, status, name string, lower ...string) {
	p.put(link+".Enable", "true", false)
	p.put(link+".Status", status, false)
	p.put(link+".Name", name, false)
	p.lower(link, lower...)
}

// wan puts the physical interfaces of a WANDevice.
func (p *projection) wan(w numbered) {
	a := w.nums[0]
	if w.n.Child("WANEthernetInterfaceConfig") != nil {
		eth := "Device.Ethernet.Interface." + itoa(10000*a)
		p.put(eth+".Name", "wan"+itoa(a), false)
		p.put(eth+".Upstream", "true", false)
		p.put(eth+".LowerLayers", "", false)
	}
	if w.n.Child("WANDSLInterfaceConfig") != nil {
		line, channel := "Device.DSL.Line."+itoa(a), "Device.DSL.Channel."+itoa(a)
		p.put(line+".Name", "dsl"+itoa(a), false)
		p.put(line+".Upstream", "true", false)
		p.put(line+".LowerLayers", "", false)
		p.put(channel+".Name", "dslch"+itoa(a), false)
		p.lower(channel, line)
	}
	devices := w.n.Child("WANConnectionDevice")
	if devices == nil {
		return
	}
	devices.Each(func(d Node) {
		if d.Number() == 0 {
			return
		}
		n, b := itoa(100*a+d.Number()), itoa(d.Number())
		for kind, table := range map[string]string{"WANDSLLinkConfig": "ATM", "WANPTMLinkConfig": "PTM"} {
			if d.Child(kind) == nil {
				continue
			}
			link := "Device." + table + ".Link." + n
			p.put(link+".Name", strings.ToLower(table)+itoa(a)+"."+b, false)
			p.lower(link, "Device.DSL.Channel."+itoa(a))
		}
	})
}

// access gives what the connections of a WANConnectionDevice run over, and whether that is up.
func (p *projection) access(root Node, c connRow) (lower string, up bool) {
	wan := child(root, "WANDevice", itoa(c.a))
	device := child(wan, "WANConnectionDevice", itoa(c.b))
	switch number := itoa(100*c.a + c.b); {
	case child(device, "WANDSLLinkConfig") != nil:
		return "Device.ATM.Link." + number, text(device, "WANDSLLinkConfig", "LinkStatus") == "Up"
	case child(device, "WANPTMLinkConfig") != nil:
		return "Device.PTM.Link." + number, text(device, "WANPTMLinkConfig", "LinkStatus") == "Up"
	case child(wan, "WANEthernetInterfaceConfig") != nil:
		return "Device.Ethernet.Interface." + itoa(10000*c.a), text(wan, "WANEthernetInterfaceConfig", "Status") == "Up"
	}
	return "", text(wan, "WANCommonInterfaceConfig", "PhysicalLinkStatus") == "Up"
}

// connection puts the interfaces of a connection.
func (p *projection) connection(root Node, c connRow) {
	x := itoa(c.number)
	ip, link := "Device.IP.Interface."+x, "Device.Ethernet.Link."+x
	lower, up := p.access(root, c)
	kind := text(root, "WANDevice", itoa(c.a), "WANConnectionDevice", itoa(c.b), "WANDSLLinkConfig", "LinkType")
	below := link
	if kind == "IPoA" || kind == "PPPoA" {
		below = lower
	} else {
		status := "Down"
		if up {
			status = "Up"
		}
		name := "wan" + itoa(c.a) + "." + itoa(c.b) + "." + itoa(c.number%100)
		if lower == "" {
			p.linkRow(link, status, name)
		} else {
			p.linkRow(link, status, name, lower)
		}
	}
	if c.ppp {
		ppp := "Device.PPP.Interface." + x
		if t := text(c.n, "TransportType"); t == "L2TP" || t == "PPTP" || below == "" {
			p.lower(ppp)
		} else {
			p.lower(ppp, below)
		}
		below = ppp
	}
	p.interfaceRow(ip, "", "", "", below)
	p.put("Device.NAT.InterfaceSetting."+x+".Interface", ip, false)
	if c.n.Child("ExternalIPAddress") != nil {
		v4 := ip + ".IPv4Address.1."
		p.put(v4+"Enable", text(c.n, "Enable"), false)
		p.put(v4+"Status", enabled(text(c.n, "Enable")), false)
		if c.ppp {
			p.put(v4+"AddressingType", "IPCP", false)
			p.put(v4+"SubnetMask", "255.255.255.255", false)
		}
	}
	if dhcp := c.n.Child("AddressingType"); dhcp != nil && !c.ppp {
		client := "Device.DHCPv4.Client." + x + "."
		on := strconv.FormatBool(dhcp.Text() == "DHCP")
		p.put(client+"Interface", ip, false)
		p.put(client+"Enable", on, dhcp.Settable())
		p.put(client+"Status", enabled(strconv.FormatBool(on == "true" && isTrue(text(c.n, "Enable")))), false)
	}
}

// row puts the columns that a row has beyond its rules.
func (p *projection) row(r numbered) {
	switch r.mark {
	case host:
		if n, ok := numbers["host(a,b)"].of(r.nums[:]); ok {
			p.put("Device.Hosts.Host."+itoa(n)+".Layer3Interface", "Device.IP.Interface."+itoa(r.nums[0]), false)
			if station := p.station[strings.ToLower(text(r.n, "MACAddress"))]; station != "" {
				p.put("Device.Hosts.Host."+itoa(n)+".AssociatedDevice", station, false)
			}
		}
	case pool:
		row := "Device.DHCPv4.Server.Pool." + itoa(1000*r.nums[0]+r.nums[1]) + "."
		if r.nums[0] <= maxLAN && r.nums[1] <= maxPool && !relays(r.n) {
			p.put(row+"Interface", "Device.IP.Interface."+itoa(r.nums[0]), true)
		}
	case ipMapping, pppMapping:
		conn := wan(0)
		if r.mark == pppMapping {
			conn = wan(pppOffset)
		}
		if n, ok := ofConnection(conn).of(r.nums[:]); ok {
			row := "Device.NAT.PortMapping." + itoa(n) + "."
			p.put(row+"Interface", "Device.IP.Interface."+itoa(n/10000), true)
			p.put(row+"AllInterfaces", "false", true)
		}
	}
}

// device1 puts the one interface that a CPE of Device:1 has.
func (p *projection) device1(root Node) {
	p.device1Rest(root)
	lan := root.Child("LAN")
	if lan == nil {
		return
	}
	const ip, link = "Device.IP.Interface.1", "Device.Ethernet.Link.1"
	p.put(ip+".", "", false)
	p.put(ip+".IPv4Enable", "true", false)
	p.put(ip+".Type", "Normal", false)
	p.put(ip+".Enable", "true", false)
	p.put(ip+".Status", "Up", false)
	p.lower(ip, link)
	p.put(link+".Enable", "true", false)
	p.put(link+".Status", "Up", false)
	p.lower(link)
	p.put(ip+".IPv4Address.1.", "", false)
	p.put(ip+".IPv4Address.1.Enable", "true", false)
	p.put(ip+".IPv4Address.1.Status", "Enabled", false)
	if v := lan.Child("AddressingType"); v != nil {
		p.put("Device.DHCPv4.Client.1.Interface", ip, false)
	}
	p.put("Device.IP.IPv4Capable", "true", false)
	p.put("Device.IP.IPv4Enable", "true", false)
	p.put("Device.IP.IPv4Status", "Enabled", false)
}
