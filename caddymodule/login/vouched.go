package login

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"golang.org/x/text/secure/precis"

	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// Where an authentication callback is set, it alone says who somebody is. The
// accounts that it vouches for are kept, without a password, so that what a
// sign-in leads to has somebody to belong to, and can be disabled here.

// traveller is somebody who comes back from a social network, as it knows them.
type traveller struct {
	network       model.SNS
	id            string // at the network
	access        string // tokens
	refresh       string
	expiresIn     int64 // seconds
	tokenResponse string
}

// askPassword asks the callback whose a name and a password are.
func (a *Accounts) askPassword(ctx context.Context, name, password string, client model.ID) (subject string, err error) {
	key, ok := countedKey(name)
	err = a.throttle.count(key, a.now(), func() error {
		if !ok || !askable(password) {
			return ErrCredentials
		}
		subject, err = a.vouch(ctx, client, question{ID: name, Password: nullable(password)}, name)
		return err
	})
	return subject, err
}

// askTraveller asks the callback whose account a user of a social network has.
// The network has said who that is, so that nobody guesses here.
func (a *Accounts) askTraveller(ctx context.Context, t *traveller, client model.ID) (subject string, err error) {
	return a.vouch(ctx, client, question{
		ID: t.id, SNS: &t.network, AccessToken: nullable(t.access), RefreshToken: nullable(t.refresh),
		ExpiresIn: t.expiresIn, RawTokenResponse: nullable(t.tokenResponse),
	}, "")
}

// vouch asks the callback, and keeps the account of whom it names.
func (a *Accounts) vouch(ctx context.Context, client model.ID, q question, name string) (string, error) {
	q.ServiceAPIKey = a.callback.apiKey
	said, err := a.callback.ask(ctx, userQuestion{question: q, ClientID: client, Claims: a.claims, ClaimsLocales: a.claimsLocales})
	if err != nil {
		return "", err
	}
	claims, err := parseClaims(said.Claims)
	if err != nil {
		return "", err
	}
	if err := a.keep(ctx, said.Subject, name, claims); err != nil {
		return "", err
	}
	return said.Subject, nil
}

// keep keeps the account of a subject. The subject is who somebody is; the name
// is for people, and for the operator's commands. It goes to whoever had it
// first: a name that is another subject's already is not taken from it, and
// somebody else's account is never touched.
func (a *Accounts) keep(ctx context.Context, subject, name string, claims map[string]json.RawMessage) error {
	before, err := a.find(ctx, subject)
	switch {
	case err != nil:
		return err
	case before != nil && before.Disabled:
		return ErrCredentials
	}
	for range maxDraws {
		id := a.newID()
		for _, name := range names(before, name, subject, idText(id)) {
			key, err := Key(name)
			if err != nil {
				continue
			}
			if before != nil && before.Key == key && sameClaims(before.Claims, claims) {
				return nil
			}
			err = a.store.Write(ctx, store.PutAccount{Account: model.Account{
				Service: a.service, ID: id, Name: name, Key: key, Subject: subject, Claims: claims, CreatedAt: a.now().Unix(),
			}})
			if !errors.Is(err, store.ErrConflict) {
				return err
			}
		}
	}
	return fmt.Errorf("the account of %q can have no name: %w", subject, store.ErrConflict)
}

// names are the names that an account may have, the best first: the one that
// was typed, the one that it has, its subject, and one that nobody else has.
func names(before *model.Account, typed, subject, own string) []string {
	if before == nil {
		return []string{typed, subject, own}
	}
	if key, err := Key(typed); err != nil || key == before.Key {
		typed = before.Name
	}
	return []string{typed, before.Name, subject, own}
}

func sameClaims(a, b map[string]json.RawMessage) bool {
	one, errA := json.Marshal(a) // in one order, without spaces
	other, errB := json.Marshal(b)
	return errA == nil && errB == nil && (bytes.Equal(one, other) || len(a) == 0 && len(b) == 0)
}

// countedKey is the spelling under which guesses are counted for a name that
// the callback knows. Such a name may have spaces, which names here have not;
// then it is compared as a nickname (RFC 8266 §2), which begins and ends with
// none. It is not ok for a name that can be nobody's.
func countedKey(name string) (key string, ok bool) {
	if key, err := Key(name); err == nil {
		return key, true
	}
	if key, err := stable(precis.Nickname.CompareKey, name); err == nil {
		return key, true
	}
	return "\x00" + name, false // no key begins so
}
