package archive

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"time"

	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// Writer writes a file. It is for one goroutine.
type Writer struct {
	to   *bufio.Writer
	sum  hash.Hash
	line bytes.Buffer
	rows int64
}

// NewWriter writes the header.
func NewWriter(to io.Writer, issuer string, tokens bool, created time.Time) (*Writer, error) {
	w := &Writer{to: bufio.NewWriterSize(to, 64<<10), sum: sha256.New()}
	return w, w.write("", Header{Gatehouse: headerName, Version: Version, Created: created.UTC().Truncate(time.Second), Issuer: issuer, Tokens: tokens})
}

// Write writes a row. Rows come in the order of store.Kinds.
func (w *Writer) Write(row store.Row) error {
	w.rows++
	return w.write(string(store.KindOf(row)), lineOf(row))
}

// Close writes the end, without which the file is none.
func (w *Writer) Close() error {
	end := footer{Rows: w.rows}
	w.sum.Sum(end.SHA256[:0])
	if err := w.write(footerName, end); err != nil {
		return err
	}
	return w.to.Flush()
}

// write writes a value as the only member of an object, or as the object.
func (w *Writer) write(name string, value any) error {
	w.line.Reset()
	if name != "" {
		fmt.Fprintf(&w.line, `{"%s":`, name)
	}
	encoder := json.NewEncoder(&w.line)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return err
	}
	if name != "" {
		w.line.Truncate(w.line.Len() - 1) // the encoder's end of line
		w.line.WriteString("}\n")
	}
	if w.line.Len() > maxLine {
		return fmt.Errorf("a row of the kind %s takes %d bytes, more than %d", name, w.line.Len(), maxLine)
	}
	w.sum.Write(w.line.Bytes())
	_, err := w.to.Write(w.line.Bytes())
	return err
}
