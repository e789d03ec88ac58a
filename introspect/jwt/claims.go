package jwt

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/gatehouse-auth/gatehouse/introspect"
)

const typeAccessToken = "at+jwt" // RFC 9068 §2.1

// complete makes facts about a token out of its claims. A cnf that names a key
// by jkt makes it one for DPoP (RFC 9449 §6.1). The names by which this engine
// revokes are not another issuer's to give.
func complete(f *introspect.Facts) {
	f.Active = true
	f.Ref = introspect.Ref{}
	f.TokenType = "Bearer"
	if cnf, ok := f.Claims["cnf"].(map[string]any); ok {
		if jkt, _ := cnf["jkt"].(string); jkt != "" {
			f.TokenType = "DPoP"
		}
	}
	for _, name := range [...]string{"azp", "cid", "appid"} {
		if f.ClientID == "" {
			f.ClientID, _ = f.Claims[name].(string)
		}
	}
}

// judge checks what RFC 9068 §4 and promise 10 require of claims whose
// signature is good. sub, client_id and jti are for those who need them.
func (i *Introspector) judge(f *introspect.Facts, typ string) error {
	now := i.options.Now()
	late, early := now.Add(-i.options.Skew).Unix(), now.Add(i.options.Skew).Unix()
	switch {
	case f.Issuer != i.options.Issuer:
		return fmt.Errorf("%w: iss", ErrInvalid)
	case !slices.ContainsFunc(f.Audience, func(aud string) bool { return slices.Contains(i.options.Audience, aud) }):
		return fmt.Errorf("%w: aud", ErrInvalid)
	case f.ExpiresAt == 0 || f.ExpiresAt <= late:
		return fmt.Errorf("%w: exp", ErrInvalid)
	case f.IssuedAt == 0 || f.IssuedAt > early:
		return fmt.Errorf("%w: iat", ErrInvalid)
	case notBefore(f) > early:
		return fmt.Errorf("%w: nbf", ErrInvalid)
	case typ != typeAccessToken && otherToken(f):
		return fmt.Errorf("%w: not an access token", ErrInvalid)
	}
	return nil
}

// notBefore returns nbf, which ParseFacts has found to be a whole number, or 0.
func notBefore(f *introspect.Facts) int64 {
	number, ok := f.Claims["nbf"].(json.Number)
	if !ok {
		return 0
	}
	seconds, _ := number.Int64()
	return seconds
}

// otherToken reports whether claims under a type that says nothing are those of
// an ID token (OpenID Connect Core §2, §3.1.3.6, §3.3.2.11) or of a logout token
// (OpenID Connect Back-Channel Logout §2.4). An ID token is for its client.
func otherToken(f *introspect.Facts) bool {
	for _, name := range [...]string{"nonce", "at_hash", "c_hash", "s_hash", "events"} {
		if _, ok := f.Claims[name]; ok {
			return true
		}
	}
	return f.ClientID != "" && slices.Contains(f.Audience, f.ClientID)
}
