// Package mtls accepts access tokens that are bound to a client certificate
// (RFC 8705 §3), presented in the TLS handshake of the request's connection or,
// behind a trusted proxy, in the Client-Cert header (RFC 9440).
package mtls

import (
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/gatehouse-auth/gatehouse/introspect"
)

const (
	certHeader  = "Client-Cert"
	chainHeader = "Client-Cert-Chain"
	maxHeader   = 16 << 10 // bytes
)

// ErrNoCertificate says that a request came without a client certificate.
var ErrNoCertificate = errors.New("mtls: the request has no client certificate")

// Thumbprint returns a certificate's x5t#S256: the base64url SHA-256 of its DER
// (RFC 8705 §3.1).
func Thumbprint(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.Raw)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// Verifier finds the client certificates of requests. That their senders hold
// the keys is the TLS handshake's proof; whether it also asked for a certificate
// that somebody has signed is the server's business, and makes no difference to
// a token that is bound to this one (RFC 8705 §6.2). It is safe for concurrent
// use if the function that it was made with is.
type Verifier struct {
	trusted func(*http.Request) bool
	headers *introspect.Headers
}

// New makes a verifier. trusted reports whether a request's connection comes
// from a proxy that sets or removes Client-Cert itself (RFC 9440 §2.4). It judges
// the peer, by its address or certificate, never by a header. With nil, only
// the connection's own certificate counts.
func New(trusted func(*http.Request) bool) (*Verifier, error) {
	headers, err := introspect.NewHeaders(
		introspect.Forward{Claim: "cnf", Header: certHeader},
		introspect.Forward{Claim: "cnf", Header: chainHeader},
	)
	if err != nil {
		return nil, fmt.Errorf("mtls: %w", err)
	}
	if trusted == nil {
		trusted = func(*http.Request) bool { return false }
	}
	return &Verifier{trusted: trusted, headers: headers}, nil
}

// Certificate returns the client's certificate. Behind a trusted proxy it is
// the header's or none: the connection's is the proxy's own. Its error is
// [ErrNoCertificate], or says why the header is malformed.
func (v *Verifier) Certificate(r *http.Request) (*x509.Certificate, error) {
	if v.trusted(r) {
		return parseHeader(r.Header[certHeader])
	}
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return nil, ErrNoCertificate
	}
	return r.TLS.PeerCertificates[0], nil
}

// parseHeader reads Client-Cert: one byte sequence (RFC 8941 §3.3.5) that holds
// a certificate's DER, without parameters (RFC 9440 §2.1, §2.2).
func parseHeader(values []string) (*x509.Certificate, error) {
	switch {
	case len(values) == 0:
		return nil, ErrNoCertificate
	case len(values) > 1:
		return nil, errors.New("mtls: more than one " + certHeader + " header")
	case len(values[0]) > maxHeader:
		return nil, errors.New("mtls: the " + certHeader + " header is too long")
	}
	value := strings.Trim(values[0], " ")
	if len(value) < 2 || value[0] != ':' || value[len(value)-1] != ':' || strings.ContainsAny(value, "\r\n") {
		return nil, errors.New("mtls: the " + certHeader + " header is not a byte sequence")
	}
	der, err := base64.StdEncoding.Strict().DecodeString(value[1 : len(value)-1])
	if err != nil {
		return nil, errors.New("mtls: the " + certHeader + " header is not base64")
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("mtls: the %s header: %w", certHeader, err)
	}
	return cert, nil
}

// StripHeaders deletes Client-Cert and Client-Cert-Chain, in every spelling,
// from a request that comes from anybody but a trusted proxy, and the other
// spellings also from one that does: nothing behind this may believe them (RFC
// 9440 §2.4). It is to be called before anything reads the request.
func (v *Verifier) StripHeaders(r *http.Request) {
	if !v.trusted(r) {
		v.headers.StripRequest(r)
		return
	}
	cert, chain := r.Header[certHeader], r.Header[chainHeader]
	v.headers.StripRequest(r)
	if cert != nil {
		r.Header[certHeader] = cert
	}
	if chain != nil {
		r.Header[chainHeader] = chain
	}
}

// Confirm implements [introspect.Confirmer]: the token must be bound to the
// client's certificate.
func (v *Verifier) Confirm(r *http.Request, c introspect.Credentials, f *introspect.Facts) error {
	want := f.Confirmation(introspect.ConfirmX5T)
	if want == "" {
		return refuse(c, "The access token is not bound to a client certificate.", nil)
	}
	cert, err := v.Certificate(r)
	if err != nil {
		return refuse(c, "The access token is bound to a client certificate, and the request has none.", err)
	}
	if subtle.ConstantTimeCompare([]byte(Thumbprint(cert)), []byte(want)) != 1 {
		return refuse(c, "The access token is bound to another client certificate.", nil)
	}
	return nil
}

// refuse is the answer of RFC 8705 §3.
func refuse(c introspect.Credentials, description string, cause error) error {
	return &introspect.Refusal{
		Status: http.StatusUnauthorized, Code: introspect.CodeInvalidToken, Reason: introspect.ReasonProof,
		Description: description, Scheme: c.Scheme, Cause: cause,
	}
}
