package fetch

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"syscall"
)

// What the errors of this package wrap. Their texts are for the log: they may
// name addresses of the operator's network. Whoever named the address should
// not be told which of the four it was (that would map the network), only that
// it could not be fetched.
var (
	// ErrForbidden means that the guard refuses the address, or one that it
	// resolved or redirected to. Trying again is of no use.
	ErrForbidden = errors.New("forbidden")
	// ErrUnavailable means that there was no answer in time, or none but 408,
	// 429 or 5xx. Later there may be one. It wraps the context's error too when
	// the time limit or the caller ended the request.
	ErrUnavailable = errors.New("unavailable")
	// ErrTooLarge means that the body exceeds Options.MaxBytes.
	ErrTooLarge = errors.New("too large")
	// ErrUnexpected means an answer with another status, media type or encoding
	// than was asked for, or with too many redirects.
	ErrUnexpected = errors.New("unexpected answer")
)

// failure is one of the errors above and its reason in words of this package.
type failure struct {
	kind error
	text string
}

func (f *failure) Error() string { return f.kind.Error() + ": " + f.text }
func (f *failure) Unwrap() error { return f.kind }

func fail(kind error, format string, args ...any) error {
	return &failure{kind, fmt.Sprintf(format, args...)}
}

// clean turns an error of the network or of net/http into one of this package.
// The original is dropped, because many quote what the other side sent: a
// banner that is no HTTP, a header, the names in a certificate.
func clean(ctx context.Context, err error) error {
	var known *failure
	if errors.As(err, &known) {
		return known
	}
	if ended := ctx.Err(); ended != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, ended)
	}
	if network := net.Error(nil); errors.As(err, &network) && network.Timeout() {
		return fmt.Errorf("%w: %w", ErrUnavailable, context.DeadlineExceeded)
	}
	return fail(ErrUnavailable, "%s", reason(err))
}

func reason(err error) string {
	var (
		name   *net.DNSError
		number syscall.Errno
		issuer x509.UnknownAuthorityError
		host   x509.HostnameError
		chain  *tls.CertificateVerificationError
	)
	switch {
	case errors.As(err, &name):
		return "the host name does not resolve"
	case errors.As(err, &issuer):
		return "the certificate's issuer is not trusted"
	case errors.As(err, &host):
		return "the certificate is for another host"
	case errors.As(err, &chain):
		return "the certificate is not valid"
	case errors.As(err, &number):
		return number.Error()
	}
	return "the connection broke, or the other side speaks another protocol or an old version"
}
