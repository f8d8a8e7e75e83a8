package controller

import (
	"context"
	"fmt"
	"sync"

	"isthmus/usp"
	"isthmus/usp/mtp"
	"isthmus/usp/usppb"
)

// Agent is an Agent as a Controller sees it.
type Agent struct {
	c  *Controller
	id usp.EndpointID

	mu       sync.Mutex
	ch       mtp.Channel // nil while there is none
	reply    mtp.Address
	connects int
	pending  map[string]pending
	notes    []note
	session  *session      // nil while there is none
	asked    uint64        // the Record of it that was asked for last
	changed  chan struct{} // closed and replaced when anything above changes that somebody waits for
}

type pending struct {
	ch     mtp.Channel
	answer chan *usppb.Msg // closed if the channel goes down first
}

type note struct {
	n     *usppb.Notify
	taken bool
}

// EndpointID is the Agent's Endpoint ID.
func (a *Agent) EndpointID() usp.EndpointID { return a.id }

// Connects counts the Connect Records that came from the Agent.
func (a *Agent) Connects() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.connects
}

// WaitUp returns when there is a channel to the Agent, or with the error of ctx.
func (a *Agent) WaitUp(ctx context.Context) error {
	return a.wait(ctx, "the agent", func() bool { return a.ch != nil })
}

// WaitConnects returns when at least n Connect Records have come.
func (a *Agent) WaitConnects(ctx context.Context, n int) error {
	return a.wait(ctx, "a Connect Record", func() bool { return a.connects >= n })
}

// Notes gives the notifications that came so far, the last 1000 of them.
func (a *Agent) Notes() []*usppb.Notify {
	a.mu.Lock()
	defer a.mu.Unlock()
	all := make([]*usppb.Notify, 0, len(a.notes))
	for _, n := range a.notes {
		all = append(all, n.n)
	}
	return all
}

// WaitNotify gives the oldest notification that match accepts and no WaitNotify has given before; it waits for one until ctx is done.
// A nil match accepts any.
func (a *Agent) WaitNotify(ctx context.Context, match func(*usppb.Notify) bool) (*usppb.Notify, error) {
	var found *usppb.Notify
	err := a.wait(ctx, "a Notify", func() bool {
		for i := range a.notes {
			if n := &a.notes[i]; !n.taken && (match == nil || match(n.n)) {
				n.taken = true
				found = n.n
				return true
			}
		}
		return false
	})
	return found, err
}

// wait returns when ready, which is called under mu, says so.
func (a *Agent) wait(ctx context.Context, what string, ready func() bool) error {
	for {
		a.mu.Lock()
		ok, changed := ready(), a.changed
		a.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s of %s: %w", what, a.id, ctx.Err())
		}
	}
}

// change runs f under mu and wakes who waits.
func (a *Agent) change(f func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f()
	close(a.changed)
	a.changed = make(chan struct{})
}

func (a *Agent) attach(ch mtp.Channel, reply mtp.Address) {
	a.mu.Lock()
	same := a.ch == ch && a.reply == reply
	a.mu.Unlock()
	if !same {
		a.change(func() { a.ch, a.reply = ch, reply })
	}
}

// elsewhere says that the Agent has come by another channel: what it sent before over this one may arrive later.
func (a *Agent) elsewhere(than mtp.Channel) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.ch != nil && a.ch != than
}

func (a *Agent) detach(ch mtp.Channel) {
	a.change(func() {
		if a.ch == ch {
			a.ch, a.reply = nil, ""
		}
		for id, p := range a.pending {
			if p.ch == ch {
				close(p.answer)
				delete(a.pending, id)
			}
		}
	})
}

func (a *Agent) connected() { a.change(func() { a.connects++ }) }

func (a *Agent) note(n *usppb.Notify) {
	a.change(func() {
		if len(a.notes) == maxNotes {
			a.notes = append(a.notes[:0], a.notes[1:]...)
		}
		a.notes = append(a.notes, note{n: n})
	})
}

// settle gives an answer to the request that waits for it; nobody may.
func (a *Agent) settle(m *usppb.Msg) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if p, ok := a.pending[m.GetHeader().GetMsgId()]; ok {
		p.answer <- m
		delete(a.pending, m.GetHeader().GetMsgId())
	}
}

// Do sends a request and waits for its answer until ctx is done. An Error message is a *usp.Error; without a channel, or if it goes
// down before the answer, the error is mtp.ErrDown. An Operate that wants no response gives nil as soon as it is sent.
func (a *Agent) Do(ctx context.Context, req *usppb.Request) (*usppb.Response, error) {
	msg := usp.NewRequest(a.c.nextID(), req)
	id := msg.GetHeader().GetMsgId()
	p := pending{answer: make(chan *usppb.Msg, 1)}
	a.c.mu.Lock()
	common := a.c.common
	a.c.mu.Unlock()
	a.mu.Lock()
	p.ch = a.ch
	reply := a.reply
	if p.ch == nil {
		p.ch = common
	}
	if p.ch != nil {
		a.pending[id] = p
	}
	a.mu.Unlock()
	if p.ch == nil {
		return nil, mtp.ErrDown
	}
	defer func() {
		a.mu.Lock()
		delete(a.pending, id)
		a.mu.Unlock()
	}()
	if err := a.c.transmit(ctx, answer{agent: a, msg: msg, ch: p.ch, reply: reply}); err != nil {
		return nil, fmt.Errorf("sending %s to %s: %w", usp.RequestType(msg), a.id, err)
	}
	if op := req.GetOperate(); op != nil && !op.GetSendResp() {
		return nil, nil
	}
	select {
	case m, ok := <-p.answer:
		switch {
		case !ok:
			return nil, mtp.ErrDown
		case m.GetBody().GetError() != nil:
			return nil, usp.ErrorFrom(m.GetBody().GetError())
		}
		return m.GetBody().GetResponse(), nil
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for the answer to %s from %s: %w", usp.RequestType(msg), a.id, ctx.Err())
	}
}

// Get reads paths to a depth (R-GET.5), 0 for all.
func (a *Agent) Get(ctx context.Context, depth uint32, paths ...string) (*usppb.GetResp, error) {
	r, err := a.Do(ctx, &usppb.Request{ReqType: &usppb.Request_Get{Get: &usppb.Get{ParamPaths: paths, MaxDepth: depth}}})
	return r.GetGetResp(), err
}

// Set changes parameters.
func (a *Agent) Set(ctx context.Context, m *usppb.Set) (*usppb.SetResp, error) {
	r, err := a.Do(ctx, &usppb.Request{ReqType: &usppb.Request_Set{Set: m}})
	return r.GetSetResp(), err
}

// Add makes rows.
func (a *Agent) Add(ctx context.Context, m *usppb.Add) (*usppb.AddResp, error) {
	r, err := a.Do(ctx, &usppb.Request{ReqType: &usppb.Request_Add{Add: m}})
	return r.GetAddResp(), err
}

// Delete removes rows.
func (a *Agent) Delete(ctx context.Context, m *usppb.Delete) (*usppb.DeleteResp, error) {
	r, err := a.Do(ctx, &usppb.Request{ReqType: &usppb.Request_Delete{Delete: m}})
	return r.GetDeleteResp(), err
}

// Operate runs a command; the response is nil if m wants none.
func (a *Agent) Operate(ctx context.Context, m *usppb.Operate) (*usppb.OperateResp, error) {
	r, err := a.Do(ctx, &usppb.Request{ReqType: &usppb.Request_Operate{Operate: m}})
	return r.GetOperateResp(), err
}

// GetInstances lists rows, with those of tables below unless firstLevelOnly.
func (a *Agent) GetInstances(ctx context.Context, firstLevelOnly bool, paths ...string) (*usppb.GetInstancesResp, error) {
	r, err := a.Do(ctx, &usppb.Request{ReqType: &usppb.Request_GetInstances{
		GetInstances: &usppb.GetInstances{ObjPaths: paths, FirstLevelOnly: firstLevelOnly},
	}})
	return r.GetGetInstancesResp(), err
}

// GetSupportedDM asks for the supported data model.
func (a *Agent) GetSupportedDM(ctx context.Context, m *usppb.GetSupportedDM) (*usppb.GetSupportedDMResp, error) {
	r, err := a.Do(ctx, &usppb.Request{ReqType: &usppb.Request_GetSupportedDm{GetSupportedDm: m}})
	return r.GetGetSupportedDmResp(), err
}

// GetSupportedProtocol tells our versions and gives the Agent's, each a comma separated list.
func (a *Agent) GetSupportedProtocol(ctx context.Context) (string, error) {
	r, err := a.Do(ctx, &usppb.Request{ReqType: &usppb.Request_GetSupportedProtocol{
		GetSupportedProtocol: &usppb.GetSupportedProtocol{ControllerSupportedProtocolVersions: usp.SupportedVersions},
	}})
	return r.GetGetSupportedProtocolResp().GetAgentSupportedProtocolVersions(), err
}
