package agent

import (
	"context"
	"hash/fnv"
	"strconv"
	"time"

	"isthmus/usp"
)

const (
	// keepGone is how long the row of a Controller stays that is not in the configuration any more.
	keepGone = 30 * 24 * time.Hour
	// dueRetry is when something that was due is tried again after an error.
	dueRetry = 10 * time.Second
)

// periodic is when Periodic! is raised next for one Controller.
type periodic struct {
	spec string // interval and time that next was computed from
	next time.Time
}

// timetable is what an Agent does by itself at a time that its rows do not tell.
type timetable struct {
	periodic map[string]periodic          // by Controller row
	onBoard  map[usp.EndpointID]time.Time // when OnBoardRequest is repeated
}

// reschedule puts the Agent in the due queue at the time of the first thing it has to do by itself.
func (a *Agent) reschedule() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.st == nil || a.closing {
		return
	}
	a.fleet.due.set(a, a.nextDue(time.Now()))
}

// nextDue is called with a.mu held; the zero time is never.
func (a *Agent) nextDue(now time.Time) time.Time {
	var first time.Time
	at := func(t time.Time) {
		if !t.IsZero() && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	rs := a.st.rows
	for _, p := range rs.instances(subscriptionTable) {
		at(expiry(rs, p))
		at(a.triggerDue(p, now))
	}
	for _, p := range rs.instances(controllerTable) {
		if t, gone := goneSince(rs, p, now); gone {
			at(t)
			continue
		}
		at(a.nextPeriodic(p, now))
		at(a.nextOnBoard(p, now))
		at(a.contextDue(p, now))
	}
	for _, l := range a.links {
		at(l.muteDue())
	}
	if len(a.orphans()) > 0 {
		at(now)
	}
	for _, p := range rs.instances(requestTable) {
		at(requestDue(rs, p))
	}
	for id, q := range a.st.queues {
		l := a.route(id)
		for _, n := range q.notes {
			if n.sending {
				continue // looked at again when it is sent
			}
			at(n.Expires)
			if l != nil && !q.delivering {
				at(later(later(now, l.heldUntil()), later(n.at, q.paused)))
			}
		}
	}
	return first
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// expiry is when TimeToLive removes a Subscription, the zero time for never.
func expiry(rs *rowSet, path string) time.Time {
	ttl := rs.number(path, "TimeToLive")
	created, ok := parseTime(rs.get(path, "CreationDate"))
	if ttl == 0 || !ok {
		return time.Time{}
	}
	return created.Add(time.Duration(ttl) * time.Second)
}

// goneSince says when the row of a Controller that left the configuration is to be looked at next.
func goneSince(rs *rowSet, path string, now time.Time) (time.Time, bool) {
	since := rs.values[path][goneMark]
	if since == "" {
		return time.Time{}, false
	}
	if s, err := strconv.ParseInt(since, 10, 64); err == nil {
		return time.Unix(s, 0).Add(keepGone), true
	}
	return now, true
}

// nextPeriodic is when Periodic! is due for a Controller, the zero time if nobody wants to know. It is called with a.mu held.
func (a *Agent) nextPeriodic(path string, now time.Time) time.Time {
	rs := a.st.rows
	if !rs.is(path, "Enable") || !wantsPeriodic(rs, path) {
		delete(a.times.periodic, path)
		return time.Time{}
	}
	interval, phase := rs.number(path, "PeriodicNotifInterval"), rs.get(path, "PeriodicNotifTime")
	spec := strconv.FormatUint(interval, 10) + "|" + phase
	p := a.times.periodic[path]
	if p.spec != spec {
		p = periodic{spec, a.after(now, int64(interval), phase)}
		if a.times.periodic == nil {
			a.times.periodic = make(map[string]periodic)
		}
		a.times.periodic[path] = p
	}
	return p.next
}

// after is the first time after now that lies whole intervals of seconds from phase. Without a phase each Agent has one of its own, which
// a restart does not change and which spreads a fleet.
func (a *Agent) after(now time.Time, interval int64, phase string) time.Time {
	start, ok := parseTime(phase)
	if !ok || start.IsZero() {
		h := fnv.New32a()
		h.Write([]byte(a.id.ID))
		start = time.Unix(int64(h.Sum32()), 0)
	}
	interval = max(interval, 1)
	passed := (now.Unix() - start.Unix()) % interval
	if passed < 0 {
		passed += interval
	}
	return time.Unix(now.Unix()-passed+interval, 0)
}

func wantsPeriodic(rs *rowSet, controller string) bool {
	for _, p := range rs.instances(subscriptionTable) {
		if rs.get(p, "Recipient")+"." != controller || !rs.is(p, "Enable") || rs.get(p, "NotifType") != event {
			continue
		}
		for _, ref := range splitList(rs.get(p, "ReferenceList")) {
			if covers(ref, ownRoot+periodicEvent) {
				return true
			}
		}
	}
	return false
}

// nextOnBoard is when OnBoardRequest is repeated for a Controller. It is called with a.mu held.
func (a *Agent) nextOnBoard(path string, now time.Time) time.Time {
	rs := a.st.rows
	again := rs.number(path, "OnBoardingRestartTime")
	id := usp.EndpointID(rs.get(path, "EndpointID"))
	if again == 0 || !rs.is(path, "Enable") || rs.is(path, "OnBoardingComplete") {
		delete(a.times.onBoard, id)
		return time.Time{}
	}
	if q := a.st.queues[id]; q != nil && q.onBoarding() {
		return time.Time{}
	}
	if a.times.onBoard[id].IsZero() {
		if a.times.onBoard == nil {
			a.times.onBoard = make(map[usp.EndpointID]time.Time)
		}
		a.times.onBoard[id] = now.Add(time.Duration(again) * time.Second)
	}
	return a.times.onBoard[id]
}

// onBoarding says that an OnBoardRequest still awaits its answer.
func (q *queue) onBoarding() bool {
	for _, n := range q.notes {
		if n.Kind == onBoardRequest {
			return true
		}
	}
	return false
}

// serveDue does what is due.
func (a *Agent) serveDue(ctx context.Context) {
	if err := a.use(ctx); err != nil {
		if a.life().Err() == nil && ctx.Err() == nil {
			a.fleet.log.Error("what is due cannot be done", "device", a.id.ID, "error", err)
			a.fleet.due.set(a, time.Now().Add(dueRetry))
		}
		return
	}
	defer a.leave()
	ctx, cancel := context.WithTimeoutCause(ctx, a.fleet.opts.RequestTimeout, errTooLate)
	defer cancel()
	a.expireNotes()
	if err := a.update(ctx, "", func(t *tx) error { a.serveRows(ctx, t); return nil }); err != nil {
		if a.life().Err() == nil && ctx.Err() == nil {
			a.fleet.log.Error("what is due cannot be done", "device", a.id.ID, "error", err)
		}
		a.fleet.due.set(a, time.Now().Add(dueRetry))
		return
	}
	a.serveContexts(ctx)
	a.closeMute()
	a.kick()
}

// expireNotes ends what NotifExpiration ends.
func (a *Agent) expireNotes() {
	now := time.Now()
	var over []*note
	a.mu.Lock()
	for _, q := range a.st.queues {
		for _, n := range q.notes {
			if !n.Expires.IsZero() && !n.Expires.After(now) && !n.sending {
				over = append(over, n)
			}
		}
	}
	for _, n := range over {
		a.forget(n, expired)
	}
	a.mu.Unlock()
	a.erase(over)
}

// serveRows does what is due in the Agent's own tables.
func (a *Agent) serveRows(ctx context.Context, t *tx) {
	for _, p := range t.rows.instances(subscriptionTable) {
		if e := expiry(t.rows, p); !e.IsZero() && !e.After(t.now) {
			t.drop(p)
		}
	}
	for _, p := range t.rows.instances(requestTable) {
		if at := requestDue(t.rows, p); !at.IsZero() && !at.After(t.now) {
			t.complete(p, nil, nil)
		}
	}
	for _, p := range t.rows.instances(controllerTable) {
		if at, gone := goneSince(t.rows, p, t.now); gone {
			switch {
			case t.rows.values[p][goneMark] == goneNow:
				t.put(p, goneMark, itoa(t.now.Unix()))
			case !at.After(t.now):
				_ = t.remove(p) // the row exists and can be deleted
			}
			continue
		}
		if a.periodicDue(p, t.now) {
			t.notes = append(t.notes, a.match(ctx, t.before, t.rows, p, []Happening{&Event{Object: ownRoot, Name: periodicEvent}})...)
		}
		if a.onBoardDue(p, t.now) {
			t.onBoard(ctx, p)
		}
	}
}

func (a *Agent) periodicDue(path string, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	p, ok := a.times.periodic[path]
	if !ok || p.next.After(now) {
		return false
	}
	delete(a.times.periodic, path)
	return true
}

func (a *Agent) onBoardDue(path string, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	id := usp.EndpointID(a.st.rows.get(path, "EndpointID"))
	if at := a.times.onBoard[id]; at.IsZero() || at.After(now) {
		return false
	}
	delete(a.times.onBoard, id)
	return true
}
