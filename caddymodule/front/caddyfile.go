package front

import (
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/gatehouse-auth/gatehouse/caddymodule/admission"
	"github.com/gatehouse-auth/gatehouse/caddymodule/serving"
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
//		people           <at once> [<waiting>]
//		machines         <at once> [<waiting>]
//		queue_timeout    <duration>
//		body_timeout     <duration>
//		request_timeout  <duration>
//	}
//
// The paths of the protocol's endpoints are settings of the service, since the
// discovery document names them. People, who see pages, and machines keep each
// other from no place; who finds none, or waits for one longer than
// queue_timeout, is answered 503 with Retry-After.
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
		if name == "people" || name == "machines" {
			if err := h.unmarshalLimits(d, name); err != nil {
				return err
			}
			continue
		}
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
		case "session_duration", "queue_timeout", "body_timeout", "request_timeout":
			if err := serving.UnmarshalDuration(d, name, value, h.durationOption(name)); err != nil {
				return err
			}
		default:
			return d.Errf("gatehouse_server: unknown option %q; expected login_path, consent_path, grants_path, templates, "+
				"session_duration, people, machines, queue_timeout, body_timeout or request_timeout", name)
		}
	}
	return nil
}

// unmarshalLimits reads how many requests may be worked on, and how many wait.
func (h *Handler) unmarshalLimits(d *caddyfile.Dispenser, name string) error {
	limits := &h.People
	if name == "machines" {
		limits = &h.Machines
	}
	numbers := []*int{&limits.AtOnce, &limits.Waiting}
	args := d.RemainingArgs()
	if len(args) == 0 || len(args) > len(numbers) {
		return d.Errf("%s: expected how many requests at once and, if you like, how many waiting", name)
	}
	for i, arg := range args {
		n, err := strconv.Atoi(arg)
		if err != nil || n < 1 || n > admission.Most {
			return d.Errf("%s: expected a number from 1 to %d, not %q", name, admission.Most, arg)
		}
		*numbers[i] = n
	}
	return nil
}

func (h *Handler) durationOption(name string) *caddy.Duration {
	switch name {
	case "session_duration":
		return &h.SessionDuration
	case "queue_timeout":
		return &h.QueueTimeout
	case "body_timeout":
		return &h.BodyTimeout
	default:
		return &h.RequestTimeout
	}
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
