package jwt

import (
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Defaults of [Options] and [Source].
const (
	DefaultSkew        = 10 * time.Second
	DefaultTimeout     = 5 * time.Second
	DefaultMaxBytes    = 256 << 10
	DefaultMaxKeys     = 100
	DefaultMaxToken    = 8 << 10
	DefaultRefresh     = 15 * time.Minute
	DefaultMinInterval = 10 * time.Second
	DefaultMaxStale    = 24 * time.Hour
)

// MaxSkew bounds [Options].Skew.
const MaxSkew = 5 * time.Minute

// Options configure an [Introspector].
type Options struct {
	// Source is where the issuer's keys come from. Its Issuer is required, and
	// compared with iss to the letter.
	Source

	// Audience holds what a token's aud must name one of. At least one is
	// required (RFC 9068 §4).
	Audience []string

	// Types are the accepted values of the typ header, without regard to case
	// and with or without "application/" (RFC 7515 §4.1.9); the default is
	// at+jwt. A token without typ is never accepted.
	//
	// JWT may be listed for issuers older than RFC 9068. It is the type of ID
	// tokens too, and then these are told apart only by what they contain:
	// nonce, at_hash, c_hash, s_hash, events, or the client among the audience.
	// An ID token with none of these, whose aud is one of Audience, passes.
	Types []string

	// Skew is how far the issuer's clock may be off when exp, nbf and iat are
	// compared: 0 means [DefaultSkew], and more than [MaxSkew] is an error. A
	// cache in front compares exp without it.
	Skew time.Duration
}

// Source says where an issuer's keys are and how they are kept. Where zero
// stands for a default, a negative number is an error.
type Source struct {
	// Issuer is the issuer's identifier. Unless JWKSURI or KeySet is given, it
	// is a URL, and its metadata names the keys' address.
	Issuer string
	// JWKSURI is the keys' address.
	JWKSURI string
	// KeySet holds the keys (RFC 7517 §5). Nothing is fetched then.
	KeySet []byte

	// Algorithms are those that a token may be signed with, out of ES256,
	// ES384, ES512, RS256, RS384, RS512, PS256, PS384, PS512 and EdDSA; the
	// default is all of them.
	Algorithms []string
	// MaxToken bounds a JWS, in bytes.
	MaxToken int

	// Client makes the requests; nil means one with Roots. Its cookies and its
	// ways with redirects are not used.
	Client *http.Client
	// Roots verify certificates if Client is nil; nil means the system's.
	Roots *x509.CertPool
	// Timeout ends a fetch, the metadata included.
	Timeout time.Duration
	// MaxBytes bounds each document, and MaxKeys the keys in a set.
	MaxBytes int64
	MaxKeys  int

	// Refresh is how long keys are good without asking again. They are fetched
	// ahead of that, while nobody waits, when a token arrives in the last fifth.
	Refresh time.Duration
	// MinInterval is the least time between two fetches, whatever arrives. A
	// key that an issuer uses sooner than this after publishing it may be
	// unknown for as long. After failures the interval doubles, up to a minute.
	MinInterval time.Duration
	// MaxStale is how long keys are good while the issuer cannot be asked.
	MaxStale time.Duration

	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Random returns numbers from 0 up to 1 that spread the fetches of many
	// gateways; nil means math/rand/v2's. It may be called concurrently.
	Random func() float64
}

func (o Options) withDefaults() (Options, error) {
	var errs []error
	if o.Issuer == "" {
		errs = append(errs, errors.New("the issuer is missing"))
	}
	if len(o.Audience) == 0 || slices.Contains(o.Audience, "") {
		errs = append(errs, errors.New("at least one audience is required, and none may be empty"))
	}
	errs = append(errs, orDefault("skew", &o.Skew, DefaultSkew))
	if o.Skew > MaxSkew {
		errs = append(errs, fmt.Errorf("skew must be at most %s, is %s", MaxSkew, o.Skew))
	}
	types := []string{typeAccessToken}
	if len(o.Types) > 0 {
		types = nil
	}
	for _, typ := range o.Types {
		if typ = mediaType(typ); typ == "" {
			errs = append(errs, errors.New("a token type must not be empty"))
		}
		types = append(types, typ)
	}
	o.Types, o.Audience = types, slices.Clone(o.Audience)
	return o, errors.Join(errs...)
}

func (s Source) withDefaults() (Source, error) {
	errs := []error{
		orDefault("max token", &s.MaxToken, DefaultMaxToken),
		orDefault("timeout", &s.Timeout, DefaultTimeout),
		orDefault("max bytes", &s.MaxBytes, DefaultMaxBytes),
		orDefault("max keys", &s.MaxKeys, DefaultMaxKeys),
		orDefault("refresh", &s.Refresh, DefaultRefresh),
		orDefault("min interval", &s.MinInterval, min(DefaultMinInterval, s.Refresh)),
		orDefault("max stale", &s.MaxStale, max(DefaultMaxStale, s.Refresh)),
		s.checkPlace(),
	}
	if s.MinInterval > s.Refresh || s.Refresh > s.MaxStale {
		errs = append(errs, fmt.Errorf("min interval %s, refresh %s and max stale %s must not decrease", s.MinInterval, s.Refresh, s.MaxStale))
	}
	if len(s.Algorithms) == 0 {
		s.Algorithms = []string{"ES256", "ES384", "ES512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "EdDSA"}
	}
	for _, alg := range s.Algorithms {
		if keyKind(alg) == "" {
			errs = append(errs, fmt.Errorf("%q is not an asymmetric signature algorithm that is supported", alg))
		}
	}
	if s.Client != nil && s.Roots != nil {
		errs = append(errs, errors.New("roots are for when there is no client"))
	}
	if s.Now == nil {
		s.Now = time.Now
	}
	if s.Random == nil {
		s.Random = rand.Float64
	}
	return s, errors.Join(errs...)
}

// checkPlace checks the one address that something is fetched from.
func (s *Source) checkPlace() error {
	switch {
	case s.KeySet != nil && s.JWKSURI != "":
		return errors.New("either a key set or its address, not both")
	case s.KeySet != nil:
		return nil
	case s.JWKSURI != "":
		return checkAddress("jwks_uri", s.JWKSURI)
	}
	if strings.ContainsAny(s.Issuer, "?#") { // RFC 8414 §2
		return errors.New("the issuer must have neither query nor fragment")
	}
	return checkAddress("the issuer", s.Issuer)
}

func checkAddress(name, address string) error {
	u, err := url.Parse(address)
	if err != nil || !reachable(u) {
		return fmt.Errorf("%s must be an https URL, or an http URL of a loopback host", name)
	}
	return nil
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
