package jwt

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-auth/gatehouse/introspect"
)

// Promise 7: unknown kids make one fetch in an interval, whatever arrives.
func TestPromise7UnknownKid(t *testing.T) {
	s := newSigner(t, "ES256", "k1")
	is := newIssuer(t, s.public(t))
	i, c := is.introspector(t, nil)
	spray := func() {
		t.Helper()
		var wg sync.WaitGroup
		for n := range 300 {
			kid := fmt.Sprintf("%d-%s", n, rand.Text())
			token := s.sign(t, claims().with(object{"iss": is.URL}).json(), object{"kid": kid})
			wg.Go(func() { want(t, i, token, "inactive", "an unknown kid") })
		}
		wg.Wait()
	}
	spray()
	is.wantFetches(t, 1, "300 random kids at once, at the start")
	spray()
	is.wantFetches(t, 1, "300 more in the same interval")
	c.pass(DefaultMinInterval)
	spray()
	is.wantFetches(t, 2, "300 in the next interval")
	want(t, i, is.token(t, s), "active", "the known kid")
	if got := i.Status(); got.Throttled < 300 || got.Fetches != 2 {
		t.Errorf("status %+v", got)
	}
	if got := is.metadata.Load(); got != 1 {
		t.Errorf("the metadata was fetched %d times, want 1", got)
	}
}

// Threat 16: a kid is compared, and is part of no address.
func TestKidIsNoAddress(t *testing.T) {
	s := newSigner(t, "ES256", "k1")
	is := newIssuer(t, s.public(t))
	i, c := is.introspector(t, nil)
	for _, kid := range []string{"../../evil", "/evil", "?a=b", "#k1", "%2e%2e", is.URL + "/evil", "k1\x00", "' OR 1=1"} {
		want(t, i, s.sign(t, claims().with(object{"iss": is.URL}).json(), object{"kid": kid}), "inactive", kid)
		c.pass(DefaultMinInterval)
	}
	is.wantFetches(t, 8, "a fetch each")
	if diff := cmp.Diff(map[string]bool{pathOpenID: true, pathJWKS: true}, is.asked); diff != "" {
		t.Error(diff)
	}
}

// Tokens that cannot be good make no fetch at all (threats 13, 14).
func TestNoFetchForNothing(t *testing.T) {
	s := newSigner(t, "ES256", "k1")
	is := newIssuer(t, s.public(t))
	i, _ := is.introspector(t, func(o *Options) { o.Algorithms = []string{"ES256"} })
	for _, token := range []string{
		"opaque", "a.b.c", s.sign(t, claims().json(), object{"typ": "JWT"}), newSigner(t, "EdDSA", "k1").token(t),
	} {
		want(t, i, token, "inactive", token)
	}
	is.wantFetches(t, 0, "none of these")
}

// OpenID Connect Core §10.1.1: a new key counts as soon as it is asked for, one
// that is gone ends with the next fetch, and so does one whose kid is given to
// another.
func TestRotation(t *testing.T) {
	first, second := newSigner(t, "ES256", "k1"), newSigner(t, "ES256", "k2")
	is := newIssuer(t, first.public(t))
	i, c := is.introspector(t, nil)
	want(t, i, is.token(t, first), "active", "the first key")

	is.publish(second.public(t))
	want(t, i, is.token(t, second), "inactive", "a new key in the same interval")
	c.pass(DefaultMinInterval)
	want(t, i, is.token(t, second), "active", "a new key in the next one")
	want(t, i, is.token(t, first), "inactive", "a key that is gone")
	is.wantFetches(t, 2, "one for the new key")

	reused := newSigner(t, "EdDSA", "k2")
	is.publish(reused.public(t))
	c.pass(DefaultMinInterval)
	want(t, i, is.token(t, reused), "active", "a kid that another key has now")
	want(t, i, is.token(t, second), "inactive", "the one that had it")

	is.publish()
	c.pass(DefaultRefresh)
	want(t, i, is.token(t, reused), "unavailable", "an issuer without any key")
	is.publish(first.public(t))
	c.pass(DefaultMinInterval)
	want(t, i, is.token(t, first), "active", "an issuer with one again")
}

// Keys are refreshed ahead, while nobody waits.
func TestRefreshAhead(t *testing.T) {
	s := newSigner(t, "ES256", "k1")
	is := newIssuer(t, s.public(t))
	i, c := is.introspector(t, nil)
	token := is.token(t, s)
	want(t, i, token, "active", "the first time")

	c.pass(DefaultRefresh*8/10 - 1)
	want(t, i, token, "active", "within four fifths")
	is.wantFetches(t, 1, "within four fifths")

	release := is.stuck(t, s.public(t))
	c.pass(1)
	for range 10 {
		want(t, i, token, "active", "while the fetch hangs")
	}
	until(t, "the fetch ahead", func() bool { return is.keysAsked.Load() == 2 })
	release()
	until(t, "its end", func() bool { return i.keys.last.Load().landed() })
	if got := i.Status().Fetched; !got.Equal(c.now()) {
		t.Errorf("the keys were fetched at %v, want %v", got, c.now())
	}

	is.publish()
	c.pass(DefaultRefresh)
	want(t, i, token, "unavailable", "after a while without tokens, the issuer is asked first")
	is.wantFetches(t, 3, "asked first")
}

// Promise 4, for keys: one fetch for all that wait, and one that gives up
// cancels nobody.
func TestOneFetchForAll(t *testing.T) {
	s := newSigner(t, "ES256", "k1")
	is := newIssuer(t)
	release := is.stuck(t, s.public(t))
	i, _ := is.introspector(t, nil)
	token := is.token(t, s)

	impatient, giveUp := context.WithCancel(t.Context())
	gone := make(chan error)
	go func() {
		_, err := i.Introspect(impatient, token)
		gone <- err
	}()
	until(t, "the fetch", func() bool { return is.keysAsked.Load() == 1 })
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() { want(t, i, token, "active", "who waits") })
	}
	giveUp()
	if err := <-gone; !errors.Is(err, introspect.ErrUnavailable) || !errors.Is(err, context.Canceled) {
		t.Errorf("who gave up got %v", err)
	}
	release()
	wg.Wait()
	is.wantFetches(t, 1, "50 waiting")
}

// A closed key set has no goroutine left, fetches nothing and still knows what
// it knew.
func TestClose(t *testing.T) {
	s := newSigner(t, "ES256", "k1")
	is := newIssuer(t, s.public(t))
	i, c := is.introspector(t, nil)
	want(t, i, is.token(t, s), "active", "before")
	is.stuck(t)
	c.pass(DefaultMinInterval)
	asked := make(chan string)
	go func() { asked <- outcome(t, i, is.token(t, newSigner(t, "ES256", "k2"))) }()
	until(t, "the fetch", func() bool { return is.keysAsked.Load() == 2 })
	i.Close()
	if got := <-asked; got != "unavailable" {
		t.Errorf("who waited for the fetch: %s", got)
	}
	c.pass(time.Hour)
	want(t, i, is.token(t, s), "active", "a known key, after")
	want(t, i, is.token(t, newSigner(t, "ES256", "k3")), "unavailable", "an unknown key, after")
	is.wantFetches(t, 2, "after")
	i.Close()
	until(t, "the end of the connections", func() bool { return is.connections.Load() == 0 })
}

// Promise 12: a connection that is kept for later is closed as well.
func TestCloseLeavesNoConnection(t *testing.T) {
	s := newSigner(t, "ES256", "k1")
	is := newIssuer(t, s.public(t))
	i, _ := is.introspector(t, nil)
	want(t, i, is.token(t, s), "active", "before")
	if is.connections.Load() == 0 {
		t.Error("no connection was kept")
	}
	i.Close()
	until(t, "the end of the connection", func() bool { return is.connections.Load() == 0 })
}

// RFC 9701 §5: whatever else an issuer signs is verified with the same keys,
// and what it says is the caller's to judge.
func TestVerify(t *testing.T) {
	s := newSigner(t, "ES256", "k1")
	is := newIssuer(t, s.public(t))
	k, err := NewKeySet(Source{JWKSURI: is.URL + pathJWKS, Client: is.Client(), Algorithms: []string{"ES256"}, MaxToken: 32 << 10})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	payload := claims().with(object{"pad": string(make([]byte, 2<<10))}).json()
	typ, got, err := k.Verify(t.Context(), s.sign(t, payload, object{"typ": "application/Token-Introspection+JWT"}))
	if typ != "token-introspection+jwt" || string(got) != string(payload) || err != nil {
		t.Errorf("%q, %d bytes, %v", typ, len(got), err)
	}
	for name, token := range map[string]string{
		"an altered one":    s.token(t) + "A",
		"another algorithm": newSigner(t, "EdDSA", "k1").token(t),
	} {
		if typ, got, err := k.Verify(t.Context(), token); !errors.Is(err, ErrInvalid) || errors.Is(err, introspect.ErrUnavailable) || typ != "" || got != nil {
			t.Errorf("%s: %q, %s, %v", name, typ, got, err)
		}
	}
	if got := is.metadata.Load(); got != 0 {
		t.Errorf("metadata were asked for %d times", got)
	}
}
