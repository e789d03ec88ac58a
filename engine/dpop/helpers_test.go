package dpop

import (
	"crypto/rand"
	"errors"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/engine/dpop/dpoptest"
)

const (
	sampleToken = "at_AAAB3kQ9tY0x_4fXl2m8c0aVd6oTqkq3v9Zr7wL1yHnPbEuSgJiKfMxR"
	sampleURL   = "https://api.example.com/orders"
)

// clock is time that tests own.
type clock struct{ nanos atomic.Int64 }

func newClock() *clock { return clockAt(1_800_000_000) }

func clockAt(unix int64) *clock {
	c := &clock{}
	c.nanos.Store(unix * int64(time.Second))
	return c
}

func (c *clock) now() time.Time        { return time.Unix(0, c.nanos.Load()) }
func (c *clock) unix() int64           { return c.now().Unix() }
func (c *clock) pass(by time.Duration) { c.nanos.Add(int64(by)) }

// sender is a client with a key.
type (
	sender  = dpoptest.Key
	members = dpoptest.Members
)

// prove makes the proof for the sample request at a time, with changes.
func prove(t testing.TB, s *sender, now int64, header, claims members) string {
	t.Helper()
	good := members{"jti": rand.Text(), "htm": "GET", "htu": sampleURL, "iat": now, "ath": hash(sampleToken)}
	return s.Sign(t, s.Header().With(header).JSON(t), good.With(claims).JSON(t))
}

func newChecker(t testing.TB, c *clock, o Options) *Checker {
	t.Helper()
	o.Now = c.now
	checker, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return checker
}

func mustURL(t testing.TB, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func sampleRequest(t testing.TB) Request {
	return Request{Method: "GET", Target: mustURL(t, sampleURL), AccessToken: sampleToken}
}

// check checks a proof of the sample request.
func check(t testing.TB, c *Checker, proof string) error {
	t.Helper()
	_, err := c.Check([]string{proof}, sampleRequest(t))
	return err
}

// wantCode fails unless an error has the code, or is none for "".
func wantCode(t testing.TB, err error, code string) {
	t.Helper()
	bad, _ := errors.AsType[*Error](err)
	switch {
	case code == "" && err != nil:
		t.Errorf("refused: %v", err)
	case code != "" && (bad == nil || bad.Code != code || bad.Description == ""):
		t.Errorf("got %v, want %s", err, code)
	}
}
