package mint

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strconv"

	"github.com/gatehouse-auth/gatehouse/engine/internal/jose"
	"github.com/gatehouse-auth/gatehouse/engine/internal/realm"
	"github.com/gatehouse-auth/gatehouse/engine/model"
)

// protectedClaims are set by the engine and never by an authentication server.
var protectedClaims = []string{"iss", "sub", "aud", "exp", "iat", "nbf", "jti", "nonce", "auth_time", "acr", "amr", "azp", "sid",
	"at_hash", "c_hash", "s_hash", "events", "cnf", "gatehouse"}

// Beside is what an ID token is issued beside, and bound to by hashes
// (OpenID Connect Core §3.1.3.6, §3.3.2.11), and what the request wanted.
type Beside struct {
	Nonce       string // none in a refreshed ID token (§12.2)
	Code        string
	AccessToken string
	State       string // for s_hash (Financial-grade API Security Profile 1.0 part 2 §5.1)
	AuthTime    bool   // auth_time was asked for, by max_age or as a claim
}

// IDToken makes the ID token of a grant (OpenID Connect Core §2), or none when
// the grant is not an OpenID Connect one.
func IDToken(ctx context.Context, r *realm.Realm, g *model.Grant, c *model.Client, beside Beside) (string, error) {
	if !slices.Contains(g.Scopes, "openid") {
		return "", nil
	}
	now := r.Now().Unix()
	claims := make(map[string]any, 16+len(g.Claims.Values))
	for name, value := range g.Claims.Values {
		if !slices.Contains(protectedClaims, name) {
			claims[name] = value
		}
	}
	claims["iss"], claims["sub"], claims["aud"] = r.Service.Issuer, r.ClientSubject(c, g.Subject), c.Alias
	claims["azp"] = c.Alias
	claims["iat"], claims["exp"] = now, now+r.IDTokenDuration(c, g.Scopes)
	if g.AuthTime > 0 && (beside.AuthTime || c.AuthTimeRequired) {
		claims["auth_time"] = g.AuthTime
	}
	if len(g.Claims.AMR) > 0 {
		claims["amr"] = g.Claims.AMR
	}
	for name, value := range map[string]string{"nonce": beside.Nonce, "acr": g.Claims.ACR, "sid": SessionID(g.Session)} {
		if value != "" {
			claims[name] = value
		}
	}
	for name, value := range map[string]string{"at_hash": beside.AccessToken, "c_hash": beside.Code, "s_hash": beside.State} {
		if value != "" {
			claims[name] = base64.RawURLEncoding.EncodeToString(jose.Hash(c.IDTokenSignAlg, value))
		}
	}
	body, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	return r.JWT(ctx, c, realm.Sealing{
		Alg: c.IDTokenSignAlg, KeyID: r.Service.IDTokenSignatureKeyID,
		Enc: c.IDTokenEncryptionAlg, Body: c.IDTokenEncryptionEnc,
	}, jose.TypeIDToken, body)
}

// SessionID is the sid claim (OpenID Connect Front-Channel Logout §3): the
// session's id in base 36; empty without a session.
func SessionID(session model.ID) string {
	if session == 0 {
		return ""
	}
	return strconv.FormatInt(int64(session), 36)
}
