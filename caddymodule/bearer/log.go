package bearer

import (
	"errors"
	"net/http"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/gatehouse-auth/gatehouse/introspect"
)

// tell lets operators know of a decision: by the access log, if it writes a
// line; by the audit log, if the route has one; by a metric and an attribute of
// the trace, if the request is refused. What is not the client's doing is an
// error in the log.
func (h *Handler) tell(r *http.Request, facts *introspect.Facts, refusal *introspect.Refusal) {
	ctx := r.Context()
	if server, ok := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server); ok && server.Logs != nil {
		if extra, ok := ctx.Value(caddyhttp.ExtraLogFieldsCtxKey).(*caddyhttp.ExtraLogFields); ok {
			extra.Add(zap.Object("gatehouse", &logged{r.Header["Authorization"], facts, refusal}))
		}
	}
	if h.Audit {
		h.audit(r, facts, refusal)
	}
	if refusal == nil {
		return
	}
	h.app.Refused(h.Realm, refusal.Reason)
	if span := trace.SpanFromContext(ctx); span.IsRecording() {
		span.SetAttributes(attribute.String("gatehouse.refused", string(refusal.Reason)))
	}
	if refusal.Status == http.StatusServiceUnavailable {
		h.logger.Error("no introspection", zap.Error(refusal))
	}
}

// audit writes who asked for what, and whether he got it. The query stays out:
// it may hold anything.
func (h *Handler) audit(r *http.Request, facts *introspect.Facts, refusal *introspect.Refusal) {
	decision := "let through"
	if refusal != nil {
		decision = "refused"
	}
	entry := h.auditLog.Check(zap.InfoLevel, decision)
	if entry == nil {
		return
	}
	id := ""
	if repl, ok := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer); ok {
		id, _ = repl.GetString("http.request.uuid")
	}
	client, _ := caddyhttp.GetVar(r.Context(), caddyhttp.ClientIPVarKey).(string)
	entry.Write(zap.String("realm", h.Realm), zap.String("method", r.Method), zap.String("host", r.Host), zap.String("path", r.URL.Path),
		zap.String("client_ip", client), zap.String("request", id),
		zap.Inline(&logged{r.Header["Authorization"], facts, refusal}))
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
		enc.AddString("reason", string(l.refusal.Reason))
		if cause := errors.Unwrap(l.refusal); cause != nil {
			enc.AddString("cause", cause.Error())
		}
	}
	return nil
}
