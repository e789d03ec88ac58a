//go:build linux || darwin || freebsd

package sqlite

import "syscall"

// freeSpace is what programs without privileges may still fill of the disk that
// a folder is on, in bytes.
func freeSpace(folder string) (free uint64, ok bool) {
	var s syscall.Statfs_t
	if syscall.Statfs(folder, &s) != nil {
		return 0, false
	}
	return uint64(s.Bavail) * uint64(s.Bsize), true
}
