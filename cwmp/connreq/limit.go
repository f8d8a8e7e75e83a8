package connreq

import (
	"hash/maphash"
	"net/netip"
	"time"
)

const (
	// sourceRate is how many datagrams a second one source address is answered; many CPE may be behind one NAT. With answers of less
	// than 100 bytes, somebody who lies about his address can have 10 KB/s sent to another.
	sourceRate  = 100
	sourceBurst = 500
	buckets     = 1 << 16
	prefixIPv6  = 64 // who has one address of it has them all
)

// limiter bounds what is done for each source address, in constant memory: addresses that share a bucket share its rate.
type limiter struct {
	seed    maphash.Seed
	rate    float32 // a second
	burst   float32
	start   time.Time
	buckets []bucket
}

type bucket struct {
	used float32
	at   uint32 // ms since start
}

func newLimiter(rate, burst float32) *limiter {
	return &limiter{seed: maphash.MakeSeed(), rate: rate, burst: burst, start: time.Now(), buckets: make([]bucket, buckets)}
}

// allow takes one from the bucket of an address. Only one goroutine may call it.
func (l *limiter) allow(addr netip.Addr, now time.Time) bool {
	if addr = addr.Unmap(); addr.Is6() {
		p, _ := addr.Prefix(prefixIPv6) //nolint:errcheck // an IPv6 address has 64 bits
		addr = p.Addr()
	}
	b := &l.buckets[maphash.Comparable(l.seed, addr)%buckets]
	ms := uint32(now.Sub(l.start).Milliseconds())
	const second = 1000 // ms
	b.used = max(0, b.used-l.rate*float32(ms-b.at)/second)
	b.at = ms
	if b.used+1 > l.burst {
		return false
	}
	b.used++
	return true
}
