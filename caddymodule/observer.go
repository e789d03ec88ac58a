package caddymodule

import (
	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyevents"
	"go.uber.org/zap"

	"github.com/gatehouse-auth/gatehouse/engine/model"
)

// observer turns the engine's events into metrics, log lines and Caddy events.
type observer struct {
	metrics *metrics
	events  *caddyevents.App
	ctx     caddy.Context
	logger  *zap.Logger
	issuers map[model.ID]string
}

// eventNames are what a Caddyfile's events block subscribes to.
var eventNames = map[model.EventKind]string{
	model.EventIssued:        "gatehouse_issued",
	model.EventRefused:       "gatehouse_refused",
	model.EventRevoked:       "gatehouse_revoked",
	model.EventReuseDetected: "gatehouse_reuse_detected",
	model.EventRegistered:    "gatehouse_registered",
	model.EventLoggedOut:     "gatehouse_logged_out",
	model.EventLogoutFailed:  "gatehouse_logout_failed",
	model.EventKeysFailed:    "gatehouse_keys_failed",
}

// observe is called for every event, by many requests at once.
func (o *observer) observe(e model.Event) {
	issuer := o.issuers[e.Service]
	o.metrics.count(issuer, e)
	o.log(issuer, e)
	name := eventNames[e.Kind]
	if !o.events.ShouldEmit(name) {
		return
	}
	o.events.Emit(o.ctx, name, map[string]any{
		"issuer": issuer, "operation": e.Operation, "grant_type": string(e.GrantType),
		"client_id": e.Client, "subject": e.Subject, "grant": int64(e.Grant), "error": e.Code,
	})
}

func (o *observer) log(issuer string, e model.Event) {
	level := zap.InfoLevel
	switch e.Kind {
	case model.EventIssued:
		level = zap.DebugLevel
	case model.EventReuseDetected, model.EventLogoutFailed, model.EventKeysFailed:
		level = zap.WarnLevel
	}
	entry := o.logger.Check(level, string(e.Kind))
	if entry == nil {
		return
	}
	fields := []zap.Field{zap.String("issuer", issuer), zap.String("operation", e.Operation)}
	for name, value := range map[string]string{
		"grant_type": string(e.GrantType), "client_id": e.Client, "subject": e.Subject,
		"error": e.Code, "reason": e.Description,
	} {
		if value != "" {
			fields = append(fields, zap.String(name, value))
		}
	}
	if e.Grant != 0 {
		fields = append(fields, zap.Int64("grant", int64(e.Grant)))
	}
	entry.Write(fields...)
}
