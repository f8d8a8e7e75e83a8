package conformance_test

import (
	"slices"
	"testing"

	"isthmus/usp/usppb"
)

// paths that are asked for in all homes, and the models that have no word for them.
var homePaths = []struct {
	path string
	lack []string
}{
	{"Device.DeviceInfo.ModelName", nil},
	{"Device.DeviceInfo.", nil},
	{"Device.DeviceInfo.MemoryStatus.Free", nil},
	{"Device.DeviceInfo.VendorLogFile.1.Name", nil},
	{"Device.DeviceInfo.FirmwareImage.1.", nil},
	{"Device.DeviceInfo.VendorConfigFile.*.Name", nil},
	{"Device.Time.", nil},
	{"Device.Time.NTPServer1", nil},
	{"Device.Time.LocalTimeZone", nil},
	{"Device.UserInterface.", nil},
	{"Device.UserInterface.RemoteAccess.Port", nil},
	{`Device.Users.User.[Alias=="admin"].Username`, nil},
	{"Device.IP.Interface.1.IPv4Address.1.", nil},
	{`Device.IP.Interface.*.IPv4Address.[IPAddress=="192.168.1.1"].SubnetMask`, nil},
	{"Device.IP.Interface.*.Name", []string{device1}},
	{`Device.IP.Interface.[Name=="internet"].`, []string{device1}},
	{"Device.IP.Interface.10151.LowerLayers", []string{device1}},
	{"Device.PPP.", []string{device1}},
	{"Device.Ethernet.Interface.", []string{device1}},
	{`Device.Ethernet.Link.[Name=="wan1.2.1"].`, []string{device1}},
	{"Device.Ethernet.Link.1.MACAddress", nil},
	{`Device.Ethernet.Interface.[Upstream==true].MACAddress`, []string{device1}},
	{`Device.Ethernet.Interface.[Status!="Up"&&Enable==true].Name`, []string{device1}},
	{"Device.Bridging.", []string{device1}},
	{"Device.WiFi.Radio.", []string{device1}},
	{"Device.WiFi.SSID.*.SSID", []string{device1}},
	{`Device.WiFi.SSID.[SSID=="Home 5G"].`, []string{device1}},
	{`Device.WiFi.SSID.[BSSID=="00:D0:9E:00:00:11"].LowerLayers+.Channel`, []string{device1}},
	{"Device.WiFi.AccessPoint.", []string{device1}},
	{"Device.WiFi.AccessPoint.*.SSIDReference+.SSID", []string{device1}},
	{`Device.WiFi.AccessPoint.[Security.ModeEnabled=="None"].SSIDReference`, []string{device1}},
	{"Device.WiFi.AccessPoint.*.AssociatedDevice.*.MACAddress", []string{device1}},
	{"Device.NAT.", []string{device1}},
	{`Device.NAT.PortMapping.[ExternalPort==8080].InternalClient`, []string{device1}},
	{`Device.NAT.PortMapping.[Interface=="Device.IP.Interface.10151"].Interface+.Name`, []string{device1}},
	{"Device.DHCPv4.Server.", []string{device1}},
	{`Device.DHCPv4.Server.Pool.*.StaticAddress.[Chaddr=="00:D0:9E:00:01:03"].`, []string{device1}},
	{"Device.DHCPv4.Client.10201.", []string{device1}},
	{`Device.Routing.Router.1.IPv4Forwarding.[DestIPAddress=="198.51.100.0"].`, []string{device1}},
	{"Device.Hosts.Host.*.HostName", []string{device1}},
	{`Device.Hosts.Host.[PhysAddress=="00:D0:9E:00:01:02"].`, []string{device1}},
	{`Device.Hosts.Host.[Active==false].`, []string{device1}},
	{"Device.QoS.Queue.", []string{device1}},
	{"Device.NoSuch.", nil},
	{"Device.DeviceInfo.NoSuch", nil},
	{"Device.ManagementServer.", nil},
	{"Device.ManagementServer.URL", nil},
	{"Device.WiFi.SSID.99.SSID", []string{device1}},
}

func TestHomesGet(t *testing.T) {
	for _, c := range homePaths {
		t.Run(c.path, func(t *testing.T) {
			alike(t, func(e *eut, _ *home) any { return e.ask(0, c.path) }, c.lack...)
			for _, h := range homes {
				if slices.Contains(c.lack, h.model) {
					e := h.open(t, options{tree: h.tree()})
					if r := e.get(0, c.path)[0]; len(r.GetResolvedPathResults()) != 0 {
						e.Errorf("%s has %s: %v", h.model, c.path, r)
					}
				}
			}
		})
	}
}

// TestHomesGetDepth: an instance number is no level of its own, whatever the CPE nests.
func TestHomesGetDepth(t *testing.T) {
	alike(t, func(e *eut, _ *home) any {
		return []any{e.ask(1, "Device.WiFi."), e.ask(2, "Device.WiFi."), e.ask(1, "Device.IP.Interface.10151."), e.ask(2, "Device.DHCPv4.")}
	}, device1)
}

// TestHomesGetAll: a message of many paths is answered in their order; what one lacks hurts no other.
func TestHomesGetAll(t *testing.T) {
	var paths []string
	for _, c := range homePaths {
		paths = append(paths, c.path)
	}
	alike(t, func(e *eut, _ *home) any { return e.ask(0, paths...) }, device1)
}

func TestHomesInstances(t *testing.T) {
	alike(t, func(e *eut, _ *home) any {
		return e.instances(false, "Device.IP.Interface.", "Device.WiFi.SSID.", "Device.WiFi.Radio.", "Device.Ethernet.Interface.", "Device.NAT.PortMapping.*.",
			"Device.DHCPv4.Server.Pool.*.StaticAddress.", "Device.Hosts.Host.", `Device.WiFi.SSID.[Enable==true].`)
	}, device1)
	alike(t, func(e *eut, _ *home) any {
		return e.instances(true, "Device.Users.User.", "Device.IP.Interface.1.IPv4Address.")
	})
}

// TestHomesStack: every LowerLayers has its edge, whatever numbers the rows have.
func TestHomesStack(t *testing.T) {
	alike(t, func(e *eut, _ *home) any {
		edges := []string{}
		for _, row := range e.values("Device.InterfaceStack.") {
			if row["HigherLayer"] != "" {
				edges = append(edges, row["HigherLayer"]+" > "+row["LowerLayer"])
			}
		}
		slices.Sort(edges)
		return edges
	}, device1)
}

// supportedObject is what GetSupportedDM says of an object, as far as the first home has it.
type supportedObject struct {
	Access   string
	Params   map[string]string
	Commands map[string][]string
}

func TestHomesSupported(t *testing.T) {
	commands := []string{"Device.", "Device.IP.Diagnostics.", "Device.IP.Interface.{i}.", "Device.PPP.Interface.{i}.", "Device.DeviceInfo.FirmwareImage.{i}."}
	alike(t, func(e *eut, _ *home) any {
		out := map[string]supportedObject{}
		for _, o := range e.model(all(), "Device.")[0].GetSupportedObjs() {
			path := o.GetSupportedObjPath()
			s := supportedObject{Access: o.GetAccess().String(), Params: map[string]string{}, Commands: map[string][]string{}}
			for _, p := range o.GetSupportedParams() {
				if reference()[path+p.GetParamName()] {
					s.Params[p.GetParamName()] = p.GetAccess().String() + " " + p.GetValueType().String()
				}
			}
			if slices.Contains(commands, path) {
				for _, c := range o.GetSupportedCommands() {
					s.Commands[c.GetCommandName()] = c.GetInputArgNames()
				}
			}
			if len(s.Params) > 0 {
				out[path] = s
			}
		}
		return out
	}, device1)
	each(t, func(e *eut, _ *home) {
		q := e.model(&usppb.GetSupportedDM{ReturnParams: true}, "Device.")[0]
		e.has(e.find(q, "Device.DeviceInfo."), "SerialNumber", "SoftwareVersion", "ProvisioningCode")
		e.has(e.find(q, "Device.IP.Interface.{i}.IPv4Address.{i}."), "IPAddress")
	})
}
