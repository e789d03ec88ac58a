package token

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/gatehouse-auth/gatehouse/engine/internal/clientauth"
	"github.com/gatehouse-auth/gatehouse/engine/internal/oautherr"
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
		resp = &Response{}
	}
	resp.Action, resp.ResponseContent = p.Refuse("token", resp.GrantType, resp.Client, refusal)
	return resp, nil
}

func (p *Processor) process(ctx context.Context, req Request) (*Response, error) {
	v, client, refusal := clientauth.Read(p.Realm, req.Parameters, req.Basic, p.Service.SupportedTokenAuthMethods)
	if refusal != nil {
		return nil, refusal
	}
	resp := &Response{Client: client}
	grantType := model.GrantType(v.Get("grant_type"))
	switch {
	case grantType == "":
		return resp, oautherr.New(oautherr.InvalidRequest, "grant_type is missing")
	case !p.Supports(grantType):
		return resp, oautherr.New(oautherr.UnsupportedGrantType, "this service does not support that grant_type")
	}
	resp.GrantType = grantType
	if !client.Allows(grantType) {
		return resp, oautherr.New(oautherr.UnauthorizedClient, "the client is not registered for that grant_type")
	}
	var err error
	switch grantType {
	case model.GrantAuthorizationCode:
		err = p.authorizationCode(ctx, client, v, resp)
	case model.GrantRefreshToken:
		err = p.refreshToken(ctx, client, v, resp)
	case model.GrantClientCredentials:
		err = p.clientCredentials(ctx, client, v, resp)
	default:
		err = oautherr.New(oautherr.UnsupportedGrantType, "this service does not support that grant_type")
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
		resp.AccessToken, "Bearer", max(0, resp.AccessTokenExpiresAt-p.Now().Unix()),
		resp.RefreshToken, join(resp.Scopes), resp.IDToken,
	})
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
