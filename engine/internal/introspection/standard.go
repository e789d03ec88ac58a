package introspection

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"strings"

	"github.com/gatehouse-auth/gatehouse/engine/handle"
	"github.com/gatehouse-auth/gatehouse/engine/internal/clientauth"
	"github.com/gatehouse-auth/gatehouse/engine/internal/mint"
	"github.com/gatehouse-auth/gatehouse/engine/internal/oautherr"
	"github.com/gatehouse-auth/gatehouse/engine/internal/params"
	"github.com/gatehouse-auth/gatehouse/engine/internal/realm"
	"github.com/gatehouse-auth/gatehouse/engine/model"
)

// StandardRequest is an introspection request (RFC 7662 §2.1) as it came in.
type StandardRequest struct {
	Parameters string
	Basic      clientauth.Credentials
}

// StandardResponse says what to answer: OK (200), BAD_REQUEST (400) or
// INVALID_CLIENT (401), each with the content as JSON.
type StandardResponse struct {
	Action          model.Action
	ResponseContent string
}

// Standard answers an introspection request in the form of RFC 7662. The
// caller must be a confidential client of the service. The error is the store's.
func Standard(ctx context.Context, r *realm.Realm, req StandardRequest) (*StandardResponse, error) {
	v, caller, err := readStandard(ctx, r, req)
	var refusal *oautherr.Error
	if err != nil && !errors.As(err, &refusal) {
		return nil, err
	}
	if refusal != nil {
		resp := &StandardResponse{}
		resp.Action, resp.ResponseContent = r.Refuse("introspection", "", caller, refusal)
		return resp, nil
	}
	find := FindAccess
	if strings.HasPrefix(v.Get("token"), string(handle.RefreshToken)) {
		find = FindRefresh
	}
	f, err := find(ctx, r, v.Get("token"))
	if err != nil {
		return nil, err
	}
	if f == nil || f.Replaced {
		// §2.2: nothing but that it is not active.
		return &StandardResponse{Action: model.ActionOK, ResponseContent: `{"active":false}`}, nil
	}
	content, err := f.content(r, caller)
	return &StandardResponse{Action: model.ActionOK, ResponseContent: content}, err
}

// readStandard authenticates the caller: a confidential client, or a resource
// server of the service itself, by its API key and secret.
func readStandard(ctx context.Context, r *realm.Realm, req StandardRequest) (v params.Values, caller *model.Client, err error) {
	if r.Service.APIKey != "" && req.Basic.Present && req.Basic.ClientID == r.Service.APIKey {
		if subtle.ConstantTimeCompare([]byte(req.Basic.ClientSecret), []byte(r.Service.APISecret)) != 1 {
			return v, nil, oautherr.New(oautherr.InvalidClient, "the API secret is wrong")
		}
		var refusal *oautherr.Error
		if v, refusal = params.Parse(req.Parameters, r.Service.MaxRequestBytes); refusal != nil {
			return v, nil, refusal
		}
	} else if v, caller, err = clientauth.Read(ctx, r, req.Parameters, req.Basic, clientauth.Endpoint{
		Address: r.Service.IntrospectionEndpoint, Methods: r.Service.SupportedIntrospectionAuthMethods,
	}); err != nil {
		return v, caller, err
	} else if caller.Public() {
		return v, caller, oautherr.New(oautherr.InvalidClient, "public clients may not introspect")
	}
	if v.Get("token") == "" {
		return v, caller, oautherr.New(oautherr.InvalidRequest, "token is missing")
	}
	return v, caller, nil
}

// content is the answer for an active token (RFC 7662 §2.2). A client is told
// of the user what the token's client may know (OpenID Connect Core §8.1); the
// service's own resource servers are told who it is.
func (f *Found) content(r *realm.Realm, caller *model.Client) (string, error) {
	subject := f.Grant.Subject
	if caller != nil {
		subject = r.ClientSubject(f.Client, subject)
	}
	answer := struct {
		Active    bool     `json:"active"`
		Scope     string   `json:"scope,omitempty"`
		ClientID  string   `json:"client_id"`
		TokenType string   `json:"token_type,omitempty"`
		ExpiresAt int64    `json:"exp"`
		IssuedAt  int64    `json:"iat"`
		Subject   string   `json:"sub,omitempty"`
		Audience  any      `json:"aud,omitempty"`
		Issuer    string   `json:"iss"`
		ID        string   `json:"jti"`
		AuthTime  int64    `json:"auth_time,omitempty"`
		ACR       string   `json:"acr,omitempty"`
		AMR       []string `json:"amr,omitempty"`
	}{
		Active: true, Scope: strings.Join(f.Scopes, " "), ClientID: f.Client.Alias,
		ExpiresAt: f.ExpiresAt, IssuedAt: f.IssuedAt(), Subject: subject,
		Issuer: r.Service.Issuer, ID: mint.JTI(f.ID),
		AuthTime: f.Grant.AuthTime, ACR: f.Grant.Claims.ACR, AMR: f.Grant.Claims.AMR,
	}
	if !f.Refresh {
		answer.TokenType, answer.Audience = r.Service.AccessTokenType, mint.OneOrMany(f.Audience)
	}
	body, err := json.Marshal(answer)
	if err == nil && len(f.Grant.Claims.Properties) > 0 {
		body, err = mint.WithProperties(body, f.Grant.Claims.Properties)
	}
	return string(body), err
}
