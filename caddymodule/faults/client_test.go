package faults

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// party is a client as the nodes know it; one without a secret is public, and
// its refresh tokens are replaced at each use. Of one that calls an API the
// token alone is known.
type party struct{ id, secret, token string }

var service, app, web = party{id: "service", secret: clientSecret}, party{id: "app"}, party{id: "web", secret: clientSecret}

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
	return &http.Client{
		Timeout:       requestTimeout,
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

// exchange sends a request, as a client if one with a secret or a token is
// named. The error is errNotSent when no connection came about.
func exchange(h *http.Client, method, address string, by party, contentType, body string) (*answer, error) {
	req, err := http.NewRequest(method, address, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	if by.secret != "" {
		req.SetBasicAuth(by.id, by.secret)
	}
	if by.token != "" {
		req.Header.Set("Authorization", "Bearer "+by.token)
	}
	resp, err := h.Do(req)
	if err != nil {
		if op := new(net.OpError); errors.As(err, &op) && op.Op == "dial" {
			err = errNotSent
		}
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	return &answer{resp.StatusCode, resp.Header, text}, err
}

const (
	formType = "application/x-www-form-urlencoded"
	jsonType = "application/json"
)

// post sends a form as a client, and fills in what is known of the operation
// afterwards. fields are the answer's members if it is a success.
func (r *run) post(o *Op, n *node, path string, by party, form url.Values) (fields map[string]any, err error) {
	if by.secret == "" {
		form.Set("client_id", by.id)
	}
	return r.send(o, n, path, by, formType, form.Encode())
}

// send is post, for any body to which JSON is the answer.
func (r *run) send(o *Op, n *node, path string, by party, contentType, body string) (fields map[string]any, err error) {
	r.begins(o, n)
	got, err := exchange(r.http, http.MethodPost, n.base+path, by, contentType, body)
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
	case status == http.StatusOK || status == http.StatusCreated:
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
func (r *run) tokens(o Op, n *node, by party, form url.Values) (Op, granted, error) {
	o.Rotates = by.secret == ""
	fields, err := r.post(&o, n, "/token", by, form)
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
		// What ends with the sign-in is not refreshed.
		scope, _ := fields["scope"].(string)
		if p.access == "" || seconds <= 0 || p.refresh == "" && o.Kind != Issue && scope != passing {
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

func (r *run) issue(n *node) (Op, granted, error) { return r.issueTo(n, service, "") }

// issueTo is issue for a client that registered.
func (r *run) issueTo(n *node, by party, client Ref) (Op, granted, error) {
	return r.tokens(Op{Kind: Issue, Uses: client, Whose: by.id}, n, by, url.Values{"grant_type": {"client_credentials"}})
}

func (r *run) redeem(n *node, by party, code string) (Op, granted, error) {
	return r.tokens(Op{Kind: Redeem, Uses: RefOf(code)}, n, by, url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {redirectURI}, "code_verifier": {verifier},
	})
}

func (r *run) refresh(n *node, by party, token string) (Op, granted, error) {
	return r.tokens(Op{Kind: Refresh, Uses: RefOf(token)}, n, by, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}})
}

func (r *run) revoke(n *node, by party, token string) (Op, error) {
	o := Op{Kind: Revoke, Uses: RefOf(token)}
	_, err := r.post(&o, n, "/revoke", by, url.Values{"token": {token}})
	if err == nil {
		r.history.Add(o)
	}
	return o, err
}

// register registers a client that acts for itself.
func (r *run) register(n *node) (Op, party, error) {
	o, by := Op{Kind: Register}, party{}
	fields, err := r.send(&o, n, "/register", party{}, jsonType,
		`{"grant_types":["client_credentials"],"response_types":[],"scope":"orders:read"}`)
	if err != nil {
		return o, by, err
	}
	if o.Outcome == Acknowledged {
		by.id, _ = fields["client_id"].(string)
		by.secret, _ = fields["client_secret"].(string)
		if o.Client, o.Whose = RefOf(by.id), by.id; by.id == "" || by.secret == "" {
			o.Outcome, o.Error = Wrong, "half an answer"
		}
	}
	r.history.Add(o)
	return o, by, nil
}

func (r *run) introspect(n *node, token string) (Op, error) {
	o := Op{Kind: Introspect, Uses: RefOf(token)}
	fields, err := r.post(&o, n, "/introspect", service, url.Values{"token": {token}})
	if err != nil {
		return o, err
	}
	if o.Outcome == Acknowledged {
		var ok bool
		if o.Active, ok = fields["active"].(bool); !ok {
			o.Outcome, o.Error = Wrong, "half an answer"
		}
		client, _ := fields["client_id"].(string)
		user, _ := fields["sub"].(string)
		o.Whose = whose(client, user)
	}
	r.history.Add(o)
	return o, nil
}

// whose names a client and its user, if it has one.
func whose(client, user string) string { return strings.TrimSpace(client + " " + user) }

// call calls the API behind a node's gateway, which says whom it was called for.
func (r *run) call(n *node, token string) (Op, error) {
	o := Op{Kind: Call, Uses: RefOf(token)}
	r.begins(&o, n)
	got, err := exchange(r.http, http.MethodGet, n.base+"/api", party{token: token}, "", "")
	switch {
	case errors.Is(err, errNotSent):
		return o, err
	case err != nil:
		o.Outcome, o.Error = Unknown, "no answer"
	case got.status == http.StatusUnauthorized && strings.Contains(got.header.Get("WWW-Authenticate"), `error="invalid_token"`):
		o.Outcome = Acknowledged
	default:
		o.settle(got.status)
		o.Active, o.Whose = o.Outcome == Acknowledged, strings.TrimSpace(string(got.body))
	}
	r.history.Add(o)
	return o, nil
}
