package websocket

import (
	"errors"

	"github.com/gorilla/websocket"
	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	connections                              prometheus.Gauge
	sent, received, sentBytes, receivedBytes prometheus.Counter
	dials, closes                            *prometheus.CounterVec
	records, bytes                           *prometheus.CounterVec
}

// The outcomes of a dial, also of a handshake that a Server answers.
const (
	dialOK          = "ok"
	dialFailed      = "failed"      // no connection, or no answer in time
	dialRefused     = "refused"     // an HTTP status other than 101
	dialSubprotocol = "subprotocol" // v1.usp was not agreed on
	dialPeer        = "peer"        // the Endpoint at the other side is not the one expected
)

// newMetrics makes the collectors, or takes those that another Client or Server has registered with reg, which may be nil.
func newMetrics(reg prometheus.Registerer) *metrics {
	mtp := prometheus.Labels{"mtp": "websocket"}
	m := &metrics{
		connections: register(reg, prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "isthmus_mtp_connections", Help: "Connections that are up.", ConstLabels: mtp,
		})),
		dials: register(reg, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "isthmus_mtp_dials_total", Help: "Attempts to connect, from either side, by outcome.", ConstLabels: mtp,
		}, []string{"side", "outcome"})),
		closes: register(reg, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "isthmus_mtp_closes_total", Help: "Connections that ended, by reason.", ConstLabels: mtp,
		}, []string{"reason"})),
		records: register(reg, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "isthmus_mtp_records_total", Help: "USP Records, by direction.", ConstLabels: mtp,
		}, []string{"direction"})),
		bytes: register(reg, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "isthmus_mtp_record_bytes_total", Help: "Bytes of USP Records, by direction.", ConstLabels: mtp,
		}, []string{"direction"})),
	}
	m.sent, m.received = m.records.WithLabelValues("out"), m.records.WithLabelValues("in")
	m.sentBytes, m.receivedBytes = m.bytes.WithLabelValues("out"), m.bytes.WithLabelValues("in")
	return m
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

func (m *metrics) dialed(outcome string)   { m.dials.WithLabelValues("client", outcome).Inc() }
func (m *metrics) accepted(outcome string) { m.dials.WithLabelValues("server", outcome).Inc() }

func (m *metrics) closed(err error) {
	reason := "error"
	closed := (*websocket.CloseError)(nil)
	switch {
	case errors.Is(err, ErrBadRecord):
		reason = "bad_record"
	case errors.Is(err, ErrKeepAlive):
		reason = "keepalive"
	case errors.Is(err, ErrClosed):
		reason = "local"
	case errors.Is(err, errPanic):
		reason = "panic"
	case errors.Is(err, websocket.ErrReadLimit):
		reason = "too_big"
	case errors.As(err, &closed) && closed.Code != websocket.CloseAbnormalClosure:
		reason = "peer"
	}
	m.closes.WithLabelValues(reason).Inc()
}
