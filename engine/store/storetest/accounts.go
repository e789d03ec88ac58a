package storetest

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

func (e *env) account(name string) model.Account {
	return model.Account{
		Service: e.service, ID: newID(), Name: name, Key: "key-" + name, Subject: "sub-" + name,
		PasswordHash: "$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA", CreatedAt: past,
	}
}

func (e *env) key(kid string) model.Key {
	return model.Key{Service: e.service, KID: kid, Alg: string(model.ES256), Sealed: []byte{0, 1, 2, 255}, NotBefore: past}
}

func testConsents(t *testing.T, e *env) {
	ctx := context.Background()
	full := model.Consent{
		Service: e.service, Subject: "alice", Client: 7, Scopes: []string{"openid", "email"},
		Claims: []string{"https://example.com/a claim"}, GrantedAt: past,
	}
	bare := model.Consent{Service: e.service, Subject: "alice", Client: 3, GrantedAt: now}
	other := model.Consent{Service: e.service, Subject: "bob", Client: 7, Scopes: []string{"openid"}, GrantedAt: now}
	for _, c := range []model.Consent{full, bare, other} {
		e.write(t, store.PutConsent{Consent: c})
		got, err := e.Consent(ctx, e.service, c.Subject, c.Client)
		equal(t, "consent", c, got, err)
	}
	list, err := e.Consents(ctx, e.service, "alice", 10)
	equal(t, "consents by client", []model.Consent{bare, full}, list, err)
	list, err = e.Consents(ctx, e.service, "alice", 1)
	equal(t, "one consent", []model.Consent{bare}, list, err)
	list, err = e.Consents(ctx, e.service, "carol", 10)
	equal(t, "no consents", 0, len(list), err)

	full.Scopes, full.Claims, full.GrantedAt = []string{"openid"}, nil, now
	e.write(t, store.PutConsent{Consent: full})
	got, err := e.Consent(ctx, e.service, "alice", 7)
	equal(t, "the consent that replaced it", full, got, err)

	e.write(t, store.DeleteConsent{Service: e.service, Subject: "alice", Client: 7})
	e.write(t, store.DeleteConsent{Service: e.service, Subject: "alice", Client: 7}) // no condition
	_, err = e.Consent(ctx, e.service, "alice", 7)
	fails(t, "the consent that was forgotten", store.ErrNotFound, err)
	_, err = e.Consent(ctx, e.service, "bob", 7)
	fails(t, "another subject's", nil, err)
}

func testAccounts(t *testing.T, e *env) {
	ctx := context.Background()
	read := func(t *testing.T, want model.Account) {
		t.Helper()
		got, err := e.AccountByKey(ctx, want.Service, want.Key)
		equal(t, "account by key", want, got, err)
		got, err = e.AccountBySubject(ctx, want.Service, want.Subject)
		equal(t, "account by subject", want, got, err)
	}

	t.Run("an account is read as it was written", func(t *testing.T) {
		bare, full := e.account("bare"), e.account("Ful l'")
		full.Disabled = true
		full.Claims = map[string]json.RawMessage{"email": json.RawMessage(`"a@example.com"`), "email_verified": json.RawMessage(`true`)}
		for _, a := range []model.Account{bare, full} {
			e.write(t, store.InsertAccount{Account: a})
			read(t, a)
		}
		_, err := e.AccountByKey(ctx, e.service, "BARE")
		fails(t, "another key", store.ErrNotFound, err)
		_, err = e.AccountBySubject(ctx, e.service, "sub-")
		fails(t, "another subject", store.ErrNotFound, err)
	})

	t.Run("id, key and subject are taken once", func(t *testing.T) {
		first := e.account("first")
		e.write(t, store.InsertAccount{Account: first})
		for name, change := range map[string]func(*model.Account){
			"id":      func(a *model.Account) { a.ID = first.ID },
			"key":     func(a *model.Account) { a.Key = first.Key },
			"subject": func(a *model.Account) { a.Subject = first.Subject },
		} {
			t.Run(name, func(t *testing.T) {
				second := e.account("second-" + name)
				change(&second)
				e.refused(t, store.ErrConflict, store.InsertAccount{Account: second})
				read(t, first)
			})
		}
		elsewhere := first
		elsewhere.ID, elsewhere.Service = newID(), e.newService(t)
		e.write(t, store.InsertAccount{Account: elsewhere}) // another service's names are its own
		read(t, elsewhere)
	})

	t.Run("password and state change", func(t *testing.T) {
		a := e.account("changing")
		e.write(t, store.InsertAccount{Account: a})
		a.PasswordHash, a.Disabled = "$argon2id$new", true
		e.write(t, store.SetPassword{Service: e.service, ID: a.ID, Hash: a.PasswordHash}, store.SetDisabled{Service: e.service, ID: a.ID, Disabled: true})
		read(t, a)
		a.Disabled = false
		e.write(t, store.SetDisabled{Service: e.service, ID: a.ID})
		read(t, a)
		e.refused(t, store.ErrNotFound, store.SetPassword{Service: e.service, ID: newID(), Hash: "x"})
		e.refused(t, store.ErrNotFound, store.SetDisabled{Service: e.service, ID: newID(), Disabled: true})
	})

	t.Run("an account that is put again keeps what it is", func(t *testing.T) {
		a := e.account("put")
		a.Claims = map[string]json.RawMessage{"email": json.RawMessage(`"a@example.com"`)}
		e.write(t, store.PutAccount{Account: a})
		read(t, a)
		e.write(t, store.SetDisabled{Service: e.service, ID: a.ID, Disabled: true})
		again := e.account("put again")
		again.Subject, again.Claims = a.Subject, nil
		e.write(t, store.PutAccount{Account: again})
		want := a
		want.Name, want.Key, want.Claims, want.Disabled = again.Name, again.Key, nil, true
		read(t, want)
		other := e.account("other")
		other.Key = again.Key
		e.refused(t, store.ErrConflict, store.PutAccount{Account: other})
		read(t, want)
	})

	t.Run("a list goes by id, in pages", func(t *testing.T) {
		s := *e
		s.service = e.newService(t)
		var want []model.Account
		for i := range 5 {
			a := s.account(fmt.Sprint("user", i))
			want = append(want, a)
		}
		for _, i := range []int{3, 0, 4, 1, 2} {
			s.write(t, store.InsertAccount{Account: want[i]})
		}
		var got []model.Account
		for after := model.ID(0); ; {
			page, err := s.Accounts(ctx, s.service, after, 2)
			if err != nil || len(page) > 2 {
				t.Fatalf("a page of %d accounts: %v", len(page), err)
			}
			if len(page) == 0 {
				break
			}
			got, after = append(got, page...), page[len(page)-1].ID
		}
		equal(t, "accounts", want, got, nil)
		none, err := s.Accounts(ctx, s.service, 0, 0)
		equal(t, "no accounts", 0, len(none), err)
	})
}

func testKeys(t *testing.T, e *env) {
	keys := func(t *testing.T, service model.ID, want ...model.Key) {
		t.Helper()
		got, err := e.Keys(context.Background(), service)
		slices.SortFunc(got, func(a, b model.Key) int { return cmp.Compare(a.KID, b.KID) })
		equal(t, "keys", want, got, err)
	}
	keys(t, e.service)
	a, b, c := e.key("a"), e.key("b"), e.key("c")
	c.Alg = string(model.EdDSA)
	e.write(t, store.InsertFirstKeys{Service: e.service, Keys: []model.Key{a, c}})
	keys(t, e.service, a, c)
	e.refused(t, store.ErrConflict, store.InsertFirstKeys{Service: e.service, Keys: []model.Key{b}})
	e.refused(t, store.ErrConflict, store.InsertKey{Key: a})
	keys(t, e.service, a, c)

	e.write(t, store.InsertKey{Key: b}, store.RetireKeys{Service: e.service, Alg: b.Alg, Except: b.KID, ExpiresAt: future})
	a.ExpiresAt = future
	keys(t, e.service, a, b, c)
	e.write(t, store.RetireKeys{Service: e.service, Alg: b.Alg, ExpiresAt: math.MaxInt64}) // a keeps its end
	b.ExpiresAt = math.MaxInt64
	keys(t, e.service, a, b, c)

	other := e.newService(t)
	a.Service = other
	e.refused(t, store.ErrConflict, store.InsertFirstKeys{Service: other, Keys: []model.Key{a, a}})
	keys(t, other) // the first of them is undone
	e.write(t, store.InsertKey{Key: a})
	keys(t, other, a)
}

func testRegistry(t *testing.T, e *env) {
	ctx := context.Background()
	id, err := e.EnsureService(ctx, "https://one.example")
	if err != nil || id <= 0 {
		t.Fatalf("EnsureService = %d, %v", id, err)
	}
	again, err := e.EnsureService(ctx, "https://one.example")
	equal(t, "the same issuer's id", id, again, err)
	other, err := e.EnsureService(ctx, "https://one.example/")
	if err != nil || other == id {
		t.Errorf("another issuer's id is %d, %v", other, err)
	}

	clients, err := e.EnsureClients(ctx, id, []string{"a", "b", "a"})
	if err != nil || len(clients) != 2 || clients["a"] <= 0 || clients["b"] <= 0 || clients["a"] == clients["b"] {
		t.Fatalf("EnsureClients = %v, %v", clients, err)
	}
	more, err := e.EnsureClients(ctx, id, []string{"b", "c"})
	if err != nil || len(more) != 2 || more["b"] != clients["b"] || more["c"] == clients["a"] || more["c"] == clients["b"] {
		t.Errorf("EnsureClients = %v after %v, %v", more, clients, err)
	}
	elsewhere, err := e.EnsureClients(ctx, other, []string{"a"})
	if err != nil || elsewhere["a"] == clients["a"] {
		t.Errorf("a client of another service has the same id: %v, %v, %v", elsewhere, clients, err)
	}
	none, err := e.EnsureClients(ctx, id, nil)
	equal(t, "no clients", 0, len(none), err)
}
