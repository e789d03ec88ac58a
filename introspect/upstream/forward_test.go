package upstream

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-auth/gatehouse/introspect"
)

// tokens gives a fixed token, or why not.
type tokens struct {
	token string
	err   error
}

func (s tokens) Token(context.Context, string, *introspect.Facts) (string, error) {
	return s.token, s.err
}

func replace(t testing.TB, s Tokens, header string) Upstream {
	t.Helper()
	u, err := Replace(s, header)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// TestUpstream: what the resource sees, seen through a guard and a reverse proxy.
func TestUpstream(t *testing.T) {
	in, own := replace(t, tokens{token: "new"}, ""), replace(t, tokens{token: "new"}, "x-gateway-token")
	const bearer, dpop, basic = "Bearer " + sampleToken, "DPoP " + sampleToken, "Basic Z2F0ZTp3YXk="
	for _, test := range []struct {
		name     string
		upstream Upstream
		sent     http.Header
		want     http.Header
	}{
		{"unchanged", Unchanged(), http.Header{"Authorization": {bearer}, "Dpop": {"proof"}}, http.Header{"Authorization": {bearer}, "Dpop": {"proof"}}},
		{"unchanged, Connection", Unchanged(), http.Header{"Authorization": {bearer}, "Connection": {"close, authorization"}}, http.Header{"Authorization": {bearer}}},
		{"nothing", Nothing(), http.Header{"Authorization": {bearer}, "Dpop": {"proof"}}, http.Header{}},
		{"nothing, Basic", Nothing(), http.Header{"Authorization": {basic}}, http.Header{}},
		{"replaced", in, http.Header{"Authorization": {bearer}}, http.Header{"Authorization": {"Bearer new"}}},
		{"replaced, DPoP", in, http.Header{"Authorization": {dpop}, "Dpop": {"proof"}}, http.Header{"Authorization": {"Bearer new"}}},
		{"replaced, Connection", in, http.Header{"Authorization": {bearer}, "Connection": {"Authorization", "dpop"}}, http.Header{"Authorization": {"Bearer new"}}},
		{"replaced, none", in, http.Header{}, http.Header{}},
		{"replaced, none but a proof", in, http.Header{"Dpop": {"proof"}}, http.Header{}},
		{"replaced, Basic", in, http.Header{"Authorization": {basic}}, http.Header{}},
		{"in a header", own, http.Header{"Authorization": {bearer}, "Dpop": {"proof"}}, http.Header{"X-Gateway-Token": {"new"}}},
		{"in a header, spoofed", own, http.Header{"Authorization": {bearer}, "X-Gateway-Token": {"evil"}, "X_gateway.token": {"evil"}},
			http.Header{"X-Gateway-Token": {"new"}}},
		{"in a header, Connection", own, http.Header{"Authorization": {bearer}, "Connection": {"X-Gateway-Token"}}, http.Header{"X-Gateway-Token": {"new"}}},
		{"in a header, none", own, http.Header{"X-Gateway-Token": {"evil"}, "X_gateway_token": {"evil"}}, http.Header{}},
		{"in a header, Basic", own, http.Header{"Authorization": {basic}}, http.Header{"Authorization": {basic}}},
	} {
		t.Run("promise08 "+test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, seen(t, test.upstream, test.sent, nil)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// newGuard believes whoever comes with a token or without one.
func newGuard() *introspect.Guard {
	return &introspect.Guard{
		Introspector: introspector(activeFacts), Optional: true,
		Confirm: func(*http.Request, introspect.Credentials, *introspect.Facts) error { return nil },
	}
}

// seen are the headers that concern this test of what a resource gets. The body,
// if there is one, is sent in chunks.
func seen(t *testing.T, u Upstream, sent http.Header, body io.Reader) http.Header {
	t.Helper()
	got := http.Header{}
	api := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		for _, all := range []http.Header{r.Header, r.Trailer} {
			for name, values := range all {
				if lower := strings.ToLower(name); lower == "authorization" || lower == "dpop" || strings.Contains(lower, "gateway") {
					got[name] = values
				}
			}
		}
	}))
	defer api.Close()
	target, err := url.Parse(api.URL)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}
	g := newGuard()
	front := httptest.NewServer(g.Handler(Handler(u, g, proxy)))
	defer front.Close()
	r, err := http.NewRequest(http.MethodPost, front.URL, body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header = sent
	if body != nil {
		r.Trailer = http.Header{"X-Gateway-Token": {"evil"}}
	}
	res, err := front.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Errorf("answered with %s", res.Status)
	}
	return got
}

// TestPromise08TokenHeaderInATrailer: nor does it come in after the body.
func TestPromise08TokenHeaderInATrailer(t *testing.T) {
	u := replace(t, tokens{token: "new"}, "X-Gateway-Token")
	body := io.MultiReader(strings.NewReader("a body of unknown length"))
	got := seen(t, u, http.Header{"Authorization": {"Bearer " + sampleToken}}, body)
	if diff := cmp.Diff(http.Header{"X-Gateway-Token": {"new"}}, got); diff != "" {
		t.Error(diff)
	}
}

// TestUpstreamRefuses (promise 6): what cannot be replaced does not go on, and
// refusals that requests share are not theirs to change.
func TestUpstreamRefuses(t *testing.T) {
	shared := &introspect.Refusal{Status: http.StatusForbidden, Code: introspect.CodeInsufficientScope, Reason: ReasonDenied}
	for _, test := range []struct {
		err    error
		status int
		reason introspect.Reason
	}{
		{shared, http.StatusForbidden, ReasonDenied},
		{errors.New("down"), http.StatusServiceUnavailable, introspect.ReasonUnavailable},
	} {
		g := newGuard()
		h := g.Handler(Handler(replace(t, tokens{err: test.err}, ""), g, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			t.Error("the request went on")
		})))
		w := httptest.NewRecorder()
		h.ServeHTTP(w, bearerRequest(sampleToken))
		if w.Code != test.status || (w.Header().Get("Retry-After") == "5") != (test.status == http.StatusServiceUnavailable) {
			t.Errorf("%v: %d, %v", test.err, w.Code, w.Header())
		}
		refusal := replace(t, tokens{err: test.err}, "").Apply(bearerRequest(sampleToken), introspect.Credentials{Scheme: "DPoP", Token: sampleToken}, activeFacts())
		if refusal == shared || refusal.Reason != test.reason || refusal.Status != test.status {
			t.Errorf("%v: %+v", test.err, refusal)
		}
	}
	if shared.Scheme != "" {
		t.Error("a refusal that requests share was changed")
	}
}

// TestNothingForAnInactiveToken: facts that say nothing are vouched for by
// nobody.
func TestNothingForAnInactiveToken(t *testing.T) {
	r := bearerRequest(sampleToken)
	refusal := replace(t, tokens{token: "new"}, "").Apply(r, introspect.Credentials{Scheme: "Bearer", Token: sampleToken}, &introspect.Facts{})
	if refusal != nil || len(r.Header["Authorization"]) > 0 {
		t.Error(refusal, r.Header)
	}
}

func TestReplaceHeader(t *testing.T) {
	for header, good := range map[string]bool{
		"": true, "authorization": true, "X-Token": true,
		"X Token": false, "Connection": false, "Cookie": false, "DPoP": false, "X-Token\r\n": false,
	} {
		if _, err := Replace(tokens{}, header); (err == nil) != good {
			t.Errorf("%q: %v", header, err)
		}
	}
}
