package telemetry

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"isthmus/translate"
	"isthmus/usp"
)

// Traced takes an Exchange that is over. It never waits.
func (e *Exporter) Traced(agent usp.EndpointID, x translate.Exchange) {
	if !e.sender.room(1 + 2*len(x.Waits) + len(x.CWMP)) {
		return
	}
	ctx := context.WithValue(context.Background(), traceKey{}, trace.TraceID(x.TraceID))
	s := span{e.tracer, x.Time, x.Time.Add(x.Duration)}
	ctx, end := s.start(ctx, "USP "+x.Message, trace.SpanKindServer, x.Result,
		attribute.String("usp.agent", string(agent)), attribute.String("usp.controller", string(x.Controller)), attribute.String("usp.msg_id", x.MsgID),
		attribute.StringSlice("usp.paths", x.Paths), attribute.String("isthmus.why", x.Why))
	defer end()
	calls := x.CWMP
	for _, w := range x.Waits {
		calls = s.wait(ctx, w, calls)
	}
	s.calls(ctx, calls)
}

// span makes spans of the time from begin to end.
type span struct {
	tracer     trace.Tracer
	begin, end time.Time
}

// fit gives a span of its own to what happened between two moments, if they are known, as far as it is within this one.
func (s span) fit(from, to time.Time) span {
	if from.After(s.begin) {
		s.begin = from
	}
	if !to.IsZero() && to.Before(s.end) {
		s.end = to
	}
	return s
}

const fine = "ok" // the result of what had no error

func (s span) start(ctx context.Context, name string, kind trace.SpanKind, result string, a ...attribute.KeyValue) (context.Context, func()) {
	ctx, sp := s.tracer.Start(ctx, name, trace.WithTimestamp(s.begin), trace.WithSpanKind(kind), trace.WithAttributes(a...))
	if result != fine {
		sp.SetStatus(codes.Error, result)
	}
	return ctx, func() { sp.End(trace.WithTimestamp(s.end)) }
}

// wait makes the spans of a stay in the queue, with the Connection Requests made meanwhile, and of the session after it, with its RPCs. It gives
// the calls that came later.
func (s span) wait(ctx context.Context, w translate.Wait, calls []translate.CWMPCall) []translate.CWMPCall {
	result, until := fine, w.Taken
	if w.Taken.IsZero() {
		result, until = "no session in time", s.end
	}
	queue := s.fit(w.Queued, until)
	in, end := queue.start(ctx, "queue of the CPE", trace.SpanKindInternal, result)
	n := 0
	for n < len(calls) && !calls[n].Time.After(until) {
		n++
	}
	queue.calls(in, calls[:n])
	end()
	calls = calls[n:]
	if w.Taken.IsZero() {
		return calls
	}
	session := s.fit(w.SessionBegan, w.Ended)
	in, end = session.start(ctx, "CWMP session", trace.SpanKindInternal, fine,
		attribute.String("cwmp.session", w.Session), attribute.String("cwmp.session_began", w.SessionBegan.UTC().Format(time.RFC3339Nano)))
	defer end()
	for n = 0; n < len(calls) && !calls[n].Time.After(session.end); n++ {
	}
	session.calls(in, calls[:n])
	return calls[n:]
}

func (s span) calls(ctx context.Context, calls []translate.CWMPCall) {
	for _, c := range calls {
		call := s.fit(c.Time, c.Time.Add(c.Duration)) // a Connection Request may have been made for another, before
		_, end := call.start(ctx, c.RPC, trace.SpanKindClient, c.Result, attribute.String("cwmp.session", c.Session))
		end()
	}
}

// ids gives a trace the ID that its Exchange has.
type ids struct{}

type traceKey struct{}

// NewIDs implements sdk.IDGenerator.
func (i ids) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	id, _ := ctx.Value(traceKey{}).(trace.TraceID)
	return id, i.NewSpanID(ctx, id)
}

// NewSpanID implements sdk.IDGenerator.
func (ids) NewSpanID(context.Context, trace.TraceID) (id trace.SpanID) {
	binary.NativeEndian.PutUint64(id[:], rand.Uint64()|1) // it is never all zero
	return id
}
