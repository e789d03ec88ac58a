// Package userinfo serves claims about the user (OpenID Connect Core §5.3).
package userinfo

import (
	"context"
	"encoding/json"

	"github.com/gatehouse-auth/gatehouse/engine/internal/authorize"
	"github.com/gatehouse-auth/gatehouse/engine/internal/introspection"
	"github.com/gatehouse-auth/gatehouse/engine/internal/jose"
	"github.com/gatehouse-auth/gatehouse/engine/internal/mint"
	"github.com/gatehouse-auth/gatehouse/engine/internal/realm"
	"github.com/gatehouse-auth/gatehouse/engine/model"
)

// Request is a userinfo request: its access token.
type Request struct{ Token string }

// Response says what to do with a userinfo request.
//
//   - OK: collect the claims of the subject and call issue.
//   - BAD_REQUEST, UNAUTHORIZED, FORBIDDEN: the content is WWW-Authenticate.
type Response struct {
	Action          model.Action
	ResponseContent string
	Subject         string
	Client          model.ID
	Scopes          []string
	// Claims are the names of the claims wanted.
	Claims []string
}

// Process checks a userinfo request. The error is the store's.
func Process(ctx context.Context, r *realm.Realm, req Request) (*Response, error) {
	f, t, err := introspection.Judge(ctx, r, introspection.Request{Token: req.Token, Scopes: []string{"openid"}})
	if err != nil {
		return nil, err
	}
	if t.Action != model.ActionOK {
		return &Response{Action: t.Action, ResponseContent: t.ResponseContent}, nil
	}
	return &Response{
		Action: model.ActionOK, Subject: f.Grant.Subject, Client: f.Client.ID,
		Scopes: f.Scopes, Claims: wanted(f),
	}, nil
}

// wanted are the claims that the request asked for and that the token covers.
func wanted(f *introspection.Found) []string {
	return authorize.ClaimsWithin(f.Grant.Claims.UserInfo, f.Grant.Scopes, f.Scopes)
}

// IssueRequest answers a userinfo request with the values of the claims.
type IssueRequest struct {
	Token  string
	Claims map[string]json.RawMessage
}

// IssueResponse is the answer: JSON or JWT with the content, or as for Response.
type IssueResponse struct {
	Action          model.Action
	ResponseContent string
}

// Issue makes the content of a userinfo answer: JSON, or a JWT when the client
// is registered for one (OpenID Connect Core §5.3.2). Of the claims supplied it
// keeps those that were asked for; sub is always the token's own.
func Issue(ctx context.Context, r *realm.Realm, req IssueRequest) (*IssueResponse, error) {
	f, t, err := introspection.Judge(ctx, r, introspection.Request{Token: req.Token, Scopes: []string{"openid"}})
	if err != nil {
		return nil, err
	}
	if t.Action != model.ActionOK {
		return &IssueResponse{Action: t.Action, ResponseContent: t.ResponseContent}, nil
	}
	g, c := &f.Grant.Claims, f.Client
	answer := mint.Select(r, mint.Wanted{Names: wanted(f), Conditions: g.Conditions, Locales: g.Locales}, req.Claims)
	answer["sub"] = jose.Raw(r.ClientSubject(c, f.Grant.Subject))
	if c.UserInfoSignAlg == "" && c.UserInfoEncryptionAlg == "" {
		body, err := json.Marshal(answer)
		return &IssueResponse{Action: model.ActionJSON, ResponseContent: string(body)}, err
	}
	if c.UserInfoSignAlg != "" {
		answer["iss"], answer["aud"] = jose.Raw(r.Service.Issuer), jose.Raw(c.Alias)
	}
	body, err := json.Marshal(answer)
	if err != nil {
		return nil, err
	}
	content, err := r.JWT(ctx, c, realm.Sealing{
		Alg: c.UserInfoSignAlg, KeyID: r.Service.UserInfoSignatureKeyID,
		Enc: c.UserInfoEncryptionAlg, Body: c.UserInfoEncryptionEnc,
	}, jose.TypeUserInfo, body)
	return &IssueResponse{Action: model.ActionJWT, ResponseContent: content}, err
}
