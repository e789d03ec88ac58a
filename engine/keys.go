package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/gatehouse-auth/gatehouse/engine/internal/keys"
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// openKeys opens the keys that a service gives, or those in the store, of which
// there must be one for each algorithm that something is set to use.
func (e *Engine) openKeys(ctx context.Context, s *model.Service, clients []model.Client) (*keys.Ring, error) {
	if s.JWKS != "" {
		return givenKeys(s, clients, e.house.Now())
	}
	var algs []string
	for _, alg := range model.DefaultAlgs {
		algs = append(algs, string(alg))
	}
	algs = append(algs, s.KeyAlgs...)
	wanted := []model.SignAlg{s.AccessTokenSignAlg}
	if s.DynamicRegistrationSupported {
		wanted = append(wanted, model.PS256)
		algs = append(algs, string(model.RSAOAEP256), string(model.ECDHES))
	}
	for _, c := range clients {
		wanted = append(wanted, c.IDTokenSignAlg, c.UserInfoSignAlg, c.IntrospectionSignAlg)
		switch {
		case c.RequestEncryptionAlg.RSA():
			algs = append(algs, string(model.RSAOAEP256))
		case c.RequestEncryptionAlg.EC():
			algs = append(algs, string(model.ECDHES))
		}
	}
	for _, alg := range wanted {
		if alg.Asymmetric() {
			algs = append(algs, string(alg))
		}
	}
	slices.Sort(algs)
	return keys.Open(ctx, e.house.Store, e.house.Master, s.ID, slices.Compact(algs), e.house.Now())
}

// givenKeys opens the keys that a service gives, among which must be one for each
// algorithm that something is set to use.
func givenKeys(s *model.Service, clients []model.Client, now time.Time) (*keys.Ring, error) {
	ring, err := keys.Given(s.JWKS)
	if err != nil {
		return nil, err
	}
	check := func(setting string, alg model.SignAlg) {
		if alg.Asymmetric() && !slices.Contains(ring.Algs(now), alg) && err == nil {
			err = fmt.Errorf("%s is %s, for which jwks has no key", setting, alg)
		}
	}
	check("access_token_sign_alg", s.AccessTokenSignAlg)
	for _, c := range clients {
		check("client "+c.Alias+": introspection_sign_alg", c.IntrospectionSignAlg)
		if s.OpenID() && (c.Allows(model.GrantAuthorizationCode) || c.Allows(model.GrantImplicit) || c.Allows(model.GrantPassword)) {
			check("client "+c.Alias+": id_token_sign_alg", c.IDTokenSignAlg)
			check("client "+c.Alias+": user_info_sign_alg", c.UserInfoSignAlg)
		}
	}
	return ring, err
}

// changed is told of every change, and must not call the store itself.
func (e *Engine) changed(c model.Change) {
	if s := e.byID[c.Service]; s != nil {
		switch c.Kind {
		case model.ChangeClient:
			s.ForgetClient(c.Ref)
		case model.ChangeEverything:
			s.ForgetClients()
		}
		s.revocations.Wake()
	}
	if c.Kind != model.ChangeKeys && c.Kind != model.ChangeEverything {
		return
	}
	select {
	case e.reload <- struct{}{}:
	default: // a reload is due already
	}
}

const (
	// reloadTimeout bounds one reading of the keys.
	reloadTimeout = 10 * time.Second
	// reloadAgain is when keys that could not be read are read again.
	reloadAgain = 10 * time.Second
)

// follow reloads keys that another process has changed.
func (e *Engine) follow() {
	defer close(e.done)
	var again <-chan time.Time
	for {
		select {
		case _, open := <-e.reload:
			if !open {
				return
			}
		case <-again:
		}
		again = nil
		if err := e.reloadKeys(); err != nil {
			again = e.after(reloadAgain)
		}
	}
}

// reloadKeys reads the master keys and every service's keys. Those in memory
// stay good when that fails; it is reported once.
func (e *Engine) reloadKeys() error {
	ctx, cancel := context.WithTimeout(context.Background(), reloadTimeout)
	defer cancel()
	unread := e.house.Master.Refresh()
	known := e.KeysError() != nil
	var all error
	for _, s := range e.byID {
		err := errors.Join(unread, s.Keys.Reload(ctx))
		if err == nil {
			continue
		}
		all = errors.Join(all, fmt.Errorf("service %s: %w", s.Service.Issuer, err))
		if !known {
			s.Report(model.Event{Kind: model.EventKeysFailed, Operation: "keys", Code: keysCode(err), Description: err.Error()})
		}
	}
	e.unread.Store(&all)
	return all
}

func keysCode(err error) string {
	if errors.Is(err, ErrWrongMasterKey) {
		return "wrong_master_key"
	}
	return "unavailable"
}

// KeysError says why keys that another process has changed could not be read,
// nil when they could. Until they can, the engine goes on with those it has.
func (e *Engine) KeysError() error {
	if err := e.unread.Load(); err != nil {
		return *err
	}
	return nil
}

// openMaster takes the master keys that the options give.
func openMaster(o Options) (*keys.Master, error) {
	if o.MasterKeys == nil {
		return keys.Single(o.MasterKey), nil
	}
	return keys.NewMaster(o.MasterKeys)
}

// openRoot opens the secret from which the services' derivation keys come.
func (e *Engine) openRoot(ctx context.Context, services []Declaration) (err error) {
	ids := make([]model.ID, len(services))
	for i, d := range services {
		if ids[i], err = e.house.Store.EnsureService(ctx, d.Service.Issuer); err != nil {
			return fmt.Errorf("service %s: %w", d.Service.Issuer, err)
		}
	}
	e.house.Root, err = keys.OpenRoot(ctx, e.house.Store, e.house.Master, ids)
	return err
}

// Rooted reports whether a store has the secret from which the services'
// derivation keys come. It has it once an engine was open on it.
func Rooted(ctx context.Context, st store.Secrets) (bool, error) { return keys.Rooted(ctx, st) }

// Sealed counts what a store holds sealed, by whether the current master key
// opens it.
type Sealed = keys.Sealed

// Vault is what of a store holds what is sealed.
type Vault = keys.Vault

// Survey looks at everything that is sealed under the master keys that read
// returns, the current one first. It changes nothing.
func Survey(ctx context.Context, vault Vault, read func() ([]MasterKey, error)) (Sealed, error) {
	master, err := keys.NewMaster(read)
	if err != nil {
		return Sealed{}, err
	}
	return master.Survey(ctx, vault)
}

// Reseal seals everything under the current master key, beside engines that
// serve. It reports how things are then and how much it had to seal anew. After
// an error, or when it was interrupted, begin again.
func Reseal(ctx context.Context, vault Vault, read func() ([]MasterKey, error)) (now Sealed, resealed int, err error) {
	master, err := keys.NewMaster(read)
	if err != nil {
		return Sealed{}, 0, err
	}
	return master.Reseal(ctx, vault)
}
