//go:build !unix

package caddymodule

import "io/fs"

// keepOwner does nothing where files have no owner by number.
func keepOwner(string, fs.FileInfo) error { return nil }

// syncFolder does nothing where folders cannot be synced.
func syncFolder(string) error { return nil }
