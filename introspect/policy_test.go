package introspect

import (
	"strings"
	"testing"
)

func TestPolicy(t *testing.T) {
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
		{"audience before scope", Policy{Audience: []string{"x"}, Scopes: []string{"a"}}, &Facts{Active: true}, "401 invalid_token "},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := ""
			if r := test.policy.Judge(test.facts); r != nil {
				status, _, _ := strings.Cut(r.Error(), ":")
				got = status + " " + r.Scope
			}
			if got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}
