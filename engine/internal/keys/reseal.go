package keys

import (
	"context"
	"errors"
	"fmt"

	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// Vault is what of a store holds sealed values.
type Vault interface {
	store.Writer
	Rows(ctx context.Context, service model.ID, f func(store.Row) error) error
}

// Sealed counts what is sealed in a store.
type Sealed struct {
	Current  int    // under the current master key
	Previous int    // under one before
	Unopened int    // under none that is known
	First    string // what the first of the unopened is
}

// value is one sealed value, and the step that puts another in its place.
type value struct {
	service model.ID
	name    string
	sealed  []byte
	replace func(sealed []byte) store.Step
}

// errPast ends the reading of rows: none that follows holds anything sealed.
var errPast = errors.New("past what is sealed")

// valueOf returns what is sealed in a row, nothing if its sealed is empty.
func valueOf(row store.Row) (v value, err error) {
	switch row := row.(type) {
	case store.ServiceRow, store.ClientRow:
	case store.SecretRow:
		v = value{row.Service, row.Name, row.Sealed, func(sealed []byte) store.Step {
			return store.ResealSecret{Service: row.Service, Name: row.Name, Was: row.Sealed, Sealed: sealed}
		}}
	case store.KeyRow:
		k := row.Key
		v = value{k.Service, k.KID, k.Sealed, func(sealed []byte) store.Step {
			return store.ResealKey{Service: k.Service, KID: k.KID, Was: k.Sealed, Sealed: sealed}
		}}
	case store.StoredClientRow:
		c := row.Client
		v = value{c.Service, ClientName(c.Alias), c.Sealed, func(sealed []byte) store.Step {
			c.Sealed = sealed
			return store.UpdateClient{Client: c} // by its version, so that no change is undone
		}}
	default:
		return v, errPast
	}
	return v, nil
}

// Survey looks at everything that is sealed, and changes nothing.
func (m *Master) Survey(ctx context.Context, vault Vault) (Sealed, error) {
	return m.survey(ctx, vault, func(value, []byte) error { return nil })
}

// survey calls stale for what is under a key before the current one.
func (m *Master) survey(ctx context.Context, vault Vault, stale func(v value, plain []byte) error) (n Sealed, err error) {
	err = vault.Rows(ctx, 0, func(row store.Row) error {
		v, err := valueOf(row)
		if err != nil || len(v.sealed) == 0 {
			return err
		}
		plain, under, err := m.open(v.service, v.name, v.sealed)
		switch {
		case err != nil:
			if n.Unopened++; n.Unopened == 1 {
				n.First = fmt.Sprintf("%q of service %d", v.name, v.service)
			}
		case under == (*m.known.Load())[0]:
			n.Current++
		default:
			n.Previous++
			return stale(v, plain)
		}
		return nil
	})
	if errors.Is(err, errPast) {
		err = nil
	}
	return n, err
}

const (
	// resealBatch is how many values one write seals anew.
	resealBatch = 100
	// maxPasses bounds how often Reseal begins again.
	maxPasses = 20
)

// Reseal seals everything under the current master key, and reports how much it
// had to. What changes meanwhile is looked at again, until a pass finds nothing
// left. It can be interrupted at any time and begun again.
func (m *Master) Reseal(ctx context.Context, vault Vault) (now Sealed, resealed int, err error) {
	for range maxPasses {
		r := resealer{master: m, vault: vault}
		now, err = m.survey(ctx, vault, func(v value, plain []byte) error { return r.add(ctx, v, plain) })
		if err == nil {
			err = r.flush(ctx)
		}
		resealed += r.done
		if err != nil || now.Previous == 0 {
			return now, resealed, err
		}
	}
	return now, resealed, fmt.Errorf("%w: what is sealed changes all the time; begin again later", store.ErrUnavailable)
}

// resealer is one pass.
type resealer struct {
	master *Master
	vault  Vault
	steps  []store.Step
	done   int
}

func (r *resealer) add(ctx context.Context, v value, plain []byte) error {
	sealed, err := r.master.Seal(v.service, v.name, plain)
	if err != nil {
		return err
	}
	if r.steps = append(r.steps, v.replace(sealed)); len(r.steps) < resealBatch {
		return nil
	}
	return r.flush(ctx)
}

// flush writes what has been gathered: together, or one by one when something
// has changed since it was read. What has changed is left to the next pass.
func (r *resealer) flush(ctx context.Context) error {
	steps := r.steps
	r.steps = nil
	if len(steps) == 0 {
		return nil
	}
	err := r.write(ctx, steps...)
	if !changed(err) {
		return err
	}
	for _, step := range steps {
		if err := r.write(ctx, step); err != nil && !changed(err) {
			return err
		}
	}
	return nil
}

func (r *resealer) write(ctx context.Context, steps ...store.Step) error {
	err := r.vault.Write(ctx, steps...)
	if err == nil {
		r.done += len(steps)
	}
	return err
}

func changed(err error) bool {
	return errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrNotFound)
}
