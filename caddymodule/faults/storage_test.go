package faults

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/gatehouse-auth/gatehouse/caddymodule"
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
	"github.com/gatehouse-auth/gatehouse/engine/store/postgres"
	"github.com/gatehouse-auth/gatehouse/engine/store/sqlite"
)

func init() {
	caddy.RegisterModule(new(faulty))
}

// busyTimeout is how long the faulty storage waits for a lock: less than the
// real one, so that a lock need not be held for long.
const busyTimeout = 200 * time.Millisecond

// bugs are what the faulty storage can be made to do wrong.
var bugs = map[string]func(store.Store) store.Store{
	"none":               func(s store.Store) store.Store { return s },
	"early_answer":       newEarlyAnswer,
	"read_then_write":    func(s store.Store) store.Store { return readThenWrite{s} },
	"lost_revocation":    func(s store.Store) store.Store { return lostRevocation{s} },
	"swallowed_error":    func(s store.Store) store.Store { return swallowedError{s} },
	"second_successor":   func(s store.Store) store.Store { return secondSuccessor{s} },
	"torn_write":         func(s store.Store) store.Store { return tornWrite{s} },
	"unnoticed_rotation": func(s store.Store) store.Store { return unnoticedRotation{s} },
	"blind_retry":        func(s store.Store) store.Store { return blindRetry{s} },
	"stale_read":         func(s store.Store) store.Store { return &staleRead{Store: s} },
	"mixed_answers":      func(s store.Store) store.Store { return &mixedAnswers{Store: s} },
	"deaf_to_others":     func(s store.Store) store.Store { return s }, // Open makes it so
}

// faulty is SQLite or PostgreSQL with a bug.
type faulty struct {
	Bug string `json:"bug"`
	// Path is SQLite's file, or where PostgreSQL is, as a URL.
	Path string `json:"path"`
}

// CaddyModule returns the Caddy module information.
func (*faulty) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "gatehouse.storage.faulty", New: func() caddy.Module { return new(faulty) }}
}

// UnmarshalCaddyfile reads the storage line.
//
// Syntax:
//
//	storage faulty <bug> <path>
func (f *faulty) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	if !d.Args(&f.Bug, &f.Path) || bugs[f.Bug] == nil {
		return d.ArgErr()
	}
	return nil
}

func (f *faulty) Identity() string { return "faulty:" + f.Path }
func (f *faulty) Folder() string   { return filepath.Dir(f.Path) }

func (f *faulty) Open(ctx context.Context) (store.Store, error) {
	var s store.Store
	var err error
	if strings.HasPrefix(f.Path, "postgres://") {
		options := postgres.Options{DSN: f.Path}
		if f.Bug == "deaf_to_others" { // it never looks for what other nodes have changed
			options.NoNotify, options.FollowInterval = true, 24*time.Hour
		}
		s, err = postgres.Open(ctx, options)
	} else {
		s, err = sqlite.Open(ctx, sqlite.Options{Path: f.Path, BusyTimeout: busyTimeout})
	}
	if err != nil {
		return nil, err
	}
	return bugs[f.Bug](s), nil
}

var _ caddymodule.Storage = (*faulty)(nil)

// find returns the first step of a type.
func find[S store.Step](steps []store.Step) (step S, at int) {
	at = slices.IndexFunc(steps, func(s store.Step) bool { _, ok := s.(S); return ok })
	if at >= 0 {
		step = steps[at].(S)
	}
	return step, at
}

// without leaves one step out.
func without(steps []store.Step, at int) []store.Step {
	return slices.Delete(slices.Clone(steps), at, at+1)
}

// earlyAnswer answers before the commit: a client's own tokens are kept in
// memory at first, and written a little later.
type earlyAnswer struct {
	store.Store
	mu      sync.Mutex
	pending map[model.ID]store.InsertAccessToken
	done    chan struct{}
	flusher sync.WaitGroup
}

func newEarlyAnswer(s store.Store) store.Store {
	e := &earlyAnswer{Store: s, pending: map[model.ID]store.InsertAccessToken{}, done: make(chan struct{})}
	e.flusher.Go(func() {
		for {
			select {
			case <-e.done:
				return
			case <-time.After(10 * time.Millisecond):
				e.flush()
			}
		}
	})
	return e
}

func (e *earlyAnswer) Close() error {
	close(e.done)
	e.flusher.Wait()
	e.flush()
	return e.Store.Close()
}

func (e *earlyAnswer) flush() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, step := range e.pending {
		_ = e.Store.Write(context.Background(), step)
	}
	clear(e.pending)
}

func (e *earlyAnswer) Write(ctx context.Context, steps ...store.Step) error {
	if step, at := find[store.InsertAccessToken](steps); at == 0 && len(steps) == 1 {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.pending[step.Token.ID] = step
		return nil
	}
	if _, at := find[store.RevokeAccessToken](steps); at >= 0 {
		e.flush()
	}
	return e.Store.Write(ctx, steps...)
}

func (e *earlyAnswer) AccessToken(ctx context.Context, service, id model.ID) (model.AccessToken, model.Grant, error) {
	e.mu.Lock()
	step, pending := e.pending[id]
	e.mu.Unlock()
	if !pending {
		return e.Store.AccessToken(ctx, service, id)
	}
	grant, err := e.Grant(ctx, service, step.Token.Grant)
	return step.Token, grant, err
}

// readThenWrite looks whether a code is good, and spends it later.
type readThenWrite struct{ store.Store }

func (s readThenWrite) Write(ctx context.Context, steps ...store.Step) error {
	redeem, at := find[store.RedeemHandle](steps)
	if at < 0 || redeem.Kind != model.HandleCode {
		return s.Store.Write(ctx, steps...)
	}
	h, err := s.Handle(ctx, redeem.Service, redeem.Kind, redeem.ID)
	if err != nil || h.Redeemed {
		return store.ErrSpent
	}
	if err := s.Store.Write(ctx, without(steps, at)...); err != nil {
		return err
	}
	if err := s.Store.Write(ctx, redeem); !errors.Is(err, store.ErrSpent) {
		return err
	}
	return nil
}

// lostRevocation says that access tokens are revoked, and leaves them.
type lostRevocation struct{ store.Store }

func (s lostRevocation) Write(ctx context.Context, steps ...store.Step) error {
	if _, at := find[store.RevokeAccessToken](steps); at >= 0 && len(steps) == 1 {
		return nil
	}
	return s.Store.Write(ctx, steps...)
}

// swallowedError takes an error of the database for success.
type swallowedError struct{ store.Store }

func (s swallowedError) Write(ctx context.Context, steps ...store.Step) error {
	err := s.Store.Write(ctx, steps...)
	if errors.Is(err, store.ErrUnavailable) {
		return nil
	}
	return err
}

// secondSuccessor gives a refresh token that is used twice at once two successors.
type secondSuccessor struct{ store.Store }

func (s secondSuccessor) Write(ctx context.Context, steps ...store.Step) error {
	err := s.Store.Write(ctx, steps...)
	if _, at := find[store.RotateRefreshToken](steps); at >= 0 && errors.Is(err, store.ErrSpent) {
		return s.Store.Write(ctx, without(steps, at)...)
	}
	return err
}

// tornWrite makes a rotation in two transactions: first the refresh token's
// end, then what comes in its place.
type tornWrite struct{ store.Store }

func (s tornWrite) Write(ctx context.Context, steps ...store.Step) error {
	rotation, at := find[store.RotateRefreshToken](steps)
	if at < 0 {
		return s.Store.Write(ctx, steps...)
	}
	if err := s.Store.Write(ctx, rotation); err != nil {
		return err
	}
	return s.Store.Write(ctx, without(steps, at)...)
}

// unnoticedRotation forgets that a refresh token was replaced.
type unnoticedRotation struct{ store.Store }

func (s unnoticedRotation) Write(ctx context.Context, steps ...store.Step) error {
	if _, at := find[store.RotateRefreshToken](steps); at >= 0 {
		steps = without(steps, at)
	}
	return s.Store.Write(ctx, steps...)
}

// blindRetry writes again after an error, and takes what was used meanwhile for
// its own first attempt.
type blindRetry struct{ store.Store }

func (s blindRetry) Write(ctx context.Context, steps ...store.Step) error {
	err := s.Store.Write(ctx, steps...)
	for errors.Is(err, store.ErrUnavailable) && ctx.Err() == nil {
		time.Sleep(10 * time.Millisecond)
		if err = s.Store.Write(ctx, steps...); errors.Is(err, store.ErrSpent) {
			return nil
		}
	}
	return err
}

// staleRead answers from a copy of what it has read, as a cache does that the
// change feed does not reach.
type staleRead struct {
	store.Store
	copies sync.Map // of access tokens, by id
}

type staleCopy struct {
	token model.AccessToken
	grant model.Grant
	read  time.Time
}

func (s *staleRead) AccessToken(ctx context.Context, service, id model.ID) (model.AccessToken, model.Grant, error) {
	if kept, ok := s.copies.Load(id); ok && time.Since(kept.(staleCopy).read) < 200*time.Millisecond {
		return kept.(staleCopy).token, kept.(staleCopy).grant, nil
	}
	token, grant, err := s.Store.AccessToken(ctx, service, id)
	if err == nil {
		s.copies.Store(id, staleCopy{token, grant, time.Now()})
	}
	return token, grant, err
}

// mixedAnswers now and then gives a lookup what another one asked for: the
// token is the right one, the grant that comes with it another's.
type mixedAnswers struct {
	store.Store
	last    atomic.Pointer[model.Grant]
	lookups atomic.Int64
}

func (s *mixedAnswers) AccessToken(ctx context.Context, service, id model.ID) (model.AccessToken, model.Grant, error) {
	token, grant, err := s.Store.AccessToken(ctx, service, id)
	if err != nil {
		return token, grant, err
	}
	if other := s.last.Swap(&grant); other != nil && s.lookups.Add(1)%10 == 0 {
		return token, *other, nil
	}
	return token, grant, nil
}
