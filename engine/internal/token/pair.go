package token

import (
	"github.com/gatehouse-auth/gatehouse/engine/handle"
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// pair is an access token and perhaps the refresh token issued with it. Both
// have the same id, each in its own table, so that one number names the pair.
type pair struct {
	access  access
	refresh *model.RefreshToken
	// refreshText is what the client gets of the refresh token.
	refreshText string
	scopes      []string
}

type pairSecrets struct{ access, refresh handle.Secret }

// newPair makes a pair under a grant.
func (p *Processor) newPair(id model.ID, g *model.Grant, client *model.Client, scopes []string, refreshable bool, s *pairSecrets) (*pair, error) {
	a, err := p.newAccess(id, g, client, scopes, &s.access)
	if err != nil {
		return nil, err
	}
	t := &pair{access: a, scopes: scopes}
	if refreshable {
		t.refresh = &model.RefreshToken{
			Service: p.Service.ID, ID: id, Grant: g.ID, Hash: s.refresh.Hash(), Access: id,
			ExpiresAt: p.Now().Unix() + p.Service.RefreshTokenDuration,
		}
		t.refreshText = handle.Format(handle.RefreshToken, id, &s.refresh)
	}
	return t, nil
}

// expiresAt is when the last of the pair ends.
func (t *pair) expiresAt() int64 {
	if t.refresh == nil {
		return t.access.row.ExpiresAt
	}
	return max(t.access.row.ExpiresAt, t.refresh.ExpiresAt)
}

func (t *pair) inserts() []store.Step {
	steps := []store.Step{store.InsertAccessToken{Token: t.access.row}}
	if t.refresh != nil {
		steps = append(steps, store.InsertRefreshToken{Token: *t.refresh})
	}
	return steps
}

func (t *pair) describe(resp *Response, g *model.Grant) {
	resp.Subject, resp.Scopes = g.Subject, t.scopes
	resp.AccessToken, resp.AccessTokenExpiresAt = t.access.text, t.access.row.ExpiresAt
	resp.RefreshToken = t.refreshText
}
