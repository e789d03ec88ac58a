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
	// TokenType is the token's type (RFC 6749 §7.1), and Confirmation what it is
	// bound to, if anything: that its sender proves this is left to the caller.
	TokenType    string
	Confirmation model.Confirmation
}

// Process answers an introspection request. The error is the store's.
func Process(ctx context.Context, r *realm.Realm, req Request) (*Response, error) {
	f, objection, err := Find(ctx, r, req.Token)
	if err != nil {
		return nil, err
	}
	if objection == nil {
		objection = f.Objection(req)
	}
	resp := &Response{Action: model.ActionOK}
	if objection != nil {
		resp.Action, resp.ResponseContent = objection.Action, objection.Challenge("Bearer")
	}
	if f == nil {
		return resp, nil
	}
	resp.Usable, resp.Sufficient = true, objection == nil
	resp.Token, resp.Client, resp.ClientAlias, resp.Grant = f.ID, f.Client.ID, f.Client.Alias, f.Grant.ID
	resp.Subject, resp.Scopes, resp.Audience = f.Grant.Subject, f.Scopes, f.Audience
	resp.ExpiresAt, resp.IssuedAt = f.ExpiresAt, f.IssuedAt()
	resp.AuthTime, resp.ACR, resp.AMR = f.Grant.AuthTime, f.Grant.Claims.ACR, f.Grant.Claims.AMR
	resp.Properties = f.Grant.Claims.Properties
	resp.TokenType, resp.Confirmation = r.TokenType(f.Confirmation), f.Confirmation
	return resp, nil
}

// Objection is why an access token does not do.
type Objection struct {
	Action      model.Action // BAD_REQUEST, UNAUTHORIZED or FORBIDDEN
	Code        string
	Description string
	Scopes      []string // those that are required, when they are missing
}

// Find finds an access token that is good; otherwise there is an objection.
func Find(ctx context.Context, r *realm.Realm, token string) (*Found, *Objection, error) {
	if token == "" {
		return nil, &Objection{Action: model.ActionBadRequest, Code: oautherr.InvalidRequest, Description: "the access token is missing"}, nil
	}
	f, err := FindAccess(ctx, r, token)
	if err != nil || f != nil {
		return f, nil, err
	}
	return nil, &Objection{
		Action: model.ActionUnauthorized, Code: oautherr.InvalidToken, Description: "the access token is unknown, has expired or was revoked",
	}, nil
}

// Objection holds a token against what is asked of it; nil: it suffices.
func (f *Found) Objection(req Request) *Objection {
	switch {
	case req.Subject != "" && req.Subject != f.Grant.Subject:
		return &Objection{Action: model.ActionForbidden, Code: oautherr.InvalidRequest, Description: "the access token belongs to another subject"}
	case !covers(f.Scopes, req.Scopes):
		return &Objection{
			Action: model.ActionForbidden, Code: oautherr.InsufficientScope,
			Description: "the access token does not cover the required scopes", Scopes: req.Scopes,
		}
	}
	return nil
}

func covers(have, want []string) bool {
	for _, scope := range want {
		if !slices.Contains(have, scope) {
			return false
		}
	}
	return true
}

// Challenge is a WWW-Authenticate value in a scheme. Scopes were printable ASCII
// without quotation marks when the service was configured, and the texts are ours.
func (o *Objection) Challenge(scheme string) string {
	var b strings.Builder
	b.WriteString(scheme + ` error="` + o.Code + `", error_description="` + o.Description + `"`)
	if len(o.Scopes) > 0 {
		b.WriteString(`, scope="` + oautherr.Text(strings.Join(o.Scopes, " ")) + `"`)
	}
	return b.String()
}
