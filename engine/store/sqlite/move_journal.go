package sqlite

import (
	"context"
	"fmt"
	"strings"

	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
	"github.com/gatehouse-auth/gatehouse/engine/store/internal/archived"
)

// The journal of a move: the keys of the rows that have changed. It has no
// column types: keys are numbers, texts and bytes.
const createJournal = `CREATE TABLE move_journal (seq INTEGER PRIMARY KEY AUTOINCREMENT, kind, k1, k2, k3)`

// operations are what a trigger can be on, and where it sees the row.
var operations = []struct{ name, row string }{{"INSERT", "NEW"}, {"UPDATE", "OLD"}, {"DELETE", "OLD"}}

// startJournal notes every change from now on. Triggers do, so that it holds for
// every process that writes, of whatever version. An update never changes a key.
// The first entry says whose journal it is.
func (c *conn) startJournal(owner string) error {
	if err := c.dropJournal(); err != nil { // of a move that was killed
		return err
	}
	if _, err := c.exec(createJournal); err != nil {
		return err
	}
	if _, err := c.exec("INSERT INTO move_journal (seq, k1) VALUES (1, ?1)", owner); err != nil {
		return err
	}
	for i := range archivedTables {
		t := &archivedTables[i]
		for _, o := range operations {
			keys := []string{"NULL", "NULL", "NULL"}
			for i, column := range t.Key {
				keys[i] = o.row + "." + column
			}
			_, err := c.exec(fmt.Sprintf(`CREATE TRIGGER move_journal_%s_%s AFTER %s ON %s BEGIN
				INSERT INTO move_journal (kind, k1, k2, k3) VALUES ('%s', %s); END`,
				t.Name, o.name, o.name, t.Name, t.Kind, strings.Join(keys, ", ")))
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// dropJournal notes changes no more, and forgets those that were.
func (c *conn) dropJournal() error {
	if err := c.dropTriggers("move_journal_*"); err != nil {
		return err
	}
	_, err := c.exec("DROP TABLE IF EXISTS move_journal")
	return err
}

// dropTriggers drops those of a name, which is a pattern.
func (c *conn) dropTriggers(pattern string) error {
	var names []string
	err := c.query(func(r row) error {
		names = append(names, r.text(0))
		return nil
	}, "SELECT name FROM sqlite_schema WHERE type = 'trigger' AND name GLOB ?1", pattern)
	for _, name := range names {
		if err == nil {
			_, err = c.exec("DROP TRIGGER " + name)
		}
	}
	return err
}

// journal is whose journal there is, and its last number; nobody's: none.
func (c *conn) journal() (owner string, last int64, err error) {
	there := false
	err = c.query(func(row) error {
		there = true
		return nil
	}, "SELECT 1 FROM sqlite_schema WHERE name = 'move_journal'")
	if err != nil || !there {
		return "", 0, err
	}
	err = c.query(func(r row) error {
		owner, last = r.text(0), r.int(1)
		return nil
	}, "SELECT k1, (SELECT max(seq) FROM move_journal) FROM move_journal WHERE seq = 1")
	return owner, last, err
}

const (
	// refused is what SQLite says of a write after the move.
	refused = "moved"
	// refusals is the pattern of the names of the triggers that say so.
	refusals = "moved_*"
	// countRefusals counts them.
	countRefusals = "SELECT count(*) FROM sqlite_schema WHERE type = 'trigger' AND name GLOB ?1"
)

// refuseWrites refuses every write from now on, in whatever process: those to
// what has moved, and those to the feed, which would tell nobody.
func (c *conn) refuseWrites() error {
	names := []string{"changes", "leases"}
	for i := range archivedTables {
		names = append(names, archivedTables[i].Name)
	}
	for _, name := range names {
		for _, o := range operations {
			_, err := c.exec(fmt.Sprintf(`CREATE TRIGGER moved_%s_%s BEFORE %s ON %s BEGIN SELECT RAISE(ABORT, '%s'); END`,
				name, o.name, o.name, name, refused))
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// hasMoved reports whether writes are refused.
func (c *conn) hasMoved() (moved bool, err error) {
	err = c.query(func(r row) error {
		moved = r.int(0) > 0
		return nil
	}, countRefusals, refusals)
	if err != nil {
		return false, unavailable(err)
	}
	return moved, nil
}

// pass takes what changed since the pass before to the other store, as it is in
// the transaction that is open, and reads it back. All of it is deleted there
// before any of it is put: then no row finds its name taken by one that has
// another by now.
func (m *mover) pass(ctx context.Context) (changes int64, err error) {
	owner, last, err := m.conn.journal()
	switch {
	case err != nil:
		return 0, err
	case owner == "":
		return 0, fmt.Errorf("%w: the move was cancelled", ErrNotMoved)
	case owner != m.owner:
		return 0, fmt.Errorf("%w: another move has begun meanwhile", ErrNotMoved)
	case last == m.seen:
		return 0, nil
	}
	if err := m.eachChanged(last, func(key store.Row) error { return m.load.Delete(ctx, key) }); err != nil {
		return 0, err
	}
	sum := archived.Sum{}
	for i := range archivedTables {
		t := &archivedTables[i]
		err := m.conn.query(t.each(func(row store.Row) error {
			if err := sum.Add(row); err != nil {
				return err
			}
			return m.load.Put(ctx, row)
		}), t.changed, string(t.Kind), m.seen, last)
		if err != nil {
			return 0, err
		}
	}
	if err := m.load.Flush(ctx); err != nil {
		return 0, err
	}
	if err := m.readBack(ctx, sum, last); err != nil {
		return 0, err
	}
	changes, m.seen = last-m.seen, last
	return changes, nil
}

// eachChanged calls f with the keys that the journal has from the pass before up
// to a number, kind by kind.
func (m *mover) eachChanged(last int64, f func(key store.Row) error) error {
	for i := range archivedTables {
		kind := archivedTables[i].Kind
		err := m.conn.query(func(r row) error { return f(keyed(kind, r)) }, changed, string(kind), m.seen, last)
		if err != nil {
			return err
		}
	}
	return nil
}

// changed reads the keys of kind ?1 that the journal has behind ?2, up to ?3.
const changed = `SELECT DISTINCT k1, k2, k3 FROM move_journal WHERE kind = ?1 AND seq > ?2 AND seq <= ?3`

// keyed is a row with nothing but its key.
func keyed(kind store.Kind, r row) store.Row {
	switch kind {
	case "service":
		return store.ServiceRow{ID: model.ID(r.int(0))}
	case "client":
		return store.ClientRow{Service: model.ID(r.int(0)), ID: model.ID(r.int(1))}
	case "secret":
		return store.SecretRow{Service: model.ID(r.int(0)), Name: r.text(1)}
	case "key":
		return store.KeyRow{Key: model.Key{Service: model.ID(r.int(0)), KID: r.text(1)}}
	case "registered_client":
		return store.StoredClientRow{Client: model.StoredClient{Service: model.ID(r.int(0)), ID: model.ID(r.int(1))}}
	case "account":
		return store.AccountRow{Account: model.Account{Service: model.ID(r.int(0)), ID: model.ID(r.int(1))}}
	case "consent":
		return store.ConsentRow{Consent: model.Consent{Service: model.ID(r.int(0)), Subject: r.text(1), Client: model.ID(r.int(2))}}
	case "session":
		return store.SessionRow{Session: model.Session{Service: model.ID(r.int(0)), ID: model.ID(r.int(1))}}
	case "session_client":
		return store.SessionClientRow{Service: model.ID(r.int(0)), Session: model.ID(r.int(1)), Client: model.ID(r.int(2))}
	case "grant":
		return store.GrantRow{Grant: model.Grant{Service: model.ID(r.int(0)), ID: model.ID(r.int(1))}}
	case "refresh_token":
		return store.RefreshTokenRow{Token: model.RefreshToken{Service: model.ID(r.int(0)), ID: model.ID(r.int(1))}}
	case "access_token":
		return store.AccessTokenRow{Token: model.AccessToken{Service: model.ID(r.int(0)), ID: model.ID(r.int(1))}}
	case "handle":
		return store.HandleRow{Handle: model.Handle{Service: model.ID(r.int(0)), ID: model.ID(r.int(1))}}
	}
	v := store.UsedValueRow{Service: model.ID(r.int(0))}
	copy(v.Digest[:], r.blob(1))
	return v
}
