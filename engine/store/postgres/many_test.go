package postgres

import (
	"errors"
	"testing"

	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
	"github.com/gatehouse-auth/gatehouse/engine/store/postgres/pgtest"
)

// All grants of a client end, however many, in bounded steps and with one change in
// the feed; nobody else's do. A write that fails ends none of them if they are few.
func TestEndOfALargeClient(t *testing.T) {
	h := newHouse(t, Options{DSN: place(pgtest.Start(t))})
	ctx, conn := t.Context(), h.connect(t)
	const others = 100
	for _, s := range []string{
		`SET statement_timeout = 0`,
		`CREATE TABLE ended (n bigint)`,
		`CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO ended SELECT count(*) FROM gone; RETURN NULL; END'`,
		`CREATE TRIGGER note AFTER DELETE ON grants REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION note()`,
		`INSERT INTO grants (id, service, client, session, auth_time, expires_at, scopes)
			SELECT i, 1, CASE WHEN i <= 100 THEN 8 ELSE 7 END, 0, 0, 1::bigint << 40, '' FROM generate_series(1, 45100) i`,
		`INSERT INTO grants (id, service, client, session, auth_time, expires_at, scopes) VALUES (50000, 2, 7, 0, 0, 1::bigint << 40, '')`,
	} {
		_, err := conn.Exec(ctx, s)
		must(t, err)
	}
	count := func() (n, of7, steps, most int64) {
		must(t, conn.QueryRow(ctx, `SELECT count(*), count(*) FILTER (WHERE client = 7) FROM grants WHERE id <= 50000`).Scan(&n, &of7))
		must(t, conn.QueryRow(ctx, `SELECT count(*), coalesce(max(n), 0) FROM ended WHERE n > 0`).Scan(&steps, &most))
		return n, of7, steps, most
	}
	err := h.Write(ctx, store.RevokeGrants{Service: 1, Client: 8}, store.DeleteClient{Service: 1, ID: 999})
	if n, _, _, _ := count(); !errors.Is(err, store.ErrNotFound) || n != 45_101 {
		t.Errorf("a write that fails: %v, %d grants are there", err, n)
	}
	end, err := h.Changes(ctx, 1, model.Place{}, 10)
	must(t, err)
	must(t, h.Write(ctx, store.RevokeGrants{Service: 1, Client: 7}))
	n, of7, steps, most := count()
	if n != others+1 || of7 != 1 {
		t.Errorf("%d grants are left, of which %d have the client's number; want %d and the other service's", n, of7, others+1)
	}
	if steps < 5 || most > mostGrants {
		t.Errorf("%d steps, of which one ended %d grants, more than %d", steps, most, mostGrants)
	}
	page, err := h.Changes(ctx, 1, end.Next, 10)
	if must(t, err); len(page.Changes) != 1 || page.Changes[0].Kind != model.ChangeClientRevoked || page.Changes[0].Ref != 7 {
		t.Errorf("the feed tells %+v, want the end of the client's grants", page.Changes)
	}
}
