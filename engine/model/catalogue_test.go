package model

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func raw(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

// Every setting is described, and its name follows from its property.
func TestCatalogueIsComplete(t *testing.T) {
	check := func(t *testing.T, property, name, tab, label, help, kind string, seen map[string]bool) {
		if tab == "" || label == "" || help == "" || kind == "" || !strings.HasSuffix(help, ".") {
			t.Errorf("%s lacks tab, label, help or type", property)
		}
		if seen[name] || name != strings.ToLower(name) || strings.ContainsAny(name, " -") {
			t.Errorf("%s has the name %s", property, name)
		}
		seen[name] = true
	}
	t.Run("service", func(t *testing.T) {
		seen := map[string]bool{}
		for _, s := range ServiceSettings {
			check(t, s.Property, s.Name(), s.Tab, s.Label, s.Help, s.Type, seen)
		}
	})
	t.Run("client", func(t *testing.T) {
		seen := map[string]bool{}
		for _, s := range ClientSettings {
			check(t, s.Property, s.Name(), s.Tab, s.Label, s.Help, s.Type, seen)
		}
	})
}

// samples are values that settings may have; each setting takes at least one
// that is not its default.
var samples = []any{
	true, false, 17, 1717, "https://x.example/", "/x", "abcdefgh", "ES384", "A256GCM", "RSA_OAEP", "PUBLIC", "NATIVE", "PAIRWISE", "CLIENT_SECRET_POST",
	`{"keys":[]}`, []string{"https://x.example/"}, []string{"IMPLICIT"}, []string{"CODE_TOKEN"}, []string{"POPUP"}, []string{"AGGREGATED"},
	[]string{"FACEBOOK"}, []string{"ES384"}, []string{"CLIENT_SECRET_POST"}, []string{"de"}, []string{"x.example"}, []Scope{{Name: "x"}},
	[]Tagged{{"ja", "x"}}, []Tagged{{"ja", "https://x.example/"}}, []SNSCredentials{{SNSFacebook, "a", "b"}}, []InitialAccessToken{{"d", "12345678"}},
}

// Each field of a service and a client but those that are no settings is set by
// exactly one setting: none can be forgotten, and none sets the field of another.
func TestEverySettingHasItsField(t *testing.T) {
	t.Run("service", func(t *testing.T) { checkFields(t, ServiceSettings, defaultService(), "ID") })
	t.Run("client", func(t *testing.T) {
		checkFields(t, ClientSettings, Client{}, "ID", "Service", "Alias", "SecretHash", "SecretExpiresAt", "Registered")
	})
}

func checkFields[T any](t *testing.T, catalogue []Setting[T], unset T, skip ...string) {
	before := leaves(reflect.ValueOf(unset), "")
	owner := map[string]string{}
	for i := range catalogue {
		s := &catalogue[i]
		if field := changedBy(s, unset, before); len(field) != 1 {
			t.Errorf("%s sets the fields %v", s.Property, field)
		} else if owner[field[0]] != "" {
			t.Errorf("%s and %s set the same field %s", s.Property, owner[field[0]], field[0])
		} else {
			owner[field[0]] = s.Property
		}
	}
	for field := range before {
		if owner[field] == "" && !slices.Contains(skip, field) {
			t.Errorf("no setting sets %s", field)
		}
	}
}

// changedBy lists the fields that the first sample which a setting takes changes.
func changedBy[T any](s *Setting[T], unset T, before map[string]any) []string {
	for _, sample := range samples {
		target := unset
		if s.Apply(&target, raw(sample)) != nil {
			continue
		}
		var fields []string
		for field, value := range leaves(reflect.ValueOf(target), "") {
			if !reflect.DeepEqual(value, before[field]) {
				fields = append(fields, field)
			}
		}
		if fields != nil {
			return fields
		}
	}
	return nil
}

// leaves are the fields of a structure, and of those in it.
func leaves(v reflect.Value, prefix string) map[string]any {
	all := map[string]any{}
	for i := range v.NumField() {
		name := prefix + v.Type().Field(i).Name
		if v.Field(i).Kind() == reflect.Struct {
			maps.Copy(all, leaves(v.Field(i), name+"."))
		} else {
			all[name] = v.Field(i).Interface()
		}
	}
	return all
}

// Every member of an enumeration has the name of the Web API and the one of the
// specifications; JSON configuration has the first, Caddyfiles and metadata the
// second.
func TestEnumerations(t *testing.T) {
	algs := "HS256 HS256, HS384 HS384, HS512 HS512, RS256 RS256, RS384 RS384, RS512 RS512, ES256 ES256, ES384 ES384, ES512 ES512, " +
		"PS256 PS256, PS384 PS384, PS512 PS512, ES256K ES256K, EdDSA EdDSA"
	for _, c := range []struct {
		name   string
		values []EnumValue
		want   string
	}{
		{"grant types", grantTypes, "AUTHORIZATION_CODE authorization_code, IMPLICIT implicit, PASSWORD password, " +
			"CLIENT_CREDENTIALS client_credentials, REFRESH_TOKEN refresh_token"},
		{"response types", responseTypes, "NONE none, CODE code, TOKEN token, ID_TOKEN id_token, CODE_TOKEN code token, " +
			"CODE_ID_TOKEN code id_token, ID_TOKEN_TOKEN id_token token, CODE_ID_TOKEN_TOKEN code id_token token"},
		{"displays", displays, "PAGE page, POPUP popup, TOUCH touch, WAP wap"},
		{"claim types", claimTypes, "NORMAL normal, AGGREGATED aggregated, DISTRIBUTED distributed"},
		{"subject types", subjectTypes, "PUBLIC public, PAIRWISE pairwise"},
		{"client authentication", clientAuthMethods, "NONE none, CLIENT_SECRET_BASIC client_secret_basic, CLIENT_SECRET_POST client_secret_post, " +
			"CLIENT_SECRET_JWT client_secret_jwt, PRIVATE_KEY_JWT private_key_jwt"},
		{"client types", clientTypes, "PUBLIC public, CONFIDENTIAL confidential"},
		{"application types", applicationTypes, "WEB web, NATIVE native"},
		{"JWS algorithms", signAlgs, "NONE none, " + algs},
		{"JWE algorithms", encAlgs, "RSA1_5 RSA1_5, RSA_OAEP RSA-OAEP, RSA_OAEP_256 RSA-OAEP-256, A128KW A128KW, A192KW A192KW, A256KW A256KW, DIR dir, " +
			"ECDH_ES ECDH-ES, ECDH_ES_A128KW ECDH-ES+A128KW, ECDH_ES_A192KW ECDH-ES+A192KW, ECDH_ES_A256KW ECDH-ES+A256KW, " +
			"A128GCMKW A128GCMKW, A192GCMKW A192GCMKW, A256GCMKW A256GCMKW, " +
			"PBES2_HS256_A128KW PBES2-HS256+A128KW, PBES2_HS384_A192KW PBES2-HS384+A192KW, PBES2_HS512_A256KW PBES2-HS512+A256KW"},
		{"content encryptions", contentEncs, "A128CBC_HS256 A128CBC-HS256, A192CBC_HS384 A192CBC-HS384, A256CBC_HS512 A256CBC-HS512, " +
			"A128GCM A128GCM, A192GCM A192GCM, A256GCM A256GCM"},
		{"social networks", snses, "FACEBOOK facebook"},
	} {
		got := make([]string, len(c.values))
		for i, v := range c.values {
			got[i] = v.API + " " + v.Wire
		}
		if diff := cmp.Diff(c.want, strings.Join(got, ", ")); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
}

// An endpoint that is given as a path is on the issuer's host; the others are
// below the issuer's path.
func TestEndpoints(t *testing.T) {
	s, err := NewService(Settings{"issuer": raw("https://example.com/auth"), "tokenEndpoint": raw("/oauth/token"), "jwksUri": raw("https://keys.example.com/jwks")})
	if err != nil {
		t.Fatal(err)
	}
	got := []string{s.AuthorizationEndpoint, s.TokenEndpoint, s.JWKSURI}
	want := []string{"https://example.com/auth/authorize", "https://example.com/oauth/token", "https://keys.example.com/jwks"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// How values are written in a Caddyfile.
func TestParse(t *testing.T) {
	for _, c := range []struct {
		name string
		args []string
		want string // JSON, or after "!" a part of the error
	}{
		{"access_token_duration", []string{"10m"}, "600"},
		{"access_token_duration", []string{"3600"}, "3600"},
		{"access_token_duration", []string{"1.5s"}, "!whole seconds"},
		{"access_token_duration", []string{"soon"}, "!soon"},
		{"access_token_duration", nil, "!one duration"},
		{"pkce_required", nil, "true"},
		{"pkce_required", []string{"off"}, "false"},
		{"pkce_required", []string{"no"}, "!true or false"},
		{"supported_grant_types", []string{"authorization_code", "refresh_token"}, `["AUTHORIZATION_CODE","REFRESH_TOKEN"]`},
		{"supported_grant_types", []string{"magic"}, "!authorization_code"},
		{"supported_grant_types", nil, "!any of"},
		{"access_token_sign_alg", []string{"ES256"}, `"ES256"`},
		{"access_token_sign_alg", []string{"HS256"}, "!ES256"},
		{"access_token_sign_alg", []string{"ES256", "RS256"}, "!one of"},
		{"supported_scopes", []string{"a", "b"}, `[{"name":"a"},{"name":"b"}]`},
		{"supported_claims", nil, "!at least one"},
		{"issuer", []string{"a", "b"}, "!one value"},
	} {
		setting, ok := Find(ServiceSettings, c.name)
		if !ok {
			t.Fatalf("%s is not in the catalogue", c.name)
		}
		got, err := setting.Parse(c.args)
		if wrong, isError := strings.CutPrefix(c.want, "!"); isError {
			if err == nil || !strings.Contains(err.Error(), wrong) || !strings.Contains(err.Error(), c.name) {
				t.Errorf("%s %v: %v", c.name, c.args, err)
			}
		} else if err != nil || string(got) != c.want {
			t.Errorf("%s %v: %s %v", c.name, c.args, got, err)
		}
	}
}

// Whatever JSON comes, settings are refused or within their limits, and never panic.
func FuzzServiceSettings(f *testing.F) {
	f.Add("issuer", `"https://as.example.com"`)
	f.Add("supportedScopes", `[{"name":"a"}]`)
	f.Add("accessTokenDuration", `1e300`)
	f.Add("supportedGrantTypes", `null`)
	f.Fuzz(func(t *testing.T, property, value string) {
		s, err := NewService(Settings{"issuer": raw("https://as.example.com"), property: json.RawMessage(value)})
		if err == nil && (s.AccessTokenDuration < 1 || s.AccessTokenDuration > MaxDuration || len(s.SupportedScopes) > 255 || len(s.Issuer) > 200) {
			t.Errorf("%s %s was accepted", property, value)
		}
	})
}

func FuzzCheckURL(f *testing.F) {
	for _, seed := range []string{"https://a", "http://localhost", "javascript:alert(1)", "https://a\\@b", "com.example:/", "//x", "https:///x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if CheckURL(text, URLRule{Most: 200}) != nil {
			return
		}
		if !strings.HasPrefix(strings.ToLower(text), "https://") && !strings.HasPrefix(strings.ToLower(text), "http://") {
			t.Errorf("%q was accepted", text)
		}
		if strings.ContainsAny(text, "#\\\"<> \n") || len(text) > 200 {
			t.Errorf("%q was accepted", text)
		}
	})
}
