package agent

import (
	"context"
	"fmt"
	"time"

	"isthmus/usp"
)

// contextDue is when the Agent has to do something about the session with a Controller, the zero time for never. It is called with a.mu held.
func (a *Agent) contextDue(row string, now time.Time) time.Time {
	rs := a.st.rows
	if len(a.contexts) == 0 && rs.values[contextObject(row)]["SessionMode"] != sessionRequire {
		return time.Time{} // as good as always
	}
	id := usp.EndpointID(rs.get(row, "EndpointID"))
	x, mode, up := a.contexts[id], sessionMode(rs, row), a.route(id) != nil
	switch {
	case x == nil && up && mode == sessionRequire:
		return now
	case x == nil:
		return time.Time{}
	case mode == sessionForbid:
		return later(now, x.used.Add(lastWords))
	}
	first := x.expiry(rs)
	if !x.shakeBy.IsZero() && (first.IsZero() || x.shakeBy.Before(first)) {
		first = x.shakeBy
	}
	for _, t := range []time.Time{x.retryAt, x.askAt} {
		if up && !t.IsZero() && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	return first
}

// serveContexts does what is due about sessions.
func (a *Agent) serveContexts(ctx context.Context) {
	a.endOrphans(ctx)
	for _, row := range a.rows().instances(controllerTable) {
		a.mu.Lock()
		now := time.Now()
		due := a.contextDue(row, now)
		id := usp.EndpointID(a.st.rows.get(row, "EndpointID"))
		forbidden := sessionMode(a.st.rows, row) == sessionForbid
		var x *sessionContext
		l := a.route(id)
		if !due.IsZero() && !due.After(now) {
			if x = a.contextWith(id); forbidden {
				delete(a.contexts, id)
			}
		}
		a.mu.Unlock()
		if x == nil {
			continue
		}
		var err error
		if forbidden {
			err = a.endContext(ctx, x, l)
		} else {
			err = a.serveContext(ctx, x, l)
		}
		if err != nil && a.life().Err() == nil {
			a.fleet.log.Info("a session context could not be served", "device", a.id.ID, "controller", id, "error", err)
		}
	}
}

// orphans are the sessions of Controllers whose row is gone. It is called with a.mu held.
func (a *Agent) orphans() (all []*sessionContext) {
	for id, x := range a.contexts {
		if !x.working && a.st.rows.controller(id) == "" {
			all = append(all, x)
		}
	}
	return all
}

// endOrphans forgets them.
func (a *Agent) endOrphans(ctx context.Context) {
	a.mu.Lock()
	gone := a.orphans()
	for _, x := range gone {
		delete(a.contexts, x.peer)
	}
	a.mu.Unlock()
	for _, x := range gone {
		if err := a.endContext(ctx, x, nil); err != nil && a.life().Err() == nil {
			a.fleet.log.Info("the session of a Controller that is gone could not be ended", "device", a.id.ID, "controller", x.peer, "error", err)
		}
	}
}

// serveContext ends a session that has expired or whose handshake has no end, begins one that is wanted, asks for what is missing, and gives a
// session up in which what was asked for does not come. Without a channel it only ends them.
func (a *Agent) serveContext(ctx context.Context, x *sessionContext, l *channel) error {
	if err := x.takeTurn(ctx); err != nil {
		return err
	}
	defer x.giveTurn()
	if a.expireContext(x, a.rows()); l == nil {
		if a.shakenOut(x) {
			a.replaceContext(x, nil)
			a.mu.Lock()
			x.retryAt = time.Now() // as soon as the Controller is back
			a.mu.Unlock()
		}
		return nil
	}
	if a.shakenOut(x) {
		return a.renewContext(ctx, x, l, "", errHandshake)
	}
	now := time.Now()
	a.mu.Lock()
	begin := x.s == nil && (!x.renew || !x.retryAt.IsZero() && !x.retryAt.After(now))
	ask, again := x.s != nil && !x.askAt.IsZero() && !x.askAt.After(now), x.asked
	if ask {
		x.asked, x.askAt = true, now.Add(contextRetry(a.st.rows, x.peer).Minimum)
	}
	missing := x.missing
	a.mu.Unlock()
	switch {
	case begin:
		return a.beginContext(ctx, x, l, "")
	case !ask:
		return nil
	case again:
		return a.renewContext(ctx, x, l, "", fmt.Errorf("Record %d does not come", missing))
	}
	err := x.s.use(a.rows(), l)
	var records [][]byte
	if err == nil {
		records, err = x.s.Ask(missing)
	}
	if err != nil {
		return a.renewContext(ctx, x, l, "", err)
	}
	return a.sendAll(ctx, l, records, "")
}

// endContext ends a session that is forbidden by now (R-E2E.6b).
func (a *Agent) endContext(ctx context.Context, x *sessionContext, l *channel) error {
	if err := x.takeTurn(ctx); err != nil {
		return err
	}
	defer x.giveTurn()
	up := x.s != nil
	if up {
		x.s.end()
	}
	x.s, x.over = nil, true
	if !up || l == nil {
		return nil
	}
	a.hangUp(ctx, &inbound{l: l, from: x.peer}, usp.Errorf(usp.SessionTerminated, "session contexts are not allowed any more"))
	return nil
}

// resetContext runs E2ESession.Reset().
func (a *Agent) resetContext(ctx context.Context, object string) error {
	a.mu.Lock()
	id := usp.EndpointID(a.st.rows.get(ParentPath(object), "EndpointID"))
	x, l := a.contexts[id], a.route(id)
	a.mu.Unlock()
	if x == nil || l == nil {
		return nil
	}
	if err := x.takeTurn(ctx); err != nil {
		return err
	}
	defer x.giveTurn()
	a.mu.Lock()
	x.retries = 0
	a.mu.Unlock()
	return a.beginContext(ctx, x, l, "")
}

// bootContexts starts the count of retries anew (R-E2E.13).
func (a *Agent) bootContexts() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, x := range a.contexts {
		x.retries, x.retryAt = 0, time.Time{}
	}
}

// expireContext ends a session in which nothing has been said for SessionExpiration. The caller has the turn.
func (a *Agent) expireContext(x *sessionContext, rs *rowSet) {
	if x.s == nil {
		return
	}
	a.mu.Lock()
	idle := x.idle(rs, time.Now())
	a.mu.Unlock()
	if idle {
		a.replaceContext(x, nil)
		a.fleet.metrics.contexts.WithLabelValues("expired").Inc()
	}
}

// idle says that SessionExpiration has passed since a Record last came or left. It is called with a.mu held.
func (x *sessionContext) idle(rs *rowSet, now time.Time) bool {
	end := x.expiry(rs)
	return !end.IsZero() && !end.After(now)
}

// expiry is when the session ends if nothing more is said in it, the zero time for never. It is called with a.mu held.
func (x *sessionContext) expiry(rs *rowSet) time.Time {
	most := number32(rs.values[contextObject(rs.controller(x.peer))]["SessionExpiration"]) // 0, which is never, if it was not set
	if !x.up || most == 0 {
		return time.Time{}
	}
	return x.used.Add(time.Duration(most) * time.Second)
}
