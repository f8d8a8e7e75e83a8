package legacy

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"isthmus/usp/agent"
)

// TestVendorsThereAndBack: every table that comes with isthmus is right, and each of its writable rules survives the way there and back.
func TestVendorsThereAndBack(t *testing.T) {
	const least = 25 // leaves of each maker
	if got := strings.Join(Vendors(), " "); got != "huawei nokia tp-link zte" {
		t.Error(got)
	}
	for _, name := range Vendors() {
		v, err := LoadVendor(name)
		if err != nil {
			t.Fatal(err)
		}
		leaves := map[string]bool{}
		nums := []uint32{1, 2, 3, 4, 0, 0}
		for _, r := range v.rules {
			if !r.object {
				leaves[r.source] = true
			}
			path, ok := r.place(nums)
			if !ok {
				t.Errorf("%s: %s has no place for the first rows", name, r.source)
				continue
			}
			own := fill(r.from, nums)
			if back := r.write(strings.Split(path, ".")); back != own && !r.radio {
				t.Errorf("%s: %s became %s, and that %q", name, own, path, back)
			}
			if !r.writes || r.conv.to == nil {
				continue
			}
			for i, row := range v.rows {
				if row.Own != r.source || row.Target != r.target {
					continue
				}
				for pair := range strings.SplitSeq(v.rows[i].Transform, ";") {
					_, b, _ := strings.Cut(pair, "=")
					if a, ok := r.conv.back(b); !ok || r.conv.to(a) != b {
						t.Errorf("%s: %s: %q became %q", name, r.source, b, a)
					}
				}
			}
		}
		if len(leaves) < least {
			t.Errorf("%s has %d leaves, want %d", name, len(leaves), least)
		}
	}
}

// TestVendorErrors: an operator's file that is wrong is refused by file and line, with everything that is wrong.
func TestVendorErrors(t *testing.T) {
	const ipConnection = "InternetGatewayDevice.WANDevice.{i}.WANConnectionDevice.{i}.WANIPConnection.{i}."
	row := func(cells ...string) string { return strings.Join(cells, "\t") + "\n" }
	for text, want := range map[string]string{
		"":    "x.tsv:1: is empty",
		"a\n": "x.tsv:1: the first line must name the columns",
		row("InternetGatewayDevice.X_A", "Device.X_A", "same-value"):                                                       "x.tsv:3: 3 cells, want 7",
		row("Device.X_A", "Device.X_A", "same-value", "", "same", "r", ""):                                                 "is no path of InternetGatewayDevice.",
		row("InternetGatewayDevice.X_A", "Device.WiFi.Colour", "same-value", "", "same", "r", ""):                          "Device.WiFi.Colour is not in Device:2, and not named as a maker's own",
		row("InternetGatewayDevice.X_A", "Device.ManagementServer.URL", "same-value", "", "same", "r", ""):                 "is the proxy's own",
		row("InternetGatewayDevice.X_A", "Device.X_A.", "same-value", "", "same", "r", ""):                                 "is not what it can become",
		row("InternetGatewayDevice.X_A.", "Device.X_A.", "same-value", "", "same", "r", ""):                                "is not what it can become",
		row("InternetGatewayDevice.X_A", "Device.X_A", "copy", "", "same", "r", ""):                                        `kind "copy" is unknown`,
		row("InternetGatewayDevice.X_A", "Device.X_A", "transform", "rot13", "same", "r", ""):                              `transform "rot13" is unknown`,
		row("InternetGatewayDevice.X_A", "Device.X_A", "transform", "optical power", "same", "rw", ""):                     "has no way back",
		row("InternetGatewayDevice.X_A", "Device.X_A", "enum-map", "", "same", "r", ""):                                    "enum-map has no pairs",
		row("InternetGatewayDevice.X_A", "Device.X_A", "same-value", "", "same", "w", ""):                                  `direction "w" is unknown`,
		row("InternetGatewayDevice.X_A", "-", "none", "", "", "-", ""):                                                     "no note that says why",
		row("InternetGatewayDevice.X_A", "Device.X_A", "none", "", "", "-", "why"):                                         "kind none has no tr181",
		row(ipConnection+"X_A", "Device.IP.Interface.{i}.X_A", "same-value", "", "x=wanip(a,b)", "r", ""):                  "does not give the 1 numbers",
		row(ipConnection+"X_A", "Device.IP.Interface.{i}.X_A", "same-value", "", "x=a", "r", ""):                           "does not give the numbers of",
		row("InternetGatewayDevice.X_A.{i}.B", "Device.IP.Interface.{i}.X_A", "same-value", "", "x=wanip(a,b,c)", "r", ""): "takes numbers that",
		strings.Repeat(row("InternetGatewayDevice.X_A", "Device.X_A", "same-value", "", "same", "r", ""), 2):               "x.tsv:4: InternetGatewayDevice.X_A: second row for Device.X_A",
		row("InternetGatewayDevice.X_A", "Device.X_A", "copy", "", "same", "r", "") +
			row("InternetGatewayDevice.X_B", "Device.X_B", "copy", "", "same", "r", ""): "x.tsv:4: InternetGatewayDevice.X_B",
	} {
		file := filepath.Join(t.TempDir(), "x.tsv")
		if text != "" && text != "a\n" {
			text = vendorHeader + "\n# a comment\n" + text
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadVendor(file); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	if _, err := LoadVendor("acme"); err == nil || !strings.Contains(err.Error(), "write one of huawei, nokia, tp-link, zte") {
		t.Error(err)
	}
	if _, err := LoadVendor("none.tsv"); err == nil {
		t.Error("a file that is not there")
	}
}

// TestMemory: all tables, those of all makers with them, take at most 12 MB, whatever the fleet.
func TestMemory(t *testing.T) {
	const most = 12 << 20
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	maps := []*Map{mustLoad(rootTR098, tr098Table), mustLoad("Device.", device1Table)}
	for _, name := range Vendors() {
		v, err := LoadVendor(name)
		if err != nil {
			t.Fatal(err)
		}
		maps = append(maps, TR098().With(v))
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	took := int64(after.HeapAlloc) - int64(before.HeapAlloc)
	if runtime.KeepAlive(maps); took > most {
		t.Errorf("%d bytes", took)
	}
	t.Log(took, "bytes")
}

func TestOpticalPower(t *testing.T) {
	for v, want := range map[string]string{"-19.746941": "-19747", "2.25": "2250", "-23 dBm": "-23000", "10000": "0", "100": "-20000", "0": "0", "": noPower, "NaN": noPower, "1e300": noPower, "low": noPower} {
		if got := opticalPower(v); got != want {
			t.Errorf("%q: %s, want %s", v, got, want)
		}
	}
}

// TestVendorSpeaksFirst: a maker's word stands against what the code makes up, and is written where the standard would be.
func TestVendorSpeaksFirst(t *testing.T) {
	v, err := LoadVendor("tp-link")
	if err != nil {
		t.Fatal(err)
	}
	const wan = "InternetGatewayDevice.WANDevice.1.WANConnectionDevice.1.WANIPConnection.1."
	const wlan = "InternetGatewayDevice.LANDevice.1.WLANConfiguration.1."
	top := &dumped{}
	for _, e := range []Entry{{wan + "Enable", "1", true}, {wan + "X_TP_IPv4Enabled", "0", true}, {wlan + "SSID", "a", true}, {wlan + "X_TP_PreSharedKey", "", true}} {
		top.add(e)
	}
	root := top.kid("InternetGatewayDevice")
	shown := func(m *Map) map[string]string {
		out := map[string]string{}
		m.Project(root, func(path, value string, _ bool) { out[path] = value })
		return out
	}
	const enable, key = "Device.IP.Interface.10101.IPv4Enable", "Device.WiFi.AccessPoint.1.Security.KeyPassphrase"
	if got := shown(TR098())[enable]; got != "true" {
		t.Errorf("without: %q", got)
	}
	m := TR098().With(v)
	if got := shown(m)[enable]; got != "false" {
		t.Errorf("with: %q", got)
	}
	w, err := m.Write(root, key, "correct horse")
	if err != nil || len(w) != 1 || w[0].Path != wlan+"X_TP_PreSharedKey" {
		t.Error(w, err)
	}
	if _, err := TR098().Write(root, key, "correct horse"); err == nil {
		t.Error("written without")
	}
}

// TestVendorReference: a value that is a path of the CPE's is one of Device:2, and back.
func TestVendorReference(t *testing.T) {
	v, err := LoadVendor("huawei")
	if err != nil {
		t.Fatal(err)
	}
	const own = "InternetGatewayDevice.OperatorProfile.1.SubscriptionParameters."
	const shown = "Device.X_HUAWEI_WiMAX.OperatorProfile.1.SubscriptionParameters."
	top := &dumped{}
	for _, e := range []Entry{{own + "EAPProfile.2.Realm", "home", true}, {own + "Primary.EAPProfiles", own + "EAPProfile.1, " + own + "EAPProfile.2.", true}} {
		top.add(e)
	}
	root, m, got := top.kid("InternetGatewayDevice"), TR098().With(v), ""
	m.Project(root, func(path, value string, _ bool) {
		if path == shown+"Primary.EAPProfiles" {
			got = value
		}
	})
	if want := shown + "EAPProfile.1," + shown + "EAPProfile.2"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	w, err := m.Write(root, shown+"Primary.EAPProfiles", shown+"EAPProfile.2.")
	if err != nil || len(w) != 1 || w[0].Value != own+"EAPProfile.2" {
		t.Error(w, err)
	}
	if _, err := m.Write(root, shown+"Primary.EAPProfiles", own+"EAPProfile.2"); err == nil {
		t.Error("a path of TR-098 is written")
	}
}

// TestExplainOfAnInstance: of a row of Device:2 only what its numbers can have come of is told.
func TestExplainOfAnInstance(t *testing.T) {
	for path, want := range map[string][]string{
		"Device.Ethernet.Link.1.MACAddress":       {"InternetGatewayDevice.LANDevice.1.LANHostConfigManagement.MACAddress"},
		"Device.Bridging.Bridge.1.Port.2.Name":    {""}, // of code
		"Device.Bridging.Bridge.1002.Port.3.PVID": {"InternetGatewayDevice.Layer2Bridging.Bridge.2.Port.3.PVID"},
		"Device.IP.Interface.10203.MaxMTUSize":    {"InternetGatewayDevice.WANDevice.1.WANConnectionDevice.2.WANIPConnection.3.MaxMTUSize"},
		"Device.IP.Interface.10253.MaxMTUSize":    {"InternetGatewayDevice.WANDevice.1.WANConnectionDevice.2.WANPPPConnection.3.CurrentMRUSize"},
		"Device.IP.Interface.{i}.MaxMTUSize":      {"InternetGatewayDevice.WANDevice.{i}.WANConnectionDevice.{i}.WANIPConnection.{i}.MaxMTUSize", "InternetGatewayDevice.WANDevice.{i}.WANConnectionDevice.{i}.WANPPPConnection.{i}.CurrentMRUSize"},
		"Device.WiFi.Radio.102.Channel":           {"InternetGatewayDevice.LANDevice.{i}.WLANConfiguration.{i}.Channel"},
		"Device.Ethernet.Interface.10000.Enable":  {"InternetGatewayDevice.WANDevice.1.WANEthernetInterfaceConfig.Enable"},
	} {
		var own []string
		for _, r := range TR098().Explain(path, nil) {
			own = append(own, r.Own)
			if strings.Contains(r.Target, "{i}") != strings.Contains(path, "{i}") {
				t.Errorf("%s: %s", path, r.Target)
			}
		}
		if !slices.Equal(own, want) {
			t.Errorf("%s: %q, want %q", path, own, want)
		}
	}
}

// TestExplain: a path of either data model is explained, with its numbers where they follow from one another.
func TestExplain(t *testing.T) {
	zte, err := LoadVendor("zte")
	if err != nil {
		t.Fatal(err)
	}
	const wan = "InternetGatewayDevice.WANDevice.1.WANConnectionDevice.2.WANIPConnection.3."
	for _, c := range []struct {
		m           *Map
		vendor      *Vendor
		path        string
		own, target string
	}{
		{TR098(), nil, wan + "Name", wan + "Name", "Device.IP.Interface.10203.Name"},
		{TR098(), nil, "Device.IP.Interface.10203.Name", wan + "Name", "Device.IP.Interface.10203.Name"},
		{TR098(), nil, "Device.WiFi.SSID.{i}.SSID", "InternetGatewayDevice.LANDevice.{i}.WLANConfiguration.{i}.SSID", "Device.WiFi.SSID.{i}.SSID"},
		{TR098(), nil, "InternetGatewayDevice.LANDevice.1.WLANConfiguration.*.SSID", "InternetGatewayDevice.LANDevice.1.WLANConfiguration.{i}.SSID", "Device.WiFi.SSID.{i}.SSID"},
		{TR098(), nil, "InternetGatewayDevice.DeviceSummary", "InternetGatewayDevice.DeviceSummary", ""},
		{TR098(), zte, wan + "X_ZTE-COM_VLANID", wan + "X_ZTE-COM_VLANID", "Device.Ethernet.VLANTermination.10203.VLANID"},
		{TR098(), zte, "Device.Ethernet.VLANTermination.10203.VLANID", wan + "X_ZTE-COM_VLANID", "Device.Ethernet.VLANTermination.10203.VLANID"},
		{Device1(), nil, "Device.DeviceInfo.UpTime", "Device.DeviceInfo.UpTime", "Device.DeviceInfo.UpTime"},
	} {
		rows := c.m.Explain(c.path, c.vendor)
		if !slices.ContainsFunc(rows, func(r Row) bool { return r.Own == c.own && r.Target == c.target }) {
			t.Errorf("%s: %+v, want %s as %s", c.path, rows, c.own, c.target)
		}
	}
	if rows := TR098().Explain("InternetGatewayDevice.Time.", nil); len(rows) < 5 {
		t.Errorf("an object: %+v", rows)
	}
	if rows := TR098().Explain("Device.WiFi.Colour", nil); len(rows) != 0 {
		t.Errorf("%+v", rows)
	}
}

// TestCoverage: of each parameter it is said what becomes of it, and why nothing does.
func TestCoverage(t *testing.T) {
	zte, err := LoadVendor("zte")
	if err != nil {
		t.Fatal(err)
	}
	const pon = "InternetGatewayDevice.WANDevice.1.X_ZTE-COM_WANPONInterfaceConfig.RXPower"
	entries := []Entry{{"InternetGatewayDevice.DeviceInfo.UpTime", "5", false}, {"InternetGatewayDevice.DeviceInfo.SpecVersion", "1.0", false},
		{"InternetGatewayDevice.ManagementServer.URL", "", true}, {pon, "-20", false}, {"InternetGatewayDevice.X_OTHER", "", false},
		{"InternetGatewayDevice.Services.VoiceService.1.Alias", "", true}, {"InternetGatewayDevice.LANDevice.1.Hosts.HostNumberOfEntries", "0", false}}
	want := map[string]Leaf{
		entries[0].Path: {Standard: true, Mapped: true, Places: []string{"Device.DeviceInfo.UpTime"}}, entries[1].Path: {Standard: true, Reason: "obsolete"},
		entries[2].Path: {Standard: true, Reason: "owned by the proxy"}, pon: {Mapped: true, Places: []string{"Device.Optical.Interface.1.OpticalSignalLevel"}},
		entries[4].Path: {Reason: "no table names it"}, entries[5].Path: {Standard: true, Mapped: true}, entries[6].Path: {Standard: true, Mapped: true},
	}
	for _, l := range TR098().Coverage(entries, zte) {
		w := want[l.Path]
		if l.Standard != w.Standard || l.Mapped != w.Mapped || w.Places != nil && !slices.Equal(l.Places, w.Places) || !strings.Contains(l.Reason, w.Reason) || l.Mapped != (l.Reason == "") {
			t.Errorf("%+v, want %+v", l, w)
		}
		delete(want, l.Path)
	}
	if len(want) != 0 {
		t.Errorf("nothing is said of %v", want)
	}
	for _, l := range TR098().Coverage(entries, nil) {
		if l.Path == pon && l.Mapped {
			t.Error("mapped without its table")
		}
	}
}

func FuzzVendor(f *testing.F) {
	for _, name := range Vendors() {
		b, err := vendorTables.ReadFile("vendors/" + name + ".tsv")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(b[:min(len(b), 4096)]))
	}
	f.Fuzz(func(t *testing.T, text string) {
		v, err := parseVendor("x", "x.tsv", text)
		if err != nil {
			return
		}
		for _, r := range v.rules {
			if path, ok := r.place([]uint32{1, 1, 1, 1, 1, 1}); ok && !strings.HasPrefix(agent.GenericPath(path), "Device.") {
				t.Errorf("%s is at %s", r.source, path)
			}
		}
	})
}

// TestCoverageBeyond: what has a number that Device:2's cannot be made of is not said to be there.
func TestCoverageBeyond(t *testing.T) {
	mapped := map[string]bool{
		"LANDevice.1.LANEthernetInterfaceConfig.99.Name":                              true,
		"LANDevice.1.LANEthernetInterfaceConfig.100.Name":                             false,
		"LANDevice.100.LANHostConfigManagement.DomainName":                            false,
		"WANDevice.1.WANConnectionDevice.1.WANIPConnection.1.DNSServers":              true,
		"WANDevice.1.WANConnectionDevice.1.WANIPConnection.50.DNSServers":             false,
		"WANDevice.21.WANConnectionDevice.1.WANIPConnection.1.ExternalIPAddress":      false,
		"WANDevice.1.WANConnectionDevice.1.WANIPConnection.1.PortMapping.9999.Alias":  true,
		"WANDevice.1.WANConnectionDevice.1.WANIPConnection.1.PortMapping.10000.Alias": false,
		"Layer3Forwarding.Forwarding.4000000000.DestIPAddress":                        true,
	}
	var entries []Entry
	for path := range mapped {
		entries = append(entries, Entry{igd + path, "x", true})
	}
	for _, l := range TR098().Coverage(entries, nil) {
		want := mapped[l.Path[len(igd):]]
		if l.Mapped != want || (l.Reason == beyondDomain) == want {
			t.Errorf("%+v, want mapped %v", l, want)
		}
	}
}
