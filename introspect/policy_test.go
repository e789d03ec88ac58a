package introspect

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func TestPolicy(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	claims := func(name string, value any) *Facts {
		return &Facts{Active: true, Claims: map[string]any{name: value}}
	}
	for _, test := range []struct {
		name   string
		policy Policy
		facts  *Facts
		want   string // status, code and scope
	}{
		{"nothing asked", Policy{}, &Facts{Active: true}, ""},
		{"nothing known", Policy{}, nil, "401 invalid_token "},
		{"not active", Policy{Scopes: []string{"a"}}, &Facts{Scopes: []string{"a"}}, "401 invalid_token "},
		{"scope", Policy{Scopes: []string{"a", "b"}}, &Facts{Active: true, Scopes: []string{"c", "b", "a"}}, ""},
		{"one scope is missing", Policy{Scopes: []string{"a", "b"}}, &Facts{Active: true, Scopes: []string{"a"}}, "403 insufficient_scope a b"},
		{"scopes are case-sensitive", Policy{Scopes: []string{"a"}}, &Facts{Active: true, Scopes: []string{"A"}}, "403 insufficient_scope a"},
		{"one of several", Policy{AnyScope: []string{"a", "b"}}, &Facts{Active: true, Scopes: []string{"b"}}, ""},
		{"none of several", Policy{AnyScope: []string{"a", "b"}}, &Facts{Active: true, Scopes: []string{"c"}}, "403 insufficient_scope a"},
		{"all and any", Policy{Scopes: []string{"x"}, AnyScope: []string{"a", "b"}}, &Facts{Active: true, Scopes: []string{"x"}}, "403 insufficient_scope x a"},
		{"any in all", Policy{Scopes: []string{"b"}, AnyScope: []string{"a", "b"}}, &Facts{Active: true}, "403 insufficient_scope b"},
		{"audience", Policy{Audience: []string{"x", "y"}}, &Facts{Active: true, Audience: []string{"z", "y"}}, ""},
		{"another audience", Policy{Audience: []string{"x"}}, &Facts{Active: true, Audience: []string{"X", "xx"}}, "401 invalid_token "},
		{"no audience", Policy{Audience: []string{"x"}}, &Facts{Active: true}, "401 invalid_token "},
		{"issuer", Policy{Issuers: []string{"i"}}, &Facts{Active: true, Issuer: "i"}, ""},
		{"another issuer", Policy{Issuers: []string{"i"}, Scopes: []string{"a"}}, &Facts{Active: true, Issuer: "I"}, "401 invalid_token "},
		{"client", Policy{Clients: []string{"a", "b"}}, &Facts{Active: true, ClientID: "b"}, ""},
		{"another client", Policy{Clients: []string{"a"}}, &Facts{Active: true, ClientID: "b", Subject: "a"}, "403 insufficient_scope "},
		{"acr", Policy{ACR: []string{"2", "3"}}, claims("acr", "3"), ""},
		{"another acr", Policy{ACR: []string{"2"}, Scopes: []string{"a"}}, claims("acr", "1"), "401 insufficient_user_authentication "},
		{"no acr", Policy{ACR: []string{""}}, &Facts{Active: true}, "401 insufficient_user_authentication "},
		{"max_age", Policy{MaxAge: time.Minute}, &Facts{Active: true, AuthTime: now.Unix() - 60}, ""},
		{"authenticated too long ago", Policy{MaxAge: time.Minute}, &Facts{Active: true, AuthTime: now.Unix() - 61}, "401 insufficient_user_authentication "},
		{"authenticated nobody knows when", Policy{MaxAge: time.Minute}, &Facts{Active: true}, "401 insufficient_user_authentication "},
		{"claim", Policy{Claims: []ClaimRule{{"tier", []string{"silver", "gold"}}}}, claims("tier", "gold"), ""},
		{"claim of another value", Policy{Claims: []ClaimRule{{"tier", []string{"gold"}}}}, claims("tier", "Gold"), "403 insufficient_scope "},
		{"claim that is absent", Policy{Claims: []ClaimRule{{"tier", []string{""}}}}, &Facts{Active: true}, "403 insufficient_scope "},
		{"claim that must be there", Policy{Claims: []ClaimRule{{"tier", nil}}}, claims("tier", false), ""},
		{"one element", Policy{Claims: []ClaimRule{{"roles", []string{"b"}}}}, claims("roles", []any{"a", "b"}), ""},
		{"no element", Policy{Claims: []ClaimRule{{"roles", []string{"a,b"}}}}, claims("roles", []any{"a", "b"}), "403 insufficient_scope "},
		{"number", Policy{Claims: []ClaimRule{{"level", []string{"3"}}}}, claims("level", json.Number("3")), ""},
		{"boolean", Policy{Claims: []ClaimRule{{"email_verified", []string{"true"}}}}, claims("email_verified", true), ""},
		{"object", Policy{Claims: []ClaimRule{{"o", []string{"{}"}}}}, claims("o", map[string]any{}), "403 insufficient_scope "},
		{"path", Policy{Claims: []ClaimRule{{"realm.roles", []string{"b"}}}}, claims("realm", map[string]any{"roles": []any{"b"}}), ""},
		{"path that ends early", Policy{Claims: []ClaimRule{{"realm.roles", []string{"b"}}}}, claims("realm", "b"), "403 insufficient_scope "},
		{"name with dots first", Policy{Claims: []ClaimRule{{"realm.roles", []string{"b"}}}}, claims("realm.roles", "b"), ""},
		{"both rules", Policy{Claims: []ClaimRule{{"a", nil}, {"b", nil}}}, claims("a", "x"), "403 insufficient_scope "},
		{"the subject is no claim of Claims", Policy{Claims: []ClaimRule{{"sub", []string{"admin"}}}}, claims("sub", "admin"), "403 insufficient_scope "},
		{"audience before scope", Policy{Audience: []string{"x"}, Scopes: []string{"a"}}, &Facts{Active: true}, "401 invalid_token "},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := ""
			if r := test.policy.Judge(test.facts, now); r != nil {
				status, _, _ := strings.Cut(r.Error(), ":")
				got = status + " " + r.Scope
			}
			if got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}
