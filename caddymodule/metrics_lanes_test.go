package caddymodule

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/gatehouse-auth/gatehouse/caddymodule/admission"
)

// Promise 12: a reload with the same limits keeps the places, so that there are
// not twice as many while requests of the configuration before go on; and when
// nobody needs them any more, they are gone.
func TestEntranceOutlivesReload(t *testing.T) {
	limits := admission.Options{People: admission.Limits{AtOnce: 4, Waiting: 4}, Machines: admission.Limits{AtOnce: 1, Waiting: 1}}
	wider := limits
	wider.Machines.AtOnce = 2
	const issuer = "https://as.example.com"
	before, after := new(App), new(App)
	first := before.Entrance(issuer, limits)
	if err := first.Machines.Enter(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 2 { // a service that is served twice
		if after.Entrance(issuer, limits) != first {
			t.Error("a reload makes places anew")
		}
	}
	if after.Entrance(issuer, wider) == first || after.Entrance(issuer+"/other", limits) == first {
		t.Error("others share the places")
	}
	want := map[string]float64{
		"people working": 0, "people waiting": 0, "machines working": 1, "machines waiting": 0,
		"finishing working": 0, "finishing waiting": 0, "arriving arriving": 0,
	}
	if diff := cmp.Diff(want, after.entrances.requests(t, issuer)); diff != "" {
		t.Error(diff)
	}
	for _, a := range []*App{before, after} {
		if err := a.Cleanup(); err != nil {
			t.Fatal(err)
		}
	}
	last := new(App)
	if last.Entrance(issuer, limits) == first {
		t.Error("the places are kept for nobody")
	}
	if err := last.Cleanup(); err != nil {
		t.Fatal(err)
	}
}

// requests are what the metrics tell of a service, by lane and state.
func (c entranceCollector) requests(t *testing.T, issuer string) map[string]float64 {
	t.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(c)
	families, err := registry.Gather()
	if err != nil || len(families) != 1 || families[0].GetName() != "gatehouse_requests" {
		t.Fatalf("%v %v", families, err)
	}
	found := map[string]float64{}
	for _, m := range families[0].GetMetric() {
		labels := map[string]string{}
		for _, l := range m.GetLabel() {
			labels[l.GetName()] = l.GetValue()
		}
		if labels["issuer"] == issuer {
			found[labels["lane"]+" "+labels["state"]] = m.GetGauge().GetValue()
		}
	}
	return found
}
