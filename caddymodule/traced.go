package caddymodule

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/gatehouse-auth/gatehouse/introspect"
)

// traced makes a span of each introspection within a request that Caddy's
// tracing directive traces. It stands behind the cache: a token that is known
// makes no span.
type traced struct {
	introspect.Introspector
	name string
}

// Introspect is part of introspect.Introspector.
func (t traced) Introspect(ctx context.Context, token string) (*introspect.Facts, error) {
	request := trace.SpanFromContext(ctx)
	if !request.IsRecording() {
		return t.Introspector.Introspect(ctx, token)
	}
	ctx, span := request.TracerProvider().Tracer("gatehouse").Start(ctx, "introspection", trace.WithSpanKind(trace.SpanKindClient),
		trace.WithAttributes(attribute.String("gatehouse.introspector", t.name), attribute.String("gatehouse.token", introspect.Digest8(token))))
	defer span.End()
	facts, err := t.Introspector.Introspect(ctx, token)
	switch {
	case err != nil:
		span.SetStatus(codes.Error, "unavailable") // what the error says is for the log
	case facts != nil:
		span.SetAttributes(attribute.Bool("gatehouse.active", facts.Active))
	}
	return facts, err
}
