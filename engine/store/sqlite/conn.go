package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"net/url"
	"path/filepath"
	"strings"

	modernc "modernc.org/sqlite"

	"github.com/gatehouse-auth/gatehouse/engine/store/internal/column"
)

// conn is one connection to the database with its prepared statements. It
// speaks to the driver itself: database/sql costs as much as SQLite does for
// statements as small as these. One goroutine uses it at a time.
type conn struct {
	raw   driver.Conn
	stmts map[string]stmt
	args  []driver.NamedValue
	dest  []driver.Value
}

// stmt is what the driver's prepared statements can do.
type stmt interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

// dsn is the address of a database file for the driver. pragmas are given as
// name(value) and run in order when a connection opens.
func dsn(path string, pragmas ...string) string {
	path = filepath.ToSlash(path)
	if !strings.HasPrefix(path, "/") {
		path = "/" + path // a drive letter
	}
	query := url.Values{"_pragma": pragmas, "_dqs": {"0"}, "_error_rc": {"1"}}
	return (&url.URL{Scheme: "file", Path: path, RawQuery: query.Encode()}).String()
}

// open opens a connection.
func open(dsn string) (*conn, error) {
	connector, err := modernc.NewConnector(dsn)
	if err != nil {
		return nil, err
	}
	raw, err := connector.Connect(context.Background())
	if err != nil {
		return nil, err
	}
	return &conn{raw: raw, stmts: map[string]stmt{}}, nil
}

// close finalizes the statements and closes the connection.
func (c *conn) close() error {
	for _, s := range c.stmts {
		_ = s.Close() // repeats the statement's last error
	}
	return c.raw.Close()
}

// prepare returns the prepared statement of a query; queries are constants.
func (c *conn) prepare(query string) (stmt, error) {
	if s, ok := c.stmts[query]; ok {
		return s, nil
	}
	prepared, err := c.raw.Prepare(query)
	if err != nil {
		return nil, err
	}
	s, ok := prepared.(stmt)
	if !ok {
		_ = prepared.Close()
		return nil, errors.New("the SQLite driver's statements lack a method")
	}
	c.stmts[query] = s
	return s, nil
}

// bind puts arguments into the form that the driver takes. The slice is good
// until the next call.
func (c *conn) bind(args []any) []driver.NamedValue {
	c.args = c.args[:0]
	for i, arg := range args {
		c.args = append(c.args, driver.NamedValue{Ordinal: i + 1, Value: arg})
	}
	return c.args
}

// exec runs a statement that gives no rows. Arguments are int64, string,
// []byte, bool or nil.
//
// The context of a caller never comes this far: the driver would start a
// goroutine for it, for statements that take microseconds.
func (c *conn) exec(query string, args ...any) (driver.Result, error) {
	s, err := c.prepare(query)
	if err != nil {
		return nil, err
	}
	return s.ExecContext(context.Background(), c.bind(args))
}

// affected runs a statement and reports how many rows it changed.
func (c *conn) affected(query string, args ...any) (int64, error) {
	result, err := c.exec(query, args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// query runs a statement and calls f for each of its rows. The row is f's
// until it returns.
func (c *conn) query(f func(row row) error, query string, args ...any) (err error) {
	s, err := c.prepare(query)
	if err != nil {
		return err
	}
	rows, err := s.QueryContext(context.Background(), c.bind(args))
	if err != nil {
		return err
	}
	defer func() {
		if e := rows.Close(); err == nil {
			err = e
		}
	}()
	n := len(rows.Columns())
	if cap(c.dest) < n {
		c.dest = make([]driver.Value, n)
	}
	dest := c.dest[:n]
	for {
		if err := rows.Next(dest); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if err := f(dest); err != nil {
			return err
		}
	}
}

// row is one row of a result. Its methods give the zero value for NULL.
type row []driver.Value

func (r row) int(i int) int64 {
	v, _ := r[i].(int64)
	return v
}

func (r row) text(i int) string {
	v, _ := r[i].(string)
	return v
}

func (r row) blob(i int) []byte {
	v, _ := r[i].([]byte)
	return v
}

// hash reads a SHA-256 value.
func (r row) hash(i int) ([32]byte, error) { return column.Hash(r.blob(i)) }
