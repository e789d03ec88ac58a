package engine_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/engine"
	"github.com/gatehouse-auth/gatehouse/engine/model"
)

// password goes through the password flow as alice.
func (h *house) password(client string, pairs ...string) *engine.TokenResponse {
	h.Helper()
	asked := h.token(client, append([]string{"grant_type", "password", "username", "alice", "password", "secret"}, pairs...)...)
	h.want(asked, model.ActionPassword)
	resp, err := h.engine.TokenIssue(h.Context(), h.service.ID, engine.TokenIssueRequest{Ticket: asked.Ticket, Subject: "alice", AuthTime: h.clock().Unix()})
	if err != nil {
		h.Fatal(err)
	}
	h.want(resp, model.ActionOK)
	return resp
}

// lasts are the seconds that a token is good for, as introspection has it.
func (h *house) lasts(token string) int64 {
	h.Helper()
	exp, _ := h.introspectedBy("service", token)["exp"].(float64)
	return int64(exp) - h.clock().Unix()
}

// idTokenLasts is the time from iat to exp.
func (h *house) idTokenLasts(text string) int64 {
	h.Helper()
	claims := h.verified(text, "").claims
	return int64(claims["exp"].(float64) - claims["iat"].(float64))
}

// The Edit Service and Edit Client pages: how long tokens are good is the
// service's to say, or the client's instead, and no longer than any of the
// scopes says; by whatever flow they come.
func TestDurations(t *testing.T) {
	t.Parallel()
	attributes := func(access, refresh, id string) []model.Pair {
		return []model.Pair{{Key: model.AttributeAccessTokenDuration, Value: access}, {Key: model.AttributeRefreshTokenDuration, Value: refresh}, {Key: model.AttributeIDTokenDuration, Value: id}}
	}
	h := openWith(t, with(everyFlow, "accessTokenDuration", 1000, "refreshTokenDuration", 2000, "idTokenDuration", 3000, "supportedScopes", []model.Scope{
		{Name: "openid"}, {Name: "offline_access"}, {Name: "short", Attributes: attributes("10", "2m", "30")}, {Name: "shorter", Attributes: attributes("5", "15", "25")},
		{Name: "long", Attributes: attributes("1h", "1h", "1h")},
	}), map[string]model.Settings{
		"any": anyFlow["any"], "own": with(anyFlow["any"], "accessTokenDuration", 1500, "refreshTokenDuration", 2500, "idTokenDuration", 3500),
	})
	for _, c := range []struct {
		client, scope       string
		access, refresh, id int64
	}{
		{"any", "", 1000, 2000, 3000}, {"own", "", 1500, 2500, 3500}, {"any", "long", 1000, 2000, 3000}, {"own", "long", 1500, 2500, 3500},
		{"any", "short", 10, 120, 30}, {"own", "short", 10, 120, 30}, {"own", "long short shorter", 5, 15, 25},
	} {
		t.Run(c.client+" "+c.scope, func(t *testing.T) {
			h, scope := h.on(t), "openid offline_access "+c.scope
			code := h.tokens(c.client, "scope", scope)
			password := h.password(c.client, "scope", scope)
			refreshed := h.refresh(c.client, code.RefreshToken)
			for flow, resp := range map[string]*engine.TokenResponse{"code": code, "password": password, "refresh": refreshed} {
				if flow == "code" {
					if h.usable(resp.AccessToken) {
						t.Error("the token that was coupled to the refresh token lives on")
					}
				} else if got := h.lasts(resp.AccessToken); got != c.access {
					t.Errorf("%s: the access token is good for %d s, want %d", flow, got, c.access)
				}
				if got := h.lasts(resp.RefreshToken); got != c.refresh {
					t.Errorf("%s: the refresh token is good for %d s, want %d", flow, got, c.refresh)
				}
				if got := h.idTokenLasts(resp.IDToken); got != c.id {
					t.Errorf("%s: the ID token is good for %d s, want %d", flow, got, c.id)
				}
				if got := resp.AccessTokenExpiresAt - h.clock().Unix(); got != c.access {
					t.Errorf("%s: expires_in %d, want %d", flow, got, c.access)
				}
			}
			implicit := h.consented(request(c.client, "scope", scope, "response_type", "id_token token"))
			if got := h.lasts(implicit.Get("access_token")); got != c.access || implicit.Get("expires_in") != fmt.Sprint(c.access) {
				t.Errorf("implicit: %d s, expires_in %s, want %d", got, implicit.Get("expires_in"), c.access)
			}
			if got := h.idTokenLasts(implicit.Get("id_token")); got != c.id {
				t.Errorf("implicit: the ID token is good for %d s, want %d", got, c.id)
			}
			if c.scope != "" {
				if got := h.lasts(h.own(c.client, c.scope).AccessToken); got != c.access {
					t.Errorf("for itself: %d s, want %d", got, c.access)
				}
			}
		})
	}
	// A token with fewer scopes has their time (RFC 6749 §6).
	tokens := h.tokens("any", "scope", "openid offline_access short")
	if got := h.lasts(h.refresh("any", tokens.RefreshToken, "scope", "openid").AccessToken); got != 1000 {
		t.Errorf("a narrower token is good for %d s, want 1000", got)
	}
}

// The longest duration of the Edit Service page, 31.7 million years, whoever
// says it: nothing overflows on any way, and nothing ends early.
func TestLongestDurations(t *testing.T) {
	t.Parallel()
	const longest = int64(model.MaxDuration)
	scope := []model.Pair{{Key: model.AttributeAccessTokenDuration, Value: fmt.Sprint(longest)}, {Key: model.AttributeRefreshTokenDuration, Value: fmt.Sprint(longest)}}
	for name, settings := range map[string]model.Settings{
		"opaque": nil, "JWT": {"accessTokenSignAlg": raw("ES256")}, "rotated": {"refreshTokenKept": raw(false)}, "reset": {"refreshTokenDurationReset": raw(true)},
		"single": {"singleAccessTokenPerSubject": raw(true)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			all := with(everyFlow, "accessTokenDuration", longest, "refreshTokenDuration", longest, "idTokenDuration", longest, "clientSecretDuration", longest,
				"supportedScopes", []model.Scope{{Name: "openid"}, {Name: "offline_access"}, {Name: "orders:read", Attributes: scope}})
			for property, value := range settings {
				all[property] = value
			}
			h := openWith(t, all, map[string]model.Settings{"any": with(anyFlow["any"], "accessTokenDuration", longest, "refreshTokenDuration", longest, "idTokenDuration", longest)})
			got := h.consented(request("any", "response_type", "code id_token token"))
			tokens := h.redeem("any", got.Get("code"))
			if h.idTokenLasts(tokens.IDToken) != longest || h.idTokenLasts(got.Get("id_token")) != longest || got.Get("expires_in") != fmt.Sprint(longest) {
				t.Errorf("expires_in %s", got.Get("expires_in"))
			}
			for range 3 {
				if h.lasts(tokens.AccessToken) != longest || h.lasts(tokens.RefreshToken) > longest || h.lasts(tokens.RefreshToken) < longest-30_000*3600 {
					t.Fatalf("good for %d and %d s", h.lasts(tokens.AccessToken), h.lasts(tokens.RefreshToken))
				}
				h.pass(10_000 * time.Hour)
				h.sweep()
				if !h.usable(tokens.AccessToken) {
					t.Fatal("the access token has ended")
				}
				tokens = h.refresh("any", tokens.RefreshToken)
				h.want(tokens, model.ActionOK)
			}
			if own := h.own("any", "orders:read"); h.lasts(own.AccessToken) != longest {
				t.Errorf("for itself: %d s", h.lasts(own.AccessToken))
			}
			h.userInfo(tokens.AccessToken, nil)
			h.revoke("any", tokens.RefreshToken)
			if h.usable(tokens.AccessToken) {
				t.Error("it cannot be revoked")
			}
		})
	}
}

// Refresh Token Kept, Duration Kept and Duration Reset of the service: a refresh
// token stays or is replaced, and its time goes on or begins again.
func TestRefreshTokenDurations(t *testing.T) {
	t.Parallel()
	const duration, later = 1000, 300
	for _, kept := range []string{"", "true", "false"} {
		for _, flags := range []struct{ kept, reset bool }{{false, false}, {true, false}, {false, true}, {true, true}} {
			for _, client := range []string{"web", "spa"} {
				name := fmt.Sprintf("kept %s, duration kept %v, reset %v, %s", kept, flags.kept, flags.reset, client)
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					settings := model.Settings{"refreshTokenDuration": raw(duration), "refreshTokenDurationKept": raw(flags.kept), "refreshTokenDurationReset": raw(flags.reset)}
					stays := client == "web" // RFC 9700 §4.14.2: those of public clients are replaced
					if kept != "" {
						settings["refreshTokenKept"] = []byte(kept)
						stays = kept == "true"
					}
					want := int64(duration - later)
					if stays && flags.reset || !stays && !flags.kept {
						want = duration
					}
					h := open(t, settings)
					first := h.tokens(client)
					h.pass(later * time.Second)
					second := h.refresh(client, first.RefreshToken)
					h.want(second, model.ActionOK)
					if (second.RefreshToken == first.RefreshToken) != stays {
						t.Errorf("the refresh token was replaced, or was not")
					}
					if got := h.lasts(second.RefreshToken); got != want {
						t.Errorf("it is good for %d s, want %d", got, want)
					}
					h.pass(time.Duration(want-1) * time.Second)
					h.sweep()
					h.want(h.refresh(client, second.RefreshToken), model.ActionOK)
					h.pass(time.Second)
					if !flags.reset || !stays {
						h.wantError(h.refresh(client, second.RefreshToken), "invalid_grant")
					}
				})
			}
		}
	}
}

// A grant that is refreshed for long outlives its first expiry: nothing below it
// is swept while it may still be used.
func TestRefreshForYears(t *testing.T) {
	t.Parallel()
	for _, settings := range []model.Settings{{"refreshTokenKept": raw(false)}, {"refreshTokenKept": raw(true), "refreshTokenDurationReset": raw(true)}} {
		h := open(t, with(settings, "refreshTokenDuration", 30*24*3600))
		tokens := h.tokens("web")
		for range 24 {
			h.pass(29 * 24 * time.Hour)
			h.sweep()
			tokens = h.refresh("web", tokens.RefreshToken)
			h.want(tokens, model.ActionOK)
			if !h.usable(tokens.AccessToken) {
				t.Fatal("the access token is not good")
			}
		}
	}
}
