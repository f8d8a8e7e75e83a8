package cwmp

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"
)

// rankedACS is a Handler that knows what CPE are to it by their serial numbers.
type rankedACS struct {
	acs
	standing map[string]Standing
	begun    chan string
}

func (h *rankedACS) Standing(m *Inform) Standing { return h.standing[m.DeviceId.SerialNumber] }

func (h *rankedACS) Begin(_ context.Context, s *Session) error {
	h.begun <- s.DeviceID.SerialNumber
	return nil
}

// stopped is a pacer that lets nobody in by itself.
func stopped() *pacer {
	return &pacer{saturated: func(time.Duration) bool { return true }, rate: 1, least: 1, tokens: -1000}
}

func awaitWaiting(t *testing.T, p *pacer, n int) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); ; runtime.Gosched() {
		if got, _ := p.load(); got == n {
			return
		} else if time.Now().After(end) {
			t.Fatalf("%d wait, want %d", got, n)
		}
	}
}

// S18: in a storm Informs are let in by what they are about, whatever the order in which they came; one that was asked for does not wait.
func TestPacerRanks(t *testing.T) {
	h := &rankedACS{begun: make(chan string, 16), standing: map[string]Standing{
		"restless": Restless, "result": Known, "boot": Known, "change": Known, "periodic": Known, "asked": Known, "wanted": Wanted, "late": Known,
	}}
	h.ended = make(chan error, 16)
	sv, addr := start(t, &h.acs, nil)
	sv.handler = h
	p := stopped()
	sv.pacer = p
	inform := func(serial, event string) <-chan int {
		c := dial(t, addr)
		m := testInform()
		m.DeviceId.SerialNumber, m.Event = serial, []EventStruct{{EventCode: event}}
		status := make(chan int, 1)
		c.send(message(t, "1", m))
		go func() { status <- c.receive().status }()
		return status
	}
	var answers []<-chan int
	for i, x := range [][2]string{
		{"restless", EventConnectionRequest}, {"stranger", EventBootstrap}, {"periodic", EventPeriodic}, {"boot", EventBoot},
		{"change", EventValueChange}, {"result", "M Download"}, {"asked", EventConnectionRequest},
	} {
		answers = append(answers, inform(x[0], x[1]))
		awaitWaiting(t, p, i+1)
	}
	wanted := inform("wanted", EventConnectionRequest)
	if got := <-h.begun; got != "wanted" {
		t.Errorf("%s was let in before the one that was asked for", got)
	}
	if got := <-wanted; got != http.StatusOK {
		t.Errorf("the one that was asked for got %d", got)
	}
	for _, want := range []string{"asked", "result", "change", "boot", "periodic", "stranger", "restless"} {
		p.mu.Lock()
		p.tokens = p.waiting[0].rank.cost()
		p.judged = time.Now() // no judgement in between
		p.mu.Unlock()
		p.tick()
		if got := <-h.begun; got != want {
			t.Errorf("%s was let in, want %s", got, want)
		}
	}
	for _, a := range answers {
		if got := <-a; got != http.StatusOK {
			t.Errorf("answer %d", got)
		}
	}
	// Somebody begins to wait for a CPE whose Inform waits already.
	late := make(chan error, 1)
	var isWanted bool
	go func() { late <- p.enter(t.Context(), rankPeriodic, 1, func() bool { return isWanted }) }()
	for n := 0; n != 1; n, _ = p.load() {
		runtime.Gosched()
	}
	p.mu.Lock()
	isWanted = true
	p.mu.Unlock()
	p.tick()
	if err := <-late; err != nil {
		t.Error(err)
	}
}

// Whoever waits, wherever in the queue, is let in soon after somebody begins to want it.
func TestPacerAdmitsWanted(t *testing.T) {
	p := stopped()
	p.at, p.judged = time.Now(), time.Now().Add(time.Hour) // no judgement
	for i := range 5 * wantedTicks {
		p.waiting = append(p.waiting, &waiter{rank: rankPeriodic, wanted: func() bool { return i%wantedTicks == 3 }, in: make(chan struct{}), out: make(chan struct{})})
	}
	all := slices.Clone(p.waiting)
	for range wantedTicks {
		p.tick()
	}
	p.close()
	for i, w := range all {
		select {
		case <-w.in:
			if i%wantedTicks != 3 {
				t.Errorf("%d was let in", i)
			}
		default:
			if i%wantedTicks == 3 {
				t.Errorf("%d still waits", i)
			}
		}
	}
}

// A storm that is beyond what can wait is sent away, the least urgent first, with a Retry-After that grows with it.
func TestPacerSendsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := stopped()
		p.rate, p.least = 400, 400
		never := func() bool { return false }
		results := make(chan string, 4*maxWaiting)
		enter := func(name string, r rank) {
			go func() { results <- fmt.Sprint(name, p.enter(t.Context(), r, 1, never) == nil) }()
			synctest.Wait()
		}
		for range maxWaiting {
			p.mu.Lock()
			p.tokens = 0
			p.mu.Unlock()
			enter("periodic ", rankPeriodic)
		}
		if p.retryAfter() != minRetry {
			t.Errorf("Retry-After %d before anybody was sent away", p.retryAfter())
		}
		enter("stranger ", rankStranger)
		enter("boot ", rankBoot)
		for _, want := range []string{"stranger false", "periodic false"} {
			if got := <-results; got != want {
				t.Errorf("%q, want %q", got, want)
			}
		}
		for range 2000 {
			if err := p.enter(t.Context(), rankStranger, 1, never); err == nil {
				t.Fatal("a stranger was let in")
			}
		}
		if got := p.retryAfter(); got < 2000*16/400 || got > maxRetry {
			t.Errorf("Retry-After %d s for 2,000 first contacts at 400 units a second", got)
		}
		for range maxWaiting { // at 400 a second all who wait are let in, in time
			if got := <-results; got != "periodic true" && got != "boot true" {
				t.Fatal(got)
			}
		}
	})
}

// The rate falls while the process is saturated, down to a least, rises while Informs wait, and forgets.
func TestPacerRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		late := true
		p := &pacer{saturated: func(time.Duration) bool { return late }, rate: 1000, first: 1000, least: 100}
		after := func(d time.Duration) float64 {
			for range d / paceWindow {
				time.Sleep(paceWindow)
				p.mu.Lock()
				p.advance(time.Now())
				p.mu.Unlock()
			}
			return p.rate
		}
		if got := after(5 * time.Second); got != 100 {
			t.Errorf("rate %v while saturated", got)
		}
		late = false
		p.waiting = []*waiter{{rank: rankPeriodic, in: make(chan struct{}), out: make(chan struct{})}}
		p.tokens = -1e9 // nobody is let in
		if got := after(5 * time.Second); got < 1000 {
			t.Errorf("rate %v while Informs wait and processors are idle", got)
		}
		p.waiting = nil
		if got := after(10 * time.Second); got < 990 || got > 1010 {
			t.Errorf("rate %v after a quiet time", got)
		}
	})
}

// The bodies of those that wait have a bound, whoever they are, and who leaves makes room.
func TestPacerHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := stopped()
		p.rate, p.least = 1e6, 1e6
		never := func() bool { return false }
		ctx, cancel := context.WithCancel(t.Context())
		first := make(chan error)
		go func() { first <- p.enter(ctx, rankStranger, maxHeld, never) }()
		synctest.Wait()
		start := time.Now()
		if err := p.enter(t.Context(), rankChange, 1, never); !errors.Is(err, errCrowded) || time.Since(start) > 0 {
			t.Error("beyond the bound:", err, time.Since(start))
		}
		cancel()
		if err := <-first; !errors.Is(err, errCrowded) {
			t.Error(err)
		}
		p.mu.Lock()
		p.tokens = 1e3
		p.mu.Unlock()
		if err := p.enter(t.Context(), rankChange, maxHeld, never); err != nil || p.held != 0 {
			t.Error("with room again:", err, p.held)
		}
		p.close()
	})
}

// What counts as saturated is more while nobody waits for a CPE.
func TestPacerStrict(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var judged time.Duration
		p := &pacer{saturated: func(lateness time.Duration) bool { judged = lateness; return false }, rate: 1000, first: 1000, least: 100}
		want := func(lateness time.Duration) {
			t.Helper()
			time.Sleep(paceWindow)
			p.mu.Lock()
			defer p.mu.Unlock()
			if p.advance(time.Now()); judged != lateness {
				t.Errorf("judged by %v, want %v", judged, lateness)
			}
		}
		p.advance(time.Now())
		want(looseLateness)
		if err := p.enter(t.Context(), rankWanted, 1, nil); err != nil {
			t.Fatal(err)
		}
		want(maxLateness)
		time.Sleep(strictFor)
		want(looseLateness)
	})
}

// Whoever waits is told to come again when the server ends.
func TestPacerShutdown(t *testing.T) {
	h := &acs{}
	sv, addr := start(t, h, nil)
	sv.pacer = stopped()
	c := dial(t, addr)
	c.send(message(t, "1", testInform()))
	awaitWaiting(t, sv.pacer, 1)
	if err := sv.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	r := c.receive()
	r.wantStatus(t, http.StatusServiceUnavailable)
	if n, err := strconv.Atoi(r.header.Get("Retry-After")); err != nil || n < minRetry || n > minRetry*3/2 {
		t.Errorf("Retry-After %q", r.header.Get("Retry-After"))
	}
}
