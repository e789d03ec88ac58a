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
	grants   map[model.ID]model.Grant
	only     map[model.ID]model.ID // the access token that counts in a grant, unless any does
	access   map[model.ID]model.AccessToken
	refresh  map[model.ID]model.RefreshToken
	handles  map[model.ID]model.Handle
	sessions map[model.ID]model.Session
	joined   map[model.ID][]model.ID // by session; what is in a slice stays
	used     map[model.ID]int64      // the expiry of a digest's row
}

func newMirror(e *env) *mirror {
	var none rows
	return &mirror{e: e, ids: []model.ID{newID()}, rows: none.copy()}
}

func (r rows) copy() rows {
	return rows{
		copyOf(r.grants), copyOf(r.only), copyOf(r.access), copyOf(r.refresh), copyOf(r.handles),
		copyOf(r.sessions), copyOf(r.joined), copyOf(r.used),
	}
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
	before := m.rows.copy()
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

// arguments are what was drawn for a step.
type arguments struct {
	used    *rapid.Generator[model.ID]
	id      model.ID // most are new; some were used, for this or something else
	other   model.ID // was used
	subject string
	expires int64
}

// step draws a step, changes the mirror and says how the store must answer.
func (m *mirror) step(t *rapid.T) (store.Step, error) {
	a := arguments{used: rapid.SampledFrom(m.ids), id: newID()}
	if rapid.IntRange(0, 9).Draw(t, "id") == 0 {
		a.id = a.used.Draw(t, "taken id")
	}
	a.other = a.used.Draw(t, "other id")
	a.subject = rapid.SampledFrom([]string{"alice", "bob"}).Draw(t, "subject")
	a.expires = rapid.SampledFrom([]int64{past, now, now + 1, future}).Draw(t, "expiry")
	m.ids = append(m.ids, a.id, a.other)
	switch step := rapid.IntRange(0, 17).Draw(t, "step"); {
	case step < 4:
		return m.insertStep(t, step, a)
	case step < 12:
		return m.tokenStep(t, step, a)
	default:
		return m.sessionStep(t, step, a)
	}
}

// insertStep adds a row of those that tokens are made of.
func (m *mirror) insertStep(t *rapid.T, step int, args arguments) (store.Step, error) {
	id, other, expires := args.id, args.other, args.expires
	_, grantExists := m.grants[other]
	switch step {
	case 0:
		g := m.e.grant()
		g.ID, g.ExpiresAt = id, expires
		g.Subject = rapid.SampledFrom([]string{"", args.subject}).Draw(t, "grant's subject")
		g.Session = rapid.SampledFrom([]model.ID{0, other}).Draw(t, "session")
		g.Scopes = rapid.SampledFrom([][]string{nil, {"openid"}, {"a", "openid"}, {"openid", "offline_access"}}).Draw(t, "scopes")
		err := insert(m.grants, id, g, true)
		if err == nil {
			delete(m.only, id)
		}
		return store.InsertGrant{Grant: g}, err
	case 1:
		a := m.e.accessToken(other)
		a.ID, a.ExpiresAt = id, expires
		return store.InsertAccessToken{Token: a}, insert(m.access, id, a, grantExists)
	case 2:
		r := m.e.refreshToken(other, args.used.Draw(t, "access"))
		r.ID, r.ExpiresAt = id, expires
		return store.InsertRefreshToken{Token: r}, insert(m.refresh, id, r, grantExists)
	default:
		h := m.e.handle(model.HandleCode)
		h.ID, h.ExpiresAt = id, expires
		return store.InsertHandle{Handle: h}, insert(m.handles, id, h, true)
	}
}

// tokenStep uses, renews or ends something.
func (m *mirror) tokenStep(t *rapid.T, step int, args arguments) (store.Step, error) {
	id, other, service := args.id, args.other, m.e.service
	switch step {
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
		step := store.RotateRefreshToken{Service: service, ID: other, Successor: id, Was: m.was(t, args), Now: now}
		return step, m.use(other, func(r *model.RefreshToken) {
			delete(m.access, r.Access)
			r.Successor = id
		})
	case 6:
		until := rapid.SampledFrom([]int64{0, args.expires}).Draw(t, "until")
		step := store.RenewAccessToken{Service: service, ID: other, Access: id, Was: m.was(t, args), Now: now, Until: until}
		return step, m.use(other, func(r *model.RefreshToken) {
			if until != 0 {
				r.ExpiresAt = until
			}
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
	case 9:
		for id, g := range m.grants {
			if g.Subject == args.subject {
				delete(m.grants, id)
			}
		}
		return store.RevokeGrants{Service: service, Subject: args.subject}, nil
	case 10:
		access := rapid.SampledFrom([]model.ID{id, other}).Draw(t, "kept")
		for id, g := range m.grants {
			if g.Subject == args.subject && g.Client == 1 {
				m.only[id] = access
			}
		}
		return store.KeepAccessToken{Service: service, Subject: args.subject, Client: 1, Access: access}, nil
	default:
		access := rapid.SampledFrom([]model.ID{0, id, args.used.Draw(t, "access")}).Draw(t, "named")
		step := store.ExtendGrant{Service: service, ID: other, Until: args.expires, Access: access}
		g, ok := m.grants[other]
		if !ok {
			return step, store.ErrNotFound
		}
		g.ExpiresAt = max(g.ExpiresAt, step.Until)
		m.grants[other] = g
		if m.only[other] != 0 && access != 0 {
			m.only[other] = access
		}
		return step, nil
	}
}

// was is what a caller may think that a refresh token is coupled to.
func (m *mirror) was(t *rapid.T, args arguments) model.ID {
	return rapid.SampledFrom([]model.ID{0, m.refresh[args.other].Access, args.id}).Draw(t, "was")
}

// sessionStep changes a sign-in session, or uses a value once.
func (m *mirror) sessionStep(t *rapid.T, step int, args arguments) (store.Step, error) {
	id, other, service := args.id, args.other, m.e.service
	before, exists := m.sessions[other]
	switch step {
	case 12:
		s := m.e.session(args.subject)
		s.ID, s.ExpiresAt = id, args.expires
		return store.InsertSession{Session: s}, insert(m.sessions, id, s, true)
	case 13:
		s := m.e.session(args.subject)
		s.ID, s.ExpiresAt = other, args.expires
		if !exists || before.Subject != s.Subject {
			return store.RenewSession{Session: s}, store.ErrNotFound
		}
		m.sessions[other] = s
		return store.RenewSession{Session: s}, nil
	case 14:
		client := rapid.SampledFrom([]model.ID{1, 2, 3}).Draw(t, "client")
		step := store.JoinSession{Service: service, Session: other, Client: client}
		if !exists {
			return step, store.ErrNotFound
		}
		if joined := m.joined[other]; !slices.Contains(joined, client) {
			m.joined[other] = slices.Sorted(slices.Values(append([]model.ID{client}, joined...)))
		}
		return step, nil
	case 15:
		delete(m.sessions, other)
		delete(m.joined, other)
		for id, g := range m.grants {
			if g.Session == other && slices.Contains(g.Scopes, "openid") && !slices.Contains(g.Scopes, "offline_access") {
				delete(m.grants, id)
			}
		}
		return store.EndSession{Service: service, ID: other}, nil
	case 16:
		for id, s := range m.sessions {
			if s.Subject == args.subject {
				delete(m.sessions, id)
				delete(m.joined, id)
			}
		}
		return store.DeleteSessions{Service: service, Subject: args.subject}, nil
	default:
		value := rapid.SampledFrom([]model.ID{1, 2, 3}).Draw(t, "value")
		step := store.UseOnce{Service: service, Digest: hashOf(value), Now: now, ExpiresAt: args.expires}
		if m.used[value] > now {
			return step, store.ErrSpent
		}
		m.used[value] = args.expires
		return step, nil
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
		grant := m.access[id].Grant
		_, granted := m.grants[grant]
		same(t, m.access, id, a, err, granted && (m.only[grant] == 0 || m.only[grant] == id))
		r, _, err := m.e.RefreshToken(ctx, m.e.service, id)
		_, granted = m.grants[m.refresh[id].Grant]
		same(t, m.refresh, id, r, err, granted)
		h, err := m.e.Handle(ctx, m.e.service, model.HandleCode, id)
		same(t, m.handles, id, h, err, true)
		s, err := m.e.Session(ctx, m.e.service, id)
		same(t, m.sessions, id, s, err, true)
		joined, err := m.e.SessionClients(ctx, m.e.service, id)
		if err != nil || !slices.Equal(joined, m.joined[id]) {
			t.Fatalf("clients of session %d: %v, %v, want %v", id, joined, err, m.joined[id])
		}
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
