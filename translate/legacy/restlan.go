package legacy

import (
	"strconv"
	"strings"
)

// device1Rest puts what a CPE of Device:1 has beyond rules.
func (p *projection) device1Rest(root Node) {
	lan := root.Child("LAN")
	p.clock(root)
	p.services(root)
	if lan == nil {
		return
	}
	if k := lan.Child("AddressingType"); k != nil {
		p.put("Device.DHCPv4.Client.1.Enable", strconv.FormatBool(k.Text() == "DHCP"), k.Settable())
	}
	const ip = "Device.IP.Interface.1"
	if k := child(lan, "Stats", "ConnectionUpTime"); k != nil {
		p.put(ip+".LastChange", k.Text(), false)
	}
	if k := lan.Child("DefaultGateway"); k != nil {
		const route = "Device.Routing.Router.1.IPv4Forwarding.1."
		p.put("Device.Routing.Router.1.Enable", "true", false)
		p.put("Device.Routing.Router.1.Status", "Enabled", false)
		p.put(route, "", false)
		p.put(route+"Enable", "true", false)
		p.put(route+"Status", "Enabled", false)
		p.put(route+"DestIPAddress", "", false)
		p.put(route+"DestSubnetMask", "", false)
		p.put(route+"Interface", ip, false)
		p.put(route+"GatewayIPAddress", k.Text(), k.Settable())
	}
	if k := lan.Child("DNSServers"); k != nil {
		p.resolvers(1, k, ip, "")
	}
}

// resolvers puts a row for each DNS server in a list.
func (p *projection) resolvers(number uint32, servers Node, ip, kind string) {
	if servers.Text() == "" {
		return
	}
	for i, v := range strings.Split(servers.Text(), ",") {
		if i == maxDNS {
			break
		}
		row := "Device.DNS.Client.Server." + itoa(10*number+uint32(i)+1) + "."
		p.put(row, "", false)
		p.put(row+"DNSServer", strings.TrimSpace(v), servers.Settable())
		p.put(row+"Enable", "true", false)
		p.put(row+"Interface", ip, false)
		p.put(row+"Status", "Enabled", false)
		if kind != "" {
			p.put(row+"Type", kind, false)
		}
	}
}

// writeDHCP makes an interface take its address from DHCP, or stop.
func (m *Map) writeDHCP(root Node, path, value string) ([]Write, error) {
	below := "LAN."
	if m.root != "Device." {
		var ok bool
		if below, ok = connectionOf(numberAfter(path, "Device.DHCPv4.Client.")); !ok {
			return nil, readOnly(path)
		}
	}
	if isTrue(value) {
		return m.set(root, path, below+"AddressingType", "DHCP")
	}
	return m.set(root, path, below+"AddressingType", "Static")
}

// writeFirewall switches the firewall off, or on at the level that it has or else the lowest.
func (m *Map) writeFirewall(root Node, path, value string) ([]Write, error) {
	level, was := "Off", text(root, "Firewall", "Config")
	if isTrue(value) {
		if level = was; was == "Off" {
			level = "Low"
		}
	}
	writes, err := m.set(root, path, "Firewall.Config", level)
	for i := range writes {
		writes[i].Default = isTrue(value) && was == "Off"
	}
	return writes, err
}

// keepsPool refuses to move a pool to another interface: it is where its LANDevice is.
func (m *Map) keepsPool(_ Node, path, value string) ([]Write, error) {
	a := numberAfter(path, "Device.DHCPv4.Server.Pool.") / 1000
	return nil, m.keeps(path, value, "Device.IP.Interface."+itoa(a))
}

// poolTable is the table in which a pool for an interface is made, "" where there is none; no interface is the first.
func (m *Map) poolTable(root Node, ip string) string {
	n := uint32(1)
	if ip != "" {
		n = numberAfter(strings.TrimSuffix(ip, ".")+".", "Device.IP.Interface.")
	}
	below := "LANDevice." + itoa(n) + ".LANHostConfigManagement.DHCPConditionalServingPool."
	if n > maxLAN || child(root, strings.Split(strings.TrimSuffix(below, "."), ".")...) == nil {
		return ""
	}
	return m.root + below
}

// writeOneResolver, writeOneGateway: a CPE of Device:1 has one interface.
func (m *Map) writeOneResolver(root Node, path, value string) ([]Write, error) {
	items := strings.Split(text(root, "LAN", "DNSServers"), ",")
	k := int(numberAfter(path, "Device.DNS.Client.Server.")) - 10 - 1
	if k < 0 || k >= len(items) || strings.Contains(value, ",") {
		return nil, readOnly(path)
	}
	items[k] = value
	return joins(m.set(root, path, "LAN.DNSServers", strings.Join(items, ",")))
}

func (m *Map) writeOneGateway(root Node, path, value string) ([]Write, error) {
	return m.set(root, path, "LAN.DefaultGateway", value)
}
