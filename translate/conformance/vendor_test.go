package conformance_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"isthmus/cwmp/cpe"
	"isthmus/translate/legacy"
	"isthmus/usp/usppb"
)

const vendorsDir = "../../testdata/vendors"

// vendorTree is a CPE with what a maker adds to TR-098.
func vendorTree(t *testing.T, vendor string) *cpe.Tree {
	t.Helper()
	f, err := os.Open(filepath.Join(vendorsDir, vendor+".csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	tree, err := cpe.LoadCSV(f)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

// TestVendors: what makers add to TR-098 is read under Device:2 names, and written, as far as their tables say so.
func TestVendors(t *testing.T) {
	const least = 25 // leaves of a maker's own
	for _, vendor := range []string{"nokia", "tp-link", "zte"} {
		t.Run(vendor, func(t *testing.T) {
			tree := vendorTree(t, vendor)
			e := fresh(t, options{tree: tree, class: tree.DeviceID.ProductClass})
			v, err := legacy.LoadVendor(vendor)
			e.must(err)
			read, written := 0, 0
			for _, entry := range tree.All() {
				rows := legacy.TR098().Explain(entry.Path, v)
				if strings.HasSuffix(entry.Path, ".") || len(rows) == 0 || rows[0].Vendor == "" || rows[0].Target == "" {
					continue
				}
				read++
				for _, row := range rows {
					path := strings.Replace(row.Target, "Device.WiFi.Radio.{i}.", "Device.WiFi.Radio.5.", 1)
					if path == "Device.WiFi.AccessPoint.5.Security.KeyPassphrase" {
						e.wantValue(path, "")
						e.change(path, "correct horse")
						written++
						continue
					}
					dot := strings.LastIndexByte(path, '.') + 1
					have, ok := e.values(path)[path[:dot]][path[dot:]]
					switch {
					case !ok:
						e.Errorf("%s is not there as %s", entry.Path, path)
					case row.Kind == "same-value" && have != entry.Value:
						e.Errorf("%s is %q, want %q", path, have, entry.Value)
					}
					if row.Direction != "rw" {
						continue
					}
					written++
					value := another(&row, have)
					e.change(path, value)
					if got := e.w.cpe.Value(entry.Path); row.Kind == "same-value" && got != value {
						e.Errorf("%s is %q at the CPE after %s was set to %q", entry.Path, got, path, value)
					}
					e.wantValue(path, value)
				}
			}
			if vendor == "zte" {
				const rates = "Device.WiFi.AccessPoint.{i}.AssociatedDevice.{i}."
				for _, p := range e.find(e.model(all(), "Device.WiFi.")[0], rates).GetSupportedParams() {
					if p.GetParamName() == "X_ZTE-COM_TXRate" && p.GetValueType() != usppb.GetSupportedDMResp_PARAM_UNSIGNED_INT {
						e.Errorf("%v", p)
					}
				}
			}
			if read < least || written < least/2 {
				e.Errorf("%d leaves read, %d written, want %d at least", read, written, least)
			}
			t.Log(read, "leaves read,", written, "written")
		})
	}
}

// another is a value that a parameter may have, too.
func another(row *legacy.Row, have string) string {
	name := row.Target[strings.LastIndexByte(row.Target, '.')+1:]
	switch {
	case have == "true":
		return "false"
	case have == "false":
		return "true"
	case name == "OperatingChannelBandwidth":
		return "40MHz"
	case name == "GuardInterval":
		return "800nsec"
	case strings.Trim(have, "0123456789") == "" && have != "":
		return "7"
	case strings.Contains(have, ":"):
		return strings.Replace(have, "2001:db8:", "2001:db8:f:", 1)
	}
	return have + "X"
}

// TestVendorNotifications: a change at the CPE under the maker's name is told under the Device:2 name.
func TestVendorNotifications(t *testing.T) {
	for _, c := range []struct{ vendor, path, own, value, want string }{
		{"nokia", "Device.Optical.Interface.1.OpticalSignalLevel", "InternetGatewayDevice.X_ALU_OntOpticalParam.RXPower", "-21.5", "-21500"},
		{"tp-link", "Device.Ethernet.VLANTermination.101.VLANID", "InternetGatewayDevice.WANDevice.1.WANConnectionDevice.1.WANEthernetLinkConfig.X_TP_VID", "35", "35"},
		{"tp-link", "Device.IP.Interface.10151.IPv6Address.1.IPAddress", "InternetGatewayDevice.WANDevice.1.WANConnectionDevice.1.WANPPPConnection.1.X_TP_ExternalIPv6Address", "2001:db8::2", "2001:db8::2"},
		{"zte", "Device.Optical.Interface.1.OpticalSignalLevel", "InternetGatewayDevice.WANDevice.1.X_ZTE-COM_WANPONInterfaceConfig.RXPower", "100", "-20000"},
		{"zte", "Device.Ethernet.VLANTermination.10151.VLANID", "InternetGatewayDevice.WANDevice.1.WANConnectionDevice.1.WANPPPConnection.1.X_ZTE-COM_VLANID", "35", "35"},
		{"zte", "Device.IP.Interface.10151.IPv6Enable", "InternetGatewayDevice.WANDevice.1.WANConnectionDevice.1.WANPPPConnection.1.X_ZTE-COM_IPMode", "IPv4", "false"},
	} {
		t.Run(c.vendor+" "+c.path, func(t *testing.T) {
			tree := vendorTree(t, c.vendor)
			e := fresh(t, options{tree: tree, class: tree.DeviceID.ProductClass})
			e.subscribe("vendor", "ValueChange", c.path)
			e.watching(c.own, 0)
			e.must(e.w.cpe.SetValue(c.own, c.value))
			e.valueChanged("vendor", c.path, c.want)
		})
	}
}
