package storetest

import (
	"context"
	"fmt"
	"testing"

	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// storedClient is a client that a developer registered. Its alias is new.
func (e *env) storedClient(developer string) model.StoredClient {
	id := newID()
	return model.StoredClient{
		Service: e.service, Alias: fmt.Sprint("client-", id), Developer: developer, Settings: []byte(`{"client_name":"Ålice's"}`),
		Sealed: []byte{0, 1, 255}, TokenHash: hashOf(id), CreatedAt: past, ModifiedAt: now, Version: 1,
	}
}

// registered writes a client and returns it with the id it was given.
func (e *env) registered(t testing.TB, c model.StoredClient) model.StoredClient {
	t.Helper()
	e.write(t, store.InsertClient{Client: c})
	got, err := e.StoredClientByAlias(context.Background(), c.Service, c.Alias)
	c.ID = got.ID
	equal(t, "client by alias", c, got, err)
	if c.ID <= 0 {
		t.Fatalf("client %q has the id %d", c.Alias, c.ID)
	}
	return c
}

// reads checks that a client is found as it is, by id and by alias.
func (e *env) reads(t testing.TB, want model.StoredClient) {
	t.Helper()
	got, err := e.StoredClient(context.Background(), want.Service, want.ID)
	equal(t, "client by id", want, got, err)
	got, err = e.StoredClientByAlias(context.Background(), want.Service, want.Alias)
	equal(t, "client by alias", want, got, err)
}

func (e *env) clientErr(service, id model.ID) error {
	_, err := e.StoredClient(context.Background(), service, id)
	return err
}

func (e *env) aliasErr(service model.ID, alias string) error {
	_, err := e.StoredClientByAlias(context.Background(), service, alias)
	return err
}

func testClients(t *testing.T, e *env) {
	t.Run("a client is read as it was written", func(t *testing.T) {
		full, bare := e.storedClient("dev"), e.storedClient("")
		bare.Sealed, bare.Settings, bare.TokenHash, bare.Version = nil, []byte(`{}`), [32]byte{}, 0
		full.ID = 1 << 40 // not looked at
		for _, c := range []model.StoredClient{full, bare} {
			c = e.registered(t, c)
			if c.ID == full.ID {
				t.Error("the id was looked at")
			}
			e.reads(t, c)
		}
		fails(t, "one that does not exist", store.ErrNotFound, e.clientErr(e.service, newID()))
		fails(t, "an alias that nobody has", store.ErrNotFound, e.aliasErr(e.service, "nobody"))
		fails(t, "an alias in other letters", store.ErrNotFound, e.aliasErr(e.service, "CLIENT"+full.Alias[len("client"):]))
	})
	t.Run("an alias is taken once, for ever", func(t *testing.T) { testAliases(t, e) })
	t.Run("a change needs the version before it", func(t *testing.T) { testUpdateClient(t, e) })
	t.Run("a developer has so many clients at most", func(t *testing.T) { testMostClients(t, e) })
}

func testAliases(t *testing.T, e *env) {
	ctx := context.Background()
	first, named := e.registered(t, e.storedClient("dev")), e.storedClient("dev")
	ids, err := e.EnsureClients(ctx, e.service, []string{named.Alias, first.Alias})
	if err != nil || ids[first.Alias] != first.ID || ids[named.Alias] == first.ID {
		t.Errorf("EnsureClients = %v, %v after client %d", ids, err, first.ID)
	}
	fails(t, "a client that only has a name", store.ErrNotFound, e.clientErr(e.service, ids[named.Alias]))
	fails(t, "a client that only has a name", store.ErrNotFound, e.aliasErr(e.service, named.Alias))
	e.refused(t, store.ErrConflict, store.InsertClient{Client: named})
	e.refused(t, store.ErrNotFound, store.DeleteClient{Service: e.service, ID: ids[named.Alias]})
	again := e.storedClient("other")
	again.Alias = first.Alias
	e.refused(t, store.ErrConflict, store.InsertClient{Client: again})
	e.reads(t, first)

	e.write(t, store.DeleteClient{Service: e.service, ID: first.ID})
	fails(t, "the client that was removed", store.ErrNotFound, e.clientErr(e.service, first.ID))
	fails(t, "the client that was removed", store.ErrNotFound, e.aliasErr(e.service, first.Alias))
	e.refused(t, store.ErrNotFound, store.DeleteClient{Service: e.service, ID: first.ID})
	e.refused(t, store.ErrNotFound, store.UpdateClient{Client: first})
	e.refused(t, store.ErrConflict, store.InsertClient{Client: first})
	kept, err := e.EnsureClients(ctx, e.service, []string{first.Alias})
	equal(t, "the id of the alias", first.ID, kept[first.Alias], err)

	next := e.registered(t, e.storedClient("dev"))
	if next.ID == first.ID || next.ID == ids[named.Alias] {
		t.Errorf("the id %d was given again", next.ID)
	}
	s := *e
	s.service = e.newService(t)
	elsewhere := next
	elsewhere.Service = s.service
	elsewhere = s.registered(t, elsewhere) // another service's aliases are its own
	if elsewhere.ID == next.ID {
		t.Error("a client of another service has the same id")
	}
	e.reads(t, next)
}

func testUpdateClient(t *testing.T, e *env) {
	c, other := e.registered(t, e.storedClient("dev")), e.registered(t, e.storedClient("dev"))
	for _, sealed := range [][]byte{{9, 8}, nil} {
		changed := c
		changed.Settings, changed.Sealed, changed.TokenHash = []byte(`{"scope":"a"}`), sealed, hashOf(newID())
		changed.ModifiedAt = future
		changed.Alias, changed.Developer, changed.CreatedAt = "stolen", "mallory", 1 // kept as they are
		e.write(t, store.UpdateClient{Client: changed})
		e.refused(t, store.ErrNotFound, store.UpdateClient{Client: changed}) // it has another version now
		changed.Alias, changed.Developer, changed.CreatedAt = c.Alias, c.Developer, c.CreatedAt
		changed.Version++
		c = changed
		e.reads(t, c)
	}
	for _, version := range []int64{0, c.Version - 1, c.Version + 1} {
		wrong := c
		wrong.Version, wrong.Settings = version, []byte(`{"lost":true}`)
		e.refused(t, store.ErrNotFound, store.UpdateClient{Client: wrong})
	}
	missing := c
	missing.ID = newID()
	e.refused(t, store.ErrNotFound, store.UpdateClient{Client: missing})
	e.reads(t, c)
	e.reads(t, other)
}

func testMostClients(t *testing.T, e *env) {
	for _, developer := range []string{"busy", ""} {
		s := *e
		s.service = e.newService(t)
		first := s.registered(t, s.storedClient(developer))
		s.registered(t, s.storedClient("another"))
		most := func(c model.StoredClient, most int) store.InsertClient {
			return store.InsertClient{Client: c, Most: most}
		}
		s.write(t, most(s.storedClient(developer), 2))
		third := s.storedClient(developer)
		s.refused(t, store.ErrSpent, most(third, 2))
		s.refused(t, store.ErrSpent, most(third, 1))
		fails(t, "the client that was one too many", store.ErrNotFound, s.aliasErr(s.service, third.Alias))
		s.write(t, store.DeleteClient{Service: s.service, ID: first.ID})
		s.write(t, most(third, 2)) // its alias was not taken by the attempts
		s.refused(t, store.ErrSpent, most(s.storedClient(developer), 2))
		s.write(t, most(s.storedClient(developer), 0))
		s.write(t, most(s.storedClient("another"), 2))
		s.refused(t, store.ErrSpent, most(s.storedClient("another"), 2), store.InsertGrant{Grant: s.grant()})
		elsewhere := s.storedClient(developer)
		elsewhere.Service = e.newService(t)
		s.write(t, most(elsewhere, 1)) // a service counts its own
	}
}
