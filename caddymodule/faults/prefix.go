package faults

import "time"

// Prefix is what a history says about a copy of the database that was made at
// some moment from one time to another: what was answered before is in it, what
// began after is not, and of the rest nobody knows. The copy stands still, so
// that what is not in it does not come later.
func Prefix(ops []Op, from, to time.Duration) (before []Op) {
	given := map[Ref]bool{"": true}
	for _, o := range ops {
		if o.Start > to || !given[o.Uses] {
			continue
		}
		switch {
		case o.End < from:
		case o.Kind == Introspect:
			continue // it changes nothing
		default:
			o.Outcome, o.Error = Unknown, "as the copy was made"
			o.Code, o.Access, o.Refresh = "", "", ""
		}
		if o.Outcome == Unknown {
			o.Over = to
		}
		given[o.Code], given[o.Access], given[o.Refresh] = true, true, true
		before = append(before, o)
	}
	return before
}
