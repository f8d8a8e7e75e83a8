package cpe

import (
	"context"
	"slices"

	"isthmus/cwmp"
)

// maxCalls is how many of the ACS's latest RPCs a CPE remembers.
const maxCalls = 1024

// changedState wakes those who wait. c.mu is held.
func (c *CPE) changedState() {
	if c.signal != nil {
		close(c.signal)
		c.signal = nil
	}
}

// wait returns when ok, called under mu, says so; else with ctx's error.
func (c *CPE) wait(ctx context.Context, ok func() bool) error {
	for {
		c.mu.Lock()
		if ok() {
			c.mu.Unlock()
			return nil
		}
		if c.signal == nil {
			c.signal = make(chan struct{})
		}
		signal := c.signal
		c.mu.Unlock()
		select {
		case <-signal:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (c *CPE) record(req, resp cwmp.RPC) {
	if c.stats != nil {
		c.stats.rpcs.Add(1)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.calls) == maxCalls {
		c.calls = slices.Delete(c.calls, 0, maxCalls/2)
	}
	if c.counts == nil {
		c.counts = make(map[string]int)
	}
	c.calls = append(c.calls, Call{Request: req, Response: resp})
	c.counts[req.Name()]++
	c.changedState()
}

// Calls are the RPCs of that name that the ACS made, oldest first; "" stands for all. Of very many only the latest are kept.
func (c *CPE) Calls(rpc string) []Call {
	c.mu.Lock()
	defer c.mu.Unlock()
	var calls []Call
	for _, call := range c.calls {
		if rpc == "" || call.Request.Name() == rpc {
			calls = append(calls, call)
		}
	}
	return calls
}

// WaitCall waits until the ACS has made n calls of the RPC and returns the latest of them.
func (c *CPE) WaitCall(ctx context.Context, rpc string, n int) (Call, error) {
	if err := c.wait(ctx, func() bool { return c.counts[rpc] >= n }); err != nil {
		return Call{}, err
	}
	calls := c.Calls(rpc)
	return calls[len(calls)-1], nil
}

// Sessions is how many sessions have ended, well or not.
func (c *CPE) Sessions() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sessions
}

// Failures is how many of the Sessions did not end well.
func (c *CPE) Failures() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.failures
}

// WaitValue waits until a parameter that the CPE finds out by itself, such as where it can be reached, has a value.
func (c *CPE) WaitValue(ctx context.Context, path string) error {
	return c.wait(ctx, func() bool { return c.tree.value(path) != "" })
}

// WaitSessions waits until n sessions have ended since the CPE was made.
func (c *CPE) WaitSessions(ctx context.Context, n int) error {
	return c.wait(ctx, func() bool { return c.sessions >= n })
}

// WaitIdle waits until nothing goes on and nothing is left to tell the ACS: no session, reboot, transfer or diagnostic, no event.
func (c *CPE) WaitIdle(ctx context.Context) error {
	return c.wait(ctx, func() bool {
		return !c.running && !c.due && !c.down && c.work == 0 && len(c.tests) == 0 &&
			len(c.events) == 0 && len(c.requests) == 0 && len(c.transfers) == 0 && c.retry == nil
	})
}
