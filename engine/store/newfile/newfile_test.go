package newfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// files are the names in a folder.
func files(t *testing.T, folder string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

func holds(t *testing.T, path, want string) {
	t.Helper()
	if got, err := os.ReadFile(path); err != nil || string(got) != want {
		t.Errorf("the file holds %q, %v; want %q", got, err, want)
	}
}

func writes(text string) func(*os.File) error {
	return func(draft *os.File) error {
		_, err := draft.WriteString(text)
		return err
	}
}

// A file is there whole, or nothing is; what was there stays.
func TestCreate(t *testing.T) {
	broken := errors.New("broken")
	folder := t.TempDir()
	path := filepath.Join(folder, "a")
	err := Create(path, func(draft *os.File) error { return errors.Join(writes("half")(draft), broken) })
	if !errors.Is(err, broken) || len(files(t, folder)) > 0 {
		t.Errorf("after an error %v there are %v", err, files(t, folder))
	}
	if err := Create(path, writes("whole")); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("the mode is %v, %v", info.Mode(), err)
	}
	err = Create(path, func(*os.File) error { t.Error("the work was done for nothing"); return nil })
	if !errors.Is(err, fs.ErrExist) {
		t.Errorf("onto a file: %v", err)
	}
	holds(t, path, "whole")
	other := filepath.Join(folder, "b")
	err = Create(other, func(*os.File) error { return os.WriteFile(other, []byte("others'"), 0o600) })
	if !errors.Is(err, fs.ErrExist) {
		t.Errorf("onto a file that came meanwhile: %v", err)
	}
	holds(t, other, "others'")
	if names := files(t, folder); len(names) != 2 {
		t.Errorf("there are %v", names)
	}
}

// link(2): EPERM where the file system has no hard links; some say EOPNOTSUPP.
func TestWithoutLinks(t *testing.T) {
	without := func(string, string) error { return &os.LinkError{Op: "link", Err: syscall.EPERM} }
	folder := t.TempDir()
	draft, path := filepath.Join(folder, "draft"), filepath.Join(folder, "a")
	write := func(name, text string) {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(draft, "one")
	if err := name(without, draft, path); err != nil {
		t.Fatal(err)
	}
	holds(t, path, "one")
	write(draft, "two")
	if err := name(without, draft, path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("onto a file: %v", err)
	}
	holds(t, path, "one")
	if err := name(without, filepath.Join(folder, "none"), filepath.Join(folder, "b")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a draft that is gone: %v", err)
	}
	if names := files(t, folder); len(names) != 2 {
		t.Errorf("there are %v", names)
	}
}
