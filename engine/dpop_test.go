package engine_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/engine"
	"github.com/gatehouse-auth/gatehouse/engine/dpop/dpoptest"
	"github.com/gatehouse-auth/gatehouse/engine/model"
)

// senders are clients of every kind.
func senders() map[string]model.Settings {
	all := map[string]model.Settings{"any": anyFlow["any"]}
	own := []string{"CLIENT_CREDENTIALS"}
	all["jar"] = model.Settings{"clientSecret": raw(longSecret), "requestSignAlg": raw("HS256")}
	all["bound"] = model.Settings{"dpopRequired": raw(true)}
	all["cert"] = model.Settings{"tlsClientCertificateBoundAccessTokens": raw(true)}
	all["certweb"] = with(all["cert"], "clientSecret", longSecret)
	all["certown"] = with(all["cert"], "clientSecret", longSecret, "grantTypes", own)
	all["boundown"] = with(all["bound"], "clientSecret", longSecret, "grantTypes", own)
	return all
}

// openSenders is a service that binds tokens, opaque ones or JWTs.
func openSenders(t testing.TB, alg string, more ...any) *house {
	t.Helper()
	settings := with(everyFlow, append([]any{"tlsClientCertificateBoundAccessTokens", true}, more...)...)
	if alg != "" {
		settings["accessTokenSignAlg"] = raw(alg)
	}
	return openWith(t, settings, senders())
}

var formats = map[string]string{"opaque": "", "JWT": "ES256"}

// RFC 9449 §5, §6: with a proof, the access token of each grant type is bound to
// its key, and without one to nothing.
func TestDPoPBindsAccessTokens(t *testing.T) {
	t.Parallel()
	for format, alg := range formats {
		t.Run(format, func(t *testing.T) {
			h := openSenders(t, alg)
			k := dpoptest.NewKey(t, "ES256")
			jkt := k.Thumbprint(t)
			for _, c := range []struct {
				jkt    string
				sender func() engine.Sender
			}{
				{jkt, func() engine.Sender { return h.holder(k) }},
				{"", func() engine.Sender { return engine.Sender{HTM: "POST"} }},
			} {
				for _, client := range []string{"spa", "web"} {
					tokens := h.tokensFrom(c.sender(), client)
					h.wantBound(tokens, c.jkt, "")
					h.wantBound(h.from(c.sender(), client, refreshWith(tokens.RefreshToken)...), c.jkt, "")
				}
				h.wantBound(h.from(c.sender(), "service", "grant_type", "client_credentials", "scope", "orders:read"), c.jkt, "")
				h.wantBound(h.passwordFrom(c.sender(), "any"), c.jkt, "")
			}
		})
	}
}

// RFC 9449 §4.3, §5: a proof for something else, or that is none, gets nothing,
// and costs nothing but itself. What is wrong with a proof is engine/dpop's test.
func TestThreat17ProofsAtTheTokenEndpoint(t *testing.T) {
	t.Parallel()
	h := openSenders(t, "")
	k := dpoptest.NewKey(t, "ES256")
	now := h.clock().Unix()
	proof := func(changes dpoptest.Members) []string { return []string{h.proof(k, changes)} }
	for name, c := range map[string]struct {
		sender engine.Sender
		ok     bool
	}{
		"good":                      {engine.Sender{DPoP: proof(nil), HTM: "POST"}, true},
		"two headers":               {engine.Sender{DPoP: append(proof(nil), proof(nil)...), HTM: "POST"}, false},
		"an empty header":           {engine.Sender{DPoP: []string{""}, HTM: "POST"}, false},
		"a list in one header":      {engine.Sender{DPoP: []string{proof(nil)[0] + ", " + proof(nil)[0]}, HTM: "POST"}, false},
		"another method":            {engine.Sender{DPoP: proof(dpoptest.Members{"htm": "GET"}), HTM: "POST"}, false},
		"no method":                 {engine.Sender{DPoP: proof(nil)}, false},
		"another server":            {engine.Sender{DPoP: proof(dpoptest.Members{"htu": "https://as.example.net/token"}), HTM: "POST"}, false},
		"another endpoint":          {engine.Sender{DPoP: proof(dpoptest.Members{"htu": h.service.UserInfoEndpoint}), HTM: "POST"}, false},
		"another service's path":    {engine.Sender{DPoP: proof(dpoptest.Members{"htu": issuer + "/tenant/token"}), HTM: "POST"}, false},
		"with a query":              {engine.Sender{DPoP: proof(dpoptest.Members{"htu": h.service.TokenEndpoint + "?x"}), HTM: "POST"}, true},
		"the address that was used": {engine.Sender{DPoP: proof(dpoptest.Members{"htu": issuer + "/direct"}), HTM: "POST", HTU: issuer + "/direct"}, true},
		"the address that was not":  {engine.Sender{DPoP: proof(nil), HTM: "POST", HTU: issuer + "/direct"}, false},
		"old":                       {engine.Sender{DPoP: proof(dpoptest.Members{"iat": now - 71}), HTM: "POST"}, false},
		"old within the skew":       {engine.Sender{DPoP: proof(dpoptest.Members{"iat": now - 70}), HTM: "POST"}, true},
		"early":                     {engine.Sender{DPoP: proof(dpoptest.Members{"iat": now + 11}), HTM: "POST"}, false},
		"early within the skew":     {engine.Sender{DPoP: proof(dpoptest.Members{"iat": now + 10}), HTM: "POST"}, true},
		"for an access token too":   {engine.Sender{DPoP: proof(dpoptest.Members{"ath": dpoptest.Hash("x")}), HTM: "POST"}, true},
		"a nonce that nobody gave":  {engine.Sender{DPoP: proof(dpoptest.Members{"nonce": "x"}), HTM: "POST"}, true},
		"by another algorithm":      {engine.Sender{DPoP: []string{h.proof(dpoptest.NewKey(t, "ES384"), nil)}, HTM: "POST"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			h := h.on(t)
			code := h.code("spa")
			resp := h.from(c.sender, "spa", redeemWith(code)...)
			if c.ok {
				h.want(resp, model.ActionOK)
				return
			}
			h.wantError(resp, "invalid_dpop_proof")
			if resp.Action != model.ActionBadRequest || resp.AccessToken != "" || resp.DPoPNonce != "" {
				t.Errorf("%+v", resp)
			}
			h.want(h.from(h.holder(k), "spa", redeemWith(code)...), model.ActionOK)
		})
	}
}

// RFC 9449 §11.1: a proof counts once, on all nodes and at all endpoints
// together, however many requests bring it at once.
func TestThreat17ProofIsUsedOnce(t *testing.T) {
	t.Parallel()
	address := storesOf(t).New(t)
	lendKeys(t, openStore(t, address))
	d := declareWith(t, issuer, everyFlow, senders())
	h := openOn(t, openStore(t, address), d)
	nodes := []*house{h, openOn(t, openStore(t, address), d)}
	k := dpoptest.NewKey(t, "ES256")
	for _, n := range []int{2, 16, 64} {
		sender := h.holder(k)
		parameters, credentials := h.as("service", "grant_type", "client_credentials", "scope", "orders:read")
		var won, told atomic.Int32
		together(n, func(i int) {
			node := nodes[i%2]
			resp, err := node.engine.Token(context.Background(), node.service.ID, engine.TokenRequest{Parameters: parameters, Basic: credentials, Sender: sender})
			switch {
			case err != nil:
				t.Error(err)
			case resp.Action == model.ActionOK:
				won.Add(1)
			case errorCode(resp.ResponseContent) == "invalid_dpop_proof":
				told.Add(1)
			}
		})
		if won.Load() != 1 || told.Load() != int32(n-1) {
			t.Errorf("%d at once: %d successes, %d told of the first", n, won.Load(), told.Load())
		}
	}
}

// What is used up stays so while its iat is good, whatever became of the
// request, and a jti is one key's.
func TestDPoPProofStaysUsed(t *testing.T) {
	t.Parallel()
	h := openSenders(t, "")
	k, other := dpoptest.NewKey(t, "ES256"), dpoptest.NewKey(t, "EdDSA")
	own := []string{"grant_type", "client_credentials", "scope", "orders:read"}
	sender := func(k *dpoptest.Key, iat int64) engine.Sender {
		return engine.Sender{DPoP: []string{h.proof(k, dpoptest.Members{"jti": "the same", "iat": iat})}, HTM: "POST"}
	}
	first := sender(k, h.clock().Unix()+10)
	h.wantError(h.from(first, "service", "grant_type", "client_credentials", "scope", "nothing"), "invalid_scope")
	h.wantError(h.from(first, "service", own...), "invalid_dpop_proof")
	h.want(h.from(sender(other, h.clock().Unix()), "service", own...), model.ActionOK)
	h.pass(80 * time.Second) // iat is good for the last second
	h.sweep()
	replayed := h.from(first, "service", own...)
	h.wantError(replayed, "invalid_dpop_proof")
	if !strings.Contains(replayed.ResponseContent, "used before") {
		t.Errorf("refused for something else: %s", replayed.ResponseContent)
	}
	h.pass(20 * time.Second)
	h.sweep()
	h.wantError(h.from(first, "service", own...), "invalid_dpop_proof") // iat
	h.want(h.from(sender(k, h.clock().Unix()), "service", own...), model.ActionOK)

	bad := sender(other, h.clock().Unix()) // of a request whose client is nobody: not looked at
	parameters, _ := h.as("service", own...)
	resp, err := h.engine.Token(t.Context(), h.service.ID, engine.TokenRequest{
		Parameters: parameters, Basic: engine.ClientCredentials{ClientID: "service", ClientSecret: "wrong", Present: true}, Sender: bad})
	if err != nil || resp.Action != model.ActionInvalidClient {
		t.Errorf("%v %v", resp, err)
	}
	h.want(h.from(bad, "service", own...), model.ActionOK)
}

// It stays so when one node's clock sweeps what another's, which is behind, would
// still take.
func TestDPoPProofStaysUsedOnNodesBehind(t *testing.T) {
	t.Parallel()
	h := openSenders(t, "")
	behind := openOn(t, h.store, h.options.Services...)
	behind.pass(h.clock().Sub(behind.clock()) - 10*time.Second)
	used := engine.Sender{DPoP: []string{h.proof(dpoptest.NewKey(t, "ES256"), dpoptest.Members{"iat": h.clock().Unix() + 10})}, HTM: "POST"}
	own := []string{"grant_type", "client_credentials", "scope", "orders:read"}
	h.want(h.from(used, "service", own...), model.ActionOK)
	for range 10 {
		h.pass(9 * time.Second)
		behind.pass(9 * time.Second)
		h.sweep()
		behind.wantError(behind.from(used, "service", own...), "invalid_dpop_proof")
	}
}

// RFC 9449 §8: who demands nonces gives them, at every node the same, with each
// answer to who makes proofs, and takes none from elsewhere.
func TestDPoPNonce(t *testing.T) {
	t.Parallel()
	h := openSenders(t, "", "dpopNonceRequired", true)
	beside := openOn(t, h.store, h.options.Services...)
	beside.pass(h.clock().Sub(beside.clock())) // nonces change with the time, which may have gone on
	other := openOn(t, h.store, declareWith(t, "https://other.example.com", model.Settings{"dpopNonceRequired": raw(true)}, nil))
	k := dpoptest.NewKey(t, "ES256")
	code := h.code("bound")
	sender := func(nonce any) engine.Sender {
		return engine.Sender{DPoP: []string{h.proof(k, dpoptest.Members{"nonce": nonce})}, HTM: "POST"}
	}
	refused := h.from(sender(nil), "bound", redeemWith(code)...)
	h.wantError(refused, "use_dpop_nonce")
	nonce := refused.DPoPNonce
	if refused.Action != model.ActionBadRequest || nonce == "" {
		t.Fatalf("%+v", refused)
	}
	theirs := engine.Sender{DPoP: []string{k.Prove(t, dpoptest.Members{"htm": "POST", "htu": other.service.TokenEndpoint, "iat": other.clock().Unix()})}, HTM: "POST"}
	foreign := other.from(theirs, "spa", redeemWith("x")...).DPoPNonce
	for _, bad := range []any{"", "guess", nonce + "x", foreign} {
		if got := h.from(sender(bad), "bound", redeemWith(code)...); errorCode(got.ResponseContent) != "use_dpop_nonce" || got.DPoPNonce != nonce {
			t.Errorf("%v: %+v", bad, got)
		}
	}
	tokens := beside.from(sender(nonce), "bound", redeemWith(code)...)
	beside.want(tokens, model.ActionOK)
	if tokens.DPoPNonce != nonce { // §8.2
		t.Errorf("with the answer comes the nonce %q", tokens.DPoPNonce)
	}
	h.pass(11 * time.Minute)
	later := h.from(sender(nonce), "bound", refreshWith(tokens.RefreshToken)...)
	h.wantError(later, "use_dpop_nonce")
	if later.DPoPNonce == nonce {
		t.Error("the nonce never changes")
	}
	h.want(h.from(sender(later.DPoPNonce), "bound", refreshWith(tokens.RefreshToken)...), model.ActionOK)
	if plain := h.own("service", "orders:read"); plain.Action != model.ActionOK || plain.DPoPNonce != "" {
		t.Errorf("without a proof: %+v", plain)
	}
	asked := h.from(sender(later.DPoPNonce), "any", "grant_type", "password", "username", "alice", "password", "x")
	if asked.Action != model.ActionPassword || asked.DPoPNonce == "" {
		t.Errorf("password: %+v", asked)
	}
}

// RFC 9449 §10: a code is redeemed by the key that the authorization request
// named, and by no other, also when a request object named it.
func TestDPoPAuthorizationCodeBinding(t *testing.T) {
	t.Parallel()
	h := openSenders(t, "")
	k, other := dpoptest.NewKey(t, "ES256"), dpoptest.NewKey(t, "ES256")
	for _, client := range []string{"spa", "web"} {
		code := h.code(client, "dpop_jkt", k.Thumbprint(t))
		h.wantError(h.from(h.holder(other), client, redeemWith(code)...), "invalid_grant")
		h.wantError(h.redeem(client, code), "invalid_grant")
		h.wantError(h.from(certified("a"), client, redeemWith(code)...), "invalid_grant")
		h.wantBound(h.from(h.holder(k), client, redeemWith(code)...), k.Thumbprint(t), "")
	}
	inside := signedBy("HS256", object("jar", "dpop_jkt", k.Thumbprint(t)))
	code := h.consented(request("jar", "dpop_jkt", other.Thumbprint(t), "request", inside)).Get("code")
	h.wantError(h.from(h.holder(other), "jar", redeemWith(code)...), "invalid_grant")
	h.wantBound(h.from(h.holder(k), "jar", redeemWith(code)...), k.Thumbprint(t), "")
	for _, bad := range []string{"x", k.Thumbprint(t) + "A", k.Thumbprint(t)[1:], strings.Repeat("A", 43)} {
		h.wantRefusal("invalid_request", request("spa", "dpop_jkt", bad))
	}
}
