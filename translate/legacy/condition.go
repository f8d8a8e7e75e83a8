package legacy

import "strings"

// condition is what has to hold of the row that a rule's source is in. Two rules that say opposite things of a row are for two tables of Device:2.
type condition uint8

const (
	always  condition = iota
	served            // the pool is one of the CPE's own server
	relayed           // the pool is another server's
	leased            // the host has its address of DHCP
	ipv4              // the value is an address of IPv4
	leasedIPv4
)

const conditionalPool = "InternetGatewayDevice.LANDevice.{i}.LANHostConfigManagement.DHCPConditionalServingPool.{i}."

// conditionOf is that of the rule for a source and a target.
func conditionOf(source, target string) condition {
	leases := strings.HasPrefix(target, "Device.DHCPv4.Server.Pool.{i}.Client.")
	switch {
	case strings.HasPrefix(target, "Device.DHCPv4.Relay.Forwarding."):
		return relayed
	case leases && strings.HasSuffix(target, ".IPAddress"):
		return leasedIPv4
	case leases:
		return leased
	case strings.HasPrefix(source, conditionalPool):
		return served
	case strings.HasPrefix(target, "Device.Hosts.Host.{i}.IPv4Address."):
		return ipv4
	}
	return always
}

// holds says whether a rule's condition does for a node.
func (p *projection) holds(r *rule, n Node) bool {
	isIPv4 := func() bool { v := n.Text(); return v != "" && !strings.Contains(v, ":") }
	switch r.only {
	case served:
		return !p.relayed
	case relayed:
		return p.relayed
	case leased:
		return p.leased
	case ipv4:
		return isIPv4()
	case leasedIPv4:
		return p.leased && isIPv4()
	}
	return true
}
