package mqtt

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"isthmus/usp"
	"isthmus/usp/mtp"
	"isthmus/usp/mtp/broker"
	"isthmus/usp/mtp/mqtt/client"
	"isthmus/usp/usppb"
)

const (
	contentType       = "usp.msg" // R-MQTT.27
	contentTypeLegacy = "application/vnd.bbf.usp.msg"
	endpointProperty  = "usp-endpoint-id" // R-MQTT.13
	topicProperty     = "subscribe-topic" // R-MQTT.15

	version311 = "3.1.1" // of a Target

	// receiveMaximum bounds what a broker sends before it is acknowledged.
	receiveMaximum = 16
	// maxPacket is the largest packet taken in: a Record of 5 MiB and what is around it.
	maxPacket = 5<<20 + 64<<10
	// overhead is what a PUBLISH needs besides its payload and its topics.
	overhead = 64
)

// The reasons for which no connection comes about.
var (
	errNoTopic      = errors.New("neither the rows nor the broker give a topic to subscribe to (R-MQTT.16)")
	errNotGranted   = errors.New("the broker grants no subscription (R-MQTT.17)")
	errResponseless = errors.New("neither the rows nor the broker give a topic that answers can be sent to")
)

// session is a connection that is up.
type session struct {
	c        *client.Conn
	setup    *broker.Setup
	mine     string                // the topic that answers come to (R-MQTT.21)
	max      int                   // bytes of a Record
	fixed    []client.Subscription // what the rows of Subscription. add to
	clientID string
	qos      byte
	v5       bool
	assigned bool // the broker has chosen the ClientID
	informed bool // mine is the broker's Response Information

	mu         sync.Mutex
	subscribed []string // granted
}

// open makes the connection of an Agent (R-MQTT.7..17).
func (p *Pool) open(ctx context.Context, s *broker.Setup) (broker.Session, error) {
	if s.Shared > 0 {
		return p.join(ctx, s)
	}
	first := &s.To[0]
	m := &first.MQTT
	x := &session{setup: s, v5: m.Version != version311, qos: m.QoS}
	o := client.Options{
		Version: client.V5, Username: broker.Expand(m.Username, s.Endpoint), CleanStart: m.CleanStart, SessionExpiry: m.SessionExpiry, KeepAlive: first.KeepAlive,
		Will: x.will(s), UserProperties: [][2]string{{endpointProperty, string(s.Endpoint)}}, RequestResponseInfo: true, ReceiveMaximum: receiveMaximum,
		MaxPacket: maxPacket, Wheel: p.wheel, Handle: x.handle, Down: s.Down,
	}
	if m.Password != "" {
		o.Password = []byte(m.Password)
	}
	if !x.v5 {
		o.Version = client.V311
	}
	ids := clientIDs(s)
	ack, err := x.connect(ctx, s, o, ids)
	if err != nil {
		return nil, err
	}
	if err := x.begin(ctx, s, ack); err != nil {
		x.c.Disconnect(0)
		return nil, err
	}
	return x, nil
}

// clientIDs are the Client Identifiers to try, one after the other as the broker takes none: what the row has, or the broker has assigned; in 3.1.1 the
// Endpoint ID; and an empty one (R-MQTT.8..11).
func clientIDs(s *broker.Setup) []string {
	m := &s.To[0].MQTT
	id := broker.Expand(m.ClientID, s.Endpoint)
	switch {
	case id != "":
	case s.Assigned != "":
		id = s.Assigned
	case m.Version == version311:
		id = string(s.Endpoint)
	default:
		return []string{""}
	}
	if s.Assigned != "" && s.Assigned != id {
		return []string{id, s.Assigned, ""}
	}
	return []string{id, ""}
}

func (x *session) connect(ctx context.Context, s *broker.Setup, o client.Options, ids []string) (*client.Connack, error) {
	for {
		o.ClientID = ids[0]
		nc, err := s.Dial(ctx)
		if err != nil {
			return nil, err
		}
		c, ack, err := client.Connect(ctx, nc, o)
		var refused *client.Refused
		switch {
		case err == nil:
			x.c = c
			x.clientID = o.ClientID
			if ack.AssignedClientID != "" {
				x.clientID, x.assigned = ack.AssignedClientID, true
			}
			return ack, nil
		case !errors.As(err, &refused):
			return nil, err
		case refused.QoS() && o.Will != nil && o.Will.QoS > 0:
			o.Will.QoS = 0
		case refused.ClientID() && len(ids) > 1:
			ids = ids[1:]
		default:
			return nil, &broker.Refusal{Err: err, Status: mtp.Failed}
		}
	}
}

// will is the Disconnect Record that the broker publishes for an Agent that is gone, to the first of its Controllers that listens anywhere.
func (x *session) will(s *broker.Setup) *client.Publish {
	for i := range s.To {
		t := &s.To[i]
		if t.MQTT.Topic == "" {
			continue
		}
		record, err := usp.Address(usp.Disconnect(usp.Errorf(usp.InternalError, "the connection with the broker is lost")), s.Endpoint, t.Controller, "")
		if err != nil {
			return nil
		}
		x.mine = broker.Expand(t.MQTT.ResponseTopic, s.Endpoint) // the broker may give another one later
		return x.message(broker.Expand(t.MQTT.Topic, s.Endpoint), record, false)
	}
	return nil
}

// begin subscribes, in one packet (R-MQTT.15).
func (x *session) begin(ctx context.Context, s *broker.Setup, ack *client.Connack) error {
	m := &s.To[0].MQTT
	x.qos = min(m.QoS, ack.MaximumQoS)
	for _, p := range ack.UserProperties {
		switch {
		case p[0] != topicProperty:
		case !client.IsFilter(p[1]):
			s.Refuse("subscribe_topic", fmt.Sprintf("the broker's subscribe-topic is no topic filter: %.100q", p[1]))
		default:
			x.fixed = append(x.fixed, client.Subscription{Filter: p[1], QoS: 1})
		}
	}
	mine, informed := broker.Expand(m.ResponseTopic, s.Endpoint), false
	if ack.ResponseInformation != "" {
		if isTopic(ack.ResponseInformation) {
			mine, informed = ack.ResponseInformation, true
		} else {
			s.Refuse("response_information", fmt.Sprintf("the broker's Response Information is no topic: %.100q", ack.ResponseInformation))
		}
	}
	wanted := x.wanted(s.To, mine)
	if len(wanted) == 0 {
		return &broker.Refusal{Err: errNoTopic, Status: mtp.Misconfigured}
	}
	if mine == "" {
		i := slices.IndexFunc(wanted, func(w client.Subscription) bool { return isTopic(w.Filter) })
		if i < 0 {
			return &broker.Refusal{Err: errResponseless, Status: mtp.Misconfigured}
		}
		mine = wanted[i].Filter
	}
	x.mu.Lock() // messages may come in already
	x.mine, x.informed = mine, informed
	x.mu.Unlock()
	if x.max = ack.MaximumPacket - overhead - 2*len(mine); x.max <= 0 {
		return &broker.Refusal{Err: fmt.Errorf("the broker takes packets of %d bytes only", ack.MaximumPacket), Status: mtp.Failed}
	}
	granted, err := x.subscribe(ctx, wanted)
	if err != nil {
		return err
	}
	if len(granted) == 0 {
		return &broker.Refusal{Err: errNotGranted, Status: mtp.Failed}
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.subscribed = granted
	return nil
}

// subscribe gives the topic filters that the broker has granted.
func (x *session) subscribe(ctx context.Context, wanted []client.Subscription) ([]string, error) {
	codes, err := x.c.Subscribe(ctx, wanted)
	if err != nil {
		return nil, err
	}
	var granted []string
	for i, code := range codes {
		if code < 0x80 {
			granted = append(granted, wanted[i].Filter)
		}
	}
	return granted, nil
}

// wanted are the subscriptions of R-MQTT.15: the rows', the broker's, and where answers come if that is not among them.
func (x *session) wanted(to []mtp.Target, mine string) []client.Subscription {
	out := rows(to[0].MQTT.Subscriptions)
	for _, f := range x.fixed {
		if !slices.ContainsFunc(out, func(have client.Subscription) bool { return have.Filter == f.Filter }) {
			out = append(out, f)
		}
	}
	if mine == "" {
		return out
	}
	filter, example := mine, mine
	if !x.v5 {
		filter, example = mine+"/#", mine+replyTo+"x"
	}
	if !slices.ContainsFunc(out, func(have client.Subscription) bool { return covers(have.Filter, example) }) {
		out = append(out, client.Subscription{Filter: filter, QoS: 1})
	}
	return out
}

// Resubscribe implements broker.Session (R-MQTT.34).
func (x *session) Resubscribe(ctx context.Context, to []mtp.Target) error {
	return x.resubscribe(ctx, to, func(string) bool { return false })
}

// resubscribe leaves alone what somebody else needs.
func (x *session) resubscribe(ctx context.Context, to []mtp.Target, needed func(filter string) bool) error {
	wanted := x.wanted(to, x.mine)
	if len(wanted) == 0 {
		return errNoTopic
	}
	x.mu.Lock()
	have := x.subscribed
	x.mu.Unlock()
	var gone []string
	for _, f := range have {
		if !slices.ContainsFunc(wanted, func(w client.Subscription) bool { return w.Filter == f }) && !needed(f) {
			gone = append(gone, f)
		}
	}
	granted, err := x.subscribe(ctx, wanted) // first, so that there is always one; an existing one may have another QoS now
	if err != nil {
		return err
	}
	if len(granted) == 0 {
		return errNotGranted
	}
	if len(gone) > 0 {
		if err := x.c.Unsubscribe(ctx, gone); err != nil {
			return err
		}
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.subscribed = granted
	return nil
}

// Send implements broker.Session (R-MQTT.18..27). An answer goes where the request says, all else where the Controller listens.
func (x *session) Send(ctx context.Context, record []byte, t *mtp.Target, to mtp.Address) error {
	topic, retain := string(to), t.MQTT.RetainResponse
	if to == "" {
		topic, retain = broker.Expand(t.MQTT.Topic, x.setup.Endpoint), t.MQTT.RetainNotification
	}
	if topic == "" {
		return fmt.Errorf("%w: no topic is known where %s listens", mtp.ErrDown, t.Controller)
	}
	err := x.c.Publish(ctx, x.message(topic, record, retain))
	if errors.Is(err, client.ErrRetain) {
		err = x.c.Publish(ctx, x.message(topic, record, false))
	}
	switch {
	case errors.Is(err, client.ErrTooBig):
		return mtp.ErrTooBig
	case errors.Is(err, client.ErrDown):
		return fmt.Errorf("%w: %w", mtp.ErrDown, err)
	}
	return err
}

// message is a PUBLISH that says where answers go (R-MQTT.22, R-MQTT.24).
func (x *session) message(topic string, record []byte, retain bool) *client.Publish {
	m := &client.Publish{Topic: topic, Payload: record, QoS: x.qos, Retain: retain}
	if x.v5 {
		m.ResponseTopic, m.ContentType = x.mine, contentType
	} else {
		m.Topic = withReply(topic, x.mine)
	}
	return m
}

// handle takes a message in.
func (x *session) handle(got *client.Publish) {
	s := x.setup
	if t := got.ContentType; t != "" && t != contentType && t != contentTypeLegacy {
		s.Refuse("content_type", fmt.Sprintf("a message of Content Type %.100q", t))
		return
	}
	if got.Cut {
		s.Refuse("too_large", fmt.Sprintf("a message of more than %d bytes", maxPacket))
		return
	}
	reply := got.ResponseTopic
	if !x.v5 {
		reply = replyOf(got.Topic)
	}
	x.mu.Lock()
	mine := x.mine
	x.mu.Unlock()
	if why := x.forbidden(mine, reply); why != "" {
		s.Refuse("response_topic", fmt.Sprintf("%s: %.200q", why, reply))
		return
	}
	s.Receive(got.Payload, mtp.Address(reply))
}

// forbidden says why no answer goes to a topic that a message names: it would be no Controller's.
func (x *session) forbidden(mine, reply string) string {
	switch {
	case reply == "":
		return ""
	case !isTopic(reply):
		return "a Response Topic that nothing can be published to"
	case reply == mine:
		return "a Response Topic that is the Agent's own"
	}
	if id, ok := broker.Match(x.setup.To[0].MQTT.ResponseTopic, reply); ok && x.setup.Hosts(usp.EndpointID(id)) {
		return "a Response Topic that is another Agent's"
	}
	return ""
}

// MaxSize implements broker.Session.
func (x *session) MaxSize() int { return x.max }

// ConnectRecord implements broker.Session.
func (x *session) ConnectRecord() *usppb.Record {
	r := &usppb.MQTTConnectRecord{Version: usppb.MQTTConnectRecord_V5, SubscribedTopic: x.mine}
	if !x.v5 {
		r.Version = usppb.MQTTConnectRecord_V3_1_1
	}
	return &usppb.Record{RecordType: &usppb.Record_MqttConnect{MqttConnect: r}}
}

// State implements broker.Session.
func (x *session) State() mtp.State {
	x.mu.Lock()
	defer x.mu.Unlock()
	s := mtp.State{ClientID: x.clientID, Assigned: x.assigned, Subscribed: x.subscribed, Listens: x.mine}
	if x.informed {
		s.ResponseInformation = x.mine
	}
	return s
}

// Packets are how many have crossed the connection.
func (x *session) Packets() (sent, received uint64) { return x.c.Packets() }

// Close implements broker.Session.
func (x *session) Close(ctx context.Context) {
	if ctx.Err() != nil {
		x.c.Abort()
		return
	}
	stop := context.AfterFunc(ctx, x.c.Abort)
	defer stop()
	x.c.Disconnect(0)
}
