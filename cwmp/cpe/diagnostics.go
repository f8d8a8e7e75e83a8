package cpe

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"isthmus/cwmp"
)

const (
	diagnosticsState = "DiagnosticsState"
	macTestState     = "MACTestState"         // of Babel's keys, which has another name
	loopState        = "LoopDiagnosticsState" // of TR-098's WANDSLDiagnostics, which has, too
	requested        = "Requested"
	complete         = "Complete"
	responseTime     = "1" // milliseconds, of a simulated ping
	pinged           = "192.0.2.10"
)

func isState(name string) bool { return slices.Contains(states, name) }

var states = []string{diagnosticsState, macTestState, loopState}

// startsOrStops are the states that an ACS may write.
func startsOrStops(value string) bool {
	return value == requested || value == "None" || value == "Canceled"
}

// refusesTest says whether a CPE that wants a DiagnosticsState alone refuses a write.
func (c *CPE) refusesTest(req *cwmp.SetParameterValues) bool {
	if !c.faults.TestApart || len(req.ParameterList) < 2 {
		return false
	}
	for _, p := range req.ParameterList {
		if _, name := splitLast(p.Name); isState(name) {
			return true
		}
	}
	return false
}

// begin starts the test whose state is at path, in place of the one that it was at there. c.mu is held.
func (c *CPE) begin(path string) {
	if c.tree.value(path) != requested || c.faults.TestState == requested {
		return
	}
	if c.faults.TestReboots {
		c.restart(false, nil)
		return
	}
	if c.faults.TestTime == 0 {
		c.diagnose(path)
		return
	}
	c.cancel(c.tests[path])
	if c.tests == nil {
		c.tests = make(map[string]*time.Timer)
	}
	c.tests[path] = c.after(c.faults.TestTime, func() {
		delete(c.tests, path)
		c.diagnose(path)
		c.changedState()
	})
}

// diagnose makes up how a test ends, unless it was stopped, and tells the ACS. Tests that it does not know leave in their object what is there. c.mu is held.
func (c *CPE) diagnose(path string) {
	if c.tree.value(path) != requested {
		return
	}
	object, _ := splitLast(path)
	end := cmp.Or(c.faults.TestState, complete)
	if c.tree.find(object+"Host") != nil && c.tree.value(object+"Host") == "" {
		end = "Error_CannotResolveHostName"
	}
	c.tree = c.tree.set(path, end)
	if strings.HasPrefix(end, complete) {
		for name, value := range c.measure(object) {
			if c.tree.find(object+name) != nil {
				c.tree = c.tree.set(object+name, value)
			}
		}
	}
	if c.faults.TestSilent {
		return
	}
	c.addEvent(event{code: cwmp.EventDiagnosticsComplete})
	c.want()
}

// unset is what becomes of a test one of whose arguments is written: it is neither under way nor over (TR-181, DiagnosticsState). c.mu is held.
func (c *CPE) unset(path string, written map[string]bool) {
	object, _ := splitLast(path)
	for _, name := range states {
		if state := object + name; !written[state] && c.tree.find(state) != nil {
			c.tree = c.tree.set(state, "None")
		}
	}
}

// measure makes up the results of a test, with its rows. c.mu is held.
func (c *CPE) measure(object string) map[string]string {
	r := map[string]string{"IPAddressUsed": pinged}
	for _, name := range []string{"AverageResponseTime", "MinimumResponseTime", "MaximumResponseTime", "ResponseTime"} {
		r[name] = responseTime
	}
	r["SuccessCount"], r["FailureCount"] = c.tree.value(object+"NumberOfRepetitions"), "0"
	rows := func(table string, n int, row func(i int) map[string]string) {
		if k := c.tree.find(object + table); k == nil || k.template == nil {
			return
		}
		for _, k := range c.tree.find(object + table).kids {
			c.tree = c.tree.remove(object + table + k.name + ".")
		}
		for i := range n {
			tree, number := c.tree.add(object + table)
			c.tree = tree
			for name, value := range row(i) {
				r[fmt.Sprintf("%s%d.%s", table, number, name)] = value
			}
		}
		c.tree = c.tree.count(object + table)
	}
	const hops, echoes = 3, 100
	const began, ended = "2026-01-01T00:00:00.000000Z", "2026-01-01T00:00:01.000000Z"
	neighbours := cmp.Or(c.faults.TestRows, 5)
	switch _, test := splitLast(strings.TrimSuffix(object, ".")); test {
	case "TraceRoute", "TraceRouteDiagnostics":
		rows("RouteHops.", hops, func(i int) map[string]string {
			address := fmt.Sprintf("192.0.2.%d", i+1)
			return map[string]string{"Host": address, "HostAddress": address, "ErrorCode": "0", "RTTimes": "1,1,1",
				"HopHost": address, "HopHostAddress": address, "HopErrorCode": "0", "HopRTTimes": "1,1,1"}
		})
	case "NSLookupDiagnostics":
		rows("Result.", 1, func(int) map[string]string {
			return map[string]string{"Status": "Success", "AnswerType": "Authoritative", "HostNameReturned": c.tree.value(object + "HostName"),
				"IPAddresses": pinged, "DNSServerIP": "192.0.2.53", "ResponseTime": responseTime}
		})
	case "NeighboringWiFiDiagnostic":
		rows("Result.", neighbours, func(i int) map[string]string {
			return map[string]string{"Radio": "Device.WiFi.Radio.1.", "SSID": fmt.Sprintf("neighbour %d", i+1), "BSSID": fmt.Sprintf("00:D0:9E:00:%02X:%02X", 1+i>>8, i&0xFF),
				"Channel": "6", "SignalStrength": "-60"}
		})
	case "DownloadDiagnostics", "UploadDiagnostics":
		for _, name := range []string{"ROMTime", "BOMTime", "TCPOpenRequestTime", "TCPOpenResponseTime"} {
			r[name] = began
		}
		r["EOMTime"] = ended
		for _, name := range []string{"TestBytesReceived", "TotalBytesReceived", "TestBytesSent", "TotalBytesSent"} {
			r[name] = "1000000"
		}
	case "UDPEchoDiagnostics":
		repetitions, _ := strconv.Atoi(r["SuccessCount"])
		if c.tree.value(object+"EnableIndividualPacketResults") != "true" {
			repetitions = 0
		}
		rows("IndividualPacketResult.", min(repetitions, echoes), func(i int) map[string]string {
			return map[string]string{"PacketSuccess": "true", "PacketSendTime": began, "PacketReceiveTime": ended, "TestGenSN": strconv.Itoa(i + 1)}
		})
	case "ServerSelectionDiagnostics":
		r["FastestHost"], _, _ = strings.Cut(c.tree.value(object+"HostList"), ",")
	case "SelfTestDiagnostics":
		r["Results"] = "passed"
	}
	return r
}

// forgetTests ends the tests that a reboot interrupts. c.mu is held.
func (c *CPE) forgetTests() {
	for _, t := range c.tests {
		c.cancel(t)
	}
	c.tests = nil
	walk(c.root, c.tree.find(c.root), func(path string, n *node) {
		if isState(n.name) && n.value == requested {
			c.tree = c.tree.set(path, "None")
		}
	})
}
