package faults

import (
	"cmp"
	"slices"
	"time"
)

// ledger is a history by what it is about.
type ledger struct {
	gateways Gateways
	items    map[Ref]*item
	order    []*item // as they were given
	found    []Violation
}

// newLedger files a history.
func newLedger(ops []Op, gateways Gateways) *ledger {
	l := &ledger{gateways: gateways, items: map[Ref]*item{}}
	for i := range ops {
		l.enter(&ops[i])
	}
	for _, it := range l.order {
		if f := it.family; it == f.items[0] {
			f.ends = f.endings()
		}
		it.ends = append(it.endings(), it.family.ends...)
	}
	return l
}

// item is what was given: a code or a token, and what else an Op can give.
type item struct {
	ref    Ref
	family *family
	until  time.Duration // 0: long after the history
	given  *Op           // the first operation that gave it
	// beside is the refresh token that came with an access token, nil: none.
	beside *item
	uses   []*Op    // what presented it, but for looks
	next   *item    // the successor of a refresh token that was replaced
	ends   []ending // it alone or with its family
}

// family is a code and all that came of it, a client that registered and its
// access tokens, or one access token of another that acts for itself. Pages and
// sign-ins are alone.
type family struct {
	whose string
	items []*item
	ops   []*Op
	under *item    // the sign-in with which it ends, nil: none
	ends  []ending // of all of it
}

// enter files an operation under what it presents and what it gives.
func (l *ledger) enter(o *Op) {
	used := l.items[o.Uses]
	f := &family{whose: o.Whose}
	if used != nil {
		f = used.family
		if !o.looks() {
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
	f := &family{whose: o.Whose, ops: []*Op{o}}
	if used != nil {
		f.whose = cmp.Or(o.Whose, used.family.whose)
	}
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

// givenBefore reports whether an operation gave what another had given, other
// than a refresh token that is kept, and the pair that a refresh token which is
// replaced gives each time it is presented.
func (l *ledger) givenBefore(o *Op) bool {
	return slices.ContainsFunc(o.gave(), func(ref Ref) bool {
		first := l.items[ref].given
		kept := o.Kind == Refresh && !o.Rotates && ref == o.Uses
		again := o.Kind == Refresh && o.Rotates && first.Kind == Refresh && first.Uses == o.Uses
		return first != o && !kept && !again
	})
}

// did reports whether an operation of that kind had its effect or may have it
// some time.
func (o *Op) did(kind Kind) bool {
	return o.Kind == kind && (o.Outcome == Acknowledged || o.Outcome == Unknown)
}

// asked reports whether a code or refresh token was presented for tokens, and
// none came.
func (o *Op) asked() bool {
	return (o.Kind == Redeem || o.Kind == Refresh) && (o.Outcome == Unknown || o.Outcome == Refused && o.Error == "invalid_grant")
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
	return never
}

// judged is when an operation could notice at the latest that what it presents
// had been used before: as long as somebody worked on it.
func (o *Op) judged() time.Duration {
	if o.Answered {
		return o.End
	}
	return o.over()
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

// excusesRefusal reports whether o was rightly refused: the code or the page was
// used before or was over, or the sign-in had ended; or the refresh token's
// family may have.
func (it *item) excusesRefusal(o *Op) bool {
	if !it.isCode() && !it.isPage() {
		return mayHaveEnded(it.family.ends, o.End)
	}
	if under := it.family.under; it.until != 0 && o.End >= it.until || under != nil && mayHaveEnded(under.ends, o.End) {
		return true
	}
	return slices.ContainsFunc(it.uses, func(other *Op) bool {
		return other != o && other.did(o.Kind) && other.Start < o.End
	})
}
