package postgres

import (
	"context"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/engine/store/postgres/pgtest"
)

// What has expired goes in the sweeper's next tick, also behind many rows that
// stay, and those whose key is their expiry are not looked at while they live.
func TestOneTick(t *testing.T) {
	h := newHouse(t, Options{DSN: place(pgtest.Start(t))})
	conn, ctx := h.connect(t), context.Background()
	now := time.Now().Unix()
	for _, s := range []string{
		`INSERT INTO grants (id, service, client, session, auth_time, expires_at, scopes)
			SELECT 1000 + i, 1, 1, 0, 0, $1::bigint + 100000, '' FROM generate_series(1, 20000) i`,
		`INSERT INTO used_values SELECT 1, sha256(i::text::bytea), $1::bigint - i FROM generate_series(1, 5000) i`,
		`INSERT INTO used_values SELECT 1, sha256(i::text::bytea), $1::bigint + 1000 FROM generate_series(5001, 9000) i`,
	} {
		_, err := conn.Exec(ctx, s, now)
		must(t, err)
	}
	if _, err := h.sweeper.Tick(ctx, time.Now, time.Second); err != nil {
		t.Fatal(err)
	}
	var expired, live int
	must(t, conn.QueryRow(ctx, `SELECT count(*) FILTER (WHERE expires_at <= $1), count(*) FILTER (WHERE expires_at > $1) FROM used_values`, now).Scan(&expired, &live))
	if expired != 0 || live != 4000 {
		t.Errorf("%d that have expired are left, and %d that live", expired, live)
	}
}
