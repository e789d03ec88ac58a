package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// selectState reads the name of a feed, and when its number $1 was told.
const selectState = `SELECT f.name, ` + atOf + ` FROM feed f CROSS JOIN feed_floor l WHERE f.id = 1 AND l.id = 1`

// isFeed reports whether a state is that of a feed in which a number was told at
// a time.
func isFeed(state row, name string, at int64) bool {
	return state.Text(0) == name && !state.Null(1) && state.Int(1) == at
}

// follow gives the changes of other nodes until the store closes: at every
// tick, and when one of them says that there is something.
func (s *Store) follow() {
	ticker := time.NewTicker(s.opts.FollowInterval)
	defer ticker.Stop()
	for {
		select {
		case <-s.closing:
			return
		case <-ticker.C:
		case <-s.woken:
		}
		for more := true; more; {
			more = s.catchUp(s.ctx)
		}
	}
}

// catchUp gives the rows that follow the last, and reports whether there may
// be more. What could not be read now will be at the next tick.
func (s *Store) catchUp(ctx context.Context) (more bool) {
	ctx = store.Prefer(ctx) // what was revoked must be known soon, however much is asked
	f := &s.feed
	f.mu.Lock()
	place, own := f.place, f.own
	f.mu.Unlock()
	asked := s.opts.Now()
	rows, err := s.reads.query(ctx, selectPage, place.Seq, int64(followLimit))
	if err != nil || len(rows) == 0 {
		return false
	}
	page, changes := rows[0], make([]model.Change, 0, len(rows))
	s.clock.note(asked, s.opts.Now(), page.Int(11))
	for _, r := range rows {
		if !r.Null(0) {
			changes = append(changes, scanChange(r))
		}
	}
	end := page.Int(8)
	if end < own || !isBehind(page, place) || !f.give(changes) {
		s.startAgain(ctx, page)
		return false
	}
	s.replica.note(asked, end, page.Int(9))
	if more = len(changes) == followLimit; !more {
		f.full.Store(asked.UnixMilli())
	}
	return more
}

// settle waits until a transaction that tells the feed, and whose answer was
// lost, is over, and gives what it told if it was committed. Who asks for the
// same again finds it done, writes nothing, and is acknowledged: what is
// remembered here must not last longer. It waits as long as for any lock. The
// server may keep a transaction whose node is silent for somewhat longer, and there
// may be no database to ask: then the follower gives it, soon after its end.
func (s *Store) settle() {
	ctx, cancel := context.WithTimeout(context.Background(), lockTimeout)
	defer cancel()
	ask := func() error { // for the row that the other has until it is over
		_, err := s.reads.one(store.Prefer(ctx), `SELECT last FROM feed WHERE id = 1 FOR UPDATE`)
		return err
	}
	err := ask()
	for err != nil && ctx.Err() == nil && s.ctx.Err() == nil { // connections are back soon
		time.Sleep(10 * time.Millisecond)
		err = ask()
	}
	for more := err == nil; more; {
		more = s.catchUp(ctx)
	}
}

// startAgain begins at the end of a feed that is not the one that was followed:
// the database was restored, has failed over to a replica that had not seen
// everything, or was away for longer than the feed is kept. What was missed
// cannot be told, so subscribers are told of every service as a whole.
func (s *Store) startAgain(ctx context.Context, page row) {
	rows, err := s.reads.query(ctx, `SELECT id FROM services`)
	if err != nil {
		return // at the next tick
	}
	f := &s.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	f.place, f.ahead, f.own = model.Place{Feed: page.Text(6), Seq: page.Int(8), At: page.Int(9)}, nil, 0
	s.replica.forget()
	changes := make([]model.Change, 0, len(rows))
	for _, r := range rows {
		changes = append(changes, model.Change{Service: model.ID(r.Int(0)), Kind: model.ChangeEverything, At: s.opts.Now().UnixMilli()})
	}
	f.subs.Tell(changes)
	s.opts.Report(store.Finding{Name: "change feed", Value: "is not the one that was followed",
		Advice: "caches were emptied; was the database restored, or did it fail over?"})
}

// listen is woken by the other nodes until the store closes. Without it they
// are noticed at the next tick.
func (s *Store) listen() {
	for pause := time.Second; ; pause = min(2*pause, time.Minute) {
		start := s.opts.Now()
		s.listenOnce()
		if s.opts.Now().Sub(start) > time.Minute {
			pause = time.Second
		}
		select {
		case <-s.closing:
			return
		case <-time.After(pause):
		}
	}
}

// listenOnce listens on a connection of its own until that breaks.
func (s *Store) listenOnce() {
	conn, err := pgx.ConnectConfig(s.ctx, s.pool.Config().ConnConfig)
	if err != nil {
		return
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(s.ctx, `LISTEN `+pgx.Identifier{s.feed.notify}.Sanitize()); err != nil {
		return
	}
	for s.wake(); ; {
		told, err := conn.WaitForNotification(s.ctx)
		if err != nil {
			return
		}
		if told.Payload != s.name { // else it gave that itself, and reads it at a tick
			s.wake()
		}
	}
}

// wake lets the follower look at once.
func (s *Store) wake() {
	select {
	case s.woken <- struct{}{}:
	default:
	}
}

// openFeed names the feed at first, and begins after the rows that are there.
func (s *Store) openFeed(ctx context.Context, conn *pgx.Conn, name string) error {
	if s.opts.AsIs {
		return nil
	}
	for _, statement := range []string{
		`INSERT INTO feed (id, name, last, last_at) VALUES (1, '` + name + `', 0, 0) ON CONFLICT DO NOTHING`,
		`INSERT INTO feed_floor (id, floor, floor_at) VALUES (1, 0, 0) ON CONFLICT DO NOTHING`,
	} {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return err
		}
	}
	at := &s.feed.place
	err := conn.QueryRow(ctx, `SELECT name, last, last_at FROM feed WHERE id = 1`).Scan(&at.Feed, &at.Seq, &at.At)
	if err != nil {
		return err
	}
	if s.opts.NoNotify {
		return nil
	}
	channel := "gatehouse_" + at.Feed
	if _, err := conn.Exec(ctx, `LISTEN `+pgx.Identifier{channel}.Sanitize()+`; UNLISTEN *`); err == nil {
		s.feed.notify = channel
	} else if code(err) == "" {
		return fmt.Errorf("trying LISTEN: %w", err)
	}
	return nil
}
