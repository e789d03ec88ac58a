package faults

import (
	"math"
	"slices"
	"time"
)

// ending is what has ended a token, a grant or a sign-in, or may have.
type ending struct {
	op *Op // nil: time alone
	// may is from when on it may have had its effect, and must from when on it
	// certainly has; never, where it has none or nobody knows.
	may, must time.Duration
}

const never time.Duration = math.MaxInt64

// ending is the effect of an operation which is certain once it is acknowledged.
func (o *Op) ending() ending {
	e := ending{o, o.Start, never}
	if o.Outcome == Acknowledged {
		e.must = o.End
	}
	return e
}

// endings are what ends this token alone: its time, its revocation, for a
// refresh token the use that replaces it, and for an access token a use of the
// refresh token beside it (RFC 9700 §4.14.2). A sign-in ends with the sign-out.
func (it *item) endings() (ends []ending) {
	if it.until != 0 {
		ends = append(ends, ending{may: it.until, must: never})
	}
	for _, o := range it.uses {
		if o.did(Revoke) || o.did(SignOut) || o.did(Refresh) && o.Rotates {
			ends = append(ends, o.ending())
		}
	}
	if it.beside == nil {
		return ends
	}
	for _, o := range it.beside.uses {
		if !o.did(Refresh) || o.Access == it.ref || o.over() <= it.given.Start {
			continue
		}
		e := o.ending()
		if o.Start < it.given.End {
			e.must = never // nobody knows which of the two came first
		}
		ends = append(ends, e)
	}
	return ends
}

// endings are what ends the whole family: the sign-out (OpenID Connect
// Back-Channel Logout §2.7), the revocation of a refresh token (RFC 7009 §2.1),
// and a code or refresh token that is presented although it is used up (RFC 6749
// §4.1.2, RFC 9700 §4.14.2). Each refusal is either that end or comes after it.
func (f *family) endings() (ends []ending) {
	if f.under != nil {
		ends = f.under.endings()
	}
	for _, it := range f.items {
		for _, o := range it.uses {
			switch {
			case it.isRefresh() && o.did(Revoke):
				ends = append(ends, o.ending())
			case o.asked():
				e := ending{o, it.usedUp(o), never}
				if o.Outcome == Refused {
					e.must = o.End
				}
				ends = append(ends, e)
			}
		}
	}
	return ends
}

// usedUp is from when on a use of a code or refresh token, for which nothing
// came, may have met one that was used up: a code by the use that gave the
// tokens, a refresh token by a use of its successor.
func (it *item) usedUp(late *Op) time.Duration {
	from := never
	by := it.uses
	if it.next != nil {
		by = it.next.uses
	}
	for _, o := range by {
		up := o.did(Redeem) || o.did(Refresh) && it.next != nil
		if up && o != late && o.Start < late.judged() {
			from = min(from, max(o.Start, late.Start))
		}
	}
	return from
}

// mayHaveEnded reports whether one of these may have had its effect before t.
func mayHaveEnded(ends []ending, t time.Duration) bool {
	return slices.ContainsFunc(ends, func(e ending) bool { return e.may < t })
}

// ended reports whether one of these had to be known when o began.
func (l *ledger) ended(ends []ending, o *Op) bool {
	return slices.ContainsFunc(ends, func(e ending) bool {
		if e.must == never || o.Kind != Call || e.op.Node == o.Node && !l.gateways.repeats(e, ends) {
			return e.must < o.Start
		}
		return l.gateways.know(e.must, o.Node) < o.Start
	})
}

// repeats reports whether an operation may have only found what another had
// done: on another node, or in an outage, without an answer. Of that its own node
// is told like all others.
func (g Gateways) repeats(e ending, ends []ending) bool {
	return slices.ContainsFunc(ends, func(first ending) bool {
		if first.op == nil || first.may >= e.must {
			return false
		}
		return first.op.Node != e.op.Node || first.must == never && g.away(first.op)
	})
}

// away reports whether an operation met an outage of its node.
func (g Gateways) away(o *Op) bool {
	return slices.ContainsFunc(g.Outages, func(out Outage) bool {
		return (out.Node == 0 || out.Node == o.Node) && out.From < o.End && out.To > o.Start
	})
}

// Gateways are what is promised of the gateways on the nodes, which remember
// what tokens are worth. The zero value is that of gateways that remember
// nothing.
type Gateways struct {
	// Across is how long an end may take to be known on another node than the one
	// that acknowledged it. On that one it is known at once.
	Across time.Duration
	// Memory is for how long an answer is believed, also during an outage.
	Memory  time.Duration
	Outages []Outage // by the times at which they began
}

// Outage is a time in which a node could not be told of what had ended on
// others: its database was away, or it stood still itself.
type Outage struct {
	Node     int // 0: all of them
	From, To time.Duration
}

// know is when a node must know of what has ended on another.
func (g Gateways) know(end time.Duration, node int) time.Duration {
	known := end + g.Across
	for _, o := range g.Outages {
		if (o.Node == 0 || o.Node == node) && o.From < known && o.To > end {
			known = max(known, o.To+g.Across)
		}
	}
	return min(known, end+g.Memory)
}
