package postgres

import (
	"context"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"github.com/gatehouse-auth/gatehouse/engine/handle"
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
	"github.com/gatehouse-auth/gatehouse/engine/store/postgres/pgtest"
)

// later are migrations of versions to come: one that this version can serve
// beside, one that it cannot.
var later = []string{
	`-- +goose Up
	ALTER TABLE grants ADD COLUMN later bigint NOT NULL DEFAULT 7;
	ALTER TABLE access_tokens ADD COLUMN later bigint NOT NULL DEFAULT 7;
	ALTER TABLE refresh_tokens ADD COLUMN later text;
	ALTER TABLE handles ADD COLUMN later text;
	ALTER TABLE accounts ADD COLUMN later text NOT NULL DEFAULT 'x';
	ALTER TABLE changes ADD COLUMN later bigint NOT NULL DEFAULT 7;
	CREATE TABLE later (id bigint PRIMARY KEY);
	CREATE INDEX later_expiry ON grants (expires_at);`,
	`-- +goose Up
	UPDATE compatibility SET oldest = (SELECT max(version_id) + 1 FROM goose_db_version);`, // itself
}

// migrateLater brings the tables to the schema of a version to come, so many
// beyond this one's.
func (h *house) migrateLater(t *testing.T, beyond int) {
	t.Helper()
	files := fstest.MapFS{}
	known, err := fs.Glob(migrations, "migrations/*.sql")
	must(t, err)
	for _, path := range known {
		text, err := fs.ReadFile(migrations, path)
		must(t, err)
		files[strings.TrimPrefix(path, "migrations/")] = &fstest.MapFile{Data: text}
	}
	for i := range beyond {
		files[fmt.Sprintf("%05d_later.sql", len(known)+i+1)] = &fstest.MapFile{Data: []byte(later[i])}
	}
	db := stdlib.OpenDB(*h.pool.Config().ConnConfig)
	defer db.Close()
	provider, err := goose.NewProvider(goose.DialectPostgres, db, files, goose.WithDisableGlobalRegistry(true))
	must(t, err)
	await(t, "the migration", func() bool { // several tables at once: it may meet others, and is tried again
		_, err := provider.Up(context.Background())
		if err != nil && code(err) != codeDeadlock {
			t.Fatal(err)
		}
		return err == nil
	})
}

// traffic issues tokens and reads them until it is ended. Nothing may fail.
type traffic struct {
	made atomic.Int64
	end  func() []model.ID // and what was issued
}

func (h *house) startTraffic(t *testing.T) *traffic {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ids := handle.NewIDs(time.Now, nil)
	var f traffic
	var mu sync.Mutex
	var issued []model.ID
	var workers sync.WaitGroup
	for range 4 {
		workers.Go(func() {
			for ctx.Err() == nil {
				id := ids.Next()
				err := h.Write(context.Background(), store.InsertAccessToken{
					Token: model.AccessToken{Service: h.service, ID: id, Grant: h.grant, JWT: true, ExpiresAt: time.Now().Unix() + 3600}})
				if err == nil {
					_, _, err = h.AccessToken(context.Background(), h.service, id)
				}
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				issued = append(issued, id)
				mu.Unlock()
				f.made.Add(1)
			}
		})
	}
	f.end = func() []model.ID {
		cancel()
		workers.Wait()
		return issued
	}
	t.Cleanup(func() { f.end() })
	return &f
}

// more waits until so many more tokens have been issued.
func (f *traffic) more(t *testing.T, n int64) {
	t.Helper()
	first := f.made.Load()
	await(t, "tokens", func() bool { return f.made.Load() >= first+n || t.Failed() })
}

// A rolling upgrade: while a version to come migrates, and afterwards, nodes of
// this version go on and can be started; until one that asks for more, beside
// which those that run go on and none can be started.
func TestRollingUpgrade(t *testing.T) {
	h := newHouse(t, Options{DSN: place(pgtest.Start(t)), SweepInterval: 50 * time.Millisecond})
	load := h.startTraffic(t)
	load.more(t, 200)
	h.migrateLater(t, 1)
	load.more(t, 200)

	second := newHouse(t, Options{DSN: h.opts.DSN})
	if id := second.token(t, time.Now(), time.Hour); !h.has(t, id) {
		t.Error("a node that runs does not know a token of one that was started")
	}
	lags := inTime(t, second.Store, h.Store, 5, 100)
	if lags[len(lags)-1] > time.Second {
		t.Errorf("a revocation takes %s", lags[len(lags)-1])
	}

	h.migrateLater(t, 2)
	load.more(t, 200)
	s, err := Open(context.Background(), Options{DSN: h.opts.DSN})
	if err == nil {
		must(t, s.Close())
	}
	want := fmt.Sprintf("was written by a newer Gatehouse (schema %d, which needs one that knows %[1]d; this one knows %d)", h.known+2, h.known)
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("a start on a schema that this version cannot serve: %v", err)
	}
	load.more(t, 200)
	for _, id := range load.end() {
		if !second.has(t, id) {
			t.Fatal("a token that was issued during the upgrade is gone")
		}
	}
}
