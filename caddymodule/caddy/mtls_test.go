package main_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// selfSigned makes a certificate for localhost, as a pair and in PEM.
func selfSigned(t *testing.T) (pair tls.Certificate, certificate, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"localhost"}, IsCA: true, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	text, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	certificate = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	key = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: text})
	if pair, err = tls.X509KeyPair(certificate, key); err != nil {
		t.Fatal(err)
	}
	return pair, certificate, key
}

const certificateSite = `https://localhost:{$API} {
	tls {$DATA}/site.pem {$DATA}/site.key {
		client_auth {
			mode request
		}
	}
	gatehouse_bearer {
		introspectors asked
		mtls
	}
	respond fine
}
`

// TestClientCertificates (RFC 8705 §3, threat 17): a token that is bound to a
// certificate is good on a connection with that one, by Caddy's own client
// authentication, and on no other.
func TestClientCertificates(t *testing.T) {
	p := startProbe(t)
	own, _, _ := selfSigned(t)
	other, _, _ := selfSigned(t)
	sum := sha256.Sum256(own.Certificate[0])
	p.says(fmt.Sprintf(`{"active":true,"cnf":{"x5t#S256":%q}}`, base64.RawURLEncoding.EncodeToString(sum[:])))

	config, _, _ := strings.Cut(guardedBy, "http://localhost:{$API}")
	s := prepareOwn(t, config+certificateSite)
	_, certificate, key := selfSigned(t)
	for name, content := range map[string][]byte{"site.pem": certificate, "site.key": key} {
		if err := os.WriteFile(filepath.Join(s.folder, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s.env = append(s.env, "PROBE="+p.URL)
	s.start()

	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(certificate)
	address := strings.Replace(s.api, "http://", "https://", 1) + "/"
	for name, test := range map[string]struct {
		certificates []tls.Certificate
		header       string
		want         int
	}{
		"its own":              {[]tls.Certificate{own}, "", 200},
		"another":              {[]tls.Certificate{other}, "", 401},
		"none":                 {nil, "", 401},
		"in a header":          {nil, ":" + base64.StdEncoding.EncodeToString(own.Certificate[0]) + ":", 401},
		"another and a header": {[]tls.Certificate{other}, ":" + base64.StdEncoding.EncodeToString(own.Certificate[0]) + ":", 401},
	} {
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: test.certificates}}
		r, err := try(&http.Client{Transport: transport, Timeout: patience}, "GET", address, "", "Authorization", "Bearer bound", "Client-Cert", test.header)
		transport.CloseIdleConnections()
		if err != nil {
			t.Fatal(err)
		}
		if r.status != test.want || test.want == 401 && !strings.Contains(r.header.Get("WWW-Authenticate"), `error="invalid_token"`) {
			t.Errorf("%s: %d %s", name, r.status, r.header.Get("WWW-Authenticate"))
		}
	}
}
