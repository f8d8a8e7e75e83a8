package legacy

import (
	"slices"
	"strconv"
	"strings"
)

// rest puts what Device:2 says in one place and the CPE in several, or the other way round. joint (joint.go) is the way back.
func (p *projection) rest(root Node) {
	p.clock(root)
	p.anyTrue("Device.DHCPv4.Relay.Enable", root, relayParam, false)
	p.anyTrue("Device.DHCPv4.Server.Enable", root, serverParam, true)
	p.anyTrue("Device.DNS.Client.Enable", root, resolverParams, true)
	for _, d := range diagnosticsSupported {
		if root.Child(d[0]) != nil {
			p.put("Device.IP.Diagnostics."+d[1], "true", false)
		}
	}
	if root.Child("UserInterface") != nil && child(root, "UserInterface", "RemoteAccess") != nil {
		p.put("Device.UserInterface.HTTPAccess.1.AccessType", "RemoteAccess", false)
	}
	for i := range p.lans {
		p.lanRest(&p.lans[i])
	}
	for _, w := range p.wans {
		p.wanRest(root, w)
	}
	p.passing = map[string]*lanRow{}
	for i := range p.lans {
		if ip := p.m.refer(text(p.lans[i].n, "LANHostConfigManagement", "AssociatedConnection")); ip != "" {
			p.passing[ip] = &p.lans[i]
		}
	}
	for _, c := range p.conns {
		p.connRest(c)
	}
	for _, members := range p.radio {
		p.radioRest(members)
	}
	p.defaultRoute(root)
	p.queues(root)
	p.bridging(root)
	p.services(root)
}

// The parameters whose OR is one of Device:2.
var (
	relayParam     = []string{"LANDevice.{i}.LANHostConfigManagement.DHCPRelay"}
	serverParam    = []string{"LANDevice.{i}.LANHostConfigManagement.DHCPServerEnable"}
	resolverParams = []string{"WANDevice.{i}.WANConnectionDevice.{i}.WANIPConnection.{i}.DNSEnabled",
		"WANDevice.{i}.WANConnectionDevice.{i}.WANPPPConnection.{i}.DNSEnabled"}
)

// diagnosticsSupported are the tests of TR-098 and the parameters that say that a CPE has them.
var diagnosticsSupported = [][2]string{
	{"IPPingDiagnostics", "IPv4PingSupported"},
	{"TraceRouteDiagnostics", "IPv4TraceRouteSupported"},
	{"DownloadDiagnostics", "IPv4DownloadDiagnosticsSupported"},
	{"UploadDiagnostics", "IPv4UploadDiagnosticsSupported"},
}

// located is a node with its path below the root, and the instance numbers in that.
type located struct {
	path string
	nums [maxNums]uint32
	n    Node
}

// all are the nodes that a generic path below the root stands for.
func all(root Node, generic string) []located {
	at := []located{{n: root}}
	depth := 0
	for seg := range strings.SplitSeq(generic, ".") {
		var next []located
		for _, l := range at {
			if seg != "{i}" {
				if k := l.n.Child(seg); k != nil {
					next = append(next, located{l.path + "." + seg, l.nums, k})
				}
				continue
			}
			l.n.Each(func(k Node) {
				if k.Number() != 0 && depth < maxNums {
					row := located{l.path + "." + k.Segment(), l.nums, k}
					row.nums[depth] = k.Number()
					next = append(next, row)
				}
			})
		}
		if seg == "{i}" {
			depth++
		}
		at = next
	}
	for i := range at {
		at[i].path = at[i].path[1:]
	}
	return at
}

// anyTrue puts the OR of parameters; it can be set where all of them can.
func (p *projection) anyTrue(path string, root Node, generic []string, writable bool) {
	on, found := false, false
	for _, g := range generic {
		for _, l := range all(root, g) {
			found, on, writable = true, on || isTrue(l.n.Text()), writable && l.n.Settable()
		}
	}
	if found {
		p.put(path, strconv.FormatBool(on), writable)
	}
}

const (
	maxServers = 5 // NTPServer1 to NTPServer5
	timeClient = "Device.Time.Client.1."
)

// clock puts the one NTP client.
func (p *projection) clock(root Node) {
	var servers []string
	settable := false
	for i := range maxServers {
		if k := child(root, "Time", "NTPServer"+strconv.Itoa(i+1)); k != nil {
			settable = settable || k.Settable()
			if k.Text() != "" {
				servers = append(servers, k.Text())
			}
		}
	}
	if child(root, "Time", "NTPServer1") == nil {
		return
	}
	p.put(timeClient, "", false)
	p.put(timeClient+"Mode", "Unicast", false)
	p.put(timeClient+"Servers", strings.Join(servers, ","), settable)
}

// lanRest puts what the interfaces of a LANDevice have beyond rules.
func (p *projection) lanRest(l *lanRow) {
	config := l.n.Child("LANHostConfigManagement")
	if k := child(config, "IPInterface", "1", "IPInterfaceAddressingType"); k != nil {
		p.put("Device.IP.Interface."+itoa(l.a)+".AutoIPEnable", strconv.FormatBool(k.Text() == "AutoIP"), k.Settable())
	}
	if config != nil {
		p.put("Device.Bridging.Bridge."+itoa(l.a)+".Name", "lan"+itoa(l.a), false)
	}
	allowed := child(config, "AllowedMACAddresses")
	for _, b := range l.wlans {
		ap := "Device.WiFi.AccessPoint." + itoa(port(l.a, b)) + "."
		if allowed != nil {
			p.put(ap+"AllowedMACAddress", allowed.Text(), allowed.Settable())
		}
		p.accessPoint(ap, child(l.n, "WLANConfiguration", itoa(b)))
	}
}

// categories are the rows of APWMMParameter, and of AC.
var categories = []string{"BE", "BK", "VI", "VO"}

// accessPoint puts what an access point has beyond rules.
func (p *projection) accessPoint(ap string, w Node) {
	if k := cipher(w); k != nil {
		p.put(ap+"Security.EncryptionMode", ciphers.to(k.Text()), k.Settable())
	}
	if k := wepKey(w); k != nil {
		p.put(ap+"Security.WEPKey", "", k.Settable())
	}
	if k := child(w, "WPS", "DevicePassword"); k != nil {
		p.put(ap+"WPS.PIN", "", k.Settable())
	}
	if v, err := strconv.ParseUint(text(w, "WPS", "Version"), 10, 8); err == nil {
		p.put(ap+"WPS.Version", strconv.FormatUint(v>>4, 10)+"."+strconv.FormatUint(v&0xF, 10), false) // two digits of BCD
	}
	if table := child(w, "APWMMParameter"); table != nil {
		table.Each(func(k Node) {
			if i := k.Number(); i >= 1 && int(i) <= len(categories) {
				p.put(ap+"AC."+k.Segment()+".AccessCategory", categories[i-1], false)
			}
		})
	}
}

// ciphers are the values of WPAEncryptionModes and IEEE11iEncryptionModes as a list of Device:2.
var ciphers = enumMap("TKIPEncryption=TKIP;AESEncryption=AES;TKIPandAESEncryption=TKIP,AES;WEPEncryption=;WEPandTKIPEncryption=TKIP;" +
	"WEPandAESEncryption=AES;WEPandTKIPandAESEncryption=TKIP,AES")

// cipher is the parameter that holds the ciphers of the mode in force, nil where it has none.
func cipher(w Node) Node {
	switch mode := securityMode(w); {
	case strings.HasPrefix(mode, "WPA-WPA2-"), strings.HasPrefix(mode, "WPA2-"):
		return child(w, "IEEE11iEncryptionModes")
	case strings.HasPrefix(mode, "WPA-"):
		return child(w, "WPAEncryptionModes")
	}
	return nil
}

// wepKey is the WEP key in force.
func wepKey(w Node) Node {
	index := text(w, "WEPKeyIndex")
	if _, ok := number32(index); !ok {
		index = "1"
	}
	return child(w, "WEPKey", index, "WEPKey")
}

// radioRest puts what the members of a radio say together.
func (p *projection) radioRest(members []wlanRow) {
	radio, primary := "Device.WiFi.Radio."+itoa(members[0].number)+".", members[0].n
	for _, name := range []string{"ErrorsSent", "ErrorsReceived", "DiscardPacketsSent", "DiscardPacketsReceived"} {
		sum, known := uint64(0), false
		for _, w := range members {
			if v, err := strconv.ParseUint(text(w.n, "Stats", name), 10, 64); err == nil {
				sum, known = sum+v, true
			}
		}
		if known {
			p.put(radio+"Stats."+name, strconv.FormatUint(sum, 10), false)
		}
	}
	var supported []string
	for _, w := range members {
		for s := range strings.SplitSeq(standards(text(w.n, "Standard"), p.m.band(primary)), ",") {
			if s != "" && !slices.Contains(supported, s) {
				supported = append(supported, s)
			}
		}
	}
	if len(supported) > 0 {
		slices.Sort(supported)
		p.put(radio+"SupportedStandards", strings.Join(supported, ","), false)
	}
	if k := primary.Child("MaxBitRate"); k != nil {
		rates := k.Text()
		if rates == "Auto" {
			rates = text(primary, "OperationalDataTransmitRates")
		}
		p.put(radio+"MaxBitRate", strconv.Itoa(fastest(rates)), false)
	}
}

// fastest is the highest of a list of rates in Mbit/s, rounded down; 0 where there is none.
func fastest(rates string) (most int) {
	const limit = 1e6 // Mbit/s
	for item := range strings.SplitSeq(rates, ",") {
		if f, err := strconv.ParseFloat(strings.TrimSpace(item), 64); err == nil && f > 0 && f < limit {
			most = max(most, int(f))
		}
	}
	return most
}

// stations are the rows of access points by the MAC addresses of those who are there, in lower case.
func (p *projection) stations() map[string]string {
	rows := map[string]string{}
	for _, members := range p.radio {
		for _, w := range members {
			table := w.n.Child("AssociatedDevice")
			if table == nil {
				continue
			}
			table.Each(func(k Node) {
				if mac := strings.ToLower(text(k, "AssociatedDeviceMACAddress")); mac != "" && k.Number() != 0 {
					rows[mac] = "Device.WiFi.AccessPoint." + itoa(w.number) + ".AssociatedDevice." + k.Segment()
				}
			})
		}
	}
	return rows
}
