package postgres

import (
	"cmp"
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed migrations/*.sql
var migrations embed.FS

// byTimeMark stands in a migration where a table is partitioned, if the
// database can do that.
const byTimeMark = `/* BY TIME */`

// migrate brings the tables up to date, and reports whether they are
// partitioned and which schema this version knows. Nodes that start at the same moment take turns.
func migrate(ctx context.Context, config *pgx.ConnConfig, opts Options) (partitioned bool, known int64, err error) {
	config = config.Copy()
	delete(config.RuntimeParams, "statement_timeout") // an index on many rows takes its time
	db := stdlib.OpenDB(*config)
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetMaxOpenConns(2)
	if err := makeSchema(ctx, db, schemaName(config)); err != nil {
		return false, 0, err
	}
	can := !opts.Plain && canPartition(ctx, db)
	if known, err = migrateUp(ctx, db, can); err != nil {
		return false, 0, err
	}
	partitioned, err = isPartitioned(ctx, db)
	return partitioned, known, err
}

// schemaName is where the tables lie.
func schemaName(config *pgx.ConnConfig) string {
	name, _, _ := strings.Cut(config.RuntimeParams["search_path"], ",")
	return strings.TrimSpace(name)
}

// find says what migrate does of tables that are there, and changes nothing.
// fs.ErrNotExist: there are none, and migrate would make them.
func find(ctx context.Context, config *pgx.ConnConfig, _ Options) (partitioned bool, known int64, err error) {
	db := stdlib.OpenDB(*config)
	defer func() { err = errors.Join(err, db.Close()) }()
	provider, err := newProvider(db, false)
	if err != nil {
		return false, 0, err
	}
	sources := provider.ListSources()
	partitioned, err = isPartitioned(ctx, db)
	if code(err) == codeUndefinedTable {
		err = cmp.Or(mayMake(ctx, db, schemaName(config)), fs.ErrNotExist)
	}
	return partitioned, sources[len(sources)-1].Version, err
}

// mayMake says what keeps this user from making tables. Those in a schema that it
// may not use seem not to be there.
func mayMake(ctx context.Context, db *sql.DB, name string) error {
	var readOnly, there, may, mayUse bool
	err := db.QueryRowContext(ctx, `SELECT current_setting('transaction_read_only') = 'on', n.oid IS NOT NULL,
		CASE WHEN n.oid IS NULL THEN has_database_privilege(current_database(), 'CREATE') ELSE has_schema_privilege(n.oid, 'CREATE') END,
		n.oid IS NULL OR has_schema_privilege(n.oid, 'USAGE')
		FROM (SELECT $1::text AS name) s LEFT JOIN pg_namespace n ON n.nspname = s.name`, name).Scan(&readOnly, &there, &may, &mayUse)
	switch {
	case err != nil:
		return err
	case !mayUse:
		return fmt.Errorf("%w: it may not use the schema %s, which is there", errNoRight, name)
	case readOnly:
		return fmt.Errorf("%w, and there are no tables", errReadOnly)
	case may:
		return nil
	case there:
		return fmt.Errorf("%w: it may not make tables in the schema %s, which has none", errNoRight, name)
	}
	return fmt.Errorf("%w: it may not make the schema %s, which is not there", errNoRight, name)
}

// isPartitioned fails when there are no tables.
func isPartitioned(ctx context.Context, db *sql.DB) (partitioned bool, err error) {
	err = db.QueryRowContext(ctx, `SELECT relkind = 'p' FROM pg_class WHERE oid = 'access_tokens'::regclass`).Scan(&partitioned)
	return partitioned, err
}

// makeSchema makes the schema of the tables. Two that do it at once may both
// find it missing, and one of them then finds it taken.
func makeSchema(ctx context.Context, db *sql.DB, name string) error {
	var there bool
	err := db.QueryRowContext(ctx, `SELECT count(*) > 0 FROM pg_namespace WHERE nspname = $1`, name).Scan(&there)
	if err != nil || there {
		return err
	}
	_, err = db.ExecContext(ctx, `CREATE SCHEMA IF NOT EXISTS `+pgx.Identifier{name}.Sanitize())
	if code(err) == codeUniqueViolation {
		return nil
	}
	return err
}

// canPartition tries what the migrations need. YugabyteDB would pass, but lacks
// the lock under which a partition is dropped (its LOCK TABLE), without which
// nothing would ever go.
func canPartition(ctx context.Context, db *sql.DB) bool {
	var version string
	if err := db.QueryRowContext(ctx, `SELECT version()`).Scan(&version); err != nil || strings.Contains(version, "-YB-") {
		return false
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return false
	}
	defer func() { _ = tx.Rollback() }()
	_, err = tx.ExecContext(ctx, `CREATE TABLE gatehouse_trial (id bigint PRIMARY KEY) PARTITION BY RANGE (id)`)
	return err == nil
}

// migrateUp applies the migrations that are missing, and returns the number of
// the last that this version knows. A schema of a later version is fine as long
// as that says so.
func migrateUp(ctx context.Context, db *sql.DB, partition bool) (known int64, err error) {
	provider, err := newProvider(db, partition)
	if err != nil {
		return 0, err
	}
	current, known, err := provider.GetVersions(ctx)
	if err != nil {
		return 0, err
	}
	if current > known {
		var oldest int64
		if err := db.QueryRowContext(ctx, selectOldest).Scan(&oldest); err != nil {
			return known, err
		}
		return known, newer(current, oldest, known)
	}
	for attempt := 0; ; attempt++ {
		_, err = provider.Up(ctx) // goes on where it stopped
		if code(err) != codeDeadlock && code(err) != codeLockNotAvailable || attempt == maxAttempts {
			return known, err
		}
		select {
		case <-ctx.Done():
			return known, ctx.Err()
		case <-time.After(time.Second): // those that waited behind it go first
		}
	}
}

// selectOldest reads the lowest schema that a version may know and still serve.
const selectOldest = `SELECT oldest FROM compatibility WHERE id = 1`

// newer refuses a schema that this version cannot serve.
func newer(current, oldest, known int64) error {
	if known < oldest {
		return fmt.Errorf("was written by a newer Gatehouse (schema %d, which needs one that knows %d; this one knows %d)", current, oldest, known)
	}
	return nil
}

func newProvider(db *sql.DB, partition bool) (*goose.Provider, error) {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	locker, err := lock.NewPostgresTableLocker(lock.WithTableLockTimeout(500*time.Millisecond, 120))
	if err != nil {
		return nil, err
	}
	if partition {
		files = byTimeFS{files}
	}
	return goose.NewProvider(goose.DialectPostgres, db, files, goose.WithDisableGlobalRegistry(true), goose.WithLocker(locker))
}

// byTimeFS gives the migrations with tables that are partitioned.
type byTimeFS struct{ fs.FS }

// Open opens a migration.
func (f byTimeFS) Open(name string) (fs.File, error) {
	file, err := f.FS.Open(name)
	if err != nil || !strings.HasSuffix(name, ".sql") {
		return file, err
	}
	text, err := io.ReadAll(file)
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &replaced{file, strings.NewReader(strings.ReplaceAll(string(text), byTimeMark, `PARTITION BY RANGE (id)`))}, nil
}

// replaced is a file with another content.
type replaced struct {
	fs.File
	text *strings.Reader
}

// Read reads the content.
func (r *replaced) Read(p []byte) (int, error) { return r.text.Read(p) }
