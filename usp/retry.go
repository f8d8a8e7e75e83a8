package usp

import (
	"math"
	"time"
)

// Defaults of the retry formula and the attempt from which on the wait stays in one window (R-NOT.1..4, R-WS.19).
const (
	defaultRetryMinimum    = 5 * time.Second
	defaultRetryMultiplier = 2000
	lastRetryWindow        = 10
)

// Retry is the back-off of TR-369 for notifications (R-NOT.1..4), WebSocket sessions (R-WS.19) and MQTT connections: the n-th wait is
// somewhere between m·(k/1000)^(n-1) and m·(k/1000)^n, from the tenth on in the tenth's window. The zero value has the defaults.
type Retry struct {
	Minimum    time.Duration // m; 0: 5 s
	Multiplier uint32        // k in thousandths; 0: 2000; less than 1000 counts as 1000
	Cap        time.Duration // no wait is longer; 0: no cap
	FromZero   bool          // the n-th wait is somewhere between 0 and m·(k/1000)^(n-1), as for STOMP (R-STOMP.7)
}

// Wait is the n-th wait, n from 1. The place in its window comes from rnd, which gives numbers in [0, 1): rand.Float64.
func (r Retry) Wait(n int, rnd func() float64) time.Duration {
	m, k := r.Minimum, r.Multiplier
	if m <= 0 {
		m = defaultRetryMinimum
	}
	if k == 0 {
		k = defaultRetryMultiplier
	}
	factor := float64(max(k, 1000)) / 1000
	from := float64(m) * math.Pow(factor, float64(min(max(n, 1), lastRetryWindow)-1))
	wait := from + rnd()*from*(factor-1)
	if r.FromZero {
		wait = rnd() * from
	}
	if limit := float64(r.Cap); r.Cap > 0 && wait > limit {
		wait = limit
	}
	if wait >= math.MaxInt64 {
		return math.MaxInt64
	}
	return time.Duration(wait)
}
