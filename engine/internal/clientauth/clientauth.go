// Package clientauth authenticates clients at the endpoints that they call
// directly (RFC 6749 §2.3, OpenID Connect Core §9).
package clientauth

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"slices"

	"github.com/gatehouse-auth/gatehouse/engine/internal/oautherr"
	"github.com/gatehouse-auth/gatehouse/engine/internal/params"
	"github.com/gatehouse-auth/gatehouse/engine/internal/realm"
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// Credentials are what came in the Authorization header, decoded.
type Credentials struct {
	ClientID     string
	ClientSecret string
	// Present says that there was Basic authentication, empty or not.
	Present bool
}

// Endpoint is where a client authenticates.
type Endpoint struct {
	Address string // an audience that a client assertion may have
	Methods []model.ClientAuthMethod
}

// errUnknown is the one answer to every failure, so that nobody can find out
// which clients there are; its cause is for the log.
var errUnknown = oautherr.New(oautherr.InvalidClient, "the client is unknown or its authentication failed")

// Read parses the parameters of a request that a client makes directly, and
// authenticates the client by one of the methods that the endpoint allows. The
// error is an *oautherr.Error, or the store's.
func Read(ctx context.Context, r *realm.Realm, parameters string, basic Credentials, at Endpoint) (params.Values, *model.Client, error) {
	v, refusal := params.Parse(parameters, r.Service.MaxRequestBytes)
	if refusal != nil {
		return v, nil, refusal
	}
	p, refusal := presented(v, basic)
	if refusal != nil {
		return v, nil, refusal
	}
	client, err := r.ClientByAlias(ctx, p.id)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return v, nil, errUnknown.Because(errors.New("no such client"))
	case err != nil:
		return v, nil, err
	case !p.by(client.TokenAuthMethod):
		return v, nil, errUnknown.Because(fmt.Errorf("the client is registered for %s", client.TokenAuthMethod))
	case !slices.Contains(at.Methods, client.TokenAuthMethod):
		return v, nil, errUnknown.Because(fmt.Errorf("%s is not allowed at this endpoint", client.TokenAuthMethod))
	case client.TokenAuthMethod == model.AuthNone:
		return v, client, nil
	case client.TokenAuthMethod != model.AuthPrivateKeyJWT && client.SecretExpired(r.Now().Unix()):
		return v, nil, errUnknown.Because(errors.New("the client secret has expired"))
	case p.assertion != nil:
		return v, client, verifyAssertion(ctx, r, client, p.assertion, at)
	case !secretMatches(client, p.secret):
		return v, nil, errUnknown.Because(errors.New("wrong secret"))
	}
	return v, client, nil
}

// proof is what a request presents.
type proof struct {
	id        string
	method    model.ClientAuthMethod // empty for an assertion, of which there are two
	secret    string
	assertion *assertion
}

// by reports whether the proof is of the method that a client is registered for.
func (p *proof) by(m model.ClientAuthMethod) bool {
	if p.assertion != nil {
		return m.Assertion()
	}
	return m == p.method
}

// presented reads which method the request uses. Using two at once is refused
// (RFC 6749 §2.3).
func presented(v params.Values, basic Credentials) (*proof, *oautherr.Error) {
	inBody := v.Has("client_secret")
	asserted := v.Has("client_assertion") || v.Has("client_assertion_type")
	named := v.Get("client_id")
	switch {
	case basic.Present && (inBody || asserted) || inBody && asserted:
		return nil, oautherr.New(oautherr.InvalidRequest, "the client authenticates in more than one way")
	case asserted:
		return readAssertion(v)
	case basic.Present:
		if named != "" && named != basic.ClientID {
			return nil, oautherr.New(oautherr.InvalidRequest, "client_id differs from the Authorization header")
		}
		return &proof{id: basic.ClientID, method: model.AuthClientSecretBasic, secret: basic.ClientSecret}, nil
	case named == "":
		return nil, oautherr.New(oautherr.InvalidClient, "the request does not authenticate a client: use the Authorization header or the client_id parameter")
	case inBody:
		return &proof{id: named, method: model.AuthClientSecretPost, secret: v.Get("client_secret")}, nil
	default:
		return &proof{id: named, method: model.AuthNone}, nil
	}
}

func secretMatches(c *model.Client, secret string) bool {
	if c.SecretHash == [32]byte{} {
		return false
	}
	hash := sha256.Sum256([]byte(secret))
	return subtle.ConstantTimeCompare(hash[:], c.SecretHash[:]) == 1
}
