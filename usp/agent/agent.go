// Package agent is the engine of a USP Agent (TR-369 1.4): it answers every message and keeps subscriptions and their notifications, over a
// DataModel that knows neither. Device.LocalAgent. is such a DataModel too, the Agent's own, so that every rule holds for both.
//
// A Fleet has what many Agents share. An Agent that has nothing to do holds no goroutine, no timer and, after Unload, no rows.
package agent

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"isthmus/usp"
	"isthmus/usp/mtp"
	"isthmus/usp/usppb"
)

// Identity is what an Agent says of itself, in OnBoardRequest and elsewhere.
type Identity struct {
	ID                              usp.EndpointID
	OUI, ProductClass, SerialNumber string
}

// AgentOptions are what one Agent differs in.
type AgentOptions struct {
	// OnInterest is called when what the subscriptions ask for has changed, one call at a time. It must neither call the Agent nor wait for
	// anything that does, since a write is under way.
	OnInterest func(Interest)
}

// Agent is one USP Agent. Its methods may be called from any goroutine.
type Agent struct {
	fleet      *Fleet
	id         Identity
	device     DataModel
	keeper     Keeper
	onInterest func(Interest)
	due        dueEntry

	awake atomic.Pointer[awake] // nil: see wake
	work  sync.WaitGroup

	mu       sync.Mutex
	closing  bool
	busy     int // users of st
	st       *state
	links    []*channel
	inFlight map[requestKey]struct{} // being worked on
	handling int                     // Records whose goroutine has not ended
	targets  *[]mtp.Target           // whom it dials, nil if that is whom all Agents do; outlives st
	dials    bool                    // Connect was called
	contexts map[usp.EndpointID]*sessionContext
	times    timetable // outlives st: what is due is still due when the Agent is loaded for it
}

// awake is what an Agent has only while it is in use, so that it is dropped with the state.
type awake struct {
	life context.Context // ends with Close
	end  context.CancelCauseFunc
	turn chan struct{} // held while rows or notifications are changed and written
}

// wake makes an Agent that is in use awake, if it is not.
func (a *Agent) wake() *awake {
	for {
		if w := a.awake.Load(); w != nil {
			return w
		}
		w := &awake{turn: make(chan struct{}, 1)}
		// Records come from a transport, without a context: the Agent's life is the root of what they cause.
		w.life, w.end = context.WithCancelCause(context.Background())
		a.awake.CompareAndSwap(nil, w)
	}
}

func (a *Agent) life() context.Context { return a.wake().life }
func (a *Agent) turn() chan struct{}   { return a.wake().turn }

// state is what an Agent loads from its Keeper. It is guarded by Agent.mu.
type state struct {
	rows     *rowSet
	bound    bool // the rows of the fleet's Controllers are on disk, with their numbers
	seq      uint64
	queues   map[usp.EndpointID]*queue
	interest Interest

	acknowledged []*note // to be erased
	erasing      bool    // somebody erases them

	triggering chan struct{}              // closed when runTriggers, which is at work, has ended; else nil
	triggers   map[string]trigger         // by Subscription
	answers    map[string]<-chan struct{} // by Request: closed when its OperateResp has left
}

var (
	errClosed   = usp.Errorf(usp.Unreachable, "shutting down")
	errTooLate  = usp.Errorf(usp.Unreachable, "no answer in time")
	_           = mtp.Endpoint(&Agent{})
	errNotThere = errors.New("agent: closed")
)

// NewAgent makes an Agent. It reads nothing yet.
func (f *Fleet) NewAgent(id Identity, dm DataModel, k Keeper, opts AgentOptions) *Agent {
	return &Agent{fleet: f, id: id, device: dm, keeper: k, onInterest: opts.OnInterest, due: dueEntry{index: -1}}
}

// EndpointID is the Agent's own.
func (a *Agent) EndpointID() usp.EndpointID { return a.id.ID }

// enter counts a user of the Agent, so that Close waits and Unload refuses; false if the Agent is closed.
func (a *Agent) enter() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closing {
		return false
	}
	a.busy++
	a.work.Add(1)
	return true
}

// leave ends what enter began. Where many Agents are loaded one that has nothing more to do is not kept.
func (a *Agent) leave() {
	a.mu.Lock()
	if a.busy--; a.st == nil || a.fleet.loaded.Load() > maxLoaded {
		a.unload()
	}
	a.mu.Unlock()
	a.work.Done()
}

// use loads the Agent and counts a user until leave.
func (a *Agent) use(ctx context.Context) error {
	if !a.enter() {
		return errNotThere
	}
	if err := a.load(ctx); err != nil {
		a.leave()
		return err
	}
	return nil
}

func (a *Agent) takeTurn(ctx context.Context) error {
	select {
	case a.turn() <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for a write: %w", context.Cause(ctx))
	}
}

// load reads what was kept, once.
func (a *Agent) load(ctx context.Context) error {
	if a.loaded() {
		return nil
	}
	if err := a.takeTurn(ctx); err != nil {
		return err
	}
	defer func() { <-a.turn() }()
	if a.loaded() {
		return nil
	}
	records, err := a.keeper.Load(ctx)
	if err != nil {
		return fmt.Errorf("load agent %s: %w", a.id.ID, err)
	}
	rows, err := overlay(a.fleet.base, records)
	if err != nil {
		return fmt.Errorf("load agent %s: %w", a.id.ID, err)
	}
	st := &state{rows: rows}
	st.interest = interest(rows)
	if err := st.loadNotes(records); err != nil {
		return fmt.Errorf("load agent %s: %w", a.id.ID, err)
	}
	a.mu.Lock()
	a.st = st
	a.fleet.loaded.Add(1)
	a.retarget(rows)
	a.fleet.metrics.pending.Add(float64(st.pending()))
	a.mu.Unlock()
	a.reschedule()
	return nil
}

func (a *Agent) loaded() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.st != nil
}

// rows is the present state of the Agent's own tables. The Agent must be loaded.
func (a *Agent) rows() *rowSet {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.st.rows
}

func (a *Agent) view() *view { return &view{agent: a, rows: a.rows(), now: time.Now()} }

// Do answers one request from inside the process. Whoever from is, it has full access, and needs no row in the Controller table, except to
// subscribe. The answer is nil for a request that wants none.
func (a *Agent) Do(ctx context.Context, from usp.EndpointID, msg *usppb.Msg) *usppb.Msg {
	ctx, cancel := context.WithTimeoutCause(ctx, a.fleet.opts.RequestTimeout, errTooLate)
	defer cancel()
	x := &exchange{a: a, from: from, legacy: true, sent: make(chan struct{})}
	defer close(x.sent)
	if err := a.use(ctx); err != nil {
		return usp.ErrorMsg(msg.GetHeader().GetMsgId(), a.asError(ctx, err))
	}
	defer a.leave()
	stop := context.AfterFunc(a.life(), cancel)
	defer stop()
	return x.answer(ctx, msg)
}

// asError is what the peer is told of an error; an internal cause is logged, since nobody else will see it.
func (a *Agent) asError(ctx context.Context, err error) *usp.Error {
	if e := (*usp.Error)(nil); errors.As(err, &e) {
		return e
	}
	if errors.Is(err, errNotThere) || a.life().Err() != nil {
		return errClosed
	}
	if ctx.Err() != nil && (errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)) {
		return errTooLate
	}
	a.fleet.log.Error("request failed", "device", a.id.ID, "error", err)
	return usp.AsError(err)
}

// Unload drops what was loaded; it is read again when needed. It returns false, and does nothing, while something is being done or a
// notification or a triggered setting is waiting.
func (a *Agent) Unload() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.unload()
}

// unload is called with a.mu held.
func (a *Agent) unload() bool {
	if a.busy > 0 || a.st != nil && (a.st.pending() > 0 || a.st.retrying()) {
		return false
	}
	if a.st != nil {
		a.st = nil
		a.fleet.loaded.Add(-1)
	}
	if !a.closing {
		a.awake.Store(nil)
	}
	return true
}

// Interest is what the subscriptions in force ask for.
func (a *Agent) Interest(ctx context.Context) (Interest, error) {
	if err := a.use(ctx); err != nil {
		return Interest{}, err
	}
	defer a.leave()
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.st.interest, nil
}

// Resume takes up after a start of the process what was under way: undelivered notifications, TimeToLive, Periodic!, commands. It gives what the
// subscriptions ask for. Call it for Agents that have records.
func (a *Agent) Resume(ctx context.Context) (Interest, error) {
	if err := a.use(ctx); err != nil {
		return Interest{}, err
	}
	defer a.leave()
	if err := a.restart(ctx); err != nil {
		return Interest{}, err
	}
	a.kick()
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.st.interest, nil
}

// Close ends the Agent: requests that wait are answered with 7800, then the channels get a Disconnect Record and are closed. It returns when
// nothing of the Agent runs any more. Ctx bounds the sending.
func (a *Agent) Close(ctx context.Context) {
	a.mu.Lock()
	a.closing = true
	links := a.links
	a.links = nil
	a.mu.Unlock()
	a.fleet.due.set(a, time.Time{})
	a.wake().end(errClosed) // for good
	a.work.Wait()
	for _, l := range links {
		a.disconnect(ctx, l, usp.Errorf(0, "shutting down"))
		l.ch.Close(mtp.Normal)
	}
	for _, x := range a.contexts {
		if x.s != nil {
			x.s.end()
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.st != nil {
		a.fleet.metrics.pending.Sub(float64(a.st.pending()))
		a.st = nil
		a.fleet.loaded.Add(-1)
	}
}
