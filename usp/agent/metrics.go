package agent

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"isthmus/usp"
	"isthmus/usp/usppb"
)

// Native histograms, for scrapers that ask for them: buckets 10 % apart, so many at most of a series.
const (
	nativeFactor  = 1.1
	nativeBuckets = 100
)

// metrics are the collectors of a Fleet. No label grows with the fleet or with what peers send.
type metrics struct {
	requests      *prometheus.CounterVec
	duration      *prometheus.HistogramVec
	inFlight      prometheus.Gauge
	notifications *prometheus.CounterVec
	pending       prometheus.Gauge
	refused       *prometheus.CounterVec
	panics        prometheus.Counter
	contexts      *prometheus.CounterVec
}

// The outcomes of a notification.
const (
	delivered = "delivered"
	expired   = "expired"
	dropped   = "dropped" // the queue was full, or the channel cannot carry it
	withdrawn = "withdrawn"
	withheld  = "withheld" // the Controller's roles do not allow it
)

func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "isthmus_usp_requests_total",
			Help: "USP requests by message and error code, 0 where there was none."}, []string{"message", "code"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "isthmus_usp_request_duration_seconds",
			Help: "Time from a USP request to its response.", Buckets: prometheus.ExponentialBuckets(0.0001, 4, 10),
			NativeHistogramBucketFactor: nativeFactor, NativeHistogramMaxBucketNumber: nativeBuckets, NativeHistogramMinResetDuration: time.Hour}, []string{"message"}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{Name: "isthmus_usp_requests_in_flight",
			Help: "USP requests that are being worked on."}),
		notifications: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "isthmus_usp_notifications_total",
			Help: "Notifications by type and what became of them."}, []string{"type", "outcome"}),
		pending: prometheus.NewGauge(prometheus.GaugeOpts{Name: "isthmus_usp_notifications_pending",
			Help: "Notifications of loaded Agents that are not delivered yet."}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "isthmus_usp_records_refused_total",
			Help: "USP Records that were not answered as requests, by reason."}, []string{"reason"}),
		panics: prometheus.NewCounter(prometheus.CounterOpts{Name: "isthmus_usp_panics_total",
			Help: "Panics that were contained while a USP request was worked on."}),
		contexts: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "isthmus_usp_session_contexts_ended_total",
			Help: "E2E session contexts that ended otherwise than by the Controller's wish, by reason."}, []string{"reason"}),
	}
	if r != nil {
		r.MustRegister(m.requests, m.duration, m.inFlight, m.notifications, m.pending, m.refused, m.panics, m.contexts)
	}
	return m
}

// done counts one request. Its trace, if it has one, becomes an exemplar.
func (m *metrics) done(req, resp *usppb.Msg, took time.Duration, trace string) {
	name := usp.RequestType(req)
	m.requests.WithLabelValues(name, strconv.Itoa(int(errorCode(resp)))).Inc()
	duration := m.duration.WithLabelValues(name)
	if e, ok := duration.(prometheus.ExemplarObserver); ok && trace != "" {
		e.ObserveWithExemplar(took.Seconds(), prometheus.Labels{"trace_id": trace})
		return
	}
	duration.Observe(took.Seconds())
}

func errorCode(resp *usppb.Msg) usp.ErrorCode {
	return usp.ErrorCode(resp.GetBody().GetError().GetErrCode())
}
