package engine_test

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/engine"
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

const afterwards = "https://app.example.com/out"

// leavers are clients that send people to sign out, or want to know of it.
var leavers = map[string]model.Settings{
	"leaver": {"postLogoutRedirectUris": raw([]string{afterwards, afterwards + "/2?a=b", "com.example.app:/out", "http://127.0.0.1/out"}),
		"loginUri": raw("https://app.example.com/in")},
	"leaver2":  {"postLogoutRedirectUris": raw([]string{"https://app2.example.com/out"})},
	"pairwise": {"subjectType": raw("PAIRWISE"), "postLogoutRedirectUris": raw([]string{afterwards})},
	"unsigned": {"clientSecret": raw("unsigned-secret"), "idTokenSignAlg": raw("NONE"), "postLogoutRedirectUris": raw([]string{afterwards})},
	"hmac":     {"clientSecret": raw("a-secret-that-is-long-enough-for-HS256"), "idTokenSignAlg": raw("HS256"), "postLogoutRedirectUris": raw([]string{afterwards})},
}

// signIn begins a session of a user.
func (h *house) signIn(subject string) model.ID {
	h.Helper()
	id := h.engine.NewID()
	err := h.store.Write(h.Context(), store.InsertSession{Session: model.Session{
		Service: h.service.ID, ID: id, Subject: subject, AuthTime: h.clock().Unix(), ExpiresAt: h.clock().Unix() + 3600,
	}})
	if err != nil {
		h.Fatal(err)
	}
	return id
}

// during answers requests as the user of a session.
func during(session model.ID, subject string) func(*engine.AuthorizationIssueRequest) {
	return func(r *engine.AuthorizationIssueRequest) { r.Session, r.Subject = session, subject }
}

// tokensOf goes through the code flow as the user of a session.
func (h *house) tokensOf(client string, session model.ID, subject string, pairs ...string) (access, idToken string) {
	h.Helper()
	code := h.consented(request(client, pairs...), during(session, subject)).Get("code")
	resp := h.redeem(client, code)
	h.want(resp, model.ActionOK)
	var body struct {
		IDToken string `json:"id_token"`
	}
	if err := json.Unmarshal([]byte(resp.ResponseContent), &body); err != nil {
		h.Fatal(err)
	}
	return resp.AccessToken, body.IDToken
}

func (h *house) logout(session model.ID, subject, parameters string) *engine.LogoutResponse {
	h.Helper()
	resp, err := h.engine.Logout(h.Context(), h.service.ID, engine.LogoutRequest{Parameters: parameters, Session: session, Subject: subject})
	if err != nil {
		h.Fatal(err)
	}
	return resp
}

func (h *house) end(session model.ID) *engine.EndSessionResponse {
	h.Helper()
	resp, err := h.engine.EndSession(h.Context(), h.service.ID, engine.EndSessionRequest{Session: session})
	if err != nil {
		h.Fatal(err)
	}
	return resp
}

func query(pairs ...string) string { return change(url.Values{}, pairs) }

// OpenID Connect RP-Initiated Logout §2, §3, §4.
func TestLogoutRequests(t *testing.T) {
	h := openWith(t, nil, leavers)
	alice := h.signIn("alice")
	hints := map[string]string{}
	for client := range leavers {
		_, hints[client] = h.tokensOf(client, alice, "alice", "scope", "openid")
	}
	_, older := h.tokensOf("leaver", h.signIn("alice"), "alice", "scope", "openid")
	_, bobs := h.tokensOf("leaver", h.signIn("bob"), "bob", "scope", "openid")
	access, _ := h.tokensOf("leaver", alice, "alice", "scope", "openid")
	const asks, goes, bad = model.ActionInteraction, model.ActionNoInteraction, model.ActionBadRequest
	for name, test := range map[string]struct {
		parameters string
		action     model.Action
		to         string // where to go on
		client     string
	}{
		"no parameters":                            {"", asks, "", ""},
		"an unknown parameter":                     {query("x", "y"), asks, "", ""},
		"state alone":                              {query("state", "s"), asks, "", ""},
		"client_id alone":                          {query("client_id", "leaver"), asks, "", "leaver"},
		"logout_hint proves none":                  {query("client_id", "leaver", "logout_hint", "alice"), asks, "", "leaver"},
		"a hint":                                   {query("id_token_hint", hints["leaver"]), goes, "", "leaver"},
		"a hint of the user's other session":       {query("id_token_hint", older), goes, "", "leaver"},
		"another user's hint":                      {query("id_token_hint", bobs), asks, "", "leaver"},
		"a pairwise hint":                          {query("id_token_hint", hints["pairwise"]), goes, "", "pairwise"},
		"a hint under the client's secret":         {query("id_token_hint", hints["hmac"]), goes, "", "hmac"},
		"a hint that is not signed proves nothing": {query("id_token_hint", hints["unsigned"]), asks, "", "unsigned"},
		"client_id and hint":                       {query("client_id", "leaver", "id_token_hint", hints["leaver"]), goes, "", "leaver"},
		"client_id of another client":              {query("client_id", "leaver2", "id_token_hint", hints["leaver"]), bad, "", ""},
		"an unknown client_id":                     {query("client_id", "nobody"), bad, "", ""},
		"not a hint":                               {query("id_token_hint", "x"), bad, "", ""},
		"a modified hint":                          {query("id_token_hint", modified(hints["leaver"])), bad, "", ""},
		"a hint with another alg":                  {query("id_token_hint", unsigned(hints["leaver"])), bad, "", ""},
		"an access token":                          {query("id_token_hint", access), bad, "", ""},

		"where to go, by hint":           {query("id_token_hint", hints["leaver"], "post_logout_redirect_uri", afterwards), goes, afterwards, "leaver"},
		"where to go, by client_id":      {query("client_id", "leaver", "post_logout_redirect_uri", afterwards), asks, afterwards, "leaver"},
		"where to go, for nobody":        {query("post_logout_redirect_uri", afterwards), bad, "", ""},
		"with state":                     {query("id_token_hint", hints["leaver"], "post_logout_redirect_uri", afterwards, "state", "a b&c#"), goes, afterwards + "?state=a+b%26c%23", "leaver"},
		"with state behind a query":      {query("id_token_hint", hints["leaver"], "post_logout_redirect_uri", afterwards+"/2?a=b", "state", "s"), goes, afterwards + "/2?a=b&state=s", "leaver"},
		"a private-use scheme":           {query("id_token_hint", hints["leaver"], "post_logout_redirect_uri", "com.example.app:/out", "state", "s"), goes, "com.example.app:/out?state=s", "leaver"},
		"a loopback port (RFC 8252)":     {query("id_token_hint", hints["leaver"], "post_logout_redirect_uri", "http://127.0.0.1:49152/out"), goes, "http://127.0.0.1:49152/out", "leaver"},
		"another client's":               {query("id_token_hint", hints["leaver2"], "post_logout_redirect_uri", afterwards), bad, "", ""},
		"a redirect_uri":                 {query("id_token_hint", hints["leaver"], "post_logout_redirect_uri", redirect), bad, "", ""},
		"the login_uri":                  {query("id_token_hint", hints["leaver"], "post_logout_redirect_uri", "https://app.example.com/in"), bad, "", ""},
		"threat 8: the address twice":    {query("id_token_hint", hints["leaver"], "post_logout_redirect_uri", afterwards) + "&post_logout_redirect_uri=https%3A%2F%2Fevil.example", bad, "", ""},
		"threat 8: the client twice":     {"client_id=leaver&client_id=leaver2", bad, "", ""},
		"a state that is too long":       {query("client_id", "leaver", "state", strings.Repeat("s", 4097)), bad, "", ""},
		"a logout_hint that is too long": {query("logout_hint", strings.Repeat("s", 321)), bad, "", ""},
		"not UTF-8":                      {"state=%ff", bad, "", ""},
		"too much":                       {"x=" + strings.Repeat("x", 33<<10), bad, "", ""},
	} {
		resp := h.logout(alice, "alice", test.parameters)
		client := ""
		if resp.Client != nil {
			client = resp.Client.Alias
		}
		if resp.Action != test.action || resp.PostLogoutRedirectURI != test.to || client != test.client {
			t.Errorf("%s: %s %s to %q by %q, want %s to %q by %q", name, resp.Action, resp.ResponseContent,
				resp.PostLogoutRedirectURI, client, test.action, test.to, test.client)
		}
		if test.action == bad && errorCode(resp.ResponseContent) != "invalid_request" {
			t.Errorf("%s: %s", name, resp.ResponseContent)
		}
		// With nobody signed in there is nothing to ask.
		if resp := h.logout(0, "", test.parameters); (resp.Action == bad) != (test.action == bad) || resp.Action == asks || resp.PostLogoutRedirectURI != test.to {
			t.Errorf("%s, with nobody signed in: %s to %q", name, resp.Action, resp.PostLogoutRedirectURI)
		}
	}
	if n := h.seen(model.EventRefused); n == 0 {
		t.Error("nobody was told of the requests that were refused")
	}
}

// RP-Initiated Logout §2: an ID token that has expired is a hint all the same,
// and so is one from before the keys changed.
func TestLogoutHintsMayBeOld(t *testing.T) {
	h := openWith(t, nil, leavers)
	session := h.signIn("alice")
	_, hint := h.tokensOf("leaver", session, "alice", "scope", "openid")
	if _, err := h.engine.RotateKeys(t.Context(), h.service.ID, []string{"RS256"}, engine.Rotation{Overlap: 48 * time.Hour}); err != nil {
		t.Fatal(err)
	}
	h.pass(24 * time.Hour)
	resp := h.logout(session, "alice", query("id_token_hint", hint, "post_logout_redirect_uri", afterwards))
	if resp.Action != model.ActionNoInteraction || resp.PostLogoutRedirectURI != afterwards {
		t.Errorf("%s %s", resp.Action, resp.ResponseContent)
	}
	if !resp.Proven || resp.HintedSubject != "alice" || resp.HintedSession == "" {
		t.Errorf("%+v", resp)
	}
	resp = h.logout(session, "alice", query("ui_locales", "ja  en-GB x_y ja", "logout_hint", "alice@example.com"))
	if strings.Join(resp.UILocales, " ") != "ja en-GB" || resp.LogoutHint != "alice@example.com" {
		t.Errorf("%+v", resp)
	}
}

// Exact match, as for redirect_uri (threats 7 and 9).
func TestThreat07PostLogoutRedirectsMatchExactly(t *testing.T) {
	h := openWith(t, nil, leavers)
	for _, evil := range []string{
		afterwards + "/", afterwards + "?foo=bar", afterwards + "#x", afterwards + "/../x", afterwards + "%20", " " + afterwards, "https://APP.example.com/out",
		"https://app.example.com:443/out", "https://app.example.com/Out", "https://app.example.com/%6fut", "https://user@app.example.com/out",
		"https://app.example.com.evil.example/out", "https://evil.example/https://app.example.com/out", "http://app.example.com/out",
		"//app.example.com/out", `\\app.example.com/out`, "/out", "out", "javascript:alert(1)", "data:text/html,x", "com.example.app:/out2",
		"https://app.example.com/out\r\nSet-Cookie: x=y", "http://127.0.0.1:x/out", "http://localhost:8080/out", "http://127.0.0.1.evil.example/out",
	} {
		resp := h.logout(0, "", query("client_id", "leaver", "post_logout_redirect_uri", evil))
		if resp.Action != model.ActionBadRequest || resp.PostLogoutRedirectURI != "" {
			t.Errorf("%q: %s to %q", evil, resp.Action, resp.PostLogoutRedirectURI)
		}
	}
}

// What a session's end ends: its grants without offline_access, at once and
// through the feed too, and nothing else (Back-Channel Logout §2.7).
func TestEndSessionEndsItsGrants(t *testing.T) {
	h := openWith(t, nil, leavers)
	session, other, bobs := h.signIn("alice"), h.signIn("alice"), h.signIn("bob")
	ends, _ := h.tokensOf("leaver", session, "alice", "scope", "openid orders:read")
	type kept struct{ name, token string }
	stay := []kept{}
	for _, k := range []struct {
		name, scope string
		session     model.ID
		subject     string
	}{
		{"an offline grant", "openid offline_access", session, "alice"}, {"a grant without a sign-in to the client", "orders:read", session, "alice"},
		{"another session of the user", "openid", other, "alice"}, {"another user", "openid", bobs, "bob"},
	} {
		token, _ := h.tokensOf("leaver", k.session, k.subject, "scope", k.scope)
		stay = append(stay, kept{k.name, token})
	}
	revoked := 0
	defer h.store.Subscribe(func(c model.Change) {
		if c.Kind == model.ChangeGrantRevoked {
			revoked++
		}
	})()
	if !h.end(session).Ended || h.end(session).Ended {
		t.Error("the session did not end once")
	}
	if h.usable(ends) {
		t.Error("a token of the session is still good")
	}
	for _, k := range stay {
		if !h.usable(k.token) {
			t.Errorf("%s has ended", k.name)
		}
	}
	if revoked != 1 || h.seen(model.EventLoggedOut) != 1 {
		t.Errorf("caches were told of %d grants, observers of %d sessions", revoked, h.seen(model.EventLoggedOut))
	}
	for _, id := range []model.ID{other, bobs} {
		if _, err := h.store.Session(t.Context(), h.service.ID, id); err != nil {
			t.Errorf("another session: %v", err)
		}
	}
}

// modified changes a signature by a bit.
func modified(token string) string {
	i := strings.LastIndexByte(token, '.') + 5
	flipped := byte('A')
	if token[i] == flipped {
		flipped = 'B'
	}
	return token[:i] + string(flipped) + token[i+1:]
}

// unsigned takes the signature off, and says so.
func unsigned(token string) string {
	parts := strings.Split(token, ".")
	return "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0." + parts[1] + "."
}
