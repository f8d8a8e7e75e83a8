// Package stomptest is a small STOMP 1.2 server for tests and the demo: queues without memory, and faults on demand.
package stomptest

import (
	"bufio"
	"context"
	"net"
	"slices"
	"strconv"
	"sync"

	"isthmus/usp/mtp/stomp/client"
)

// Options are the faults of a Server, and what it tells. The zero value lets everybody in.
type Options struct {
	// Refuse says why a frame is answered with ERROR, "" if it is not.
	Refuse func(f *client.Frame) string
	// Connected gives more headers of CONNECTED.
	Connected func(f *client.Frame) []client.Header
	// Observe sees each frame that comes in: a subscription when it is in effect, whatever is answered before the answer.
	Observe func(f *client.Frame)
}

// Server is a STOMP server. A message goes to all that subscribe to its destination.
type Server struct {
	o  Options
	l  net.Listener
	wg sync.WaitGroup

	mu    sync.Mutex
	peers map[*peer]struct{}
	next  int
}

type peer struct {
	nc   net.Conn
	mu   sync.Mutex        // of writes
	subs map[string]string // destination by id
}

// maxBody is the largest body taken in.
const maxBody = 8 << 20

// Listen starts a Server at addr, host:port.
func Listen(ctx context.Context, addr string, o Options) (*Server, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	s := &Server{o: o, l: l, peers: map[*peer]struct{}{}}
	s.wg.Go(s.accept)
	return s, nil
}

// Addr is where it listens.
func (s *Server) Addr() string { return s.l.Addr().String() }

// Close drops all connections.
func (s *Server) Close() {
	_ = s.l.Close()
	s.Drop()
	s.wg.Wait()
}

// Drop drops the connections that there are.
func (s *Server) Drop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for p := range s.peers {
		_ = p.nc.Close()
	}
}

func (s *Server) accept() {
	for {
		nc, err := s.l.Accept()
		if err != nil {
			return
		}
		p := &peer{nc: nc, subs: map[string]string{}}
		s.mu.Lock()
		s.peers[p] = struct{}{}
		s.mu.Unlock()
		s.wg.Go(func() {
			s.serve(p)
			_ = nc.Close()
			s.mu.Lock()
			defer s.mu.Unlock()
			delete(s.peers, p)
		})
	}
}

func (s *Server) serve(p *peer) {
	in := bufio.NewReader(p.nc)
	for {
		f, err := client.ReadFrame(in, maxBody, func() {})
		if err != nil {
			return
		}
		why := ""
		if s.o.Refuse != nil {
			why = s.o.Refuse(f)
		}
		if why == "" {
			s.subscribe(p, f)
		}
		if s.o.Observe != nil {
			s.o.Observe(f)
		}
		if why != "" {
			p.write(&client.Frame{Command: "ERROR", Headers: []client.Header{{Name: "message", Value: why}}})
			return
		}
		switch f.Command {
		case "STOMP", "CONNECT":
			c := &client.Frame{Command: "CONNECTED", Headers: []client.Header{{Name: "version", Value: "1.2"}}}
			if s.o.Connected != nil {
				c.Headers = append(c.Headers, s.o.Connected(f)...)
			}
			p.write(c)
		case "SEND":
			s.publish(f)
		}
		if id := f.Get("receipt"); id != "" {
			p.write(&client.Frame{Command: "RECEIPT", Headers: []client.Header{{Name: "receipt-id", Value: id}}})
		}
		if f.Command == "DISCONNECT" {
			return
		}
	}
}

// subscribe has a peer's subscriptions be as a frame says.
func (s *Server) subscribe(p *peer, f *client.Frame) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch f.Command {
	case "SUBSCRIBE":
		p.subs[f.Get("id")] = f.Get("destination")
	case "UNSUBSCRIBE":
		delete(p.subs, f.Get("id"))
	}
}

// publish passes a message on, with the headers that the server does not make itself.
func (s *Server) publish(f *client.Frame) {
	s.mu.Lock()
	defer s.mu.Unlock()
	own := slices.DeleteFunc(slices.Clone(f.Headers), func(h client.Header) bool { return h.Name == "receipt" || h.Name == "content-length" })
	for p := range s.peers {
		for id, destination := range p.subs {
			if destination != f.Get("destination") {
				continue
			}
			s.next++
			m := &client.Frame{Command: "MESSAGE", Body: f.Body, Headers: append(slices.Clone(own), client.Header{Name: "subscription", Value: id},
				client.Header{Name: "message-id", Value: strconv.Itoa(s.next)})}
			p.write(m)
		}
	}
}

// write sends a frame; a peer that does not take it will be found gone by its reader.
func (p *peer) write(f *client.Frame) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, _ = p.nc.Write(f.Append(nil))
}
