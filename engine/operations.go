package engine

import (
	"context"

	"github.com/gatehouse-auth/gatehouse/engine/internal/authorize"
	"github.com/gatehouse-auth/gatehouse/engine/internal/introspection"
	"github.com/gatehouse-auth/gatehouse/engine/internal/metadata"
	"github.com/gatehouse-auth/gatehouse/engine/internal/revocation"
	"github.com/gatehouse-auth/gatehouse/engine/internal/userinfo"
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// Authorization checks an authorization request and keeps it under a ticket.
func (e *Engine) Authorization(ctx context.Context, service model.ID, req AuthorizationRequest) (*AuthorizationResponse, error) {
	s, err := e.service(service)
	if err != nil {
		return nil, err
	}
	return authorize.Process(ctx, s.Realm, req)
}

// AuthorizationIssue answers an authorization request with a code.
func (e *Engine) AuthorizationIssue(ctx context.Context, service model.ID, req AuthorizationIssueRequest) (*AuthorizationIssueResponse, error) {
	s, err := e.service(service)
	if err != nil {
		return nil, err
	}
	return authorize.Issue(ctx, s.Realm, req)
}

// AuthorizationFail answers an authorization request with an error.
func (e *Engine) AuthorizationFail(ctx context.Context, service model.ID, req AuthorizationFailRequest) (*AuthorizationFailResponse, error) {
	s, err := e.service(service)
	if err != nil {
		return nil, err
	}
	return authorize.Fail(ctx, s.Realm, req)
}

// Token answers a token request.
func (e *Engine) Token(ctx context.Context, service model.ID, req TokenRequest) (*TokenResponse, error) {
	s, err := e.service(service)
	if err != nil {
		return nil, err
	}
	return s.tokens.Process(ctx, req)
}

// TokenIssue answers a token request whose action was PASSWORD with tokens.
func (e *Engine) TokenIssue(ctx context.Context, service model.ID, req TokenIssueRequest) (*TokenResponse, error) {
	s, err := e.service(service)
	if err != nil {
		return nil, err
	}
	return s.tokens.Issue(ctx, req)
}

// TokenFail answers a token request whose action was PASSWORD with an error.
func (e *Engine) TokenFail(ctx context.Context, service model.ID, req TokenFailRequest) (*TokenResponse, error) {
	s, err := e.service(service)
	if err != nil {
		return nil, err
	}
	return s.tokens.Fail(ctx, req)
}

// Introspection says what an access token is worth.
func (e *Engine) Introspection(ctx context.Context, service model.ID, req IntrospectionRequest) (*IntrospectionResponse, error) {
	s, err := e.service(service)
	if err != nil {
		return nil, err
	}
	return introspection.Process(ctx, s.Realm, req)
}

// StandardIntrospection answers an introspection request of RFC 7662.
func (e *Engine) StandardIntrospection(ctx context.Context, service model.ID, req StandardIntrospectionRequest) (*StandardIntrospectionResponse, error) {
	s, err := e.service(service)
	if err != nil {
		return nil, err
	}
	return introspection.Standard(ctx, s.Realm, req)
}

// Revocation answers a revocation request of RFC 7009.
func (e *Engine) Revocation(ctx context.Context, service model.ID, req RevocationRequest) (*RevocationResponse, error) {
	s, err := e.service(service)
	if err != nil {
		return nil, err
	}
	return revocation.Process(ctx, s.Realm, req)
}

// RevocationStream lets a gateway follow what is revoked. The error may be
// ErrTooManyFollowers, for which it comes again later.
func (e *Engine) RevocationStream(ctx context.Context, service model.ID, req RevocationStreamRequest) (*RevocationStreamResponse, error) {
	s, err := e.service(service)
	if err != nil {
		return nil, err
	}
	return s.revocations.Open(ctx, req)
}

// RevokeToken ends a token whoever holds it. It reports whether there was one.
func (e *Engine) RevokeToken(ctx context.Context, service model.ID, token string) (bool, error) {
	s, err := e.service(service)
	if err != nil {
		return false, err
	}
	return revocation.Token(ctx, s.Realm, token)
}

// RevokeGrants ends all grants of a subject, of a client, or of a subject at a
// client: one of the two may be empty or 0. What else must happen with it is
// written in the same transaction.
func (e *Engine) RevokeGrants(ctx context.Context, service model.ID, subject string, client model.ID, also ...store.Step) error {
	s, err := e.service(service)
	if err != nil {
		return err
	}
	return revocation.Grants(ctx, s.Realm, subject, client, also...)
}

// UserInfo checks a userinfo request.
func (e *Engine) UserInfo(ctx context.Context, service model.ID, req UserInfoRequest) (*UserInfoResponse, error) {
	s, err := e.service(service)
	if err != nil {
		return nil, err
	}
	return userinfo.Process(ctx, s.Realm, req)
}

// UserInfoIssue makes the content of a userinfo answer.
func (e *Engine) UserInfoIssue(ctx context.Context, service model.ID, req UserInfoIssueRequest) (*UserInfoIssueResponse, error) {
	s, err := e.service(service)
	if err != nil {
		return nil, err
	}
	return userinfo.Issue(ctx, s.Realm, req)
}

// ServiceConfiguration returns the discovery document (OpenID Connect
// Discovery §3, RFC 8414 §2) as JSON.
func (e *Engine) ServiceConfiguration(_ context.Context, service model.ID) ([]byte, error) {
	s, err := e.service(service)
	if err != nil {
		return nil, err
	}
	return metadata.Configuration(s.Realm)
}

// ServiceJWKS returns the service's JWK Set, public keys alone, as JSON.
func (e *Engine) ServiceJWKS(_ context.Context, service model.ID) ([]byte, error) {
	s, err := e.service(service)
	if err != nil {
		return nil, err
	}
	return metadata.JWKS(s.Realm)
}

// RotateKeys adds a new key for each of the algorithms and retires the ones
// before. It returns the new key ids. ErrKeysGiven: they stand in a setting.
func (e *Engine) RotateKeys(ctx context.Context, service model.ID, algs []string, plan Rotation) ([]string, error) {
	s, err := e.service(service)
	if err != nil {
		return nil, err
	}
	return s.Keys.Rotate(ctx, algs, plan, e.house.Now())
}

// ImportKeys adds the private keys of a JWK Set, and retires those of the same
// algorithms before them. It returns the new key ids. ErrKeysGiven: they stand
// in a setting.
func (e *Engine) ImportKeys(ctx context.Context, service model.ID, jwks string, plan Rotation) ([]string, error) {
	s, err := e.service(service)
	if err != nil {
		return nil, err
	}
	return s.Keys.Import(ctx, jwks, plan, e.house.Now())
}
