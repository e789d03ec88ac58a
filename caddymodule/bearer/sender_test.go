package bearer_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwk"
	"github.com/lestrrat-go/jwx/v2/jws"
)

// prover is a client with a DPoP key.
type prover struct {
	*testing.T
	key jwk.Key
	jkt string
	n   int
}

func newProver(t *testing.T) *prover {
	t.Helper()
	raw, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := jwk.FromRaw(raw)
	if err != nil {
		t.Fatal(err)
	}
	thumbprint, err := key.Thumbprint(crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	return &prover{T: t, key: key, jkt: base64.RawURLEncoding.EncodeToString(thumbprint)}
}

func mustPublic(t *testing.T, key jwk.Key) jwk.Key {
	t.Helper()
	public, err := key.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	return public
}

// prove makes a proof for a GET of a URL with a token (RFC 9449 §4.2).
func (p *prover) prove(url, token, nonce string) string {
	p.Helper()
	p.n++
	ath := sha256.Sum256([]byte(token))
	claims := map[string]any{
		"jti": fmt.Sprint(p.Name(), p.n), "htm": "GET", "htu": url, "iat": time.Now().Unix(),
		"ath": base64.RawURLEncoding.EncodeToString(ath[:]),
	}
	if nonce != "" {
		claims["nonce"] = nonce
	}
	body, err := json.Marshal(claims)
	if err != nil {
		p.Fatal(err)
	}
	header := jws.NewHeaders()
	_ = header.Set(jws.TypeKey, "dpop+jwt")
	_ = header.Set(jws.JWKKey, mustPublic(p.T, p.key))
	signed, err := jws.Sign(body, jws.WithKey(jwa.ES256, p.key, jws.WithProtectedHeaders(header)))
	if err != nil {
		p.Fatal(err)
	}
	return string(signed)
}

// TestDPoP (RFC 9449 §7): a route takes tokens bound to a key from whoever
// proves to hold it, asks for a nonce if it is told to, and takes no proof
// twice, a reload in between or not (promise 12).
func TestDPoP(t *testing.T) {
	p, folder := newProver(t), shortDir(t)
	const options = "introspector one oracle o"
	routes := `
handle /nonce {
	gatehouse_bearer {
		dpop {
			origin https://api.example
			nonce
		}
		sender_constrained
	}
	respond fine
}
handle /v1/* {
	uri strip_prefix /v1
	route {
		gatehouse_bearer {
			resource https://api.example/
			dpop
		}
		respond fine
	}
}
handle {
	gatehouse_bearer {
		resource https://api.example/
		dpop
	}
	respond "{http.request.header.Authorization} {http.request.header.DPoP}"
}`
	s := start(t, folder, options, routes)
	bound, plain := tokenOf("o", `{"cnf":{"jkt":"`+p.jkt+`"},"token_type":"DPoP"}`), tokenOf("o", `{}`)
	call := func(path, token, proof string) answer {
		t.Helper()
		return s.get(path, "", "Authorization", "DPoP "+token, "DPoP", proof)
	}
	proof := p.prove("https://api.example/orders", bound, "")
	if got := call("/orders", bound, proof); got.status != 200 || !strings.Contains(got.body, "DPoP "+bound) {
		t.Fatalf("a good proof: %d %s %v", got.status, got.body, got.header)
	}
	if got := s.get("/orders", plain); got.status != 200 {
		t.Errorf("a plain token: %d", got.status)
	}
	if got := call("/v1/orders", bound, p.prove("https://api.example/v1/orders", bound, "")); got.status != 200 {
		t.Errorf("the URL that the client asked, behind a rewrite: %d %v", got.status, got.header)
	}
	for name, got := range map[string]answer{
		"the proof again":          call("/orders", bound, proof),
		"for another path":         call("/other", bound, p.prove("https://api.example/orders", bound, "")),
		"for the Host header":      s.get("/orders", "", "Authorization", "DPoP "+bound, "DPoP", p.prove("http://localhost/orders", bound, ""), "X-Forwarded-Host", "localhost"),
		"for another token":        call("/orders", bound, p.prove("https://api.example/orders", plain, "")),
		"by another key":           call("/orders", bound, newProver(t).prove("https://api.example/orders", bound, "")),
		"no proof":                 s.get("/orders", "", "Authorization", "DPoP "+bound),
		"as a bearer token":        s.get("/orders", bound, "DPoP", p.prove("https://api.example/orders", bound, "")),
		"a plain one with a proof": call("/orders", plain, p.prove("https://api.example/orders", plain, "")),
	} {
		challenges := strings.Join(got.header.Values("WWW-Authenticate"), "; ")
		if got.status != 401 || !strings.Contains(challenges, `DPoP`) || !strings.Contains(challenges, `algs="ES256`) || !strings.Contains(challenges, `error=`) {
			t.Errorf("%s: %d %s", name, got.status, challenges)
		}
	}
	s = start(t, folder, options, routes+"\n# reloaded")
	if got := call("/orders", bound, proof); got.status != 401 {
		t.Errorf("the proof again after a reload: %d", got.status)
	}

	asked := call("/nonce", bound, p.prove("https://api.example/nonce", bound, ""))
	nonce := asked.header.Get("DPoP-Nonce")
	if asked.status != 401 || nonce == "" || !strings.Contains(asked.header.Get("WWW-Authenticate"), `error="use_dpop_nonce"`) {
		t.Fatalf("without a nonce: %d %v", asked.status, asked.header)
	}
	if got := call("/nonce", bound, p.prove("https://api.example/nonce", bound, nonce)); got.status != 200 {
		t.Errorf("with the nonce: %d %v", got.status, got.header)
	}
	if got := s.get("/nonce", plain); got.status != 401 || len(got.header.Values("WWW-Authenticate")) != 1 {
		t.Errorf("a plain token where one must be bound: %d %v", got.status, got.header)
	}
	if got := s.get("/.well-known/oauth-protected-resource", ""); !strings.Contains(got.body, `"dpop_signing_alg_values_supported":["ES256"`) {
		t.Errorf("metadata: %s", got.body)
	}
}

// TestClientCertificateHeader (RFC 9440 §2.4, RFC 8705 §3): the certificate that
// a trusted proxy passes counts; that of anybody else does not even arrive.
func TestClientCertificateHeader(t *testing.T) {
	der, thumbprint := certificate(t)
	header := ":" + base64.StdEncoding.EncodeToString(der) + ":"
	bound := tokenOf("o", `{"cnf":{"x5t#S256":"`+thumbprint+`"}}`)
	const routes = `gatehouse_bearer {
	mtls {
		client_cert_header
	}
}
respond "{http.request.header.Client-Cert}"`
	for name, test := range map[string]struct {
		global string
		status int
	}{
		"a trusted proxy": {"trusted_proxies_unix", 200},
		"anybody":         {"", 401},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, shortDir(t), "introspector one oracle o\n}\nservers {\n"+test.global, routes)
			if got := s.get("/", bound, "Client-Cert", header); got.status != test.status {
				t.Errorf("with the certificate: %d %s", got.status, got.header.Get("WWW-Authenticate"))
			}
			if got := s.get("/", bound, "Client_Cert", header); got.status != 401 {
				t.Errorf("with another spelling: %d", got.status)
			}
			other, _ := certificate(t)
			if got := s.get("/", bound, "Client-Cert", ":"+base64.StdEncoding.EncodeToString(other)+":"); got.status != 401 {
				t.Errorf("with another certificate: %d", got.status)
			}
			if got := s.get("/", tokenOf("o", `{}`), "Client-Cert", header); got.status != 200 || (got.body == "") != (test.status == 401) {
				t.Errorf("the API sees %q", got.body)
			}
		})
	}
}

// certificate makes a self-signed one, and its thumbprint.
func certificate(t *testing.T) (der []byte, thumbprint string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	if der, err = x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(der)
	return der, base64.RawURLEncoding.EncodeToString(sum[:])
}
