package usp

import (
	"math"
	"testing"
	"time"
)

// TestRetry_R_NOT_1 checks the windows of R-NOT.1 to R-NOT.4, which R-WS.19 shares.
func TestRetry_R_NOT_1(t *testing.T) {
	low := func() float64 { return 0 }
	high := func() float64 { return math.Nextafter(1, 0) }
	for _, c := range []struct {
		r        Retry
		n        int
		from, to time.Duration
	}{
		{Retry{}, 0, 5 * time.Second, 10 * time.Second},
		{Retry{}, 1, 5 * time.Second, 10 * time.Second},
		{Retry{}, 2, 10 * time.Second, 20 * time.Second},
		{Retry{}, 10, 2560 * time.Second, 5120 * time.Second},
		{Retry{}, 11, 2560 * time.Second, 5120 * time.Second},
		{Retry{}, math.MaxInt, 2560 * time.Second, 5120 * time.Second},
		{Retry{Minimum: time.Second, Multiplier: 1500}, 3, 2250 * time.Millisecond, 3375 * time.Millisecond},
		{Retry{Multiplier: 1}, 9, 5 * time.Second, 5 * time.Second},
		{Retry{Cap: time.Minute}, 10, time.Minute, time.Minute},
		{Retry{Minimum: math.MaxInt64 / 2, Multiplier: 65535}, 10, math.MaxInt64, math.MaxInt64},
	} {
		if got := c.r.Wait(c.n, low); got != c.from {
			t.Errorf("%+v: wait %d is at least %v, want %v", c.r, c.n, got, c.from)
		}
		if got := c.r.Wait(c.n, high); got > c.to || got < c.to-time.Millisecond {
			t.Errorf("%+v: wait %d is at most %v, want %v", c.r, c.n, got, c.to)
		}
	}
}
