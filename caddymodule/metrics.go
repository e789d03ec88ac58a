package caddymodule

import (
	"github.com/caddyserver/caddy/v2"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/gatehouse-auth/gatehouse/caddymodule/serving"
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/introspect"
)

// metrics are the collectors of this process. They are built once, count on
// through reloads, and are registered with each configuration's registry.
type metrics struct {
	events   *prometheus.CounterVec
	refusals *prometheus.CounterVec
	away     *prometheus.CounterVec
}

// Labels are bounded: issuers, realms and operations are ours, grant types,
// error codes and reasons come from the specifications (CVE-2026-16100).
func newMetrics() *metrics {
	return &metrics{
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "gatehouse", Name: "events_total",
			Help: "What the engine did: issued, refused, revoked, reuse_detected, registered, logged_out, logout_failed, keys_failed.",
		}, []string{"issuer", "event", "operation", "grant_type", "code"}),
		refusals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "gatehouse", Name: "refusals_total",
			Help: "Requests that the gateway refused, by realm and reason.",
		}, []string{"realm", "reason"}),
		away: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "gatehouse", Name: "turned_away_total",
			Help: "Requests that a server answered with 503 since too many were there.",
		}, []string{"issuer", "lane"}),
	}
}

// Destruct is part of caddy.Destructor.
func (m *metrics) Destruct() error { return nil }

// countOn takes the collectors of the configuration before, or builds them.
func (a *App) countOn() error {
	const key = "metrics"
	value, _, err := pool.LoadOrNew(key, func() (caddy.Destructor, error) { return newMetrics(), nil })
	if err != nil {
		return err
	}
	a.held = append(a.held, func() { _, _ = pool.Delete(key) })
	a.metrics = value.(*metrics)
	return nil
}

func (m *metrics) count(issuer string, e model.Event) {
	m.events.WithLabelValues(issuer, string(e.Kind), e.Operation, string(e.GrantType), e.Code).Inc()
}

// Refused is part of serving.App.
func (a *App) Refused(realm string, reason introspect.Reason) {
	a.metrics.refusals.WithLabelValues(realm, string(reason)).Inc()
}

// register adds the collectors to a configuration's registry.
func (m *metrics) register(registry *prometheus.Registry, introspectors []*serving.Introspector, entrances entranceCollector) {
	registry.MustRegister(m.events, m.refusals, m.away, cacheCollector(distinct(introspectors)), entrances)
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
