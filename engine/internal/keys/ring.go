package keys

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync/atomic"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwk"

	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

const rsaBits = 2048

// Key is one signing key, opened.
type Key struct {
	KID       string
	Alg       model.SignAlg
	Private   crypto.Signer
	NotBefore int64 // Unix seconds
	ExpiresAt int64 // Unix seconds; 0: not retired
	public    jwk.Key
}

// Ring is the set of keys of one service. Reading it takes no lock; Reload
// replaces the set as a whole. It is safe for concurrent use.
type Ring struct {
	service model.ID
	master  Master
	store   store.Store
	set     atomic.Pointer[[]Key]
}

// Open loads the keys of a service, and makes the first ones where there are none.
func Open(ctx context.Context, st store.Store, master Master, service model.ID, now time.Time) (*Ring, error) {
	r := &Ring{service: service, master: master, store: st}
	if err := r.Reload(ctx); err != nil {
		return nil, err
	}
	if len(*r.set.Load()) > 0 {
		return r, nil
	}
	first := make([]model.Key, 0, len(model.SignAlgs))
	for _, alg := range model.SignAlgs {
		key, err := r.generate(alg, now.Unix())
		if err != nil {
			return nil, err
		}
		first = append(first, key)
	}
	// Another process may have been first: then its keys are the ones.
	err := st.Write(ctx, store.InsertFirstKeys{Service: service, Keys: first})
	if err != nil && !errors.Is(err, store.ErrConflict) {
		return nil, fmt.Errorf("storing the first keys: %w", err)
	}
	return r, r.Reload(ctx)
}

// Reload reads the keys from the store again.
func (r *Ring) Reload(ctx context.Context) error {
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
	// Newest first, so that the first match is the one to sign with.
	slices.SortFunc(set, func(a, b Key) int {
		if a.NotBefore != b.NotBefore {
			return int(min(max(b.NotBefore-a.NotBefore, -1), 1))
		}
		if a.KID < b.KID {
			return -1
		}
		return 1
	})
	r.set.Store(&set)
	return nil
}

// Signer returns the key to sign with now: the newest of the algorithm that
// has begun and has not ended.
func (r *Ring) Signer(alg model.SignAlg, now time.Time) (*Key, error) {
	at := now.Unix()
	set := *r.set.Load()
	for i := range set {
		if k := &set[i]; k.Alg == alg && k.NotBefore <= at && k.live(at) {
			return k, nil
		}
	}
	return nil, fmt.Errorf("no %s key signs at present", alg)
}

// Verifier returns the public key of that id, unless it has been withdrawn.
func (r *Ring) Verifier(kid string, now time.Time) (*Key, bool) {
	set := *r.set.Load()
	for i := range set {
		if k := &set[i]; k.KID == kid && k.live(now.Unix()) {
			return k, true
		}
	}
	return nil, false
}

func (k *Key) live(at int64) bool { return k.ExpiresAt == 0 || k.ExpiresAt > at }

// PublicSet returns the JWK Set (RFC 7517 §5) of what may be met now or soon.
func (r *Ring) PublicSet(now time.Time) ([]byte, error) {
	public := jwk.NewSet()
	for _, k := range *r.set.Load() {
		if !k.live(now.Unix()) {
			continue
		}
		if err := public.AddKey(k.public); err != nil {
			return nil, err
		}
	}
	return json.Marshal(public)
}

// Rotation says when the keys of a rotation take over.
type Rotation struct {
	Announce time.Duration // how long the new key is published before it signs
	Overlap  time.Duration // how long the old key verifies after that
}

// Rotate adds a key of each algorithm and retires the ones before it. It
// returns the new key ids.
func (r *Ring) Rotate(ctx context.Context, algs []model.SignAlg, plan Rotation, now time.Time) ([]string, error) {
	begin := now.Add(plan.Announce).Unix()
	end := now.Add(plan.Announce).Add(plan.Overlap).Unix()
	var steps []store.Step
	var kids []string
	for _, alg := range algs {
		key, err := r.generate(alg, begin)
		if err != nil {
			return nil, err
		}
		kids = append(kids, key.KID)
		steps = append(steps, store.InsertKey{Key: key},
			store.RetireKeys{Service: r.service, Alg: alg, Except: key.KID, ExpiresAt: end})
	}
	if err := r.store.Write(ctx, steps...); err != nil {
		return nil, fmt.Errorf("storing the new keys: %w", err)
	}
	return kids, r.Reload(ctx)
}

// generate makes a key. Its id is its thumbprint (RFC 7638), so that two keys
// never share one.
func (r *Ring) generate(alg model.SignAlg, notBefore int64) (model.Key, error) {
	private, err := newPrivate(alg)
	if err != nil {
		return model.Key{}, fmt.Errorf("making an %s key: %w", alg, err)
	}
	key, err := jwk.FromRaw(private)
	if err != nil {
		return model.Key{}, err
	}
	if err := jwk.AssignKeyID(key); err != nil {
		return model.Key{}, err
	}
	plain, err := json.Marshal(key)
	if err != nil {
		return model.Key{}, err
	}
	row := model.Key{Service: r.service, KID: key.KeyID(), Alg: alg, NotBefore: notBefore}
	row.Sealed, err = r.master.seal(r.service, row.KID, plain)
	return row, err
}

func newPrivate(alg model.SignAlg) (crypto.Signer, error) {
	switch alg {
	case model.RS256:
		return rsa.GenerateKey(rand.Reader, rsaBits)
	case model.ES256:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case model.EdDSA:
		_, private, err := ed25519.GenerateKey(rand.Reader)
		return private, err
	default:
		return nil, errors.New("unknown algorithm")
	}
}

// signer makes a raw private key ready to sign with.
func signer(raw any) (crypto.Signer, error) {
	switch private := raw.(type) {
	case *rsa.PrivateKey:
		private.Precompute() // jwx leaves it out, and each signature would do it again
		return private, nil
	case *ecdsa.PrivateKey:
		return deterministic{private}, nil
	case ed25519.PrivateKey:
		return private, nil
	default:
		return nil, errors.New("not a private key")
	}
}

// deterministic signs as RFC 6979 has it, which RFC 8725 §3.2 asks of JWTs: no
// weak random number can give the key away.
type deterministic struct{ *ecdsa.PrivateKey }

// Sign is part of crypto.Signer.
func (d deterministic) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	return d.PrivateKey.Sign(nil, digest, opts)
}

func (r *Ring) unseal(row model.Key) (Key, error) {
	plain, err := r.master.open(r.service, row.KID, row.Sealed)
	if err != nil {
		return Key{}, err
	}
	private, err := jwk.ParseKey(plain)
	if err != nil {
		return Key{}, fmt.Errorf("key %s: %w", row.KID, err)
	}
	key := Key{KID: row.KID, Alg: row.Alg, NotBefore: row.NotBefore, ExpiresAt: row.ExpiresAt}
	var raw any
	if err := private.Raw(&raw); err != nil {
		return Key{}, fmt.Errorf("key %s: %w", row.KID, err)
	}
	if key.Private, err = signer(raw); err != nil {
		return Key{}, fmt.Errorf("key %s: %w", row.KID, err)
	}
	if key.public, err = private.PublicKey(); err != nil {
		return Key{}, fmt.Errorf("key %s: %w", row.KID, err)
	}
	for name, value := range map[string]any{jwk.AlgorithmKey: string(row.Alg), jwk.KeyUsageKey: "sig"} {
		if err := key.public.Set(name, value); err != nil {
			return Key{}, fmt.Errorf("key %s: %w", row.KID, err)
		}
	}
	return key, nil
}
