package broker

import (
	"isthmus/usp"
	"isthmus/usp/mtp"
)

// counter is implemented by Sessions that count what crosses them.
type counter interface {
	Packets() (sent, received uint64)
}

// Counts implements mtp.Counter.
func (p *Pool) Counts(e, controller usp.EndpointID) mtp.Counts {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.agents[e] {
		if l.serves(controller) {
			return l.count()
		}
	}
	return mtp.Counts{}
}

// count is what a link has had so far, the connection included that is up. It needs the Pool's mu.
func (l *link) count() mtp.Counts {
	n := l.counts
	if l.live == nil {
		return n
	}
	if c, ok := l.live.session.(counter); ok {
		sent, received := c.Packets()
		n.Sent += sent
		n.Received += received
	}
	return n
}
