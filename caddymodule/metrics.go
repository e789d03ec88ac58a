package caddymodule

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/gatehouse-auth/gatehouse/caddymodule/serving"
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/introspect"
)

// metrics are the collectors of one storage. They are built once, count on
// through reloads, and are registered with each configuration's registry.
type metrics struct {
	events *prometheus.CounterVec
}

// Labels are bounded: issuers and operations are ours, grant types and error
// codes come from the specifications (CVE-2026-16100).
func newMetrics() *metrics {
	return &metrics{
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "gatehouse", Name: "events_total",
			Help: "What the engine did: issued, refused, revoked, reuse_detected, registered, logged_out, logout_failed.",
		}, []string{"issuer", "event", "operation", "grant_type", "code"}),
	}
}

func (m *metrics) count(issuer string, e model.Event) {
	m.events.WithLabelValues(issuer, string(e.Kind), e.Operation, string(e.GrantType), e.Code).Inc()
}

// register adds the collectors to a configuration's registry.
func (m *metrics) register(registry *prometheus.Registry, introspectors []*serving.Introspector) {
	registry.MustRegister(m.events, cacheCollector(distinct(introspectors)))
}

// distinct keeps one introspector of each open cache.
func distinct(introspectors []*serving.Introspector) []*serving.Introspector {
	seen := map[*introspect.Cache]bool{}
	var list []*serving.Introspector
	for _, i := range introspectors {
		if i.Open != nil && !seen[i.Open.Cache] {
			seen[i.Open.Cache] = true
			list = append(list, i)
		}
	}
	return list
}

// cacheCollector reads the statistics of the open caches when asked.
type cacheCollector []*serving.Introspector

var (
	cacheLookups = prometheus.NewDesc("gatehouse_cache_lookups_total", "Token lookups by result.", []string{"introspector", "result"}, nil)
	cacheFetches = prometheus.NewDesc("gatehouse_introspections_total", "Introspections made for the cache.", []string{"introspector", "result"}, nil)
	cacheEntries = prometheus.NewDesc("gatehouse_cache_entries", "Tokens remembered.", []string{"introspector", "state"}, nil)
)

// Describe is part of prometheus.Collector.
func (c cacheCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- cacheLookups
	ch <- cacheFetches
	ch <- cacheEntries
}

// Collect is part of prometheus.Collector. Caches of one name are summed.
func (c cacheCollector) Collect(ch chan<- prometheus.Metric) {
	sums := map[string]introspect.Stats{}
	for _, i := range c {
		sums[i.Name] = add(sums[i.Name], i.Open.Cache.Stats())
	}
	for name, s := range sums {
		for _, m := range []struct {
			desc  *prometheus.Desc
			kind  prometheus.ValueType
			value float64
			label string
		}{
			{cacheLookups, prometheus.CounterValue, float64(s.Hits), "hit"},
			{cacheLookups, prometheus.CounterValue, float64(s.NegativeHits), "negative_hit"},
			{cacheLookups, prometheus.CounterValue, float64(s.Misses), "miss"},
			{cacheLookups, prometheus.CounterValue, float64(s.Joins), "join"},
			{cacheFetches, prometheus.CounterValue, float64(s.Fetches - s.Failures), "answered"},
			{cacheFetches, prometheus.CounterValue, float64(s.Failures), "failed"},
			{cacheEntries, prometheus.GaugeValue, float64(s.Entries), "active"},
			{cacheEntries, prometheus.GaugeValue, float64(s.Negatives), "inactive"},
		} {
			ch <- prometheus.MustNewConstMetric(m.desc, m.kind, m.value, name, m.label)
		}
	}
}

func add(a, b introspect.Stats) introspect.Stats {
	return introspect.Stats{
		Hits: a.Hits + b.Hits, NegativeHits: a.NegativeHits + b.NegativeHits,
		Misses: a.Misses + b.Misses, Joins: a.Joins + b.Joins,
		Fetches: a.Fetches + b.Fetches, Failures: a.Failures + b.Failures,
		Evictions: a.Evictions + b.Evictions,
		Entries:   a.Entries + b.Entries, Negatives: a.Negatives + b.Negatives,
	}
}
