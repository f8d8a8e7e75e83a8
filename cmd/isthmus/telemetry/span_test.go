package telemetry

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"isthmus/translate"
)

// TestWithin: no span begins before the one above it or ends after it, also where a Connection Request was made for another before, an RPC has no answer yet, or a
// session was lost.
func TestWithin(t *testing.T) {
	t.Setenv("OTEL_SERVICE_NAME", "edge")
	begin := time.Now()
	at := func(ms int) time.Time { return begin.Add(time.Duration(ms) * time.Millisecond) }
	x := translate.Exchange{TraceID: translate.TraceID{1}, Time: begin, Message: "Get", Result: "7800 no answer", Duration: 100 * time.Millisecond,
		Waits: []translate.Wait{{Queued: at(1), Taken: at(10), Ended: at(20), Session: "A", SessionBegan: at(5)}, {Queued: at(20), Taken: at(30), Session: "B", SessionBegan: at(25)}},
		CWMP: []translate.CWMPCall{{Time: at(-50), RPC: "Connection Request", Result: "ok", Duration: 55 * time.Millisecond},
			{Time: at(11), RPC: "First", Session: "A", Result: "session closed", Duration: 8 * time.Millisecond},
			{Time: at(31), RPC: "Second", Session: "B", Result: "not answered", Duration: 90 * time.Millisecond}}}
	spans := tracetest.NewInMemoryExporter()
	e, err := New(t.Context(), Options{Endpoint: "http://127.0.0.1:1", Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := e.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	e.provider.RegisterSpanProcessor(sdk.NewSimpleSpanProcessor(spans))
	e.Traced("os::1", x)
	if name, _ := spans.GetSpans()[0].Resource.Set().Value("service.name"); name.AsString() != "edge" {
		t.Errorf("the service is %v", name)
	}
	byID, parentOf := map[string]tracetest.SpanStub{}, map[string]string{}
	for _, s := range spans.GetSpans() {
		byID[s.SpanContext.SpanID().String()] = s
	}
	for _, s := range byID {
		p, ok := byID[s.Parent.SpanID().String()]
		if !ok {
			continue
		}
		session := ""
		for _, a := range p.Attributes {
			if a.Key == "cwmp.session" {
				session = a.Value.AsString()
			}
		}
		parentOf[s.Name] = p.Name + session
		if s.StartTime.Before(p.StartTime) || s.EndTime.After(p.EndTime) || s.EndTime.Before(s.StartTime) {
			t.Errorf("%s %v to %v is not within %s %v to %v", s.Name, s.StartTime, s.EndTime, p.Name, p.StartTime, p.EndTime)
		}
	}
	if len(byID) != 8 || parentOf["Connection Request"] != "queue of the CPE" || parentOf["First"] != "CWMP sessionA" || parentOf["Second"] != "CWMP sessionB" {
		t.Errorf("%d spans, %v", len(byID), parentOf)
	}
}

// TestLate: an Exchange that ends after the Exporter is dropped.
func TestLate(t *testing.T) {
	e, err := New(t.Context(), Options{Endpoint: "http://127.0.0.1:1", Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := e.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	e.Traced("os::1", exchange())
}

// TestEnvironment: what is wrong in the variables of OpenTelemetry keeps nothing from starting, and no secret in them reaches a log.
func TestEnvironment(t *testing.T) {
	for name, value := range map[string]string{
		"OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "-1", "OTEL_BSP_MAX_QUEUE_SIZE": "-1", "OTEL_BSP_SCHEDULE_DELAY": "-5", "OTEL_BSP_EXPORT_TIMEOUT": "0", "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "x",
		"OTEL_RESOURCE_ATTRIBUTES": "no-equals-s3cret", "OTEL_TRACES_SAMPLER": "odd", "OTEL_EXPORTER_OTLP_HEADERS": "authorization s3cret", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://u:s3cret@%zz",
		"OTEL_EXPORTER_OTLP_TIMEOUT": "soon", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_COMPRESSION": "odd", "OTEL_EXPORTER_OTLP_CERTIFICATE": "/does/not/exist",
	} {
		t.Setenv(name, value)
	}
	var text strings.Builder
	e, err := New(t.Context(), Options{Endpoint: "http://127.0.0.1:1", Logger: slog.New(slog.NewTextHandler(&text, nil)), Registerer: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	log := text.String()
	if !strings.Contains(log, "parse headers") || !strings.Contains(log, "OTEL_RESOURCE_ATTRIBUTES") || strings.Contains(log, "s3cret") {
		t.Error(log)
	}
}
