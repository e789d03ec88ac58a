package relyingparty

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwk"
	"github.com/lestrrat-go/jwx/v2/jws"
)

// fakeProvider is an OpenID Provider at which everybody is signed in as alice.
// It misbehaves as it is told.
type fakeProvider struct {
	t    *testing.T
	http *httptest.Server
	now  func() time.Time

	mu       sync.Mutex
	key      jwk.Key // that signs
	hits     map[string]int
	requests map[string]url.Values // authorization requests by code
	revoked  []string
	refresh  string // the refresh token in use
	sid      int

	// Told by tests, under mu.
	subject   string
	lasts     int                                      // expires_in
	metadata  map[string]any                           // beside and instead of what it says
	change    func(claims map[string]any)              // of ID tokens
	sign      func(claims map[string]any) string       // instead of its key
	answer    func(answer url.Values)                  // of authorization responses
	instead   map[string]http.HandlerFunc              // of an endpoint, by its path
	refreshed func(answer map[string]any) (status int) // of refreshes; status 0: 200
}

func newFakeProvider(t *testing.T, now func() time.Time) *fakeProvider {
	t.Helper()
	p := &fakeProvider{
		t: t, now: now, hits: map[string]int{}, requests: map[string]url.Values{}, subject: "alice", lasts: 3600,
		instead: map[string]http.HandlerFunc{},
	}
	p.newKey("k1")
	mux := http.NewServeMux()
	for path, handler := range map[string]http.HandlerFunc{
		"/.well-known/openid-configuration": p.serveMetadata, "/authorize": p.serveAuthorize, "/token": p.serveToken,
		"/jwks": p.serveKeys, "/userinfo": p.serveUserInfo, "/revoke": p.serveRevoke, "/end_session": p.serveEndSession,
	} {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			p.mu.Lock()
			p.hits[path]++
			answer := p.instead[path]
			p.mu.Unlock()
			if answer == nil {
				answer = handler
			}
			answer(w, r)
		})
	}
	p.http = serveTLS(t, mux.ServeHTTP)
	return p
}

// serveTLS starts a server that keeps connections cut short to itself.
func serveTLS(t *testing.T, handler http.HandlerFunc) *httptest.Server {
	server := httptest.NewUnstartedServer(handler)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	return server
}

// told changes how the provider behaves.
func (p *fakeProvider) told(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
}

func (p *fakeProvider) newKey(kid string) {
	raw, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		p.t.Fatal(err)
	}
	key, err := jwk.FromRaw(raw)
	if err != nil {
		p.t.Fatal(err)
	}
	_ = key.Set(jwk.KeyIDKey, kid)
	_ = key.Set(jwk.AlgorithmKey, jwa.ES256)
	p.told(func() { p.key = key })
}

// count is how often an endpoint was asked.
func (p *fakeProvider) count(path string) (n int) {
	p.told(func() { n = p.hits[path] })
	return n
}

func (p *fakeProvider) revokedTokens() (list []string) {
	p.told(func() { list = append(list, p.revoked...) })
	return list
}

func reply(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

func (p *fakeProvider) serveMetadata(w http.ResponseWriter, _ *http.Request) {
	base := p.http.URL
	document := map[string]any{
		"issuer": base, "authorization_endpoint": base + "/authorize", "token_endpoint": base + "/token", "jwks_uri": base + "/jwks",
		"userinfo_endpoint": base + "/userinfo", "revocation_endpoint": base + "/revoke", "end_session_endpoint": base + "/end_session",
		"id_token_signing_alg_values_supported":          []string{"ES256", "HS256", "none"},
		"authorization_response_iss_parameter_supported": true,
	}
	p.told(func() { maps.Copy(document, p.metadata) })
	reply(w, http.StatusOK, document)
}

func (p *fakeProvider) serveAuthorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	code := rand.Text()
	answer := url.Values{"code": {code}, "state": {q.Get("state")}, "iss": {p.http.URL}}
	p.told(func() {
		p.requests[code] = q
		if p.answer != nil {
			p.answer(answer)
		}
	})
	http.Redirect(w, r, q.Get("redirect_uri")+"?"+answer.Encode(), http.StatusFound)
}

func (p *fakeProvider) serveToken(w http.ResponseWriter, r *http.Request) {
	if !isWeb(r) {
		reply(w, http.StatusUnauthorized, map[string]any{"error": "invalid_client"})
		return
	}
	if r.PostFormValue("grant_type") == "refresh_token" {
		p.serveRefresh(w, r)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	q := p.requests[r.PostFormValue("code")]
	delete(p.requests, r.PostFormValue("code"))
	verifier := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
	if q == nil || q.Get("code_challenge") != base64.RawURLEncoding.EncodeToString(verifier[:]) ||
		q.Get("code_challenge_method") != "S256" || q.Get("redirect_uri") != r.PostFormValue("redirect_uri") {
		reply(w, http.StatusBadRequest, map[string]any{"error": "invalid_grant"})
		return
	}
	p.sid++
	answer := p.tokens()
	answer["id_token"] = p.idToken(map[string]any{"nonce": q.Get("nonce")})
	reply(w, http.StatusOK, answer)
}

// isWeb checks the client's credentials (RFC 6749 §2.3.1).
func isWeb(r *http.Request) bool {
	key, secret, _ := r.BasicAuth()
	return key == "web" && secret == url.QueryEscape("the secret")
}

// tokens are new ones. The lock is held.
func (p *fakeProvider) tokens() map[string]any {
	p.refresh = "refresh-" + rand.Text()
	return map[string]any{
		"access_token": "access-" + rand.Text(), "token_type": "bearer", "expires_in": p.lasts, "refresh_token": p.refresh, "scope": "openid orders",
	}
}

// serveRefresh accepts the newest refresh token once, as for rotation.
func (p *fakeProvider) serveRefresh(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if r.PostFormValue("refresh_token") != p.refresh {
		reply(w, http.StatusBadRequest, map[string]any{"error": "invalid_grant"})
		return
	}
	answer, status := p.tokens(), http.StatusOK
	if p.refreshed != nil {
		if changed := p.refreshed(answer); changed != 0 {
			status = changed
		}
	}
	reply(w, status, answer)
}

// idToken makes an ID token of these claims and the usual ones. The lock is held.
func (p *fakeProvider) idToken(more map[string]any) string {
	now := p.now().Unix()
	claims := map[string]any{
		"iss": p.http.URL, "sub": p.subject, "aud": "web", "iat": now, "exp": now + 300, "auth_time": now,
		"sid": "session-" + strconv.Itoa(p.sid), "email": "alice@example.com", "roles": []string{"a", "b"},
	}
	maps.Copy(claims, more)
	if p.change != nil {
		p.change(claims)
	}
	if p.sign != nil {
		return p.sign(claims)
	}
	return signed(p.t, claims, jwa.ES256, p.key, nil)
}

// logoutToken makes a logout token; a nil value takes a claim away.
func (p *fakeProvider) logoutToken(typ string, more map[string]any) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now().Unix()
	claims := map[string]any{
		"iss": p.http.URL, "aud": "web", "iat": now, "exp": now + 120, "jti": rand.Text(),
		"events": map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}},
	}
	maps.Copy(claims, more)
	maps.DeleteFunc(claims, func(_ string, value any) bool { return value == nil })
	return signed(p.t, claims, jwa.ES256, p.key, map[string]any{"typ": typ})
}

// signed makes a JWS; the key's kid is in its header unless header says else.
func signed(t *testing.T, claims map[string]any, alg jwa.SignatureAlgorithm, key any, header map[string]any) string {
	t.Helper()
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	h := jws.NewHeaders()
	for name, value := range header {
		if value != "" {
			_ = h.Set(name, value)
		}
	}
	raw, err := jws.Sign(payload, jws.WithKey(alg, key, jws.WithProtectedHeaders(h)))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func (p *fakeProvider) serveKeys(w http.ResponseWriter, _ *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	public, err := p.key.PublicKey()
	if err != nil {
		p.t.Error(err)
	}
	reply(w, http.StatusOK, map[string]any{"keys": []any{map[string]any{"kty": "unknown", "kid": "x"}, public}})
}

func (p *fakeProvider) serveUserInfo(w http.ResponseWriter, _ *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	reply(w, http.StatusOK, map[string]any{"sub": p.subject, "nickname": "Al", "email": "other@example.com", "client_id": "forged", "big": 9007199254740993})
}

func (p *fakeProvider) serveRevoke(w http.ResponseWriter, r *http.Request) {
	if !isWeb(r) {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	p.told(func() { p.revoked = append(p.revoked, r.PostFormValue("token")) })
}

// serveEndSession keeps the browser, and shows what it was asked.
func (p *fakeProvider) serveEndSession(w http.ResponseWriter, r *http.Request) {
	reply(w, http.StatusOK, r.URL.Query())
}
