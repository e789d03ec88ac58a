package remote

import (
	"context"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwk"
	"github.com/lestrrat-go/jwx/v2/jws"

	"github.com/gatehouse-auth/gatehouse/introspect"
)

// keySet is a Verifier on jwx, with public keys that can be replaced.
type keySet struct {
	mu  sync.Mutex
	set jwk.Set
}

func (k *keySet) replace(t testing.TB, keys ...jwk.Key) {
	t.Helper()
	set := jwk.NewSet()
	for _, key := range keys {
		public, err := key.PublicKey()
		if err == nil {
			err = set.AddKey(public)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.set = set
}

func (k *keySet) Verify(ctx context.Context, compact []byte) ([]byte, string, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.set == nil {
		return nil, "", fmt.Errorf("planted: %w", introspect.ErrUnavailable)
	}
	message := jws.NewMessage()
	payload, err := jws.Verify(compact, jws.WithKeySet(k.set), jws.WithMessage(message), jws.WithContext(ctx))
	if err != nil {
		return nil, "", errors.New("planted: " + string(compact))
	}
	return payload, message.Signatures()[0].ProtectedHeaders().Type(), nil
}

// sign makes a signed answer: with claims, for alg "none" with no key.
func sign(t testing.TB, claims map[string]any, typ string, alg jwa.SignatureAlgorithm, key any) string {
	t.Helper()
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	header := jws.NewHeaders()
	for name, value := range map[string]any{jws.TypeKey: typ, jws.KeyIDKey: "k1"} {
		if err := header.Set(name, value); err != nil {
			t.Fatal(err)
		}
	}
	option := jws.WithInsecureNoSignature(jws.WithProtectedHeaders(header))
	if key != nil {
		option = jws.WithKey(alg, key, jws.WithProtectedHeaders(header))
	}
	signed, err := jws.Sign(payload, option)
	if err != nil {
		t.Fatal(err)
	}
	return string(signed)
}

// RFC 9701 §5, and threats 12 and 13: signature, algorithm, typ, iss, aud and
// iat of a signed answer. One that fails in any of them says nothing about the
// token, and neither does one that is not signed.
func TestSignedAnswer(t *testing.T) {
	now := newClock()
	raw := ecKey(t, elliptic.P256())
	key := privateKey(t, raw, "k1", "ES256")
	public, err := x509.MarshalPKIXPublicKey(&raw.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	verifier := &keySet{}
	verifier.replace(t, key)
	good := map[string]any{
		"iss": sampleIssuer, "aud": "gate", "iat": now.now().Unix(),
		"token_introspection": json.RawMessage(active),
	}
	with := func(name string, value any) map[string]any {
		claims := maps.Clone(good)
		if claims[name] = value; value == nil {
			delete(claims, name)
		}
		return claims
	}
	es256 := func(claims map[string]any) string { return sign(t, claims, typSigned, jwa.ES256, key) }
	at := func(offset int64) string { return es256(with("iat", now.now().Unix()+offset)) }
	for _, test := range []struct{ name, contentType, body, want string }{
		{"good", mediaTypeSigned, es256(good), "active"},
		{"typ with prefix", mediaTypeSigned, sign(t, good, "application/Token-Introspection+JWT", jwa.ES256, key), "active"},
		{"several audiences", mediaTypeSigned, es256(with("aud", []string{"other", "gate"})), "active"},
		{"exp of the answer has passed", mediaTypeSigned, es256(with("exp", 1)), "active"},
		{"inactive", mediaTypeSigned, es256(with("token_introspection", map[string]any{"active": false})), "inactive"},
		{"issued within the skew", mediaTypeSigned, at(-60), "active"},
		{"issued ahead within the skew", mediaTypeSigned, at(60), "active"},
		{"replayed", mediaTypeSigned, at(-61), "iat of the signed answer is more than 1m0s from now"},
		{"issued in the future", mediaTypeSigned, at(61), "iat of the signed answer"},
		{"iat is missing", mediaTypeSigned, es256(with("iat", nil)), "iat of the signed answer"},
		{"iat is a string", mediaTypeSigned, es256(with("iat", "now")), "claims of the signed answer cannot be read"},
		{"another issuer", mediaTypeSigned, es256(with("iss", "https://planted.example.net")), "iss of the signed answer"},
		{"iss is missing", mediaTypeSigned, es256(with("iss", nil)), "iss of the signed answer"},
		{"another audience", mediaTypeSigned, es256(with("aud", "planted")), "aud of the signed answer"},
		{"aud is missing", mediaTypeSigned, es256(with("aud", nil)), "aud of the signed answer"},
		{"about a token of another issuer", mediaTypeSigned, es256(with("token_introspection", map[string]any{"active": true, "iss": "https://planted.example.net"})), "another issuer"},
		{"an access token", mediaTypeSigned, sign(t, with("active", true), "at+jwt", jwa.ES256, key), "signed as something else"},
		{"typ JWT", mediaTypeSigned, sign(t, good, "JWT", jwa.ES256, key), "signed as something else"},
		{"no token_introspection", mediaTypeSigned, es256(with("token_introspection", nil)), "not that of RFC 7662"},
		{"token_introspection is a string", mediaTypeSigned, es256(with("token_introspection", active)), "not that of RFC 7662"},
		{"members beside it", mediaTypeSigned, es256(map[string]any{"iss": sampleIssuer, "aud": "gate", "iat": now.now().Unix(), "active": true, "token_introspection": map[string]any{}}), "does not say whether"},
		{"alg none", mediaTypeSigned, sign(t, good, typSigned, jwa.NoSignature, nil), "signature"},
		{"HS256 with the public key", mediaTypeSigned, sign(t, good, typSigned, jwa.HS256, public), "signature"},
		{"another key under the kid", mediaTypeSigned, sign(t, good, typSigned, jwa.ES256, ecKey(t, elliptic.P256())), "signature"},
		{"another algorithm", mediaTypeSigned, sign(t, good, typSigned, jwa.ES384, ecKey(t, elliptic.P384())), "signature"},
		{"no JWS", mediaTypeSigned, active, "signature"},
		{"signed, but called JSON", "application/json", es256(good), "not " + mediaTypeSigned},
		{"JSON", "application/json", active, "not " + mediaTypeSigned},
	} {
		t.Run(test.name, func(t *testing.T) {
			e := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if accept := r.Header.Get("Accept"); accept != mediaTypeSigned { // RFC 9701 §4
					t.Error("Accept is", accept)
				}
				answering(test.contentType, test.body)(w, r)
			})
			o := e.options()
			o.Issuer, o.Now, o.Signed.Verifier = sampleIssuer, now.now, verifier
			o.Authentication = Authentication{Method: MethodClientSecretBasic, ClientID: "gate", Secret: sampleSecret}
			i := open(t, o)
			switch test.want {
			case "active", "inactive":
				if f := ask(t, i, sampleToken); f.Active != (test.want == "active") || f.Active && f.Subject != "alice" {
					t.Errorf("got %+v", f)
				}
			default:
				wantUnavailable(t, i, sampleToken, test.want)
			}
			wantCalls(t, &e.calls, 1)
		})
	}
}

// A server that changes keys is believed once its keys are known, and no
// longer with the old ones.
func TestSignedAnswerWithChangedKeys(t *testing.T) {
	before := privateKey(t, ecKey(t, elliptic.P256()), "k1", "ES256")
	after := privateKey(t, ecKey(t, elliptic.P256()), "k1", "ES256")
	verifier, signer := &keySet{}, before
	e := serve(t, func(w http.ResponseWriter, r *http.Request) {
		answering(mediaTypeSigned, sign(t, map[string]any{
			"iss": sampleIssuer, "aud": "https://api.example.com", "iat": time.Now().Unix(), "token_introspection": json.RawMessage(active),
		}, typSigned, jwa.ES256, signer))(w, r)
	})
	o := e.options()
	o.Issuer, o.Signed = sampleIssuer, SignedAnswers{Verifier: verifier, Audience: "https://api.example.com"}
	i := open(t, o)
	wantUnavailable(t, i, sampleToken, "the issuer's keys, to verify the answer with, are not to be had")
	verifier.replace(t, before)
	ask(t, i, sampleToken)
	signer = after
	wantUnavailable(t, i, sampleToken, "signature")
	verifier.replace(t, after)
	ask(t, i, sampleToken)
	signer = before
	wantUnavailable(t, i, sampleToken, "signature")
}
