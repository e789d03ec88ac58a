package introspect

import (
	"context"
	"encoding/base64"
	"errors"
	"testing"
)

func unsignedJWT(claims string) string {
	encode := base64.RawURLEncoding.EncodeToString
	return encode([]byte(`{"alg":"none"}`)) + "." + encode([]byte(claims)) + ".c2ln"
}

// TestChoose: a token's issuer, prefix and shape say who is asked, and nobody
// else is, whatever the answer.
func TestChoose(t *testing.T) {
	asked := ""
	authority := func(name string) Introspector {
		return IntrospectorFunc(func(context.Context, string) (*Facts, error) {
			asked += name
			if name == "down" {
				return nil, errors.New("down")
			}
			return &Facts{}, nil
		})
	}
	chosen, err := Choose(
		Candidate{Prefixes: []string{"ours_", "old_"}, Introspector: authority("ours")},
		Candidate{Issuers: []string{"https://a.example", "https://b.example"}, Introspector: authority("ab")},
		Candidate{Issuers: []string{"https://down.example"}, Introspector: authority("down")},
		Candidate{Shape: JWTShape, Prefixes: []string{"e30."}, Introspector: authority("empty header")},
		Candidate{Shape: OpaqueShape, Introspector: authority("opaque")},
	)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ name, token, want string }{
		{"prefix", "ours_1", "ours"},
		{"another prefix", "old_1", "ours"},
		{"issuer", unsignedJWT(`{"iss":"https://b.example"}`), "ab"},
		{"the issuer is compared as it is", unsignedJWT(`{"iss":"https://b.example/"}`), ""},
		{"nobody is asked after one that is down", unsignedJWT(`{"iss":"https://down.example"}`), "down"},
		{"shape and prefix", "e30.e30.x", "empty header"},
		{"opaque", "Ours_1", "opaque"},
		{"two dots are no JWT of anybody's", "..", ""},
		{"iss twice", unsignedJWT(`{"iss":"https://a.example","iss":"https://a.example"}`), ""},
		{"iss that is no text", unsignedJWT(`{"iss":["https://a.example"]}`), ""},
		{"payload that is no base64url", "e.+.e", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			asked = ""
			f, err := chosen.Introspect(t.Context(), test.token)
			if asked != test.want {
				t.Errorf("asked %q, want %q", asked, test.want)
			}
			if (err != nil) != (test.want == "down") || err == nil && f.Active {
				t.Errorf("%v, %v", f, err)
			}
		})
	}
}

// TestChooseRefuses: a candidate that no token can reach is a mistake.
func TestChooseRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		candidates []Candidate
		good       bool
	}{
		"everything, then something": {[]Candidate{{}, {Prefixes: []string{"a"}}}, false},
		"something, then everything": {[]Candidate{{Prefixes: []string{"a"}}, {}}, true},
		"the same prefix":            {[]Candidate{{Prefixes: []string{"a"}}, {Prefixes: []string{"a"}}}, false},
		"a longer prefix":            {[]Candidate{{Prefixes: []string{"a"}}, {Prefixes: []string{"ab", "ac"}}}, false},
		"one longer prefix":          {[]Candidate{{Prefixes: []string{"a"}}, {Prefixes: []string{"ab", "c"}}}, true},
		"two engines":                {[]Candidate{{Prefixes: []string{"ga_"}}, {Issuers: []string{"a"}}, {Prefixes: []string{"ga_"}}, {Issuers: []string{"b"}}}, false},
		"two shapes":                 {[]Candidate{{Shape: JWTShape}, {Shape: OpaqueShape}}, true},
		"one shape":                  {[]Candidate{{Shape: JWTShape}, {Shape: JWTShape, Issuers: []string{"a"}}}, false},
		"issuers":                    {[]Candidate{{Issuers: []string{"a"}}, {Issuers: []string{"b"}}, {Shape: JWTShape}}, true},
		"an issuer twice":            {[]Candidate{{Issuers: []string{"a", "b"}}, {Issuers: []string{"b"}}}, false},
		"all shapes after opaque":    {[]Candidate{{Shape: OpaqueShape}, {}}, true},
	} {
		if _, err := Choose(test.candidates...); (err == nil) != test.good {
			t.Errorf("%s: %v", name, err)
		}
	}
	one := IntrospectorFunc(func(context.Context, string) (*Facts, error) { return &Facts{}, nil })
	if got, err := Choose(Candidate{Introspector: one}); err != nil || got == nil {
		t.Errorf("one for all: %v", err)
	}
}

// TestChooseFromTheCache: what is remembered needs no choice; what is not is
// asked about only if it is the candidate's, and is not remembered otherwise.
func TestChooseFromTheCache(t *testing.T) {
	e, cache := engineWith(activeFacts()), newTestCache(t, Options{})
	over := cache.Over(e)
	chosen, err := Choose(Candidate{Prefixes: []string{"ours_"}, Introspector: over}, Candidate{Issuers: []string{"https://a.example"}, Introspector: over})
	if err != nil {
		t.Fatal(err)
	}
	for token, active := range map[string]bool{
		"ours_1": true, "theirs": false, unsignedJWT(`{"iss":"https://a.example"}`): true, unsignedJWT(`{"iss":"https://b.example"}`): false,
	} {
		for range 3 {
			f, err := chosen.Introspect(t.Context(), token)
			if err != nil || f.Active != active {
				t.Errorf("%s: %v %v", token, f, err)
			}
			settled(cache)
		}
	}
	wantCalls(t, e, 2, "for two tokens of its own")
}
