package introspection

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/gatehouse-auth/gatehouse/engine/handle"
	"github.com/gatehouse-auth/gatehouse/engine/internal/clientauth"
	"github.com/gatehouse-auth/gatehouse/engine/internal/oautherr"
	"github.com/gatehouse-auth/gatehouse/engine/internal/realm"
	"github.com/gatehouse-auth/gatehouse/engine/internal/token"
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
	v, caller, refusal := clientauth.Read(r, req.Parameters, req.Basic, r.Service.SupportedIntrospectionAuthMethods)
	if refusal == nil && caller.Public() {
		refusal = oautherr.New(oautherr.InvalidClient, "public clients may not introspect")
	}
	if refusal == nil && v.Get("token") == "" {
		refusal = oautherr.New(oautherr.InvalidRequest, "token is missing")
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
	content, err := f.content(r)
	return &StandardResponse{Action: model.ActionOK, ResponseContent: content}, err
}

// content is the answer for an active token (RFC 7662 §2.2).
func (f *Found) content(r *realm.Realm) (string, error) {
	answer := struct {
		Active    bool     `json:"active"`
		Scope     string   `json:"scope,omitempty"`
		ClientID  string   `json:"client_id"`
		TokenType string   `json:"token_type,omitempty"`
		ExpiresAt int64    `json:"exp"`
		IssuedAt  int64    `json:"iat"`
		Subject   string   `json:"sub,omitempty"`
		Audience  string   `json:"aud,omitempty"`
		Issuer    string   `json:"iss"`
		ID        string   `json:"jti"`
		AuthTime  int64    `json:"auth_time,omitempty"`
		ACR       string   `json:"acr,omitempty"`
		AMR       []string `json:"amr,omitempty"`
	}{
		Active: true, Scope: strings.Join(f.Scopes, " "), ClientID: f.Client.Alias,
		ExpiresAt: f.ExpiresAt, IssuedAt: f.IssuedAt(), Subject: f.Grant.Subject,
		Issuer: r.Service.Issuer, ID: token.JTI(f.ID),
		AuthTime: f.Grant.AuthTime, ACR: f.Grant.Claims.ACR, AMR: f.Grant.Claims.AMR,
	}
	if !f.Refresh {
		answer.TokenType, answer.Audience = "Bearer", r.Service.Issuer
	}
	body, err := json.Marshal(answer)
	return string(body), err
}
