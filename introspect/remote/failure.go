package remote

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"
)

// failure is why a call gave no facts. Its text is this package's own: neither
// the token nor a secret is in it, nor anything that the endpoint sent but a
// status and an error code that is known. The cause, whose text may quote all
// of these, is there for errors.Is alone.
type failure struct {
	reason  string
	outcome outcome
	after   time.Duration // what Retry-After asks for
	cause   error
}

func (f *failure) Error() string { return f.reason }
func (f *failure) Unwrap() error { return f.cause }

// useless is the failure of an answer: the endpoint is there, and asking again
// would bring the same.
func useless(format string, args ...any) *failure {
	return &failure{reason: fmt.Sprintf(format, args...), outcome: answered}
}

// broken turns an error of net/http into a failure. ctx is the call's context
// and not the attempt's: who stops waiting says nothing about the endpoint,
// unless the time was up.
func broken(ctx context.Context, err error, timeout time.Duration) *failure {
	switch ended := context.Cause(ctx); {
	case errors.Is(ended, context.DeadlineExceeded):
		return &failure{reason: "no answer in the time that the caller had", outcome: failed, cause: ended}
	case ended != nil:
		return stopped(ctx, "the caller stopped waiting")
	}
	if network := net.Error(nil); errors.As(err, &network) && network.Timeout() {
		return &failure{reason: fmt.Sprintf("no answer within %s", timeout), outcome: failed, cause: context.DeadlineExceeded}
	}
	return &failure{reason: reason(err), outcome: failed, cause: err}
}

// stopped is the failure of a call that ended before it was known whether the
// endpoint is there.
func stopped(ctx context.Context, reason string) *failure {
	cause := context.Cause(ctx)
	if errors.Is(cause, errClosed) {
		reason = errClosed.Error()
	}
	return &failure{reason: reason, cause: cause}
}

func reason(err error) string {
	var (
		name   *net.DNSError
		issuer x509.UnknownAuthorityError
		host   x509.HostnameError
		chain  *tls.CertificateVerificationError
		remote *net.OpError
		number syscall.Errno
	)
	switch {
	case errors.As(err, &name):
		return "the host name does not resolve"
	case errors.As(err, &issuer):
		return "the issuer of the endpoint's certificate is not trusted"
	case errors.As(err, &host):
		return "the endpoint's certificate is for another host"
	case errors.As(err, &chain):
		return "the endpoint's certificate is not valid"
	case errors.As(err, &remote) && remote.Op == "remote error": // a TLS alert, in Go's words
		return "the endpoint ends the TLS connection: " + remote.Err.Error()
	case errors.As(err, &number):
		return number.Error()
	}
	return "the connection broke, or the other side speaks another protocol"
}
