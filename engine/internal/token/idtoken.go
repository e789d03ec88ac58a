package token

import (
	"encoding/json"
	"slices"
	"strconv"

	"github.com/gatehouse-auth/gatehouse/engine/internal/jose"
	"github.com/gatehouse-auth/gatehouse/engine/model"
)

// protectedClaims are set by the engine and never by an authentication server.
var protectedClaims = []string{"iss", "sub", "aud", "exp", "iat", "nonce", "auth_time", "acr", "amr", "azp", "sid", "at_hash"}

// idToken makes the ID token of a grant (OpenID Connect Core §2), or none when
// the grant is not an OpenID Connect one. A refreshed ID token has no nonce
// (§12.2). authTimeWanted: the request had max_age.
func (p *Processor) idToken(g *model.Grant, client *model.Client, nonce string, authTimeWanted bool) (string, error) {
	if !slices.Contains(g.Scopes, "openid") {
		return "", nil
	}
	key, err := p.Keys.Signer(client.IDTokenSignAlg, p.Now())
	if err != nil {
		return "", err
	}
	now := p.Now().Unix()
	claims := make(map[string]any, 12+len(g.Claims.Values))
	for name, value := range g.Claims.Values {
		if !slices.Contains(protectedClaims, name) {
			claims[name] = value
		}
	}
	claims["iss"], claims["sub"], claims["aud"] = p.Service.Issuer, g.Subject, client.Alias
	claims["iat"], claims["exp"] = now, now+p.Service.IDTokenDuration
	if nonce != "" {
		claims["nonce"] = nonce
	}
	if g.AuthTime > 0 && (authTimeWanted || client.AuthTimeRequired || slices.Contains(g.Claims.IDToken, "auth_time")) {
		claims["auth_time"] = g.AuthTime
	}
	if g.Claims.ACR != "" {
		claims["acr"] = g.Claims.ACR
	}
	if len(g.Claims.AMR) > 0 {
		claims["amr"] = g.Claims.AMR
	}
	if g.Session != 0 {
		claims["sid"] = strconv.FormatInt(int64(g.Session), 36)
	}
	body, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	return jose.Sign(key, jose.TypeIDToken, body)
}
