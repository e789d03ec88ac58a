// Package sqlite keeps a store in one SQLite file, without cgo. It is the
// embedded default.
//
// One goroutine writes: callers queue, it takes what is there into one
// transaction, and answers after the commit has reached the disk. Readers
// have connections of their own and see the last commit. Other processes may
// use the same file at the same time.
package sqlite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"github.com/gatehouse-auth/gatehouse/engine/store"
	"github.com/gatehouse-auth/gatehouse/engine/store/internal/subscribers"
	"github.com/gatehouse-auth/gatehouse/engine/store/internal/sweeper"
	"github.com/gatehouse-auth/gatehouse/engine/store/newfile"
)

// Options say where the store is and how it behaves.
type Options struct {
	// Path is the database file. It and its folders are made when missing,
	// readable by nobody else. Beside it stand files of the same name that
	// end in -wal, -shm and -lock.
	Path string
	// Now is the clock; default time.Now. It stamps rows of the change feed
	// and drives the sweeper.
	Now func() time.Time
	// BusyTimeout is how long to wait for another process's write before
	// giving up with ErrUnavailable; default 5 s.
	BusyTimeout time.Duration
	// FollowInterval is how often to look for the changes of other
	// processes; default 250 ms.
	FollowInterval time.Duration
	// SweepInterval is how often to look for expired rows; default 1 s,
	// negative: never.
	SweepInterval time.Duration
	// AsIs opens what is there, to look at it: nothing is made, migrated or
	// swept, and writes return ErrUnavailable. Where there is no file, Open
	// returns fs.ErrNotExist.
	AsIs bool
	// Readers is the number of connections that read; default 4, or one a
	// processor if those are more.
	Readers int

	// writerPragmas is asked when the writer opens its connection. Tests
	// make the disk small with it.
	writerPragmas func() []string
}

func (o *Options) setDefaults() {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.BusyTimeout <= 0 {
		o.BusyTimeout = 5 * time.Second
	}
	if o.FollowInterval <= 0 {
		o.FollowInterval = 250 * time.Millisecond
	}
	if o.SweepInterval == 0 {
		o.SweepInterval = time.Second
	}
	if o.Readers <= 0 {
		o.Readers = max(4, runtime.GOMAXPROCS(0))
	}
}

// Store is a store in one SQLite file.
type Store struct {
	opts    Options
	writer  *writer
	reads   *readers
	feed    feed
	sweeper *sweeper.Sweeper

	closing  chan struct{}  // closed by Close
	workers  sync.WaitGroup // the follower and the sweeper
	closed   sync.Once
	closeErr error
}

// Open opens the store, making or migrating the file as needed.
func Open(ctx context.Context, opts Options) (*Store, error) {
	opts.setDefaults()
	s, err := openStore(ctx, opts)
	if err != nil {
		return nil, fmt.Errorf("sqlite store %s: %w", opts.Path, err)
	}
	return s, nil
}

func openStore(ctx context.Context, opts Options) (*Store, error) {
	if opts.Path == "" {
		return nil, errors.New("no path given")
	}
	path, err := filepath.Abs(opts.Path)
	if err != nil {
		return nil, err
	}
	opts.Path = path
	if err := prepare(ctx, &opts); err != nil {
		return nil, err
	}
	s := &Store{opts: opts, closing: make(chan struct{})}
	s.sweeper = newSweeper(s)
	s.feed.now, s.feed.subs = opts.Now, subscribers.New(&s.feed.mu)
	if s.reads, err = openReaders(path, opts); err != nil {
		return nil, unavailable(err)
	}
	if err := s.recognize(ctx); err != nil {
		return nil, errors.Join(err, s.reads.close())
	}
	if err := s.feed.start(ctx, s.reads); err != nil {
		return nil, errors.Join(err, s.reads.close())
	}
	if s.writer, err = startWriter(opts, &s.feed); err != nil {
		return nil, errors.Join(unavailable(err), s.reads.close())
	}
	s.workers.Go(s.follow)
	if opts.SweepInterval > 0 {
		s.workers.Go(s.sweepForever)
	}
	return s, nil
}

// prepare makes and migrates the file, unless it is to stay as it is.
func prepare(ctx context.Context, opts *Options) error {
	if opts.AsIs {
		opts.SweepInterval = -1
		opts.writerPragmas = func() []string { return []string{"query_only(1)"} }
		_, err := os.Stat(opts.Path)
		return err
	}
	if err := prepareFile(opts.Path, filepath.Dir(opts.Path)); err != nil {
		return err
	}
	return migrate(ctx, opts.Path, opts.BusyTimeout)
}

// Close stops the store's goroutines, after the writes under way have been
// answered, and closes the file.
func (s *Store) Close() error {
	s.closed.Do(func() {
		close(s.closing)
		s.workers.Wait()
		s.closeErr = errors.Join(s.reads.close(), s.writer.close())
	})
	return s.closeErr
}

// prepareFile makes the folders and the file, for the owner alone, who is that of
// another file, or of a folder, also when it is root who makes it: SQLite gives
// the files beside it the same mode and owner. A file that exists is left alone,
// and not even opened: closing it would take away the locks that SQLite
// holds on it elsewhere in this process (fcntl(2), "Record locking").
func prepareFile(path, of string) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("cannot make the folder: %w", err)
	}
	info, err := os.Stat(path)
	switch {
	case err == nil && info.IsDir():
		return errors.New("is a folder, not a file")
	case err == nil:
		return nil
	case !errors.Is(err, os.ErrNotExist):
		return err
	}
	if err := createFile(path, of); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return newfile.SyncFolder(dir)
}

// createFile makes an empty file, closed before it has its name: by then
// another goroutine may have SQLite's locks on it.
func createFile(path, of string) error {
	file, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".new-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	if err := closeOwned(file, of); err != nil {
		return err
	}
	if err := os.Link(file.Name(), path); err == nil || errors.Is(err, os.ErrExist) {
		return err
	}
	file, err = os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600) // no hard links here
	if err != nil {
		return err
	}
	return closeOwned(file, of)
}

// closeOwned closes a new file, which belongs to the owner of another where that
// can be.
func closeOwned(file *os.File, of string) error {
	err := newfile.KeepOwner(file, of)
	if errors.Is(err, os.ErrPermission) { // a root that may give nothing away
		err = nil
	}
	return errors.Join(err, file.Close())
}

var _ store.Store = (*Store)(nil)
