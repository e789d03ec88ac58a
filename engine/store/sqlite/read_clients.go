package sqlite

import (
	"context"

	"github.com/gatehouse-auth/gatehouse/engine/model"
)

// selectStoredClient is read by scanStoredClient.
const selectStoredClient = `SELECT c.id, c.alias, s.developer, s.settings, s.sealed, s.token_hash, s.created_at, s.modified_at, s.version
	FROM clients c CROSS JOIN stored_clients s ON s.id = c.id WHERE c.service = ?1 AND s.service = ?1`

func scanStoredClient(r row, service model.ID) (model.StoredClient, error) {
	c := model.StoredClient{
		Service: service, ID: model.ID(r.int(0)), Alias: r.text(1), Developer: r.text(2), Settings: r.blob(3), Sealed: r.blob(4),
		CreatedAt: r.int(6), ModifiedAt: r.int(7), Version: r.int(8),
	}
	var err error
	c.TokenHash, err = r.hash(5)
	return c, err
}

// StoredClient reads a client that was registered at run time.
func (s *Store) StoredClient(ctx context.Context, service, id model.ID) (c model.StoredClient, err error) {
	err = s.reads.one(ctx, func(r row) (err error) {
		c, err = scanStoredClient(r, service)
		return err
	}, selectStoredClient+` AND c.id = ?2`, int64(service), int64(id))
	return c, err
}

// StoredClientByAlias reads a client that was registered at run time.
func (s *Store) StoredClientByAlias(ctx context.Context, service model.ID, alias string) (c model.StoredClient, err error) {
	err = s.reads.one(ctx, func(r row) (err error) {
		c, err = scanStoredClient(r, service)
		return err
	}, selectStoredClient+` AND c.alias = ?2`, int64(service), alias)
	return c, err
}
