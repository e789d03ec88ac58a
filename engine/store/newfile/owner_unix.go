//go:build unix

package newfile

import (
	"os"
	"syscall"
)

// KeepOwner gives a file to the owner of another, or of a folder, when it is root
// who makes it: what a command makes or replaces beside the files of a server must
// not be kept from the server.
func KeepOwner(file *os.File, of string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	info, err := os.Stat(of)
	if err != nil {
		return err
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok || owner.Uid == 0 {
		return nil
	}
	return file.Chown(int(owner.Uid), int(owner.Gid)) // by the file, not by a name that the owner of the folder can change
}
