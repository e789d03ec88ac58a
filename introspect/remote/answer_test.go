package remote

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-auth/gatehouse/engine/handle"
	"github.com/gatehouse-auth/gatehouse/introspect"
)

// RFC 7662 §2.2: what an answer says, and what makes it none. An answer that
// cannot be trusted is no judgement on the token.
func TestAnswer(t *testing.T) {
	const notFacts = "the answer is not that of RFC 7662: facts: "
	now := newClock()
	for _, test := range []struct {
		name, body string
		want       string // "active", "inactive" or what the error says
	}{
		{"active", active, "active"},
		{"inactive", `{"active":false}`, "inactive"},
		{"inactive, with more than may be said", `{"active":false,"iss":"https://other.example.net","sub":"alice"}`, "inactive"},
		{"active is missing", `{"sub":"alice"}`, "does not say whether"},
		{"active in another case", `{"Active":true,"sub":"alice"}`, "does not say whether"},
		{"active is null", `{"active":null}`, "does not say whether"},
		{"active is a string", `{"active":"true"}`, notFacts},
		{"active twice", `{"active":false,"active":true}`, notFacts},
		{"exp is missing", `{"active":true}`, "active"},
		{"exp is a string", `{"active":true,"exp":"4102444800"}`, notFacts},
		{"exp is out of range", `{"active":true,"exp":1e300}`, notFacts},
		{"nbf has come", fmt.Sprintf(`{"active":true,"nbf":%d}`, now.now().Unix()), "active"},
		{"nbf is within the skew", fmt.Sprintf(`{"active":true,"nbf":%d}`, now.now().Unix()+60), "active"},
		{"nbf is to come", fmt.Sprintf(`{"active":true,"nbf":%d}`, now.now().Unix()+61), "inactive"},
		{"nbf is a string", `{"active":true,"nbf":"tomorrow"}`, notFacts},
		{"the issuer", `{"active":true,"iss":"` + sampleIssuer + `"}`, "active"},
		{"another issuer", `{"active":true,"iss":"https://planted.example.net"}`, "another issuer"},
		{"nearly the issuer", `{"active":true,"iss":"` + sampleIssuer + `/"}`, "another issuer"},
		{"no JSON", `active`, notFacts},
		{"nothing", ``, notFacts},
		{"cut off", `{"active":true,"sub":"planted`, notFacts},
		{"an array", `[{"active":true}]`, notFacts},
		{"two objects", `{"active":true}{"active":true}`, notFacts},
		{"deep", `{"active":true,"a":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}`, notFacts},
		{"as much as is read", `{"active":true,"a":"` + strings.Repeat("a", introspect.MaxFactsBytes-22) + `"}`, "active"},
		{"one byte more", `{"active":true,"a":"` + strings.Repeat("a", introspect.MaxFactsBytes-21) + `"}`, "more than 65536 bytes"},
	} {
		t.Run(test.name, func(t *testing.T) {
			e := serve(t, answering("application/json", test.body))
			o := e.options()
			o.Issuer, o.Now, o.Failures = sampleIssuer, now.now, 1
			i := open(t, o)
			switch test.want {
			case "active":
				if f := ask(t, i, sampleToken); !f.Active {
					t.Error("inactive")
				}
			case "inactive":
				if diff := cmp.Diff(&introspect.Facts{}, ask(t, i, sampleToken), cmp.AllowUnexported(introspect.Facts{})); diff != "" {
					t.Error(diff)
				}
			default:
				wantUnavailable(t, i, sampleToken, test.want)
			}
			// No answer to one token keeps the others from being asked about.
			if got := i.Status().Breaker; got != Closed {
				t.Error("the breaker is", got)
			}
			wantCalls(t, &e.calls, 1)
		})
	}
}

// The contract of Introspector: it vouches that the token is an access token.
func TestRefreshTokensAreNotActive(t *testing.T) {
	for body, want := range map[string]bool{
		`{"active":true}`: true,
		`{"active":true,"token_type":"Bearer","token_use":"access_token","typ":"Bearer"}`: true,
		`{"active":true,"token_type":"DPoP","typ":"DPoP"}`:                                true,
		`{"active":true,"typ":"at+jwt","token_use":"access"}`:                             true,
		`{"active":true,"token_type":"N_A"}`:                                              true, // for Guard to judge
		`{"active":true,"token_type":"refresh_token"}`:                                    false,
		`{"active":true,"token_type":"Refresh"}`:                                          false,
		`{"active":true,"token_type":"Bearer","token_use":"refresh_token"}`:               false,
		`{"active":true,"token_use":"id"}`:                                                false,
		`{"active":true,"token_use":["access"]}`:                                          false,
		`{"active":true,"typ":"Refresh"}`:                                                 false,
		`{"active":true,"typ":"Offline"}`:                                                 false,
		`{"active":true,"typ":"ID"}`:                                                      false,
	} {
		e := serve(t, answering("application/json", body))
		if f := ask(t, open(t, e.options()), sampleToken); f.Active != want {
			t.Errorf("%s is active: %v", body, f.Active)
		}
	}

	e := serve(t, answering("application/json", active))
	i := open(t, e.options())
	if f := ask(t, i, handle.Format(handle.RefreshToken, 7, &handle.Secret{})); f.Active {
		t.Error("a Gatehouse refresh token is active")
	}
	wantCalls(t, &e.calls, 0) // it does not even leave the house
	if f := ask(t, i, handle.Format(handle.AccessToken, 7, &handle.Secret{})); !f.Active {
		t.Error("a Gatehouse access token is not active")
	}
}

// Statuses other than 200 (RFC 7662 §2.3): ours to mend, the endpoint's to
// mend, or odd. None of them is a judgement on the token.
func TestRefusedByTheEndpoint(t *testing.T) {
	for _, test := range []struct {
		status            int
		contentType, body string
		want              string
		attempts          int64
		opens             bool
	}{
		{401, "application/json", `{"error":"invalid_client","error_description":"planted"}`, "refuses our client credentials: 401 invalid_client; check the client id", 1, false},
		{400, "application/json", `{"error":"invalid_client"}`, "refuses our client credentials: 400 invalid_client", 1, false},
		{401, "text/html", `planted`, "refuses our client credentials: 401;", 1, false},
		{403, "application/json", `{}`, "does not let our client introspect: 403;", 1, false},
		{400, "application/json", `{"error":"unauthorized_client"}`, "does not let our client introspect: 400 unauthorized_client", 1, false},
		{400, "application/json", `{"error":"invalid_request"}`, "refuses the request: 400 invalid_request", 1, false},
		{400, "application/json", `{"error":"planted"}`, "refuses the request: 400", 1, false},
		{400, "application/json", `{"error":"` + sampleToken + `"}`, "refuses the request: 400", 1, false},
		{400, "application/json", strings.Repeat(" ", maxErrorBytes) + `{"error":"invalid_request"}`, "refuses the request: 400", 1, false},
		{404, "text/plain", `planted`, "refuses the request: 404", 1, false},
		{500, "text/plain", `planted`, "refuses the request: 500", 1, false},
		{201, "application/json", active, "refuses the request: 201", 1, false},
		{204, "application/json", ``, "refuses the request: 204", 1, false},
		{429, "application/json", `{}`, "cannot serve: 429", 3, true},
		{502, "text/html", `planted`, "cannot serve: 502", 3, true},
		{503, "application/json", `{"error":"temporarily_unavailable"}`, "cannot serve: 503 temporarily_unavailable", 3, true},
		{504, "text/html", `planted`, "cannot serve: 504", 3, true},
	} {
		t.Run(fmt.Sprint(test.status, " ", test.want), func(t *testing.T) {
			e := serve(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", test.contentType)
				w.WriteHeader(test.status)
				_, _ = w.Write([]byte(test.body))
			})
			o := e.options()
			o.Failures, o.Now = 1, newClock().now // by which the breaker stays open
			o.Authentication = Authentication{Method: MethodClientSecretBasic, ClientID: "gate", Secret: sampleSecret}
			i := open(t, o)
			wantUnavailable(t, i, sampleToken, test.want)
			wantCalls(t, &e.calls, test.attempts)
			if got := i.Status(); (got.Breaker == Open) != test.opens || got.Failures != 1 || !strings.Contains(got.LastError, test.want) {
				t.Errorf("got %+v", got)
			}
		})
	}
}

// A redirect is no answer, and the token does not follow it.
func TestRedirectsAreNotFollowed(t *testing.T) {
	other := serve(t, answering("application/json", active))
	for _, status := range []int{301, 302, 303, 307, 308} {
		e := serve(t, answeringStatus(status, "Location", other.URL))
		wantUnavailable(t, open(t, e.options()), sampleToken, fmt.Sprintf("redirects (%d)", status))
		wantCalls(t, &e.calls, 1)
	}
	wantCalls(t, &other.calls, 0)
}

func TestRetryAfterForms(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	for text, want := range map[string]time.Duration{
		"": 0, "0": 0, "1": time.Second, "120": 2 * time.Minute, "-1": 0, "soon": 0, "99999999999": 0,
		now.Add(time.Minute).UTC().Format(http.TimeFormat): time.Minute,
	} {
		if got := retryAfter(http.Header{"Retry-After": {text}}, now); got != want {
			t.Errorf("%q asks for %s, want %s", text, got, want)
		}
	}
}
