package sqlite

import (
	"fmt"
	"strings"

	"github.com/gatehouse-auth/gatehouse/engine/store"
	"github.com/gatehouse-auth/gatehouse/engine/store/internal/archived"
)

// archivedTable is a table of an archive with its statements.
type archivedTable struct {
	*archived.Table

	list    string // the rows of service ?1, or of all when it is 0
	find    string // the row with this key
	insert  string // of a row with these columns
	remove  string // of the row with this key
	changed string // the rows that changed reads the keys of
}

// archivedTables are in the order of an archive.
var archivedTables = func() (tables []archivedTable) {
	for i := range archived.Tables {
		tables = append(tables, newArchivedTable(&archived.Tables[i]))
	}
	return tables
}()

func newArchivedTable(from *archived.Table) archivedTable {
	columns := from.Columns()
	places := make([]string, len(columns))
	for i := range columns {
		places[i] = fmt.Sprintf("?%d", i+1)
	}
	joins := make([]string, len(from.Key))
	for i, column := range from.Key {
		joins[i] = fmt.Sprintf("t.%s = j.k%d", column, i+1)
	}
	return archivedTable{
		Table:   from,
		list:    from.List("?1"),
		find:    from.Find("?"),
		insert:  fmt.Sprintf("INSERT INTO %s (%s) VALUES (%s)", from.Name, strings.Join(columns, ", "), strings.Join(places, ", ")),
		remove:  fmt.Sprintf("DELETE FROM %s WHERE %s", from.Name, from.Named("?")),
		changed: from.From("("+changed+") j CROSS JOIN "+from.Name+" t") + " ON " + strings.Join(joins, " AND "),
	}
}

// each calls f with what is scanned.
func (t *archivedTable) each(f func(store.Row) error) func(row) error {
	return func(r row) error {
		scanned, err := t.Scan(r)
		if err != nil {
			return fmt.Errorf("%s: %w", t.Name, err)
		}
		return f(scanned)
	}
}

// row is an archived.Row.

func (r row) Int(i int) int64   { return r.int(i) }
func (r row) Bool(i int) bool   { return r.int(i) != 0 }
func (r row) Text(i int) string { return r.text(i) }
func (r row) Blob(i int) []byte { return r.blob(i) }
func (r row) Null(i int) bool   { return r[i] == nil }

var _ archived.Row = row(nil)
