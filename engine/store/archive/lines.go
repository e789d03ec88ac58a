package archive

import (
	"fmt"

	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// lineOf is a row as it is written.
func lineOf(row store.Row) any {
	switch r := row.(type) {
	case store.ServiceRow:
		return serviceLine(r)
	case store.ClientRow:
		return clientLine(r)
	case store.SecretRow:
		return secretLine(r)
	case store.KeyRow:
		return keyLine(r.Key)
	case store.StoredClientRow:
		c := r.Client
		return storedClientLine{
			c.Service, c.ID, c.Alias, c.Developer, c.Settings, c.Sealed, c.TokenHash, c.CreatedAt, c.ModifiedAt, c.Version,
		}
	case store.AccountRow:
		return accountLine(r.Account)
	case store.ConsentRow:
		return consentLine(r.Consent)
	case store.SessionRow:
		s := r.Session
		return sessionLine{s.Service, s.ID, s.Hash, s.Subject, s.AuthTime, s.AMR, s.ExpiresAt}
	case store.SessionClientRow:
		return sessionClientLine(r)
	case store.GrantRow:
		g := r.Grant
		return grantLine{
			g.Service, g.ID, g.Client, g.Subject, g.Scopes, g.Session, g.AuthTime, g.ExpiresAt, g.Claims, r.OnlyAccess,
		}
	case store.RefreshTokenRow:
		t := r.Token
		return refreshTokenLine{t.Service, t.ID, t.Grant, t.Hash, t.ExpiresAt, t.Access, t.Successor, t.Confirmation}
	case store.AccessTokenRow:
		t := r.Token
		return accessTokenLine{t.Service, t.ID, t.Grant, t.Hash, t.JWT, t.Scopes, t.Resources, t.Confirmation, t.ExpiresAt}
	case store.HandleRow:
		h := r.Handle
		return handleLine{h.Service, h.ID, h.Kind, h.Hash, h.ExpiresAt, h.Redeemed, h.Grant, h.Payload}
	case store.UsedValueRow:
		return usedValueLine{r.Service, r.Digest, r.ExpiresAt}
	}
	return nil // store.Row is a closed set
}

// decoders read the line of each kind.
var decoders = map[store.Kind]func(line []byte) (store.Row, error){
	"service":           decodes(func(l serviceLine) store.Row { return store.ServiceRow(l) }),
	"client":            decodes(func(l clientLine) store.Row { return store.ClientRow(l) }),
	"secret":            decodes(func(l secretLine) store.Row { return store.SecretRow(l) }),
	"key":               decodes(func(l keyLine) store.Row { return store.KeyRow{Key: model.Key(l)} }),
	"registered_client": decodes(storedClient),
	"account":           decodes(func(l accountLine) store.Row { return store.AccountRow{Account: model.Account(l)} }),
	"consent":           decodes(func(l consentLine) store.Row { return store.ConsentRow{Consent: model.Consent(l)} }),
	"session": decodes(func(l sessionLine) store.Row {
		return store.SessionRow{Session: model.Session{
			Service: l.Service, ID: l.ID, Hash: l.Hash, Subject: l.Subject, AuthTime: l.AuthTime, AMR: l.AMR, ExpiresAt: l.ExpiresAt,
		}}
	}),
	"session_client": decodes(func(l sessionClientLine) store.Row { return store.SessionClientRow(l) }),
	"grant":          decodes(grant),
	"refresh_token":  decodes(refreshToken),
	"access_token":   decodes(accessToken),
	"handle": decodes(func(l handleLine) store.Row {
		return store.HandleRow{Handle: model.Handle{
			Service: l.Service, ID: l.ID, Kind: l.Kind, Hash: l.Hash, ExpiresAt: l.ExpiresAt, Redeemed: l.Redeemed, Grant: l.Grant,
			Payload: l.Payload,
		}}
	}),
	"used_value": decodes(func(l usedValueLine) store.Row {
		return store.UsedValueRow{Service: l.Service, Digest: l.Digest, ExpiresAt: l.ExpiresAt}
	}),
}

func decodes[L any](row func(L) store.Row) func([]byte) (store.Row, error) {
	return func(text []byte) (store.Row, error) {
		var line L
		if err := strict(text, &line); err != nil {
			return nil, err
		}
		return row(line), nil
	}
}

func storedClient(l storedClientLine) store.Row {
	return store.StoredClientRow{Client: model.StoredClient{
		Service: l.Service, ID: l.ID, Alias: l.Alias, Developer: l.Developer, Settings: l.Settings, Sealed: l.Sealed,
		TokenHash: l.TokenHash, CreatedAt: l.CreatedAt, ModifiedAt: l.ModifiedAt, Version: l.Version,
	}}
}

func grant(l grantLine) store.Row {
	return store.GrantRow{Grant: model.Grant{
		Service: l.Service, ID: l.ID, Client: l.Client, Subject: l.Subject, Scopes: l.Scopes, Session: l.Session,
		AuthTime: l.AuthTime, ExpiresAt: l.ExpiresAt, Claims: l.Claims,
	}, OnlyAccess: l.OnlyAccess}
}

func refreshToken(l refreshTokenLine) store.Row {
	return store.RefreshTokenRow{Token: model.RefreshToken{
		Service: l.Service, ID: l.ID, Grant: l.Grant, Hash: l.Hash, ExpiresAt: l.ExpiresAt, Access: l.Access,
		Successor: l.Successor, Confirmation: l.Confirmation,
	}}
}

func accessToken(l accessTokenLine) store.Row {
	return store.AccessTokenRow{Token: model.AccessToken{
		Service: l.Service, ID: l.ID, Grant: l.Grant, Hash: l.Hash, JWT: l.JWT, Scopes: l.Scopes, Resources: l.Resources,
		Confirmation: l.Confirmation, ExpiresAt: l.ExpiresAt,
	}}
}

// place is the service of a row, and the ids that it must have.
func place(row store.Row) (service model.ID, ids []model.ID) {
	switch r := row.(type) {
	case store.ServiceRow:
		return r.ID, []model.ID{r.ID}
	case store.ClientRow:
		return r.Service, []model.ID{r.ID}
	case store.SecretRow:
		return r.Service, nil
	case store.KeyRow:
		return r.Key.Service, nil
	case store.StoredClientRow:
		return r.Client.Service, []model.ID{r.Client.ID}
	case store.AccountRow:
		return r.Account.Service, []model.ID{r.Account.ID}
	case store.ConsentRow:
		return r.Consent.Service, nil
	case store.SessionRow:
		return r.Session.Service, []model.ID{r.Session.ID}
	case store.SessionClientRow:
		return r.Service, nil
	case store.GrantRow:
		return r.Grant.Service, []model.ID{r.Grant.ID}
	case store.RefreshTokenRow:
		return r.Token.Service, []model.ID{r.Token.ID}
	case store.AccessTokenRow:
		return r.Token.Service, []model.ID{r.Token.ID}
	case store.HandleRow:
		return r.Handle.Service, []model.ID{r.Handle.ID}
	case store.UsedValueRow:
		return r.Service, nil
	}
	return 0, nil
}

// nameOf says which row it is.
func nameOf(row store.Row) string {
	service, ids := place(row)
	if len(ids) == 0 {
		return fmt.Sprintf("a row of the kind %s of the service %d", store.KindOf(row), service)
	}
	return fmt.Sprintf("%s %d of the service %d", store.KindOf(row), ids[0], service)
}
