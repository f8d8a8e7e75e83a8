package legacy

import (
	"errors"
	"maps"
	"strings"
	"testing"

	"isthmus/usp"
	"isthmus/usp/agent"
)

// TestWrites: what is set together is understood together, in whatever order it comes.
func TestWrites(t *testing.T) {
	const (
		ap      = "Device.WiFi.AccessPoint.1."
		wlan1   = igd + "LANDevice.1.WLANConfiguration.1."
		conn    = igd + "WANDevice.1.WANConnectionDevice.1.WANIPConnection.1."
		dns     = "Device.DNS.Client.Server.10101"
		queue   = "Device.QoS.Queue.1."
		ether   = "Device.Ethernet.Interface.1"
		conveys = usp.ErrorCode(0)
	)
	cases := []struct {
		name   string
		writes []agent.Write
		code   usp.ErrorCode
		own    map[string]string // some of what is set
	}{
		{"a mode with ciphers", []agent.Write{{Path: ap + "Security.EncryptionMode", Value: "TKIP,AES"}, {Path: ap + "Security.ModeEnabled", Value: "WPA2-Personal"}},
			conveys, map[string]string{wlan1 + "BeaconType": "11i", wlan1 + "IEEE11iEncryptionModes": "TKIPandAESEncryption"}},
		{"a mode alone", []agent.Write{{Path: ap + "Security.ModeEnabled", Value: "WPA2-Personal"}},
			conveys, map[string]string{wlan1 + "BeaconType": "11i", wlan1 + "IEEE11iEncryptionModes": "AESEncryption"}},
		{"a mode that the CPE cannot have", []agent.Write{{Path: ap + "Security.ModeEnabled", Value: "WPA3-Personal"}}, usp.InvalidValue, nil},
		{"one parameter for two", []agent.Write{{Path: ap + "Enable", Value: "true"}, {Path: "Device.WiFi.SSID.1.Enable", Value: "true"}},
			conveys, map[string]string{wlan1 + "Enable": "true"}},
		{"one parameter for two that differ", []agent.Write{{Path: ap + "Enable", Value: "true"}, {Path: "Device.WiFi.SSID.1.Enable", Value: "false"}}, usp.ValueConflict, nil},
		{"one parameter twice", []agent.Write{{Path: dns + "1.DNSServer", Value: "192.0.2.5"}, {Path: dns + "1.DNSServer", Value: "192.0.2.6"}}, usp.ValueConflict, nil},
		{"two items of a list", []agent.Write{{Path: dns + "1.DNSServer", Value: "192.0.2.5"}, {Path: dns + "2.DNSServer", Value: "192.0.2.6"}},
			conveys, map[string]string{conn + "DNSServers": "192.0.2.5,192.0.2.6"}},
		{"a level of a firewall that is off", []agent.Write{{Path: "Device.Firewall.Enable", Value: "true"}, {Path: "Device.Firewall.Config", Value: "High"}},
			conveys, map[string]string{igd + "Firewall.Config": "High"}},
		{"a firewall that is to be on and off", []agent.Write{{Path: "Device.Firewall.Config", Value: "High"}, {Path: "Device.Firewall.Enable", Value: "false"}}, usp.ValueConflict, nil},
		{"an interface of all", []agent.Write{{Path: queue + "AllInterfaces", Value: "false"}, {Path: queue + "Interface", Value: ether}},
			conveys, map[string]string{igd + "QueueManagement.Queue.1.QueueInterface": igd + "LANDevice.1.LANEthernetInterfaceConfig.1"}},
		{"an interface and all", []agent.Write{{Path: queue + "AllInterfaces", Value: "true"}, {Path: queue + "Interface", Value: ether}}, usp.ValueConflict, nil},
		{"nothing that is there", []agent.Write{{Path: "Device.WiFi.SSID.77.SSID", Value: "x"}}, usp.NonWritableParameter, nil},
		{"a passphrase in both its places", []agent.Write{{Path: ap + "Security.KeyPassphrase", Value: "correct horse"}},
			conveys, map[string]string{wlan1 + "PreSharedKey.1.KeyPassphrase": "correct horse", wlan1 + "KeyPassphrase": "correct horse"}},
	}
	with := maps.Clone(otherWay)
	with[igd+"Firewall.Config"], with[wlan1+"BeaconType"] = "Off", "Basic"
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			changes, err := TR098().Writes(full(t, "igd1.tsv", with), c.writes)
			var e *usp.Error
			if errors.As(err, &e); e != nil && (e.Code != c.code || len(e.Params) != 1 || strings.Contains(e.Error(), "correct horse")) {
				t.Fatalf("%v: %v", e, e.Params)
			} else if (err != nil) != (c.code != 0) {
				t.Fatalf("got %v, want code %d", err, c.code)
			}
			own, from := map[string]string{}, map[int]bool{}
			for _, ch := range changes {
				if _, twice := own[ch.Path]; twice {
					t.Errorf("%s is set twice", ch.Path)
				}
				own[ch.Path] = ch.Value
				for _, i := range ch.From {
					from[i] = true
				}
			}
			for path, v := range c.own {
				if own[path] != v {
					t.Errorf("%s = %q, want %q", path, own[path], v)
				}
			}
			for i, w := range c.writes {
				if err == nil && !from[i] && !strings.HasSuffix(w.Path, "AllInterfaces") {
					t.Errorf("nothing carries out %v", w)
				}
			}
		})
	}
}

// TestWriteOfABlankRow: what a new row does not show yet can be set, what a row that shows other things lacks cannot.
func TestWriteOfABlankRow(t *testing.T) {
	const conn, port = "InternetGatewayDevice.WANDevice.1.WANConnectionDevice.1.WANIPConnection.1.", "PortMapping.2.ExternalPort"
	for own, ok := range map[string]bool{"PortMapping.2.": true, "PortMapping.2.InternalPort": false, "PortMapping.3.": false} {
		top := &dumped{}
		top.add(Entry{conn + own, "", true})
		w, err := TR098().Write(top.kid("InternetGatewayDevice"), "Device.NAT.PortMapping.101010002.ExternalPort", "8443")
		if got := err == nil && len(w) == 1 && w[0].Path == conn+port && w[0].Value == "8443"; got != ok {
			t.Errorf("%s: %+v, %v", own, w, err)
		}
	}
}
