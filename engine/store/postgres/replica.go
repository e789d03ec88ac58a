package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

const (
	// replicaLag is how far behind a replica may be and still answer: together
	// with followFresh, what was revoked is inactive within a second.
	replicaLag = 500 * time.Millisecond
	// followFresh is how long ago this node may have looked at the feed last for
	// it to know how far behind a replica is.
	followFresh = 400 * time.Millisecond
	// replicaPause is how long a replica that failed is left alone.
	replicaPause = 5 * time.Second
)

// replica answers for access tokens. It is trusted with what it finds, as long
// as it has everything that the primary's feed told half a second ago, and with
// nothing that it does not find.
type replica struct {
	pool  *pgxpool.Pool
	reads *readers
	now   func() time.Time
	own   atomic.Int64 // the last number that this node itself has told
	seen  atomic.Pointer[[]seenAt]
	down  atomic.Int64 // not to be asked before, in Unix milliseconds
}

// seenAt is the end of the feed as it was at a moment.
type seenAt struct {
	at  time.Time
	end int64
}

// openReplica connects to a replica, which may be down.
func (s *Store) openReplica(ctx context.Context) error {
	if s.opts.Replica == "" {
		return nil
	}
	config, err := poolConfig(s.opts.Replica, s.opts.Readers)
	if err != nil {
		return fmt.Errorf("read replica: %w", err)
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return fmt.Errorf("read replica: %w", err)
	}
	s.replica = &replica{pool: pool, reads: newReaders(&link{pool: pool}, s.parts), now: s.opts.Now}
	return nil
}

// note takes the end of the primary's feed at a moment.
func (r *replica) note(end int64) {
	if r == nil {
		return
	}
	now := r.now()
	list := []seenAt{{now, end}}
	if old := r.seen.Load(); old != nil {
		list = append(list, (*old)[:min(len(*old), 15)]...) // the newest first
	}
	r.seen.Store(&list)
}

// wrote takes a number that this node itself has told: its own revocations
// hold here at once.
func (r *replica) wrote(seq int64) {
	if r == nil {
		return
	}
	for own := r.own.Load(); seq > own && !r.own.CompareAndSwap(own, seq); own = r.own.Load() {
	}
}

// least is the end of the feed that the replica must have, and whether this
// node knows.
func (r *replica) least() (int64, bool) {
	seen, now := r.seen.Load(), r.now()
	if seen == nil || now.Sub((*seen)[0].at) > followFresh || now.UnixMilli() < r.down.Load() {
		return 0, false
	}
	for _, s := range *seen {
		if now.Sub(s.at) >= replicaLag {
			return max(s.end, r.own.Load()), true
		}
	}
	return 0, false
}

// accessTokenRow reads the row of an access token and its grant.
func (s *Store) accessTokenRow(ctx context.Context, service, id model.ID) (row, error) {
	if r := s.replica; r != nil {
		if least, known := r.least(); known {
			found, err := r.reads.of(ctx, accessTokens, id, lookInTheReplica, int64(service), int64(id))
			switch {
			case err == nil && found.Int(0) >= least:
				return found[1:], nil
			case err != nil && !errors.Is(err, store.ErrNotFound) && ctx.Err() == nil:
				r.down.Store(r.now().Add(replicaPause).UnixMilli())
				s.opts.Report(store.Finding{Name: "read replica", Value: err.Error(), Advice: "the primary is asked meanwhile"})
			}
		}
	}
	return s.reads.of(ctx, accessTokens, id, lookAccessToken, int64(service), int64(id))
}
