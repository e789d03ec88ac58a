package engine_test

import (
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/engine"
	"github.com/gatehouse-auth/gatehouse/engine/dpop/dpoptest"
	"github.com/gatehouse-auth/gatehouse/engine/model"
)

// apart is how far the clocks of two nodes are from the right time, in two
// directions: together what a service allows by default.
const apart = 5 * time.Second

// nodesApart are two nodes on one store, one ahead of the time and one behind.
// Each test runs with either as the first.
func nodesApart(t *testing.T, settings model.Settings, clients map[string]model.Settings, test func(t *testing.T, first, second *house)) {
	t.Helper()
	t.Parallel()
	for name, ahead := range map[string]time.Duration{"the first is ahead": apart, "the first is behind": -apart} {
		t.Run(name, func(t *testing.T) {
			st := newStore(t)
			test(t, node(t, st, ahead, masterKeys(masterKey), settings, clients), node(t, st, -ahead, masterKeys(masterKey), settings, clients))
		})
	}
}

// bothPass lets time go by at both nodes.
func bothPass(a, b *house, d time.Duration) {
	a.pass(d)
	b.pass(d)
}

// Clocks apart: a ticket, a code and tokens of one node are good at the other at
// once, also a JWT whose iat is of the future there (RFC 7519 §4.1.6), and end
// at the latest when the clock behind says so.
func TestClocksTokens(t *testing.T) {
	nodesApart(t, model.Settings{"accessTokenSignAlg": raw("ES256"), "accessTokenDuration": raw(60)}, nil, func(t *testing.T, first, second *house) {
		resp := first.authorize(request("web"))
		issued := second.issue(resp.Ticket) // the ticket
		code := second.read(issued.Action, issued.ResponseContent).Get("code")
		tokens := first.redeem("web", code)
		first.want(tokens, model.ActionOK)
		own := first.own("service", "orders:read")
		for _, token := range []string{tokens.AccessToken, own.AccessToken} {
			if !second.usable(token) {
				t.Error("a token of the other node is not good")
			}
		}
		second.wantError(second.redeem("web", code), "invalid_grant") // once
		bothPass(first, second, 60*time.Second+2*apart)
		first.sweep()
		for _, h := range []*house{first, second} {
			if h.usable(own.AccessToken) {
				t.Error("a token outlives its time at a node")
			}
		}
	})
}

// Clocks apart: a refresh token that one node gave is rotated at the other, to
// the same successor at both, once; used again after that it ends the family.
func TestClocksRefresh(t *testing.T) {
	nodesApart(t, nil, nil, func(t *testing.T, first, second *house) {
		tokens := first.tokens("spa")
		next := second.refresh("spa", tokens.RefreshToken)
		second.want(next, model.ActionOK)
		if again := first.refresh("spa", tokens.RefreshToken); again.RefreshToken != next.RefreshToken || again.AccessToken != next.AccessToken {
			t.Errorf("another successor at the other node: %s", again.ResponseContent)
		}
		third := first.refresh("spa", next.RefreshToken)
		first.want(third, model.ActionOK)
		second.wantError(second.refresh("spa", tokens.RefreshToken), "invalid_grant")
		if first.usable(third.AccessToken) || first.seen(model.EventReuseDetected)+second.seen(model.EventReuseDetected) != 1 {
			t.Error("reuse is not found at the other node")
		}
	})
}

// Clocks apart: a session of one node counts at the other, whose answers carry
// it, and ends there with its codes and tokens.
func TestClocksSessions(t *testing.T) {
	nodesApart(t, nil, nil, func(t *testing.T, first, second *house) {
		session := first.signIn("alice")
		access, idToken := second.tokensOf("web", session, "alice", "scope", "openid")
		if resp := first.logout(session, "alice", query("id_token_hint", idToken)); resp.Action == model.ActionBadRequest {
			t.Error("an ID token of the other node is no hint") // its iat is of the future
		}
		if !first.end(session).Ended {
			t.Error("it does not end")
		}
		if first.usable(access) {
			t.Error("its tokens outlive it")
		}
	})
}

// Clocks apart: a node whose clock is ahead signs with a new key before the
// other would, and the other knows the key; whichever has made it.
func TestClocksKeyRotation(t *testing.T) {
	nodesApart(t, model.Settings{"accessTokenSignAlg": raw("ES256")}, nil, func(t *testing.T, first, second *house) {
		added, err := first.engine.RotateKeys(t.Context(), first.service.ID, []string{"ES256"}, engine.Rotation{Announce: time.Minute, Overlap: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, "the other node does not know the new key", func() bool {
			_, there := second.jwks().LookupKeyID(added[0])
			return there
		})
		for range 30 { // over the moments at which each takes over, and retires the old key
			for _, h := range []*house{first, second} {
				token := h.own("service", "orders:read").AccessToken
				if !first.usable(token) || !second.usable(token) {
					t.Fatalf("at %s a token is not good at both nodes", h.clock())
				}
			}
			bothPass(first, second, 5*time.Second)
		}
	})
}

// Clocks apart, RFC 9449 §8, §11.1: a nonce of one node and a proof by the right
// time are good at both, on either side of the moment at which nonces change;
// and a proof that was used at one is used at the other, for as long as it could
// be good at either.
func TestClocksDPoP(t *testing.T) {
	nodesApart(t, with(everyFlow, "dpopNonceRequired", true), senders(), func(t *testing.T, first, second *house) {
		k := dpoptest.NewKey(t, "ES256")
		own := []string{"grant_type", "client_credentials", "scope", "orders:read"}
		change := first.clock().Truncate(5 * time.Minute).Add(5 * time.Minute)
		bothPass(first, second, change.Sub(first.clock())-12*time.Second)
		for range 12 {
			nonce := first.from(first.holder(k), "boundown", own...).DPoPNonce
			middle := second.clock().Add(first.clock().Sub(second.clock()) / 2).Unix()
			once := engine.Sender{HTM: "POST", DPoP: []string{second.proof(k, dpoptest.Members{"nonce": nonce, "iat": middle})}}
			second.want(second.from(once, "boundown", own...), model.ActionOK)
			first.wantError(first.from(once, "boundown", own...), "invalid_dpop_proof")
			bothPass(first, second, 2*time.Second)
		}
		nonce := first.from(first.holder(k), "boundown", own...).DPoPNonce
		once := engine.Sender{HTM: "POST", DPoP: []string{second.proof(k, dpoptest.Members{"nonce": nonce, "iat": first.clock().Unix()})}}
		if second.clock().Before(first.clock()) { // as far ahead as it may be there
			second.want(second.from(once, "boundown", own...), model.ActionOK)
		} else {
			first.want(first.from(once, "boundown", own...), model.ActionOK)
		}
		for range 60 { // until it is too old everywhere
			first.sweep()
			second.sweep()
			first.wantError(first.from(once, "boundown", own...), "invalid_dpop_proof")
			second.wantError(second.from(once, "boundown", own...), "invalid_dpop_proof")
			bothPass(first, second, 2*time.Second)
		}
	})
}

// Clocks apart, RFC 7523 §3 (7): a client assertion that was used at one node
// cannot be used at the other, even when a clock that is ahead has what is used
// forgotten. It could: its row was kept for as long as the first clock said.
func TestClocksAssertions(t *testing.T) {
	nodesApart(t, nil, asserters(), func(t *testing.T, first, second *house) {
		assertion := signedBy("ES256", first.assertion("keys", "iat", first.clock().Add(-2*apart).Unix(), "exp", first.clock().Unix()+60))
		first.want(first.present(assertion), model.ActionOK)
		for range 50 {
			first.sweep()
			second.sweep()
			first.wantError(first.present(assertion), "invalid_client")
			second.wantError(second.present(assertion), "invalid_client")
			bothPass(first, second, 2*time.Second)
		}
	})
}

// Clocks apart: a registered client and its secret, which one node made, are
// good at the other until the secret ends.
func TestClocksRegisteredClients(t *testing.T) {
	nodesApart(t, nil, nil, func(t *testing.T, first, second *house) {
		settings := model.Settings{"responseTypes": raw([]string{}), "grantTypes": raw([]string{"CLIENT_CREDENTIALS"})}
		first.register("c_made", settings, "its-secret", first.clock().Unix()+60)
		as := engine.ClientCredentials{ClientID: "c_made", ClientSecret: "its-secret", Present: true}
		second.want(second.direct("grant_type=client_credentials&scope=orders:read", as), model.ActionOK)
		bothPass(first, second, 60*time.Second+2*apart)
		second.wantError(second.direct("grant_type=client_credentials&scope=orders:read", as), "invalid_client")
	})
}

// Clocks apart: a notice of back-channel logout that one node is delivering is
// not abandoned in the eyes of the other, and one that nobody delivers is picked
// up by one node, whichever clock it has.
func TestClocksNotices(t *testing.T) {
	t.Parallel()
	for name, ahead := range map[string]time.Duration{"behind": -apart, "ahead": apart} {
		t.Run(name, func(t *testing.T) {
			clients := map[string]model.Settings{"rp": told("rp", nil)}
			st := newStore(t)
			first, second := openHall(t, st, clients), openHall(t, st, clients)
			second.pass(ahead)
			first.hangs(make(chan struct{}))
			session := first.signIn("alice")
			first.tokensOf("rp", session, "alice", "scope", "openid")
			first.end(session)
			first.rung(t)
			bothPass(first.house, second.house, time.Minute) // the longest that it may take
			second.looks(t, 1)
			second.quiet(t)
			first.close <- time.Time{}
			first.shut()
			bothPass(first.house, second.house, 2*time.Minute)
			second.looks(t, 1)
			second.rung(t)
			second.outcome(t)
		})
	}
}
