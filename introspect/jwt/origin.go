package jwt

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
)

// origin is where an issuer's keys are fetched from. One flight at a time uses
// it.
type origin struct {
	source *Source
	client *http.Client

	address string    // jwks_uri
	until   time.Time // of an address from metadata: when they are read again
}

func newOrigin(s *Source) *origin { return &origin{source: s, client: newClient(s)} }

// close closes the connections that no request uses, if they are its own.
func (o *origin) close() {
	if o.source.Client == nil {
		o.client.CloseIdleConnections()
	}
}

// fetch returns the issuer's keys.
func (o *origin) fetch(ctx context.Context, now time.Time) (*keyring, error) {
	if err := o.locate(ctx, now); err != nil {
		return nil, err
	}
	body, err := get(ctx, o.client, o.address)
	var ring *keyring
	if err == nil {
		ring, err = parseKeyring(body, o.source.Algorithms, o.source.MaxKeys)
	}
	if err != nil {
		o.until = time.Time{} // they may have moved
		return nil, fmt.Errorf("jwks_uri: %w", err)
	}
	return ring, nil
}

// locate finds the keys' address, in memory as long as keys are good.
func (o *origin) locate(ctx context.Context, now time.Time) error {
	if o.source.JWKSURI != "" {
		o.address = o.source.JWKSURI
		return nil
	}
	if now.Before(o.until) {
		return nil
	}
	address, err := o.discover(ctx)
	if err == nil {
		err = o.check(address)
	}
	if err != nil {
		return fmt.Errorf("metadata: %w", err)
	}
	o.address, o.until = address, now.Add(o.source.Refresh)
	return nil
}

// discover asks the issuer for its metadata where OpenID providers have them,
// and if it answers that it has none, where RFC 8414 §3 puts them. Neither may
// be another issuer's (OpenID Connect Discovery 1.0 §4.3, RFC 8414 §3.3).
func (o *origin) discover(ctx context.Context) (jwksURI string, err error) {
	provider, err := oidc.NewProvider(oidc.ClientContext(ctx, o.client), o.source.Issuer)
	if err != nil {
		err = clean(ctx, err)
		var answer *failure
		if errors.As(err, &answer) && answer.answered {
			return o.discoverOAuth(ctx)
		}
		return "", err
	}
	var found oidc.ProviderConfig
	if provider.Claims(&found) != nil {
		return "", errDocument
	}
	return found.JWKSURL, nil
}

func (o *origin) discoverOAuth(ctx context.Context) (string, error) {
	address, err := url.Parse(o.source.Issuer)
	if err != nil {
		return "", errDocument
	}
	path := strings.TrimSuffix(address.EscapedPath(), "/")
	address.Path, address.RawPath = "", ""
	body, err := get(ctx, o.client, address.String()+"/.well-known/oauth-authorization-server"+path)
	if err != nil {
		return "", err
	}
	var found oidc.ProviderConfig
	switch {
	case json.Unmarshal(body, &found) != nil:
		return "", errDocument
	case found.IssuerURL != o.source.Issuer:
		return "", errOtherIssuer
	}
	return found.JWKSURL, nil
}

// check judges an address that metadata name: what was said over https must not
// lead to a host beside us, nor to what anybody on the way can change.
func (o *origin) check(address string) error {
	if err := checkAddress("jwks_uri", address); err != nil {
		return err
	}
	if strings.HasPrefix(o.source.Issuer, "https:") && !strings.HasPrefix(address, "https:") {
		return errors.New("jwks_uri must be an https URL, as the issuer is")
	}
	return nil
}

var (
	errDocument    = errors.New("not a metadata document")
	errOtherIssuer = errors.New("another issuer's document")
)
