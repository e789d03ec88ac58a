package engine_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/lestrrat-go/jwx/v2/jwk"

	"github.com/gatehouse-auth/gatehouse/engine"
	"github.com/gatehouse-auth/gatehouse/engine/internal/keys"
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// ringOfKeys are master keys that an operator changes while engines run.
type ringOfKeys struct {
	atomic.Pointer[[]engine.MasterKey]
}

func (r *ringOfKeys) set(keys ...engine.MasterKey) { r.Store(&keys) }

func (r *ringOfKeys) read() ([]engine.MasterKey, error) {
	if known := r.Load(); len(*known) > 0 {
		return *known, nil
	}
	return nil, errors.New("the file is gone")
}

func masterKeys(known ...engine.MasterKey) *ringOfKeys {
	r := new(ringOfKeys)
	r.set(known...)
	return r
}

// node opens an engine on a store with its own clock and master keys.
func node(t *testing.T, st store.Store, ahead time.Duration, master *ringOfKeys, settings model.Settings, clients map[string]model.Settings) *house {
	t.Helper()
	h := &house{TB: t, store: st, users: new(users), web: newWeb(), watch: &watch{now: time.Now().Truncate(time.Second).Add(ahead)}}
	h.options = engine.Options{
		Store: st, MasterKeys: master.read, Services: []engine.Declaration{declareWith(t, issuer, settings, clients)},
		Subjects: h.users, Now: h.clock, Observe: h.observe, Fetch: h.web,
	}
	e, err := engine.New(t.Context(), h.options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	h.engine = e
	h.service, _ = e.Service(issuer)
	return h
}

// kids are the key ids of a JWK Set.
func kids(set jwk.Set) (list []string) {
	for i := range set.Len() {
		key, _ := set.Key(i)
		list = append(list, key.KeyID())
	}
	slices.Sort(list)
	return list
}

func vaultOf(t *testing.T, st store.Store) engine.Vault {
	t.Helper()
	vault, ok := st.(engine.Vault)
	if !ok {
		t.Fatal("the store has no rows to list")
	}
	return vault
}

var (
	oldKey, newKey = masterKey, engine.MasterKey{7, 7}
	pairwiseWeb    = map[string]model.Settings{"pairwise": {"clientSecret": raw("pairwise-secret"), "subjectType": raw("PAIRWISE")}}
)

// The rotation of the master key changes nothing that anybody sees: tokens,
// refresh tokens and their succession, pairwise subjects (OpenID Connect Core
// §8.1), registered clients and signing keys are what they were, at the engine
// that runs, at one beside it, and at one that is opened with the new key alone.
func TestMasterKeyRotation(t *testing.T) {
	t.Parallel()
	st, file := newStore(t), masterKeys(oldKey)
	a, b := node(t, st, 0, file, nil, pairwiseWeb), node(t, st, 0, file, nil, pairwiseWeb)
	a.register("c_before", model.Settings{"responseTypes": raw([]string{}), "grantTypes": raw([]string{"CLIENT_CREDENTIALS"})}, "secret-before", 0)
	spa := a.tokens("spa")
	successor := a.refresh("spa", spa.RefreshToken)
	idToken := a.tokens("pairwise")
	subject := claimsOf(t, idToken.IDToken)["sub"]

	same := func(t *testing.T, h *house) {
		t.Helper()
		h = h.on(t)
		if !h.usable(successor.AccessToken) {
			t.Error("a token from before is not good any more")
		}
		if again := h.refresh("spa", spa.RefreshToken); again.RefreshToken != successor.RefreshToken {
			t.Errorf("the succession is another: %s", again.ResponseContent)
		}
		if sub := claimsOf(t, h.tokens("pairwise").IDToken)["sub"]; sub != subject || sub == "alice" {
			t.Errorf("the pairwise subject is %v, and was %v", sub, subject)
		}
		h.want(h.direct("grant_type=client_credentials&scope=orders:read",
			engine.ClientCredentials{ClientID: "c_before", ClientSecret: "secret-before", Present: true}), model.ActionOK)
		if diff := cmp.Diff(kids(a.jwks()), kids(h.jwks())); diff != "" {
			t.Errorf("the signing keys differ: %s", diff)
		}
	}
	for _, step := range []struct {
		name string
		do   func(t *testing.T)
	}{
		{"the new key in the file", func(*testing.T) { file.set(newKey, oldKey) }},
		{"sealed anew", func(t *testing.T) { resealed(t, st, file) }},
		{"sealed again", func(t *testing.T) {
			if n := resealed(t, st, file); n != 0 {
				t.Errorf("%d values were sealed again", n)
			}
		}},
		{"the old key gone", func(*testing.T) { file.set(newKey) }},
	} {
		t.Run(step.name, func(t *testing.T) {
			step.do(t)
			same(t, a)
			same(t, b)
			same(t, node(t, st, 0, file, nil, pairwiseWeb))
		})
	}
	if _, err := engine.New(t.Context(), engine.Options{Store: st, MasterKey: oldKey, Services: a.options.Services}); !errors.Is(err, engine.ErrWrongMasterKey) {
		t.Errorf("the old key opens it still: %v", err)
	}
}

func resealed(t *testing.T, st store.Store, file *ringOfKeys) int {
	t.Helper()
	now, n, err := engine.Reseal(t.Context(), vaultOf(t, st), file.read)
	if err != nil || now.Previous != 0 || now.Unopened != 0 || now.Current == 0 {
		t.Fatalf("%+v, %v", now, err)
	}
	return n
}

// Two versions on one schema: a store from before there was a root secret
// derives as it did, from the master key under which its keys are; whichever of
// the master keys is the current one.
func TestRootOfAnOlderStore(t *testing.T) {
	t.Parallel()
	st := newStore(t) // which has keys under masterKey, made below
	want := &house{}
	for i, known := range [][]engine.MasterKey{{oldKey}, {oldKey, newKey}, {newKey, oldKey}} {
		older := unrooted(t, st)
		h := node(t, older, 0, masterKeys(known...), nil, pairwiseWeb)
		client, err := h.engine.ClientByAlias(t.Context(), h.service.ID, "pairwise")
		if err != nil {
			t.Fatal(err)
		}
		subject := h.engine.ClientSubject(h.service.ID, client, "alice")
		if i == 0 {
			want = h
			continue
		}
		if first := want.engine.ClientSubject(want.service.ID, client, "alice"); subject != first {
			t.Errorf("with %d keys the subject is %s, and was %s", len(known), subject, first)
		}
	}
	older := unrooted(t, st)
	_, err := engine.New(t.Context(), engine.Options{Store: older, MasterKey: newKey, Services: want.options.Services})
	if !errors.Is(err, engine.ErrWrongMasterKey) {
		t.Errorf("another master key: %v", err)
	}
	if rooted, err := engine.Rooted(t.Context(), older); rooted || err != nil {
		t.Errorf("and a root was made of it: %v %v", rooted, err)
	}
}

// unrooted is a new store with the keys of another, and no root.
func unrooted(t *testing.T, like store.Store) store.Store {
	t.Helper()
	st := openStore(t, storesOf(t).New(t))
	service, err := st.EnsureService(t.Context(), issuer)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := like.Keys(t.Context(), service)
	if err != nil || len(rows) == 0 {
		t.Fatal(rows, err)
	}
	if err := st.Write(t.Context(), store.InsertFirstKeys{Service: service, Keys: rows}); err != nil {
		t.Fatal(err)
	}
	return st
}

// Promise of the design (a node goes on with what it has): an engine that knows
// the old master key alone serves with the keys in memory, says so once, and
// takes up what has come when it can.
func TestEngineWithoutTheNewMasterKey(t *testing.T) {
	t.Parallel()
	st, file := newStore(t), masterKeys(oldKey)
	h := node(t, st, 0, file, nil, nil)
	stale := masterKeys(newKey, oldKey)
	other := node(t, st, 0, stale, nil, nil)
	token := h.tokens("web")
	file.set() // cannot be read
	resealed(t, st, stale)
	eventually(t, "it does not say that it lacks the key", func() bool {
		return errors.Is(h.engine.KeysError(), engine.ErrWrongMasterKey) && h.seen(model.EventKeysFailed) == 1
	})
	h.tokens("web")
	if !h.usable(token.AccessToken) || !other.usable(h.tokens("web").AccessToken) {
		t.Error("it does not serve")
	}
	file.set(newKey)
	if _, err := other.engine.RotateKeys(t.Context(), h.service.ID, []string{"ES256"}, engine.Rotation{Announce: time.Hour}); err != nil {
		t.Fatal(err)
	}
	// What is told of the time before may have it recover before the new keys are told of.
	eventually(t, "it does not recover, with the new keys", func() bool {
		return h.engine.KeysError() == nil && slices.Equal(kids(other.jwks()), kids(h.jwks()))
	})
	if n := h.seen(model.EventKeysFailed); n != 1 {
		t.Errorf("it said so %d times", n)
	}
}

// What changes while everything is sealed anew stays as it was changed; nothing
// is left under the old key, and the interruption of one pass loses nothing.
func TestResealBesideChanges(t *testing.T) {
	t.Parallel()
	st, file := newStore(t), masterKeys(oldKey)
	h := node(t, st, 0, file, nil, nil)
	const clients = 250 // more than one write takes
	for i := range clients {
		h.register(fmt.Sprint("c_", i), model.Settings{"redirectUris": raw([]string{redirect})}, fmt.Sprint("secret ", i), 0)
	}
	file.set(newKey, oldKey)
	vault := &meddler{Vault: vaultOf(t, st), meddle: func() {
		for _, i := range []int{3, 120, 249} {
			h.update(fmt.Sprint("c_", i), func(row *model.StoredClient) { // by an engine that does not know the new key yet
				var err error
				if row.Sealed, err = keys.Single(oldKey).Seal(row.Service, keys.ClientName(row.Alias), raw(map[string]any{"client_secret": "changed"})); err != nil {
					t.Fatal(err)
				}
			})
		}
	}}
	now, n, err := engine.Reseal(t.Context(), vault, file.read)
	if err != nil || now.Previous != 0 || n < clients || vault.refused == 0 {
		t.Errorf("%+v, %d sealed anew, %d writes refused: %v", now, n, vault.refused, err)
	}
	master := keys.Single(newKey)
	for i := range clients {
		row := h.stored(fmt.Sprint("c_", i))
		plain, err := master.Open(row.Service, keys.ClientName(row.Alias), row.Sealed)
		want := fmt.Sprint("secret ", i)
		if i == 3 || i == 120 || i == 249 {
			want = "changed"
		}
		if err != nil || !strings.Contains(string(plain), `"`+want+`"`) {
			t.Errorf("client %d: %s %v", i, plain, err)
		}
	}
}

// meddler lets something change before the first write of a client.
type meddler struct {
	engine.Vault
	meddle  func()
	refused int
}

func (m *meddler) Write(ctx context.Context, steps ...store.Step) error {
	if _, client := steps[len(steps)-1].(store.UpdateClient); client && m.meddle != nil {
		m.meddle()
		m.meddle = nil
	}
	err := m.Vault.Write(ctx, steps...)
	if err != nil {
		m.refused++
	}
	return err
}
