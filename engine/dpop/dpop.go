// Package dpop checks DPoP proofs (RFC 9449): JWTs by which a client shows, for
// one request, that it holds the private key which its access token is bound
// to. It does no HTTP and remembers nothing: whoever has a [Checker] sees to it
// that a proof is used once (§11.1).
package dpop

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net/url"
	"slices"
	"time"
)

// DefaultMaxAge is how long after its iat a proof is usually good.
const DefaultMaxAge = time.Minute

const (
	maxWindow = time.Hour // of MaxAge and Skew: how long a used proof may have to be remembered
	maxJTI    = 128       // bytes
)

// Options say which proofs are good.
type Options struct {
	// Algorithms are the values of alg that are accepted, among ES256, ES384,
	// ES512, EdDSA, Ed25519 (RFC 9864), PS256, PS384, PS512, RS256, RS384 and
	// RS512. None means ES256, Ed25519, EdDSA and PS256: those of FAPI 2.0, all
	// of them cheap to verify.
	Algorithms []string
	// MaxAge is how long after its iat a proof is good; 0 means
	// [DefaultMaxAge]. Skew is how much later than now iat may be. Both count
	// in whole seconds, and come to an hour at most.
	MaxAge, Skew time.Duration
	// RequireNonce demands a nonce of [Checker.NewNonce] in every proof (RFC
	// 9449 §8, §9), so that none can be made in store for later. The iat counts
	// nevertheless.
	RequireNonce bool
	// NonceKey is the secret of the nonces, 32 random bytes. Nodes that share
	// it take each other's. Without one it is drawn, and a client that comes to
	// another node is asked once more.
	NonceKey []byte
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Random is where a NonceKey is drawn from; nil means crypto/rand.
	Random io.Reader
}

// Checker checks proofs. It is safe for concurrent use.
type Checker struct {
	algorithms   []string
	maxAge, skew int64 // seconds
	requireNonce bool
	nonces       nonces
	now          func() time.Time
}

// New makes a checker. It fails on options out of bounds, and without random
// bytes for a nonce key.
func New(o Options) (*Checker, error) {
	if len(o.Algorithms) == 0 {
		o.Algorithms = []string{"ES256", "Ed25519", "EdDSA", "PS256"}
	}
	for _, name := range o.Algorithms {
		if _, ok := algorithms[name]; !ok {
			return nil, fmt.Errorf("dpop: %q is no algorithm for proofs", name)
		}
	}
	if o.MaxAge == 0 {
		o.MaxAge = DefaultMaxAge
	}
	switch {
	case o.MaxAge < time.Second, o.Skew < 0, o.MaxAge > maxWindow, o.Skew > maxWindow-o.MaxAge:
		return nil, fmt.Errorf("dpop: a proof's age of %v and skew of %v are out of bounds", o.MaxAge, o.Skew)
	case len(o.NonceKey) != 0 && len(o.NonceKey) != nonceKeySize:
		return nil, fmt.Errorf("dpop: the nonce key is not of %d bytes", nonceKeySize)
	}
	c := &Checker{
		algorithms: slices.Clone(o.Algorithms), maxAge: int64(o.MaxAge / time.Second), skew: int64(o.Skew / time.Second),
		requireNonce: o.RequireNonce, now: o.Now,
	}
	if c.now == nil {
		c.now = time.Now
	}
	if o.Random == nil {
		o.Random = rand.Reader
	}
	copy(c.nonces.key[:], o.NonceKey)
	if len(o.NonceKey) == 0 {
		if _, err := io.ReadFull(o.Random, c.nonces.key[:]); err != nil {
			return nil, fmt.Errorf("dpop: nonce key: %w", err)
		}
	}
	return c, nil
}

// Algorithms returns the accepted algorithms, for dpop_signing_alg_values_supported
// and the challenge's algs (RFC 9449 §5.1, §7.1).
func (c *Checker) Algorithms() []string { return slices.Clone(c.algorithms) }

// NewNonce returns the nonce that a client is to use from now on, for the
// DPoP-Nonce header (RFC 9449 §8). It is the same for everybody, and changes
// every five minutes.
func (c *Checker) NewNonce() string { return c.nonces.at(slotOf(c.now())) }

// Request is the request that a proof has to be about.
type Request struct {
	// Method is its method, Target the URL that it was sent to: query and
	// fragment do not count. The target's origin must be known beforehand, not
	// taken from Host or Forwarded: whoever gets hold of a proof for another
	// server could choose those.
	Method string
	Target *url.URL
	// AccessToken is the one that comes with it; without any, the proof needs
	// no ath.
	AccessToken string
	// JKT is the thumbprint of the key that must be the proof's; without any,
	// any key is good, and what is granted is to be bound to [Proof.JKT].
	JKT string
}

// Proof is a proof that was checked.
type Proof struct {
	JKT      string // RFC 7638 SHA-256 thumbprint of its key, base64url
	JTI      string // the key's holder gives each to one proof
	IssuedAt int64  // iat, Unix seconds
	Nonce    string // "" if it has none
}

// Codes of [Error] (RFC 9449 §5, §8; RFC 6750 §3.1).
const (
	CodeInvalidProof = "invalid_dpop_proof"
	CodeUseNonce     = "use_dpop_nonce"
	CodeInvalidToken = "invalid_token"
)

// Error says why a proof is not good. It quotes nothing of the proof's.
type Error struct {
	// Code is CodeUseNonce when a proof with a nonce may do better,
	// CodeInvalidToken when the key is another than Request.JKT, and
	// CodeInvalidProof otherwise.
	Code        string
	Description string // a clause for the client's developer
	Cause       error  // for the log; nil if the description says it all
}

// Error describes the failure, cause included.
func (e *Error) Error() string {
	if e.Cause == nil {
		return e.Description
	}
	return e.Description + ": " + e.Cause.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

func invalid(description string, cause error) error {
	return &Error{Code: CodeInvalidProof, Description: description, Cause: cause}
}

// Check checks the values of a request's DPoP header as RFC 9449 §4.3 demands:
// what is cheap first, the signature last. That the proof has not been used
// before is left to the caller, who spends it by its JKT and JTI together, and
// remembers that for as long as [Checker.Window] says.
//
// Its errors are [*Error]s. Any other says that Request.Target is no URL of
// http or https.
func (c *Checker) Check(header []string, request Request) (*Proof, error) {
	p, err := c.read(header)
	if err != nil {
		return nil, err
	}
	if err := c.judge(p, request); err != nil {
		return nil, err
	}
	if err := p.verify(); err != nil {
		return nil, invalid("the signature of the DPoP proof is wrong", err)
	}
	return &Proof{JKT: p.key.thumbprint, JTI: p.jti, IssuedAt: p.iat, Nonce: p.nonce}, nil
}

// Window is how long a proof that was good once can be good: from the moment
// when its iat was as far ahead as it may be.
func (c *Checker) Window() time.Duration {
	return time.Duration(c.maxAge+c.skew+1) * time.Second
}

// judge holds a proof against the request that it came with.
func (c *Checker) judge(p *proof, request Request) error {
	target, err := Normalize(request.Target)
	if err != nil {
		return fmt.Errorf("dpop: the request's target: %w", err)
	}
	htu, err := normalizeText(p.htu)
	now := c.now()
	age := now.Unix() - p.iat
	switch {
	case p.htm != request.Method:
		return invalid("the DPoP proof is for another method (htm)", nil)
	case err != nil, htu != target:
		return invalid("the DPoP proof is for another URL (htu)", err)
	case age > c.maxAge, age < -c.skew:
		return invalid("the DPoP proof is too old, or of the future (iat)", nil)
	case c.requireNonce && !c.nonces.valid(p.nonce, now):
		return &Error{Code: CodeUseNonce, Description: "the DPoP proof needs the nonce of the DPoP-Nonce header"}
	case request.AccessToken != "" && p.ath != hash(request.AccessToken):
		return invalid("the DPoP proof is for another access token (ath)", nil)
	case request.JKT != "" && p.key.thumbprint != request.JKT:
		return &Error{Code: CodeInvalidToken, Description: "the access token is bound to another key than the DPoP proof's"}
	}
	return nil
}

// hash is the SHA-256 of a token, base64url (RFC 9449 §4.2).
func hash(token string) string {
	sum := sha256.Sum256([]byte(token))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
