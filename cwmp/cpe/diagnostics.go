package cpe

import (
	"strings"

	"isthmus/cwmp"
)

const (
	diagnosticsState = "DiagnosticsState"
	requested        = "Requested"
	responseTime     = "1" // milliseconds, of a simulated ping
)

// startsOrStops are the states that an ACS may write.
func startsOrStops(value string) bool {
	return value == requested || value == "None" || value == "Canceled"
}

// diagnose runs the test whose DiagnosticsState is at path, and tells the ACS of its end. c.mu is held.
func (c *CPE) diagnose(path string) {
	object, _ := splitLast(path)
	if c.tree.value(path) != requested {
		return
	}
	results := map[string]string{diagnosticsState: "Complete"}
	if c.tree.find(object+"Host") != nil && c.tree.value(object+"Host") == "" {
		results[diagnosticsState] = "Error_CannotResolveHostName"
	} else if strings.Contains(object, "IPPing") {
		results["SuccessCount"] = c.tree.value(object + "NumberOfRepetitions")
		results["FailureCount"] = "0"
		for _, name := range []string{"AverageResponseTime", "MinimumResponseTime", "MaximumResponseTime"} {
			results[name] = responseTime
		}
		results["IPAddressUsed"] = "192.0.2.10"
	}
	for name, value := range results {
		c.tree = c.tree.set(object+name, value)
	}
	c.addEvent(event{code: cwmp.EventDiagnosticsComplete})
	c.want()
}
