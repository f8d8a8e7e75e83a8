package main

import (
	"crypto/tls"
	"runtime"

	"github.com/prometheus/client_golang/prometheus"
)

// buildInfo tells what runs.
func buildInfo() prometheus.Collector {
	g := prometheus.NewGauge(prometheus.GaugeOpts{Name: "isthmus_build_info", Help: "Always 1; the labels say what runs.",
		ConstLabels: prometheus.Labels{"version": version, "commit": revision(), "goversion": runtime.Version()}})
	g.Set(1)
	return g
}

// readiness is /readyz for who has the metrics alone.
func (i *instance) readiness() prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "isthmus_ready", Help: "Whether /readyz says 200."}, func() float64 {
		if i.ready() != nil {
			return 0
		}
		return 1
	})
}

// certificateExpiry tells when certificates in force expire.
type certificateExpiry struct{ live *liveConfig }

var expiryDesc = prometheus.NewDesc("isthmus_certificate_expiry_timestamp_seconds",
	"When the certificate in force expires, by its place in the configuration; of usp.controllers the first to expire.", []string{"certificate"}, nil)

// Describe implements prometheus.Collector.
func (certificateExpiry) Describe(ch chan<- *prometheus.Desc) { ch <- expiryDesc }

// Collect implements prometheus.Collector.
func (e certificateExpiry) Collect(ch chan<- prometheus.Metric) {
	tell := func(key string, at float64) {
		ch <- prometheus.MustNewConstMetric(expiryDesc, prometheus.GaugeValue, at, key)
	}
	for _, l := range e.live.listeners {
		tell(l.key, expiry(&l.now.Load().Certificates[0]))
	}
	first := 0.0
	for _, c := range e.live.clients {
		if at := expiry(c.now.Load()); first == 0 || at < first {
			first = at
		}
	}
	if first != 0 {
		tell("usp.controllers", first)
	}
	if ca := e.live.identity.Load(); ca != nil {
		tell("usp.identity", float64(ca.NotAfter().Unix()))
	}
}

// expiry is in seconds since 1970. What tls.LoadX509KeyPair gives has its Leaf.
func expiry(c *tls.Certificate) float64 { return float64(c.Leaf.NotAfter.Unix()) }
