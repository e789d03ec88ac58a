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
func (m *metrics) register(registry *prometheus.Registry, caches []*serving.Cache) {
	registry.MustRegister(m.events, cacheCollector(distinct(caches)))
}

// distinct keeps one reservation of each open cache.
func distinct(caches []*serving.Cache) []*serving.Cache {
	seen := map[*introspect.Cache]bool{}
	var list []*serving.Cache
	for _, c := range caches {
		if c.Cache != nil && !seen[c.Cache] {
			seen[c.Cache] = true
			list = append(list, c)
		}
	}
	return list
}

// cacheCollector reads the statistics of the open caches when asked.
type cacheCollector []*serving.Cache

var (
	cacheLookups = prometheus.NewDesc("gatehouse_cache_lookups_total", "Token lookups by result.", []string{"issuer", "result"}, nil)
	cacheFetches = prometheus.NewDesc("gatehouse_introspections_total", "Introspections made for the cache.", []string{"issuer", "result"}, nil)
	cacheEntries = prometheus.NewDesc("gatehouse_cache_entries", "Tokens remembered.", []string{"issuer", "state"}, nil)
)

// Describe is part of prometheus.Collector.
func (c cacheCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- cacheLookups
	ch <- cacheFetches
	ch <- cacheEntries
}

// Collect is part of prometheus.Collector. Caches of one issuer are summed.
func (c cacheCollector) Collect(ch chan<- prometheus.Metric) {
	sums := map[string]introspect.Stats{}
	for _, cache := range c {
		sums[cache.Issuer] = add(sums[cache.Issuer], cache.Stats())
	}
	for issuer, s := range sums {
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
			ch <- prometheus.MustNewConstMetric(m.desc, m.kind, m.value, issuer, m.label)
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
