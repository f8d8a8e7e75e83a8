package translate

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"isthmus/cwmp"
	"isthmus/usp"
	"isthmus/usp/agent"
)

// interest is what the Agent's subscriptions ask for.
type interest = agent.Interest

// adoption is how long isthmus tries to have the CPE take over a changed subscription (MaxSubscriptionChangeAdoptionTime).
const adoption = 10 * time.Second

// maxNotified bounds the parameters of one CPE that are watched by active notification; a subscription to a whole tree would have
// the CPE call for every counter.
const maxNotified = 128

// setInterest takes over what the subscriptions ask for and has the CPE told, now if it can be reached, else in its next session.
func (d *Device) setInterest(i agent.Interest) {
	d.mu.Lock()
	d.interest = i
	d.attributes = true
	discovered := d.model != nil
	d.mu.Unlock()
	if !discovered || d.p.closing.Load() {
		return
	}
	d.p.wg.Go(func() {
		ctx, cancel := context.WithTimeout(d.p.ctx, adoption)
		defer cancel()
		err := d.do(ctx, &job{talk: func(ctx context.Context, c cwmp.Caller) error {
			return d.notifyAttributes(ctx, c, false)
		}})
		if err != nil {
			d.p.log.Info("notification attributes are set in the next session", "device", d.id, "err", err)
		}
	})
}

// notifyAttributes makes the CPE report what is subscribed: active notification for the parameters of ValueChange subscriptions, none
// for those that lost their last one. again says that the CPE has forgotten what it was told.
func (d *Device) notifyAttributes(ctx context.Context, c cwmp.Caller, again bool) error {
	d.mu.RLock()
	idle := !d.attributes && !again
	d.mu.RUnlock()
	if idle {
		return nil
	}
	if err := d.load(ctx); err != nil {
		return err
	}
	d.mu.Lock()
	d.attributes = false // what is subscribed from here on is for the next to tell
	had := d.head.Notified
	if again {
		had = nil
	}
	want := d.watched()
	d.mu.Unlock()
	var spa cwmp.SetParameterAttributes
	change := func(names, not []string, value int) {
		for _, n := range names {
			if !slices.Contains(not, n) {
				spa.ParameterList = append(spa.ParameterList, cwmp.SetParameterAttributesStruct{Name: n, NotificationChange: true, Notification: value})
			}
		}
	}
	change(had, want, cwmp.NotificationOff)
	change(want, had, cwmp.NotificationActive)
	if len(spa.ParameterList) > 0 {
		var f *cwmp.Fault
		if _, err := cwmp.Call(ctx, c, &spa); err != nil {
			if !errors.As(err, &f) {
				d.mu.Lock()
				d.attributes = true
				d.mu.Unlock()
				return err
			}
			d.p.log.Info("the CPE refuses notification, changes are seen when values are read", "device", d.id, "err", err)
		}
	}
	d.mu.Lock()
	same := slices.Equal(d.head.Notified, want)
	d.head.Notified = want
	d.mu.Unlock()
	if same {
		return nil
	}
	return d.putHead(context.WithoutCancel(ctx))
}

// watched lists the CPE's own parameters that ValueChange subscriptions are about. d.mu is held.
func (d *Device) watched() []string {
	var names []string
	view := d.view()
	for _, ref := range d.interest.ValueChange {
		p, err := usp.ParsePath(ref)
		if err != nil {
			continue
		}
		for _, need := range view.Needs(agent.Query{Path: p.Query()}) {
			d.tree.walk(need.path, need.depth, func(path string, n *node) {
				if !n.param || len(names) >= maxNotified || slices.Contains(names, path) {
					return
				}
				for _, shown := range view.Params(path) {
					if def := d.param(shown); def != nil && !def.Quiet {
						names = append(names, strings.Clone(path))
						return
					}
				}
			})
		}
	}
	slices.Sort(names)
	return names
}
