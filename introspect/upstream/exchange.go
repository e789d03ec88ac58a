package upstream

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/introspect"
)

const (
	grantTypeExchange = "urn:ietf:params:oauth:grant-type:token-exchange"

	// TypeAccessToken and TypeJWT are token type identifiers (RFC 8693 §3).
	TypeAccessToken = "urn:ietf:params:oauth:token-type:access_token"
	TypeJWT         = "urn:ietf:params:oauth:token-type:jwt"

	// DefaultMaxParallel is how many exchanges are under way at once.
	DefaultMaxParallel = 64

	// outageMemory spares an endpoint that is down from the requests of one
	// token, denialMemory one that has said no.
	outageMemory = time.Second
	denialMemory = introspect.DefaultNegativeTTL
)

// Authorize adds to a form and a header that are about to be sent to an
// authorization server what proves who sends them. It MUST be safe for
// concurrent use, and its errors MUST quote no secret.
type Authorize func(ctx context.Context, form url.Values, header http.Header) error

// ClientSecretBasic authenticates a client by client_secret_basic (RFC 6749
// §2.3.1).
func ClientSecretBasic(id, secret string) Authorize {
	pair := url.QueryEscape(id) + ":" + url.QueryEscape(secret)
	value := "Basic " + base64.StdEncoding.EncodeToString([]byte(pair))
	return func(_ context.Context, _ url.Values, header http.Header) error {
		header.Set("Authorization", value)
		return nil
	}
}

// ExchangeOptions configure an [Exchange].
type ExchangeOptions struct {
	// Endpoint is the authorization server's token endpoint: an https URL, or
	// http on a loopback host. It is required.
	Endpoint string
	// Authorize authenticates the gateway there; nil does not.
	Authorize Authorize

	// Audience, Resource and Scope say what the new token is for (RFC 8693 §2.1).
	Audience, Resource, Scope []string
	// SubjectTokenType is what clients send; empty means [TypeAccessToken].
	SubjectTokenType string
	// RequestedTokenType is what is asked for; empty leaves it to the server,
	// and an access token or a JWT is then accepted.
	RequestedTokenType string

	// Client sends the requests; its redirect policy, cookies and time limit are
	// not used. Nil means one over a transport of the exchange's own.
	Client *http.Client
	// Timeout ends an exchange; 0 means [introspect.DefaultFetchTimeout].
	Timeout time.Duration
	// MaxBytes bounds an answer; 0 means 64 KiB.
	MaxBytes int64
	// MaxParallel bounds the exchanges under way; further ones wait within
	// their time. 0 means [DefaultMaxParallel].
	MaxParallel int
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Exchange has an authorization server give another token for the one that the
// client sent (RFC 8693), once for all requests that wait, and keeps it with the
// token's facts until a tenth of its life, but at most half a minute, is left,
// and for an hour at most. What is given without expires_in is kept for a minute.
//
// When the server denies the exchange (§2.2.2: the subject token or the target
// is not acceptable), the client gets a 403 insufficient_scope: its token is
// good, so that invalid_token would have it fetch another and come back, but not
// for this. That is remembered for [introspect.DefaultNegativeTTL]. Anything
// else that goes wrong is not the client's doing, above all a server that
// refuses the gateway's own credentials: a 503, remembered for a second.
type Exchange struct {
	options ExchangeOptions
	client  *http.Client
	free    chan struct{} // a place is taken while an exchange is under way
	tokens  *introspect.Derivation[string]
	release func()
}

// NewExchange returns an Exchange, which its owner closes. It opens nothing.
func NewExchange(o ExchangeOptions) (*Exchange, error) {
	if err := checkEndpoint(o.Endpoint); err != nil {
		return nil, fmt.Errorf("token exchange: %w", err)
	}
	if o.Timeout < 0 || o.MaxBytes < 0 || o.MaxParallel < 0 {
		return nil, errors.New("token exchange: a bound must not be negative")
	}
	o.SubjectTokenType = cmp.Or(o.SubjectTokenType, TypeAccessToken)
	o.MaxBytes = cmp.Or(o.MaxBytes, 64<<10)
	o.MaxParallel = cmp.Or(o.MaxParallel, DefaultMaxParallel)
	if o.Now == nil {
		o.Now = time.Now
	}
	e := &Exchange{options: o, free: make(chan struct{}, o.MaxParallel)}
	e.client, e.release = newClient(o)
	e.tokens = introspect.NewDerivation(e.make, introspect.DerivationOptions{Timeout: o.Timeout, Now: o.Now})
	return e, nil
}

// checkEndpoint accepts https, and http where nobody else listens (RFC 6749 §3.2).
func checkEndpoint(endpoint string) error {
	u, err := url.Parse(endpoint)
	switch {
	case err != nil || u.Host == "" || u.Opaque != "":
		return errors.New("the endpoint is not a URL")
	case u.User != nil || strings.Contains(endpoint, "#"):
		return errors.New("the endpoint must hold neither a user nor a fragment")
	case u.Scheme == "https":
		return nil
	}
	host := u.Hostname()
	ip := net.ParseIP(host)
	if u.Scheme == "http" && (host == "localhost" || ip != nil && ip.IsLoopback()) {
		return nil
	}
	return errors.New("the endpoint is not https; http is for loopback hosts")
}

// newClient follows no redirect: it would show the token to another server.
func newClient(o ExchangeOptions) (client *http.Client, release func()) {
	client, release = &http.Client{}, func() {}
	if o.Client != nil {
		client.Transport = o.Client.Transport
	} else {
		transport := &http.Transport{
			Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, DisableCompression: true,
			MaxIdleConnsPerHost: o.MaxParallel, IdleConnTimeout: 90 * time.Second, MaxResponseHeaderBytes: 64 << 10,
		}
		client.Transport, release = transport, transport.CloseIdleConnections
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return client, release
}

// Token is part of [Tokens].
func (e *Exchange) Token(ctx context.Context, token string, f *introspect.Facts) (string, error) {
	return e.tokens.Of(ctx, token, f)
}

// Close ends the exchanges under way and waits for them.
func (e *Exchange) Close() {
	e.tokens.Close()
	e.release()
}

func (e *Exchange) make(ctx context.Context, token string, _ *introspect.Facts) (string, time.Time, error) {
	select {
	case e.free <- struct{}{}:
		defer func() { <-e.free }()
	case <-ctx.Done():
		return "", time.Time{}, fmt.Errorf("token exchange: too many are under way: %w", context.Cause(ctx))
	}
	start := e.options.Now()
	issued, life, err := e.exchange(ctx, token)
	switch _, denied := errors.AsType[*introspect.Refusal](err); {
	case denied:
		life = denialMemory
	case err != nil:
		err, life = fmt.Errorf("token exchange: %w", err), outageMemory
	}
	return issued, start.Add(life), err
}

// exchange returns the token and for how long to keep it.
func (e *Exchange) exchange(ctx context.Context, token string) (string, time.Duration, error) {
	form := url.Values{
		"grant_type":         {grantTypeExchange},
		"subject_token":      {token},
		"subject_token_type": {e.options.SubjectTokenType},
		"audience":           slices.Clip(e.options.Audience),
		"resource":           slices.Clip(e.options.Resource),
	}
	if len(e.options.Scope) > 0 {
		form.Set("scope", strings.Join(e.options.Scope, " "))
	}
	if e.options.RequestedTokenType != "" {
		form.Set("requested_token_type", e.options.RequestedTokenType)
	}
	header := http.Header{}
	if e.options.Authorize != nil {
		if err := e.options.Authorize(ctx, form, header); err != nil {
			return "", 0, fmt.Errorf("client authentication: %w", err)
		}
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, e.options.Endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return "", 0, err
	}
	r.Header = header
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Accept", "application/json")
	res, err := e.client.Do(r)
	if err != nil {
		return "", 0, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, e.options.MaxBytes+1))
	switch {
	case err != nil:
		return "", 0, fmt.Errorf("the answer is cut off: %w", err)
	case int64(len(body)) > e.options.MaxBytes:
		return "", 0, fmt.Errorf("the answer has more than %d bytes", e.options.MaxBytes)
	}
	return readAnswer(res.StatusCode, res.Header.Get("Content-Type"), body, e.options.RequestedTokenType)
}
