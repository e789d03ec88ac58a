package caddymodule

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/gatehouse-auth/gatehouse/caddymodule/serving"
	"github.com/gatehouse-auth/gatehouse/introspect"
)

// cacheCollector reads the statistics of the open caches, and of what feeds
// them, when asked.
type cacheCollector []*serving.Introspector

var (
	cacheLookups   = prometheus.NewDesc("gatehouse_cache_lookups_total", "Token lookups by result.", []string{"introspector", "result"}, nil)
	cacheFetches   = prometheus.NewDesc("gatehouse_introspections_total", "Introspections made for the cache.", []string{"introspector", "result"}, nil)
	cacheTimes     = prometheus.NewDesc("gatehouse_introspection_seconds", "How long introspections took.", []string{"introspector"}, nil)
	cacheEntries   = prometheus.NewDesc("gatehouse_cache_entries", "Tokens remembered.", []string{"introspector", "state"}, nil)
	cacheEvictions = prometheus.NewDesc("gatehouse_cache_evictions_total", "Tokens forgotten to make room.", []string{"introspector"}, nil)
	streamUp       = prometheus.NewDesc("gatehouse_revocation_stream_connected", "1 while the revocation stream is heard.", []string{"introspector"}, nil)
	streamLag      = prometheus.NewDesc("gatehouse_revocation_lag_seconds", "From a revocation at the engine to its effect here, by both clocks.", []string{"introspector"}, nil)
)

// Describe is part of prometheus.Collector.
func (c cacheCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{cacheLookups, cacheFetches, cacheTimes, cacheEntries, cacheEvictions, streamUp, streamLag} {
		ch <- desc
	}
}

// Collect is part of prometheus.Collector. Caches of one name are summed.
func (c cacheCollector) Collect(ch chan<- prometheus.Metric) {
	sums := map[string]introspect.Stats{}
	for _, i := range c {
		sums[i.Name] = add(sums[i.Name], i.Open.Cache.Stats())
		collectStream(ch, i)
	}
	for name, s := range sums {
		collectCache(ch, name, s)
	}
}

func collectCache(ch chan<- prometheus.Metric, name string, s introspect.Stats) {
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
	ch <- prometheus.MustNewConstMetric(cacheEvictions, prometheus.CounterValue, float64(s.Evictions), name)
	ch <- histogram(cacheTimes, s.Times, name)
}

func collectStream(ch chan<- prometheus.Metric, i *serving.Introspector) {
	follower, ok := i.Open.Authority.(serving.Follower)
	if !ok {
		return
	}
	connected, lag, follows := follower.Stream()
	if !follows {
		return
	}
	up := 0.0
	if connected {
		up = 1
	}
	ch <- prometheus.MustNewConstMetric(streamUp, prometheus.GaugeValue, up, i.Name)
	ch <- histogram(streamLag, lag, i.Name)
}

func histogram(desc *prometheus.Desc, t introspect.Times, label string) prometheus.Metric {
	buckets, total := map[float64]uint64{}, uint64(0)
	for i, bound := range introspect.TimeBounds() {
		total += t.Counts[i]
		buckets[bound.Seconds()] = total
	}
	total += t.Counts[len(t.Counts)-1]
	return prometheus.MustNewConstHistogram(desc, total, t.Sum.Seconds(), buckets, label)
}

func add(a, b introspect.Stats) introspect.Stats {
	sum := introspect.Stats{
		Hits: a.Hits + b.Hits, NegativeHits: a.NegativeHits + b.NegativeHits,
		Misses: a.Misses + b.Misses, Joins: a.Joins + b.Joins,
		Fetches: a.Fetches + b.Fetches, Failures: a.Failures + b.Failures,
		Evictions: a.Evictions + b.Evictions,
		Entries:   a.Entries + b.Entries, Negatives: a.Negatives + b.Negatives,
		Times: introspect.Times{Sum: a.Times.Sum + b.Times.Sum},
	}
	for i := range sum.Times.Counts {
		sum.Times.Counts[i] = a.Times.Counts[i] + b.Times.Counts[i]
	}
	return sum
}
