package token

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/gatehouse-auth/gatehouse/engine/handle"
	"github.com/gatehouse-auth/gatehouse/engine/internal/authorize"
	"github.com/gatehouse-auth/gatehouse/engine/internal/mint"
	"github.com/gatehouse-auth/gatehouse/engine/internal/oautherr"
	"github.com/gatehouse-auth/gatehouse/engine/internal/params"
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// userScopes mean nothing when there is no user.
var userScopes = []string{"openid", "profile", "email", "address", "phone", "offline_access"}

// clientCredentials is RFC 6749 §4.4.
func (p *Processor) clientCredentials(ctx context.Context, client *model.Client, v params.Values, properties []model.Property, resp *Response) error {
	if client.Public() {
		return oautherr.New(oautherr.UnauthorizedClient, "public clients may not use grant_type=client_credentials")
	}
	requested := v.List("scope")
	scopes, refusal := p.Scopes(client, requested)
	if refusal != nil {
		return refusal
	}
	scopes = slices.DeleteFunc(scopes, func(s string) bool { return slices.Contains(userScopes, s) })
	if len(requested) > 0 && len(scopes) == 0 {
		return oautherr.New(oautherr.InvalidScope, "none of the scopes is one that the client may request for itself")
	}
	targets, refusal := authorize.Resources(v)
	if refusal != nil {
		return refusal
	}
	of := mint.Of{Client: client, Scopes: scopes, Confirmation: resp.Confirmation}
	a, err := p.issueOwn(ctx, of, model.GrantClaims{Resources: targets, Properties: properties})
	if err != nil {
		return err
	}
	resp.Scopes, resp.Properties = scopes, properties
	resp.AccessToken, resp.AccessTokenExpiresAt = a.Text, a.Row.ExpiresAt
	return nil
}

// ownGrants remembers the grants that clients hold for themselves, so that
// issuing such a token is one small insert. It is a cache: the write checks
// that the grant is still there.
type ownGrants struct {
	grants sync.Map // ownKey → *model.Grant
	count  atomic.Int64
}

type ownKey struct {
	client            model.ID
	scopes, resources string
}

// maxOwnGrants bounds the memory; beyond it, the cache starts again.
const maxOwnGrants = 10_000

// load returns a remembered grant that lives at least until then.
func (o *ownGrants) load(key ownKey, until int64) *model.Grant {
	if g, ok := o.grants.Load(key); ok && g.(*model.Grant).ExpiresAt >= until {
		return g.(*model.Grant)
	}
	return nil
}

func (o *ownGrants) store(key ownKey, g *model.Grant) {
	if o.count.Add(1) > maxOwnGrants {
		o.grants.Clear()
		o.count.Store(1)
	}
	o.grants.Store(key, g)
}

// ownGrantSlack is how much longer than its first token such a grant lives,
// in seconds, so that not every token needs a new one.
const ownGrantSlack = 60 * 60

// issueOwn issues an access token to the client itself, with a grant that it
// finds or makes. One with properties of its own has a grant of its own.
func (p *Processor) issueOwn(ctx context.Context, of mint.Of, claims model.GrantClaims) (a mint.Access, err error) {
	key := ownKey{of.Client.ID, strings.Join(of.Scopes, " "), strings.Join(claims.Resources, " ")}
	lasts := p.AccessTokenDuration(of.Client, of.Scopes)
	until := p.Now().Unix() + lasts
	shared := len(claims.Properties) == 0
	if of.Grant = p.own.load(key, until); of.Grant != nil && shared {
		a, err = p.insertOwn(ctx, of, false)
		if !errors.Is(err, store.ErrNotFound) {
			return a, err
		}
		// The grant was revoked since: a new one is due.
	}
	of.Grant = &model.Grant{
		Service: p.Service.ID, Client: of.Client.ID, Scopes: of.Scopes, Claims: claims,
		ExpiresAt: until + max(lasts, ownGrantSlack),
	}
	if a, err = p.insertOwn(ctx, of, true); err == nil && shared {
		p.own.store(key, of.Grant)
	}
	return a, err
}

// insertOwn stores an access token, and before it its grant when that is new.
func (p *Processor) insertOwn(ctx context.Context, of mint.Of, isNew bool) (a mint.Access, err error) {
	err = p.Write(ctx, func() ([]store.Step, error) {
		secret, err := handle.NewSecret(p.Random)
		if err != nil {
			return nil, err
		}
		var steps []store.Step
		if isNew {
			of.Grant.ID = p.IDs.Next()
			steps = append(steps, store.InsertGrant{Grant: *of.Grant})
		}
		if a, err = mint.NewAccess(ctx, p.Realm, p.IDs.Next(), of, &secret); err != nil {
			return nil, err
		}
		return append(steps, store.InsertAccessToken{Token: a.Row}), nil
	})
	return a, err
}
