// Package newfile makes files that are there whole, for good and for their owner
// alone, or not at all.
package newfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// Create makes a file of what write puts into a draft. The draft is beside it,
// named as it with ".new-" and a number behind: who is killed leaves that. What
// write opens by the draft's name it closes. fs.ErrExist: there is a file.
func Create(path string, write func(draft *os.File) error) error {
	if _, err := os.Lstat(path); err == nil { // before the work, not after it
		return fmt.Errorf("%s: %w", path, fs.ErrExist)
	}
	draft, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".new-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(draft.Name())
	if err := errors.Join(write(draft), draft.Sync(), draft.Close()); err != nil {
		return err
	}
	if err := name(os.Link, draft.Name(), path); err != nil {
		return err
	}
	return SyncFolder(filepath.Dir(path))
}

// name gives a draft its name, unless a file has it. Where there are no hard links
// (vfat, many network shares) an empty file keeps the place for a moment.
func name(link func(from, to string) error, draft, path string) error {
	err := link(draft, path)
	if err == nil || errors.Is(err, fs.ErrExist) {
		return err
	}
	place, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if err := errors.Join(place.Close(), os.Rename(draft, path)); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}

// SyncFolder makes a new name in a folder durable. Not every system can.
func SyncFolder(path string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}
