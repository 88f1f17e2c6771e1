package apiserver

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"coracle.dev/coracle/internal/apiserver/request"
)

// metrics are the server's own, named as upstream names them.
type metrics struct {
	requests        *prometheus.CounterVec
	durations       *prometheus.HistogramVec
	sizes           *prometheus.HistogramVec
	dropped         *prometheus.CounterVec
	inflightReads   prometheus.Gauge
	inflightWrites  prometheus.Gauge
	longRunning     prometheus.Gauge
	unauthenticated prometheus.Counter
}

func newMetrics(r *prometheus.Registry) (*metrics, error) {
	labels := []string{"verb", "group", "version", "resource", "subresource", "scope", "component"}
	inflight := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "apiserver_current_inflight_requests",
		Help: "Requests under way, by kind; streams are not counted.",
	}, []string{"request_kind"})
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "apiserver_request_total",
			Help: "Requests by verb, group, version, resource, scope, component and HTTP code.",
		}, append(labels, "code")),
		durations: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "apiserver_request_duration_seconds",
			Help:    "Time from a request's arrival to the end of its answer, in seconds; streams are not counted.",
			Buckets: []float64{0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1, 1.5, 2, 5, 10, 30, 60},
		}, labels),
		sizes: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "apiserver_response_sizes",
			Help:    "Size of answers in bytes; streams are not counted.",
			Buckets: prometheus.ExponentialBuckets(1000, 10, 7),
		}, labels),
		dropped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "apiserver_dropped_requests_total",
			Help: "Requests refused because too many were under way.",
		}, []string{"verb"}),
		longRunning: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "apiserver_longrunning_requests", Help: "Streams under way: watches, logs, exec and the like.",
		}),
		unauthenticated: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "apiserver_authentication_failures_total", Help: "Requests whose credentials were bad.",
		}),
		inflightReads: inflight.WithLabelValues("readOnly"), inflightWrites: inflight.WithLabelValues("mutating"),
	}
	for _, c := range []prometheus.Collector{
		m.requests, m.durations, m.sizes, m.dropped, m.longRunning, m.unauthenticated, inflight,
	} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// observe counts a request that has been answered.
func (m *metrics) observe(a *request.Attributes, w *recorder, took time.Duration, long bool) {
	code := w.code
	if code == 0 {
		code = 200
	}
	values := [8]string{verbLabel(a.Verb), a.Group, a.Version, a.Resource, a.Subresource, scopeOf(a), "apiserver"}
	if !a.IsResource || code == 404 && a.Name == "" {
		// What is not known to exist must not make a label.
		values = [8]string{verbLabel(a.Verb), "", "", "", "", "", "apiserver"}
	}
	values[7] = strconv.Itoa(code)
	m.requests.WithLabelValues(values[:]...).Inc()
	if long {
		return
	}
	m.durations.WithLabelValues(values[:7]...).Observe(took.Seconds())
	m.sizes.WithLabelValues(values[:7]...).Observe(float64(w.size))
}

// verbLabel is the verb as upstream's metrics write it.
func verbLabel(verb string) string {
	switch verb {
	case "get":
		return "GET"
	case "list":
		return "LIST"
	case "watch":
		return "WATCH"
	case "create", "post":
		return "POST"
	case "update", "put":
		return "PUT"
	case "patch":
		return "PATCH"
	case "delete":
		return "DELETE"
	case "deletecollection":
		return "DELETECOLLECTION"
	case "head":
		return "HEAD"
	default:
		return "other"
	}
}

func scopeOf(a *request.Attributes) string {
	switch {
	case a.Name != "":
		return "resource"
	case a.Namespace != "":
		return "namespace"
	default:
		return "cluster"
	}
}
