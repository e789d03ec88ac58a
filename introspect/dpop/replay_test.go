package dpop

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/engine/dpop/dpoptest"
	"github.com/gatehouse-auth/gatehouse/introspect"
)

// RFC 9449 §11.1: a proof is used once, however many requests bring it at once.
func TestOneProofManyRequests(t *testing.T) {
	clock := newClock()
	v, s := newVerifier(t, clock, Options{}), dpoptest.NewKey(t, "ES256")
	for _, requests := range []int{2, 16, 64} {
		proof, request := prove(t, s, clock.unix(), nil, nil), sampleRequest(t)
		var good, again atomic.Int64
		var wg sync.WaitGroup
		barrier := make(chan struct{})
		for range requests {
			wg.Go(func() {
				<-barrier
				_, err := v.Check([]string{proof}, request)
				refusal, _ := errors.AsType[*introspect.Refusal](err)
				switch {
				case err == nil:
					good.Add(1)
				case refusal != nil && refusal.Description == "The DPoP proof was used before.":
					again.Add(1)
				}
			})
		}
		close(barrier)
		wg.Wait()
		if good.Load() != 1 || again.Load() != int64(requests-1) {
			t.Errorf("%d requests: %d succeeded, %d were told of the first", requests, good.Load(), again.Load())
		}
	}
}

// A proof cannot be used again while its iat is good, nor a little later if it
// was checked before, whenever in a shard's generations it was used, and be the
// shard busy or idle since; after that, iat refuses it.
func TestReplayWithinTheWindow(t *testing.T) {
	s := dpoptest.NewKey(t, "ES256")
	for phase := time.Duration(0); phase <= 150*time.Second; phase += step {
		replayWithinTheWindow(t, s, phase, true)
		replayWithinTheWindow(t, s, phase, false)
	}
}

const step = 250 * time.Millisecond

func replayWithinTheWindow(t *testing.T, s *sender, phase time.Duration, busy bool) {
	t.Helper()
	clock := newClock()
	clock.pass(step) // generations turn between seconds
	v := newVerifier(t, clock, Options{})
	mark := v.replays.mark(s.Thumbprint(t), "1")
	shard := &v.replays.shards[mark[0]%64]
	shard.turn(clock.now(), v.replays.window)
	clock.pass(phase)
	iat := clock.unix() + 5 // as far in the future as may be
	proof := prove(t, s, iat, nil, members{"jti": "1"})
	wantGood(t, check(t, v, proof), true)
	for clock.now().Add(step).Unix()-iat <= 60 {
		clock.pass(step)
		if busy {
			shard.turn(clock.now(), v.replays.window)
		}
	}
	const known = "The DPoP proof was used before."
	if refusal := wantCode(t, check(t, v, proof), introspect.CodeInvalidDPoPProof); refusal == nil || refusal.Description != known {
		t.Fatalf("%v into a generation: %v", phase, refusal)
	}
	clock.pass(step)
	if refusal := wantCode(t, check(t, v, proof), introspect.CodeInvalidDPoPProof); refusal == nil || refusal.Description == known {
		t.Fatalf("%v into a generation, iat is still good: %v", phase, refusal)
	}
	clock.pass(stall - step)
	if got := v.replays.use(s.Thumbprint(t), "1", clock.now()); got != replayed {
		t.Fatalf("%v into a generation, one that stalled: %d", phase, got)
	}
}

// A jti is one key's: another's is another proof (RFC 9449 §4.2). One that is
// refused for anything is not remembered.
func TestWhatIsRemembered(t *testing.T) {
	clock := newClock()
	v, s, other := newVerifier(t, clock, Options{}), dpoptest.NewKey(t, "ES256"), dpoptest.NewKey(t, "ES256")
	jti := members{"jti": "1"}
	wantGood(t, check(t, v, prove(t, s, clock.unix(), nil, jti.With(members{"htm": "PUT"}))), false)
	wantGood(t, check(t, v, prove(t, s, clock.unix(), members{"jwk": other.JWK}, jti)), false)
	request := sampleRequest(t)
	request.JKT = other.Thumbprint(t)
	_, err := v.Check([]string{prove(t, s, clock.unix(), nil, jti)}, request)
	wantCode(t, err, introspect.CodeInvalidToken)

	wantGood(t, check(t, v, prove(t, s, clock.unix(), nil, jti)), true)
	wantGood(t, check(t, v, prove(t, s, clock.unix(), nil, jti)), false)
	wantGood(t, check(t, v, prove(t, other, clock.unix(), nil, jti)), true)
}

// Whoever floods the cache with proofs makes nobody's replayable: what does not
// fit is refused with 503, and there is room again when the flood is out of date.
func TestFullCacheFailsClosed(t *testing.T) {
	const most = 256
	clock := newClock()
	v, s := newVerifier(t, clock, Options{MaxReplays: most}), dpoptest.NewKey(t, "ES256")
	victim := prove(t, s, clock.unix(), nil, nil)
	wantGood(t, check(t, v, victim), true)
	taken := 0
	for i := range 100 * most {
		if v.replays.use("attacker", fmt.Sprint(i), clock.now()) == used {
			taken++
		}
	}
	if taken != most-1 {
		t.Errorf("%d were taken besides the first, of %d", taken, most)
	}
	refusal := wantCode(t, check(t, v, prove(t, s, clock.unix(), nil, nil)), introspect.CodeTemporarilyUnavailable)
	if refusal.Status != 503 || refusal.RetryAfter <= 0 || !errors.Is(refusal, errFull) {
		t.Errorf("%+v", refusal)
	}
	wantGood(t, check(t, v, victim), false)
	clock.pass(v.replays.window)
	wantCode(t, check(t, v, prove(t, s, clock.unix(), nil, nil)), introspect.CodeTemporarilyUnavailable)
	clock.pass(v.replays.window)
	wantGood(t, check(t, v, prove(t, s, clock.unix(), nil, nil)), true)
}

// An idle shard keeps nothing of two windows ago, a busy one no more than two.
func TestGenerationsAreForgotten(t *testing.T) {
	clock := newClock()
	r := newReplays(1<<20, time.Minute)
	for i := range 10_000 {
		if got := r.use("key", fmt.Sprint(i), clock.now()); got != used {
			t.Fatal(got)
		}
		if i%100 == 99 {
			clock.pass(time.Second)
		}
	}
	kept := 0
	for i := range r.shards {
		kept += len(r.shards[i].younger) + len(r.shards[i].elder)
	}
	if kept < 6_000 || kept > 12_000 {
		t.Errorf("%d of a hundred a second are kept", kept)
	}
	clock.pass(2 * time.Minute)
	if got := r.use("key", "1", clock.now()); got != used {
		t.Errorf("a proof of long ago: %d", got)
	}
}

// What is out of bounds stops the start (threats.md 25, 35); the rest of the
// bounds are engine/dpop's.
func TestNewRefusesOptions(t *testing.T) {
	for name, o := range map[string]Options{
		"no room":                     {MaxReplays: -1},
		"negative skew":               {Skew: -time.Second},
		"an hour and the usual skew":  {MaxAge: time.Hour},
		"no random bytes":             {Random: strings.NewReader("")},
		"random bytes for half of it": {Random: strings.NewReader(strings.Repeat("x", 40))},
	} {
		if _, err := New(o); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
