package remote

import (
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"time"
)

// Defaults of [Options].
const (
	DefaultTimeout     = 2 * time.Second
	DefaultAttempts    = 3
	DefaultFailures    = 5
	DefaultMaxParallel = 256
	DefaultSkew        = time.Minute
)

// Options configure an [Introspector]. Where zero stands for a default, a
// negative number is an error.
type Options struct {
	// Endpoint is the URL of the introspection endpoint: https, or http on a
	// loopback host. It is required.
	Endpoint string
	// Issuer is the iss that answers must have if they have one (RFC 7662
	// §2.2); empty takes any. Signed answers need it.
	Issuer string

	// Authentication is how the endpoint knows us.
	Authentication Authentication
	// TLS holds roots, the client's certificate and whatever else connections
	// need; nil means Go's defaults. Versions below 1.2 are never spoken.
	TLS *tls.Config
	// Signed asks for signed answers and takes no others, if it is set.
	Signed SignedAnswers

	// Timeout ends one attempt, from connecting to the answer's last byte. A
	// call with all its attempts ends with its context.
	Timeout time.Duration
	// Attempts is how often one call asks at most.
	Attempts int
	// Failures is how many calls in a row must fail before the endpoint is left
	// alone for a while.
	Failures int
	// MaxParallel bounds the requests under way. Further ones wait.
	MaxParallel int
	// Skew is how far the clocks may differ: for nbf, and for iat of a signed
	// answer, which is also too old beyond it.
	Skew time.Duration

	// Now is the clock, After waits and Random is where randomness comes from,
	// all safe for concurrent use; nil means time.Now, time.After and
	// crypto/rand.
	Now    func() time.Time
	After  func(time.Duration) <-chan time.Time
	Random io.Reader
}

func (o Options) withDefaults() (Options, error) {
	err := errors.Join(
		checkEndpoint(o.Endpoint),
		o.Authentication.check(o),
		o.Signed.check(o),
		orDefault("timeout", &o.Timeout, DefaultTimeout),
		orDefault("attempts", &o.Attempts, DefaultAttempts),
		orDefault("failures", &o.Failures, DefaultFailures),
		orDefault("max parallel", &o.MaxParallel, DefaultMaxParallel),
		orDefault("skew", &o.Skew, DefaultSkew),
	)
	if err != nil {
		return o, fmt.Errorf("remote introspection: %w", err)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.After == nil {
		o.After = time.After
	}
	if o.Random == nil {
		o.Random = rand.Reader
	}
	return o, nil
}

func orDefault[T ~int | ~int64](name string, value *T, otherwise T) error {
	switch {
	case *value < 0:
		return fmt.Errorf("%s must not be negative, is %v", name, *value)
	case *value == 0:
		*value = otherwise
	}
	return nil
}

// checkEndpoint quotes nothing of the address: what is wrong with it may be
// that there is a password in it.
func checkEndpoint(address string) error {
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Hostname() == "":
		return errors.New("the endpoint is not an absolute URL")
	case u.User != nil || u.Fragment != "":
		return errors.New("the endpoint has user information or a fragment, which no request can carry")
	case u.Scheme != "https" && !(u.Scheme == "http" && isLoopback(u.Hostname())):
		return errors.New("the endpoint is not https; http is for loopback hosts") // RFC 7662 §4
	}
	return nil
}

func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
