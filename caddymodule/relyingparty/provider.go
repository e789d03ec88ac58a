package relyingparty

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/lestrrat-go/jwx/v2/jwk"
	"golang.org/x/oauth2"
)

const (
	metadataLasts = time.Hour
	keysLast      = time.Hour
	// fetchPause is between one fetch of the metadata or the keys and the next:
	// neither an outage nor unknown key ids make more requests.
	fetchPause = 5 * time.Second
)

var (
	// errUnavailable says that the provider, or the storage, cannot be asked now.
	errUnavailable = errors.New("unavailable")
	// errRefused says that the provider does not accept what it was shown.
	errRefused = errors.New("refused")
)

// provider is an OpenID Provider as one of its clients sees it. It is safe for
// concurrent use.
type provider struct {
	issuer, clientID, clientSecret string

	client   *http.Client
	now      func() time.Time
	metadata kept[*metadata]
	keys     kept[jwk.Set]
}

func newProvider(issuer, clientID, clientSecret string, client *http.Client, now func() time.Time, in *background) *provider {
	return &provider{
		issuer: issuer, clientID: clientID, clientSecret: clientSecret, client: client, now: now,
		metadata: kept[*metadata]{lasts: metadataLasts, pause: fetchPause, now: now, in: in},
		keys:     kept[jwk.Set]{lasts: keysLast, pause: fetchPause, now: now, in: in},
	}
}

// metadata is what the provider says of itself (OpenID Connect Discovery §3,
// RFC 8414 §2, RP-Initiated Logout §2.1).
type metadata struct {
	JWKSURI     string   `json:"jwks_uri"`
	EndSession  string   `json:"end_session_endpoint"`
	Revocation  string   `json:"revocation_endpoint"`
	AuthMethods []string `json:"token_endpoint_auth_methods_supported"`
	Algorithms  []string `json:"id_token_signing_alg_values_supported"`
	SaysIssuer  bool     `json:"authorization_response_iss_parameter_supported"` // RFC 9207 §3

	found *oidc.Provider
}

// algorithms are those by which ID tokens may be signed: never none, and never
// a MAC, whose key the client would have to keep secret.
var algorithms = [...]string{
	oidc.RS256, oidc.RS384, oidc.RS512, oidc.ES256, oidc.ES384, oidc.ES512, oidc.PS256, oidc.PS384, oidc.PS512, oidc.EdDSA,
}

// about returns the provider's metadata. The error is errUnavailable or the
// context's.
func (p *provider) about(ctx context.Context) (*metadata, error) {
	m, _, err := p.metadata.get(ctx, p.discover)
	return m, unavailable("discovery", err)
}

func (p *provider) discover(ctx context.Context) (*metadata, error) {
	found, err := oidc.NewProvider(oidc.ClientContext(ctx, p.client), p.issuer)
	if err != nil {
		return nil, clip(err)
	}
	m := &metadata{found: found}
	if err := found.Claims(m); err != nil {
		return nil, clip(err)
	}
	m.Algorithms = slices.DeleteFunc(m.Algorithms, func(alg string) bool { return !slices.Contains(algorithms[:], alg) })
	for name, endpoint := range map[string]string{
		"authorization_endpoint": found.Endpoint().AuthURL, "token_endpoint": found.Endpoint().TokenURL, "jwks_uri": m.JWKSURI,
	} {
		if _, err := parseWeb(endpoint); err != nil {
			return nil, fmt.Errorf("%s: %w", name, clip(err))
		}
	}
	for name, endpoint := range map[string]string{
		"end_session_endpoint": m.EndSession, "revocation_endpoint": m.Revocation, "userinfo_endpoint": found.UserInfoEndpoint(),
	} {
		if _, err := parseWeb(endpoint); endpoint != "" && err != nil {
			return nil, fmt.Errorf("%s: %w", name, clip(err))
		}
	}
	return m, nil
}

// oauth returns the client's configuration for x/oauth2.
func (p *provider) oauth(m *metadata, redirectURI string, scopes []string) *oauth2.Config {
	c := &oauth2.Config{
		ClientID: p.clientID, ClientSecret: p.clientSecret, Endpoint: m.found.Endpoint(),
		RedirectURL: redirectURI, Scopes: scopes,
	}
	// client_secret_basic is what a server has that names no method (OpenID
	// Connect Discovery §3). Nothing is tried out: a code is shown once.
	c.Endpoint.AuthStyle = oauth2.AuthStyleInHeader
	if p.clientSecret == "" || len(m.AuthMethods) > 0 && !slices.Contains(m.AuthMethods, "client_secret_basic") {
		c.Endpoint.AuthStyle = oauth2.AuthStyleInParams
	}
	return c
}

// tokens are the answer of the token endpoint.
type tokens struct {
	access, refresh, idToken string
	kind                     string // token_type
	scope                    string // empty: as requested
	lasts                    int64  // seconds; 0: not said
}

// exchange redeems a code (RFC 6749 §4.1.3, RFC 7636 §4.5). The error is
// errRefused or errUnavailable.
func (p *provider) exchange(ctx context.Context, m *metadata, redirectURI, code, verifier string) (*tokens, error) {
	t, err := p.oauth(m, redirectURI, nil).Exchange(oidc.ClientContext(ctx, p.client), code, oauth2.VerifierOption(verifier))
	return answered(t, err)
}

// refresh redeems a refresh token (RFC 6749 §6). When the provider gives no
// other, the answer has the one presented.
func (p *provider) refresh(ctx context.Context, m *metadata, refreshToken string) (*tokens, error) {
	t, err := p.oauth(m, "", nil).TokenSource(oidc.ClientContext(ctx, p.client), &oauth2.Token{RefreshToken: refreshToken}).Token()
	return answered(t, err)
}

func answered(t *oauth2.Token, err error) (*tokens, error) {
	if refusal := new(oauth2.RetrieveError); errors.As(err, &refusal) {
		// The body may hold a token; of the rest, too, only what has a known form.
		cause := fmt.Errorf("token endpoint: status %d, error %q", refusal.Response.StatusCode, errorCode(refusal.ErrorCode))
		if refusal.ErrorCode == "invalid_grant" {
			return nil, fmt.Errorf("%w: %w", errRefused, cause)
		}
		return nil, fmt.Errorf("%w: %w", errUnavailable, cause)
	}
	if err != nil {
		return nil, unavailable("token endpoint", clip(err))
	}
	got := &tokens{access: t.AccessToken, refresh: t.RefreshToken, kind: t.Type(), lasts: max(0, t.ExpiresIn)}
	got.idToken, _ = t.Extra("id_token").(string)
	got.scope, _ = t.Extra("scope").(string)
	return got, nil
}

// userInfo returns the claims of the userinfo endpoint, which must be about the
// same person (OpenID Connect Core §5.3.2).
func (p *provider) userInfo(ctx context.Context, m *metadata, accessToken, subject string) (claims json.RawMessage, err error) {
	source := oauth2.StaticTokenSource(&oauth2.Token{AccessToken: accessToken})
	info, err := m.found.UserInfo(oidc.ClientContext(ctx, p.client), source)
	if err != nil {
		return nil, unavailable("userinfo endpoint", clip(err))
	}
	if info.Subject != subject {
		return nil, fmt.Errorf("%w: the userinfo endpoint answers about somebody else", errRefused)
	}
	if err := info.Claims(&claims); err != nil {
		return nil, unavailable("userinfo endpoint", clip(err))
	}
	return claims, nil
}

// revoke ends a token at the provider (RFC 7009 §2.1), which need not offer it.
func (p *provider) revoke(ctx context.Context, m *metadata, token, hint string) error {
	if m.Revocation == "" || token == "" {
		return nil
	}
	form := url.Values{"token": {token}, "token_type_hint": {hint}}
	style := p.oauth(m, "", nil).Endpoint.AuthStyle
	if style == oauth2.AuthStyleInParams {
		form.Set("client_id", p.clientID)
		if p.clientSecret != "" {
			form.Set("client_secret", p.clientSecret)
		}
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, m.Revocation, strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if style == oauth2.AuthStyleInHeader {
		r.SetBasicAuth(url.QueryEscape(p.clientID), url.QueryEscape(p.clientSecret)) // RFC 6749 §2.3.1
	}
	resp, err := p.client.Do(r)
	if err != nil {
		return unavailable("revocation endpoint", clip(err))
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("revocation endpoint: status %d", resp.StatusCode)
	}
	return nil
}

// unavailable says what could not be asked.
func unavailable(what string, err error) error {
	if err == nil || errors.Is(err, context.Canceled) {
		return err
	}
	return fmt.Errorf("%s: %w: %w", what, errUnavailable, err)
}

// maxError bounds what an error tells of an answer.
const maxError = 300 // bytes

// clip shortens an error whose text has an answer's body in it.
func clip(err error) error {
	if text := err.Error(); len(text) > maxError {
		return fmt.Errorf("%q…", text[:maxError])
	}
	return err
}

// errorCode is an error code (RFC 6749 §5.2, §4.1.2.1), if it looks like one.
func errorCode(text string) string {
	if len(text) > 64 || strings.Trim(text, "abcdefghijklmnopqrstuvwxyz_") != "" {
		return "?"
	}
	return text
}
