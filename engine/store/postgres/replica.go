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
	replicaLag = 400 * time.Millisecond
	// followFresh is how long ago this node may have looked at the feed last for
	// it to know how far behind a replica is.
	followFresh = 500 * time.Millisecond
	// replicaPause is how long a replica that failed is left alone.
	replicaPause = 5 * time.Second
	// replicaSame is how long it is taken to follow this node's feed after it was
	// seen to.
	replicaSame = time.Second
	// seenApart is the least time between two moments of the feed that are kept,
	// and seenMost how many are: they go back further than a replica may.
	seenApart = 50 * time.Millisecond
	seenMost  = 20
)

// replica answers for access tokens. It is trusted with what it finds, as long
// as it has everything that the primary's feed told before replicaLag, and with
// nothing that it does not find. One that was ahead of the replica which took over
// stays with a feed of its own, whose numbers say nothing: a second ago at most,
// it must have had the same as the primary.
type replica struct {
	pool  *pgxpool.Pool
	reads *readers
	now   func() time.Time
	own   atomic.Int64 // the last number that this node itself has told
	seen  atomic.Pointer[[]seenAt]
	same  atomic.Int64 // when it was last seen to follow the feed, in Unix milliseconds
	down  atomic.Int64 // not to be asked before, in Unix milliseconds
}

// seenAt is the end of the feed as it was at a moment of this node's clock, and
// when that end was told, in Unix milliseconds.
type seenAt struct {
	moment  time.Time
	end, at int64
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
	pool, err := pgxpool.NewWithConfig(ctx, hurried(config, s.opts.Readers))
	if err != nil {
		return fmt.Errorf("read replica: %w", err)
	}
	s.replica = &replica{pool: pool, reads: newReaders(&link{pool: pool}, s.parts, nil), now: s.opts.Now}
	return nil
}

// note takes the end of the primary's feed at a moment.
func (r *replica) note(moment time.Time, end, at int64) {
	if r == nil {
		return
	}
	list := []seenAt{{moment, end, at}}
	if old := r.seen.Load(); old != nil {
		if moment.Sub((*old)[0].moment) < seenApart {
			return
		}
		list = append(list, (*old)[:min(len(*old), seenMost-1)]...) // the newest first
	}
	r.seen.Store(&list)
}

// forget is told that the primary has another feed.
func (r *replica) forget() {
	if r == nil {
		return
	}
	r.seen.Store(nil)
	r.own.Store(0)
	r.same.Store(0)
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

// due is the end of the feed that a replica must have by now, and whether this
// node knows.
func (r *replica) due() (seenAt, bool) {
	seen, now := r.seen.Load(), r.now()
	if seen == nil || now.Sub((*seen)[0].moment) > followFresh {
		return seenAt{}, false
	}
	for _, s := range *seen {
		if age := now.Sub(s.moment); age >= replicaLag {
			return s, age <= replicaLag+followFresh
		}
	}
	return seenAt{}, false
}

// least is the number that the replica must have to be asked, and whether it may
// be.
func (r *replica) least() (int64, bool) {
	now := r.now().UnixMilli()
	if now < r.down.Load() || now-r.same.Load() > replicaSame.Milliseconds() {
		return 0, false
	}
	s, known := r.due()
	return max(s.end, r.own.Load()), known
}

// watchReplica finds out again and again whether the replica follows the feed
// that this node follows, until the store closes.
func (s *Store) watchReplica() {
	ticker := time.NewTicker(s.opts.FollowInterval)
	defer ticker.Stop()
	for {
		select {
		case <-s.closing:
			return
		case <-ticker.C:
		}
		r := s.replica
		asked := r.now()
		due, known := r.due()
		if !known || r.now().UnixMilli() < r.down.Load() {
			continue
		}
		s.feed.mu.Lock()
		name := s.feed.place.Feed
		s.feed.mu.Unlock()
		state, err := r.reads.one(s.ctx, selectState, due.end)
		switch {
		case err == nil && isFeed(state, name, due.at):
			r.same.Store(asked.UnixMilli())
		case err != nil && s.ctx.Err() == nil:
			s.failed(err)
		}
	}
}

// failed has the replica left alone for a while after an error.
func (s *Store) failed(err error) {
	r := s.replica
	now := r.now()
	if r.down.Swap(now.Add(replicaPause).UnixMilli()) <= now.UnixMilli() { // else others have said so
		s.opts.Report(store.Finding{Name: "read replica", Value: err.Error(), Advice: "the primary is asked meanwhile"})
	}
}

// accessTokenRow reads the row of an access token and its grant.
func (s *Store) accessTokenRow(ctx context.Context, service, id model.ID) (row, error) {
	if r := s.replica; r != nil {
		if least, may := r.least(); may {
			found, err := r.reads.of(ctx, accessTokens, id, lookInTheReplica, int64(service), int64(id))
			switch {
			case err == nil && found.Int(0) >= least:
				return found[1:], nil
			case err != nil && !errors.Is(err, store.ErrNotFound) && ctx.Err() == nil:
				s.failed(err)
			}
		}
	}
	return s.reads.of(ctx, accessTokens, id, lookAccessToken, int64(service), int64(id))
}
