package front

import (
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

func init() {
	httpcaddyfile.RegisterHandlerDirective("gatehouse_server", parseDirective)
	httpcaddyfile.RegisterDirectiveOrder("gatehouse_server", httpcaddyfile.Before, "respond")
}

func parseDirective(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	handler := new(Handler)
	return handler, handler.UnmarshalCaddyfile(h.Dispenser)
}

// UnmarshalCaddyfile reads the directive.
//
// Syntax:
//
//	gatehouse_server [<issuer>] {
//		login_path       <path>
//		consent_path     <path>
//		grants_path      <path>
//		templates        <folder>
//		session_duration <duration>
//	}
//
// The paths of the protocol's endpoints are settings of the service, since the
// discovery document names them.
func (h *Handler) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the directive's name
	if d.NextArg() {
		h.Issuer = d.Val()
	}
	if d.NextArg() {
		return d.Errf("gatehouse_server: expected at most one issuer, then %q", d.Val())
	}
	for d.NextBlock(0) {
		name := d.Val()
		var value string
		if !d.AllArgs(&value) {
			return d.Errf("%s: expected one value", name)
		}
		switch name {
		case "login_path", "consent_path", "grants_path":
			if !strings.HasPrefix(value, "/") {
				return d.Errf("%s: expected a path that begins with a slash, not %q", name, value)
			}
			*h.pathOption(name) = value
		case "templates":
			h.Templates = value
		case "session_duration":
			duration, err := caddy.ParseDuration(value)
			if err != nil || duration <= 0 {
				return d.Errf("session_duration: expected a duration such as 12h, not %q", value)
			}
			h.SessionDuration = caddy.Duration(duration)
		default:
			return d.Errf("gatehouse_server: unknown option %q; expected login_path, consent_path, grants_path, templates or session_duration", name)
		}
	}
	return nil
}

func (h *Handler) pathOption(name string) *string {
	switch name {
	case "login_path":
		return &h.LoginPath
	case "consent_path":
		return &h.ConsentPath
	default:
		return &h.GrantsPath
	}
}

// Interface guards
var _ caddyfile.Unmarshaler = (*Handler)(nil)
