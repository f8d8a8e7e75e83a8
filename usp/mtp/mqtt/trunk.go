package mqtt

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"isthmus/usp"
	"isthmus/usp/mtp"
	"isthmus/usp/mtp/broker"
	"isthmus/usp/mtp/mqtt/client"
)

// trunkRest is how long an attempt that has failed stands for those of all Agents that would share the connection.
const trunkRest = time.Second

// goodbyeTime is what an Agent that leaves has to say so.
const goodbyeTime = 5 * time.Second

var (
	errOwnAccount = errors.New("a connection that Agents share has one account: Username cannot hold the Endpoint ID")
	errSameTopic  = errors.New("another Agent listens at this topic already")
	errLeaving    = errors.New("the Agent has not yet left the connection that it shares")
)

// trunkKey tells connections that Agents share apart.
type trunkKey struct {
	way   any // of broker.Setup
	index uint32
}

// trunk is a connection that Agents share. It has no ClientID, Will and Endpoint ID; each Agent subscribes to its own topics on it, and comes and
// goes by Records of its own.
type trunk struct {
	p     *Pool
	key   trunkKey
	ready chan struct{} // closed when there is a connection, or none
	v311  bool
	c     *client.Conn
	ack   *client.Connack
	err   error     // why there is none
	since time.Time // when that was
	// refuse counts what is for no Agent here; it is that of the Agent which came first.
	refuse func(reason, text string)

	mu      sync.Mutex
	over    error // why it has ended
	members map[usp.EndpointID]*member
	topics  map[string]*member // by where an Agent listens; nil where many do
}

// member is an Agent's share. It is the Agent's broker.Session.
type member struct {
	session
	t      *trunk
	s      *broker.Setup
	closed atomic.Bool
}

// join gives an Agent its share of a connection, which it makes if it is the first.
func (p *Pool) join(ctx context.Context, s *broker.Setup) (broker.Session, error) {
	first := &s.To[0]
	if strings.Contains(first.MQTT.Username, broker.Placeholder) {
		return nil, &broker.Refusal{Err: errOwnAccount, Status: mtp.Misconfigured}
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(s.Endpoint))
	t, mine := p.trunk(trunkKey{s.Way, h.Sum32() % uint32(s.Shared)})
	if mine {
		t.connect(ctx, s)
	} else {
		select {
		case <-t.ready:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if t.err != nil {
		return nil, t.err
	}
	m := &member{t: t, s: s}
	m.c, m.v5, m.template = t.c, first.MQTT.Version != version311, first.MQTT.ResponseTopic
	m.state.ClientID = t.ack.AssignedClientID
	if err := t.add(m); err != nil {
		return nil, err
	}
	err := m.begin(ctx, s, t.ack)
	if err == nil {
		err = t.listens(m)
	}
	if err != nil {
		t.remove(m)
		return nil, err
	}
	return m, nil
}

// trunk is that of a key; mine says that the caller has to connect it.
func (p *Pool) trunk(key trunkKey) (t *trunk, mine bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if t := p.trunks[key]; t != nil {
		select {
		case <-t.ready:
			if t.err == nil || time.Since(t.since) < trunkRest {
				return t, false
			}
		default:
			return t, false
		}
	}
	t = &trunk{p: p, key: key, ready: make(chan struct{}), members: map[usp.EndpointID]*member{}, topics: map[string]*member{}}
	p.trunks[key] = t
	return t, true
}

func (p *Pool) forget(t *trunk) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.trunks[t.key] == t {
		delete(p.trunks, t.key)
	}
}

func (t *trunk) connect(ctx context.Context, s *broker.Setup) {
	defer close(t.ready)
	t.refuse = s.Refuse
	m := &s.To[0].MQTT
	o := client.Options{Version: client.V5, Username: m.Username, CleanStart: true, KeepAlive: s.To[0].KeepAlive, RequestResponseInfo: true, MaxPacket: maxPacket,
		Wheel: t.p.wheel, Handle: t.handle, Down: t.down}
	if m.Version == version311 {
		o.Version, t.v311 = client.V311, true
	}
	if m.Password != "" {
		o.Password = []byte(m.Password)
	}
	nc, err := s.Dial(ctx)
	if err == nil {
		t.c, t.ack, err = client.Connect(ctx, nc, o)
	}
	var refused *client.Refused
	if errors.As(err, &refused) {
		err = &broker.Refusal{Err: err, Status: mtp.Failed}
	}
	t.err, t.since = err, time.Now()
}

// add takes an Agent in.
func (t *trunk) add(m *member) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.over != nil:
		return t.over
	case t.members[m.s.Endpoint] != nil:
		return errLeaving
	}
	t.members[m.s.Endpoint] = m
	return nil
}

// listens notes where an Agent does. Where the broker's Response Information is one for all, a Record's to_id says whose it is.
func (t *trunk) listens(m *member) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	other, taken := t.topics[m.mine]
	switch {
	case t.over != nil:
		return t.over
	case !taken:
		t.topics[m.mine] = m
	case m.state.ResponseInformation != "":
		t.topics[m.mine] = nil
	case other != m:
		return &broker.Refusal{Err: fmt.Errorf("%w: %s", errSameTopic, m.mine), Status: mtp.Misconfigured}
	}
	return nil
}

// remove lets an Agent go, and says whether it was there. The connection ends with the last.
func (t *trunk) remove(m *member) bool {
	t.mu.Lock()
	had := t.members[m.s.Endpoint] == m
	if had {
		delete(t.members, m.s.Endpoint)
	}
	if t.topics[m.mine] == m {
		delete(t.topics, m.mine)
	}
	last := had && len(t.members) == 0 && t.over == nil
	if last {
		t.over = client.ErrClosed // whoever joins now has to make another one
	}
	t.mu.Unlock()
	if last {
		t.p.forget(t)
		t.c.Disconnect(0)
	}
	return had
}

// handle takes a message in for the Agent that it is for.
func (t *trunk) handle(got *client.Publish) {
	topic := got.Topic
	if i := strings.LastIndex(topic, replyTo); t.v311 && i >= 0 {
		topic = topic[:i]
	}
	t.mu.Lock()
	m := t.topics[topic]
	t.mu.Unlock()
	if m == nil { // a filter of the rows or of the broker, or a topic for all
		r, err := usp.DecodeRecord(got.Payload)
		if r == nil {
			t.refuse("record", fmt.Sprintf("a message is no Record: %v", err))
			return
		}
		t.mu.Lock()
		m = t.members[usp.EndpointID(r.GetToId())]
		t.mu.Unlock()
		if m == nil {
			t.refuse("to_id", fmt.Sprintf("a Record is for none of the Agents here: %.100q", r.GetToId()))
			return
		}
	}
	m.handle(m.s, got)
}

// down is the end of the connection for all.
func (t *trunk) down(err error) {
	t.p.forget(t)
	t.mu.Lock()
	if t.over == nil {
		t.over = err
	}
	members := slices.Collect(maps.Values(t.members))
	clear(t.members)
	clear(t.topics)
	t.mu.Unlock()
	for _, m := range members {
		m.s.Down(err)
	}
}

// Resubscribe implements broker.Session (R-MQTT.34).
func (m *member) Resubscribe(ctx context.Context, to []mtp.Target) error {
	return m.resubscribe(ctx, to, func(filter string) bool { return m.t.needed(filter, m) })
}

// needed says whether another Agent listens to a topic filter.
func (t *trunk) needed(filter string, but *member) bool {
	t.mu.Lock()
	members := slices.Collect(maps.Values(t.members))
	t.mu.Unlock()
	return slices.ContainsFunc(members, func(m *member) bool { return m != but && slices.Contains(m.State().Subscribed, filter) })
}

// Close implements broker.Session: Controllers are told by a Disconnect Record, since no Will tells them.
func (m *member) Close(ctx context.Context) {
	if !m.closed.CompareAndSwap(false, true) {
		return
	}
	if ctx.Err() == nil {
		ctx, cancel := context.WithTimeout(ctx, goodbyeTime)
		defer cancel()
		for i := range m.s.To {
			m.goodbye(ctx, &m.s.To[i])
		}
		m.t.unsubscribe(ctx, m)
	}
	if m.t.remove(m) {
		m.s.Down(client.ErrClosed)
	}
}

func (m *member) goodbye(ctx context.Context, to *mtp.Target) {
	if to.MQTT.Topic == "" {
		return
	}
	record, err := usp.Address(usp.Disconnect(usp.Errorf(usp.InternalError, "the Agent leaves")), m.s.Endpoint, to.Controller, "")
	if err == nil {
		_ = m.Send(ctx, record, to, "") // as below
	}
}

// unsubscribe ends what only this Agent listens to.
func (t *trunk) unsubscribe(ctx context.Context, m *member) {
	own := slices.DeleteFunc(slices.Clone(m.State().Subscribed), func(filter string) bool { return t.needed(filter, m) })
	if len(own) > 0 {
		_ = t.c.Unsubscribe(ctx, own) // whoever leaves has nobody to tell
	}
}
