package registration_test

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-auth/gatehouse/engine/model"
)

// jwks is a JWK Set with the public key of RFC 7517 §A.1, or nearly.
func jwks(members ...string) object {
	key := object{
		"kty": "EC", "crv": "P-256", "kid": "1",
		"x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4", "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
	}
	for _, name := range members {
		key[name] = "870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE"
	}
	return object{"keys": list{key}}
}

// What is registered: the defaults of OpenID Connect Dynamic Client
// Registration §2, and what clients say, in the names and forms of the
// specifications. want are members of the answer; nil: it must not be there.
func TestRegistered(t *testing.T) {
	o := open(t, nil)
	for name, c := range map[string]struct{ body, want object }{
		"OIDC §2: defaults": {web(nil), object{
			"application_type": "web", "response_types": list{"code"}, "grant_types": list{"authorization_code"},
			"token_endpoint_auth_method": "client_secret_basic", "id_token_signed_response_alg": "RS256", "subject_type": "public",
			"redirect_uris": list{redirect}, "client_secret_expires_at": 0.0,
			"scope": nil, "contacts": nil, "client_name": nil, "jwks": nil, "userinfo_signed_response_alg": nil,
			"id_token_encrypted_response_alg": nil, "id_token_encrypted_response_enc": nil, "software_statement": nil,
		}},
		"OIDC §2: an encryption is A128CBC-HS256 unless it says": {
			web(object{"id_token_encrypted_response_alg": "ECDH-ES", "jwks": jwks()}),
			object{"id_token_encrypted_response_alg": "ECDH-ES", "id_token_encrypted_response_enc": "A128CBC-HS256", "jwks": jwks()}},
		"RFC 7591 §2: unknown metadata is ignored": {
			web(object{"favourite_colour": "blue", "tls_client_auth_subject_dn": "CN=x"}),
			object{"favourite_colour": nil, "tls_client_auth_subject_dn": nil}},
		"what metadata cannot set is not set": {
			web(object{"client_type": "PUBLIC", "clientType": "PUBLIC", "developer": "mallory", "access_token_duration": 999999, "accessTokenDuration": 999999,
				"single_access_token_per_subject": true, "pkce_s256_required": true, "client_id": "mine", "client_secret": "chosen-by-me", "client_secret_expires_at": 1,
				"registration_access_token": "mine", "registration_client_uri": "https://evil.example", "client_id_issued_at": 1}),
			object{"client_type": nil, "clientType": nil, "developer": nil, "access_token_duration": nil, "accessTokenDuration": nil, "pkce_s256_required": nil}},
		"RFC 7592 §2.2: null is as good as absent": {
			web(object{"client_name": nil, "grant_types": nil, "jwks": nil, "token_endpoint_auth_method": nil}),
			object{"client_name": nil, "grant_types": list{"authorization_code"}, "token_endpoint_auth_method": "client_secret_basic"}},
		"an empty address is as good as absent": {web(object{"logo_uri": "", "jwks_uri": ""}), object{"logo_uri": nil, "jwks_uri": nil}},
		"RFC 7591 §2.2: languages": {
			web(object{"client_name": "Shop", "client_name#ja": "店", "client_name#fr-CA": "Boutique", "logo_uri#ja": "https://app.example.com/ja.png"}),
			object{"client_name": "Shop", "client_name#ja": "店", "client_name#fr-CA": "Boutique", "logo_uri#ja": "https://app.example.com/ja.png", "logo_uri": nil}},
		"a name is a name, whatever it looks like": {web(object{"client_name": "<script>alert(1)</script>"}), object{"client_name": "<script>alert(1)</script>"}},
		"RFC 7591 §2: scope is one text":           {web(object{"scope": "orders:read  openid orders:read"}), object{"scope": "orders:read openid"}},
		"scopes that nobody knows are left out":    {web(object{"scope": "openid admin"}), object{"scope": "openid"}},
		"no scope at all":                          {web(object{"scope": ""}), object{"scope": ""}},
		"refreshing, as certification registers it": {
			web(object{"grant_types": list{"authorization_code", "refresh_token"}}), object{"grant_types": list{"authorization_code", "refresh_token"}}},
		"response types in any order imply their grants (RFC 7591 §2.1)": {
			web(object{"response_types": list{"token id_token code"}}),
			object{"response_types": list{"code id_token token"}, "grant_types": list{"authorization_code", "implicit"}}},
		"no redirect without an authorization endpoint": {
			object{"grant_types": list{"client_credentials"}}, object{"response_types": list{}, "grant_types": list{"client_credentials"}, "redirect_uris": nil}},
		"a public client has no secret (RFC 7591 §3.2.1)": {
			web(object{"token_endpoint_auth_method": "none"}), object{"client_secret": nil, "client_secret_expires_at": nil}},
		"keys instead of a secret": {
			web(object{"token_endpoint_auth_method": "private_key_jwt", "jwks": jwks(), "token_endpoint_auth_signing_alg": "ES256"}),
			object{"client_secret": nil, "jwks": jwks(), "token_endpoint_auth_signing_alg": "ES256"}},
		"ID tokens without signature in the code flow": {web(object{"id_token_signed_response_alg": "none"}), object{"id_token_signed_response_alg": "none"}},
		"sign in every time":                           {web(object{"default_max_age": 0}), object{"default_max_age": 1.0}},
		"the rest of OIDC §2": {
			web(object{"contacts": list{"a@example.com"}, "default_max_age": 3600, "require_auth_time": false, "default_acr_values": list{"1"},
				"initiate_login_uri": "https://app.example.com/login", "request_uris": list{"https://app.example.com/r#abc"}, "request_object_signing_alg": "HS256",
				"userinfo_signed_response_alg": "ES256", "jwks_uri": "https://app.example.com/jwks", "tos_uri": "https://app.example.com/tos", "policy_uri": "https://app.example.com/p",
				"client_uri": "https://app.example.com", "logo_uri": "https://app.example.com/l.png", "post_logout_redirect_uris": list{"https://app.example.com/out"},
				"backchannel_logout_uri": "https://app.example.com/bc", "backchannel_logout_session_required": true,
				"frontchannel_logout_uri": "https://app.example.com/fc", "frontchannel_logout_session_required": false, "require_signed_request_object": true,
				"request_object_encryption_alg": "RSA-OAEP-256", "request_object_encryption_enc": "A256GCM",
				"software_id": "s", "software_version": "1"}),
			object{"contacts": list{"a@example.com"}, "default_max_age": 3600.0, "require_auth_time": false, "request_uris": list{"https://app.example.com/r#abc"},
				"frontchannel_logout_session_required": false, "request_object_encryption_enc": "A256GCM", "software_version": "1", "require_signed_request_object": true}},
		"OIDC §2: a native client": {
			object{"application_type": "native", "token_endpoint_auth_method": "none", "post_logout_redirect_uris": list{"http://127.0.0.1/out", "com.example.app:/out", "https://app.example.com/out"},
				"redirect_uris": list{"http://127.0.0.1/cb", "http://localhost:5000/cb", "http://[::1]/cb", "com.example.app:/cb"}},
			object{"application_type": "native"}},
		"RFC 8252 §7.3: native, where every redirect is http on a loopback host": {
			object{"token_endpoint_auth_method": "none", "redirect_uris": list{"http://localhost:33418/callback", "http://127.0.0.1/cb", "http://[::1]:1/cb"}},
			object{"application_type": "native", "grant_types": list{"authorization_code"}}},
		"RFC 8252 §7.1: native, where every redirect has a scheme of its own": {
			object{"redirect_uris": list{"com.example.app:/cb"}}, object{"application_type": "native"}},
		"native, where the redirects are of both kinds": {
			object{"redirect_uris": list{"com.example.app:/cb", "http://127.0.0.1/cb"}}, object{"application_type": "native"}},
		"OIDC §2: web, where no redirect tells": {
			object{"grant_types": list{"client_credentials"}}, object{"application_type": "web"}},
		"OIDC §2: web, where https is on a loopback host": {
			web(object{"redirect_uris": list{"https://localhost/cb"}}), object{"application_type": "web"}},
	} {
		t.Run(name, func(t *testing.T) {
			o.TB = t
			got := o.register(c.body)
			for member, want := range c.want {
				if diff := cmp.Diff(want, got[member]); diff != "" {
					t.Errorf("%s: %s", member, diff)
				}
			}
			o.checkIssued(got)
		})
	}
}

// checkIssued is what every answer has (RFC 7591 §3.2.1, RFC 7592 §3), and what
// the server made must be its own.
func (o *office) checkIssued(got object) {
	o.Helper()
	id, _ := got["client_id"].(string)
	token, _ := got["registration_access_token"].(string)
	secret, _ := got["client_secret"].(string)
	c := o.client(got)
	if len(id) < 22 || id == "mine" || len(token) < 43 || got["registration_client_uri"] != endpoint+"/"+id || got["client_id_issued_at"] != float64(o.clock().Unix()) {
		o.Errorf("issued: %v", got)
	}
	if needs := c.TokenAuthMethod.Secret() || c.UsesSecret(); needs != (len(secret) == 64) || secret == "" && got["client_secret_expires_at"] != nil {
		o.Errorf("secret %q of a client that needs one: %t", secret, needs)
	}
	if c.AccessTokenDuration != 0 || c.Developer != "" || c.SingleAccessTokenPerSubject {
		o.Errorf("metadata has set %+v", c)
	}
	if row := o.row(got); strings.Contains(string(row.Settings)+string(row.Sealed), token) || secret != "" && strings.Contains(string(row.Settings)+string(row.Sealed), secret) {
		o.Error("the store has a secret in clear")
	}
}

// What is not registered, and why: code and description are of RFC 7591 §3.2.2.
func TestRefused(t *testing.T) {
	o := open(t, nil)
	const metadata, uri = "invalid_client_metadata", "invalid_redirect_uri"
	implicit := object{"response_types": list{"id_token"}, "grant_types": list{"implicit"}}
	long := "https://app.example.com/" + strings.Repeat("x", 1024)
	for name, c := range map[string]struct {
		body              object
		code, description string
	}{
		"redirect_uris are required (OIDC §2)":        {object{}, uri, "redirect_uris"},
		"none of them":                                {web(object{"redirect_uris": list{}}), uri, "redirect_uris"},
		"redirect_uris of another type":               {web(object{"redirect_uris": redirect}), uri, "redirect_uris: expected a list"},
		"a redirect with a fragment (RFC 6749 3.1.2)": {web(object{"redirect_uris": list{redirect + "#x"}}), uri, "fragment"},
		"a redirect that is too long":                 {web(object{"redirect_uris": list{long}}), uri, "1024"},
		"http elsewhere":                              {web(object{"redirect_uris": list{"http://app.example.com/cb"}}), uri, "https"},
		"http on this machine for a web client":       {asWeb("http://localhost/cb"), uri, "https"},
		"a scheme of its own for a web client":        {asWeb("com.example.app:/cb"), uri, "native"},
		"http on this machine beside https elsewhere": {web(object{"redirect_uris": list{"http://localhost/cb", redirect}}), uri, "native"},
		"OIDC §2: implicit on localhost":              {web(merge(implicit, object{"redirect_uris": list{"https://localhost/cb"}})), uri, "localhost"},
		"OIDC §2: implicit over http":                 {web(merge(implicit, object{"redirect_uris": list{"http://127.0.0.1/cb"}})), uri, "https"},
		"OIDC §2: implicit, a scheme of its own":      {object{"response_types": list{"id_token"}, "redirect_uris": list{"com.example.app:/cb"}}, uri, "https"},
		"OIDC §2: https for a native client":          {web(object{"application_type": "native"}), uri, "native"},
		"native, http elsewhere":                      {web(object{"application_type": "native", "redirect_uris": list{"http://app.example.com/"}}), uri, "https"},
		"too many redirects":                          {web(object{"redirect_uris": many(101)}), uri, "at most 100"},

		"a name that is a number":                       {web(object{"client_name": 7}), metadata, "client_name: expected text"},
		"a name with a line break":                      {web(object{"client_name": "a\nb"}), metadata, "client_name"},
		"a name in a language that is a list":           {web(object{"client_name#ja": list{"x"}}), metadata, "client_name#ja"},
		"a language that is none":                       {web(object{"client_name#": "x"}), metadata, "client_name"},
		"a language twice":                              {web(object{"client_name#ja": "x", "client_name#JA": "y"}), metadata, "twice"},
		"contacts that are one text":                    {web(object{"contacts": "a@example.com"}), metadata, "contacts: expected a list"},
		"an age in words":                               {web(object{"default_max_age": "3600"}), metadata, "default_max_age"},
		"a flag in words":                               {web(object{"require_auth_time": "yes"}), metadata, "require_auth_time: expected true or false"},
		"an application of another type":                {web(object{"application_type": "service"}), metadata, "application_type"},
		"the Web API's names are no values here":        {web(object{"application_type": "NATIVE"}), metadata, "application_type"},
		"scope as a list":                               {web(object{"scope": list{"openid"}}), metadata, "scope"},
		"a grant type that nobody knows":                {web(object{"grant_types": list{"magic"}}), metadata, "grant_types"},
		"a response type that nobody knows":             {web(object{"response_types": list{"magic"}}), metadata, "response_types"},
		"RFC 7591 §2.1: code without its grant":         {web(object{"grant_types": list{"implicit"}, "response_types": list{"code"}}), metadata, "authorization_code"},
		"RFC 7591 §2.1: id_token without its grant":     {web(object{"grant_types": list{"authorization_code"}, "response_types": list{"id_token"}}), metadata, "implicit"},
		"RFC 6749 §4.4: client_credentials for none":    {web(object{"grant_types": list{"client_credentials"}, "token_endpoint_auth_method": "none"}), metadata, "client_credentials"},
		"an authentication method that is unknown":      {web(object{"token_endpoint_auth_method": "tls_client_auth"}), metadata, "token_endpoint_auth_method"},
		"an algorithm without an assertion":             {web(object{"token_endpoint_auth_signing_alg": "RS256"}), metadata, "token_endpoint_auth_signing_alg"},
		"OIDC §2: none signs no assertion":              {web(object{"token_endpoint_auth_method": "private_key_jwt", "token_endpoint_auth_signing_alg": "none", "jwks": jwks()}), metadata, "token_endpoint_auth_signing_alg"},
		"HMAC with a key pair":                          {web(object{"token_endpoint_auth_method": "private_key_jwt", "token_endpoint_auth_signing_alg": "HS256", "jwks": jwks()}), metadata, "token_endpoint_auth_signing_alg"},
		"private_key_jwt without keys":                  {web(object{"token_endpoint_auth_method": "private_key_jwt"}), metadata, "jwks"},
		"RFC 7591 §2: jwks and jwks_uri":                {web(object{"jwks": jwks(), "jwks_uri": "https://app.example.com/jwks"}), metadata, "jwks and jwks_uri"},
		"jwks as text":                                  {web(object{"jwks": text(jwks())}), metadata, "jwks"},
		"jwks without keys":                             {web(object{"jwks": object{}}), metadata, "jwks"},
		"jwks with a private key":                       {web(object{"jwks": jwks("d")}), metadata, "private"},
		"jwks with a symmetric key":                     {web(object{"jwks": object{"keys": list{object{"kty": "oct", "k": "c2VjcmV0"}}}}), metadata, "symmetric"},
		"jwks with nothing that can be used":            {web(object{"jwks": object{"keys": list{object{"kty": "none"}}}}), metadata, "no public key"},
		"jwks with something else":                      {web(object{"jwks": object{"keys": list{7}}}), metadata, "jwks"},
		"an algorithm that the service cannot sign by":  {web(object{"id_token_signed_response_alg": "ES512"}), metadata, "id_token_signed_response_alg"},
		"userinfo likewise":                             {web(object{"userinfo_signed_response_alg": "PS384"}), metadata, "userinfo_signed_response_alg"},
		"OIDC §2: none with an ID token in front":       {web(merge(implicit, object{"id_token_signed_response_alg": "none"})), metadata, "id_token_signed_response_alg"},
		"OIDC Core §10.1: a public client and HMAC":     {web(object{"token_endpoint_auth_method": "none", "id_token_signed_response_alg": "HS256"}), metadata, "token_endpoint_auth_method"},
		"encryption to keys that there are not":         {web(object{"id_token_encrypted_response_alg": "RSA-OAEP"}), metadata, "id_token_encrypted_response_alg"},
		"OIDC §2: enc without alg":                      {web(object{"userinfo_encrypted_response_enc": "A128GCM"}), metadata, "userinfo_encrypted_response_enc"},
		"writing to a key that the service has not":     {web(object{"request_object_encryption_alg": "ECDH-ES"}), metadata, "request_object_encryption_alg"},
		"RFC 9101 §10.5: signed, but by none":           {web(object{"require_signed_request_object": true, "request_object_signing_alg": "none"}), metadata, "request_object_signing_alg"},
		"OIDC Core §8.1: pairwise for two hosts":        {web(object{"subject_type": "pairwise", "redirect_uris": list{redirect, "https://other.example.com/"}}), metadata, "pairwise"},
		"OIDC Core §8.1: pairwise for none":             {object{"subject_type": "pairwise", "grant_types": list{"password"}}, metadata, "pairwise"},
		"OIDC §5: a sector over http":                   {web(object{"sector_identifier_uri": "http://localhost/s"}), metadata, "sector_identifier_uri"},
		"Front-Channel Logout §2: on another host":      {web(object{"frontchannel_logout_uri": "https://other.example.com/fc"}), metadata, "frontchannel_logout_uri"},
		"RFC 7591 §2.3: a statement that nobody awaits": {web(object{"software_statement": "e30.e30."}), "unapproved_software_statement", ""},
	} {
		t.Run(name, func(t *testing.T) {
			o.TB = t
			o.refused(o.post(c.body), model.ActionBadRequest, c.code, c.description)
		})
	}
	if len(o.fetched) > 0 {
		t.Errorf("something was fetched for clients that are not in order: %v", o.fetched)
	}
}

// asWeb is a client that says it is a web application.
func asWeb(address string) object {
	return object{"application_type": "web", "redirect_uris": list{address}}
}

func merge(all ...object) object {
	m := object{}
	for _, o := range all {
		maps.Copy(m, o)
	}
	return m
}

func many(n int) list {
	l := list{}
	for i := range n {
		l = append(l, fmt.Sprint(redirect, i))
	}
	return l
}
