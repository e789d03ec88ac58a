package sqlite

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

func openBench(b *testing.B) (*Store, model.ID) {
	b.Helper()
	s, err := Open(context.Background(), Options{Path: filepath.Join(b.TempDir(), "bench.db"), SweepInterval: -1})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	service, err := s.EnsureService(context.Background(), "https://as.example")
	if err != nil {
		b.Fatal(err)
	}
	return s, service
}

// firstID is where ids of the benchmarks begin: as long as real ones.
const firstID = int64(1) << 60

func benchGrant(service model.ID, id int64) model.Grant {
	return model.Grant{
		Service: service, ID: model.ID(id), Client: 1, Subject: "248289761001",
		Scopes: []string{"openid", "orders:read"}, ExpiresAt: 4e9,
	}
}

func benchToken(service, grant model.ID, id int64) model.AccessToken {
	t := model.AccessToken{Service: service, ID: model.ID(id), Grant: grant, ExpiresAt: 4e9}
	for i := range t.Hash {
		t.Hash[i] = byte(id >> (i % 8 * 8))
	}
	return t
}

// bytesPerToken reports the size of the database file by token.
func bytesPerToken(b *testing.B, s *Store, tokens int) {
	b.Helper()
	s.Close()
	info, err := os.Stat(s.opts.Path)
	if err != nil {
		b.Fatal(err)
	}
	if tokens > 1000 {
		b.ReportMetric(float64(info.Size())/float64(tokens), "B/token")
	}
}

// BenchmarkFsync is what the disk does at best: one write of a few pages and
// one fsync at a time.
func BenchmarkFsync(b *testing.B) {
	f, err := os.Create(filepath.Join(b.TempDir(), "fsync"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	page := make([]byte, 4*4096)
	for i := 0; b.Loop(); i++ {
		if _, err := f.WriteAt(page, int64(i%1000*len(page))); err != nil {
			b.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkInsertAccessToken is the common issuing unit, durable, with 64 callers.
func BenchmarkInsertAccessToken(b *testing.B) {
	s, service := openBench(b)
	ctx := context.Background()
	grant := model.ID(firstID)
	if err := s.Write(ctx, store.InsertGrant{Grant: benchGrant(service, firstID)}); err != nil {
		b.Fatal(err)
	}
	inParallel(b, func(id int64) error {
		return s.Write(ctx, store.InsertAccessToken{Token: benchToken(service, grant, id)})
	})
	bytesPerToken(b, s, b.N)
}

// BenchmarkInsertGrantAndToken gives each token a grant of its own.
func BenchmarkInsertGrantAndToken(b *testing.B) {
	s, service := openBench(b)
	ctx := context.Background()
	inParallel(b, func(id int64) error {
		return s.Write(ctx, store.InsertGrant{Grant: benchGrant(service, id)},
			store.InsertAccessToken{Token: benchToken(service, model.ID(id), id)})
	})
	bytesPerToken(b, s, b.N)
}

// BenchmarkRedeemCode is a code's whole life: two durable units of three steps.
func BenchmarkRedeemCode(b *testing.B) {
	s, service := openBench(b)
	ctx := context.Background()
	inParallel(b, func(id int64) error {
		code := model.Handle{Service: service, ID: model.ID(id), Kind: model.HandleCode, Grant: model.ID(id), ExpiresAt: 4e9}
		err := s.Write(ctx, store.InsertGrant{Grant: benchGrant(service, id)}, store.InsertHandle{Handle: code})
		if err != nil {
			return err
		}
		refresh := model.RefreshToken{Service: service, ID: code.ID, Grant: code.ID, Access: code.ID, ExpiresAt: 4e9}
		return s.Write(ctx, store.RedeemHandle{Service: service, Kind: code.Kind, ID: code.ID, Now: 1},
			store.InsertAccessToken{Token: benchToken(service, code.ID, id)},
			store.InsertRefreshToken{Token: refresh})
	})
}

// BenchmarkAccessToken reads by id, one caller a processor.
func BenchmarkAccessToken(b *testing.B) {
	s, service := openBench(b)
	ctx := context.Background()
	const rows = 100_000
	steps := []store.Step{store.InsertGrant{Grant: benchGrant(service, firstID)}}
	for i := range int64(rows) {
		steps = append(steps, store.InsertAccessToken{Token: benchToken(service, model.ID(firstID), firstID+i)})
	}
	if err := s.Write(ctx, steps...); err != nil {
		b.Fatal(err)
	}
	var next atomic.Int64
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			id := model.ID(firstID + next.Add(7919)%rows)
			if _, _, err := s.AccessToken(ctx, service, id); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// inParallel runs f b.N times from 64 goroutines, with ids in order of time.
func inParallel(b *testing.B, f func(id int64) error) {
	b.Helper()
	next := atomic.Int64{}
	next.Store(firstID)
	b.SetParallelism(64 / max(1, runtime.GOMAXPROCS(0)))
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := f(next.Add(1)); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "units/s")
}
