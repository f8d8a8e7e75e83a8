package datamodel

import (
	"strings"

	"isthmus/usp/agent"
)

// hidden are the objects (with a final dot) and parameters that no USP Controller sees or writes: what ties the CPE to the proxy,
// what the proxy serves or will serve in its place, and what describes CWMP itself.
var hidden = []string{
	"Device.ManagementServer.",
	"Device.CWMPManagementServer.",
	"Device.LocalAgent.",
	"Device.USPAgent.",
	"Device.BulkData.",
	"Device.MQTT.",
	"Device.STOMP.",
	"Device.DeviceInfo.SupportedDataModel.",
	"Device.DeviceInfo.SupportedDataModelNumberOfEntries",
	"Device.DeviceInfo.ProxierInfo.",
	"Device.GatewayInfo.EndpointID",
	"Device.GatewayInfo.MACAddress",
}

const root = "Device."

// hiddenInitials are the letters that the second segment of a hidden path begins with, in lower case: most paths are told by that.
var hiddenInitials = func() (initials [256]bool) {
	for _, h := range hidden {
		initials[h[len(root)]|0x20] = true
	}
	return initials
}()

// Hidden says whether a Device:2 path, concrete or generic, of an object, parameter or table, lies in what a CPE may have but no
// USP message may reach. Letter case is no way around it, since there are CPE that ignore it.
func Hidden(path string) bool {
	if len(path) <= len(root) || !hiddenInitials[path[len(root)]|0x20] {
		return false
	}
	for _, h := range hidden {
		stem, isObject := strings.CutSuffix(h, ".")
		if len(path) < len(stem) || !strings.EqualFold(path[:len(stem)], stem) {
			continue
		}
		if len(path) == len(stem) || isObject && path[len(stem)] == '.' {
			return true
		}
	}
	return false
}

// quiet tells the counters, clocks and remaining times among parameters: what changes all the time by itself.
func quiet(path string, t agent.ValueType, writable bool) bool {
	object, name := splitPath(path)
	switch {
	case name == "LeaseDuration" && writable: // of a port mapping: counts down in models before Device:2.19
		return isInteger(t)
	case writable:
		return false
	case name == "CurrentLocalTime", strings.Contains(name, "LeaseTime"), strings.HasSuffix(name, "LastChange"):
		return true
	case !isInteger(t):
		return false
	}
	return strings.Contains(object, "Stats.") || name == "UpTime" ||
		strings.HasPrefix(name, "Bytes") || strings.HasPrefix(name, "Packets")
}
