package agent

import (
	"context"
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	"isthmus/usp"
)

const (
	// A Keeper takes this much at once.
	maxCommit        = 1 << 20 // bytes, of which each Record has recordOverhead
	maxCommitRecords = 8192
	recordOverhead   = 128
	// maxNote is how long a notification may be that is kept, encoded.
	maxNote = 256 << 10
	// someNotes is from how many new notifications on it pays to look for those that are over the bound.
	someNotes = 4 * maxPending
)

// keep writes records in as few commits as they need. What is first must be there as a whole or not at all: it goes with the first, and is
// an error if it is more than one takes.
func (a *Agent) keep(ctx context.Context, first, then []Record) error {
	batch, room := slices.Clip(first), maxCommit
	for _, r := range first {
		room -= r.size()
	}
	if room < 0 || len(batch) > maxCommitRecords {
		return usp.Errorf(usp.ResourcesExceeded, "the message changes more than can be kept at once")
	}
	for _, r := range then {
		if room -= r.size(); room < 0 || len(batch) == maxCommitRecords {
			if err := a.keepBatch(ctx, batch); err != nil {
				return err
			}
			batch, room = nil, maxCommit-r.size()
		}
		batch = append(batch, r)
	}
	if len(batch) == 0 {
		return nil
	}
	return a.keepBatch(ctx, batch)
}

func (a *Agent) keepBatch(ctx context.Context, batch []Record) error {
	if err := a.keeper.Commit(ctx, batch); err != nil {
		return fmt.Errorf("keep rows of %s: %w", a.id.ID, err)
	}
	return nil
}

func (r Record) size() int { return recordOverhead + len(r.ID) + len(r.Data) }

// latest makes one change of several of the same value.
func latest(hs []Happening) []Happening {
	last := make(map[string]*ValueChange)
	for i := len(hs) - 1; i >= 0; i-- {
		if c, ok := hs[i].(*ValueChange); ok {
			if l := last[c.Path]; l != nil {
				l.Old, hs[i] = c.Old, nil
				continue
			}
			last[c.Path] = c
		}
	}
	return slices.DeleteFunc(hs, func(h Happening) bool { return h == nil })
}

// newest leaves out of new notifications what its queue would drop: of each Controller's all but maxPending, the oldest first, those without
// NotifRetry before the others. One whose TriggerAction has not been seen to stays.
func (a *Agent) newest(notes []*note) []*note {
	over := make(map[usp.EndpointID]int)
	for _, n := range notes {
		if !n.triggers() {
			over[n.To]++
		}
	}
	for to, n := range over {
		over[to] = max(0, n-maxPending)
	}
	for _, retried := range []bool{false, true} {
		notes = slices.DeleteFunc(notes, func(n *note) bool {
			drop := n.Retry == retried && over[n.To] > 0 && !n.triggers()
			if drop {
				over[n.To]--
				a.fleet.metrics.notifications.WithLabelValues(n.Kind, dropped).Inc()
			}
			return drop
		})
	}
	return notes
}

// fitting leaves out notifications that are too long to be kept.
func (a *Agent) fitting(notes []*note) []*note {
	return slices.DeleteFunc(notes, func(n *note) bool {
		size := proto.Size(n.notify)
		if size <= maxNote {
			return false
		}
		a.fleet.log.Warn("a notification is too long to be kept", "device", a.id.ID, "controller", n.To, "bytes", size)
		a.fleet.metrics.notifications.WithLabelValues(n.Kind, dropped).Inc()
		return true
	})
}

// triggers says that a Subscription's settings have to be made for a notification.
func (n *note) triggers() bool { return n.action == triggerConfig || n.action == triggerBoth }
