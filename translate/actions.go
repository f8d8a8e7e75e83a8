package translate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"isthmus/cwmp"
	"isthmus/store"
	"isthmus/usp"
)

// The errors of what an operator has done to one device.
var (
	ErrNoDevice  = errors.New("there is no such device")
	ErrInSession = errors.New("the CPE is in a session: try again when that is over")
)

func (p *Proxy) find(id usp.EndpointID) (*Device, error) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if d := p.devices[id]; d != nil {
		return d, nil
	}
	return nil, ErrNoDevice
}

// Refresh has whatever is read of a device from now on be read from the CPE. ErrNoDevice where there is none.
func (p *Proxy) Refresh(ctx context.Context, id usp.EndpointID) error {
	d, err := p.find(id)
	if err != nil {
		return err
	}
	return d.Refresh(ctx)
}

// Ask has the CPE of a device open a session, as a request of a Controller would, and waits until it has, or ctx ends. The error says what was
// tried; ErrNoDevice where there is no device.
func (p *Proxy) Ask(ctx context.Context, id usp.EndpointID) error {
	d, err := p.find(id)
	if err != nil {
		return err
	}
	return d.do(ctx, &job{talk: func(context.Context, cwmp.Caller) error { return nil }})
}

// Quarantine puts a device into quarantine, or lets it out of any, also of one that isthmus itself has put it into: while it lasts the Informs of
// the CPE change nothing and are not served, and nothing is written to it. It is on disk on return. ErrNoDevice where there is none.
func (p *Proxy) Quarantine(ctx context.Context, id usp.EndpointID, on bool) error {
	d, err := p.find(id)
	if err != nil {
		return err
	}
	now := time.Now()
	d.mu.Lock()
	before := d.head.Quarantine
	if on == (before != nil) {
		d.mu.Unlock()
		return nil
	}
	d.rivals, d.head.Quarantine, d.head.StaleBefore = nil, nil, now.UnixMilli()+1
	if on {
		d.head.Quarantine = &quarantine{Since: now.UTC().Truncate(time.Second), ByHand: true}
	}
	d.mu.Unlock()
	if before != nil && !before.ByHand {
		p.m.contested.Dec()
	}
	return d.putHead(ctx)
}

// Forget removes a device with all that is known of it, its Agent's rows among that; Controllers lose the Agent. If the CPE informs again it is met for
// the first time. A Forget that failed can be repeated. The errors are ErrNoDevice, ErrInSession and the store's.
func (p *Proxy) Forget(ctx context.Context, id usp.EndpointID) error {
	d, err := p.find(id)
	if err != nil {
		return err
	}
	d.mu.Lock()
	if d.session != nil {
		d.mu.Unlock()
		return ErrInSession
	}
	d.erased.Store(true)
	quarantined := d.head.Quarantine != nil && !d.head.Quarantine.ByHand
	d.mu.Unlock()
	d.failQueue(errForgotten)
	if m := p.opts.Agents.Dialer; m != nil {
		defer m.Connect(d.agent, nil)
	}
	d.agent.Close(ctx)
	if err := d.erase(ctx); err != nil {
		return fmt.Errorf("forgetting %s: %w", id, err)
	}
	p.mu.Lock()
	delete(p.devices, id)
	delete(p.warm, d)
	delete(p.operating, d)
	delete(p.shy, d)
	delete(p.later, d)
	p.order = nil
	p.mu.Unlock()
	p.traces.forget(id)
	if quarantined {
		p.m.contested.Dec()
	}
	p.log.Info("device forgotten", "device", id)
	return nil
}

var errForgotten = &usp.Error{Code: usp.Unreachable, Msg: "the device is being forgotten"}

// eraseAtOnce is how many records one write removes.
const eraseAtOnce = 256

// erase removes the records of a device, the head last: until that is gone the next start finds the device, to be forgotten once more.
func (d *Device) erase(ctx context.Context) error {
	for _, kind := range []store.Kind{store.Row, store.Notification, store.Operation, store.Journal, store.Attributes, store.Alias, store.Secret, store.Snapshot, store.Inform, store.Head} {
		for {
			var ops []store.Op
			for item, err := range d.p.store.List(ctx, string(d.id), kind) {
				if err != nil {
					return err
				}
				if ops = append(ops, store.Op{Key: item.Key}); len(ops) == eraseAtOnce {
					break
				}
			}
			if len(ops) == 0 {
				break
			}
			if err := d.p.store.Write(ctx, d.lease, ops...); err != nil {
				return err
			}
		}
	}
	return nil
}
