package model

import (
	"errors"
	"fmt"
	"slices"
)

// ClientSettings is the catalogue of a client's settings.
var ClientSettings = []Setting[Client]{
	text("clientName", "at most 100 characters", func(c *Client) *string { return &c.ClientName },
		func(v string) error { return checkText(v, maxName) }).
		at("Basic", "Client Name", "The name that users see when they are asked for consent."),
	enum("clientType", clientTypes, func(c *Client) *ClientType { return &c.ClientType }).
		at("Basic", "Client Type", "Whether the client can keep a secret; follows from the secret when it is not set."),
	text("clientSecret", "printable ASCII, 8 to 200 characters", func(c *Client) *string { return &c.ClientSecret }, checkSecret).
		at("Basic", "Client Secret", "The secret of a confidential client; {env.NAME} and {file./path} keep it out of the file.").secret(),
	redirectURIs().
		at("Authorization", "Redirect URIs", "Where codes may be sent; compared character by character, but for a loopback port."),
	enums("grantTypes", grantTypes, func(c *Client) *[]GrantType { return &c.GrantTypes }).
		at("Authorization", "Grant Types", "The ways to get tokens that this client may use."),
	texts("requestableScopes", scopeLimits, maxScopes, func(c *Client) *[]string { return &c.RequestableScopes }, checkScope).
		at("Authorization", "Requestable Scopes", "The scopes that this client may ask for; all of the service's when it is not set."),
	enum("tokenAuthMethod", clientAuthMethods, func(c *Client) *ClientAuthMethod { return &c.TokenAuthMethod }).
		at("Authorization", "Client Authentication Method", "The one method that this client uses; client_secret_basic with a secret, none without."),
	enum("idTokenSignAlg", signAlgs, func(c *Client) *SignAlg { return &c.IDTokenSignAlg }).
		at("ID Token", "ID Token Signature Algorithm", "How this client's ID tokens are signed."),
	seconds("defaultMaxAge", 0, 1<<31-1, func(c *Client) *int64 { return &c.DefaultMaxAge }).
		at("ID Token", "Default Maximum Authentication Age", "Used when a request has no max_age; 0 for none."),
	flag("authTimeRequired", func(c *Client) *bool { return &c.AuthTimeRequired }).
		at("ID Token", "Authentication Time Required", "Put auth_time into every ID token."),
	url("clientUri", func(c *Client) *string { return &c.ClientURI }, URLRule{Most: 200}).
		at("Document", "Client Home Page", "Linked on the consent page."),
	url("policyUri", func(c *Client) *string { return &c.PolicyURI }, URLRule{Most: 200}).
		at("Document", "Privacy Policy", "Linked on the consent page."),
	url("tosUri", func(c *Client) *string { return &c.TOSURI }, URLRule{Most: 200}).
		at("Document", "Terms of Service", "Linked on the consent page."),
}

var secretAuthMethods = clientAuthMethods[1:]

var redirectRule = URLRule{Most: 1024, Redirect: true}

func redirectURIs() Setting[Client] {
	return texts("redirectUris", redirectRule.String(), 100, func(c *Client) *[]string { return &c.RedirectURIs },
		func(v string) error { return CheckURL(v, redirectRule) })
}

// NewClient makes a client of settings; what they leave out has its default.
func NewClient(alias string, values Settings) (Client, error) {
	c := Client{Alias: alias, IDTokenSignAlg: RS256}
	if err := CheckAlias(alias); err != nil {
		return Client{}, fmt.Errorf("client %q: %w", alias, err)
	}
	if err := ApplyAll(ClientSettings, &c, values); err != nil {
		return Client{}, fmt.Errorf("client %s: %w", alias, err)
	}
	c.derive()
	if err := c.validate(); err != nil {
		return Client{}, fmt.Errorf("client %s: %w", alias, err)
	}
	return c, nil
}

// derive fills in what follows from the rest.
func (c *Client) derive() {
	if c.ClientType == "" {
		c.ClientType = ClientTypePublic
		if c.ClientSecret != "" {
			c.ClientType = ClientTypeConfidential
		}
	}
	if c.TokenAuthMethod == "" {
		c.TokenAuthMethod = AuthNone
		if c.ClientType == ClientTypeConfidential {
			c.TokenAuthMethod = AuthClientSecretBasic
		}
	}
	if c.GrantTypes == nil && len(c.RedirectURIs) > 0 {
		c.GrantTypes = []GrantType{GrantAuthorizationCode, GrantRefreshToken}
	}
}

// validate finds settings that contradict each other.
func (c *Client) validate() error {
	switch {
	case c.Public() && c.ClientSecret != "":
		return errors.New("a public client has no client_secret")
	case c.Public() != (c.TokenAuthMethod == AuthNone):
		return fmt.Errorf("token_auth_method %s does not go with a %s client", c.TokenAuthMethod, c.ClientType)
	case !c.Public() && c.ClientSecret == "":
		return errors.New("a confidential client needs a client_secret")
	case c.Public() && slices.Contains(c.GrantTypes, GrantClientCredentials):
		return errors.New("a public client may not use client_credentials (RFC 6749 section 4.4)")
	case slices.Contains(c.GrantTypes, GrantAuthorizationCode) && len(c.RedirectURIs) == 0:
		return errors.New("authorization_code needs redirect_uris")
	}
	return nil
}
