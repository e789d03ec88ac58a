package relyingparty

import (
	"net/http"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/gatehouse-auth/gatehouse/caddymodule/serving"
)

// note makes who has signed in known to the rest of the request, and to the
// access log. A nil session says that nobody has.
func note(r *http.Request, s *session) {
	if s == nil {
		serving.Note(r, nil)
		return
	}
	serving.Note(r, s.facts)
	if extra, ok := r.Context().Value(caddyhttp.ExtraLogFieldsCtxKey).(*caddyhttp.ExtraLogFields); ok {
		extra.Add(zap.Dict("gatehouse", zap.String("client_id", s.facts.ClientID), zap.String("sub", s.Subject)))
	}
}
