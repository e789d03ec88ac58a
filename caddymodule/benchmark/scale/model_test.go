package main

import (
	"math"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/caddymodule/benchmark/scale/measured"
)

// round is a machine on which everything is easy to compute.
func round() measured.File {
	operation := map[string]float64{"node_cpu_us": 100, "postgres_cpu_us": 50, "wal_bytes": 1000, "rows_written": 4}
	return measured.File{Machine: "a machine", Rows: map[string]map[string]float64{
		"postgres-refresh": operation, "postgres-introspection": operation, "postgres-introspection-cached": {"node_cpu_us": 80},
		"postgres-sign-in": {"node_cpu_us": 30_000}, "postgres-quick-sign-in": {"node_cpu_us": 1000, "postgres_cpu_us": 500, "wal_bytes": 10_000, "rows_written": 10},
		"feed": {"transactions": 1000}, "million": {"bytes": 1000},
		"bytes": {"accounts": 400, "consents": 200, "sessions": 200, "grants": 300, "access_tokens": 100, "refresh_tokens": 150, "handles": 300},
	}}
}

// The plan's numbers by hand.
func TestModel(t *testing.T) {
	a := assume()
	a.Users, a.SignInsADay, a.Peak = 86_400_000, 0.25, 4 // 1,000 sign-ins a second
	a.Checks, a.PerUser, a.TokenLife = 1e6, 0.1, 10_000  // 10,000,000 tokens, 1,000 refreshes a second
	a.NodeCores, a.Use = 10, 0.5
	m := newModel(round(), a)
	works := m.Works()
	planned := m.Planned()
	for _, test := range []struct {
		what      string
		got, want float64
	}{
		{"tokens", m.Tokens(), 1e7},
		{"sign-ins", m.SignIns(), 1000},
		{"refreshes", m.Refreshes(), 1000},
		{"gateways", m.Gateways(), 16}, // 80 cores, 5 of a node
		{"asked", planned.Asked, 1e7 / 10_010},
		{"hit", planned.Hit, 1 - 1e7/10_010/1e6},
		{"entries", planned.Entries, 1e7 * 10_000 / 10_010 / 16},
		{"sign-ins' cores", works[0].Node, 30},
		{"refreshes' cores at the primary", works[1].Database, 0.05},
		{"WAL of sign-ins", works[0].WAL, 1e7},
		{"rows written", m.Sum().Written, 10_000 + 4_000 + planned.Asked*4},
		{"cores on the bad day", m.BadDay(), 30.1 + 1e7*16/220/1e4}, // each token is known for a minute of 220 s at one of 16
		{"engines", m.Engines(), 21},
		{"Argon2id", m.Argon2id(), 0.029},
		{"hold", m.Hold(), 0.001},
		{"wait", m.FeedWait(), 0.042},
		{"ceiling", m.FeedCeiling(), 128_000},
		{"an hour's partition", m.Hour().Rows, 2000 * 3600},
		{"access tokens that are there", m.accessTokens().Rows, 2000 * (10_000 + 4200)},
		{"disk without the tokens replaced", m.Disk(), 86.4e6*(400+200+300+150) + 1000*43_200*200 + 2000*14_200*100 + 1000*4260*300},
	} {
		if math.Abs(test.got-test.want) > 1e-9*math.Abs(test.want) {
			t.Errorf("%s: %v, want %v", test.what, test.got, test.want)
		}
	}
	if err := m.err(); err != nil {
		t.Error(err)
	}
}

// JWT access tokens ask nothing, and a gateway of its own for each token asks
// less than any gateway for each.
func TestCachings(t *testing.T) {
	list := newModel(round(), assume()).Cachings()
	for i, worse := range list[:len(list)-1] {
		if better := list[len(list)-1]; better.Asked != 0 || worse.Asked <= better.Asked {
			t.Errorf("%s asks %v", worse.Name, worse.Asked)
		}
		if i%2 == 1 && (worse.Asked >= list[i-1].Asked || worse.Entries >= list[i-1].Entries) {
			t.Errorf("%s is no better than %s", worse.Name, list[i-1].Name)
		}
	}
}

// What nobody can have is refused by its name, and computes no page of NaN.
func TestAssumedNothing(t *testing.T) {
	a := assume()
	if err := a.err(); err != nil {
		t.Error(err)
	}
	for _, value := range []float64{0, -1, math.NaN(), math.Inf(1)} {
		a.PerUser = value
		if err := a.err(); err == nil || !strings.Contains(err.Error(), "-per-user") {
			t.Errorf("%v: error %v", value, err)
		}
	}
}
