// Package telemetry sends what became of USP requests to an OpenTelemetry receiver, by OTLP over HTTP: a span for each request, below it
// the time in the queue of the CPE, the CWMP session and its RPCs. It is the only package that knows OpenTelemetry.
package telemetry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

const (
	maxSpans      = 8192 // that wait to be sent; a request has up to 200
	maxBatch      = 512  // spans of a message
	sendEvery     = 2 * time.Second
	exportTimeout = 10 * time.Second
	tracesPath    = "/v1/traces" // of a receiver (OTLP 1.3, 3.3)
)

// Options of an Exporter.
type Options struct {
	Endpoint   string // URL of the receiver, http or https; without a path the standard's follows
	Version    string // of isthmus
	Logger     *slog.Logger
	Registerer prometheus.Registerer
}

// Exporter sends Exchanges. It holds a bounded number of spans; what comes while they wait is dropped, and counted.
type Exporter struct {
	provider *sdk.TracerProvider
	tracer   trace.Tracer
	sender   *sender
}

// New starts an Exporter, which needs no receiver to be there. Headers and a CA come from OpenTelemetry's own environment variables; what is wrong
// there is logged. What the library says of itself goes to the Logger of the last Exporter.
func New(ctx context.Context, o Options) (*Exporter, error) {
	otel.SetLogger(logr.FromSlogHandler(messages{o.Logger.Handler()}))
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		if !errors.Is(err, resource.ErrPartialResource) { // which is told below
			o.Logger.Warn("OpenTelemetry", "err", err)
		}
	}))
	u, err := url.Parse(o.Endpoint)
	if err != nil {
		return nil, fmt.Errorf("OTLP receiver: %w", err)
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = tracesPath
	}
	client, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(u.String()), otlptracehttp.WithTimeout(exportTimeout),
		otlptracehttp.WithRetry(otlptracehttp.RetryConfig{Enabled: true, InitialInterval: time.Second, MaxInterval: exportTimeout / 2, MaxElapsedTime: exportTimeout}))
	if err != nil {
		return nil, fmt.Errorf("OTLP receiver: %w", err)
	}
	res, err := resource.New(ctx, resource.WithAttributes(attribute.String("service.name", "isthmus"), attribute.String("service.version", o.Version)), resource.WithFromEnv())
	if err != nil { // which has what is written there
		o.Logger.Warn("OTEL_RESOURCE_ATTRIBUTES is no list of name=value: what is wrong there is left out")
	}
	s := &sender{SpanExporter: client, log: o.Logger, endpoint: u.Redacted(), spans: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "isthmus_trace_spans_total",
		Help: "Spans for the OTLP receiver by what became of them; dropped: too many waited."}, []string{"outcome"})}
	s.done = make(chan struct{})
	s.ctx, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
	for _, outcome := range []string{sent, failed, dropped} {
		s.spans.WithLabelValues(outcome)
	}
	o.Registerer.MustRegister(s.spans)
	p := sdk.NewTracerProvider(sdk.WithResource(res), sdk.WithIDGenerator(ids{}), sdk.WithSampler(sdk.AlwaysSample()),
		sdk.WithBatcher(s, sdk.WithMaxQueueSize(maxSpans), sdk.WithMaxExportBatchSize(maxBatch), sdk.WithBatchTimeout(sendEvery), sdk.WithExportTimeout(exportTimeout)))
	return &Exporter{provider: p, tracer: p.Tracer("isthmus"), sender: s}, nil
}

// Shutdown sends what waits, as far as there is time; the rest is dropped. No Exchange may come after it.
func (e *Exporter) Shutdown(ctx context.Context) error {
	err := e.provider.Shutdown(ctx)
	e.sender.cancel()
	<-e.sender.done
	if err != nil {
		return fmt.Errorf("sending the last spans: %w", err)
	}
	return nil
}

// The outcomes of a span.
const (
	sent    = "sent"
	failed  = "failed"
	dropped = "dropped"
)

// sender is the exporter of the batches. It says once that the receiver is away, and once that it is back.
type sender struct {
	sdk.SpanExporter
	log      *slog.Logger
	endpoint string
	spans    *prometheus.CounterVec
	waiting  atomic.Int64
	away     bool // of ExportSpans, which is not called twice at a time

	ctx    context.Context // ends when what waits is to be dropped
	cancel context.CancelFunc
	done   chan struct{} // closed when all is sent or dropped
}

// room takes room for n spans, or says that there is none.
func (s *sender) room(n int) bool {
	if s.waiting.Add(int64(n)) <= maxSpans {
		return true
	}
	s.waiting.Add(int64(-n))
	s.spans.WithLabelValues(dropped).Add(float64(n))
	return false
}

// ExportSpans implements sdk.SpanExporter. An error is told here: the library's own handler would tell each.
func (s *sender) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	if s.ctx.Err() != nil {
		s.spans.WithLabelValues(dropped).Add(float64(len(spans)))
		return nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	err := s.SpanExporter.ExportSpans(ctx, spans)
	s.waiting.Add(int64(-len(spans)))
	outcome := sent
	if err != nil {
		outcome = failed
	}
	s.spans.WithLabelValues(outcome).Add(float64(len(spans)))
	switch away := err != nil; {
	case away && !s.away:
		s.log.Warn("traces cannot be sent: see telemetry.otlp_endpoint; this is said once until they can", "endpoint", s.endpoint, "err", err)
		s.away = true
	case !away && s.away:
		s.log.Info("traces are sent again", "endpoint", s.endpoint)
		s.away = false
	}
	return nil
}

// Shutdown implements sdk.SpanExporter. It is called once, after the last batch.
func (s *sender) Shutdown(ctx context.Context) error {
	defer close(s.done)
	return s.SpanExporter.Shutdown(ctx)
}

// messages logs what the library has to say without its attributes: they are what environment variables hold, secrets among it.
type messages struct{ slog.Handler }

// Handle implements slog.Handler.
func (m messages) Handle(ctx context.Context, r slog.Record) error {
	return m.Handler.Handle(ctx, slog.NewRecord(r.Time, r.Level, "OpenTelemetry, by its environment variables: "+r.Message, r.PC))
}

// WithAttrs implements slog.Handler.
func (m messages) WithAttrs([]slog.Attr) slog.Handler { return m }

// WithGroup implements slog.Handler.
func (m messages) WithGroup(string) slog.Handler { return m }
