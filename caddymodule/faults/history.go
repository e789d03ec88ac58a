package faults

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// Kind is what a client asked for.
type Kind int

const (
	Issue      Kind = iota + 1 // client_credentials (RFC 6749 §4.4)
	Authorize                  // an authorization code (§4.1.1)
	Redeem                     // tokens for a code (§4.1.3)
	Refresh                    // tokens for a refresh token (§6)
	Revoke                     // RFC 7009
	Introspect                 // RFC 7662
	Call                       // an API behind a node's gateway (RFC 6750)
	SignIn                     // name and password at the sign-in page
	Allow                      // consent at its page
	SignOut                    // at the page for it
	Register                   // a client (RFC 7591)
)

// Kinds are all of them.
var Kinds = []Kind{Issue, Authorize, Redeem, Refresh, Revoke, Introspect, Call, SignIn, Allow, SignOut, Register}

var kindNames = [...]string{
	Issue: "issue", Authorize: "authorize", Redeem: "redeem", Refresh: "refresh", Revoke: "revoke", Introspect: "introspect",
	Call: "call", SignIn: "sign in", Allow: "allow", SignOut: "sign out", Register: "register",
}

func (k Kind) String() string { return kindNames[k] }

// Outcome is what the client knows afterwards.
type Outcome int

const (
	// Acknowledged: it was answered with success.
	Acknowledged Outcome = iota + 1
	// Refused: it was answered that it will not be done (4xx).
	Refused
	// Unknown: no answer, half of one, or 503. It may have been done, or may
	// still be done later.
	Unknown
	// Wrong: an answer that no server may give, such as a success without what
	// was asked for, or 500.
	Wrong
)

var outcomeNames = [...]string{Acknowledged: "acknowledged", Refused: "refused", Unknown: "unknown", Wrong: "wrong"}

func (o Outcome) String() string { return outcomeNames[o] }

// Ref stands for a code, a token, or what else was given: the first 8 bytes of
// its SHA-256, in hex. Empty: there is none.
type Ref string

// RefOf is the reference of what was given.
func RefOf(secret string) Ref {
	if secret == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(secret))
	return Ref(hex.EncodeToString(sum[:8]))
}

// Op is one operation of one client. Times are since the history began, on a
// clock that only goes forward.
type Op struct {
	Kind    Kind
	Node    int  // which node was asked
	Rotates bool // the client is one whose refresh tokens are replaced at each use
	// Uses is what was presented: a code or a token, the page that is answered,
	// the sign-in under which a code is asked for, or the client that registered.
	Uses Ref
	// What an acknowledged operation gave.
	Code, Access, Refresh Ref
	// Page is a form that waits for an answer, Session a sign-in, Client one that
	// registered.
	Page, Session, Client Ref
	// Until is when an acknowledged code or access token ends at the earliest.
	Until time.Duration
	// Active is what an acknowledged introspection says, or a call that a gateway
	// let through; of one that it did not let through, it is false.
	Active bool
	// Whose a token is, a client and its user: those who asked for it, and those
	// that the answer to a look names. Empty where what is used says it.
	Whose string
	// Error is the OAuth error code, or what else the client saw.
	Error      string
	Outcome    Outcome
	Start, End time.Duration
	// Answered: an operation of which nothing is known was answered all the same
	// (503). Nobody works on it any more, but its write may still be queued.
	Answered bool
	// Over is when an operation of which nothing is known was over at the
	// latest, since its node had ended. 0: that is not known either.
	Over time.Duration
}

func (o Op) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%10.3fms %10.3fms  node %d  %-10s %-12s", ms(o.Start), ms(o.End), o.Node, o.Kind, o.Outcome)
	for _, part := range []struct {
		name string
		ref  Ref
	}{
		{"uses", o.Uses}, {"code", o.Code}, {"access", o.Access}, {"refresh", o.Refresh},
		{"page", o.Page}, {"session", o.Session}, {"client", o.Client},
	} {
		if part.ref != "" {
			fmt.Fprintf(&b, " %s %s", part.name, part.ref)
		}
	}
	if o.Whose != "" {
		fmt.Fprintf(&b, " of %s", o.Whose)
	}
	if o.looks() && o.Outcome == Acknowledged {
		fmt.Fprintf(&b, " active=%t", o.Active)
	}
	if o.Error != "" {
		fmt.Fprintf(&b, " (%s)", o.Error)
	}
	return b.String()
}

// looks reports whether the operation asks what a token is worth, and changes
// nothing.
func (o *Op) looks() bool { return o.Kind == Introspect || o.Kind == Call }

// gave is what an acknowledged operation gave.
func (o *Op) gave() []Ref {
	refs := []Ref{o.Code, o.Access, o.Refresh, o.Page, o.Session, o.Client}
	return slices.DeleteFunc(refs, func(ref Ref) bool { return ref == "" })
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// ErrFull says that a history holds no more.
var ErrFull = errors.New("the history is full")

// History collects operations. It is safe for concurrent use.
type History struct {
	now func() time.Duration

	mu   sync.Mutex
	ops  []Op
	most int
	full bool
}

// NewHistory makes a history of at most so many operations. now is the time
// since it began.
func NewHistory(most int, now func() time.Duration) *History {
	return &History{most: most, now: now}
}

// Now is the time since the history began.
func (h *History) Now() time.Duration { return h.now() }

// Add notes an operation that has ended just now. What does not fit is dropped,
// and Ops says so.
func (h *History) Add(o Op) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.ops) == h.most {
		h.full = true
		return
	}
	o.End = h.now() // under the lock: the operations lie in the order of their ends
	h.ops = append(h.ops, o)
}

// Settle notes that a node has ended: nothing that it was asked until now can
// be done any more.
func (h *History) Settle(node int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.now()
	for i := range h.ops {
		if o := &h.ops[i]; o.Node == node && o.Outcome == Unknown && o.Over == 0 {
			o.Over = now
		}
	}
}

// Ops are the operations so far, in the order in which they ended. ErrFull:
// some are missing.
func (h *History) Ops() ([]Op, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.full {
		return nil, ErrFull
	}
	return slices.Clone(h.ops), nil
}
