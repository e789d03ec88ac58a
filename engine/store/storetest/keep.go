package storetest

import (
	"context"
	"fmt"
	"testing"

	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// only checks that of some access tokens one alone is found, or none.
func (e *env) only(t testing.TB, only model.ID, tokens ...model.AccessToken) {
	t.Helper()
	for i, a := range tokens {
		want := store.ErrNotFound
		if a.ID == only {
			want = nil
		}
		fails(t, fmt.Sprintf("token %d of %d", i+1, len(tokens)), want, e.accessErr(e.service, a.ID))
	}
}

func testKeepAccessToken(t *testing.T, e *env) {
	// In a service of its own: alice at client 1 has grants elsewhere.
	s := *e
	s.service = e.newService(t)
	t.Run("one token is left of a subject's at a client", func(t *testing.T) { testKeepOne(t, &s) })
	t.Run("another subject's and another client's tokens stay", func(t *testing.T) { testKeepOthers(t, &s) })
	t.Run("a refresh names another token", func(t *testing.T) { testKeepRefresh(t, &s) })
	t.Run("it is undone with its write", func(t *testing.T) {
		_, a, _ := s.issued(t)
		b := s.accessToken(newID())
		s.refused(t, store.ErrNotFound, s.keep(b.ID), store.InsertAccessToken{Token: b})
		s.only(t, a.ID, a, b)
	})
	t.Run("many at once, beside refreshes", func(t *testing.T) {
		stores := []store.Store{e.Store, e.open(t)}
		for range 3 {
			for _, n := range []int{2, 16, 64} {
				own := *e
				own.service = e.newService(t)
				own.raceKeep(t, n, stores)
			}
		}
	})
}

func (e *env) keep(access model.ID) store.KeepAccessToken {
	return store.KeepAccessToken{Service: e.service, Subject: "alice", Client: 1, Access: access}
}

// signIn is the write of a sign-in whose token is to be the only one.
func (e *env) signIn(client model.ID) (model.AccessToken, []store.Step) {
	g := e.grant()
	g.Client = client
	a := e.accessToken(g.ID)
	keep := e.keep(a.ID)
	keep.Client = client
	return a, []store.Step{store.InsertGrant{Grant: g}, keep, store.InsertAccessToken{Token: a}}
}

// raceKeep signs alice in at two clients while grants of hers whose tokens have
// ended are refreshed. One token is left of the sign-ins at each client, and who
// refreshed has one that counts, or the feed says that it ended (threats 18, 19).
func (e *env) raceKeep(t *testing.T, n int, stores []store.Store) {
	ctx := context.Background()
	ids, err := e.EnsureClients(ctx, e.service, []string{"a", "b"})
	if err != nil {
		t.Fatal(err)
	}
	clients := []model.ID{ids["a"], ids["b"]}
	refreshed := make([]model.AccessToken, n)
	for i := range refreshed {
		a, steps := e.signIn(clients[0])
		e.write(t, steps...)
		refreshed[i] = e.accessToken(a.Grant)
	}
	_, steps := e.signIn(clients[0]) // and so ends what they have
	e.write(t, steps...)
	page, err := e.Changes(ctx, e.service, model.Place{}, 0)
	if err != nil {
		t.Fatal(err)
	}
	signedIn := [2][]model.AccessToken{make([]model.AccessToken, n), make([]model.AccessToken, n)}
	for i, err := range race(3*n, stores, func(s store.Store, i int) error {
		k, at := i/3, i%3
		if at == 2 {
			return s.Write(ctx, store.ExtendGrant{Service: e.service, ID: refreshed[k].Grant, Access: refreshed[k].ID},
				store.InsertAccessToken{Token: refreshed[k]})
		}
		a, steps := e.signIn(clients[at])
		signedIn[at][k] = a
		return s.Write(ctx, steps...)
	}) {
		fails(t, fmt.Sprint("call ", i), nil, err)
	}
	for at, tokens := range signedIn {
		left := 0
		for _, a := range tokens {
			if e.accessErr(e.service, a.ID) == nil {
				left++
			}
		}
		equal(t, fmt.Sprint("tokens left of sign-ins at client ", at), 1, left, nil)
	}
	page, err = e.Changes(ctx, e.service, page.Next, 10_000)
	if err != nil {
		t.Fatal(err)
	}
	told := map[model.ID]bool{}
	for _, c := range page.Changes {
		told[c.Ref] = told[c.Ref] || c.Kind == model.ChangeGrantRevoked
	}
	for i, a := range refreshed {
		if e.accessErr(e.service, a.ID) != nil && !told[a.Grant] {
			t.Errorf("the token of refresh %d has ended, and nobody is told", i)
		}
	}
}

func testKeepOne(t *testing.T, e *env) {
	g1, a1, r1 := e.issued(t)
	g2, a2, _ := e.issued(t)
	b1 := e.accessToken(g1.ID)
	e.write(t, store.InsertAccessToken{Token: b1})
	tokens := []model.AccessToken{a1, b1, a2}
	for i, grant := range []model.Grant{g2, g1, g1, g2} { // a grant again, and another
		next := e.accessToken(grant.ID)
		steps := []store.Step{e.keep(next.ID), store.InsertAccessToken{Token: next}}
		if i%2 == 1 { // in any order
			steps[0], steps[1] = steps[1], steps[0]
		}
		e.write(t, steps...)
		tokens = append(tokens, next)
		e.only(t, next.ID, tokens...)
		got, _, err := e.AccessToken(context.Background(), e.service, next.ID)
		equal(t, "the token that counts", next, got, err)
	}

	fails(t, "a refresh token", nil, e.refreshErr(e.service, r1.ID))
	for _, g := range []model.Grant{g1, g2} {
		got, err := e.Grant(context.Background(), e.service, g.ID)
		equal(t, "grant", g, got, err)
	}
	late := e.accessToken(g1.ID) // unless ExtendGrant names it
	e.write(t, store.InsertAccessToken{Token: late})
	e.only(t, 0, late)
	fresh, a, _ := e.issued(t)
	b := e.accessToken(fresh.ID)
	e.write(t, store.InsertAccessToken{Token: b})
	fails(t, "a token of a grant that came afterwards", nil, e.accessErr(e.service, a.ID))
	fails(t, "another of it", nil, e.accessErr(e.service, b.ID))
}

func testKeepOthers(t *testing.T, e *env) {
	for name, change := range map[string]func(*model.Grant){
		"another subject":               func(g *model.Grant) { g.Subject = "bob" },
		"a subject that begins alike":   func(g *model.Grant) { g.Subject = "alic" },
		"a client that acts for itself": func(g *model.Grant) { g.Subject = "" },
		"another client":                func(g *model.Grant) { g.Client = 2 },
	} {
		t.Run(name, func(t *testing.T) {
			g := e.grant()
			change(&g)
			a := e.accessToken(g.ID)
			e.write(t, store.InsertGrant{Grant: g}, store.InsertAccessToken{Token: a})
			e.write(t, e.keep(newID()))
			e.only(t, a.ID, a)
		})
	}
}

func testKeepRefresh(t *testing.T, e *env) {
	g, a, r := e.issued(t)
	other, b, _ := e.issued(t)
	c := e.accessToken(other.ID)
	extend := store.ExtendGrant{Service: e.service, ID: g.ID, Until: future}

	// Before anything was kept, naming a token ends none.
	extend.Access = newID()
	e.write(t, extend)
	e.only(t, a.ID, a)

	e.write(t, store.InsertAccessToken{Token: c}, e.keep(c.ID))
	e.only(t, c.ID, a, b, c)
	extend.Access = 0
	e.write(t, extend)
	e.only(t, c.ID, a, b, c)

	// A refresh under the grant whose tokens had ended (RFC 6749 §6) gives it
	// one again, and leaves the other grant's.
	next := e.accessToken(g.ID)
	extend.Access = next.ID
	e.write(t, store.RenewAccessToken{Service: e.service, ID: r.ID, Access: next.ID, Now: now}, extend, store.InsertAccessToken{Token: next})
	e.only(t, next.ID, a, next)
	e.only(t, c.ID, b, c)

	// Rotation does the same, and ends the one before.
	last := e.accessToken(g.ID)
	successor := e.refreshToken(g.ID, last.ID)
	extend.Access = last.ID
	e.write(t, store.RotateRefreshToken{Service: e.service, ID: r.ID, Successor: successor.ID, Now: now}, extend,
		store.InsertAccessToken{Token: last}, store.InsertRefreshToken{Token: successor})
	e.only(t, last.ID, a, next, last)
	e.only(t, c.ID, b, c)

	end := e.accessToken(g.ID)
	e.write(t, e.keep(end.ID), store.InsertAccessToken{Token: end})
	e.only(t, end.ID, a, b, c, next, last, end)
	e.refused(t, store.ErrNotFound, store.ExtendGrant{Service: e.service, ID: newID(), Until: future, Access: newID()})
}

// testKeepTells holds that what ends is told, and what goes on without a token
// that counted is not.
func testKeepTells(t *testing.T, e *env) {
	s := *e
	s.service = e.newService(t)
	g1, _, _ := s.issued(t)
	g2, _, _ := s.issued(t)
	l := listen(s)
	defer l.cancel()
	told := func(t *testing.T, what string, want ...model.ID) {
		t.Helper()
		got := map[model.ID]int{}
		for _, c := range l.take() {
			equal(t, "change", model.Change{Service: s.service, Kind: model.ChangeGrantRevoked, Ref: c.Ref}, c, nil)
			got[c.Ref]++
		}
		for _, id := range want {
			if got[id] == 0 {
				t.Errorf("%s: grant %d is not told of", what, id)
			}
		}
	}
	a := s.accessToken(g1.ID)
	s.write(t, s.keep(a.ID), store.InsertAccessToken{Token: a})
	told(t, "the first to be kept", g1.ID, g2.ID)

	b := s.accessToken(g2.ID)
	s.write(t, store.InsertAccessToken{Token: b}, s.keep(b.ID))
	told(t, "one kept in another grant", g1.ID)

	c := s.accessToken(g2.ID)
	s.write(t, store.ExtendGrant{Service: s.service, ID: g2.ID, Until: future, Access: c.ID}, store.InsertAccessToken{Token: c})
	told(t, "one named in the place of another", g2.ID)

	d := s.accessToken(g1.ID)
	s.write(t, store.ExtendGrant{Service: s.service, ID: g1.ID, Until: future, Access: d.ID}, store.InsertAccessToken{Token: d})
	equal(t, "what naming one tells where none was", 0, len(l.take()), nil)
	s.write(t, s.keep(newID()))
	told(t, "none left", g1.ID, g2.ID)
}
