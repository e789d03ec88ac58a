// Package bearer is the gateway: a handler that checks the bearer token of
// every request before it goes on to an API, which needs no change.
package bearer

import (
	"fmt"
	"net/http"
	"net/url"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/gatehouse-auth/gatehouse/caddymodule/errorlog"
	"github.com/gatehouse-auth/gatehouse/caddymodule/serving"
	"github.com/gatehouse-auth/gatehouse/introspect"
	"github.com/gatehouse-auth/gatehouse/introspect/mtls"
	"github.com/gatehouse-auth/gatehouse/introspect/upstream"
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
	About
	Sender
	// Forward sends claims to the API as headers. What clients send under
	// these names is taken away, in every spelling.
	Forward []introspect.Forward `json:"forward,omitempty"`
	// Upstream says what the API gets in the place of the client's token.
	// Default: the token, unchanged.
	Upstream *Upstream `json:"upstream,omitempty"`
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
	mtls          *mtls.Verifier
	target        func(*http.Request) *url.URL // that DPoP proofs must name
	document      *introspect.Metadata
	metadataPath  string
	keys          *serving.Keys
	logger        *errorlog.Logger
	auditLog      *zap.Logger

	// What is there once the app has started.
	guard    introspect.Guard
	upstream upstream.Upstream
	metadata http.Handler     // nil: the API has no name
	signer   *upstream.Signer // nil: nothing is signed here
	held     []func()         // what Cleanup gives back
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
	h.logger = errorlog.New(ctx.Logger())
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
	if err := h.checkSender(); err != nil {
		return err
	}
	if err := h.reserve(); err != nil {
		return err
	}
	if err := h.Upstream.check(h); err != nil {
		return fmt.Errorf("upstream: %w", err)
	}
	if h.ownsKeys() || h.DPoP != nil && h.DPoP.Nonce {
		h.keys = h.app.Keys()
	}
	h.app.AtStart(h.start)
	return h.describeResource()
}

// Cleanup gives back what outlives a configuration, and ends the rest.
func (h *Handler) Cleanup() error {
	for _, release := range h.held {
		release()
	}
	return nil
}

// ServeHTTP checks a request and sends it on, or refuses it.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	h.headers.StripRequest(r) // first, on every path and method
	if h.mtls != nil {
		h.mtls.StripHeaders(r)
	}
	if _, err := h.app.Running(r.Context()); err != nil {
		return caddyhttp.Error(http.StatusServiceUnavailable, err)
	}
	if h.publish(w, r) {
		return nil
	}
	facts, refusal := h.authorize(r)
	h.tell(r, facts, refusal)
	if refusal != nil {
		h.refuse(w, r, refusal)
		return nil
	}
	if facts != nil {
		h.headers.Set(r.Header, facts)
	}
	return next.ServeHTTP(w, r)
}

// refuse answers at once, also a client that waits to be asked for its body
// (Expect: 100-continue): Caddy has wrapped the body, so that net/http would
// otherwise wait for it before it answers. Over HTTP/2 it does not, and closing
// would end other requests.
func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, refusal *introspect.Refusal) {
	if r.ProtoMajor == 1 && r.Header["Expect"] != nil {
		w.Header().Set("Connection", "close")
	}
	h.guard.Refuse(w, refusal)
}

// Description is what operators see of a route.
type Description struct {
	*Handler
	// Asked are the introspectors in use, and AcceptedIssuers those whose tokens
	// they vouch for and the policy accepts, as far as that is known.
	Asked           []string `json:"asked"`
	AcceptedIssuers []string `json:"accepted_issuers,omitempty"`
	Metadata        string   `json:"resource_metadata,omitempty"` // the URL of RFC 9728's document
	// Upstream is the route's without its secret.
	Upstream *Upstream `json:"upstream,omitempty"`
}

// Describe returns what the route asks of a token, once it is provisioned.
func (h *Handler) Describe() Description {
	d := Description{Handler: h, AcceptedIssuers: h.authorizationServers(), Metadata: h.guard.Challenge.ResourceMetadata}
	for _, i := range h.introspectors {
		d.Asked = append(d.Asked, i.Name)
	}
	if h.Upstream != nil {
		shown := *h.Upstream
		shown.ClientSecret = ""
		d.Upstream = &shown
	}
	return d
}

// start puts together what needs the app to be open. What outlives reloads is
// taken now, while the configuration before still holds it.
func (h *Handler) start() (err error) {
	if h.guard.Introspector, err = h.open(); err != nil {
		return err
	}
	keys := h.keys
	if keys == nil {
		keys = new(serving.Keys)
	}
	if err := h.bind(keys); err != nil {
		return err
	}
	h.sign(keys)
	h.upstream, err = h.Upstream.forward(h, keys)
	return err
}

// authorize decides on a request, and makes the facts of its token known to
// those that come after.
func (h *Handler) authorize(r *http.Request) (*introspect.Facts, *introspect.Refusal) {
	facts, refusal := h.guard.Authorize(r)
	if refusal != nil {
		return facts, refusal
	}
	serving.Note(r, facts)
	if facts != nil {
		refusal = h.expression.judge(r)
	}
	if refusal != nil {
		return facts, refusal
	}
	var credentials introspect.Credentials
	if h.Upstream != nil { // to be replaced; Authorize has read the same
		credentials, _ = introspect.ReadCredentials(r, h.guard.MaxTokenLength)
	}
	return facts, h.upstream.Apply(r, credentials, facts)
}

// Interface guards
var (
	_ caddy.Provisioner           = (*Handler)(nil)
	_ caddy.CleanerUpper          = (*Handler)(nil)
	_ caddyhttp.MiddlewareHandler = (*Handler)(nil)
)
