package translate

import (
	"context"
	"errors"
	"time"

	"isthmus/cwmp"
	"isthmus/translate/datamodel"
	"isthmus/usp/agent"
)

// Operate implements agent.DataModel: Device.Reboot() and Device.FactoryReset(), which are an RPC, and what trigger does.
func (d *Device) Operate(ctx context.Context, inv *agent.Invocation) (map[string]string, error) {
	p := &pending{Token: token(d.p.random), CommandKey: inv.CommandKey, Reason: inv.Args["Reason"]}
	var rpc func(ctx context.Context, c cwmp.Caller) error
	switch inv.Command {
	case "Device.Reboot()":
		p.Cause = "RemoteReboot"
		rpc = func(ctx context.Context, c cwmp.Caller) error {
			_, err := cwmp.Call(ctx, c, &cwmp.Reboot{CommandKey: p.Token})
			return err
		}
	case "Device.FactoryReset()":
		p.Cause, p.Reset = "RemoteFactoryReset", true
		rpc = func(ctx context.Context, c cwmp.Caller) error {
			_, err := cwmp.Call(ctx, c, &cwmp.FactoryReset{})
			return err
		}
	default:
		switch agent.GenericPath(inv.Command) {
		case unitRestartCommand:
			return d.restartUnit(ctx, inv)
		case collectCommand:
			return d.collect(ctx, inv)
		}
		if c, _ := datamodel.LookupCommand(agent.GenericPath(inv.Command)); c.Class == classDiagnostics {
			return d.diagnose(ctx, inv)
		}
		return d.trigger(ctx, inv)
	}
	if cause := inv.Args["Cause"]; cause != "" {
		p.Cause = cause
	}
	if err := d.uncontested(); err != nil {
		return nil, err
	}
	return d.restart(ctx, p, rpc)
}

// restart tells the CPE to boot. What Boot! will say is on disk before the RPC leaves.
func (d *Device) restart(ctx context.Context, p *pending, rpc func(context.Context, cwmp.Caller) error) (map[string]string, error) {
	d.mu.Lock()
	if d.booted == nil {
		d.booted = make(chan struct{})
	}
	booted := d.booted
	d.mu.Unlock()
	var f *cwmp.Fault
	err := d.do(ctx, &job{last: true, talk: func(ctx context.Context, c cwmp.Caller) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		p.At = time.Now()
		if err := d.setPending(ctx, p); err != nil {
			return err
		}
		err := rpc(ctx, c)
		if err != nil && (errors.As(err, &f) || !errors.Is(err, cwmp.ErrUnknownOutcome)) {
			return errors.Join(err, d.setPending(ctx, nil)) // it will not boot
		}
		return err
	}})
	if err != nil && !errors.Is(err, cwmp.ErrUnknownOutcome) {
		return nil, uspError(err, operating)
	}
	if err != nil {
		// Many a CPE boots before it answers: the boot is the answer.
		select {
		case <-booted:
		case <-ctx.Done():
			return nil, uspError(err, operating)
		}
	}
	return map[string]string{}, nil
}

func (d *Device) setPending(ctx context.Context, p *pending) error {
	d.mu.Lock()
	d.head.Pending = p
	d.mu.Unlock()
	return d.putHead(context.WithoutCancel(ctx))
}
