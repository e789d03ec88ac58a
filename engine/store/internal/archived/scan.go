package archived

import (
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
	"github.com/gatehouse-auth/gatehouse/engine/store/internal/column"
)

func scanService(r Row) (store.Row, error) {
	return store.ServiceRow{ID: model.ID(r.Int(0)), Issuer: r.Text(1)}, nil
}

func scanClient(r Row) (store.Row, error) {
	return store.ClientRow{Service: model.ID(r.Int(0)), ID: model.ID(r.Int(1)), Alias: r.Text(2)}, nil
}

func scanSecret(r Row) (store.Row, error) {
	return store.SecretRow{Service: model.ID(r.Int(0)), Name: r.Text(1), Sealed: r.Blob(2)}, nil
}

func scanKey(r Row) (store.Row, error) {
	return store.KeyRow{Key: model.Key{
		Service: model.ID(r.Int(0)), KID: r.Text(1), Alg: r.Text(2), Sealed: r.Blob(3), NotBefore: r.Int(4), ExpiresAt: r.Int(5),
	}}, nil
}

func scanRegistered(r Row) (store.Row, error) {
	c := model.StoredClient{
		Service: model.ID(r.Int(0)), ID: model.ID(r.Int(1)), Developer: r.Text(2), Settings: r.Blob(3), Sealed: r.Blob(4),
		CreatedAt: r.Int(6), ModifiedAt: r.Int(7), Version: r.Int(8), Alias: r.Text(9),
	}
	var err error
	c.TokenHash, err = column.Hash(r.Blob(5))
	return store.StoredClientRow{Client: c}, err
}

func scanAccount(r Row) (store.Row, error) {
	a := model.Account{
		Service: model.ID(r.Int(0)), ID: model.ID(r.Int(1)), Name: r.Text(2), Key: r.Text(3), Subject: r.Text(4),
		PasswordHash: r.Text(5), Disabled: r.Bool(6), CreatedAt: r.Int(7),
	}
	err := column.Decode(r.Text(8), &a.Claims)
	return store.AccountRow{Account: a}, err
}

func scanConsent(r Row) (store.Row, error) {
	c := model.Consent{
		Service: model.ID(r.Int(0)), Subject: r.Text(1), Client: model.ID(r.Int(2)), Scopes: column.SplitWords(r.Text(3)), GrantedAt: r.Int(4),
	}
	err := column.Decode(r.Text(5), &c.Claims)
	return store.ConsentRow{Consent: c}, err
}

func scanSession(r Row) (store.Row, error) {
	s := model.Session{Service: model.ID(r.Int(0)), ID: model.ID(r.Int(1)), Subject: r.Text(2), AuthTime: r.Int(3), ExpiresAt: r.Int(4)}
	var err error
	if s.Hash, err = column.Hash(r.Blob(5)); err != nil {
		return nil, err
	}
	err = column.Decode(r.Text(6), &s.AMR)
	return store.SessionRow{Session: s}, err
}

func scanSessionClient(r Row) (store.Row, error) {
	return store.SessionClientRow{Service: model.ID(r.Int(0)), Session: model.ID(r.Int(1)), Client: model.ID(r.Int(2))}, nil
}

func scanGrant(r Row) (store.Row, error) {
	g := model.Grant{
		Service: model.ID(r.Int(0)), ID: model.ID(r.Int(1)), Client: model.ID(r.Int(2)), Subject: r.Text(3), Scopes: column.SplitWords(r.Text(4)),
		Session: model.ID(r.Int(5)), AuthTime: r.Int(6), ExpiresAt: r.Int(7),
	}
	err := column.Decode(r.Text(8), &g.Claims)
	return store.GrantRow{Grant: g, OnlyAccess: model.ID(r.Int(9))}, err
}

func scanRefreshToken(r Row) (store.Row, error) {
	t := model.RefreshToken{
		Service: model.ID(r.Int(0)), ID: model.ID(r.Int(1)), Grant: model.ID(r.Int(2)), ExpiresAt: r.Int(3), Access: model.ID(r.Int(4)), Successor: model.ID(r.Int(5)),
	}
	var err error
	if t.Hash, err = column.Hash(r.Blob(6)); err != nil {
		return nil, err
	}
	t.Confirmation, err = scanConfirmation(r, 7)
	return store.RefreshTokenRow{Token: t}, err
}

func scanAccessToken(r Row) (store.Row, error) {
	a := model.AccessToken{Service: model.ID(r.Int(0)), ID: model.ID(r.Int(1)), Grant: model.ID(r.Int(2)), ExpiresAt: r.Int(3), JWT: r.Null(4)}
	var err error
	if !a.JWT {
		if a.Hash, err = column.Hash(r.Blob(4)); err != nil {
			return nil, err
		}
	}
	if !r.Null(5) {
		if a.Scopes = column.SplitWords(r.Text(5)); a.Scopes == nil {
			a.Scopes = []string{}
		}
	}
	if err = column.Decode(r.Text(6), &a.Resources); err != nil {
		return nil, err
	}
	a.Confirmation, err = scanConfirmation(r, 7)
	return store.AccessTokenRow{Token: a}, err
}

func scanHandle(r Row) (store.Row, error) {
	h := model.Handle{
		Service: model.ID(r.Int(0)), ID: model.ID(r.Int(1)), Kind: model.HandleKind(r.Int(2)), Grant: model.ID(r.Int(3)), ExpiresAt: r.Int(4),
		Redeemed: r.Bool(5), Payload: r.Blob(7),
	}
	var err error
	h.Hash, err = column.Hash(r.Blob(6))
	return store.HandleRow{Handle: h}, err
}

func scanUsedValue(r Row) (store.Row, error) {
	v := store.UsedValueRow{Service: model.ID(r.Int(0)), ExpiresAt: r.Int(2)}
	var err error
	v.Digest, err = column.Hash(r.Blob(1))
	return v, err
}

// scanConfirmation reads jkt and x5t from the column given on.
func scanConfirmation(r Row, at int) (c model.Confirmation, err error) {
	if !r.Null(at) {
		if c.JKT, err = column.Hash(r.Blob(at)); err != nil {
			return c, err
		}
	}
	if !r.Null(at + 1) {
		c.X5T, err = column.Hash(r.Blob(at + 1))
	}
	return c, err
}
