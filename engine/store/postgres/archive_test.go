package postgres

import (
	"context"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/engine/store/internal/archived"
	"github.com/gatehouse-auth/gatehouse/engine/store/postgres/pgtest"
)

// A row is found by its key, however many a service has: a move reads its last
// changes back while nobody can write.
func TestFindReadsOneRow(t *testing.T) {
	h := newHouse(t, Options{DSN: place(pgtest.Start(t, "autovacuum=off"))})
	ctx := context.Background()
	conn := h.connect(t)
	_, err := conn.Exec(ctx, `SET plan_cache_mode = force_generic_plan`)
	must(t, err)
	for i := range archived.Tables {
		table := &archived.Tables[i]
		_, err := conn.Exec(ctx, `PREPARE found AS `+table.Find("$"))
		must(t, err)
		nulls := strings.TrimSuffix(strings.Repeat("NULL, ", len(table.Key)), ", ")
		rows, err := conn.Query(ctx, `EXPLAIN EXECUTE found(`+nulls+`)`)
		must(t, err)
		plan := ""
		for rows.Next() {
			var line string
			must(t, rows.Scan(&line))
			plan += line + "\n"
		}
		must(t, rows.Err())
		if strings.Contains(plan, "Seq Scan") || strings.Contains(plan, "Index Cond: (service = $1)\n") {
			t.Errorf("%s\n%s", table.Find("$"), plan)
		}
		_, err = conn.Exec(ctx, `DEALLOCATE found`)
		must(t, err)
	}
}
