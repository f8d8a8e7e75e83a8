package translate

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"isthmus/cwmp"
	"isthmus/store"
)

const (
	// pollsAtOnce bounds the CPE that are polled at the same time. What cannot be polled in time is polled later, never in addition.
	pollsAtOnce = 32
	// pollAgain is after how many intervals a CPE is polled again that has never come when it was asked.
	pollAgain = 12
	// pollTick is how often at most it is looked for whom to poll.
	pollTick = 10 * time.Millisecond
)

// polls are the devices of which something has to be compared, each in the part of the interval that the hash of its Endpoint ID gives.
type polls struct {
	mu    sync.Mutex
	slots [store.Shards]map[*Device]struct{}
}

func (x *polls) set(d *Device, polled bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	slot := &x.slots[store.Shard(string(d.id))]
	switch {
	case !polled:
		delete(*slot, d)
	case *slot == nil:
		*slot = map[*Device]struct{}{d: {}}
	default:
		(*slot)[d] = struct{}{}
	}
}

func (x *polls) of(slot int) []*Device {
	x.mu.Lock()
	defer x.mu.Unlock()
	return slices.Collect(maps.Keys(x.slots[slot]))
}

// poll visits the slots, all of them once in an interval, or more slowly where the CPE take longer than that.
func (p *Proxy) poll() {
	if p.opts.PollInterval <= 0 {
		return
	}
	step := max(p.opts.PollInterval/store.Shards, 1)
	tick := time.NewTicker(max(step, pollTick))
	defer tick.Stop()
	var work errgroup.Group
	defer func() { _ = work.Wait() }()
	work.SetLimit(pollsAtOnce)
	next := time.Now().Add(step)
	for slot := 0; ; {
		select {
		case <-p.ctx.Done():
			return
		case <-tick.C:
		}
		for range store.Shards {
			if next.After(time.Now()) {
				break
			}
			for _, d := range p.polls.of(slot) {
				work.Go(func() error { d.poll(); return nil })
			}
			slot, next = (slot+1)%store.Shards, next.Add(step)
		}
		if now := time.Now(); next.Before(now) {
			next = now
		}
	}
}

// poll has a CPE compared, unless it cannot be reached or has been compared lately.
func (d *Device) poll() {
	d.mu.Lock()
	idle := d.polling || d.p.closing.Load() || d.contact.unpromising(d.p.opts.PollInterval) || d.watch != nil && time.Since(d.watch.compared) < d.p.opts.PollInterval/2 ||
		!d.summaryLocked().Online || d.head.Quarantine != nil
	d.polling = d.polling || !idle
	d.mu.Unlock()
	if idle {
		return
	}
	ctx, cancel := context.WithTimeout(d.p.ctx, d.p.opts.ConnectionRequest.Timeout)
	defer cancel()
	err := d.do(ctx, &job{polls: true, talk: func(ctx context.Context, c cwmp.Caller) error { return d.compare(ctx, c, atPoll) }})
	d.mu.Lock()
	d.polling = false
	d.mu.Unlock()
	outcome := "compared"
	if err != nil {
		outcome = "failed"
		d.p.log.Debug("a CPE could not be polled", "device", d.id, "err", err)
	}
	d.p.m.polls.WithLabelValues(outcome).Inc()
}

// unpromising says that the CPE did not come when it was asked last, or never has, which is tried again after some intervals. Device.mu is held.
func (c *contact) unpromising(interval time.Duration) bool {
	return c != nil && (c.rounds > 0 || c.worked == "" && len(c.tried) > 0 && time.Since(c.tried[0].at) < pollAgain*interval)
}

// unhurried says that nobody waits for a session but a poll, which has to stand back in a storm. d.mu is held.
func (d *Device) unhurried() bool {
	return len(d.queue) > 0 && !slices.ContainsFunc(d.queue, func(j *job) bool { return !j.polls })
}
