package cpe

import "strings"

// triggers are the parameters that have the CPE do something when true is written, and read false.
var triggers = map[string]bool{"Reset": true, "GPSReset": true, "PasswordReset": true, "StatsReset": true, "Renew": true, "Disconnect": true,
	"ForceSample": true, "ForceReconnect": true, "SendMagicPacket": true}

// act does what a write has the CPE do, as far as it shows in other parameters. c.mu is held.
func (c *CPE) act(path string) {
	object, name := splitLast(path)
	value := c.tree.value(path)
	switch n := c.tree.find(path); {
	case n.kind == "boolean" && triggers[name] && value == "true":
		c.tree = c.tree.set(path, "false")
		if strings.HasSuffix(path, "Stats.Reset") || name == "StatsReset" {
			c.zero(object)
		}
	case strings.Contains(object, "SoftwareModules.ExecEnv.") && name == "Enable":
		c.soon(object+"Status", map[string]string{"true": "Up", "false": "Disabled"}[value])
	case strings.Contains(object, "SoftwareModules.ExecutionUnit.") && name == "RequestedState":
		c.soon(object+"Status", value)
	case name == "RequestedRunLevel":
		c.soon(object+"CurrentRunLevel", value)
	}
}

// soon changes a value, at the end of the session if the CPE is of those that act then. c.mu is held.
func (c *CPE) soon(path, value string) {
	if c.faults.ActAtEnd {
		c.atEnd = append(c.atEnd, func() { c.change(path, value) })
		return
	}
	c.change(path, value)
}

// zero resets the counters of an object. c.mu is held.
func (c *CPE) zero(object string) {
	walk(object, c.tree.find(object), func(path string, n *node) {
		switch n.kind {
		case "int", "long", "unsignedInt", "unsignedLong":
			c.tree = c.tree.set(path, "0")
		}
	})
}
