package bearer

import (
	"errors"
	"net/http"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/gatehouse-auth/gatehouse/introspect"
)

// logRequest adds to the line of the access log, if one is to be written.
func logRequest(r *http.Request, facts *introspect.Facts, refusal *introspect.Refusal) {
	ctx := r.Context()
	server, ok := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	if !ok || server.Logs == nil {
		return
	}
	if extra, ok := ctx.Value(caddyhttp.ExtraLogFieldsCtxKey).(*caddyhttp.ExtraLogFields); ok {
		extra.Add(zap.Object("gatehouse", &logged{r.Header["Authorization"], facts, refusal}))
	}
}

// logged is what a log says of a token: never the token itself. It is put
// together only when a line is written.
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
