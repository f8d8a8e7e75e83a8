package stomp

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"isthmus/usp"
	"isthmus/usp/mtp"
	"isthmus/usp/mtp/broker"
	"isthmus/usp/mtp/stomp/client"
	"isthmus/usp/usppb"
)

const (
	contentType    = "application/vnd.bbf.usp.msg" // R-STOMP.20
	endpointHeader = "endpoint-id"                 // R-STOMP.4
	destHeader     = "subscribe-dest"              // R-STOMP.6
	replyHeader    = "reply-to-dest"               // R-STOMP.21
	// maxBody is the largest Record taken in.
	maxBody = 5 << 20
)

var errNoDestination = errors.New("neither the row nor the server gives a destination to subscribe to (R-STOMP.16)")

// session is a connection that is up.
type session struct {
	c  *client.Conn
	id usp.EndpointID

	mu       sync.Mutex
	template string // of the Agents' own destinations, unexpanded
	mine     string // the destination that Records come to
	number   int    // of the subscription
	learned  bool   // the server has named it (R-STOMP.14)
}

// open makes the connection of an Agent (R-STOMP.2..17).
func (p *Pool) open(ctx context.Context, s *broker.Setup) (broker.Session, error) {
	if s.Shared > 0 {
		return p.join(ctx, s)
	}
	t := &s.To[0]
	x := &session{id: s.Endpoint, template: t.STOMP.OwnDestination}
	o := options(t)
	o.Login, o.Headers = broker.Expand(t.STOMP.Username, s.Endpoint), []client.Header{{Name: endpointHeader, Value: string(s.Endpoint)}}
	o.Handle, o.Down = func(f *client.Frame) { x.handle(s, f) }, s.Down
	nc, err := s.Dial(ctx)
	if err != nil {
		return nil, err
	}
	if x.c, err = client.Connect(ctx, nc, o); err != nil {
		return nil, refusal(err)
	}
	mine := broker.Expand(t.STOMP.OwnDestination, s.Endpoint)
	if d := x.c.Server(destHeader); d != "" {
		mine, x.learned = d, true
	}
	if mine == "" {
		x.c.Disconnect(ctx)
		return nil, &broker.Refusal{Err: errNoDestination, Status: mtp.Failed}
	}
	x.mu.Lock() // messages may come in already
	x.mine = mine
	x.mu.Unlock()
	if err := x.c.Subscribe(ctx, strconv.Itoa(x.number), mine); err != nil {
		x.c.Abort()
		return nil, refusal(err)
	}
	return x, nil
}

// options are those of a connection whoever uses it.
func options(t *mtp.Target) client.Options {
	host := t.STOMP.VirtualHost
	if host == "" {
		host = t.Host // STOMP 1.2 demands one
	}
	return client.Options{Passcode: string(t.STOMP.Password), Host: host, Outgoing: t.STOMP.Outgoing, Incoming: t.STOMP.Incoming, MaxBody: maxBody}
}

// refusal marks what the server has said no to.
func refusal(err error) error {
	if r := (*client.Refused)(nil); errors.As(err, &r) {
		return &broker.Refusal{Err: err, Status: mtp.Failed}
	}
	return err
}

// Resubscribe implements broker.Session (R-STOMP.29).
func (x *session) Resubscribe(ctx context.Context, to []mtp.Target) error {
	mine := broker.Expand(to[0].STOMP.OwnDestination, x.id)
	x.mu.Lock()
	was, number, learned := x.mine, x.number, x.learned
	x.mu.Unlock()
	switch {
	case learned || mine == was:
		return nil
	case mine == "":
		return errNoDestination
	}
	if err := x.c.Unsubscribe(ctx, strconv.Itoa(number)); err != nil {
		return err
	}
	x.mu.Lock()
	x.template = to[0].STOMP.OwnDestination // a message may come before the receipt of the SUBSCRIBE, and name another Agent's destination
	x.mu.Unlock()
	if err := x.c.Subscribe(ctx, strconv.Itoa(number+1), mine); err != nil {
		return err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.mine, x.number = mine, number+1
	return nil
}

func (x *session) listens() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.mine
}

// Send implements broker.Session (R-STOMP.18..23).
func (x *session) Send(ctx context.Context, record []byte, t *mtp.Target, to mtp.Address) error {
	destination := string(to)
	if to == "" {
		destination = broker.Expand(t.STOMP.Destination, x.id)
	}
	if destination == "" {
		return fmt.Errorf("%w: no destination is known where %s listens", mtp.ErrDown, t.Controller)
	}
	err := x.c.Send(ctx, send(destination, x.listens(), record))
	if errors.Is(err, client.ErrDown) {
		return fmt.Errorf("%w: %w", mtp.ErrDown, err)
	}
	return err
}

// send is the frame of a Record.
func send(destination, reply string, record []byte) *client.Frame {
	return &client.Frame{Command: "SEND", Body: record, Headers: []client.Header{{Name: "destination", Value: destination}, {Name: "content-type", Value: contentType},
		{Name: replyHeader, Value: reply}}}
}

// handle takes a MESSAGE in.
func (x *session) handle(s *broker.Setup, f *client.Frame) {
	if t := f.Get("content-type"); t != contentType {
		s.Refuse("content_type", fmt.Sprintf("a message of content-type %.100q", t))
		return
	}
	reply := f.Get(replyHeader)
	if why := x.forbidden(s, reply); why != "" {
		s.Refuse("reply_to_dest", fmt.Sprintf("%s: %.200q", why, reply))
		return
	}
	s.Receive(f.Body, mtp.Address(reply))
}

// forbidden says why no answer goes to a destination that a message names: it would be no Controller's.
func (x *session) forbidden(s *broker.Setup, reply string) string {
	x.mu.Lock()
	template, mine := x.template, x.mine
	x.mu.Unlock()
	switch {
	case reply == "":
		return ""
	case reply == mine:
		return "a destination that is the Agent's own"
	case strings.ContainsAny(reply, "*#>"):
		return "a destination with a wildcard"
	}
	if id, ok := broker.Match(template, reply); ok && s.Hosts(usp.EndpointID(id)) {
		return "a destination that is another Agent's"
	}
	return ""
}

// MaxSize implements broker.Session: STOMP has no limit that a server could say.
func (x *session) MaxSize() int { return 0 }

// ConnectRecord implements broker.Session.
func (x *session) ConnectRecord() *usppb.Record {
	return &usppb.Record{RecordType: &usppb.Record_StompConnect{StompConnect: &usppb.STOMPConnectRecord{Version: usppb.STOMPConnectRecord_V1_2,
		SubscribedDestination: x.listens()}}}
}

// State implements broker.Session.
func (x *session) State() mtp.State {
	mine := x.listens()
	s := mtp.State{Listens: mine, Subscribed: []string{mine}}
	if x.learned {
		s.ResponseInformation = mine
	}
	return s
}

// Close implements broker.Session.
func (x *session) Close(ctx context.Context) { disconnect(ctx, x.c) }

// disconnect ends a connection: once ctx is done without a word.
func disconnect(ctx context.Context, c *client.Conn) {
	if ctx.Err() != nil {
		c.Abort()
		return
	}
	c.Disconnect(ctx)
}
