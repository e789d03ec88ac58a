package archive

import (
	"fmt"

	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

const (
	// maxNumber bounds the ids of services and clients, which a store counts on
	// from: behind the highest there is it would find none for another.
	maxNumber = 1 << 53
	// maxServices and maxIssuer (in bytes) bound what is kept of the services.
	maxServices = 100_000
	maxIssuer   = 1 << 10
	// maxSecrets and maxSecret (in bytes) bound the secrets of the whole store.
	maxSecrets = 16
	maxSecret  = 64 << 10
)

// checker refuses rows that no store has written, and those that none could take
// in beside the ones before. It keeps the services, and nothing of other rows.
type checker struct {
	services map[model.ID]bool
	issuers  map[string]bool
	secrets  int // of the whole store
}

func newChecker() *checker {
	return &checker{services: map[model.ID]bool{}, issuers: map[string]bool{}}
}

// check returns ErrFormat for a row that cannot stand here.
func (c *checker) check(row store.Row) error {
	service, ids := place(row)
	for _, id := range ids {
		if id <= 0 {
			return fmt.Errorf("an id that is not positive: %w", ErrFormat)
		}
	}
	switch r := row.(type) {
	case store.ServiceRow:
		return c.service(r)
	case store.SecretRow:
		if service == 0 {
			return c.secret(r)
		}
	case store.ClientRow:
		if r.ID > maxNumber {
			return tooHigh(r.ID)
		}
	}
	if !c.services[service] {
		return fmt.Errorf("a row of a service that is not there: %w", ErrFormat)
	}
	return nil
}

func (c *checker) service(r store.ServiceRow) error {
	switch {
	case r.ID > maxNumber:
		return tooHigh(r.ID)
	case r.Issuer == "" || len(r.Issuer) > maxIssuer || isUnfinished(r):
		return fmt.Errorf("a service with an issuer that is none: %w", ErrFormat)
	case c.services[r.ID] || c.issuers[r.Issuer]:
		return fmt.Errorf("a service that is there twice: %w", ErrFormat)
	case len(c.services) == maxServices:
		return fmt.Errorf("more than %d services: %w", maxServices, ErrFormat)
	}
	c.services[r.ID], c.issuers[r.Issuer] = true, true
	return nil
}

func (c *checker) secret(r store.SecretRow) error {
	if c.secrets++; c.secrets > maxSecrets || len(r.Name)+len(r.Sealed) > maxSecret {
		return fmt.Errorf("more secrets of the whole store than there can be: %w", ErrFormat)
	}
	return nil
}

func tooHigh(id model.ID) error {
	return fmt.Errorf("the id %d, which no store has given: %w", id, ErrFormat)
}
