// Package postgres keeps a store in PostgreSQL, for any number of nodes, or in
// what speaks its protocol.
//
// Writes commit in groups: callers queue, a writer takes what is there into one
// transaction, in few round trips, and answers after the commit. Readers send
// what waits together. Tokens and one-time handles lie in partitions by time.
package postgres

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/gatehouse-auth/gatehouse/engine/store"
	"github.com/gatehouse-auth/gatehouse/engine/store/internal/subscribers"
	"github.com/gatehouse-auth/gatehouse/engine/store/internal/sweeper"
)

// Options say where the store is and how it behaves.
type Options struct {
	// DSN is a connection string as libpq has it (PostgreSQL, §34.1.1), a URL or
	// keywords. The tables lie in the schema gatehouse unless it names a
	// search_path. With several hosts, target_session_attrs=read-write finds the
	// one that can be written.
	DSN string
	// Replica, unless empty, is the connection string of a read replica. Access
	// tokens are looked up there as long as it is not behind by more than 0.4
	// seconds; what it does not find is asked for again at the primary.
	Replica string
	// Now is the clock; default time.Now. It stamps rows of the change feed and
	// drives the sweeper.
	Now func() time.Time
	// FollowInterval is how often to look for the changes of other nodes, if
	// nothing wakes this one before; default 250 ms.
	FollowInterval time.Duration
	// SweepInterval is how often to look for expired rows; default 1 s,
	// negative: never. Of all nodes, one does it.
	SweepInterval time.Duration
	// Readers and Writers are the numbers of connections that read and write;
	// default 4, or one a processor if those are more, and 2.
	Readers, Writers int
	// Report is told what operators should know; default: nobody. It must be
	// quick and safe for concurrent use.
	Report func(store.Finding)
	// AsIs opens what is there, to look at it: nothing is made, migrated or
	// removed. fs.ErrNotExist: there is nothing.
	AsIs bool
	// Plain makes no partitions, and NoNotify wakes nobody, as for databases
	// that lack them.
	Plain, NoNotify bool
	// Widths replaces the time that partitions of a table span.
	Widths map[string]time.Duration
}

func (o *Options) setDefaults() {
	readers, writers := defaultConnections()
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.FollowInterval <= 0 {
		o.FollowInterval = 250 * time.Millisecond
	}
	if o.SweepInterval == 0 {
		o.SweepInterval = time.Second
	}
	if o.Readers <= 0 {
		o.Readers = readers
	}
	if o.Writers <= 0 {
		o.Writers = writers
	}
	if o.Report == nil {
		o.Report = func(store.Finding) {}
	}
	if o.Widths == nil {
		o.Widths = byTime
	}
}

// Store is a store in PostgreSQL.
type Store struct {
	opts    Options
	name    string // of this node: random
	pool    *pgxpool.Pool
	link    *link         // to pool
	quick   *pgxpool.Pool // the workers', who wait for no lock for long
	parts   *partitions
	reads   *readers
	writers *writers
	feed    feed
	clock   clock
	sweeper *sweeper.Sweeper
	replica *replica // nil: there is none
	known   int64    // the schema that this version knows

	ctx     context.Context // ends when the store closes, after the writes under way
	cancel  context.CancelFunc
	closing chan struct{} // closed by Close
	woken   chan struct{}
	workers sync.WaitGroup // readers and writers
	jobs    sync.WaitGroup // everything else
	closed  sync.Once
}

// Open opens the store, making or migrating the tables as needed.
func Open(ctx context.Context, opts Options) (*Store, error) {
	opts.setDefaults()
	s, err := openStore(ctx, opts)
	if err != nil {
		return nil, fmt.Errorf("postgres store: %w", err)
	}
	return s, nil
}

func openStore(ctx context.Context, opts Options) (*Store, error) {
	config, err := poolConfig(opts.DSN, otherConnections)
	if err != nil {
		return nil, err
	}
	prepared := migrate
	if opts.AsIs {
		prepared = find
	}
	partitioned, known, err := prepared(ctx, config.ConnConfig, opts)
	if err != nil {
		return nil, openError(err)
	}
	id := make([]byte, 8)
	if _, err := rand.Read(id); err != nil {
		return nil, err
	}
	s := &Store{opts: opts, known: known, name: hex.EncodeToString(id), closing: make(chan struct{}), woken: make(chan struct{}, 1)}
	s.ctx, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
	if s.pool, err = pgxpool.NewWithConfig(s.ctx, config); err != nil {
		return nil, openError(err)
	}
	if s.quick, err = pgxpool.NewWithConfig(s.ctx, hurried(config, opts.Readers+opts.Writers)); err != nil {
		return nil, openError(err)
	}
	if err := s.start(ctx, partitioned); err != nil {
		s.cancel()
		s.pool.Close()
		s.quick.Close()
		return nil, openError(err)
	}
	return s, nil
}

// start reads what the store begins with, and starts its goroutines.
func (s *Store) start(ctx context.Context, partitioned bool) error {
	s.feed.now, s.feed.node, s.feed.subs = s.opts.Now, s.name, subscribers.New(&s.feed.mu)
	s.clock.report = s.opts.Report
	err := s.pool.AcquireFunc(ctx, func(c *pgxpool.Conn) error { return s.openFeed(ctx, c.Conn(), s.name) })
	if err != nil {
		return err
	}
	s.parts = &partitions{pool: s.pool}
	switch {
	case partitioned && s.opts.AsIs:
		if err := s.parts.refresh(ctx); err != nil {
			return err
		}
	case partitioned:
		err := s.parts.ensure(ctx, s.opts.Widths, s.opts.Now())
		if s.parts.set.Load() == nil {
			return err
		}
		s.reportPartitions(err) // what has no partition of its own lies with the rest
	}
	s.sweeper = newSweeper(s, partitioned)
	s.link = &link{pool: s.pool}
	quick := &link{pool: s.quick}
	s.reads = newReaders(quick, s.parts, newReaders(s.link, s.parts, nil))
	if err := s.openReplica(s.ctx); err != nil {
		return err
	}
	s.writers = newWriters(s, quick, newWriters(s, s.link, nil))
	for range s.opts.Readers {
		s.workers.Go(s.reads.loop)
		if s.replica != nil {
			s.workers.Go(s.replica.reads.loop)
		}
	}
	for range s.opts.Writers {
		s.workers.Go(s.writers.loop)
	}
	s.workers.Go(s.reads.aside.loop)
	s.workers.Go(s.writers.aside.loop)
	if s.opts.AsIs {
		return nil
	}
	s.feed.full.Store(s.opts.Now().UnixMilli()) // nobody has asked for anything before
	s.jobs.Go(s.follow)
	s.jobs.Go(s.beat)
	if s.replica != nil {
		s.jobs.Go(s.watchReplica)
	}
	if s.feed.notify != "" {
		s.jobs.Go(s.listen)
	}
	if s.opts.SweepInterval > 0 {
		s.jobs.Go(func() { s.sweepForever(partitioned) })
	}
	return nil
}

// Close stops the store's goroutines, after the writes under way have been
// answered, and closes the connections.
func (s *Store) Close() error {
	s.closed.Do(func() {
		close(s.closing)
		s.cancel()
		s.jobs.Wait()
		s.writers.queue.close()
		s.writers.aside.queue.close()
		s.reads.queue.close()
		s.reads.aside.queue.close()
		if s.replica != nil {
			s.replica.reads.queue.close()
			defer s.replica.pool.Close()
		}
		s.workers.Wait()
		if !s.opts.AsIs {
			s.leave()
		}
		s.quick.Close()
		s.pool.Close()
	})
	return nil
}

// exec runs statements, again when they meet others, that no caller's deadline may cut off.
func (s *Store) exec(ctx context.Context, work func(ctx context.Context, conn *pgx.Conn) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case <-s.closing:
		return errClosed
	default:
	}
	own, cancel := context.WithTimeout(context.WithoutCancel(ctx), tripTimeout)
	defer cancel()
	var err error
	for attempt := 0; attempt < maxAttempts; attempt++ {
		if err = s.execOnce(own, work); !isTransient(err) {
			break
		}
		if code(err) == codeUndefinedTable {
			_ = s.parts.refresh(own) // or the next attempt says so
		}
	}
	if err != nil && !isOutcome(err) {
		return unavailable(err)
	}
	return err
}

func (s *Store) execOnce(ctx context.Context, work func(ctx context.Context, conn *pgx.Conn) error) error {
	conn, err := s.link.acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	err = work(ctx, conn.Conn())
	closeIfReadOnly(ctx, conn.Conn(), err)
	return err
}

// openError explains an error of the database while it is opened.
func openError(err error) error {
	if code(err) == "" && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return fmt.Errorf("%s: %w", reason(err), err)
}

var _ store.Store = (*Store)(nil)
