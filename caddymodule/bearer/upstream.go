package bearer

import (
	"cmp"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/gatehouse-auth/gatehouse/caddymodule/serving"
	"github.com/gatehouse-auth/gatehouse/introspect"
	"github.com/gatehouse-auth/gatehouse/introspect/upstream"
)

// The ways in which an API is told whose request it is.
const (
	modeUnchanged = "unchanged"
	modeNothing   = "nothing"
	modeJWT       = "jwt"
	modeExchange  = "exchange"
)

// Upstream says what the API gets in the place of the client's token.
type Upstream struct {
	// Mode is unchanged, nothing, jwt (a token that the gateway signs) or
	// exchange (RFC 8693). Default: unchanged.
	Mode string `json:"mode"`
	// Header carries the new token, instead of Authorization.
	Header string `json:"header,omitempty"`
	// Audience names the API in the new token. Default for jwt: the resource.
	Audience []string `json:"audience,omitempty"`

	// Issuer is what the gateway calls itself in a JWT. Default: the resource's origin.
	Issuer string `json:"issuer,omitempty"`
	// Lifetime is that of a JWT. Default: 1 minute.
	Lifetime caddy.Duration `json:"lifetime,omitempty"`
	// Claims go into a JWT beside the usual ones; * means whatever is known.
	Claims []string `json:"claims,omitempty"`

	// Endpoint is the token endpoint that exchanges tokens.
	Endpoint string `json:"endpoint,omitempty"`
	// ClientID and ClientSecret are the gateway's own there.
	ClientID     string `json:"client_id,omitempty"`
	ClientSecret string `json:"client_secret,omitempty"`
	// Resource and Scope say what the exchanged token is for.
	Resource []string `json:"resource,omitempty"`
	Scope    []string `json:"scope,omitempty"`
	// RequestedTokenType is what kind of token is asked for.
	RequestedTokenType string `json:"requested_token_type,omitempty"`
	// Trust are files of certificates (PEM) that are trusted instead of the system's.
	Trust []string `json:"trust,omitempty"`
}

// check finds mistakes and makes what needs no key.
func (u *Upstream) check(h *Handler) error {
	if u == nil {
		return nil
	}
	switch u.Mode {
	case modeUnchanged, modeNothing:
		return nil
	case modeJWT:
		if u.Audience == nil && h.Resource != "" {
			u.Audience = []string{h.Resource}
		}
		u.Issuer = cmp.Or(u.Issuer, h.origin())
		if u.Issuer == "" || len(u.Audience) == 0 {
			return errors.New("issuer and audience are missing, and there is no resource that gives them")
		}
		if issuers := h.authorizationServers(); len(issuers) > 1 {
			// A sub is unique within one issuer alone (RFC 7519 §4.1.2).
			return fmt.Errorf("jwt: the API could not tell the users of %s from each other: make a route for each issuer", strings.Join(issuers, " and "))
		}
		return u.checkHeader(h)
	case modeExchange:
		if _, err := u.exchange(); err != nil {
			return err
		}
		return u.checkHeader(h)
	}
	return fmt.Errorf("expected unchanged, nothing, jwt or exchange, not %q", u.Mode)
}

// checkHeader finds a header that cannot carry the token, or carries a claim.
func (u *Upstream) checkHeader(h *Handler) error {
	if u.Header == "" || strings.EqualFold(u.Header, "Authorization") {
		return nil
	}
	_, err := introspect.NewHeaders(append(slices.Clone(h.Forward), introspect.Forward{Claim: "token", Header: u.Header})...)
	return err
}

// forward makes what changes requests before they go on.
func (u *Upstream) forward(h *Handler, keys *serving.Keys) (upstream.Upstream, error) {
	if u == nil {
		return upstream.Unchanged(), nil
	}
	switch u.Mode {
	case modeNothing:
		return upstream.Nothing(), nil
	case modeJWT:
		phantom, err := upstream.NewPhantom(upstream.PhantomOptions{
			Signer: keys.Signer, Issuer: u.Issuer, Audience: u.Audience, Lifetime: time.Duration(u.Lifetime), Claims: u.Claims,
		})
		if err != nil {
			return nil, err
		}
		h.held = append(h.held, phantom.Close)
		return upstream.Replace(phantom, u.Header)
	case modeExchange:
		exchange, err := u.exchange()
		if err != nil {
			return nil, err
		}
		h.held = append(h.held, exchange.Close)
		return upstream.Replace(exchange, u.Header)
	}
	return upstream.Unchanged(), nil
}

func (u *Upstream) exchange() (*upstream.Exchange, error) {
	options := upstream.ExchangeOptions{
		Endpoint: u.Endpoint, Audience: u.Audience, Resource: u.Resource, Scope: u.Scope, RequestedTokenType: u.RequestedTokenType,
	}
	if u.ClientID != "" {
		secret, err := caddy.NewReplacer().ReplaceOrErr(u.ClientSecret, true, true)
		if err != nil {
			return nil, fmt.Errorf("client_secret: %w", err)
		}
		options.Authorize = upstream.ClientSecretBasic(u.ClientID, secret)
	}
	if len(u.Trust) > 0 {
		roots := x509.NewCertPool()
		for _, name := range u.Trust {
			pem, err := os.ReadFile(name)
			if err == nil && !roots.AppendCertsFromPEM(pem) {
				err = errors.New("it holds no certificate")
			}
			if err != nil {
				return nil, fmt.Errorf("trust %s: %w", name, err)
			}
		}
		transport := http.DefaultTransport.(*http.Transport).Clone()
		transport.TLSClientConfig.RootCAs = roots
		options.Client = &http.Client{Transport: transport}
	}
	return upstream.NewExchange(options)
}

// unmarshal reads the mode and its block.
func (u *Upstream) unmarshal(d *caddyfile.Dispenser, args []string) error {
	if len(args) == 0 {
		return d.Err("upstream: expected unchanged, nothing, jwt or exchange")
	}
	u.Mode = args[0]
	switch {
	case u.Mode == modeExchange && len(args) == 2:
		u.Endpoint = args[1]
	case u.Mode == modeExchange:
		return d.Err("upstream exchange: expected the URL of a token endpoint")
	case len(args) > 1:
		return d.Errf("upstream %s: expected no further arguments", u.Mode)
	}
	lists, texts := u.options()
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		name, args := d.Val(), d.RemainingArgs()
		list, text := lists[name], texts[name]
		switch {
		case list != nil && len(args) > 0:
			*list = append(*list, args...)
		case text != nil && len(args) == 1:
			*text = args[0]
		case name == "lifetime" && u.Mode == modeJWT && len(args) == 1:
			if err := serving.UnmarshalDuration(d, name, args[0], &u.Lifetime); err != nil {
				return err
			}
		default:
			return d.Errf("upstream %s: unknown option or wrong number of arguments: %s", u.Mode, name)
		}
	}
	return nil
}

// options are the options of the mode.
func (u *Upstream) options() (lists map[string]*[]string, texts map[string]*string) {
	switch u.Mode {
	case modeJWT:
		return map[string]*[]string{"audience": &u.Audience, "claims": &u.Claims}, map[string]*string{"issuer": &u.Issuer, "header": &u.Header}
	case modeExchange:
		return map[string]*[]string{"audience": &u.Audience, "resource": &u.Resource, "scope": &u.Scope, "trust": &u.Trust}, map[string]*string{
			"client_id": &u.ClientID, "client_secret": &u.ClientSecret, "requested_token_type": &u.RequestedTokenType, "header": &u.Header,
		}
	}
	return nil, nil
}
