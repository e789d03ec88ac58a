package main

// misses is how many questions a second gateways have to ask that see tokens at
// random. Each token is used perSecond times a second, at equal odds at each of
// the gateways, which remember it for ttl seconds after asking; a hit does not
// renew that. At one gateway a token is asked about, known for ttl, and comes
// again after gateways/perSecond on average: that is once in
// ttl + gateways/perSecond.
func misses(tokens, perSecond, gateways, ttl float64) float64 {
	return tokens * gateways / (ttl + gateways/perSecond)
}

// entries is how many tokens a gateway remembers at a time: those for which it is
// within ttl of asking.
func entries(tokens, perSecond, gateways, ttl float64) float64 {
	return tokens * ttl / (ttl + gateways/perSecond)
}
