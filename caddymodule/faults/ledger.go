package faults

import (
	"math"
	"slices"
	"time"
)

// ledger is a history by what it is about.
type ledger struct {
	ops    []Op
	across time.Duration
	items  map[Ref]*item
	order  []*item // as they were given
	found  []Violation
}

// item is a code or a token that a client was given.
type item struct {
	ref    Ref
	family *family
	until  time.Duration // 0: long after the history
	given  *Op           // the first operation that gave it
	// beside is the refresh token that came with an access token, nil: none.
	beside *item
	uses   []*Op // what presented it, but for introspections
	next   *item // the successor of a refresh token that was replaced
}

// family is a code and all that came of it, or one access token of a client
// that acts for itself.
type family struct {
	items []*item
	ops   []*Op
}

// enter files an operation under what it presents and what it gives.
func (l *ledger) enter(o *Op) {
	used := l.items[o.Uses]
	f := &family{}
	if used != nil {
		f = used.family
		if o.Kind != Introspect {
			used.uses = append(used.uses, o)
		}
	}
	f.ops = append(f.ops, o)
	if o.Outcome != Acknowledged {
		return
	}
	l.give(f, o.Code, o)
	refresh := l.give(f, o.Refresh, o)
	if access := l.give(f, o.Access, o); access != nil {
		access.beside = refresh
	}
	if o.Kind == Refresh && o.Rotates && used != nil {
		used.next = refresh
	}
}

// give returns the item, new unless it was given before. Only what came
// without a refresh token has a time at which it ends.
func (l *ledger) give(f *family, ref Ref, o *Op) *item {
	if ref == "" {
		return nil
	}
	it := l.items[ref]
	if it == nil {
		it = &item{ref: ref, family: f, given: o}
		if ref != o.Refresh {
			it.until = o.Until
		}
		l.items[ref] = it
		l.order = append(l.order, it)
		f.items = append(f.items, it)
	}
	return it
}

// did reports whether an operation of that kind had its effect or may have it
// some time.
func (o *Op) did(kind Kind) bool {
	return o.Kind == kind && (o.Outcome == Acknowledged || o.Outcome == Unknown)
}

// asked reports whether a code or refresh token was presented for tokens, and
// none came.
func (o *Op) asked() bool {
	return (o.Kind == Redeem || o.Kind == Refresh) && o.Outcome != Acknowledged && o.Outcome != Wrong
}

// over is when an operation's write was made or lost at the latest: never, if
// nobody knows.
func (o *Op) over() time.Duration {
	switch {
	case o.Outcome != Unknown:
		return o.End
	case o.Over != 0:
		return o.Over
	}
	return math.MaxInt64
}

// judged is when an operation could notice at the latest that what it presents
// had been used before: as long as somebody worked on it.
func (o *Op) judged() time.Duration {
	if o.Answered {
		return o.End
	}
	return o.over()
}

// ends are the operations that have certainly ended this token alone: its
// revocation, and for a refresh token the use that replaced it, for an access
// token a use of the refresh token beside it (RFC 9700 §4.14.2).
func (it *item) ends() (ends []*Op) {
	for _, o := range it.uses {
		if o.Outcome == Acknowledged && (o.Kind == Revoke || o.Kind == Refresh && o.Rotates) {
			ends = append(ends, o)
		}
	}
	if it.beside == nil {
		return ends
	}
	for _, o := range it.beside.uses {
		if o.Outcome == Acknowledged && o.Kind == Refresh && o.Access != it.ref && o.Start >= it.given.End {
			ends = append(ends, o)
		}
	}
	return ends
}

// ends are the operations that have certainly ended the whole family: the
// revocation of a refresh token (RFC 7009 §2.1), and each refusal of a code or
// refresh token, which is either the end itself (RFC 6749 §4.1.2, RFC 9700
// §4.14.2) or comes after it.
func (f *family) ends() (ends []*Op) {
	for _, it := range f.items {
		for _, o := range it.uses {
			revoked := o.Kind == Revoke && o.Outcome == Acknowledged && it.isRefresh()
			if revoked || o.Outcome == Refused && o.Error == "invalid_grant" {
				ends = append(ends, o)
			}
		}
	}
	return ends
}

func (it *item) isRefresh() bool { return it.given.Refresh == it.ref }
func (it *item) isCode() bool    { return it.given.Code == it.ref }

// usedBefore reports whether a use of the refresh token was acknowledged by then.
func (it *item) usedBefore(t time.Duration) bool {
	return slices.ContainsFunc(it.uses, func(o *Op) bool {
		return o.Kind == Refresh && o.Outcome == Acknowledged && o.End < t
	})
}

// mayHaveEnded reports whether anything that was begun before t could have
// ended the token, or its time.
func (it *item) mayHaveEnded(t time.Duration) bool {
	if it.until != 0 && t >= it.until || it.family.mayHaveEnded(t) {
		return true
	}
	for _, o := range it.uses {
		if o.Start < t && (o.did(Revoke) || o.did(Refresh) && o.Rotates) {
			return true
		}
	}
	if it.beside == nil {
		return false
	}
	return slices.ContainsFunc(it.beside.uses, func(o *Op) bool {
		return o.did(Refresh) && o.Access != it.ref && o.Start < t && o.over() > it.given.Start
	})
}

// mayHaveEnded reports whether a revocation of a refresh token, a second use of
// the code, or a use of a refresh token after its successor's, begun before t,
// could have ended the whole family.
func (f *family) mayHaveEnded(t time.Duration) bool {
	return slices.ContainsFunc(f.items, func(it *item) bool {
		return it.isRefresh() && it.revokedBefore(t) || it.reusedBefore(t)
	})
}

func (it *item) revokedBefore(t time.Duration) bool {
	return slices.ContainsFunc(it.uses, func(o *Op) bool { return o.did(Revoke) && o.Start < t })
}

// reusedBefore reports whether a use begun before t, which was not acknowledged,
// may have met a code or refresh token that was used up: a code by the use that
// gave the tokens, a refresh token by a use of its successor.
func (it *item) reusedBefore(t time.Duration) bool {
	up := it.usesUp()
	return slices.ContainsFunc(it.uses, func(late *Op) bool {
		return late.Start < t && late.asked() && slices.ContainsFunc(up, func(o *Op) bool {
			return o != late && o.Start < t && o.Start < late.judged()
		})
	})
}

// usesUp are the operations that make a use of the item a second one.
func (it *item) usesUp() (up []*Op) {
	from := it.uses
	if it.next != nil {
		from = it.next.uses
	}
	for _, o := range from {
		if o.did(Redeem) || o.did(Refresh) && it.next != nil {
			up = append(up, o)
		}
	}
	return up
}

// excusesRefusal reports whether invalid_grant was the right answer to o: the
// code was used before, or the refresh token's family may have ended.
func (it *item) excusesRefusal(o *Op) bool {
	if !it.isCode() {
		return it.family.mayHaveEnded(o.End)
	}
	if it.until != 0 && o.End >= it.until {
		return true
	}
	return slices.ContainsFunc(it.uses, func(other *Op) bool {
		return other != o && other.did(Redeem) && other.Start < o.End
	})
}
