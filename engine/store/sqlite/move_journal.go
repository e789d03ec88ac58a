package sqlite

import (
	"context"
	"fmt"
	"strings"

	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
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
	for i := range archivedTables {
		for _, o := range operations {
			if _, err := c.exec(fmt.Sprintf("DROP TRIGGER IF EXISTS move_journal_%s_%s", archivedTables[i].Name, o.name)); err != nil {
				return err
			}
		}
	}
	_, err := c.exec("DROP TABLE IF EXISTS move_journal")
	return err
}

// refused is what SQLite says of a write after the move.
const refused = "moved"

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
	}, "SELECT count(*) FROM sqlite_schema WHERE type = 'trigger' AND name LIKE 'moved\\_%' ESCAPE '\\'")
	if err != nil {
		return false, unavailable(err)
	}
	return moved, nil
}

// pass takes what changed since the pass before to the other store, as it is in
// the transaction that is open. All of it is deleted there before any of it is
// put: then no row finds its name taken by one that has another by now.
func (m *mover) pass(ctx context.Context) (changes int64, err error) {
	last, owner := m.seen, ""
	err = m.conn.query(func(r row) error {
		last, owner = r.int(0), r.text(1)
		return nil
	}, "SELECT (SELECT max(seq) FROM move_journal), k1 FROM move_journal WHERE seq = 1")
	if err == nil && owner != m.owner {
		err = fmt.Errorf("%w: another move has begun meanwhile", ErrNotMoved)
	}
	if err != nil || last == m.seen {
		return 0, err
	}
	for i := range archivedTables {
		t := &archivedTables[i]
		err := m.conn.query(func(r row) error { return m.load.Delete(ctx, keyed(t.Kind, r)) }, changed, string(t.Kind), m.seen, last)
		if err != nil {
			return 0, err
		}
	}
	for i := range archivedTables {
		t := &archivedTables[i]
		err := m.conn.query(func(r row) error {
			row, err := t.Scan(r)
			if err != nil {
				return fmt.Errorf("%s: %w", t.Name, err)
			}
			return m.load.Put(ctx, row)
		}, t.changed, string(t.Kind), m.seen, last)
		if err != nil {
			return 0, err
		}
	}
	if err := m.load.Flush(ctx); err != nil {
		return 0, err
	}
	changes, m.seen = last-m.seen, last
	return changes, nil
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
