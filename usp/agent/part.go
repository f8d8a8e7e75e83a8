package agent

import (
	"context"
	"slices"
	"strings"

	"isthmus/usp"
	"isthmus/usp/mtp"
)

// parting is a channel that ends because the tables say so: its Controller is disabled or gone, or is dialled elsewhere. First the response to the
// request that said so leaves, then what may still be said.
type parting struct {
	from  mtp.Target      // where it was dialled to
	after <-chan struct{} // closed when the response has left; nil if it does not go to this Controller
	told  chan struct{}   // closed when nothing is left to say
	over  bool            // it is, and only has to be closed
	gone  chan struct{}   // closed when the channel is down
}

// part marks the channels that tables which are about to hold have no place for. Dialled says whom the Agent dialled before. It is called with a.mu held.
func (a *Agent) part(ctx context.Context, before, after *rowSet, dialled []mtp.Target) []*channel {
	var out []*channel
	for _, l := range a.links {
		if l.peer == "" || l.stranger || l.parting != nil {
			continue
		}
		shut := before.enabled(l.peer) && !after.enabled(l.peer)
		from, to := targetOf(l.peer, dialled), targetOf(l.peer, a.wanted())
		renamed := from.MQTT.ClientID != to.MQTT.ClientID && after.values[to.MQTT.Client][assignedKey] != to.MQTT.ClientID
		if shut || l.dialled && (renamed || !from.SameWay(to)) {
			l.parting = &parting{from: from, after: afterResponse(ctx, l.peer), told: make(chan struct{}), gone: make(chan struct{})}
			out = append(out, l)
		}
	}
	return out
}

// enabled says that a Controller is in the table and that its row is enabled.
func (rs *rowSet) enabled(id usp.EndpointID) bool {
	path := rs.controller(id)
	return path != "" && rs.is(path, "Enable")
}

// disabled says that a Controller is in the table and that its row is not enabled.
func (rs *rowSet) disabled(id usp.EndpointID) bool {
	path := rs.controller(id)
	return path != "" && !rs.is(path, "Enable")
}

// rearrange has the channels and the Dialer follow a change of the tables. It is called with a.mu held; the channels that it returns are to be seen off
// once kick has run.
func (a *Agent) rearrange(ctx context.Context, before, after *rowSet, changed map[string]bool) []*channel {
	touched := false
	for path := range changed {
		touched = touched || strings.HasPrefix(path, controllerTable) || strings.HasPrefix(path, mqttRoot) || strings.HasPrefix(path, stompRoot) ||
			strings.HasPrefix(path, ownMTPTable)
	}
	if !touched {
		return nil
	}
	dialled := a.wanted()
	moved := a.retarget(after)
	parted := a.part(ctx, before, after, dialled)
	if moved && a.dials {
		var sent <-chan struct{} // of an answer that leaves by what is about to change
		if x := exchangeOf(ctx); x != nil && targetOf(x.from, dialled) != targetOf(x.from, a.wanted()) {
			sent = x.sent
		}
		a.afterwards(sent, a.redial)
	}
	return parted
}

// seeOff ends channels that part.
func (a *Agent) seeOff(links []*channel) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, l := range links {
		if q := a.st.queues[l.peer]; q == nil || !q.delivering {
			a.said(l.peer)
		}
		a.afterwards(l.parting.after, func() { a.bye(l) })
	}
}

func (a *Agent) bye(l *channel) {
	ctx, cancel := context.WithTimeout(a.life(), sendTimeout)
	defer cancel()
	p := l.parting
	select {
	case <-p.told:
		a.disconnect(ctx, l, usp.Errorf(0, "the Controller table has changed"))
	case <-p.gone:
	case <-ctx.Done():
	}
	a.mu.Lock()
	p.over = true
	a.mu.Unlock()
	a.redial() // first it is not to be dialled anew
	l.ch.Close(mtp.Normal)
	_ = wait(ctx, p.gone) // until then a new channel to the same Controller would be superseded by this one
	a.redial()
}

// said ends the wait for what a parting channel still has to say. It is called with a.mu held.
func (a *Agent) said(to usp.EndpointID) {
	if l := a.linkTo(to); l != nil && l.parting != nil {
		select {
		case <-l.parting.told:
		default:
			close(l.parting.told)
		}
	}
}

// forgetLast drops what a Controller that is in the table no more was to be told. It is called with a.mu held.
func (a *Agent) forgetLast(to usp.EndpointID) {
	if a.st == nil || a.st.queues[to] == nil {
		return
	}
	for _, n := range slices.Clone(a.st.queues[to].notes) {
		if n.last {
			a.forget(n, dropped)
		}
	}
}

// farewells are the last notifications of the Controllers that a tx deletes: that their rows are. It is called in turn, before the tx is published.
func (t *tx) farewells(ctx context.Context) []*note {
	var out []*note
	a := t.agent
	for path := range t.purge {
		if table, _ := splitRow(path); table != controllerTable || t.exists(path) {
			continue
		}
		a.mu.Lock()
		up := a.linkTo(usp.EndpointID(t.before.get(path, "EndpointID"))) != nil
		a.mu.Unlock()
		if !up {
			continue
		}
		for _, n := range a.match(ctx, t.before, t.before, path, []Happening{&ObjectDeletion{Path: path}}) {
			n.Retry, n.last = false, true
			if n.action != triggerConfig && a.withhold(ctx, n.To, n.notify) == nil {
				out = append(out, n)
			}
		}
	}
	return out
}
