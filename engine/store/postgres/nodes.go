package postgres

import (
	"context"
	"os"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// beatInterval is how often a node says that it is there, and what it has seen.
	beatInterval = 10 * time.Second
	// goneAfter is how long a node may be silent before its row is removed.
	goneAfter = time.Hour
	// maxFeedLag is how old what a node has of the feed may be: what is revoked
	// holds everywhere within it.
	maxFeedLag = time.Second
)

// databaseSeconds is the database's clock in Unix seconds: by a node's own, one
// whose clock is wrong would seem to be gone.
const databaseSeconds = `extract(epoch FROM clock_timestamp())::bigint`

// beat says that this node is there until the store closes.
func (s *Store) beat() {
	started := s.opts.Now().Unix()
	ticker := time.NewTicker(beatInterval)
	defer ticker.Stop()
	for {
		_ = s.beatOnce(s.ctx, started) // or at the next beat
		select {
		case <-s.closing:
			return
		case <-ticker.C:
		}
	}
}

func (s *Store) beatOnce(ctx context.Context, started int64) error {
	return s.exec(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, `INSERT INTO nodes (name, schema, started, seen, feed, ahead) VALUES ($1, $2, $3, `+databaseSeconds+`, $4, $5)
			ON CONFLICT (name) DO UPDATE SET seen = excluded.seen, feed = excluded.feed, ahead = excluded.ahead`,
			nodeName(s.name), s.known, started, s.feed.lag(s.opts.Now()), s.clock.ahead.Load())
		return err
	})
}

// leave gives back what this node has: its row, and the sweeper's lease. Else
// both go in time.
func (s *Store) leave() {
	ctx, cancel := context.WithTimeout(context.Background(), tripTimeout)
	defer cancel()
	_, _ = s.pool.Exec(ctx, `DELETE FROM nodes WHERE name = $1`, nodeName(s.name))
	_, _ = s.pool.Exec(ctx, `UPDATE leases SET until = 0 WHERE holder = $1`, s.name)
}

// forgetNodes removes the rows of nodes that did not leave.
func (s *Store) forgetNodes(ctx context.Context) error {
	return s.exec(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, `DELETE FROM nodes WHERE seen < `+databaseSeconds+` - $1::bigint`, int64(goneAfter/time.Second))
		return err
	})
}

// nodeName is what operators know a node by.
func nodeName(id string) string {
	host, _ := os.Hostname()
	return host + " " + id
}
