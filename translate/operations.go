package translate

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"isthmus/cwmp"
	"isthmus/store"
	"isthmus/usp"
	"isthmus/usp/agent"
)

// Start implements agent.Starter.
func (d *Device) Start(ctx context.Context, inv *agent.Invocation, request string) error {
	op := &operation{Request: request, Command: inv.Command, CommandKey: inv.CommandKey, Controller: inv.Controller, Args: inv.Args,
		Begun: time.Now().UTC(), Token: token(d.p.random), kind: kindOf(inv.Command)}
	if old := d.operation(request); old != nil { // it is on disk from before a restart
		d.mu.Lock()
		old.resumed = true
		d.mu.Unlock()
		return nil
	}
	if op.kind == nil {
		return usp.Errorf(usp.CommandFailure, "%s: not in this version", inv.Command)
	}
	if err := op.kind.begin(ctx, d, op); err != nil {
		return uspError(err, operating)
	}
	d.mu.Lock()
	if len(d.operations) >= maxOperations {
		d.mu.Unlock()
		return usp.Errorf(usp.ResourcesExceeded, "%d commands run at this CPE already", maxOperations)
	}
	op.ending = true // not before it is on disk
	d.addOperation(op)
	d.mu.Unlock()
	err := d.putOperation(ctx, op)
	d.mu.Lock()
	op.ending = false
	if err != nil {
		d.removeOperation(op)
	}
	d.mu.Unlock()
	if err != nil {
		return err
	}
	d.relay(op)
	d.alarm(op)
	d.press()
	return nil
}

// Cancel implements agent.Starter.
func (d *Device) Cancel(ctx context.Context, request string) error {
	op := d.operation(request)
	if op == nil {
		return usp.Errorf(usp.CommandFailure, "the command is over")
	}
	canceled := &outcome{err: usp.Errorf(usp.CommandCanceled, "canceled")}
	d.mu.Lock()
	if op.Sent.IsZero() && !op.active && !op.ending {
		op.ending = true
		d.mu.Unlock()
		return d.end(ctx, op, canceled)
	}
	d.mu.Unlock()
	err := d.do(ctx, &job{talk: func(ctx context.Context, c cwmp.Caller) error {
		if d.operation(request) == nil {
			return usp.Errorf(usp.CommandFailure, "the command is over")
		}
		if err := op.kind.cancel(ctx, c, d, op); err != nil {
			return err
		}
		return d.complete(ctx, op, canceled)
	}})
	if f := (*cwmp.Fault)(nil); errors.As(err, &f) {
		return failed(f.Code, f.String).err
	}
	if err != nil {
		return uspError(err, operating)
	}
	return nil
}

// operation finds the operation of a Request, nil where there is none.
func (d *Device) operation(request string) *operation {
	d.mu.RLock()
	defer d.mu.RUnlock()
	for _, op := range d.operations {
		if op.Request == request {
			return op
		}
	}
	return nil
}

// addOperation puts an operation behind the older ones. d.mu is held.
func (d *Device) addOperation(op *operation) {
	d.operations = append(d.operations, op)
	slices.SortStableFunc(d.operations, func(a, b *operation) int { return a.Begun.Compare(b.Begun) })
	d.p.mu.Lock()
	d.p.operating[d] = struct{}{}
	d.p.mu.Unlock()
}

// removeOperation takes an operation out. d.mu is held.
func (d *Device) removeOperation(op *operation) {
	d.operations = slices.DeleteFunc(d.operations, func(o *operation) bool { return o == op })
	if token := op.Memo[memoRelay]; token != "" && d.p.opts.Relay != nil {
		d.p.opts.Relay.Forget(token)
	}
	if len(d.operations) == 0 {
		d.operations = nil
		d.p.mu.Lock()
		delete(d.p.operating, d)
		d.p.mu.Unlock()
	}
}

// ready is the operation that is to be sent next, nil if there is none. d.mu is held.
func (d *Device) ready(now time.Time) *operation {
	var lanes []string
	for _, op := range d.operations {
		if op.kind == nil || op.Sent.IsZero() && op.NotBefore.After(now) {
			continue
		}
		lane := op.kind.lane(op)
		if op.fetching() {
			lanes = append(lanes, lane)
			continue
		}
		if op.Sent.IsZero() && !op.active && !op.ending && !slices.Contains(lanes, lane) {
			return op
		}
		lanes = append(lanes, lane)
	}
	return nil
}

// press has a session come for an operation that has become ready. One that finds no session waits for the CPE's next.
func (d *Device) press() {
	d.mu.Lock()
	ready := d.ready(time.Now()) != nil
	d.pressing = d.pressing || ready
	open := d.session != nil
	d.mu.Unlock()
	switch {
	case !ready:
	case open:
		d.poke()
	case d.p.started.Load():
		d.ask()
	}
}

// waits says whether a session is to be asked for: requests wait for one, or an operation that has not had its turn. d.mu is held.
func (d *Device) waits() bool {
	return len(d.queue) > 0 || d.pressing && d.ready(time.Now()) != nil
}

// nextOperation takes the next operation to send in the session. d.mu is held.
func (d *Device) nextOperation() *job {
	op := d.ready(time.Now())
	d.pressing = false
	if op == nil || op.tried == d.session || d.head.Quarantine != nil || d.p.closing.Load() {
		return nil
	}
	op.tried, op.active = d.session, true
	after := d.ready(time.Now())
	d.pressing = after != nil && after.tried == nil // it needs a session of its own
	j := &job{ctx: d.p.ctx, done: make(chan struct{}), last: true, again: true, state: running}
	j.talk = func(ctx context.Context, c cwmp.Caller) error {
		err := d.carryOut(ctx, c, op)
		if err != nil && !errors.Is(err, errNotBegun) {
			d.p.log.Warn("a command was not carried out to the end", "device", d.id, "command", op.Command, "err", err)
		}
		return err
	}
	return j
}

// carryOut sends an operation. An error is that of the session.
func (d *Device) carryOut(ctx context.Context, c cwmp.Caller, op *operation) error {
	defer func() {
		d.mu.Lock()
		op.active = false
		d.mu.Unlock()
	}()
	if err := d.setSent(ctx, op, time.Now().UTC()); err != nil {
		return err
	}
	out, err := op.kind.send(ctx, c, d, op)
	var f *cwmp.Fault
	var u *usp.Error
	switch {
	case errors.As(err, &f):
		return d.complete(ctx, op, failed(f.Code, f.String))
	case errors.As(err, &u):
		return d.complete(ctx, op, &outcome{err: u})
	case errors.Is(err, cwmp.ErrUnknownOutcome), errors.Is(err, cwmp.ErrUnexpectedAnswer):
		return err
	case err != nil:
		return errors.Join(err, d.setSent(ctx, op, time.Time{}))
	case out != nil:
		return d.complete(ctx, op, out)
	}
	d.mu.Lock()
	op.Answered = true
	d.mu.Unlock()
	if err := d.putOperation(context.WithoutCancel(ctx), op); err != nil {
		return err
	}
	if err := d.agent.Activate(ctx, op.Request); !errors.Is(err, agent.ErrNoRequest) {
		return err
	}
	return nil // it is over already
}

// setSent notes when an operation was sent, the zero time for one that was not after all. It is on disk on return.
func (d *Device) setSent(ctx context.Context, op *operation, at time.Time) error {
	d.mu.Lock()
	op.Sent, op.Software, op.looked = at, d.head.Software, at
	d.mu.Unlock()
	return d.putOperation(context.WithoutCancel(ctx), op)
}

// sent lists the operations whose end is awaited, the oldest first.
func (d *Device) sent() []*operation {
	d.mu.RLock()
	defer d.mu.RUnlock()
	var ops []*operation
	for _, op := range d.operations {
		if !op.Sent.IsZero() && !op.ending && op.kind != nil {
			ops = append(ops, op)
		}
	}
	return ops
}

// look sees at the start of a session which operations are over.
func (d *Device) look(ctx context.Context, s *cwmp.Session) error {
	for _, op := range d.sent() {
		out, err := op.kind.look(ctx, &caller{d: d, next: s}, d, op, s.Inform)
		if errors.Is(err, errNotBegun) {
			err = d.setSent(ctx, op, time.Time{})
		}
		if err != nil {
			return err
		}
		d.mu.Lock()
		op.looked = time.Now()
		d.mu.Unlock()
		if out == nil {
			continue
		}
		if err := d.complete(ctx, op, out); err != nil {
			return err
		}
	}
	return nil
}

// complete ends an operation: what its outcome says is on disk when it returns nil. It does nothing where somebody else completes it.
func (d *Device) complete(ctx context.Context, op *operation, out *outcome) error {
	d.mu.Lock()
	other := op.ending || !slices.Contains(d.operations, op)
	op.ending = true
	d.mu.Unlock()
	if other {
		return nil
	}
	return d.end(ctx, op, out)
}

// end is complete for who has set op.ending.
func (d *Device) end(ctx context.Context, op *operation, out *outcome) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), beginTime)
	defer cancel()
	var err error
	if out.stale { // before anybody is told, and reads
		d.mu.Lock()
		d.head.StaleBefore = time.Now().UnixMilli()
		d.mu.Unlock()
		err = d.putHead(ctx)
	}
	if err == nil {
		err = d.tellEnd(ctx, op, out)
	}
	d.mu.Lock()
	op.ending = false
	if err == nil {
		d.removeOperation(op)
	}
	d.mu.Unlock()
	if err == nil {
		d.p.m.operations.WithLabelValues(out.label()).Inc()
		d.press() // the next one of its lane
	}
	return err
}

func (d *Device) tellEnd(ctx context.Context, op *operation, out *outcome) error {
	if len(out.events) > 0 {
		if err := d.agent.Raise(ctx, out.events...); err != nil {
			return err
		}
	}
	output := out.output
	if output == nil {
		output = map[string]string{}
	}
	// The Request is gone where the process was killed between this and the next step.
	if err := d.agent.Complete(ctx, op.Request, output, out.err); err != nil && !errors.Is(err, agent.ErrNoRequest) {
		return err
	}
	return d.put(ctx, store.Op{Key: d.key(store.Operation, op.Token)})
}

// abandon ends all operations: the CPE has forgotten them.
func (d *Device) abandon(ctx context.Context, why string) error {
	d.mu.RLock()
	ops := slices.Clone(d.operations)
	d.mu.RUnlock()
	for _, op := range ops {
		if err := d.complete(ctx, op, &outcome{err: usp.Errorf(usp.CommandFailure, "%s", why)}); err != nil {
			return err
		}
	}
	return nil
}

// orphaned removes the operations whose Request is gone: their end was told just before the process was killed.
func (d *Device) orphaned(ctx context.Context) error {
	d.mu.RLock()
	ops := slices.Clone(d.operations)
	d.mu.RUnlock()
	for _, op := range ops {
		if op.resumed {
			continue
		}
		if err := d.complete(ctx, op, &outcome{}); err != nil {
			return err
		}
	}
	return nil
}

// overdue does what is due by time: an operation that has taken too long expires, the CPE is asked for a session where one has to be looked at or
// is to be sent from now on.
func (p *Proxy) overdue(now time.Time) {
	p.mu.RLock()
	devices := slices.Collect(maps.Keys(p.operating))
	p.mu.RUnlock()
	for _, d := range devices {
		if p.ctx.Err() != nil {
			return
		}
		d.overdue(now)
	}
}

func (d *Device) overdue(now time.Time) {
	var expired, later []*operation
	look := false
	d.mu.Lock()
	for _, op := range d.operations {
		from := op.Begun
		if op.NotBefore.After(from) {
			from = op.NotBefore
		}
		switch {
		case op.ending || op.active:
		case now.Sub(from) >= d.p.opts.ExpireAfter || op.kind == nil:
			expired = append(expired, op)
		case op.Sent.IsZero():
			if op.NotBefore.After(now) {
				later = append(later, op)
			}
		default:
			if every := op.kind.poll(op); every > 0 && now.Sub(op.looked) >= every {
				op.looked, look = now, true
			}
		}
	}
	idle := d.session == nil
	d.mu.Unlock()
	for _, op := range expired {
		if err := d.complete(d.p.ctx, op, d.expired(op)); err != nil {
			d.p.log.Error("an operation that has expired could not be ended", "device", d.id, "err", err)
		}
	}
	for _, op := range later {
		d.alarm(op)
	}
	if look && idle {
		d.ask()
	} else if look {
		d.poke()
	}
}

// expired is how an operation ends whose time is over.
func (d *Device) expired(op *operation) *outcome {
	d.mu.RLock()
	at := op.Sent
	d.mu.RUnlock()
	if at.IsZero() {
		return &outcome{err: d.unreachable("the command was not sent within " + d.p.opts.ExpireAfter.String()), late: true}
	}
	if op.kind != nil {
		if out := op.kind.expire(d, op); out != nil {
			return out
		}
	}
	return &outcome{late: true, err: usp.Errorf(usp.CommandFailure, "the CPE took the command at %s and has not reported its end within %s",
		at.Format(time.RFC3339), d.p.opts.ExpireAfter)}
}

// restoreOperations brings back the operations that ran when the process ended.
func (p *Proxy) restoreOperations(ctx context.Context) error {
	for item, err := range p.store.All(ctx, store.Operation) {
		if err != nil {
			return fmt.Errorf("reading the operations: %w", err)
		}
		if d := p.devices[usp.EndpointID(item.Key.Device)]; d != nil {
			if err := d.restoreOperation(item.Key.ID, item.Value); err != nil {
				return err
			}
		}
	}
	return nil
}
