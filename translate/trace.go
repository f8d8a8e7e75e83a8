package translate

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"isthmus/cwmp"
	"isthmus/usp"
	"isthmus/usp/usppb"
)

// Exchange is one USP request of a Controller beside the CWMP RPCs it became. It holds paths, never values.
type Exchange struct {
	Time       time.Time
	Controller usp.EndpointID
	Message    string
	Paths      []string
	Result     string
	Duration   time.Duration
	Why        string
	CWMP       []CWMPCall
}

// CWMPCall is one RPC of an Exchange.
type CWMPCall struct {
	Time     time.Time
	RPC      string
	Result   string
	Duration time.Duration
}

const (
	traceLength  = 64   // exchanges kept of a device
	tracedAgents = 4096 // devices whose exchanges are kept; the longest idle gives way
	tracePaths   = 16   // paths kept of an exchange
	traceCalls   = 64   // RPCs kept of an exchange
)

// exchange is an Exchange in the making. A nil exchange takes everything and keeps nothing.
type exchange struct {
	mu sync.Mutex
	Exchange
	done bool
}

type exchangeKey struct{}

func exchangeOf(ctx context.Context) *exchange {
	e, _ := ctx.Value(exchangeKey{}).(*exchange)
	return e
}

const fromCache = "cache"

// because notes why the exchange went as it did; the first reason stays, but for the cache having answered a part of it.
func (e *exchange) because(why string) {
	if e == nil {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.Why == "" || e.Why == fromCache {
		e.Why = why
	}
}

func (e *exchange) called(start time.Time, rpc string, err error) {
	if e == nil {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.done || len(e.CWMP) >= traceCalls {
		return
	}
	result := "ok"
	var f *cwmp.Fault
	switch {
	case errors.As(err, &f):
		result = fmt.Sprintf("fault %d %s", f.Code, f.Code.Text()) // the CPE's own text may quote a value
	case err != nil:
		result = err.Error()
	}
	e.CWMP = append(e.CWMP, CWMPCall{Time: start, RPC: rpc, Result: result, Duration: time.Since(start)})
}

// traces keeps the last exchanges of the devices that had any.
type traces struct {
	mu    sync.Mutex
	rings map[usp.EndpointID]*list.Element
	order *list.List // of *ring, the longest idle first
}

type ring struct {
	id        usp.EndpointID
	exchanges []*exchange
	next      int
}

func newTraces() *traces {
	return &traces{rings: map[usp.EndpointID]*list.Element{}, order: list.New()}
}

func (t *traces) add(id usp.EndpointID, e *exchange) {
	t.mu.Lock()
	defer t.mu.Unlock()
	el := t.rings[id]
	if el == nil {
		if t.order.Len() >= tracedAgents {
			oldest := t.order.Front()
			delete(t.rings, oldest.Value.(*ring).id)
			t.order.Remove(oldest)
		}
		el = t.order.PushBack(&ring{id: id})
		t.rings[id] = el
	}
	t.order.MoveToBack(el)
	r := el.Value.(*ring)
	if len(r.exchanges) < traceLength {
		r.exchanges = append(r.exchanges, e)
		return
	}
	r.exchanges[r.next] = e
	r.next = (r.next + 1) % traceLength
}

// of gives a device's exchanges, newest first.
func (t *traces) of(id usp.EndpointID) []Exchange {
	t.mu.Lock()
	defer t.mu.Unlock()
	el := t.rings[id]
	if el == nil {
		return nil
	}
	r := el.Value.(*ring)
	out := make([]Exchange, 0, len(r.exchanges))
	for i := range r.exchanges {
		e := r.exchanges[(r.next+len(r.exchanges)-1-i)%len(r.exchanges)]
		e.mu.Lock()
		out = append(out, e.Exchange)
		e.mu.Unlock()
	}
	return out
}

// Exchange implements agent.Observer.
func (p *Proxy) Exchange(ctx context.Context, id, from usp.EndpointID, req *usppb.Msg) (context.Context, func(*usppb.Msg)) {
	e := &exchange{Exchange: Exchange{Time: time.Now(), Controller: from, Message: usp.RequestType(req), Paths: pathsOf(req)}}
	return context.WithValue(ctx, exchangeKey{}, e), func(resp *usppb.Msg) {
		e.mu.Lock()
		e.Duration, e.done = time.Since(e.Time), true
		e.Result = resultOf(resp)
		if e.Why == "" {
			e.Why = "answered by isthmus"
		}
		e.mu.Unlock()
		p.traces.add(id, e)
	}
}

func (t *traces) forget(id usp.EndpointID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e := t.rings[id]; e != nil {
		t.order.Remove(e)
		delete(t.rings, id)
	}
}
