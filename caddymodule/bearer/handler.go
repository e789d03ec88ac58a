// Package bearer is the gateway: a handler that checks the bearer token of
// every request before it goes on to an API, which needs no change.
package bearer

import (
	"context"
	"fmt"
	"net/http"
	"sync"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/gatehouse-auth/gatehouse/caddymodule/serving"
	"github.com/gatehouse-auth/gatehouse/introspect"
)

func init() {
	caddy.RegisterModule(new(Handler))
}

// Handler lets requests through whose access token is good and suffices. Which
// requests it sees is decided by Caddy's matchers.
type Handler struct {
	// Introspectors are asked about tokens, each about its own: names of the
	// global option's introspectors, or issuers of services. Default: the
	// services that issuer names, or the only service or introspector there is.
	Introspectors []string `json:"introspectors,omitempty"`
	Policy
	// Expression is a CEL expression that must be true, in the dialect of
	// Caddy's matcher of that name. {http.auth.user.NAME} is a claim as text,
	// {gatehouse.token.NAME} the claim itself.
	Expression string `json:"expression,omitempty"`
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
	// Uncached asks about the token of every request anew.
	Uncached bool `json:"uncached,omitempty"`
	// Audit writes a line to the log "audit" below the handler's for every
	// request, let through or refused. Without it, only what is not the client's
	// doing is logged, as an error.
	Audit bool `json:"audit,omitempty"`
	// CacheSettings are those of the engine that is asked when no introspectors
	// are named.
	serving.CacheSettings

	app           serving.App
	introspectors []*serving.Introspector
	headers       *introspect.Headers
	expression    *expression
	metadata      *introspect.Metadata
	metadataPath  string
	logger        *zap.Logger
	auditLog      *zap.Logger

	guard introspect.Guard // its introspector is there once the app has started
	once  sync.Once
	fault error
}

// CaddyModule returns the Caddy module information.
func (*Handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.gatehouse_bearer",
		New: func() caddy.Module { return new(Handler) },
	}
}

// Provision compiles the policy and reserves the introspectors. It opens nothing.
func (h *Handler) Provision(ctx caddy.Context) (err error) {
	h.logger = ctx.Logger()
	h.auditLog = h.logger.Named("audit")
	if h.app, err = serving.FindApp(ctx, "gatehouse_bearer"); err != nil {
		return err
	}
	if err := h.Check(); err != nil {
		return err
	}
	if h.headers, err = introspect.NewHeaders(h.Forward...); err != nil {
		return fmt.Errorf("forward: %w", err)
	}
	policy, err := h.compile()
	if err != nil {
		return err
	}
	h.guard = introspect.Guard{Policy: policy, Challenge: introspect.Challenge{Realm: h.Realm}, Optional: h.Optional}
	if h.Expression != "" {
		if h.expression, err = newExpression(ctx, h.Expression); err != nil {
			return fmt.Errorf("expression: %w", err)
		}
	}
	if err := h.reserve(); err != nil {
		return err
	}
	return h.describeResource()
}

// ServeHTTP checks a request and sends it on, or refuses it.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	h.headers.StripRequest(r) // first, on every path and method
	if h.metadata != nil && r.URL.Path == h.metadataPath {
		h.metadata.ServeHTTP(w, r)
		return nil
	}
	if err := h.ready(r.Context()); err != nil {
		return caddyhttp.Error(http.StatusServiceUnavailable, err)
	}
	facts, refusal := h.authorize(r)
	h.tell(r, facts, refusal)
	if refusal != nil {
		h.guard.Refuse(w, refusal)
		return nil
	}
	if facts != nil {
		h.headers.Set(r.Header, facts)
	}
	return next.ServeHTTP(w, r)
}

// Description is what operators see of a route.
type Description struct {
	*Handler
	// Asked are the introspectors in use, and AcceptedIssuers those whose tokens
	// they vouch for and the policy accepts, as far as that is known.
	Asked           []string `json:"asked"`
	AcceptedIssuers []string `json:"accepted_issuers,omitempty"`
	Metadata        string   `json:"resource_metadata,omitempty"` // the URL of RFC 9728's document
}

// Describe returns what the route asks of a token, once it is provisioned.
func (h *Handler) Describe() Description {
	d := Description{Handler: h, AcceptedIssuers: h.authorizationServers(), Metadata: h.guard.Challenge.ResourceMetadata}
	for _, i := range h.introspectors {
		d.Asked = append(d.Asked, i.Name)
	}
	return d
}

// ready waits until the app has started.
func (h *Handler) ready(ctx context.Context) error {
	if _, err := h.app.Running(ctx); err != nil {
		return err
	}
	h.once.Do(func() { h.guard.Introspector, h.fault = h.open() })
	return h.fault
}

// authorize decides on a request, and makes the facts of its token known to
// those that come after.
func (h *Handler) authorize(r *http.Request) (*introspect.Facts, *introspect.Refusal) {
	facts, refusal := h.guard.Authorize(r)
	if refusal != nil {
		return facts, refusal
	}
	serving.Note(r, facts)
	if facts == nil {
		return nil, nil
	}
	return facts, h.expression.judge(r)
}

// Interface guards
var (
	_ caddy.Provisioner           = (*Handler)(nil)
	_ caddyhttp.MiddlewareHandler = (*Handler)(nil)
)
