package cwmp

import (
	"errors"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Native histograms, for scrapers that ask for them: buckets 10 % apart, so many at most of a series.
const (
	nativeFactor  = 1.1
	nativeBuckets = 100
)

type serverMetrics struct {
	active          prometheus.Gauge
	authentications *prometheus.CounterVec
	sessions        *prometheus.CounterVec
	informs         *prometheus.CounterVec
	rpcs            *prometheus.HistogramVec
	malformed       *prometheus.CounterVec
	refused         *prometheus.CounterVec
	repaired        prometheus.Counter
	skipped         prometheus.Counter
	idMismatches    prometheus.Counter
	panics          prometheus.Counter
	handshakes      prometheus.Counter
	repeated        prometheus.Counter
}

func newServerMetrics(r prometheus.Registerer) *serverMetrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "isthmus", Subsystem: "cwmp", Name: name, Help: help}, labels)
	}
	sole := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: "isthmus", Subsystem: "cwmp", Name: name, Help: help})
	}
	m := &serverMetrics{
		active: prometheus.NewGauge(prometheus.GaugeOpts{
			Namespace: "isthmus", Subsystem: "cwmp", Name: "sessions_active", Help: "CWMP sessions that are open.",
		}),
		authentications: counter("authentications_total", "Informs that were let in, and POSTs that were not, by outcome of their authentication.", "outcome"),
		sessions:        counter("sessions_total", "CWMP sessions that ended, by how.", "outcome"),
		informs:         counter("informs_total", "Events in Informs.", "event"),
		rpcs: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "isthmus", Subsystem: "cwmp", Name: "rpc_duration_seconds",
			Help:    "Time from a request to its answer; to a CPE as to the proxy.",
			Buckets: []float64{.001, .005, .025, .1, .25, 1, 5, 15, 60},

			NativeHistogramBucketFactor: nativeFactor, NativeHistogramMaxBucketNumber: nativeBuckets, NativeHistogramMinResetDuration: time.Hour,
		}, []string{"rpc", "outcome"}),
		malformed:    counter("malformed_total", "What CPE sent and was refused, by reason; http: not even a request.", "reason"),
		refused:      counter("refused_total", "Informs that were not accepted, by reason.", "reason"),
		repaired:     sole("repaired_total", "Messages from CPE that were not XML until they were repaired."),
		skipped:      sole("skipped_entries_total", "List entries from CPE without name or value."),
		idMismatches: sole("id_mismatches_total", "Answers of CPE with another cwmp:ID than the request's."),
		panics:       sole("panics_total", "Panics contained to one session."),
		repeated:     sole("repeated_informs_total", "Informs that came again because their InformResponse was lost."),
		handshakes:   sole("handshakes_failed_total", "TLS connections that ended before their handshake was done; what only looks whether the port is open is among them."),
	}
	if r != nil {
		r.MustRegister(m.active, m.authentications, m.sessions, m.informs, m.rpcs, m.malformed, m.refused, m.repaired, m.skipped, m.idMismatches, m.panics, m.repeated, m.handshakes)
	}
	return m
}

// watch exports how a storm is doing.
func (m *serverMetrics) watch(r prometheus.Registerer, p *pacer) {
	if r == nil {
		return
	}
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "isthmus", Subsystem: "cwmp", Name: name, Help: help}, value)
	}
	r.MustRegister(
		gauge("informs_waiting", "Informs that wait to be taken up.", func() float64 { n, _ := p.load(); return float64(n) }),
		gauge("informs_pace", "Sessions a second that are let in without having been asked for; a first contact counts as 16.",
			func() float64 { _, rate := p.load(); return rate }))
}

func (m *serverMetrics) informed(i *Inform) {
	for j := range i.Event {
		m.informs.WithLabelValues(eventLabel(i.Event[j].EventCode)).Inc()
	}
}

// eventLabel keeps the label set closed whatever CPE send.
func eventLabel(code string) string {
	if e := StandardEvent(code); e != "" {
		return e
	}
	return "vendor"
}

func rpcLabel(rpc RPC) string {
	if _, ok := rpc.(*Unknown); ok {
		return "unknown"
	}
	return rpc.Name()
}

func rpcOutcome(err error) string {
	switch {
	case err == nil:
		return "ok"
	case errors.As(err, new(*Fault)):
		return "fault"
	case errors.Is(err, ErrUnknownOutcome):
		return "lost"
	}
	return "error"
}

func sessionOutcome(err error) string {
	for _, o := range []struct {
		err   error
		label string
	}{
		{nil, "ok"},
		{ErrSuperseded, "superseded"},
		{ErrTimeout, "timeout"},
		{ErrDisconnected, "disconnected"},
		{ErrServerClosed, "shutdown"},
		{ErrUnexpectedAnswer, "unexpected_answer"},
		{ErrTooLarge, "too_large"},
		{ErrMalformed, "malformed"},
		{ErrDoctype, "malformed"},
		{ErrLimit, "malformed"},
	} {
		if errors.Is(err, o.err) {
			return o.label
		}
	}
	return "error"
}

func malformedReason(err error) string {
	switch {
	case errors.Is(err, ErrDoctype):
		return "doctype"
	case errors.Is(err, ErrLimit):
		return "limit"
	case errors.Is(err, ErrTooLarge):
		return "size"
	}
	return "xml"
}

// RPCEvent is one RPC of a session, for a trace. It carries no values.
type RPCEvent struct {
	Device   DeviceID
	Session  string
	Time     time.Time
	Duration time.Duration
	RPC      string // "GetParameterValues"
	FromCPE  bool   // the CPE asked, the proxy answered
	Result   string // "ok", "fault 9005", or what went wrong
}

func rpcResult(err error) string {
	var f *Fault
	switch {
	case err == nil:
		return "ok"
	case errors.As(err, &f):
		return "fault " + f.Code.number()
	}
	return strings.TrimPrefix(err.Error(), "cwmp: ")
}
