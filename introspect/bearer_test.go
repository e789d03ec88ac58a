package introspect

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestPromise09Credentials(t *testing.T) {
	long := strings.Repeat("a", DefaultMaxTokenLength)
	for _, test := range []struct {
		name   string
		values []string
		query  string
		token  string
		scheme string // Bearer, unless it says otherwise
		status int
	}{
		{name: "nothing"},
		{name: "empty", values: []string{""}},
		{name: "plain", values: []string{"Bearer abc"}, token: "abc"},
		{name: "case of the scheme", values: []string{"bEARER abc"}, token: "abc"},
		{name: "every character", values: []string{"Bearer aZ09-._~+/=="}, token: "aZ09-._~+/=="},
		{name: "spaces", values: []string{" Bearer   abc \t"}, token: "abc"},
		{name: "as long as may be", values: []string{"Bearer " + long}, token: long},
		{name: "too long", values: []string{"Bearer " + long + "a"}, status: 400},
		{name: "another scheme", values: []string{"Basic YTpi"}},
		{name: "another scheme with parameters", values: []string{`Digest username="Bearer abc", qop=auth`}},
		{name: "another scheme alone", values: []string{"Negotiate"}},
		{name: "another scheme that begins alike", values: []string{"Bearers abc"}},
		{name: "DPoP", values: []string{"DPoP abc"}, token: "abc", scheme: SchemeDPoP},
		{name: "DPoP in another case", values: []string{"dpop  abc"}, token: "abc", scheme: SchemeDPoP},
		{name: "DPoP without a token", values: []string{"DPoP"}, status: 400},
		{name: "no token", values: []string{"Bearer"}, status: 400},
		{name: "no token but a space", values: []string{"Bearer "}, status: 400},
		{name: "padding only", values: []string{"Bearer =="}, status: 400},
		{name: "padding within", values: []string{"Bearer a=b"}, status: 400},
		{name: "two tokens", values: []string{"Bearer a b"}, status: 400},
		{name: "two credentials", values: []string{"Bearer a, Bearer b"}, status: 400},
		{name: "a tab", values: []string{"Bearer\tabc"}, status: 400},
		{name: "a comma", values: []string{"Bearer,abc"}, status: 400},
		{name: "quotes", values: []string{`Bearer "abc"`}, status: 400},
		{name: "control character", values: []string{"Bearer abc\x00"}, status: 400},
		{name: "not ASCII", values: []string{"Bearer abcé"}, status: 400},
		{name: "no scheme", values: []string{"=abc"}, status: 400},
		{name: "a scheme and a tab", values: []string{"Basic\tYTpi"}, status: 400},

		{name: "two headers (CVE-2026-31838)", values: []string{"Bearer abc", "Bearer abc"}, status: 400},
		{name: "two headers, one Basic", values: []string{"Basic YTpi", "Bearer abc"}, status: 400},
		{name: "two headers, one empty", values: []string{"", "Bearer abc"}, status: 400},

		{name: "header and query", values: []string{"Bearer abc"}, query: "access_token=abc", status: 400},
		{name: "query alone", query: "access_token=abc", status: 400},
		{name: "query, no value", query: "a=b&access_token", status: 400},
		{name: "query, encoded name", query: "a=b&%61ccess%5ftoken=abc", status: 400},
		{name: "query, after a semicolon", query: "a=b;access_token=abc", status: 400},
		{name: "query, other names", values: []string{"Bearer abc"}, query: "q=access_token&access_tokens=1&x_access_token=2&%zz=3", token: "abc"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
			r.URL.RawQuery = test.query
			if test.values != nil {
				r.Header["Authorization"] = test.values
			}
			got, refusal := ReadCredentials(r, 0)
			want := Credentials{Scheme: test.scheme, Token: test.token}
			if test.token != "" && test.scheme == "" {
				want.Scheme = SchemeBearer
			}
			if got != want {
				t.Errorf("%q, want %q", got, want)
			}
			status := 0
			if refusal != nil {
				status = refusal.Status
				if refusal.Code != CodeInvalidRequest {
					t.Errorf("code %q", refusal.Code)
				}
			}
			if status != test.status {
				t.Errorf("status %d, want %d", status, test.status)
			}
		})
	}
}

func TestThreat26TwoAuthorizationHeadersOverHTTP(t *testing.T) {
	g := &Guard{Introspector: engineWith(activeFacts()), Optional: true}
	handler := g.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("let through") }))
	server := httptest.NewServer(handler)
	defer server.Close()
	r, err := http.NewRequest(http.MethodGet, server.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header["Authorization"] = []string{"Bearer a"}
	r.Header["authorization"] = []string{"Bearer b"}
	res, err := server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != 400 {
		t.Errorf("status %d", res.StatusCode)
	}
}

func TestCredentialsDoNotAllocate(t *testing.T) {
	r := bearerRequest(sampleToken)
	r.URL.RawQuery = "page=2&sort=name"
	if n := testing.AllocsPerRun(1000, func() { _, _ = ReadCredentials(r, 0) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzBearerHeader(f *testing.F) {
	for _, seed := range []string{"Bearer abc", "bearer  a=", "Basic x", "", "Bearer", "Bearer\ta", "Bearer a,b", " Bearer é"} {
		f.Add(seed, "a=b")
	}
	f.Add("Bearer a", "%61ccess_token=b")
	f.Fuzz(func(t *testing.T, value, query string) {
		r := &http.Request{Header: http.Header{"Authorization": {value}}}
		c, refusal := ReadCredentials(r, 100)
		token := c.Token
		if token != "" && refusal != nil {
			t.Fatal("both a token and a refusal")
		}
		if token == "" {
			if refusal == nil && len(value) >= 7 && strings.EqualFold(value[:7], "Bearer ") {
				t.Fatalf("%q counts as no credentials", value)
			}
			return
		}
		if len(token) > 100 || !isB64Token(token) || !strings.HasSuffix(strings.TrimRight(value, " \t"), token) {
			t.Fatalf("%q gave %q", value, token)
		}
		// And what the query parser of net/url sees, we see.
		r = httptest.NewRequest(http.MethodGet, "/", nil)
		r.URL.RawQuery = query
		if r.URL.Query().Has("access_token") && !queryHasToken(query) {
			t.Fatalf("access_token in %q was missed", query)
		}
	})
}
