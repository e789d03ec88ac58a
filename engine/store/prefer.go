package store

import "context"

type preferred struct{}

// Prefer marks the writes of a context as those of somebody who waits before a
// screen. A store takes them before others that wait, but never only them. It
// changes the order of writes, never what one of them does.
func Prefer(ctx context.Context) context.Context {
	return context.WithValue(ctx, preferred{}, true)
}

// Preferred reports whether a context's writes go first.
func Preferred(ctx context.Context) bool {
	return ctx.Value(preferred{}) != nil
}
