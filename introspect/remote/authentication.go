package remote

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwk"
	"github.com/lestrrat-go/jwx/v2/jws"
)

// Method names a way to authenticate, as the registry of token endpoint
// authentication methods does where it knows it (RFC 7591 §4.2, RFC 8705 §2).
type Method string

// The methods. Empty is MethodNone.
const (
	MethodNone              Method = "none"
	MethodClientSecretBasic Method = "client_secret_basic"
	MethodClientSecretPost  Method = "client_secret_post"
	MethodPrivateKeyJWT     Method = "private_key_jwt"
	MethodTLS               Method = "tls_client_auth"
	MethodSelfSignedTLS     Method = "self_signed_tls_client_auth"
	MethodBearer            Method = "bearer" // RFC 7662 §2.1: an access token of our own
)

const (
	// assertionType is RFC 7523 §2.2.
	assertionType     = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
	assertionLifetime = time.Minute
)

// Authentication is how the endpoint knows us.
type Authentication struct {
	Method   Method
	ClientID string // all methods but none and bearer need it

	// Secret is that of client_secret_basic and client_secret_post.
	Secret string

	// Key signs the assertions of private_key_jwt: a private RSA, EC or Ed25519
	// key. Its alg decides on the algorithm, if it has one, and its kid goes
	// into the header.
	Key jwk.Key
	// Audience is the aud of the assertions (RFC 7523 §3): empty means the
	// issuer if that is known, otherwise the endpoint.
	Audience string

	// Token returns the access token of bearer. It is called for each request,
	// concurrently too.
	Token func(context.Context) (string, error)
}

// check finds out at the start what would fail on every request.
func (a *Authentication) check(o Options) error {
	if a.ClientID == "" && a.Method != MethodNone && a.Method != "" && a.Method != MethodBearer {
		return fmt.Errorf("%s needs a client id", a.Method)
	}
	switch a.Method {
	case "", MethodNone:
		return nil
	case MethodClientSecretBasic, MethodClientSecretPost:
		if a.Secret == "" {
			return fmt.Errorf("%s needs a client secret", a.Method)
		}
	case MethodPrivateKeyJWT:
		_, err := a.algorithm()
		return err
	case MethodTLS, MethodSelfSignedTLS:
		if o.TLS == nil || len(o.TLS.Certificates) == 0 && o.TLS.GetClientCertificate == nil {
			return fmt.Errorf("%s needs a client certificate", a.Method)
		}
	case MethodBearer:
		if a.Token == nil {
			return errors.New("bearer needs an access token")
		}
	default:
		return errors.New("no such authentication method")
	}
	return nil
}

// algorithm is what the key signs with. An algorithm that the key is not for
// is refused now and not by the other side.
func (a *Authentication) algorithm() (jwa.SignatureAlgorithm, error) {
	var fit []jwa.SignatureAlgorithm
	switch key := a.Key.(type) {
	case jwk.RSAPrivateKey:
		fit = []jwa.SignatureAlgorithm{jwa.RS256, jwa.PS256, jwa.RS384, jwa.PS384, jwa.RS512, jwa.PS512}
	case jwk.ECDSAPrivateKey:
		byCurve := map[jwa.EllipticCurveAlgorithm]jwa.SignatureAlgorithm{jwa.P256: jwa.ES256, jwa.P384: jwa.ES384, jwa.P521: jwa.ES512}
		fit = []jwa.SignatureAlgorithm{byCurve[key.Crv()]}
	case jwk.OKPPrivateKey:
		if key.Crv() == jwa.Ed25519 {
			fit = []jwa.SignatureAlgorithm{jwa.EdDSA}
		}
	}
	if len(fit) == 0 || fit[0] == "" {
		return "", errors.New("private_key_jwt needs a private RSA, EC (P-256, P-384, P-521) or Ed25519 key")
	}
	named := jwa.SignatureAlgorithm(a.Key.Algorithm().String())
	if named == "" {
		return fit[0], nil
	}
	if !slices.Contains(fit, named) {
		return "", errors.New("the alg of the key for private_key_jwt does not fit the key")
	}
	return named, nil
}

// Authorize adds what proves to the endpoint's server who we are to a form and
// a header that are about to be sent there: once for each request, since an
// assertion is good for one. It is safe for concurrent use; no error of its own
// quotes a secret.
func (i *Introspector) Authorize(ctx context.Context, form url.Values, header http.Header) error {
	a := &i.options.Authentication
	switch a.Method {
	case MethodClientSecretBasic:
		// RFC 6749 §2.3.1: both are form-encoded first.
		pair := url.QueryEscape(a.ClientID) + ":" + url.QueryEscape(a.Secret)
		header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(pair)))
		return nil
	case MethodBearer:
		token, err := a.Token(ctx)
		if err != nil {
			return fmt.Errorf("the access token to introspect with: %w", err)
		}
		header.Set("Authorization", "Bearer "+token)
		return nil
	case MethodClientSecretPost:
		form.Set("client_secret", a.Secret)
	case MethodPrivateKeyJWT:
		assertion, err := i.assertion()
		if err != nil {
			return fmt.Errorf("the client assertion: %w", err)
		}
		form.Set("client_assertion_type", assertionType)
		form.Set("client_assertion", assertion)
	}
	if a.ClientID != "" {
		form.Set("client_id", a.ClientID) // RFC 8705 §2: with TLS it is all that names the client
	}
	return nil
}

// assertion is RFC 7523 §3, with a jti of its own each time (OpenID Connect
// Core §9).
func (i *Introspector) assertion() (string, error) {
	a := &i.options.Authentication
	alg, err := a.algorithm()
	if err != nil {
		return "", err
	}
	var id [16]byte
	if _, err := io.ReadFull(i.options.Random, id[:]); err != nil {
		return "", err
	}
	audience := a.Audience
	switch {
	case audience != "":
	case i.options.Issuer != "":
		audience = i.options.Issuer
	default:
		audience = i.options.Endpoint
	}
	now := i.options.Now()
	claims, err := json.Marshal(map[string]any{
		"iss": a.ClientID, "sub": a.ClientID, "aud": audience, "jti": base64.RawURLEncoding.EncodeToString(id[:]),
		"iat": now.Unix(), "exp": now.Add(assertionLifetime).Unix(),
	})
	if err != nil {
		return "", err
	}
	header := jws.NewHeaders()
	if err := header.Set(jws.TypeKey, "JWT"); err != nil {
		return "", err
	}
	signed, err := jws.Sign(claims, jws.WithKey(alg, a.Key, jws.WithProtectedHeaders(header)))
	return string(signed), err
}
