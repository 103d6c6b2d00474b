package api

import (
	"net/http"
	"runtime"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"tidings/replay"
)

// maxScrapes is how many scrapes are answered at a time; the others get 503.
const maxScrapes = 4

// metrics are the numbers that GET /metrics shows. What happens is counted here as it happens; states, and what other
// packages count, are looked up by scrape. No label value comes from a client, so the number of series is fixed.
type metrics struct {
	registry *prometheus.Registry

	publishes *prometheus.CounterVec
	stored    prometheus.Counter // of publishes
	replayed  prometheus.Counter // of publishes

	events prometheus.Counter
	bytes  prometheus.Counter
	gaps   *prometheus.CounterVec
	byes   *prometheus.CounterVec
	stalls prometheus.Counter
	faults *prometheus.CounterVec
}

func newMetrics(version string) *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	counters := func(name, help, label string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help},
			[]string{label})
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{Name: "tidings_build_info",
		Help:        "Always 1; the labels say what runs.",
		ConstLabels: prometheus.Labels{"version": version, "goversion": runtime.Version()}})
	build.Set(1)
	m := &metrics{
		registry: prometheus.NewRegistry(),
		publishes: counters("tidings_publishes_total",
			"Publish requests by outcome: stored, replayed, or the code of the "+
				"problem.",
			"outcome"),
		events: counter("tidings_delivered_events_total", "Events written to streams."),
		bytes: counter("tidings_delivered_bytes_total",
			"Bytes written to streams, control events included."),
		gaps: counters("tidings_gaps_total",
			"Gaps reported to subscribers and page readers, by reason.", "reason"),
		byes: counters("tidings_byes_total",
			"Streams that the server ended with a bye event, by reason.", "reason"),
		stalls: counter("tidings_stalls_total",
			"Streams closed because their client did not read in time."),
		faults: counters("tidings_http_faults_total",
			"Connections that could not be accepted, TLS handshakes that failed, panics of "+
				"handlers, and other errors of the HTTP server.", "kind"),
	}
	m.registry.MustRegister(build, m.publishes, m.events, m.bytes, m.gaps, m.byes, m.stalls, m.faults,
		collectors.NewGoCollector(), collectors.NewProcessCollector(
			collectors.ProcessCollectorOpts{}))
	m.begin()
	return m
}

// begin creates at the start the series that alerts look at: a rate needs a first value.
func (m *metrics) begin() {
	m.stored, m.replayed = m.publishes.WithLabelValues("stored"),
		m.publishes.WithLabelValues("replayed")
	for _, code := range []string{"no-space", "queue-full", "outcome-unknown", "outcome-pending",
		"log-unavailable", "log-failed", "internal"} {
		m.publishes.WithLabelValues(code)
	}
	for _, reason := range []replay.Reason{replay.Expired, replay.Unknown, replay.Ahead,
		replay.Malformed, replay.Corrupt} {
		m.gaps.WithLabelValues(string(reason))
	}
	for _, reason := range []bye{byeShutdown, byeExpiredToken, byeLifetime, byeOverloaded,
		byeDisconnected, byeUnavailable} {
		m.byes.WithLabelValues(string(reason))
	}
	for _, kind := range []string{faultAccept, faultTLS, faultPanic, faultOther} {
		m.faults.WithLabelValues(kind)
	}
}

// published counts a publish that was answered with 2xx.
func (m *metrics) published(replayed bool) {
	if replayed {
		m.replayed.Inc()
		return
	}
	m.stored.Inc()
}

// refused counts a publish that ended with a problem of this code.
func (m *metrics) refused(code string) { m.publishes.WithLabelValues(code).Inc() }

func (m *metrics) gap(g *replay.Gap) { m.gaps.WithLabelValues(string(g.Reason)).Inc() }

// step counts the gap and the bye of a stream's step.
func (m *metrics) step(st *step) {
	if st.gap != nil {
		m.gap(st.gap)
	}
	if why, ok := st.end.(bye); ok {
		m.byes.WithLabelValues(string(why)).Inc()
	}
}

// MetricsHandler answers every request with the metrics, for a separate listener. GET /metrics is the same behind the
// checks of the other endpoints.
func (s *Server) MetricsHandler() http.Handler {
	return promhttp.HandlerFor(s.metrics.registry, promhttp.HandlerOpts{
		ErrorLog: scrapeLog{s},
		// when the log fails, the other numbers are still wanted
		ErrorHandling:       promhttp.ContinueOnError,
		MaxRequestsInFlight: maxScrapes,
	})
}
