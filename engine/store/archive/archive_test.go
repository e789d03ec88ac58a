package archive_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
	"github.com/gatehouse-auth/gatehouse/engine/store/archive"
	"github.com/gatehouse-auth/gatehouse/engine/store/sqlite"
	"github.com/gatehouse-auth/gatehouse/engine/store/storetest"
)

// before is when no row of storetest.EveryRow has expired.
var before = time.Unix(1, 0)

func emptyStore(t testing.TB) store.Store {
	t.Helper()
	s, err := sqlite.Open(context.Background(), sqlite.Options{Path: filepath.Join(t.TempDir(), "gatehouse.db"), SweepInterval: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func put(t testing.TB, s store.Store, rows ...store.Row) {
	t.Helper()
	if err := s.PutRows(context.Background(), rows); err != nil {
		t.Fatal(err)
	}
}

func rowsOf(t testing.TB, s store.Archive) (rows []store.Row) {
	t.Helper()
	if err := s.Rows(context.Background(), 0, func(row store.Row) error { rows = append(rows, row); return nil }); err != nil {
		t.Fatal(err)
	}
	return rows
}

// written is a file of these rows.
func written(t testing.TB, rows ...store.Row) string {
	t.Helper()
	var file bytes.Buffer
	w, err := archive.NewWriter(&file, "", true, before)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		if err := w.Write(row); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return file.String()
}

// read reads a file to its end.
func read(file string) (rows []store.Row, err error) {
	r, err := archive.NewReader(strings.NewReader(file))
	for err == nil {
		var row store.Row
		if row, err = r.Next(); err == nil {
			rows = append(rows, row)
		}
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return rows, err
}

// Every member of every row is in the file, as it was, and bytes that JSON would
// rather write otherwise too.
func TestRoundTrip(t *testing.T) {
	rows := storetest.EveryRow(7)
	rows = append(rows[:2], append([]store.Row{store.SecretRow{Name: "root <&>", Sealed: []byte{0, 255}}}, rows[2:]...)...)
	rows = append(rows,
		store.UsedValueRow{Service: 7, ExpiresAt: 1})
	got, err := read(written(t, rows...))
	if diff := cmp.Diff(rows, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	bare := []store.Row{
		rows[0],
		store.AccessTokenRow{Token: model.AccessToken{Service: 7, ID: 1, Grant: 1, JWT: true}},
		store.AccessTokenRow{Token: model.AccessToken{Service: 7, ID: 2, Grant: 1, Scopes: []string{}, Resources: []string{}}},
	}
	got, err = read(written(t, bare...))
	if diff := cmp.Diff(bare, got); err != nil || diff != "" {
		t.Errorf("what is empty and what is not there: %v (-want +got):\n%s", err, diff)
	}
}

// The format: what version 1 wrote is read for ever.
func TestFormat(t *testing.T) {
	const file = `{"gatehouse":"export","version":1,"created":"1970-01-01T00:00:01Z","tokens":true}
{"service":{"id":7,"issuer":"https://as.example"}}
{"client":{"service":7,"id":3,"alias":"app"}}
{"grant":{"service":7,"id":5,"client":3,"scopes":["a"],"expires_at":9}}
{"access_token":{"service":7,"id":6,"grant":5,"hash":"AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","expires_at":9}}
{"end":{"rows":4,"sha256":"SwfCriVmPPEWFM5APsBdOL1g4s44-UoxsXQL1RPT-ms"}}
`
	rows := []store.Row{
		store.ServiceRow{ID: 7, Issuer: "https://as.example"}, store.ClientRow{Service: 7, ID: 3, Alias: "app"},
		store.GrantRow{Grant: model.Grant{Service: 7, ID: 5, Client: 3, Scopes: []string{"a"}, ExpiresAt: 9}},
		store.AccessTokenRow{Token: model.AccessToken{Service: 7, ID: 6, Grant: 5, Hash: [32]byte{1}, ExpiresAt: 9}},
	}
	if diff := cmp.Diff(file, written(t, rows...)); diff != "" {
		t.Errorf("written (-want +got):\n%s", diff)
	}
	got, err := read(file)
	if diff := cmp.Diff(rows, got); err != nil || diff != "" {
		t.Errorf("read: %v (-want +got):\n%s", err, diff)
	}
}

// manySecrets is so many secrets of a whole store, of so many bytes.
func manySecrets(n, size int) (rows []store.Row) {
	for i := range n {
		rows = append(rows, store.SecretRow{Name: fmt.Sprint(i), Sealed: make([]byte, size)})
	}
	return rows
}

// A file that was cut, changed, put together or written by somebody else is
// refused, and says where. So is one that would harm the store (SQLite, "The
// AUTOINCREMENT keyword": behind the highest id there is none for another).
func TestRefusedFiles(t *testing.T) {
	whole := written(t, storetest.EveryRow(7)...)
	lines := strings.SplitAfter(whole, "\n")
	without := func(i int) string { return strings.Join(lines[:i], "") + strings.Join(lines[i+1:], "") }
	end := lines[len(lines)-2]
	for name, file := range map[string]string{
		"empty":                 "",
		"no header":             without(0),
		"another program's":     `{"version":1}` + "\n" + end,
		"no JSON":               "SQLite format 3\x00",
		"no end":                strings.TrimSuffix(whole, end),
		"cut in a line":         whole[:len(whole)/2],
		"a row is missing":      without(4),
		"a row is there twice":  strings.Join(lines[:4], "") + lines[3] + strings.Join(lines[4:], ""),
		"rows out of order":     strings.Join(lines[:4], "") + lines[5] + lines[4] + strings.Join(lines[6:], ""),
		"a changed byte":        strings.Replace(whole, `"expires_at":3`, `"expires_at":4`, 1),
		"something behind":      whole + "\n",
		"a member too many":     strings.Replace(whole, `"alias":`, `"more":1,"alias":`, 1),
		"two members":           strings.Replace(whole, `{"client":`, `{"more":1,"client":`, 1),
		"an unknown kind":       strings.Replace(whole, `{"client":`, `{"customer":`, 1),
		"a row without an id":   strings.Replace(whole, `{"service":{"id":7,`, `{"service":{"id":-7,`, 1),
		"a service not there":   without(1),
		"a line without an end": lines[0] + strings.Repeat(" ", 9<<20),
		"a number for a text":   strings.Replace(whole, `"alias":"app"`, `"alias":7`, 1),
		"a loading service's":   written(t, store.ServiceRow{ID: 7, Issuer: "unfinished: https://a.example"}),
		"an endless issuer":     written(t, store.ServiceRow{ID: 7, Issuer: "https://a.example/" + strings.Repeat("a", 1<<10)}),
		"a service twice":       written(t, store.ServiceRow{ID: 7, Issuer: "https://a.example"}, store.ServiceRow{ID: 7, Issuer: "https://b.example"}),
		"an issuer twice":       written(t, store.ServiceRow{ID: 7, Issuer: "https://a.example"}, store.ServiceRow{ID: 8, Issuer: "https://a.example"}),
		"a service's last id":   written(t, store.ServiceRow{ID: 1<<63 - 1, Issuer: "https://a.example"}),
		"a client's last id":    written(t, store.ServiceRow{ID: 7, Issuer: "https://a.example"}, store.ClientRow{Service: 7, ID: 1<<63 - 1, Alias: "app"}),
		"many secrets":          written(t, manySecrets(17, 1)...),
		"an endless secret":     written(t, manySecrets(1, 1<<17)...),
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := read(file); !errors.Is(err, archive.ErrFormat) || !strings.Contains(err.Error(), "line ") {
				t.Errorf("error %v", err)
			}
			if _, err := archive.Verify(strings.NewReader(file)); !errors.Is(err, archive.ErrFormat) {
				t.Errorf("Verify: %v", err)
			}
		})
	}
	for file, want := range map[string]string{
		strings.Replace(whole, `"expires_at":3`, `"expires_at":4`, 1): "it was changed: its checksum is another",
		without(len(lines) - 3): fmt.Sprintf("it was changed: it had %d rows and has %d", len(lines)-3, len(lines)-4),
	} {
		if _, err := read(file); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	newer := strings.Replace(whole, `"version":1`, `"version":2,"more":true`, 1)
	if _, err := read(newer); !errors.Is(err, archive.ErrNewer) {
		t.Errorf("a newer file: %v", err)
	}
}

// A reader meets any bytes without a panic, and takes none for whole that a
// writer would not write again with the same rows.
func FuzzReader(f *testing.F) {
	f.Add(written(f, storetest.EveryRow(7)...))
	f.Add(written(f))
	f.Fuzz(func(t *testing.T, file string) {
		rows, err := read(file)
		if err != nil {
			return
		}
		again, err := read(written(t, rows...))
		if diff := cmp.Diff(rows, again); err != nil || diff != "" {
			t.Errorf("%v (-first +again):\n%s", err, diff)
		}
	})
}
