package stomp

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"isthmus/usp/mtp"
	"isthmus/usp/mtp/broker"
	"isthmus/usp/mtp/stomp/client"
)

// errOneDestination is why Agents cannot share connections with a server: all of them, whichever connection they use, would take each other's Records.
var errOneDestination error = &broker.Refusal{Err: errors.New("the server names one destination (subscribe-dest) for all Agents of a connection that is shared"),
	Status: mtp.Misconfigured}

// trunk is a connection that Agents share. It has no endpoint-id; each Agent has a subscription of its own on it.
type trunk = broker.Trunk[*trunkConn, *member]

type trunkConn struct {
	*client.Conn

	mu   sync.Mutex
	last int             // subscription
	subs map[int]*member // by number
}

// member is an Agent's share. It is the Agent's broker.Session.
type member struct {
	session
	broker.Share
	t *trunk
}

// join gives an Agent its share of a connection.
func (p *Pool) join(ctx context.Context, s *broker.Setup) (broker.Session, error) {
	first := &s.To[0].STOMP
	mine := broker.Expand(first.OwnDestination, s.Endpoint)
	switch {
	case strings.Contains(first.Username, broker.Placeholder):
		return nil, broker.ErrOwnAccount
	case mine == "":
		return nil, &broker.Refusal{Err: errNoDestination, Status: mtp.Failed}
	}
	t, err := p.trunks.Join(ctx, s, func(ctx context.Context, t *trunk) (*trunkConn, error) { return connectTrunk(ctx, s, t) })
	if err != nil {
		return nil, err
	}
	m := &member{t: t, Share: broker.Share{Setup: s}}
	m.c, m.id, m.template = t.Conn.Conn, s.Endpoint, first.OwnDestination
	if err := t.Add(m); err != nil {
		return nil, err
	}
	if err := m.listen(ctx, mine); err != nil {
		m.leave(ctx)
		return nil, refusal(err)
	}
	return m, nil
}

// connectTrunk makes the connection that an Agent is the first to have a share of.
func connectTrunk(ctx context.Context, s *broker.Setup, t *trunk) (*trunkConn, error) {
	c := &trunkConn{subs: map[int]*member{}}
	o := options(&s.To[0])
	o.Login, o.Handle, o.Down = s.To[0].STOMP.Username, func(f *client.Frame) { c.handle(t, f) }, t.Down
	nc, err := s.Dial(ctx)
	if err != nil {
		return nil, err
	}
	if c.Conn, err = client.Connect(ctx, nc, o); err != nil {
		return nil, refusal(err)
	}
	if c.Server(destHeader) != "" {
		c.Disconnect(ctx)
		return nil, errOneDestination
	}
	return c, nil
}

// handle takes a MESSAGE in for the Agent whose subscription it is of. What comes for one that has just ended is seen by to_id.
func (c *trunkConn) handle(t *trunk, f *client.Frame) {
	number, _ := strconv.Atoi(f.Get("subscription")) // 0 is nobody's
	c.mu.Lock()
	m, ok := c.subs[number]
	c.mu.Unlock()
	if !ok {
		m, ok = t.For(f.Body)
	}
	if ok {
		m.handle(m.Setup, f)
	}
}

// listen has the Agent listen at a destination, and at no other.
func (m *member) listen(ctx context.Context, mine string) error {
	if err := m.t.Listen(m, mine, false); err != nil {
		return err
	}
	c := m.t.Conn
	c.mu.Lock()
	c.last++
	number := c.last
	c.subs[number] = m
	c.mu.Unlock()
	m.mu.Lock() // messages may come in before the receipt
	was, before := m.mine, m.number
	m.mine, m.number = mine, number
	m.mu.Unlock()
	if before != 0 {
		defer func() { // also of an error, with which the Agent leaves
			c.forget(before)
			m.t.Unlisten(m, was)
		}()
	}
	if err := c.Subscribe(ctx, strconv.Itoa(number), mine); err != nil || before == 0 {
		return err
	}
	return c.Unsubscribe(ctx, strconv.Itoa(before))
}

func (c *trunkConn) forget(number int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.subs, number)
}

// leave says whether the Agent was there. The connection ends with the last.
func (m *member) leave(ctx context.Context) bool {
	m.mu.Lock()
	mine, number := m.mine, m.number
	m.mu.Unlock()
	m.t.Conn.forget(number)
	had, last := m.t.Leave(m, mine)
	if last {
		disconnect(ctx, m.c)
	}
	return had
}

// Send implements broker.Session.
func (m *member) Send(ctx context.Context, record []byte, t *mtp.Target, to mtp.Address) error {
	return m.InTurn(ctx, func() error { return m.session.Send(ctx, record, t, to) })
}

// Resubscribe implements broker.Session (R-STOMP.29).
func (m *member) Resubscribe(ctx context.Context, to []mtp.Target) error {
	switch mine := broker.Expand(to[0].STOMP.OwnDestination, m.id); mine {
	case m.listens():
		return nil
	case "":
		return errNoDestination
	default:
		if err := m.listen(ctx, mine); err != nil {
			return fmt.Errorf("listening elsewhere: %w", err)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.template = to[0].STOMP.OwnDestination
	return nil
}

// Close implements broker.Session.
func (m *member) Close(ctx context.Context) {
	if broker.Leaving(ctx, m, m.unsubscribe) && m.leave(ctx) {
		m.Setup.Down(client.ErrClosed)
	}
}

func (m *member) unsubscribe(ctx context.Context) {
	m.mu.Lock()
	number := m.number
	m.mu.Unlock()
	_ = m.c.Unsubscribe(ctx, strconv.Itoa(number)) // whoever leaves has nobody to tell
}
