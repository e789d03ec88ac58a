package token

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"slices"

	"github.com/gatehouse-auth/gatehouse/engine/handle"
	"github.com/gatehouse-auth/gatehouse/engine/internal/mint"
	"github.com/gatehouse-auth/gatehouse/engine/internal/oautherr"
	"github.com/gatehouse-auth/gatehouse/engine/internal/params"
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

var errRefresh = oautherr.New(oautherr.InvalidGrant, "the refresh token is unknown, has expired, was revoked or belongs to another client")

var errOtherSender = oautherr.New(oautherr.InvalidGrant, "the refresh token, or what was issued for it, is bound to another key or certificate")

// refreshToken is RFC 6749 §6. Unless the service says otherwise, a public
// client's refresh token is replaced at each use when it is bound to nothing
// (RFC 9700 §4.14.2), and other refresh tokens are kept.
func (p *Processor) refreshToken(ctx context.Context, client *model.Client, v params.Values, resp *Response) error {
	if v.Get("refresh_token") == "" {
		return oautherr.New(oautherr.InvalidRequest, "refresh_token is missing")
	}
	u, err := p.lookupRefresh(ctx, client, v.Get("refresh_token"))
	if err != nil {
		return err
	}
	if !resp.Confirmation.Covers(u.row.Confirmation) {
		return errOtherSender
	}
	scopes, refusal := narrower(v.List("scope"), u.grant.Scopes)
	if refusal != nil {
		return refusal
	}
	of := mint.Of{Grant: &u.grant, Client: client, Scopes: scopes, Confirmation: resp.Confirmation}
	if of.Resources, err = resources(v, u.grant.Claims.Resources); err != nil {
		return err
	}
	if err := p.requireSubject(ctx, u.grant.Subject); err != nil {
		return err
	}
	var t *mint.Pair
	switch {
	case u.row.Successor != 0:
		t, err = p.repeat(ctx, of, u)
	case p.keepsRefreshToken(client, u):
		t, err = p.renew(ctx, u, of)
	default:
		t, err = p.rotate(ctx, u, of)
	}
	if errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrSpent) {
		return errRefresh.Because(err) // revoked or expired meanwhile
	}
	if err != nil {
		return err
	}
	resp.issued(t, t.RefreshText)
	resp.IDToken, err = mint.IDToken(ctx, p.Realm, &u.grant, client, mint.Beside{
		AccessToken: t.Access.Text, AuthTime: slices.Contains(u.grant.Claims.IDToken, "auth_time"),
	})
	return err
}

func (p *Processor) keepsRefreshToken(c *model.Client, u *used) bool {
	if kept := p.Service.RefreshTokenKept; kept != nil {
		return *kept
	}
	return !c.Public() || !u.row.Confirmation.IsZero()
}

// used is a refresh token that was presented.
type used struct {
	row    model.RefreshToken
	grant  model.Grant
	secret handle.Secret
	text   string
}

func (p *Processor) lookupRefresh(ctx context.Context, client *model.Client, text string) (*used, error) {
	id, secret, err := handle.Parse(handle.RefreshToken, text)
	if err != nil {
		return nil, errRefresh
	}
	row, g, err := p.Store.RefreshToken(ctx, p.Service.ID, id)
	if errors.Is(err, store.ErrNotFound) {
		return nil, errRefresh
	}
	if err != nil {
		return nil, err
	}
	if !secret.Matches(row.Hash) || g.Client != client.ID || row.ExpiresAt <= p.Now().Unix() {
		return nil, errRefresh
	}
	return &used{row, g, secret, text}, nil
}

// narrower returns the scopes asked for, which may not exceed those granted.
func narrower(requested, granted []string) ([]string, *oautherr.Error) {
	if len(requested) == 0 {
		return granted, nil
	}
	for _, scope := range requested {
		if !slices.Contains(granted, scope) {
			return nil, oautherr.New(oautherr.InvalidScope, "scope exceeds what was granted")
		}
	}
	return requested, nil
}

// renew issues another access token with a refresh token that stays. The
// access token issued with it before ends.
func (p *Processor) renew(ctx context.Context, u *used, of mint.Of) (*mint.Pair, error) {
	var t *mint.Pair
	err := p.Write(ctx, func() ([]store.Step, error) {
		secret, err := handle.NewSecret(p.Random)
		if err != nil {
			return nil, err
		}
		id, now, until := p.IDs.Next(), p.Now().Unix(), int64(0)
		a, err := mint.NewAccess(ctx, p.Realm, id, of, &secret)
		if err != nil {
			return nil, err
		}
		t = &mint.Pair{Access: a, RefreshText: u.text, Of: of}
		if p.Service.RefreshTokenDurationReset {
			until = now + p.RefreshTokenDuration(of.Client, u.grant.Scopes)
		}
		return []store.Step{
			store.RenewAccessToken{Service: p.Service.ID, ID: u.row.ID, Access: id, Was: u.row.Access, Now: now, Until: until},
			store.ExtendGrant{Service: p.Service.ID, ID: u.grant.ID, Until: max(until, t.ExpiresAt()), Access: id},
			store.InsertAccessToken{Token: a.Row},
		}, nil
	})
	return t, err
}

// rotate replaces a refresh token by its successor. Of many requests at once,
// one stores the successor and the others are answered with the same pair.
func (p *Processor) rotate(ctx context.Context, u *used, of mint.Of) (*mint.Pair, error) {
	var t *mint.Pair
	err := p.Write(ctx, func() ([]store.Step, error) {
		id, now := p.IDs.Next(), p.Now().Unix()
		until := u.row.ExpiresAt
		if !p.Service.RefreshTokenDurationKept {
			until = now + p.RefreshTokenDuration(of.Client, u.grant.Scopes)
		}
		var err error
		if t, err = mint.NewPair(ctx, p.Realm, id, of, until, p.succession(u, id)); err != nil {
			return nil, err
		}
		steps := []store.Step{
			store.RotateRefreshToken{Service: p.Service.ID, ID: u.row.ID, Successor: id, Was: u.row.Access, Now: now},
			store.ExtendGrant{Service: p.Service.ID, ID: u.grant.ID, Until: t.ExpiresAt(), Access: id},
		}
		return append(steps, t.Inserts()...), nil
	})
	if !errors.Is(err, store.ErrSpent) {
		return t, err
	}
	u.row, u.grant, err = p.Store.RefreshToken(ctx, p.Service.ID, u.row.ID)
	if err != nil {
		return nil, err
	}
	if u.row.Successor == 0 {
		return nil, store.ErrSpent // expired between the look and the write
	}
	return p.repeat(ctx, of, u)
}

// repeat answers a refresh token that has a successor. As long as the
// successor has not been used, the pair derived from the token presented is
// given again, so that a lost answer costs nothing, but only to the sender that
// it is bound to; after that it is reuse, and the whole family ends.
func (p *Processor) repeat(ctx context.Context, of mint.Of, u *used) (*mint.Pair, error) {
	successor, _, err := p.Store.RefreshToken(ctx, p.Service.ID, u.row.Successor)
	if err != nil {
		return nil, err
	}
	if successor.Successor != 0 {
		return nil, p.refreshReused(ctx, of.Client, u)
	}
	s := p.succession(u, successor.ID)
	t := &mint.Pair{
		Refresh: &successor, RefreshText: handle.Format(handle.RefreshToken, successor.ID, &s.Refresh),
		Of: mint.Whole(&u.grant, of.Client),
	}
	t.Access.Row, _, err = p.Store.AccessToken(ctx, p.Service.ID, successor.Access)
	switch {
	case errors.Is(err, store.ErrNotFound):
		// The access token has ended, by time or revocation: it is given as it
		// was, good for nothing, and the refresh token beside it still works.
		t.Access.Row = model.AccessToken{Service: p.Service.ID, ID: successor.Access, Grant: u.grant.ID, Confirmation: of.Confirmation}
	case err != nil:
		return nil, err
	case t.Access.Row.Confirmation != of.Confirmation:
		return nil, errOtherSender
	}
	if t.Access.Row.Scopes != nil {
		t.Of.Scopes = t.Access.Row.Scopes
	}
	t.Of.Resources = t.Access.Row.Resources
	return t, t.Access.Write(ctx, p.Realm, t.Of, &s.Access)
}

// succession derives the secrets of a token's successor pair, so that they
// need not be kept anywhere to be given again.
func (p *Processor) succession(u *used, id model.ID) *mint.Secrets {
	derive := func(purpose string) (s handle.Secret) {
		mac := hmac.New(sha256.New, p.Derivation[:])
		mac.Write([]byte(purpose))
		mac.Write([]byte(mint.JTI(id)))
		mac.Write([]byte{0})
		mac.Write(u.secret[:])
		mac.Sum(s[:0])
		return s
	}
	return &mint.Secrets{Access: derive("access\x00"), Refresh: derive("refresh\x00")}
}

func (p *Processor) refreshReused(ctx context.Context, client *model.Client, u *used) error {
	if err := p.Store.Write(ctx, store.RevokeGrant{Service: p.Service.ID, ID: u.grant.ID}); err != nil {
		return err
	}
	p.Report(model.Event{
		Kind: model.EventReuseDetected, Operation: "token", GrantType: model.GrantRefreshToken,
		Client: client.Alias, Subject: u.grant.Subject, Grant: u.grant.ID,
	})
	return errRefresh.Because(errors.New("the refresh token was replaced and its successor used; the grant is revoked"))
}
