package postgres

import (
	"fmt"

	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
	"github.com/gatehouse-auth/gatehouse/engine/store/internal/column"
)

// returningAlias is read by tellClient.
const returningAlias = ` RETURNING (SELECT alias FROM clients WHERE clients.id = stored_clients.id)`

func tellClient(service, id model.ID) func(*outcomes, row) {
	return func(o *outcomes, r row) {
		o.tell(model.Change{Service: service, Kind: model.ChangeClient, Ref: id, Subject: r.Text(0)})
	}
}

// insertClient takes the alias in the registry, which gives the id, and then
// keeps the rest under it.
func (p *planner) insertClient(c *model.StoredClient, most int) error {
	if c.Alias == "" {
		return fmt.Errorf("a client without an alias: %w", column.ErrMalformed)
	}
	if most > 0 {
		p.lockService(c.Service)
	}
	told := func(o *outcomes, r row) {
		o.tell(model.Change{Service: c.Service, Kind: model.ChangeClient, Ref: model.ID(r.Int(0)), Subject: c.Alias})
	}
	p.each(store.ErrSpent, told, `INSERT INTO clients (service, alias) SELECT $1::bigint, $2::text
		WHERE $4::bigint = 0 OR (SELECT count(*) FROM stored_clients WHERE service = $1 AND developer = $3) < $4 RETURNING id`,
		int64(c.Service), c.Alias, c.Developer, int64(most))
	p.add(nil, `INSERT INTO stored_clients (id, service, developer, settings, sealed, token_hash, created_at, modified_at, version)
		SELECT id, $1::bigint, $3::text, $4::bytea, $5::bytea, $6::bytea, $7::bigint, $8::bigint, $9::bigint FROM clients WHERE service = $1 AND alias = $2`,
		int64(c.Service), c.Alias, c.Developer, column.NotNull(c.Settings), column.BytesOrNull(c.Sealed), c.TokenHash[:],
		c.CreatedAt, c.ModifiedAt, c.Version)
	return nil
}

func (p *planner) updateClient(c *model.StoredClient) {
	p.each(store.ErrNotFound, tellClient(c.Service, c.ID), `UPDATE stored_clients
		SET settings = $4, sealed = $5, token_hash = $6, modified_at = $7, version = version + 1
		WHERE id = $2 AND service = $1 AND version = $3`+returningAlias,
		int64(c.Service), int64(c.ID), c.Version, column.NotNull(c.Settings), column.BytesOrNull(c.Sealed), c.TokenHash[:], c.ModifiedAt)
}

func (p *planner) deleteClient(s store.DeleteClient) {
	p.each(store.ErrNotFound, tellClient(s.Service, s.ID), `DELETE FROM stored_clients WHERE id = $2 AND service = $1`+returningAlias,
		int64(s.Service), int64(s.ID))
}
