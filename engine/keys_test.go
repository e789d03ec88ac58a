package engine_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	"github.com/google/go-cmp/cmp"
	"github.com/lestrrat-go/jwx/v2/jwk"

	"github.com/gatehouse-auth/gatehouse/engine"
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// privateJWK is a client key as a private JWK, for a service that is given it.
func privateJWK(kid string, members ...string) map[string]any {
	all := map[string]any{}
	if key, ok := clientKeys()[kid].(*secp256k1.PrivateKey); ok {
		_ = json.Unmarshal(raw(jwkOf(kid)), &all)
		all["d"] = b64.EncodeToString(key.Serialize())
	} else {
		key, err := jwk.FromRaw(clientKeys()[kid])
		if err != nil {
			panic(err)
		}
		_ = json.Unmarshal(raw(key), &all)
	}
	all["kid"] = kid
	for i := 0; i < len(members); i += 2 {
		all[members[i]] = members[i+1]
	}
	return all
}

func setOf(keys ...map[string]any) string { return string(raw(map[string]any{"keys": keys})) }

func privateJWKS(kids ...string) string {
	var keys []map[string]any
	for _, kid := range kids {
		keys = append(keys, privateJWK(kid))
	}
	return setOf(keys...)
}

// The Edit Service page, JWK Set Content: a service signs with the keys that it
// is given, publishes their public halves, and makes none of its own.
func TestGivenKeys(t *testing.T) {
	t.Parallel()
	clients := map[string]model.Settings{
		"es512": with(anyFlow["any"], "idTokenSignAlg", "ES512"), "es256k": with(anyFlow["any"], "idTokenSignAlg", "ES256K", "userInfoSignAlg", "EdDSA"), "eddsa": with(anyFlow["any"], "idTokenSignAlg", "EdDSA"),
		"es": with(anyFlow["any"], "idTokenSignAlg", "ES256"),
	}
	h := openWith(t, with(everyFlow, "jwks", privateJWKS("rsa", "p256", "p384", "p521", "ed25519", "k256"), "accessTokenSignAlg", "ES384"), clients)
	for client, kid := range map[string]string{"web": "rsa", "es512": "p521", "es256k": "k256", "eddsa": "ed25519"} {
		tokens := h.tokens(client)
		if got := h.verified(tokens.IDToken, ""); got.header["kid"] != kid {
			t.Errorf("%s: ID token by %v, want %s", client, got.header["kid"], kid)
		}
		if got := h.verified(tokens.AccessToken, ""); got.header["kid"] != "p384" || !h.usable(tokens.AccessToken) {
			t.Errorf("access token by %v, usable %v", got.header["kid"], h.usable(tokens.AccessToken))
		}
	}
	for _, k := range h.published() {
		public := jwkOf(k.KID)
		public.Alg, public.Use = k.Alg, "sig"
		if diff := cmp.Diff(public, k); diff != "" {
			t.Error(diff)
		}
	}
	if document, err := h.engine.ServiceJWKS(t.Context(), h.service.ID); err != nil || strings.Contains(string(document), `"d":`) || len(h.published()) != 6 {
		t.Errorf("%s %v", document, err)
	}
	if rows, err := h.store.Keys(t.Context(), h.service.ID); err != nil || len(rows) != len(lent.keys) {
		t.Errorf("the store has %d keys, %v", len(rows), err)
	}
	if _, err := h.engine.RotateKeys(t.Context(), h.service.ID, []string{"RS256"}, engine.Rotation{}); err != engine.ErrKeysGiven {
		t.Errorf("rotation of given keys: %v", err)
	}
	if _, err := h.engine.ImportKeys(t.Context(), h.service.ID, privateJWKS("rsa"), engine.Rotation{}); err != engine.ErrKeysGiven {
		t.Errorf("import beside given keys: %v", err)
	}
	for member, want := range map[string][]any{
		"id_token_signing_alg_values_supported": {"none", "RS256", "ES256", "ES384", "ES512", "ES256K", "EdDSA", "HS256", "HS384", "HS512"},
	} {
		if diff := cmp.Diff(want, h.discovery()[member]); diff != "" {
			t.Errorf("%s: %s", member, diff)
		}
	}
	if lists(h.discovery(), "request_object_encryption_alg_values_supported", "RSA-OAEP") {
		t.Error("discovery names an encryption for which there is no key")
	}
}

// OpenID Connect Core §10.2: given keys for encryption open what is written to them.
func TestGivenKeysForEncryption(t *testing.T) {
	t.Parallel()
	h := openWith(t, model.Settings{"jwks": raw(setOf(privateJWK("rsa"), privateJWK("p256", "kid", "sig"), privateJWK("ed25519"), privateJWK("p384", "use", "enc"), privateJWK("p521", "alg", "ECDH-ES+A256KW", "use", "enc")))},
		map[string]model.Settings{"jar": requesters()["jar"]})
	for _, alg := range []model.EncAlg{"ECDH-ES", "ECDH-ES+A256KW"} {
		h.wantAccepted(string(alg), request("jar", "request", h.sealedTo(alg, "A128GCM", signedBy("ES256", object("jar")))))
	}
	if !lists(h.discovery(), "request_object_encryption_alg_values_supported", "ECDH-ES+A128KW") || lists(h.discovery(), "request_object_encryption_alg_values_supported", "RSA1_5") {
		t.Errorf("%v", h.discovery()["request_object_encryption_alg_values_supported"])
	}
}

// threats.md 25, 35: keys that are given and cannot be used stop the start.
func TestThreat25GivenKeysThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ jwks, want string }{
		"a public key":            {jwksOf("rsa"), "private"},
		"a symmetric key":         {`{"keys":[{"kty":"oct","k":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","alg":"HS256"}]}`, "key 1"},
		"no key":                  {`{"keys":["x"]}`, "key 1"},
		"another algorithm's":     {setOf(privateJWK("rsa"), privateJWK("p256", "alg", "ES384")), "key 2"},
		"none":                    {setOf(privateJWK("rsa", "alg", "none")), "key 1"},
		"a MAC by a private key":  {setOf(privateJWK("rsa", "alg", "HS256")), "key 1"},
		"one key id twice":        {setOf(privateJWK("rsa"), privateJWK("p256", "kid", "rsa")), "twice"},
		"a curve that is unknown": {setOf(privateJWK("p256", "crv", "P-999")), "key 1"},
		"a point that is not on":  {setOf(privateJWK("k256", "x", b64.EncodeToString(make([]byte, 32)))), "key 1"},
		"another's private half":  {setOf(privateJWK("k256", "d", b64.EncodeToString(append(make([]byte, 31), 7)))), "key 1"},
		"no key for what is set":  {privateJWKS("p256", "ed25519"), "RS256"},
		"no key for access":       {privateJWKS("rsa", "p256", "ed25519"), "ES384"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			settings := model.Settings{"jwks": raw(c.jwks)}
			if name == "no key for access" {
				settings["accessTokenSignAlg"] = raw("ES384")
			}
			_, err := engine.New(t.Context(), engine.Options{Store: newStore(t), MasterKey: masterKey, Services: []engine.Declaration{declare(t, issuer, settings)}})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if err != nil && strings.Contains(err.Error(), "BEGIN") {
				t.Error("the error shows a key")
			}
		})
	}
}

// The Edit Service page: which of several keys signs what.
func TestKeyIDsByPurpose(t *testing.T) {
	t.Parallel()
	h := openWith(t, with(everyFlow, "jwks", setOf(privateJWK("p256"), privateJWK("rsa", "kid", "first"), privateJWK("rsa", "kid", "second"), privateJWK("rsa", "kid", "third"), privateJWK("ed25519"), privateJWK("rsa", "kid", "ps", "alg", "PS256")),
		"accessTokenSignAlg", "RS256", "accessTokenSignatureKeyId", "third", "idTokenSignatureKeyId", "second", "userInfoSignatureKeyId", "ps"),
		map[string]model.Settings{"any": with(anyFlow["any"], "userInfoSignAlg", "PS256"), "rs": with(anyFlow["any"], "userInfoSignAlg", "RS256")})
	tokens := h.tokens("any", "scope", "openid email")
	got := []any{h.verified(tokens.AccessToken, "").header["kid"], h.verified(tokens.IDToken, "").header["kid"]}
	_, userInfo := h.userInfoJWT("any")
	_, other := h.userInfoJWT("rs") // the key of that id is another algorithm's: the first that suits
	got = append(got, h.verified(userInfo, "").header["kid"], h.verified(other, "").header["kid"], h.verified(h.tokens("es").IDToken, "").header["kid"])
	if diff := cmp.Diff([]any{"third", "second", "ps", "first", "p256"}, got); diff != "" {
		t.Error(diff)
	}
}

// Several algorithms rotate at once, each with its own key, encryption too.
func TestRotationOfSeveralAlgorithms(t *testing.T) {
	t.Parallel()
	h := openWith(t, model.Settings{"keyAlgs": raw([]string{"ES256K", "ECDH_ES"})}, map[string]model.Settings{
		"es256k": with(anyFlow["any"], "idTokenSignAlg", "ES256K"), "jar": requesters()["jar"]})
	byAlg := func() map[string]int {
		n := map[string]int{}
		for _, k := range h.published() {
			n[k.Alg]++
		}
		return n
	}
	before := h.tokens("es256k", "response_type", "code").IDToken
	sealed := h.sealedTo("ECDH-ES", "A128GCM", signedBy("ES256", object("jar")))
	kids, err := h.engine.RotateKeys(t.Context(), h.service.ID, []string{"ES256K", "ES256", "ECDH-ES"}, engine.Rotation{Overlap: time.Hour})
	if err != nil || len(kids) != 3 {
		t.Fatal(kids, err)
	}
	if diff := cmp.Diff(map[string]int{"RS256": 1, "ES256": 2, "EdDSA": 1, "ES256K": 2, "ECDH-ES": 2}, byAlg()); diff != "" {
		t.Errorf("during the overlap: %s", diff)
	}
	after := h.tokens("es256k").IDToken
	if kid := h.verified(after, "").header["kid"]; kid != kids[0] {
		t.Errorf("signed by %v, the new key is %s", kid, kids[0])
	}
	h.verified(before, "")
	h.wantAccepted("sealed to the old key", request("jar", "request", sealed))
	h.pass(time.Hour)
	if diff := cmp.Diff(map[string]int{"RS256": 1, "ES256": 1, "EdDSA": 1, "ES256K": 1, "ECDH-ES": 1}, byAlg()); diff != "" {
		t.Errorf("after the overlap: %s", diff)
	}
	h.wantRefusal("invalid_request_object", request("jar", "request", sealed))
	for _, alg := range []string{"HS256", "none", "", "RSA1_5", "x"} {
		if _, err := h.engine.RotateKeys(t.Context(), h.service.ID, []string{alg}, engine.Rotation{}); err == nil {
			t.Errorf("there is a key for %q now", alg)
		}
	}
}

// Keys that an operator imports sign from then on; those before them verify
// until the overlap is over, and another node has them too.
func TestImportedKeys(t *testing.T) {
	t.Parallel()
	h := openWith(t, everyFlow, map[string]model.Settings{"any": anyFlow["any"]})
	beside := openOn(t, h.store, h.options.Services...)
	before := h.tokens("any").IDToken
	kids, err := h.engine.ImportKeys(t.Context(), h.service.ID, setOf(privateJWK("rsa", "kid", "imported"), privateJWK("k256")), engine.Rotation{Announce: time.Minute, Overlap: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"imported", "k256"}, kids); diff != "" {
		t.Error(diff)
	}
	if kid := h.verified(h.tokens("any").IDToken, "").header["kid"]; kid == "imported" {
		t.Error("it signs before it was announced for long enough")
	}
	h.pass(time.Minute)
	if kid := h.verified(h.tokens("any").IDToken, "").header["kid"]; kid != "imported" {
		t.Errorf("signed by %v", kid)
	}
	h.verified(before, "")
	eventually(t, "another node does not know the key", func() bool {
		_, there := beside.jwks().LookupKeyID("imported")
		return there
	})
	for _, bad := range []string{"", "{}", jwksOf("rsa"), privateJWKS("rsa", "rsa")} {
		if kids, err := h.engine.ImportKeys(t.Context(), h.service.ID, bad, engine.Rotation{}); err == nil && len(kids) > 0 {
			t.Errorf("%.40s was imported", bad)
		}
	}
	if _, err := h.engine.ImportKeys(t.Context(), h.service.ID, setOf(privateJWK("rsa", "kid", "imported")), engine.Rotation{}); err == nil {
		t.Error("a key id was given to another key")
	}
	rows, err := h.store.Keys(t.Context(), h.service.ID)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		if strings.Contains(string(row.Sealed), `"d"`) {
			t.Error("a private key is in the store in clear")
		}
	}
}

// A node whose clock is behind signs with the keys that another has just made.
func TestFirstKeysOfANodeWhoseClockIsAhead(t *testing.T) {
	t.Parallel()
	st := openStore(t, storesOf(t).New(t))
	for _, d := range []time.Duration{0, time.Minute} {
		o := engine.Options{Store: st, Services: []engine.Declaration{declare(t, issuer, nil)}, Now: func() time.Time { return time.Now().Add(-d) }}
		e, err := engine.New(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(e.Close)
		h := &house{TB: t, engine: e, store: st, users: new(users), web: newWeb(), options: o, watch: &watch{now: o.Now()}}
		h.service, _ = e.Service(issuer)
		h.verified(h.tokens("web").IDToken, "")
	}
}

// lateSubscriber is a store in which another node changes something after an
// engine has read what it opens with, and before it follows the feed.
type lateSubscriber struct {
	store.Store
	meanwhile func()
}

func (l lateSubscriber) Subscribe(f func(model.Change)) (cancel func()) {
	l.meanwhile()
	return l.Store.Subscribe(f)
}

// A key that another node rotates while this one starts is known to it within a
// second (promise 5).
func TestKeyRotatedWhileANodeStarts(t *testing.T) {
	h := open(t, everyFlow)
	var kids []string
	st := lateSubscriber{h.store, func() {
		var err error
		if kids, err = h.engine.RotateKeys(t.Context(), h.service.ID, []string{"RS256"}, engine.Rotation{}); err != nil {
			t.Error(err)
		}
	}}
	late := openOn(t, st, declare(t, h.service.Issuer, everyFlow))
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
		set, err := late.engine.ServiceJWKS(t.Context(), h.service.ID)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(set, []byte(kids[0])) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("it does not know the key %s", kids[0])
		}
	}
}
