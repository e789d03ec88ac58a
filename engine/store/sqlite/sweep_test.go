package sqlite

import (
	"context"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// What has expired goes in the sweeper's next tick, also behind many rows that
// stay, in this table and in those before it.
func TestOneTick(t *testing.T) {
	ctx := context.Background()
	s, service := openAt(t, dbPath(t), nil)
	var steps []store.Step
	for i := range 20_000 {
		steps = append(steps, store.InsertGrant{Grant: model.Grant{Service: service, ID: model.ID(1<<40 + i), Client: 1, ExpiresAt: 1 << 50}})
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(s.Write(ctx, steps...))
	now := time.Now()
	token := model.AccessToken{Service: service, ID: 1 << 50, Grant: 1 << 40, JWT: true, ExpiresAt: now.Unix() - 1}
	must(s.Write(ctx, store.InsertAccessToken{Token: token}))
	used := store.UseOnce{Service: service, Digest: [32]byte{1}, Now: now.Unix() - 10, ExpiresAt: now.Unix() - 1}
	must(s.Write(ctx, used))
	if _, err := s.sweeper.Tick(ctx, time.Now, time.Second); err != nil {
		t.Fatal(err)
	}
	left := 0
	must(s.reads.query(ctx, func(r row) error {
		left = int(r.int(0))
		return nil
	}, `SELECT (SELECT count(*) FROM access_tokens) + (SELECT count(*) FROM used_values)`))
	if left != 0 {
		t.Errorf("%d expired rows are left", left)
	}
}
