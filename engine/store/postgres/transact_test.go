package postgres

import (
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/engine/handle"
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
	"github.com/gatehouse-auth/gatehouse/engine/store/postgres/pgtest"
)

// Units whose follow-ups would wait for a table that is known to be locked go aside
// together, so that the batch goes on.
func TestFollowUpsGoAsideTogether(t *testing.T) {
	h := newHouse(t, Options{DSN: place(pgtest.Start(t))})
	const n, rounds = 24, 4
	ids := handle.NewIDs(time.Now, nil)
	var steps []store.Step
	for range n * rounds {
		r := model.RefreshToken{Service: h.service, ID: ids.Next(), Grant: h.grant, Access: h.token(t, time.Now(), time.Hour), ExpiresAt: 1 << 40}
		must(t, h.Write(t.Context(), store.InsertRefreshToken{Token: r}))
		steps = append(steps, store.RenewAccessToken{Service: h.service, ID: r.ID, Access: ids.Next(), Now: 1})
	}
	h.hold(t, `LOCK TABLE `+h.parts.find(accessTokens, currentID(time.Now())).name+` IN SHARE MODE`)
	quickest := time.Hour
	for round := range rounds {
		var batch []*unit
		for _, step := range steps[round*n : (round+1)*n] {
			batch = append(batch, &unit{ctx: t.Context(), done: make(chan error, 1), steps: []store.Step{step}})
		}
		begin := time.Now()
		h.writers.commit(batch)
		if round > 0 { // the first finds out
			quickest = min(quickest, time.Since(begin))
		}
	}
	if quickest > n*hurry/4 {
		t.Errorf("what is known to wait kept the others waiting for %v", quickest)
	}
}
