package engine_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwe"
	"github.com/lestrrat-go/jwx/v2/jws"

	"github.com/gatehouse-auth/gatehouse/engine"
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// told makes the settings of a client that is told of sign-outs.
func told(name string, more model.Settings) model.Settings {
	all := model.Settings{"backchannelLogoutUri": raw("https://" + name + ".example.com/logout")}
	for property, value := range more {
		all[property] = value
	}
	return all
}

// OpenID Connect Back-Channel Logout §2.4, §2.6: the token, in each form that a
// client's ID tokens have.
func TestLogoutTokens(t *testing.T) {
	clients := map[string]model.Settings{
		"rs":       told("rs", nil),
		"es256":    told("es256", model.Settings{"idTokenSignAlg": raw("ES256")}),
		"none":     told("none", model.Settings{"clientSecret": raw(longSecret), "idTokenSignAlg": raw("NONE")}),
		"hs":       told("hs", model.Settings{"clientSecret": raw(longSecret), "idTokenSignAlg": raw("HS256")}),
		"pairwise": told("pairwise", model.Settings{"subjectType": raw("PAIRWISE"), "backchannelLogoutSessionRequired": raw(true)}),
		"jwe":      told("jwe", model.Settings{"clientSecret": raw(longSecret), "idTokenEncryptionAlg": raw("A128KW")}),
	}
	algs := map[string]string{"rs": "RS256", "es256": "ES256", "none": "RS256", "hs": "HS256", "pairwise": "RS256", "jwe": "RS256"}
	h := openHall(t, newStore(t), clients)
	session := h.signIn("alice")
	ids := map[string]map[string]any{}
	for client := range clients {
		_, idToken := h.tokensOf(client, session, "alice", "scope", "openid", "nonce", "n")
		ids[client] = claimsOf(t, opened(t, client, idToken))
	}
	h.tokensOf("web", session, "alice", "scope", "openid") // who does not want to know
	h.end(session)
	jtis := map[any]bool{}
	for range clients {
		got := h.rung(t)
		client := strings.TrimSuffix(strings.TrimPrefix(got.address, "https://"), ".example.com/logout")
		token := opened(t, client, got.token)
		message, err := jws.Parse([]byte(token))
		if err != nil {
			t.Fatalf("%s: %v", client, err)
		}
		header := message.Signatures()[0].ProtectedHeaders()
		if header.Type() != "logout+jwt" || string(header.Algorithm()) != algs[client] {
			t.Errorf("%s: typ %s, alg %s", client, header.Type(), header.Algorithm())
		}
		key := jws.WithKeySet(h.jwks())
		if header.Algorithm() == jwa.HS256 {
			key = jws.WithKey(jwa.HS256, []byte(longSecret))
		}
		if _, err := jws.Verify([]byte(token), key); err != nil {
			t.Errorf("%s: %v", client, err)
		}
		claims := claimsOf(t, token)
		if claims["jti"] == "" || jtis[claims["jti"]] {
			t.Errorf("%s: jti %v", client, claims["jti"])
		}
		jtis[claims["jti"]] = true
		now := float64(h.clock().Unix())
		want := map[string]any{
			"iss": issuer, "aud": client, "sub": ids[client]["sub"], "sid": ids[client]["sid"], "iat": now, "exp": now + 120, "jti": claims["jti"],
			"events": map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}},
		}
		if diff := cmp.Diff(want, claims); diff != "" {
			t.Errorf("%s (-want +got):\n%s", client, diff)
		}
		if e := h.outcome(t); e.Kind != model.EventLoggedOut || e.Subject != "alice" || strings.Contains(fmt.Sprint(e), "ey") {
			t.Errorf("%+v", e)
		}
		// It is not an ID token (§2.6): no hint either.
		if resp := h.logout(session, "alice", query("id_token_hint", token)); resp.Action != model.ActionBadRequest {
			t.Errorf("%s: a logout token passes for a hint", client)
		}
	}
	if ids["pairwise"]["sub"] == "alice" {
		t.Error("the pairwise client knows alice")
	}
	h.quiet(t)
}

// opened decrypts what the client with encryption gets.
func opened(t *testing.T, client, token string) string {
	t.Helper()
	if client != "jwe" {
		return token
	}
	key := sha256.Sum256([]byte(longSecret))
	plain, err := jwe.Decrypt([]byte(token), jwe.WithKey(jwa.A128KW, key[:16]))
	if err != nil {
		t.Fatal(err)
	}
	return string(plain)
}

// Back-Channel Logout §2.8 and what a network may do: tried again when that may
// help, three times within a minute, and given up with a report.
func TestLogoutTokensAreSentAgain(t *testing.T) {
	const unreachable, forbidden = 0, 1
	for name, test := range map[string]struct {
		answers []int
		rings   int
		code    string // empty: the client has been told
	}{
		"at once":                     {[]int{200}, 1, ""},
		"no content":                  {[]int{204}, 1, ""},
		"a long answer":               {[]int{299}, 1, ""},
		"after an error":              {[]int{503, 200}, 2, ""},
		"after two":                   {[]int{unreachable, 500, 200}, 3, ""},
		"never":                       {[]int{503, unreachable, 502, 200}, 3, "unavailable"},
		"refused by the client":       {[]int{400, 200}, 1, "rejected"},
		"refused after an error":      {[]int{503, 400}, 2, "rejected"},
		"no such page":                {[]int{404, 200}, 1, "rejected"},
		"a redirect":                  {[]int{302, 200}, 1, "rejected"},
		"an address that is not open": {[]int{forbidden, 200}, 1, "forbidden"},
	} {
		t.Run(name, func(t *testing.T) {
			h := openHall(t, newStore(t), map[string]model.Settings{"rp": told("rp", nil)})
			h.plan("https://rp.example.com/logout", test.answers...)
			session := h.signIn("alice")
			h.tokensOf("rp", session, "alice", "scope", "openid")
			h.end(session)
			e := h.outcome(t)
			if want := map[bool]model.EventKind{true: model.EventLoggedOut, false: model.EventLogoutFailed}[test.code == ""]; e.Kind != want || e.Code != test.code || e.Client != "rp" {
				t.Errorf("%+v", e)
			}
			first := claimsOf(t, h.rung(t).token)["jti"]
			for range test.rings - 1 {
				if again := claimsOf(t, h.rung(t).token)["jti"]; again != first {
					t.Errorf("jti %v and then %v", first, again)
				}
			}
			h.quiet(t)
			for i, most := range []time.Duration{4 * time.Second, 16 * time.Second}[:test.rings-1] {
				if pause := h.pauses[i]; pause < most/2 || pause > most {
					t.Errorf("pause %d: %v", i, pause)
				}
			}
			h.pass(3 * time.Minute)
			h.looks(t, 1)
			h.quiet(t) // it is settled
		})
	}
}

// What was acknowledged outlives the process: an engine that closes hands
// notices back, and another finds them once nobody can be at them any more.
func TestLogoutTokensOutliveAnEngine(t *testing.T) {
	h := openHall(t, newStore(t), map[string]model.Settings{"rp": told("rp", nil), "rp2": told("rp2", nil)})
	session := h.signIn("alice")
	h.tokensOf("rp", session, "alice", "scope", "openid")
	h.tokensOf("rp2", session, "alice", "scope", "openid")
	h.hangs(make(chan struct{}))
	h.end(session)
	first := []string{h.rung(t).address, h.rung(t).address}
	h.close <- time.Time{} // it has waited for long enough
	h.replace()
	h.hangs(nil)
	h.looks(t, 1)
	h.quiet(t) // the process before could still be at it
	h.pass(2 * time.Minute)
	h.looks(t, 1)
	second := []string{h.rung(t).address, h.rung(t).address}
	slices.Sort(first)
	slices.Sort(second)
	if diff := cmp.Diff(first, second); diff != "" {
		t.Error(diff)
	}
	for range second {
		if e := h.outcome(t); e.Kind != model.EventLoggedOut {
			t.Errorf("%+v", e)
		}
	}
	h.replace()
	h.pass(time.Hour)
	h.looks(t, 1)
	h.quiet(t)
}

// However many sign out at once, a bounded number of requests is under way, and
// nobody is forgotten.
func TestLogoutTokensAreBounded(t *testing.T) {
	const most, all = 256, 270
	h := openHall(t, newStore(t), map[string]model.Settings{"rp": told("rp", nil)})
	client, err := h.engine.ClientByAlias(t.Context(), h.service.ID, "rp")
	if err != nil {
		t.Fatal(err)
	}
	open := make(chan struct{})
	h.hangs(open)
	for range all {
		session := h.signIn("alice")
		if err := h.store.Write(t.Context(), store.JoinSession{Service: h.service.ID, Session: session, Client: client.ID}); err != nil {
			t.Fatal(err)
		}
		h.end(session)
	}
	for range most {
		h.rung(t)
	}
	h.looks(t, 1)
	h.quiet(t)
	h.hangs(nil)
	close(open)
	for range most {
		h.outcome(t)
	}
	h.pass(2 * time.Minute)
	h.looks(t, 1)
	for range all - most {
		h.rung(t)
		h.outcome(t)
	}
	h.quiet(t)
}

// threats.md 27, its kin: a session ends once, however often it is ended.
func TestEndSessionAtOnce(t *testing.T) {
	h := openHall(t, newStore(t), map[string]model.Settings{"rp": told("rp", nil)})
	for range 5 {
		session := h.signIn("alice")
		h.tokensOf("rp", session, "alice", "scope", "openid")
		var ended [16]bool
		together(len(ended), func(i int) { ended[i] = h.end(session).Ended })
		if n := count(ended[:]); n != 1 {
			t.Errorf("it ended %d times", n)
		}
		h.rung(t)
		h.outcome(t)
	}
	h.quiet(t)
}

func count(list []bool) (n int) {
	for _, yes := range list {
		if yes {
			n++
		}
	}
	return n
}

// A request that is answered while its session ends has no code, or its client
// is told and the code is worth nothing.
func TestEndSessionBesideIssue(t *testing.T) {
	clients := map[string]model.Settings{}
	for i := range 8 {
		name := fmt.Sprint("rp", i)
		clients[name] = told(name, nil)
	}
	h := openHall(t, newStore(t), clients)
	for range 10 {
		session := h.signIn("alice")
		var tickets, codes [9]string
		for i := range tickets[:8] {
			tickets[i] = h.authorize(request(fmt.Sprint("rp", i), "scope", "openid")).Ticket
		}
		tickets[8] = h.authorize(request("web", "scope", "openid")).Ticket // who is not told
		together(10, func(i int) {
			if i == 9 {
				h.end(session)
				return
			}
			codes[i] = h.issue(tickets[i], during(session, "alice")).AuthorizationCode
		})
		var want, got []string
		for i, code := range codes {
			client := fmt.Sprint("rp", i)
			switch {
			case code == "":
				continue
			case i == 8:
				client = "web"
			default:
				want = append(want, "https://"+client+".example.com/logout")
			}
			h.wantError(h.redeem(client, code), "invalid_grant")
		}
		for range want {
			got = append(got, h.rung(t).address)
			h.outcome(t)
		}
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("the clients that were told (-want +got):\n%s", diff)
		}
		h.quiet(t)
	}
}

// What belongs into the write of a session's end happens with it or not at all.
func TestEndSessionAlso(t *testing.T) {
	h := openHall(t, newStore(t), map[string]model.Settings{"rp": told("rp", nil)})
	session, other := h.signIn("alice"), h.engine.NewID()
	h.tokensOf("rp", session, "alice", "scope", "openid")
	broken := errors.New("broken")
	for _, test := range []struct {
		want error
		also func() ([]store.Step, error)
	}{
		{broken, func() ([]store.Step, error) { return nil, broken }},
		{store.ErrSpent, func() ([]store.Step, error) {
			return []store.Step{store.RedeemHandle{Service: h.service.ID, Kind: model.HandleLogin, ID: 1}}, nil
		}},
		{store.ErrConflict, func() ([]store.Step, error) {
			return []store.Step{store.InsertSession{Session: model.Session{Service: h.service.ID, ID: session}}}, nil
		}},
	} {
		_, err := h.engine.EndSession(t.Context(), h.service.ID, engine.EndSessionRequest{Session: session, Also: test.also})
		if !errors.Is(err, test.want) {
			t.Errorf("%v, want %v", err, test.want)
		}
	}
	if _, err := h.store.Session(t.Context(), h.service.ID, session); err != nil {
		t.Errorf("the session: %v", err)
	}
	h.quiet(t)
	tries := 0
	_, err := h.engine.EndSession(t.Context(), h.service.ID, engine.EndSessionRequest{Session: session, Also: func() ([]store.Step, error) {
		taken := session // the first id that was drawn
		if tries++; tries > 1 {
			taken = other
		}
		return []store.Step{store.InsertSession{Session: model.Session{Service: h.service.ID, ID: taken, Subject: "bob", ExpiresAt: h.clock().Unix() + 60}}}, nil
	}})
	if err != nil || tries != 2 {
		t.Errorf("%v after %d tries", err, tries)
	}
	h.rung(t)
	if _, err := h.store.Session(t.Context(), h.service.ID, other); err != nil {
		t.Errorf("the session that came with it: %v", err)
	}
}

// Front-Channel Logout §2, §3: an address for each client, with iss and sid for
// those that want them, and no more than a browser can load.
func TestFrontChannelFrames(t *testing.T) {
	clients := map[string]model.Settings{
		"plain":  {"frontchannelLogoutUri": raw("https://plain.example.com/out?x=y")},
		"named":  {"frontchannelLogoutUri": raw("https://named.example.com/out"), "frontchannelLogoutSessionRequired": raw(true)},
		"named2": {"frontchannelLogoutUri": raw("https://named.example.com/out?x=y"), "frontchannelLogoutSessionRequired": raw(true)},
	}
	for i := range 60 {
		clients[fmt.Sprintf("many%02d", i)] = model.Settings{"frontchannelLogoutUri": raw("https://many.example.com/out")}
	}
	h := openWith(t, nil, clients)
	session := h.signIn("alice")
	var sid any
	for _, client := range []string{"plain", "named", "named2"} {
		_, idToken := h.tokensOf(client, session, "alice", "scope", "openid")
		sid = claimsOf(t, idToken)["sid"]
	}
	names := "iss=https%3A%2F%2Fas.example.com&sid=" + sid.(string)
	want := []string{"https://named.example.com/out?" + names, "https://named.example.com/out?x=y&" + names, "https://plain.example.com/out?x=y"}
	got := h.end(session).Frames
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	session = h.signIn("alice")
	for client := range clients {
		h.consented(request(client, "scope", "openid"), during(session, "alice"))
	}
	if n := len(h.end(session).Frames); n != 50 || h.seen(model.EventLogoutFailed) != len(clients)-50 {
		t.Errorf("%d frames, and %d reports of clients without one", n, h.seen(model.EventLogoutFailed))
	}
}
