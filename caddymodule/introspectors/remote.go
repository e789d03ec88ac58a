package introspectors

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/gatehouse-auth/gatehouse/caddymodule/serving"
	"github.com/gatehouse-auth/gatehouse/introspect"
	"github.com/gatehouse-auth/gatehouse/introspect/jwt"
	"github.com/gatehouse-auth/gatehouse/introspect/remote"
)

func init() {
	caddy.RegisterModule(new(Remote))
}

// Remote asks an introspection endpoint (RFC 7662), of a Gatehouse elsewhere or
// of anybody's authorization server.
type Remote struct {
	// Endpoint is the endpoint's URL.
	Endpoint string `json:"endpoint"`
	// Issuer is whose tokens it knows. With it, JWTs of other issuers are not
	// sent there, and answers that name another are not believed.
	Issuer string `json:"issuer,omitempty"`
	// ClientID is who we are to it.
	ClientID string `json:"client_id,omitempty"`
	// ClientSecret proves it, usually by a placeholder such as {env.SECRET}.
	ClientSecret string `json:"client_secret,omitempty"`
	// Auth is how: client_secret_basic, client_secret_post, private_key_jwt,
	// tls_client_auth, self_signed_tls_client_auth, bearer or none. Default:
	// what the other settings are for.
	Auth string `json:"auth,omitempty"`
	// Key is a file with the private key of private_key_jwt: a JWK or PEM.
	Key string `json:"key,omitempty"`
	// Certificate and CertificateKey are files (PEM) of the client certificate.
	Certificate    string `json:"certificate,omitempty"`
	CertificateKey string `json:"certificate_key,omitempty"`
	// BearerToken is an access token to ask with (RFC 7662 §2.1).
	BearerToken string `json:"bearer_token,omitempty"`
	// Signed asks for signed answers (RFC 9701) and takes no others. They are
	// checked against the issuer's published keys.
	Signed bool `json:"signed,omitempty"`
	// JWKSURI is those keys' address, if the issuer has no metadata.
	JWKSURI string `json:"jwks_uri,omitempty"`
	// Revocations is the address of a Gatehouse's revocation stream. With it,
	// what is revoked there is forgotten here within a second.
	Revocations string `json:"revocations,omitempty"`
	// Timeout bounds one attempt. Default: 2 seconds.
	Timeout caddy.Duration `json:"timeout,omitempty"`
	// Attempts is how often one token is asked about at most. Default: 3.
	Attempts int `json:"attempts,omitempty"`
	// MaxParallel bounds the requests under way. Default: 256.
	MaxParallel int `json:"max_parallel,omitempty"`
	// Trust are files of certificates (PEM) that are trusted instead of the system's.
	Trust []string `json:"trust,omitempty"`
	tokens
	serving.CacheSettings

	options remote.Options
	source  jwt.Source // of signed answers
	key     string
}

// CaddyModule returns the Caddy module information.
func (*Remote) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "gatehouse.introspectors.remote", New: func() caddy.Module { return new(Remote) }}
}

// Provision checks the settings, resolves the secrets and reads the files that
// they name. It asks nobody.
func (r *Remote) Provision(caddy.Context) error {
	files := &files{}
	secret, err1 := resolve("client_secret", r.ClientSecret)
	token, err2 := resolve("bearer_token", r.BearerToken)
	r.source = jwt.Source{Issuer: r.Issuer, JWKSURI: r.JWKSURI, Roots: files.roots(r.Trust), MaxToken: introspect.MaxFactsBytes}
	r.options = remote.Options{
		Endpoint: r.Endpoint, Issuer: r.Issuer,
		Authentication: remote.Authentication{
			Method: r.method(), ClientID: r.ClientID, Secret: secret, Key: files.key("key", r.Key),
			Token: func(context.Context) (string, error) { return token, nil },
		},
		TLS:     &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: r.source.Roots, Certificates: files.certificate(r.Certificate, r.CertificateKey)},
		Timeout: time.Duration(r.Timeout), Attempts: r.Attempts, MaxParallel: r.MaxParallel,
	}
	if err := check("remote", err1, err2, files.err(), r.Check(), r.tokens.check()); err != nil {
		return err
	}
	trial, err := r.Open(nil) // it opens and fetches nothing
	if err != nil {
		return err
	}
	trial.Close()
	r.key = identity("remote", r, files, secret, token)
	return nil
}

// method is how we authenticate: as the operator says, or as the settings show.
func (r *Remote) method() remote.Method {
	switch {
	case r.Auth != "":
		return remote.Method(r.Auth)
	case r.Key != "":
		return remote.MethodPrivateKeyJWT
	case r.Certificate != "":
		return remote.MethodTLS
	case r.BearerToken != "":
		return remote.MethodBearer
	case r.ClientSecret != "":
		return remote.MethodClientSecretBasic
	}
	return remote.MethodNone
}

// UnmarshalCaddyfile reads the rest of the line of an introspector.
//
// Syntax:
//
//	introspector <name> remote <endpoint> {
//		issuer        <issuer>
//		client_id     <client_id>
//		client_secret <secret>
//		auth          <method>
//		key           <file>
//		certificate   <file> <key file>
//		bearer_token  <token>
//		signed
//		jwks_uri      <url>
//		revocations   <url>
//		timeout       <duration>
//		attempts      <number>
//		max_parallel  <number>
//		trust         <file...>
//		prefix        <prefix...>
//		shape         jwt|opaque
//		cache_size         <entries>
//		cache_ttl          <duration>
//		cache_negative_ttl <duration>
//	}
func (r *Remote) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the module's name
	if !d.AllArgs(&r.Endpoint) {
		return d.Err("introspector remote: expected the URL of an introspection endpoint")
	}
	return unmarshalBlock(d, "remote", options{
		"issuer": one(&r.Issuer), "client_id": one(&r.ClientID), "client_secret": one(&r.ClientSecret),
		"auth": one(&r.Auth), "key": one(&r.Key), "bearer_token": one(&r.BearerToken),
		"certificate": func(args []string) error {
			if len(args) != 2 {
				return errors.New("expected two files, the certificate's and its key's")
			}
			r.Certificate, r.CertificateKey = args[0], args[1]
			return nil
		},
		"signed": flag(&r.Signed), "jwks_uri": one(&r.JWKSURI), "revocations": one(&r.Revocations),
		"timeout": duration(&r.Timeout), "attempts": number(&r.Attempts), "max_parallel": number(&r.MaxParallel),
		"trust": several(&r.Trust),
	}, &r.tokens, &r.CacheSettings)
}

// Declare is part of serving.Guest. With an issuer it takes opaque tokens and
// that issuer's JWTs, otherwise whatever comes, unless prefix or shape say
// otherwise.
func (r *Remote) Declare() serving.Declaration {
	d := serving.Declaration{
		Key: r.key, Identity: r.Endpoint, Client: cmp.Or(r.ClientID, r.Auth),
		Takes: r.takes(introspect.Candidate{}), Cache: r.CacheSettings,
	}
	if r.Issuer != "" {
		d.Issuers = []string{r.Issuer}
		d.Takes = r.takes(introspect.Candidate{Shape: introspect.OpaqueShape}, introspect.Candidate{Shape: introspect.JWTShape, Issuers: d.Issuers})
	}
	return d
}

// Open is part of serving.Opener. Without a cache nothing is followed.
func (r *Remote) Open(cache *introspect.Cache) (_ serving.Authority, err error) {
	opened := &openRemote{}
	options := r.options
	if r.Signed {
		if opened.keys, err = jwt.NewKeySet(r.source); err != nil {
			return nil, fmt.Errorf("introspector remote: signed: %w", err)
		}
		options.Signed.Verifier = verifier{opened.keys}
	}
	if opened.Introspector, err = remote.New(options); err != nil {
		opened.closeKeys()
		return nil, err
	}
	if r.Revocations != "" {
		if err := opened.follow(r.Revocations, cache); err != nil {
			opened.Close()
			return nil, err
		}
	}
	return opened, nil
}

// verifier makes an issuer's keys one of remote's.
type verifier struct{ keys *jwt.KeySet }

// Verify is part of remote.Verifier.
func (v verifier) Verify(ctx context.Context, compact []byte) ([]byte, string, error) {
	typ, payload, err := v.keys.Verify(ctx, string(compact))
	return payload, typ, err
}

// Interface guards
var (
	_ serving.Guest         = (*Remote)(nil)
	_ serving.Opener        = (*Remote)(nil)
	_ caddy.Provisioner     = (*Remote)(nil)
	_ caddyfile.Unmarshaler = (*Remote)(nil)
)
