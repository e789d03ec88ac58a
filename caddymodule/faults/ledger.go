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

// item is what was given: a code or a token, and what else an Op can give.
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

// family is a code and all that came of it, a client that registered and its
// access tokens, or one access token of another that acts for itself. Pages and
// sign-ins are alone.
type family struct {
	items []*item
	ops   []*Op
	under *item // the sign-in with which it ends, nil: none
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
	if o.Kind == Authorize || o.Kind == SignIn || o.Kind == Allow {
		f = l.begin(o, used)
	}
	l.give(f, o.Page, o)
	l.give(f, o.Client, o)
	l.give(f, o.Code, o)
	refresh := l.give(f, o.Refresh, o)
	if access := l.give(f, o.Access, o); access != nil {
		access.beside = refresh
	}
	if o.Kind == Refresh && o.Rotates && used != nil {
		used.next = refresh
	}
}

// begin is the family of what is given to a browser.
func (l *ledger) begin(o *Op, used *item) *family {
	f := &family{ops: []*Op{o}}
	switch {
	case o.Session != "":
		f.under = l.give(&family{ops: []*Op{o}}, o.Session, o)
	case used != nil && used.isSession():
		f.under = used
	case used != nil:
		f.under = used.family.under
	}
	return f
}

// give returns the item, new unless it was given before. Only codes and access
// tokens have a time at which they end.
func (l *ledger) give(f *family, ref Ref, o *Op) *item {
	if ref == "" {
		return nil
	}
	it := l.items[ref]
	if it == nil {
		it = &item{ref: ref, family: f, given: o}
		if ref == o.Code || ref == o.Access {
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
// token a use of the refresh token beside it (RFC 9700 §4.14.2). A sign-in ends
// with the sign-out.
func (it *item) ends() (ends []*Op) {
	for _, o := range it.uses {
		if o.Outcome == Acknowledged && (o.Kind == Revoke || o.Kind == SignOut || o.Kind == Refresh && o.Rotates) {
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
// revocation of a refresh token (RFC 7009 §2.1), the sign-out (OpenID Connect
// Back-Channel Logout §2.7), and each refusal of a code or refresh token, which
// is either the end itself (RFC 6749 §4.1.2, RFC 9700 §4.14.2) or comes after it.
func (f *family) ends() (ends []*Op) {
	if f.under != nil {
		ends = f.under.ends()
	}
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
func (it *item) isPage() bool    { return it.given.Page == it.ref }
func (it *item) isSession() bool { return it.given.Session == it.ref }

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
		if o.Start < t && (o.did(Revoke) || o.did(SignOut) || o.did(Refresh) && o.Rotates) {
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

// mayHaveEnded reports whether a sign-out, a revocation of a refresh token, a
// second use of the code, or a use of a refresh token after its successor's,
// begun before t, could have ended the whole family.
func (f *family) mayHaveEnded(t time.Duration) bool {
	if f.under != nil && f.under.mayHaveEnded(t) {
		return true
	}
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

// excusesRefusal reports whether o was rightly refused: the code or the page was
// used before, or the sign-in had ended; or the refresh token's family may have.
func (it *item) excusesRefusal(o *Op) bool {
	if !it.isCode() && !it.isPage() {
		return it.family.mayHaveEnded(o.End)
	}
	if under := it.family.under; it.until != 0 && o.End >= it.until || under != nil && under.mayHaveEnded(o.End) {
		return true
	}
	return slices.ContainsFunc(it.uses, func(other *Op) bool {
		return other != o && other.did(o.Kind) && other.Start < o.End
	})
}
