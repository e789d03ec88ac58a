package storetest

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// testAnyOrder lets rapid draw steps in any order, one to three a write, and
// compares the store with maps: the rows that a write named after it, and all
// of them at the end.
func testAnyOrder(t *testing.T, e *env) {
	rapid.Check(t, func(rt *rapid.T) {
		s := *e
		s.service = s.newService(t)
		m := newMirror(&s)
		rt.Repeat(map[string]func(*rapid.T){"write": m.write})
		m.compare(rt, slices.Clone(m.ids))
	})
}

// mirror is what a store should hold.
type mirror struct {
	e *env
	rows
	ids []model.ID // every id that was used for anything
}

type rows struct {
	grants  map[model.ID]model.Grant
	access  map[model.ID]model.AccessToken
	refresh map[model.ID]model.RefreshToken
	handles map[model.ID]model.Handle
}

func newMirror(e *env) *mirror {
	return &mirror{e: e, ids: []model.ID{newID()}, rows: rows{
		map[model.ID]model.Grant{}, map[model.ID]model.AccessToken{}, map[model.ID]model.RefreshToken{}, map[model.ID]model.Handle{},
	}}
}

func copyOf[V any](m map[model.ID]V) map[model.ID]V {
	c := make(map[model.ID]V, len(m))
	for k, v := range m {
		c[k] = v
	}
	return c
}

// write draws some steps and predicts their outcome.
func (m *mirror) write(t *rapid.T) {
	before := rows{copyOf(m.grants), copyOf(m.access), copyOf(m.refresh), copyOf(m.handles)}
	var steps []store.Step
	var want error
	first := len(m.ids)
	for range rapid.IntRange(1, 3).Draw(t, "steps") {
		step, err := m.step(t)
		steps = append(steps, step)
		if err != nil {
			want, m.rows = err, before
			break
		}
	}
	if err := m.e.Write(context.Background(), steps...); !errors.Is(err, want) {
		t.Fatalf("Write(%s) = %v, want %v", names(steps), err, want)
	}
	m.compare(t, slices.Clone(m.ids[first:]))
}

// step draws a step, changes the mirror and says how the store must answer.
func (m *mirror) step(t *rapid.T) (store.Step, error) {
	used := rapid.SampledFrom(m.ids)
	id := newID() // most ids are new; some were used, for this or something else
	if rapid.IntRange(0, 9).Draw(t, "id") == 0 {
		id = used.Draw(t, "taken id")
	}
	expires := rapid.SampledFrom([]int64{past, now, now + 1, future}).Draw(t, "expiry")
	other := used.Draw(t, "other id")
	_, grantExists := m.grants[other]
	m.ids = append(m.ids, id, other)
	service := m.e.service
	switch rapid.IntRange(0, 9).Draw(t, "step") {
	case 0:
		g := m.e.grant()
		g.ID, g.ExpiresAt = id, expires
		g.Subject = rapid.SampledFrom([]string{"", "alice", "bob"}).Draw(t, "subject")
		return store.InsertGrant{Grant: g}, insert(m.grants, id, g, true)
	case 1:
		a := m.e.accessToken(other)
		a.ID, a.ExpiresAt = id, expires
		return store.InsertAccessToken{Token: a}, insert(m.access, id, a, grantExists)
	case 2:
		r := m.e.refreshToken(other, used.Draw(t, "access"))
		r.ID, r.ExpiresAt = id, expires
		return store.InsertRefreshToken{Token: r}, insert(m.refresh, id, r, grantExists)
	case 3:
		h := m.e.handle(model.HandleCode)
		h.ID, h.ExpiresAt = id, expires
		return store.InsertHandle{Handle: h}, insert(m.handles, id, h, true)
	case 4:
		h, ok := m.handles[other]
		step := store.RedeemHandle{Service: service, Kind: model.HandleCode, ID: other, Now: now}
		if !ok || h.Redeemed || h.ExpiresAt <= now {
			return step, store.ErrSpent
		}
		h.Redeemed = true
		m.handles[other] = h
		return step, nil
	case 5:
		step := store.RotateRefreshToken{Service: service, ID: other, Successor: id, Now: now}
		return step, m.use(other, func(r *model.RefreshToken) {
			delete(m.access, r.Access)
			r.Successor = id
		})
	case 6:
		step := store.RenewAccessToken{Service: service, ID: other, Access: id, Now: now}
		return step, m.use(other, func(r *model.RefreshToken) {
			if r.Access != id {
				delete(m.access, r.Access)
			}
			r.Access = id
		})
	case 7:
		delete(m.grants, other)
		return store.RevokeGrant{Service: service, ID: other}, nil
	case 8:
		delete(m.access, other)
		return store.RevokeAccessToken{Service: service, ID: other}, nil
	default:
		for id, g := range m.grants {
			if g.Subject == "alice" {
				delete(m.grants, id)
			}
		}
		return store.RevokeGrants{Service: service, Subject: "alice"}, nil
	}
}

// insert adds a row unless its grant is gone or its id is taken.
func insert[V any](rows map[model.ID]V, id model.ID, row V, grantExists bool) error {
	if !grantExists {
		return store.ErrNotFound
	}
	if _, taken := rows[id]; taken {
		return store.ErrConflict
	}
	rows[id] = row
	return nil
}

// use changes a refresh token that can be used.
func (m *mirror) use(id model.ID, f func(*model.RefreshToken)) error {
	r, ok := m.refresh[id]
	_, granted := m.grants[r.Grant]
	if !ok || !granted || r.Successor != 0 || r.ExpiresAt <= now {
		return store.ErrSpent
	}
	f(&r)
	m.refresh[id] = r
	return nil
}

// compare reads ids as everything they may be.
func (m *mirror) compare(t *rapid.T, ids []model.ID) {
	ctx := context.Background()
	slices.Sort(ids)
	for _, id := range slices.Compact(ids) {
		g, err := m.e.Grant(ctx, m.e.service, id)
		same(t, m.grants, id, g, err, true)
		a, _, err := m.e.AccessToken(ctx, m.e.service, id)
		_, granted := m.grants[m.access[id].Grant]
		same(t, m.access, id, a, err, granted)
		r, _, err := m.e.RefreshToken(ctx, m.e.service, id)
		_, granted = m.grants[m.refresh[id].Grant]
		same(t, m.refresh, id, r, err, granted)
		h, err := m.e.Handle(ctx, m.e.service, model.HandleCode, id)
		same(t, m.handles, id, h, err, true)
	}
}

// same compares a row that was read with the mirror's.
func same[V any](t *rapid.T, rows map[model.ID]V, id model.ID, got V, err error, granted bool) {
	want, ok := rows[id]
	switch {
	case !ok || !granted:
		if !errors.Is(err, store.ErrNotFound) {
			t.Fatalf("reading %T %d: error %v, want %v", want, id, err, store.ErrNotFound)
		}
	case err != nil:
		t.Fatalf("reading %T %d: %v", want, id, err)
	default:
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("%T %d differs (-want +got):\n%s", want, id, diff)
		}
	}
}
