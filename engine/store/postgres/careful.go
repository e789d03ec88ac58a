package postgres

import (
	"github.com/jackc/pgx/v5"
)

// oneByOne does each unit under a savepoint, so that one that fails is undone
// and the others stay.
func (t *tx) oneByOne(batch []*unit) error {
	if _, err := t.conn.Exec(t.ctx, begin); err != nil {
		return err
	}
	for _, u := range batch {
		if err := t.alone(u); err != nil {
			return err
		}
	}
	return nil
}

// alone does one unit. Its error is the database's; the unit's own stays in it.
func (t *tx) alone(u *unit) error {
	kept := len(t.changes)
	if _, err := t.conn.Exec(t.ctx, `SAVEPOINT unit`); err != nil {
		return err
	}
	u.err = t.statements(u)
	if u.err == nil {
		t.changes = append(t.changes, u.plan.tells...)
		_, err := t.conn.Exec(t.ctx, `RELEASE SAVEPOINT unit`)
		return err
	}
	switch {
	case isSlow(u.err): // its own fault
		u.err = unavailable(u.err)
	case !isOutcome(u.err):
		return u.err
	}
	t.changes, t.then = t.changes[:kept], nil
	return t.plainly(`ROLLBACK TO SAVEPOINT unit; RELEASE SAVEPOINT unit`)
}

// plainly runs commands without preparing them, which the server refuses in a
// transaction that has failed.
func (t *tx) plainly(commands string) error {
	_, err := t.conn.PgConn().Exec(t.ctx, commands).ReadAll()
	return err
}

// statements runs a unit's statements, each after what the one before it asked for.
func (t *tx) statements(u *unit) error {
	for i := range u.plan.list {
		s := &u.plan.list[i]
		var b pgx.Batch
		b.Queue(s.sql, s.args...)
		results := t.conn.SendBatch(t.ctx, &b)
		found, err := t.readStatement(results, s)
		if e := results.Close(); err == nil {
			err = e
		}
		if err == nil && !found {
			err = s.missing
		}
		if err == nil {
			err = t.after()
		}
		if err != nil {
			return outcome(err)
		}
	}
	return nil
}
