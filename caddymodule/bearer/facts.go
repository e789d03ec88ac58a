package bearer

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/gatehouse-auth/gatehouse/engine"
	"github.com/gatehouse-auth/gatehouse/introspect"
)

// local asks the engine of this process.
type local struct {
	engine *engine.Engine
	issuer string
}

// Introspect is part of introspect.Introspector.
func (l local) Introspect(ctx context.Context, token string) (introspect.Facts, error) {
	service, ok := l.engine.Service(l.issuer)
	if !ok {
		return introspect.Facts{}, engine.ErrNoService
	}
	resp, err := l.engine.Introspection(ctx, service.ID, engine.IntrospectionRequest{Token: token})
	if err != nil {
		return introspect.Facts{}, err
	}
	if !resp.Usable {
		return introspect.Facts{}, nil
	}
	facts := introspect.Facts{
		Active: true, Issuer: service.Issuer, Subject: resp.Subject, ClientID: resp.ClientAlias, TokenType: "Bearer",
		Scopes: resp.Scopes, Audience: resp.Audience,
		ExpiresAt: resp.ExpiresAt, IssuedAt: resp.IssuedAt, AuthTime: resp.AuthTime,
		Service: int64(service.ID), Token: int64(resp.Token), Grant: int64(resp.Grant), Client: int64(resp.Client),
		Claims: map[string]any{},
	}
	if resp.ACR != "" {
		facts.Claims["acr"] = resp.ACR
	}
	if len(resp.AMR) > 0 {
		facts.Claims["amr"] = resp.AMR
	}
	return facts, nil
}

const userPrefix = "http.auth.user."

// note makes the facts known to the rest of the request: placeholders
// {http.auth.user.*}, and fields of the access log.
func note(r *http.Request, facts *introspect.Facts, refusal *introspect.Refusal) {
	ctx := r.Context()
	if server, ok := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server); ok && server.Logs != nil {
		if extra, ok := ctx.Value(caddyhttp.ExtraLogFieldsCtxKey).(*caddyhttp.ExtraLogFields); ok {
			extra.Add(zap.Object("gatehouse", &logged{r.Header["Authorization"], facts, refusal}))
		}
	}
	if refusal != nil {
		return
	}
	repl, ok := ctx.Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	if !ok {
		return
	}
	repl.Map(func(key string) (any, bool) {
		name, ok := strings.CutPrefix(key, userPrefix)
		switch {
		case !ok:
			return nil, false
		case facts == nil:
			return "", true // optional, and there is no token
		}
		if name == "id" {
			// A client acting for itself is no user: it must not pass for the
			// user of the same name (RFC 9068 §5).
			name = "sub"
		}
		value, ok := facts.Claim(name)
		if !ok {
			return "", true // known to be absent
		}
		return introspect.HeaderValue(value), true
	})
}

// logged is what the access log says of a token: never the token itself. It is
// put together only when a line is written.
type logged struct {
	authorization []string
	facts         *introspect.Facts
	refusal       *introspect.Refusal
}

// MarshalLogObject is part of zapcore.ObjectMarshaler.
func (l *logged) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	if len(l.authorization) == 1 {
		if _, token, ok := strings.Cut(l.authorization[0], " "); ok {
			enc.AddString("token", introspect.Digest8(strings.TrimLeft(token, " ")))
		}
	}
	if l.facts != nil {
		enc.AddString("client_id", l.facts.ClientID)
		enc.AddString("sub", l.facts.Subject)
		enc.AddString("scope", strings.Join(l.facts.Scopes, " "))
	}
	if l.refusal != nil {
		enc.AddString("error", l.refusal.Code)
		enc.AddString("reason", l.refusal.Description)
		if cause := errors.Unwrap(l.refusal); cause != nil {
			enc.AddString("cause", cause.Error())
		}
	}
	return nil
}
