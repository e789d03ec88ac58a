package logout

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"

	"github.com/gatehouse-auth/gatehouse/engine/fetch"
	"github.com/gatehouse-auth/gatehouse/engine/internal/jose"
	"github.com/gatehouse-auth/gatehouse/engine/internal/mint"
	"github.com/gatehouse-auth/gatehouse/engine/internal/realm"
	"github.com/gatehouse-auth/gatehouse/engine/model"
)

// notice is what a client must be told: that a session has ended. Its exported
// fields are what its handle keeps.
type notice struct {
	realm *realm.Realm
	id    model.ID // of the handle
	found bool     // in the store, where it waited

	Client  model.ID `json:"c"`
	Subject string   `json:"s"`
	Session model.ID `json:"i"`
}

// tokenDuration is how long a logout token is good, in seconds (Back-Channel
// Logout §2.4: preferably at most two minutes).
const tokenDuration = 2 * 60

// event is the one member of events that makes a JWT a logout token.
const event = "http://schemas.openid.net/event/backchannel-logout"

// logoutClaims are the claims of a logout token (Back-Channel Logout §2.4).
// There is no nonce, by which it could pass for an ID token.
type logoutClaims struct {
	Issuer    string                    `json:"iss"`
	Subject   string                    `json:"sub"`
	Audience  string                    `json:"aud"`
	IssuedAt  int64                     `json:"iat"`
	ExpiresAt int64                     `json:"exp"`
	ID        string                    `json:"jti"`
	Session   string                    `json:"sid"`
	Events    map[string]map[string]any `json:"events"`
}

// token makes the logout token for a client, signed and encrypted as its ID
// tokens are, but never unsigned (§2.6). It always names the session: without
// that the client would end every session of the user (§2.4).
func (n *notice) token(ctx context.Context, c *model.Client) (string, error) {
	r := n.realm
	now := r.Now().Unix()
	body, err := json.Marshal(logoutClaims{
		Issuer: r.Service.Issuer, Subject: r.ClientSubject(c, n.Subject), Audience: c.Alias,
		IssuedAt: now, ExpiresAt: now + tokenDuration, ID: mint.JTI(n.id), Session: mint.SessionID(n.Session),
		Events: map[string]map[string]any{event: {}},
	})
	if err != nil {
		return "", err
	}
	alg, key := c.IDTokenSignAlg, r.Service.IDTokenSignatureKeyID
	if alg == model.AlgNone || alg == "" {
		alg, key = model.RS256, ""
	}
	return r.JWT(ctx, c, realm.Sealing{
		Alg: alg, KeyID: key, Enc: c.IDTokenEncryptionAlg, Body: c.IDTokenEncryptionEnc,
	}, jose.TypeLogoutToken, body)
}

// The codes of notices that failed, few enough for a metric's label.
const (
	codeUnavailable = "unavailable" // no answer, or none but 5xx, however often it was tried
	codeRejected    = "rejected"    // the client answered with another status, such as 400
	codeForbidden   = "forbidden"   // the address is not one that may be reached
	codeNoToken     = "no_token"    // the token could not be made
	codeTooMany     = "too_many"    // the browser cannot tell so many clients
)

// failure is why a client has not been told.
type failure struct {
	code  string
	cause error
	again bool // may be otherwise the next time
}

// post tells the client once (Back-Channel Logout §2.5). Nobody looks at what
// it says beyond the status (§2.8).
func (n *notice) post(ctx context.Context, c *model.Client) *failure {
	token, err := n.token(ctx, c)
	if err != nil {
		return &failure{codeNoToken, fmt.Errorf("logout token: %w", err), true}
	}
	answer, err := n.realm.Fetch.Do(ctx, fetch.Request{
		Method: "POST", Address: c.BackchannelLogoutURI, ContentType: "application/x-www-form-urlencoded",
		Body: []byte(url.Values{"logout_token": {token}}.Encode()),
	})
	switch {
	case err == nil, answer.Status/100 == 2:
		return nil
	case errors.Is(err, fetch.ErrForbidden):
		return &failure{codeForbidden, err, false}
	case errors.Is(err, fetch.ErrUnavailable):
		return &failure{codeUnavailable, err, true}
	default:
		return &failure{codeRejected, err, false}
	}
}
