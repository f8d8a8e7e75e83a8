package translate

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Native histograms, for scrapers that ask for them: buckets 10 % apart, so many at most of a series.
const (
	nativeFactor  = 1.1
	nativeBuckets = 100
)

type metrics struct {
	queued             prometheus.Gauge
	hits, misses       prometheus.Counter
	connectionRequests *prometheus.CounterVec
	refused            *prometheus.CounterVec
	quarantined        prometheus.Counter
	contested          prometheus.Gauge
	restless           prometheus.Counter
	disliked           prometheus.Counter
	attempts           *prometheus.CounterVec
	polls              *prometheus.CounterVec
	discovery          prometheus.Histogram
	provisioned        *prometheus.CounterVec
	resets             *prometheus.CounterVec
	lostEvents         prometheus.Counter
	operations         *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer, p *Proxy) *metrics {
	f := promauto.With(reg)
	f.NewGaugeFunc(prometheus.GaugeOpts{Name: "isthmus_devices", Help: "CPE that are known."}, func() float64 {
		p.mu.RLock()
		defer p.mu.RUnlock()
		return float64(len(p.devices))
	})
	f.NewGaugeFunc(prometheus.GaugeOpts{Name: "isthmus_cached_devices", Help: "CPE whose cached tree is in memory."}, func() float64 {
		p.mu.RLock()
		defer p.mu.RUnlock()
		return float64(len(p.warm))
	})
	cache := f.NewCounterVec(prometheus.CounterOpts{Name: "isthmus_cache_reads_total",
		Help: "Reads by whether the cache alone could answer them."}, []string{"outcome"})
	f.NewGaugeFunc(prometheus.GaugeOpts{Name: "isthmus_operating_devices", Help: "CPE with asynchronous commands that have not ended."}, func() float64 {
		p.mu.RLock()
		defer p.mu.RUnlock()
		return float64(len(p.operating))
	})
	m := &metrics{
		hits:   cache.WithLabelValues("hit"),
		misses: cache.WithLabelValues("miss"),
		queued: f.NewGauge(prometheus.GaugeOpts{Name: "isthmus_jobs_queued", Help: "Requests that wait for a CWMP session."}),
		connectionRequests: f.NewCounterVec(prometheus.CounterOpts{Name: "isthmus_connection_requests_total",
			Help: "Connection Requests by what came of them."}, []string{"outcome"}),
		quarantined: f.NewCounter(prometheus.CounterOpts{Name: "isthmus_quarantined_informs_total",
			Help: "Informs of CPE in quarantine, which change nothing."}),
		contested: f.NewGauge(prometheus.GaugeOpts{Name: "isthmus_contested_devices", Help: "DeviceIds under which two CPE inform."}),
		restless: f.NewCounter(prometheus.CounterOpts{Name: "isthmus_restless_total",
			Help: "How often a CPE began to inform every few seconds without having been asked."}),
		disliked: f.NewCounter(prometheus.CounterOpts{Name: "isthmus_disliked_inform_responses_total",
			Help: "Informs of CPE that repeat them and never go on."}),
		refused: f.NewCounterVec(prometheus.CounterOpts{Name: "isthmus_new_devices_refused_total",
			Help: "Informs of CPE not yet known that were told to come again, by the limit."}, []string{"reason"}),
		attempts: f.NewCounterVec(prometheus.CounterOpts{Name: "isthmus_connection_request_attempts_total",
			Help: "Connection Requests of each method by what came of them."}, []string{"method", "outcome"}),
		provisioned: f.NewCounterVec(prometheus.CounterOpts{Name: "isthmus_provisioned_total",
			Help: "Settings of cwmp.provision that were to be written to a CPE, by what came of it."}, []string{"setting", "outcome"}),
		resets: f.NewCounterVec(prometheus.CounterOpts{Name: "isthmus_reset_claims_total",
			Help: "Resets that CPE with the fleet's credentials claimed after they had shown their own, by what came of it."}, []string{"outcome"}),
		lostEvents: f.NewCounter(prometheus.CounterOpts{Name: "isthmus_lost_events_total",
			Help: "Events of CPE that came in such numbers that they were not told."}),
		operations: f.NewCounterVec(prometheus.CounterOpts{Name: "isthmus_operations_total",
			Help: "Asynchronous commands of CPE that ended, by how; expired: within operations.expire_after they were not sent, or the CPE did not report."}, []string{"outcome"}),
		polls: f.NewCounterVec(prometheus.CounterOpts{Name: "isthmus_polls_total",
			Help: "Polls of what CPE do not report by themselves, by what came of it."}, []string{"outcome"}),
		discovery: f.NewHistogram(prometheus.HistogramOpts{Name: "isthmus_discovery_duration_seconds",
			Help: "Time to read the data model of a CPE.", Buckets: []float64{.01, .05, .1, .5, 1, 5, 10, 30, 60, 300},
			NativeHistogramBucketFactor: nativeFactor, NativeHistogramMaxBucketNumber: nativeBuckets, NativeHistogramMinResetDuration: time.Hour}),
	}
	m.operations.WithLabelValues(opExpired) // so that an alert sees the first
	return m
}
