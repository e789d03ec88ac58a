package dpop

import (
	"bytes"
	"testing"
	"time"
)

// Nodes with one key take each other's nonces, also with clocks a little off,
// for two slots; others' are nothing to them (RFC 9449 §8, §11.3).
func TestNoncesOfManyNodes(t *testing.T) {
	key := bytes.Repeat([]byte{7}, nonceKeySize)
	here, there := newClock(), newClock()
	a, b := newChecker(t, here, Options{NonceKey: key}), newChecker(t, there, Options{NonceKey: key})
	alone, other := newChecker(t, here, Options{}), newChecker(t, here, Options{NonceKey: bytes.Repeat([]byte{8}, nonceKeySize)})
	nonce := a.NewNonce()
	if nonce == alone.NewNonce() || nonce == other.NewNonce() || alone.nonces.valid(nonce, here.now()) {
		t.Error("another key makes the same nonce")
	}
	for _, test := range []struct {
		later time.Duration
		valid bool
	}{
		{-2 * nonceSlot, false}, {-nonceSlot, true}, {0, true}, {nonceSlot, true}, {2 * nonceSlot, false},
	} {
		there.nanos.Store(here.nanos.Load())
		there.pass(test.later)
		if got := b.nonces.valid(nonce, there.now()); got != test.valid {
			t.Errorf("%v later: %v", test.later, got)
		}
	}
}

// A nonce is the same for a slot and unlike the next (RFC 9449 §8: unpredictable).
func TestNonceChangesWithTheSlot(t *testing.T) {
	clock := newClock()
	v := newChecker(t, clock, Options{})
	seen := map[string]bool{}
	for range 100 {
		first := v.NewNonce()
		clock.pass(nonceSlot - time.Second)
		if v.NewNonce() != first || seen[first] || len(first) != 43 {
			t.Fatalf("%q", first)
		}
		seen[first] = true
		clock.pass(time.Second)
	}
}
