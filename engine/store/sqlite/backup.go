package sqlite

import (
	"context"
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
		if err := checkBackup(draft.Name(), schema); err != nil {
			return fmt.Errorf("the copy is not whole: %w", err)
		}
		return nil
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

// checkBackup opens a copy that nobody else has open.
func checkBackup(path string, schema int64) (err error) {
	c, err := open(dsn(path, "query_only(1)") + "&mode=ro&immutable=1")
	if err != nil {
		return openError(err)
	}
	defer func() { err = errors.Join(err, c.close()) }()
	err = c.query(func(r row) error {
		if text := r.text(0); text != "ok" {
			return fmt.Errorf("%w: %s", column.ErrDamaged, text)
		}
		return nil
	}, "PRAGMA integrity_check")
	if err != nil {
		return openError(err)
	}
	copied, err := c.schema()
	if err == nil && copied != schema {
		err = fmt.Errorf("%w: it has the schema %d, not %d", column.ErrDamaged, copied, schema)
	}
	return err
}

// schema is the version of the schema that the database has.
func (c *conn) schema() (version int64, err error) {
	err = c.query(func(r row) error {
		version = r.int(0)
		return nil
	}, "SELECT coalesce(max(version_id), 0) FROM goose_db_version WHERE is_applied")
	return version, err
}
