package upstream

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-auth/gatehouse/introspect"
)

// server is a token endpoint over TLS that counts exchanges and answers what it
// is told to.
type server struct {
	*httptest.Server
	calls  atomic.Int64
	mu     sync.Mutex
	answer http.HandlerFunc
}

func newServer(t testing.TB) *server {
	s := &server{}
	s.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.calls.Add(1)
		s.mu.Lock()
		answer := s.answer
		s.mu.Unlock()
		answer(w, r)
	}))
	t.Cleanup(s.Close)
	s.says(http.StatusOK, issue(`"expires_in":100`))
	return s
}

func (s *server) does(answer http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = answer
}

func (s *server) says(status int, body string) {
	s.does(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json;charset=UTF-8")
		w.WriteHeader(status)
		fmt.Fprint(w, strings.ReplaceAll(body, "NUMBER", fmt.Sprint(s.calls.Load())))
	})
}

// issue is an answer with a token that has the call's number in it (RFC 8693 §2.2.1).
func issue(more string) string {
	return `{"access_token":"exchangedNUMBER","issued_token_type":"` + TypeAccessToken + `","token_type":"Bearer",` + more + `}`
}

func (s *server) exchange(t testing.TB, o ExchangeOptions) *Exchange {
	t.Helper()
	o.Endpoint, o.Client = s.URL+"/token", s.Client()
	e, err := NewExchange(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

func (s *server) wantCalls(t testing.TB, want int64, when string) {
	t.Helper()
	if got := s.calls.Load(); got != want {
		t.Errorf("%s: the server was asked %d times, want %d", when, got, want)
	}
}

func exchanged(t testing.TB, e *Exchange, f *introspect.Facts) string {
	t.Helper()
	token, err := e.Token(t.Context(), sampleToken, f)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// TestExchangeRequest (RFC 8693 §2.1, RFC 6749 §2.3.1).
func TestExchangeRequest(t *testing.T) {
	base := url.Values{
		"grant_type":    {"urn:ietf:params:oauth:grant-type:token-exchange"},
		"subject_token": {sampleToken}, "subject_token_type": {TypeAccessToken},
	}
	with := func(more url.Values) url.Values {
		form := url.Values{}
		for _, m := range []url.Values{base, more} {
			for name, values := range m {
				form[name] = values
			}
		}
		return form
	}
	for _, test := range []struct {
		name    string
		options ExchangeOptions
		want    url.Values
		basic   bool
	}{
		{"the least", ExchangeOptions{}, base, false},
		{"all", ExchangeOptions{
			Authorize: ClientSecretBasic("gate way", "s:%"), Audience: []string{"a", "b"}, Resource: []string{"https://r.example.com"},
			Scope: []string{"x", "y"}, SubjectTokenType: TypeJWT, RequestedTokenType: TypeAccessToken,
		}, with(url.Values{
			"audience": {"a", "b"}, "resource": {"https://r.example.com"}, "scope": {"x y"},
			"subject_token_type": {TypeJWT}, "requested_token_type": {TypeAccessToken},
		}), true},
		{"authentication in the form", ExchangeOptions{Authorize: func(_ context.Context, form url.Values, _ http.Header) error {
			form.Set("client_id", "gateway")
			return nil
		}}, with(url.Values{"client_id": {"gateway"}}), false},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newServer(t)
			s.does(func(w http.ResponseWriter, r *http.Request) {
				if err := r.ParseForm(); err != nil || r.Method != http.MethodPost || r.URL.RawQuery != "" {
					t.Error(r.Method, r.URL, err)
				}
				if diff := cmp.Diff(test.want, r.PostForm); diff != "" {
					t.Error(diff)
				}
				id, secret, ok := r.BasicAuth()
				if ok != test.basic || ok && (id != "gate+way" || secret != "s%3A%25") {
					t.Errorf("credentials %q, %q", id, secret)
				}
				w.Header().Set("Content-Type", "application/json")
				fmt.Fprint(w, issue(`"expires_in":100`))
			})
			exchanged(t, s.exchange(t, test.options), activeFacts())
		})
	}
}

func TestPromise04OneExchangePerToken(t *testing.T) {
	const users = 64
	s := newServer(t)
	arrived, release := make(chan struct{}), make(chan struct{})
	s.does(func(w http.ResponseWriter, _ *http.Request) {
		arrived <- struct{}{}
		<-release
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, issue(`"expires_in":100`))
	})
	e := s.exchange(t, ExchangeOptions{})
	from := newTestCache(t).Over(introspector(activeFacts))
	var barrier, requests sync.WaitGroup
	barrier.Add(users)
	for range users {
		requests.Go(func() {
			facts, err := from.Introspect(t.Context(), sampleToken)
			barrier.Done()
			barrier.Wait()
			if err != nil {
				t.Error(err)
				return
			}
			if got, err := e.Token(t.Context(), sampleToken, facts); got != "exchangedNUMBER" {
				t.Error(got, err)
			}
		})
	}
	barrier.Wait()
	<-arrived
	release <- struct{}{}
	requests.Wait()
	s.wantCalls(t, 1, "for 64 requests")
}

// TestExchangedTokensEnd: one is kept until shortly before its expires_in, and
// never beyond the exp of the token that it was given for (promise 3).
func TestExchangedTokensEnd(t *testing.T) {
	for _, test := range []struct {
		expires string
		exp     int64 // from now, 0: none
		kept    time.Duration
	}{
		{`"expires_in":100`, 0, 90 * time.Second},
		{`"expires_in":1`, 0, 900 * time.Millisecond},
		{`"expires_in":1800`, 0, 1770 * time.Second},
		{`"expires_in":1e30`, 0, time.Hour - maxMargin},
		{`"scope":"a"`, 0, lifeUnsaid},
		{`"expires_in":100`, 30, 30 * time.Second},
	} {
		t.Run(fmt.Sprint(test.expires, test.exp), func(t *testing.T) {
			s, c := newServer(t), newClock()
			s.says(http.StatusOK, issue(test.expires))
			e := s.exchange(t, ExchangeOptions{Now: c.now})
			f := activeFacts()
			if test.exp != 0 {
				f.ExpiresAt = c.unix() + test.exp
			}
			exchanged(t, e, f)
			s.says(http.StatusServiceUnavailable, "")
			c.pass(test.kept - 1)
			if got := exchanged(t, e, f); got != "exchanged1" {
				t.Error(got)
			}
			c.pass(1)
			if got, err := e.Token(t.Context(), sampleToken, f); !errors.Is(err, introspect.ErrUnavailable) {
				t.Errorf("after its end: %s, %v", got, err)
			}
		})
	}
}

// TestExchangeDenied (RFC 8693 §2.2.2): a 403 for the token that is concerned,
// remembered for a little while.
func TestExchangeDenied(t *testing.T) {
	for _, code := range []string{"invalid_request", "invalid_target", "invalid_grant", "invalid_scope", "access_denied"} {
		s, c := newServer(t), newClock()
		s.says(http.StatusBadRequest, `{"error":"`+code+`","error_description":"the token `+sampleToken+`"}`)
		e := s.exchange(t, ExchangeOptions{Now: c.now})
		f := activeFacts()
		for range 3 {
			_, err := e.Token(t.Context(), sampleToken, f)
			refusal, ok := errors.AsType[*introspect.Refusal](err)
			if !ok || refusal.Status != http.StatusForbidden || refusal.Code != introspect.CodeInsufficientScope ||
				!strings.Contains(err.Error(), code) || strings.Contains(err.Error(), sampleToken) {
				t.Errorf("%s: %v", code, err)
			}
		}
		s.wantCalls(t, 1, code)
		s.says(http.StatusOK, issue(`"expires_in":100`))
		c.pass(denialMemory)
		exchanged(t, e, f)
	}
}

// TestPromise06ExchangeDown: a server that is down, or that does not know the
// gateway, is nothing that a client did.
func TestPromise06ExchangeDown(t *testing.T) {
	for _, test := range []struct {
		status int
		body   string
	}{
		{401, `{"error":"invalid_client"}`}, {400, `{"error":"invalid_client"}`}, {400, `{"error":"unauthorized_client"}`},
		{400, `{"error":"unsupported_grant_type"}`}, {401, `{"error":"invalid_grant"}`}, {400, ``}, {400, `{"error":"a\r\nb"}`},
		{400, `{"error":"` + sampleToken + `"}`}, {404, `{}`}, {429, `{}`}, {500, `{"error":"invalid_request"}`}, {503, ``},
	} {
		s, c := newServer(t), newClock()
		s.says(test.status, test.body)
		e := s.exchange(t, ExchangeOptions{Now: c.now})
		replace, err := Replace(e, "")
		if err != nil {
			t.Fatal(err)
		}
		f := activeFacts()
		for range 3 {
			refusal := replace.Apply(bearerRequest(sampleToken), introspect.Credentials{Scheme: "Bearer", Token: sampleToken}, f)
			if refusal == nil || refusal.Status != 503 || refusal.RetryAfter <= 0 || !errors.Is(refusal, introspect.ErrUnavailable) {
				t.Fatalf("%d %s: %v", test.status, test.body, refusal)
			}
			if text := refusal.Error(); strings.Contains(text, sampleToken) || strings.ContainsAny(text, "\r\n") || !strings.Contains(text, fmt.Sprint(test.status)) {
				t.Errorf("%d %s: %s", test.status, test.body, text)
			}
		}
		s.wantCalls(t, 1, "within a second")
		s.says(http.StatusOK, issue(`"expires_in":100`))
		c.pass(outageMemory)
		exchanged(t, e, f)
	}
}

// TestExchangesAreBounded: no more are under way than may be, and whoever waits
// for a place gives up in time.
func TestExchangesAreBounded(t *testing.T) {
	s := newServer(t)
	arrived, release := make(chan struct{}), make(chan struct{})
	answer := s.answer
	s.does(func(w http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		<-release
		answer(w, r)
	})
	e := s.exchange(t, ExchangeOptions{MaxParallel: 1})
	first := make(chan error)
	go func() {
		_, err := e.Token(context.Background(), "first", activeFacts())
		first <- err
	}()
	<-arrived
	ctx, cancel := context.WithCancel(t.Context())
	second := make(chan error)
	go func() {
		_, _, err := e.make(ctx, "second", activeFacts())
		second <- err
	}()
	cancel()
	if err := <-second; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	release <- struct{}{}
	if err := <-first; err != nil {
		t.Error(err)
	}
	s.wantCalls(t, 1, "with one place")
}

func TestExchangeOptions(t *testing.T) {
	for endpoint, good := range map[string]bool{
		"https://as.example.com/token": true, "http://127.0.0.1:8080/token": true, "http://[::1]/token": true, "http://localhost/token": true,
		"": false, "/token": false, "http://as.example.com/token": false, "https://user@as.example.com/": false, "https://as.example.com/#f": false,
		"ftp://127.0.0.1/": false, "https:as.example.com": false, "https://%zz/": false,
	} {
		if e, err := NewExchange(ExchangeOptions{Endpoint: endpoint}); (err == nil) != good {
			t.Errorf("%q: %v", endpoint, err)
		} else if good {
			e.Close()
		}
	}
	for _, o := range []ExchangeOptions{{Timeout: -1}, {MaxBytes: -1}, {MaxParallel: -1}} {
		o.Endpoint = "https://as.example.com/token"
		if _, err := NewExchange(o); err == nil {
			t.Errorf("accepted %+v", o)
		}
	}
}
