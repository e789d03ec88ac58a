package front

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-auth/gatehouse/engine/dpop/dpoptest"
	"github.com/gatehouse-auth/gatehouse/engine/model"
)

// senderService is one for the password flow that binds tokens by all means.
func senderService(o *operator) model.Settings {
	settings := passwordService(o)
	for name, value := range map[string]any{
		"dpopNonceRequired": true, "tlsClientCertificateBoundAccessTokens": true, "dynamicRegistrationSupported": true,
		"apiKey": "4711", "apiSecret": "an api secret", "directTokenEndpointEnabled": true, "directUserInfoEndpointEnabled": true,
	} {
		settings[name] = raw(value)
	}
	return settings
}

// request makes a request; headers are name, value, …
func request(t *testing.T, method, address, form string, headers ...string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(form))
	if err != nil {
		t.Fatal(err)
	}
	if form != "" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header[headers[i]] = append(r.Header[headers[i]], headers[i+1])
	}
	return r
}

const aliceAsks = "grant_type=password&username=alice&password=p%3A+%C3%A5&scope=openid+email"

var asWeb = basic("web", url.QueryEscape(secret))

// proof proves a key for a request to the service, which is not where it listens:
// what Host says is nothing (threats.md 22).
func proof(t *testing.T, k *dpoptest.Key, method, path string, more dpoptest.Members) string {
	t.Helper()
	about := dpoptest.Members{"htm": method, "htu": issuer + path, "iat": time.Now().Unix()}
	return k.Prove(t, about.With(more))
}

// RFC 9449 §5, §7.1, §8, §9 over HTTP: a nonce is asked for and given, the token
// is of the type DPoP, and userinfo takes it from nobody but the key's holder.
func TestDPoPOverHTTP(t *testing.T) {
	o := newOperator(t)
	f := newFront(t, senderService(o))
	k := dpoptest.NewKey(t, "ES256")
	token := func(path string, more dpoptest.Members) answered {
		t.Helper()
		return f.do(request(t, "POST", f.http.URL+path, aliceAsks, "Authorization", asWeb, "DPoP", proof(t, k, "POST", path, more)), nil)
	}
	first := token("/token", nil)
	nonce := first.header.Get("DPoP-Nonce")
	if first.status != 400 || first.body["error"] != "use_dpop_nonce" || nonce == "" || first.header.Get("Cache-Control") != "no-store" {
		t.Fatalf("%d %v %v", first.status, first.header, first.body)
	}
	with := dpoptest.Members{"nonce": nonce}
	second := token("/token", with)
	if second.status != 200 || second.body["token_type"] != "DPoP" || second.header.Get("DPoP-Nonce") != nonce {
		t.Fatalf("%d %v %v", second.status, second.header, second.body)
	}
	bound := second.body["access_token"].(string)
	if direct := token("/api/auth/token/direct/4711", with); direct.status != 200 || direct.body["token_type"] != "DPoP" {
		t.Errorf("by the direct address: %d %v", direct.status, direct.body)
	}
	for name, proofs := range map[string][]string{
		"two headers":             {proof(t, k, "POST", "/token", with), proof(t, k, "POST", "/token", with)},
		"an empty header":         {""},
		"for the direct address":  {proof(t, k, "POST", "/api/auth/token/direct/4711", with)},
		"for where it listens":    {proof(t, k, "POST", "/token", with.With(dpoptest.Members{"htu": f.http.URL + "/token"}))},
		"for where Host says":     {proof(t, k, "POST", "/token", with.With(dpoptest.Members{"htu": "http://evil.example.com/token"}))},
		"a proof without a proof": {"e30.e30.e30"},
	} {
		r := request(t, "POST", f.http.URL+"/token", aliceAsks, "Authorization", asWeb)
		r.Header["DPoP"], r.Host = proofs, "evil.example.com"
		r.Header.Set("X-Forwarded-Host", "evil.example.com")
		if got := f.do(r, nil); got.status != 400 || got.body["error"] != "invalid_dpop_proof" || got.body["access_token"] != nil {
			t.Errorf("%s: %d %v", name, got.status, got.body)
		}
	}

	plain := f.do(request(t, "POST", f.http.URL+"/token", aliceAsks, "Authorization", asWeb), nil)
	if plain.status != 200 || plain.body["token_type"] != "Bearer" || plain.header.Get("DPoP-Nonce") != "" {
		t.Fatalf("%d %v", plain.status, plain.body)
	}
	unbound := plain.body["access_token"].(string)
	ath := func(token string) dpoptest.Members { return with.With(dpoptest.Members{"ath": dpoptest.Hash(token)}) }
	const dpop, bearer = `DPoP realm="` + issuer + `", algs="ES256 Ed25519 EdDSA PS256"`, `Bearer realm="` + issuer + `"`
	for _, c := range []struct {
		name      string
		request   *http.Request
		status    int
		challenge string
	}{
		{"GET", request(t, "GET", f.http.URL+"/userinfo", "", "Authorization", "DPoP "+bound, "DPoP", proof(t, k, "GET", "/userinfo", ath(bound))), 200, ""},
		{"POST", request(t, "POST", f.http.URL+"/userinfo", "", "Authorization", "dpop "+bound, "DPoP", proof(t, k, "POST", "/userinfo", ath(bound))), 200, ""},
		{"by the direct address", request(t, "GET", f.http.URL+"/api/auth/userinfo/direct/4711", "", "Authorization", "DPoP "+bound,
			"DPoP", proof(t, k, "GET", "/api/auth/userinfo/direct/4711", ath(bound))), 200, ""},
		{"plain", request(t, "GET", f.http.URL+"/userinfo", "", "Authorization", "Bearer "+unbound), 200, ""},
		{"no nonce", request(t, "GET", f.http.URL+"/userinfo", "", "Authorization", "DPoP "+bound,
			"DPoP", proof(t, k, "GET", "/userinfo", dpoptest.Members{"ath": dpoptest.Hash(bound)})), 401, `DPoP error="use_dpop_nonce"`},
		{"no ath", request(t, "GET", f.http.URL+"/userinfo", "", "Authorization", "DPoP "+bound, "DPoP", proof(t, k, "GET", "/userinfo", with)), 401, `DPoP error="invalid_dpop_proof"`},
		{"no proof", request(t, "GET", f.http.URL+"/userinfo", "", "Authorization", "DPoP "+bound), 401, `DPoP error="invalid_dpop_proof"`},
		{"downgrade", request(t, "GET", f.http.URL+"/userinfo", "", "Authorization", "Bearer "+bound), 401, `Bearer error="invalid_token"`},
		{"downgrade with a proof", request(t, "GET", f.http.URL+"/userinfo", "", "Authorization", "Bearer "+bound,
			"DPoP", proof(t, k, "GET", "/userinfo", ath(bound))), 401, `Bearer error="invalid_token"`},
		{"downgrade in the form", request(t, "POST", f.http.URL+"/userinfo", "access_token="+bound, "DPoP", proof(t, k, "POST", "/userinfo", ath(bound))), 401, `Bearer error="invalid_token"`},
		{"plain as DPoP", request(t, "GET", f.http.URL+"/userinfo", "", "Authorization", "DPoP "+unbound, "DPoP", proof(t, k, "GET", "/userinfo", ath(unbound))), 401, `DPoP error="invalid_token"`},
		{"in two places", request(t, "POST", f.http.URL+"/userinfo", "access_token="+bound, "Authorization", "DPoP "+bound, "DPoP", proof(t, k, "POST", "/userinfo", ath(bound))), 400, ""},
		{"two Authorization headers", request(t, "GET", f.http.URL+"/userinfo", "", "Authorization", "DPoP "+bound, "Authorization", "Bearer "+bound), 400, bearer + `, error="invalid_request"`},
		{"nothing", request(t, "GET", f.http.URL+"/userinfo", ""), 401, bearer + "\n" + dpop},
	} {
		got := f.do(c.request, nil)
		challenges := strings.Join(slices.Sorted(slices.Values(got.header.Values("WWW-Authenticate"))), "\n")
		if got.status != c.status || !strings.HasPrefix(challenges, c.challenge) || c.status == 200 && got.body["sub"] != "a1" {
			t.Errorf("%s: %d %q %v", c.name, got.status, challenges, got.body)
		}
		if c.status == 401 && (!strings.Contains(challenges, "DPoP ") || !strings.Contains(challenges, "Bearer")) {
			t.Errorf("%s: not both challenges: %q", c.name, challenges)
		}
		if given := got.header.Get("DPoP-Nonce"); given != "" && given != nonce || c.name == "no nonce" && given == "" {
			t.Errorf("%s: DPoP-Nonce: %q", c.name, given)
		}
	}
}

// Scripts may send proofs, and see the nonce (RFC 9449 §8.2, Fetch §3.2).
func TestDPoPFromScripts(t *testing.T) {
	o := newOperator(t)
	f := newFront(t, senderService(o))
	for _, path := range []string{"/token", "/userinfo"} {
		preflight := f.do(request(t, "OPTIONS", f.http.URL+path, "", "Origin", "https://app.example.com", "Access-Control-Request-Method", "POST"), nil)
		allowed, exposed := preflight.header.Get("Access-Control-Allow-Headers"), preflight.header.Get("Access-Control-Expose-Headers")
		if preflight.status != 204 || !strings.Contains(allowed, "DPoP") || !strings.Contains(exposed, "DPoP-Nonce") {
			t.Errorf("%s: %d %v", path, preflight.status, preflight.header)
		}
	}
}

// withCertificates serves the same over TLS, and asks for client certificates
// without caring who has signed them.
func (f *front) withCertificates() *httptest.Server {
	f.t.Helper()
	server := httptest.NewUnstartedServer(f.http.Config.Handler)
	server.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	server.EnableHTTP2 = true
	server.StartTLS()
	f.t.Cleanup(server.Close)
	return server
}

// certified is a client with a certificate that it has made itself, or without.
func certified(t *testing.T, server *httptest.Server, with bool) (client *http.Client, x5t string) {
	t.Helper()
	transport := server.Client().Transport.(*http.Transport).Clone()
	t.Cleanup(transport.CloseIdleConnections)
	client = &http.Client{Transport: transport}
	if !with {
		return client, ""
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "client.example.com"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	transport.TLSClientConfig.Certificates = []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}
	sum := sha256.Sum256(der)
	return client, base64.RawURLEncoding.EncodeToString(sum[:])
}

// RFC 8705 §3 over TLS: tokens are bound to the certificate of the handshake, and
// userinfo takes them over connections with it alone; threats.md 17.
func TestCertificateBoundTokensOverTLS(t *testing.T) {
	o := newOperator(t)
	f := newFront(t, senderService(o))
	server := f.withCertificates()
	mine, x5t := certified(t, server, true)
	other, _ := certified(t, server, true)
	none, _ := certified(t, server, false)
	do := func(by *http.Client, r *http.Request) answered {
		t.Helper()
		resp, err := by.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		got := answered{status: resp.StatusCode, header: resp.Header}
		_ = json.NewDecoder(resp.Body).Decode(&got.body) // some answers have none
		return got
	}
	registered := f.registration(`{"grant_types":["password"],"tls_client_certificate_bound_access_tokens":true}`)
	if registered.status != 201 || registered.body["tls_client_certificate_bound_access_tokens"] != true {
		t.Fatalf("%d %v", registered.status, registered.body)
	}
	client := basic(registered.body["client_id"].(string), registered.body["client_secret"].(string))
	ask := func(by *http.Client, headers ...string) answered {
		return do(by, request(t, "POST", server.URL+"/token", aliceAsks, append(headers, "Authorization", client)...))
	}
	forged := []string{"Client-Cert", ":bm90IG1pbmU=:", "X-Client-Cert", "x", "Ssl-Client-Cert", "x"}
	if got := ask(none, forged...); got.status != 400 || got.body["error"] != "invalid_request" {
		t.Errorf("without a certificate: %d %v", got.status, got.body)
	}
	got := ask(mine)
	if got.status != 200 || got.body["token_type"] != "Bearer" {
		t.Fatalf("%d %v", got.status, got.body)
	}
	token := got.body["access_token"].(string)
	introspected := do(mine, request(t, "POST", server.URL+"/introspect", "token="+token, "Authorization", asWeb)).body
	if diff := cmp.Diff(map[string]any{"x5t#S256": x5t}, introspected["cnf"]); diff != "" { // §3.2
		t.Errorf("cnf: %s", diff)
	}
	for name, c := range map[string]struct {
		by     *http.Client
		status int
	}{"mine": {mine, 200}, "another's": {other, 401}, "none": {none, 401}} {
		for _, r := range []*http.Request{
			request(t, "GET", server.URL+"/userinfo", "", append(forged, "Authorization", "Bearer "+token)...),
			request(t, "POST", server.URL+"/userinfo", "access_token="+token),
		} {
			got := do(c.by, r)
			if got.status != c.status || c.status == 401 && !strings.HasPrefix(got.header.Get("WWW-Authenticate"), `Bearer error="invalid_token"`) {
				t.Errorf("%s certificate, %s: %d %v", name, r.Method, got.status, got.header)
			}
		}
	}
}
