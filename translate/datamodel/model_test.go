package datamodel

import (
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"isthmus/usp/agent"
)

// gateway is what a small made-up Device:2 gateway answers to GetParameterNames.
func gateway() []Name {
	var names []Name
	for line := range strings.Lines(`Device. r
		Device.RootDataModelVersion r string
		Device.DeviceInfo. r
		Device.DeviceInfo.Manufacturer r string
		Device.DeviceInfo.UpTime r unsignedInt
		Device.DeviceInfo.FirstUseDate r string
		Device.DeviceInfo.SupportedDataModelNumberOfEntries r unsignedInt
		Device.DeviceInfo.SupportedDataModel.1.URL r string
		Device.DeviceInfo.ProxierInfo.SerialNumber r string
		Device.ManagementServer. r
		Device.ManagementServer.URL w string
		Device.ManagementServer.X_VENDOR_Key w string
		Device.MQTT.Client.1.Enable w boolean
		Device.GatewayInfo.SerialNumber r string
		Device.GatewayInfo.EndpointID r string
		Device.NAT. r
		Device.NAT.PortMappingNumberOfEntries r unsignedInt
		Device.NAT.PortMapping. w
		Device.Time.NTPServer1 w string
		Device.Time.CurrentLocalTime r dateTime
		Device.WiFi.Radio. r
		Device.WiFi.Radio.1. r
		Device.WiFi.Radio.1.Alias w string
		Device.WiFi.Radio.1.Channel w unsignedInt
		Device.WiFi.Radio.1.Name r string
		Device.WiFi.Radio.1.Status r string
		Device.WiFi.Radio.1.OperatingStandards w string
		Device.WiFi.Radio.1.TransmitPower w int
		Device.WiFi.Radio.1.GuardInterval w boolean
		Device.WiFi.Radio.1.Stats. r
		Device.WiFi.Radio.1.Stats.BytesSent r unsignedInt
		Device.WiFi.SSID. w
		Device.WiFi.SSID.1. r
		Device.WiFi.SSID.1.SSID w string
		Device.WiFi.SSID.1.BSSID r string
		Device.WiFi.AccessPoint. r
		Device.WiFi.AccessPoint.1. w
		Device.WiFi.AccessPoint.1.Security.KeyPassphrase w string
		Device.DHCPv4.Server.Pool. w
		Device.Firewall.Level.1.Name w string
		Device.Firewall.Level.1.Order w unsignedInt
		Device.X_VENDOR. w
		Device.X_VENDOR.Limit w int
		Device.X_VENDOR.ThingNumberOfEntries r unsignedInt
		Device.X_VENDOR.Thing. r
		Device.X_VENDOR.Item. w
		Device.X_VENDOR.Row. w
		Device.X_VENDOR.Row.2. w
		Device.X_VENDOR.Row.2.Alias w string
		Device.X_VENDOR.Row.2.Stats.PacketsSent r unsignedLong
		Device.X_VENDOR.Single. r`) {
		f := append(strings.Fields(line), "")
		names = append(names, Name{Path: f[0], Writable: f[1] == "w", Type: f[2]})
	}
	return names
}

func TestModelOfGateway(t *testing.T) {
	m := Model(BuildShape(gateway()), []string{"GetRPCMethods", "Reboot"})
	object := func(path string) *agent.ObjectDef {
		t.Helper()
		o := m.Object(path)
		if o == nil || o.Path != path {
			t.Fatalf("no object %s: %+v", path, o)
		}
		return o
	}

	root := object("Device.")
	wantBoot := []agent.EventDef{{Name: "Boot!", Args: []string{"CommandKey", "Cause", "Reason", "FirmwareUpdated", "ParameterMap"}}}
	if diff := cmp.Diff(wantBoot, root.Events); diff != "" {
		t.Error(diff)
	}
	if len(root.Commands) != 1 || root.Command("Reboot()") == nil {
		t.Errorf("commands: %+v", root.Commands)
	}

	mapping := object("Device.NAT.PortMapping.{i}.")
	if !mapping.Multi || mapping.Access != agent.AddDelete {
		t.Errorf("PortMapping: %+v", mapping)
	}
	if diff := cmp.Diff([][]string{{"Alias"}, {"RemoteHost", "ExternalPort", "Protocol"}}, mapping.Keys); diff != "" {
		t.Error(diff)
	}
	for name, want := range map[string]agent.ParamDef{ // from the schema, for the table is empty
		"Protocol": {Type: agent.TypeString, Writable: true, Enum: []string{"TCP", "UDP"}},
		"Alias":    {Type: agent.TypeString, Writable: true, WriteOnce: true},
		"Status":   {Type: agent.TypeString, Enum: []string{"Disabled", "Enabled", "Inactive", "Error_Misconfigured", "Error"}},
	} {
		want.Name = name
		if diff := cmp.Diff(&want, mapping.Param(name)); diff != "" {
			t.Error(diff)
		}
	}
	if pool := object("Device.DHCPv4.Server.Pool.{i}."); pool.Param("Enable") == nil {
		t.Error("DHCPv4.Server.Pool has no columns")
	}
	if o := m.Object("Device.DHCPv4.Server.Pool.{i}.StaticAddress.{i}."); o != nil {
		t.Error("a nested table was made up")
	}

	radio := object("Device.WiFi.Radio.{i}.")
	if radio.Access != agent.ReadOnly {
		t.Errorf("Radio has access %v", radio.Access)
	}
	if diff := cmp.Diff([][]string{{"Alias"}, {"Name"}}, radio.Keys); diff != "" {
		t.Error(diff)
	}
	for name, ok := range map[string]func(p *agent.ParamDef) bool{
		"Channel":            func(p *agent.ParamDef) bool { return p.Writable && p.Type == agent.TypeUnsignedInt },
		"Status":             func(p *agent.ParamDef) bool { return !p.Writable && len(p.Enum) > 0 && !p.Quiet },
		"Alias":              func(p *agent.ParamDef) bool { return p.WriteOnce },
		"OperatingStandards": func(p *agent.ParamDef) bool { return p.List },
		// The CPE's boolean contradicts the schema's enumeration.
		"GuardInterval": func(p *agent.ParamDef) bool { return p.Type == agent.TypeBoolean && p.Enum == nil },
	} {
		if p := radio.Param(name); p == nil || !ok(p) {
			t.Errorf("Radio.%s: %+v", name, p)
		}
	}
	if radio.Param("Enable") != nil {
		t.Error("Radio has a parameter that the CPE has not")
	}
	if p := object("Device.WiFi.Radio.{i}.Stats.").Param("BytesSent"); !p.Quiet || p.Type != agent.TypeUnsignedLong {
		t.Errorf("BytesSent: %+v", p)
	}
	if p := object("Device.DeviceInfo.").Param("FirstUseDate"); p.Type != agent.TypeDateTime {
		t.Errorf("FirstUseDate that the CPE calls a string: %+v", p)
	}
	if p := object("Device.Time.").Param("NTPServer1"); p == nil || !p.Writable {
		t.Errorf("a deleted parameter that the CPE has: %+v", p)
	}

	ssid := object("Device.WiFi.SSID.{i}.")
	if ssid.Access != agent.AddOnly {
		t.Errorf("SSID has access %v", ssid.Access)
	}
	if diff := cmp.Diff([][]string{{"BSSID"}}, ssid.Keys); diff != "" {
		t.Error(diff)
	}
	if o := object("Device.WiFi.AccessPoint.{i}."); o.Access != agent.DeleteOnly || o.Keys != nil {
		t.Errorf("AccessPoint: %+v", o)
	}
	if p := object("Device.WiFi.AccessPoint.{i}.Security.").Param("KeyPassphrase"); !p.Secured {
		t.Errorf("KeyPassphrase: %+v", p)
	}

	if o := object("Device.X_VENDOR."); o.Multi || !o.Param("Limit").Writable || o.Param("Limit").Type != agent.TypeInt {
		t.Errorf("X_VENDOR: %+v", o)
	}
	if o := object("Device.X_VENDOR.Thing.{i}."); !o.Multi || o.Access != agent.ReadOnly {
		t.Errorf("Thing: %+v", o)
	}
	if o := object("Device.X_VENDOR.Item.{i}."); o.Access != agent.AddDelete || o.Params != nil {
		t.Errorf("Item: %+v", o)
	}
	if o := object("Device.X_VENDOR.Row.{i}."); o.Access != agent.AddDelete || !o.Param("Alias").WriteOnce || len(o.Keys) != 1 {
		t.Errorf("Row: %+v", o)
	}
	if o := object("Device.Firewall.Level.{i}."); !o.Param("Name").WriteOnce || o.Param("Order").WriteOnce { // R-KEY.1
		t.Errorf("Level: %+v", o)
	}
	if p := object("Device.X_VENDOR.Row.{i}.Stats.").Param("PacketsSent"); !p.Quiet {
		t.Errorf("PacketsSent: %+v", p)
	}
	if o := object("Device.X_VENDOR.Single."); o.Multi {
		t.Errorf("Single: %+v", o)
	}

	for _, o := range m.Objects() {
		if Hidden(o.Path) {
			t.Errorf("%s is visible", o.Path)
		}
		for _, p := range o.Params {
			if Hidden(o.Path + p.Name) {
				t.Errorf("%s%s is visible", o.Path, p.Name)
			}
		}
	}
	if object("Device.GatewayInfo.").Param("SerialNumber") == nil {
		t.Error("GatewayInfo.SerialNumber is hidden")
	}
}

func TestModelCommandsFollowGetRPCMethods(t *testing.T) {
	s := BuildShape(gateway())
	for name, c := range map[string]struct {
		rpcs    []string
		factory bool
	}{
		"unknown":       {nil, true},
		"listed":        {[]string{"FactoryReset"}, true},
		"not listed":    {[]string{"Reboot"}, false},
		"empty listing": {[]string{}, false},
	} {
		root := Model(s, c.rpcs).Object("Device.")
		if root.Command("Reboot()") == nil || (root.Command("FactoryReset()") != nil) != c.factory {
			t.Errorf("%s: %+v", name, root.Commands)
		}
	}
}

func TestModelOfOtherRoots(t *testing.T) {
	for name, names := range map[string][]Name{
		"TR-098":   {{Path: "InternetGatewayDevice.DeviceInfo.ModelName"}, {Path: "InternetGatewayDevice.LANDevice.1.Hosts."}},
		"Device:1": {{Path: "Device.DeviceSummary"}, {Path: "Device.DeviceInfo.ModelName"}, {Path: "Device.LAN.IPAddress"}},
	} {
		m := Model(BuildShape(names), nil)
		var got []string
		for _, o := range m.Objects() {
			for _, p := range o.Params {
				got = append(got, o.Path+p.Name)
				if p.Writable || p.Type != agent.TypeString {
					t.Errorf("%s: %+v", name, p)
				}
			}
		}
		want := "HardwareVersion Manufacturer ManufacturerOUI ProductClass SerialNumber SoftwareVersion ModelName"
		if s := strings.ReplaceAll(strings.Join(got, " "), "Device.DeviceInfo.", ""); s != want {
			t.Errorf("%s: %s, want %s", name, s, want)
		}
		if root := m.Object("Device."); root.Event("Boot!") == nil || root.Command("Reboot()") == nil {
			t.Errorf("%s: %+v", name, root)
		}
	}
}

func TestHidden(t *testing.T) {
	for path, want := range map[string]bool{
		"Device.ManagementServer":                             true,
		"Device.ManagementServer.":                            true,
		"Device.ManagementServer.URL":                         true,
		"Device.managementserver.URL":                         true,
		"Device.ManagementServer.X_VENDOR.1.Y":                true,
		"Device.ManagementServers.URL":                        false,
		"Device.CWMPManagementServer.EnableCWMP":              true,
		"Device.BulkData.Profile.{i}.Enable":                  true,
		"Device.MQTT.Client.1.":                               true,
		"Device.STOMP.Connection.*.Enable":                    true,
		"Device.DeviceInfo.SupportedDataModel.1.":             true,
		"Device.DeviceInfo.ProxierInfo.":                      true,
		"Device.DeviceInfo.SerialNumber":                      false,
		"Device.GatewayInfo.EndpointID":                       true,
		"Device.GatewayInfo.EndpointIDs":                      false,
		"Device.GatewayInfo.":                                 false,
		"Device.":                                             false,
		"":                                                    false,
		"Device.IP.Diagnostics.IPPing.DiagnosticsState":       false,
		"Device.Services.X.ManagementServer.URL":              false,
		"Device.DeviceInfo.SupportedDataModelNumberOfEntries": true,
	} {
		if got := Hidden(path); got != want {
			t.Errorf("Hidden(%q) = %v", path, got)
		}
	}
}

// TestHiddenFollowsPolicy holds the list against the table of differences between the two variants of Device:2.
func TestHiddenFollowsPolicy(t *testing.T) {
	text, err := os.ReadFile("tables/device2-cwmp-vs-usp.tsv")
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for line := range strings.Lines(string(text)) {
		c := strings.Split(line, "\t")
		switch path, class := c[0], c[7]; class {
		case "management-server", "usp-agent", "local-agent", "cwmp-meta", "cwmp-switch", "bulk-data":
			checked++
			if !Hidden(path) {
				t.Errorf("%s (%s) is visible", path, class)
			}
		}
	}
	if checked < 400 {
		t.Errorf("only %d rows were checked", checked)
	}
}

func BenchmarkModel(b *testing.B) {
	s := BuildShape(bigGateway(b))
	b.ReportMetric(float64(len(s.names)), "names")
	b.ReportAllocs()
	for b.Loop() {
		Model(s, nil)
	}
}

func BenchmarkBuildShape(b *testing.B) {
	names := bigGateway(b)
	b.ReportAllocs()
	for b.Loop() {
		BuildShape(names)
	}
}

func BenchmarkEncode(b *testing.B) {
	s := BuildShape(bigGateway(b))
	for b.Loop() {
		s.Encode()
	}
	b.ReportMetric(float64(len(s.Encode())), "bytes")
}

// bigGateway has 800 parameters of Device:2 with one row in every table.
func bigGateway(tb testing.TB) []Name {
	tb.Helper()
	var names []Name
	for _, prefix := range []string{"Device.DeviceInfo.", "Device.WiFi.Radio.", "Device.WiFi.SSID.", "Device.WiFi.AccessPoint.", "Device.IP.Interface.",
		"Device.Ethernet.", "Device.NAT.", "Device.DHCPv4.", "Device.DHCPv6.", "Device.Hosts.", "Device.Bridging.", "Device.DSL."} {
		for _, path := range slices.Sorted(maps.Keys(tables().params)) {
			p := tables().params[path]
			if strings.HasPrefix(path, prefix) && len(names) < 800 {
				names = append(names, Name{Path: strings.ReplaceAll(path, "{i}", "1"), Writable: p.Writable, Type: XSDType(p.Type)})
			}
		}
	}
	if len(names) != 800 {
		tb.Fatalf("%d names", len(names))
	}
	return names
}

func TestSecured(t *testing.T) {
	for path, want := range map[string]bool{
		"Device.WiFi.AccessPoint.2.Security.|KeyPassphrase": true, "Device.ManagementServer.|Password": true,
		"Device.WiFi.SSID.1.|SSID": false, "Device.X_ACME.|Password": false, "Device.WiFi.AccessPoint.2.Security.|ModeEnabled": false,
	} {
		object, name, _ := strings.Cut(path, "|")
		if got := Secured(object, name); got != want {
			t.Errorf("%s%s: %v", object, name, got)
		}
	}
}

// The events that are changes of parameters are those of 34 rows, and a CPE has one where it has such a parameter, with the arguments that it can tell.
func TestEventsOfParameters(t *testing.T) {
	n := 0
	for _, events := range tables().events {
		for _, e := range events {
			if (len(e.Triggers) > 0) != (e.Class == "value-change") {
				t.Errorf("%s: class %s, %q", e.Name, e.Class, e.Triggers)
			}
			n += min(len(e.Triggers), 1)
		}
	}
	if n != 34 {
		t.Errorf("%d events, want 34", n)
	}
	const monitor, cpu = "Device.DeviceInfo.MemoryStatus.MemoryMonitor.", "Device.DeviceInfo.ProcessStatus.CPU."
	m := Model(BuildShape([]Name{{Path: "Device.RootDataModelVersion"}, {Path: monitor + "CriticalRiseTimeStamp"}, {Path: monitor + "MemUtilization"},
		{Path: cpu + "1.CriticalRiseTimeStamp"}, {Path: cpu + "1.Name"}, {Path: "Device.MoCA.Interface.1.Status"}}), nil)
	for path, want := range map[string][]agent.EventDef{
		monitor:                           {{Name: "MemoryCriticalState!", Args: []string{"MemUtilization"}}},
		cpu + "{i}.":                      {{Name: "CPUCriticalState!", Args: []string{"Name"}}},
		"Device.MoCA.Interface.{i}.":      nil,
		"Device.DeviceInfo.MemoryStatus.": nil,
	} {
		if diff := cmp.Diff(want, m.Object(path).Events); diff != "" {
			t.Errorf("%s: %s", path, diff)
		}
	}
}
