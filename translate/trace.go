package translate

import (
	"container/list"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"isthmus/cwmp"
	"isthmus/usp"
	"isthmus/usp/usppb"
)

// Exchange is one USP request of a Controller beside the CWMP RPCs it became. It holds paths, never values.
type Exchange struct {
	TraceID    TraceID
	Time       time.Time
	Controller usp.EndpointID
	Message    string
	MsgID      string
	Paths      []string
	Result     string
	Duration   time.Duration
	Why        string
	Waits      []Wait
	CWMP       []CWMPCall
}

// TraceID names an Exchange: to metrics, logs and OpenTelemetry it is the trace of W3C Trace Context.
type TraceID [16]byte

func (t TraceID) String() string { return hex.EncodeToString(t[:]) }

// ParseTraceID takes what String gives.
func ParseTraceID(s string) (t TraceID, ok bool) {
	if len(s) != hex.EncodedLen(len(t)) {
		return t, false
	}
	_, err := hex.Decode(t[:], []byte(s))
	return t, err == nil
}

// Wait is how long an Exchange was in its CPE's queue, and in a CWMP session afterwards.
type Wait struct {
	Queued       time.Time
	Taken        time.Time // zero: it never came to a session
	Ended        time.Time // zero: nobody waited for that any more
	Session      string    // its ID in logs
	SessionBegan time.Time
}

// CWMPCall is one RPC of an Exchange, or a Connection Request made for it.
type CWMPCall struct {
	Time     time.Time
	RPC      string
	Session  string // "" of a Connection Request
	Result   string
	Duration time.Duration
}

const (
	traceLength  = 64   // exchanges kept of a device
	tracedAgents = 4096 // devices whose exchanges are kept; the longest idle gives way
	tracePaths   = 16   // paths kept of an exchange
	traceCalls   = 64   // RPCs kept of an exchange, and stays in the queue
	traceMsgID   = 64   // bytes kept of a msg_id
	traceText    = 512  // bytes kept of a path, and of what went wrong
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

// Why an exchange went as it did.
const (
	fromCache       = "cache"
	bySession       = "session open"
	byRequest       = "connection request"
	bySharedRequest = "connection request made for another"
	byDiscovery     = "waited for discovery"
	byItself        = "answered by isthmus"

	merged = ", merged with another" // ends the reason
)

const unanswered = "not answered" // the result of an RPC that was under way when the exchange ended

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

// merge notes that what the exchange had to ask the CPE was asked for another, while it waited.
func (e *exchange) merge() {
	if e == nil {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.done && !strings.HasSuffix(e.Why, merged) {
		e.Why += merged
	}
}

// waited notes a stay in the queue that is over.
func (e *exchange) waited(w Wait) {
	if e == nil {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.done && len(e.Waits) < traceCalls {
		e.Waits = append(e.Waits, w)
	}
}

// called notes an RPC that leaves, or a Connection Request if there is no session. The number is for answered.
func (e *exchange) called(start time.Time, session, rpc string) (n int) {
	if e == nil {
		return traceCalls
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.done || len(e.CWMP) >= traceCalls {
		return traceCalls
	}
	e.CWMP = append(e.CWMP, CWMPCall{Time: start, RPC: rpc, Session: session, Result: unanswered})
	return len(e.CWMP) - 1
}

// answered notes what became of an RPC.
func (e *exchange) answered(n int, err error) {
	if e == nil {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.done || n >= len(e.CWMP) {
		return
	}
	result := "ok"
	var f *cwmp.Fault
	switch {
	case errors.As(err, &f):
		result = fmt.Sprintf("fault %d %s", f.Code, f.Code.Text()) // the CPE's own text may quote a value
	case err != nil:
		result = beginning(err.Error(), traceText)
	}
	c := &e.CWMP[n]
	c.Result, c.Duration = result, time.Since(c.Time)
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

// find gives the device that had an exchange. It looks at all that are kept, which takes milliseconds.
func (t *traces) find(id TraceID) (of usp.EndpointID, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for of, el := range t.rings {
		for _, e := range el.Value.(*ring).exchanges {
			if e.TraceID == id { // which never changes
				return of, true
			}
		}
	}
	return "", false
}

// Exchange implements agent.Observer. The trace is that of what the cache did not answer alone: it is what somebody looks for.
func (p *Proxy) Exchange(ctx context.Context, id, from usp.EndpointID, req *usppb.Msg) (context.Context, func(*usppb.Msg) string) {
	e := &exchange{Exchange: Exchange{TraceID: newTraceID(), Time: time.Now(), Controller: from, Message: usp.RequestType(req),
		MsgID: beginning(req.GetHeader().GetMsgId(), traceMsgID), Paths: pathsOf(req)}}
	return context.WithValue(ctx, exchangeKey{}, e), func(resp *usppb.Msg) (trace string) {
		e.mu.Lock()
		end := time.Now()
		e.Duration, e.done = end.Sub(e.Time), true
		e.Result = resultOf(resp)
		if e.Why == "" {
			e.Why = byItself
		}
		for i := range e.CWMP {
			if c := &e.CWMP[i]; c.Result == unanswered {
				c.Duration = end.Sub(c.Time)
			}
		}
		x := e.Exchange
		e.mu.Unlock()
		p.traces.add(id, e)
		if p.opts.Traced != nil {
			p.opts.Traced(id, x)
		}
		if x.Why == fromCache {
			return ""
		}
		return x.TraceID.String()
	}
}

func newTraceID() (t TraceID) {
	binary.NativeEndian.PutUint64(t[:8], rand.Uint64())
	binary.NativeEndian.PutUint64(t[8:], rand.Uint64()|1) // a trace ID is never all zero
	return t
}

func (t *traces) forget(id usp.EndpointID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e := t.rings[id]; e != nil {
		t.order.Remove(e)
		delete(t.rings, id)
	}
}
