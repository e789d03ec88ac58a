package sqlite

import (
	"context"
	"fmt"

	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// Moved says so when all has moved to another store and nothing can be written
// here any more; nil: it has not.
func (s *Store) Moved(ctx context.Context) (found *store.Finding, err error) {
	err = s.reads.one(ctx, func(r row) error {
		if r.int(0) > 0 {
			found = movedFinding()
		}
		return nil
	}, countRefusals, refusals)
	return found, err
}

func movedFinding() *store.Finding {
	return &store.Finding{
		Name: "move", Value: "all has moved to another store, and nothing can be written here", Failing: true,
		Advice: "the configuration must name the new storage; caddy gatehouse move --take-back lets this one be written again, " +
			"without what the new one has taken since",
	}
}

// CancelMove ends what a move that was killed has left here: the journal of
// changes. A move that runs fails then. ErrMoved: the move was over.
func (s *Store) CancelMove(ctx context.Context) error {
	over := false
	err := s.writer.do(ctx, nil, func(t *tx) (err error) {
		if over, err = t.hasMoved(); over || err != nil {
			return err
		}
		return t.dropJournal()
	})
	if err == nil && over {
		err = fmt.Errorf("%w: there is nothing to cancel", ErrMoved)
	}
	return err
}

// TakeBack lets a store that has moved take writes again, in every process. What
// the other store has taken since is not here: what was revoked or used there is
// not here. ErrNotMoved: it takes them.
func (s *Store) TakeBack(ctx context.Context) error {
	over := false
	err := s.writer.do(ctx, nil, func(t *tx) (err error) {
		if over, err = t.hasMoved(); over && err == nil {
			err = t.dropTriggers(refusals)
		}
		return err
	})
	if err == nil && !over {
		err = fmt.Errorf("%w: the database takes writes", ErrNotMoved)
	}
	return err
}
