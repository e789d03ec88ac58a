// Package userinfo serves claims about the user (OpenID Connect Core §5.3).
package userinfo

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/gatehouse-auth/gatehouse/engine/internal/introspection"
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
		Scopes: f.Scopes, Claims: f.Grant.Claims.UserInfo,
	}, nil
}

// IssueRequest answers a userinfo request with the values of the claims.
type IssueRequest struct {
	Token  string
	Claims map[string]json.RawMessage
}

// IssueResponse is the answer: JSON with the content, or as for Response.
type IssueResponse struct {
	Action          model.Action
	ResponseContent string
}

// Issue makes the content of a userinfo answer. Of the claims supplied it
// keeps those that were asked for; sub is always the token's own.
func Issue(ctx context.Context, r *realm.Realm, req IssueRequest) (*IssueResponse, error) {
	t, err := Process(ctx, r, Request{Token: req.Token})
	if err != nil {
		return nil, err
	}
	if t.Action != model.ActionOK {
		return &IssueResponse{Action: t.Action, ResponseContent: t.ResponseContent}, nil
	}
	answer := map[string]any{"sub": t.Subject}
	for name, value := range req.Claims {
		if name != "sub" && slices.Contains(t.Claims, name) {
			answer[name] = value
		}
	}
	body, err := json.Marshal(answer)
	return &IssueResponse{Action: model.ActionJSON, ResponseContent: string(body)}, err
}
