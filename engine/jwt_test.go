package engine_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwk"
	"github.com/lestrrat-go/jwx/v2/jws"
	"github.com/lestrrat-go/jwx/v2/jwt"

	"github.com/gatehouse-auth/gatehouse/engine"
	"github.com/gatehouse-auth/gatehouse/engine/model"
)

func (h *house) jwks() jwk.Set {
	h.Helper()
	document, err := h.engine.ServiceJWKS(h.Context(), h.service.ID)
	if err != nil {
		h.Fatal(err)
	}
	set, err := jwk.Parse(document)
	if err != nil {
		h.Fatal(err)
	}
	return set
}

// RFC 9068 §2: JWT access tokens when the service asks for them.
func TestJWTAccessToken(t *testing.T) {
	t.Parallel()
	for _, alg := range []string{"RS256", "ES256", "EdDSA"} {
		h := open(t, model.Settings{"accessTokenSignAlg": raw(alg)})
		tokens := h.tokens("web")
		token, err := jwt.ParseString(tokens.AccessToken, jwt.WithKeySet(h.jwks()), jwt.WithIssuer(issuer), jwt.WithAudience(issuer),
			jwt.WithClock(jwt.ClockFunc(h.clock)))
		if err != nil {
			t.Fatalf("%s: %v", alg, err)
		}
		for name, want := range map[string]any{"client_id": "web", "sub": "alice", "scope": "openid profile orders:read offline_access"} {
			if got, _ := token.Get(name); got != want {
				t.Errorf("%s: got %v, want %v", name, got, want)
			}
		}
		message, _ := jws.ParseString(tokens.AccessToken)
		if got := message.Signatures()[0].ProtectedHeaders().Type(); got != "at+jwt" {
			t.Errorf("typ %s", got)
		}
		if !h.usable(tokens.AccessToken) {
			t.Error("not usable")
		}
		h.revoke("web", tokens.AccessToken)
		if h.usable(tokens.AccessToken) {
			t.Error("usable after it was revoked")
		}
	}
}

// forge signs claims with a header of the attacker's choice.
func forge(t *testing.T, header map[string]any, claims map[string]any, sign func([]byte) []byte) string {
	t.Helper()
	part := func(v any) string { return base64.RawURLEncoding.EncodeToString(raw(v)) }
	input := part(header) + "." + part(claims)
	return input + "." + base64.RawURLEncoding.EncodeToString(sign([]byte(input)))
}

// threats.md 12: iss, aud, exp and iat are required and checked, even when the
// signature is good.
func TestThreat12RequiredClaims(t *testing.T) {
	t.Parallel()
	h := open(t, model.Settings{"accessTokenSignAlg": raw("EdDSA")})
	h2 := openOn(t, h.store, declare(t, "https://other.example.com", model.Settings{"accessTokenSignAlg": raw("EdDSA")}), h.options.Services[0])
	good := h.own("service", "orders:read").AccessToken
	other := h2.own("service", "orders:read").AccessToken
	if h.usable(other) {
		t.Error("another issuer's token is usable")
	}
	h.pass(2 * time.Hour)
	if h.usable(good) {
		t.Error("an expired token is usable")
	}
	kid, sign := h.knownKey()
	header := map[string]any{"alg": "EdDSA", "typ": "at+jwt", "kid": kid}
	h.pass(-2 * time.Hour)
	jti := claimsOf(t, h.own("service", "orders:read").AccessToken)["jti"]
	now := h.clock().Unix()
	complete := map[string]any{"iss": issuer, "aud": issuer, "exp": now + 3600, "iat": now, "jti": jti}
	if !h.usable(forge(t, header, complete, sign)) {
		t.Fatal("the forger's control is not usable: the rest proves nothing")
	}
	for name, value := range map[string]any{"iss": nil, "aud": nil, "exp": nil, "iat": nil, "jti": nil, "iss ": issuer + "/", "exp ": now - 1, "jti ": "zzz"} {
		claims := map[string]any{}
		for k, v := range complete {
			claims[k] = v
		}
		key := strings.TrimSpace(name)
		if value == nil {
			delete(claims, key)
		} else {
			claims[key] = value
		}
		if h.usable(forge(t, header, claims, sign)) {
			t.Errorf("usable with %s = %v", key, value)
		}
	}
}

func claimsOf(t *testing.T, token string) map[string]any {
	t.Helper()
	body, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	claims := map[string]any{}
	if err := json.Unmarshal(body, &claims); err != nil {
		t.Fatal(err)
	}
	return claims
}

// threats.md 13: algorithm, typ, kid and embedded-key confusion.
func TestThreat13AlgorithmConfusion(t *testing.T) {
	t.Parallel()
	h := open(t, model.Settings{"accessTokenSignAlg": raw("EdDSA")})
	good := h.own("service", "orders:read").AccessToken
	claims := claimsOf(t, good)
	kid, sign := h.knownKey()
	if !h.usable(forge(t, map[string]any{"alg": "EdDSA", "typ": "at+jwt", "kid": kid}, claims, sign)) {
		t.Fatal("the forger's control is not usable: the rest proves nothing")
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	own := func(b []byte) []byte { return ed25519.Sign(private, b) }
	embedded := map[string]any{"kty": "OKP", "crv": "Ed25519", "x": base64.RawURLEncoding.EncodeToString(public)}
	var rsaKid string
	var rsaPublic []byte
	set := h.jwks()
	for i := range set.Len() {
		if key, _ := set.Key(i); key.Algorithm().String() == "RS256" {
			rsaKid = key.KeyID()
			rsaPublic, _ = jwk.Pem(key)
		}
	}
	hmacWithPublicKey := func(b []byte) []byte {
		mac := hmac.New(sha256.New, rsaPublic)
		mac.Write(b)
		return mac.Sum(nil)
	}
	none := func([]byte) []byte { return nil }
	for name, c := range map[string]struct {
		header map[string]any
		sign   func([]byte) []byte
	}{
		"none":                     {map[string]any{"alg": "none", "typ": "at+jwt", "kid": kid}, none},
		"None":                     {map[string]any{"alg": "None", "typ": "at+jwt", "kid": kid}, none},
		"HMAC with the public key": {map[string]any{"alg": "HS256", "typ": "at+jwt", "kid": rsaKid}, hmacWithPublicKey},
		"another algorithm's key":  {map[string]any{"alg": "EdDSA", "typ": "at+jwt", "kid": rsaKid}, own},
		"unknown kid":              {map[string]any{"alg": "EdDSA", "typ": "at+jwt", "kid": "../../x"}, own},
		"no kid":                   {map[string]any{"alg": "EdDSA", "typ": "at+jwt"}, own},
		"own key under known kid":  {map[string]any{"alg": "EdDSA", "typ": "at+jwt", "kid": kid}, own},
		"embedded key":             {map[string]any{"alg": "EdDSA", "typ": "at+jwt", "kid": kid, "jwk": embedded}, own},
		"jku":                      {map[string]any{"alg": "EdDSA", "typ": "at+jwt", "kid": kid, "jku": "https://evil.example/"}, sign},
		"crit":                     {map[string]any{"alg": "EdDSA", "typ": "at+jwt", "kid": kid, "crit": []string{"b64"}, "b64": true}, sign},
		"typ of an ID token":       {map[string]any{"alg": "EdDSA", "typ": "JWT", "kid": kid}, sign},
		"no typ":                   {map[string]any{"alg": "EdDSA", "kid": kid}, sign},
	} {
		t.Run(name, func(t *testing.T) {
			if h.usable(forge(t, c.header, claims, c.sign)) {
				t.Error("usable")
			}
		})
	}
	for name, token := range map[string]string{
		"signature cut off": good[:strings.LastIndex(good, ".")+1],
		"four segments":     good + ".x",
		"two segments":      good[:strings.LastIndex(good, ".")],
		"a megabyte":        strings.Repeat("A", 1<<20) + "." + good,
		"JSON form":         fmt.Sprintf(`{"payload":%q,"protected":%q,"signature":%q}`, strings.Split(good, ".")[1], strings.Split(good, ".")[0], strings.Split(good, ".")[2]),
		"last bits altered": alter(good),
		"a line break":      good[:10] + "\n" + good[10:],
		"ID token":          h.tokens("eddsa").IDToken,
	} {
		if h.usable(token) {
			t.Errorf("%s: usable", name)
		}
	}
}

// alter changes the last character of a token.
func alter(token string) string {
	last := token[len(token)-1]
	for _, c := range []byte("ABQZabqz019_") {
		if c != last {
			return token[:len(token)-1] + string(c)
		}
	}
	return token
}

// knownKey lends the service's own EdDSA key to a forger: its id, and signing.
func (h *house) knownKey() (string, func([]byte) []byte) {
	h.Helper()
	key := engine.SigningKeyForTest(h.engine, h.service.ID, model.EdDSA)
	private := key.Private.(ed25519.PrivateKey)
	return key.KID, func(b []byte) []byte { return ed25519.Sign(private, b) }
}

// threats.md 18: a truncated or altered handle is unknown (CVE-2026-27840).
func TestThreat18AlteredHandle(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	token := h.own("service", "orders:read").AccessToken
	if !h.usable(token) {
		t.Fatal("not usable")
	}
	for _, altered := range []string{
		token[:len(token)-1], token + "A", token + "=", " " + token, token + "\n", strings.ToUpper(token), "gr_" + token[3:], token[3:],
		token[:20] + "\n" + token[20:], alter(token), token[:3] + "AAAAAAAAAAA" + token[14:], "", "ga_",
	} {
		if h.usable(altered) {
			t.Errorf("%q is usable", altered)
		}
	}
	// Every single character counts.
	for i := range token {
		changed := []byte(token)
		changed[i] ^= 1
		if h.usable(string(changed)) {
			t.Errorf("usable with character %d changed", i)
		}
	}
}

// threats.md 25: keys that cannot be opened stop the start, and no key is made instead.
func TestThreat25WrongMasterKey(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	o := h.options
	o.MasterKey = engine.MasterKey{9}
	if _, err := engine.New(t.Context(), o); !errors.Is(err, engine.ErrWrongMasterKey) {
		t.Errorf("got %v", err)
	}
}

// Rotation overlaps: the new key is published at once and signs later, the old
// one verifies until the overlap is over.
func TestKeyRotation(t *testing.T) {
	t.Parallel()
	h := open(t, model.Settings{"accessTokenSignAlg": raw("ES256"), "accessTokenDuration": raw(7200)})
	before := h.own("service", "orders:read").AccessToken
	kids, err := h.engine.RotateKeys(t.Context(), h.service.ID, []string{"ES256"}, engine.Rotation{Announce: 10 * time.Minute, Overlap: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	kid := func(token string) string {
		message, err := jws.ParseString(token)
		if err != nil {
			t.Fatal(err)
		}
		return message.Signatures()[0].ProtectedHeaders().KeyID()
	}
	if _, published := h.jwks().LookupKeyID(kids[0]); !published {
		t.Error("the new key is not announced")
	}
	if got := h.own("service", "orders:read").AccessToken; kid(got) != kid(before) {
		t.Error("the new key signs before its time")
	}
	h.pass(11 * time.Minute)
	after := h.own("service", "orders:read").AccessToken
	if kid(after) != kids[0] || !h.usable(after) || !h.usable(before) {
		t.Error("the keys do not overlap")
	}
	h.pass(time.Hour)
	if _, published := h.jwks().LookupKeyID(kid(before)); published || h.usable(before) {
		t.Error("the old key outlives its overlap")
	}
	if !h.usable(after) {
		t.Error("the new key does not verify")
	}
}

// The JWK Set holds public members alone.
func TestJWKSIsPublic(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	document, err := h.engine.ServiceJWKS(context.Background(), h.service.ID)
	if err != nil {
		t.Fatal(err)
	}
	for _, member := range []string{`"d":`, `"p":`, `"q":`, `"dp":`, `"dq":`, `"qi":`, `"k":`} {
		if bytes.Contains(document, []byte(member)) {
			t.Errorf("%s is in %s", member, document)
		}
	}
	set := h.jwks()
	if set.Len() != 3 {
		t.Errorf("%d keys", set.Len())
	}
	for i := range set.Len() {
		key, _ := set.Key(i)
		if key.KeyUsage() != "sig" || key.KeyID() == "" || key.Algorithm() == jwa.SignatureAlgorithm("") {
			t.Errorf("key %v", key)
		}
	}
}
