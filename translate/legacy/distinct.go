package legacy

import "strings"

// The unique keys of Device:2 are no keys of TR-098: a CPE may give two interfaces one name, and list a host that has moved twice.

// distinctly are the tables whose rows have different names in Device:2.
var distinctly = []string{"Device.IP.Interface.", "Device.PPP.Interface.", "Device.Ethernet.Interface.", "Device.Ethernet.Link.", "Device.USB.Interface.", "Device.WiFi.SSID."}

// distinct is put with the row's number after a name that a row before it has.
func distinct(put Put) Put {
	const name = ".Name"
	rows := map[string]string{} // by table and name
	return func(path, value string, settable bool) {
		if value != "" && strings.HasSuffix(path, name) {
			for _, table := range distinctly {
				number, ok := strings.CutPrefix(strings.TrimSuffix(path, name), table)
				if !ok || strings.Contains(number, ".") || strings.Contains(number, "{") {
					continue
				}
				if row, taken := rows[table+value]; taken && row != number {
					value += "." + number
				} else {
					rows[table+value] = number
				}
			}
		}
		put(path, value, settable)
	}
}

// twice says whether a host is one that was met before, by its MAC address: the row with the lowest number is shown.
func (p *projection) twice(n Node) bool {
	mac := strings.ToLower(text(n, "MACAddress"))
	if mac == "" {
		return false
	}
	if p.hosts[mac] {
		return true
	}
	if p.hosts == nil {
		p.hosts = map[string]bool{}
	}
	p.hosts[mac] = true
	return false
}
