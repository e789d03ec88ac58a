//go:build unix

package caddymodule

import (
	"os"
	"syscall"
)

// sameOwner reports whether two files belong to one user, as far as can be seen.
func sameOwner(a, b string) bool {
	of, ok := ownerOf(a)
	other, also := ownerOf(b)
	return of == other || !ok || !also
}

func ownerOf(path string) (uid uint32, ok bool) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, false
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return owner.Uid, true
}
