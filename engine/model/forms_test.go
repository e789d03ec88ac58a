package model

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func mustFind[T any](t testing.TB, catalogue []Setting[T], name string) *Setting[T] {
	t.Helper()
	setting, ok := Find(catalogue, name)
	if !ok {
		t.Fatalf("%s is not in the catalogue", name)
	}
	return setting
}

// written compares a value with JSON, or an error with a part of it after "!".
func written(t *testing.T, what, want string, got json.RawMessage, err error) {
	t.Helper()
	if wrong, isError := strings.CutPrefix(want, "!"); isError {
		if err == nil || !strings.Contains(err.Error(), wrong) {
			t.Errorf("%s: %s %v, want %s", what, got, err, want)
		}
	} else if err != nil || string(got) != want {
		t.Errorf("%s: %s %v, want %s", what, got, err, want)
	}
}

// The lines of a block in a Caddyfile.
func TestParseEntry(t *testing.T) {
	for _, c := range []struct{ setting, line, want string }{
		{"supported_scopes", "a", `{"name":"a"}`},
		{"supported_scopes", "a|Read|it", `{"name":"a","description":"Read it"}`},
		{"supported_scopes", "a|Read it|default", `{"name":"a","description":"Read it","defaultEntry":true}`},
		{"supported_scopes", "a|Read it|#ja=読む|#de=Lesen", `{"name":"a","description":"Read it","descriptions":[{"tag":"ja","value":"読む"},{"tag":"de","value":"Lesen"}]}`},
		{"supported_scopes", "a|access_token.duration=10m|x=1=2", `{"name":"a","attributes":[{"key":"access_token.duration","value":"10m"},{"key":"x","value":"1=2"}]}`},
		{"supported_scopes", "a|1 + 1 = 2", `{"name":"a","description":"1 + 1 = 2"}`},
		{"initial_access_tokens", "dev|12345678", `{"developer":"dev","token":"12345678"}`},
		{"initial_access_tokens", "dev", "!expected a developer and a token"},
		{"sns_credentials", "facebook|id|secret", `{"sns":"FACEBOOK","apiKey":"id","apiSecret":"secret"}`},
		{"sns_credentials", "FACEBOOK|id|secret", "!facebook"},
		{"sns_credentials", "facebook|id", "!expected a social network"},
	} {
		setting := mustFind(t, ServiceSettings, c.setting)
		words := strings.Split(c.line, "|")
		got, err := setting.ParseEntry(words[0], words[1:])
		written(t, c.setting+" "+c.line, c.want, got, err)
	}
	names := mustFind(t, ClientSettings, "client_names")
	got, err := names.ParseEntry("ja", []string{"店"})
	written(t, "client_names ja", `{"tag":"ja","value":"店"}`, got, err)
	_, err = names.ParseEntry("ja", nil)
	written(t, "client_names ja", "!expected a language and its text", nil, err)
}

// RFC 7591 §2: what a client's metadata says, in the names of the
// specifications, becomes the settings' values.
func TestFromMetadata(t *testing.T) {
	for _, c := range []struct{ setting, metadata, want string }{
		{"response_types", `["code","token id_token"]`, `["CODE","ID_TOKEN_TOKEN"]`},
		{"response_types", `["CODE"]`, "!code"},
		{"response_types", `"code"`, "!list"},
		{"grant_types", `["authorization_code","refresh_token"]`, `["AUTHORIZATION_CODE","REFRESH_TOKEN"]`},
		{"grant_types", `["AUTHORIZATION_CODE"]`, "!authorization_code"},
		{"token_auth_method", `"private_key_jwt"`, `"PRIVATE_KEY_JWT"`},
		{"token_auth_method", `7`, "!private_key_jwt"},
		{"id_token_sign_alg", `"none"`, `"NONE"`},
		{"id_token_encryption_alg", `"RSA-OAEP-256"`, `"RSA_OAEP_256"`},
		{"id_token_encryption_enc", `"A128CBC-HS256"`, `"A128CBC_HS256"`},
		{"subject_type", `"pairwise"`, `"PAIRWISE"`},
		{"application_type", `"native"`, `"NATIVE"`},
		{"requestable_scopes", `"openid  email"`, `["openid","email"]`},
		{"requestable_scopes", `""`, `[]`},
		{"requestable_scopes", `["openid"]`, "!spaces"},
		{"jwks", `{"keys":[]}`, `"{\"keys\":[]}"`},
		{"jwks", `"{}"`, "!JSON object"},
		{"client_name", `"x"`, `"x"`},
	} {
		got, err := mustFind(t, ClientSettings, c.setting).FromMetadata(json.RawMessage(c.metadata))
		written(t, c.setting+" "+c.metadata, c.want, got, err)
	}
}

// OAuth 2.0 Multiple Response Types §3: the members of a response type come in
// any order, and name one response type.
func TestParseResponseType(t *testing.T) {
	for text, want := range map[string]ResponseType{
		"code": ResponseCode, "none": ResponseNone, "token": ResponseToken, "id_token": ResponseIDToken,
		"token code": ResponseCodeToken, "id_token code": ResponseCodeIDToken, "token id_token": ResponseIDTokenToken,
		"token id_token code": ResponseCodeIDTokenToken, "id_token token code": ResponseCodeIDTokenToken,
	} {
		if got, ok := ParseResponseType(text); !ok || got != want {
			t.Errorf("%s: %q %v", text, got, ok)
		}
	}
	for _, text := range []string{"", "CODE", "code code", "none code", "magic", "code magic", "code,token"} {
		if got, ok := ParseResponseType(text); ok {
			t.Errorf("%q passes for %q", text, got)
		}
	}
	if diff := cmp.Diff([]GrantType{GrantAuthorizationCode, GrantImplicit}, ResponseCodeToken.Grants()); diff != "" {
		t.Error(diff)
	}
}

// OpenID Connect Core §8.1: the sector is the host of the sector identifier, or
// the one of all redirect addresses.
func TestSector(t *testing.T) {
	for _, c := range []struct {
		redirects  []string
		identifier string
		want       string
	}{
		{[]string{"https://a.example/x", "https://a.example/y"}, "", "a.example"},
		{[]string{"https://a.example:8443/x", "https://a.example/y"}, "", "a.example"},
		{[]string{"https://a.example/", "https://b.example/"}, "", ""},
		{[]string{"https://a.example/", "https://b.example/"}, "https://s.example/list", "s.example"},
		{[]string{"com.example.app:/cb"}, "", ""},
		{nil, "", ""},
	} {
		client := Client{RedirectURIs: c.redirects, SectorIdentifierURI: c.identifier}
		if got := client.Sector(); got != c.want {
			t.Errorf("%v %s: %q", c.redirects, c.identifier, got)
		}
	}
}

// A scope is refused or kept as it was written, whatever the line says.
func FuzzScopeEntry(f *testing.F) {
	f.Add("orders:read", "Read your orders\ndefault")
	f.Add("a", "#ja=読む\naccess_token.duration=10m")
	f.Add("a", "=\n#=\n# =x")
	f.Add(`"`, "default\ndefault")
	f.Fuzz(func(t *testing.T, name, line string) {
		entry, err := scopeEntry(name, strings.Split(line, "\n"))
		if err != nil {
			t.Fatal(err)
		}
		var s Service
		if mustFind(t, ServiceSettings, "supported_scopes").Apply(&s, raw([]any{entry})) != nil {
			return
		}
		scope := s.SupportedScopes[0]
		if checkScope(scope.Name) != nil || len(scope.Attributes) > maxAttributes {
			t.Fatalf("%+v was accepted", scope)
		}
		for _, d := range append(slices.Clone(scope.Descriptions), Tagged{"en", scope.Description}) {
			if !LanguageTag(d.Tag) || len([]rune(d.Value)) > maxDescription || strings.ContainsAny(d.Value, "\n\r\x00\x1b") {
				t.Errorf("%+v was accepted", d)
			}
		}
		for _, attribute := range []string{AttributeAccessTokenDuration, AttributeRefreshTokenDuration, AttributeIDTokenDuration} {
			if n := scope.Seconds(attribute); n < 0 || n > MaxDuration {
				t.Errorf("%s is %d", attribute, n)
			}
		}
	})
}
