package postgres

import (
	"fmt"

	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
	"github.com/gatehouse-auth/gatehouse/engine/store/internal/column"
)

// statement is one SQL statement of a step. Statements run in their order, each
// on what is committed when it begins and on what the ones before it did
// (READ COMMITTED): what must not change between two of them is locked by the
// first.
type statement struct {
	sql  string
	args []any
	// missing is the step's answer when the statement touches no row; nil: any
	// number will do.
	missing error
	// row is called for each row that the statement returns.
	row func(*outcomes, row)
}

// outcomes is what statements have brought about, beside their rows.
type outcomes struct {
	changes []model.Change
	// then are statements that had to wait for another's answer.
	then []statement
}

func (o *outcomes) tell(c model.Change) { o.changes = append(o.changes, c) }

// planner turns steps into statements.
type planner struct {
	parts *partitions
	list  []statement
	// tells are changes that do not depend on an answer.
	tells []model.Change
	// names are the access tokens that the steps name.
	names []model.ID
}

// add plans a statement.
func (p *planner) add(missing error, sql string, args ...any) {
	p.list = append(p.list, statement{sql: sql, args: args, missing: missing})
}

// each plans a statement whose rows are looked at.
func (p *planner) each(missing error, f func(*outcomes, row), sql string, args ...any) {
	p.list = append(p.list, statement{sql: sql, args: args, missing: missing, row: f})
}

func (p *planner) tell(c model.Change) { p.tells = append(p.tells, c) }

// tellGrants tells of each grant whose id a statement returns that it, or
// tokens below it, ended.
func tellGrants(service model.ID) func(*outcomes, row) {
	return func(o *outcomes, r row) {
		o.tell(model.Change{Service: service, Kind: model.ChangeGrantRevoked, Ref: model.ID(r.Int(0))})
	}
}

// positive refuses an id that no caller can have drawn.
func positive(id model.ID) error {
	if id <= 0 {
		return fmt.Errorf("an id that is not positive: %w", column.ErrMalformed)
	}
	return nil
}

// step plans one step.
func (p *planner) step(step store.Step) error {
	switch s := step.(type) {
	case store.InsertAccessToken:
		return p.insertAccessToken(&s.Token)
	case store.InsertRefreshToken:
		return p.insertRefreshToken(&s.Token)
	case store.RotateRefreshToken:
		return p.rotateRefreshToken(s)
	case store.RenewAccessToken:
		p.renewAccessToken(s)
	case store.RevokeAccessToken:
		p.names = append(p.names, s.ID)
		p.revokeAccessToken(s.Service, s.ID)
	case store.KeepAccessToken:
		return p.keepAccessToken(s)
	case store.InsertGrant:
		return p.insertGrant(&s.Grant)
	case store.ExtendGrant:
		p.extendGrant(s)
	case store.RevokeGrant:
		p.each(nil, tellGrants(s.Service), `DELETE FROM grants WHERE id = $2 AND service = $1 RETURNING id`, int64(s.Service), int64(s.ID))
	case store.RevokeGrants:
		return p.revokeGrants(s)
	case store.InsertHandle:
		return p.insertHandle(&s.Handle)
	case store.RedeemHandle:
		p.redeemHandle(s)
	case store.UseOnce:
		p.add(store.ErrSpent, `INSERT INTO used_values (service, digest, expires_at) VALUES ($1, $2, $4)
			ON CONFLICT (service, digest) DO UPDATE SET expires_at = excluded.expires_at WHERE used_values.expires_at <= $3`,
			int64(s.Service), s.Digest[:], s.Now, s.ExpiresAt)
	default:
		return p.sessionStep(step)
	}
	return nil
}
