package token

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/gatehouse-auth/gatehouse/engine/handle"
	"github.com/gatehouse-auth/gatehouse/engine/internal/jose"
	"github.com/gatehouse-auth/gatehouse/engine/model"
)

// access is an access token in the making: its row, and what the client gets.
type access struct {
	row  model.AccessToken
	text string
}

// newAccess makes an access token under a grant with an id that the caller
// drew: opaque with that secret, or a JWT when the service asks for one.
// Scopes are those that the token covers.
func (p *Processor) newAccess(id model.ID, g *model.Grant, client *model.Client, scopes []string, secret *handle.Secret) (access, error) {
	a := access{row: model.AccessToken{
		Service: p.Service.ID, ID: id, Grant: g.ID,
		ExpiresAt: p.Now().Unix() + p.Service.AccessTokenDuration,
	}}
	if !slices.Equal(scopes, g.Scopes) {
		a.row.Scopes = scopes
	}
	return a, p.write(&a, g, client, scopes, secret)
}

// write gives an access token the form that the client gets. It does so again,
// to the same effect, when a refresh is repeated.
func (p *Processor) write(a *access, g *model.Grant, client *model.Client, scopes []string, secret *handle.Secret) (err error) {
	if p.Service.AccessTokenSignAlg == "" {
		a.row.Hash = secret.Hash()
		a.text = handle.Format(handle.AccessToken, a.row.ID, secret)
		return nil
	}
	a.row.JWT = true
	a.text, err = p.jwt(&a.row, g, client, scopes)
	return err
}

// jwt makes the JWT form of an access token (RFC 9068 §2.2). Its jti is the
// row's id; without a resource indicator the audience is the issuer (§3).
func (p *Processor) jwt(row *model.AccessToken, g *model.Grant, client *model.Client, scopes []string) (string, error) {
	key, err := p.Keys.Signer(p.Service.AccessTokenSignAlg, p.Now())
	if err != nil {
		return "", err
	}
	claims := struct {
		Issuer    string   `json:"iss"`
		Subject   string   `json:"sub"`
		Audience  string   `json:"aud"`
		ExpiresAt int64    `json:"exp"`
		IssuedAt  int64    `json:"iat"`
		ID        string   `json:"jti"`
		Client    string   `json:"client_id"`
		Scope     string   `json:"scope,omitempty"`
		AuthTime  int64    `json:"auth_time,omitempty"`
		ACR       string   `json:"acr,omitempty"`
		AMR       []string `json:"amr,omitempty"`
	}{
		Issuer: p.Service.Issuer, Subject: g.Subject, Audience: p.Service.Issuer,
		ExpiresAt: row.ExpiresAt, IssuedAt: handle.Time(row.ID).Unix(), ID: JTI(row.ID),
		Client: client.Alias, Scope: join(scopes),
		AuthTime: g.AuthTime, ACR: g.Claims.ACR, AMR: g.Claims.AMR,
	}
	if g.Subject == "" {
		claims.Subject = client.Alias // RFC 9068 §2.2: the client itself
	}
	body, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	return jose.Sign(key, jose.TypeAccessToken, body)
}

// JTI is the jti claim of an access token: its id in base 36.
func JTI(id model.ID) string { return strconv.FormatInt(int64(id), 36) }

// ParseJTI reads a jti claim. Only the form that JTI gives is accepted.
func ParseJTI(jti string) (model.ID, bool) {
	id, err := strconv.ParseInt(jti, 36, 64)
	if err != nil || id <= 0 || JTI(model.ID(id)) != jti {
		return 0, false
	}
	return model.ID(id), true
}

func join(scopes []string) string { return strings.Join(scopes, " ") }
