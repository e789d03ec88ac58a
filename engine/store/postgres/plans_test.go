package postgres

import (
	"context"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/engine/handle"
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
	"github.com/gatehouse-auth/gatehouse/engine/store/postgres/pgtest"
)

// What is looked up or used once costs as much among many grants as among few.
// Plans are made while the tables are small and stay until somebody gathers
// statistics: none of them may read all that a service has.
func TestPlansReadFewRows(t *testing.T) {
	h := newHouse(t, Options{DSN: place(pgtest.Start(t, "autovacuum=off"))})
	ctx := context.Background()
	id := handle.First(time.Now()) + 1
	p, trusting := planner{parts: h.parts}, planner{parts: h.parts, trusts: true}
	for _, step := range []store.Step{
		store.InsertAccessToken{Token: model.AccessToken{Service: h.service, ID: id, Grant: id}},
		store.RotateRefreshToken{Service: h.service, ID: id, Successor: id + 1},
		store.RenewAccessToken{Service: h.service, ID: id, Access: id},
		store.RedeemHandle{Service: h.service, Kind: model.HandleCode, ID: id},
		store.ExtendGrant{Service: h.service, ID: id, Access: id}, store.RevokeGrant{Service: h.service, ID: id},
		store.RevokeGrants{Service: h.service, Subject: "user1"}, store.RevokeGrants{Service: h.service, Client: 1}, store.EndSession{Service: h.service, ID: id},
		store.JoinSession{Service: h.service, Session: id, Client: 1}, store.DeleteSessions{Service: h.service, Subject: "user1"},
		store.KeepAccessToken{Service: h.service, Subject: "user1", Client: 1, Access: id},
		store.ExpectClients{Service: h.service, Session: id}, store.UseOnce{Service: h.service},
		store.InsertClient{Client: model.StoredClient{Service: h.service, Alias: "app"}, Most: 1},
	} {
		must(t, p.step(step))
	}
	texts := []string{lookAccessToken.one, lookAccessToken.many, lookInTheReplica.one, lookInTheReplica.many, insertTokens, endSome, selectPage, selectState, selectStoredClient + ` AND c.id = $2`}
	then := outcomes{}
	for _, s := range p.list {
		if texts = append(texts, s.sql); s.row != nil && (strings.Contains(s.sql, "refresh_tokens") || strings.Contains(s.sql, "FROM g WHERE")) {
			s.row(&then, row{binary.BigEndian.AppendUint64(nil, uint64(id+1))}) // what an answer asks for
		}
	}
	must(t, trusting.step(store.RotateRefreshToken{Service: h.service, ID: id, Successor: id + 1, Was: id + 2}))
	must(t, trusting.step(store.RenewAccessToken{Service: h.service, ID: id, Access: id, Was: id + 2}))
	for _, s := range append(then.then, trusting.list...) {
		texts = append(texts, s.sql)
	}
	conn := h.connect(t)
	must(t, prepare(ctx, conn))
	_, err := conn.Exec(ctx, `SET plan_cache_mode = force_generic_plan`)
	must(t, err)
	for i, text := range texts {
		name := fmt.Sprint("plan_", i)
		prepared, err := conn.Prepare(ctx, name, text)
		must(t, err)
		nulls := strings.TrimSuffix(strings.Repeat("NULL, ", len(prepared.ParamOIDs)), ", ")
		if nulls != "" {
			nulls = "(" + nulls + ")"
		}
		rows, err := conn.Query(ctx, `EXPLAIN EXECUTE `+name+nulls)
		must(t, err)
		var plan []string
		for rows.Next() {
			var line string
			must(t, rows.Scan(&line))
			plan = append(plan, line)
		}
		must(t, rows.Err())
		all := strings.Join(plan, "\n")
		if strings.Contains(all, "hashed SubPlan") || strings.Contains(all, "Seq Scan on grants") || strings.Contains(all, "Index Cond: (service = $1)\n") || strings.Contains(all, "Index Scan using grants_client") && !strings.Contains(text, "DELETE FROM grants") {
			t.Errorf("%s\n%s", text, all)
		}
	}
}
