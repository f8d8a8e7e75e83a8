package translate

import (
	"context"
	"errors"
	"time"

	"isthmus/cwmp"
	"isthmus/usp"
	"isthmus/usp/agent"
)

// CWMP cannot restart execution environments and units: they are switched off, and on again when they have stopped.

// restart is the kind of ExecEnv.{i}.Restart(), and does ExecutionUnit.{i}.Restart(), which is synchronous.
type restart struct {
	param, off, on   string // what is written, and how
	stopped, running string // the Status that follows
	refuse           string // the Status in which there is nothing to restart
}

var (
	envRestart  = restart{"Enable", "false", "true", "Disabled", "Up", "Disabled"}
	unitRestart = restart{"RequestedState", "Idle", "Active", "Idle", "Active", "Stopping"}
)

const (
	envRestartCommand  = "Device.SoftwareModules.ExecEnv.{i}.Restart()"
	unitRestartCommand = "Device.SoftwareModules.ExecutionUnit.{i}.Restart()"
	restarted          = "Restarted!"
	// startPatience is how long something that was switched on may take to be up.
	startPatience = 5 * time.Minute
	pollGrowth    = 4
)

// revival is what a restart of an object comes to.
func (k restart) revival(d *Device, object, key string) (*revival, error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	own, err := d.view().Writes(d.tree, []agent.Write{{Path: object + k.param, Value: k.off}})
	status := d.view().Needs(agent.Query{Path: object + "Status"})
	if err != nil || len(own) != 1 || len(status) != 1 {
		return nil, errors.Join(err, usp.Errorf(usp.CommandFailure, "the CPE cannot restart %s", object))
	}
	return &revival{Path: own[0].path, Value: k.on, Status: status[0].path, Stopped: k.stopped, Key: key, Since: time.Now().UTC()}, nil
}

// switchOff begins the restart of an object. After an error but an unknown outcome nothing was changed.
func (k restart) switchOff(ctx context.Context, c cwmp.Caller, d *Device, r *revival) error {
	status, err := readOne(ctx, c, r.Status)
	switch {
	case err != nil:
		return err
	case status == k.refuse:
		return usp.Errorf(usp.CommandFailure, "its Status is %s", status)
	}
	if err := d.addRevival(ctx, r); err != nil {
		return err
	}
	if status == k.stopped {
		return nil
	}
	spv, err := d.setValues([]cpeWrite{{path: r.Path, value: k.off}}, func(int) string { return r.Path })
	if err == nil {
		spv.ParameterKey = r.Key
		_, err = d.setTyped(ctx, c, spv)
	}
	var f *cwmp.Fault
	switch {
	case err == nil, errors.Is(err, cwmp.ErrUnknownOutcome), errors.Is(err, cwmp.ErrUnexpectedAnswer):
		return err
	case errors.As(err, &f):
		err = refused(f)
	}
	return errors.Join(err, d.dropRevival(ctx, r.Path))
}

// goOn takes a restart as far as it gets in this session; a nil outcome is that it is not over.
func (k restart) goOn(ctx context.Context, c cwmp.Caller, d *Device, r *revival, since time.Time) (*outcome, error) {
	if d.reviving(r.Path) {
		status, err := d.await(ctx, c, r.Status, r.Stopped)
		if err == nil {
			err = d.revive(ctx, c, r, status)
		}
		if err != nil || d.reviving(r.Path) {
			return nil, err
		}
	}
	status, err := d.await(ctx, c, r.Status, k.running)
	return k.over(d, r, status, since), err
}

// over says whether an object that was to be restarted at a time is up again; a nil outcome is not yet.
func (k restart) over(d *Device, r *revival, status string, since time.Time) *outcome {
	switch {
	case d.reviving(r.Path):
		return nil
	case status == k.running:
		return &outcome{}
	case time.Since(since) > startPatience:
		return &outcome{err: usp.Errorf(usp.CommandFailure, "it was switched off and on, and its Status is %q since", status)}
	}
	return nil
}

func (k restart) begin(ctx context.Context, d *Device, op *operation) error {
	if err := d.load(ctx); err != nil {
		return err
	}
	_, err := k.revival(d, objectOf(op.Command), op.Token)
	return err
}

func (restart) lane(op *operation) string { return objectOf(op.Command) }

func (k restart) send(ctx context.Context, c cwmp.Caller, d *Device, op *operation) (*outcome, error) {
	if err := d.load(ctx); err != nil {
		return nil, err
	}
	r, err := k.revival(d, objectOf(op.Command), op.Token)
	if err != nil {
		return nil, err
	}
	if err := k.switchOff(ctx, c, d, r); err != nil {
		return nil, err
	}
	d.distrust(d.below(softwareModules))
	out, err := k.goOn(ctx, c, d, r, time.Now())
	if err != nil {
		return nil, nil // sent it is; the rest is for the next session
	}
	return k.told(op, out), nil
}

// look is asked before the session switches on what an earlier one has left off.
func (k restart) look(ctx context.Context, c cwmp.Caller, d *Device, op *operation, _ *cwmp.Inform) (*outcome, error) {
	if err := d.load(ctx); err != nil {
		return nil, err
	}
	r, err := k.revival(d, objectOf(op.Command), op.Token)
	if err != nil {
		return &outcome{err: usp.AsError(err)}, nil
	}
	d.mu.RLock()
	answered, since := op.Answered, op.Sent
	d.mu.RUnlock()
	if !answered { // perhaps it was not even begun
		key, err := d.parameterKey(ctx, c)
		switch {
		case err != nil && !isFault(err):
			return nil, err
		case key != nil && *key != r.Key && *key != r.onKey():
			return nil, errors.Join(errNotBegun, d.dropRevival(ctx, r.Path))
		}
	}
	status, err := readOne(ctx, c, r.Status)
	if err != nil {
		return nil, err
	}
	return k.told(op, k.over(d, r, status, since)), nil
}

// told adds Restarted! to an outcome.
func (restart) told(op *operation, out *outcome) *outcome {
	if out != nil && out.err == nil {
		out.events = []agent.Happening{&agent.Event{Object: objectOf(op.Command), Name: restarted,
			Args: map[string]string{"RestartTime": eventTime(time.Now()), "RestartReason": op.Args["Reason"]}}}
	}
	return out
}

// poll: less and less often, since the CPE may be away.
func (restart) poll(op *operation) time.Duration {
	return max(reviveEvery, time.Since(op.Sent)/pollGrowth)
}

func (restart) cancel(context.Context, cwmp.Caller, *Device, *operation) error {
	return usp.Errorf(usp.CommandFailure, "it is being restarted")
}

func (restart) expire(*Device, *operation) *outcome { return nil }

// restarting says whether Restart() is at an object, which tells Restarted! by itself. d.mu is held.
func (d *Device) restarting(object string) bool {
	for _, op := range d.operations {
		if _, ok := op.kind.(restart); ok && !op.Sent.IsZero() && objectOf(op.Command) == object {
			return true
		}
	}
	return false
}

var errRestarting = usp.Errorf(usp.OutcomeUnknown, "the unit is being restarted, but could not be seen to be active again")

// restartUnit runs ExecutionUnit.{i}.Restart(), over several sessions if the CPE acts only when one has ended.
func (d *Device) restartUnit(ctx context.Context, inv *agent.Invocation) (map[string]string, error) {
	if err := d.uncontested(); err != nil {
		return nil, err
	}
	d.hold()
	defer d.release()
	if err := d.load(ctx); err != nil {
		return nil, uspError(err, operating)
	}
	k, since := unitRestart, time.Now()
	r, err := k.revival(d, objectOf(inv.Command), token(d.p.random))
	if err != nil {
		return nil, uspError(err, operating)
	}
	d.distrust(d.below(softwareModules))
	var out *outcome
	for begun := false; out == nil; begun = true {
		err := d.do(ctx, &job{last: true, talk: func(ctx context.Context, c cwmp.Caller) (err error) {
			if !begun {
				if err := k.switchOff(ctx, c, d, r); err != nil {
					return err
				}
			}
			if out, err = k.goOn(ctx, c, d, r, since); err != nil {
				return errRestarting
			}
			return nil
		}})
		switch {
		case err != nil && begun:
			return nil, errRestarting
		case err != nil:
			return nil, uspError(err, operating)
		}
	}
	if out.err != nil {
		return nil, out.err
	}
	return map[string]string{}, nil
}
