package model

import (
	"slices"
	"strings"
	"testing"
)

// lintBase is a service and a client with which nothing is wrong.
func lintBase() (service, client Settings) {
	service = Settings{
		"issuer":          raw("https://as.example.com"),
		"supportedScopes": raw([]Scope{{Name: "openid"}, {Name: "offline_access"}, {Name: "a"}}),
	}
	client = Settings{
		"redirectUris": raw([]string{"https://app.example.com/cb"}),
		"clientSecret": raw(strings.Repeat("s", 64)),
	}
	return service, client
}

func lint(t *testing.T, change func(service, client Settings)) []Finding {
	t.Helper()
	service, client := lintBase()
	change(service, client)
	s, err := NewService(service)
	if err != nil {
		t.Fatal(err)
	}
	c, err := NewClient("c", client)
	if err != nil {
		t.Fatal(err)
	}
	return Lint(&s, []Client{c})
}

// Each rule of the linter finds what it is for, and what is as it should be
// gives it nothing to say.
func TestLint(t *testing.T) {
	if list := lint(t, func(_, _ Settings) {}); len(list) > 0 {
		t.Errorf("nothing is wrong, but: %v", list)
	}
	if list := lint(t, func(s, _ Settings) {
		s["supportedSnses"], s["snsCredentials"] = raw([]string{"FACEBOOK"}), raw([]SNSCredentials{{SNSFacebook, "id", "secret"}})
		s["authenticationCallbackEndpoint"] = raw("https://users.example.com/authenticate")
	}); len(list) > 0 {
		t.Errorf("a social network has all that it needs, but: %v", list)
	}
	const jwks = `{"keys":[{"kid":"one"}]}`
	found := map[string]bool{}
	for name, c := range map[string]struct {
		setting string
		level   Level
		change  func(s, c Settings)
	}{
		"response type without its grant": {"supported_response_types", Contradiction, func(s, _ Settings) { s["supportedResponseTypes"] = raw([]string{"CODE", "TOKEN"}) }},
		"id_token without openid": {"supported_response_types", Contradiction, func(s, _ Settings) {
			s["supportedScopes"] = raw([]Scope{{Name: "a"}})
			s["supportedResponseTypes"] = raw([]string{"CODE", "CODE_ID_TOKEN"})
		}},
		"code without response type": {"supported_grant_types", Contradiction, func(s, _ Settings) { s["supportedResponseTypes"] = raw([]string{"NONE"}) }},
		"implicit without response type": {"supported_grant_types", Contradiction, func(s, _ Settings) {
			s["supportedGrantTypes"] = raw([]string{"AUTHORIZATION_CODE", "REFRESH_TOKEN", "IMPLICIT"})
		}},
		"refresh_token from nothing": {"supported_grant_types", Contradiction, func(s, _ Settings) {
			s["supportedGrantTypes"] = raw([]string{"REFRESH_TOKEN", "CLIENT_CREDENTIALS"})
			s["supportedResponseTypes"] = raw([]string{})
		}},
		"implicit flow": {"supported_grant_types", Warning, func(s, _ Settings) {
			s["supportedGrantTypes"] = raw([]string{"AUTHORIZATION_CODE", "REFRESH_TOKEN", "IMPLICIT"})
			s["supportedResponseTypes"] = raw([]string{"CODE", "ID_TOKEN_TOKEN"})
		}},
		"password": {"supported_grant_types", Warning, func(s, _ Settings) {
			s["supportedGrantTypes"] = raw([]string{"AUTHORIZATION_CODE", "REFRESH_TOKEN", "PASSWORD"})
		}},
		"pkce":                 {"pkce_required", Warning, func(s, _ Settings) { s["pkceRequired"] = raw(false) }},
		"plain":                {"pkce_s256_required", Warning, func(s, _ Settings) { s["pkceS256Required"] = raw(false) }},
		"iss":                  {"iss_suppressed", Warning, func(s, _ Settings) { s["issSuppressed"] = raw(true) }},
		"long tokens":          {"access_token_duration", Warning, func(s, _ Settings) { s["accessTokenDuration"] = raw(100_000) }},
		"kept refresh tokens":  {"refresh_token_kept", Warning, func(s, _ Settings) { s["refreshTokenKept"] = raw(true) }},
		"kept and inherited":   {"refresh_token_duration_kept", Contradiction, func(s, _ Settings) { s["refreshTokenKept"] = raw(true); s["refreshTokenDurationKept"] = raw(true) }},
		"replaced and renewed": {"refresh_token_duration_reset", Contradiction, func(s, _ Settings) { s["refreshTokenKept"] = raw(false); s["refreshTokenDurationReset"] = raw(true) }},
		"no offline_access":    {"supported_scopes", Warning, func(s, _ Settings) { s["supportedScopes"] = raw([]Scope{{Name: "openid"}}) }},
		"openid by default": {"supported_scopes", Warning, func(s, _ Settings) {
			s["supportedScopes"] = raw([]Scope{{Name: "openid", Default: true}, {Name: "offline_access"}})
		}},
		"open registration": {"dynamic_registration_supported", Warning, func(s, _ Settings) { s["dynamicRegistrationSupported"] = raw(true) }},
		"no statement is believed": {"software_statement_required", Contradiction, func(s, _ Settings) {
			s["dynamicRegistrationSupported"], s["softwareStatementRequired"] = raw(true), raw(true)
		}},
		"policy: grant":    {"registration_grant_types", Contradiction, func(s, _ Settings) { s["registrationGrantTypes"] = raw([]string{"PASSWORD"}) }},
		"policy: response": {"registration_response_types", Contradiction, func(s, _ Settings) { s["registrationResponseTypes"] = raw([]string{"TOKEN"}) }},
		"policy: method": {"registration_auth_methods", Contradiction, func(s, _ Settings) {
			s["supportedTokenAuthMethods"] = raw([]string{"CLIENT_SECRET_BASIC"})
			s["registrationAuthMethods"] = raw([]string{"NONE"})
		}},
		"policy: scope":    {"registration_scopes", Contradiction, func(s, _ Settings) { s["registrationScopes"] = raw([]string{"b"}) }},
		"clock skew":       {"allowable_clock_skew", Warning, func(s, _ Settings) { s["allowableClockSkew"] = raw(300) }},
		"id token key":     {"id_token_signature_key_id", Contradiction, func(s, _ Settings) { s["jwks"], s["idTokenSignatureKeyId"] = raw(jwks), raw("two") }},
		"userinfo key":     {"user_info_signature_key_id", Contradiction, func(s, _ Settings) { s["jwks"], s["userInfoSignatureKeyId"] = raw(jwks), raw("two") }},
		"access token key": {"access_token_signature_key_id", Contradiction, func(s, _ Settings) { s["jwks"], s["accessTokenSignatureKeyId"] = raw(jwks), raw("two") }},
		"http":             {"issuer", Warning, func(s, _ Settings) { s["issuer"] = raw("http://localhost") }},
		"SNS":              {"supported_snses", Contradiction, func(s, _ Settings) { s["supportedSnses"] = raw([]string{"FACEBOOK"}) }},
		"SNS without callback": {"supported_snses", Contradiction, func(s, _ Settings) {
			s["supportedSnses"], s["snsCredentials"] = raw([]string{"FACEBOOK"}), raw([]SNSCredentials{{SNSFacebook, "id", "secret"}})
		}},
		"client: method":        {"token_auth_method", Contradiction, func(s, _ Settings) { s["supportedTokenAuthMethods"] = raw([]string{"NONE"}) }},
		"client: grant":         {"grant_types", Contradiction, func(s, _ Settings) { s["supportedGrantTypes"] = raw([]string{"AUTHORIZATION_CODE"}) }},
		"client: response":      {"response_types", Contradiction, func(_, c Settings) { c["responseTypes"] = raw([]string{"CODE", "NONE"}) }},
		"client: scope":         {"requestable_scopes", Contradiction, func(_, c Settings) { c["requestableScopes"] = raw([]string{"b"}) }},
		"client: acr":           {"default_acrs", Contradiction, func(_, c Settings) { c["defaultAcrs"] = raw([]string{"9"}) }},
		"client: assertion aud": {"token_auth_method", Note, func(_, c Settings) { c["tokenAuthMethod"] = raw("CLIENT_SECRET_JWT") }},
		"client: short":         {"client_secret", Warning, func(_, c Settings) { c["clientSecret"] = raw("12345678") }},
		"client: http":          {"redirect_uris", Warning, func(_, c Settings) { c["redirectUris"] = raw([]string{"http://127.0.0.1/"}) }},
		"client: localhost":     {"redirect_uris", Note, func(_, c Settings) { c["redirectUris"] = raw([]string{"https://localhost/"}) }},
		"client: none":          {"id_token_sign_alg", Warning, func(_, c Settings) { c["idTokenSignAlg"] = raw("NONE") }},
		"client: request":       {"request_sign_alg", Warning, func(_, c Settings) { c["requestSignAlg"] = raw("NONE") }},
		"client: RSA1_5": {"id_token_encryption_alg", Warning, func(_, c Settings) {
			c["idTokenEncryptionAlg"], c["jwksUri"] = raw("RSA1_5"), raw("https://app.example.com/jwks")
		}},
		"client: token": {"response_types", Warning, func(s, c Settings) {
			s["supportedGrantTypes"] = raw([]string{"AUTHORIZATION_CODE", "REFRESH_TOKEN", "IMPLICIT"})
			s["supportedResponseTypes"] = raw([]string{"CODE", "TOKEN"})
			c["responseTypes"] = raw([]string{"TOKEN"})
		}},
		"client: request object": {"request_object_required", Contradiction, func(_, c Settings) { c["requestObjectRequired"] = raw(true) }},
		"client: pairwise": {"subject_type", Contradiction, func(s, c Settings) {
			s["supportedScopes"] = raw([]Scope{{Name: "a"}})
			c["subjectType"] = raw("PAIRWISE")
		}},
		"client: logout": {"backchannel_logout_uri", Warning, func(_, c Settings) { c["backchannelLogoutUri"] = raw("http://localhost/out") }},
		"client: certificates": {"tls_client_certificate_bound_access_tokens", Contradiction, func(_, c Settings) {
			c["tlsClientCertificateBoundAccessTokens"] = raw(true)
		}},
		"client: refresh": {"grant_types", Contradiction, func(_, c Settings) {
			delete(c, "redirectUris")
			c["grantTypes"] = raw([]string{"CLIENT_CREDENTIALS", "REFRESH_TOKEN"})
		}},
	} {
		t.Run(name, func(t *testing.T) {
			list := lint(t, c.change)
			i := slices.IndexFunc(list, func(f Finding) bool { return f.Setting == c.setting && f.Level == c.level })
			if i < 0 {
				t.Fatalf("no %s about %s: %v", c.level, c.setting, list)
			}
			f := list[i]
			if f.Mend == "" || f.Source == "" || strings.Contains(f.String(), "%") {
				t.Errorf("%s", f)
			}
			found[f.Client+f.Setting+f.Message[len(f.Message)/2:]] = true
		})
	}
	if rules := len(serviceRules) + len(clientRules); len(found) < rules {
		t.Errorf("%d of %d rules have been seen to find something", len(found), rules)
	}
}
