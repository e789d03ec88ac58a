package mtls

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"errors"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-auth/gatehouse/introspect"
)

// The certificate and thumbprint of RFC 8705 Appendix A, the certificate of RFC
// 9440 Appendix A.
const (
	rfc8705Cert       = "MIIBBjCBrAIBAjAKBggqhkjOPQQDAjAPMQ0wCwYDVQQDDARtdGxzMB4XDTE4MTAxODEyMzcwOVoXDTIyMDUwMjEyMzcwOVowDzENMAsGA1UEAwwEbXRsczBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABNcnyxwqV6hY8QnhxxzFQ03C7HKW9OylMbnQZjjJ/Au08/coZwxS7LfA4vOLS9WuneIXhbGGWvsDSb0tH6IxLm8wCgYIKoZIzj0EAwIDSQAwRgIhAP0RC1E+vwJD/D1AGHGzuri+hlV/PpQEKTWUVeORWz83AiEA5x2eXZOVbUlJSGQgjwD5vaUaKlLR50Q2DmFfQj1L+SY="
	rfc8705Thumbprint = "A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0"
	rfc9440Cert       = "MIIBqDCCAU6gAwIBAgIBBzAKBggqhkjOPQQDAjA6MRswGQYDVQQKDBJMZXQncyBBdXRoZW50aWNhdGUxGzAZBgNVBAMMEkxBIEludGVybWVkaWF0ZSBDQTAeFw0yMDAxMTQyMjU1MzNaFw0yMTAxMjMyMjU1MzNaMA0xCzAJBgNVBAMMAkJDMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE8YnXXfaUgmnMtOXU/IncWalRhebrXmckC8vdgJ1p5Be5F/3YC8OthxM4+k1M6aEAEFcGzkJiNy6J84y7uzo9M6NyMHAwCQYDVR0TBAIwADAfBgNVHSMEGDAWgBRm3WjLa38lbEYCuiCPct0ZaSED2DAOBgNVHQ8BAf8EBAMCBsAwEwYDVR0lBAwwCgYIKwYBBQUHAwIwHQYDVR0RAQH/BBMwEYEPYmRjQGV4YW1wbGUuY29tMAoGCCqGSM49BAMCA0gAMEUCIBHda/r1vaL6G3VliL4/Di6YK0Q6bMjeSkC3dFCOOB8TAiEAx/kHSB4urmiZ0NX5r5XarmPk0wmuydBVoU4hBVZ1yhk="
)

func newVerifier(t testing.TB, trusted func(*http.Request) bool) *Verifier {
	t.Helper()
	v, err := New(trusted)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func anyone(*http.Request) bool { return true }

// newCertificate makes a client certificate that signs itself.
func newCertificate(t testing.TB, name string, more ...pkix.Extension) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, ExtraExtensions: more,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

func headerOf(cert tls.Certificate) string {
	return ":" + base64.StdEncoding.EncodeToString(cert.Certificate[0]) + ":"
}

// RFC 8705 §3.1, Appendix A.
func TestThumbprint(t *testing.T) {
	cert, err := parseHeader([]string{":" + rfc8705Cert + ":"})
	if err != nil {
		t.Fatal(err)
	}
	if got := Thumbprint(cert); got != rfc8705Thumbprint {
		t.Error(got)
	}
}

// Client-Cert is one byte sequence and nothing else (RFC 9440 §2.1, §2.2; RFC
// 8941 §3.3.5).
func TestClientCertHeader(t *testing.T) {
	long := headerOf(newCertificate(t, "client", pkix.Extension{Id: []int{1, 2, 3}, Value: make([]byte, maxHeader)}))
	for _, test := range []struct {
		name   string
		values []string
		want   string // whose certificate
	}{
		{"RFC 9440's", []string{":" + rfc9440Cert + ":"}, "BC"},
		{"RFC 8705's", []string{" :" + rfc8705Cert + ": "}, "mtls"},
		{"two lines", []string{":" + rfc9440Cert + ":", ":" + rfc8705Cert + ":"}, ""},
		{"one twice", []string{":" + rfc9440Cert + ":", ":" + rfc9440Cert + ":"}, ""},
		{"a list", []string{":" + rfc9440Cert + ":, :" + rfc8705Cert + ":"}, ""},
		{"a parameter", []string{":" + rfc9440Cert + ":;chain=1"}, ""},
		{"no colons", []string{rfc9440Cert}, ""},
		{"no first colon", []string{"." + rfc9440Cert + ":"}, ""},
		{"no last colon", []string{":" + rfc9440Cert + "."}, ""},
		{"a colon alone", []string{":"}, ""},
		{"nothing", []string{"::"}, ""},
		{"empty", []string{""}, ""},
		{"base64url", []string{":" + strings.ReplaceAll(rfc9440Cert, "/", "_") + ":"}, ""},
		{"no padding", []string{":" + strings.TrimRight(rfc8705Cert, "=") + ":"}, ""},
		{"stray bits", []string{":" + strings.Replace(rfc8705Cert, "SY=", "SZ=", 1) + ":"}, ""},
		{"a line break", []string{":" + rfc9440Cert[:64] + "\n" + rfc9440Cert[64:] + ":"}, ""},
		{"something after it", []string{":" + base64.StdEncoding.EncodeToString(append(mustDecode(t, rfc9440Cert), 0)) + ":"}, ""},
		{"two certificates", []string{":" + base64.StdEncoding.EncodeToString(append(mustDecode(t, rfc9440Cert), mustDecode(t, rfc8705Cert)...)) + ":"}, ""},
		{"a PEM", []string{"-----BEGIN CERTIFICATE----- " + rfc9440Cert + " -----END CERTIFICATE-----"}, ""},
		{"zeros", []string{":AAAA:"}, ""},
		{"too long", []string{long}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := httptest.NewRequest("GET", "/", nil)
			r.Header[certHeader] = test.values
			cert, err := newVerifier(t, anyone).Certificate(r)
			if (err == nil) != (test.want != "") || cert != nil && cert.Subject.CommonName != test.want {
				t.Errorf("%v %v", cert, err)
			}
			if errors.Is(err, ErrNoCertificate) {
				t.Error("a malformed header counts as none")
			}
		})
	}
}

func mustDecode(t testing.TB, s string) []byte {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A header proves nothing on a connection of nobody's that is trusted, be it
// without TLS.
func TestHeaderWithoutTrust(t *testing.T) {
	r := httptest.NewRequest("GET", "http://api.example.com/", nil)
	r.Header.Set(certHeader, ":"+rfc9440Cert+":")
	if cert, err := newVerifier(t, nil).Certificate(r); cert != nil || !errors.Is(err, ErrNoCertificate) {
		t.Errorf("%v %v", cert, err)
	}
}

// Tokens that are bound to a certificate, over real handshakes: with the client
// and, in the header, behind a proxy with a certificate of its own (RFC 8705 §3;
// RFC 9440 §2.4, §4; threats.md 17).
func TestGuardedResource(t *testing.T) {
	client, proxy, thief := newCertificate(t, "client"), newCertificate(t, "proxy"), newCertificate(t, "thief")
	trusted := func(r *http.Request) bool {
		return r.TLS != nil && len(r.TLS.PeerCertificates) > 0 && r.TLS.PeerCertificates[0].Equal(proxy.Leaf)
	}
	v := newVerifier(t, trusted)
	facts := map[string]any{
		"at_bound": map[string]any{"x5t#S256": Thumbprint(client.Leaf)},
		"at_proxy": map[string]any{"x5t#S256": Thumbprint(proxy.Leaf)},
		"at_plain": nil,
		"at_key":   map[string]any{"jkt": Thumbprint(client.Leaf)},
		"at_odd":   map[string]any{"x5t#S256": []any{Thumbprint(client.Leaf)}},
	}
	guard := &introspect.Guard{
		Introspector: introspect.IntrospectorFunc(func(_ context.Context, token string) (*introspect.Facts, error) {
			return &introspect.Facts{Active: true, TokenType: "Bearer", Claims: map[string]any{"cnf": facts[token]}}, nil
		}),
		Confirm: v.Confirm,
	}
	server := httptest.NewUnstartedServer(guard.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
	server.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	server.StartTLS()
	t.Cleanup(server.Close)
	for _, test := range []struct {
		name   string
		with   *tls.Certificate // of the connection
		header []string
		token  string
		status int
	}{
		{"the client", &client, nil, "at_bound", 200},
		{"no certificate", nil, nil, "at_bound", 401},
		{"another client", &thief, nil, "at_bound", 401},
		{"a header of one's own", &thief, []string{headerOf(client)}, "at_bound", 401},
		{"a header and no certificate", nil, []string{headerOf(client)}, "at_bound", 401},
		{"a header besides the certificate", &client, []string{headerOf(thief)}, "at_bound", 200},
		{"the proxy's header", &proxy, []string{headerOf(client)}, "at_bound", 200},
		{"the proxy's header of another", &proxy, []string{headerOf(thief)}, "at_bound", 401},
		{"the proxy without a header", &proxy, nil, "at_bound", 401},
		{"the proxy's own certificate", &proxy, nil, "at_proxy", 401},
		{"two of the proxy's headers", &proxy, []string{headerOf(client), headerOf(client)}, "at_bound", 401},
		{"a plain token", &client, nil, "at_plain", 401},
		{"a key's token", &client, nil, "at_key", 401},
		{"a thumbprint that is no text", &client, nil, "at_odd", 401},
	} {
		t.Run(test.name, func(t *testing.T) {
			transport := server.Client().Transport.(*http.Transport).Clone()
			defer transport.CloseIdleConnections()
			if test.with != nil {
				transport.TLSClientConfig.Certificates = []tls.Certificate{*test.with}
			}
			request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, nil)
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("Authorization", "Bearer "+test.token)
			request.Header[certHeader] = test.header
			response, err := transport.RoundTrip(request)
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
			challenge := response.Header.Get("WWW-Authenticate")
			if response.StatusCode != test.status || test.status == 401 && !strings.HasPrefix(challenge, `Bearer error="invalid_token"`) {
				t.Errorf("%d %q, want %d", response.StatusCode, challenge, test.status)
			}
			bound := test.token == "at_bound" || test.token == "at_proxy"
			if strings.Contains(challenge, "is not bound to a client certificate") == bound {
				t.Errorf("%q", challenge)
			}
		})
	}
}

// What an untrusted peer sends under the names, in any spelling, reaches
// nothing; of a trusted one, the two names alone do (RFC 9440 §2.4; threats.md 23).
func TestStripHeaders(t *testing.T) {
	sent := http.Header{
		"Client-Cert": {"1"}, "Client-Cert-Chain": {"2"},
		"Client_Cert": {"3"}, "client.cert": {"4"}, "CLIENT-CERT": {"5"}, "Client_Cert_Chain": {"6"},
		"Client-Certificate": {"7"}, "Accept": {"8"},
	}
	for name, test := range map[string]struct {
		trusted func(*http.Request) bool
		want    http.Header
	}{
		"nobody is trusted": {nil, http.Header{"Client-Certificate": {"7"}, "Accept": {"8"}}},
		"the peer is": {anyone, http.Header{
			"Client-Cert": {"1"}, "Client-Cert-Chain": {"2"}, "Client-Certificate": {"7"}, "Accept": {"8"},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest("GET", "/", nil)
			r.Header = maps.Clone(sent)
			newVerifier(t, test.trusted).StripHeaders(r)
			if diff := cmp.Diff(test.want, r.Header); diff != "" {
				t.Error(diff)
			}
		})
	}
	r := httptest.NewRequest("GET", "/", nil)
	newVerifier(t, anyone).StripHeaders(r)
	if names := slices.Collect(maps.Keys(r.Header)); len(names) != 0 {
		t.Errorf("%v came into being", names)
	}
}

// Whatever is in the header, it is a certificate to the letter or an error.
func FuzzClientCert(f *testing.F) {
	f.Add(":" + rfc9440Cert + ":")
	f.Add(":" + rfc8705Cert + ":")
	f.Add("::")
	f.Add(":AAAA:;a=1")
	v := newVerifier(f, anyone)
	f.Fuzz(func(t *testing.T, value string) {
		r := &http.Request{Header: http.Header{certHeader: {value}}}
		cert, err := v.Certificate(r)
		if (cert == nil) == (err == nil) {
			t.Fatalf("%q: %v %v", value, cert, err)
		}
		if err == nil && strings.Trim(value, " ") != ":"+base64.StdEncoding.EncodeToString(cert.Raw)+":" {
			t.Fatalf("%q is not the certificate's one form", value)
		}
	})
}

// BenchmarkConfirm confirms by the connection's certificate, and by the header's.
func BenchmarkConfirm(b *testing.B) {
	cert := newCertificate(b, "client")
	facts := &introspect.Facts{Claims: map[string]any{"cnf": map[string]any{"x5t#S256": Thumbprint(cert.Leaf)}}}
	r := httptest.NewRequest("GET", "/", nil)
	r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{cert.Leaf}}
	r.Header.Set(certHeader, headerOf(cert))
	for name, trusted := range map[string]func(*http.Request) bool{"connection": nil, "header": anyone} {
		b.Run(name, func(b *testing.B) {
			v := newVerifier(b, trusted)
			b.ReportAllocs()
			for b.Loop() {
				if err := v.Confirm(r, introspect.Credentials{Scheme: "Bearer"}, facts); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
