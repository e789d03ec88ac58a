package introspectors

import (
	"fmt"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/gatehouse-auth/gatehouse/caddymodule/serving"
	"github.com/gatehouse-auth/gatehouse/introspect"
	"github.com/gatehouse-auth/gatehouse/introspect/jwt"
)

func init() {
	caddy.RegisterModule(new(JWT))
}

// JWT checks the JWT access tokens of an issuer against its published keys
// (RFC 9068 §4). Nobody is asked about a token, so that a revoked one is good
// until it expires.
type JWT struct {
	// Issuer is the issuer's identifier, from whose metadata its keys' address
	// comes (OpenID Connect Discovery, RFC 8414).
	Issuer string `json:"issuer"`
	// Audience holds what tokens must be meant for, one of these. It is required.
	Audience []string `json:"audience"`
	// JWKSURI is the keys' address, if the issuer has no metadata.
	JWKSURI string `json:"jwks_uri,omitempty"`
	// Keys is a file with the keys (a JWK Set), if they are not published.
	Keys string `json:"keys,omitempty"`
	// Algorithms are those that are accepted. Default: every asymmetric one of
	// RFC 7518 and EdDSA.
	Algorithms []string `json:"algorithms,omitempty"`
	// Types are the accepted typ. Default: at+jwt. Listing JWT, for issuers
	// older than RFC 9068, admits what an issuer's ID tokens look like too.
	Types []string `json:"types,omitempty"`
	// ClockSkew is how far the issuer's clock may be off. Default: 10 seconds.
	ClockSkew caddy.Duration `json:"clock_skew,omitempty"`
	// Refresh is how long keys are good without asking again. Default: 15 minutes.
	Refresh caddy.Duration `json:"refresh,omitempty"`
	// MinInterval is the least time between two fetches of keys, whatever
	// arrives. Default: 10 seconds.
	MinInterval caddy.Duration `json:"min_interval,omitempty"`
	// MaxStale is how long keys are good while the issuer cannot be asked.
	// Default: 24 hours.
	MaxStale caddy.Duration `json:"max_stale,omitempty"`
	// Trust are files of certificates (PEM) that are trusted instead of the system's.
	Trust []string `json:"trust,omitempty"`
	tokens
	serving.CacheSettings

	options jwt.Options
	key     string
}

// CaddyModule returns the Caddy module information.
func (*JWT) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "gatehouse.introspectors.jwt", New: func() caddy.Module { return new(JWT) }}
}

// Provision checks the settings and reads the files that they name. It asks
// nobody.
func (j *JWT) Provision(caddy.Context) error {
	files := &files{}
	j.options = jwt.Options{
		Source: jwt.Source{
			Issuer: j.Issuer, JWKSURI: j.JWKSURI, KeySet: files.read("keys", j.Keys), Algorithms: j.Algorithms,
			Roots:   files.roots(j.Trust),
			Refresh: time.Duration(j.Refresh), MinInterval: time.Duration(j.MinInterval), MaxStale: time.Duration(j.MaxStale),
		},
		Audience: j.Audience, Types: j.Types, Skew: time.Duration(j.ClockSkew),
	}
	if err := check("jwt", files.err(), j.Check(), j.tokens.check()); err != nil {
		return err
	}
	trial, err := jwt.New(j.options) // it opens and fetches nothing
	if err != nil {
		return err
	}
	trial.Close()
	j.key = identity("jwt", j, files)
	return nil
}

// UnmarshalCaddyfile reads the rest of the line of an introspector.
//
// Syntax:
//
//	introspector <name> jwt <issuer> {
//		audience     <audience...>
//		jwks_uri     <url>
//		keys         <file>
//		algorithms   <alg...>
//		types        <typ...>
//		clock_skew   <duration>
//		refresh      <duration>
//		min_interval <duration>
//		max_stale    <duration>
//		trust        <file...>
//		prefix       <prefix...>
//		shape        jwt|opaque
//		cache_size         <entries>
//		cache_ttl          <duration>
//		cache_negative_ttl <duration>
//	}
func (j *JWT) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the module's name
	if !d.AllArgs(&j.Issuer) {
		return d.Err("introspector jwt: expected an issuer")
	}
	return unmarshalBlock(d, "jwt", options{
		"audience": several(&j.Audience), "jwks_uri": one(&j.JWKSURI), "keys": one(&j.Keys),
		"algorithms": several(&j.Algorithms), "types": several(&j.Types), "trust": several(&j.Trust),
		"clock_skew": duration(&j.ClockSkew), "refresh": duration(&j.Refresh),
		"min_interval": duration(&j.MinInterval), "max_stale": duration(&j.MaxStale),
	}, &j.tokens, &j.CacheSettings)
}

// Declare is part of serving.Guest.
func (j *JWT) Declare() serving.Declaration {
	return serving.Declaration{
		Key: j.key, Identity: j.Issuer, Client: fmt.Sprint(j.Audience), Issuers: []string{j.Issuer},
		Takes: j.takes(introspect.Candidate{Shape: introspect.JWTShape, Issuers: []string{j.Issuer}}), Cache: j.CacheSettings,
	}
}

// Open is part of serving.Opener.
func (j *JWT) Open(*introspect.Cache) (serving.Authority, error) {
	opened, err := jwt.New(j.options)
	if err != nil {
		return nil, err
	}
	return openJWT{opened}, nil
}

type openJWT struct{ *jwt.Introspector }

// Status is part of serving.Authority.
func (o openJWT) Status() any { return o.Introspector.Status() }

// Interface guards
var (
	_ serving.Guest         = (*JWT)(nil)
	_ serving.Opener        = (*JWT)(nil)
	_ caddy.Provisioner     = (*JWT)(nil)
	_ caddyfile.Unmarshaler = (*JWT)(nil)
)
