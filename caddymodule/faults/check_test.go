package faults

import (
	"strings"
	"testing"
	"time"
)

// at gives an operation its times, in milliseconds.
func at(start, end int, o Op) Op {
	o.Start, o.End = time.Duration(start)*time.Millisecond, time.Duration(end)*time.Millisecond
	if o.Outcome == 0 {
		o.Outcome = Acknowledged
	}
	return o
}

func refused(o Op) Op { o.Outcome, o.Error = Refused, "invalid_grant"; return o }
func unknown(o Op) Op { o.Outcome = Unknown; return o }

func over(ms int, o Op) Op {
	o.Outcome, o.Over = Unknown, time.Duration(ms)*time.Millisecond
	return o
}

func on(node int, o Op) Op            { o.Node = node; return o }
func look(token Ref, active bool) Op  { return Op{Kind: Introspect, Uses: token, Active: active} }
func call(token Ref, through bool) Op { return Op{Kind: Call, Uses: token, Active: through} }
func revoke(token Ref) Op             { return Op{Kind: Revoke, Uses: token} }
func issue(access Ref) Op             { return Op{Kind: Issue, Access: access} }
func code() Op                        { return Op{Kind: Authorize, Code: "c", Until: time.Minute} }
func redeem(access, refresh Ref) Op {
	return Op{Kind: Redeem, Rotates: true, Uses: "c", Access: access, Refresh: refresh}
}
func rotate(from, access, refresh Ref) Op {
	return Op{Kind: Refresh, Rotates: true, Uses: from, Access: access, Refresh: refresh}
}
func renew(from, access Ref) Op { return Op{Kind: Refresh, Uses: from, Access: access, Refresh: from} }

// pair is the start of a family: a code, and a1 and r1 for it.
func pair(more ...Op) []Op {
	return append([]Op{at(0, 1, code()), at(2, 4, redeem("a1", "r1"))}, more...)
}

// kept is the same for a client that keeps its refresh token.
func kept(more ...Op) []Op {
	ops := pair(more...)
	ops[1].Rotates = false
	return ops
}

func page() Op    { return Op{Kind: Authorize, Page: "p"} }
func signOut() Op { return Op{Kind: SignOut, Uses: "s"} }
func signIn(session, code Ref) Op {
	return Op{Kind: SignIn, Uses: "p", Session: session, Code: code, Until: time.Minute}
}
func again(code, page Ref) Op {
	return Op{Kind: Authorize, Uses: "s", Code: code, Page: page, Until: time.Minute}
}

// visit is the start of a sign-in: its page, and c for the password.
func visit(more ...Op) []Op {
	return append([]Op{at(0, 1, page()), at(2, 4, signIn("s", "c"))}, more...)
}

// Each promise that the faults are about, broken and kept, with what excuses a server
// and what does not.
func TestCheck(t *testing.T) {
	const (
		lost      = "an acknowledged token is not good any more"
		lostGrant = "an acknowledged code, refresh token or page is not good any more"
		revived   = "a token is good after its end"
		regiven   = "a grant gives tokens after its end"
	)
	for _, test := range []struct {
		name string
		ops  []Op
		want string // empty: all promises are kept
	}{
		{"a token that is good", []Op{at(0, 1, issue("a")), at(2, 3, look("a", true))}, ""},
		{"a token that is lost", []Op{at(0, 1, issue("a")), at(2, 3, look("a", false))}, lost},
		{"a token that has expired", []Op{at(0, 1, Op{Kind: Issue, Access: "a", Until: 2 * time.Millisecond}), at(2, 3, look("a", false))}, ""},
		{"nobody knows whether a token was given", []Op{at(0, 1, unknown(issue("")))}, ""},
		{"half an answer for a success", []Op{at(0, 1, Op{Kind: Issue, Outcome: Wrong})}, "no server may give"},
		{"a token is refused", []Op{at(0, 1, Op{Kind: Issue, Outcome: Refused, Error: "invalid_client"})}, "refused for no reason"},
		{"an introspection is refused", []Op{at(0, 1, issue("a")), at(1, 2, Op{Kind: Introspect, Uses: "a", Outcome: Refused})}, "refused for no reason"},
		{"a token from nowhere", []Op{at(0, 1, look("a", true))}, "nobody was given"},

		{"a revocation holds", []Op{at(0, 1, issue("a")), at(2, 3, revoke("a")), at(4, 5, look("a", false))}, ""},
		{"a revocation is lost", []Op{at(0, 1, issue("a")), at(2, 3, revoke("a")), at(4, 5, look("a", true))}, revived},
		{"a look during a revocation", []Op{at(0, 1, issue("a")), at(3, 5, look("a", true)), at(2, 6, revoke("a")), at(5, 7, look("a", true))}, ""},
		{"a revocation on another node", []Op{at(0, 1, issue("a")), at(2, 3, revoke("a")), at(4, 5, on(2, look("a", true)))}, revived},
		{"a revocation of which nothing is known", []Op{at(0, 1, issue("a")), at(2, 3, unknown(revoke("a"))), at(4, 5, look("a", true)), at(6, 7, look("a", false))}, ""},
		{"a revocation that begins later", []Op{at(0, 1, issue("a")), at(2, 3, look("a", false)), at(4, 5, revoke("a"))}, lost},
		{"a refresh token's revocation ends the family", pair(at(5, 6, revoke("r1")), at(7, 8, look("a1", true))), revived},
		{"an access token's revocation does not", pair(at(5, 6, revoke("a1")), at(7, 8, look("r1", false))), lost},
		{"a revoked refresh token gives tokens", pair(at(5, 6, revoke("r1")), at(7, 8, rotate("r1", "a2", "r2"))), regiven},

		{"a code that is refused", []Op{at(0, 1, code()), at(2, 3, refused(redeem("", "")))}, lostGrant},
		{"a code that has expired", []Op{at(0, 1, code()), at(60_001, 60_002, refused(redeem("", "")))}, ""},
		{"a code again, after no answer", []Op{at(0, 1, code()), at(2, 3, unknown(redeem("", ""))), at(4, 5, refused(redeem("", "")))}, ""},
		{"a code twice", pair(at(5, 6, redeem("a2", "r2"))), "redeemed twice"},
		{"a code twice at once", []Op{at(0, 1, code()), at(2, 4, redeem("a1", "r1")), at(2, 5, redeem("a2", "r2"))}, "redeemed twice"},
		{"a second use ends what the first gave", pair(at(5, 6, refused(redeem("", ""))), at(7, 8, look("a1", false))), ""},
		{"a second use ends nothing", pair(at(5, 6, refused(redeem("", ""))), at(7, 8, look("a1", true))), revived},
		{"a use that was over before the code's", []Op{at(0, 1, code()), at(2, 3, over(4, redeem("", ""))), at(5, 6, redeem("a1", "r1")), at(7, 8, look("a1", false))}, lost},
		{"a use that may not be over", []Op{at(0, 1, code()), at(2, 3, unknown(redeem("", ""))), at(5, 6, redeem("a1", "r1")), at(7, 8, look("a1", false))}, ""},

		{"a rotation", pair(at(5, 6, rotate("r1", "a2", "r2")), at(7, 8, look("a1", false)), at(7, 9, look("a2", true)), at(8, 9, look("r2", true)), at(8, 9, look("r1", false))), ""},
		{"a rotation leaves the access token", pair(at(5, 6, rotate("r1", "a2", "r2")), at(7, 8, look("a1", true))), revived},
		{"a rotation leaves the refresh token", pair(at(5, 6, rotate("r1", "a2", "r2")), at(7, 8, look("r1", true))), revived},
		{"a rotation's pair is lost by half", pair(at(5, 6, rotate("r1", "a2", "r2")), at(7, 8, look("r2", false))), lost},
		{"the same pair again", pair(at(5, 6, rotate("r1", "a2", "r2")), at(7, 8, rotate("r1", "a2", "r2"))), ""},
		{"another successor", pair(at(5, 6, rotate("r1", "a2", "r2")), at(5, 7, rotate("r1", "a3", "r3"))), "two successors"},
		{"another access token", pair(at(5, 6, rotate("r1", "a2", "r2")), at(5, 7, rotate("r1", "a3", "r2"))), "two successors"},
		{"again after no answer", pair(at(5, 6, unknown(rotate("r1", "", ""))), at(7, 8, rotate("r1", "a2", "r2")), at(9, 10, look("a2", true))), ""},
		{"refused after no answer", pair(at(5, 6, unknown(rotate("r1", "", ""))), at(7, 8, refused(rotate("r1", "", "")))), lostGrant},
		{"nothing works after no answer", pair(at(5, 6, over(6, rotate("r1", "", ""))), at(7, 8, rotate("r1", "a2", "r2")), at(9, 10, rotate("r2", "a3", "r3")), at(11, 12, look("a3", false))), lost},
		{"reuse is taken", pair(at(5, 6, rotate("r1", "a2", "r2")), at(7, 8, rotate("r2", "a3", "r3")), at(9, 10, rotate("r1", "a2", "r2"))), "after its successor had been used"},
		{"reuse ends the family", pair(at(5, 6, rotate("r1", "a2", "r2")), at(7, 8, rotate("r2", "a3", "r3")), at(9, 10, refused(rotate("r1", "", ""))), at(11, 12, look("a3", false))), ""},
		{"reuse ends nothing", pair(at(5, 6, rotate("r1", "a2", "r2")), at(7, 8, rotate("r2", "a3", "r3")), at(9, 10, refused(rotate("r1", "", ""))), at(11, 12, look("a3", true))), revived},
		{"refused before the successor's use", pair(at(5, 6, rotate("r1", "a2", "r2")), at(7, 8, refused(rotate("r1", "", "")))), lostGrant},

		{"a kept refresh token", kept(at(5, 6, renew("r1", "a2")), at(7, 8, renew("r1", "a3")), at(9, 10, look("a2", false)), at(9, 11, look("a3", true)), at(9, 12, look("r1", true))), ""},
		{"a kept refresh token is replaced", kept(at(5, 6, Op{Kind: Refresh, Uses: "r1", Access: "a2", Refresh: "r2"})), "was replaced"},
		{"the access token before stays", kept(at(5, 6, renew("r1", "a2")), at(7, 8, look("a1", true))), revived},
		{"two renewals at once", kept(at(5, 7, renew("r1", "a2")), at(6, 8, renew("r1", "a3")), at(9, 10, look("a2", false)), at(9, 10, look("a3", false))), ""},
		{"a renewal that was over before", kept(at(5, 6, over(7, renew("r1", ""))), at(8, 9, renew("r1", "a2")), at(10, 11, look("a2", false))), lost},
		{"a page twice", visit(at(5, 6, signIn("s2", "c2"))), "answered twice"},
		{"a page twice, once refused", visit(at(5, 6, Op{Kind: SignIn, Uses: "p", Outcome: Refused})), ""},
		{"a page that is refused", []Op{at(0, 1, page()), at(2, 3, Op{Kind: SignIn, Uses: "p", Outcome: Refused})}, lostGrant},
		{"a page again, after no answer", []Op{at(0, 1, page()), at(2, 3, unknown(signIn("", ""))), at(4, 5, Op{Kind: SignIn, Uses: "p", Outcome: Refused})}, ""},
		{"consent on the next page", []Op{at(0, 1, page()), at(2, 3, Op{Kind: SignIn, Uses: "p", Session: "s", Page: "q"}), at(4, 5, Op{Kind: Allow, Uses: "q", Code: "c", Until: time.Minute}), at(6, 7, signOut()), at(8, 9, redeem("a1", ""))}, regiven},
		{"a sign-in is good", visit(at(5, 6, again("c2", ""))), ""},
		{"a sign-in is lost", visit(at(5, 6, again("", "p2"))), "an acknowledged sign-in is not good any more"},
		{"a sign-out holds", visit(at(5, 6, redeem("a1", "")), at(7, 8, signOut()), at(9, 10, again("", "p2")), at(9, 10, look("a1", false))), ""},
		{"a sign-out is lost", visit(at(5, 6, signOut()), at(7, 8, again("c2", ""))), "a sign-in is good after its end"},
		{"a sign-out leaves the tokens", visit(at(5, 6, redeem("a1", "")), at(7, 8, signOut()), at(9, 10, look("a1", true))), revived},
		{"a sign-out leaves those of another", append(visit(at(5, 6, signOut())), at(7, 8, issue("a")), at(9, 10, look("a", false))), lost},
		{"a code after the sign-out", visit(at(5, 6, signOut()), at(7, 8, refused(redeem("", "")))), ""},
		{"a code after no answer to the sign-out", visit(at(5, 6, unknown(signOut())), at(7, 8, redeem("a1", "")), at(9, 10, again("", "p2"))), ""},
		{"a client that registered", []Op{at(0, 1, Op{Kind: Register, Client: "k"}), at(2, 3, Op{Kind: Issue, Uses: "k", Access: "a"}), at(4, 5, look("a", true))}, ""},
		{"a client that is not known any more", []Op{at(0, 1, Op{Kind: Register, Client: "k"}), at(2, 3, Op{Kind: Issue, Uses: "k", Outcome: Refused, Error: "invalid_client"})}, "refused for no reason"},

		{"a renewal that may still come", kept(at(5, 6, unknown(renew("r1", ""))), at(8, 9, renew("r1", "a2")), at(10, 11, look("a2", false))), ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			found := Check(test.ops, 0, Gateways{})
			switch {
			case test.want == "" && len(found) > 0:
				t.Errorf("Check finds %v", found)
			case test.want != "" && (len(found) != 1 || !strings.Contains(found[0].Promise, test.want)):
				t.Errorf("Check finds %v, want one: %s", found, test.want)
			}
		})
	}
}

// Nothing is given twice, but for the pair of a refresh token that is presented
// again and the refresh token that is kept (see TestCheck): one answer for two
// callers is how a mistake in a batch of writes or lookups looks from outside.
func TestGivenTwice(t *testing.T) {
	another := func(access, refresh Ref) []Op {
		return pair(at(5, 6, Op{Kind: Authorize, Code: "d", Until: time.Minute}),
			at(7, 8, Op{Kind: Redeem, Rotates: true, Uses: "d", Access: access, Refresh: refresh}))
	}
	for name, ops := range map[string][]Op{
		"one token to two clients":               {at(0, 1, issue("a")), at(2, 3, issue("a")), at(4, 5, look("a", true))},
		"another family's pair for a code":       append(another("a1", "r1"), at(9, 10, look("a1", true))),
		"a rotation gives another family's pair": append(another("b1", "s1"), at(9, 10, rotate("s1", "a1", "r1")), at(11, 12, look("a1", true))),
		"a rotation gives what it was given":     pair(at(5, 6, rotate("r1", "a2", "r1"))),
		"a renewal gives the token before":       kept(at(5, 6, renew("r1", "a1"))),
		"one code for two sign-ins":              visit(at(5, 6, again("c", ""))),
		"one page for two browsers":              {at(0, 1, page()), at(2, 3, page())},
		"one client id for two registrations":    {at(0, 1, Op{Kind: Register, Client: "k"}), at(2, 3, Op{Kind: Register, Client: "k"})},
		"the same session for two pages": visit(at(5, 6, Op{Kind: Authorize, Page: "p2"}),
			at(7, 8, Op{Kind: SignIn, Uses: "p2", Session: "s", Code: "c2", Until: time.Minute})),
	} {
		t.Run(name, func(t *testing.T) {
			if found := Check(ops, 0, Gateways{}); len(found) != 1 || !strings.Contains(found[0].Promise, "given twice") {
				t.Errorf("Check finds %v", found)
			}
		})
	}
}

// What a token is worth is said of whom it was given to: the client and its
// user, who asked for the code or for the page before it.
func TestWhose(t *testing.T) {
	of := func(whose string, o Op) Op { o.Whose = whose; return o }
	theirs := []Op{at(0, 1, of("web bob", page())), at(2, 4, signIn("s", "c")), at(5, 6, redeem("a1", "r1")), at(7, 8, rotate("r1", "a2", "r2"))}
	for _, test := range []struct {
		name string
		ops  []Op
		good bool
	}{
		{"by a sign-in", append(theirs, at(9, 10, of("web bob", look("a2", true)))), true},
		{"at a gateway", append(theirs, at(9, 10, of("web bob", call("a2", true)))), true},
		{"another user's", append(theirs, at(9, 10, of("web alice", look("a2", true)))), false},
		{"another client's", append(theirs, at(9, 10, of("app bob", call("a2", true)))), false},
		{"nobody's", append(theirs, at(9, 10, look("r2", true))), false},
		{"of a sign-in for two", append(theirs, at(9, 10, of("app bob", Op{Kind: Authorize, Uses: "s", Code: "d", Until: time.Minute})),
			at(11, 12, Op{Kind: Redeem, Uses: "d", Access: "b1"}), at(13, 14, of("app bob", look("b1", true)))), true},
		{"of a client that registered", []Op{at(0, 1, of("k", Op{Kind: Register, Client: "k"})),
			at(2, 3, Op{Kind: Issue, Uses: "k", Access: "a"}), at(4, 5, of("service", look("a", true)))}, false},
		{"of one that is not good", append(theirs, at(9, 10, look("a1", false))), true},
	} {
		t.Run(test.name, func(t *testing.T) {
			found := Check(test.ops, 0, Gateways{})
			if test.good && len(found) > 0 || !test.good && (len(found) != 1 || !strings.Contains(found[0].Promise, "taken for another's")) {
				t.Errorf("Check finds %v", found)
			}
		})
	}
}

// What has ended on a node is refused by its gateway at once, and by another's
// within a second; or, when that one could not be told, a second after it could
// again, or when its answers are too old, whichever comes first.
func TestGateways(t *testing.T) {
	ms := time.Millisecond
	gateways := Gateways{Across: time.Second, Memory: 5 * time.Second, Outages: []Outage{
		{2, ms, 5 * ms / 2}, {0, 10_500 * ms, 12_000 * ms}, {2, 12_900 * ms, 13_000 * ms}, {2, 20_000 * ms, 40_000 * ms},
	}}
	for _, test := range []struct {
		name    string
		ended   Op
		asked   int // in milliseconds
		node    int
		through bool // without a violation
	}{
		{"on its own node", at(2, 3, revoke("a")), 4, 1, false},
		{"on another within a second", at(2, 3, revoke("a")), 1000, 2, true},
		{"on another after a second", at(2, 3, revoke("a")), 1004, 2, false},
		{"by an operation of which nothing is known", at(2, 3, unknown(revoke("a"))), 4000, 2, true},
		{"before an outage", at(9000, 9400, revoke("a")), 10_450, 2, false},
		{"not a second before an outage", at(9000, 9600, revoke("a")), 12_950, 3, true},
		{"a second after an outage", at(9000, 9600, revoke("a")), 13_001, 3, false},
		{"after another outage in that second", at(9000, 9600, revoke("a")), 13_900, 2, true},
		{"a second after that", at(9000, 9600, revoke("a")), 14_001, 2, false},
		{"in an outage, on its own node", at(20_900, 21_000, revoke("a")), 21_001, 1, false},
		{"in another's outage", at(20_900, 21_000, revoke("a")), 22_001, 3, false},
		{"in an outage, remembered", at(20_900, 21_000, revoke("a")), 25_900, 2, true},
		{"in an outage, too old", at(20_900, 21_000, revoke("a")), 26_001, 2, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			ops := []Op{at(0, 1, issue("a")), on(1, test.ended), at(test.asked, test.asked+1, on(test.node, call("a", true)))}
			if found := Check(ops, 0, gateways); test.through != (len(found) == 0) {
				t.Errorf("Check finds %v", found)
			}
		})
	}
	for name, first := range map[string]Op{"on another node": on(1, revoke("a")), "in an outage": unknown(on(2, revoke("a")))} {
		t.Run("ended again, after it was "+name, func(t *testing.T) {
			ops := []Op{at(0, 1, issue("a")), at(2, 3, first), at(4, 5, on(2, revoke("a"))), at(900, 901, on(2, call("a", true)))}
			if found := Check(ops, 0, gateways); len(found) > 0 {
				t.Errorf("Check finds %v", found)
			}
			ops = append(ops, at(1006, 1007, on(2, call("a", true))))
			if found := Check(ops, 0, gateways); len(found) != 1 {
				t.Errorf("Check finds %v a second later", found)
			}
		})
	}
	t.Run("ended again, after its answer was lost", func(t *testing.T) {
		ops := []Op{at(0, 1, issue("a")), at(2, 3, unknown(on(1, revoke("a")))), at(4, 5, on(1, revoke("a"))), at(6, 7, on(1, call("a", true)))}
		if found := Check(ops, 0, gateways); len(found) != 1 {
			t.Errorf("Check finds %v", found)
		}
	})
	t.Run("what is good is let through", func(t *testing.T) {
		if found := Check([]Op{at(0, 1, issue("a")), at(2, 3, call("a", false))}, 0, gateways); len(found) != 1 {
			t.Errorf("Check finds %v", found)
		}
	})
}

// A copy of the database is judged by what was answered before it was made.
func TestPrefix(t *testing.T) {
	ops := pair(
		at(5, 6, issue("early")), at(7, 9, revoke("early")), at(5, 15, issue("amid")), at(16, 17, look("amid", true)),
		at(16, 18, rotate("r1", "a2", "r2")), at(19, 20, rotate("r2", "a3", "r3")), at(31, 32, issue("late")),
	)
	for _, test := range []struct {
		name string
		look Op
		want string
	}{
		{"what was given before is there", look("a1", true), ""},
		{"what was ended meanwhile may be there no more", look("a1", false), ""},
		{"what was revoked before is not there", look("early", true), "a token is good after its end"},
		{"what was given meanwhile is not asked for", look("amid", true), "nobody was given"},
		{"what was given after that is not", look("a3", true), "nobody was given"},
		{"what was given later is not", look("late", true), "nobody was given"},
	} {
		t.Run(test.name, func(t *testing.T) {
			found := Check(append(Prefix(ops, 10*time.Millisecond, 30*time.Millisecond), at(40, 41, test.look)), 0, Gateways{})
			if test.want == "" && len(found) > 0 || test.want != "" && (len(found) != 1 || !strings.Contains(found[0].Promise, test.want)) {
				t.Errorf("Check finds %v, want %q", found, test.want)
			}
		})
	}
	untouched := Prefix(ops, 16*time.Millisecond, 16*time.Millisecond)
	if found := Check(append(untouched, at(40, 41, look("amid", false))), 0, Gateways{}); len(found) != 1 {
		t.Errorf("a copy without what was given before: %v", found)
	}
}

// A violation shows the operations on the family concerned, the last of them if
// there are many, and no others.
func TestViolationIsShort(t *testing.T) {
	ops := []Op{at(0, 1, issue("a")), at(0, 1, issue("b"))}
	for i := range 2 * mostShown {
		ops = append(ops, at(2*i+2, 2*i+3, look("a", true)), at(2*i+2, 2*i+3, look("b", true)))
	}
	ops = append(ops, at(1000, 1001, look("a", false)))
	found := Check(ops, 0, Gateways{})
	if len(found) != 1 {
		t.Fatalf("%d violations", len(found))
	}
	text := found[0].String()
	if n := strings.Count(text, "\n"); n != mostShown+1 || strings.Contains(text, "uses b") || !strings.Contains(text, "active=false") {
		t.Errorf("%d lines:\n%s", n, text)
	}
}

// A history is bounded, and one with something missing is not judged.
func TestHistoryIsBounded(t *testing.T) {
	now := time.Duration(0)
	h := NewHistory(2, func() time.Duration { now++; return now })
	h.Add(Op{Kind: Issue, Node: 1, Outcome: Unknown})
	h.Settle(1)
	h.Add(Op{Kind: Issue, Node: 1, Outcome: Unknown})
	ops, err := h.Ops()
	if err != nil || len(ops) != 2 || ops[0].End != 1 || ops[0].Over != 2 || ops[1].End != 3 || ops[1].Over != 0 {
		t.Fatalf("%v, %v", ops, err)
	}
	h.Add(Op{Kind: Issue})
	if _, err := h.Ops(); err != ErrFull {
		t.Errorf("a history that is over its limit: %v", err)
	}
}
