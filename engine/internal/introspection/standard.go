package introspection

import (
	"cmp"
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"strings"

	"github.com/gatehouse-auth/gatehouse/engine/handle"
	"github.com/gatehouse-auth/gatehouse/engine/internal/clientauth"
	"github.com/gatehouse-auth/gatehouse/engine/internal/jose"
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
	// JWT: the caller accepts application/token-introspection+jwt (RFC 9701 §4).
	JWT bool
}

// StandardResponse says what to answer: OK (200), BAD_REQUEST (400) or
// INVALID_CLIENT (401), each with the content as JSON, or JWT (200) with the
// content as application/token-introspection+jwt.
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
	content := []byte(`{"active":false}`) // §2.2: nothing else
	if f != nil && !f.Replaced {
		if content, err = f.content(r, caller); err != nil {
			return nil, err
		}
	}
	if !req.JWT {
		return &StandardResponse{Action: model.ActionOK, ResponseContent: string(content)}, nil
	}
	token, err := signed(ctx, r, caller, content)
	return &StandardResponse{Action: model.ActionJWT, ResponseContent: token}, err
}

func readStandard(ctx context.Context, r *realm.Realm, req StandardRequest) (params.Values, *model.Client, error) {
	v, caller, err := Caller(ctx, r, req.Parameters, req.Basic, r.Service.IntrospectionEndpoint)
	if err == nil && v.Get("token") == "" {
		err = oautherr.New(oautherr.InvalidRequest, "token is missing")
	}
	return v, caller, err
}

// Caller parses the parameters of a request to an endpoint for resource servers,
// and authenticates who makes it: a confidential client, or, as no client, a
// resource server of the service itself by its API key and secret. The error is
// an *oautherr.Error, or the store's.
func Caller(ctx context.Context, r *realm.Realm, parameters string, basic clientauth.Credentials, address string) (v params.Values, caller *model.Client, err error) {
	if r.Service.APIKey != "" && basic.Present && basic.ClientID == r.Service.APIKey {
		if subtle.ConstantTimeCompare([]byte(basic.ClientSecret), []byte(r.Service.APISecret)) != 1 {
			return v, nil, oautherr.New(oautherr.InvalidClient, "the API secret is wrong")
		}
		v, refusal := params.Parse(parameters, r.Service.MaxRequestBytes)
		if refusal != nil {
			return v, nil, refusal
		}
		return v, nil, nil
	}
	at := clientauth.Endpoint{Address: address, Methods: r.Service.SupportedIntrospectionAuthMethods}
	v, caller, err = clientauth.Read(ctx, r, parameters, basic, at)
	if err == nil && caller.Public() {
		err = oautherr.New(oautherr.InvalidClient, "public clients may not introspect")
	}
	return v, caller, err
}

// reference names an access token and what it belongs to in the words of the
// revocation stream, for gateways that remember this answer.
type reference struct {
	Service model.ID `json:"service,string"`
	Token   model.ID `json:"token,string"`
	Grant   model.ID `json:"grant,string"`
	Client  model.ID `json:"client,string"`
	Subject string   `json:"subject,omitempty"`
}

// content is the answer for an active token (RFC 7662 §2.2). A client is told
// of the user what the token's client may know (OpenID Connect Core §8.1); the
// service's own resource servers are told who it is.
func (f *Found) content(r *realm.Realm, caller *model.Client) ([]byte, error) {
	subject := f.Grant.Subject
	if caller != nil {
		subject = r.ClientSubject(f.Client, subject)
	}
	answer := struct {
		Active    bool       `json:"active"`
		Scope     string     `json:"scope,omitempty"`
		ClientID  string     `json:"client_id"`
		TokenType string     `json:"token_type,omitempty"`
		ExpiresAt int64      `json:"exp"`
		IssuedAt  int64      `json:"iat"`
		Subject   string     `json:"sub,omitempty"`
		Audience  any        `json:"aud,omitempty"`
		Issuer    string     `json:"iss"`
		ID        string     `json:"jti"`
		AuthTime  int64      `json:"auth_time,omitempty"`
		ACR       string     `json:"acr,omitempty"`
		AMR       []string   `json:"amr,omitempty"`
		Reference *reference `json:"gatehouse,omitempty"`

		Confirmation model.Confirmation `json:"cnf,omitzero"` // RFC 9449 §6.2, RFC 8705 §3.2
	}{
		Active: true, Scope: strings.Join(f.Scopes, " "), ClientID: f.Client.Alias,
		ExpiresAt: f.ExpiresAt, IssuedAt: f.IssuedAt(), Subject: subject,
		Issuer: r.Service.Issuer, ID: mint.JTI(f.ID),
		AuthTime: f.Grant.AuthTime, ACR: f.Grant.Claims.ACR, AMR: f.Grant.Claims.AMR,
		Confirmation: f.Confirmation,
	}
	if !f.Refresh {
		answer.TokenType, answer.Audience = r.TokenType(f.Confirmation), mint.OneOrMany(f.Audience)
		answer.Reference = &reference{r.Service.ID, f.ID, f.Grant.ID, f.Client.ID, r.RevocationSubject(f.Grant.Subject)}
	}
	body, err := json.Marshal(answer)
	if err == nil && len(f.Grant.Claims.Properties) > 0 {
		body, err = mint.WithProperties(body, f.Grant.Claims.Properties)
	}
	return body, err
}

// signed is an answer as a JWT for its caller, encrypted too if the caller is
// registered for that (RFC 9701 §5, §6).
func signed(ctx context.Context, r *realm.Realm, caller *model.Client, content []byte) (string, error) {
	audience, as := r.Service.APIKey, realm.Sealing{Alg: r.UsualAlg(), KeyID: r.Service.IntrospectionSignatureKeyID}
	if caller != nil {
		audience, as.Alg = caller.Alias, cmp.Or(caller.IntrospectionSignAlg, as.Alg)
		as.Enc, as.Body = caller.IntrospectionEncryptionAlg, caller.IntrospectionEncryptionEnc
	}
	claims, err := json.Marshal(struct {
		Issuer        string          `json:"iss"`
		Audience      string          `json:"aud"`
		IssuedAt      int64           `json:"iat"`
		Introspection json.RawMessage `json:"token_introspection"`
	}{r.Service.Issuer, audience, r.Now().Unix(), content})
	if err != nil {
		return "", err
	}
	return r.JWT(ctx, caller, as, jose.TypeIntrospection, claims)
}
