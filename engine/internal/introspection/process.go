package introspection

import (
	"context"
	"slices"
	"strings"

	"github.com/gatehouse-auth/gatehouse/engine/internal/oautherr"
	"github.com/gatehouse-auth/gatehouse/engine/internal/realm"
	"github.com/gatehouse-auth/gatehouse/engine/model"
)

// Request asks what an access token is worth.
type Request struct {
	Token string
	// Scopes that the token must cover, and the Subject that it must belong
	// to; both may be empty.
	Scopes  []string
	Subject string
}

// Response says what an access token is worth.
//
//   - OK: it is good, and sufficient.
//   - BAD_REQUEST: there was no token.
//   - UNAUTHORIZED: it is not good.
//   - FORBIDDEN: it is good but does not suffice.
//
// ResponseContent is the value for WWW-Authenticate (RFC 6750 §3).
type Response struct {
	Action          model.Action
	ResponseContent string

	Usable     bool // it is good
	Sufficient bool // it covers the scopes and belongs to the subject

	Token       model.ID
	Client      model.ID
	ClientAlias string
	Grant       model.ID
	Subject     string // empty: the client acts for itself
	Scopes      []string
	Audience    []string
	ExpiresAt   int64 // Unix seconds
	IssuedAt    int64 // Unix seconds
	AuthTime    int64 // Unix seconds; 0: unknown
	ACR         string
	AMR         []string
	Properties  []model.Property
}

// Process answers an introspection request. The error is the store's.
func Process(ctx context.Context, r *realm.Realm, req Request) (*Response, error) {
	f, resp, err := Judge(ctx, r, req)
	if err != nil || f == nil {
		return resp, err
	}
	resp.Usable, resp.Sufficient = true, resp.Action == model.ActionOK
	resp.Token, resp.Client, resp.ClientAlias, resp.Grant = f.ID, f.Client.ID, f.Client.Alias, f.Grant.ID
	resp.Subject, resp.Scopes, resp.Audience = f.Grant.Subject, f.Scopes, f.Audience
	resp.ExpiresAt, resp.IssuedAt = f.ExpiresAt, f.IssuedAt()
	resp.AuthTime, resp.ACR, resp.AMR = f.Grant.AuthTime, f.Grant.Claims.ACR, f.Grant.Claims.AMR
	resp.Properties = f.Grant.Claims.Properties
	return resp, nil
}

// Judge finds an access token and holds it against what is asked of it. The
// response has its action and challenge alone; the token is nil when it is not
// good.
func Judge(ctx context.Context, r *realm.Realm, req Request) (*Found, *Response, error) {
	if req.Token == "" {
		return nil, challenge(model.ActionBadRequest, oautherr.InvalidRequest, "the access token is missing", nil), nil
	}
	f, err := FindAccess(ctx, r, req.Token)
	if err != nil {
		return nil, nil, err
	}
	switch {
	case f == nil:
		return nil, challenge(model.ActionUnauthorized, oautherr.InvalidToken, "the access token is unknown, has expired or was revoked", nil), nil
	case req.Subject != "" && req.Subject != f.Grant.Subject:
		return f, challenge(model.ActionForbidden, oautherr.InvalidRequest, "the access token belongs to another subject", nil), nil
	case !covers(f.Scopes, req.Scopes):
		return f, challenge(model.ActionForbidden, oautherr.InsufficientScope, "the access token does not cover the required scopes", req.Scopes), nil
	default:
		return f, &Response{Action: model.ActionOK}, nil
	}
}

func covers(have, want []string) bool {
	for _, scope := range want {
		if !slices.Contains(have, scope) {
			return false
		}
	}
	return true
}

// challenge makes a WWW-Authenticate value. Scopes were printable ASCII without
// quotation marks when the service was configured, and the texts are ours.
func challenge(action model.Action, code, description string, scopes []string) *Response {
	var b strings.Builder
	b.WriteString(`Bearer error="` + code + `", error_description="` + description + `"`)
	if len(scopes) > 0 {
		b.WriteString(`, scope="` + oautherr.Text(strings.Join(scopes, " ")) + `"`)
	}
	return &Response{Action: action, ResponseContent: b.String()}
}
