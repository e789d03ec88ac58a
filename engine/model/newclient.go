package model

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// NewClient makes a client of settings; what they leave out has its default.
func NewClient(alias string, values Settings) (Client, error) {
	c := Client{Alias: alias, ApplicationType: ApplicationWeb, SubjectType: SubjectPublic, IDTokenSignAlg: RS256}
	if err := CheckAlias(alias); err != nil {
		return Client{}, fmt.Errorf("client %q: %w", alias, err)
	}
	if err := ApplyAll(ClientSettings, &c, values); err != nil {
		return Client{}, fmt.Errorf("client %s: %w", alias, err)
	}
	c.derive()
	if err := c.Validate(); err != nil {
		return Client{}, fmt.Errorf("client %s: %w", alias, err)
	}
	return c, nil
}

// derive fills in what follows from the rest.
func (c *Client) derive() {
	if c.TokenAuthMethod == "" {
		switch {
		case c.ClientType == ClientTypePublic:
			c.TokenAuthMethod = AuthNone
		case c.ClientSecret != "":
			c.TokenAuthMethod = AuthClientSecretBasic
		case c.JWKS != "" || c.JWKSURI != "":
			c.TokenAuthMethod = AuthPrivateKeyJWT
		case c.ClientType == ClientTypeConfidential:
			c.TokenAuthMethod = AuthClientSecretBasic
		default:
			c.TokenAuthMethod = AuthNone
		}
	}
	if c.ClientType == "" {
		c.ClientType = ClientTypeConfidential
		if c.TokenAuthMethod == AuthNone {
			c.ClientType = ClientTypePublic
		}
	}
	if c.ResponseTypes == nil && len(c.RedirectURIs) > 0 {
		c.ResponseTypes = []ResponseType{ResponseCode}
	}
	if c.GrantTypes == nil && len(c.RedirectURIs) > 0 {
		c.GrantTypes = c.impliedGrants()
	}
	for _, e := range c.encryptions() {
		if *e.alg != "" && *e.enc == "" {
			*e.enc = A128CBCHS256
		}
	}
}

// impliedGrants are the grant types of the response types, and refreshing.
func (c *Client) impliedGrants() []GrantType {
	var grants []GrantType
	for _, t := range c.ResponseTypes {
		for _, g := range t.Grants() {
			if !slices.Contains(grants, g) {
				grants = append(grants, g)
			}
		}
	}
	if slices.Contains(grants, GrantAuthorizationCode) {
		grants = append(grants, GrantRefreshToken)
	}
	return grants
}

type encryption struct {
	name string
	alg  *EncAlg
	enc  *ContentEnc
}

func (c *Client) encryptions() []encryption {
	return []encryption{
		{"request", &c.RequestEncryptionAlg, &c.RequestEncryptionEnc},
		{"id_token", &c.IDTokenEncryptionAlg, &c.IDTokenEncryptionEnc},
		{"user_info", &c.UserInfoEncryptionAlg, &c.UserInfoEncryptionEnc},
		{"introspection", &c.IntrospectionEncryptionAlg, &c.IntrospectionEncryptionEnc},
	}
}

// Validate finds settings that contradict each other.
func (c *Client) Validate() error {
	for _, check := range []func() error{c.validateAuthentication, c.validateFlows, c.validateKeys, c.validateSubject} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

func (c *Client) validateAuthentication() error {
	switch {
	case c.Public() != (c.TokenAuthMethod == AuthNone):
		return fmt.Errorf("token_auth_method %s does not go with a %s client", c.TokenAuthMethod, c.ClientType)
	case c.Public() && c.ClientSecret != "" && !c.UsesSecret():
		return errors.New("a public client has no client_secret; one with a secret is confidential")
	case c.TokenAuthMethod.Secret() && c.ClientSecret == "":
		return fmt.Errorf("%s needs a client_secret; a public client uses none", c.TokenAuthMethod)
	case c.TokenAuthMethod == AuthPrivateKeyJWT && c.JWKS == "" && c.JWKSURI == "":
		return errors.New("private_key_jwt needs jwks or jwks_uri")
	case c.TokenAuthSignAlg != "" && !c.TokenAuthMethod.Assertion():
		return fmt.Errorf("token_auth_sign_alg does not go with %s", c.TokenAuthMethod)
	case c.TokenAuthSignAlg != "" && c.TokenAuthSignAlg.Symmetric() != (c.TokenAuthMethod == AuthClientSecretJWT):
		return fmt.Errorf("token_auth_sign_alg %s does not go with %s", c.TokenAuthSignAlg, c.TokenAuthMethod)
	}
	if c.TokenAuthMethod != AuthClientSecretJWT {
		return nil
	}
	alg := c.TokenAuthSignAlg
	if alg == "" {
		alg = HS256 // the least that it can be
	}
	return c.secretSigns("client_secret_jwt", alg)
}

func (c *Client) validateFlows() error {
	if c.Public() && c.Allows(GrantClientCredentials) {
		return errors.New("a public client may not use client_credentials (RFC 6749 section 4.4)")
	}
	if len(c.RedirectURIs) == 0 && (c.Allows(GrantAuthorizationCode) || c.Allows(GrantImplicit) || len(c.ResponseTypes) > 0) {
		return errors.New("authorization_code, implicit and response_types need redirect_uris")
	}
	for _, t := range c.ResponseTypes {
		for _, g := range t.Grants() {
			if !c.Allows(g) {
				return fmt.Errorf("the response type %q needs the grant type %s", t, g)
			}
		}
		// Nobody could show there what they are to be bound to.
		if t.Token() && (c.DPoPRequired || c.CertificateBoundTokens) {
			return fmt.Errorf("dpop_required and tls_client_certificate_bound_access_tokens do not go with the response type %q", t)
		}
		// OpenID Connect Dynamic Client Registration §2: not from the
		// authorization endpoint.
		if t.IDToken() && c.IDTokenSignAlg == AlgNone {
			return fmt.Errorf("id_token_sign_alg none does not go with the response type %q", t)
		}
	}
	return nil
}

func (c *Client) validateKeys() error {
	if c.JWKS != "" && c.JWKSURI != "" {
		return errors.New("jwks and jwks_uri exclude each other (RFC 7591 section 2)")
	}
	keys := c.JWKS != "" || c.JWKSURI != ""
	for _, e := range c.encryptions() {
		switch {
		case *e.enc != "" && *e.alg == "":
			return fmt.Errorf("%s_encryption_enc needs %s_encryption_alg", e.name, e.name)
		case e.alg.Symmetric() && c.ClientSecret == "":
			return fmt.Errorf("%s_encryption_alg %s needs a client_secret", e.name, *e.alg)
		case e.name != "request" && (e.alg.RSA() || e.alg.EC()) && !keys:
			return fmt.Errorf("%s_encryption_alg %s needs jwks or jwks_uri", e.name, *e.alg)
		}
	}
	for name, alg := range map[string]SignAlg{
		"id_token": c.IDTokenSignAlg, "user_info": c.UserInfoSignAlg, "introspection": c.IntrospectionSignAlg, "request": c.RequestSignAlg,
	} {
		if err := c.secretSigns(name+"_sign_alg "+string(alg), alg); err != nil {
			return err
		}
	}
	if c.RequestSignAlg.Asymmetric() && !keys {
		return fmt.Errorf("request_sign_alg %s needs jwks or jwks_uri", c.RequestSignAlg)
	}
	return nil
}

// secretSigns finds a client secret that is too short to sign with.
func (c *Client) secretSigns(what string, alg SignAlg) error {
	if len(c.ClientSecret) >= alg.KeyBytes() {
		return nil
	}
	return fmt.Errorf("%s needs a client_secret of at least %d octets (OpenID Connect Core section 16.19)", what, alg.KeyBytes())
}

func (c *Client) validateSubject() error {
	if c.SubjectType == SubjectPairwise && len(c.RedirectURIs) > 0 && c.Sector() == "" {
		return errors.New("pairwise subjects need redirect_uris of one host, or a sector_identifier_uri (OpenID Connect Core section 8.1)")
	}
	if c.SectorIdentifierURI != "" && !strings.HasPrefix(c.SectorIdentifierURI, "https:") {
		return errors.New("sector_identifier_uri must use https (OpenID Connect Core section 8.1)")
	}
	return nil
}
