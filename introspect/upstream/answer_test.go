package upstream

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/introspect"
)

const (
	typeRefresh = "urn:ietf:params:oauth:token-type:refresh_token"
	typeID      = "urn:ietf:params:oauth:token-type:id_token"
)

// TestExchangeAnswer (RFC 8693 §2.2.1): a token is used if it can stand in a
// header, is what was asked for, and needs no proof of possession.
func TestExchangeAnswer(t *testing.T) {
	member := func(name, value string) string { return `"` + name + `":` + value }
	answer := func(token, issued, kind string, more ...string) string {
		return "{" + strings.Join(append([]string{member("access_token", token), member("issued_token_type", issued), member("token_type", kind)}, more...), ",") + "}"
	}
	at, jwt, bearer := `"`+TypeAccessToken+`"`, `"`+TypeJWT+`"`, `"Bearer"`
	for _, test := range []struct {
		name, body, requested string
		want                  string // empty: refused
	}{
		{"good", answer(`"a.b-c~d+e/f=="`, at, bearer), "", "a.b-c~d+e/f=="},
		{"a JWT", answer(`"a.b.c"`, jwt, bearer), "", "a.b.c"},
		{"N_A", answer(`"a"`, at, `"N_A"`), "", "a"},
		{"types in another case", answer(`"a"`, at, `"bEARER"`), "", "a"},
		{"what was asked for", answer(`"a"`, `"`+typeID+`"`, `"n_a"`), typeID, "a"},
		{"an ID token unasked", answer(`"a"`, `"`+typeID+`"`, `"N_A"`), "", ""},
		{"a refresh token", answer(`"a"`, `"`+typeRefresh+`"`, `"N_A"`), "", ""},
		{"another than asked for", answer(`"a"`, at, bearer), TypeJWT, ""},
		{"DPoP", answer(`"a"`, at, `"DPoP"`), "", ""},
		{"no token_type", `{"access_token":"a","issued_token_type":` + at + `}`, "", ""},
		{"no issued_token_type", `{"access_token":"a","token_type":"Bearer"}`, "", ""},
		{"no token", `{"issued_token_type":` + at + `,"token_type":"Bearer"}`, "", ""},
		{"a name in another case", `{"Access_Token":"a","issued_token_type":` + at + `,"token_type":"Bearer"}`, "", ""},
		{"empty", answer(`""`, at, bearer), "", ""},
		{"CR and LF", answer(`"a\r\nX-User: admin"`, at, bearer), "", ""},
		{"a space", answer(`" a"`, at, bearer), "", ""},
		{"two tokens", answer(`"a, Bearer b"`, at, bearer), "", ""},
		{"not ASCII", answer(`"é"`, at, bearer), "", ""},
		{"a number", answer(`1`, at, bearer), "", ""},
		{"too long", answer(`"`+strings.Repeat("a", introspect.DefaultMaxTokenLength+1)+`"`, at, bearer), "", ""},
		{"expires_in negative", answer(`"a"`, at, bearer, `"expires_in":-1`), "", ""},
		{"expires_in 0", answer(`"a"`, at, bearer, `"expires_in":0`), "", ""},
		{"expires_in as text", answer(`"a"`, at, bearer, `"expires_in":"3600"`), "", ""},
		{"expires_in beyond number", answer(`"a"`, at, bearer, `"expires_in":1e999`), "", ""},
		{"expires_in huge", answer(`"a"`, at, bearer, `"expires_in":1e300`), "", "a"},
		{"expires_in null", answer(`"a"`, at, bearer, `"expires_in":null`), "", "a"},
		{"an array", `[]`, "", ""},
		{"null", `null`, "", ""},
		{"something follows", answer(`"a"`, at, bearer) + "{}", "", ""},
		{"an error with 200", `{"error":"invalid_grant"}`, "", ""},
	} {
		got, life, err := readAnswer(http.StatusOK, "application/json; charset=utf-8", []byte(test.body), test.requested)
		if test.want == "" {
			if _, denied := errors.AsType[*introspect.Refusal](err); err == nil || denied {
				t.Errorf("%s: %q, %v", test.name, got, err)
			}
		} else if got != test.want || life <= 0 || err != nil {
			t.Errorf("%s: %q for %s, %v", test.name, got, life, err)
		}
	}
}

// FuzzExchangeAnswer: whatever comes, what is used can stand in a header and is
// kept for a bounded time, and no error quotes it.
func FuzzExchangeAnswer(f *testing.F) {
	f.Add(200, "application/json", []byte(issue(`"expires_in":100`)))
	f.Add(400, "application/json", []byte(`{"error":"invalid_target"}`))
	f.Add(503, "text/html", []byte("down"))
	f.Fuzz(func(t *testing.T, status int, contentType string, body []byte) {
		token, life, err := readAnswer(status, contentType, body, "")
		switch {
		case err != nil && len(err.Error()) > 300:
			t.Fatalf("an error of %d bytes", len(err.Error()))
		case err != nil && strings.ContainsAny(err.Error(), "\r\n"):
			t.Fatalf("%q", err)
		case err == nil && (status != http.StatusOK || life <= 0 || life > time.Hour):
			t.Fatalf("%d: %q for %s", status, token, life)
		case err == nil:
			r := &http.Request{Header: http.Header{"Authorization": {"Bearer " + token}}}
			if c, refusal := introspect.ReadCredentials(r, 0); refusal != nil || c.Token != token {
				t.Fatalf("%q cannot stand in a header", token)
			}
		}
	})
}
