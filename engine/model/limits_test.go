package model

import (
	"strings"
	"testing"
)

var (
	chars30  = strings.Repeat("aaaaa-", 5)[:29] + "a"
	chars100 = strings.Repeat("x", 100)
	chars200 = strings.Repeat("x", 200)
)

// addressOf makes an https address of that many characters.
func addressOf(n int) string {
	return "https://x.example/" + strings.Repeat("x", n-len("https://x.example/"))
}

func repeated[T any](value T, n int) []T {
	list := make([]T, n)
	for i := range list {
		list[i] = value
	}
	return list
}

func jwkSet(n int) string {
	return `{"keys":[` + strings.TrimSuffix(strings.Repeat(`{},`, n), ",") + `]}`
}

func someScopes(n int) []Scope {
	list := make([]Scope, n)
	for i := range list {
		list[i].Name = "s" + string(rune('a'+i%26)) + string(rune('a'+i/26))
	}
	return list
}

func pairs(n int) []Pair {
	return repeated(Pair{"k", "v"}, n)
}

// The limits of the settings, as the Edit Service page and the RFCs have them.
func TestServiceLimits(t *testing.T) {
	long := chars200 + "x"
	for name, c := range map[string]struct {
		property string
		value    any
		want     string // in the error; empty: accepted
	}{
		"issuer http elsewhere":         {"issuer", "http://as.example.com", "https"},
		"issuer with query":             {"issuer", "https://as.example.com?x", "query"},
		"issuer with fragment":          {"issuer", "https://as.example.com#x", "fragment"},
		"issuer with user":              {"issuer", "https://u@as.example.com", "user"},
		"issuer not ASCII":              {"issuer", "https://例え.example", "character"},
		"issuer too long":               {"issuer", addressOf(201), "200"},
		"issuer of 200 characters":      {"issuer", addressOf(200), ""},
		"issuer no URL":                 {"issuer", "as.example.com", "absolute"},
		"issuer ends with slash":        {"issuer", "https://as.example.com/", "slash"},
		"issuer javascript":             {"issuer", "javascript:alert(1)", "https"},
		"issuer on loopback":            {"issuer", "http://localhost:8080", ""},
		"issuer on IPv6 loopback":       {"issuer", "http://[::1]:8080", ""},
		"issuer below localhost":        {"issuer", "http://as.localhost", ""},
		"issuer with a path":            {"issuer", "https://example.com/auth", ""},
		"issuer is a number":            {"issuer", 1, "text"},
		"name too long":                 {"serviceName", strings.Repeat("あ", 101), "100"},
		"name of 100 characters":        {"serviceName", strings.Repeat("あ", 100), ""},
		"name with control":             {"serviceName", "a\nb", "control"},
		"description of 200 characters": {"description", strings.Repeat("あ", 200), ""},
		"description too long":          {"description", strings.Repeat("あ", 201), "200"},
		"API key with a slash":          {"apiKey", "a/b", "letters"},
		"API key too long":              {"apiKey", chars100 + "x", "100"},
		"API key alone":                 {"apiKey", chars100, "api_secret"},
		"API secret alone":              {"apiSecret", "12345678", "api_key"},
		"API secret too short":          {"apiSecret", "1234567", "8 to 200"},
		"clients per developer":         {"clientsPerDeveloper", 0, ""},
		"fewer clients than none":       {"clientsPerDeveloper", -1, "clients"},

		"callback on http":              {"authenticationCallbackEndpoint", "http://x.example/", "https"},
		"callback of 200 characters":    {"authenticationCallbackEndpoint", addressOf(200), ""},
		"callback too long":             {"authenticationCallbackEndpoint", addressOf(201), "200"},
		"callback key of 100":           {"authenticationCallbackApiKey", chars100, ""},
		"callback key too long":         {"authenticationCallbackApiKey", chars100 + "x", "100"},
		"callback key not ASCII":        {"authenticationCallbackApiKey", "é", "ASCII"},
		"callback secret too long":      {"authenticationCallbackApiSecret", chars100 + "x", "100"},
		"developer callback with a key": {"developerAuthenticationCallbackApiKey", "é", "ASCII"},
		"developer callback on http":    {"developerAuthenticationCallbackEndpoint", "http://x.example/", "https"},
		"unknown social network":        {"supportedSnses", []string{"MYSPACE"}, "FACEBOOK"},
		"social network on the wire":    {"supportedSnses", []string{"facebook"}, "FACEBOOK"},
		"social network twice":          {"snsCredentials", repeated(SNSCredentials{SNSFacebook, "a", "b"}, 2), "twice"},
		"social network without secret": {"snsCredentials", []SNSCredentials{{SNSFacebook, "a", ""}}, "200"},
		"acr too long":                  {"supportedAcrs", []string{long}, "200"},
		"acr of 200 characters":         {"supportedAcrs", []string{chars200}, ""},

		"grant type on the wire":       {"supportedGrantTypes", []string{"authorization_code"}, "AUTHORIZATION_CODE"},
		"response type on the wire":    {"supportedResponseTypes", []string{"code id_token"}, "CODE_ID_TOKEN"},
		"every response type":          {"supportedResponseTypes", strings.Split("NONE,CODE,TOKEN,ID_TOKEN,CODE_TOKEN,CODE_ID_TOKEN,ID_TOKEN_TOKEN,CODE_ID_TOKEN_TOKEN", ","), ""},
		"endpoint as a path":           {"tokenEndpoint", "/oauth/token", ""},
		"two at one address":           {"tokenEndpoint", "/authorize", "two endpoints"},
		"endpoint without scheme":      {"tokenEndpoint", "//evil.example/token", "absolute"},
		"endpoint with a query":        {"tokenEndpoint", "/token?x", "query"},
		"endpoint with a fragment":     {"authorizationEndpoint", "/authorize#x", "fragment"},
		"endpoint on http":             {"revocationEndpoint", "http://x.example/", "https"},
		"endpoint too long":            {"introspectionEndpoint", addressOf(201), "200"},
		"endpoint not ASCII":           {"userInfoEndpoint", "https://x.example/é", "character"},
		"direct without an API key":    {"directTokenEndpointEnabled", true, "api_key"},
		"UI locale too long":           {"supportedUiLocales", []string{chars30 + "a"}, "30"},
		"UI locale of 30 characters":   {"supportedUiLocales", []string{chars30}, ""},
		"UI locale with an underscore": {"supportedUiLocales", []string{"en_GB"}, "language"},
		"display on the wire":          {"supportedDisplays", []string{"page"}, "PAGE"},
		"code too long":                {"authorizationCodeDuration", 601, "600"},
		"clocks ten minutes apart":     {"allowableClockSkew", 601, "600"},
		"token method on the wire":     {"supportedTokenAuthMethods", []string{"private_key_jwt"}, "PRIVATE_KEY_JWT"},
		"public introspection":         {"supportedIntrospectionAuthMethods", []string{"NONE"}, "CLIENT_SECRET_BASIC"},

		"token type of 200 characters": {"accessTokenType", chars200, ""},
		"token type too long":          {"accessTokenType", long, "200"},
		"token type not ASCII":         {"accessTokenType", "Träger", "ASCII"},
		"longest duration":             {"accessTokenDuration", int64(MaxDuration), ""},
		"longer":                       {"accessTokenDuration", int64(MaxDuration) + 1, "seconds"},
		"no duration":                  {"accessTokenDuration", 0, "seconds"},
		"a fraction":                   {"accessTokenDuration", 1.5, "seconds"},
		"longest refresh token":        {"refreshTokenDuration", int64(MaxDuration), ""},
		"longer refresh token":         {"refreshTokenDuration", int64(MaxDuration) + 1, "seconds"},
		"longest ID token":             {"idTokenDuration", int64(MaxDuration), ""},
		"longer ID token":              {"idTokenDuration", int64(MaxDuration) + 1, "seconds"},
		"no alg":                       {"accessTokenSignAlg", "NONE", "ES256"},
		"symmetric access tokens":      {"accessTokenSignAlg", "HS256", "ES256"},
		"key id too long":              {"accessTokenSignatureKeyId", chars100 + "x", "100"},
		"key id with a space":          {"idTokenSignatureKeyId", "a b", "ASCII"},
		"userinfo key id too long":     {"userInfoSignatureKeyId", chars100 + "x", "100"},

		"scope with space":        {"supportedScopes", []Scope{{Name: "a b"}}, "printable"},
		"scope with quote":        {"supportedScopes", []Scope{{Name: `a"`}}, "printable"},
		"scope with backslash":    {"supportedScopes", []Scope{{Name: `a\`}}, "printable"},
		"scope too long":          {"supportedScopes", []Scope{{Name: long}}, "200"},
		"scope of 200 characters": {"supportedScopes", []Scope{{Name: chars200}}, ""},
		"empty scope":             {"supportedScopes", []Scope{{}}, "200"},
		"scope twice":             {"supportedScopes", []Scope{{Name: "a"}, {Name: "a"}}, "twice"},
		"255 scopes":              {"supportedScopes", someScopes(255), ""},
		"256 scopes":              {"supportedScopes", someScopes(256), "255"},
		"scope with more members": {"supportedScopes", []map[string]string{{"name": "a", "x": "y"}}, "list"},
		"scope's text":            {"supportedScopes", []Scope{{Name: "a", Description: long}}, "200"},
		"scope's language":        {"supportedScopes", []Scope{{Name: "a", Descriptions: []Tagged{{"e n", "x"}}}}, "language"},
		"scope's other text":      {"supportedScopes", []Scope{{Name: "a", Descriptions: []Tagged{{"en", long}}}}, "200"},
		"scope's attributes":      {"supportedScopes", []Scope{{Name: "a", Attributes: pairs(21)}}, "20"},
		"scope's empty attribute": {"supportedScopes", []Scope{{Name: "a", Attributes: []Pair{{"", "x"}}}}, "attribute"},
		"scope's duration":        {"supportedScopes", []Scope{{Name: "a", Attributes: []Pair{{AttributeAccessTokenDuration, "soon"}}}}, "soon"},
		"scope's no duration":     {"supportedScopes", []Scope{{Name: "a", Attributes: []Pair{{AttributeRefreshTokenDuration, "0"}}}}, "seconds"},
		"scope's long duration":   {"supportedScopes", []Scope{{Name: "a", Attributes: []Pair{{AttributeIDTokenDuration, "1000000000000000"}}}}, "seconds"},
		"scope's good duration":   {"supportedScopes", []Scope{{Name: "a", Attributes: []Pair{{AttributeIDTokenDuration, "10m"}}}}, ""},

		"claim type on the wire":  {"supportedClaimTypes", []string{"normal"}, "NORMAL"},
		"claim locale too long":   {"supportedClaimLocales", []string{chars30 + "a"}, "30"},
		"claim locale not ASCII":  {"supportedClaimLocales", []string{"日本"}, "language"},
		"claim not ASCII":         {"supportedClaims", []string{"é"}, "ASCII"},
		"claim too long":          {"supportedClaims", []string{long}, "200"},
		"claim of 200 characters": {"supportedClaims", []string{chars200}, ""},

		"jwks is no JSON":           {"jwks", "x", "JWK Set"},
		"jwks without keys":         {"jwks", "{}", "JWK Set"},
		"jwks of 50 keys":           {"jwks", jwkSet(50), ""},
		"jwks of 51 keys":           {"jwks", jwkSet(51), "50"},
		"jwks too long":             {"jwks", `{"keys":[]}` + strings.Repeat(" ", MaxJWKS), "bytes"},
		"jwks as an object":         {"jwks", map[string]any{"keys": []any{}}, ""},
		"symmetric keys":            {"keyAlgs", []string{"HS256"}, "ES256"},
		"keys for being written to": {"keyAlgs", []string{"RSA_OAEP_256", "ECDH_ES"}, ""},

		"registration on the wire":    {"registrationGrantTypes", []string{"implicit"}, "IMPLICIT"},
		"registrable scope":           {"registrationScopes", []string{"a b"}, "printable"},
		"registrable scopes":          {"registrationScopes", repeated("a", 256), "255"},
		"registrable host":            {"registrationRedirectHosts", []string{"*.example.com", "x.example"}, ""},
		"registrable address":         {"registrationRedirectHosts", []string{"https://x.example"}, "host"},
		"registrable host in capital": {"registrationRedirectHosts", []string{"X.example"}, "lower case"},
		"registrable anything":        {"registrationRedirectHosts", []string{"*"}, "host"},
		"initial token too short":     {"initialAccessTokens", []InitialAccessToken{{"d", "1234567"}}, "8 to 200"},
		"developer twice":             {"initialAccessTokens", repeated(InitialAccessToken{"d", "12345678"}, 2), "twice"},
		"developer without a name":    {"initialAccessTokens", []InitialAccessToken{{"", "12345678"}}, "100"},
		"software statements":         {"softwareStatementJwks", "[]", "JWK Set"},
		"longest client secret":       {"clientSecretDuration", int64(MaxDuration), ""},
		"longer client secret":        {"clientSecretDuration", int64(MaxDuration) + 1, "seconds"},

		"document on http":          {"tosUri", "http://x.example/", "https"},
		"document too long":         {"policyUri", addressOf(201), "200"},
		"document with a fragment":  {"serviceDocumentation", "https://x.example/#x", "fragment"},
		"requests too short":        {"maxRequestBytes", 1023, "bytes"},
		"requests too long":         {"maxRequestBytes", 1<<20 + 1, "bytes"},
		"request objects too long":  {"maxRequestObjectBytes", 1<<20 + 1, "bytes"},
		"no claims":                 {"maxClaims", 0, "claims"},
		"registrations too short":   {"maxRegistrationBytes", 1, "bytes"},
		"unknown property":          {"nonsense", 1, "unknown"},
		"property in another form":  {"service_name", "x", "unknown"},
		"a list where a text is":    {"serviceName", []string{"x"}, "text"},
		"a text where a list is":    {"supportedClaims", "x", "list"},
		"a text where a flag is":    {"pkceRequired", "true", "true or false"},
		"nothing where a choice is": {"refreshTokenKept", "x", "true or false"},
	} {
		t.Run(name, func(t *testing.T) {
			settings := Settings{"issuer": raw("https://as.example.com")}
			settings[c.property] = raw(c.value)
			_, err := NewService(settings)
			checkRefusal(t, err, c.want)
		})
	}
	if _, err := NewService(Settings{}); err == nil || !strings.Contains(err.Error(), "issuer is required") {
		t.Errorf("without issuer: %v", err)
	}
	_, err := NewService(Settings{"issuer": raw("https://as.example.com"), "jwks": raw(jwkSet(1)), "keyAlgs": raw([]string{"ES384"})})
	checkRefusal(t, err, "key_algs")
}

func checkRefusal(t *testing.T, err error, want string) {
	t.Helper()
	if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %q", err, want)
	}
}

func TestClientLimits(t *testing.T) {
	secret64 := strings.Repeat("s", 64)
	confidential := func(property string, value any) Settings {
		return Settings{"redirectUris": raw([]string{"https://app.example.com/cb"}), "clientSecret": raw("12345678"), property: raw(value)}
	}
	with := func(settings Settings, property string, value any) Settings {
		settings[property] = raw(value)
		return settings
	}
	for name, c := range map[string]struct {
		alias    string
		settings Settings
		want     string
	}{
		"confidential":           {"c", confidential("clientName", "x"), ""},
		"public":                 {"c", redirects("https://app.example.com/cb"), ""},
		"no name":                {"", redirects("https://x/"), "1 to 100"},
		"name with space":        {"a b", redirects("https://x/"), "ASCII"},
		"name too long":          {chars100 + "x", redirects("https://x/"), "1 to 100"},
		"short secret":           {"c", Settings{"clientSecret": raw("1234567")}, "8 to 200"},
		"long secret":            {"c", Settings{"clientSecret": raw(chars200 + "x")}, "8 to 200"},
		"public with secret":     {"c", confidential("clientType", "PUBLIC"), "no client_secret"},
		"confidential without":   {"c", Settings{"clientType": raw("CONFIDENTIAL")}, "needs a client_secret"},
		"public with basic":      {"c", Settings{"tokenAuthMethod": raw("CLIENT_SECRET_BASIC")}, "needs a client_secret"},
		"public type with basic": {"c", Settings{"clientType": raw("PUBLIC"), "tokenAuthMethod": raw("CLIENT_SECRET_BASIC")}, "public"},
		"confidential with none": {"c", with(confidential("clientType", "CONFIDENTIAL"), "tokenAuthMethod", "NONE"), "confidential"},
		"keys without jwks":      {"c", Settings{"tokenAuthMethod": raw("PRIVATE_KEY_JWT")}, "jwks"},
		"jwks and jwks_uri":      {"c", Settings{"jwks": raw(jwkSet(1)), "jwksUri": raw("https://x/")}, "exclude each other"},
		"basic with an alg":      {"c", confidential("tokenAuthSignAlg", "HS256"), "does not go with"},
		"jwt with another alg":   {"c", with(confidential("tokenAuthSignAlg", "RS256"), "tokenAuthMethod", "CLIENT_SECRET_JWT"), "does not go with"},
		"assertion with none":    {"c", with(confidential("tokenAuthSignAlg", "NONE"), "tokenAuthMethod", "CLIENT_SECRET_JWT"), "HS256"},

		"public for itself":             {"c", Settings{"grantTypes": raw([]string{"CLIENT_CREDENTIALS"})}, "client_credentials"},
		"code without redirect":         {"c", Settings{"grantTypes": raw([]string{"AUTHORIZATION_CODE"})}, "redirect_uris"},
		"implicit without redirect":     {"c", Settings{"grantTypes": raw([]string{"IMPLICIT"})}, "redirect_uris"},
		"response without redirect":     {"c", Settings{"responseTypes": raw([]string{"NONE"})}, "redirect_uris"},
		"hybrid without implicit":       {"c", with(confidential("responseTypes", []string{"CODE_TOKEN"}), "grantTypes", []string{"AUTHORIZATION_CODE"}), "implicit"},
		"hybrid implies implicit":       {"c", confidential("responseTypes", []string{"CODE_TOKEN"}), ""},
		"unsigned from the browser":     {"c", with(confidential("responseTypes", []string{"CODE_ID_TOKEN"}), "idTokenSignAlg", "NONE"), "none does not go"},
		"unsigned in the code flow":     {"c", confidential("idTokenSignAlg", "NONE"), ""},
		"response type on the wire":     {"c", confidential("responseTypes", []string{"code"}), "CODE"},
		"requestable scope with space":  {"c", confidential("requestableScopes", []string{"a b"}), "printable"},
		"256 requestable scopes":        {"c", confidential("requestableScopes", repeated("a", 256)), "255"},
		"redirect javascript":           {"c", redirects("javascript:alert(1)"), "https"},
		"redirect data":                 {"c", redirects("data:text/html,x"), "https"},
		"redirect with fragment":        {"c", redirects("https://app.example.com/#x"), "fragment"},
		"redirect with user":            {"c", redirects("https://u:p@app.example.com/"), "user"},
		"redirect http":                 {"c", redirects("http://app.example.com/"), "https"},
		"redirect with backslash":       {"c", redirects(`https://app.example.com\@evil.example/`), "character"},
		"redirect custom":               {"c", redirects("com.example.app:/cb"), ""},
		"redirect custom, no dot":       {"c", redirects("myapp:/cb"), "https"},
		"redirect loopback":             {"c", redirects("http://127.0.0.1/cb"), ""},
		"redirect too long":             {"c", redirects(addressOf(1025)), "1024"},
		"101 redirects":                 {"c", Settings{"redirectUris": raw(repeated("https://x/", 101))}, "100"},
		"sign-out javascript":           {"c", confidential("postLogoutRedirectUris", []string{"javascript:alert(1)"}), "https"},
		"request_uri http":              {"c", confidential("requestUris", []string{"http://x.example/"}), "https"},
		"request_uri with a fragment":   {"c", confidential("requestUris", []string{"https://x.example/#x"}), ""},
		"request_uri of 512 characters": {"c", confidential("requestUris", []string{addressOf(512)}), ""},
		"request_uri too long":          {"c", confidential("requestUris", []string{addressOf(513)}), "512"},

		"longest duration":       {"c", confidential("accessTokenDuration", int64(MaxDuration)), ""},
		"longer":                 {"c", confidential("refreshTokenDuration", int64(MaxDuration)+1), "seconds"},
		"negative":               {"c", confidential("idTokenDuration", -1), "seconds"},
		"max_age too long":       {"c", confidential("defaultMaxAge", 1<<31), "seconds"},
		"encryption of nothing":  {"c", confidential("idTokenEncryptionEnc", "A128GCM"), "id_token_encryption_alg"},
		"encryption on the wire": {"c", confidential("userInfoEncryptionAlg", "RSA-OAEP"), "RSA_OAEP"},
		"encryption to no key":   {"c", confidential("idTokenEncryptionAlg", "RSA_OAEP"), "jwks"},
		"encryption by a secret": {"c", confidential("idTokenEncryptionAlg", "A128KW"), ""},
		"secret that is missing": {"c", with(redirects("https://x/"), "userInfoEncryptionAlg", "A128KW"), "client_secret"},
		"signature by no secret": {"c", with(redirects("https://x/"), "idTokenSignAlg", "HS256"), "client_secret"},
		"request by no key":      {"c", confidential("requestSignAlg", "ES256"), "jwks"},

		"pairwise with two hosts":    {"c", with(Settings{"redirectUris": raw([]string{"https://a.example/", "https://b.example/"})}, "subjectType", "PAIRWISE"), "sector_identifier_uri"},
		"pairwise with a sector":     {"c", with(with(Settings{"redirectUris": raw([]string{"https://a.example/", "https://b.example/"})}, "subjectType", "PAIRWISE"), "sectorIdentifierUri", "https://s.example/"), ""},
		"sector on loopback http":    {"c", confidential("sectorIdentifierUri", "http://localhost/"), "https"},
		"client_uri javascript":      {"c", confidential("clientUri", "javascript:alert(1)"), "https"},
		"logo_uri data":              {"c", confidential("logoUri", "data:image/png,x"), "https"},
		"translated policy data":     {"c", confidential("policyUris", []Tagged{{"ja", "data:x"}}), "https"},
		"client_name with controls":  {"c", confidential("clientName", "a\x1b[31m"), "control"},
		"client_name too long":       {"c", confidential("clientName", chars100+"x"), "100"},
		"translated name, no tag":    {"c", confidential("clientNames", []Tagged{{"e n", "x"}}), "language"},
		"translated name twice":      {"c", confidential("clientNames", repeated(Tagged{"ja", "x"}, 2)), "twice"},
		"translated name too long":   {"c", confidential("clientNames", []Tagged{{"ja", chars100 + "x"}}), "100"},
		"default acr too long":       {"c", confidential("defaultAcrs", []string{chars200 + "x"}), "200"},
		"eleven contacts":            {"c", confidential("contacts", repeated("a@x.example", 11)), "10"},
		"software with controls":     {"c", confidential("softwareId", "a\nb"), "control"},
		"developer with a space":     {"c", confidential("developer", "a b"), "ASCII"},
		"front-channel over http":    {"c", confidential("frontchannelLogoutUri", "http://x.example/"), "https"},
		"back-channel javascript":    {"c", confidential("backchannelLogoutUri", "javascript:x"), "https"},
		"login_uri with a fragment":  {"c", confidential("loginUri", "https://x.example/#x"), "fragment"},
		"jwks as text":               {"c", Settings{"jwks": raw(jwkSet(1))}, ""},
		"jwks_uri over http":         {"c", Settings{"jwksUri": raw("http://x.example/")}, "https"},
		"HS512 with 64 octets":       {"c", with(confidential("idTokenSignAlg", "HS512"), "clientSecret", secret64), ""},
		"HS512 with 63 octets":       {"c", with(confidential("idTokenSignAlg", "HS512"), "clientSecret", secret64[1:]), "64 octets"},
		"HS384 with 47 octets":       {"c", with(confidential("userInfoSignAlg", "HS384"), "clientSecret", secret64[:47]), "48 octets"},
		"HS256 with 31 octets":       {"c", with(confidential("requestSignAlg", "HS256"), "clientSecret", secret64[:31]), "32 octets"},
		"HS256 with 32 octets":       {"c", with(confidential("requestSignAlg", "HS256"), "clientSecret", secret64[:32]), ""},
		"assertions by a weak key":   {"c", with(confidential("tokenAuthMethod", "CLIENT_SECRET_JWT"), "clientSecret", secret64[:31]), "32 octets"},
		"assertions by HS512":        {"c", with(with(confidential("tokenAuthMethod", "CLIENT_SECRET_JWT"), "tokenAuthSignAlg", "HS512"), "clientSecret", secret64[:63]), "64 octets"},
		"assertions by a strong key": {"c", with(confidential("tokenAuthMethod", "CLIENT_SECRET_JWT"), "clientSecret", secret64[:32]), ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := NewClient(c.alias, c.settings)
			checkRefusal(t, err, c.want)
		})
	}
}

func redirects(uri string) Settings { return Settings{"redirectUris": raw([]string{uri})} }
