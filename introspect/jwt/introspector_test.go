package jwt

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/gatehouse-auth/gatehouse/introspect"
)

// RFC 9068 §4: every allowed algorithm verifies with the issuer's key for it,
// and with no other.
func TestAlgorithms(t *testing.T) {
	for _, alg := range allAlgorithms {
		t.Run(alg, func(t *testing.T) {
			ours := newSigner(t, alg, "k1")
			i := static(t, nil, ours.public(t))
			token := ours.token(t)
			want(t, i, token, "active", "its own key")
			want(t, i, token[:len(token)-8]+"AAAAAAA0", "inactive", "an altered signature")
			if keyKind(alg) != "RSA" { // of which the tests have one
				want(t, i, newSigner(t, alg, "k1").token(t), "inactive", "another key of the same kid")
			}
			only := static(t, func(o *Options) { o.Algorithms = []string{alg} }, ours.public(t))
			want(t, only, token, "active", "allowed alone")
		})
	}
}

// RFC 9068 §2.2: what a token says becomes facts.
func TestFacts(t *testing.T) {
	s := newSigner(t, "ES256", "k1")
	i := static(t, nil, s.public(t))
	for name, c := range map[string]struct {
		changes object
		want    func(*introspect.Facts)
	}{
		"as it is": {nil, func(*introspect.Facts) {}},
		"a key of the client's, RFC 9449 §6.1": {object{"cnf": object{"jkt": "x"}}, func(f *introspect.Facts) {
			f.TokenType = "DPoP"
			f.Claims["cnf"] = map[string]any{"jkt": "x"}
		}},
		"a certificate of the client's, RFC 8705 §3.1": {object{"cnf": object{"x5t#S256": "x"}}, func(f *introspect.Facts) {
			f.Claims["cnf"] = map[string]any{"x5t#S256": "x"}
		}},
		"the client as azp": {object{"client_id": nil, "azp": "a", "cid": "c"}, func(f *introspect.Facts) {
			f.ClientID = "a"
			f.Claims["azp"], f.Claims["cid"] = "a", "c"
		}},
		"the client as cid": {object{"client_id": nil, "cid": "c", "appid": "d"}, func(f *introspect.Facts) {
			f.ClientID = "c"
			f.Claims["cid"], f.Claims["appid"] = "c", "d"
		}},
		"the client as appid": {object{"client_id": nil, "appid": "d", "azp": 1}, func(f *introspect.Facts) {
			f.ClientID = "d"
			f.Claims["appid"], f.Claims["azp"] = "d", json.Number("1")
		}},
		"no client and no subject": {object{"client_id": nil, "sub": nil}, func(f *introspect.Facts) {
			f.ClientID, f.Subject = "", ""
		}},
		"a type and an engine's names that are not its to give": {
			object{"token_type": "N_A", "active": false, "gatehouse": object{"token": "7", "subject": "alice"}},
			func(*introspect.Facts) {},
		},
	} {
		t.Run(name, func(t *testing.T) {
			wanted := &introspect.Facts{
				Active: true, Issuer: testIssuer, Subject: "alice", ClientID: "shop", TokenType: "Bearer",
				Scopes: []string{"orders:read", "profile"}, Audience: []string{testAudience},
				IssuedAt: start.Unix(), ExpiresAt: start.Unix() + 300,
				Claims: map[string]any{"jti": "k3J9sQ7yT2mZ0w"},
			}
			c.want(wanted)
			got, err := i.Introspect(t.Context(), s.sign(t, claims().with(c.changes).json(), nil))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(wanted, got, cmpopts.IgnoreUnexported(introspect.Facts{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Promise 10 and threat 12: iss, aud, exp and iat are required and checked, nbf
// is checked, each to the second and with the skew that is set.
func TestClaims(t *testing.T) {
	s := newSigner(t, "ES256", "k1")
	i := static(t, nil, s.public(t))
	now, hour := start.Unix(), int64(3600)
	for name, c := range map[string]struct {
		changes object
		want    string
	}{
		"good":                           {nil, "active"},
		"several audiences, ours last":   {object{"aud": []string{"x", testAudience}}, "active"},
		"no iss":                         {object{"iss": nil}, "inactive"},
		"an empty iss":                   {object{"iss": ""}, "inactive"},
		"another iss":                    {object{"iss": testIssuer + "/"}, "inactive"},
		"iss in other letters":           {object{"iss": "https://AS.example.com"}, "inactive"},
		"iss as a list":                  {object{"iss": []string{testIssuer}}, "inactive"},
		"ISS beside it, in capitals":     {object{"iss": "x", "ISS": testIssuer}, "inactive"},
		"no aud":                         {object{"aud": nil}, "inactive"},
		"an empty aud":                   {object{"aud": []string{}}, "inactive"},
		"another aud":                    {object{"aud": testAudience + "/"}, "inactive"},
		"aud with a number":              {object{"aud": []any{testAudience, 1}}, "inactive"},
		"no exp":                         {object{"exp": nil}, "inactive"},
		"exp of 0":                       {object{"exp": 0}, "inactive"},
		"a negative exp":                 {object{"exp": -1}, "inactive"},
		"exp as text":                    {object{"exp": "1790000300"}, "inactive"},
		"exp beyond all numbers":         {object{"exp": json.Number("1e400")}, "inactive"},
		"exp within the skew":            {object{"exp": now - 9}, "active"},
		"exp at the skew's end":          {object{"exp": now - 10}, "inactive"},
		"exp an hour ago":                {object{"exp": now - hour}, "inactive"},
		"no iat":                         {object{"iat": nil}, "inactive"},
		"iat within the skew":            {object{"iat": now + 10}, "active"},
		"iat beyond it":                  {object{"iat": now + 11}, "inactive"},
		"iat in an hour":                 {object{"iat": now + hour, "exp": now + 2*hour}, "inactive"},
		"nbf within the skew":            {object{"nbf": now + 10}, "active"},
		"nbf beyond it":                  {object{"nbf": now + 11}, "inactive"},
		"nbf beyond it, with a fraction": {object{"nbf": json.Number("1790000011.5")}, "inactive"},
		"nbf as text":                    {object{"nbf": "1790000000"}, "inactive"},
	} {
		t.Run(name, func(t *testing.T) {
			want(t, i, s.sign(t, claims().with(c.changes).json(), nil), c.want, name)
		})
	}
	late := static(t, func(o *Options) { o.Skew = time.Minute }, s.public(t))
	want(t, late, s.sign(t, claims().with(object{"exp": now - 59}).json(), nil), "active", "a longer skew")
}

// Promise 10 and RFC 9068 §5: an ID token is no access token, nor is anything
// else that the same issuer signs, also where the operator allows typ JWT.
func TestOtherTokens(t *testing.T) {
	s := newSigner(t, "ES256", "k1")
	strict := static(t, nil, s.public(t))
	lenient := static(t, func(o *Options) { o.Types = []string{"at+jwt", "application/JWT"} }, s.public(t))
	for name, c := range map[string]struct {
		typ             any
		changes         object
		strict, lenient string
	}{
		"at+jwt":                        {"at+jwt", nil, "active", "active"},
		"application/at+jwt":            {"application/at+jwt", nil, "active", "active"},
		"in capitals":                   {"AT+JWT", nil, "active", "active"},
		"at+jwt with a nonce":           {"at+jwt", object{"nonce": "n"}, "active", "active"},
		"no typ":                        {nil, nil, "inactive", "inactive"},
		"an empty typ":                  {"", nil, "inactive", "inactive"},
		"another typ":                   {"logout+jwt", nil, "inactive", "inactive"},
		"typ with a parameter":          {"at+jwt; v=1", nil, "inactive", "inactive"},
		"JWT":                           {"JWT", nil, "inactive", "active"},
		"JWT with a nonce":              {"JWT", object{"nonce": "n"}, "inactive", "inactive"},
		"JWT with at_hash":              {"jwt", object{"at_hash": "h"}, "inactive", "inactive"},
		"JWT with c_hash":               {"JWT", object{"c_hash": "h"}, "inactive", "inactive"},
		"JWT with s_hash":               {"JWT", object{"s_hash": "h"}, "inactive", "inactive"},
		"JWT with events":               {"JWT", object{"events": object{}}, "inactive", "inactive"},
		"JWT for its own client":        {"JWT", object{"client_id": testAudience}, "inactive", "inactive"},
		"JWT for its own client as azp": {"JWT", object{"client_id": nil, "azp": testAudience}, "inactive", "inactive"},
	} {
		t.Run(name, func(t *testing.T) {
			token := s.sign(t, claims().with(c.changes).json(), object{"typ": c.typ})
			want(t, strict, token, c.strict, "at+jwt alone")
			want(t, lenient, token, c.lenient, "with JWT")
		})
	}
}
