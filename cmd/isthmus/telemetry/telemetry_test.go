package telemetry

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"isthmus/translate"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// exchange is one of a Get with a Connection Request and an RPC.
func exchange() translate.Exchange {
	now := time.Now()
	return translate.Exchange{TraceID: translate.TraceID{1}, Time: now, Message: "Get", Result: "ok", Duration: time.Second,
		Waits: []translate.Wait{{Queued: now, Taken: now.Add(time.Millisecond), Ended: now.Add(time.Second), Session: "S"}},
		CWMP:  []translate.CWMPCall{{Time: now, RPC: "HTTP", Result: "ok"}, {Time: now.Add(2 * time.Millisecond), RPC: "GetParameterValues", Session: "S", Result: "ok"}}}
}

const spansOfExchange = 5

// TestReceiverAway: what cannot be sent is counted and said once, until it can; the end does not wait for it.
func TestReceiverAway(t *testing.T) {
	var away atomic.Bool
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil || r.URL.Path != tracesPath {
			t.Errorf("%s: %v", r.URL.Path, err)
		}
		if away.Load() {
			w.WriteHeader(http.StatusBadRequest) // which is not tried again
		}
	}))
	defer s.Close()
	var log bytes.Buffer
	e, err := New(t.Context(), Options{Endpoint: s.URL, Logger: slog.New(slog.NewTextHandler(&log, nil)), Registerer: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	for _, gone := range []bool{true, true, false} {
		away.Store(gone)
		e.Traced("os::1", exchange())
		if err := e.provider.ForceFlush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	e.Traced("os::1", exchange())
	if err := e.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	for outcome, want := range map[string]float64{sent: 2 * spansOfExchange, failed: 2 * spansOfExchange, dropped: 0} {
		if got := testutil.ToFloat64(e.sender.spans.WithLabelValues(outcome)); got != want {
			t.Errorf("%v spans %s, want %v", got, outcome, want)
		}
	}
	if text := log.String(); strings.Count(text, "cannot be sent") != 1 || strings.Count(text, "sent again") != 1 {
		t.Error(text)
	}
}

// TestReceiverHangs: while a receiver does not answer, no more than maxSpans wait, nobody else does, and the end comes in time.
func TestReceiverHangs(t *testing.T) {
	hold := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { <-hold }))
	defer s.Close()
	defer close(hold)
	e, err := New(t.Context(), Options{Endpoint: s.URL, Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	for range maxSpans/spansOfExchange + 2 {
		e.Traced("os::1", exchange())
	}
	if got := testutil.ToFloat64(e.sender.spans.WithLabelValues(dropped)); got != 2*spansOfExchange {
		t.Errorf("%v spans dropped, want %v", got, 2*spansOfExchange)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := e.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Shutdown: %v", err)
	}
}
