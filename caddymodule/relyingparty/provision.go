package relyingparty

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/gatehouse-auth/gatehouse/caddymodule/errorlog"
	"github.com/gatehouse-auth/gatehouse/introspect"
)

const (
	defaultDuration = 12 * time.Hour
	defaultIdle     = time.Hour
)

// Provision resolves the settings. It asks nobody, and reads no file but those
// of trust: one that cannot be read stops the start.
func (h *Handler) Provision(ctx caddy.Context) (err error) {
	h.logger, h.storage = errorlog.New(ctx.Logger()), ctx.Storage()
	h.defaults()
	if err := h.resolve(); err != nil {
		return err
	}
	if h.headers, err = introspect.NewHeaders(h.Forward...); err != nil {
		return fmt.Errorf("forward: %w", err)
	}
	if len(h.secrets) > 0 {
		if h.sealer, err = newSealer(h.secrets, h.party()); err != nil {
			return err
		}
	}
	if h.pages, err = newPages(); err != nil {
		return err
	}
	roots, trusted, err := readRoots(h.Trust)
	if err != nil {
		return err
	}
	digest := sha256.Sum256([]byte(h.party()))
	h.folder = "gatehouse/login/" + hex.EncodeToString(digest[:16])
	h.cookies = newCookieNames(h.origin, h.party())
	h.keeper = inCookies{h}
	if h.Session == "server" {
		h.keeper = inStorage{h}
	}
	h.endpoints = map[string]http.HandlerFunc{
		h.LoginPath: h.login, h.CallbackPath: h.callback, h.LogoutPath: h.logout,
		h.BackchannelLogoutPath: h.backchannel, h.FrontchannelLogoutPath: h.frontchannel,
	}
	h.shared, h.release, err = h.share(storageName(h.storage), roots, trusted)
	return err
}

func (h *Handler) defaults() {
	for _, one := range []struct {
		value     *string
		otherwise string
	}{
		{&h.Session, "cookie"}, {&h.AfterLogout, "/"},
		{&h.LoginPath, "/.gatehouse/login"}, {&h.CallbackPath, "/.gatehouse/callback"}, {&h.LogoutPath, "/.gatehouse/logout"},
		{&h.BackchannelLogoutPath, "/.gatehouse/backchannel"}, {&h.FrontchannelLogoutPath, "/.gatehouse/frontchannel"},
	} {
		if *one.value == "" {
			*one.value = one.otherwise
		}
	}
	if len(h.Scopes) == 0 {
		h.Scopes = []string{"openid"}
	}
	h.lasts, h.idle = time.Duration(h.SessionDuration), time.Duration(h.Idle)
	if h.lasts == 0 {
		h.lasts = defaultDuration
	}
	if h.idle == 0 {
		h.idle = min(defaultIdle, h.lasts)
	}
}

// resolve gives placeholders their values. One that has none stops the start:
// there is no fallback (CVE-2026-27586, CVE-2026-31837).
func (h *Handler) resolve() (err error) {
	var origin string
	for _, one := range []struct {
		name, text string
		to         *string
	}{
		{"issuer", h.Issuer, &h.issuer}, {"client_id", h.ClientID, &h.clientID}, {"origin", h.Origin, &origin},
		{"client_secret", h.ClientSecret, &h.clientSecret},
	} {
		if *one.to, err = resolve(one.text); err != nil {
			return fmt.Errorf("%s: %w", one.name, err)
		}
		if *one.to == "" && one.to != &h.clientSecret {
			return fmt.Errorf("gatehouse_login needs %s", one.name)
		}
	}
	if h.origin, err = parseWeb(origin); err != nil {
		return fmt.Errorf("origin: %w", err)
	}
	for _, text := range h.CookieSecrets {
		if text, err = resolve(text); err != nil {
			return fmt.Errorf("cookie_secret: %w", err)
		}
		secret, err := parseSecret(text)
		if err != nil {
			return fmt.Errorf("cookie_secret: %w", err)
		}
		h.secrets = append(h.secrets, secret)
	}
	return nil
}

func resolve(text string) (string, error) {
	return caddy.NewReplacer().ReplaceOrErr(text, true, true)
}

// party tells one relying party from another: in cookies, keys and the storage.
func (h *Handler) party() string {
	return strings.Join([]string{h.issuer, h.clientID, h.origin.String()}, "\n")
}

// Validate finds settings that cannot be.
func (h *Handler) Validate() error {
	if _, err := parseWeb(h.issuer); err != nil {
		return fmt.Errorf("issuer: %w", err)
	}
	if o := h.origin; o.Path != "" || o.RawQuery != "" || o.ForceQuery {
		return fmt.Errorf("origin: %q has more than a scheme and a host", h.origin)
	}
	switch {
	case h.Session != "cookie" && h.Session != "server":
		return fmt.Errorf("session: expected cookie or server, not %q", h.Session)
	case h.lasts < time.Second || h.idle < time.Second || h.idle > h.lasts || h.MaxAge < 0:
		return errors.New("session_duration and idle are at least one second, idle is not longer than session_duration, max_age is not negative")
	case !slices.Contains(h.Scopes, "openid"):
		return errors.New("scopes: openid must be among them")
	case len(h.CookieSecrets) > maxSecrets:
		return fmt.Errorf("cookie_secret: there are more than %d", maxSecrets)
	case !isLocal(h.AfterLogout):
		return fmt.Errorf("after_logout: %q is not a path of this site", h.AfterLogout)
	}
	for name := range h.Parameters {
		if slices.Contains(ownParameters[:], name) {
			return fmt.Errorf("parameter: %s has an option of its own, or none", name)
		}
	}
	return h.validatePaths()
}

// ownParameters are those of authorization requests that are not for the
// configuration, or have an option.
var ownParameters = [...]string{
	"response_type", "response_mode", "client_id", "client_secret", "redirect_uri", "scope", "state", "nonce",
	"code_challenge", "code_challenge_method", "request", "request_uri", "acr_values", "max_age",
}

func (h *Handler) validatePaths() error {
	if len(h.endpoints) != 5 {
		return errors.New("login_path, callback_path, logout_path, backchannel_logout_path and frontchannel_logout_path must differ")
	}
	for path := range h.endpoints {
		if u, err := url.Parse(path); err != nil || !isLocal(path) || len(path) < 2 || u.Path != path {
			return fmt.Errorf("%q is not a path such as /.gatehouse/login", path)
		}
	}
	return nil
}

// Cleanup gives back what outlives a configuration.
func (h *Handler) Cleanup() error {
	if h.release != nil {
		h.release()
	}
	return nil
}
