package legacy

import (
	"cmp"
	"net"
	"slices"
	"strconv"
	"strings"
)

// A WLANConfiguration of TR-098 is an SSID and an AccessPoint of Device:2 and shares a Radio with others; which, TR-098 does not say.

// wlanRow is a WLANConfiguration.
type wlanRow struct {
	number uint32 // of the SSID and the AccessPoint
	n      Node
}

// groupRadios finds out which WLANConfigurations share a radio: those in one band where the maker says which, else those whose names have a stem in common, if
// all names are of known kinds, else those in one band, parted by their MAC addresses where these tell several radios. A radio has the lowest number of its members.
func (p *projection) groupRadios(root Node) {
	p.group, p.radio = map[uint32]uint32{}, map[uint32][]wlanRow{}
	var all []wlanRow
	if lans := root.Child("LANDevice"); lans != nil {
		lans.Each(func(lan Node) {
			if table := lan.Child("WLANConfiguration"); table != nil && lan.Number() != 0 {
				table.Each(func(w Node) {
					if w.Number() != 0 {
						all = append(all, wlanRow{port(lan.Number(), w.Number()), w})
					}
				})
			}
		})
	}
	slices.SortFunc(all, func(a, b wlanRow) int { return cmp.Compare(a.number, b.number) })
	said := !slices.ContainsFunc(all, func(w wlanRow) bool { return p.m.saidBand(w.n) == "" })
	named := !slices.ContainsFunc(all, func(w wlanRow) bool { return stem(text(w.n, "Name")) == "" })
	parted := p.m.partedBands(all)
	first := map[string]uint32{}
	for _, w := range all {
		key := p.m.band(w.n)
		switch {
		case said:
		case named:
			key = stem(text(w.n, "Name"))
		case parted[key]:
			key += macStem(text(w.n, "BSSID"))
		}
		if _, known := first[key]; !known {
			first[key] = w.number
		}
		p.group[w.number] = first[key]
		p.radio[first[key]] = append(p.radio[first[key]], w)
	}
}

// stem is what the names of the interfaces of one radio have in common: wl0 of wl0 and wl0.1, ath0 of ath0 and ath01, ra of ra0 and ra1, rai of rai0; ""
// for a name of no known kind.
func stem(name string) string {
	letters := strings.TrimRight(name[:strings.IndexAny(name+".", ".-_")], "0123456789")
	switch letters {
	case "ra", "rai", "rax", "rae":
		return letters
	case "wl", "wlan", "ath", "wifi", "phy":
		if len(name) > len(letters) && name[len(letters)] >= '0' && name[len(letters)] <= '9' {
			return name[:len(letters)+1]
		}
	}
	return ""
}

const (
	band2 = "2.4GHz"
	band5 = "5GHz"
)

// partedBands are those in which MAC addresses tell several radios: each has several members, whose addresses are alike.
func (m *Map) partedBands(all []wlanRow) map[string]bool {
	members := map[string]map[string]int{} // of a band, by what their addresses have in common
	for _, w := range all {
		b := m.band(w.n)
		if members[b] == nil {
			members[b] = map[string]int{}
		}
		members[b][macStem(text(w.n, "BSSID"))]++
	}
	parted := map[string]bool{}
	for b, alike := range members {
		parted[b] = len(alike) > 1 && alike[""] == 0
		for _, n := range alike {
			parted[b] = parted[b] && n > 1
		}
	}
	return parted
}

// macStem is what the MAC addresses of one radio have in common: all but the last octet and the bit that says that an address is locally administered; "" for
// what is none.
func macStem(mac string) string {
	const local = 0x02
	hw, err := net.ParseMAC(mac)
	if err != nil || len(hw) != 6 || slices.Max(hw) == 0 {
		return ""
	}
	hw[0] &^= local
	return string(hw[:5])
}

const radioBand = "Device.WiFi.Radio.{i}.OperatingFrequencyBand"

// saidBand is what a parameter of the maker's says of the band.
func (m *Map) saidBand(w Node) string {
	for _, r := range m.sources[radioBand] {
		if k := w.Child(r.source[strings.LastIndexByte(r.source, '.')+1:]); r.vendor && k != nil && k.Text() != "" {
			if r.conv.to != nil {
				return r.conv.to(k.Text())
			}
			return k.Text()
		}
	}
	return ""
}

// band is that of a WLANConfiguration: by what its maker says, else by its channel, else by those that it may have, else by its standard.
func (m *Map) band(w Node) string {
	if b := m.saidBand(w); b != "" {
		return b
	}
	for _, name := range []string{"Channel", "PossibleChannels"} {
		v := text(w, name)
		if n, err := strconv.Atoi(v[:strings.IndexAny(v+",", ",- ")]); err == nil && n > 0 {
			return bandOf(n)
		}
	}
	if strings.Contains(text(w, "Standard"), "a") {
		return band5
	}
	return band2
}

// lastOf2 is the highest channel at 2.4 GHz.
const lastOf2 = 14

func bandOf(channel int) string {
	if channel <= lastOf2 {
		return band2
	}
	return band5
}

// bands are those of a list of channels and ranges.
func bands(channels string) string {
	var found []string
	for item := range strings.SplitSeq(channels, ",") {
		for part := range strings.SplitSeq(item, "-") {
			if n, err := strconv.Atoi(strings.TrimSpace(part)); err == nil && n > 0 && !slices.Contains(found, bandOf(n)) {
				found = append(found, bandOf(n))
			}
		}
	}
	return strings.Join(found, ",")
}

// standards are the letters of a value of Standard, which in TR-098 stands for those before it in its band, too.
func standards(v, band string) string {
	switch {
	case v == "g":
		return "b,g"
	case v == "g-only":
		return "g"
	case v == "n" && band == band5:
		return "a,n"
	case v == "n":
		return "b,g,n"
	}
	var out []string
	for _, s := range []string{"ax", "ac", "be", "a", "b", "g", "n"} {
		if strings.Contains(v, s) {
			out = append(out, s)
			v = strings.Replace(v, s, "", 1)
		}
	}
	return strings.Join(out, ",")
}

// wifi puts what hangs on several parameters.
func (p *projection) wifi() {
	for number, members := range p.radio {
		n := strconv.FormatUint(uint64(number), 10)
		primary, radio := members[0].n, "Device.WiFi.Radio."+n+"."
		if number != members[0].number {
			continue
		}
		p.put(radio, "", false)
		status := "Down"
		for _, w := range members {
			switch s := text(w.n, "Status"); {
			case s == "Up":
				status = "Up"
			case s == "Error" && status == "Down":
				status = "Error"
			}
		}
		name := text(primary, "Name")
		p.put(radio+"Status", status, false)
		if name != "" {
			p.put(radio+"Name", name[:strings.IndexAny(name+".", ".-")], false)
		}
		p.put(radio+"Upstream", "false", false)
		p.put(radio+"LowerLayers", "", false)
		p.put(radio+"OperatingFrequencyBand", p.m.band(primary), false)
		supported := bands(text(primary, "PossibleChannels"))
		p.put(radio+"SupportedFrequencyBands", cmp.Or(supported, p.m.band(primary)), false)
		if primary.Child("AutoChannelEnable") != nil {
			p.put(radio+"AutoChannelSupported", "true", false)
		}
		if v := text(primary, "Standard"); v != "" {
			p.put(radio+"OperatingStandards", standards(v, p.m.band(primary)), false)
		}
		for own, shown := range map[string]string{"TotalBytesSent": "BytesSent", "TotalBytesReceived": "BytesReceived", "TotalPacketsSent": "PacketsSent",
			"TotalPacketsReceived": "PacketsReceived"} {
			sum, known := uint64(0), false
			for _, w := range members {
				if v, err := strconv.ParseUint(text(w.n, own), 10, 64); err == nil {
					sum, known = sum+v, true
				}
			}
			if known {
				p.put(radio+"Stats."+shown, strconv.FormatUint(sum, 10), false)
			}
		}
		for _, w := range members {
			p.ssid(w, "Device.WiFi.Radio."+n)
		}
	}
}

func (p *projection) ssid(w wlanRow, radio string) {
	n := strconv.FormatUint(uint64(w.number), 10)
	ssid, ap := "Device.WiFi.SSID."+n, "Device.WiFi.AccessPoint."+n+"."
	p.lower(ssid, radio)
	p.put(ssid+".Upstream", "false", false)
	p.put(ap+"SSIDReference", ssid, false)
	beacon := w.n.Child("BeaconType")
	if beacon == nil {
		return
	}
	p.put(ap+"Security.ModeEnabled", securityMode(w.n), beacon.Settable())
	p.put(ap+"Security.ModesSupported", strings.Join(modesSupported(w.n), ","), false)
	if k := passphrase(w.n); k != nil {
		p.put(ap+"Security.KeyPassphrase", "", k.Settable())
	}
	if k := child(w.n, "PreSharedKey", "1", "PreSharedKey"); k != nil {
		p.put(ap+"Security.PreSharedKey", "", k.Settable())
	}
	if table := w.n.Child("AssociatedDevice"); table != nil {
		table.Each(func(d Node) {
			if d.Number() != 0 {
				p.put(ap+"AssociatedDevice."+d.Segment()+".Active", "true", false)
			}
		})
	}
}

// passphrase is the parameter that holds the passphrase of a WLANConfiguration.
func passphrase(w Node) Node {
	if k := child(w, "PreSharedKey", "1", "KeyPassphrase"); k != nil {
		return k
	}
	return w.Child("KeyPassphrase")
}

const (
	psk = "PSKAuthentication"
	eap = "EAPAuthentication"
)

// security is what a mode of Device:2 comes to in TR-098: what is written for it.
type security struct {
	mode   string
	values [][2]string
}

// securities are the modes that TR-098 has words for (wifi-security.tsv). WEP needs keys in rows that not every CPE has; it is read, not written.
var securities = []security{
	{"None", [][2]string{{"BeaconType", "Basic"}, {"BasicEncryptionModes", "None"}, {"BasicAuthenticationMode", "None"}}},
	{"WPA-Personal", [][2]string{{"BeaconType", "WPA"}, {"WPAAuthenticationMode", psk}, {"WPAEncryptionModes", "TKIPEncryption"}}},
	{"WPA2-Personal", [][2]string{{"BeaconType", "11i"}, {"IEEE11iAuthenticationMode", psk}, {"IEEE11iEncryptionModes", "AESEncryption"}}},
	{"WPA-WPA2-Personal", [][2]string{{"BeaconType", "WPAand11i"}, {"WPAAuthenticationMode", psk}, {"IEEE11iAuthenticationMode", psk},
		{"WPAEncryptionModes", "TKIPandAESEncryption"}, {"IEEE11iEncryptionModes", "TKIPandAESEncryption"}}},
	{"WPA-Enterprise", [][2]string{{"BeaconType", "WPA"}, {"WPAAuthenticationMode", eap}}},
	{"WPA2-Enterprise", [][2]string{{"BeaconType", "11i"}, {"IEEE11iAuthenticationMode", eap}, {"IEEE11iEncryptionModes", "AESEncryption"}}},
	{"WPA-WPA2-Enterprise", [][2]string{{"BeaconType", "WPAand11i"}, {"WPAAuthenticationMode", eap}, {"IEEE11iAuthenticationMode", eap}}},
}

// modesSupported are those whose every parameter the CPE lets be written.
func modesSupported(w Node) (modes []string) {
	for _, s := range securities {
		if !slices.ContainsFunc(s.values, func(v [2]string) bool { k := w.Child(v[0]); return decides(v[0]) && (k == nil || !k.Settable()) }) {
			modes = append(modes, s.mode)
		}
	}
	return modes
}

// decides says whether a mode cannot do without a parameter; ciphers have defaults.
func decides(name string) bool {
	return !strings.HasSuffix(name, "EncryptionModes") && name != "BasicAuthenticationMode"
}

// securityMode is the joint meaning of the six parameters that TR-098 has for it.
func securityMode(w Node) string {
	auth := func(name string) string {
		if v := text(w, name); strings.HasPrefix(v, "EAP") {
			return "Enterprise"
		}
		return "Personal"
	}
	switch beacon := text(w, "BeaconType"); beacon {
	case "None":
		return "None"
	case "Basic":
		if text(w, "BasicEncryptionModes") != "WEPEncryption" {
			return "None"
		}
		if text(w, "WEPEncryptionLevel") == "40-bit" {
			return "WEP-64"
		}
		return "WEP-128"
	case "WPA", "BasicandWPA":
		return "WPA-" + auth("WPAAuthenticationMode")
	case "11i", "WPA2", "Basicand11i":
		return "WPA2-" + auth("IEEE11iAuthenticationMode")
	case "WPAand11i", "WPAandWPA2", "BasicandWPAand11i":
		return "WPA-WPA2-" + auth("IEEE11iAuthenticationMode")
	case "WPA3":
		return "WPA3-Personal"
	default:
		return beacon
	}
}
