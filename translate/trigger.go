package translate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"isthmus/cwmp"
	"isthmus/translate/datamodel"
	"isthmus/usp"
	"isthmus/usp/agent"
)

// Many a command of USP is a parameter in CWMP whose writing has the CPE act. It is done when the CPE has taken the write, now or later (Status 1).

const triggerParam = "trigger-param" // a class of commands-to-cwmp.tsv

// trigger runs a synchronous command that is a parameter of the CPE.
func (d *Device) trigger(ctx context.Context, inv *agent.Invocation) (map[string]string, error) {
	if err := d.uncontested(); err != nil {
		return nil, err
	}
	d.hold()
	defer d.release()
	if err := d.load(ctx); err != nil {
		return nil, uspError(err, operating)
	}
	spv, err := d.triggerRPC(inv.Command, inv.Args)
	if err != nil {
		return nil, err
	}
	trust := d.distrust(d.below(objectOf(inv.Command))) // what the CPE does shows in these, and whoever reads them now waits behind it
	j := &job{talk: func(ctx context.Context, c cwmp.Caller) error {
		_, err := d.setTyped(ctx, c, spv)
		return err
	}}
	err = d.do(ctx, j)
	var f *cwmp.Fault
	switch {
	case err == nil:
		return map[string]string{}, nil
	case errors.As(err, &f):
		trust()
		return nil, refused(f)
	case errors.Is(err, cwmp.ErrUnknownOutcome):
		return map[string]string{}, d.settleTrigger(ctx, spv)
	}
	d.mu.RLock()
	touched := j.wrote
	d.mu.RUnlock()
	if !touched {
		trust()
	}
	return nil, uspError(err, operating)
}

// settleTrigger finds out in the next session whether a write was carried out whose answer was lost, as it will be where the CPE resets what it speaks
// through: its ParameterKey tells. Where it does not, the outcome is unknown.
func (d *Device) settleTrigger(ctx context.Context, spv *cwmp.SetParameterValues) error {
	taken := false
	err := d.do(ctx, &job{talk: func(ctx context.Context, c cwmp.Caller) error {
		key, err := d.parameterKey(ctx, c)
		taken = key != nil && *key == spv.ParameterKey
		return err
	}})
	if err != nil || !taken {
		return errOutcomeUnknown
	}
	return nil
}

// triggerRPC is the write that a command comes to: its arguments, those that were not given as empty so that those of an earlier time do not count, and
// its trigger.
func (d *Device) triggerRPC(command string, args map[string]string) (*cwmp.SetParameterValues, error) {
	c, ok := datamodel.LookupCommand(agent.GenericPath(command))
	if !ok || c.Class != triggerParam {
		return nil, usp.Errorf(usp.InvalidPath, "%s is not supported", command)
	}
	object, trigger := objectOf(command), c.Target[len(objectOf(c.Target)):]
	value := "true"
	var writes []agent.Write
	for _, name := range c.In {
		if name == trigger {
			value = args[name]
			continue
		}
		writes = append(writes, agent.Write{Path: object + name, Value: args[name]})
	}
	writes = append(writes, agent.Write{Path: object + trigger, Value: value})
	d.mu.RLock()
	own, err := d.view().Writes(d.tree, writes)
	if err != nil {
		err = usp.Errorf(usp.CommandFailure, "the CPE cannot do this here: %s", usp.AsError(err).Msg)
	}
	var known []cpeWrite
	for _, w := range own {
		if given := writes[w.from[0]]; d.tree.get(w.path) != nil || given.Path == object+trigger {
			known = append(known, w)
		} else if given.Value != "" {
			err = usp.Errorf(usp.InvalidArguments, "the CPE has no %s", given.Path)
		}
	}
	d.mu.RUnlock()
	if err != nil {
		return nil, err
	}
	spv, err := d.setValues(known, func(i int) string { return writes[i].Path })
	if err != nil {
		return nil, usp.Errorf(usp.InvalidArguments, "%s", usp.AsError(err).Msg)
	}
	return spv, nil
}

// below lists the CPE's own parameters below a Device:2 object, as distrust wants them.
func (d *Device) below(object string) (params []cpeWrite) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	for _, need := range d.view().Needs(agent.Query{Path: object}) {
		d.tree.walk(need.path, need.depth, func(path string, n *node) {
			if n.param {
				params = append(params, cpeWrite{path: path})
			}
		})
	}
	return params
}

// refused is the error of a command that the CPE answered with a Fault; of those of single parameters it has the first.
func refused(f *cwmp.Fault) *usp.Error {
	text := f.String
	if len(f.Params) > 0 {
		text += fmt.Sprintf(" (%s: %d %s)", f.Params[0].Name, f.Params[0].Code, f.Params[0].String)
	}
	return failed(f.Code, text).err
}

// triggered is the kind of the asynchronous commands that are a parameter of the CPE.
type triggered struct{}

func (triggered) begin(ctx context.Context, d *Device, op *operation) error {
	if err := d.load(ctx); err != nil {
		return err
	}
	_, err := d.triggerRPC(op.Command, op.Args)
	return err
}

func (triggered) lane(op *operation) string { return objectOf(op.Command) }

func (triggered) send(ctx context.Context, c cwmp.Caller, d *Device, op *operation) (*outcome, error) {
	if err := d.load(ctx); err != nil {
		return nil, err
	}
	spv, err := d.triggerRPC(op.Command, op.Args)
	if err != nil {
		return nil, err
	}
	spv.ParameterKey = op.Token
	_, err = cwmp.Call(ctx, c, spv)
	if f := (*cwmp.Fault)(nil); errors.As(err, &f) {
		return nil, refused(f)
	}
	if err != nil {
		return nil, err
	}
	return &outcome{stale: true}, nil
}

// look is asked only where the answer was lost. The write is not repeated: what was done since would be undone.
func (triggered) look(ctx context.Context, c cwmp.Caller, d *Device, op *operation, _ *cwmp.Inform) (*outcome, error) {
	key, err := d.parameterKey(ctx, c)
	switch {
	case err != nil && !isFault(err):
		return nil, err
	case key != nil && *key == op.Token:
		return &outcome{stale: true}, nil
	}
	return &outcome{stale: true, err: errOutcomeUnknown}, nil
}

func (triggered) poll(*operation) time.Duration { return 0 }

func (triggered) cancel(context.Context, cwmp.Caller, *Device, *operation) error {
	return usp.Errorf(usp.CommandFailure, "the CPE has been told already")
}

func (triggered) expire(*Device, *operation) *outcome { return nil }
