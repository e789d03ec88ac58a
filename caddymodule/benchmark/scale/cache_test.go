package main

import (
	"math"
	"math/rand/v2"
	"testing"
)

// The page's formula for what gateways ask and remember is what comes of playing
// it: each token's requests come at random (Poisson), each to any gateway.
func TestMissesAsPlayed(t *testing.T) {
	const tokens, seconds = 500, 20_000
	for _, test := range []struct {
		name                     string
		perSecond, gateways, ttl float64
	}{
		{"one gateway, long memory", 0.1, 1, 3600},
		{"one gateway, a minute", 0.1, 1, 60},
		{"many gateways, a minute", 0.1, 13, 60},
		{"many gateways, long memory", 0.1, 13, 3600},
		{"busy tokens", 0.5, 5, 30},
	} {
		t.Run(test.name, func(t *testing.T) {
			asked, known := play(rand.New(rand.NewPCG(1, 2)), tokens, seconds, test.perSecond, test.gateways, test.ttl)
			for _, got := range []struct {
				what         string
				played, want float64
			}{
				{"asked a second", asked, misses(tokens, test.perSecond, test.gateways, test.ttl)},
				{"known at a gateway", known, entries(tokens, test.perSecond, test.gateways, test.ttl)},
			} {
				if math.Abs(got.played/got.want-1) > 0.03 {
					t.Errorf("%s: %.2f as played, %.2f by the formula", got.what, got.played, got.want)
				}
			}
		})
	}
}

// play counts questions a second, and for how many tokens a gateway is within
// ttl of one on average. Tokens begin at different times, and the first third is
// left out: caches are empty at first.
func play(random *rand.Rand, tokens int, seconds, perSecond, gateways, ttl float64) (asked, known float64) {
	begin := seconds / 3
	for range tokens {
		until := make([]float64, int(gateways))
		for now := random.Float64() * ttl; now < seconds; now += random.ExpFloat64() / perSecond {
			g := random.IntN(len(until))
			if now < until[g] {
				continue
			}
			until[g] = now + ttl
			if now >= begin {
				asked++
			}
			known += max(0, min(until[g], seconds)-max(now, begin))
		}
	}
	return asked / (seconds - begin), known / (seconds - begin) / gateways
}
