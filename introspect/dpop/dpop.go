// Package dpop guards resources with DPoP (RFC 9449): a [Resource] accepts
// access tokens that are bound to a key from whoever proves to hold it. The
// checks of the proof itself are package engine/dpop's; this one remembers which
// proofs were used, and answers over HTTP.
package dpop

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/engine/dpop"
	"github.com/gatehouse-auth/gatehouse/introspect"
)

// Defaults of [Options].
const (
	DefaultMaxAge     = dpop.DefaultMaxAge
	DefaultSkew       = 5 * time.Second
	DefaultMaxReplays = 1 << 20
)

// Options say which proofs are good. The zero value is a good choice.
type Options struct {
	// Algorithms, MaxAge, RequireNonce and NonceKey are those of [dpop.Options].
	Algorithms   []string
	MaxAge       time.Duration
	RequireNonce bool
	NonceKey     []byte
	// Skew is how much later than now iat may be; 0 means [DefaultSkew].
	Skew time.Duration
	// MaxReplays bounds how many used proofs are remembered, which takes some
	// 40 bytes each; 0 means [DefaultMaxReplays]. One is remembered for MaxAge
	// and Skew and a few seconds, at most twice that. When no more fit, proofs
	// are refused with 503, as forgetting one would let it be used again.
	MaxReplays int
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Random is where NonceKey and the replay cache's secret come from; nil
	// means crypto/rand.
	Random io.Reader
}

// Request is the request that a proof has to be about, and Proof one that was
// checked.
type (
	Request = dpop.Request
	Proof   = dpop.Proof
)

// Verifier checks proofs. It remembers, in this process, which ones were used:
// behind many nodes a proof could be used once at each while its iat is good,
// unless they demand nonces under keys of their own. It is safe for concurrent
// use and has nothing to close.
type Verifier struct {
	checker *dpop.Checker
	replays *replays
	now     func() time.Time
}

// New makes a verifier. It fails on options out of bounds, and without random
// bytes.
func New(o Options) (*Verifier, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Random == nil {
		o.Random = rand.Reader
	}
	if o.MaxReplays < 0 {
		return nil, errors.New("dpop: the replay cache has no size")
	}
	checker, err := dpop.New(dpop.Options{
		Algorithms: o.Algorithms, MaxAge: o.MaxAge, Skew: cmp.Or(o.Skew, DefaultSkew),
		RequireNonce: o.RequireNonce, NonceKey: o.NonceKey, Now: o.Now, Random: o.Random,
	})
	if err != nil {
		return nil, err
	}
	v := &Verifier{checker: checker, replays: newReplays(cmp.Or(o.MaxReplays, DefaultMaxReplays), checker.Window()), now: o.Now}
	if _, err := io.ReadFull(o.Random, v.replays.secret[:]); err != nil {
		return nil, fmt.Errorf("dpop: secret of the replay cache: %w", err)
	}
	return v, nil
}

// Algorithms are [dpop.Checker.Algorithms].
func (v *Verifier) Algorithms() []string { return v.checker.Algorithms() }

// NewNonce is [dpop.Checker.NewNonce].
func (v *Verifier) NewNonce() string { return v.checker.NewNonce() }

// Check checks the values of a request's DPoP header as RFC 9449 §4.3 demands,
// and uses the proof up. Only what is good in every respect is remembered.
//
// Its errors are [*introspect.Refusal]s: 401 invalid_dpop_proof, 401
// use_dpop_nonce with a nonce, 401 invalid_token for another key than
// Request.JKT, 503 when the replay cache is full. Any other error says that
// Request.Target is no URL of http or https.
func (v *Verifier) Check(header []string, request Request) (*Proof, error) {
	proof, err := v.checker.Check(header, request)
	if err != nil {
		return nil, v.refusal(err)
	}
	switch v.replays.use(proof.JKT, proof.JTI, v.now()) {
	case replayed:
		return nil, refuse(dpop.CodeInvalidProof, "The DPoP proof was used before.", nil)
	case full:
		return nil, &introspect.Refusal{
			Status: http.StatusServiceUnavailable, Code: introspect.CodeTemporarilyUnavailable, Reason: introspect.ReasonUnavailable,
			Description: "DPoP proofs cannot be checked at the moment. Try again later.",
			Scheme:      introspect.SchemeDPoP, RetryAfter: introspect.DefaultRetryAfter, Cause: errFull,
		}
	}
	return proof, nil
}

// refusal answers for a proof that is not good.
func (v *Verifier) refusal(err error) error {
	bad, is := errors.AsType[*dpop.Error](err)
	if !is {
		return err
	}
	refusal := refuse(bad.Code, strings.ToUpper(bad.Description[:1])+bad.Description[1:]+".", bad.Cause)
	if bad.Code == dpop.CodeUseNonce {
		refusal.Nonce = v.NewNonce()
	}
	return refusal
}

func refuse(code, description string, cause error) *introspect.Refusal {
	return &introspect.Refusal{
		Status: http.StatusUnauthorized, Code: code, Reason: introspect.ReasonProof,
		Description: description, Scheme: introspect.SchemeDPoP, Cause: cause,
	}
}
