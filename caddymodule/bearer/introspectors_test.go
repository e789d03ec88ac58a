package bearer_test

import (
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
)

// TestIntrospectors: a route asks the introspectors that it names, each about
// its own tokens, and no other when that one does not know.
func TestIntrospectors(t *testing.T) {
	options := "introspector one oracle a https://a.example\nintrospector two oracle b https://b.example"
	s := start(t, shortDir(t), options, `
handle /one {
	gatehouse_bearer {
		introspectors one
	}
	respond "{http.auth.user.sub}"
}
handle /both {
	gatehouse_bearer {
		introspectors one two
		resource http://localhost/both
	}
	respond "{http.auth.user.sub}"
}
handle /.well-known/oauth-protected-resource/both {
	gatehouse_bearer {
		introspectors one two
		issuer https://b.example
		resource http://localhost/both
	}
}`)
	alice, bob := tokenOf("a", `{"sub":"alice"}`), tokenOf("b", `{"sub":"bob"}`)
	for _, test := range []struct {
		path, token string
		status      int
		body        string
		asked       int64
	}{
		{"/one", alice, 200, "alice", 1},
		{"/both", alice, 200, "alice", 0}, // the cache is the introspector's, not the route's
		{"/both", bob, 200, "bob", 1},
		{"/one", bob, 401, "", 0}, // it has no such prefix
		{"/both", "a.unknown", 401, "", 1},
		{"/both", "a.unknown", 401, "", 0}, // promise 3: remembered too
		{"/both", "c.unknown", 401, "", 0}, // nobody's
		{"/both", "a.down", 503, "", 1},    // and nobody else is asked
		{"/both", "a.down", 503, "", 1},    // promise 6: not remembered
	} {
		// ristretto shows a write a little later: the same call again.
		before := asked.Load()
		got := s.get(test.path, test.token)
		for again := 0; test.asked == 0 && asked.Load() != before && again < 100; again++ {
			before = asked.Load()
			got = s.get(test.path, test.token)
		}
		if got.status != test.status || test.status == 200 && got.body != test.body || asked.Load()-before != test.asked {
			t.Errorf("%s with %s: %d %s, asked %d times", test.path, test.token, got.status, got.body, asked.Load()-before)
		}
	}
	if got := s.get("/.well-known/oauth-protected-resource/both", ""); !strings.Contains(got.body, `"authorization_servers":["https://b.example"]`) {
		t.Errorf("metadata: %s", got.body)
	}
	if got := s.ask(s.admin, "/gatehouse/cache", ""); !strings.Contains(got.body, `"introspector":"one"`) || !strings.Contains(got.body, `"introspector":"two"`) {
		t.Errorf("statistics: %s", got.body)
	}
}

// TestIntrospectorsOutliveReloads (promise 12): what is open stays open while a
// configuration names it, with what it remembers, and is closed after.
func TestIntrospectorsOutliveReloads(t *testing.T) {
	folder, routes := shortDir(t), "gatehouse_bearer\nrespond fine"
	before := open.Load()
	s := start(t, folder, "introspector one oracle a", routes)
	token := tokenOf("a", `{}`)
	s.get("/", token)
	calls := asked.Load()
	for range 5 {
		s = start(t, folder, "introspector one oracle a", routes)
		if got := s.get("/", token); got.status != 200 || open.Load() != before+1 {
			t.Fatalf("%d, %d open", got.status, open.Load()-before)
		}
	}
	if asked.Load() != calls {
		t.Errorf("asked %d times again", asked.Load()-calls)
	}
	start(t, folder, "introspector one oracle other", routes)
	if got := open.Load() - before; got != 1 {
		t.Errorf("%d are open after another took its place", got)
	}
	_ = caddy.Stop()
	if got := open.Load() - before; got != 0 {
		t.Errorf("%d are open at the end", got)
	}
}

// TestUncached: a route may ask anew for every request; a request may not.
func TestUncached(t *testing.T) {
	s := start(t, shortDir(t), "introspector one oracle a", `
handle /anew {
	gatehouse_bearer {
		uncached
	}
	respond fine
}
handle {
	gatehouse_bearer
	respond fine
}`)
	token := tokenOf("a", `{}`)
	for range 3 {
		before := asked.Load()
		if got := s.get("/anew", token); got.status != 200 || asked.Load() != before+1 {
			t.Errorf("%d, asked %d times", got.status, asked.Load()-before)
		}
	}
	s.get("/", token)
	before := asked.Load()
	for again := 0; again < 100 && asked.Load() != before || again == 0; again++ {
		before = asked.Load()
		s.get("/", token, "Cache-Control", "no-cache, no-store, max-age=0", "Pragma", "no-cache")
	}
	if asked.Load() != before {
		t.Error("Cache-Control of a request goes past the cache")
	}
}

// TestIntrospectorMistakes (threat 35): an odd configuration is a clear error.
func TestIntrospectorMistakes(t *testing.T) {
	two := "introspector one oracle a https://a.example\nintrospector two oracle b"
	for name, test := range map[string]struct{ options, bearer, want string }{
		"none":             {"introspector one", "", "expected a name and a module"},
		"no such module":   {"introspector one crystal_ball x", "", "gatehouse.introspectors.crystal_ball"},
		"name twice":       {"introspector one oracle a\nintrospector one oracle b", "", "there twice"},
		"a URL as name":    {"introspector https://a oracle a", "", "a name is no URL"},
		"which":            {two, "", "no service is declared"},
		"unknown name":     {two, "introspectors three", "there is no introspector \"three\": expected one of one, two"},
		"twice in a route": {two, "introspectors one one", "nothing tells the tokens of introspector 2"},
		"cache settings":   {two, "introspectors one\ncache_ttl 1m", "belong to the introspectors"},
		"issuer":           {two, "introspectors one\nissuer https://b.example", "none of the introspectors vouches"},
		"expression":       {two, "introspectors one\nexpression {gatehouse.token.x} +", "expression"},
		"max_age":          {two, "introspectors one\nmax_age 1ms", "less than a second"},
		"dpop":             {two, "introspectors one\ndpop", "origin is missing"},
		"dpop algorithm":   {two, "introspectors one\nresource https://a.example/\ndpop {\nalgorithms HS256\n}", "HS256"},
		"bound to nothing": {two, "introspectors one\nsender_constrained", "needs dpop or mtls"},
		"resource":         {two, "introspectors one\nresource http://a.example/", "must use https"},
		"upstream":         {two, "introspectors one\nupstream magic", "expected unchanged, nothing, jwt or exchange"},
		"upstream jwt":     {two, "introspectors one\nupstream jwt", "issuer and audience are missing"},
		"two issuers": {"introspector one oracle a https://a.example https://b.example", "introspectors one\nresource https://a.example/\nupstream jwt",
			"make a route for each issuer"},
		"exchange":         {two, "introspectors one\nupstream exchange http://a.example/token", "https"},
		"exchange secret":  {two, "introspectors one\nupstream exchange https://a.example/token {\nclient_id a\nclient_secret {env.NO_SUCH_SECRET}\n}", "NO_SUCH_SECRET"},
		"token header":     {two, "introspectors one\nresource https://a.example/\nforward sub X-User\nupstream jwt {\nheader x_user\n}", "there twice"},
		"remote secret":    {"introspector r remote https://a.example/i {\nclient_id a\nclient_secret {env.NO_SUCH_SECRET}\n}", "", "NO_SUCH_SECRET"},
		"remote key":       {"introspector r remote https://a.example/i {\nclient_id a\nkey /no/such/file\n}", "", "no such file"},
		"remote address":   {"introspector r remote http://a.example/i", "", "https"},
		"remote option":    {"introspector r remote https://a.example/i {\nsecret x\n}", "", "unknown option \"secret\"; expected attempts, auth"},
		"jwt audience":     {"introspector j jwt https://a.example", "", "audience"},
		"jwt algorithm":    {"introspector j jwt https://a.example {\naudience a\nalgorithms none\n}", "", "none"},
		"jwt trust":        {"introspector j jwt https://a.example {\naudience a\ntrust /no/such/file\n}", "", "no such file"},
		"engine elsewhere": {"introspector e engine https://a.example", "", "no service is declared"},
	} {
		config, err := adapt("{\n\tgatehouse {\n" + test.options + "\n\t}\n}\n:1 {\n\tgatehouse_bearer {\n" + test.bearer + "\n}\n}")
		if err == nil {
			err = caddy.Validate(mustParse(t, config))
		}
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
}
