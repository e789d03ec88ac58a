package relyingparty

import (
	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/gatehouse-auth/gatehouse/caddymodule/serving"
	"github.com/gatehouse-auth/gatehouse/introspect"
)

func init() {
	httpcaddyfile.RegisterHandlerDirective("gatehouse_login", parseDirective)
	httpcaddyfile.RegisterDirectiveOrder("gatehouse_login", httpcaddyfile.Before, "basic_auth")
}

func parseDirective(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	handler := new(Handler)
	return handler, handler.UnmarshalCaddyfile(h.Dispenser)
}

// UnmarshalCaddyfile reads the directive.
//
// Syntax:
//
//	gatehouse_login [<matcher>] {
//		issuer        <url>
//		client_id     <id>
//		client_secret <secret>
//		origin        <url>
//		scopes        <scope...>
//		acr_values    <acr...>
//		max_age       <duration>
//		parameter     <name> <value...>
//		userinfo
//		session                   cookie|server
//		cookie_secret             <secret...>
//		session_duration          <duration>
//		idle                      <duration>
//		login_path                <path>
//		callback_path             <path>
//		logout_path               <path>
//		backchannel_logout_path   <path>
//		frontchannel_logout_path  <path>
//		after_logout              <path>
//		forward       <claim> <header>
//		pass_token
//		optional
//		trust         <file...>
//	}
func (h *Handler) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the directive's name
	if d.NextArg() {
		return d.Errf("gatehouse_login: expected a block, not %q", d.Val())
	}
	for d.NextBlock(0) {
		if err := h.unmarshalOption(d, d.Val(), d.RemainingArgs()); err != nil {
			return err
		}
	}
	return nil
}

func (h *Handler) unmarshalOption(d *caddyfile.Dispenser, name string, args []string) error {
	if text := h.texts()[name]; text != nil {
		if len(args) != 1 {
			return d.Errf("%s: expected one value", name)
		}
		*text = args[0]
		return nil
	}
	if list := h.lists()[name]; list != nil {
		if len(args) == 0 {
			return d.Errf("%s: expected at least one value", name)
		}
		*list = append(*list, args...)
		return nil
	}
	if duration := h.durations()[name]; duration != nil {
		return unmarshalDuration(d, name, args, duration)
	}
	if flag := h.flags()[name]; flag != nil {
		if len(args) != 0 {
			return d.Errf("%s: expected no arguments", name)
		}
		*flag = true
		return nil
	}
	switch name {
	case "parameter":
		return h.unmarshalParameter(d, args)
	case "forward":
		return h.unmarshalForward(d, args)
	}
	return d.Errf("gatehouse_login: unknown option %q; expected issuer, client_id, client_secret, origin, scopes, acr_values, "+
		"max_age, parameter, userinfo, session, cookie_secret, session_duration, idle, login_path, callback_path, logout_path, "+
		"backchannel_logout_path, frontchannel_logout_path, after_logout, forward, pass_token, optional or trust", name)
}

func (h *Handler) texts() map[string]*string {
	return map[string]*string{
		"issuer": &h.Issuer, "client_id": &h.ClientID, "client_secret": &h.ClientSecret, "origin": &h.Origin,
		"session": &h.Session, "login_path": &h.LoginPath, "callback_path": &h.CallbackPath, "logout_path": &h.LogoutPath,
		"backchannel_logout_path": &h.BackchannelLogoutPath, "frontchannel_logout_path": &h.FrontchannelLogoutPath,
		"after_logout": &h.AfterLogout,
	}
}

func (h *Handler) lists() map[string]*[]string {
	return map[string]*[]string{"scopes": &h.Scopes, "acr_values": &h.ACRValues, "cookie_secret": &h.CookieSecrets, "trust": &h.Trust}
}

func (h *Handler) durations() map[string]*caddy.Duration {
	return map[string]*caddy.Duration{"max_age": &h.MaxAge, "session_duration": &h.SessionDuration, "idle": &h.Idle}
}

func (h *Handler) flags() map[string]*bool {
	return map[string]*bool{"userinfo": &h.UserInfo, "pass_token": &h.PassToken, "optional": &h.Optional}
}

func (h *Handler) unmarshalParameter(d *caddyfile.Dispenser, args []string) error {
	if len(args) < 2 {
		return d.Err("parameter: expected a name and at least one value")
	}
	if h.Parameters == nil {
		h.Parameters = map[string][]string{}
	}
	h.Parameters[args[0]] = append(h.Parameters[args[0]], args[1:]...)
	return nil
}

func (h *Handler) unmarshalForward(d *caddyfile.Dispenser, args []string) error {
	if len(args) != 2 {
		return d.Err("forward: expected a claim and a header")
	}
	h.Forward = append(h.Forward, introspect.Forward{Claim: args[0], Header: args[1]})
	if _, err := introspect.NewHeaders(h.Forward...); err != nil {
		return d.Errf("forward: %v", err)
	}
	return nil
}

func unmarshalDuration(d *caddyfile.Dispenser, name string, args []string, to *caddy.Duration) error {
	if len(args) != 1 {
		return d.Errf("%s: expected one duration", name)
	}
	return serving.UnmarshalDuration(d, name, args[0], to)
}

// Interface guards
var _ caddyfile.Unmarshaler = (*Handler)(nil)
