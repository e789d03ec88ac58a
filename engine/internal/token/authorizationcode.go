package token

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"

	"github.com/gatehouse-auth/gatehouse/engine/handle"
	"github.com/gatehouse-auth/gatehouse/engine/internal/authorize"
	"github.com/gatehouse-auth/gatehouse/engine/internal/mint"
	"github.com/gatehouse-auth/gatehouse/engine/internal/oautherr"
	"github.com/gatehouse-auth/gatehouse/engine/internal/params"
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

var errCode = oautherr.New(oautherr.InvalidGrant, "the authorization code is unknown, has expired, was used before or belongs to another client")

// authorizationCode is RFC 6749 §4.1.3 with PKCE (RFC 7636 §4.5, §4.6). What
// is read before the write never changes in the row; that the code is used
// once is decided by the write that stores the tokens.
func (p *Processor) authorizationCode(ctx context.Context, client *model.Client, v params.Values, resp *Response) error {
	if v.Get("code") == "" {
		return oautherr.New(oautherr.InvalidRequest, "code is missing")
	}
	h, code, err := p.lookupCode(ctx, v.Get("code"))
	if err != nil {
		return err
	}
	if h.Redeemed {
		return p.codeReused(ctx, client, h)
	}
	g, err := p.Store.Grant(ctx, p.Service.ID, h.Grant)
	if errors.Is(err, store.ErrNotFound) || err == nil && g.Client != client.ID {
		return errCode
	}
	if err != nil {
		return err
	}
	if refusal := checkCode(code, v, resp.Confirmation); refusal != nil {
		return refusal
	}
	of := mint.Whole(&g, client)
	of.Confirmation = resp.Confirmation
	if of.Resources, err = resources(v, g.Claims.Resources); err != nil {
		return err
	}
	if err := p.requireSubject(ctx, g.Subject); err != nil {
		return err
	}
	pair, err := p.redeem(ctx, h, of)
	if errors.Is(err, store.ErrSpent) {
		// Another request was faster, or the code has expired.
		h, err = p.Store.Handle(ctx, p.Service.ID, model.HandleCode, h.ID)
		switch {
		case err == nil && h.Redeemed:
			return p.codeReused(ctx, client, h)
		case err == nil, errors.Is(err, store.ErrNotFound):
			return errCode
		}
		return err // not a refusal: what the first use gave is not revoked yet
	}
	if errors.Is(err, store.ErrNotFound) {
		return errCode // the grant was revoked meanwhile
	}
	if err != nil {
		return err
	}
	resp.issued(pair, pair.RefreshText)
	resp.IDToken, err = mint.IDToken(ctx, p.Realm, &g, client, mint.Beside{
		Nonce: code.Nonce, AccessToken: pair.Access.Text, AuthTime: code.AuthTimeWanted,
	})
	return err
}

func (p *Processor) lookupCode(ctx context.Context, text string) (model.Handle, *authorize.Code, error) {
	id, secret, err := handle.Parse(handle.Code, text)
	if err != nil {
		return model.Handle{}, nil, errCode
	}
	h, err := p.Store.Handle(ctx, p.Service.ID, model.HandleCode, id)
	if errors.Is(err, store.ErrNotFound) || err == nil && !secret.Matches(h.Hash) {
		return model.Handle{}, nil, errCode
	}
	if err != nil {
		return model.Handle{}, nil, err
	}
	var c authorize.Code
	if err := json.Unmarshal(h.Payload, &c); err != nil {
		return model.Handle{}, nil, err
	}
	return h, &c, nil
}

// checkCode compares the request with what the code is bound to.
func checkCode(c *authorize.Code, v params.Values, sender model.Confirmation) error {
	if !sender.Covers(model.Confirmation{JKT: c.JKT}) { // RFC 9449 §10
		return oautherr.New(oautherr.InvalidGrant, "the authorization code is bound to another DPoP key (dpop_jkt)")
	}
	if uri := v.Get("redirect_uri"); uri != c.RedirectURI && !(uri == "" && c.RedirectOmitted) {
		return oautherr.New(oautherr.InvalidGrant, "redirect_uri differs from the one in the authorization request")
	}
	verifier := v.Get("code_verifier")
	switch {
	case c.Challenge == "" && v.Has("code_verifier"):
		// A verifier without a challenge is a downgrade (RFC 9700 §4.8.2).
		return oautherr.New(oautherr.InvalidGrant, "code_verifier is there although the authorization request had no code_challenge")
	case c.Challenge == "":
		return nil
	case verifier == "":
		return oautherr.New(oautherr.InvalidGrant, "code_verifier is missing")
	}
	own := verifier
	if !c.Plain {
		sum := sha256.Sum256([]byte(verifier))
		own = base64.RawURLEncoding.EncodeToString(sum[:])
	}
	if len(verifier) < 43 || len(verifier) > 128 || subtle.ConstantTimeCompare([]byte(own), []byte(c.Challenge)) != 1 {
		return oautherr.New(oautherr.InvalidGrant, "code_verifier does not match the code_challenge")
	}
	return nil
}

// redeem spends the code and stores what it yields, in one write.
func (p *Processor) redeem(ctx context.Context, h model.Handle, of mint.Of) (*mint.Pair, error) {
	var t *mint.Pair
	err := p.Write(ctx, func() ([]store.Step, error) {
		id, now := p.IDs.Next(), p.Now().Unix()
		secrets, err := mint.NewSecrets(p.Realm)
		if err != nil {
			return nil, err
		}
		if t, err = mint.NewPair(ctx, p.Realm, id, of, p.refreshUntil(of), &secrets); err != nil {
			return nil, err
		}
		steps := []store.Step{
			store.RedeemHandle{
				Service: p.Service.ID, Kind: model.HandleCode, ID: h.ID, Now: now,
				Keep: t.ExpiresAt(), // a second use must find it as long as there is something to revoke
			},
			store.ExtendGrant{Service: p.Service.ID, ID: of.Grant.ID, Until: t.ExpiresAt(), Access: id},
		}
		steps = append(steps, t.Inserts()...)
		return append(steps, mint.Only(p.Realm, of, id)...), nil
	})
	return t, err
}

// refreshUntil is when the refresh token of a new pair ends, 0 when there is none.
func (p *Processor) refreshUntil(of mint.Of) int64 {
	if !p.refreshable(of.Client, of.Grant) {
		return 0
	}
	return p.Now().Unix() + p.RefreshTokenDuration(of.Client, of.Grant.Scopes)
}

// refreshable reports whether the grant comes with a refresh token: the client
// is registered for it, and when the request is an OpenID Connect one, asked
// for offline_access (OpenID Connect Core §11).
func (p *Processor) refreshable(client *model.Client, g *model.Grant) bool {
	return p.Service.Supports(model.GrantRefreshToken) && client.Allows(model.GrantRefreshToken) &&
		(slices.Contains(g.Scopes, "offline_access") || !slices.Contains(g.Scopes, "openid"))
}

// codeReused revokes what the first use gave (RFC 6749 §4.1.2, RFC 9700 §4.5).
func (p *Processor) codeReused(ctx context.Context, client *model.Client, h model.Handle) error {
	if err := p.Store.Write(ctx, store.RevokeGrant{Service: p.Service.ID, ID: h.Grant}); err != nil {
		return err
	}
	p.Report(model.Event{
		Kind: model.EventReuseDetected, Operation: "token", GrantType: model.GrantAuthorizationCode,
		Client: client.Alias, Grant: h.Grant,
	})
	return errCode.Because(errors.New("the code was used before; what it gave is revoked"))
}

// requireSubject refuses when the user is gone or disabled.
func (p *Processor) requireSubject(ctx context.Context, subject string) error {
	active, err := p.SubjectActive(ctx, subject)
	if err != nil {
		return err
	}
	if !active {
		return oautherr.New(oautherr.InvalidGrant, "the user's account is not active")
	}
	return nil
}
