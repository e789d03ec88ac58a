package registration_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/engine/internal/registration"
	"github.com/gatehouse-auth/gatehouse/engine/model"
)

// addressMembers are all the members that hold an address.
var addressMembers = []string{
	"redirect_uris", "post_logout_redirect_uris", "request_uris", "client_uri", "client_uri#ja", "logo_uri", "logo_uri#ja",
	"policy_uri", "policy_uri#ja", "tos_uri", "tos_uri#ja", "jwks_uri", "sector_identifier_uri", "initiate_login_uri",
	"frontchannel_logout_uri", "backchannel_logout_uri",
}

// with is metadata that has an address in a member.
func with(member, address string) object {
	if strings.HasSuffix(member, "_uris") {
		return web(object{member: list{address}})
	}
	return web(object{member: address})
}

// Every member that feeds an address is in the table above.
func TestAddressMembersAreAll(t *testing.T) {
	n := 0
	for _, s := range model.ClientSettings {
		if strings.Contains(s.Metadata, "_uri") {
			n++
		}
	}
	if n != len(addressMembers) {
		t.Errorf("the catalogue has %d members with addresses, the table %d", n, len(addressMembers))
	}
}

// threats.md 20, 33: no address that a browser would run, or that is not what
// it looks like, gets in, whatever the member and the kind of application.
func TestThreat20And33Addresses(t *testing.T) {
	o := open(t, nil)
	for _, address := range []string{
		"javascript:alert(1)", "JavaScript:alert(1)", "java\tscript:alert(1)", "javascript://app.example.com/%0aalert(1)", " javascript:alert(1)",
		"data:text/html,<script>alert(1)</script>", "data:text/html;base64,PHNjcmlwdD4=", "vbscript:msgbox(1)", "file:///etc/passwd", "blob:https://app.example.com/x",
		"about:blank", "view-source:https://app.example.com", "intent://x#Intent;end", "//evil.example/", "/path", "app.example.com/cb",
		"https://user@app.example.com/", "https://user:pass@app.example.com/", "https://app.example.com\\@evil.example/", "https://app.example.com/\"><script>",
		"https://app.example.com/\x00", "https://app.example.com/\r\nX: y", "https://例え.example/", "https:///cb", "https:app.example.com", "http://app.example.com/",
		"ftp://app.example.com/", "ws://app.example.com/", "urn:ietf:wg:oauth:2.0:oob",
	} {
		for _, member := range addressMembers {
			for _, kind := range []string{"web", "native"} {
				body := merge(with(member, address), object{"application_type": kind})
				if kind == "native" && member != "redirect_uris" {
					body["redirect_uris"] = list{"com.example.app:/cb"}
				}
				resp := o.post(body)
				if resp.Action != model.ActionBadRequest || strings.ContainsAny(resp.ResponseContent, "<>") {
					t.Errorf("%s %s %q: %s %s", kind, member, address, resp.Action, resp.ResponseContent)
				}
			}
		}
	}
	if len(o.fetched) > 0 {
		t.Errorf("fetched %v", o.fetched)
	}
}

// threats.md 20: http on this machine is for where a native application is sent
// back to, and for nothing else. In a development, whose issuer is on a
// loopback host, it is for everything but the sector identifier and where others
// start a sign-in, which must use https (OpenID Connect Core §8.1, §4).
func TestThreat20Loopback(t *testing.T) {
	production, development := open(t, nil), open(t, settings{"issuer": "http://localhost:8080"})
	for _, member := range addressMembers {
		body := merge(with(member, "http://127.0.0.1:9000/x"), object{"application_type": "web"})
		if member == "frontchannel_logout_uri" {
			body["redirect_uris"] = list{"http://127.0.0.1:9000/cb"}
		}
		if resp := production.post(body); resp.Action != model.ActionBadRequest {
			t.Errorf("%s: %s", member, resp.ResponseContent)
		}
		https := member == "sector_identifier_uri" || member == "initiate_login_uri"
		if resp := development.post(body); (resp.Action == model.ActionCreated) == https {
			t.Errorf("development, %s: %s", member, resp.ResponseContent)
		}
	}
	for _, member := range addressMembers[1:] {
		body := merge(with(member, "http://127.0.0.1/x"), object{"application_type": "native", "redirect_uris": list{"http://127.0.0.1/cb"}})
		if resp := production.post(body); (resp.Action == model.ActionCreated) != (member == "post_logout_redirect_uris") {
			t.Errorf("native, %s: %s", member, resp.ResponseContent)
		}
	}
	for _, body := range []object{
		with("redirect_uris", "http://app.example.com/cb"), with("redirect_uris", "javascript:alert(1)"), with("logo_uri", "http://10.0.0.1/"), asWeb("com.example.app:/cb"),
	} {
		if resp := development.post(body); resp.Action != model.ActionBadRequest {
			t.Errorf("development: %s", resp.ResponseContent)
		}
	}
	implicit := object{"response_types": list{"id_token"}}
	development.TB = t
	development.register(merge(with("redirect_uris", "http://localhost:9000/cb"), implicit))
}

// threats.md 20: the policy narrows what is registered, by whatever way it
// comes: at first, by default, in an update.
func TestThreat20Policy(t *testing.T) {
	o := open(t, settings{
		"registrationGrantTypes": list{"AUTHORIZATION_CODE", "REFRESH_TOKEN"}, "registrationResponseTypes": list{"CODE"},
		"registrationAuthMethods": list{"CLIENT_SECRET_BASIC", "NONE"}, "registrationScopes": list{"openid", "orders:read", "unknown"},
		"registrationRedirectHosts": list{"app.example.com", "*.apps.example.com"},
	})
	first := o.register(web(object{"redirect_uris": list{redirect, "https://a.apps.example.com/cb", "https://b.a.apps.example.com:8443/cb"}}))
	if first["scope"] != "openid orders:read" || o.client(first).MayRequest("orders:write") {
		t.Errorf("who asks for no scope gets %q", first["scope"])
	}
	const metadata, uri = "invalid_client_metadata", "invalid_redirect_uri"
	for name, c := range map[string]struct {
		body         object
		code, member string
	}{
		"a scope":                           {web(object{"scope": "openid orders:write"}), metadata, "scope"},
		"a scope that nobody knows":         {web(object{"scope": "openid admin"}), metadata, "scope"},
		"a grant type":                      {web(object{"grant_types": list{"authorization_code", "client_credentials"}}), metadata, "grant_types"},
		"a response type":                   {web(object{"response_types": list{"none"}}), metadata, "response_types"},
		"a grant type that is implied":      {web(object{"response_types": list{"code id_token"}}), metadata, ""},
		"an authentication method":          {web(object{"token_endpoint_auth_method": "client_secret_post"}), metadata, "token_endpoint_auth_method"},
		"a host":                            {web(object{"redirect_uris": list{"https://evil.example/cb"}}), uri, "host"},
		"one of the hosts":                  {web(object{"redirect_uris": list{redirect, "https://evil.example/cb"}}), uri, "host"},
		"a host above the wildcard":         {web(object{"redirect_uris": list{"https://apps.example.com/cb"}}), uri, "host"},
		"the wildcard without its label":    {web(object{"redirect_uris": list{"https://.apps.example.com/cb"}}), uri, "host"},
		"a host that ends alike":            {web(object{"redirect_uris": list{"https://evilapps.example.com/cb"}}), uri, "host"},
		"a host that begins alike":          {web(object{"redirect_uris": list{"https://app.example.com.evil.example/cb"}}), uri, "host"},
		"a host with a dot at its end":      {web(object{"redirect_uris": list{"https://app.example.com./cb"}}), uri, "host"},
		"a scheme without a host":           {web(object{"redirect_uris": list{"com.example.app:/cb"}, "application_type": "native"}), uri, "host"},
		"a host to go to after signing out": {web(object{"post_logout_redirect_uris": list{"https://evil.example/"}}), metadata, "host"},
	} {
		t.Run(name, func(t *testing.T) {
			o.TB = t
			o.refused(o.post(c.body), model.ActionBadRequest, c.code, c.member)
			o.refused(o.call(registration.Update, update(first, c.body)), model.ActionBadRequest, c.code, c.member)
		})
	}
	if got := o.accepted(o.call(registration.Get, own(first)), model.ActionOK); got["scope"] != "openid orders:read" {
		t.Errorf("a refused update has changed %v", got)
	}
}

// threats.md 20: what the service does not do, nobody registers for.
func TestThreat20TurnedOff(t *testing.T) {
	o := open(t, settings{
		"supportedGrantTypes": list{"AUTHORIZATION_CODE"}, "supportedResponseTypes": list{"CODE", "ID_TOKEN"},
		"supportedTokenAuthMethods": list{"PRIVATE_KEY_JWT"},
	})
	keys := object{"token_endpoint_auth_method": "private_key_jwt", "jwks": jwks()}
	o.register(web(keys))
	for member, value := range map[string]any{
		"grant_types": list{"authorization_code", "refresh_token"}, "response_types": list{"none"}, "token_endpoint_auth_method": "client_secret_basic",
	} {
		o.refused(o.post(web(merge(keys, object{member: value}))), model.ActionBadRequest, "invalid_client_metadata", member)
	}
}

// threats.md 21: the one address that registration fetches goes through the
// guarded client, last of all checks; the answer does not tell what is there
// (OpenID Connect Dynamic Client Registration §5).
func TestThreat21SectorIdentifier(t *testing.T) {
	o := open(t, nil)
	o.pages.Store("https://app.example.com/sector", text(list{redirect, "https://b.example.com/cb", "https://more.example.com/"}))
	o.pages.Store("https://app.example.com/object", `{"a":1}`)
	o.pages.Store("https://app.example.com/mixed", `["`+redirect+`",1]`)
	o.pages.Store("https://app.example.com/html", `<html>root:x:0</html>`)
	body := func(sector string) object {
		return object{"subject_type": "pairwise", "sector_identifier_uri": sector, "redirect_uris": list{redirect, "https://b.example.com/cb"}}
	}
	got := o.register(body("https://app.example.com/sector"))
	for _, sector := range []string{"https://10.0.0.7/", "https://localhost/", "https://metadata.google.internal/", "https://app.example.com/object", "https://app.example.com/mixed", "https://app.example.com/html"} {
		o.refused(o.post(body(sector)), model.ActionBadRequest, "invalid_client_metadata", "sector_identifier_uri: cannot be fetched, or is no list of addresses")
		o.refused(o.call(registration.Update, update(got, body(sector))), model.ActionBadRequest, "invalid_client_metadata", "sector_identifier_uri")
	}
	lacking := merge(body("https://app.example.com/sector"), object{"redirect_uris": list{redirect, "https://c.example.com/cb"}})
	o.refused(o.post(lacking), model.ActionBadRequest, "invalid_client_metadata", "https://c.example.com/cb")
	o.refused(o.call(registration.Update, update(got, lacking)), model.ActionBadRequest, "invalid_client_metadata", "https://c.example.com/cb")
	if c := o.client(got); c.Sector() != "app.example.com" || len(c.RedirectURIs) != 2 {
		t.Errorf("the client has become %+v", c)
	}
}

// threats.md 14: what is read is bounded.
func TestThreat14Bounds(t *testing.T) {
	o := open(t, settings{"maxRegistrationBytes": 2048})
	metadata := "invalid_client_metadata"
	for name, body := range map[string]string{
		"too long": text(web(object{"x": strings.Repeat("x", 2048)})), "too deep": `{"a":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}`,
		"empty": "", "a list": "[]", "null": "null", "a text": `"x"`, "two": "{}{}", "not JSON": "{", "not UTF-8": "{\"client_name\":\"\xff\"}",
		"a number that is long": `{"redirect_uris":["` + redirect + `"],"default_max_age":1` + strings.Repeat("0", 1000) + `}`,
	} {
		t.Run(name, func(t *testing.T) {
			o.TB = t
			o.refused(o.call(registration.Register, registration.Request{JSON: body}), model.ActionBadRequest, metadata, "")
		})
	}
	// A member that comes twice counts once, for the check and for what is stored.
	o.TB = t
	twice := fmt.Sprintf(`{"redirect_uris":[%q],"redirect_uris":["javascript:alert(1)"]}`, redirect)
	o.refused(o.call(registration.Register, registration.Request{JSON: twice}), model.ActionBadRequest, "invalid_redirect_uri", "")
	twice = fmt.Sprintf(`{"redirect_uris":["javascript:alert(1)"],"redirect_uris":[%q]}`, redirect)
	if c := o.client(o.accepted(o.call(registration.Register, registration.Request{JSON: twice}), model.ActionCreated)); c.RedirectURIs[0] != redirect {
		t.Errorf("stored %v", c.RedirectURIs)
	}
}

// threats.md 34: no secret or token is in an event, nor in the text of an error.
func TestThreat34Events(t *testing.T) {
	o := open(t, settings{"initialAccessTokens": list{object{"developer": "alice", "token": "initial-secret"}}})
	got := o.accepted(o.call(registration.Register, registration.Request{JSON: text(web(nil)), Token: "initial-secret"}), model.ActionCreated)
	secret, token := got["client_secret"].(string), got["registration_access_token"].(string)
	o.call(registration.Register, registration.Request{JSON: text(web(nil)), Token: "wrong-secret"})
	o.call(registration.Update, update(got, web(object{"client_secret": "wrong-secret"})))
	o.call(registration.Update, update(got, web(object{"client_secret": secret, "client_name": 7})))
	o.call(registration.Update, update(got, web(object{"client_secret": secret})))
	o.call(registration.Get, registration.Request{ClientID: got["client_id"].(string), Token: "wrong-secret"})
	o.call(registration.Delete, own(got))
	kinds := ""
	for _, e := range o.events {
		kinds += string(e.Kind) + " " + e.Operation + "; "
		if strings.Contains(fmt.Sprintf("%+v", e), "-secret") || strings.Contains(fmt.Sprintf("%+v", e), secret) || strings.Contains(fmt.Sprintf("%+v", e), token) {
			t.Errorf("%+v", e)
		}
	}
	want := "registered registration; refused registration; refused registration/update; refused registration/update; " +
		"registered registration/update; refused registration/get; registered registration/delete; "
	if kinds != want {
		t.Errorf("events: %s", kinds)
	}
}
