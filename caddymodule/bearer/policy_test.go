package bearer_test

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestPolicyOfARoute: each option of a policy refuses what it should, with the
// status and the challenge of RFC 6750 §3 or RFC 9470 §3, and lets through what
// it should.
func TestPolicyOfARoute(t *testing.T) {
	fresh := fmt.Sprint(time.Now().Unix() - 5)
	for _, test := range []struct {
		name, option, good, bad string
		status                  int
		challenge               string
	}{
		{"scopes", "scopes a b", `{"scope":"b a c"}`, `{"scope":"a c"}`, 403, `error="insufficient_scope"`},
		{"any_scope", "any_scope a b", `{"scope":"b"}`, `{"scope":"c"}`, 403, `scope="a"`},
		{"audience", "audience x y", `{"aud":["z","y"]}`, `{"aud":"z"}`, 401, `error="invalid_token"`},
		{"issuer", "issuer https://i.example", `{"iss":"https://i.example"}`, `{"iss":"https://j.example"}`, 401, `error="invalid_token"`},
		{"client", "client c d", `{"client_id":"d"}`, `{"client_id":"e"}`, 403, `error="insufficient_scope"`},
		{"claim", "claim tier gold silver", `{"tier":"silver"}`, `{"tier":"Gold"}`, 403, `error="insufficient_scope"`},
		{"claim in an array", "claim roles admin", `{"roles":["x","admin"]}`, `{"roles":["x"]}`, 403, ``},
		{"claim in an object", "claim realm.roles admin", `{"realm":{"roles":["admin"]}}`, `{"realm":{"x":1}}`, 403, ``},
		{"claim that is there", "claim tier", `{"tier":1}`, `{"tier":null}`, 403, ``},
		{"two claims", "claim a 1\nclaim b 2", `{"a":1,"b":2}`, `{"a":1}`, 403, ``},
		{"acr", "acr 2 3", `{"acr":"3"}`, `{"acr":"1"}`, 401, `error="insufficient_user_authentication", error_description="This request needs another authentication of the user.", acr_values="2 3"`},
		{"max_age", "max_age 60s", `{"auth_time":` + fresh + `}`, `{"auth_time":5}`, 401, `max_age="60"`},
		{"expression", `expression {gatehouse.token.level} > 3 && "x" in {gatehouse.token.roles}`, `{"level":4,"roles":["x"]}`, `{"level":3,"roles":["x"]}`, 403, `error="insufficient_scope"`},
		{"expression on text and path", `expression {http.auth.user.sub} == "alice" && path("/a*")`, `{"sub":"alice"}`, `{"sub":"bob"}`, 403, ``},
		{"expression on a claim that is absent", `expression {gatehouse.token.level} > 3`, `{"level":4}`, `{}`, 403, ``},
		{"expression on another type", `expression {gatehouse.token.level} > 3`, `{"level":4}`, `{"level":"9"}`, 403, ``},
		{"expression on scopes", `expression "a" in {gatehouse.token.scope}`, `{"scope":"b a"}`, `{"scope":"ab"}`, 403, ``},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := start(t, shortDir(t), "introspector all oracle o https://i.example https://j.example", "gatehouse_bearer {\n"+test.option+"\n}\nrespond fine")
			if got := s.get("/api", tokenOf("o", test.good)); got.status != 200 || got.body != "fine" {
				t.Errorf("good: %d %s %s", got.status, got.body, got.header.Get("WWW-Authenticate"))
			}
			got := s.get("/api", tokenOf("o", test.bad))
			if challenge := got.header.Get("WWW-Authenticate"); got.status != test.status || !strings.Contains(challenge, test.challenge) {
				t.Errorf("bad: %d %s", got.status, challenge)
			}
		})
	}
}

// TestMatcher: gatehouse_token tells requests apart by the facts that a
// gatehouse_bearer before it has found, and matches none without.
func TestMatcher(t *testing.T) {
	s := start(t, shortDir(t), "introspector all oracle o", `
@gold gatehouse_token {
	scopes a
	claim tier gold
}
route {
	respond @gold "too early"
	gatehouse_bearer {
		optional
	}
	respond @gold gold
	respond other
}`)
	for token, want := range map[string]string{
		"": "other", tokenOf("o", `{"scope":"a","tier":"gold"}`): "gold",
		tokenOf("o", `{"scope":"a","tier":"tin"}`): "other", tokenOf("o", `{"tier":"gold"}`): "other",
	} {
		if got := s.get("/", token); got.body != want {
			t.Errorf("%s: %q, want %q", token, got.body, want)
		}
	}
}
