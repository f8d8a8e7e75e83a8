// Package controller is a small real USP Controller: it sends requests, waits for their answers, takes and answers notifications.
// The demo, the command line and tests use it. It knows channels only; websocket.go lets it dial and be dialled.
package controller

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"isthmus/usp"
	"isthmus/usp/mtp"
	"isthmus/usp/usppb"
)

const (
	outbox      = 256              // answers to Agents that wait to be sent; beyond it they are dropped, and the Agent asks again
	maxNotes    = 1000             // notifications kept for an Agent; beyond it the oldest go
	sendTimeout = 10 * time.Second // of an answer
)

// Direction is "in" from an Agent or "out" to it.
type Direction string

// The directions.
const (
	In  Direction = "in"
	Out Direction = "out"
)

// Options of a Controller; only EndpointID is needed.
type Options struct {
	EndpointID usp.EndpointID
	Version    string // of the Records sent; "" is usp.RecordVersion
	// TLS is for wss: of Dial, and of Listen if it has a certificate.
	TLS *tls.Config
	// Observe sees every Record that is one, with its message if it has one. It is called from many goroutines and must not block.
	Observe func(Direction, *usppb.Record, *usppb.Msg)
	// Answer says whether a Notify that wants a NotifyResp gets one; nil: each does.
	Answer func(agent usp.EndpointID, n *usppb.Notify) bool
	Logger *slog.Logger
	// Security protects Records where the MTP does not.
	Security Security
	// MaxRecord is the size in bytes of the largest Record in a session context, 0 for any.
	MaxRecord int
	// Mangle, for tests, is given the Records that are to carry a message in a session context and says which leave, in which order and how often.
	// What the Agent asks for again leaves as it is. It must not block.
	Mangle func(records [][]byte) [][]byte
}

// Controller is an mtp.Endpoint: hand it to any MTP, or use Listen and Dial.
type Controller struct {
	o      Options
	ids    atomic.Uint64
	prefix string // of message ids, so that those of two runs differ
	out    chan answer
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu     sync.Mutex
	agents map[usp.EndpointID]*Agent
	common mtp.Channel             // that of many Agents, nil while there is none
	closer []func(context.Context) // of Listen, Dial and MQTT
}

type answer struct {
	agent   *Agent
	msg     *usppb.Msg
	records [][]byte // in place of msg
	plain   bool     // msg answers what came without a session context
	ch      mtp.Channel
	reply   mtp.Address
}

// New makes a Controller, which works until ctx is done or Close.
func New(ctx context.Context, o Options) *Controller {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	c := &Controller{o: o, prefix: rand.Text()[:8] + "-", out: make(chan answer, outbox), agents: map[usp.EndpointID]*Agent{}}
	c.ctx, c.cancel = context.WithCancel(ctx)
	c.wg.Go(c.send)
	return c
}

// Close ends what Listen and Dial began and waits for it, with closing handshakes until ctx is done.
func (c *Controller) Close(ctx context.Context) {
	c.mu.Lock()
	closer := c.closer
	c.closer = nil
	c.mu.Unlock()
	for _, f := range closer {
		f(ctx)
	}
	c.cancel()
	c.wg.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, a := range c.agents {
		a.endSession()
	}
}

// Agent is the handle of an Agent, whether or not it has ever been heard of.
func (c *Controller) Agent(id usp.EndpointID) *Agent {
	c.mu.Lock()
	defer c.mu.Unlock()
	a := c.agents[id]
	if a == nil {
		a = &Agent{c: c, id: id, pending: map[string]pending{}, changed: make(chan struct{})}
		c.agents[id] = a
	}
	return a
}

// EndpointID implements mtp.Endpoint.
func (c *Controller) EndpointID() usp.EndpointID { return c.o.EndpointID }

// Up implements mtp.Endpoint. Where the channel cannot say who is there, the Agent's first Record does; an Agent that has sent none is asked over it, too.
func (c *Controller) Up(ch mtp.Channel) {
	if ch.Peer() != "" {
		c.Agent(ch.Peer()).attach(ch, "")
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.common = ch
}

// Down implements mtp.Endpoint.
func (c *Controller) Down(ch mtp.Channel, reason error) {
	c.o.Logger.Debug("channel down", "controller", c.o.EndpointID, "peer", ch.Peer(), "reason", reason)
	c.mu.Lock()
	if c.common == ch {
		c.common = nil
	}
	all := make([]*Agent, 0, len(c.agents))
	for _, a := range c.agents {
		all = append(all, a)
	}
	c.mu.Unlock()
	for _, a := range all {
		a.detach(ch)
	}
}

// Receive implements mtp.Endpoint. What is no Record is an error; a Record for somebody else is dropped (R-E2E.1).
func (c *Controller) Receive(ch mtp.Channel, record []byte, reply mtp.Address) error {
	r, err := usp.DecodeRecord(record)
	if r == nil {
		return err
	}
	foreign := ch.Peer() != "" && r.GetFromId() != string(ch.Peer()) // R-SEC.0a
	if err != nil || foreign || r.GetToId() != string(c.o.EndpointID) {
		c.o.Logger.Warn("record dropped", "controller", c.o.EndpointID, "from", r.GetFromId(), "to", r.GetToId(), "err", err)
		return nil
	}
	a := c.Agent(usp.EndpointID(r.GetFromId()))
	if connect := r.GetNoSessionContext() == nil && r.GetSessionContext() == nil && r.GetDisconnect() == nil; connect || !a.elsewhere(ch) {
		a.attach(ch, reply)
	}
	switch {
	case r.GetNoSessionContext() != nil:
		c.take(&inbound{a, r, ch, reply}, r.GetNoSessionContext().GetPayload())
	case r.GetSessionContext() != nil:
		messages := a.receiveInSession(r, ch, reply)
		if len(messages) == 0 {
			c.observe(In, r, nil)
		}
		for _, m := range messages {
			c.take(&inbound{a, r, ch, reply}, m)
		}
	default:
		c.observe(In, r, nil)
		if r.GetDisconnect() == nil {
			a.connected()
		} else {
			a.endSession()
		}
	}
	return nil
}

// inbound is the Record that completed a message.
type inbound struct {
	a      *Agent
	record *usppb.Record
	ch     mtp.Channel
	reply  mtp.Address
}

// answer is the message that answers it, in the same type of Record (R-MSG.0a).
func (in *inbound) answer(m *usppb.Msg) answer {
	return answer{agent: in.a, msg: m, plain: in.record.GetNoSessionContext() != nil, ch: in.ch, reply: in.reply}
}

// take handles a message.
func (c *Controller) take(in *inbound, payload []byte) {
	a := in.a
	m, err := usp.DecodeMsg(payload)
	c.observe(In, in.record, m)
	id, n := m.GetHeader().GetMsgId(), m.GetBody().GetRequest().GetNotify()
	switch {
	case err != nil && m.GetBody().GetRequest() != nil:
		c.answer(in.answer(usp.ErrorMsg(id, usp.AsError(err))))
	case err != nil:
		c.o.Logger.Warn("message dropped", "controller", c.o.EndpointID, "from", a.id, "err", err)
	case m.GetBody().GetRequest() == nil:
		a.settle(m)
	case n == nil:
		c.answer(in.answer(usp.ErrorMsg(id, usp.Errorf(usp.MessageNotSupported, "not for a Controller"))))
	default:
		a.note(n)
		if n.GetSendResp() && (c.o.Answer == nil || c.o.Answer(a.id, n)) {
			resp := &usppb.Response{RespType: &usppb.Response_NotifyResp{NotifyResp: &usppb.NotifyResp{SubscriptionId: n.GetSubscriptionId()}}}
			c.answer(in.answer(usp.NewResponse(id, resp)))
		}
	}
}

func (c *Controller) observe(d Direction, r *usppb.Record, m *usppb.Msg) {
	if c.o.Observe != nil {
		c.o.Observe(d, r, m)
	}
}

// answer hands over to send, since Receive must not block.
func (c *Controller) answer(a answer) {
	select {
	case c.out <- a:
	default:
		c.o.Logger.Warn("answer dropped: too many wait", "controller", c.o.EndpointID, "agent", a.agent.id)
	}
}

func (c *Controller) send() {
	for {
		select {
		case a := <-c.out:
			ctx, cancel := context.WithTimeout(c.ctx, sendTimeout)
			if err := c.transmit(ctx, a); err != nil {
				c.o.Logger.Debug("answer not sent", "controller", c.o.EndpointID, "agent", a.agent.id, "err", err)
			}
			cancel()
		case <-c.ctx.Done():
			return
		}
	}
}

func (c *Controller) transmit(ctx context.Context, a answer) error {
	records := a.records
	if a.msg != nil {
		var err error
		if records, err = a.agent.records(a.msg, a.plain); err != nil {
			return err
		}
		c.observe(Out, &usppb.Record{Version: c.o.Version, FromId: string(c.o.EndpointID), ToId: string(a.agent.id)}, a.msg)
	}
	return sendAll(ctx, a.ch, records, a.reply)
}

func (c *Controller) nextID() string {
	return c.prefix + strconv.FormatUint(c.ids.Add(1), 10)
}
