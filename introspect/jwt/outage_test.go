package jwt

import (
	"net/http"
	"testing"
	"time"
)

// Keys survive the issuer's outage, for MaxStale; then nothing is
// active (promise 10: keys unreachable, fail closed).
func TestOutage(t *testing.T) {
	s, stranger := newSigner(t, "ES256", "k1"), newSigner(t, "ES256", "k2")
	is := newIssuer(t, s.public(t))
	i, c := is.introspector(t, nil)
	known, unknown := is.token(t, s), is.token(t, stranger)
	want(t, i, known, "active", "before")
	want(t, i, unknown, "inactive", "an unknown kid before")

	is.down()
	c.pass(DefaultMinInterval)
	want(t, i, unknown, "unavailable", "an unknown kid in the outage")
	want(t, i, unknown, "unavailable", "an unknown kid, throttled")
	is.wantFetches(t, 2, "throttled")
	want(t, i, known, "active", "a known kid in the outage")
	if err := i.Status().Err; err == nil || err.Error() != "fetching the keys: jwks_uri: status 502" {
		t.Errorf("the status says %v", err)
	}

	c.pass(DefaultMaxStale - DefaultMinInterval - 1)
	want(t, i, known, "active", "a known kid at the end of max stale")
	until(t, "that fetch's end", func() bool { return i.keys.last.Load().landed() })
	is.wantFetches(t, 3, "in the background")
	c.pass(time.Hour)
	want(t, i, known, "unavailable", "a known kid after max stale")

	is.publish(s.public(t))
	want(t, i, known, "unavailable", "too soon after the last failure")
	c.pass(time.Hour)
	want(t, i, known, "active", "when the issuer is back")
	if status := i.Status(); status.Err != nil || status.Keys != 1 || !status.Fetched.Equal(c.now()) {
		t.Errorf("status %+v", status)
	}
}

// In an outage, requests with known keys wait for nobody, also while a fetch
// hangs; only the first one does, when the keys are due and nothing was heard of
// an outage yet.
func TestOutageMakesNobodyWait(t *testing.T) {
	s := newSigner(t, "ES256", "k1")
	is := newIssuer(t, s.public(t))
	i, c := is.introspector(t, func(o *Options) { o.Timeout = 10 * time.Second })
	token := is.token(t, s)
	want(t, i, token, "active", "before")

	is.down()
	c.pass(DefaultRefresh)
	want(t, i, token, "active", "due, and the issuer is down")
	is.wantFetches(t, 2, "asked first")

	is.stuck(t)
	c.pass(time.Hour)
	want(t, i, token, "active", "as a fetch begins")
	until(t, "the fetch", func() bool { return is.keysAsked.Load() == 3 })
	want(t, i, token, "active", "while it hangs")
	if i.keys.last.Load().landed() {
		t.Error("somebody waited for the fetch")
	}
	if i.Status().Err == nil {
		t.Error("the status tells of no trouble")
	}
}

// An issuer that was down at the start is asked again, each time after twice as
// long, up to a minute.
func TestBackoff(t *testing.T) {
	s := newSigner(t, "ES256", "k1")
	is := newIssuer(t, s.public(t))
	is.down()
	i, c := is.introspector(t, nil)
	token := is.token(t, s)
	want(t, i, token, "unavailable", "at the start")
	asked := int64(1)
	for _, wait := range []time.Duration{10, 20, 40, 60, 60} {
		c.pass(wait*time.Second - 1)
		want(t, i, token, "unavailable", "too soon")
		is.wantFetches(t, asked, "too soon")
		c.pass(1)
		asked++
		want(t, i, token, "unavailable", "again")
		is.wantFetches(t, asked, "again")
	}
	is.publish(s.public(t))
	c.pass(time.Minute)
	want(t, i, token, "active", "when the issuer is back")
}

// Many gateways do not ask at the same time: what is random only adds to the
// interval, and comes before the keys are due.
func TestSpread(t *testing.T) {
	s := newSigner(t, "ES256", "k1")
	is := newIssuer(t, s.public(t))
	i, c := is.introspector(t, func(o *Options) { o.Random = func() float64 { return 0.999 } })
	token, unknown := is.token(t, s), is.token(t, newSigner(t, "ES256", "k2"))
	want(t, i, token, "active", "before")
	c.pass(DefaultMinInterval)
	want(t, i, unknown, "inactive", "within the spread")
	is.wantFetches(t, 1, "within the spread")
	c.pass(DefaultMinInterval / 10)
	want(t, i, unknown, "inactive", "after it")
	is.wantFetches(t, 2, "after it")
	c.pass(DefaultRefresh * 89 / 100)
	want(t, i, token, "active", "before the fetch ahead")
	is.wantFetches(t, 2, "before the fetch ahead")
	c.pass(DefaultRefresh / 100)
	want(t, i, token, "active", "at the fetch ahead")
	until(t, "the fetch ahead", func() bool { return is.keysAsked.Load() == 3 })
}

// OpenID Connect Discovery 1.0 §3: jwks_uri may move, so metadata are read again
// when the keys are, and at once when the keys are not where they were.
func TestKeysMove(t *testing.T) {
	s, next := newSigner(t, "ES256", "k1"), newSigner(t, "ES256", "k2")
	is := newIssuer(t, s.public(t))
	i, c := is.introspector(t, nil)
	want(t, i, is.token(t, s), "active", "before")

	body := jwks(next.public(t))
	is.on("/moved", func(w http.ResponseWriter, _ *http.Request) { is.json(w, body) })
	is.on(pathOpenID, func(w http.ResponseWriter, _ *http.Request) {
		is.json(w, object{"issuer": is.URL, "jwks_uri": is.URL + "/moved"}.json())
	})
	is.on(pathJWKS, http.NotFound)
	c.pass(DefaultMinInterval)
	want(t, i, is.token(t, next), "unavailable", "not where they were")
	c.pass(DefaultMinInterval)
	want(t, i, is.token(t, next), "active", "where they are")

	moved := jwks(s.public(t))
	is.on("/again", func(w http.ResponseWriter, _ *http.Request) { is.json(w, moved) })
	is.on(pathOpenID, func(w http.ResponseWriter, _ *http.Request) {
		is.json(w, object{"issuer": is.URL, "jwks_uri": is.URL + "/again"}.json())
	})
	c.pass(DefaultRefresh)
	want(t, i, is.token(t, s), "active", "moved while the old place still answers")
}
