package sqlite

import (
	"errors"
	"fmt"

	modernc "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/gatehouse-auth/gatehouse/engine/store"
)

var (
	errClosed = fmt.Errorf("closed: %w", store.ErrUnavailable)
	errFull   = fmt.Errorf("too many writes wait: %w", store.ErrUnavailable)
)

// code is the driver's extended result code, or 0 for errors of other origin.
func code(err error) int {
	var e *modernc.Error
	if errors.As(err, &e) {
		return e.Code()
	}
	return 0
}

// isBusy reports whether another connection's lock was in the way.
func isBusy(err error) bool {
	primary := code(err) & 0xff
	return primary == sqlite3.SQLITE_BUSY || primary == sqlite3.SQLITE_LOCKED
}

// isConflict reports whether a unique key is taken.
func isConflict(err error) bool {
	switch code(err) {
	case sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_ROWID:
		return true
	}
	return false
}

// isFault reports whether an error is the statement's own, which leaves the
// transaction as it was, rather than the database's. A trigger is not the
// statement: those that refuse do so after a move.
func isFault(err error) bool {
	if code(err) == sqlite3.SQLITE_CONSTRAINT_TRIGGER {
		return false
	}
	switch code(err) & 0xff {
	case sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_RANGE:
		return true
	}
	return false
}

// unavailable marks an error of the database as one to try again after.
func unavailable(err error) error {
	if errors.Is(err, store.ErrUnavailable) {
		return err
	}
	return fmt.Errorf("%s: %w: %w", reason(err), store.ErrUnavailable, err)
}

// reason says in words what an error of the database means to an operator.
func reason(err error) string {
	if code(err) == sqlite3.SQLITE_CONSTRAINT_TRIGGER {
		return "the database has moved to another store, which the configuration must name"
	}
	switch code(err) & 0xff {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return "the database is locked by another process"
	case sqlite3.SQLITE_FULL:
		return "the disk is full"
	case sqlite3.SQLITE_IOERR:
		return "the disk failed"
	case sqlite3.SQLITE_NOTADB:
		return "the file is not a database, or is damaged"
	case sqlite3.SQLITE_CORRUPT:
		return "the database file is damaged"
	case sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH:
		return "the database file cannot be opened"
	case sqlite3.SQLITE_READONLY:
		return "the database file cannot be written"
	}
	return "the database does not answer"
}
