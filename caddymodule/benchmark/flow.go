package main

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// The client and the user of the code flow.
const (
	flowClient   = "flow"
	flowRedirect = "https://client.example/callback"
	flowVerifier = "a-verifier-that-is-the-same-each-time-0123456789"
	flowUser     = "alice"
	quickUser    = "dodo" // whose hash costs next to nothing
	flowPassword = "wonderland"
)

// worker does one operation again and again; each connection has its own.
type worker func(ctx context.Context) error

// flows keeps workers busy with operations of several requests each.
func (b *bench) flows(server *child, workers []worker) side {
	return side{server: server.cpu, run: busy(workers)}
}

// busy runs the workers side by side. The first error ends it.
func busy(workers []worker) func(context.Context, time.Duration) (sample, error) {
	return func(ctx context.Context, d time.Duration) (sample, error) {
		ctx, cancel := context.WithTimeout(ctx, d+patience)
		defer cancel()
		var done atomic.Int64
		var failure error
		var once sync.Once
		var group sync.WaitGroup
		start := time.Now()
		for _, work := range workers {
			group.Go(func() {
				for time.Since(start) < d && ctx.Err() == nil {
					if err := work(ctx); err != nil {
						once.Do(func() { failure = err })
						cancel()
						return
					}
					done.Add(1)
				}
			})
		}
		group.Wait()
		s := sample{operations: done.Load(), elapsed: time.Since(start)}
		if failure == nil {
			failure = context.Cause(ctx)
		}
		return s, failure
	}
}

// newHTTPClient makes a client that keeps its connections and follows nothing.
func newHTTPClient() *http.Client {
	jar, _ := cookiejar.New(nil)
	return &http.Client{
		Jar: jar, Timeout: patience,
		Transport:     &http.Transport{MaxIdleConnsPerHost: 256, DisableCompression: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// codeFlow is a server on which a user has signed in and consented.
type codeFlow struct {
	client                     *http.Client
	authorize, token, userinfo string
	user                       string
}

// request is the authorization request, the same each time.
func (f *codeFlow) request(scopes string) string {
	challenge := sha256.Sum256([]byte(flowVerifier))
	return f.authorize + "?" + url.Values{
		"response_type": {"code"}, "client_id": {flowClient}, "redirect_uri": {flowRedirect}, "scope": {scopes},
		"state": {"a-state"}, "nonce": {"a-nonce"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(challenge[:])}, "code_challenge_method": {"S256"},
	}.Encode()
}

// worker goes through the whole flow: authorize, with the session and the
// consent that are there, token, userinfo.
func (f *codeFlow) worker(scopes string) worker {
	address := f.request(scopes)
	return func(ctx context.Context) error {
		code, err := f.code(ctx, address)
		if err != nil {
			return err
		}
		tokens, err := f.redeem(ctx, code)
		if err != nil {
			return err
		}
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, f.userinfo, nil)
		if err != nil {
			return err
		}
		r.Header.Set("Authorization", "Bearer "+tokens["access_token"])
		body, _, err := f.do(r, http.StatusOK)
		if err == nil && !strings.Contains(string(body), `"sub"`) {
			err = fmt.Errorf("userinfo: %.200q", body)
		}
		return err
	}
}

func (f *codeFlow) do(r *http.Request, status int) ([]byte, *http.Response, error) {
	resp, err := f.client.Do(r)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err == nil && status != 0 && resp.StatusCode != status {
		err = fmt.Errorf("%s: %s: %.300q", r.URL.Path, resp.Status, body)
	}
	return body, resp, err
}

// code makes an authorization request that is answered at once.
func (f *codeFlow) code(ctx context.Context, address string) (string, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return "", err
	}
	body, resp, err := f.do(r, 0)
	if err != nil {
		return "", err
	}
	location, err := url.Parse(resp.Header.Get("Location"))
	if err != nil || location.Query().Get("code") == "" {
		return "", fmt.Errorf("authorize: %s to %q: %.200q", resp.Status, resp.Header.Get("Location"), body)
	}
	return location.Query().Get("code"), nil
}

func (f *codeFlow) redeem(ctx context.Context, code string) (map[string]string, error) {
	return f.tokens(ctx, flowClient, url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {flowRedirect}, "code_verifier": {flowVerifier},
	})
}

// send sends a token request, with client_secret_basic as a client if one is named.
func (f *codeFlow) send(ctx context.Context, form, client string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, f.token, strings.NewReader(form))
	if err != nil {
		return nil, err
	}
	if client != "" {
		r.SetBasicAuth(client, clientSecret)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	body, _, err := f.do(r, http.StatusOK)
	return body, err
}

// post sends a token request whose answer need not be read.
func (f *codeFlow) post(ctx context.Context, form, client string) error {
	body, err := f.send(ctx, form, client)
	if err == nil && !strings.HasPrefix(string(body), `{"access_token":"`) {
		err = fmt.Errorf("token: %.200q", body)
	}
	return err
}

// tokens sends a token request and returns the texts of the answer.
func (f *codeFlow) tokens(ctx context.Context, client string, form url.Values) (map[string]string, error) {
	body, err := f.send(ctx, form.Encode(), client)
	if err != nil {
		return nil, err
	}
	var members map[string]any
	if err := json.Unmarshal(body, &members); err != nil {
		return nil, err
	}
	texts := map[string]string{}
	for name, value := range members {
		if text, ok := value.(string); ok {
			texts[name] = text
		}
	}
	return texts, nil
}

var (
	flowForm  = regexp.MustCompile(`(?s)<form[^>]*action="([^"]*)"[^>]*>(.*?)</form>`)
	flowField = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)"`)
)

// signIn goes through a server's pages once, as a browser does, and leaves the
// session in the cookie jar. It returns the address that the client got.
func (f *codeFlow) signIn(ctx context.Context, address string) (*url.URL, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	for steps := 0; steps < 20 && err == nil; steps++ {
		body, resp, failure := f.do(r, 0)
		if failure != nil {
			return nil, failure
		}
		if location := resp.Header.Get("Location"); location != "" {
			next, failure := r.URL.Parse(location)
			if failure != nil || strings.HasPrefix(location, flowRedirect) {
				return next, failure
			}
			r, err = http.NewRequestWithContext(ctx, http.MethodGet, next.String(), nil)
			continue
		}
		r, err = f.fillIn(ctx, r.URL, body)
	}
	if err == nil {
		err = fmt.Errorf("signing in at %s does not end", address)
	}
	return nil, err
}

// fillIn answers a sign-in or a consent page.
func (f *codeFlow) fillIn(ctx context.Context, page *url.URL, body []byte) (*http.Request, error) {
	form := flowForm.FindSubmatch(body)
	if form == nil {
		return nil, fmt.Errorf("%s has no form: %.300q", page, body)
	}
	values := url.Values{"username": {f.user}, "login": {f.user}, "password": {flowPassword}, "action": {"allow"}}
	if strings.Contains(string(form[2]), `name="password"`) {
		values.Del("action")
	}
	for _, field := range flowField.FindAllSubmatch(form[2], -1) {
		values.Set(string(field[1]), html.UnescapeString(string(field[2])))
	}
	action, err := page.Parse(html.UnescapeString(string(form[1])))
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, action.String(), strings.NewReader(values.Encode()))
	if err == nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	return r, err
}
