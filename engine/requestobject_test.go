package engine_test

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwe"
	"github.com/lestrrat-go/jwx/v2/jwk"

	"github.com/gatehouse-auth/gatehouse/engine/model"
)

const requestURI = "https://app.example.com/request.jwt"

// signing are all JWS algorithms but none.
var signing = func() (algs []string) {
	for _, alg := range slices.Concat(model.SymmetricAlgs, model.AsymmetricAlgs) {
		algs = append(algs, string(alg))
	}
	return algs
}()

// requesters are clients that make request objects: one for each algorithm that
// a client may be registered for, and "jar", which is registered for none.
var requesters = func() map[string]model.Settings {
	client := func(pairs ...any) model.Settings {
		return with(model.Settings{"clientSecret": raw(longSecret), "requestUris": raw([]string{requestURI})}, append(pairs, "jwks", jwksOf())...)
	}
	clients := map[string]model.Settings{"jar": client(), "jar-none": client("requestSignAlg", "NONE")}
	for _, alg := range signing {
		clients["jar-"+alg] = client("requestSignAlg", alg)
	}
	return clients
}

// object is a request object that is in order; pairs change it, and nil takes a
// member away.
func object(client string, pairs ...any) map[string]any {
	claims := map[string]any{
		"iss": client, "aud": issuer, "client_id": client, "response_type": "code", "redirect_uri": redirect, "scope": "openid email",
		"state": "s", "nonce": "inside", "code_challenge": challenge(), "code_challenge_method": "S256",
	}
	for i := 0; i < len(pairs); i += 2 {
		claims[pairs[i].(string)] = pairs[i+1]
	}
	maps.DeleteFunc(claims, func(_ string, value any) bool { return value == nil })
	return claims
}

// wantAccepted makes an authorization request that must be accepted.
func (h *house) wantAccepted(what, parameters string) string {
	h.Helper()
	resp := h.authorize(parameters)
	if resp.Action != model.ActionInteraction {
		h.Errorf("%s: %s %s", what, resp.Action, resp.ResponseContent)
	}
	return resp.Ticket
}

// OpenID Connect Core §6.1, RFC 9101 §6.2; threats.md 13: a request object is
// accepted when it is signed by the algorithm that the client is registered for,
// and by no other.
func TestRequestObjectAlgorithms(t *testing.T) {
	t.Parallel()
	h := openWith(t, nil, requesters())
	for _, registered := range append([]string{"", "none"}, signing...) {
		client := strings.TrimSuffix("jar-"+registered, "-")
		for _, alg := range append([]string{"none"}, signing...) {
			parameters := request(client, "request", signedBy(alg, object(client)))
			// Who is registered for no algorithm may use any with a key of its own,
			// and none: what nobody signs is as good as parameters.
			if alg == registered || registered == "" && !model.SignAlg(alg).Symmetric() {
				h.wantAccepted(alg+" by "+client, parameters)
			} else {
				h.wantRefusal("invalid_request_object", parameters)
			}
		}
	}
}

// OpenID Connect Core §6.1: what is inside takes the place of what is outside.
func TestRequestObjectReplacesParameters(t *testing.T) {
	t.Parallel()
	h := openWith(t, nil, requesters())
	token := signedBy("ES256", object("jar", "state", "inside", "max_age", 60, "prompt", "login", "ui_locales", "ja en",
		"claims", map[string]any{"id_token": map[string]any{"email": nil}}, "resource", []string{"https://a.example/", "https://b.example/"}))
	resp := h.authorize(request("jar", "request", token, "scope", "openid profile", "login_hint", "outside"))
	if resp.Action != model.ActionInteraction {
		t.Fatalf("%s %s", resp.Action, resp.ResponseContent)
	}
	got := []any{resp.Prompts, *resp.MaxAge, resp.UILocales, resp.Claims, resp.Resources, resp.LoginHint, resp.Scopes[1].Name}
	want := []any{[]string{"login"}, int64(60), []string{"ja", "en"}, []string{"email"}, []string{"https://a.example/", "https://b.example/"}, "outside", "email"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	issued := h.issue(resp.Ticket)
	if got := h.read(issued.Action, issued.ResponseContent); got.Get("state") != "inside" {
		t.Errorf("state %q", got.Get("state"))
	}
	idToken := h.verified(h.redeem("jar", issued.AuthorizationCode).IDToken, "")
	if idToken.claims["nonce"] != "inside" {
		t.Errorf("nonce %v", idToken.claims["nonce"])
	}
	// RFC 8707 §2: one resource is a text or a list of one.
	for _, one := range []any{"https://a.example/", []string{"https://a.example/"}} {
		resp := h.authorize(request("jar", "request", signedBy("ES256", object("jar", "resource", one))))
		if diff := cmp.Diff([]string{"https://a.example/"}, resp.Resources); diff != "" {
			t.Errorf("%v: %s", one, diff)
		}
	}
	// A member without a value counts as absent (RFC 6749 §3.1).
	h.wantAccepted("null and empty", request("jar", "request", signedBy("ES256",
		object("jar", "prompt", "", "claims", []byte(nil), "display", "")))+"&display=page")
}

// RFC 9101 §5, §10.8; OpenID Connect Core §6.1; RFC 8725 §3.11, §3.12;
// threats.md 8, 12: what a request object says must hold.
func TestRequestObjectClaims(t *testing.T) {
	t.Parallel()
	h := openWith(t, nil, requesters())
	now := h.clock().Unix()
	for name, c := range map[string]struct {
		claims map[string]any
		code   string
	}{
		"no iss, aud or client_id": {object("jar", "iss", nil, "aud", nil, "client_id", nil), ""},
		"several audiences":        {object("jar", "aud", []string{"https://x.example", issuer}), ""},
		"good for a minute":        {object("jar", "exp", now+60, "nbf", now-60, "iat", now, "jti", "x"), ""},
		"within the clock's skew":  {object("jar", "exp", now-5, "nbf", now+5), ""},
		"another iss":              {object("jar", "iss", "web"), "invalid_request_object"},
		"another client_id":        {object("jar", "client_id", "web"), "invalid_request_object"},
		"another aud":              {object("jar", "aud", "https://x.example"), "invalid_request_object"},
		"aud is no text":           {object("jar", "aud", 7), "invalid_request_object"},
		"expired":                  {object("jar", "exp", now-11), "invalid_request_object"},
		"exp is text":              {object("jar", "exp", "4102444800"), "invalid_request_object"},
		"exp is null":              {object("jar", "exp", raw(nil)), "invalid_request_object"},
		"not yet":                  {object("jar", "nbf", now+11), "invalid_request_object"},
		"sub is the client":        {object("jar", "sub", "jar"), "invalid_request_object"}, // a client assertion
		"another inside":           {object("jar", "request", "x"), "invalid_request_object"},
		"a reference inside":       {object("jar", "request_uri", requestURI), "invalid_request_object"},
		"other response_type":      {object("jar", "response_type", "token"), "invalid_request"},
		"two scopes parameters":    {object("jar", "scope", []string{"openid", "email"}), "invalid_request_object"},
		"two redirect_uris":        {object("jar", "redirect_uri", []string{redirect, "https://evil.example/"}), "invalid_request_object"},
		"NUL in a value":           {object("jar", "login_hint", "a\x00b"), "invalid_request_object"},
		"registration":             {object("jar", "registration", map[string]any{"x": 1}), "registration_not_supported"},
	} {
		t.Run(name, func(t *testing.T) {
			h := h.on(t)
			parameters := request("jar", "request", signedBy("ES256", c.claims))
			if c.code == "" {
				h.wantAccepted(name, parameters)
			} else {
				h.wantRefusal(c.code, parameters)
			}
		})
	}
	t.Run("threats.md 7: it redirects nowhere else", func(t *testing.T) {
		for _, uri := range []string{"https://evil.example/", "https://app.example.com/cb/", ""} {
			resp := h.authorize(request("jar", "redirect_uri", "", "request", signedBy("ES256", object("jar", "redirect_uri", uri))))
			if uri != "" && resp.Action != model.ActionBadRequest {
				t.Errorf("%q: %s %s", uri, resp.Action, resp.ResponseContent)
			}
		}
	})
	t.Run("typ is that of a request object", func(t *testing.T) {
		h := h.on(t)
		for typ, ok := range map[string]bool{"oauth-authz-req+jwt": true, "JWT": true, "jwt": true, "at+jwt": false, "logout+jwt": false, "client-authentication+jwt": false} {
			parameters := request("jar", "request", signed("ES256", clientKeys()["p256"], map[string]any{"kid": "p256", "typ": typ}, object("jar")))
			if ok {
				h.wantAccepted(typ, parameters)
			} else {
				h.wantRefusal("invalid_request_object", parameters)
			}
		}
	})
}

// RFC 9101 §6.3, §10.2; RFC 9700 §4.8: where one is required, a request object is
// there, is signed, and is all that counts.
func TestRequestObjectRequired(t *testing.T) {
	t.Parallel()
	clients := requesters()
	clients["strict"] = with(clients["jar"], "requestObjectRequired", true)
	clients["strict-none"] = with(clients["jar-none"], "requestObjectRequired", true)
	for _, client := range []string{"strict", "jar"} {
		h := openWith(t, model.Settings{"requestObjectRequired": raw(client == "jar")}, clients)
		h.wantRefusal("invalid_request", request(client))
		h.wantAccepted("signed", request(client, "request", signedBy("ES256", object(client))))
		resp := h.authorize(request(client, "prompt", "none", "login_hint", "outside", "request", signedBy("ES256", object(client))))
		if resp.Action != model.ActionInteraction || resp.LoginHint != "" {
			t.Errorf("what is outside counts: %s %q", resp.Action, resp.LoginHint)
		}
		// Outside alone there is no challenge, so that there is none.
		h.wantRefusal("invalid_request", request(client, "request", signedBy("ES256", object(client, "code_challenge", nil, "code_challenge_method", nil))))
		h.wantRefusal("invalid_request_object", request("strict-none", "request", signedBy("none", object("strict-none"))))
	}
}

// OpenID Connect Core §6.2, RFC 9101 §5.2; threats.md 21, 34: request objects by
// reference come from addresses that the client has registered, and the client
// is not told why one could not be had.
func TestRequestURI(t *testing.T) {
	t.Parallel()
	h := openWith(t, nil, requesters())
	token := signedBy("ES256", object("jar"))
	h.web.serve(requestURI, token)
	h.wantAccepted("registered", request("jar", "request_uri", requestURI))
	h.wantAccepted("with a fragment", request("jar", "request_uri", requestURI+"#v2"))
	h.wantRefusal("invalid_request", request("jar", "request_uri", requestURI, "request", token))
	h.web.serve(requestURI, token+"\n")
	h.wantAccepted("with a line break at its end", request("jar", "request_uri", requestURI))
	for name, body := range map[string]string{"nothing": "", "HTML": "<html>", "another client's": signedBy("ES256", object("web")), "not signed, and another client's": signedBy("none", object("web"))} {
		h.web.serve(requestURI, body)
		resp := h.authorize(request("jar", "request_uri", requestURI))
		if got := h.read(resp.Action, resp.ResponseContent); !strings.HasPrefix(got.Get("error"), "invalid_request") || resp.Ticket != "" {
			t.Errorf("%s: %v", name, got.Values)
		}
	}
	before := len(h.web.requests())
	for _, uri := range []string{
		"https://app.example.com/request.jwt?x", "https://app.example.com/request.jwt/", "https://app.example.com/REQUEST.jwt", "http://app.example.com/request.jwt",
		"https://app.example.com:443/request.jwt", "https://u@app.example.com/request.jwt", "https://evil.example/", "http://169.254.169.254/", "file:///etc/passwd",
		"urn:x", requestURI + "#" + strings.Repeat("x", 512), "//app.example.com/request.jwt",
	} {
		h.wantRefusal("invalid_request_uri", request("jar", "request_uri", uri))
	}
	if after := h.web.requests(); len(after) != before {
		t.Errorf("what is not registered was fetched: %v", after[before:])
	}
	h.web.drop(requestURI)
	resp := h.authorize(request("jar", "request_uri", requestURI))
	if got := h.read(resp.Action, resp.ResponseContent); got.Get("error") != "invalid_request_uri" || strings.Contains(got.Get("error_description"), "unavailable") {
		t.Errorf("%v", got.Values)
	}
}

// decryptable makes a service that request objects may be written to.
var decryptable = model.Settings{"keyAlgs": raw([]string{"RSA_OAEP_256", "ECDH_ES"})}

// sealedTo encrypts to the service, or with a client's secret.
func (h *house) sealedTo(alg model.EncAlg, enc model.ContentEnc, content string, options ...jwe.EncryptOption) string {
	h.Helper()
	var key any = secretKey(alg, enc)
	for _, k := range h.published() {
		if k.Use == "enc" && (k.KTY == "RSA") == alg.RSA() && !alg.Symmetric() {
			public, err := jwk.ParseKey(raw(k))
			if err != nil {
				h.Fatal(err)
			}
			_ = public.Remove(jwk.AlgorithmKey)
			key = public
		}
	}
	token, err := jwe.Encrypt([]byte(content), append(options, jwe.WithKey(jwa.KeyEncryptionAlgorithm(alg), key),
		jwe.WithContentEncryption(jwa.ContentEncryptionAlgorithm(enc)))...)
	if err != nil {
		h.Fatalf("%s %s: %v", alg, enc, err)
	}
	return string(token)
}

// OpenID Connect Core §6.1, §10.2; RFC 9101 §6.1: encrypted request objects, by
// each algorithm.
func TestEncryptedRequestObject(t *testing.T) {
	t.Parallel()
	clients := requesters()
	for _, alg := range model.EncAlgs {
		clients["jwe-"+string(alg)] = with(clients["jar"], "requestEncryptionAlg", apiName(string(alg)), "requestEncryptionEnc", "A256GCM")
	}
	h := openWith(t, decryptable, clients)
	for _, alg := range model.EncAlgs {
		client := "jwe-" + string(alg)
		inner := signedBy("ES256", object(client))
		h.wantAccepted(client, request(client, "request", h.sealedTo(alg, "A256GCM", inner)))
		// It is registered for encryption, of this kind.
		h.wantRefusal("invalid_request_object", request(client, "request", inner))
		h.wantRefusal("invalid_request_object", request(client, "request", h.sealedTo(alg, "A128GCM", inner)))
		other := model.RSAOAEP256
		if alg == other {
			other = model.ECDHES
		}
		h.wantRefusal("invalid_request_object", request(client, "request", h.sealedTo(other, "A256GCM", inner)))
		// A client that is not registered for encryption may use the service's keys, and no secret.
		open := request("jar", "request", h.sealedTo(alg, "A256GCM", signedBy("ES256", object("jar"))))
		if alg.Symmetric() {
			h.wantRefusal("invalid_request_object", open)
		} else {
			h.wantAccepted("jar "+string(alg), open)
		}
	}
}

// threats.md 11 (CVE-2026-9793): an encrypted request object without a signed
// one inside is refused, whoever sends it.
func TestThreat11EncryptedUnsigned(t *testing.T) {
	t.Parallel()
	clients := requesters()
	clients["none-rsa"] = with(clients["jar-none"], "requestEncryptionAlg", "RSA_OAEP_256")
	clients["none-dir"] = with(clients["jar-none"], "requestEncryptionAlg", "DIR")
	h := openWith(t, decryptable, clients)
	for client, alg := range map[string]model.EncAlg{"jar": "RSA-OAEP-256", "jar-none": "ECDH-ES", "none-rsa": "RSA-OAEP-256", "none-dir": "dir"} {
		for name, inner := range map[string]string{
			"unsecured": signedBy("none", object(client)), "JSON": string(raw(object(client))), "nothing": "", "a form": request(client),
			"sealed twice":     h.sealedTo(alg, model.A128CBCHS256, signedBy("none", object(client))),
			"signed by itself": signed("ES256", clientKeys()["p256"], map[string]any{"kid": "x", "jwk": jwkOf("p256")}, object(client)),
		} {
			token := h.sealedTo(alg, model.A128CBCHS256, inner)
			if name == "signed by itself" && client == "jar" {
				continue // p256 is a key of this client, under whatever name
			}
			resp := h.authorize(request(client, "request", token))
			if got := h.read(resp.Action, resp.ResponseContent); got.Get("error") != "invalid_request_object" {
				t.Errorf("%s, %s: %v", client, name, got.Values)
			}
		}
	}
}

// A request object is bound in time to the ticket that it led to, and no more:
// the ticket is good for a day.
func TestTicketExpires(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	ticket := h.authorize(request("spa")).Ticket
	h.pass(25 * time.Hour)
	if resp := h.issue(ticket); resp.Action != model.ActionBadRequest {
		t.Errorf("%s %s", resp.Action, resp.ResponseContent)
	}
}
