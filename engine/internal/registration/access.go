package registration

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"

	"github.com/gatehouse-auth/gatehouse/engine/internal/oautherr"
	"github.com/gatehouse-auth/gatehouse/engine/internal/realm"
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// errToken is the one answer to a token that is missing or wrong and to a
// client that does not exist, so that nobody can find out which clients there
// are (RFC 7592 §2.1). Its cause is for the log.
var errToken = oautherr.New(oautherr.InvalidToken, "the access token is missing, or does not give access to this")

// admit decides who registers, and whether they may (RFC 7591 §3): whoever the
// developer authentication has vouched for, or who presents an initial access
// token. A service that has neither is open to everybody, and all who come
// count as one developer without a name.
func admit(r *realm.Realm, req Request) (developer string, err error) {
	tokens := r.Service.InitialAccessTokens
	switch {
	case req.Developer != "":
		return req.Developer, nil
	case len(tokens) == 0 && r.Service.DeveloperCallback.Endpoint == "":
		return "", nil
	}
	for _, t := range tokens {
		if sameSecret(t.Token, req.Token) && developer == "" { // all are compared, so that time says nothing
			developer = t.Developer
		}
	}
	if developer == "" {
		return "", errToken.Because(errors.New("registration needs an initial access token, or a developer's name and password"))
	}
	return developer, nil
}

// sameSecret compares in constant time, whatever the lengths.
func sameSecret(a, b string) bool {
	return matches(sha256.Sum256([]byte(a)), b)
}

// matches compares a secret with a hash in constant time.
func matches(hash [32]byte, secret string) bool {
	sum := sha256.Sum256([]byte(secret))
	return subtle.ConstantTimeCompare(hash[:], sum[:]) == 1
}

// authenticate finds the client whose registration access token was presented.
// A client that the configuration declares is nobody's to manage here, even
// when one of the same name was registered before.
func authenticate(ctx context.Context, r *realm.Realm, req Request) (model.StoredClient, error) {
	if model.CheckAlias(req.ClientID) != nil || r.Declared(req.ClientID) {
		return model.StoredClient{}, errToken.Because(errors.New("no client of that id was registered"))
	}
	row, err := r.Store.StoredClientByAlias(ctx, r.Service.ID, req.ClientID)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return model.StoredClient{}, err
	}
	// An unknown client has the zero hash, which nothing matches.
	if !matches(row.TokenHash, req.Token) {
		return model.StoredClient{}, errToken.Because(errors.New("no such client, or a wrong registration access token"))
	}
	return row, nil
}
