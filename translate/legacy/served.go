package legacy

import "strings"

// omission is what a table has and a Device:2 CPE would, and we leave out. A target that ends in a dot is all below it.
type omission struct{ target, why string }

const (
	byProxy = "served by the proxy, not mapped"
	noAlias = "rows that nobody makes have an Alias where the CPE has one"
)

// unshown are the targets of rules that are not shown.
var unshown = []omission{
	{"Device.CWMPManagementServer.", "writing false would cut the CPE off for good"},
	{"Device.DeviceInfo.FirmwareImage.", byProxy},
	{"Device.DeviceInfo.ActiveFirmwareImage", byProxy},
	{"Device.DeviceInfo.BootFirmwareImage", byProxy},
	{"Device.DeviceInfo.FriendlyName", "a name that nobody gave the CPE says nothing"},
	{"Device.Bridging.Bridge.{i}.VLANPort.", "the bridge of a Marking row is a list of keys, each of which would be a row"},
	{"Device.DHCPv4.Server.Pool.{i}.Client.{i}.IPv4Address.{i}.LeaseTimeRemaining", "it needs the time of the read; Hosts.Host has the seconds left"},
	{"Device.DSL.Line.{i}.XTSE", "TR-098 names standards, G.997.1 numbers their annexes"},
	{"Device.DSL.Line.{i}.XTSUsed", "TR-098 names standards, G.997.1 numbers their annexes"},
	{"Device.IP.IPv6Capable", "TR-098 has no word for IPv6: what is not known is not denied"},
	{"Device.InterfaceStack.{i}.Alias", noAlias},
	{"Device.InterfaceStack.{i}.HigherAlias", noAlias},
	{"Device.InterfaceStack.{i}.LowerAlias", noAlias},
	{"Device.WiFi.Radio.{i}.Alias", noAlias},
}

// unwritten are the targets of rules that are shown but cannot be written.
var unwritten = []omission{
	{"Device.PPP.Interface.{i}.IPCP.PassthroughDHCPPool", "it is the pool of the LANDevice whose connection it is"},
	{"Device.DHCPv4.Client.{i}.PassthroughDHCPPool", "it is the pool of the LANDevice whose connection it is"},
}

// unusedSources are sources whose rules are left out.
var unusedSources = []omission{
	{"InternetGatewayDevice.LANInterfaces.", "interfaces in no LANDevice, that no CPE has been seen with"},
}

func covered(list []omission, path string) (why string, ok bool) {
	for _, o := range list {
		if path == o.target || strings.HasSuffix(o.target, ".") && strings.HasPrefix(path, o.target) {
			return o.why, true
		}
	}
	return "", false
}
