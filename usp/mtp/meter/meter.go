// Package meter counts what crosses an MTP. All MTPs have the same metrics, told apart by the label mtp.
package meter

import (
	"errors"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// Meter are the metrics of one MTP.
type Meter struct {
	Connections prometheus.Gauge
	dials       *prometheus.CounterVec
	closes      *prometheus.CounterVec
	refused     *prometheus.CounterVec
	out, in     prometheus.Counter
	outBytes    prometheus.Counter
	inBytes     prometheus.Counter
}

// New makes the metrics of an MTP, or takes those that another part of it has registered with reg, which may be nil.
func New(reg prometheus.Registerer, protocol string) *Meter {
	mtp := prometheus.Labels{"mtp": strings.ToLower(protocol)}
	vec := func(name, help string, labels ...string) *prometheus.CounterVec {
		return register(reg, prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help, ConstLabels: mtp}, labels))
	}
	m := &Meter{
		Connections: register(reg, prometheus.NewGauge(prometheus.GaugeOpts{Name: "isthmus_mtp_connections", Help: "Connections that are up.", ConstLabels: mtp})),
		dials:       vec("isthmus_mtp_dials_total", "Attempts to connect, from either side, by outcome.", "side", "outcome"),
		closes:      vec("isthmus_mtp_closes_total", "Connections that ended, by reason.", "reason"),
		refused:     vec("isthmus_mtp_refused_total", "Messages from a broker that were not handed over, by reason.", "reason"),
	}
	records := vec("isthmus_mtp_records_total", "USP Records, by direction.", "direction")
	bytes := vec("isthmus_mtp_record_bytes_total", "Bytes of USP Records, by direction.", "direction")
	m.out, m.in = records.WithLabelValues("out"), records.WithLabelValues("in")
	m.outBytes, m.inBytes = bytes.WithLabelValues("out"), bytes.WithLabelValues("in")
	return m
}

// Dialed counts an attempt to connect.
func (m *Meter) Dialed(outcome string) { m.dials.WithLabelValues("client", outcome).Inc() }

// Closed counts the end of a connection.
func (m *Meter) Closed(reason string) { m.closes.WithLabelValues(reason).Inc() }

// Refused counts a message that was not handed over.
func (m *Meter) Refused(reason string) { m.refused.WithLabelValues(reason).Inc() }

// Sent counts a Record that has left, of n bytes.
func (m *Meter) Sent(n int) {
	m.out.Inc()
	m.outBytes.Add(float64(n))
}

// Received counts a Record that has arrived, of n bytes.
func (m *Meter) Received(n int) {
	m.in.Inc()
	m.inBytes.Add(float64(n))
}

func register[C prometheus.Collector](reg prometheus.Registerer, c C) C {
	if reg == nil {
		return c
	}
	err := reg.Register(c)
	if known := (prometheus.AlreadyRegisteredError{}); errors.As(err, &known) {
		if same, ok := known.ExistingCollector.(C); ok {
			return same
		}
	}
	return c
}
