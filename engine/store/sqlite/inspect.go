package sqlite

import (
	"context"

	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// Inspect says how the file is.
func (s *Store) Inspect(ctx context.Context) ([]store.Finding, error) {
	return nil, ctx.Err()
}
