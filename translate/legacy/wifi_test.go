package legacy

import (
	"fmt"
	"maps"
	"testing"
)

// TestRadios: which WLANConfigurations share a radio is told by their maker, by their names, by their addresses, or by the band, in this order.
func TestRadios(t *testing.T) {
	tpLink, err := LoadVendor("tp-link")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		rows [][4]string // Name, BSSID, Channel, X_TP_Band
		of   []uint32    // the radio of each
	}{
		"the maker says": {[][4]string{{"x", "", "6", "2.4GHz"}, {"y", "", "0", "5GHz"}, {"z", "", "0", "5GHz"}, {"w", "", "0", "2.4GHz"}}, []uint32{1, 2, 2, 1}},
		"before names":   {[][4]string{{"ra0", "", "6", "2.4GHz"}, {"ra1", "", "36", "5GHz"}}, []uint32{1, 2}},
		"names":          {[][4]string{{"wl0", "", "6", ""}, {"wl0.1", "", "6", ""}, {"wl1", "", "6", ""}}, []uint32{1, 1, 3}},
		"addresses of two radios in a band": {[][4]string{{"a", "00:D0:9E:00:01:10", "36", ""}, {"b", "02:D0:9E:00:01:11", "36", ""}, {"c", "00:D0:9E:00:02:10", "100", ""},
			{"d", "02:D0:9E:00:02:11", "100", ""}, {"e", "00:D0:9E:00:03:11", "1", ""}}, []uint32{1, 1, 3, 3, 5}},
		"addresses that say nothing":     {[][4]string{{"a", "00:D0:9E:00:01:10", "36", ""}, {"b", "06:D0:9E:00:01:10", "36", ""}, {"c", "0A:D0:9E:00:01:10", "36", ""}}, []uint32{1, 1, 1}},
		"an address that is not there":   {[][4]string{{"a", "00:D0:9E:00:01:10", "36", ""}, {"b", "", "36", ""}, {"c", "00:D0:9E:00:02:10", "36", ""}, {"d", "00:D0:9E:00:02:11", "36", ""}}, []uint32{1, 1, 1, 1}},
		"addresses are no odd one out":   {[][4]string{{"a", "00:D0:9E:00:01:10", "36", ""}, {"b", "00:D0:9E:00:01:11", "36", ""}, {"c", "00:D0:9E:00:02:10", "36", ""}}, []uint32{1, 1, 1}},
		"one band, nothing else is said": {[][4]string{{"", "", "11", ""}, {"", "", "1", ""}, {"", "", "44", ""}}, []uint32{1, 1, 3}},
	} {
		t.Run(name, func(t *testing.T) {
			top := &testNode{}
			for i, row := range c.rows {
				for k, param := range []string{"Name", "BSSID", "Channel", "X_TP_Band"} {
					top.at(fmt.Sprintf("%sLANDevice.1.WLANConfiguration.%d.%s", igd, i+1, param)).value = row[k]
				}
			}
			want := map[string]string{}
			for i, radio := range c.of {
				want[fmt.Sprintf("Device.WiFi.SSID.%d.LowerLayers", i+1)] = fmt.Sprintf("Device.WiFi.Radio.%d", radio)
			}
			got := project(TR098().With(tpLink), top.kids[0]).value
			maps.DeleteFunc(got, func(path, _ string) bool { _, asked := want[path]; return !asked })
			if !maps.Equal(got, want) {
				t.Errorf("%v, want %v", got, want)
			}
		})
	}
}
