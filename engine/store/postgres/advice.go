package postgres

import (
	"context"
	"errors"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// What keeps a start from making tables, in the words of reason.
var (
	errReadOnly = errors.New("the database can only be read")
	errNoRight  = errors.New("the database user lacks a right")
)

// Advice says what to do about an error of the database. It is empty for other
// errors.
func Advice(err error) string {
	var unconnected *pgconn.ConnectError
	switch c := code(err); {
	case c == codeReadOnly, errors.Is(err, errReadOnly):
		return "name the primary, which target_session_attrs=read-write finds among several hosts, or turn default_transaction_read_only off"
	case c == codeNoRight, errors.Is(err, errNoRight):
		return "let the user own the database, or the schema and all that is in it"
	case isSlow(err):
		return "see in pg_stat_activity what is slow, or holds a lock"
	case c == codeDiskFull:
		return "make room: without it nothing can be written"
	case strings.HasPrefix(c, "53"):
		return "raise max_connections, or let nodes open fewer (readers, writers)"
	case c == codeProtocol:
		return "name the database itself in the connection string, or a pooler in session mode"
	case strings.HasPrefix(c, "57P"), strings.HasPrefix(c, "08"):
		return "see the database's log, and try again when it runs"
	case strings.HasPrefix(c, "28"):
		return "see the user and the password in the connection string, and pg_hba.conf of the database"
	case c == "3D000":
		return "make it, or see its name in the connection string"
	case !errors.As(err, &unconnected) && !errors.Is(err, context.DeadlineExceeded):
		return ""
	case strings.Contains(err.Error(), "tls error: "): // the driver has no type for it
		return "see sslmode in the connection string, and the certificate of the database"
	}
	return "see whether the database runs, and its host and port in the connection string"
}
