package postgres

import (
	"encoding/binary"

	"github.com/jackc/pgx/v5"

	"github.com/gatehouse-auth/gatehouse/engine/store/internal/column"
)

// row is one row of a result, in the binary format: columns are bigint,
// boolean, text or bytea. Its methods give the zero value for NULL.
type row [][]byte

// Null reports whether a column is NULL.
func (r row) Null(i int) bool { return r[i] == nil }

// copyRow takes a row out of the connection's buffer.
func copyRow(rows pgx.Rows) row {
	raw := rows.RawValues()
	size := 0
	for _, value := range raw {
		size += len(value)
	}
	r, buffer := make(row, len(raw)), make([]byte, 0, size)
	for i, value := range raw {
		if value == nil {
			continue
		}
		start := len(buffer)
		buffer = append(buffer, value...)
		r[i] = buffer[start:len(buffer):len(buffer)]
	}
	return r
}

// Int is a bigint.
func (r row) Int(i int) int64 {
	if len(r[i]) != 8 {
		return 0
	}
	return int64(binary.BigEndian.Uint64(r[i]))
}

// Bool is a boolean.
func (r row) Bool(i int) bool { return len(r[i]) == 1 && r[i][0] == 1 }

// Text is a text.
func (r row) Text(i int) string { return string(r[i]) }

// Blob is a bytea.
func (r row) Blob(i int) []byte { return r[i] }

// hash reads a SHA-256 value.
func (r row) hash(i int) ([32]byte, error) { return column.Hash(r[i]) }
