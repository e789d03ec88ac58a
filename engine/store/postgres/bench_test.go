package postgres

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/engine/handle"
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
	"github.com/gatehouse-auth/gatehouse/engine/store/postgres/pgtest"
)

// callers is how many ask or write at once.
const callers = 64

func benchStore(b *testing.B) (*Store, model.ID, model.Grant) {
	b.Helper()
	server := pgtest.Start(b)
	s, err := Open(context.Background(), Options{DSN: server.Address("postgres")})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	service, err := s.EnsureService(context.Background(), "https://bench.example")
	if err != nil {
		b.Fatal(err)
	}
	g := model.Grant{Service: service, ID: handle.First(time.Now()) + 1, Client: 1, Scopes: []string{"orders:read"}, ExpiresAt: 1 << 40}
	if err := s.Write(context.Background(), store.InsertGrant{Grant: g}); err != nil {
		b.Fatal(err)
	}
	b.SetParallelism(callers / 2) // on each processor
	return s, service, g
}

// One access token a write, as client_credentials has it.
func BenchmarkInsertAccessToken(b *testing.B) {
	s, service, g := benchStore(b)
	ids := handle.NewIDs(time.Now, nil)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			a := model.AccessToken{Service: service, ID: ids.Next(), Grant: g.ID, ExpiresAt: time.Now().Unix() + 3600}
			if err := s.Write(context.Background(), store.InsertAccessToken{Token: a}); err != nil {
				b.Error(err)
			}
		}
	})
}

// One lookup of an access token, as introspection has it.
func BenchmarkAccessToken(b *testing.B) {
	s, service, g := benchStore(b)
	tokens := handle.NewIDs(time.Now, nil)
	var list [10_000]model.ID
	for i := range list {
		list[i] = tokens.Next()
		a := model.AccessToken{Service: service, ID: list[i], Grant: g.ID, ExpiresAt: time.Now().Unix() + 3600}
		if err := s.Write(context.Background(), store.InsertAccessToken{Token: a}); err != nil {
			b.Fatal(err)
		}
	}
	var next atomic.Int64
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, _, err := s.AccessToken(context.Background(), service, list[next.Add(1)%int64(len(list))]); err != nil {
				b.Error(err)
			}
		}
	})
}
