package keys

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// Ring is the set of keys of one service. Reading it takes no lock; Reload
// replaces the set as a whole. It is safe for concurrent use.
type Ring struct {
	service model.ID
	master  *Master
	store   store.Store // nil: the keys were given, and stay as they are
	set     atomic.Pointer[[]Key]
}

// Open loads the keys of a service, and makes those of the algorithms that have none.
func Open(ctx context.Context, st store.Store, master *Master, service model.ID, algs []string, now time.Time) (*Ring, error) {
	r := &Ring{service: service, master: master, store: st}
	if err := r.Reload(ctx); err != nil {
		return nil, err
	}
	var made []model.Key
	for _, alg := range algs {
		if r.has(alg) {
			continue
		}
		key, err := r.generate(alg, now.Unix())
		if err != nil {
			return nil, err
		}
		made = append(made, key)
	}
	if len(made) == 0 {
		return r, nil
	}
	steps := []store.Step{store.InsertFirstKeys{Service: service, Keys: made}}
	if len(*r.set.Load()) > 0 {
		steps = nil
		for _, key := range made {
			steps = append(steps, store.InsertKey{Key: key})
		}
	}
	// Another process may have been first: then its keys are the ones.
	if err := st.Write(ctx, steps...); err != nil && !errors.Is(err, store.ErrConflict) {
		return nil, fmt.Errorf("storing new keys: %w", err)
	}
	return r, r.Reload(ctx)
}

// Given returns a ring of the keys in a JWK Set, private ones.
func Given(jwks string) (*Ring, error) {
	var document struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal([]byte(jwks), &document); err != nil {
		return nil, errors.New("jwks is not a JWK Set")
	}
	set := make([]Key, 0, len(document.Keys))
	for i, raw := range document.Keys {
		key, err := parseGiven(raw)
		if err != nil {
			return nil, fmt.Errorf("jwks: key %d: %w", i+1, err)
		}
		if slices.ContainsFunc(set, func(k Key) bool { return k.KID == key.KID }) {
			return nil, fmt.Errorf("jwks: the key id %q is there twice", key.KID)
		}
		set = append(set, key)
	}
	r := new(Ring)
	r.set.Store(&set)
	return r, nil
}

func (r *Ring) has(alg string) bool {
	return slices.ContainsFunc(*r.set.Load(), func(k Key) bool { return k.Alg == alg && k.ExpiresAt == 0 })
}

// Reload reads the keys from the store again.
func (r *Ring) Reload(ctx context.Context) error {
	if r.store == nil {
		return nil
	}
	rows, err := r.store.Keys(ctx, r.service)
	if err != nil {
		return fmt.Errorf("reading keys: %w", err)
	}
	set := make([]Key, 0, len(rows))
	for _, row := range rows {
		key, err := r.unseal(row)
		if err != nil {
			return err
		}
		set = append(set, key)
	}
	// Newest first, so that the first match is the one to sign with; of two in
	// one second, the one that is not retired.
	slices.SortFunc(set, func(a, b Key) int {
		return cmp.Or(cmp.Compare(b.NotBefore, a.NotBefore), cmp.Compare(a.ExpiresAt, b.ExpiresAt), cmp.Compare(a.KID, b.KID))
	})
	r.set.Store(&set)
	return nil
}

// Signer returns the key to sign with now: the one of that id if it is of the
// algorithm, else the newest of the algorithm that has begun and has not ended.
// When none has begun, it is the one that will be the first: the clock of the
// node that made it is ahead of this one's.
func (r *Ring) Signer(alg model.SignAlg, kid string, now time.Time) (*Key, error) {
	at := now.Unix()
	var first, next *Key
	set := *r.set.Load()
	for i := range set {
		switch k := &set[i]; {
		case k.Alg != string(alg) || !k.live(at):
		case k.NotBefore > at:
			next = k
		case kid == "" || k.KID == kid:
			return k, nil
		case first == nil:
			first = k
		}
	}
	switch {
	case first != nil:
		return first, nil
	case next != nil:
		return next, nil
	}
	return nil, fmt.Errorf("no %s key signs at present", alg)
}

// Verifier returns the key of that id, unless it has been withdrawn.
func (r *Ring) Verifier(kid string, now time.Time) (*Key, bool) {
	set := *r.set.Load()
	for i := range set {
		if k := &set[i]; k.KID == kid && k.live(now.Unix()) {
			return k, true
		}
	}
	return nil, false
}

// Decrypters returns the keys that a message of that algorithm may have been
// written to: of that key id, or all when it names none.
func (r *Ring) Decrypters(alg model.EncAlg, kid string, now time.Time) []*Key {
	var list []*Key
	set := *r.set.Load()
	for i := range set {
		k := &set[i]
		if k.decrypts(alg) && k.live(now.Unix()) && (kid == "" || k.KID == kid) {
			list = append(list, k)
		}
	}
	return list
}

// Algs lists the algorithms that something can be signed with now.
func (r *Ring) Algs(now time.Time) []model.SignAlg {
	algs := []model.SignAlg{}
	for _, alg := range model.AsymmetricAlgs {
		if _, err := r.Signer(alg, "", now); err == nil {
			algs = append(algs, alg)
		}
	}
	return algs
}

// EncAlgs lists the algorithms by which something can be written to the service.
func (r *Ring) EncAlgs(now time.Time) []model.EncAlg {
	algs := []model.EncAlg{}
	for _, alg := range model.EncAlgs {
		if !alg.Symmetric() && len(r.Decrypters(alg, "", now)) > 0 {
			algs = append(algs, alg)
		}
	}
	return algs
}

// PublicSet returns the JWK Set (RFC 7517 §5) of what may be met now or soon.
func (r *Ring) PublicSet(now time.Time) ([]byte, error) {
	document := struct {
		Keys []json.RawMessage `json:"keys"`
	}{Keys: []json.RawMessage{}}
	for _, k := range *r.set.Load() {
		if k.live(now.Unix()) {
			document.Keys = append(document.Keys, k.public)
		}
	}
	return json.Marshal(document)
}

// Rotation says when the keys of a rotation take over.
type Rotation struct {
	Announce time.Duration // how long the new key is published before it signs
	Overlap  time.Duration // how long the old key verifies after that
}

// ErrGiven says that the keys stand in the configuration, where they are rotated.
var ErrGiven = errors.New("the keys of this service are given by its setting jwks")

// inUse are the algorithms that have keys which are not retired.
func (r *Ring) inUse() []string {
	var algs []string
	for _, k := range *r.set.Load() {
		if k.ExpiresAt == 0 && !slices.Contains(algs, k.Alg) {
			algs = append(algs, k.Alg)
		}
	}
	return algs
}

// Rotate adds a key of each algorithm, or of all that have keys, and retires
// the ones before it. It returns the new key ids.
func (r *Ring) Rotate(ctx context.Context, algs []string, plan Rotation, now time.Time) ([]string, error) {
	if r.store == nil {
		return nil, ErrGiven
	}
	if len(algs) == 0 {
		algs = r.inUse()
	}
	var rows []model.Key
	for _, alg := range algs {
		row, err := r.generate(alg, now.Add(plan.Announce).Unix())
		if err != nil {
			return nil, err
		}
		rows = append(rows, row)
	}
	return r.replace(ctx, rows, plan, now)
}

// Import adds the private keys of a JWK Set and retires those of the same
// algorithms before them. It returns the new key ids.
func (r *Ring) Import(ctx context.Context, jwks string, plan Rotation, now time.Time) ([]string, error) {
	if r.store == nil {
		return nil, ErrGiven
	}
	given, err := Given(jwks)
	if err != nil {
		return nil, err
	}
	var rows []model.Key
	for _, k := range *given.set.Load() {
		row, err := r.seal(k.KID, k.Alg, k.private, now.Add(plan.Announce).Unix())
		if err != nil {
			return nil, err
		}
		rows = append(rows, row)
	}
	return r.replace(ctx, rows, plan, now)
}

func (r *Ring) replace(ctx context.Context, rows []model.Key, plan Rotation, now time.Time) ([]string, error) {
	end := now.Add(plan.Announce).Add(plan.Overlap).Unix()
	var steps []store.Step
	var kids []string
	for _, row := range rows {
		kids = append(kids, row.KID)
		steps = append(steps, store.InsertKey{Key: row},
			store.RetireKeys{Service: r.service, Alg: row.Alg, Except: row.KID, ExpiresAt: end})
	}
	if err := r.store.Write(ctx, steps...); err != nil {
		return nil, fmt.Errorf("storing the new keys: %w", err)
	}
	return kids, r.Reload(ctx)
}
