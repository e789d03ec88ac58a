// Package userinfo serves claims about the user (OpenID Connect Core §5.3).
package userinfo

import (
	"context"
	"encoding/json"
	"errors"
	"strings"

	"github.com/gatehouse-auth/gatehouse/engine/internal/authorize"
	"github.com/gatehouse-auth/gatehouse/engine/internal/binding"
	"github.com/gatehouse-auth/gatehouse/engine/internal/introspection"
	"github.com/gatehouse-auth/gatehouse/engine/internal/jose"
	"github.com/gatehouse-auth/gatehouse/engine/internal/mint"
	"github.com/gatehouse-auth/gatehouse/engine/internal/oautherr"
	"github.com/gatehouse-auth/gatehouse/engine/internal/realm"
	"github.com/gatehouse-auth/gatehouse/engine/model"
)

// Request is a userinfo request: its access token, the scheme that it came
// under (Bearer, also for one in a form, or DPoP), and who sends it.
type Request struct {
	Token  string
	Scheme string
	Sender binding.Sender
}

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
	// DPoPNonce, unless empty, belongs into the header DPoP-Nonce (RFC 9449 §9),
	// whatever the action.
	DPoPNonce string
}

// needed is what a userinfo request needs of its token (OpenID Connect Core §5.3).
var needed = introspection.Request{Scopes: []string{"openid"}}

// Process checks a userinfo request, and uses its DPoP proof up. The error is
// the store's.
func Process(ctx context.Context, r *realm.Realm, req Request) (*Response, error) {
	resp := &Response{Action: model.ActionOK, DPoPNonce: binding.Nonce(r, req.Sender)}
	f, objection, err := introspection.Find(ctx, r, req.Token)
	if err == nil && objection == nil {
		objection, err = confirm(ctx, r, req, f)
	}
	if err != nil {
		return nil, err
	}
	if objection != nil {
		resp.Action, resp.ResponseContent = objection.Action, challenges(r, objection, req.Scheme)
		return resp, nil
	}
	resp.Subject, resp.Client, resp.Scopes, resp.Claims = f.Grant.Subject, f.Client.ID, f.Scopes, wanted(f)
	return resp, nil
}

// confirm holds a token against its sender, and then against what is needed.
func confirm(ctx context.Context, r *realm.Realm, req Request, f *introspection.Found) (*introspection.Objection, error) {
	err := binding.Confirm(ctx, r, req.Sender, binding.Access{
		Scheme: req.Scheme, Token: req.Token, Bound: f.Confirmation, Address: r.Service.UserInfoEndpoint,
	})
	if refusal, is := errors.AsType[*oautherr.Error](err); is {
		return &introspection.Objection{Action: model.ActionUnauthorized, Code: refusal.Code, Description: refusal.Description}, nil
	}
	return f.Objection(needed), err
}

// challenges are those of both schemes; the error is told in the one that the
// request has used, which comes first (RFC 9449 §7.1).
func challenges(r *realm.Realm, o *introspection.Objection, scheme string) string {
	algs := `algs="` + strings.Join(r.DPoP.Algorithms(), " ") + `"`
	if scheme == binding.DPoP {
		return o.Challenge(binding.DPoP) + ", " + algs + ", " + binding.Bearer
	}
	return o.Challenge(binding.Bearer) + ", " + binding.DPoP + " " + algs
}

// wanted are the claims that the request asked for and that the token covers.
func wanted(f *introspection.Found) []string {
	return authorize.ClaimsWithin(f.Grant.Claims.UserInfo, f.Grant.Scopes, f.Scopes)
}

// IssueRequest answers a userinfo request, whose sender has been looked at, with
// the values of the claims.
type IssueRequest struct {
	Token  string
	Scheme string // as in the request
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
	f, objection, err := introspection.Find(ctx, r, req.Token)
	if err != nil {
		return nil, err
	}
	if objection == nil {
		objection = f.Objection(needed)
	}
	if objection != nil {
		return &IssueResponse{Action: objection.Action, ResponseContent: challenges(r, objection, req.Scheme)}, nil
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
