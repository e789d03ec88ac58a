package engine_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/engine/model"
)

// redirectTricks look like https://app.example.com/cb to somebody: a person, a
// browser, a proxy, a parser. None is it.
var redirectTricks = map[string][]string{
	"another path": {
		"https://app.example.com/cb/", "https://app.example.com/CB", "https://app.example.com/cb2", "https://app.example.com/c", "https://app.example.com/",
		"https://app.example.com", "https://app.example.com/cb;x", "https://app.example.com/cb.evil",
	},
	"the path in other words": {
		"https://app.example.com/./cb", "https://app.example.com/x/../cb", "https://app.example.com//cb", "https://app.example.com/%2e/cb",
		"https://app.example.com/%63b", "https://app.example.com/c%62", "https://app.example.com/cb%2f..", "https://app.example.com/cb%00",
		"https://app.example.com/cb/..%2fcb", "https://app.example.com/cb/%2e%2e/cb", "https://app.example.com\\cb", "https://app.example.com/cb\\",
	},
	"more than the path": {
		"https://app.example.com/cb?x=1", "https://app.example.com/cb?", "https://app.example.com/cb#f", "https://app.example.com/cb#",
		"https://app.example.com/cb?redirect=https://evil.example/", "https://app.example.com/cb&x=1", "https://app.example.com/cb%3Fx",
	},
	"user information": {
		"https://user@app.example.com/cb", "https://user:pw@app.example.com/cb", "https://app.example.com@evil.example/cb", "https://app.example.com%40evil.example/cb",
		"https://app.example.com:443@evil.example/cb", "https://@app.example.com/cb", "https://app.example.com\\@evil.example/cb", "https://evil.example\\@app.example.com/cb",
		"https://app.example.com#@evil.example/cb", "https://app.example.com?@evil.example/cb", "https://evil.example#@app.example.com/cb",
	},
	"another host": {
		"https://app.example.com.evil.example/cb", "https://evil.example/app.example.com/cb", "https://evilapp.example.com/cb", "https://app-example.com/cb",
		"https://app.example.com./cb", "https://app.example.co/cb", "https://x.app.example.com/cb", "https://example.com/cb", "https://app。example。com/cb",
		"https://аpp.example.com/cb", "https://app.example.com%2eevil.example/cb", "https://app.example.com%00.evil.example/cb", "https://[::ffff:1.2.3.4]/cb",
		"https://app.example.com,evil.example/cb", "https://app.example.com evil.example/cb", "https://app.example.com\t/cb", "https://app.exam\nple.com/cb",
	},
	"another port": {
		"https://app.example.com:443/cb", "https://app.example.com:8443/cb", "https://app.example.com:/cb", "https://app.example.com:0443/cb", "https://app.example.com:80/cb",
	},
	"another case": {
		"https://APP.example.com/cb", "HTTPS://app.example.com/cb", "https://app.example.com/Cb", "Https://app.example.com/cb",
	},
	"another scheme": {
		"http://app.example.com/cb", "//app.example.com/cb", "/cb", "cb", "app.example.com/cb", "javascript:alert(1)", "javascript://app.example.com/cb%0aalert(1)",
		"data:text/html,<script>alert(1)</script>", "https:app.example.com/cb", "https:/app.example.com/cb", "https:///app.example.com/cb", "https:\\\\app.example.com\\cb",
		"ftp://app.example.com/cb", "blob:https://app.example.com/cb", "view-source:https://app.example.com/cb", "about:blank", "file:///etc/passwd",
	},
	"space around it": {
		" https://app.example.com/cb", "https://app.example.com/cb ", "https://app.example.com/cb\n", "\thttps://app.example.com/cb", "https://app.example.com/cb\r\nLocation: https://evil.example/",
		"\u200bhttps://app.example.com/cb", "https://app.example.com/cb\u00a0", "https://app.example.com/cb https://evil.example/",
	},
	"patterns": {
		"https://app.example.com/*", "https://*.example.com/cb", "*", "https://app.example.com/cb*", ".*",
	},
	"what a parser may make of it": {
		"https%3A%2F%2Fapp.example.com%2Fcb", "https://app.example.com/cb%", "https://app.example.com/cb%zz", `"https://app.example.com/cb"`, "['https://app.example.com/cb']",
		"https://app.example.com/cb,https://evil.example/", strings.Repeat("https://app.example.com/cb", 100),
	},
}

// threats.md 7 (RFC 9700 §4.1.3; CVE-2025-4143, CVE-2026-28512): redirect
// addresses are compared character by character, at the authorization endpoint
// and at the token endpoint; nothing redirects to one that is not registered.
func TestThreat07ExactRedirectMatch(t *testing.T) {
	t.Parallel()
	h := openWith(t, everyFlow, anyFlow)
	for kind, uris := range redirectTricks {
		t.Run(kind, func(t *testing.T) {
			h := h.on(t)
			for _, uri := range uris {
				for _, pairs := range [][]string{{"response_type", "code"}, {"response_type", "code id_token token"}, {"response_mode", "form_post"}, {"prompt", "sing"}} {
					resp := h.authorize(request("any", append(pairs, "redirect_uri", uri)...))
					if resp.Action != model.ActionBadRequest || resp.Ticket != "" || errorCode(resp.ResponseContent) != "invalid_request" {
						t.Errorf("%q with %v: %s %s", uri, pairs, resp.Action, resp.ResponseContent)
					}
				}
				code := h.code("any")
				h.wantError(h.redeem("any", code, "redirect_uri", uri), "invalid_grant")
				h.want(h.redeem("any", code), model.ActionOK)
			}
		})
	}
	t.Run("left out at the token endpoint (RFC 6749 §4.1.3)", func(t *testing.T) {
		h.on(t).wantError(h.redeem("any", h.code("any"), "redirect_uri", ""), "invalid_grant")
	})
}

// threats.md 7: which of several addresses is meant must be said (RFC 6749
// §3.1.2.3), and a code goes with the one that was.
func TestThreat07SeveralRedirectAddresses(t *testing.T) {
	t.Parallel()
	second := "https://app.example.com/other"
	h := openWith(t, nil, map[string]model.Settings{"two": {"clientSecret": raw(longSecret), "redirectUris": raw([]string{redirect, second})}})
	if resp := h.authorize(request("two", "redirect_uri", "", "scope", "orders:read")); resp.Action != model.ActionBadRequest {
		t.Errorf("none named: %s %s", resp.Action, resp.ResponseContent)
	}
	code := h.code("two", "redirect_uri", second)
	h.wantError(h.redeem("two", code), "invalid_grant")
	h.want(h.redeem("two", code, "redirect_uri", second), model.ActionOK)
}

// threats.md 7: a ticket does not redirect where the client is no longer registered.
func TestThreat07AddressTakenBack(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	ticket := h.authorize(request("spa")).Ticket
	other := map[string]model.Settings{"spa": {"redirectUris": raw([]string{"https://elsewhere.example.com/cb"})}}
	later := openOn(t, h.store, declareWith(t, issuer, nil, other))
	if resp := later.issue(ticket); resp.Action != model.ActionBadRequest || strings.Contains(resp.ResponseContent, redirect) {
		t.Errorf("%s %s", resp.Action, resp.ResponseContent)
	}
}

// RFC 8252 §7.3: only the port of a loopback redirect address may vary.
func TestLoopbackRedirect(t *testing.T) {
	t.Parallel()
	h := openWith(t, nil, map[string]model.Settings{"native": {
		"redirectUris": raw([]string{"http://127.0.0.1/cb", "http://[::1]:1/cb", "http://localhost/cb", "com.example.app:/cb"})}})
	for uri, ok := range map[string]bool{
		"http://127.0.0.1/cb": true, "http://127.0.0.1:5000/cb": true, "com.example.app:/cb": true, "http://[::1]/cb": true, "http://[::1]:65535/cb": true,
		"http://localhost/cb": true, "http://127.0.0.1:5000/cb2": false, "http://127.0.0.1:5000@evil.example/cb": false, "http://127.0.0.1:/cb": false,
		"http://127.0.0.1.evil.example/cb": false, "http://localhost:5000/cb": false, "http://127.0.0.1:500000/cb": false, "https://127.0.0.1:5000/cb": false,
		"http://127.0.0.1:+1/cb": false, "http://127.0.0.1:0x50/cb": false, "http://127.0.0.1:5000/cb?x": false, "http://127.0.0.1:5000/cb#x": false,
		"http://127.0.0.2/cb": false, "http://127.1/cb": false, "http://2130706433/cb": false, "http://[::1%25lo]/cb": false, "http://[0:0:0:0:0:0:0:1]/cb": false,
		"http://[::ffff:127.0.0.1]/cb": false, "com.example.app://cb": false, "com.example.app:/cb2": false, "com.example.application:/cb": false,
	} {
		resp := h.authorize(request("native", "redirect_uri", uri))
		if got := resp.Action == model.ActionInteraction; got != ok {
			t.Errorf("%s: %s %s", uri, resp.Action, resp.ResponseContent)
		}
	}
}

// threats.md 8 (RFC 6749 §3.1, §3.2; CVE-2026-9689): a parameter that is there
// twice is refused, whichever it is and however it is written, at each endpoint.
func TestThreat08EachParameterOnce(t *testing.T) {
	t.Parallel()
	h := openWith(t, everyFlow, anyFlow)
	for _, name := range []string{
		"response_type", "scope", "state", "nonce", "code_challenge", "code_challenge_method", "response_mode", "prompt", "max_age", "ui_locales", "display",
		"claims_locales", "id_token_hint", "login_hint", "acr_values", "claims", "request", "request_uri", "registration", "unknown",
	} {
		for _, more := range []string{"&" + name + "=1&" + name + "=1", "&" + name + "=1&%" + hexOf(name[0]) + name[1:] + "=2", "&" + name + "&" + name} {
			resp := h.authorize(request("any", name, "") + more)
			if resp.Action != model.ActionLocation && resp.Action != model.ActionForm || resp.Ticket != "" {
				t.Errorf("%s: %s %s", more, resp.Action, resp.ResponseContent)
			} else if got := h.read(resp.Action, resp.ResponseContent); got.Get("error") != "invalid_request" || got.address != redirect {
				t.Errorf("%s: %v", more, got.Values)
			}
		}
	}
	for _, more := range []string{
		"&client_id=any", "&client_id=spa", "&%63lient_id=any", "&client_id", "&redirect_uri=" + url.QueryEscape(redirect), "&redirect_uri=https://evil.example/", "&redirect_uri",
	} {
		if resp := h.authorize(request("any") + more); resp.Action != model.ActionBadRequest || resp.Ticket != "" {
			t.Errorf("%s: %s %s", more, resp.Action, resp.ResponseContent)
		}
	}
	// RFC 8707 §2: resource alone may be there more than once.
	if resp := h.authorize(request("any") + "&resource=https://a.example/&resource=https://b.example/"); resp.Action != model.ActionInteraction {
		t.Errorf("two resources: %s %s", resp.Action, resp.ResponseContent)
	}
	for _, name := range []string{"grant_type", "code", "redirect_uri", "code_verifier", "refresh_token", "scope", "client_id", "client_secret", "username", "client_assertion", "unknown"} {
		h.wantError(h.token("any", "grant_type", "client_credentials&"+name+"=1&"+name+"=1"), "unsupported_grant_type") // escaped, it is one value
		parameters, credentials := h.as("any", "grant_type", "client_credentials", name, "")
		h.wantError(h.direct(parameters+"&"+name+"=1&"+name+"=1", credentials), "invalid_request")
	}
}

func hexOf(c byte) string { return string("0123456789abcdef"[c>>4]) + string("0123456789abcdef"[c&15]) }
