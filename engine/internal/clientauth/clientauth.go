// Package clientauth authenticates clients at the endpoints that they call
// directly (RFC 6749 §2.3, OpenID Connect Core §9).
package clientauth

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"slices"

	"github.com/gatehouse-auth/gatehouse/engine/internal/oautherr"
	"github.com/gatehouse-auth/gatehouse/engine/internal/params"
	"github.com/gatehouse-auth/gatehouse/engine/internal/realm"
	"github.com/gatehouse-auth/gatehouse/engine/model"
)

// Credentials are what came in the Authorization header, decoded.
type Credentials struct {
	ClientID     string
	ClientSecret string
	// Present says that there was Basic authentication, empty or not.
	Present bool
}

// errUnknown is the one answer to every failure, so that nobody can find out
// which clients there are; its cause is for the log.
var errUnknown = oautherr.New(oautherr.InvalidClient, "the client is unknown or its authentication failed")

// Read parses the parameters of a request that a client makes directly, and
// authenticates the client by one of the methods that the endpoint allows.
func Read(r *realm.Realm, parameters string, basic Credentials, allowed []model.ClientAuthMethod) (params.Values, *model.Client, *oautherr.Error) {
	v, refusal := params.Parse(parameters)
	if refusal != nil {
		return v, nil, refusal
	}
	client, refusal := authenticate(r, v, basic, allowed)
	return v, client, refusal
}

// authenticate finds the client and verifies its credentials by the one method
// that it is registered for, provided that the endpoint allows that method.
func authenticate(r *realm.Realm, v params.Values, basic Credentials, allowed []model.ClientAuthMethod) (*model.Client, *oautherr.Error) {
	id, secret, method, err := presented(v, basic)
	if err != nil {
		return nil, err
	}
	client, ok := r.ClientByAlias(id)
	switch {
	case !ok:
		return nil, errUnknown.Because(errors.New("no such client"))
	case client.TokenAuthMethod != method:
		return nil, errUnknown.Because(fmt.Errorf("the client is registered for %s and used %s", client.TokenAuthMethod, method))
	case !slices.Contains(allowed, method):
		return nil, errUnknown.Because(fmt.Errorf("%s is not allowed at this endpoint", method))
	case method != model.AuthNone && !secretMatches(client, secret):
		return nil, errUnknown.Because(errors.New("wrong secret"))
	}
	return client, nil
}

// presented reads which method the request uses. Using two at once is refused
// (RFC 6749 §2.3).
func presented(v params.Values, basic Credentials) (id, secret string, _ model.ClientAuthMethod, _ *oautherr.Error) {
	inBody := v.Has("client_secret")
	switch {
	case v.Has("client_assertion") || v.Has("client_assertion_type"):
		return "", "", "", errUnknown.Because(errors.New("client assertions are not supported"))
	case basic.Present && inBody:
		return "", "", "", oautherr.New(oautherr.InvalidRequest, "the client authenticates in more than one way")
	case basic.Present:
		if named := v.Get("client_id"); named != "" && named != basic.ClientID {
			return "", "", "", oautherr.New(oautherr.InvalidRequest, "client_id differs from the Authorization header")
		}
		return basic.ClientID, basic.ClientSecret, model.AuthClientSecretBasic, nil
	case v.Get("client_id") == "":
		return "", "", "", oautherr.New(oautherr.InvalidClient, "the request does not authenticate a client: use the Authorization header or the client_id parameter")
	case inBody:
		return v.Get("client_id"), v.Get("client_secret"), model.AuthClientSecretPost, nil
	default:
		return v.Get("client_id"), "", model.AuthNone, nil
	}
}

func secretMatches(c *model.Client, secret string) bool {
	if c.SecretHash == [32]byte{} {
		return false
	}
	hash := sha256.Sum256([]byte(secret))
	return subtle.ConstantTimeCompare(hash[:], c.SecretHash[:]) == 1
}
