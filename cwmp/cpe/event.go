package cpe

import (
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"isthmus/cwmp"
)

// event waits to be told to the ACS.
type event struct {
	code, key string
	until     *request // whose answer removes it; nil: the InformResponse does
}

// request is an RPC to the ACS that waits for its turn.
type request struct {
	rpc cwmp.RPC
}

const (
	maxEvents    = 64 // of an Inform (TR-069 A.3.3.1)
	maxRequests  = 64
	maxRetries   = 10
	defaultWait  = 5 * time.Second
	defaultScale = 2000 // CWMPRetryIntervalMultiplier, in thousandths
)

// addEvent queues e; only "M" events and those of a request may stand in the queue twice. c.mu is held.
func (c *CPE) addEvent(e event) {
	if len(c.events) >= maxEvents || !strings.HasPrefix(e.code, "M ") && e.until == nil && slices.Contains(c.events, e) {
		return
	}
	c.events = append(c.events, e)
}

func (c *CPE) dropEvents(drop func(event) bool) { c.events = slices.DeleteFunc(c.events, drop) }

// unretried events are lost with the session that failed to deliver them (TR-069 3.7.1.5).
func unretried(e event) bool {
	return e.code == cwmp.EventConnectionRequest || e.code == cwmp.EventHeartbeat
}

// untilReboot are the events that a reboot makes obsolete.
func untilReboot(e event) bool {
	return unretried(e) || e.code == cwmp.EventValueChange || e.code == cwmp.EventDiagnosticsComplete
}

// eventList is what the Inform says: each single code once. c.mu is held.
func (c *CPE) eventList() []cwmp.EventStruct {
	var list []cwmp.EventStruct
	for _, e := range c.events {
		s := cwmp.EventStruct{EventCode: e.code, CommandKey: e.key}
		if strings.HasPrefix(e.code, "M ") || !slices.Contains(list, s) {
			list = append(list, s)
		}
	}
	return list
}

// retryWait is a random time in [m·k^n, m·k^(n+1)] after n retries (TR-069 3.2.1.1). c.mu is held.
func (c *CPE) retryWait(n int) time.Duration {
	server := c.root + "ManagementServer."
	wait, scale := defaultWait, float64(defaultScale)
	if s, err := strconv.Atoi(c.tree.value(server + "CWMPRetryMinimumWaitInterval")); err == nil {
		wait = time.Duration(s) * time.Second
	}
	if s, err := strconv.Atoi(c.tree.value(server + "CWMPRetryIntervalMultiplier")); err == nil {
		scale = float64(s)
	}
	if c.cfg.RetryWait > 0 {
		wait = c.cfg.RetryWait
	}
	const thousandths = 1000
	k := scale / thousandths
	low := float64(wait) * math.Pow(k, float64(min(n, maxRetries-1)))
	return time.Duration(low + rand.Float64()*low*(k-1)) //nolint:gosec // jitter
}
