package token

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"github.com/gatehouse-auth/gatehouse/engine/internal/authorize"
	"github.com/gatehouse-auth/gatehouse/engine/internal/binding"
	"github.com/gatehouse-auth/gatehouse/engine/internal/clientauth"
	"github.com/gatehouse-auth/gatehouse/engine/internal/mint"
	"github.com/gatehouse-auth/gatehouse/engine/internal/oautherr"
	"github.com/gatehouse-auth/gatehouse/engine/internal/params"
	"github.com/gatehouse-auth/gatehouse/engine/internal/realm"
	"github.com/gatehouse-auth/gatehouse/engine/model"
)

// Processor serves token requests of one realm. It is safe for concurrent use.
type Processor struct {
	*realm.Realm
	own ownGrants
}

// New returns the processor of a realm.
func New(r *realm.Realm) *Processor { return &Processor{Realm: r} }

// Process answers a token request. The error is the store's, or a failure of
// the engine; every refusal is a Response.
func (p *Processor) Process(ctx context.Context, req Request) (*Response, error) {
	resp, err := p.process(ctx, req)
	var refusal *oautherr.Error
	if !errors.As(err, &refusal) {
		return resp, err
	}
	if resp == nil {
		resp = &Response{DPoPNonce: binding.Nonce(p.Realm, req.Sender)}
	}
	resp.Action, resp.ResponseContent = p.Refuse("token", resp.GrantType, resp.Client, refusal)
	return resp, nil
}

func (p *Processor) process(ctx context.Context, req Request) (*Response, error) {
	v, client, err := clientauth.Read(ctx, p.Realm, req.Parameters, req.Basic,
		clientauth.Endpoint{Address: p.Service.TokenEndpoint, Methods: p.Service.SupportedTokenAuthMethods})
	if err != nil {
		return nil, err
	}
	resp := &Response{Client: client, DPoPNonce: binding.Nonce(p.Realm, req.Sender)}
	grantType := model.GrantType(v.Get("grant_type"))
	switch {
	case grantType == "":
		return resp, oautherr.New(oautherr.InvalidRequest, "grant_type is missing")
	case grantType == model.GrantImplicit || !p.Service.Supports(grantType): // implicit has no token request
		return resp, oautherr.New(oautherr.UnsupportedGrantType, "this service does not support that grant_type")
	}
	resp.GrantType = grantType
	if !client.Allows(grantType) {
		return resp, oautherr.New(oautherr.UnauthorizedClient, "the client is not registered for that grant_type")
	}
	if resp.Confirmation, err = binding.ForTokens(ctx, p.Realm, client, req.Sender); err != nil {
		return resp, err
	}
	switch grantType {
	case model.GrantAuthorizationCode:
		err = p.authorizationCode(ctx, client, v, resp)
	case model.GrantRefreshToken:
		err = p.refreshToken(ctx, client, v, resp)
	case model.GrantClientCredentials:
		err = p.clientCredentials(ctx, client, v, req.Properties, resp)
	case model.GrantPassword:
		return resp, p.password(ctx, client, v, resp)
	}
	if err != nil {
		return resp, err
	}
	return resp, p.succeed(resp)
}

// succeed writes the content of a successful answer (RFC 6749 §5.1).
func (p *Processor) succeed(resp *Response) error {
	body, err := json.Marshal(struct {
		AccessToken  string `json:"access_token"`
		TokenType    string `json:"token_type"`
		ExpiresIn    int64  `json:"expires_in"`
		RefreshToken string `json:"refresh_token,omitempty"`
		Scope        string `json:"scope"`
		IDToken      string `json:"id_token,omitempty"`
	}{
		resp.AccessToken, p.TokenType(resp.Confirmation), max(0, resp.AccessTokenExpiresAt-p.Now().Unix()),
		resp.RefreshToken, strings.Join(resp.Scopes, " "), resp.IDToken,
	})
	if err == nil && len(resp.Properties) > 0 {
		body, err = mint.WithProperties(body, resp.Properties)
	}
	if err != nil {
		return err
	}
	resp.Action, resp.ResponseContent = model.ActionOK, string(body)
	p.Report(model.Event{
		Kind: model.EventIssued, Operation: "token", GrantType: resp.GrantType,
		Client: resp.Client.Alias, Subject: resp.Subject,
	})
	return nil
}

// issued describes what a pair gives the client.
func (resp *Response) issued(t *mint.Pair, refreshText string) {
	g := t.Of.Grant
	resp.Subject, resp.Scopes, resp.Properties = g.Subject, t.Of.Scopes, g.Claims.Properties
	resp.AccessToken, resp.AccessTokenExpiresAt = t.Access.Text, t.Access.Row.ExpiresAt
	resp.RefreshToken = refreshText
}

// resources returns the protected resources that a token request narrows its
// token to (RFC 8707 §2.2): nil for all of the grant's.
func resources(v params.Values, granted []string) ([]string, error) {
	list, refusal := authorize.Resources(v)
	if refusal != nil {
		return nil, refusal
	}
	for _, resource := range list {
		if len(granted) > 0 && !slices.Contains(granted, resource) {
			return nil, oautherr.New(oautherr.InvalidTarget, "resource is not one that the grant is for")
		}
	}
	if len(list) == len(granted) {
		return nil, nil
	}
	return list, nil
}
