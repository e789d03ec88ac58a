package faults

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"time"
)

const (
	clientSecret = "the-secret-of-all"
	redirectURI  = "http://127.0.0.1/callback"
	verifier     = "a-verifier-that-is-the-same-each-time-0123456789"
)

// errNotSent says that a node cannot be reached: nothing was asked.
var errNotSent = errors.New("not sent")

// requestTimeout is when a client gives a request up.
const requestTimeout = 10 * time.Second

func newHTTPClient() *http.Client {
	jar, _ := cookiejar.New(nil)
	return &http.Client{
		Jar: jar, Timeout: requestTimeout,
		Transport:     &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// answer is what came back to a request.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// exchange sends a request. The error is errNotSent when no connection came about.
func (r *run) exchange(method, address string, form url.Values, client string) (*answer, error) {
	req, err := http.NewRequest(method, address, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if client != "" && client != "app" {
		req.SetBasicAuth(client, clientSecret)
	}
	resp, err := r.http.Do(req)
	if err != nil {
		if op := new(net.OpError); errors.As(err, &op) && op.Op == "dial" {
			err = errNotSent
		}
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	return &answer{resp.StatusCode, resp.Header, body}, err
}

// post sends a form as a client, and fills in what is known of the operation
// afterwards. fields are the answer's members if it is a success.
func (r *run) post(o *Op, n *node, path, client string, form url.Values) (fields map[string]any, err error) {
	if client == "app" {
		form.Set("client_id", client)
	}
	o.Node, o.Start = n.number, r.history.Now()
	got, err := r.exchange(http.MethodPost, n.base+path, form, client)
	if errors.Is(err, errNotSent) {
		return nil, err
	}
	if err != nil {
		o.Outcome, o.Error = Unknown, "no answer"
		return nil, nil
	}
	if len(got.body) > 0 && json.Unmarshal(got.body, &fields) != nil {
		o.Error = "no JSON"
	}
	o.settle(got.status)
	if text, ok := fields["error"].(string); ok {
		o.Error = text
	}
	return fields, nil
}

// settle says what a status means.
func (o *Op) settle(status int) {
	switch {
	case o.Error != "":
		o.Outcome = Wrong
	case status == http.StatusOK:
		o.Outcome = Acknowledged
	case status == http.StatusServiceUnavailable:
		o.Outcome, o.Answered = Unknown, true
	case status >= 400 && status < 500:
		o.Outcome = Refused
	default:
		o.Outcome, o.Error = Wrong, fmt.Sprintf("status %d", status)
	}
}

// tokens asks the token endpoint, and notes what came.
func (r *run) tokens(o Op, n *node, client string, form url.Values) (Op, granted, error) {
	fields, err := r.post(&o, n, "/token", client, form)
	if err != nil {
		return o, granted{}, err
	}
	var p granted
	if o.Outcome == Acknowledged {
		p.access, _ = fields["access_token"].(string)
		p.refresh, _ = fields["refresh_token"].(string)
		o.Access, o.Refresh = RefOf(p.access), RefOf(p.refresh)
		seconds, _ := fields["expires_in"].(float64)
		o.Until = o.Start + time.Duration(seconds)*time.Second
		if p.access == "" || seconds <= 0 || p.refresh == "" && o.Kind != Issue {
			o.Outcome, o.Error = Wrong, "half an answer"
		}
	}
	if o.Outcome == Acknowledged {
		r.hold(p.access, p.refresh)
	}
	r.history.Add(o)
	return o, p, nil
}

// granted is an access token with the refresh token beside it.
type granted struct{ access, refresh string }

func (r *run) issue(n *node) (Op, granted, error) {
	return r.tokens(Op{Kind: Issue}, n, "service", url.Values{"grant_type": {"client_credentials"}})
}

func (r *run) redeem(n *node, client, code string) (Op, granted, error) {
	return r.tokens(Op{Kind: Redeem, Rotates: client == "app", Uses: RefOf(code)}, n, client, url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {redirectURI}, "code_verifier": {verifier},
	})
}

func (r *run) refresh(n *node, client, token string) (Op, granted, error) {
	return r.tokens(Op{Kind: Refresh, Rotates: client == "app", Uses: RefOf(token)}, n, client,
		url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}})
}

func (r *run) revoke(n *node, client, token string) (Op, error) {
	o := Op{Kind: Revoke, Uses: RefOf(token)}
	_, err := r.post(&o, n, "/revoke", client, url.Values{"token": {token}})
	if err == nil {
		r.history.Add(o)
	}
	return o, err
}

func (r *run) introspect(n *node, token string) (Op, error) {
	o := Op{Kind: Introspect, Uses: RefOf(token)}
	fields, err := r.post(&o, n, "/introspect", "service", url.Values{"token": {token}})
	if err != nil {
		return o, err
	}
	if o.Outcome == Acknowledged {
		var ok bool
		if o.Active, ok = fields["active"].(bool); !ok {
			o.Outcome, o.Error = Wrong, "half an answer"
		}
	}
	r.history.Add(o)
	return o, nil
}

// codeLife is how long a code lives at least (the default is longer).
const codeLife = 30 * time.Second

// authorize asks for a code, as the browser of a user who has signed in and
// has consented before.
func (r *run) authorize(n *node, client string) (Op, string, error) {
	o := Op{Kind: Authorize, Node: n.number, Start: r.history.Now()}
	// By POST (OpenID Connect Core §3.1.2.1): Go's client repeats a GET by itself.
	got, err := r.exchange(http.MethodPost, n.base+"/authorize", authorizeForm(client), "")
	if errors.Is(err, errNotSent) {
		return o, "", err
	}
	code := ""
	switch {
	case err != nil:
		o.Outcome, o.Error = Unknown, "no answer"
	case got.status == http.StatusSeeOther:
		location, err := url.Parse(got.header.Get("Location"))
		if err == nil {
			code = location.Query().Get("code")
		}
		o.Outcome, o.Code, o.Until = Acknowledged, RefOf(code), o.Start+codeLife
		if code == "" {
			o.Outcome, o.Error = Wrong, "a redirect without a code"
		}
	case got.status == http.StatusOK:
		o.Outcome, o.Error = Wrong, "the session is not known any more"
	default:
		o.settle(got.status)
	}
	r.history.Add(o)
	return o, code, nil
}

func authorizeForm(client string) url.Values {
	challenge := sha256.Sum256([]byte(verifier))
	return url.Values{
		"response_type": {"code"}, "client_id": {client}, "redirect_uri": {redirectURI}, "scope": {"orders:read"}, "state": {"s"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(challenge[:])}, "code_challenge_method": {"S256"},
	}
}

var (
	form  = regexp.MustCompile(`(?s)<form[^>]*action="([^"]*)"[^>]*>(.*?)</form>`)
	field = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)"`)
)

// signIn goes through the pages once for each client, as a browser does, and
// leaves the session in the cookie jar and the consents at the server.
func (r *run) signIn() {
	r.t.Helper()
	for _, client := range []string{"app", "web"} {
		if err := r.consent(client); err != nil {
			r.t.Fatal(err)
		}
	}
}

func (r *run) consent(client string) error {
	method, address, values := http.MethodGet, r.nodes[0].base+"/authorize?"+authorizeForm(client).Encode(), url.Values(nil)
	for range 12 {
		got, err := r.exchange(method, address, values, "")
		if err != nil {
			return err
		}
		here, err := url.Parse(address)
		if err != nil {
			return err
		}
		if location := got.header.Get("Location"); location != "" {
			if strings.HasPrefix(location, redirectURI) {
				return nil
			}
			next, err := here.Parse(location)
			if err != nil {
				return err
			}
			method, address, values = http.MethodGet, next.String(), nil
			continue
		}
		parts := form.FindSubmatch(got.body)
		if parts == nil {
			return fmt.Errorf("%s has no form: %.300q", address, got.body)
		}
		values = url.Values{"username": {"alice"}, "login": {"alice"}, "password": {"wonderland"}, "action": {"allow"}}
		if strings.Contains(string(parts[2]), `name="password"`) {
			values.Del("action")
		}
		for _, f := range field.FindAllSubmatch(parts[2], -1) {
			values.Set(string(f[1]), html.UnescapeString(string(f[2])))
		}
		next, err := here.Parse(html.UnescapeString(string(parts[1])))
		if err != nil {
			return err
		}
		method, address = http.MethodPost, next.String()
	}
	return fmt.Errorf("signing in at %s does not end", address)
}
