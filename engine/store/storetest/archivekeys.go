package storetest

import (
	"context"
	"slices"
	"testing"

	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

func testArchiveConflict(t *testing.T, e *env) {
	ctx := context.Background()
	rows, others := EveryRow(storeID()), EveryRow(storeID())
	e.put(t, append(slices.Clone(rows), others...)...)
	service, account, client := of[store.ServiceRow](rows)[0], of[store.AccountRow](rows)[0], of[store.ClientRow](rows)[0]
	issuer, sub, alias, token := service, account, client, of[store.AccessTokenRow](rows)[0]
	issuer.ID, sub.Account.ID, alias.ID = storeID(), newID(), storeID()
	sub.Account.Key = "another"
	key := sub
	key.Account.Key, key.Account.Subject = account.Account.Key, "another"
	token.Token.Service = of[store.ServiceRow](others)[0].ID
	fresh := store.UsedValueRow{Service: service.ID, Digest: hashOf(newID()), ExpiresAt: future}
	before := e.rows(t, 0)
	for name, row := range map[string]store.Row{"issuer": issuer, "subject": sub, "key": key, "alias": alias, "id": token} {
		fails(t, name, store.ErrConflict, e.PutRows(ctx, []store.Row{fresh, row}))
	}
	equal(t, "the rows after that", before, e.rows(t, 0), nil)
}

func testArchiveDelete(t *testing.T, e *env) {
	ctx := context.Background()
	rows, others := EveryRow(storeID()), EveryRow(storeID())
	e.put(t, append(slices.Clone(rows), others...)...)
	for _, row := range rows {
		if err := e.DeleteRows(ctx, []store.Row{keyOnly(row)}); err != nil {
			t.Errorf("%T: %v", row, err)
		}
	}
	if err := e.DeleteRows(ctx, rows); err != nil { // which are gone
		t.Error(err)
	}
	equal(t, "the rows that are left", []store.Row(nil), e.rows(t, rows[0].(store.ServiceRow).ID), nil)
	equal(t, "the rows of the other service", others, e.rows(t, others[0].(store.ServiceRow).ID), nil)
}

func testArchiveFind(t *testing.T, e *env) {
	ctx := context.Background()
	rows, others := EveryRow(storeID()), EveryRow(storeID())
	e.put(t, append(slices.Clone(rows), others...)...)
	var keys []store.Row
	for _, row := range rows {
		keys = append(keys, keyOnly(row))
	}
	slices.Reverse(keys)
	got, err := e.Find(ctx, keys)
	slices.Reverse(got)
	equal(t, "the rows of their keys", rows, got, err)
	got, err = e.Find(ctx, nil)
	equal(t, "no keys", 0, len(got), err)

	// A key without a row, and a key in another service, are nobody's.
	missing := append(EveryRow(storeID()), store.GrantRow{Grant: of[store.GrantRow](rows)[0].Grant})
	elsewhere := missing[len(missing)-1].(store.GrantRow)
	elsewhere.Grant.Service = others[0].(store.ServiceRow).ID
	missing[len(missing)-1] = elsewhere
	got, err = e.Find(ctx, append(missing, rows[3]))
	equal(t, "what there is of other keys", rows[3:4], got, err)

	many := make([]store.Row, 0, 700)
	for range cap(many) {
		many = append(many, store.AccessTokenRow{Token: e.accessToken(newID())})
	}
	e.put(t, many...)
	got, err = e.Find(ctx, many)
	equal(t, "many rows", many, got, err)
}

// keyOnly is a row without what is not its key.
func keyOnly(row store.Row) store.Row {
	switch r := row.(type) {
	case store.ServiceRow:
		return store.ServiceRow{ID: r.ID}
	case store.ClientRow:
		return store.ClientRow{Service: r.Service, ID: r.ID}
	case store.SecretRow:
		return store.SecretRow{Service: r.Service, Name: r.Name}
	case store.KeyRow:
		return store.KeyRow{Key: model.Key{Service: r.Key.Service, KID: r.Key.KID}}
	case store.StoredClientRow:
		return store.StoredClientRow{Client: model.StoredClient{Service: r.Client.Service, ID: r.Client.ID}}
	case store.AccountRow:
		return store.AccountRow{Account: model.Account{Service: r.Account.Service, ID: r.Account.ID}}
	case store.ConsentRow:
		return store.ConsentRow{Consent: model.Consent{Service: r.Consent.Service, Subject: r.Consent.Subject, Client: r.Consent.Client}}
	case store.SessionRow:
		return store.SessionRow{Session: model.Session{Service: r.Session.Service, ID: r.Session.ID}}
	case store.GrantRow:
		return store.GrantRow{Grant: model.Grant{Service: r.Grant.Service, ID: r.Grant.ID}}
	case store.RefreshTokenRow:
		return store.RefreshTokenRow{Token: model.RefreshToken{Service: r.Token.Service, ID: r.Token.ID}}
	case store.AccessTokenRow:
		return store.AccessTokenRow{Token: model.AccessToken{Service: r.Token.Service, ID: r.Token.ID}}
	case store.HandleRow:
		return store.HandleRow{Handle: model.Handle{Service: r.Handle.Service, ID: r.Handle.ID}}
	case store.UsedValueRow:
		return store.UsedValueRow{Service: r.Service, Digest: r.Digest}
	}
	return row // it is all key
}

func testArchiveIsolation(t *testing.T, e *env) {
	rows, others := EveryRow(storeID()), EveryRow(storeID())
	root := store.SecretRow{Name: "of the whole store", Sealed: []byte{9}}
	e.put(t, append(append(slices.Clone(rows), others...), root)...)
	for _, service := range [][]store.Row{rows, others} {
		want := slices.Insert(slices.Clone(service), 2, store.Row(root))
		equal(t, "the rows of one service", want, e.rows(t, service[0].(store.ServiceRow).ID), nil)
	}
	if got, want := len(e.rows(t, 0)), len(rows)+len(others)+2; got != want { // the root, and the service of every test
		t.Errorf("there are %d rows in all, want %d", got, want)
	}
	// A key in another service is another's key.
	id, other := rows[0].(store.ServiceRow).ID, others[0].(store.ServiceRow).ID
	grant, session, account := of[store.GrantRow](rows)[0], of[store.SessionRow](rows)[0], of[store.AccountRow](rows)[0]
	grant.Grant.Service, session.Session.Service, account.Account.Service = other, other, other
	secret := store.SecretRow{Service: other, Name: root.Name}
	if err := e.DeleteRows(context.Background(), []store.Row{grant, session, account, secret}); err != nil {
		t.Fatal(err)
	}
	equal(t, "the rows after that", slices.Insert(slices.Clone(rows), 2, store.Row(root)), e.rows(t, id), nil)
}
