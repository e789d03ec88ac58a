package archive

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"

	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// Reader reads a file. It is for one goroutine.
type Reader struct {
	// Header is the file's.
	Header Header

	lines *bufio.Scanner
	sum   hash.Hash
	line  int64
	kind  int // the place of the last row's kind in the order
	rows  *checker
	ended bool
}

// NewReader reads the header. The error is ErrFormat, ErrNewer or from's.
func NewReader(from io.Reader) (*Reader, error) {
	r := &Reader{lines: bufio.NewScanner(from), sum: sha256.New(), rows: newChecker()}
	r.lines.Buffer(make([]byte, 64<<10), maxLine+1)
	text, err := r.next()
	if err != nil {
		return nil, err
	}
	var any struct {
		Gatehouse string `json:"gatehouse"`
		Version   int    `json:"version"`
	}
	if json.Unmarshal(text, &any) != nil || any.Gatehouse != headerName || any.Version < 1 {
		return nil, r.wrong("no header")
	}
	if any.Version > Version {
		return nil, fmt.Errorf("%w: format %d, this one reads up to %d", ErrNewer, any.Version, Version)
	}
	if err := strict(text, &r.Header); err != nil {
		return nil, r.wrong("the header: %v", err)
	}
	r.count(text)
	return r, nil
}

// Next reads a row. The error is io.EOF behind the last one, when the file has
// shown to be whole, or as for NewReader.
func (r *Reader) Next() (store.Row, error) {
	if r.ended {
		return nil, io.EOF
	}
	text, err := r.next()
	if err != nil {
		return nil, err
	}
	var members map[store.Kind]json.RawMessage
	if err := json.Unmarshal(text, &members); err != nil || len(members) != 1 {
		return nil, r.wrong("not an object with one member")
	}
	for kind, value := range members {
		if kind == footerName {
			return nil, r.end(value)
		}
		row, err := r.row(kind, value)
		if err != nil {
			return nil, err
		}
		r.count(text)
		return row, nil
	}
	return nil, io.EOF // there was one member
}

func (r *Reader) row(kind store.Kind, value []byte) (store.Row, error) {
	at := slices.Index(store.Kinds(), kind)
	if at < r.kind {
		return nil, r.wrong("%q is not a row that can stand here", kind)
	}
	r.kind = at
	row, err := decoders[kind](value)
	if err != nil {
		return nil, r.wrong("%s: %v", kind, err)
	}
	if err := r.rows.check(row); err != nil {
		return nil, fmt.Errorf("line %d: %w", r.line, err)
	}
	return row, nil
}

// end compares what was read with what was written.
func (r *Reader) end(value []byte) error {
	var end footer
	if err := strict(value, &end); err != nil {
		return r.wrong("the end: %v", err)
	}
	if rows := r.line - 2; end.Rows != rows {
		return r.wrong("it was changed: it had %d rows and has %d", end.Rows, rows)
	}
	if !bytes.Equal(end.SHA256[:], r.sum.Sum(nil)) {
		return r.wrong("it was changed: its checksum is another")
	}
	if r.lines.Scan() {
		return r.wrong("something follows its end")
	}
	if err := r.lines.Err(); err != nil {
		return err
	}
	r.ended = true
	return io.EOF
}

// next reads a line.
func (r *Reader) next() ([]byte, error) {
	r.line++
	if r.lines.Scan() {
		return r.lines.Bytes(), nil
	}
	if err := r.lines.Err(); errors.Is(err, bufio.ErrTooLong) {
		return nil, r.wrong("longer than %d bytes", maxLine)
	} else if err != nil {
		return nil, err
	}
	return nil, r.wrong("the file ends before its end: it was cut off")
}

// count adds a line to the checksum.
func (r *Reader) count(line []byte) {
	r.sum.Write(line)
	r.sum.Write([]byte{'\n'})
}

func (r *Reader) wrong(format string, args ...any) error {
	return fmt.Errorf("line %d: %s: %w", r.line, fmt.Sprintf(format, args...), ErrFormat)
}

// strict reads one JSON value that has no member which is not known.
func strict(text []byte, to any) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(to); err != nil {
		return err
	}
	if decoder.More() {
		return errors.New("more than one value")
	}
	return nil
}
