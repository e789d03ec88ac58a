// Package introspection says what a token is worth: to a gateway of this
// engine, and to resource servers in the form of RFC 7662.
package introspection

import (
	"context"
	"encoding/json"
	"errors"
	"strings"

	"github.com/gatehouse-auth/gatehouse/engine/handle"
	"github.com/gatehouse-auth/gatehouse/engine/internal/jose"
	"github.com/gatehouse-auth/gatehouse/engine/internal/mint"
	"github.com/gatehouse-auth/gatehouse/engine/internal/realm"
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// Found is a token that is good at this moment, and what it stands for.
type Found struct {
	ID        model.ID
	Client    *model.Client
	Grant     model.Grant
	Scopes    []string
	Audience  []string // of an access token
	ExpiresAt int64    // Unix seconds
	// Confirmation is what an access token is bound to, if anything.
	Confirmation model.Confirmation
	Refresh      bool // a refresh token, not an access token
	Replaced     bool // a refresh token that has a successor
}

// IssuedAt is when the token was issued, in Unix seconds: its id says so.
func (f *Found) IssuedAt() int64 { return handle.Time(f.ID).Unix() }

// FindAccess looks an access token up, opaque or JWT. It returns nil when the
// token is unknown, altered, expired, revoked, or no access token, when its
// client is gone, or when its user is gone or disabled. The error is the store's.
func FindAccess(ctx context.Context, r *realm.Realm, text string) (*Found, error) {
	var row model.AccessToken
	var g model.Grant
	var err error
	if strings.HasPrefix(text, string(handle.AccessToken)) {
		row, g, err = findOpaque(ctx, r, text)
	} else {
		row, g, err = findJWT(ctx, r, text)
	}
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	f := &Found{ID: row.ID, Grant: g, Scopes: row.Scopes, Confirmation: row.Confirmation, ExpiresAt: row.ExpiresAt}
	if f.Scopes == nil {
		f.Scopes = g.Scopes
	}
	f.Audience = mint.Audience(r, &g, row.Resources)
	return f.check(ctx, r)
}

// FindRefresh looks a refresh token up, as FindAccess does. One that has been
// replaced is found, since revoking it must end its family.
func FindRefresh(ctx context.Context, r *realm.Realm, text string) (*Found, error) {
	id, secret, err := handle.Parse(handle.RefreshToken, text)
	if err != nil {
		return nil, nil
	}
	row, g, err := r.Store.RefreshToken(ctx, r.Service.ID, id)
	if errors.Is(err, store.ErrNotFound) || err == nil && !secret.Matches(row.Hash) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	f := &Found{ID: row.ID, Grant: g, Scopes: g.Scopes, ExpiresAt: row.ExpiresAt, Refresh: true, Replaced: row.Successor != 0}
	return f.check(ctx, r)
}

// check holds a row against the clock, the clients and the users of now.
func (f *Found) check(ctx context.Context, r *realm.Realm) (*Found, error) {
	if f.ExpiresAt <= r.Now().Unix() {
		return nil, nil
	}
	client, err := r.Client(ctx, f.Grant.Client)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	f.Client = client
	active, err := r.SubjectActive(ctx, f.Grant.Subject)
	if err != nil || !active {
		return nil, err
	}
	return f, nil
}

func findOpaque(ctx context.Context, r *realm.Realm, text string) (row model.AccessToken, g model.Grant, err error) {
	id, secret, err := handle.Parse(handle.AccessToken, text)
	if err != nil {
		return row, g, store.ErrNotFound
	}
	row, g, err = r.Store.AccessToken(ctx, r.Service.ID, id)
	if err == nil && (row.JWT || !secret.Matches(row.Hash)) {
		err = store.ErrNotFound
	}
	return row, g, err
}

// findJWT verifies a JWT access token (RFC 9068 §4) and then looks its row up:
// a signature says what was issued, the row that it was not revoked since.
func findJWT(ctx context.Context, r *realm.Realm, text string) (row model.AccessToken, g model.Grant, err error) {
	body, err := jose.Verify(r.Keys, text, jose.TypeAccessToken, r.Now())
	if err != nil {
		return row, g, store.ErrNotFound
	}
	var claims struct {
		Issuer    string `json:"iss"`
		Audience  any    `json:"aud"`
		ExpiresAt int64  `json:"exp"`
		IssuedAt  int64  `json:"iat"`
		ID        string `json:"jti"`
	}
	if json.Unmarshal(body, &claims) != nil || claims.Issuer != r.Service.Issuer ||
		claims.Audience == nil || claims.IssuedAt == 0 || claims.ExpiresAt <= r.Now().Unix() {
		return row, g, store.ErrNotFound
	}
	id, ok := mint.ParseJTI(claims.ID)
	if !ok {
		return row, g, store.ErrNotFound
	}
	row, g, err = r.Store.AccessToken(ctx, r.Service.ID, id)
	if err == nil && (!row.JWT || row.ExpiresAt != claims.ExpiresAt) {
		err = store.ErrNotFound
	}
	return row, g, err
}
