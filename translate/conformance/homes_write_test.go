package conformance_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"isthmus/usp"
)

// restore writes values back at the end of a test.
func (e *eut) restore(paths ...string) {
	e.Helper()
	for _, path := range paths {
		i := strings.LastIndexByte(path, '.') + 1
		value := e.values(path)[path[:i]][path[i:]]
		e.Cleanup(func() { e.change(path, value) })
	}
}

// written counts the SetParameterValues of a conversation.
func (e *eut) written(talk func()) int {
	n := len(e.w.cpe.Calls("SetParameterValues"))
	talk()
	return len(e.w.cpe.Calls("SetParameterValues")) - n
}

// TestHomesSet: one message is one SetParameterValues, and what is read then is what was written.
func TestHomesSet(t *testing.T) {
	alike(t, func(e *eut, _ *home) any {
		e.restore("Device.DeviceInfo.ProvisioningCode", "Device.Time.NTPServer1", "Device.Time.NTPServer2", "Device.UserInterface.RemoteAccess.Port", "Device.IP.Interface.1.IPv4Address.1.IPAddress")
		var out []outcome
		if n := e.written(func() {
			out = e.outcome(false, obj{"Device.DeviceInfo.", []param{req("ProvisioningCode", "SET.1")}},
				obj{"Device.Time.", []param{req("NTPServer1", "a.example.net"), opt("NTPServer2", "b.example.net")}},
				obj{"Device.UserInterface.RemoteAccess.", []param{req("Port", "8443")}},
				obj{`Device.IP.Interface.1.IPv4Address.[IPAddress=="192.168.1.1"].`, []param{req("IPAddress", "192.168.1.2")}})
		}); n != 1 {
			e.Errorf("%d SetParameterValues", n)
		}
		return []any{out, e.ask(0, "Device.DeviceInfo.ProvisioningCode", "Device.Time.NTPServer1", "Device.Time.NTPServer2", "Device.UserInterface.RemoteAccess.", "Device.IP.Interface.1.IPv4Address.1.")}
	})
	alike(t, func(e *eut, _ *home) any {
		e.restore("Device.WiFi.SSID.2.SSID", "Device.WiFi.Radio.1.Channel", "Device.Ethernet.Interface.2.MaxBitRate", "Device.PPP.Interface.10151.Username", "Device.DHCPv4.Server.Pool.1000.MinAddress")
		var out []outcome
		if n := e.written(func() {
			out = e.outcome(false, obj{`Device.WiFi.SSID.[SSID=="Guest"].`, []param{req("SSID", "Visitors")}},
				obj{`Device.WiFi.Radio.[OperatingFrequencyBand=="2.4GHz"].`, []param{req("Channel", "11")}},
				obj{`Device.Ethernet.Interface.[Name=="lan2"].`, []param{req("MaxBitRate", "100")}},
				obj{"Device.PPP.Interface.*.", []param{req("Username", "other@example.net")}},
				obj{"Device.DHCPv4.Server.Pool.1000.", []param{req("MinAddress", "192.168.1.50")}})
		}); n > 2 { // the second: members of a radio that did not follow
			e.Errorf("%d SetParameterValues", n)
		}
		return []any{out, e.ask(0, "Device.WiFi.SSID.*.SSID", "Device.WiFi.Radio.*.Channel", "Device.Ethernet.Interface.*.MaxBitRate", "Device.PPP.Interface.", "Device.DHCPv4.Server.Pool.*.MinAddress")}
	}, device1)
}

// TestHomesSecurity: the security of an access point is one thing, though TR-098 has it in six parameters.
func TestHomesSecurity(t *testing.T) {
	alike(t, func(e *eut, _ *home) any {
		const path = "Device.WiFi.AccessPoint.2.Security."
		e.restore(path + "ModeEnabled")
		var out []any
		for _, mode := range []string{"WPA2-Personal", "WPA-WPA2-Personal", "WPA-Personal", "WPA2-Enterprise", "None"} {
			out = append(out, e.outcome(false, obj{path, []param{req("ModeEnabled", mode), req("KeyPassphrase", "battery staple")}}), e.ask(0, path+"ModeEnabled"))
		}
		return append(out, e.outcome(false, obj{path, []param{req("ModeEnabled", "WPA9")}}))
	}, device1)
}

// TestHomesSetFails: allow_partial and required decide what becomes of the rest.
func TestHomesSetFails(t *testing.T) {
	alike(t, func(e *eut, _ *home) any {
		e.restore("Device.DeviceInfo.ProvisioningCode", "Device.Time.NTPServer1")
		good, bad := obj{"Device.DeviceInfo.", []param{req("ProvisioningCode", "FAIL.1")}}, obj{"Device.UserInterface.RemoteAccess.", []param{req("Port", "99999")}}
		return []any{
			e.outcome(true, good, bad), e.ask(0, "Device.DeviceInfo.ProvisioningCode"),
			e.outcome(false, obj{"Device.DeviceInfo.", []param{req("ProvisioningCode", "FAIL.2")}}, bad), e.ask(0, "Device.DeviceInfo.ProvisioningCode"),
			e.outcome(false, obj{"Device.Time.", []param{req("NTPServer1", "c.example.net"), opt("NoSuch", "1")}}), e.ask(0, "Device.Time.NTPServer1"),
			e.outcome(false, obj{"Device.DeviceInfo.", []param{req("SerialNumber", "other")}}),
			e.outcome(false, obj{"Device.Time.", []param{req("Enable", "perhaps")}}),
			e.outcome(true, obj{"Device.NoSuch.", []param{req("Enable", "true")}}, obj{"Device.Time.", []param{req("NTPServer1", "d.example.net")}}),
		}
	})
}

// table is one that a Controller makes rows in.
type homeTable struct {
	path string
	lack []string
	row  []param
	find string // the row, by a unique key
	bad  param
}

var homeTables = []homeTable{
	{"Device.Users.User.", nil, []param{req("Username", "guest"), req("Enable", "true"), req("Alias", "guest")}, `[Username=="guest"].`, req("RemoteAccessCapable", "maybe")},
	{"Device.NAT.PortMapping.", []string{device1}, []param{req("Enable", "true"), req("Alias", "ssh"), req("Interface", "Device.IP.Interface.10151"), req("ExternalPort", "2222"),
		req("InternalPort", "22"), req("Protocol", "TCP"), req("InternalClient", "192.168.1.20"), req("Description", "SSH")}, `[ExternalPort==2222].`, req("InternalPort", "99999")},
	{"Device.DHCPv4.Server.Pool.1000.StaticAddress.", []string{device1}, []param{req("Enable", "true"), req("Alias", "tv"), req("Chaddr", "00:D0:9E:00:01:04"),
		req("Yiaddr", "192.168.1.40")}, `[Chaddr=="00:D0:9E:00:01:04"].`, req("Yiaddr", "not an address at all")},
	{"Device.Routing.Router.1.IPv4Forwarding.", []string{device1}, []param{req("Enable", "true"), req("Alias", "lab"), req("DestIPAddress", "198.18.0.0"), req("DestSubnetMask", "255.254.0.0"),
		req("GatewayIPAddress", "192.168.1.20"), req("Interface", "Device.IP.Interface.1"), req("ForwardingMetric", "5")}, `[Alias=="lab"].`, req("DestSubnetMask", "255.255.255.255.255")},
	{"Device.QoS.Queue.", []string{device1}, []param{req("Enable", "true"), req("Alias", "bulk"), req("TrafficClasses", "7"), req("Precedence", "2")}, `[Alias=="bulk"].`, req("Precedence", "0")},
}

// made is a row that was added, without its number.
func (e *eut) made(c homeTable) any {
	e.Helper()
	path, keys := e.added(c.path, c.row...)
	if got := e.sole(c.path + c.find); got != path {
		e.Errorf("%s is found as %s", path, got)
	}
	maps.DeleteFunc(keys, func(name, _ string) bool {
		return !slices.ContainsFunc(c.row, func(p param) bool { return p.name == name })
	})
	values := map[string]string{}
	for name, v := range e.values(path)[path] {
		if slices.ContainsFunc(c.row, func(p param) bool { return p.name == name }) {
			values[name] = v
		}
	}
	return []any{keys, values, len(e.rows(c.path))}
}

func TestHomesAddAndDelete(t *testing.T) {
	for _, c := range homeTables {
		t.Run(c.path, func(t *testing.T) {
			alike(t, func(e *eut, _ *home) any {
				before := e.rows(c.path)
				out := e.made(c)
				path := e.sole(c.path + c.find)
				e.outcome(false, obj{path, []param{req("Enable", "false")}})
				e.wantValue(path+"Enable", "false")
				res, err := e.delete(false, path)
				e.must(err)
				e.deleted(res[0], path, path)
				e.wantRows(c.path, before...)
				return out
			}, c.lack...)
		})
	}
}

// TestHomesAddUndone: a row whose required parameter the CPE refuses is not left behind.
func TestHomesAddUndone(t *testing.T) {
	for _, c := range homeTables {
		t.Run(c.path, func(t *testing.T) {
			alike(t, func(e *eut, _ *home) any {
				before := e.rows(c.path)
				bad := append(slices.DeleteFunc(slices.Clone(c.row), func(p param) bool { return p.name == c.bad.name }), c.bad)
				_, err := e.add(false, obj{c.path, bad})
				u := e.refused(err)
				e.wantRows(c.path, before...)
				res, err := e.add(true, obj{c.path, bad})
				e.must(err)
				e.wantRows(c.path, before...)
				bad[len(bad)-1].required = false
				part, err := e.add(true, obj{c.path, bad})
				e.must(err)
				ok := part[0].GetOperStatus().GetOperSuccess()
				if ok == nil || len(ok.GetParamErrs()) != 1 {
					e.Fatalf("%v", part)
				}
				_, err = e.delete(false, ok.GetInstantiatedPath())
				e.must(err)
				e.wantRows(c.path, before...)
				return []any{u.Code, res[0].GetOperStatus().GetOperFailure().GetErrCode(), ok.GetParamErrs()[0].GetParam(), ok.GetParamErrs()[0].GetErrCode()}
			}, c.lack...)
		})
	}
}

// TestHomesRefused: tables that nobody makes rows in.
func TestHomesRefused(t *testing.T) {
	for _, table := range []string{"Device.WiFi.SSID.", "Device.IP.Interface.", "Device.PPP.Interface.", "Device.Hosts.Host.", "Device.Ethernet.Link.", "Device.WiFi.Radio."} {
		t.Run(table, func(t *testing.T) {
			alike(t, func(e *eut, _ *home) any {
				before := e.rows(table)
				_, err := e.add(false, obj{table, nil})
				codes := []usp.ErrorCode{e.refused(err).Code}
				_, err = e.delete(false, before[0])
				codes = append(codes, e.refused(err).Code)
				e.wantRows(table, before...)
				return codes
			}, device1)
		})
	}
}

// TestHomesDefaults: a new row has the defaults of Device:2, whatever the CPE makes it with; what is given counts more.
func TestHomesDefaults(t *testing.T) {
	for _, c := range homeTables {
		t.Run(c.path, func(t *testing.T) {
			alike(t, func(e *eut, _ *home) any {
				var out []any
				for _, row := range [][]param{c.row[2:], c.row} {
					given := slices.DeleteFunc(slices.Clone(row), func(p param) bool { return p.name == "Alias" })
					path, _ := e.added(c.path, given...)
					values := e.ask(0, path)[0].Objects[path]
					maps.DeleteFunc(values, func(name, _ string) bool { return name == "Alias" || name == "Status" }) // these are no defaults
					out = append(out, values)
					_, err := e.delete(false, path)
					e.must(err)
				}
				return out
			}, c.lack...)
		})
	}
}
