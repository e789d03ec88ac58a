package dpop

import (
	"crypto/rand"
	"errors"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/engine/dpop/dpoptest"
	"github.com/gatehouse-auth/gatehouse/introspect"
)

const (
	sampleToken = "at_AAAB3kQ9tY0x_4fXl2m8c0aVd6oTqkq3v9Zr7wL1yHnPbEuSgJiKfMxR"
	sampleURL   = "https://api.example.com/orders"
)

// clock is time that tests own.
type clock struct{ nanos atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.nanos.Store(1_800_000_000 * int64(time.Second))
	return c
}

func (c *clock) now() time.Time        { return time.Unix(0, c.nanos.Load()) }
func (c *clock) unix() int64           { return c.now().Unix() }
func (c *clock) pass(by time.Duration) { c.nanos.Add(int64(by)) }

type (
	sender  = dpoptest.Key
	members = dpoptest.Members
)

// prove makes the proof for the sample request at a time, with changes.
func prove(t testing.TB, s *sender, now int64, header, claims members) string {
	t.Helper()
	good := members{"jti": rand.Text(), "htm": "GET", "htu": sampleURL, "iat": now, "ath": dpoptest.Hash(sampleToken)}
	return s.Sign(t, s.Header().With(header).JSON(t), good.With(claims).JSON(t))
}

func newVerifier(t testing.TB, c *clock, o Options) *Verifier {
	t.Helper()
	o.Now = c.now
	v, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func sampleRequest(t testing.TB) Request {
	t.Helper()
	u, err := url.Parse(sampleURL)
	if err != nil {
		t.Fatal(err)
	}
	return Request{Method: "GET", Target: u, AccessToken: sampleToken}
}

// check checks a proof of the sample request.
func check(t testing.TB, v *Verifier, proof string) error {
	t.Helper()
	_, err := v.Check([]string{proof}, sampleRequest(t))
	return err
}

// wantGood fails unless a proof is good, or refused as one that is not.
func wantGood(t testing.TB, err error, good bool) {
	t.Helper()
	if good {
		wantCode(t, err, "")
	} else {
		wantCode(t, err, introspect.CodeInvalidDPoPProof)
	}
}

// wantCode fails unless an error is a refusal with the code, or none for "".
func wantCode(t testing.TB, err error, code string) *introspect.Refusal {
	t.Helper()
	refusal, _ := errors.AsType[*introspect.Refusal](err)
	switch {
	case code == "" && err != nil:
		t.Errorf("refused: %v", err)
	case code != "" && (refusal == nil || refusal.Code != code || refusal.Scheme != "DPoP" || refusal.Reason == ""):
		t.Errorf("got %v, want %s", err, code)
	}
	return refusal
}
