package dpop

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/engine/dpop/dpoptest"
	"github.com/gatehouse-auth/gatehouse/introspect"
)

func boundFacts(cnf any) *introspect.Facts {
	return &introspect.Facts{Active: true, Subject: "alice", TokenType: "DPoP", Claims: map[string]any{"cnf": cnf}}
}

// A resource over real TLS whose guard wants proofs, with nonces: RFC 9449 §7.1
// (scheme, challenge), §7.2 (downgrade), §9 (nonce); threats.md 17, 22.
func TestGuardedResource(t *testing.T) {
	clock := newClock()
	v, s, thief := newVerifier(t, clock, Options{RequireNonce: true}), dpoptest.NewKey(t, "ES256"), dpoptest.NewKey(t, "ES256")
	target, err := At("https://api.example.com")
	if err != nil {
		t.Fatal(err)
	}
	tokens := map[string]*introspect.Facts{
		sampleToken: boundFacts(map[string]any{"jkt": s.Thumbprint(t)}),
		"at_plain":  {Active: true, Subject: "alice", TokenType: "Bearer"},
		"at_mtls":   boundFacts(map[string]any{"x5t#S256": "abc"}),
		"at_odd":    boundFacts(map[string]any{"jkt": 7}),
		"at_text":   boundFacts("jkt"),
	}
	guard := &introspect.Guard{
		Introspector: introspect.IntrospectorFunc(func(_ context.Context, token string) (*introspect.Facts, error) {
			if f := tokens[token]; f != nil {
				return f, nil
			}
			return &introspect.Facts{}, nil
		}),
		Challenge: introspect.Challenge{DPoPAlgs: v.Algorithms()},
		Confirm:   (&Resource{Verifier: v, Target: target}).Confirm,
	}
	server := httptest.NewTLSServer(guard.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
	t.Cleanup(server.Close)
	proof := func(by *sender, token string) string {
		return prove(t, by, clock.unix(), nil, members{"ath": dpoptest.Hash(token), "nonce": v.NewNonce()})
	}
	stale := prove(t, s, clock.unix(), nil, nil)
	once := proof(s, sampleToken)
	for _, test := range []struct {
		name, scheme, token string
		proofs              []string
		status              int
		challenge           string // of the scheme that was used
	}{
		{"proof", "DPoP", sampleToken, []string{once}, 200, ""},
		{"the same again", "DPoP", sampleToken, []string{once}, 401, `error="invalid_dpop_proof"`},
		{"scheme in small letters", "dpop", sampleToken, []string{proof(s, sampleToken)}, 200, ""},
		{"no nonce", "DPoP", sampleToken, []string{stale}, 401, `error="use_dpop_nonce"`},
		{"no proof", "DPoP", sampleToken, nil, 401, `error="invalid_dpop_proof"`},
		{"two proofs", "DPoP", sampleToken, []string{proof(s, sampleToken), proof(s, sampleToken)}, 401, `error="invalid_dpop_proof"`},
		{"another's key", "DPoP", sampleToken, []string{proof(thief, sampleToken)}, 401, `error="invalid_token"`},
		{"another token's proof", "DPoP", sampleToken, []string{proof(s, "at_plain")}, 401, `error="invalid_dpop_proof"`},
		{"downgrade", "Bearer", sampleToken, nil, 401, `error="invalid_token"`},
		{"downgrade with a proof", "Bearer", sampleToken, []string{proof(s, sampleToken)}, 401, `error="invalid_token"`},
		{"plain token", "DPoP", "at_plain", []string{proof(s, "at_plain")}, 401, `error="invalid_token"`},
		{"plain bearer token", "Bearer", "at_plain", nil, 401, `error="invalid_token"`},
		{"certificate's token", "DPoP", "at_mtls", []string{proof(s, "at_mtls")}, 401, `error="invalid_token"`},
		{"jkt that is no text", "DPoP", "at_odd", []string{proof(s, "at_odd")}, 401, `error="invalid_token"`},
		{"cnf that is no object", "DPoP", "at_text", []string{proof(s, "at_text")}, 401, `error="invalid_token"`},
		{"unknown token", "DPoP", "at_none", []string{proof(s, "at_none")}, 401, `error="invalid_token"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/orders?page=2", nil)
			if err != nil {
				t.Fatal(err)
			}
			request.Host = "other.example.com"
			request.Header.Set("Authorization", test.scheme+" "+test.token)
			request.Header["DPoP"] = test.proofs
			response, err := server.Client().Do(request)
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
			if response.StatusCode != test.status {
				t.Fatalf("%d, want %d: %v", response.StatusCode, test.status, response.Header)
			}
			if test.status == 200 {
				return
			}
			challenges := response.Header.Values("WWW-Authenticate")
			want := test.scheme + " " + test.challenge
			if !slices.ContainsFunc(challenges, func(c string) bool { return strings.HasPrefix(c, want) }) {
				t.Errorf("%q, want %q", challenges, want)
			}
			nonce := response.Header.Get("DPoP-Nonce")
			if (nonce != "") != (test.challenge == `error="use_dpop_nonce"`) {
				t.Errorf("DPoP-Nonce: %q", nonce)
			}
		})
	}
}

// A target that is no URL refuses everything, and is no refusal of the proof's.
func TestTargetThatIsNone(t *testing.T) {
	clock := newClock()
	v, s := newVerifier(t, clock, Options{}), dpoptest.NewKey(t, "ES256")
	request := sampleRequest(t)
	request.Target = nil
	if _, err := v.Check([]string{prove(t, s, clock.unix(), nil, members{"htu": "x"})}, request); err == nil {
		t.Error("accepted")
	} else if _, is := err.(*introspect.Refusal); is {
		t.Error(err)
	}
}
