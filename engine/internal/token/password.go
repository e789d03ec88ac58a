package token

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/gatehouse-auth/gatehouse/engine/handle"
	"github.com/gatehouse-auth/gatehouse/engine/internal/authorize"
	"github.com/gatehouse-auth/gatehouse/engine/internal/mint"
	"github.com/gatehouse-auth/gatehouse/engine/internal/oautherr"
	"github.com/gatehouse-auth/gatehouse/engine/internal/params"
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// passwordDuration is how long a token request waits for its user to be
// authenticated, in seconds.
const passwordDuration = 60

const maxCredential = 1024 // bytes

// asked is a token request that waits for its user to be authenticated.
type asked struct {
	Client    model.ID `json:"c"`
	Scopes    []string `json:"s,omitempty"`
	Resources []string `json:"r,omitempty"`
	// Confirmation is what the tokens are to be bound to.
	Confirmation model.Confirmation `json:"cnf,omitzero"`
}

// password is RFC 6749 §4.3. The engine knows no passwords: the front finds out
// whose these are, and comes back with the ticket.
func (p *Processor) password(ctx context.Context, client *model.Client, v params.Values, resp *Response) error {
	resp.Username, resp.Password = v.Get("username"), v.Get("password")
	switch {
	case resp.Username == "" || resp.Password == "":
		return oautherr.New(oautherr.InvalidRequest, "username or password is missing")
	case len(resp.Username) > maxCredential || len(resp.Password) > maxCredential:
		return oautherr.New(oautherr.InvalidRequest, "username or password is too long")
	}
	scopes, refusal := p.Scopes(client, v.List("scope"))
	if refusal != nil {
		return refusal
	}
	a := asked{Client: client.ID, Scopes: scopes, Confirmation: resp.Confirmation}
	if a.Resources, refusal = authorize.Resources(v); refusal != nil {
		return refusal
	}
	payload, err := json.Marshal(a)
	if err != nil {
		return err
	}
	resp.Action = model.ActionPassword
	return p.Write(ctx, func() ([]store.Step, error) {
		secret, err := handle.NewSecret(p.Random)
		if err != nil {
			return nil, err
		}
		id := p.IDs.Next()
		resp.Ticket = handle.Format(handle.Ticket, id, &secret)
		return []store.Step{store.InsertHandle{Handle: model.Handle{
			Service: p.Service.ID, ID: id, Kind: model.HandleTokenTicket, Hash: secret.Hash(),
			ExpiresAt: p.Now().Unix() + passwordDuration, Payload: payload,
		}}}, nil
	})
}

var (
	errTicket      = errors.New("the ticket is unknown, has expired or was used before")
	errCredentials = oautherr.New(oautherr.InvalidGrant, "the name or the password is wrong")
)

// Issue answers a token request whose action was PASSWORD. An unknown ticket is
// an error: it never leaves this server.
func (p *Processor) Issue(ctx context.Context, req IssueRequest) (*Response, error) {
	id, a, client, err := p.asked(ctx, req.Ticket)
	if err != nil {
		return nil, err
	}
	if req.Subject == "" {
		return nil, errors.New("issue: the subject is missing")
	}
	resp := &Response{Client: client, GrantType: model.GrantPassword, Confirmation: a.Confirmation}
	active, err := p.SubjectActive(ctx, req.Subject)
	switch {
	case err != nil:
		return nil, err
	case !active:
		return p.Fail(ctx, FailRequest{Ticket: req.Ticket, Reason: ReasonInvalidResourceOwnerCredentials})
	}
	g := &model.Grant{
		Service: p.Service.ID, Client: client.ID, Subject: req.Subject, Scopes: a.Scopes, AuthTime: req.AuthTime,
		Claims: model.GrantClaims{
			UserInfo: authorize.ScopeClaims(p.Realm, a.Scopes), AMR: []string{"pwd"}, Resources: a.Resources, Properties: req.Properties,
		},
	}
	of := mint.Whole(g, client)
	of.Confirmation = a.Confirmation
	t, err := p.spend(ctx, id, g, of)
	if err != nil {
		return nil, err
	}
	resp.issued(t, t.RefreshText)
	if resp.IDToken, err = mint.IDToken(ctx, p.Realm, g, client, mint.Beside{AccessToken: t.Access.Text}); err != nil {
		return nil, err
	}
	return resp, p.succeed(resp)
}

// spend uses the ticket up and stores what it yields, in one write.
func (p *Processor) spend(ctx context.Context, ticket model.ID, g *model.Grant, of mint.Of) (t *mint.Pair, err error) {
	err = p.Write(ctx, func() ([]store.Step, error) {
		secrets, err := mint.NewSecrets(p.Realm)
		if err != nil {
			return nil, err
		}
		g.ID = p.IDs.Next()
		id := p.IDs.Next()
		if t, err = mint.NewPair(ctx, p.Realm, id, of, p.refreshUntil(of), &secrets); err != nil {
			return nil, err
		}
		g.ExpiresAt = t.ExpiresAt()
		steps := []store.Step{
			store.RedeemHandle{Service: p.Service.ID, Kind: model.HandleTokenTicket, ID: ticket, Now: p.Now().Unix()},
			store.InsertGrant{Grant: *g},
		}
		steps = append(steps, t.Inserts()...)
		return append(steps, mint.Only(p.Realm, of, id)...), nil
	})
	if errors.Is(err, store.ErrSpent) {
		err = errTicket
	}
	return t, err
}

// Fail answers a token request whose action was PASSWORD with an error.
func (p *Processor) Fail(ctx context.Context, req FailRequest) (*Response, error) {
	id, _, client, err := p.asked(ctx, req.Ticket)
	if err != nil {
		return nil, err
	}
	err = p.Store.Write(ctx, store.RedeemHandle{Service: p.Service.ID, Kind: model.HandleTokenTicket, ID: id, Now: p.Now().Unix()})
	if errors.Is(err, store.ErrSpent) {
		return nil, errTicket
	}
	if err != nil {
		return nil, err
	}
	refusal := errCredentials
	if req.Reason != ReasonInvalidResourceOwnerCredentials {
		refusal = oautherr.New(oautherr.InvalidRequest, "the user could not be authenticated")
	}
	resp := &Response{Client: client, GrantType: model.GrantPassword}
	resp.Action, resp.ResponseContent = p.Refuse("token", model.GrantPassword, client, refusal)
	return resp, nil
}

// asked reads the request behind a ticket.
func (p *Processor) asked(ctx context.Context, ticket string) (model.ID, *asked, *model.Client, error) {
	id, secret, err := handle.Parse(handle.Ticket, ticket)
	if err != nil {
		return 0, nil, nil, errTicket
	}
	h, err := p.Store.Handle(ctx, p.Service.ID, model.HandleTokenTicket, id)
	if errors.Is(err, store.ErrNotFound) || err == nil && !secret.Matches(h.Hash) {
		return 0, nil, nil, errTicket
	}
	if err != nil {
		return 0, nil, nil, err
	}
	a := new(asked)
	if err := json.Unmarshal(h.Payload, a); err != nil {
		return 0, nil, nil, err
	}
	client, err := p.Client(ctx, a.Client)
	if errors.Is(err, store.ErrNotFound) || err == nil && !(p.Service.Supports(model.GrantPassword) && client.Allows(model.GrantPassword)) {
		err = errTicket // the client or the service has changed meanwhile
	}
	return id, a, client, err
}
