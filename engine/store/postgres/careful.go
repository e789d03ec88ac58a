package postgres

import (
	"github.com/jackc/pgx/v5"
)

// alone does one unit under a savepoint, so that one that fails is undone and
// the others stay. Its error is the database's; the unit's own stays in it.
func (t *tx) alone(u *unit) error {
	kept := len(t.changes)
	u.err = t.statements(u)
	if u.err == nil {
		t.changes = append(t.changes, u.plan.tells...)
		_, err := t.conn.Exec(t.ctx, `RELEASE SAVEPOINT unit`)
		return err
	}
	if !isOutcome(u.err) {
		return u.err
	}
	t.changes, t.then = t.changes[:kept], nil
	return t.plainly(`ROLLBACK TO SAVEPOINT unit; RELEASE SAVEPOINT unit`)
}

// statements runs a unit's statements, each after what the one before it asked for.
func (t *tx) statements(u *unit) error {
	for i := range u.plan.list {
		s := &u.plan.list[i]
		found, err := t.statement(s, i == 0)
		if err == nil && !found {
			err = s.missing
		}
		if u.then, t.then = t.then, nil; err == nil {
			err = t.after([]*unit{u})
		}
		if err != nil {
			return outcome(waited(u, s.sql, err))
		}
	}
	return nil
}

// statement runs one, the first behind a savepoint.
func (t *tx) statement(s *statement, first bool) (found bool, err error) {
	var b pgx.Batch
	if first {
		b.Queue(`SAVEPOINT unit`)
	}
	b.Queue(s.sql, s.args...)
	results := t.conn.SendBatch(t.ctx, &b)
	if first {
		_, err = results.Exec()
	}
	if err == nil {
		found, err = t.readStatement(results, s)
	}
	if e := results.Close(); err == nil {
		err = e
	}
	return found, err
}

// plainly runs commands without preparing them, which the server refuses in a
// transaction that has failed.
func (t *tx) plainly(commands string) error {
	_, err := t.conn.PgConn().Exec(t.ctx, commands).ReadAll()
	return err
}
