package serving

import (
	"cmp"
	"fmt"
	"strconv"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/gatehouse-auth/gatehouse/engine/handle"
	"github.com/gatehouse-auth/gatehouse/introspect"
)

// Guest is what modules in the namespace gatehouse.introspectors implement: an
// authority on access tokens. It says so once it is provisioned, which opens
// nothing. A guest that asks elsewhere than in this process is an [Opener] too.
type Guest interface {
	Declare() Declaration
}

// Declaration says whom a guest asks, and about which tokens.
type Declaration struct {
	// Service is the issuer of a service of this process whose engine is asked;
	// Key, Identity and Client are then of no use.
	Service string
	// Key holds everything that the guest's connections and answers depend on,
	// secrets as digests. Guests with the same key share both, also with the
	// configuration before.
	Key string
	// Identity names who is asked and Client as whom; both are part of every
	// key of the cache.
	Identity, Client string
	// Issuers are those whose tokens it vouches for, as far as it knows.
	Issuers []string
	// Takes says which tokens are its own: those of any of the candidates, whose
	// introspectors are empty.
	Takes []introspect.Candidate
	// Cache says how much is remembered.
	Cache CacheSettings
}

// Opener is a guest that asks elsewhere. What it opens outlives the
// configuration and holds no caddy.Context. The cache stands before it: there
// Open may carry what it hears of revocations. Open waits for no network.
type Opener interface {
	Open(*introspect.Cache) (Authority, error)
}

// Authority is an open introspector. Close ends its goroutines and connections.
type Authority interface {
	introspect.Introspector
	// Status is what operators see of it, as a value for JSON.
	Status() any
	Close()
}

// Follower is an authority that may follow a stream of what is revoked: whether
// it does, whether it hears anything now, and how late revocations came.
type Follower interface {
	Stream() (connected bool, lag introspect.Times, follows bool)
}

// Introspector is an authority that a handler has reserved. Open is set before
// the app runs and not changed after.
type Introspector struct {
	Name string // as the configuration calls it; a service's engine goes by its issuer
	Declaration
	Guest Guest // nil: the engine of a service

	Open *Open
}

// Open is a reserved introspector while the app runs.
type Open struct {
	Cache     *introspect.Cache
	From      introspect.Introspector // whom the cache asks
	Authority Authority               // nil: it is the engine of this process
}

// CacheSettings bound what is remembered of an authority's tokens.
type CacheSettings struct {
	// Size is how many tokens are remembered. Default: 100000.
	Size int64 `json:"cache_size,omitempty"`
	// TTL is for how long a good token is believed. Default: 1 minute.
	TTL caddy.Duration `json:"cache_ttl,omitempty"`
	// NegativeTTL is for how long a bad one is. Default: 5 seconds.
	NegativeTTL caddy.Duration `json:"cache_negative_ttl,omitempty"`
}

// Check finds settings that make no sense.
func (s *CacheSettings) Check() error {
	if s.Size < 0 || s.TTL < 0 || s.NegativeTTL < 0 {
		return fmt.Errorf("cache_size, cache_ttl and cache_negative_ttl cannot be negative")
	}
	ttl := cmp.Or(time.Duration(s.TTL), introspect.DefaultTTL)
	if time.Duration(s.NegativeTTL) > ttl {
		return fmt.Errorf("cache_negative_ttl must not exceed cache_ttl, which is %s", ttl)
	}
	return nil
}

// Options are those of the cache of an authority.
func (d *Declaration) Options() introspect.Options {
	return introspect.Options{
		Identity: cmp.Or(d.Service, d.Identity), Client: d.Client,
		MaxEntries: d.Cache.Size, TTL: time.Duration(d.Cache.TTL), NegativeTTL: time.Duration(d.Cache.NegativeTTL),
	}
}

// Unmarshal reads an option of a block if it is one of the cache's, and says
// whether it was.
func (s *CacheSettings) Unmarshal(d *caddyfile.Dispenser, name string, args []string) (bool, error) {
	switch name {
	case "cache_size", "cache_ttl", "cache_negative_ttl":
	default:
		return false, nil
	}
	if len(args) != 1 {
		return true, d.Errf("%s: expected one value", name)
	}
	if name == "cache_size" {
		size, err := strconv.ParseInt(args[0], 10, 64)
		if err != nil || size < 1 {
			return true, d.Errf("cache_size: expected a number of entries, not %q", args[0])
		}
		s.Size = size
		return true, nil
	}
	to := &s.TTL
	if name == "cache_negative_ttl" {
		to = &s.NegativeTTL
	}
	return true, UnmarshalDuration(d, name, args[0], to)
}

// UnmarshalDuration reads a duration above zero.
func UnmarshalDuration(d *caddyfile.Dispenser, name, text string, to *caddy.Duration) error {
	duration, err := caddy.ParseDuration(text)
	if err != nil || duration <= 0 {
		return d.Errf("%s: expected a duration such as 30s, not %q", name, text)
	}
	*to = caddy.Duration(duration)
	return nil
}

// EngineTokens are the tokens of a service's own engine: its opaque handles,
// and the JWTs of its issuer.
func EngineTokens(issuer string) []introspect.Candidate {
	return []introspect.Candidate{
		{Prefixes: []string{string(handle.AccessToken)}},
		{Shape: introspect.JWTShape, Issuers: []string{issuer}},
	}
}
