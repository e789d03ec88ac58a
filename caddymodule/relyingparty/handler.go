// Package relyingparty signs people in at an OpenID Provider before their
// requests reach a web application, which needs no code for it: the directive
// gatehouse_login. The provider is any that OpenID Connect Discovery finds.
package relyingparty

import (
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/gatehouse-auth/gatehouse/caddymodule/errorlog"
	"github.com/gatehouse-auth/gatehouse/introspect"
)

func init() {
	caddy.RegisterModule(new(Handler))
}

// Handler lets requests through whose browser has a session, and signs the
// others in. Which requests it sees is decided by Caddy's matchers; they must
// include the paths below, which it answers itself.
type Handler struct {
	// Issuer is the OpenID Provider. Its metadata is fetched when first needed.
	Issuer string `json:"issuer,omitempty"`
	// ClientID and ClientSecret are this application's at the provider. Without
	// a secret it is a public client. A placeholder must have a value.
	ClientID     string `json:"client_id,omitempty"`
	ClientSecret string `json:"client_secret,omitempty"`
	// Origin is where browsers reach this application, such as
	// https://app.example.com. Redirects are made of it, and never of what a
	// request says. http is for localhost alone.
	Origin string `json:"origin,omitempty"`
	// Scopes are asked for. Default: openid. With offline_access, or whatever
	// makes the provider give a refresh token, the session is refreshed.
	Scopes []string `json:"scopes,omitempty"`
	// ACRValues are asked for, and the ID token must have one of them. A session
	// from a route that asks for none does not suffice here.
	ACRValues []string `json:"acr_values,omitempty"`
	// MaxAge is how long ago the user may have authenticated at the provider.
	MaxAge caddy.Duration `json:"max_age,omitempty"`
	// Parameters are added to authorization requests: prompt, ui_locales,
	// resource, audience and others.
	Parameters map[string][]string `json:"parameters,omitempty"`
	// UserInfo asks the userinfo endpoint for claims at sign-in, beside those of
	// the ID token.
	UserInfo bool `json:"userinfo,omitempty"`

	// Session is where sessions are: cookie (default), sealed in the browser, or
	// server, in Caddy's storage.
	Session string `json:"session,omitempty"`
	// CookieSecrets are 32 bytes each, in hexadecimal or base64. The first seals
	// sessions, all open them. Default: one that Caddy's storage keeps.
	CookieSecrets []string `json:"cookie_secrets,omitempty"`
	// SessionDuration is how long a session lasts, if the browser is not closed
	// before. Routes with the same client have the same. Default: 12 hours.
	SessionDuration caddy.Duration `json:"session_duration,omitempty"`
	// Idle is how long it lasts without a request. Default: 1 hour, or
	// session_duration when that is less.
	Idle caddy.Duration `json:"idle,omitempty"`

	// LoginPath signs in and goes to the local address in the parameter return.
	// Default: /.gatehouse/login.
	LoginPath string `json:"login_path,omitempty"`
	// CallbackPath is the path of the redirect URI. Default: /.gatehouse/callback.
	CallbackPath string `json:"callback_path,omitempty"`
	// LogoutPath signs out, here and at the provider. Default: /.gatehouse/logout.
	LogoutPath string `json:"logout_path,omitempty"`
	// BackchannelLogoutPath takes the provider's logout tokens. Default:
	// /.gatehouse/backchannel.
	BackchannelLogoutPath string `json:"backchannel_logout_path,omitempty"`
	// FrontchannelLogoutPath is for the provider's iframes. Default:
	// /.gatehouse/frontchannel.
	FrontchannelLogoutPath string `json:"frontchannel_logout_path,omitempty"`
	// AfterLogout is the path of the post-logout redirect URI. A page that this
	// handler guards signs in again. Default: /.
	AfterLogout string `json:"after_logout,omitempty"`

	// Forward sends claims to the application as headers. What clients send
	// under these names is taken away, in every spelling.
	Forward []introspect.Forward `json:"forward,omitempty"`
	// PassToken sends the access token to the application, refreshed in time, as
	// Authorization: Bearer.
	PassToken bool `json:"pass_token,omitempty"`
	// Optional lets requests without a session through.
	Optional bool `json:"optional,omitempty"`
	// Trust are files of certificates (PEM) that are trusted beside the system's
	// when the provider is asked.
	Trust []string `json:"trust,omitempty"`

	issuer, clientID, clientSecret string // without placeholders
	origin                         *url.URL
	secrets                        [][]byte
	lasts, idle                    time.Duration

	headers   *introspect.Headers
	cookies   cookieNames
	sealer    *sealer // nil: the secret is in the storage
	folder    string  // of this relying party in the storage
	storage   storage
	keeper    keeper
	pages     *pages
	endpoints map[string]http.HandlerFunc
	shared    *shared
	release   func()
	logger    *errorlog.Logger
	now       func() time.Time
}

// CaddyModule returns the Caddy module information.
func (*Handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.gatehouse_login",
		New: func() caddy.Module { return &Handler{now: time.Now} },
	}
}

// ServeHTTP sends a request on for somebody who is signed in.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	h.headers.StripRequest(r) // first, on every path and method
	if h.PassToken {
		stripAuthorization(r.Header)
	}
	if endpoint := h.endpoints[asked(r).Path]; endpoint != nil {
		endpoint(w, r)
		return nil
	}
	s, err := h.session(w, r)
	switch {
	case err != nil:
		h.unavailable(w, r, err)
		return nil
	case s == nil && !h.Optional:
		h.ask(w, r)
		return nil
	}
	note(r, s)
	if s != nil {
		h.headers.Set(r.Header, s.facts)
		if h.PassToken {
			r.Header.Set("Authorization", "Bearer "+s.AccessToken)
		}
	}
	withoutOurs(r.Header)
	if w.Header().Get("Set-Cookie") != "" {
		w = newUncached(w)
	}
	return next.ServeHTTP(w, r)
}

// session returns the session of a request, as it is after the request, nil if
// there is none that suffices.
func (h *Handler) session(w http.ResponseWriter, r *http.Request) (*session, error) {
	ctx := r.Context()
	held, err := h.keeper.read(ctx, r)
	if held == nil || err != nil || !h.suffices(held.ACR, held.AuthTime) {
		return nil, err
	}
	s, err := h.current(r, held)
	if errors.Is(err, errOver) {
		h.cookies.clearSession(w, r)
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if s != held {
		if err := h.keeper.give(ctx, w, r, s); err != nil {
			return nil, err
		}
	}
	if _, err := r.Cookie(h.cookies.tries); err == nil {
		h.cookies.clear(w, h.cookies.tries)
	}
	return s, nil
}

// current judges a session, refreshes it, and notes that it is in use. errOver:
// it has ended.
func (h *Handler) current(r *http.Request, s *session) (*session, error) {
	ctx, now := r.Context(), h.now().Unix()
	if now >= s.Ends || now-s.Begun >= seconds(h.lasts) || now-s.Seen >= seconds(h.idle) {
		return nil, errOver
	}
	if ended, err := h.shared.ended.has(ctx, h.storage, s); err != nil {
		return nil, err
	} else if ended {
		return nil, errOver
	}
	s, err := h.fresh(ctx, s)
	if err != nil {
		return nil, err
	}
	every := max(1, seconds(h.idle)/8)
	if now-s.Seen < every || !h.shared.seen.add(s.ID, struct{}{}, h.now(), time.Duration(every)*time.Second) {
		return s, nil // of many requests at once, one notes it
	}
	return h.keeper.change(ctx, s, seenAt(now))
}

func seconds(d time.Duration) int64 { return int64(d / time.Second) }

// asked is the URL that the client asked for, before any rewriting.
func asked(r *http.Request) *url.URL {
	if original, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request); ok && original.URL != nil {
		return original.URL
	}
	return r.URL
}

// Interface guards
var (
	_ caddy.Provisioner           = (*Handler)(nil)
	_ caddy.Validator             = (*Handler)(nil)
	_ caddy.CleanerUpper          = (*Handler)(nil)
	_ caddyhttp.MiddlewareHandler = (*Handler)(nil)
)
