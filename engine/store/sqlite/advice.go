package sqlite

import (
	"errors"
	"io/fs"

	sqlite3 "modernc.org/sqlite/lib"
)

var errForeign = errors.New("is the database of another program")

const otherUser = "run this as the server's user, to whom the file, those beside it and their folder must belong"

// Advice says what to do about an error of a database file. It is empty for other
// errors.
func Advice(err error) string {
	switch {
	case errors.Is(err, errForeign):
		return "name another file for the storage"
	case errors.Is(err, fs.ErrPermission):
		return otherUser
	}
	switch code(err) & 0xff {
	case sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT:
		return "restore a backup"
	case sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH:
		return otherUser
	case sqlite3.SQLITE_READONLY:
		return "give the file, and those beside it, to the server's user, and run this as that user"
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return "find the program that holds the file, with fuser or lsof"
	case sqlite3.SQLITE_FULL:
		return "make room: without it nothing can be written"
	case sqlite3.SQLITE_IOERR:
		return "see what the system's log says of the disk"
	}
	return ""
}
