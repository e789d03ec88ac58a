package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// ErrTaken: the store has a service, or a client's id, that the file has too.
var ErrTaken = errors.New("the store cannot take the services in")

// Plan is what is known of a file that was read to its end and found whole.
type Plan struct {
	Header   Header
	Rows     int64
	Services []store.ServiceRow

	clients []model.ID        // ascending
	secrets []store.SecretRow // of the whole store, by name
}

// Verify reads a file to its end. The error is a Reader's.
func Verify(from io.Reader) (*Plan, error) {
	r, err := NewReader(from)
	if err != nil {
		return nil, err
	}
	p := &Plan{Header: r.Header}
	for {
		row, err := r.Next()
		if errors.Is(err, io.EOF) {
			return p, p.sort()
		}
		if err != nil {
			return nil, err
		}
		p.Rows++
		switch row := row.(type) {
		case store.ServiceRow:
			p.Services = append(p.Services, row)
		case store.ClientRow:
			p.clients = append(p.clients, row.ID)
		case store.SecretRow:
			if row.Service == 0 {
				p.secrets = append(p.secrets, row)
			}
		}
	}
}

// sort puts in order what is looked up. ErrFormat: a client's id is there twice.
func (p *Plan) sort() error {
	slices.SortFunc(p.secrets, byName)
	slices.Sort(p.clients)
	for i := 1; i < len(p.clients); i++ {
		if p.clients[i] == p.clients[i-1] {
			return fmt.Errorf("two clients with the id %d: %w", p.clients[i], ErrFormat)
		}
	}
	return nil
}

// Import loads the file that was verified into a store, with the ids that the
// rows have: what is sealed is bound to them. Same says whether two sealed
// values of the whole store, of that name, are the same. It refuses with
// ErrTaken before it writes anything. store.ErrConflict: a row, which
// is named, has the id of one of another service; it will be so again. After another error, or
// when it was interrupted, it can be begun again.
func (p *Plan) Import(ctx context.Context, to store.Store, from io.Reader, same func(name string, a, b []byte) (bool, error)) (rows int64, err error) {
	r, err := NewReader(from)
	if err != nil {
		return 0, err
	}
	l, err := Load(ctx, to)
	if err != nil {
		return 0, err
	}
	defer l.Close()
	if err := p.fits(ctx, l, same); err != nil {
		return 0, err
	}
	if err := l.Clear(ctx); err != nil {
		return 0, err
	}
	for {
		row, err := r.Next()
		if errors.Is(err, io.EOF) {
			return l.rows, l.Finish(ctx)
		}
		if err != nil {
			return l.rows, err
		}
		if secret, ok := row.(store.SecretRow); ok && secret.Service == 0 && len(l.found) > 0 {
			continue // it has the same
		}
		if err := l.Put(ctx, row); err != nil {
			return l.rows, err
		}
	}
}

// fits looks for what the store and the file both have.
func (p *Plan) fits(ctx context.Context, l *Loading, same func(name string, a, b []byte) (bool, error)) error {
	others := map[model.ID]string{}
	for _, found := range l.found {
		for _, service := range p.Services {
			if service.Issuer == found.Issuer {
				return fmt.Errorf("%w: it has the service %s", ErrTaken, found.Issuer)
			}
			if service.ID == found.ID {
				return fmt.Errorf("%w: the id of %s, %d, is that of its service %s", ErrTaken, service.Issuer, found.ID, found.Issuer)
			}
		}
		others[found.ID] = found.Issuer
	}
	if len(others) == 0 {
		return nil
	}
	err := read(ctx, l.to, 0, func(row store.Row) error {
		switch r := row.(type) {
		case store.ServiceRow:
		case store.ClientRow:
			if _, taken := slices.BinarySearch(p.clients, r.ID); taken && others[r.Service] != "" {
				return fmt.Errorf("%w: the client id %d is that of %q at %s", ErrTaken, r.ID, r.Alias, others[r.Service])
			}
		default:
			return errEnough
		}
		return nil
	})
	if err != nil {
		return err
	}
	return p.sameSecrets(ctx, l.to, same)
}

// sameSecrets refuses services whose subjects and tokens were derived from other
// secrets than those of the store.
func (p *Plan) sameSecrets(ctx context.Context, to store.Store, same func(name string, a, b []byte) (bool, error)) error {
	var found []store.SecretRow
	err := read(ctx, to, 0, func(row store.Row) error {
		switch r := row.(type) {
		case store.ServiceRow, store.ClientRow:
		case store.SecretRow:
			if r.Service == 0 {
				found = append(found, r)
			}
		default:
			return errEnough
		}
		return nil
	})
	if err != nil {
		return err
	}
	slices.SortFunc(found, byName)
	if !slices.EqualFunc(found, p.secrets, func(a, b store.SecretRow) bool { return a.Name == b.Name }) {
		return fmt.Errorf("%w: it has other secrets of its own than the file", ErrTaken)
	}
	for i, secret := range found {
		ok, err := same(secret.Name, secret.Sealed, p.secrets[i].Sealed)
		if err != nil {
			return err
		}
		if !ok {
			return fmt.Errorf("%w: its secret %q, from which subjects and tokens are derived, is not the file's", ErrTaken, secret.Name)
		}
	}
	return nil
}

func byName(a, b store.SecretRow) int { return strings.Compare(a.Name, b.Name) }
