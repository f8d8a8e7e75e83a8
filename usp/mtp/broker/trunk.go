package broker

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"sync"
	"sync/atomic"
	"time"

	"isthmus/usp"
	"isthmus/usp/mtp"
)

const (
	// trunkRest is how long an attempt that has failed stands for those of all Agents that would share the connection.
	trunkRest = time.Second
	// goodbyeTime is what an Agent that leaves has to say so.
	goodbyeTime = 5 * time.Second
	// shareTurns is how many Records of one Agent are on their way at a time, so that it leaves room for the others of its connection.
	shareTurns = 16
)

// ErrOwnAccount is the Refusal where a connection that Agents share would have to log in as each of them.
var ErrOwnAccount error = &Refusal{Err: errors.New("a connection that Agents share has one account: Username cannot hold the Endpoint ID"), Status: mtp.Misconfigured}

var (
	errSamePlace = errors.New("another Agent listens here already")
	errLeaving   = errors.New("the Agent has not yet left the connection that it shares")
	errLeft      = errors.New("the last Agent has left the connection")
)

// Trunks are the connections that Agents share: as many for each Setup.Way as Setup.Shared says, each Agent on the one that its Endpoint ID falls to.
// C is a protocol's connection, M its Session of one Agent.
type Trunks[C Conn, M Member] struct {
	mu  sync.Mutex
	all map[trunkKey]*Trunk[C, M]
}

// Conn is a protocol's connection.
type Conn interface{ Abort() }

// Member is a Session that is an Agent's share of a connection: it embeds a Share.
type Member interface {
	comparable
	Session
	Sharing() *Share
}

// trunkKey tells connections that Agents share apart.
type trunkKey struct {
	way   any
	index uint32
}

// Trunk is a connection that Agents share. It has no Endpoint ID of its own; each Agent listens where it would otherwise, and comes and goes by Records.
type Trunk[C Conn, M Member] struct {
	Conn C // of a Trunk that Join has returned

	of    *Trunks[C, M]
	key   trunkKey
	ready chan struct{} // closed when there is a connection, or none
	err   error         // why there is none
	since time.Time     // when that was
	// refuse counts what is for no Agent here; it is that of the Agent which came first.
	refuse func(reason, text string)

	mu      sync.Mutex
	over    error // why it has ended
	members map[usp.EndpointID]M
	places  map[string]M // by where an Agent listens; the zero M where many do
}

// Share is an Agent's part in a Trunk.
type Share struct {
	Setup *Setup

	mu     sync.Mutex
	turns  chan struct{} // holds a token for each Record on its way; nil while nobody sends
	users  int32         // of turns
	closed atomic.Bool
}

// Sharing makes a Session that embeds a Share a Member.
func (h *Share) Sharing() *Share { return h }

// InTurn sends when the Agent may have one more Record on its way.
func (h *Share) InTurn(ctx context.Context, send func() error) error {
	h.mu.Lock()
	if h.turns == nil {
		h.turns = make(chan struct{}, shareTurns)
	}
	h.users++
	turns := h.turns
	h.mu.Unlock()
	defer func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.users--; h.users == 0 {
			h.turns = nil
		}
	}()
	select {
	case turns <- struct{}{}:
		defer func() { <-turns }()
		return send()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Join gives the connection that an Agent has a share of. It is made if the Agent is the first; one attempt stands for all that wait for it.
// What connect makes calls Down of its Trunk at its end.
func (ts *Trunks[C, M]) Join(ctx context.Context, s *Setup, connect func(context.Context, *Trunk[C, M]) (C, error)) (*Trunk[C, M], error) {
	h := fnv.New32a()
	_, _ = h.Write([]byte(s.Endpoint))
	t, mine := ts.trunk(trunkKey{s.Way, h.Sum32() % uint32(s.Shared)})
	if mine {
		t.refuse = s.Refuse
		t.Conn, t.err = connect(ctx, t)
		t.since = time.Now()
		close(t.ready)
	} else {
		select {
		case <-t.ready:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return t, t.err
}

// trunk is that of a key; mine says that the caller has to connect it.
func (ts *Trunks[C, M]) trunk(key trunkKey) (t *Trunk[C, M], mine bool) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if t := ts.all[key]; t != nil {
		select {
		case <-t.ready:
			if t.err == nil || time.Since(t.since) < trunkRest {
				return t, false
			}
		default:
			return t, false
		}
	}
	t = &Trunk[C, M]{of: ts, key: key, ready: make(chan struct{}), members: map[usp.EndpointID]M{}, places: map[string]M{}}
	if ts.all == nil {
		ts.all = map[trunkKey]*Trunk[C, M]{}
	}
	ts.all[key] = t
	return t, true
}

func (ts *Trunks[C, M]) forget(t *Trunk[C, M]) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if ts.all[t.key] == t {
		delete(ts.all, t.key)
	}
}

// Close drops the connections that no Agent came to use. The Pool is closed.
func (ts *Trunks[C, M]) Close() {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	for _, t := range ts.all {
		if t.err == nil {
			t.Conn.Abort()
		}
	}
}

// Add takes an Agent in.
func (t *Trunk[C, M]) Add(m M) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	id := m.Sharing().Setup.Endpoint
	if _, there := t.members[id]; t.over == nil && there {
		return errLeaving
	}
	if t.over == nil {
		t.members[id] = m
	}
	return t.over
}

// Listen notes where an Agent does: at a place that is its own, unless the broker has said that one is common to many, where a Record's to_id
// says whose it is.
func (t *Trunk[C, M]) Listen(m M, place string, common bool) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	other, taken := t.places[place]
	switch {
	case t.over != nil:
		return t.over
	case !taken:
		t.places[place] = m
	case common:
		var many M
		t.places[place] = many
	case other != m:
		return &Refusal{Err: fmt.Errorf("%w: %s", errSamePlace, place), Status: mtp.Misconfigured}
	}
	return nil
}

// Unlisten forgets where an Agent did.
func (t *Trunk[C, M]) Unlisten(m M, place string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.places[place] == m {
		delete(t.places, place)
	}
}

// Leave lets an Agent go. It says whether it was there, and whether it was the last: then the caller has to end the connection.
func (t *Trunk[C, M]) Leave(m M, place string) (had, last bool) {
	t.Unlisten(m, place)
	t.mu.Lock()
	id := m.Sharing().Setup.Endpoint
	if had = t.members[id] == m; had {
		delete(t.members, id)
	}
	if last = had && len(t.members) == 0 && t.over == nil; last {
		t.over = errLeft // whoever joins now has to make another one
	}
	t.mu.Unlock()
	if last {
		t.of.forget(t)
	}
	return had, last
}

// At is the Agent that alone listens at a place; ok is false where none or many do.
func (t *Trunk[C, M]) At(place string) (m M, ok bool) {
	var many M
	t.mu.Lock()
	defer t.mu.Unlock()
	m = t.places[place]
	return m, m != many
}

// For is the Agent that a Record is for. What is for none here is counted.
func (t *Trunk[C, M]) For(record []byte) (m M, ok bool) {
	r, err := usp.DecodeRecord(record)
	if r == nil {
		t.refuse("record", fmt.Sprintf("a message is no Record: %v", err))
		return m, false
	}
	t.mu.Lock()
	m, ok = t.members[usp.EndpointID(r.GetToId())]
	t.mu.Unlock()
	if !ok {
		t.refuse("to_id", fmt.Sprintf("a Record is for none of the Agents here: %.100q", r.GetToId()))
	}
	return m, ok
}

// Others are the Agents on the connection but one.
func (t *Trunk[C, M]) Others(but M) (out []M) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, m := range t.members {
		if m != but {
			out = append(out, m)
		}
	}
	return out
}

// Down is the end of the connection for all.
func (t *Trunk[C, M]) Down(err error) {
	t.of.forget(t)
	t.mu.Lock()
	if t.over == nil {
		t.over = err
	}
	members := make([]M, 0, len(t.members))
	for _, m := range t.members {
		members = append(members, m)
	}
	clear(t.members)
	clear(t.places)
	t.mu.Unlock()
	for _, m := range members {
		m.Sharing().Setup.Down(err)
	}
}

// Leaving runs what an Agent still does on the connection before it leaves: its Controllers are told by Disconnect Records, since no Will tells them;
// then comes last. Of several calls, and once ctx is done, nothing is said. ok is false of all calls but the first.
func Leaving[M Member](ctx context.Context, m M, last func(ctx context.Context)) (ok bool) {
	h := m.Sharing()
	if !h.closed.CompareAndSwap(false, true) {
		return false
	}
	if ctx.Err() != nil {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, goodbyeTime)
	defer cancel()
	for i := range h.Setup.To {
		to := &h.Setup.To[i]
		record, err := usp.Address(usp.Disconnect(usp.Errorf(usp.InternalError, "the Agent leaves")), h.Setup.Endpoint, to.Controller, "")
		if err == nil {
			_ = m.Send(ctx, record, to, "") // whoever leaves has nobody to tell
		}
	}
	last(ctx)
	return true
}
