package mqtt

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"isthmus/usp"
	"isthmus/usp/mtp"
	"isthmus/usp/mtp/broker"
	"isthmus/usp/mtp/mqtt/client"
	"isthmus/usp/usppb"
)

// ControllerOptions say where a Controller listens and how it reaches Agents.
type ControllerOptions struct {
	Dial func(ctx context.Context) (net.Conn, error) // opens what MQTT runs over
	// Version is "5.0", also where it is empty, or "3.1.1".
	Version            string
	ClientID           string
	Username, Password string
	Topic              string // where it listens; below it, too, in 3.1.1
	AgentTopic         string // of an Agent that has not said where it listens, with "{endpoint_id}"
	KeepAlive          time.Duration
	Again              time.Duration // from the loss of the connection to the next; 0: 1 s
	Logger             *slog.Logger
}

// Controller is a Controller's connection with a broker: one Channel to all Agents, made anew whenever it is lost.
type Controller struct {
	o      ControllerOptions
	e      mtp.Endpoint
	v5     bool
	wheel  *client.Wheel
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// NewController connects an Endpoint and returns when it listens, or with what the first attempt failed of. Close ends it, as does ctx.
func NewController(ctx context.Context, e mtp.Endpoint, o ControllerOptions) (*Controller, error) {
	if o.Again <= 0 {
		o.Again = time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	c := &Controller{o: o, e: e, v5: o.Version != version311, wheel: client.NewWheel()}
	ctx, c.cancel = context.WithCancel(ctx)
	ch, err := c.connect(ctx)
	if err != nil {
		c.cancel()
		c.wheel.Close()
		return nil, err
	}
	c.wg.Go(func() { c.run(ctx, ch) })
	return c, nil
}

// Close ends it.
func (c *Controller) Close() {
	c.cancel()
	c.wg.Wait()
	c.wheel.Close()
}

// run serves one connection after the other.
func (c *Controller) run(ctx context.Context, ch *controllerChannel) {
	for {
		if ch != nil {
			ch.serve(ctx)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(c.o.Again):
		}
		var err error
		if ch, err = c.connect(ctx); err != nil {
			c.o.Logger.Debug("controller cannot reach its broker", "controller", c.e.EndpointID(), "err", err)
		}
	}
}

// controllerChannel is one connection of a Controller's.
type controllerChannel struct {
	c    *Controller
	conn *client.Conn
	in   chan *client.Publish
	down chan error
}

// waitingRecords is how many messages wait for a Controller.
const waitingRecords = 256

// connect makes a connection and has its Channel come up.
func (c *Controller) connect(ctx context.Context) (*controllerChannel, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	nc, err := c.o.Dial(ctx)
	if err != nil {
		return nil, err
	}
	ch := &controllerChannel{c: c, in: make(chan *client.Publish, waitingRecords), down: make(chan error, 1)}
	o := client.Options{Version: client.V5, ClientID: c.o.ClientID, Username: c.o.Username, CleanStart: true, KeepAlive: c.o.KeepAlive, MaxPacket: maxPacket,
		UserProperties: [][2]string{{endpointProperty, string(c.e.EndpointID())}}, Wheel: c.wheel, Down: func(err error) { ch.down <- err },
		Handle: func(p *client.Publish) { ch.in <- p }}
	if !c.v5 {
		o.Version = client.V311
	}
	if c.o.Password != "" {
		o.Password = []byte(c.o.Password)
	}
	if ch.conn, _, err = client.Connect(ctx, nc, o); err != nil {
		return nil, err
	}
	subs := []client.Subscription{{Filter: c.o.Topic, QoS: 1}}
	if !c.v5 {
		subs[0].Filter += "/#"
	}
	codes, err := ch.conn.Subscribe(ctx, subs)
	if err == nil && codes[0] >= 0x80 {
		err = fmt.Errorf("the broker refuses the subscription to %s: %s", subs[0].Filter, client.Reason(o.Version, codes[0]))
	}
	if err != nil {
		ch.conn.Abort()
		return nil, err
	}
	c.e.Up(ch)
	return ch, nil
}

// serve hands over what arrives until the connection is lost or ctx is done.
func (ch *controllerChannel) serve(ctx context.Context) {
	e := ch.c.e
	for {
		select {
		case p := <-ch.in:
			ch.take(p)
			continue
		case <-ctx.Done():
			ch.conn.Disconnect(0)
		case err := <-ch.down:
			ch.down <- err
		}
		break
	}
	for {
		select {
		case p := <-ch.in: // so that the reader ends
			ch.take(p)
		case err := <-ch.down:
			e.Down(ch, err)
			return
		}
	}
}

func (ch *controllerChannel) take(p *client.Publish) {
	reply := p.ResponseTopic
	if !ch.c.v5 {
		reply = replyOf(p.Topic)
	}
	if reply != "" && !isTopic(reply) {
		return
	}
	if err := ch.c.e.Receive(ch, p.Payload, mtp.Address(reply)); err != nil {
		ch.c.o.Logger.Debug("no Record", "controller", ch.c.e.EndpointID(), "topic", p.Topic, "err", err)
	}
}

var errNoAgentTopic = errors.New("it is not known where the Agent listens")

// Send implements mtp.Channel. Without a reply address the Record goes to the topic of the Agent that it is for.
func (ch *controllerChannel) Send(ctx context.Context, record []byte, to mtp.Address) error {
	topic := string(to)
	if topic == "" {
		r, err := usp.DecodeRecord(record)
		if r == nil {
			return err
		}
		if topic = broker.Expand(ch.c.o.AgentTopic, usp.EndpointID(r.GetToId())); topic == "" {
			return errNoAgentTopic
		}
	}
	m := &client.Publish{Topic: topic, Payload: record, QoS: 1}
	if ch.c.v5 {
		m.ResponseTopic, m.ContentType = ch.c.o.Topic, contentType
	} else {
		m.Topic = withReply(topic, ch.c.o.Topic)
	}
	err := ch.conn.Publish(ctx, m)
	if errors.Is(err, client.ErrTooBig) {
		return mtp.ErrTooBig
	}
	return err
}

// Peer implements mtp.Channel: there are many.
func (ch *controllerChannel) Peer() usp.EndpointID { return "" }

// Protocol implements mtp.Channel.
func (ch *controllerChannel) Protocol() string { return Protocol }

// MaxSize implements mtp.Channel.
func (ch *controllerChannel) MaxSize() int { return 0 }

// ConnectRecord implements mtp.Channel.
func (ch *controllerChannel) ConnectRecord() *usppb.Record {
	r := &usppb.MQTTConnectRecord{Version: usppb.MQTTConnectRecord_V5, SubscribedTopic: ch.c.o.Topic}
	if !ch.c.v5 {
		r.Version = usppb.MQTTConnectRecord_V3_1_1
	}
	return &usppb.Record{RecordType: &usppb.Record_MqttConnect{MqttConnect: r}}
}

// Close implements mtp.Channel.
func (ch *controllerChannel) Close(mtp.CloseReason) { ch.conn.Disconnect(0) }
