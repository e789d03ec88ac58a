package model

import (
	"encoding/json"
	"reflect"
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

// Each field of a service and a client but their ids is set by some setting:
// no setting can be forgotten, and none sets the field of another.
func TestEverySettingHasItsField(t *testing.T) {
	untouched := func(v any, skip ...string) []string {
		var names []string
		value := reflect.ValueOf(v)
	fields:
		for i := range value.NumField() {
			name := value.Type().Field(i).Name
			for _, s := range skip {
				if s == name {
					continue fields
				}
			}
			if value.Field(i).IsZero() {
				names = append(names, name)
			}
		}
		return names
	}
	service, err := NewService(Settings{
		"issuer": raw("https://as.example.com"), "serviceName": raw("x"), "accessTokenSignAlg": raw("ES256"),
		"supportedScopes": raw([]Scope{{Name: "a"}}), "tosUri": raw("https://x/"), "policyUri": raw("https://x/"), "serviceDocumentation": raw("https://x/"),
	})
	if err != nil {
		t.Fatal(err)
	}
	if left := untouched(service, "ID"); left != nil {
		t.Errorf("service: %v", left)
	}
	client, err := NewClient("c", Settings{
		"clientName": raw("x"), "clientSecret": raw("12345678"), "redirectUris": raw([]string{"https://x/"}), "requestableScopes": raw([]string{"a"}),
		"defaultMaxAge": raw(1), "authTimeRequired": raw(true), "clientUri": raw("https://x/"), "policyUri": raw("https://x/"), "tosUri": raw("https://x/"),
	})
	if err != nil {
		t.Fatal(err)
	}
	if left := untouched(client, "ID", "Service", "SecretHash"); left != nil {
		t.Errorf("client: %v", left)
	}
}

// The limits of the settings, as the Edit Service page and the RFCs have them.
func TestServiceLimits(t *testing.T) {
	long := strings.Repeat("x", 201)
	for name, c := range map[string]struct {
		property string
		value    any
		want     string // in the error; empty: accepted
	}{
		"issuer http elsewhere":    {"issuer", "http://as.example.com", "https"},
		"issuer with query":        {"issuer", "https://as.example.com?x", "query"},
		"issuer with fragment":     {"issuer", "https://as.example.com#x", "fragment"},
		"issuer with user":         {"issuer", "https://u@as.example.com", "user"},
		"issuer not ASCII":         {"issuer", "https://例え.example", "character"},
		"issuer too long":          {"issuer", "https://" + long, "200"},
		"issuer no URL":            {"issuer", "as.example.com", "absolute"},
		"issuer ends with slash":   {"issuer", "https://as.example.com/", "slash"},
		"issuer javascript":        {"issuer", "javascript:alert(1)", "https"},
		"issuer on loopback":       {"issuer", "http://localhost:8080", ""},
		"issuer on IPv6 loopback":  {"issuer", "http://[::1]:8080", ""},
		"issuer below localhost":   {"issuer", "http://as.localhost", ""},
		"issuer with a path":       {"issuer", "https://example.com/auth", ""},
		"issuer is a number":       {"issuer", 1, "text"},
		"name too long":            {"serviceName", strings.Repeat("あ", 101), "100"},
		"name of 100 characters":   {"serviceName", strings.Repeat("あ", 100), ""},
		"name with control":        {"serviceName", "a\nb", "control"},
		"longest duration":         {"accessTokenDuration", int64(MaxDuration), ""},
		"longer":                   {"accessTokenDuration", int64(MaxDuration) + 1, "seconds"},
		"no duration":              {"accessTokenDuration", 0, "seconds"},
		"a fraction":               {"accessTokenDuration", 1.5, "seconds"},
		"code too long":            {"authorizationCodeDuration", 601, "600"},
		"unknown alg":              {"accessTokenSignAlg", "none", "ES256"},
		"grant type on the wire":   {"supportedGrantTypes", []string{"authorization_code"}, "AUTHORIZATION_CODE"},
		"scope with space":         {"supportedScopes", []Scope{{Name: "a b"}}, "printable"},
		"scope with quote":         {"supportedScopes", []Scope{{Name: `a"`}}, "printable"},
		"scope with backslash":     {"supportedScopes", []Scope{{Name: `a\`}}, "printable"},
		"scope too long":           {"supportedScopes", []Scope{{Name: long}}, "200"},
		"empty scope":              {"supportedScopes", []Scope{{}}, "200"},
		"scope twice":              {"supportedScopes", []Scope{{Name: "a"}, {Name: "a"}}, "twice"},
		"255 scopes":               {"supportedScopes", someScopes(255), ""},
		"256 scopes":               {"supportedScopes", someScopes(256), "255"},
		"scope with more members":  {"supportedScopes", []map[string]string{{"name": "a", "x": "y"}}, "list"},
		"claim not ASCII":          {"supportedClaims", []string{"é"}, "ASCII"},
		"endpoint as a path":       {"tokenEndpoint", "/oauth/token", ""},
		"two at one address":       {"tokenEndpoint", "/authorize", "two endpoints"},
		"endpoint without scheme":  {"tokenEndpoint", "//evil.example/token", "absolute"},
		"endpoint with a query":    {"tokenEndpoint", "/token?x", "query"},
		"public introspection":     {"supportedIntrospectionAuthMethods", []string{"NONE"}, "CLIENT_SECRET_BASIC"},
		"unknown property":         {"nonsense", 1, "unknown"},
		"property in another form": {"service_name", "x", "unknown"},
	} {
		t.Run(name, func(t *testing.T) {
			settings := Settings{"issuer": raw("https://as.example.com")}
			settings[c.property] = raw(c.value)
			_, err := NewService(settings)
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
	if _, err := NewService(Settings{}); err == nil || !strings.Contains(err.Error(), "issuer is required") {
		t.Errorf("without issuer: %v", err)
	}
}

func someScopes(n int) []Scope {
	list := make([]Scope, n)
	for i := range list {
		list[i].Name = "s" + string(rune('a'+i%26)) + string(rune('a'+i/26))
	}
	return list
}

func TestClientLimits(t *testing.T) {
	web := Settings{"redirectUris": raw([]string{"https://app.example.com/cb"}), "clientSecret": raw("12345678")}
	for name, c := range map[string]struct {
		alias    string
		settings Settings
		want     string
	}{
		"confidential":              {"c", web, ""},
		"public":                    {"c", Settings{"redirectUris": web["redirectUris"]}, ""},
		"no name":                   {"", web, "1 to 100"},
		"name with space":           {"a b", web, "ASCII"},
		"short secret":              {"c", Settings{"clientSecret": raw("1234567")}, "8 to 200"},
		"public with secret":        {"c", Settings{"clientSecret": raw("12345678"), "clientType": raw("PUBLIC")}, "no client_secret"},
		"confidential without":      {"c", Settings{"clientType": raw("CONFIDENTIAL")}, "needs a client_secret"},
		"public with basic":         {"c", Settings{"tokenAuthMethod": raw("CLIENT_SECRET_BASIC")}, "public"},
		"confidential with none":    {"c", Settings{"clientSecret": raw("12345678"), "tokenAuthMethod": raw("NONE")}, "confidential"},
		"public for itself":         {"c", Settings{"grantTypes": raw([]string{"CLIENT_CREDENTIALS"})}, "client_credentials"},
		"code without redirect":     {"c", Settings{"grantTypes": raw([]string{"AUTHORIZATION_CODE"})}, "redirect_uris"},
		"redirect javascript":       {"c", redirects("javascript:alert(1)"), "https"},
		"redirect data":             {"c", redirects("data:text/html,x"), "https"},
		"redirect with fragment":    {"c", redirects("https://app.example.com/#x"), "fragment"},
		"redirect with user":        {"c", redirects("https://u:p@app.example.com/"), "user"},
		"redirect http":             {"c", redirects("http://app.example.com/"), "https"},
		"redirect with backslash":   {"c", redirects(`https://app.example.com\@evil.example/`), "character"},
		"redirect custom":           {"c", redirects("com.example.app:/cb"), ""},
		"redirect custom, no dot":   {"c", redirects("myapp:/cb"), "https"},
		"redirect loopback":         {"c", redirects("http://127.0.0.1/cb"), ""},
		"client_uri javascript":     {"c", Settings{"clientUri": raw("javascript:alert(1)")}, "https"},
		"client_name with controls": {"c", Settings{"clientName": raw("a\x1b[31m")}, "control"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := NewClient(c.alias, c.settings)
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func redirects(uri string) Settings { return Settings{"redirectUris": raw([]string{uri})} }

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
