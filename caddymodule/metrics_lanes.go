package caddymodule

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gatehouse-auth/gatehouse/caddymodule/admission"
)

// laneName is of one service, and is one of two.
type laneName struct{ issuer, name string }

// laneCollector reads, when asked, how many requests are in the lanes of a
// configuration. Those of one name are summed: a service may be served at more
// than one address.
type laneCollector map[laneName][]*admission.Lane

var laneRequests = prometheus.NewDesc("gatehouse_requests", "Requests that are worked on, and those on their way in.", []string{"issuer", "lane", "state"}, nil)

// Lane is part of serving.App.
func (a *App) Lane(issuer, name string, limits admission.Limits, patience time.Duration) *admission.Lane {
	lane := admission.New(limits, patience, func() { a.metrics.away.WithLabelValues(issuer, name).Inc() })
	if a.lanes == nil {
		a.lanes = laneCollector{}
	}
	key := laneName{issuer, name}
	a.lanes[key] = append(a.lanes[key], lane)
	return lane
}

// Describe is part of prometheus.Collector.
func (c laneCollector) Describe(ch chan<- *prometheus.Desc) { ch <- laneRequests }

// Collect is part of prometheus.Collector.
func (c laneCollector) Collect(ch chan<- prometheus.Metric) {
	for key, lanes := range c {
		working, waiting := 0, 0
		for _, lane := range lanes {
			w, q := lane.Load()
			working, waiting = working+w, waiting+q
		}
		ch <- prometheus.MustNewConstMetric(laneRequests, prometheus.GaugeValue, float64(working), key.issuer, key.name, "working")
		ch <- prometheus.MustNewConstMetric(laneRequests, prometheus.GaugeValue, float64(waiting), key.issuer, key.name, "waiting")
	}
}
