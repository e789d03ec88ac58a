package caddymodule_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	_ "github.com/caddyserver/caddy/v2/modules/standard"
	"github.com/google/go-cmp/cmp"

	_ "github.com/gatehouse-auth/gatehouse/caddymodule"
)

func adapt(text string) (string, error) {
	adapter := caddyconfig.GetAdapter("caddyfile")
	config, _, err := adapter.Adapt([]byte(text), map[string]any{"filename": "Caddyfile"})
	return string(config), err
}

// path takes a value out of JSON by its path.
func path(t *testing.T, config string, steps ...any) string {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(config), &v); err != nil {
		t.Fatal(err)
	}
	for _, step := range steps {
		switch step := step.(type) {
		case string:
			v = v.(map[string]any)[step]
		case int:
			v = v.([]any)[step]
		}
	}
	out, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// Each directive and option becomes the JSON that it should.
func TestAdaptGlobalOption(t *testing.T) {
	config, err := adapt(`{
	gatehouse {
		storage sqlite /var/lib/gatehouse.db
		master_key {env.GATEHOUSE_KEY} {env.GATEHOUSE_KEY_BEFORE}
		service {
			issuer https://as.example.com
			service_name "An Example"
			access_token_duration 10m
			supported_grant_types authorization_code client_credentials
			pkce_required off
			supported_scopes {
				openid
				orders:read "See your orders"
			}
			client web {
				client_secret {env.WEB_SECRET}
				redirect_uris https://app.example.com/cb https://app.example.com/cb2
			}
			client spa {
				redirect_uris http://localhost:3000/
				default_max_age 1h
			}
			account alice {
				password_hash $argon2id$v=19$m=19456,t=2,p=1$YXkal6pvp5uvMZRQbEzY1A$bIhPaV/wQ3d+oOUqCC2uSzz2AbFN0RD+6s5uT2T8bJc
				subject a1
				email alice@example.com
				claim email_verified true
				claim address "{\"country\":\"JP\"}"
				claim phone_number +81-3-0000-0000
				disabled
			}
		}
		service {
			issuer https://b.example.com
			supported_scopes x y
		}
	}
}`)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"master_key":"{env.GATEHOUSE_KEY}","previous_master_keys":["{env.GATEHOUSE_KEY_BEFORE}"],"services":[{"accounts":[{"claims":{"address":{"country":"JP"},"email":"alice@example.com","email_verified":true,"phone_number":"+81-3-0000-0000"},"disabled":true,"name":"alice","password_hash":"$argon2id$v=19$m=19456,t=2,p=1$YXkal6pvp5uvMZRQbEzY1A$bIhPaV/wQ3d+oOUqCC2uSzz2AbFN0RD+6s5uT2T8bJc","subject":"a1"}],` +
		`"clients":[{"client_id":"web","settings":{"clientSecret":"{env.WEB_SECRET}","redirectUris":["https://app.example.com/cb","https://app.example.com/cb2"]}},` +
		`{"client_id":"spa","settings":{"defaultMaxAge":3600,"redirectUris":["http://localhost:3000/"]}}],` +
		`"settings":{"accessTokenDuration":600,"issuer":"https://as.example.com","pkceRequired":false,"serviceName":"An Example","supportedGrantTypes":["AUTHORIZATION_CODE","CLIENT_CREDENTIALS"],"supportedScopes":[{"name":"openid"},{"description":"See your orders","name":"orders:read"}]}},` +
		`{"settings":{"issuer":"https://b.example.com","supportedScopes":[{"name":"x"},{"name":"y"}]}}],"storage":{"module":"sqlite","path":"/var/lib/gatehouse.db"}}`
	if diff := cmp.Diff(want, path(t, config, "apps", "gatehouse")); diff != "" {
		t.Error(diff)
	}
}

const global = `{
	gatehouse {
		service {
			issuer https://as.example.com
			supported_scopes a b
		}
	}
}
`

func TestAdaptServer(t *testing.T) {
	config, err := adapt(global + `:8080 {
	gatehouse_server https://as.example.com {
		login_path /signin
		consent_path /allow
		grants_path /mine
		templates /etc/pages
		session_duration 1d
		people 100
		machines 200 300
		queue_timeout 500ms
		body_timeout 2s
		request_timeout 1m
	}
}`)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"body_timeout":2000000000,"consent_path":"/allow","grants_path":"/mine","handler":"gatehouse_server","issuer":"https://as.example.com","login_path":"/signin",` +
		`"machines":{"at_once":200,"waiting":300},"people":{"at_once":100},"queue_timeout":500000000,"request_timeout":60000000000,"session_duration":86400000000000,"templates":"/etc/pages"}`
	if diff := cmp.Diff(want, path(t, config, "apps", "http", "servers", "srv0", "routes", 0, "handle", 0)); diff != "" {
		t.Error(diff)
	}
}

func TestAdaptBearer(t *testing.T) {
	config, err := adapt(global + `:8081 {
	reverse_proxy localhost:9000
	gatehouse_bearer /orders/* {
		issuer https://as.example.com
		scopes a b
		any_scope a
		audience https://as.example.com
		realm orders
		resource https://api.example.com/orders
		forward sub X-User
		forward client_id X-Client
		optional
		cache_size 500
		cache_ttl 30s
		cache_negative_ttl 2s
	}
}`)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"any_scope":["a"],"audience":["https://as.example.com"],"cache_negative_ttl":2000000000,"cache_size":500,"cache_ttl":30000000000,` +
		`"forward":[{"Claim":"sub","Header":"X-User"},{"Claim":"client_id","Header":"X-Client"}],"handler":"gatehouse_bearer","issuer":["https://as.example.com"],"optional":true,"realm":"orders","resource":"https://api.example.com/orders","scopes":["a","b"]}`
	// The gateway comes before reverse_proxy, whatever the order in the file.
	if diff := cmp.Diff(want, path(t, config, "apps", "http", "servers", "srv0", "routes", 0, "handle", 0)); diff != "" {
		t.Error(diff)
	}
}

// A wrong line is an error with file, line and what was expected.
func TestAdaptErrors(t *testing.T) {
	service := func(lines string) string {
		return "{\n\tgatehouse {\n\t\tservice {\n\t\t\tissuer https://as.example.com\n" + lines + "\n\t\t}\n\t}\n}"
	}
	for name, c := range map[string]struct {
		text, want string
		line       string
	}{
		"argument to gatehouse":  {"{\n\tgatehouse x\n}", `expected a block, not "x"`, ":2"},
		"no service":             {"{\n\tgatehouse {\n\t}\n}", "at least one service", ":"},
		"unknown option":         {"{\n\tgatehouse {\n\t\tstore sqlite\n\t}\n}", `unknown option "store"; expected storage, master_key, outbound, service, introspector or gateway_keys`, ":3"},
		"option twice":           {global[:len(global)-2] + "\tgatehouse {\n\t}\n}", "there twice", ":8"},
		"storage without name":   {"{\n\tgatehouse {\n\t\tstorage\n\t}\n}", "the name of a storage", ":3"},
		"unknown storage":        {"{\n\tgatehouse {\n\t\tstorage floppy\n\t}\n}", "gatehouse.storage.floppy", ":3"},
		"sqlite with two paths":  {"{\n\tgatehouse {\n\t\tstorage sqlite a b\n\t}\n}", "at most one path", ":3"},
		"master_key without key": {"{\n\tgatehouse {\n\t\tmaster_key\n\t}\n}", "64 hexadecimal digits", ":3"},
		"master_key twice":       {"{\n\tgatehouse {\n\t\tmaster_key a\n\t\tmaster_key b\n\t}\n}", "expected one option", ":4"},
		"argument to service":    {"{\n\tgatehouse {\n\t\tservice x {\n\t\t}\n\t}\n}", `expected a block, not "x"`, ":3"},
		"service without issuer": {"{\n\tgatehouse {\n\t\tservice {\n\t\t\tservice_name x\n\t\t}\n\t}\n}", "issuer is required", ":5"},
		"unknown setting":        {service("\t\t\tcolour red"), `unknown setting "colour"; expected one of issuer, service_name`, ":5"},
		"bad duration":           {service("\t\t\taccess_token_duration soon"), `access_token_duration: "soon" is neither whole seconds nor a duration`, ":5"},
		"out of bounds":          {service("\t\t\tauthorization_code_duration 1h"), "authorization_code_duration: expected 1 to 600 seconds", ":5"},
		"setting twice":          {service("\t\t\tservice_name a\n\t\t\tservice_name b"), "service_name: the setting is there twice", ":6"},
		"block where none":       {service("\t\t\tservice_name {\n\t\t\t\tx\n\t\t\t}"), "service_name: expected no block", ":"},
		"bad grant type":         {service("\t\t\tsupported_grant_types magic"), `"magic" is not one of authorization_code, implicit, password, client_credentials, refresh_token`, ":5"},
		"bad scope":              {service("\t\t\tsupported_scopes {\n\t\t\t\t\"a b\"\n\t\t\t}"), `supported_scopes: "a b"`, ":"},
		"client without id":      {service("\t\t\tclient {\n\t\t\t}"), "expected one client_id", ":5"},
		"client unknown setting": {service("\t\t\tclient c {\n\t\t\t\tsecret x\n\t\t\t}"), `client c: unknown setting "secret"; expected one of client_name`, ":6"},
		"client contradiction":   {service("\t\t\tclient c {\n\t\t\t\tgrant_types authorization_code\n\t\t\t}"), "need redirect_uris", ":"},
		"client bad redirect":    {service("\t\t\tclient c {\n\t\t\t\tredirect_uris http://example.com/\n\t\t\t}"), `redirect_uris: "http://example.com/": must use https`, ":6"},
		"account without name":   {service("\t\t\taccount {\n\t\t\t}"), "expected one name", ":5"},
		"account bad hash":       {service("\t\t\taccount a {\n\t\t\t\tpassword_hash hello\n\t\t\t}"), `account 1 ("a"): password_hash: expected an Argon2id hash`, ":"},
		"account unknown":        {service("\t\t\taccount a {\n\t\t\t\tpassword hello\n\t\t\t}"), `unknown setting "password"; expected subject, password_hash, email, claim or disabled`, ":6"},
		"account wrong count":    {service("\t\t\taccount a {\n\t\t\t\tclaim x\n\t\t\t}"), "claim: wrong number of arguments", ":6"},
		"account twice":          {service("\t\t\taccount a {\n\t\t\t}\n\t\t\taccount A {\n\t\t\t}"), "account", ":"},

		"server two issuers":      {global + ":1 {\n\tgatehouse_server a b\n}", "at most one issuer", ":10"},
		"server unknown option":   {global + ":1 {\n\tgatehouse_server {\n\t\tlogin /x\n\t}\n}", `unknown option "login"; expected login_path`, ":11"},
		"server option no value":  {global + ":1 {\n\tgatehouse_server {\n\t\tlogin_path\n\t}\n}", "login_path: expected one value", ":11"},
		"server path no slash":    {global + ":1 {\n\tgatehouse_server {\n\t\tlogin_path x\n\t}\n}", "begins with a slash", ":11"},
		"server bad duration":     {global + ":1 {\n\tgatehouse_server {\n\t\tsession_duration x\n\t}\n}", "session_duration: expected a duration", ":11"},
		"server no lane":          {global + ":1 {\n\tgatehouse_server {\n\t\tpeople 0\n\t}\n}", "people: expected a number from 1", ":11"},
		"server wide lane":        {global + ":1 {\n\tgatehouse_server {\n\t\tmachines 1 2 3\n\t}\n}", "machines: expected how many requests at once", ":11"},
		"bearer argument":         {global + ":1 {\n\tgatehouse_bearer x\n}", `expected a block, not "x"`, ":10"},
		"bearer unknown option":   {global + ":1 {\n\tgatehouse_bearer {\n\t\tscope a\n\t}\n}", `unknown option "scope"; expected introspectors, issuer, scopes`, ":11"},
		"bearer no scopes":        {global + ":1 {\n\tgatehouse_bearer {\n\t\tscopes\n\t}\n}", "scopes: expected at least one value", ":11"},
		"bearer forward one":      {global + ":1 {\n\tgatehouse_bearer {\n\t\tforward sub\n\t}\n}", "forward: expected a claim and a header", ":11"},
		"bearer forward bad name": {global + ":1 {\n\tgatehouse_bearer {\n\t\tforward sub \"X User\"\n\t}\n}", "forward:", ":11"},
		"bearer forward reserved": {global + ":1 {\n\tgatehouse_bearer {\n\t\tforward sub Authorization\n\t}\n}", "forward:", ":11"},
		"bearer optional arg":     {global + ":1 {\n\tgatehouse_bearer {\n\t\toptional yes\n\t}\n}", "optional: expected no arguments", ":11"},
		"bearer cache size":       {global + ":1 {\n\tgatehouse_bearer {\n\t\tcache_size many\n\t}\n}", "cache_size: expected a number of entries", ":11"},
		"bearer cache ttl":        {global + ":1 {\n\tgatehouse_bearer {\n\t\tcache_ttl 0s\n\t}\n}", "cache_ttl: expected a duration", ":11"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := adapt(c.text)
			if err == nil {
				t.Fatal("it was accepted")
			}
			if !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "Caddyfile"+c.line) {
				t.Errorf("got  %v\nwant %s … Caddyfile%s", err, c.want, c.line)
			}
		})
	}
}

// threats.md 35: what adapts is still checked when it is loaded; an odd
// configuration is a clear error, never a panic and never open.
func TestThreat35OddConfiguration(t *testing.T) {
	for name, c := range map[string]struct{ config, want string }{
		"no service":         {`{"apps":{"gatehouse":{}}}`, "neither a service nor an introspector is declared"},
		"previous keys":      {`{"apps":{"gatehouse":{"previous_master_keys":["x"],"services":[{"settings":{"issuer":"https://a"}}]}}}`, "expected master_key"},
		"unknown member":     {`{"apps":{"gatehouse":{"service":[]}}}`, "service"},
		"unknown setting":    {`{"apps":{"gatehouse":{"services":[{"settings":{"issuer":"https://a","x":1}}]}}}`, `unknown setting "x"`},
		"bad setting":        {`{"apps":{"gatehouse":{"services":[{"settings":{"issuer":"http://a"}}]}}}`, "https"},
		"null service":       {`{"apps":{"gatehouse":{"services":[null]}}}`, "issuer is required"},
		"null client":        {`{"apps":{"gatehouse":{"services":[{"settings":{"issuer":"https://a"},"clients":[null]}]}}}`, "client"},
		"issuer twice":       {`{"apps":{"gatehouse":{"services":[{"settings":{"issuer":"https://a"}},{"settings":{"issuer":"https://a"}}]}}}`, "declared twice"},
		"client twice":       {`{"apps":{"gatehouse":{"services":[{"settings":{"issuer":"https://a"},"clients":[{"client_id":"c"},{"client_id":"c"}]}]}}}`, "declared twice"},
		"secret is not set":  {`{"apps":{"gatehouse":{"services":[{"settings":{"issuer":"https://a"},"clients":[{"client_id":"c","settings":{"clientSecret":"{env.GATEHOUSE_NOT_SET}"}}]}]}}}`, "GATEHOUSE_NOT_SET"},
		"secret file":        {`{"apps":{"gatehouse":{"services":[{"settings":{"issuer":"https://a"},"clients":[{"client_id":"c","settings":{"clientSecret":"{file./does/not/exist}"}}]}]}}}`, "/does/not/exist"},
		"unknown storage":    {`{"apps":{"gatehouse":{"storage":{"module":"floppy"},"services":[{"settings":{"issuer":"https://a"}}]}}}`, "floppy"},
		"handler without":    {`{"apps":{"http":{"servers":{"s":{"listen":["127.0.0.1:0"],"routes":[{"handle":[{"handler":"gatehouse_bearer"}]}]}}}}}`, "gatehouse_bearer"},
		"which service":      {handlerConfig(`{"handler":"gatehouse_server"}`), "more than one service"},
		"no such service":    {handlerConfig(`{"handler":"gatehouse_bearer","issuer":["https://c"]}`), "https://c"},
		"scope of nobody":    {handlerConfig(`{"handler":"gatehouse_bearer","issuer":["https://a"],"scopes":["x"]}`), "scope x"},
		"two pages one path": {handlerConfig(`{"handler":"gatehouse_server","issuer":"https://a","login_path":"/token"}`), "/token"},
		"templates missing":  {handlerConfig(`{"handler":"gatehouse_server","issuer":"https://a","templates":"/does/not/exist"}`), "/does/not/exist"},
		"resource not https": {handlerConfig(`{"handler":"gatehouse_bearer","issuer":["https://a"],"resource":"http://api.example.com"}`), "resource"},
		"negative cache":     {handlerConfig(`{"handler":"gatehouse_bearer","issuer":["https://a"],"cache_size":-1}`), "cache_size"},
	} {
		t.Run(name, func(t *testing.T) {
			config := new(caddy.Config)
			if err := caddy.StrictUnmarshalJSON([]byte(c.config), config); err != nil {
				t.Fatal(err)
			}
			err := caddy.Validate(config)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func handlerConfig(handler string) string {
	return `{"apps":{"gatehouse":{"services":[{"settings":{"issuer":"https://a"}},{"settings":{"issuer":"https://b"}}]},` +
		`"http":{"servers":{"s":{"listen":["127.0.0.1:0"],"routes":[{"handle":[` + handler + `]}]}}}}}`
}

// Whatever the Caddyfile says, it is adapted or refused.
func FuzzCaddyfile(f *testing.F) {
	f.Add("issuer https://as.example.com", "scopes a")
	f.Add("client c {\nredirect_uris https://a/\n}", "forward sub X-User\noptional")
	f.Add("account a {\npassword_hash x\n}", "cache_ttl 1s")
	f.Add("supported_scopes {\na \"b\"\n}", "resource https://a/b")
	f.Fuzz(func(t *testing.T, service, bearer string) {
		_, _ = adapt("{\n\tgatehouse {\n\t\tservice {\n" + service + "\n}\n}\n}\n:1 {\n\tgatehouse_bearer {\n" + bearer + "\n}\n}\n")
	})
}
