package reconcile

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"coracle.dev/coracle/internal/client"
)

// Metrics is told what the engine does. Safe for concurrent use.
type Metrics interface {
	// Queued: a key was added; depth is the queue's length then.
	Queued(controller string, depth int)
	// Started: a worker took a key that had waited this long; depth is what is left.
	Started(controller string, waited time.Duration, depth int)
	// Finished: the run took this long.
	Finished(controller string, took time.Duration, err error)
	// Retried: a key was put back with back-off.
	Retried(controller string)
	// Wrote: a write ended.
	Wrote(controller string, w client.Write, err error)
	// Leader: leadership was won or lost.
	Leader(leading bool)
}

type noMetrics struct{}

func (noMetrics) Queued(string, int)                    {}
func (noMetrics) Started(string, time.Duration, int)    {}
func (noMetrics) Finished(string, time.Duration, error) {}
func (noMetrics) Retried(string)                        {}
func (noMetrics) Wrote(string, client.Write, error)     {}
func (noMetrics) Leader(bool)                           {}

// Prometheus is a Metrics under upstream's names where the meaning is the same.
type Prometheus struct {
	depth                           *prometheus.GaugeVec
	adds, retries, failures, writes *prometheus.CounterVec
	queueDuration, workDuration     *prometheus.HistogramVec
	leader                          prometheus.Gauge
}

// NewPrometheus registers the metrics.
func NewPrometheus(reg prometheus.Registerer) (*Prometheus, error) {
	label := []string{"name"}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, append(label, labels...))
	}
	histogram := func(name, help string) *prometheus.HistogramVec {
		buckets := prometheus.ExponentialBuckets(1e-5, 10, 8)
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, label)
	}
	p := &Prometheus{
		depth:         prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "workqueue_depth", Help: "Keys that wait."}, label),
		adds:          counter("workqueue_adds_total", "Keys added."),
		retries:       counter("workqueue_retries_total", "Keys put back with back-off."),
		failures:      counter("coracle_reconcile_errors_total", "Runs that ended with an error."),
		writes:        counter("coracle_reconcile_writes_total", "Writes by result.", "verb", "resource", "result"),
		queueDuration: histogram("workqueue_queue_duration_seconds", "How long keys waited."),
		workDuration:  histogram("workqueue_work_duration_seconds", "How long runs took."),
		leader: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "leader_election_master_status", Help: "1 while this process leads.",
		}),
	}
	collectors := []prometheus.Collector{
		p.depth, p.adds, p.retries, p.failures, p.writes, p.queueDuration, p.workDuration, p.leader,
	}
	for _, c := range collectors {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// Queued implements Metrics.
func (p *Prometheus) Queued(controller string, depth int) {
	p.adds.WithLabelValues(controller).Inc()
	p.depth.WithLabelValues(controller).Set(float64(depth))
}

// Started implements Metrics.
func (p *Prometheus) Started(controller string, waited time.Duration, depth int) {
	p.queueDuration.WithLabelValues(controller).Observe(waited.Seconds())
	p.depth.WithLabelValues(controller).Set(float64(depth))
}

// Finished implements Metrics.
func (p *Prometheus) Finished(controller string, took time.Duration, err error) {
	p.workDuration.WithLabelValues(controller).Observe(took.Seconds())
	if err != nil {
		p.failures.WithLabelValues(controller).Inc()
	}
}

// Retried implements Metrics.
func (p *Prometheus) Retried(controller string) { p.retries.WithLabelValues(controller).Inc() }

// Wrote implements Metrics.
func (p *Prometheus) Wrote(controller string, w client.Write, err error) {
	result := "ok"
	if err != nil {
		result = "error"
	}
	p.writes.WithLabelValues(controller, string(w.Verb), w.Resource.String(), result).Inc()
}

// Leader implements Metrics.
func (p *Prometheus) Leader(leading bool) {
	if leading {
		p.leader.Set(1)
		return
	}
	p.leader.Set(0)
}
