package agent

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"isthmus/usp"
	"isthmus/usp/mtp"
	"isthmus/usp/profile"
	"isthmus/usp/usppb"
)

// lastMoment is how long before a Profile's Deadline the work on a request ends, so that what it comes to can still be told.
const lastMoment = 500 * time.Millisecond

// manners are what a channel to a Controller with a Profile needs besides; nil where that is strict.
type manners struct {
	*profile.Profile
	up   time.Time     // when the channel came up
	turn chan struct{} // held while a Record leaves
	next time.Time     // not before then; guarded by turn

	// The Agent's mu guards these.
	busy  time.Time // when it began to answer the requests that it is answering
	asked bool      // a Get has been answered
	ended bool      // it was closed as Mute
}

func (f *Fleet) manners(peer usp.EndpointID) *manners {
	p := f.profiles[peer]
	if p == nil {
		return nil
	}
	now := time.Now()
	return &manners{Profile: p, up: now, next: now.Add(p.Gap), turn: make(chan struct{}, 1)}
}

func (m *manners) silent() bool { return m != nil && m.NoConnect }

func (m *manners) always() []string {
	if m == nil {
		return nil
	}
	return m.Always
}

// anyName is what a Controller calls itself that need not have an Endpoint ID; "" if it does.
func (l *channel) anyName() usp.EndpointID {
	if l == nil || l.manners == nil || !l.manners.AnyName {
		return ""
	}
	return l.peer
}

// put sends a Record when the channel may take one.
func (l *channel) put(ctx context.Context, record []byte, to mtp.Address) error {
	m := l.manners
	if m == nil || m.Gap == 0 {
		return l.ch.Send(ctx, record, to)
	}
	select {
	case m.turn <- struct{}{}:
		defer func() { <-m.turn }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if wait := time.Until(m.next); wait > 0 {
		t := time.NewTimer(wait)
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	defer func() { m.next = time.Now().Add(m.Gap) }()
	return l.ch.Send(ctx, record, to)
}

// limit is the size of the largest Record, 0 for no limit.
func (l *channel) limit() int {
	limit := l.ch.MaxSize()
	if m := l.manners; m != nil && m.MaxResponse > 0 && (limit == 0 || m.MaxResponse < limit) {
		return m.MaxResponse
	}
	return limit
}

// timeout is how long the work on a request may take.
func (l *channel) timeout(def time.Duration) time.Duration {
	if m := l.manners; m != nil && m.Deadline > 0 {
		return min(def, m.Deadline-lastMoment)
	}
	return def
}

// heldUntil is until when notifications are held back, the zero time if they are not. It is called with the Agent's mu held.
func (l *channel) heldUntil() time.Time {
	m := l.manners
	switch {
	case m == nil || m.Hold == 0:
		return time.Time{}
	case !m.asked:
		return m.up.Add(m.Hold)
	case l.handling > 0:
		return m.busy.Add(m.Hold)
	}
	return time.Time{}
}

// notifiable is the channel to a Controller that may be notified now. It is called with a.mu held, the Agent being loaded.
func (a *Agent) notifiable(id usp.EndpointID, now time.Time) *channel {
	l := a.route(id)
	if l != nil && l.heldUntil().After(now) {
		return nil
	}
	return l
}

// begins notes that a channel has something to answer. It is called with a.mu held.
func (l *channel) begins() {
	if m := l.manners; m != nil && l.handling == 0 {
		m.busy = time.Now()
	}
}

// ends lets notifications go that a request has held back.
func (a *Agent) ends(in *inbound) {
	m := in.l.manners
	if m == nil {
		return
	}
	a.mu.Lock()
	m.asked = m.asked || in.msg.GetBody().GetRequest().GetGet() != nil
	loaded := a.st != nil
	a.mu.Unlock()
	if loaded {
		a.kick()
	}
}

// byDeadline answers a request with an error when the Controller's patience ends, while it is still being worked on. What it returns is to be called
// when there is a response, and says whether that may leave.
func (a *Agent) byDeadline(in *inbound) func() bool {
	m := in.l.manners
	if m == nil || m.Deadline == 0 {
		return inTime
	}
	told := make(chan struct{})
	timer := time.AfterFunc(m.Deadline, func() {
		defer close(told)
		a.fleet.log.Info("a request takes longer than the Controller waits", "device", a.id.ID, "controller", in.from)
		a.respond(a.life(), in, usp.ErrorMsg(in.msg.GetHeader().GetMsgId(), late(in.msg.GetBody().GetRequest())))
	})
	return func() bool {
		if timer.Stop() {
			return true
		}
		<-told
		return false
	}
}

func inTime() bool { return true }

// late is what is said of a request that is still being worked on.
func late(req *usppb.Request) *usp.Error {
	switch req.GetReqType().(type) {
	case *usppb.Request_Add, *usppb.Request_Set, *usppb.Request_Delete, *usppb.Request_Operate:
		return usp.Errorf(usp.OutcomeUnknown, "no answer in time: it may still be done")
	}
	return errTooLate
}

// complete gives an empty value to what the Controller must not miss (profile.Profile.Always), also where there is no response at all.
func (x *exchange) complete(paths []string, resp *usppb.GetResp, err error) (*usppb.GetResp, error) {
	if err != nil {
		if slices.ContainsFunc(paths, func(p string) bool { return !slices.Contains(x.always, p) }) {
			return nil, err
		}
		resp = &usppb.GetResp{}
		for _, p := range paths {
			resp.ReqPathResults = append(resp.ReqPathResults, &usppb.GetResp_RequestedPathResult{RequestedPath: p})
		}
	}
	for _, r := range resp.GetReqPathResults() {
		if len(r.GetResolvedPathResults()) == 0 && slices.Contains(x.always, r.GetRequestedPath()) {
			i := strings.LastIndex(r.GetRequestedPath(), ".") + 1
			r.ErrCode, r.ErrMsg = 0, ""
			r.ResolvedPathResults = []*usppb.GetResp_ResolvedPathResult{{ResolvedPath: r.GetRequestedPath()[:i],
				ResultParams: map[string]string{r.GetRequestedPath()[i:]: ""}}}
		}
	}
	return resp, nil
}

// repeats says whether a notification is sent again until it is answered.
func (m *manners) repeats(n *usppb.Notify) bool {
	switch {
	case m == nil:
		return true
	case m.Once == profile.Boots:
		return n.GetEvent().GetEventName() != bootEvent
	}
	return m.Once == profile.None
}

// plainMap is a JSON object that has commas and colons only where its syntax wants them. An empty one has what says least of the Agent.
func plainMap(id usp.EndpointID, found map[string]string) (string, error) {
	if len(found) == 0 {
		found = map[string]string{ownRoot + "EndpointID": string(id)}
	}
	escape := strings.NewReplacer(",", `\u002c`, ":", `\u003a`)
	var pairs []string
	for _, name := range slices.Sorted(maps.Keys(found)) {
		var pair [2]string
		for i, s := range []string{name, found[name]} {
			quoted, err := json.Marshal(s)
			if err != nil {
				return "", err
			}
			pair[i] = escape.Replace(string(quoted))
		}
		pairs = append(pairs, pair[0]+":"+pair[1])
	}
	return "{" + strings.Join(pairs, ",") + "}", nil
}

// muteDue is when a channel has been up without a Get for too long, the zero time for never. It is called with the Agent's mu held.
func (l *channel) muteDue() time.Time {
	if m := l.manners; m != nil && m.Mute > 0 && !m.asked && !m.ended && l.handling == 0 {
		return m.up.Add(m.Mute)
	}
	return time.Time{}
}

// closeMute closes channels over which no Get has come in time: the transport makes them anew.
func (a *Agent) closeMute() {
	now := time.Now()
	var mute []*channel
	a.mu.Lock()
	for _, l := range a.links {
		if at := l.muteDue(); !at.IsZero() && !at.After(now) {
			l.manners.ended = true
			mute = append(mute, l)
		}
	}
	a.mu.Unlock()
	for _, l := range mute {
		a.fleet.log.Debug("the Controller asks nothing: connecting anew", "device", a.id.ID, "controller", l.peer)
		l.ch.Close(mtp.Normal)
	}
}
