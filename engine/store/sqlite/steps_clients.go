package sqlite

import (
	"fmt"

	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
	"github.com/gatehouse-auth/gatehouse/engine/store/internal/column"
)

// insertClient takes the alias in the registry, which gives the id, and then
// keeps the rest under it.
func (t *tx) insertClient(c *model.StoredClient, most int) error {
	if c.Alias == "" {
		return fmt.Errorf("a client without an alias: %w", column.ErrMalformed)
	}
	err := t.require(store.ErrSpent, `INSERT INTO clients (service, alias) SELECT ?1, ?2
		WHERE ?4 = 0 OR (SELECT count(*) FROM stored_clients WHERE service = ?1 AND developer = ?3) < ?4`,
		int64(c.Service), c.Alias, c.Developer, int64(most))
	if err != nil {
		return err
	}
	id := model.ID(0)
	err = t.query(func(r row) error {
		id = model.ID(r.int(0))
		return nil
	}, selectClient, int64(c.Service), c.Alias)
	if err != nil {
		return err
	}
	_, err = t.exec(`INSERT INTO stored_clients (service, id, developer, settings, sealed, token_hash, created_at, modified_at, version)
		VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)`,
		int64(c.Service), int64(id), c.Developer, column.NotNull(c.Settings), column.BytesOrNull(c.Sealed), c.TokenHash[:],
		c.CreatedAt, c.ModifiedAt, c.Version)
	if err != nil {
		return err
	}
	return t.tell(model.Change{Service: c.Service, Kind: model.ChangeClient, Ref: id, Subject: c.Alias})
}

func (t *tx) updateClient(c *model.StoredClient) error {
	return t.changeClient(c.Service, c.ID, `UPDATE stored_clients
		SET settings = ?4, sealed = ?5, token_hash = ?6, modified_at = ?7, version = version + 1
		WHERE id = ?2 AND service = ?1 AND version = ?3`+returningAlias,
		int64(c.Service), int64(c.ID), c.Version, column.NotNull(c.Settings), column.BytesOrNull(c.Sealed), c.TokenHash[:], c.ModifiedAt)
}

// returningAlias ends the statements of changeClient.
const returningAlias = ` RETURNING (SELECT alias FROM clients WHERE clients.id = stored_clients.id)`

// changeClient runs a statement that changes a client, and tells of it.
func (t *tx) changeClient(service, id model.ID, query string, args ...any) error {
	alias, found := "", false
	err := t.query(func(r row) error {
		alias, found = r.text(0), true
		return nil
	}, query, args...)
	if err != nil {
		return err
	}
	if !found {
		return store.ErrNotFound
	}
	return t.tell(model.Change{Service: service, Kind: model.ChangeClient, Ref: id, Subject: alias})
}

func (t *tx) deleteClient(s store.DeleteClient) error {
	return t.changeClient(s.Service, s.ID, `DELETE FROM stored_clients WHERE id = ?2 AND service = ?1`+returningAlias,
		int64(s.Service), int64(s.ID))
}
