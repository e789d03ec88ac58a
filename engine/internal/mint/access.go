package mint

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/gatehouse-auth/gatehouse/engine/handle"
	"github.com/gatehouse-auth/gatehouse/engine/internal/jose"
	"github.com/gatehouse-auth/gatehouse/engine/internal/realm"
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// Access is an access token in the making: its row, and what the client gets.
type Access struct {
	Row  model.AccessToken
	Text string
}

// Of is what a token is made of: a grant of a client, and how much of it the
// token covers.
type Of struct {
	Grant     *model.Grant
	Client    *model.Client
	Scopes    []string
	Resources []string // nil: all of the grant's
	// Confirmation is what the token is bound to.
	Confirmation model.Confirmation
}

// Whole covers a grant completely.
func Whole(g *model.Grant, c *model.Client) Of {
	return Of{Grant: g, Client: c, Scopes: g.Scopes}
}

// NewAccess makes an access token with an id that the caller drew: opaque with
// that secret, or a JWT when the service asks for one.
func NewAccess(ctx context.Context, r *realm.Realm, id model.ID, of Of, secret *handle.Secret) (Access, error) {
	a := Access{Row: model.AccessToken{
		Service: r.Service.ID, ID: id, Grant: of.Grant.ID, Resources: of.Resources, Confirmation: of.Confirmation,
		ExpiresAt: r.Now().Unix() + r.AccessTokenDuration(of.Client, of.Scopes),
	}}
	if !slices.Equal(of.Scopes, of.Grant.Scopes) {
		a.Row.Scopes = append([]string{}, of.Scopes...)
	}
	return a, a.Write(ctx, r, of, secret)
}

// Write gives an access token the form that the client gets. It does so again,
// to the same effect, when a refresh is repeated.
func (a *Access) Write(ctx context.Context, r *realm.Realm, of Of, secret *handle.Secret) (err error) {
	if r.Service.AccessTokenSignAlg == "" {
		a.Row.Hash = secret.Hash()
		a.Text = handle.Format(handle.AccessToken, a.Row.ID, secret)
		return nil
	}
	a.Row.JWT = true
	a.Text, err = accessJWT(ctx, r, &a.Row, of)
	return err
}

// Audience is whom an access token is for: the protected resources that it was
// asked for (RFC 8707 §2), or else the issuer (RFC 9068 §3).
func Audience(r *realm.Realm, g *model.Grant, own []string) []string {
	switch {
	case len(own) > 0:
		return own
	case len(g.Claims.Resources) > 0:
		return g.Claims.Resources
	default:
		return []string{r.Service.Issuer}
	}
}

// OneOrMany is how an audience is written: one text when there is one
// (RFC 7519 §4.1.3).
func OneOrMany(list []string) any {
	if len(list) == 1 {
		return list[0]
	}
	return list
}

// accessClaims are the claims of a JWT access token (RFC 9068 §2.2).
type accessClaims struct {
	Issuer    string   `json:"iss"`
	Subject   string   `json:"sub"`
	Audience  any      `json:"aud"`
	ExpiresAt int64    `json:"exp"`
	IssuedAt  int64    `json:"iat"`
	ID        string   `json:"jti"`
	Client    string   `json:"client_id"`
	Scope     string   `json:"scope,omitempty"`
	AuthTime  int64    `json:"auth_time,omitempty"`
	ACR       string   `json:"acr,omitempty"`
	AMR       []string `json:"amr,omitempty"`

	Confirmation model.Confirmation `json:"cnf,omitzero"` // RFC 9449 §6.1, RFC 8705 §3.1
}

// accessJWT makes the JWT form of an access token. Its jti is the row's id. The
// subject is the one that the client may know, since the token passes through
// the client's hands.
func accessJWT(ctx context.Context, r *realm.Realm, row *model.AccessToken, of Of) (string, error) {
	g := of.Grant
	claims := accessClaims{
		Issuer: r.Service.Issuer, Subject: r.ClientSubject(of.Client, g.Subject), Audience: OneOrMany(Audience(r, g, row.Resources)),
		ExpiresAt: row.ExpiresAt, IssuedAt: handle.Time(row.ID).Unix(), ID: JTI(row.ID),
		Client: of.Client.Alias, Scope: strings.Join(of.Scopes, " "),
		AuthTime: g.AuthTime, ACR: g.Claims.ACR, AMR: g.Claims.AMR,
		Confirmation: row.Confirmation,
	}
	if g.Subject == "" {
		claims.Subject = of.Client.Alias // RFC 9068 §2.2: the client itself
	}
	body, err := json.Marshal(claims)
	if err == nil && len(g.Claims.Properties) > 0 {
		body, err = WithProperties(body, g.Claims.Properties)
	}
	if err != nil {
		return "", err
	}
	sealing := realm.Sealing{Alg: r.Service.AccessTokenSignAlg, KeyID: r.Service.AccessTokenSignatureKeyID}
	return r.JWT(ctx, of.Client, sealing, jose.TypeAccessToken, body)
}

// WithProperties adds to a JSON object the extra properties that are not hidden. None replaces
// a claim of the token's own.
func WithProperties(body []byte, properties []model.Property) ([]byte, error) {
	var claims map[string]any
	if err := json.Unmarshal(body, &claims); err != nil {
		return nil, err
	}
	for _, p := range properties {
		if _, taken := claims[p.Key]; !taken && !p.Hidden && !slices.Contains(protectedClaims, p.Key) {
			claims[p.Key] = p.Value
		}
	}
	return json.Marshal(claims)
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

// Only returns the step that lets an access token be the only one of its
// subject at its client, if the service or the client wants that. A client
// that acts for itself has no subject, and any number of tokens.
func Only(r *realm.Realm, of Of, id model.ID) []store.Step {
	if of.Grant.Subject == "" || !r.Service.SingleAccessTokenPerSubject && !of.Client.SingleAccessTokenPerSubject {
		return nil
	}
	return []store.Step{store.KeepAccessToken{
		Service: r.Service.ID, Subject: of.Grant.Subject, Client: of.Client.ID, Access: id,
	}}
}
