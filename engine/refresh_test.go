package engine_test

import (
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-auth/gatehouse/engine"
	"github.com/gatehouse-auth/gatehouse/engine/model"
)

// RFC 9700 §4.14.2: a public client's refresh token is replaced at each use,
// and the access token that came with it ends.
func TestRotation(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	first := h.tokens("spa")
	second := h.refresh("spa", first.RefreshToken)
	h.want(second, model.ActionOK)
	if second.RefreshToken == first.RefreshToken || second.AccessToken == first.AccessToken {
		t.Error("nothing was replaced")
	}
	if h.usable(first.AccessToken) || !h.usable(second.AccessToken) {
		t.Error("the old access token lives, or the new one does not")
	}
}

// The design's idempotent rotation: until the successor has been used, the
// same pair is given again; after that it is reuse, and the family ends.
func TestRotationIsIdempotent(t *testing.T) {
	t.Parallel()
	for _, alg := range []string{"", "ES256"} {
		settings := model.Settings{}
		if alg != "" {
			settings["accessTokenSignAlg"] = raw(alg)
		}
		h := open(t, settings)
		first := h.tokens("spa")
		second := h.refresh("spa", first.RefreshToken)
		h.pass(10 * time.Minute)
		again := h.refresh("spa", first.RefreshToken)
		h.want(again, model.ActionOK)
		if again.RefreshToken != second.RefreshToken || again.AccessToken != second.AccessToken {
			t.Error("another pair was given")
		}
		if !h.usable(again.AccessToken) || again.AccessTokenExpiresAt != second.AccessTokenExpiresAt {
			t.Error("the access token given again is another")
		}
		third := h.refresh("spa", second.RefreshToken)
		h.want(third, model.ActionOK)
		h.wantError(h.refresh("spa", first.RefreshToken), "invalid_grant")
		if h.usable(third.AccessToken) {
			t.Error("reuse did not end the family")
		}
		h.wantError(h.refresh("spa", third.RefreshToken), "invalid_grant")
		if h.seen(model.EventReuseDetected) != 1 {
			t.Errorf("reuse was reported %d times", h.seen(model.EventReuseDetected))
		}
	}
}

// A lost answer costs nothing, even when the access token in it has ended.
func TestRepeatAfterAccessTokenExpired(t *testing.T) {
	t.Parallel()
	h := open(t, model.Settings{"accessTokenDuration": raw(60)})
	first := h.tokens("spa")
	second := h.refresh("spa", first.RefreshToken)
	h.pass(2 * time.Minute)
	h.sweep()
	again := h.refresh("spa", first.RefreshToken)
	h.want(again, model.ActionOK)
	if again.RefreshToken != second.RefreshToken || h.usable(again.AccessToken) {
		t.Error("another pair was given, or an expired token revived")
	}
	h.want(h.refresh("spa", again.RefreshToken), model.ActionOK)
}

// threats.md 2: one refresh token used by many requests at once yields one successor.
func TestThreat02OneSuccessor(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	for _, n := range []int{2, 16, 64} {
		first := h.tokens("spa")
		var mu sync.Mutex
		successors := map[string]bool{}
		together(n, func(int) {
			resp := h.refresh("spa", first.RefreshToken)
			mu.Lock()
			defer mu.Unlock()
			if resp.Action == model.ActionOK {
				successors[resp.RefreshToken] = true
			}
		})
		if len(successors) != 1 {
			t.Errorf("%d at once: %d successors", n, len(successors))
		}
	}
}

// threats.md 2: refresh against revoke. Whatever the order, nothing lives after it.
func TestThreat02RefreshAgainstRevoke(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	for range 20 {
		first := h.tokens("spa")
		var second *engine.TokenResponse
		together(2, func(i int) {
			if i == 0 {
				second = h.refresh("spa", first.RefreshToken)
			} else if resp := h.revoke("spa", first.RefreshToken); resp.Action != model.ActionOK {
				t.Errorf("revoke: %s", resp.ResponseContent)
			}
		})
		if second.AccessToken != "" && h.usable(second.AccessToken) {
			t.Fatal("a token outlives the revocation of its family")
		}
		h.wantError(h.refresh("spa", first.RefreshToken), "invalid_grant")
	}
}

// threats.md 2: replay after a restart (CVE-2026-1035).
func TestThreat02ReplayAfterRestart(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	first := h.tokens("spa")
	second := h.refresh("spa", first.RefreshToken)
	h.want(h.refresh("spa", second.RefreshToken), model.ActionOK)
	again := openOn(t, h.store, h.options.Services...)
	again.wantError(again.refresh("spa", first.RefreshToken), "invalid_grant")
	again.wantError(again.refresh("spa", second.RefreshToken), "invalid_grant")
}

// threats.md 3: a refresh token belongs to one client.
func TestThreat03RefreshTokenBelongsToItsClient(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	tokens := h.tokens("web")
	for _, thief := range []string{"web2", "spa"} {
		h.wantError(h.refresh(thief, tokens.RefreshToken), "invalid_grant")
	}
	h.want(h.refresh("web", tokens.RefreshToken), model.ActionOK)
}

// threats.md 4: refresh looks again at the user, the client and the consent.
func TestThreat04RefreshLooksAgain(t *testing.T) {
	t.Parallel()
	t.Run("user", func(t *testing.T) {
		h := open(t, nil)
		tokens := h.tokens("spa")
		h.users.disabled.Store("alice", true)
		h.wantError(h.refresh("spa", tokens.RefreshToken), "invalid_grant")
		if h.usable(tokens.AccessToken) {
			t.Error("the access token of a disabled user is usable")
		}
	})
	t.Run("client", func(t *testing.T) {
		h := open(t, nil)
		tokens := h.tokens("spa")
		d := h.options.Services[0]
		var others []model.Client
		for _, c := range d.Clients {
			if c.Alias != "spa" {
				others = append(others, c)
			}
		}
		d.Clients = others
		without := openOn(t, h.store, d)
		without.wantError(without.refresh("spa", tokens.RefreshToken), "invalid_client")
		if without.usable(tokens.AccessToken) {
			t.Error("the access token of a removed client is usable")
		}
	})
	t.Run("consent", func(t *testing.T) {
		h := open(t, nil)
		tokens := h.tokens("spa")
		spa, _ := h.engine.ClientByAlias(t.Context(), h.service.ID, "spa")
		if err := h.engine.RevokeGrants(t.Context(), h.service.ID, "alice", spa.ID); err != nil {
			t.Fatal(err)
		}
		h.wantError(h.refresh("spa", tokens.RefreshToken), "invalid_grant")
	})
}

// Clients that authenticate keep their refresh token; the access token issued
// with it before ends.
func TestRefreshTokenKept(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	first := h.tokens("web")
	second := h.refresh("web", first.RefreshToken)
	h.want(second, model.ActionOK)
	if second.RefreshToken != first.RefreshToken {
		t.Error("the refresh token was replaced")
	}
	if h.usable(first.AccessToken) || !h.usable(second.AccessToken) {
		t.Error("the old access token lives, or the new one does not")
	}
}

// RFC 6749 §6: a refresh may ask for less, never for more; the refresh token
// itself keeps what was granted.
func TestRefreshScope(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	first := h.tokens("web")
	less := h.refresh("web", first.RefreshToken, "scope", "orders:read")
	h.want(less, model.ActionOK)
	if diff := cmp.Diff([]string{"orders:read"}, less.Scopes); diff != "" {
		t.Error(diff)
	}
	h.wantError(h.refresh("web", first.RefreshToken, "scope", "orders:write"), "invalid_scope")
	all := h.refresh("web", first.RefreshToken)
	if diff := cmp.Diff(first.Scopes, all.Scopes); diff != "" {
		t.Error(diff)
	}
}

// A refresh token lives as long as refresh_token_duration says.
func TestRefreshTokenExpires(t *testing.T) {
	t.Parallel()
	h := open(t, model.Settings{"refreshTokenDuration": raw(3600)})
	tokens := h.tokens("web")
	h.pass(time.Hour + time.Second)
	h.wantError(h.refresh("web", tokens.RefreshToken), "invalid_grant")
}

// OpenID Connect Core §11: with openid, a refresh token needs offline_access.
func TestOfflineAccess(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	if got := h.tokens("spa", "scope", "openid profile").RefreshToken; got != "" {
		t.Error("a refresh token was given without offline_access")
	}
	if got := h.tokens("spa", "scope", "orders:read").RefreshToken; got == "" {
		t.Error("a plain OAuth request got no refresh token")
	}
}
