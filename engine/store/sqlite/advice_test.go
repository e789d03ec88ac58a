package sqlite

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// What keeps a file from being opened is told together with what to do about it.
func TestAdvice(t *testing.T) {
	overwrite := func(t *testing.T, path string, at int64, what []byte) {
		t.Helper()
		file, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err == nil {
			_, err = file.WriteAt(what, at)
		}
		succeed(t, errors.Join(err, file.Close()))
	}
	for name, test := range map[string]struct {
		advice string
		spoil  func(t *testing.T, path string)
	}{
		"a header that is damaged": {"restore a backup", func(t *testing.T, path string) { overwrite(t, path, 0, make([]byte, 16)) }},
		"a schema that is damaged": {"restore a backup", func(t *testing.T, path string) { overwrite(t, path, 100, make([]byte, 8)) }},
		"a file that was cut":      {"restore a backup", func(t *testing.T, path string) { succeed(t, os.Truncate(path, 2*4096)) }},
		"no database":              {"restore a backup", func(t *testing.T, path string) { overwrite(t, path, 0, []byte(strings.Repeat("no database. ", 10))) }},
		"another program's": {"name another file", func(t *testing.T, path string) {
			succeed(t, os.Remove(path))
			c := openRaw(t, path)
			must(t, c, "CREATE TABLE bookmarks (url TEXT)")
			succeed(t, c.close())
		}},
		"another program's, by its header": {"name another file", func(t *testing.T, path string) {
			c := openRaw(t, path)
			must(t, c, "PRAGMA application_id = 1")
			succeed(t, c.close())
		}},
	} {
		t.Run(name, func(t *testing.T) {
			path := dbPath(t)
			s, _ := openAt(t, path, nil)
			succeed(t, s.Close())
			test.spoil(t, path)
			s, err := Open(context.Background(), Options{Path: path, AsIs: true})
			if err == nil {
				_ = s.Close()
			}
			if advice := Advice(err); !strings.Contains(advice, test.advice) {
				t.Errorf("%v: advice %q", err, advice)
			}
		})
	}
	if advice := Advice(store.ErrNotFound); advice != "" {
		t.Errorf("of what is no error of a file: %q", advice)
	}
}

// A file in which nobody has made a database yet is as good as none, and stays so.
func TestAsIsOfAnEmptyFile(t *testing.T) {
	path := dbPath(t)
	succeed(t, os.WriteFile(path, nil, 0o600))
	var missing *fs.PathError
	_, err := Open(context.Background(), Options{Path: path, AsIs: true})
	if !errors.Is(err, fs.ErrNotExist) || !errors.As(err, &missing) || missing.Path != path {
		t.Errorf("opening it as it is: %v", err)
	}
	if info, err := os.Stat(path); err != nil || info.Size() != 0 {
		t.Errorf("it is %v now, %v", info, err)
	}
}
