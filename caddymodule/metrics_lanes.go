package caddymodule

import (
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gatehouse-auth/gatehouse/caddymodule/admission"
)

// entranceCollector reads, when asked, how many requests are in the entrances of
// a configuration, by issuer. A service may have more than one.
type entranceCollector map[string][]*admission.Entrance

var entranceRequests = prometheus.NewDesc("gatehouse_requests", "Requests that are worked on, that wait for it, or that arrive.", []string{"issuer", "lane", "state"}, nil)

// entranceKey is the identity of an entrance, by which it outlives a reload: the
// requests of the configuration before, which go on for a while, have no places
// beside those of this one.
type entranceKey struct {
	issuer  string
	options admission.Options
}

// Entrance is part of serving.App.
func (a *App) Entrance(issuer string, options admission.Options) *admission.Entrance {
	key := entranceKey{issuer, options}
	value, _ := pool.LoadOrStore(key, admission.NewEntrance(options))
	a.held = append(a.held, func() { _, _ = pool.Delete(key) })
	entrance := value.(*admission.Entrance)
	if a.entrances == nil {
		a.entrances = entranceCollector{}
	}
	if !slices.Contains(a.entrances[issuer], entrance) {
		a.entrances[issuer] = append(a.entrances[issuer], entrance)
	}
	return entrance
}

// TurnedAway is part of serving.App.
func (a *App) TurnedAway(issuer, where string) { a.metrics.away.WithLabelValues(issuer, where).Inc() }

// Describe is part of prometheus.Collector.
func (c entranceCollector) Describe(ch chan<- *prometheus.Desc) { ch <- entranceRequests }

// Collect is part of prometheus.Collector.
func (c entranceCollector) Collect(ch chan<- prometheus.Metric) {
	for issuer, entrances := range c {
		sums := map[[2]string]int{}
		for _, e := range entrances {
			for _, lane := range e.Lanes() {
				working, waiting := lane.Load()
				sums[[2]string{lane.Name, "working"}] += working
				sums[[2]string{lane.Name, "waiting"}] += waiting
			}
			sums[[2]string{admission.Arriving, "arriving"}] += e.Arrivals.Load()
		}
		for labels, sum := range sums {
			ch <- prometheus.MustNewConstMetric(entranceRequests, prometheus.GaugeValue, float64(sum), issuer, labels[0], labels[1])
		}
	}
}
