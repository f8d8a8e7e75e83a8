package stomp

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"

	"isthmus/usp"
	"isthmus/usp/mtp"
	"isthmus/usp/mtp/broker"
	"isthmus/usp/mtp/stomp/client"
	"isthmus/usp/usppb"
)

// ControllerOptions say where a Controller listens and how it reaches Agents.
type ControllerOptions struct {
	Dial             func(ctx context.Context) (net.Conn, error) // opens what STOMP runs over
	Login, Passcode  string
	Host             string        // virtual host
	Destination      string        // where it listens
	AgentDestination string        // of an Agent that has not said where it listens, with "{endpoint_id}"
	Again            time.Duration // from the loss of the connection to the next; 0: 1 s
	Logger           *slog.Logger
}

// Controller is a Controller's connection with a server: one Channel to all Agents, made anew whenever it is lost.
type Controller struct {
	o      ControllerOptions
	e      mtp.Endpoint
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
	c := &Controller{o: o, e: e}
	ctx, c.cancel = context.WithCancel(ctx)
	ch, err := c.connect(ctx)
	if err != nil {
		c.cancel()
		return nil, err
	}
	c.wg.Go(func() { c.run(ctx, ch) })
	return c, nil
}

// Close ends it.
func (c *Controller) Close() {
	c.cancel()
	c.wg.Wait()
}

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
			c.o.Logger.Debug("controller cannot reach its server", "controller", c.e.EndpointID(), "err", err)
		}
	}
}

// controllerChannel is one connection of a Controller's.
type controllerChannel struct {
	c    *Controller
	conn *client.Conn
	in   chan *client.Frame
	down chan error
	gone chan struct{} // closed when nobody takes from in any more
}

const (
	waitingRecords = 256              // messages that wait for a Controller
	setUpTime      = 30 * time.Second // from the dialling to the subscription
)

// connect makes a connection and has its Channel come up.
func (c *Controller) connect(ctx context.Context) (*controllerChannel, error) {
	ctx, cancel := context.WithTimeout(ctx, setUpTime)
	defer cancel()
	nc, err := c.o.Dial(ctx)
	if err != nil {
		return nil, err
	}
	ch := &controllerChannel{c: c, in: make(chan *client.Frame, waitingRecords), down: make(chan error, 1), gone: make(chan struct{})}
	if ch.conn, err = client.Connect(ctx, nc, client.Options{Login: c.o.Login, Passcode: c.o.Passcode, Host: c.o.Host, MaxBody: maxBody,
		Headers: []client.Header{{Name: endpointHeader, Value: string(c.e.EndpointID())}}, Handle: ch.handle,
		Down: func(err error) { ch.down <- err }}); err != nil {
		return nil, err
	}
	if err := ch.conn.Subscribe(ctx, "0", c.o.Destination); err != nil {
		close(ch.gone)
		ch.conn.Abort()
		return nil, err
	}
	c.e.Up(ch)
	return ch, nil
}

// handle has a message wait: what is too much for the Controller stays with the server.
func (ch *controllerChannel) handle(f *client.Frame) {
	select {
	case ch.in <- f:
	case <-ch.gone:
	}
}

// serve hands over what arrives until the connection is lost or ctx is done.
func (ch *controllerChannel) serve(ctx context.Context) {
	e := ch.c.e
	stop := context.AfterFunc(ctx, ch.conn.Abort)
	defer stop()
	for {
		select {
		case f := <-ch.in:
			if err := e.Receive(ch, f.Body, mtp.Address(f.Get(replyHeader))); err != nil {
				ch.c.o.Logger.Debug("no Record", "controller", e.EndpointID(), "err", err)
			}
		case err := <-ch.down:
			e.Down(ch, err)
			return
		}
	}
}

var errNoAgentDestination = errors.New("it is not known where the Agent listens")

// Send implements mtp.Channel. Without a reply address the Record goes to the destination of the Agent that it is for.
func (ch *controllerChannel) Send(ctx context.Context, record []byte, to mtp.Address) error {
	destination := string(to)
	if destination == "" {
		r, err := usp.DecodeRecord(record)
		if r == nil {
			return err
		}
		if destination = broker.Expand(ch.c.o.AgentDestination, usp.EndpointID(r.GetToId())); destination == "" {
			return errNoAgentDestination
		}
	}
	return ch.conn.Send(ctx, send(destination, ch.c.o.Destination, record))
}

// Peer implements mtp.Channel: there are many.
func (ch *controllerChannel) Peer() usp.EndpointID { return "" }

// Protocol implements mtp.Channel.
func (ch *controllerChannel) Protocol() string { return Protocol }

// MaxSize implements mtp.Channel.
func (ch *controllerChannel) MaxSize() int { return 0 }

// ConnectRecord implements mtp.Channel.
func (ch *controllerChannel) ConnectRecord() *usppb.Record {
	return &usppb.Record{RecordType: &usppb.Record_StompConnect{StompConnect: &usppb.STOMPConnectRecord{Version: usppb.STOMPConnectRecord_V1_2,
		SubscribedDestination: ch.c.o.Destination}}}
}

// Close implements mtp.Channel.
func (ch *controllerChannel) Close(mtp.CloseReason) { ch.conn.Abort() }
