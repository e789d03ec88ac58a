package faults

import (
	"fmt"
	"strings"
)

// Violation is a promise that a history shows to be broken.
type Violation struct {
	Promise string
	// Ops are those on what the promise was about, in the order of their ends.
	Ops []Op
}

// mostShown bounds the operations that a violation prints.
const mostShown = 30

func (v Violation) String() string {
	var b strings.Builder
	b.WriteString(v.Promise)
	shown := v.Ops
	if len(shown) > mostShown {
		fmt.Fprintf(&b, "\n\t… %d earlier operations", len(shown)-mostShown)
		shown = shown[len(shown)-mostShown:]
	}
	for _, o := range shown {
		b.WriteString("\n\t" + o.String())
	}
	return b.String()
}

// Check judges a history, the operations of which are in the order of their
// ends and have all ended. Those before from were judged earlier; what they
// present may be from before them.
//
// What a client was not answered counts as done, not done, or done later,
// whichever excuses the server. Tokens are judged where the history asks for
// them: who wants all of them judged introspects all of them at the end.
func Check(ops []Op, from int, gateways Gateways) []Violation {
	l := newLedger(ops, gateways)
	for i := from; i < len(ops); i++ {
		l.judge(&ops[i])
	}
	for _, it := range l.order {
		l.judgeUses(it)
	}
	return l.found
}

// judge holds one operation against all others.
func (l *ledger) judge(o *Op) {
	it := l.items[o.Uses]
	switch {
	case o.Uses != "" && it == nil:
		l.blame("the history presents what nobody was given", o)
	case o.Outcome == Wrong:
		l.blame("an answer that no server may give", o)
	case o.Outcome == Refused && !o.mayBeRefused():
		l.blame("refused for no reason that a client gave", o)
	case o.Outcome == Refused && !it.excusesRefusal(o):
		l.blame("an acknowledged code, refresh token or page is not good any more", o)
	case o.Outcome != Acknowledged:
	case l.givenBefore(o):
		l.blame("the same thing was given twice", o)
	case o.Kind == Authorize && it != nil && o.Page != "" && !mayHaveEnded(it.ends, o.End):
		l.blame("an acknowledged sign-in is not good any more", o)
	case o.Kind == Authorize && it != nil && o.Code != "" && l.ended(it.ends, o):
		l.blame("a sign-in is good after its end was acknowledged", o)
	case o.looks() && !o.Active && !mayHaveEnded(it.ends, o.End):
		l.blame("an acknowledged token is not good any more", o)
	case o.looks() && o.Active && l.ended(it.ends, o):
		l.blame("a token is good after its end was acknowledged", o)
	case o.looks() && o.Active && o.Whose != it.family.whose:
		l.blame("a token is taken for another's", o)
	case (o.Kind == Redeem || o.Kind == Refresh) && l.ended(it.family.ends, o):
		l.blame("a grant gives tokens after its end was acknowledged", o)
	}
}

// mayBeRefused reports whether there are reasons for which it can be.
func (o *Op) mayBeRefused() bool {
	switch o.Kind {
	case Redeem, Refresh:
		return o.Error == "invalid_grant"
	case SignIn, Allow:
		return true
	}
	return false
}

// gives reports whether what the operation uses gives something once.
func (o *Op) gives() bool {
	return o.Kind == Redeem || o.Kind == Refresh || o.Kind == SignIn || o.Kind == Allow
}

// judgeUses holds the uses of one code, refresh token or page against each other.
func (l *ledger) judgeUses(it *item) {
	var first *Op
	for _, o := range it.uses {
		if o.Outcome != Acknowledged || !o.gives() {
			continue
		}
		switch {
		case first == nil:
		case o.Kind == Redeem:
			l.blame("a code was redeemed twice", o)
		case o.Kind != Refresh:
			l.blame("a page was answered twice", o)
		case o.Rotates && (o.Access != first.Access || o.Refresh != first.Refresh):
			l.blame("a refresh token has two successors", o)
		}
		if first == nil {
			first = o
		}
		switch {
		case o.Kind != Refresh:
		case !o.Rotates && o.Refresh != it.ref:
			l.blame("a refresh token that is kept was replaced", o)
		case o.Rotates && it.next != nil && it.next.usedBefore(o.Start):
			l.blame("a refresh token was taken after its successor had been used", o)
		}
	}
}

// blame notes a violation with the operations of the whole family.
func (l *ledger) blame(promise string, o *Op) {
	v := Violation{Promise: fmt.Sprintf("%s: %s", promise, strings.Join(strings.Fields(o.String()), " "))}
	if it := l.items[o.Uses]; it != nil {
		for _, op := range it.family.ops {
			v.Ops = append(v.Ops, *op)
		}
	}
	l.found = append(l.found, v)
}
