package storetest

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// testArchive holds a store to store.Archive.
func testArchive(t *testing.T, e *env) {
	for name, test := range map[string]func(*testing.T, *env){
		"a row of each kind comes back as it was put":    testArchiveRoundTrip,
		"what was put is there for everybody":            testArchiveReads,
		"ids that were put are not given again":          testArchiveIDs,
		"a row takes the place of the one with its key":  testArchiveReplace,
		"a name or an id that is taken":                  testArchiveConflict,
		"rows go by their keys":                          testArchiveDelete,
		"rows are found by their keys":                   testArchiveFind,
		"threat 31: rows of one service":                 testArchiveIsolation,
		"rows are those of one moment, and nobody waits": testArchiveMoment,
		"the end of reading":                             testArchiveEnd,
		"many rows at once":                              testArchiveMany,
		"the feed is told nothing":                       testArchiveFeed,
		"a service that is not loaded to its end":        testArchiveUnfinished,
	} {
		t.Run(name, func(t *testing.T) { test(t, newEnv(t, e.factory)) })
	}
}

// rows reads an archive.
func (e *env) rows(t testing.TB, service model.ID) (rows []store.Row) {
	t.Helper()
	err := e.Rows(context.Background(), service, func(row store.Row) error {
		rows = append(rows, row)
		return nil
	})
	if err != nil {
		t.Fatalf("Rows: %v", err)
	}
	return rows
}

// of leaves the rows of a kind.
func of[T store.Row](rows []store.Row) (list []T) {
	for _, row := range rows {
		if row, ok := row.(T); ok {
			list = append(list, row)
		}
	}
	return list
}

func (e *env) put(t testing.TB, rows ...store.Row) {
	t.Helper()
	if err := e.PutRows(context.Background(), rows); err != nil {
		t.Fatalf("PutRows: %v", err)
	}
}

func testArchiveRoundTrip(t *testing.T, e *env) {
	want := EveryRow(storeID())
	var kinds []store.Kind
	for _, row := range want {
		kinds = append(kinds, store.KindOf(row))
		for _, member := range unset(reflect.ValueOf(row)) {
			if member != ".Token.JWT" { // see below
				t.Errorf("%T%s is not set: this test does not see whether it is kept", row, member)
			}
		}
	}
	if !slices.Equal(kinds, store.Kinds()) {
		t.Fatalf("the kinds are %v, want %v", kinds, store.Kinds())
	}
	e.put(t, want...)
	service := want[0].(store.ServiceRow).ID
	equal(t, "the rows of the service", want, e.rows(t, service), nil)
	e.reopen(t)
	equal(t, "the rows after the store was opened again", want, e.rows(t, service), nil)

	// What is empty, and what a token has none of, stays apart from what it has
	// of the grant.
	bare := []store.Row{
		store.GrantRow{Grant: model.Grant{Service: service, ID: newID(), Client: 1, ExpiresAt: future}},
		store.AccessTokenRow{Token: model.AccessToken{Service: service, ID: newID(), Grant: 1, JWT: true, ExpiresAt: future}},
		store.AccessTokenRow{Token: model.AccessToken{Service: service, ID: newID(), Grant: 1, Scopes: []string{}, Resources: []string{}, ExpiresAt: future}},
	}
	e.put(t, bare...)
	rows := e.rows(t, service)
	equal(t, "a bare grant", bare[0], store.Row(of[store.GrantRow](rows)[1]), nil)
	equal(t, "a JWT", bare[1], store.Row(of[store.AccessTokenRow](rows)[1]), nil)
	equal(t, "a token for nothing", bare[2], store.Row(of[store.AccessTokenRow](rows)[2]), nil)
}

// unset names the members below v that are not set.
func unset(v reflect.Value) (members []string) {
	if v.Kind() != reflect.Struct {
		if v.IsZero() {
			return []string{""}
		}
		return nil
	}
	for i := range v.NumField() {
		for _, member := range unset(v.Field(i)) {
			members = append(members, "."+v.Type().Field(i).Name+member)
		}
	}
	return members
}

func testArchiveReads(t *testing.T, e *env) {
	ctx := context.Background()
	rows := EveryRow(storeID())
	e.put(t, rows...)
	service := rows[0].(store.ServiceRow)
	id, err := e.EnsureService(ctx, service.Issuer)
	equal(t, "the service", service.ID, id, err)
	client := of[store.StoredClientRow](rows)[0].Client
	ids, err := e.EnsureClients(ctx, id, []string{client.Alias})
	equal(t, "the client", map[string]model.ID{client.Alias: client.ID}, ids, err)
	got, err := e.StoredClientByAlias(ctx, id, client.Alias)
	equal(t, "the registered client", client, got, err)
	token, grant := of[store.AccessTokenRow](rows)[0].Token, of[store.GrantRow](rows)[0].Grant
	gotToken, gotGrant, err := e.AccessToken(ctx, id, token.ID)
	equal(t, "the token", token, gotToken, err)
	equal(t, "the grant", grant, gotGrant, nil)
	other := token
	other.ID = newID()
	e.put(t, store.AccessTokenRow{Token: other})
	fails(t, "a token that does not count", store.ErrNotFound, e.accessErr(id, other.ID))
	handle := of[store.HandleRow](rows)[0].Handle
	e.refused(t, store.ErrSpent, store.RedeemHandle{Service: id, Kind: handle.Kind, ID: handle.ID, Now: now})
	e.refused(t, store.ErrSpent, store.UseOnce{Service: id, Digest: of[store.UsedValueRow](rows)[0].Digest, Now: now, ExpiresAt: future})
	refresh := of[store.RefreshTokenRow](rows)[0].Token
	e.refused(t, store.ErrSpent, store.RotateRefreshToken{Service: id, ID: refresh.ID, Successor: newID(), Now: now})
	joined, err := e.SessionClients(ctx, id, grant.Session)
	equal(t, "the session's clients", []model.ID{client.ID}, joined, err)
}

func testArchiveIDs(t *testing.T, e *env) {
	ctx := context.Background()
	rows := EveryRow(storeID())
	e.put(t, rows...)
	service, client := rows[0].(store.ServiceRow), rows[1].(store.ClientRow)
	if next := e.newService(t); next <= service.ID {
		t.Errorf("a new service has the id %d, behind %d", next, service.ID)
	}
	ids, err := e.EnsureClients(ctx, e.service, []string{"another"})
	if err != nil || ids["another"] <= client.ID {
		t.Errorf("a new client has the id %d, behind %d: %v", ids["another"], client.ID, err)
	}
	if err := e.DeleteRows(ctx, rows); err != nil {
		t.Fatal(err)
	}
	if next := e.newService(t); next <= service.ID+1 {
		t.Errorf("a new service has the id %d again", next)
	}
}

func testArchiveReplace(t *testing.T, e *env) {
	rows := EveryRow(storeID())
	e.put(t, rows...)
	account, grant := of[store.AccountRow](rows)[0], of[store.GrantRow](rows)[0]
	account.Account.Key, account.Account.Disabled, account.Account.Claims = "other", false, nil
	grant.OnlyAccess, grant.Grant.Scopes = 0, []string{"email"}
	e.put(t, rows...) // as an import that begins again
	e.put(t, account, grant)
	got := e.rows(t, grant.Grant.Service)
	equal(t, "the account", []store.AccountRow{account}, of[store.AccountRow](got), nil)
	equal(t, "the grant", []store.GrantRow{grant}, of[store.GrantRow](got), nil)
	if len(got) != len(rows) {
		t.Errorf("there are %d rows, want %d", len(got), len(rows))
	}
}

func testArchiveMoment(t *testing.T, e *env) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	g, _, _ := e.issued(t)
	rotated, _, r := e.issued(t)
	before := e.rows(t, 0)
	done := false
	var during []store.Row
	err := e.Rows(ctx, 0, func(row store.Row) error {
		during = append(during, row)
		if done {
			return nil
		}
		done = true
		next := e.refreshToken(rotated.ID, newID())
		for _, steps := range [][]store.Step{
			{store.RevokeGrant{Service: e.service, ID: g.ID}},
			{store.RotateRefreshToken{Service: e.service, ID: r.ID, Successor: next.ID, Now: now}, store.InsertRefreshToken{Token: next}},
			{store.InsertAccount{Account: e.account("carol")}},
		} {
			if err := e.Write(ctx, steps...); err != nil {
				return err
			}
		}
		e.issued(t)
		return nil
	})
	equal(t, "the rows while others wrote", before, during, err)
	if cmp.Equal(before, e.rows(t, 0)) {
		t.Error("nothing was written meanwhile")
	}
}

func testArchiveEnd(t *testing.T, e *env) {
	ctx, cancel := context.WithCancel(context.Background())
	e.put(t, EveryRow(storeID())...)
	enough := errors.New("enough")
	calls := 0
	fails(t, "an error of f", enough, e.Rows(ctx, 0, func(store.Row) error {
		if calls++; calls == 3 {
			return enough
		}
		return nil
	}))
	if calls != 3 {
		t.Errorf("f was called %d times, want 3", calls)
	}
	fails(t, "a context that ends", context.Canceled, e.Rows(ctx, 0, func(store.Row) error { cancel(); return nil }))
	fails(t, "PutRows after that", context.Canceled, e.PutRows(ctx, EveryRow(storeID())))
	fails(t, "DeleteRows after that", context.Canceled, e.DeleteRows(ctx, EveryRow(storeID())))
	_, err := e.Find(ctx, EveryRow(storeID()))
	fails(t, "Find after that", context.Canceled, err)
	fails(t, "no rows", nil, errors.Join(e.PutRows(context.Background(), nil), e.DeleteRows(context.Background(), nil)))
	closed := e.open(t)
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	fails(t, "Rows of a closed store", store.ErrUnavailable, closed.Rows(context.Background(), 0, func(store.Row) error { return nil }))
}

func testArchiveMany(t *testing.T, e *env) {
	const n = 5000
	var want []store.Row
	for range n {
		token := e.accessToken(newID())
		want = append(want, store.AccessTokenRow{Token: token})
	}
	e.put(t, want...)
	e.put(t, want[:n/2]...)
	if got := of[store.AccessTokenRow](e.rows(t, e.service)); len(got) != n {
		t.Errorf("there are %d tokens, want %d", len(got), n)
	}
	if err := e.DeleteRows(context.Background(), want[1:]); err != nil {
		t.Fatal(err)
	}
	equal(t, "what is left", want[:1], e.rows(t, e.service)[1:], nil)
}

func testArchiveFeed(t *testing.T, e *env) {
	ctx := context.Background()
	e.write(t, store.RevokeGrants{Service: e.service, Subject: "alice"})
	page, err := e.Changes(ctx, e.service, model.Place{}, 100)
	if err != nil || !page.Gap {
		t.Fatalf("Changes = %+v, %v", page, err)
	}
	rows := EveryRow(storeID())
	for i := range rows[1:] {
		e.put(t, rows[i])
	}
	if err := e.DeleteRows(ctx, rows); err != nil {
		t.Fatal(err)
	}
	after, err := e.Changes(ctx, rows[0].(store.ServiceRow).ID, page.Next, 100)
	if err != nil || after.Gap || len(after.Changes) > 0 || after.Next != page.Next {
		t.Errorf("Changes = %+v, %v", after, err)
	}
}

// Nobody gets a second service beside one that waits for its name: a server that
// starts too early would keep what is loaded from it for ever.
func testArchiveUnfinished(t *testing.T, e *env) {
	ctx := context.Background()
	rows := EveryRow(storeID())
	service := rows[0].(store.ServiceRow)
	waiting := service
	waiting.Issuer = store.Unfinished + service.Issuer
	e.put(t, waiting)
	for range 2 {
		id, err := e.EnsureService(ctx, service.Issuer)
		fails(t, "EnsureService", store.ErrUnfinished, err)
		fails(t, "EnsureService", store.ErrUnavailable, err)
		if id != 0 {
			t.Errorf("EnsureService = %d", id)
		}
	}
	if _, err := e.EnsureService(ctx, service.Issuer+"/other"); err != nil {
		t.Errorf("another service: %v", err)
	}
	e.put(t, service)
	id, err := e.EnsureService(ctx, service.Issuer)
	equal(t, "the service when it has its name", service.ID, id, err)
	e.put(t, waiting)
	if err := e.DeleteRows(ctx, []store.Row{waiting}); err != nil {
		t.Fatal(err)
	}
	if id, err = e.EnsureService(ctx, service.Issuer); err != nil || id <= service.ID {
		t.Errorf("EnsureService when it is gone = %d, %v", id, err)
	}
}
