package engine_test

import (
	"bytes"
	"compress/flate"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"strings"
	"testing"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwe"

	"github.com/gatehouse-auth/gatehouse/engine/fetch"
	"github.com/gatehouse-auth/gatehouse/engine/model"
)

// consumer is a place where clients' JWTs are read.
type consumer struct {
	name    string
	claims  func() map[string]any
	accepts func(token string) bool
}

// consumers are those of an engine with the clients "jar" and "keys", which use
// every key of clientKeys, and "jar-HS256" and "secret", which use their secret.
func (h *house) consumers() []consumer {
	object := func(client string) consumer {
		return consumer{"request object of " + client, func() map[string]any { return object(client) },
			func(token string) bool { return h.authorize(request(client, "request", token)).Ticket != "" }}
	}
	assertion := func(client string) consumer {
		return consumer{"assertion of " + client, func() map[string]any { return h.assertion(client) },
			func(token string) bool { return h.present(token).Action == model.ActionOK }}
	}
	return []consumer{object("jar"), assertion("keys"), object("jar-HS256"), assertion("secret")}
}

func openConsumers(t testing.TB) *house {
	clients := requesters()
	for alias, settings := range asserters() {
		clients[alias] = settings
	}
	return openWith(t, decryptable, clients)
}

// publicForms are the ways in which a public key can be written, each of which
// was somewhere taken for an HMAC key.
func publicForms(t *testing.T, kid string) map[string]string {
	der, err := x509.MarshalPKIXPublicKey(jwkOf(kid).key())
	if err != nil {
		t.Fatal(err)
	}
	forms := map[string]string{"DER": string(der), "JWK": string(raw(jwkOf(kid))), "JWK Set": jwksOf(), "nothing": "", "null": "null"}
	forms["PEM"] = string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	if key, ok := jwkOf(kid).key().(*rsa.PublicKey); ok {
		forms["PKCS #1"] = string(pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: x509.MarshalPKCS1PublicKey(key)}))
		forms["modulus"] = string(key.N.Bytes())
	}
	return forms
}

// threats.md 13 (RFC 8725 §2.1, §3.1, §3.2): what a client signs is not accepted
// by any confusion of algorithm, kind of key, key id or embedded key.
func TestThreat13ClientsJWTs(t *testing.T) {
	t.Parallel()
	h := openConsumers(t)
	stranger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	point, err := stranger.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	strangerJWK := publicJWK{KTY: "EC", CRV: "P-256", KID: "p256", X: b64.EncodeToString(point[1:33]), Y: b64.EncodeToString(point[33:])}
	key := clientKeys()
	attacks := map[string]func(claims any) string{
		"none":                    func(c any) string { return signed("none", nil, nil, c) },
		"None":                    func(c any) string { return signed("none", nil, map[string]any{"alg": "None"}, c) },
		"nOnE with a kid":         func(c any) string { return signed("none", nil, map[string]any{"alg": "nOnE", "kid": "p256"}, c) },
		"none with a signature":   func(c any) string { return signed("none", nil, nil, c) + "AAAA" },
		"none over a signature":   func(c any) string { return signed("ES256", key["p256"], map[string]any{"alg": "none"}, c) },
		"no alg":                  func(c any) string { return signed("ES256", key["p256"], map[string]any{"alg": ""}, c) },
		"alg is null":             func(c any) string { return signed("ES256", key["p256"], map[string]any{"alg": nil}, c) },
		"alg is a list":           func(c any) string { return signed("ES256", key["p256"], map[string]any{"alg": []string{"ES256"}}, c) },
		"alg in small letters":    func(c any) string { return signed("ES256", key["p256"], map[string]any{"alg": "es256"}, c) },
		"RS256 said, PS256 done":  func(c any) string { return signed("PS256", key["rsa"], map[string]any{"alg": "RS256"}, c) },
		"ES384 said, ES256 done":  func(c any) string { return signed("ES256", key["p256"], map[string]any{"alg": "ES384"}, c) },
		"ES256 with a P-384 key":  func(c any) string { return signed("ES256", key["p384"], nil, c) },
		"ES256 with secp256k1":    func(c any) string { return signed("ES256", key["k256"], nil, c) },
		"ES256K with P-256":       func(c any) string { return signed("ES256K", key["p256"], nil, c) },
		"a stranger's key":        func(c any) string { return signed("ES256", stranger, nil, c) },
		"a stranger's, known kid": func(c any) string { return signed("ES256", stranger, map[string]any{"kid": "p256"}, c) },
		"another's kid":           func(c any) string { return signed("ES256", key["p256"], map[string]any{"kid": "p384"}, c) },
		"unknown kid":             func(c any) string { return signed("ES256", key["p256"], map[string]any{"kid": "p257"}, c) },
		"embedded key":            func(c any) string { return signed("ES256", stranger, map[string]any{"jwk": strangerJWK}, c) },
		"embedded key, known kid": func(c any) string {
			return signed("ES256", stranger, map[string]any{"jwk": strangerJWK, "kid": "p256"}, c)
		},
		"jku": func(c any) string {
			return signed("ES256", stranger, map[string]any{"jku": "https://evil.example/jwks"}, c)
		},
		"x5u": func(c any) string {
			return signed("ES256", stranger, map[string]any{"x5u": "https://evil.example/cert"}, c)
		},
		"x5c": func(c any) string { return signed("ES256", stranger, map[string]any{"x5c": []string{"AAAA"}}, c) },
		"crit": func(c any) string {
			return signed("ES256", key["p256"], map[string]any{"crit": []string{"exp"}, "exp": 1}, c)
		},
		"crit is empty":          func(c any) string { return signed("ES256", key["p256"], map[string]any{"crit": []string{}}, c) },
		"b64":                    func(c any) string { return signed("ES256", key["p256"], map[string]any{"b64": false}, c) },
		"a signature of nothing": func(c any) string { return unsignedHalf(signed("ES256", key["p256"], nil, c)) + "." },
		"a signature of zeros": func(c any) string {
			return unsignedHalf(signed("ES256", key["p256"], nil, c)) + "." + b64.EncodeToString(make([]byte, 64))
		},
		"another's signature": func(c any) string {
			return unsignedHalf(signed("ES256", key["p256"], nil, c)) + "." + lastPart(signedBy("ES256", "x"))
		},
		"altered":                   func(c any) string { return alter(signedBy("ES256", c)) },
		"padded":                    func(c any) string { return signedBy("ES256", c) + "=" },
		"with a line break":         func(c any) string { return strings.Replace(signedBy("ES256", c), ".", ".\n", 1) },
		"claims are a list":         func(c any) string { return signedBy("ES256", []any{c}) },
		"claims are no JSON":        func(any) string { return signedBy("ES256", []byte("iss=jar")) },
		"two JSON values":           func(c any) string { return signedBy("ES256", []byte(string(raw(c))+string(raw(c)))) },
		"JSON serialization":        func(c any) string { return inJSON(signedBy("ES256", c)) },
		"detached":                  func(c any) string { p := strings.Split(signedBy("ES256", c), "."); return p[0] + ".." + p[2] },
		"header is a list":          func(c any) string { return b64.EncodeToString([]byte("[]")) + signedBy("ES256", c)[1:] },
		"HMAC with an empty secret": func(c any) string { return signed("HS256", "", nil, c) },
		"another client's secret":   func(c any) string { return signed("HS256", longSecret+"x", nil, c) },
		"HS512 for HS256's client":  func(c any) string { return signed("HS512", "x"+longSecret, nil, c) },
	}
	for form, text := range publicForms(t, "rsa") {
		attacks["HMAC with the public RSA key as "+form] = func(c any) string { return signed("HS256", text, map[string]any{"kid": "rsa"}, c) }
	}
	for form, text := range publicForms(t, "p256") {
		attacks["HMAC with the public EC key as "+form] = func(c any) string { return signed("HS256", text, map[string]any{"kid": "p256"}, c) }
	}
	for i, c := range h.consumers() {
		t.Run(c.name, func(t *testing.T) {
			control := []string{"ES256", "ES256", "HS256", "HS256"}[i]
			if !c.accepts(signedBy(control, c.claims())) {
				t.Fatal("the control is refused: the rest proves nothing")
			}
			for name, attack := range attacks {
				if name == "none" && c.name == "request object of jar" {
					continue // it is registered for no algorithm, and so for any: TestRequestObjectAlgorithms
				}
				if token := attack(c.claims()); c.accepts(token) {
					t.Errorf("%s is accepted: %s", name, token)
				}
			}
		})
	}
	t.Run("one is not the other (RFC 8725 §3.12)", func(t *testing.T) {
		both := openWith(t, nil, map[string]model.Settings{"both": {"jwks": raw(jwksOf()), "tokenAuthMethod": raw("PRIVATE_KEY_JWT")}})
		assertion := signedBy("ES256", both.assertion("both"))
		both.wantRefusal("invalid_request_object", request("both", "request", assertion))
		both.wantError(both.present(signedBy("ES256", object("both"))), "invalid_client")
	})
}

func unsignedHalf(token string) string { return token[:strings.LastIndexByte(token, '.')] }

func lastPart(token string) string { return token[strings.LastIndexByte(token, '.')+1:] }

func inJSON(token string) string {
	p := strings.Split(token, ".")
	return string(raw(map[string]any{"payload": p[1], "signatures": []any{map[string]any{"protected": p[0], "signature": p[2]}}}))
}

// threats.md 14 (RFC 8725 §3.6; CVE-2024-28180, CVE-2025-27144, CVE-2025-30204):
// nothing that a client sends makes more work than its size.
func TestThreat14SizeBombs(t *testing.T) {
	t.Parallel()
	h := openConsumers(t)
	claims := h.consumers()[0].claims
	pbes2 := func(p2c string) string {
		header := `{"alg":"PBES2-HS256+A128KW","enc":"A128GCM","p2s":"` + b64.EncodeToString(make([]byte, 16)) + `","p2c":` + p2c + `}`
		return b64.EncodeToString([]byte(header)) + "." + b64.EncodeToString(make([]byte, 24)) + "." + b64.EncodeToString(make([]byte, 12)) + ".AAAA." + b64.EncodeToString(make([]byte, 16))
	}
	var zeros bytes.Buffer
	w, _ := flate.NewWriter(&zeros, flate.BestCompression)
	_, _ = w.Write(make([]byte, 10<<20))
	_ = w.Close()
	long := func(claim, number string) string {
		text := strings.Replace(string(raw(claims())), "{", `{"`+claim+`":`+number+`,`, 1)
		return signedBy("ES256", []byte(text))
	}
	good := signedBy("ES256", claims())
	bombs := map[string]string{
		"a hundred thousand segments": strings.Repeat(".", 8000),
		"four segments":               good + ".AAAA",
		"five segments of a JWS":      good + ".AAAA.AAAA",
		"six segments":                strings.Repeat("AAAA.", 5) + "AAAA",
		"a header of 8 KiB":           signed("ES256", clientKeys()["p256"], map[string]any{"kid": "p256", "x": strings.Repeat("x", 8<<10)}, claims()),
		"a kid of 1 KiB":              signed("ES256", clientKeys()["p256"], map[string]any{"kid": strings.Repeat("k", 1<<10)}, claims()),
		"deep claims":                 signedBy("ES256", []byte(`{"x":`+strings.Repeat("[", 4000)+strings.Repeat("]", 4000)+`}`)),
		"a deep header":               b64.EncodeToString([]byte(`{"alg":"ES256","x":`+strings.Repeat("[", 1000)+strings.Repeat("]", 1000)+`}`)) + good[strings.IndexByte(good, '.'):],
		"an exp of 400 digits":        long("exp", strings.Repeat("9", 400)),
		"an exp of 1e999999999":       long("exp", "1e999999999"),
		"an exp of many fractions":    long("exp", "4102444800."+strings.Repeat("0", 5000)),
		"an nbf of 5000 digits":       long("nbf", strings.Repeat("1", 5000)),
		"compressed":                  h.sealedTo("RSA-OAEP-256", "A128GCM", good, jwe.WithCompress(jwa.Deflate)),
		"a compressed bomb":           h.sealedTo("ECDH-ES", "A128GCM", strings.Repeat("A", 10_000), jwe.WithCompress(jwa.Deflate)),
		"a million rounds":            pbes2("1000000"),
		"endless rounds":              pbes2("1000000000000000000"),
		"endless rounds, as 1e30":     pbes2("1e30"),
		"rounds below zero":           pbes2("-1"),
		"rounds as text":              pbes2(`"1000000"`),
		"17 KiB":                      signedBy("ES256", object("jar", "x", strings.Repeat("x", 12<<10))),
	}
	clients := requesters()
	clients["pbes2"] = with(clients["jar"], "requestEncryptionAlg", "PBES2_HS256_A128KW", "requestEncryptionEnc", "A128GCM")
	h = openWith(t, with(decryptable, "maxRequestBytes", 1<<20), clients)
	for name, token := range bombs {
		for _, client := range []string{"jar", "pbes2"} {
			resp := h.authorize(request(client, "request", token))
			if got := h.read(resp.Action, resp.ResponseContent); !strings.HasPrefix(got.Get("error"), "invalid_request") || resp.Ticket != "" {
				t.Errorf("%s of %s: %v", name, client, got.Values)
			}
		}
	}
	t.Run("by reference", func(t *testing.T) {
		h := h.on(t)
		h.web.pages[requestURI] = fetch.Document{Body: bytes.Repeat([]byte("A"), 200<<10)}
		h.wantRefusal("invalid_request_object", request("jar", "request_uri", requestURI))
		h.web.serve(requestURI, b64.EncodeToString([]byte(`{"alg":"dir","enc":"A128GCM","zip":"DEF"}`))+"...."+b64.EncodeToString(zeros.Bytes()))
		h.wantRefusal("invalid_request_object", request("jar", "request_uri", requestURI))
	})
	t.Run("assertions", func(t *testing.T) {
		h := openConsumers(t)
		for name, pairs := range map[string][]any{
			"8 KiB": {"x", strings.Repeat("x", 8<<10)}, "an exp of 400 digits": {"exp", json.RawMessage(strings.Repeat("9", 400))},
			"an iat of 1e999": {"iat", json.RawMessage("1e999")}, "a deep claim": {"x", json.RawMessage(strings.Repeat("[", 500) + strings.Repeat("]", 500))},
		} {
			if resp := h.present(signedBy("ES256", h.assertion("keys", pairs...))); errorCode(resp.ResponseContent) != "invalid_client" {
				t.Errorf("%s: %s", name, resp.ResponseContent)
			}
		}
		h.wantError(h.present(strings.Repeat(".", 5000)), "invalid_client")
	})
}

// threats.md 16: a kid is compared, and is never part of an address or a path.
func TestThreat16KidIsNoAddress(t *testing.T) {
	t.Parallel()
	h := openConsumers(t)
	h.web.serve(clientJWKSURI, jwksOf("p256"))
	for _, kid := range []string{
		"../../etc/passwd", "/etc/passwd", "https://evil.example/key", "file:///etc/passwd", "p256/../p256", "' OR 1=1 --", "%2e%2e%2f", "\x00", "|id", "$(id)", "http://169.254.169.254/",
	} {
		header := map[string]any{"kid": kid}
		h.wantError(h.present(signed("ES256", clientKeys()["p256"], header, h.assertion("elsewhere"))), "invalid_client")
		h.wantRefusal("invalid_request_object", request("jar", "request", signed("ES256", clientKeys()["p256"], header, object("jar"))))
		if h.usable(signed("ES256", clientKeys()["p256"], map[string]any{"kid": kid, "typ": "at+jwt"}, map[string]any{"iss": issuer})) {
			t.Error("an access token of a stranger's is usable")
		}
	}
	for _, address := range h.web.requests() {
		if address != clientJWKSURI {
			t.Errorf("%s was asked for", address)
		}
	}
	if n := len(h.web.requests()); n == 0 || n > 6 {
		t.Errorf("jwks_uri was asked for %d times", n)
	}
}

// The design's promise on unknown key ids: one fetch an interval, whatever
// arrives; a client that rotates its keys is understood, and an outage of its
// address changes nothing.
func TestClientKeysByReference(t *testing.T) {
	t.Parallel()
	h := openConsumers(t)
	fetches := func() int { return len(h.web.requests()) }
	present := func(alg string) model.Action {
		return h.present(signedBy(alg, h.assertion("elsewhere"))).Action
	}
	if present("ES256") != model.ActionInvalidClient {
		t.Error("keys that cannot be had verify something")
	}
	h.web.serve(clientJWKSURI, jwksOf("p256"))
	together(16, func(int) {
		if present("ES256") != model.ActionOK {
			t.Error("the keys are not used")
		}
	})
	if n := fetches(); n != 2 {
		t.Errorf("%d fetches for the first keys, and one that failed", n)
	}
	together(64, func(int) { present("ES384") })
	if n := fetches(); n > 5 {
		t.Errorf("%d fetches for unknown keys", n)
	}
	h.web.serve(clientJWKSURI, jwksOf("p384"))
	h.pass(30 * time.Second)
	if present("ES384") != model.ActionOK || present("ES256") != model.ActionInvalidClient {
		t.Error("the new key is unknown, or the old one is good")
	}
	h.web.drop(clientJWKSURI)
	h.pass(24 * time.Hour)
	for range 3 {
		if present("ES384") != model.ActionOK {
			t.Error("the keys do not outlive an outage")
		}
	}
	h.web.serve(clientJWKSURI, "<html>")
	h.pass(24 * time.Hour)
	if present("ES384") != model.ActionOK {
		t.Error("the keys do not outlive a page of errors")
	}
}
