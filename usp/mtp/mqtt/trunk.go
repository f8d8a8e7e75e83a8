package mqtt

import (
	"context"
	"errors"
	"slices"
	"strings"

	"isthmus/usp/mtp"
	"isthmus/usp/mtp/broker"
	"isthmus/usp/mtp/mqtt/client"
)

// trunk is a connection that Agents share. It has no ClientID, Will and Endpoint ID; each Agent subscribes to its own topics on it.
type trunk = broker.Trunk[*trunkConn, *member]

type trunkConn struct {
	*client.Conn
	ack *client.Connack
}

// member is an Agent's share. It is the Agent's broker.Session.
type member struct {
	session
	broker.Share
	t              *trunk
	sent, received uint64 // packets before the Agent came
}

// join gives an Agent its share of a connection.
func (p *Pool) join(ctx context.Context, s *broker.Setup) (broker.Session, error) {
	first := &s.To[0]
	if strings.Contains(first.MQTT.Username, broker.Placeholder) {
		return nil, broker.ErrOwnAccount
	}
	t, err := p.trunks.Join(ctx, s, func(ctx context.Context, t *trunk) (*trunkConn, error) { return p.connect(ctx, s, t) })
	if err != nil {
		return nil, err
	}
	m := &member{t: t, Share: broker.Share{Setup: s}}
	m.c, m.setup, m.v5 = t.Conn.Conn, s, first.MQTT.Version != version311
	m.clientID = t.Conn.ack.AssignedClientID
	m.sent, m.received = m.c.Packets()
	if err := t.Add(m); err != nil {
		return nil, err
	}
	if err = m.begin(ctx, s, t.Conn.ack); err == nil {
		err = t.Listen(m, m.mine, m.informed)
	}
	if err != nil {
		m.leave()
		return nil, err
	}
	return m, nil
}

// connect makes the connection that an Agent is the first to have a share of.
func (p *Pool) connect(ctx context.Context, s *broker.Setup, t *trunk) (*trunkConn, error) {
	m := &s.To[0].MQTT
	v311 := m.Version == version311
	o := client.Options{Version: client.V5, Username: m.Username, CleanStart: true, KeepAlive: s.To[0].KeepAlive, RequestResponseInfo: true, MaxPacket: maxPacket,
		Wheel: p.wheel, Handle: func(got *client.Publish) { handle(t, got, v311) }, Down: t.Down}
	if v311 {
		o.Version = client.V311
	}
	if m.Password != "" {
		o.Password = []byte(m.Password)
	}
	nc, err := s.Dial(ctx)
	if err != nil {
		return nil, err
	}
	c, ack, err := client.Connect(ctx, nc, o)
	if refused := (*client.Refused)(nil); errors.As(err, &refused) {
		return nil, &broker.Refusal{Err: err, Status: mtp.Failed}
	}
	if err != nil {
		return nil, err
	}
	return &trunkConn{c, ack}, nil
}

// leave says whether the Agent was there. The connection ends with the last.
func (m *member) leave() bool {
	had, last := m.t.Leave(m, m.mine)
	if last {
		m.c.Disconnect(0)
	}
	return had
}

// handle takes a message in for the Agent that it is for.
func handle(t *trunk, got *client.Publish, v311 bool) {
	topic := got.Topic
	if i := strings.LastIndex(topic, replyTo); v311 && i >= 0 {
		topic = topic[:i]
	}
	m, ok := t.At(topic)
	if !ok { // a filter of the rows or of the broker, or a topic for all
		m, ok = t.For(got.Payload)
	}
	if ok {
		m.handle(got)
	}
}

// Send implements broker.Session.
func (m *member) Send(ctx context.Context, record []byte, t *mtp.Target, to mtp.Address) error {
	return m.InTurn(ctx, func() error { return m.session.Send(ctx, record, t, to) })
}

// Resubscribe implements broker.Session (R-MQTT.34).
func (m *member) Resubscribe(ctx context.Context, to []mtp.Target) error {
	return m.resubscribe(ctx, to, m.needed)
}

// Packets are how many have crossed the connection, whoever's, since the Agent has a share of it.
func (m *member) Packets() (sent, received uint64) {
	sent, received = m.c.Packets()
	return sent - m.sent, received - m.received
}

// needed says whether another Agent listens to a topic filter.
func (m *member) needed(filter string) bool {
	return slices.ContainsFunc(m.t.Others(m), func(o *member) bool { return slices.Contains(o.State().Subscribed, filter) })
}

// Close implements broker.Session.
func (m *member) Close(ctx context.Context) {
	if broker.Leaving(ctx, m, m.unsubscribe) && m.leave() {
		m.Setup.Down(client.ErrClosed)
	}
}

// unsubscribe ends what only this Agent listens to.
func (m *member) unsubscribe(ctx context.Context) {
	own := slices.DeleteFunc(slices.Clone(m.State().Subscribed), m.needed)
	if len(own) > 0 {
		_ = m.c.Unsubscribe(ctx, own) // whoever leaves has nobody to tell
	}
}
