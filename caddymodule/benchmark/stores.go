package main

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"time"

	"github.com/gatehouse-auth/gatehouse/engine/handle"
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
	"github.com/gatehouse-auth/gatehouse/engine/store/postgres"
	"github.com/gatehouse-auth/gatehouse/engine/store/sqlite"
)

// storeRows are measured at a store itself, in this process, but for those whose
// name says HTTP.
var storeRows = []row{
	{
		name: "growth-sqlite", what: "many live tokens, in SQLite", against: "10,000", wanted: growthWanted + ", ≤ 200 bytes", measure: measureGrowth(liteFolder, 200),
	},
	{
		name: "growth-postgres", what: "many live tokens, in PostgreSQL", against: "10,000", wanted: growthWanted + ", ≤ 300 bytes", measure: measureGrowth(pgDatabase, 300),
	},
	{
		name: "growth-http-sqlite", what: "introspection and issuing among many live tokens, on SQLite", against: "10,000", wanted: growthWanted, measure: measureGrowthHTTP(liteNode),
	},
	{
		name: "growth-http-postgres", what: "introspection and issuing among many live tokens, on PostgreSQL", against: "10,000", wanted: growthWanted, measure: measureGrowthHTTP(pgNode),
	},
	{
		name: "expiry-sqlite", what: "many tokens expire at once, in SQLite", against: "before that", wanted: expiryWanted, measure: measureExpiry(liteFolder),
	},
	{
		name: "expiry-postgres", what: "many tokens expire at once, in PostgreSQL", against: "before that", wanted: expiryWanted, measure: measureExpiry(pgDatabase),
	},
	{name: "feed", what: "writes of two nodes that all tell the change feed, in PostgreSQL", measure: measureFeed},
	{name: "bytes", what: "bytes a row, indexes included, in PostgreSQL", measure: measureBytes},
}

// place is where a store is kept that can be opened again and again.
type place interface {
	// open opens the store with that clock. sweep is the sweeper's interval,
	// negative: none.
	open(ctx context.Context, now func() time.Time, sweep time.Duration) (store.Store, error)
	// fill adds a grant for each tokensPerGrant tokens, and tokens, as the store
	// would keep them. No store is open.
	fill(ctx context.Context, t tokens) error
	// size is what the store takes on disk, in bytes. No store is open.
	size(ctx context.Context) (int64, error)
	// serving is the server that the store asks, or nil.
	serving() *postgresServer
	// remove removes it. No store is open.
	remove(ctx context.Context) error
}

// liteFolder is a place in a folder of the benchmark's.
func liteFolder(_ context.Context, b *bench, name string) (place, error) {
	folder, err := b.newFolder()
	return lite{filepath.Join(folder, name+".db")}, err
}

// pgDatabase is a place in the benchmark's PostgreSQL.
func pgDatabase(ctx context.Context, b *bench, name string) (place, error) {
	server, err := b.postgres(ctx)
	if err != nil {
		return nil, err
	}
	dsn, err := server.create(ctx, name)
	return pg{server, name, dsn}, err
}

// lite is a place in a file.
type lite struct{ path string }

func (l lite) open(ctx context.Context, now func() time.Time, sweep time.Duration) (store.Store, error) {
	return sqlite.Open(ctx, sqlite.Options{Path: l.path, Now: now, SweepInterval: sweep})
}

func (lite) serving() *postgresServer { return nil }

// pg is a place in a database.
type pg struct {
	server    *postgresServer
	name, dsn string
}

func (p pg) open(ctx context.Context, now func() time.Time, sweep time.Duration) (store.Store, error) {
	return postgres.Open(ctx, postgres.Options{DSN: p.dsn, Now: now, SweepInterval: sweep})
}

func (p pg) serving() *postgresServer { return p.server }

func (p pg) remove(ctx context.Context) error { return p.server.drop(ctx, p.name) }

// tokensPerGrant is how many tokens share a grant: more than a user's, fewer than
// those of a client that acts for itself.
const tokensPerGrant = 10

// tokens are rows that a store is filled with: their ids are spread evenly over
// a time.
type tokens struct {
	n         int
	from      time.Time
	over      time.Duration
	expiresAt int64 // Unix seconds
	service   model.ID
	client    model.ID // of the grants
	own       bool     // the grants are the client's, and no user's
}

const (
	benchIssuer = "https://login.example.com"
	benchClient = 1
)

// secret is a token's, by its number.
func (t tokens) secret(i int) [32]byte {
	var number [8]byte
	binary.BigEndian.PutUint64(number[:], uint64(i))
	return sha256.Sum256(number[:])
}

// hash is what a row keeps of a secret.
func (t tokens) hash(i int) [32]byte {
	secret := t.secret(i)
	return sha256.Sum256(secret[:])
}

// step is between the ids of two tokens.
func (t tokens) step() model.ID {
	return max(1, (handle.First(t.from.Add(t.over))-handle.First(t.from))/model.ID(t.n))
}

// id is that of a token by its number.
func (t tokens) id(i int) model.ID { return handle.First(t.from) + 1 + model.ID(i)*t.step() }

// grants is how many grants there are for them.
func (t tokens) grants() int { return (t.n + tokensPerGrant - 1) / tokensPerGrant }

// grantsUntil is when the grants end: after the tokens, so that each token goes
// by its own expiry.
func (t tokens) grantsUntil() int64 { return t.from.Add(t.over + liveFor).Unix() }

// grant is the id of a token's grant: that of its first token.
func (t tokens) grant(i int) model.ID { return t.id(i - i%tokensPerGrant) }

// subject is that of a grant by its first token's number, if it has one.
func (t tokens) subject(i int) string {
	if t.own {
		return ""
	}
	return fmt.Sprintf("5be86359-073c-434b-ad2d-%012d", i)
}

// look looks up a token by its number.
func (t tokens) look(ctx context.Context, st store.Store, i int) error {
	a, g, err := st.AccessToken(ctx, t.service, t.id(i))
	if err == nil && (a.ExpiresAt != t.expiresAt || a.Grant != t.grant(i) || g.Subject == "") {
		err = errors.New("the store gave another token")
	}
	return err
}

// lookups looks up tokens at random.
func (t tokens) lookups(st store.Store) worker {
	return func(ctx context.Context) error { return t.look(ctx, st, rand.IntN(t.n)) }
}

// inserts adds tokens to grants at random, as they are issued now.
func (t tokens) inserts(st store.Store) worker {
	ids := handle.NewIDs(time.Now, nil)
	return func(ctx context.Context) error {
		return st.Write(ctx, store.InsertAccessToken{Token: model.AccessToken{
			Service: t.service, ID: ids.Next(), Grant: t.grant(rand.IntN(t.n)), Hash: someHash(), ExpiresAt: t.expiresAt,
		}})
	}
}

// someHash stands for a secret's digest: no two are alike, and they do not
// compress.
func someHash() (h [32]byte) {
	for i := range h {
		h[i] = byte(rand.Uint32())
	}
	return h
}

// atStore keeps a store busy with callers. It is in this process, and so is its
// processor time, but for that of the server, if there is one.
func atStore(server *postgresServer, callers []worker) side {
	s := side{run: onAllCores(callers)}
	if server != nil {
		s.server = server.cpu
	}
	return s
}
