package postgres

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/dustin/go-humanize"

	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// manyOutside is how many rows without a partition of their time are many: they
// are all read when a partition is made, for which lookups may wait, and above some
// ten million it cannot be. No more of a table are counted.
const manyOutside = 1_000_000

// inspectPartitions looks at the partitions, and at what lies in the one that
// holds the rest.
func (s *Store) inspectPartitions(ctx context.Context) (findings []store.Finding, err error) {
	partitions, outside := 0, int64(0)
	for _, table := range slices.Sorted(maps.Keys(s.opts.Widths)) {
		list := s.parts.list(table)
		if len(list) == 0 {
			continue
		}
		partitions += len(list)
		if s.parts.find(table, currentID(s.opts.Now())) == nil {
			findings = append(findings, store.Finding{Name: "partitions", Value: table + " has none for this moment", Advice: "is a node running that may create tables?"})
		}
		r, err := s.reads.one(ctx, fmt.Sprintf(`SELECT count(*) FROM (SELECT 1 FROM %s LIMIT %d) l`, restOf(table), manyOutside))
		if err != nil {
			return nil, err
		}
		outside += r.Int(0)
	}
	f := store.Finding{Name: "partitions", Value: fmt.Sprintf("%d; rows outside of them: %s", partitions, humanize.Comma(outside))}
	if outside >= manyOutside {
		f.Value += " or more"
		f.Advice = "making partitions takes long: did a dump or a wrong clock keep them from being made? The rows go as they expire"
	}
	return append(findings, f), nil
}
