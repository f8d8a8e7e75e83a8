package translate

import (
	"context"
	"errors"
	"slices"
	"time"

	"isthmus/cwmp"
)

// revival is a parameter of the CPE that isthmus switches off in order to switch it on again. It is in the head from before the one until the other is
// done, so that nothing stays switched off whatever becomes of the session, the process, or who asked for it.
type revival struct {
	Path    string    `json:"path"` // the CPE's own
	Value   string    `json:"value"`
	Status  string    `json:"status"`  // the parameter that tells whether it has stopped,
	Stopped string    `json:"stopped"` // and by which value
	Key     string    `json:"key"`     // the ParameterKey of the write that switches off
	Since   time.Time `json:"since"`
}

const (
	// settleTime is how long a session is held for a Status to become what it should.
	settleTime = 2 * time.Second
	settleStep = 200 * time.Millisecond
	// stopPatience is how long something may take to stop. After that it is switched on, stopped or not.
	stopPatience = time.Minute
	// reviveEvery is how soon after a session the CPE is asked for another for what is still switched off, for reviveAsks; after that it is switched on in
	// sessions that there are anyway.
	reviveEvery = 10 * time.Second
	reviveAsks  = 2 * stopPatience
)

// revivesSoon says whether a session is worth asking for to switch something on. d.mu is held.
func (d *Device) revivesSoon() bool {
	return slices.ContainsFunc(d.head.Revive, func(r revival) bool { return time.Since(r.Since) < reviveAsks })
}

// setRevivals changes what is switched off; it is on disk on return.
func (d *Device) setRevivals(ctx context.Context, change func([]revival) []revival) error {
	d.mu.Lock()
	d.head.Revive = change(slices.Clone(d.head.Revive))
	d.mu.Unlock()
	return d.putHead(context.WithoutCancel(ctx))
}

func (d *Device) addRevival(ctx context.Context, r *revival) error {
	return d.setRevivals(ctx, func(all []revival) []revival { return append(all, *r) })
}

func (d *Device) dropRevival(ctx context.Context, path string) error {
	return d.setRevivals(ctx, func(all []revival) []revival {
		return slices.DeleteFunc(all, func(r revival) bool { return r.Path == path })
	})
}

// reviving says whether a parameter is switched off for now.
func (d *Device) reviving(path string) bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return slices.ContainsFunc(d.head.Revive, func(r revival) bool { return r.Path == path })
}

// superseded forgets the revivals of what a Controller writes now.
func (d *Device) superseded(ctx context.Context, own []cpeWrite) error {
	d.mu.RLock()
	of := func(r revival) bool {
		return slices.ContainsFunc(own, func(w cpeWrite) bool { return w.path == r.Path })
	}
	none := !slices.ContainsFunc(d.head.Revive, of)
	d.mu.RUnlock()
	if none {
		return nil
	}
	return d.setRevivals(ctx, func(all []revival) []revival { return slices.DeleteFunc(all, of) })
}

// reviveAll does at the start of a session what an earlier one has left.
func (d *Device) reviveAll(ctx context.Context, c cwmp.Caller) error {
	d.mu.RLock()
	open := slices.Clone(d.head.Revive)
	d.mu.RUnlock()
	if len(open) == 0 {
		return nil
	}
	key, err := d.parameterKey(ctx, c)
	if err != nil && !isFault(err) {
		return err
	}
	for i := range open {
		r := &open[i]
		status, err := readOne(ctx, c, r.Status)
		switch {
		case err != nil:
		case key != nil && *key == r.onKey():
			err = d.dropRevival(ctx, r.Path) // it was done, and that not noted down
		default:
			err = d.revive(ctx, c, r, status)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// onKey is the ParameterKey of the write that switches on.
func (r *revival) onKey() string { return r.Key + "on" }

// revive switches something on that has stopped, or should have. What is still stopping is left for a later session.
func (d *Device) revive(ctx context.Context, c cwmp.Caller, r *revival, status string) error {
	if err := d.load(ctx); err != nil {
		return err
	}
	if status != r.Stopped && time.Since(r.Since) < stopPatience {
		return nil
	}
	spv, err := d.setValues([]cpeWrite{{path: r.Path, value: r.Value}}, func(int) string { return r.Path })
	if err != nil {
		return err
	}
	spv.ParameterKey = r.onKey()
	_, err = d.setTyped(ctx, c, spv)
	var f *cwmp.Fault
	switch {
	case errors.As(err, &f) && !gone(f) && time.Since(r.Since) < d.p.opts.ExpireAfter:
		d.p.log.Warn("what was switched off for a restart cannot be switched on yet", "device", d.id, "parameter", r.Path, "err", err)
		return nil
	case err != nil && f == nil:
		return err
	case f != nil:
		d.p.log.Warn("what was switched off for a restart cannot be switched on", "device", d.id, "parameter", r.Path, "err", err)
	}
	return d.dropRevival(ctx, r.Path)
}

// gone says whether a Fault is that a parameter is not there.
func gone(f *cwmp.Fault) bool {
	return f.Code == cwmp.FaultInvalidParameterName ||
		slices.ContainsFunc(f.Params, func(p cwmp.ParameterFault) bool { return p.Code == cwmp.FaultInvalidParameterName })
}

// await reads a parameter of the CPE until it has a value, for settleTime at most, and gives its last one; "" where the CPE does not tell.
func (d *Device) await(ctx context.Context, c cwmp.Caller, path, want string) (string, error) {
	until := time.NewTimer(settleTime)
	defer until.Stop()
	for {
		value, err := readOne(ctx, c, path)
		if err != nil || value == want {
			return value, err
		}
		step := time.NewTimer(settleStep)
		select {
		case <-step.C:
		case <-until.C:
			step.Stop()
			return value, nil
		case <-d.p.stopping:
			step.Stop()
			return value, nil
		case <-ctx.Done():
			step.Stop()
			return "", ctx.Err()
		}
	}
}

// readOne reads a parameter of the CPE, "" where it does not tell.
func readOne(ctx context.Context, c cwmp.Caller, path string) (string, error) {
	resp, err := cwmp.Call(ctx, c, &cwmp.GetParameterValues{ParameterNames: []string{path}})
	switch {
	case isFault(err):
		return "", nil
	case err != nil:
		return "", err
	case len(resp.ParameterList) != 1:
		return "", nil
	}
	return resp.ParameterList[0].Value, nil
}
