package introspect

import (
	"encoding/json"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestPromise09Challenges(t *testing.T) {
	c := Challenge{Realm: "api", ResourceMetadata: "https://api.example/.well-known/oauth-protected-resource"}
	const metadata = `resource_metadata="https://api.example/.well-known/oauth-protected-resource"`
	for _, test := range []struct {
		name      string
		challenge Challenge
		refusal   *Refusal
		want      string
	}{
		{"no credentials: no error code", c, noCredentials("orders:read"), `Bearer realm="api", scope="orders:read", ` + metadata},
		{"no credentials, nothing to say", Challenge{}, noCredentials(""), `Bearer`},
		{"invalid_token", c, invalidToken(ReasonNotActive, "Expired."), `Bearer realm="api", error="invalid_token", error_description="Expired.", ` + metadata},
		{"insufficient_scope", Challenge{}, insufficientScope("a b"), `Bearer error="insufficient_scope", error_description="The access token was not granted the scope that this request needs.", scope="a b"`},
		{"invalid_request", Challenge{}, invalidRequest("Twice."), `Bearer error="invalid_request", error_description="Twice."`},
		{"quotes", Challenge{Realm: `a"b\c`}, noCredentials(""), `Bearer realm="a\"b\\c"`},
		{"line breaks", Challenge{Realm: "a\r\nSet-Cookie: b"}, noCredentials(""), `Bearer realm="a??Set-Cookie: b"`},
		{"description", Challenge{}, invalidToken(ReasonNotActive, "say \"é\"\r\n\\"), `Bearer error="invalid_token", error_description="say '?'???"`},
		{"scope that is none", Challenge{}, noCredentials("a \"b\", c=\"  é d"), `Bearer scope="a d"`},
		{"URL", Challenge{ResourceMetadata: "https://x/\"a b\r\n\\é"}, noCredentials(""), `Bearer resource_metadata="https://x/%22a%20b%0D%0A%5C%C3%A9"`},
		{"another authentication (RFC 9470 §3)", Challenge{Realm: "api"}, moreAuthentication([]string{"phr", "x y", "a\"b"}, 5*time.Minute), `Bearer realm="api", error="insufficient_user_authentication", error_description="This request needs another authentication of the user.", acr_values="phr x y", max_age="300"`},
		{"DPoP too (RFC 9449 §7.2)", Challenge{DPoPAlgs: []string{"ES256", "EdDSA"}}, noCredentials("a"), `Bearer scope="a"; DPoP scope="a", algs="ES256 EdDSA"`},
		{"DPoP alone", Challenge{DPoPAlgs: []string{"ES256"}, DPoPOnly: true}, insufficientScope("a"), `DPoP error="insufficient_scope", error_description="The access token was not granted the scope that this request needs.", scope="a", algs="ES256"`},
		{"the error stands with the scheme used", Challenge{DPoPAlgs: []string{"ES256"}}, &Refusal{Code: CodeInvalidDPoPProof, Description: "No.", Scheme: SchemeDPoP}, `Bearer; DPoP error="invalid_dpop_proof", error_description="No.", algs="ES256"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := strings.Join(test.challenge.Headers(test.refusal), "; "); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

func TestRefuse(t *testing.T) {
	cause := errors.New("dial tcp: refused")
	for _, test := range []struct {
		name       string
		refusal    *Refusal
		status     int
		challenged bool
		retryAfter string
		code       string
	}{
		{"no credentials", noCredentials(""), 401, true, "", ""},
		{"invalid_token", invalidToken(ReasonNotActive, "x"), 401, true, "", "invalid_token"},
		{"insufficient_scope", insufficientScope("x"), 403, true, "", "insufficient_scope"},
		{"invalid_request", invalidRequest("x"), 400, true, "", "invalid_request"},
		{"engine down", engineDown(cause, 0), 503, false, "5", "temporarily_unavailable"},
		{"engine down, 1.2 s", engineDown(cause, 1200*time.Millisecond), 503, false, "2", "temporarily_unavailable"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := httptest.NewRecorder()
			Refuse(w, Challenge{}, test.refusal)
			h := w.Result().Header
			if w.Code != test.status || h.Get("Cache-Control") != "no-store" || h.Get("Retry-After") != test.retryAfter {
				t.Errorf("status %d, headers %v", w.Code, h)
			}
			if (h.Get("WWW-Authenticate") != "") != test.challenged {
				t.Errorf("WWW-Authenticate: %q", h.Get("WWW-Authenticate"))
			}
			var body struct{ Error string }
			if w.Body.Len() > 0 {
				if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
					t.Error(err)
				}
			}
			if body.Error != test.code {
				t.Errorf("body: %s", w.Body)
			}
			if strings.Contains(w.Body.String(), "dial") {
				t.Error("the cause reaches the client")
			}
		})
	}
	if r := engineDown(cause, 0); !errors.Is(r, cause) || !strings.Contains(r.Error(), "dial") {
		t.Error("the cause does not reach the log")
	}
}

// FuzzChallenge parses what was written and finds the parameters that were put
// in, no other, whatever was in them.
func FuzzChallenge(f *testing.F) {
	f.Add("realm", "invalid_token", "text", "a b", "https://x/")
	f.Add("a\"", "b\\", "c\", error=\"x", "d\"", "e\r\n")
	f.Fuzz(func(t *testing.T, realm, code, description, scope, metadata string) {
		value := Challenge{Realm: realm, ResourceMetadata: metadata}.Headers(&Refusal{Code: code, Description: description, Scope: scope})[0]
		for i := range len(value) {
			if value[i] < ' ' || value[i] > '~' {
				t.Fatalf("%q holds byte %x", value, value[i])
			}
		}
		rest, ok := strings.CutPrefix(value, "Bearer")
		if !ok {
			t.Fatalf("%q", value)
		}
		order := []string{"realm", "error", "error_description", "scope", "resource_metadata"}
		for rest != "" {
			rest = strings.TrimPrefix(rest, ",")
			name, after, ok := strings.Cut(rest, `="`)
			for len(order) > 0 && " "+order[0] != name {
				order = order[1:]
			}
			if !ok || len(order) == 0 {
				t.Fatalf("%q: parameter %q", value, name)
			}
			order = order[1:]
			end := 0
			for end < len(after) && after[end] != '"' {
				if after[end] == '\\' {
					if name != " realm" {
						t.Fatalf("%q: backslash in %s", value, name)
					}
					end++
				}
				end++
			}
			if end >= len(after) {
				t.Fatalf("%q: unterminated", value)
			}
			rest = after[end+1:]
		}
	})
}
