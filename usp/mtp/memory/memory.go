// Package memory is an MTP within the process: one connection to a Controller that many Agents share, as they do on an MQTT broker.
// It is there to prove that the engine knows no transport, and for tests.
package memory

import (
	"bytes"
	"context"
	"errors"
	"sync"

	"google.golang.org/protobuf/proto"

	"isthmus/usp"
	"isthmus/usp/mtp"
	"isthmus/usp/usppb"
)

// defaultQueue is how many Records may wait for one receiver.
const defaultQueue = 64

// ErrClosed is the reason of a channel's end that this side or the other asked for.
var ErrClosed = errors.New("memory: closed")

// Options of a Link; the zero value works.
type Options struct {
	Queue   int // Records that wait for one Agent, or for the Controller; 0: 64
	MaxSize int // largest Record; 0: no limit
}

// Link is the connection. The Controller has one channel on it, whose Peer is ""; each Agent has one of its own. What the Controller
// sends goes to the reply address if there is one, else where the Record's to_id says.
type Link struct {
	o    Options
	ctl  *port
	mu   sync.Mutex
	port map[usp.EndpointID]*port
	wg   sync.WaitGroup
}

// New connects a Controller. Close ends the Link.
func New(controller mtp.Endpoint, o Options) *Link {
	if o.Queue <= 0 {
		o.Queue = defaultQueue
	}
	l := &Link{o: o, port: map[usp.EndpointID]*port{}}
	l.ctl = l.open(controller, "", func(record []byte, to mtp.Address) *port {
		if to != "" {
			return l.find(usp.EndpointID(to))
		}
		r := &usppb.Record{}
		if proto.Unmarshal(record, r) != nil {
			return nil
		}
		return l.find(usp.EndpointID(r.GetToId()))
	})
	return l
}

// Add connects an Agent. One that is connected already is left alone.
func (l *Link) Add(e mtp.Endpoint) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.port[e.EndpointID()] == nil {
		l.port[e.EndpointID()] = l.open(e, l.ctl.endpoint.EndpointID(), func([]byte, mtp.Address) *port { return l.ctl })
	}
}

// Remove ends an Agent's channel.
func (l *Link) Remove(id usp.EndpointID) {
	if p := l.find(id); p != nil {
		p.end(ErrClosed)
	}
}

// Close ends all channels and returns when every Down has been called.
func (l *Link) Close() {
	l.mu.Lock()
	ports := []*port{l.ctl}
	for _, p := range l.port {
		ports = append(ports, p)
	}
	l.mu.Unlock()
	for _, p := range ports {
		p.end(ErrClosed)
	}
	l.wg.Wait()
}

func (l *Link) find(id usp.EndpointID) *port {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.port[id]
}

// port is one Endpoint's channel on a Link and the queue of what is on its way to that Endpoint.
type port struct {
	link     *Link
	endpoint mtp.Endpoint
	peer     usp.EndpointID
	route    func(record []byte, to mtp.Address) *port
	queue    chan item
	done     chan struct{}
	once     sync.Once
	reason   error // set before done is closed
}

type item struct {
	record []byte
	reply  mtp.Address
}

func (l *Link) open(e mtp.Endpoint, peer usp.EndpointID, route func([]byte, mtp.Address) *port) *port {
	p := &port{link: l, endpoint: e, peer: peer, route: route, queue: make(chan item, l.o.Queue), done: make(chan struct{})}
	l.wg.Go(p.serve)
	return p
}

func (p *port) serve() {
	p.endpoint.Up(p)
	for {
		select {
		case it := <-p.queue:
			if err := p.endpoint.Receive(p, it.record, it.reply); err != nil {
				p.end(err)
			}
			continue
		case <-p.done:
		}
		break
	}
	p.link.mu.Lock()
	if p.link.port[p.endpoint.EndpointID()] == p {
		delete(p.link.port, p.endpoint.EndpointID())
	}
	p.link.mu.Unlock()
	p.endpoint.Down(p, p.reason)
}

func (p *port) end(reason error) {
	p.once.Do(func() {
		p.reason = reason
		close(p.done)
	})
}

// Peer implements mtp.Channel.
func (p *port) Peer() usp.EndpointID { return p.peer }

// Protocol implements mtp.Channel.
func (p *port) Protocol() string { return "Memory" }

// MaxSize implements mtp.Channel.
func (p *port) MaxSize() int { return p.link.o.MaxSize }

// ConnectRecord implements mtp.Channel. USP has no record type for this MTP; the one for a connection within a machine comes closest.
func (p *port) ConnectRecord() *usppb.Record {
	return &usppb.Record{RecordType: &usppb.Record_UdsConnect{UdsConnect: &usppb.UDSConnectRecord{}}}
}

// Send implements mtp.Channel: it returns when the Record is in the receiver's queue.
func (p *port) Send(ctx context.Context, record []byte, to mtp.Address) error {
	if p.link.o.MaxSize > 0 && len(record) > p.link.o.MaxSize {
		return mtp.ErrTooBig
	}
	dest := p.route(record, to)
	if dest == nil {
		return mtp.ErrDown
	}
	select {
	case <-p.done:
		return mtp.ErrDown
	case <-dest.done:
		return mtp.ErrDown
	default:
	}
	select {
	case dest.queue <- item{bytes.Clone(record), mtp.Address(p.address())}:
		return nil
	case <-p.done:
		return mtp.ErrDown
	case <-dest.done:
		return mtp.ErrDown
	case <-ctx.Done():
		return ctx.Err()
	}
}

// address is where answers to this side go: nothing for the Controller, who is the only one there.
func (p *port) address() usp.EndpointID {
	if p == p.link.ctl {
		return ""
	}
	return p.endpoint.EndpointID()
}

// Close implements mtp.Channel.
func (p *port) Close(mtp.CloseReason) { p.end(ErrClosed) }
