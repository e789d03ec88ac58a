package remote

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/url"
	"syscall"
	"testing"
)

// Promise 13: what net/http reports is told in words of ours, which help the
// operator and quote nothing that came over the wire.
func TestReasons(t *testing.T) {
	for want, err := range map[string]error{
		"the host name does not resolve":                                  &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: "planted"}},
		"the issuer of the endpoint's certificate is not trusted":         &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}},
		"the endpoint's certificate is for another host":                  x509.HostnameError{Certificate: &x509.Certificate{DNSNames: []string{"planted"}}, Host: "as.example.com"},
		"the endpoint's certificate is not valid":                         &tls.CertificateVerificationError{Err: x509.CertificateInvalidError{Reason: x509.Expired, Detail: "planted"}},
		"the endpoint ends the TLS connection: tls: certificate required": &net.OpError{Op: "remote error", Err: tls.AlertError(116)},
		"connection refused":                                              &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED},
		"the connection broke, or the other side speaks another protocol": errors.New("malformed HTTP response \"planted\""),
	} {
		if got := reason(&url.Error{Op: "Post", URL: "https://as.example.com/", Err: err}); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
