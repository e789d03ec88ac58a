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
		case o.looks():
			continue // it changes nothing
		default:
			o.Outcome, o.Error = Unknown, "as the copy was made"
			o.Code, o.Access, o.Refresh, o.Page, o.Session, o.Client = "", "", "", "", "", ""
		}
		if o.Outcome == Unknown {
			o.Over = to
		}
		for _, ref := range o.gave() {
			given[ref] = true
		}
		before = append(before, o)
	}
	return before
}
