package remote

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwk"
	"github.com/lestrrat-go/jwx/v2/jws"
	"github.com/lestrrat-go/jwx/v2/jwt"
)

// privateKey makes a jwx key with a kid, and an alg if one is given.
func privateKey(t testing.TB, raw any, kid, alg string) jwk.Key {
	t.Helper()
	key, err := jwk.FromRaw(raw)
	if err != nil {
		t.Fatal(err)
	}
	if err := key.Set(jwk.KeyIDKey, kid); err != nil {
		t.Fatal(err)
	}
	if alg != "" {
		if err := key.Set(jwk.AlgorithmKey, jwa.SignatureAlgorithm(alg)); err != nil {
			t.Fatal(err)
		}
	}
	return key
}

func ecKey(t testing.TB, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// Secrets are sent as RFC 6749 §2.3.1 and RFC 7662 §2.1 say, each in its place
// and in no other.
func TestAuthentication(t *testing.T) {
	token := func(context.Context) (string, error) { return "own-token", nil }
	for _, test := range []struct {
		name   string
		a      Authentication
		form   url.Values
		header http.Header
	}{
		{"none", Authentication{}, url.Values{}, http.Header{}},
		{"none, named", Authentication{Method: MethodNone, ClientID: "gate"}, url.Values{"client_id": {"gate"}}, http.Header{}},
		{"client_secret_basic", Authentication{Method: MethodClientSecretBasic, ClientID: "gate way:1", Secret: sampleSecret},
			url.Values{}, http.Header{"Authorization": {"Basic Z2F0ZSt3YXklM0ExOnMzY3IlMjV0JTNBKyUyQiUyRiVDMyVCQw=="}}}, // gate+way%3A1:s3cr%25t%3A+%2B%2F%C3%BC
		{"client_secret_post", Authentication{Method: MethodClientSecretPost, ClientID: "gate", Secret: sampleSecret},
			url.Values{"client_id": {"gate"}, "client_secret": {sampleSecret}}, http.Header{}},
		{"bearer", Authentication{Method: MethodBearer, Token: token}, url.Values{}, http.Header{"Authorization": {"Bearer own-token"}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			i := open(t, Options{Endpoint: "https://as.example.com/introspect", Authentication: test.a})
			form, header := url.Values{}, http.Header{}
			if err := i.Authorize(context.Background(), form, header); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.form, form) + cmp.Diff(test.header, header); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// RFC 7523 §3 and OpenID Connect Core §9, read by jwx on the other side: the
// key's algorithm and kid, iss and sub the client, aud, a short life, and a jti
// that no other attempt had.
func TestPrivateKeyJWT(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, audience, issuer string
		key                    jwk.Key
		alg, aud               string
	}{
		{"RSA", "", sampleIssuer, privateKey(t, rsaKey, "k1", ""), "RS256", sampleIssuer},
		{"RSA with alg", "", "", privateKey(t, rsaKey, "k2", "PS256"), "PS256", "the endpoint"},
		{"P-256", "https://as.example.com/token", sampleIssuer, privateKey(t, ecKey(t, elliptic.P256()), "k3", ""), "ES256", "https://as.example.com/token"},
		{"P-384", "", sampleIssuer, privateKey(t, ecKey(t, elliptic.P384()), "k4", "ES384"), "ES384", sampleIssuer},
		{"Ed25519", "", sampleIssuer, privateKey(t, edKey, "k5", ""), "EdDSA", sampleIssuer},
	} {
		t.Run(test.name, func(t *testing.T) {
			public, err := test.key.PublicKey()
			if err != nil {
				t.Fatal(err)
			}
			now, seen := newClock(), map[string]bool{}
			e := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if r.PostFormValue("client_assertion_type") != assertionType || r.PostFormValue("client_id") != "gate" {
					t.Error("the form is", r.PostForm)
				}
				assertion := []byte(r.PostFormValue("client_assertion"))
				token, err := jwt.Parse(assertion, jwt.WithKey(jwa.SignatureAlgorithm(test.alg), public), jwt.WithValidate(false))
				if err != nil {
					t.Error(err)
					return
				}
				message, err := jws.Parse(assertion)
				if err != nil {
					t.Error(err)
					return
				}
				header := message.Signatures()[0].ProtectedHeaders()
				if header.KeyID() != test.key.KeyID() || header.Type() != "JWT" {
					t.Errorf("kid %q, typ %q", header.KeyID(), header.Type())
				}
				aud := strings.ReplaceAll(token.Audience()[0], "https://"+r.Host+"/introspect", "the endpoint")
				if token.Issuer() != "gate" || token.Subject() != "gate" || aud != test.aud {
					t.Errorf("iss %q, sub %q, aud %q", token.Issuer(), token.Subject(), aud)
				}
				if !token.IssuedAt().Equal(now.now()) || token.Expiration().Sub(now.now()) != time.Minute {
					t.Errorf("iat %s, exp %s", token.IssuedAt(), token.Expiration())
				}
				if seen[token.JwtID()] || len(token.JwtID()) < 22 {
					t.Errorf("jti %q", token.JwtID())
				}
				seen[token.JwtID()] = true
				if len(seen) < 3 {
					w.WriteHeader(http.StatusServiceUnavailable)
					return
				}
				answering("application/json", active)(w, r)
			})
			o := e.options()
			o.Issuer, o.Now = test.issuer, now.now
			o.Authentication = Authentication{Method: MethodPrivateKeyJWT, ClientID: "gate", Key: test.key, Audience: test.audience}
			ask(t, open(t, o), sampleToken)
			if len(seen) != 3 {
				t.Errorf("%d attempts", len(seen))
			}
		})
	}
}

// RFC 8705 §2: the handshake proves who we are, client_id says it. Without the
// certificate nobody gets through.
func TestMutualTLS(t *testing.T) {
	ca := newAuthority(t)
	e := unstarted(func(w http.ResponseWriter, r *http.Request) {
		if name := r.TLS.PeerCertificates[0].Subject.CommonName; name != r.PostFormValue("client_id") || r.ProtoMajor != 2 {
			t.Errorf("the certificate of %s over %s, and the form %v", name, r.Proto, r.PostForm)
		}
		answering("application/json", active)(w, r)
	})
	e.TLS = &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ca.pool}
	e.StartTLS()
	t.Cleanup(e.Close)

	o := e.options()
	wantUnavailable(t, open(t, o), sampleToken, "") // the reset may come before the alert
	o.Authentication = Authentication{Method: MethodTLS, ClientID: "gate"}
	o.TLS.Certificates = []tls.Certificate{newAuthority(t).issue("gate")}
	wantUnavailable(t, open(t, o), sampleToken, "")
	wantCalls(t, &e.calls, 0)
	o.TLS.Certificates = []tls.Certificate{ca.issue("gate")}
	if f := ask(t, open(t, o), sampleToken); !f.Active {
		t.Errorf("got %+v", f)
	}
	wantCalls(t, &e.calls, 1)
}

// Connections are never older than TLS 1.2, nor to whom nobody vouches for.
func TestServerIdentity(t *testing.T) {
	e := unstarted(answering("application/json", active))
	e.TLS = &tls.Config{MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}
	e.StartTLS()
	t.Cleanup(e.Close)
	o := e.options()
	o.TLS.MinVersion = tls.VersionTLS10
	wantUnavailable(t, open(t, o), sampleToken, "protocol")

	e = serve(t, answering("application/json", active))
	o = e.options()
	o.TLS = nil
	wantUnavailable(t, open(t, o), sampleToken, "not trusted")
	o = e.options()
	o.TLS.ServerName = "other.example.net"
	wantUnavailable(t, open(t, o), sampleToken, "another host")
	wantCalls(t, &e.calls, 0)
}

// A token of our own that is not to be had is no judgement on the endpoint, and
// what its source says stays out of the text.
func TestBearerTokenIsMissing(t *testing.T) {
	cause := errors.New("no " + sampleSecret)
	e := serve(t, answering("application/json", active))
	o := e.options()
	o.Failures = 1
	o.Authentication = Authentication{Method: MethodBearer, Token: func(context.Context) (string, error) { return "", cause }}
	i := open(t, o)
	for range 3 {
		wantUnavailable(t, i, sampleToken, "our own credentials")
	}
	if _, err := i.Introspect(context.Background(), sampleToken); !errors.Is(err, cause) {
		t.Errorf("got %v", err)
	}
	if got := i.Status(); got.Breaker != Closed || got.Requests != 0 || got.Failures != 4 {
		t.Errorf("got %+v", got)
	}
}
