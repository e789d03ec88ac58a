package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/gatehouse-auth/gatehouse/engine/store"
	"github.com/gatehouse-auth/gatehouse/engine/store/internal/column"
)

var errClosed = fmt.Errorf("closed: %w", store.ErrUnavailable)

// The codes of errors that are told apart (PostgreSQL, Appendix A).
const (
	codeUniqueViolation  = "23505"
	codeCheckViolation   = "23514"
	codeSerialization    = "40001"
	codeUnknownOutcome   = "40003" // CockroachDB's, of a commit
	codeDeadlock         = "40P01"
	codeUndefinedTable   = "42P01"
	codeDuplicateTable   = "42P07"
	codeInvalidObject    = "42P17" // of a partition: it would overlap another
	codeLockNotAvailable = "55P03"
	codeQueryCanceled    = "57014"
	codeReadOnly         = "25006"
	codeDiskFull         = "53100"
	codeProtocol         = "08P01"
	codeNoRight          = "42501"
)

// code is the server's error code, or empty for errors of other origin.
func code(err error) string {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// isOutcome reports whether an error is the answer to a step, rather than a
// failure of the database.
func isOutcome(err error) bool {
	return errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrConflict) ||
		errors.Is(err, store.ErrSpent) || errors.Is(err, column.ErrMalformed)
}

// outcome names what the server has against a statement's values: a key that
// is taken, or what it cannot keep. Other errors are returned as they are.
func outcome(err error) error {
	switch c := code(err); {
	case c == codeUniqueViolation:
		return store.ErrConflict
	case strings.HasPrefix(c, "22"), strings.HasPrefix(c, "23"), strings.HasPrefix(c, "54"):
		return fmt.Errorf("%w: %w", column.ErrMalformed, err)
	}
	return err
}

// isTransient reports whether a transaction that failed so may succeed when it
// is repeated: it met another one, or a partition that has come or gone.
func isTransient(err error) bool {
	switch code(err) {
	case codeSerialization, codeDeadlock, codeUndefinedTable:
		return true
	}
	return false
}

// isSlow reports whether a statement took too long, by itself or by waiting.
func isSlow(err error) bool {
	return code(err) == codeQueryCanceled || code(err) == codeLockNotAvailable
}

// ofRow reports whether the server names the row for which a statement waited
// too long.
func ofRow(err error) bool {
	var e *pgconn.PgError
	return isSlow(err) && errors.As(err, &e) && e.Where != ""
}

// isLost reports whether an error leaves open what the server did. One with which
// the session ends does: a server that panics while it writes a commit may find the
// commit in its log when it starts again.
func isLost(err error) bool {
	var e *pgconn.PgError
	if errors.As(err, &e) && (e.SeverityUnlocalized == "FATAL" || e.SeverityUnlocalized == "PANIC") {
		return true
	}
	c := code(err)
	return c == "" || c == codeUnknownOutcome || strings.HasPrefix(c, "08") || strings.HasPrefix(c, "57P")
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
	switch c := code(err); {
	case isSlow(err), errors.Is(err, context.DeadlineExceeded):
		return "the database took too long"
	case c == codeReadOnly:
		return "the database can only be read"
	case c == codeDiskFull:
		return "the database's disk is full"
	case strings.HasPrefix(c, "53"):
		return "the database has too much to do"
	case c == codeProtocol:
		return "a pooler refuses the session's settings: connect directly, or through one in session mode"
	case strings.HasPrefix(c, "57P"), strings.HasPrefix(c, "08"):
		return "the database is shutting down or starting"
	case strings.HasPrefix(c, "28"):
		return "the database refuses the user or the password"
	case c == "3D000":
		return "there is no such database"
	case c == codeNoRight:
		return "the database user lacks a right"
	case errors.Is(err, io.ErrUnexpectedEOF):
		return "the connection to the database was lost"
	case c == "":
		return "the database does not answer"
	}
	return "the database refused"
}
