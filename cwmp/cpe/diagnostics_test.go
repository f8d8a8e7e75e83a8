package cpe

import (
	"strings"
	"testing"
	"time"

	"isthmus/cwmp"
)

const (
	pinging = "Device.IP.Diagnostics.IPPing."
	state   = pinging + diagnosticsState
)

// test writes the arguments of a test and its state at once.
func test(c *CPE, object string, args ...string) *cwmp.SetParameterValues {
	m := set("", object+diagnosticsState, "string", requested)
	for i := 0; i < len(args); i += 2 {
		m.ParameterList = append(m.ParameterList, set("", object+args[i], c.kind(object+args[i]), args[i+1]).ParameterList...)
	}
	return m
}

// kind is the type of a parameter, "" where it is none that can be written.
func (c *CPE) kind(path string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := c.tree.find(path); n != nil && n.writable {
		return n.kind
	}
	return ""
}

// The tests that a CPE knows, their results, and an Inform of their end.
func TestDiagnostics(t *testing.T) {
	a := newACS(t)
	const diagnostics = "Device.IP.Diagnostics."
	for object, want := range map[string][]string{
		pinging:                                       {"Host=192.0.2.1", "NumberOfRepetitions=7", "SuccessCount=7", "FailureCount=0"},
		diagnostics + "TraceRoute.":                   {"Host=192.0.2.1", "RouteHopsNumberOfEntries=3", "RouteHops.3.HostAddress=192.0.2.3"},
		diagnostics + "DownloadDiagnostics.":          {"DownloadURL=http://192.0.2.1/", "TestBytesReceived=1000000"},
		diagnostics + "UploadDiagnostics.":            {"UploadURL=http://192.0.2.1/", "TestBytesSent=1000000"},
		diagnostics + "UDPEchoDiagnostics.":           {"Host=192.0.2.1", "NumberOfRepetitions=4", "EnableIndividualPacketResults=true", "IndividualPacketResultNumberOfEntries=4"},
		diagnostics + "ServerSelectionDiagnostics.":   {"HostList=192.0.2.1,192.0.2.2", "FastestHost=192.0.2.1"},
		"Device.DNS.Diagnostics.NSLookupDiagnostics.": {"HostName=a.example", "ResultNumberOfEntries=1", "Result.1.HostNameReturned=a.example"},
		"Device.WiFi.NeighboringWiFiDiagnostic.":      {"ResultNumberOfEntries=5", "Result.5.SSID=neighbour 5"},
		"Device.SelfTestDiagnostics.":                 {"Results=passed"},
	} {
		t.Run(object, func(t *testing.T) {
			c := run(t, Config{ACS: a.URL})
			var args []string
			for _, w := range want {
				name, value, _ := strings.Cut(w, "=")
				if c.kind(object+name) != "" {
					args = append(args, name, value)
				}
			}
			ask[*cwmp.SetParameterValuesResponse](a, c, test(c, object, args...))
			idle(t, c)
			if got := codes(a.inform(-1)); got != "8 DIAGNOSTICS COMPLETE" {
				t.Errorf("events %q", got)
			}
			for _, w := range append(want, "DiagnosticsState=Complete") {
				name, value, _ := strings.Cut(w, "=")
				if got := c.Value(object + name); got != value {
					t.Errorf("%s is %q, want %q", name, got, value)
				}
			}
			if strings.Contains(object, "TraceRoute") {
				ask[*cwmp.SetParameterValuesResponse](a, c, test(c, object))
				idle(t, c)
				if got := c.Value(object + "RouteHops.6.HostAddress"); got != "192.0.2.3" || c.Value(object+"RouteHops.3.HostAddress") != "" {
					t.Errorf("of the second test %q, the first one's are there still", got)
				}
			}
		})
	}
}

// The habits of CPE in what concerns tests.
func TestDiagnosticsFaults(t *testing.T) {
	a := newACS(t)
	for name, f := range map[string]struct {
		faults Faults
		state  string
		events string // of the last session
		then   func(c *CPE)
	}{
		"older word":    {faults: Faults{TestState: "Completed"}, state: "Completed", events: cwmp.EventDiagnosticsComplete},
		"failed":        {faults: Faults{TestState: "Error_Internal"}, state: "Error_Internal", events: cwmp.EventDiagnosticsComplete},
		"never over":    {faults: Faults{TestState: requested}, state: requested, events: cwmp.EventPeriodic},
		"tells nothing": {faults: Faults{TestSilent: true}, state: complete, events: cwmp.EventPeriodic},
		"boots":         {faults: Faults{TestReboots: true}, state: "None", events: cwmp.EventBoot},
		"takes time":    {faults: Faults{TestTime: time.Millisecond}, state: complete, events: cwmp.EventDiagnosticsComplete},
		"stopped": {faults: Faults{TestTime: time.Hour}, state: "Canceled", events: cwmp.EventPeriodic, then: func(c *CPE) {
			a.talk(c, set("", state, "string", "Canceled"))
		}},
		"another argument": {faults: Faults{TestTime: time.Hour}, state: "None", events: cwmp.EventPeriodic, then: func(c *CPE) {
			a.talk(c, set("", pinging+"DSCP", "unsignedInt", "3"))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			c := run(t, Config{ACS: a.URL, Faults: f.faults})
			ask[*cwmp.SetParameterValuesResponse](a, c, test(c, pinging, "Host", "192.0.2.1"))
			if f.then == nil {
				idle(t, c)
			} else {
				f.then(c)
			}
			if got := codes(a.inform(-1)); !strings.Contains(got, f.events) {
				t.Errorf("events %q, want %q", got, f.events)
			}
			if got := c.Value(state); got != f.state {
				t.Errorf("state %q, want %q", got, f.state)
			}
		})
	}
	c := run(t, Config{ACS: a.URL, Faults: Faults{TestApart: true}})
	wantFault(a, c, test(c, pinging, "Host", "192.0.2.1"), cwmp.FaultInvalidArguments)
	ask[*cwmp.SetParameterValuesResponse](a, c, test(c, pinging))
}

// A test that is begun anew takes its time from then on.
func TestDiagnosticsAnew(t *testing.T) {
	const long = time.Hour
	inBubble(t, Config{Faults: Faults{TestTime: long}}, func(a *testACS, c *CPE) {
		idle(t, c)
		ask[*cwmp.SetParameterValuesResponse](a, c, test(c, pinging, "Host", "192.0.2.1"))
		time.Sleep(long / 2)
		ask[*cwmp.SetParameterValuesResponse](a, c, test(c, pinging, "Host", "192.0.2.2"))
		time.Sleep(long - time.Minute)
		if got := c.Value(state); got != requested {
			t.Errorf("state %q before its time", got)
		}
		time.Sleep(2 * time.Minute)
		if got := c.Value(state); got != complete {
			t.Errorf("state %q", got)
		}
	})
}
