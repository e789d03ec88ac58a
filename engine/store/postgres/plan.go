package postgres

import (
	"fmt"
	"hash/crc32"

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
	// trusts lets a plan be made on what the caller has read before. It then
	// fails when that is so no more, and another must be made without.
	trusts bool
	// names are the access tokens that the steps name.
	names []model.ID
	// shared is the row that they lock and many others too: the id of a client,
	// or of a service, below 0. 0: there is none.
	shared model.ID
}

// turn is that of a unit with these statements.
func (p *planner) turn() turn {
	t := turn{shared: int64(p.shared)}
	if args := p.list[0].args; len(args) > 1 { // the first is the service
		switch v := args[1].(type) {
		case int64:
			t.first = v
		case string:
			t.first = int64(crc32.ChecksumIEEE([]byte(v)))
		case []byte:
			t.first = int64(crc32.ChecksumIEEE(v))
		}
	}
	return t
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
		p.revokeGrant(s)
	case store.RevokeGrants:
		return p.revokeGrants(s)
	case store.InsertHandle:
		return p.insertHandle(&s.Handle)
	case store.RedeemHandle:
		p.redeemHandle(s)
	case store.UseOnce:
		p.useOnce(s)

	case store.InsertSession:
		return p.insertSession(&s.Session)
	case store.RenewSession:
		return p.renewSession(&s.Session)
	case store.JoinSession:
		p.joinSession(s)
	case store.ExpectClients:
		p.expectClients(s)
	case store.EndSession:
		p.endSession(s)
	case store.DeleteSessions:
		p.deleteSessions(s)

	case store.PutConsent:
		return p.putConsent(&s.Consent)
	case store.DeleteConsent:
		p.deleteConsent(s)
	case store.InsertAccount:
		return p.insertAccount(&s.Account, ``)
	case store.PutAccount:
		return p.insertAccount(&s.Account, ` ON CONFLICT (service, subject) DO UPDATE SET name = excluded.name, key = excluded.key, claims = excluded.claims`)
	case store.SetPassword:
		p.setPassword(s)
	case store.SetDisabled:
		p.setDisabled(s)

	case store.InsertClient:
		return p.insertClient(&s.Client, s.Most)
	case store.UpdateClient:
		p.updateClient(&s.Client)
	case store.DeleteClient:
		p.deleteClient(s)

	case store.InsertKey:
		p.insertKey(&s.Key, ``)
		p.tellKeys(s.Key.Service)
	case store.RetireKeys:
		p.retireKeys(s)
	case store.InsertFirstKeys:
		p.insertFirstKeys(s)
	case store.InsertSecret:
		p.insertSecret(s)
	case store.ResealSecret:
		p.resealSecret(s)
	case store.ResealKey:
		p.resealKey(s)
	default:
		return fmt.Errorf("a step of type %T: %w", step, column.ErrMalformed)
	}
	return nil
}
