package badger

import (
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"isthmus/store"
)

// Native histograms, for scrapers that ask for them: buckets 10 % apart, so many at most of a series.
const (
	nativeFactor  = 1.1
	nativeBuckets = 100
)

type metrics struct {
	duration   *prometheus.HistogramVec
	errors     *prometheus.CounterVec
	registered []prometheus.Collector
	registerer prometheus.Registerer
}

func newMetrics() *metrics {
	const firstBucket, factor, buckets = 50e-6, 4, 9 // to 3.3 s
	m := &metrics{
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "isthmus_store_write_duration_seconds",
			Help:    "Time a write took, waiting included: promise is on disk at its end, cache is not.",
			Buckets: prometheus.ExponentialBuckets(firstBucket, factor, buckets),

			NativeHistogramBucketFactor: nativeFactor, NativeHistogramMaxBucketNumber: nativeBuckets, NativeHistogramMinResetDuration: time.Hour,
		}, []string{"kind"}),
		errors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "isthmus_store_errors_total",
			Help: "Reads and writes that failed.",
		}, []string{"op"}),
	}
	for _, op := range []string{"read", "write"} {
		m.errors.WithLabelValues(op) // so that an alert sees the first
	}
	return m
}

// register registers everything or nothing.
func (m *metrics) register(r prometheus.Registerer, s *Store) error {
	if r == nil {
		return nil
	}
	m.registerer = r
	for _, c := range []prometheus.Collector{m.duration, m.errors, sizeGauge(promisesDir, s.promises), sizeGauge(cacheDir, s.cache), freeGauge(s.promises.dir)} {
		if err := r.Register(c); err != nil {
			m.unregister()
			return fmt.Errorf("store metrics: %w", err)
		}
		m.registered = append(m.registered, c)
	}
	return nil
}

func (m *metrics) unregister() {
	for _, c := range m.registered {
		m.registerer.Unregister(c)
	}
}

func sizeGauge(db string, p *part) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name:        "isthmus_store_size_bytes",
		Help:        "Disk space that a database occupies.",
		ConstLabels: prometheus.Labels{"db": db},
	}, func() float64 {
		size, err := diskUsage(p.dir)
		if err != nil {
			return -1
		}
		return float64(size)
	})
}

func freeGauge(dir string) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "isthmus_store_free_bytes", Help: "Free disk space where the store is."}, func() float64 {
		free, err := freeSpace(dir)
		if err != nil {
			return -1
		}
		return float64(free)
	})
}

func (m *metrics) wrote(promise bool, d time.Duration, err error) {
	if err != nil {
		if !errors.Is(err, store.ErrConflict) {
			m.errors.WithLabelValues("write").Inc()
		}
		return
	}
	kind := "cache"
	if promise {
		kind = "promise"
	}
	m.duration.WithLabelValues(kind).Observe(d.Seconds())
}
