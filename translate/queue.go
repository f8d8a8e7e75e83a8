package translate

import (
	"context"
	"errors"
	"slices"
	"time"

	"isthmus/cwmp"
	"isthmus/usp"
)

// job is work for a CPE on behalf of one request. It runs in a CWMP session, in order, or is removed when ctx ends; it never runs
// later than that.
type job struct {
	ctx context.Context
	// talk says what to ask. What it learns goes into variables that the requester reads only when do has returned nil or talk's
	// error: a requester whose deadline passes while talk runs must not touch them.
	talk  func(ctx context.Context, c cwmp.Caller) error
	last  bool // the session ends after this job: the CPE acts when it ends
	polls bool // nobody waits for it
	// guarded by Device.mu
	wrote bool // an RPC that changes something has left
	known bool // the outcome is settled, and a success: what talk still does is for the cache
	again bool // it has been put back once because its session was lost
	state jobState
	wait  Wait
	err   error
	done  chan struct{}
}

type jobState int

const (
	queued jobState = iota
	running
	finished
)

// maxQueue bounds the jobs that wait for one CPE. It is twice what one Controller can have waiting.
const maxQueue = 512

var errShutdown = &usp.Error{Code: usp.Unreachable, Msg: "shutting down"}

// do has a job run in a session and returns what talk returned. Where it did not run: 7800 with the reason, 7005 where too many
// wait. Where ctx ends while a change is under way: 7801.
func (d *Device) do(ctx context.Context, j *job) error {
	j.ctx, j.done, j.wait = ctx, make(chan struct{}), Wait{Queued: time.Now()}
	d.mu.Lock()
	switch {
	case d.p.closing.Load():
		d.mu.Unlock()
		return errShutdown
	case d.erased.Load():
		d.mu.Unlock()
		return errForgotten
	case len(d.queue) >= maxQueue:
		d.mu.Unlock()
		return usp.Errorf(usp.ResourcesExceeded, "%d requests wait for this CPE already", maxQueue)
	}
	d.queue = append(d.queue, j)
	d.p.m.queued.Inc()
	open, asking := d.session != nil, d.asking
	d.mu.Unlock()
	switch {
	case open:
		exchangeOf(ctx).because(bySession)
		d.poke()
	case asking:
		exchangeOf(ctx).because(bySharedRequest)
		d.ask()
	default:
		exchangeOf(ctx).because(byRequest)
		d.ask()
	}
	select {
	case <-j.done:
		exchangeOf(ctx).waited(j.wait)
		return j.err
	case <-ctx.Done():
	}
	d.mu.Lock()
	state, known, wrote, wait := j.state, j.known, j.wrote, j.wait
	if state == queued {
		d.unqueue(j)
	}
	d.mu.Unlock()
	exchangeOf(ctx).waited(wait)
	switch {
	case state == finished:
		<-j.done
		return j.err
	case known:
		return nil
	case wrote:
		return usp.Errorf(usp.OutcomeUnknown, "the CPE did not answer in time: the outcome is unknown")
	case state == running:
		return d.unreachable("the CPE did not answer in time")
	}
	return d.unreachable("no CWMP session in time")
}

// settled says that a job has done what it was for.
func (d *Device) settled(j *job) {
	d.mu.Lock()
	j.known = true
	d.mu.Unlock()
}

// unqueue removes a job that has not started. d.mu is held.
func (d *Device) unqueue(j *job) {
	if i := slices.Index(d.queue, j); i >= 0 {
		d.queue = slices.Delete(d.queue, i, i+1)
		d.p.m.queued.Dec()
	}
}

// finish ends a job. d.mu is not held.
func (d *Device) finish(j *job, err error) {
	d.mu.Lock()
	j.state, j.err = finished, err
	d.mu.Unlock()
	close(j.done)
}

// failQueue ends all jobs that wait.
func (d *Device) failQueue(err error) {
	d.mu.Lock()
	jobs := d.queue
	d.queue = nil
	d.p.m.queued.Sub(float64(len(jobs)))
	d.mu.Unlock()
	for _, j := range jobs {
		d.finish(j, err)
	}
}

// poke tells the session that there is work.
func (d *Device) poke() {
	d.mu.RLock()
	wake := d.wake
	d.mu.RUnlock()
	select {
	case wake <- struct{}{}:
	default:
	}
}

// serve is the ACS half of a session: jobs in order until none is left and the linger is over. It says whether the session is of further
// use.
func (d *Device) serve(ctx context.Context, s *cwmp.Session) bool {
	for {
		j := d.next(ctx, s)
		if j == nil {
			return ctx.Err() == nil
		}
		c := &caller{d: d, next: s, job: j, session: s.ID, ex: exchangeOf(j.ctx)}
		err := j.talk(j.ctx, c)
		d.mu.Lock()
		j.wait.Ended = time.Now()
		d.served = d.served || !j.polls
		lost := errors.Is(err, cwmp.ErrSessionClosed) || errors.Is(err, cwmp.ErrUnknownOutcome)
		if lost && !j.wrote && !j.again && j.ctx.Err() == nil && !d.p.closing.Load() {
			// Nothing was changed, so nothing is lost by asking once more in the next session.
			exchangeOf(j.ctx).waited(j.wait)
			j.again, j.state, j.wait = true, queued, Wait{Queued: j.wait.Ended}
			d.queue = slices.Insert(d.queue, 0, j)
			d.p.m.queued.Inc()
			d.mu.Unlock()
			return false
		}
		d.mu.Unlock()
		d.finish(j, err)
		if j.last && err == nil {
			return false
		}
		if err := d.tend(ctx, &caller{d: d, next: s}); err != nil {
			d.p.log.Info("what subscriptions need is done in the next session", "device", d.id, "err", err)
		}
	}
}

// next takes a job from the queue, waiting for one as long as the session is worth holding open; nil ends the session.
func (d *Device) next(ctx context.Context, s *cwmp.Session) *job {
	var linger <-chan time.Time
	for {
		d.mu.Lock()
		for len(d.queue) > 0 && ctx.Err() == nil {
			j := d.queue[0]
			d.queue = d.queue[1:]
			d.p.m.queued.Dec()
			if j.ctx.Err() != nil {
				continue // its requester takes note of it
			}
			j.state = running
			j.wait.Taken, j.wait.Session, j.wait.SessionBegan = time.Now(), s.ID, d.inform.at
			d.mu.Unlock()
			return j
		}
		if ctx.Err() == nil {
			if j := d.nextOperation(); j != nil {
				d.mu.Unlock()
				return j
			}
		}
		hold := d.served && !d.p.closing.Load() && d.p.opts.Linger > 0
		if !hold || ctx.Err() != nil {
			d.mu.Unlock()
			return nil
		}
		d.mu.Unlock()
		if linger == nil {
			t := time.NewTimer(d.p.opts.Linger)
			defer t.Stop()
			linger = t.C
		}
		select {
		case <-d.wake:
		case <-ctx.Done():
		case <-d.p.stopping:
		case <-linger:
			d.mu.RLock()
			idle := len(d.queue) == 0
			d.mu.RUnlock()
			if idle {
				return nil
			}
		}
	}
}

// caller makes a job's RPCs: it notes them down for the trace and the metrics and remembers whether something was changed.
type caller struct {
	d    *Device
	next cwmp.Caller
	job  *job      // nil: work of isthmus's own
	ex   *exchange // nil: nobody asked

	session string // its ID, for ex
}

func (c *caller) Call(ctx context.Context, req cwmp.RPC) (cwmp.RPC, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if changes(req) {
		if err := c.d.uncontested(); err != nil {
			return nil, err // the job was queued before
		}
	}
	if c.job != nil && changes(req) {
		c.d.mu.Lock()
		c.job.wrote = true
		c.d.mu.Unlock()
	}
	n := c.ex.called(time.Now(), c.session, req.Name())
	resp, err := c.next.Call(ctx, req)
	c.ex.answered(n, err)
	c.d.note(req, err)
	return resp, err
}

// changes says whether an RPC leaves the CPE another than it was.
func changes(req cwmp.RPC) bool {
	switch req.(type) {
	case *cwmp.GetRPCMethods, *cwmp.GetParameterNames, *cwmp.GetParameterValues, *cwmp.GetParameterAttributes,
		*cwmp.GetQueuedTransfers, *cwmp.GetAllQueuedTransfers, *cwmp.GetOptions:
		return false
	}
	return true
}
