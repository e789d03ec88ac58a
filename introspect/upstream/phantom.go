package upstream

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/introspect"
)

const (
	// DefaultLifetime is that of a [Phantom]'s tokens. A token that is revoked
	// at the gateway lives on upstream for as long at most.
	DefaultLifetime = time.Minute
	maxLifetime     = time.Hour

	typeAccessToken = "at+jwt" // RFC 9068 §2.1
)

// PhantomOptions configure a [Phantom].
type PhantomOptions struct {
	// Signer signs the tokens.
	Signer *Signer
	// Issuer is what the gateway calls itself: the tokens' iss. It is required.
	Issuer string
	// Audience names the resource: the tokens' aud. It is required (RFC 9068 §3).
	Audience []string
	// Lifetime is that of a token unless the one it stands for ends earlier: at
	// least a second, at most an hour, 0 means [DefaultLifetime].
	Lifetime time.Duration
	// Claims are passed on besides those that every token has; "*" alone means
	// whatever was said of the token.
	Claims []string
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Random is read for jti, concurrently; nil means crypto/rand's Reader.
	Random io.Reader
}

func (o PhantomOptions) withDefaults() (PhantomOptions, error) {
	var errs []error
	if o.Signer == nil {
		errs = append(errs, errors.New("there is no signer"))
	}
	if o.Issuer == "" {
		errs = append(errs, errors.New("the issuer is missing"))
	}
	if len(o.Audience) == 0 || slices.Contains(o.Audience, "") {
		errs = append(errs, errors.New("the audience is missing"))
	}
	o.Lifetime = cmp.Or(o.Lifetime, DefaultLifetime)
	if o.Lifetime < time.Second || o.Lifetime > maxLifetime {
		errs = append(errs, fmt.Errorf("the lifetime must be between a second and %s, is %s", maxLifetime, o.Lifetime))
	}
	for _, name := range o.Claims {
		if slices.Contains(ownClaims, name) || name == "*" && len(o.Claims) > 1 {
			errs = append(errs, fmt.Errorf("the claim %q is no choice: every token has it, or none may", name))
		}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Random == nil {
		o.Random = rand.Reader
	}
	if err := errors.Join(errs...); err != nil {
		return o, fmt.Errorf("phantom token: %w", err)
	}
	return o, nil
}

// ownClaims are those that a phantom token has of its own or must not have. cnf
// is among these: the resource cannot see what the client proved possession of
// its key with, and one that knows RFC 7800 would refuse every token. Neither do
// the times and the id of the token it stands for hold for it.
var ownClaims = []string{"", "iss", "sub", "aud", "client_id", "scope", "iat", "nbf", "exp", "jti", "auth_time", "acr", "amr", "cnf", "active", "token_type"}

// Phantom makes, of an access token's facts, a JWT access token (RFC 9068) of
// the gateway's own, for a resource that can verify a JWT and not ask about an
// opaque token. The token that the client sent is not in it.
//
// It says iss, aud, client_id, iat, exp, jti; sub, which is the client's own id
// for a token without a user (RFC 9068 §2.2); scope, auth_time, acr and amr if
// they are known. A sub is unique within one issuer, and iss here is the
// gateway: a route that takes tokens of several issuers should not make phantom
// tokens for a resource that goes by sub alone.
type Phantom struct {
	options  PhantomOptions
	audience any
	tokens   *introspect.Derivation[string]
}

// NewPhantom returns a Phantom, which its owner closes.
func NewPhantom(o PhantomOptions) (*Phantom, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	p := &Phantom{options: o, audience: o.Audience}
	if len(o.Audience) == 1 {
		p.audience = o.Audience[0] // RFC 7519 §4.1.3
	}
	p.tokens = introspect.NewDerivation(p.make, introspect.DerivationOptions{Now: o.Now})
	return p, nil
}

// Token is part of [Tokens].
func (p *Phantom) Token(ctx context.Context, token string, f *introspect.Facts) (string, error) {
	return p.tokens.Of(ctx, token, f)
}

// Close ends what is under way.
func (p *Phantom) Close() { p.tokens.Close() }

func (p *Phantom) make(_ context.Context, token string, f *introspect.Facts) (string, time.Time, error) {
	claims, expires, err := p.claims(token, f)
	if err != nil {
		return "", time.Time{}, err
	}
	body, err := json.Marshal(claims)
	if err != nil {
		return "", time.Time{}, fmt.Errorf("phantom token: %w", err)
	}
	signed, err := p.options.Signer.Sign(typeAccessToken, body)
	if err == nil && len(signed) > introspect.DefaultMaxTokenLength {
		err = fmt.Errorf("phantom token: more than %d bytes; choose fewer claims", introspect.DefaultMaxTokenLength)
	}
	return signed, time.Unix(expires, 0), err
}

func (p *Phantom) claims(token string, f *introspect.Facts) (map[string]any, int64, error) {
	var id [16]byte
	if _, err := io.ReadFull(p.options.Random, id[:]); err != nil {
		return nil, 0, fmt.Errorf("phantom token: %w", err)
	}
	now := p.options.Now()
	expires := now.Add(p.options.Lifetime).Unix()
	if f.ExpiresAt != 0 {
		expires = min(expires, f.ExpiresAt)
	}
	claims := p.chosen(token, f)
	claims["iss"], claims["aud"] = p.options.Issuer, p.audience
	claims["iat"], claims["exp"] = now.Unix(), expires
	claims["jti"] = base64.RawURLEncoding.EncodeToString(id[:])
	for name, value := range map[string]string{
		"sub": cmp.Or(f.Subject, f.ClientID), "client_id": f.ClientID, "scope": strings.Join(f.Scopes, " "),
	} {
		if value != "" {
			claims[name] = value
		}
	}
	for _, name := range [...]string{"auth_time", "acr", "amr"} {
		if value, ok := f.Claim(name); ok {
			claims[name] = value
		}
	}
	return claims, expires, nil
}

// chosen are the claims that are passed on by choice. An authorization server
// that repeats the token in its answer does not get it upstream.
func (p *Phantom) chosen(token string, f *introspect.Facts) map[string]any {
	claims := make(map[string]any, len(f.Claims)+len(ownClaims))
	add := func(name string) {
		if value, ok := f.Claim(name); ok && value != any(token) && !slices.Contains(ownClaims, name) {
			claims[name] = value
		}
	}
	for _, name := range p.options.Claims {
		if name != "*" {
			add(name)
			continue
		}
		for name := range f.Claims {
			add(name)
		}
	}
	return claims
}
