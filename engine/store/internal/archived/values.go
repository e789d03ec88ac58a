package archived

import (
	"fmt"

	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
	"github.com/gatehouse-auth/gatehouse/engine/store/internal/column"
)

// Values are the columns of a row. Ids that callers draw are positive.
func Values(row store.Row) ([]any, error) {
	switch r := row.(type) {
	case store.ServiceRow:
		return []any{int64(r.ID), r.Issuer}, nil
	case store.ClientRow:
		return []any{int64(r.Service), int64(r.ID), r.Alias}, nil
	case store.SecretRow:
		return []any{int64(r.Service), r.Name, column.NotNull(r.Sealed)}, nil
	case store.KeyRow:
		k := &r.Key
		return []any{int64(k.Service), k.KID, k.Alg, column.NotNull(k.Sealed), k.NotBefore, k.ExpiresAt}, nil
	case store.StoredClientRow:
		c := &r.Client
		return []any{
			int64(c.Service), int64(c.ID), c.Developer, column.NotNull(c.Settings), column.BytesOrNull(c.Sealed), c.TokenHash[:],
			c.CreatedAt, c.ModifiedAt, c.Version,
		}, nil
	case store.AccountRow:
		a := &r.Account
		claims, err := column.Map(a.Claims)
		return []any{
			int64(a.Service), int64(a.ID), a.Name, a.Key, a.Subject, a.PasswordHash, a.Disabled, a.CreatedAt, claims,
		}, err
	case store.ConsentRow:
		c := &r.Consent
		claims, err := column.List(c.Claims)
		return []any{int64(c.Service), c.Subject, int64(c.Client), column.OrNull(column.JoinWords(c.Scopes)), c.GrantedAt, claims}, err
	}
	return valuesThatLapse(row)
}

func valuesThatLapse(row store.Row) ([]any, error) {
	switch r := row.(type) {
	case store.SessionRow:
		s := &r.Session
		amr, err := column.List(s.AMR)
		return []any{int64(s.Service), int64(s.ID), s.Subject, s.AuthTime, s.ExpiresAt, s.Hash[:], amr}, err
	case store.SessionClientRow:
		return []any{int64(r.Service), int64(r.Session), int64(r.Client)}, nil
	case store.GrantRow:
		g := &r.Grant
		claims, err := column.Claims(&g.Claims)
		return []any{
			int64(g.Service), int64(g.ID), int64(g.Client), column.OrNull(g.Subject), column.JoinWords(g.Scopes), int64(g.Session),
			g.AuthTime, g.ExpiresAt, claims, int64(r.OnlyAccess),
		}, err
	case store.RefreshTokenRow:
		t := &r.Token
		return []any{
			int64(t.Service), int64(t.ID), int64(t.Grant), t.ExpiresAt, int64(t.Access), int64(t.Successor), t.Hash[:],
			column.Thumbprint(t.Confirmation.JKT), column.Thumbprint(t.Confirmation.X5T),
		}, nil
	case store.AccessTokenRow:
		return accessTokenValues(&r.Token)
	case store.HandleRow:
		h := &r.Handle
		return []any{
			int64(h.Service), int64(h.ID), int64(h.Kind), int64(h.Grant), h.ExpiresAt, h.Redeemed, h.Hash[:], column.BytesOrNull(h.Payload),
		}, nil
	case store.UsedValueRow:
		return []any{int64(r.Service), r.Digest[:], r.ExpiresAt}, nil
	}
	return nil, fmt.Errorf("a row of type %T: %w", row, column.ErrMalformed)
}

// accessTokenValues are NULL for what a token has not of its own.
func accessTokenValues(a *model.AccessToken) ([]any, error) {
	var hash, scopes, resources any
	if !a.JWT {
		hash = a.Hash[:]
	}
	if a.Scopes != nil {
		scopes = column.JoinWords(a.Scopes)
	}
	if a.Resources != nil { // none is not "the grant's"
		var err error
		if resources, err = column.JSON(a.Resources); err != nil {
			return nil, err
		}
	}
	return []any{
		int64(a.Service), int64(a.ID), int64(a.Grant), a.ExpiresAt, hash, scopes, resources,
		column.Thumbprint(a.Confirmation.JKT), column.Thumbprint(a.Confirmation.X5T),
	}, nil
}
