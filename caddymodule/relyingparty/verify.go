package relyingparty

import (
	"bytes"
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwk"
	"github.com/lestrrat-go/jwx/v2/jws"
)

const (
	clockSkew  = time.Minute
	maxSubject = 255 // OpenID Connect Core §2
)

// keySet gives go-oidc the provider's keys for one verification. go-oidc's own
// fetches them for every unknown kid.
type keySet struct {
	provider *provider
	metadata *metadata
	err      error // of the fetch, which go-oidc's errors do not wrap
}

// VerifySignature is part of oidc.KeySet.
func (s *keySet) VerifySignature(ctx context.Context, token string) ([]byte, error) {
	set, got, err := s.provider.keys.get(ctx, s.fetch)
	if err != nil {
		s.err = unavailable("JWK Set", err)
		return nil, err
	}
	payload, err := verifySignature(token, set)
	if err == nil {
		return payload, nil
	}
	// The key may be a new one (OpenID Connect Core §10.1.1).
	newer, at, fetchErr := s.provider.keys.after(ctx, got, s.fetch)
	if fetchErr != nil || !at.After(got) {
		return nil, err
	}
	return verifySignature(token, newer)
}

func verifySignature(token string, set jwk.Set) ([]byte, error) {
	return jws.Verify([]byte(token), jws.WithKeyProvider(jws.KeyProviderFunc(
		func(_ context.Context, sink jws.KeySink, sig *jws.Signature, _ *jws.Message) error {
			offer(set, sink, sig.ProtectedHeaders())
			return nil
		})))
}

// offer offers the keys that a signature's header may mean. The algorithm is
// the key's, or one that a key of its kind can have: the header alone decides
// nothing.
func offer(set jwk.Set, sink jws.KeySink, header jws.Headers) {
	for i := range set.Len() {
		key, _ := set.Key(i)
		if header.KeyID() != "" && key.KeyID() != header.KeyID() || key.KeyUsage() != "" && key.KeyUsage() != string(jwk.ForSignature) {
			continue
		}
		if alg := key.Algorithm().String(); alg != "" && alg != header.Algorithm().String() {
			continue
		}
		if algs, err := jws.AlgorithmsForKey(key); err == nil && key.KeyType() != jwa.OctetSeq && slices.Contains(algs, header.Algorithm()) {
			sink.Key(header.Algorithm(), key)
		}
	}
}

// fetch gets the JWK Set.
func (s *keySet) fetch(ctx context.Context) (jwk.Set, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.metadata.JWKSURI, nil)
	if err != nil {
		return nil, err
	}
	resp, err := s.provider.client.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("status %d", resp.StatusCode)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	set, err := jwk.Parse(body, jwk.WithIgnoreParseError(true)) // of a key of an unknown kind (RFC 7517 §5)
	if err != nil {
		return nil, clip(err)
	}
	return set, nil
}

func (p *provider) verifier(m *metadata) (*oidc.IDTokenVerifier, *keySet) {
	keys := &keySet{provider: p, metadata: m}
	return oidc.NewVerifier(p.issuer, keys, &oidc.Config{ClientID: p.clientID, SupportedSigningAlgs: m.Algorithms, Now: p.now}), keys
}

// identity is what a verified ID token says.
type identity struct {
	subject, session string // sub, sid
	acr              string
	issuedAt         int64 // iat, Unix seconds
	authTime         int64 // auth_time, Unix seconds; 0: not said
}

// verifyIDToken checks an ID token (OpenID Connect Core §3.1.3.7, §12.2); an
// empty nonce means that none is expected. The error is errRefused or
// errUnavailable.
func (p *provider) verifyIDToken(ctx context.Context, m *metadata, raw, nonce, accessToken string) (*identity, error) {
	verifier, keys := p.verifier(m)
	token, err := verifier.Verify(ctx, raw)
	if keys.err != nil {
		return nil, keys.err
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errRefused, clip(err))
	}
	var claims struct {
		AuthorizedParty string      `json:"azp"`
		Session         string      `json:"sid"`
		ACR             string      `json:"acr"`
		AuthTime        json.Number `json:"auth_time"`
	}
	if err := token.Claims(&claims); err != nil {
		return nil, fmt.Errorf("%w: %w", errRefused, clip(err))
	}
	id := &identity{subject: token.Subject, session: claims.Session, acr: claims.ACR, issuedAt: token.IssuedAt.Unix()}
	id.authTime, _ = claims.AuthTime.Int64()
	switch now := p.now(); {
	case token.Subject == "" || len(token.Subject) > maxSubject:
		err = errors.New("no sub, or too long a one")
	case token.IssuedAt.IsZero() || token.IssuedAt.After(now.Add(clockSkew)):
		err = errors.New("no iat, or one in the future")
	case nonce != "" && subtle.ConstantTimeCompare([]byte(token.Nonce), []byte(nonce)) != 1:
		err = errors.New("another nonce")
	case claims.AuthorizedParty != "" && claims.AuthorizedParty != p.clientID,
		claims.AuthorizedParty == "" && len(token.Audience) > 1:
		err = errors.New("meant for another client (azp)")
	case token.AccessTokenHash != "" && token.VerifyAccessToken(accessToken) != nil:
		err = errors.New("at_hash is another access token's")
	}
	if err != nil {
		return nil, fmt.Errorf("%w: ID token: %w", errRefused, err)
	}
	return id, nil
}

// verifyLogoutToken checks a logout token (OpenID Connect Back-Channel Logout
// §2.6). The error is errRefused or errUnavailable.
func (p *provider) verifyLogoutToken(ctx context.Context, m *metadata, raw string) (*oidc.LogoutToken, error) {
	verifier, keys := p.verifier(m)
	token, err := verifier.VerifyLogout(ctx, raw)
	if keys.err != nil {
		return nil, keys.err
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errRefused, clip(err))
	}
	var claims struct {
		Events map[string]json.RawMessage `json:"events"`
	}
	if err := token.Claims(&claims); err != nil {
		return nil, fmt.Errorf("%w: %w", errRefused, clip(err))
	}
	event := bytes.TrimSpace(claims.Events["http://schemas.openid.net/event/backchannel-logout"])
	switch {
	case len(event) == 0 || event[0] != '{':
		err = errors.New("the event is not an object")
	case token.IssuedAt.IsZero() || token.IssuedAt.After(p.now().Add(clockSkew)):
		err = errors.New("no iat, or one in the future")
	case !isLogoutType(raw):
		err = errors.New("typ is another token's")
	}
	if err != nil {
		return nil, fmt.Errorf("%w: logout token: %w", errRefused, err)
	}
	return token, nil
}

// isLogoutType looks at typ, which is recommended and not required (§2.4).
func isLogoutType(raw string) bool {
	message, err := jws.Parse([]byte(raw))
	if err != nil || len(message.Signatures()) != 1 {
		return false
	}
	switch message.Signatures()[0].ProtectedHeaders().Type() {
	case "", "JWT", "logout+jwt", "application/logout+jwt":
		return true
	}
	return false
}
