package agent

import (
	"container/heap"
	"context"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// dueAtOnce is how many Agents are served at the same time when something is due.
const dueAtOnce = 64

// dueQueue knows when each Agent has something to do next: one entry an Agent, one timer for all.
type dueQueue struct {
	mu     sync.Mutex
	agents dueHeap
	wake   chan struct{}
}

// dueEntry is an Agent's place in the queue; index is -1 outside of it.
type dueEntry struct {
	at    time.Time
	index int
}

type dueHeap []*Agent

func (h dueHeap) Len() int           { return len(h) }
func (h dueHeap) Less(i, j int) bool { return h[i].due.at.Before(h[j].due.at) }
func (h dueHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].due.index, h[j].due.index = i, j
}

// Push and Pop are container/heap's.
func (h *dueHeap) Push(x any) {
	a := x.(*Agent)
	a.due.index = len(*h)
	*h = append(*h, a)
}

func (h *dueHeap) Pop() any {
	old := *h
	a := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	a.due.index = -1
	return a
}

func (q *dueQueue) init() { q.wake = make(chan struct{}, 1) }

// set says when the Agent has something to do next; the zero time takes it out of the queue.
func (q *dueQueue) set(a *Agent, at time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case at.IsZero():
		if a.due.index >= 0 {
			heap.Remove(&q.agents, a.due.index)
		}
		return
	case a.due.index >= 0:
		a.due.at = at
		heap.Fix(&q.agents, a.due.index)
	default:
		a.due.at = at
		heap.Push(&q.agents, a)
	}
	if a.due.index == 0 {
		select {
		case q.wake <- struct{}{}:
		default:
		}
	}
}

// take gives an Agent whose time has come, or how long to wait for the next one; -1 if there is none.
func (q *dueQueue) take(now time.Time) (*Agent, time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.agents) == 0 {
		return nil, -1
	}
	if wait := q.agents[0].due.at.Sub(now); wait > 0 {
		return nil, wait
	}
	return heap.Pop(&q.agents).(*Agent), 0
}

// Run serves the due queue of all Agents: retries, expiry, TimeToLive, Periodic!, repeated onboarding. It returns nil when ctx ends and
// what it had begun is done.
func (f *Fleet) Run(ctx context.Context) error {
	var work errgroup.Group
	work.SetLimit(dueAtOnce)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		a, wait := f.due.take(time.Now())
		if a != nil {
			work.Go(func() error { a.serveDue(ctx); return nil })
			continue
		}
		if wait >= 0 {
			timer.Reset(wait)
		} else {
			timer.Stop()
		}
		select {
		case <-timer.C:
		case <-f.due.wake:
		case <-ctx.Done():
		}
	}
	return work.Wait()
}
