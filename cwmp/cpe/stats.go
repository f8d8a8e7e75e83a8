package cpe

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// Stats are the figures of a fleet or a load run.
type Stats struct {
	Sessions int // that ended, well or not
	Failures int // of them, those that failed
	RPCs     int // that the ACS made

	P50, P90, P99, Max time.Duration // of a session that ended well, to an eighth of a power of two
}

const (
	subBits    = 3 // sub-buckets of a power of two, as a power of two
	subBuckets = 1 << subBits
	buckets    = 64 * subBuckets
)

// collector counts sessions; nil counts nothing.
type collector struct {
	sessions, failures, rpcs, max atomic.Int64
	took                          [buckets]atomic.Int64
}

func (s *collector) session(err error, took time.Duration) {
	if s == nil {
		return
	}
	s.sessions.Add(1)
	if err != nil {
		s.failures.Add(1)
		return
	}
	us := max(took.Microseconds(), 0)
	s.took[bucket(us)].Add(1)
	for m := s.max.Load(); us > m && !s.max.CompareAndSwap(m, us); m = s.max.Load() {
	}
}

// bucket is the index of the interval that holds v.
func bucket(v int64) int {
	shift := max(bits.Len64(uint64(v))-subBits-1, 0)
	return shift*subBuckets + int(v>>shift)
}

// upper is the highest value in the interval i.
func upper(i int) int64 {
	shift := max(i/subBuckets-1, 0)
	return int64(i-shift*subBuckets+1)<<shift - 1
}

func (s *collector) stats() Stats {
	r := Stats{Sessions: int(s.sessions.Load()), Failures: int(s.failures.Load()), RPCs: int(s.rpcs.Load())}
	total := int64(r.Sessions - r.Failures)
	r.P50, r.P90, r.P99 = s.percentile(total, 50), s.percentile(total, 90), s.percentile(total, 99)
	r.Max = time.Duration(s.max.Load()) * time.Microsecond
	return r
}

func (s *collector) percentile(total, percent int64) time.Duration {
	var seen int64
	for i := range s.took {
		if seen += s.took[i].Load(); seen > 0 && seen*100 >= total*percent {
			return time.Duration(min(upper(i), s.max.Load())) * time.Microsecond
		}
	}
	return 0
}
