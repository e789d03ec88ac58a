package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	modernc "modernc.org/sqlite"

	"github.com/gatehouse-auth/gatehouse/engine/store/internal/column"
	"github.com/gatehouse-auth/gatehouse/engine/store/newfile"
)

// backupPages is how many pages are copied at a time.
const backupPages = 256

// Backup copies the database into a new file, while others go on writing. The
// copy is of one moment, after the call: what was acknowledged before is in it.
// It is checked, and then has its name, for the owner alone to read; before, it
// has none. fs.ErrExist: there is such a file.
func (s *Store) Backup(ctx context.Context, path string) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	return newfile.Create(path, func(draft *os.File) error {
		var schema int64
		err := s.snapshot(func(c *conn) (err error) {
			if schema, err = c.schema(); err != nil { // the moment begins
				return err
			}
			return c.backup(ctx, draft.Name())
		})
		if err != nil {
			return err
		}
		return checkBackup(ctx, draft.Name(), schema)
	})
}

// backuper is what the driver's connections can do.
type backuper interface {
	NewBackup(to string) (*modernc.Backup, error)
}

// backup copies page by page in the transaction that is open: it keeps the
// moment, so that those who write do not make SQLite begin again.
func (c *conn) backup(ctx context.Context, path string) (err error) {
	raw, ok := c.raw.(backuper)
	if !ok {
		return errors.New("the SQLite driver's connections lack a method")
	}
	b, err := raw.NewBackup(dsn(path, "synchronous(FULL)"))
	if err != nil {
		return err
	}
	for more := true; more; {
		if err := ctx.Err(); err != nil {
			return errors.Join(err, b.Finish())
		}
		if more, err = b.Step(backupPages); err != nil {
			return errors.Join(err, b.Finish())
		}
	}
	return b.Finish()
}

// checkBackup opens a copy that nobody else has open, and reads all of it.
func checkBackup(ctx context.Context, path string, schema int64) (err error) {
	connector, err := modernc.NewConnector(dsn(path, "query_only(1)") + "&mode=ro&immutable=1")
	if err != nil {
		return err
	}
	db := sql.OpenDB(connector)
	defer func() { err = errors.Join(err, db.Close()) }()
	var result string
	var copied int64
	err = db.QueryRowContext(ctx, "PRAGMA integrity_check(1)").Scan(&result)
	if err == nil {
		err = db.QueryRowContext(ctx, schemaVersion).Scan(&copied)
	}
	switch {
	case err != nil && ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return fmt.Errorf("the copy cannot be read: %w", openError(err))
	case result != "ok":
		return fmt.Errorf("%w, and its copy with it; restore an earlier backup: %s", column.ErrDamaged, result)
	case copied != schema:
		return fmt.Errorf("the copy is not whole: it has the schema %d, not %d: %w", copied, schema, column.ErrDamaged)
	}
	return nil
}

const schemaVersion = "SELECT coalesce(max(version_id), 0) FROM goose_db_version WHERE is_applied"

// schema is the version of the schema that the database has.
func (c *conn) schema() (version int64, err error) {
	err = c.query(func(r row) error {
		version = r.int(0)
		return nil
	}, schemaVersion)
	return version, err
}
