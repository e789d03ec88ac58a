package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/pressly/goose/v3"
	modernc "modernc.org/sqlite"

	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// applicationID stands in the header of every Gatehouse database ("GtHs").
const applicationID = 0x47744873

// IsDatabase reports whether a file is a Gatehouse database by its header, which
// is all that is read (SQLite's file format, §1.3). It must not be open in this
// process: closing a file takes away the locks that SQLite holds on it.
func IsDatabase(path string) (bool, error) {
	file, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer file.Close()
	header := make([]byte, 72)
	if _, err := io.ReadFull(file, header); err == io.EOF || err == io.ErrUnexpectedEOF {
		return false, nil
	} else if err != nil {
		return false, err
	}
	return string(header[:16]) == "SQLite format 3\x00" && binary.BigEndian.Uint32(header[68:]) == applicationID, nil
}

//go:embed migrations/*.sql
var migrations embed.FS

// gap is how long SQLite waits for a lock of its own accord before it is asked
// again: a writer in another process that hardly rests leaves short gaps, which
// its pauses of up to 100 ms rarely meet.
const gap = 20 * time.Millisecond

// migrate brings the schema up to date. Processes that start at the same
// moment take turns.
func migrate(ctx context.Context, path string, wait time.Duration) (err error) {
	unlock, err := Lock(path, wait)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	for deadline := time.Now().Add(wait); ; {
		// Each migration is a transaction, so that trying again goes on from there.
		if err = bringUp(ctx, path); !isBusy(err) || ctx.Err() != nil || time.Now().After(deadline) {
			return err
		}
	}
}

func bringUp(ctx context.Context, path string) (err error) {
	// BEGIN IMMEDIATE waits for another process's write. A transaction that first
	// reads, as a migration does, and then finds that another has written, fails.
	connector, err := modernc.NewConnector(dsn(path, busyTimeout(gap), "synchronous(FULL)") + "&_txlock=immediate")
	if err != nil {
		return err
	}
	db := sql.OpenDB(connector)
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := claim(ctx, db); err != nil {
		return err
	}
	return migrateUp(ctx, db)
}

// Lock holds the lock that processes take turns by when they change a file:
// SQLite's own, on an empty file beside it that has its owner, so that it works
// wherever SQLite does and ends with the process. A database itself stays free for
// those that are serving. It waits, and then returns ErrUnavailable.
func Lock(path string, wait time.Duration) (unlock func() error, err error) {
	lock := path + "-lock"
	if err := prepareFile(lock, path); err != nil {
		return nil, fmt.Errorf("%s: %w", lock, err)
	}
	c, err := open(dsn(lock, busyTimeout(wait)))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", lock, unavailable(err))
	}
	if _, err := c.exec("BEGIN EXCLUSIVE"); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", lock, unavailable(err)), c.close())
	}
	return c.close, nil
}

// claim makes a new file a Gatehouse database in WAL mode, and refuses one
// that belongs to another program.
func claim(ctx context.Context, db *sql.DB) error {
	var id, tables int64
	err := db.QueryRowContext(ctx, `SELECT (SELECT application_id FROM pragma_application_id), (SELECT count(*) FROM sqlite_schema)`).Scan(&id, &tables)
	if err != nil {
		return openError(err)
	}
	if id != applicationID && (id != 0 || tables > 0) {
		return errForeign
	}
	if id == 0 {
		if _, err := db.ExecContext(ctx, fmt.Sprintf("PRAGMA application_id = %d", applicationID)); err != nil {
			return openError(err)
		}
	}
	var mode string
	if err := db.QueryRowContext(ctx, "PRAGMA journal_mode = WAL").Scan(&mode); err != nil {
		return openError(err)
	}
	if mode != "wal" {
		return fmt.Errorf("the file system does not support SQLite's write-ahead log (journal mode %q)", mode)
	}
	return nil
}

// migrateUp applies the migrations that are missing.
func migrateUp(ctx context.Context, db *sql.DB) error {
	provider, err := newProvider(db)
	if err != nil {
		return err
	}
	if err := versionsReadable(ctx, db); err != nil {
		return openError(err)
	}
	current, known, err := provider.GetVersions(ctx)
	if err != nil {
		return openError(err)
	}
	if current > known {
		return fmt.Errorf("was written by a newer Gatehouse (schema %d, this one knows %d)", current, known)
	}
	if _, err := provider.Up(ctx); err != nil {
		return openError(err)
	}
	return nil
}

// versionsReadable finds out whether the table of versions is damaged: goose
// takes any error of it for a new database.
func versionsReadable(ctx context.Context, db *sql.DB) error {
	var there bool
	err := db.QueryRowContext(ctx, "SELECT count(*) > 0 FROM sqlite_schema WHERE name = 'goose_db_version'").Scan(&there)
	if err != nil || !there {
		return err
	}
	var rows int64
	return db.QueryRowContext(ctx, "SELECT count(*) FROM goose_db_version").Scan(&rows)
}

func newProvider(db *sql.DB) (*goose.Provider, error) {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(goose.DialectSQLite3, db, files, goose.WithDisableGlobalRegistry(true))
}

// openError explains an error of the database while it is opened.
func openError(err error) error {
	if isBusy(err) {
		return unavailable(err)
	}
	if code(err) == 0 || errors.Is(err, store.ErrUnavailable) {
		return err
	}
	return fmt.Errorf("%s: %w", reason(err), err)
}

// busyTimeout is the pragma that makes SQLite wait for another's lock.
func busyTimeout(d time.Duration) string {
	return fmt.Sprintf("busy_timeout(%d)", d.Milliseconds())
}
