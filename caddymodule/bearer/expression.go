package bearer

import (
	"net/http"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/gatehouse-auth/gatehouse/introspect"
)

// expression is a CEL expression that a request and its token must fulfil, in
// Caddy's own dialect and by its own engine.
type expression struct {
	caddyhttp.MatchExpression
}

func newExpression(ctx caddy.Context, text string) (*expression, error) {
	e := &expression{MatchExpression: caddyhttp.MatchExpression{Expr: text}}
	return e, e.Provision(ctx)
}

// reasonExpression says in metrics and logs that the expression is not fulfilled.
const reasonExpression introspect.Reason = "expression"

// judge evaluates the expression; one that fails, for instance because a claim
// has another type, is not fulfilled.
func (e *expression) judge(r *http.Request) *introspect.Refusal {
	if e == nil {
		return nil
	}
	fulfilled, err := e.MatchWithError(r)
	if err == nil && fulfilled {
		return nil
	}
	return &introspect.Refusal{
		Status: http.StatusForbidden, Code: introspect.CodeInsufficientScope, Reason: reasonExpression, Cause: err,
		Description: "The access token does not permit this request.",
	}
}
