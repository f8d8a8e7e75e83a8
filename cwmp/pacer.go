package cwmp

import (
	"context"
	"errors"
	"math"
	"net/http"
	"runtime"
	"runtime/metrics"
	"slices"
	"sync"
	"time"
)

// Standing is what a Handler knows of a CPE when it informs.
type Standing int

// What a CPE is to a Handler.
const (
	Stranger Standing = iota // its data model has to be read
	Known
	Wanted   // a Connection Request is under way, or a request waits for the session
	Restless // it informs every few seconds
)

// Ranker is a Handler that tells a CPE's Standing, from memory. Without it every CPE is Known.
type Ranker interface {
	Standing(*Inform) Standing
}

// rank is how urgent an Inform is; lower ones are let in first.
type rank int

const (
	rankWanted rank = iota
	rankAsked       // so the CPE says: it may answer late, or lie
	rankResult
	rankChange
	rankBoot
	rankPeriodic
	rankStranger
	rankRestless
)

func rankOf(m *Inform, st Standing) rank {
	switch st {
	case Wanted:
		return rankWanted
	case Stranger:
		return rankStranger
	case Restless:
		return rankRestless
	case Known:
	}
	best := rankPeriodic
	for i := range m.Event {
		best = min(best, eventRank(m.Event[i].EventCode))
	}
	return best
}

func eventRank(code string) rank {
	switch StandardEvent(code) {
	case EventConnectionRequest:
		return rankAsked
	case EventValueChange:
		return rankChange
	case EventBoot, EventBootstrap:
		return rankBoot
	case EventPeriodic, EventScheduled, EventHeartbeat:
		return rankPeriodic
	}
	return rankResult
}

// cost is what a session takes, in sessions of a CPE whose data model is known: measured, roughly.
func (r rank) cost() float64 {
	if r == rankStranger {
		return 16
	}
	return 1
}

const (
	paceWindow  = 50 * time.Millisecond // between two looks at the processors
	paceTick    = 5 * time.Millisecond  // between two looks at who waits: what is let in together is in each other's way
	wantedTicks = 8                     // in so many each that waits is asked once whether it is wanted by now
	maxWaiting  = 4096                  // Informs that wait; each is a connection
	maxHeld     = 256 << 20             // bytes of their bodies, which what is decoded of them keeps
	maxWait     = 20 * time.Second      // of an Inform; CPE give up after 30 s

	// Saturated is a process in which one goroutine in 20 waits longer than this for a processor, while somebody waits for a CPE, and if nobody has for a while:
	// CPE that are served together cost a third less each.
	maxLateness   = time.Millisecond
	looseLateness = 4 * time.Millisecond
	strictFor     = 10 * time.Second

	// Per processor and second, in units of rank.cost: what is let in whatever is measured, and to begin with.
	minPace   = 200
	firstPace = 1000
	// minBurst is what may come at once without a wait.
	minBurst = 512

	minRetry = 30   // seconds
	maxRetry = 1800 // seconds, before jitter
)

// pacer lets Informs in at the rate that the process sustains: a session costs processor time long after its Inform, so what is measured is
// how long goroutines wait for a processor, and the rate falls while that is too long and rises while Informs wait. Sessions that
// were asked for pass by it.
type pacer struct {
	saturated func(lateness time.Duration) bool // since the last call

	mu      sync.Mutex
	rate    float64 // units a second
	least   float64
	first   float64
	tokens  float64
	at      time.Time // of tokens
	judged  time.Time // of rate
	asked   time.Time // when one that is wanted has come last
	waiting []*waiter // by rank, then in the order of arrival
	held    int64     // bytes of those
	next    int       // of waiting to ask whether it is wanted
	owed    float64   // units that were sent away, and not made good by others
	timer   *time.Timer
	closed  bool
}

type waiter struct {
	rank   rank
	size   int64         // bytes of the body
	wanted func() bool   // by now
	in     chan struct{} // closed when it is let in
	out    chan struct{} // closed when one that is more urgent takes its place, and at the end
}

func newPacer() *pacer {
	n := float64(runtime.GOMAXPROCS(0))
	return &pacer{saturated: newSaturation(), rate: firstPace * n, first: firstPace * n, least: minPace * n, tokens: minBurst}
}

// busy is why an Inform is sent away.
const busy = "busy"

var errCrowded = errors.New("cwmp: too many Informs wait")

// leave takes waiters i to j out of the line. p.mu is held.
func (p *pacer) leave(i, j int) {
	for _, w := range p.waiting[i:j] {
		p.held -= w.size
	}
	p.waiting = slices.Delete(p.waiting, i, j)
}

// enter waits until an Inform with a body of size bytes may be taken up. The error is errCrowded where it is to come again later.
func (p *pacer) enter(ctx context.Context, r rank, size int64, wanted func() bool) error {
	p.mu.Lock()
	if r == rankWanted {
		p.asked = time.Now()
		p.mu.Unlock()
		return nil
	}
	if p.closed {
		p.mu.Unlock()
		return errCrowded
	}
	p.advance(time.Now())
	if len(p.waiting) == 0 && p.tokens >= r.cost() {
		p.tokens -= r.cost()
		p.owed = max(p.owed-r.cost(), 0)
		p.mu.Unlock()
		return nil
	}
	w := &waiter{rank: r, size: size, wanted: wanted, in: make(chan struct{}), out: make(chan struct{})}
	at, ahead := 0, 0.0
	for at < len(p.waiting) && p.waiting[at].rank <= r {
		ahead += p.waiting[at].rank.cost()
		at++
	}
	if at >= maxWaiting || ahead > p.rate*maxWait.Seconds() || p.held+size > maxHeld {
		p.owed += r.cost()
		p.mu.Unlock()
		return errCrowded
	}
	p.waiting = slices.Insert(p.waiting, at, w)
	p.held += size
	if len(p.waiting) > maxWaiting {
		last := p.waiting[maxWaiting]
		p.leave(maxWaiting, maxWaiting+1)
		p.owed += last.rank.cost()
		close(last.out)
	}
	if p.timer == nil {
		p.timer = time.AfterFunc(paceTick, p.tick)
	}
	p.mu.Unlock()

	timeout := time.NewTimer(maxWait)
	defer timeout.Stop()
	select {
	case <-w.in:
		return nil
	case <-w.out:
		return errCrowded
	case <-timeout.C:
	case <-ctx.Done():
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	i := slices.Index(p.waiting, w)
	if i < 0 {
		select {
		case <-w.in:
			return nil
		default:
			return errCrowded
		}
	}
	p.leave(i, i+1)
	p.owed += r.cost()
	return errCrowded
}

// close sends everybody away.
func (p *pacer) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, w := range p.waiting {
		close(w.out)
	}
	p.waiting = nil
	if p.timer != nil {
		p.timer.Stop()
	}
}

// tick lets in who waits; it runs while somebody does.
func (p *pacer) tick() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	p.admitWanted()
	p.advance(time.Now())
	p.timer = nil
	if len(p.waiting) > 0 {
		p.timer = time.AfterFunc(paceTick, p.tick)
	}
}

// admitWanted lets in who is wanted by now, of an eighth of those that wait: asking all of a long queue would take a noticeable part of a processor.
// p.mu is held.
func (p *pacer) admitWanted() {
	for range len(p.waiting)/wantedTicks + 1 {
		if p.next >= len(p.waiting) {
			p.next = 0
		}
		switch {
		case len(p.waiting) == 0:
			return
		case p.waiting[p.next].wanted():
			p.asked = time.Now()
			close(p.waiting[p.next].in)
			p.leave(p.next, p.next+1)
		default:
			p.next++
		}
	}
}

// advance brings rate and tokens up to now. p.mu is held.
func (p *pacer) advance(now time.Time) {
	if p.at.IsZero() {
		p.at, p.judged = now, now
	}
	if now.Sub(p.judged) >= paceWindow {
		p.judge(now)
	}
	p.tokens = min(p.tokens+now.Sub(p.at).Seconds()*p.rate, max(p.rate*paceWindow.Seconds(), minBurst))
	p.at = now
	n := 0
	for n < len(p.waiting) && p.tokens >= p.waiting[n].rank.cost() {
		w := p.waiting[n]
		p.tokens -= w.rank.cost()
		p.owed = max(p.owed-w.rank.cost(), 0)
		close(w.in)
		n++
	}
	p.leave(0, n)
}

// judge adapts the rate to what was measured since it was last. p.mu is held.
func (p *pacer) judge(now time.Time) {
	p.judged = now
	lateness := looseLateness
	if now.Sub(p.asked) < strictFor {
		lateness = maxLateness
	}
	switch {
	case p.saturated(lateness):
		p.rate = max(p.rate*0.85, p.least)
		p.tokens = min(p.tokens, rankStranger.cost()) // no burst
	case len(p.waiting) > 0:
		p.rate *= 1.03
	default:
		p.rate += (p.first - p.rate) / 16 // what was right for yesterday's Informs need not be for the next ones
		p.owed = 0
	}
}

// retryAfter is when whoever was sent away could be let in, in seconds.
func (p *pacer) retryAfter() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return int(min(max(math.Ceil(p.owed/p.rate), minRetry), maxRetry))
}

func (p *pacer) load() (waiting int, rate float64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.waiting), p.rate
}

// pace has an Inform with a body of size bytes wait its turn, before anything is done for it.
func (sv *Server) pace(ctx context.Context, m *Inform, size int64) error {
	standing := func() Standing {
		if r, ok := sv.handler.(Ranker); ok {
			return r.Standing(m)
		}
		return Known
	}
	if err := sv.pacer.enter(ctx, rankOf(m, standing()), size, func() bool { return standing() == Wanted }); err != nil {
		return &Refused{Status: http.StatusServiceUnavailable, RetryAfter: sv.pacer.retryAfter(), Reason: busy}
	}
	return nil
}

// newSaturation returns a function that tells whether one goroutine in 20 has waited longer for a processor since it was last called.
func newSaturation() func(lateness time.Duration) bool {
	sample := []metrics.Sample{{Name: "/sched/latencies:seconds"}}
	var before []uint64
	return func(lateness time.Duration) bool {
		metrics.Read(sample)
		h := sample[0].Value.Float64Histogram()
		if before == nil {
			before = slices.Clone(h.Counts)
			return false
		}
		var total, late uint64
		for i, n := range h.Counts {
			n -= before[i]
			total += n
			if h.Buckets[i] >= lateness.Seconds() {
				late += n
			}
		}
		copy(before, h.Counts)
		return late*20 > total
	}
}
