package remote

import (
	"crypto/elliptic"
	"strings"
	"testing"

	"github.com/lestrrat-go/jwx/v2/jwk"
)

// What could never work is an error at the start (threat 25), in words that
// quote no secret. Plain http is for loopback (RFC 7662 §4).
func TestOptionsThatMakeNoSense(t *testing.T) {
	public, err := privateKey(t, ecKey(t, elliptic.P256()), "k", "").PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	as := func(a Authentication) Options {
		return Options{Endpoint: "https://as.example.com/introspect", Authentication: a}
	}
	keyed := func(key jwk.Key) Options {
		return as(Authentication{Method: MethodPrivateKeyJWT, ClientID: "gate", Key: key})
	}
	for _, test := range []struct {
		name    string
		options Options
		want    string
	}{
		{"no endpoint", Options{}, "endpoint is not an absolute URL"},
		{"relative", Options{Endpoint: "/introspect"}, "endpoint is not an absolute URL"},
		{"http", Options{Endpoint: "http://as.example.com/"}, "not https"},
		{"a scheme of another kind", Options{Endpoint: "ftp://localhost/"}, "not https"},
		{"a loopback lookalike", Options{Endpoint: "http://127.0.0.1.example.com/"}, "not https"},
		{"a password", Options{Endpoint: "https://gate:planted@as.example.com/"}, "user information"},
		{"a password in what is no URL", Options{Endpoint: "https://gate:planted@as.example.com:x/"}, "absolute URL"},
		{"timeout", Options{Endpoint: "https://as.example.com/", Timeout: -1}, "timeout must not be negative"},
		{"attempts", Options{Endpoint: "https://as.example.com/", Attempts: -1}, "attempts must not be negative"},
		{"failures", Options{Endpoint: "https://as.example.com/", Failures: -1}, "failures must not be negative"},
		{"max parallel", Options{Endpoint: "https://as.example.com/", MaxParallel: -1}, "max parallel must not be negative"},
		{"skew", Options{Endpoint: "https://as.example.com/", Skew: -1}, "skew must not be negative"},
		{"method", as(Authentication{Method: "client_secret_jwt", ClientID: "gate"}), "no such authentication method"},
		{"no client id", as(Authentication{Method: MethodClientSecretBasic, Secret: sampleSecret}), "needs a client id"},
		{"no secret", as(Authentication{Method: MethodClientSecretPost, ClientID: "gate"}), "needs a client secret"},
		{"no certificate", as(Authentication{Method: MethodTLS, ClientID: "gate"}), "needs a client certificate"},
		{"no token", as(Authentication{Method: MethodBearer}), "needs an access token"},
		{"no key", keyed(nil), "needs a private"},
		{"a public key", keyed(public), "needs a private"},
		{"a shared key", keyed(privateKey(t, []byte("planted"), "k", "HS256")), "needs a private"},
		{"alg of another key", keyed(privateKey(t, ecKey(t, elliptic.P256()), "k", "RS256")), "does not fit"},
		{"alg of another curve", keyed(privateKey(t, ecKey(t, elliptic.P256()), "k", "ES384")), "does not fit"},
		{"alg none", keyed(privateKey(t, ecKey(t, elliptic.P256()), "k", "none")), "does not fit"},
		{"signed by nobody", Options{Endpoint: "https://as.example.com/", Signed: SignedAnswers{Verifier: &keySet{}, Audience: "gate"}}, "need an issuer"},
		{"signed for nobody", Options{Endpoint: "https://as.example.com/", Issuer: sampleIssuer, Signed: SignedAnswers{Verifier: &keySet{}}}, "need an audience"},
	} {
		t.Run(test.name, func(t *testing.T) {
			i, err := New(test.options)
			if err == nil {
				i.Close()
				t.Fatal("accepted")
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %q, want it to say %q", err, test.want)
			}
			wantSecretless(t, sampleToken, err.Error())
		})
	}
	for _, endpoint := range []string{"https://as.example.com", "http://localhost:8080/introspect", "http://127.0.0.2/", "http://[::1]:8080/"} {
		open(t, Options{Endpoint: endpoint})
	}
}
