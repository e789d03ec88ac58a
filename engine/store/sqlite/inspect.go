package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	modernc "modernc.org/sqlite"

	"github.com/gatehouse-auth/gatehouse/engine/store"
)

const (
	// checkTime bounds the check of the whole file. 1 GiB takes a few seconds.
	checkTime = 20 * time.Second
	// countLimit bounds the rows of a table that are counted.
	countLimit = 100_000
	// wideLog is a write-ahead log that a checkpoint should have emptied long
	// before: writers begin one at 16 MiB.
	wideLog = 1 << 30
	// Free space: where it gets scarce, and where the log finds no room any more.
	lowSpace, noSpace = 1 << 30, 64 << 20
	// sweptWithin is how old a row of the feed may get when something sweeps.
	sweptWithin = 24 * time.Hour
)

// recognize fails unless the file is a Gatehouse database. One without tables is
// as good as none: whoever made it has got no further.
func (s *Store) recognize(ctx context.Context) error {
	if !s.opts.AsIs { // claim has seen to it
		return nil
	}
	return s.reads.one(ctx, func(r row) error {
		switch id, tables := r.int(0), r.int(1); {
		case tables == 0 && (id == 0 || id == applicationID):
			return &fs.PathError{Op: "open", Path: s.opts.Path, Err: fs.ErrNotExist}
		case id != applicationID:
			return errForeign
		}
		return nil
	}, `SELECT (SELECT application_id FROM pragma_application_id), (SELECT count(*) FROM sqlite_schema)`)
}

// Inspect says how the file is. It changes nothing, and stops no one but for the
// moment in which it holds the lock for writing.
func (s *Store) Inspect(ctx context.Context) ([]store.Finding, error) {
	connector, err := modernc.NewConnector(dsn(s.opts.Path, busyTimeout(s.opts.BusyTimeout), "query_only(1)"))
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(1)
	defer db.Close()
	i := &inspection{ctx: ctx, db: db, path: s.opts.Path, now: s.opts.Now()}
	for _, look := range []func(){i.schema, i.journal, func() { i.writing(s.writer) }, i.migrating, i.size, i.permissions, i.move, i.rows, i.swept, i.check} {
		if err := ctx.Err(); err != nil {
			return i.findings, err
		}
		look()
	}
	return i.findings, ctx.Err()
}

// inspection gathers findings.
type inspection struct {
	ctx      context.Context
	db       *sql.DB
	path     string
	now      time.Time
	findings []store.Finding
}

func (i *inspection) found(name, value, advice string, failing bool) {
	i.findings = append(i.findings, store.Finding{Name: name, Value: value, Advice: advice, Failing: failing && advice != ""})
}

// ask runs a query for one value. What cannot be read is a finding.
func (i *inspection) ask(name, query string, to ...any) bool {
	err := i.db.QueryRowContext(i.ctx, query).Scan(to...)
	if err != nil {
		i.found(name, fmt.Sprintf("%s: %v", reason(err), err), cmp.Or(Advice(err), "see whether the file is whole and can be read"), true)
	}
	return err == nil
}

func (i *inspection) schema() {
	provider, err := newProvider(i.db)
	if err != nil {
		i.found("schema", err.Error(), "this program is not whole", true)
		return
	}
	sources := provider.ListSources()
	known := sources[len(sources)-1].Version
	var current int64
	if !i.ask("schema", `SELECT coalesce(max(version_id), 0) FROM goose_db_version WHERE is_applied`, &current) {
		return
	}
	advice := ""
	switch {
	case current > known:
		advice = "a newer Gatehouse wrote it: run that"
	case current < known:
		advice = "the next start of this version migrates it; make a backup first"
	}
	i.found("schema", fmt.Sprintf("%d, this program knows %d", current, known), advice, current >= known)
}

func (i *inspection) journal() {
	var mode string
	if !i.ask("journal", "PRAGMA journal_mode", &mode) {
		return
	}
	advice := ""
	if mode != "wal" {
		advice = "it must be wal: the next start sets it, unless the file system cannot do it"
	}
	i.found("journal", mode, advice, false)
}

// writing opens a connection as the writer's is, and sees whether it gets the
// lock, and how durable a commit would be. It writes nothing.
func (i *inspection) writing(w *writer) {
	var level int64
	start := time.Now()
	err := holdLock(w.dsn(), w.wait, func(c *conn) error {
		return c.query(func(r row) error {
			level = r.int(0)
			return nil
		}, "PRAGMA synchronous")
	})
	took := time.Since(start)
	switch {
	case err != nil:
		i.found("write lock", reason(err), cmp.Or(Advice(err), "see whether the file can be written"), true)
		return
	case took > time.Second:
		i.found("write lock", "free after "+took.Round(time.Millisecond).String(), "something else writes for long", false)
	default:
		i.found("write lock", "free", "", false)
	}
	advice := ""
	if level < 2 {
		advice = "commits would not outlive a power cut: this program is not whole"
	}
	i.found("synchronous", map[int64]string{0: "off", 1: "normal", 2: "full", 3: "extra"}[level], advice, true)
}

// holdLock runs f with the lock for writing.
func holdLock(address string, wait time.Duration, f func(*conn) error) (err error) {
	c, err := open(address)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	if _, err := c.exec("PRAGMA query_only = 0"); err != nil { // of a store that is open as it is
		return err
	}
	if err := beginImmediate(func(query string) error { _, err := c.exec(query); return err }, wait); err != nil {
		return err
	}
	if err = c.tryWrite(); err == nil {
		err = f(c)
	}
	_, e := c.exec("ROLLBACK")
	return errors.Join(err, e)
}

// tryWrite fails as a write would, and changes nothing: rows count from 1. Of a file
// that may only be read, BEGIN IMMEDIATE makes a transaction that reads, without a
// word.
func (c *conn) tryWrite() error {
	_, err := c.exec("DELETE FROM goose_db_version WHERE id = 0")
	return err
}

// migrating looks whether a process is changing the schema at the moment.
func (i *inspection) migrating() {
	path := i.path + "-lock"
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		i.found("migration lock", "free", "", false)
		return
	}
	c, err := open(dsn(path, busyTimeout(0), "query_only(1)"))
	if err == nil {
		err = errors.Join(c.query(func(row) error { return nil }, "SELECT count(*) FROM sqlite_schema"), c.close())
	}
	switch {
	case err == nil:
		i.found("migration lock", "free", "", false)
	case isBusy(err):
		i.found("migration lock", "held", "another process is migrating the schema: wait for it", false)
	default:
		i.found("migration lock", reason(err), "see whether "+path+" can be read and written", true)
	}
}

// size looks at the files, and at the room that is left for them.
func (i *inspection) size() {
	file, log := fileSize(i.path), fileSize(i.path+"-wal")
	advice := ""
	if log > wideLog {
		advice = "something reads without an end, such as a backup that hangs, and the log cannot be emptied"
	}
	i.found("size", fmt.Sprintf("%s, and %s of write-ahead log", mebibytes(file), mebibytes(log)), advice, false)
	if free, ok := freeSpace(filepath.Dir(i.path)); ok {
		i.findings = append(i.findings, disk(free))
	}
}

func disk(free uint64) store.Finding {
	f := store.Finding{Name: "disk", Value: mebibytes(free) + " free"}
	if free < lowSpace {
		f.Advice, f.Failing = "make room: without it nothing can be written", free < noSpace
	}
	return f
}

func fileSize(path string) uint64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return uint64(info.Size())
}

func mebibytes(n uint64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }

// permissions looks who else can read the files.
func (i *inspection) permissions() {
	if runtime.GOOS == "windows" {
		return
	}
	for _, suffix := range []string{"", "-wal", "-shm"} {
		info, err := os.Stat(i.path + suffix)
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			i.found("permissions", fmt.Sprintf("%s has mode %04o", i.path+suffix, info.Mode().Perm()), "run chmod 600 on it", false)
			return
		}
	}
	i.found("permissions", "for the owner alone", "", false)
}

// move looks for what a move has left: the refusal of every write, which a backup
// has too, or a journal, which grows with every write.
func (i *inspection) move() {
	var refusing, journals, changes int64
	if !i.ask("move", `SELECT count(*) FILTER (WHERE name GLOB '`+refusals+`'), count(*) FILTER (WHERE name = 'move_journal') FROM sqlite_schema`, &refusing, &journals) {
		return
	}
	switch {
	case refusing > 0:
		i.findings = append(i.findings, *movedFinding())
	case journals == 0:
		i.found("move", "none has begun", "", false)
	case i.ask("move", `SELECT coalesce(max(seq), 1) - 1 FROM move_journal`, &changes): // the first says whose it is
		i.found("move", fmt.Sprintf("one has begun, and %d changes are noted", changes),
			"unless one runs, run move again or caddy gatehouse move --cancel: the file grows with every change", false)
	}
}

// rows counts, so far as that is cheap.
func (i *inspection) rows() {
	var counts []string
	for _, table := range []string{"services", "clients", "stored_clients", "accounts", "sessions", "grants", "access_tokens", "refresh_tokens", "handles"} {
		var n int64
		if !i.ask("rows", fmt.Sprintf(`SELECT count(*) FROM (SELECT 1 FROM %s LIMIT %d)`, table, countLimit+1), &n) {
			return
		}
		count := fmt.Sprint(n)
		if n > countLimit {
			count = fmt.Sprintf("over %d", countLimit)
		}
		counts = append(counts, count+" "+strings.ReplaceAll(table, "_", " "))
	}
	i.found("rows", strings.Join(counts, ", "), "", false)
}

// swept tells by the feed, whose rows stay for an hour, whether what has expired
// is being removed.
func (i *inspection) swept() {
	var oldest sql.NullInt64
	if !i.ask("sweeping", `SELECT (SELECT at FROM changes ORDER BY seq LIMIT 1)`, &oldest) {
		return
	}
	if !oldest.Valid {
		i.found("sweeping", "the feed is empty", "", false)
		return
	}
	age, advice := i.now.Sub(time.Unix(oldest.Int64, 0)), ""
	if age > sweptWithin {
		advice = "nothing removes what has expired: a server has to run, and be given time after a pause"
	}
	i.found("sweeping", "the oldest row of the feed is from "+age.Round(time.Second).String()+" ago", advice, false)
}

// check reads the whole file, for as long as it may take.
func (i *inspection) check() {
	ctx, cancel := context.WithTimeout(i.ctx, checkTime)
	defer cancel()
	var result string
	err := i.db.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&result)
	switch {
	case err != nil && ctx.Err() != nil:
		i.found("integrity", fmt.Sprintf("nothing wrong within %s, in which not all was read", checkTime), "", false)
	case err != nil:
		i.found("integrity", reason(err), "restore a backup", true)
	case result != "ok":
		i.found("integrity", result, "restore a backup", true)
	default:
		i.found("integrity", "ok", "", false)
	}
}
