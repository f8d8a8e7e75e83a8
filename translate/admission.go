package translate

import (
	"container/list"
	"net/netip"
	"sync"
	"time"
)

const (
	// maxSources bounds the addresses whose rate is known. One that is forgotten may begin anew.
	maxSources = 10_000
	// sourceBits is how much of an IPv6 address stands for one source: what a subscriber has at least.
	sourceBits = 64
)

// newcomers bounds how many CPE not yet known may come from one source address per second. nil lets everybody in.
type newcomers struct {
	perSecond float64 // and at once

	mu      sync.Mutex
	buckets map[netip.Prefix]*list.Element
	recent  list.List // of *bucket; the one used last is in front
}

type bucket struct {
	source netip.Prefix
	tokens float64
	at     time.Time
}

func newNewcomers(perSecond int) *newcomers {
	if perSecond <= 0 {
		return nil
	}
	return &newcomers{perSecond: float64(perSecond), buckets: map[netip.Prefix]*list.Element{}}
}

// admit takes one from a source's allowance. All whose address is not known share one.
func (n *newcomers) admit(from netip.Addr, now time.Time) bool {
	if n == nil {
		return true
	}
	from = from.Unmap().WithZone("")
	source, _ := from.Prefix(min(sourceBits, from.BitLen())) // the zero Prefix for the zero Addr
	n.mu.Lock()
	defer n.mu.Unlock()
	e := n.buckets[source]
	if e == nil {
		if n.recent.Len() >= maxSources {
			delete(n.buckets, n.recent.Remove(n.recent.Back()).(*bucket).source)
		}
		e = n.recent.PushFront(&bucket{source: source, tokens: n.perSecond, at: now})
		n.buckets[source] = e
	}
	n.recent.MoveToFront(e)
	b := e.Value.(*bucket)
	b.tokens = min(b.tokens+now.Sub(b.at).Seconds()*n.perSecond, n.perSecond)
	b.at = now
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}
