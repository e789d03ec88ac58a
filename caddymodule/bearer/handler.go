// Package bearer is the gateway: a handler that checks the bearer token of
// every request before it goes on to an API, which needs no change.
package bearer

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/gatehouse-auth/gatehouse/caddymodule/serving"
	"github.com/gatehouse-auth/gatehouse/introspect"
)

func init() {
	caddy.RegisterModule(new(Handler))
}

// Handler lets requests through whose bearer token (RFC 6750) is good and
// suffices. Which requests it sees is decided by Caddy's matchers.
type Handler struct {
	// Issuer names the service whose tokens are accepted. It may be left out
	// when there is only one.
	Issuer string `json:"issuer,omitempty"`
	// Scopes must all have been granted to the token.
	Scopes []string `json:"scopes,omitempty"`
	// AnyScope names scopes of which the token needs one.
	AnyScope []string `json:"any_scope,omitempty"`
	// Audience names this API; the token must be meant for one of these.
	Audience []string `json:"audience,omitempty"`
	// Realm is the realm in challenges.
	Realm string `json:"realm,omitempty"`
	// Resource is this API's resource identifier: its URL. With it, the
	// metadata of RFC 9728 is served and named in challenges.
	Resource string `json:"resource,omitempty"`
	// Forward sends claims to the API as headers. What clients send under
	// these names is taken away, in every spelling.
	Forward []introspect.Forward `json:"forward,omitempty"`
	// Optional lets requests without a token through. A token that is given
	// must be good.
	Optional bool `json:"optional,omitempty"`
	// CacheSize is how many tokens are remembered. Default: 100000.
	CacheSize int64 `json:"cache_size,omitempty"`
	// CacheTTL is for how long a good token is believed. Default: 1 minute.
	CacheTTL caddy.Duration `json:"cache_ttl,omitempty"`
	// CacheNegativeTTL is for how long a bad one is. Default: 5 seconds.
	CacheNegativeTTL caddy.Duration `json:"cache_negative_ttl,omitempty"`

	app          serving.App
	issuer       string
	headers      *introspect.Headers
	metadata     *introspect.Metadata
	metadataPath string
	logger       *zap.Logger

	cache *serving.Cache
	guard introspect.Guard // its cache is there once the app has started
	from  introspect.Introspector
	once  sync.Once
}

// CaddyModule returns the Caddy module information.
func (*Handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.gatehouse_bearer",
		New: func() caddy.Module { return new(Handler) },
	}
}

// Provision compiles the policy and reserves the cache. It opens nothing.
func (h *Handler) Provision(ctx caddy.Context) error {
	app, service, err := serving.Find(ctx, "gatehouse_bearer", h.Issuer)
	if err != nil {
		return err
	}
	h.app, h.issuer, h.logger = app, service.Issuer, ctx.Logger()
	if h.CacheSize < 0 || h.CacheTTL < 0 || h.CacheNegativeTTL < 0 {
		return errors.New("cache_size, cache_ttl and cache_negative_ttl cannot be negative")
	}
	if h.headers, err = introspect.NewHeaders(h.Forward...); err != nil {
		return fmt.Errorf("forward: %w", err)
	}
	h.guard = introspect.Guard{
		Policy:    introspect.Policy{Scopes: h.Scopes, AnyScope: h.AnyScope, Audience: h.Audience},
		Challenge: introspect.Challenge{Realm: h.Realm}, Optional: h.Optional,
	}
	for _, scope := range append(append([]string{}, h.Scopes...), h.AnyScope...) {
		if _, ok := service.Scope(scope); !ok {
			return fmt.Errorf("scope %s is not one that %s supports, so no token could have it", scope, h.issuer)
		}
	}
	if err := h.describeResource(); err != nil {
		return err
	}
	h.cache = h.app.Cache(h.issuer, introspect.Options{
		Identity: h.issuer, MaxEntries: h.CacheSize,
		TTL: time.Duration(h.CacheTTL), NegativeTTL: time.Duration(h.CacheNegativeTTL),
	})
	return nil
}

// describeResource prepares the metadata of RFC 9728, when the API has a name.
func (h *Handler) describeResource() (err error) {
	if h.Resource == "" {
		return nil
	}
	if h.guard.Challenge.ResourceMetadata, err = introspect.MetadataURL(h.Resource); err != nil {
		return fmt.Errorf("resource: %w", err)
	}
	if h.metadataPath, err = introspect.MetadataPath(h.Resource); err != nil {
		return fmt.Errorf("resource: %w", err)
	}
	h.metadataPath, _, _ = strings.Cut(h.metadataPath, "?")
	h.metadata = &introspect.Metadata{
		Resource: h.Resource, AuthorizationServers: []string{h.issuer},
		ScopesSupported: append(append([]string{}, h.Scopes...), h.AnyScope...), BearerMethodsSupported: []string{"header"},
	}
	return nil
}

// ServeHTTP checks a request and sends it on, or refuses it.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	h.headers.StripRequest(r) // first, on every path and method
	if h.metadata != nil && r.URL.Path == h.metadataPath {
		h.metadata.ServeHTTP(w, r)
		return nil
	}
	state, err := h.app.Running(r.Context())
	if err != nil {
		return caddyhttp.Error(http.StatusServiceUnavailable, err)
	}
	h.once.Do(func() { h.guard.Cache, h.from = h.cache.Cache, local{state.Engine, h.issuer} })
	facts, refusal := h.guard.Authorize(r, h.from)
	note(r, facts, refusal)
	if refusal != nil {
		h.log(refusal)
		h.guard.Refuse(w, refusal)
		return nil
	}
	if facts != nil {
		h.headers.Set(r.Header, facts)
	}
	return next.ServeHTTP(w, r)
}

// log tells the operator of refusals that are not the client's doing.
func (h *Handler) log(refusal *introspect.Refusal) {
	if refusal.Status == http.StatusServiceUnavailable {
		h.logger.Error("no introspection", zap.Error(refusal))
	}
}

// Interface guards
var (
	_ caddy.Provisioner           = (*Handler)(nil)
	_ caddyhttp.MiddlewareHandler = (*Handler)(nil)
)
