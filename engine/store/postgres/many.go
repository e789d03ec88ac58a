package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// A client may have millions of grants. To end them in one statement takes longer
// than any has, and meanwhile every refresh in one of them waits, and keeps others
// waiting. So a write ends so many, and where there are more it does nothing, they
// go in bounded steps, and it is tried again. If it fails then, or its caller gives
// up, some of the grants have ended: the next attempt has fewer before it.

// mostGrants is how many grants of a client end at once: some hundredths of a
// second.
const mostGrants = 10_000

// errMany counts as an outcome, which the others of a batch do not share.
var errMany = fmt.Errorf("the client has too many grants to end them at once: %w", store.ErrConflict)

const (
	// endClient ends the grants of a client and returns a row, unless there are more
	// than $3.
	endClient = `WITH more AS MATERIALIZED (SELECT id FROM grants WHERE service = $1 AND client = $2 OFFSET $3 LIMIT 1),
		gone AS (DELETE FROM grants WHERE service = $1 AND client = $2 AND NOT EXISTS (SELECT 1 FROM more))
		SELECT 1::bigint WHERE NOT EXISTS (SELECT 1 FROM more)`
	// endSome ends $3 of those beyond as many, but none that is being written, for
	// which it would wait while others wait for it.
	endSome = `DELETE FROM grants WHERE id = ANY (ARRAY(
		SELECT id FROM grants WHERE service = $1 AND client = $2 OFFSET $3 LIMIT $3 FOR UPDATE SKIP LOCKED))`
)

// Write applies the steps in one transaction, but for the grants of a client that
// has very many: they go before it.
func (s *Store) Write(ctx context.Context, steps ...store.Step) error {
	for range maxAttempts {
		if err := s.write(ctx, steps...); !errors.Is(err, errMany) {
			return err
		}
		for _, step := range steps {
			if r, ok := step.(store.RevokeGrants); ok && r.Subject == "" {
				if err := s.endMost(ctx, r); err != nil {
					return err
				}
			}
		}
	}
	return unavailableText("the client is given grants faster than they end")
}

// endMost ends the grants of a client, each step for itself, until one write can
// end the others. The feed is told by that, for all of them.
func (s *Store) endMost(ctx context.Context, r store.RevokeGrants) error {
	for ended := int64(mostGrants); ended == mostGrants; {
		err := s.exec(ctx, func(ctx context.Context, conn *pgx.Conn) error {
			tag, err := conn.Exec(ctx, endSome, int64(r.Service), int64(r.Client), mostGrants)
			ended = tag.RowsAffected()
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
