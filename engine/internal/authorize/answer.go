package authorize

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/gatehouse-auth/gatehouse/engine/handle"
	"github.com/gatehouse-auth/gatehouse/engine/internal/mint"
	"github.com/gatehouse-auth/gatehouse/engine/internal/oautherr"
	"github.com/gatehouse-auth/gatehouse/engine/internal/realm"
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

var errTicket = oautherr.New(oautherr.InvalidRequest, "this authorization request is unknown, has expired or was answered before")

// Issue redeems a ticket for what the request asked for. The error is the
// store's.
func Issue(ctx context.Context, r *realm.Realm, req IssueRequest) (*IssueResponse, error) {
	id, p, client, err := lookup(ctx, r, req.Ticket)
	if p == nil || err != nil {
		return &IssueResponse{Action: model.ActionBadRequest, ResponseContent: errTicket.JSON()}, err
	}
	reason, err := p.objection(ctx, r, client, req)
	if err != nil {
		return nil, err
	}
	if reason != "" {
		fail, err := Fail(ctx, r, FailRequest{Ticket: req.Ticket, Reason: reason})
		if err != nil {
			return nil, err
		}
		return &IssueResponse{Action: fail.Action, ResponseContent: fail.ResponseContent}, nil
	}
	if req.Scopes != nil {
		p.Scopes = slices.DeleteFunc(p.Scopes, func(s string) bool { return !slices.Contains(req.Scopes, s) })
		p.IDTokenClaims.keepGranted(p.Scopes)
		p.UserInfoClaims.keepGranted(p.Scopes)
	}
	resp, err := p.issue(ctx, r, client, id, req)
	if errors.Is(err, store.ErrSpent) || errors.Is(err, store.ErrNotFound) {
		// Answered before, or the sign-in has ended meanwhile.
		return &IssueResponse{Action: model.ActionBadRequest, ResponseContent: errTicket.JSON()}, nil
	}
	return resp, err
}

// objection holds who signed in, and how, against what was asked for.
func (p *pending) objection(ctx context.Context, r *realm.Realm, c *model.Client, req IssueRequest) (Reason, error) {
	if req.Subject == "" {
		return "", errors.New("issue: the subject is missing")
	}
	active, err := r.SubjectActive(ctx, req.Subject)
	switch {
	case err != nil:
		return "", err
	case !active:
		return ReasonNotAuthenticated, nil
	case p.Subject != "" && p.Subject != r.ClientSubject(c, req.Subject):
		return ReasonDifferentSubject, nil
	case p.Type.IDToken() && req.Scopes != nil && !slices.Contains(req.Scopes, "openid"):
		return ReasonDenied, nil // there is no ID token to answer with
	case p.ACREssential && !slices.Contains(p.ACRs, req.ACR):
		return ReasonACRNotSatisfied, nil
	}
	return "", nil
}

// issued is what an answer has in the making.
type issued struct {
	code, idToken string
	access        mint.Access
	steps         []store.Step
}

// issue spends the ticket and stores the grant with what is issued under it,
// in one write, and carries it to the client.
func (p *pending) issue(ctx context.Context, r *realm.Realm, c *model.Client, ticket model.ID, req IssueRequest) (*IssueResponse, error) {
	var out *issued
	grant := p.grant(r, req)
	err := r.Write(ctx, func() (_ []store.Step, err error) {
		out, err = p.build(ctx, r, c, &grant)
		if err != nil {
			return nil, err
		}
		steps := []store.Step{store.RedeemHandle{Service: r.Service.ID, Kind: model.HandleTicket, ID: ticket, Now: r.Now().Unix()}}
		if req.Session != 0 && p.openID() { // whether it is told of the end or not: what ends must not be issued after it
			steps = append(steps, store.JoinSession{Service: r.Service.ID, Session: req.Session, Client: c.ID})
		}
		return append(steps, out.steps...), nil
	})
	if err != nil {
		return nil, err
	}
	resp := &IssueResponse{AuthorizationCode: out.code, AccessToken: out.access.Text, IDToken: out.idToken}
	values, err := p.values(r, c, out, req)
	if err != nil {
		return nil, err
	}
	resp.Action, resp.ResponseContent, err = p.answer(r, values)
	if p.Type.Token() || p.Type.IDToken() {
		r.Report(model.Event{Kind: model.EventIssued, Operation: "authorization", GrantType: model.GrantImplicit, Client: c.Alias, Subject: req.Subject})
	}
	return resp, err
}

func (p *pending) grant(r *realm.Realm, req IssueRequest) model.Grant {
	g := model.Grant{
		Service: r.Service.ID, Client: p.Client, Subject: req.Subject, Scopes: p.Scopes,
		Session: req.Session, AuthTime: req.AuthTime,
		Claims: model.GrantClaims{Resources: p.Resources, Properties: req.Properties},
	}
	if p.openID() {
		names := p.IDTokenClaims.names()
		g.Claims.UserInfo, g.Claims.Conditions = p.UserInfoClaims.names(), p.UserInfoClaims.conditions()
		g.Claims.IDToken, g.Claims.Locales = names, p.ClaimsLocales
		g.Claims.Values = mint.Select(r, mint.Wanted{Names: names, Conditions: p.IDTokenClaims.conditions(), Locales: p.ClaimsLocales}, req.Claims)
		g.Claims.ACR, g.Claims.AMR = req.ACR, req.AMR
		if p.AuthTimeWanted {
			g.Claims.IDToken = append(g.Claims.IDToken, "auth_time") // in refreshed ID tokens too
		}
	}
	return g
}

// build draws ids and makes what the response type names.
func (p *pending) build(ctx context.Context, r *realm.Realm, c *model.Client, g *model.Grant) (*issued, error) {
	out := new(issued)
	g.ID, g.ExpiresAt = r.IDs.Next(), r.Now().Unix()
	if p.Type.Code() {
		g.ExpiresAt += r.Service.AuthorizationCodeDuration
		if err := p.buildCode(r, g, out); err != nil {
			return nil, err
		}
	}
	if p.Type.Token() {
		if err := p.buildAccess(ctx, r, c, g, out); err != nil {
			return nil, err
		}
	}
	if len(out.steps) > 0 {
		out.steps = append([]store.Step{store.InsertGrant{Grant: *g}}, out.steps...)
	}
	if !p.Type.IDToken() {
		return out, nil
	}
	var err error
	out.idToken, err = mint.IDToken(ctx, r, g, c, mint.Beside{
		Nonce: p.Nonce, Code: out.code, AccessToken: out.access.Text, State: p.State, AuthTime: p.AuthTimeWanted,
	})
	return out, err
}

func (p *pending) buildCode(r *realm.Realm, g *model.Grant, out *issued) error {
	payload, err := json.Marshal(Code{
		RedirectURI: p.RedirectURI, RedirectOmitted: p.RedirectOmitted,
		Nonce: p.Nonce, Challenge: p.Challenge, Plain: p.ChallengePlain, AuthTimeWanted: p.AuthTimeWanted, JKT: p.JKT,
	})
	if err != nil {
		return err
	}
	secret, err := handle.NewSecret(r.Random)
	if err != nil {
		return err
	}
	id := r.IDs.Next()
	out.code = handle.Format(handle.Code, id, &secret)
	out.steps = append(out.steps, store.InsertHandle{Handle: model.Handle{
		Service: r.Service.ID, ID: id, Kind: model.HandleCode, Hash: secret.Hash(),
		ExpiresAt: g.ExpiresAt, Grant: g.ID, Payload: payload,
	}})
	return nil
}

func (p *pending) buildAccess(ctx context.Context, r *realm.Realm, c *model.Client, g *model.Grant, out *issued) error {
	secret, err := handle.NewSecret(r.Random)
	if err != nil {
		return err
	}
	of := mint.Whole(g, c)
	if out.access, err = mint.NewAccess(ctx, r, r.IDs.Next(), of, &secret); err != nil {
		return err
	}
	g.ExpiresAt = max(g.ExpiresAt, out.access.Row.ExpiresAt)
	out.steps = append(out.steps, store.InsertAccessToken{Token: out.access.Row})
	out.steps = append(out.steps, mint.Only(r, of, out.access.Row.ID)...)
	return nil
}

// values are the parameters of the answer (RFC 6749 §4.2.2, OpenID Connect
// Core §3.3.2.5, OpenID Connect Session Management §2).
func (p *pending) values(r *realm.Realm, c *model.Client, out *issued, req IssueRequest) (url.Values, error) {
	values := url.Values{}
	for name, value := range map[string]string{"code": out.code, "access_token": out.access.Text, "id_token": out.idToken} {
		if value != "" {
			values.Set(name, value)
		}
	}
	if out.access.Text != "" {
		values.Set("token_type", r.Service.AccessTokenType)
		values.Set("expires_in", strconv.FormatInt(out.access.Row.ExpiresAt-r.Now().Unix(), 10))
		values.Set("scope", strings.Join(p.Scopes, " "))
	}
	if req.BrowserState == "" || !p.openID() {
		return values, nil
	}
	state, err := sessionState(r, c.Alias, p.RedirectURI, req.BrowserState)
	values.Set("session_state", state)
	return values, err
}

// reasons maps a failure to the error that the client is sent.
var reasons = map[Reason]*oautherr.Error{
	ReasonUnknown:                  oautherr.New(oautherr.ServerError, "the authorization request failed"),
	ReasonNotLoggedIn:              oautherr.New(oautherr.LoginRequired, "the user is not signed in"),
	ReasonExceedsMaxAge:            oautherr.New(oautherr.LoginRequired, "the user signed in too long ago"),
	ReasonDifferentSubject:         oautherr.New(oautherr.LoginRequired, "another user is signed in"),
	ReasonACRNotSatisfied:          oautherr.New(oautherr.UnmetAuthentication, "no acr that is essential to the client was reached"),
	ReasonDenied:                   oautherr.New(oautherr.AccessDenied, "the user denied the request"),
	ReasonServerError:              oautherr.New(oautherr.ServerError, "the authorization server failed"),
	ReasonNotAuthenticated:         oautherr.New(oautherr.AccessDenied, "the user was not authenticated"),
	ReasonAccountSelectionRequired: oautherr.New(oautherr.AccountSelectionReq, "the user must choose an account"),
	ReasonConsentRequired:          oautherr.New(oautherr.ConsentRequired, "the user has not consented"),
	ReasonInteractionRequired:      oautherr.New(oautherr.InteractionRequired, "the user must interact"),
	ReasonInvalidTarget:            oautherr.New(oautherr.InvalidTarget, "access to that resource cannot be granted"),
}

// Fail redeems a ticket for an error. The error returned is the store's.
func Fail(ctx context.Context, r *realm.Realm, req FailRequest) (*FailResponse, error) {
	id, p, client, err := lookup(ctx, r, req.Ticket)
	if p == nil || err != nil {
		return &FailResponse{Action: model.ActionBadRequest, ResponseContent: errTicket.JSON()}, err
	}
	refusal, ok := reasons[req.Reason]
	if !ok {
		refusal = reasons[ReasonUnknown]
	}
	if req.Description != "" {
		refusal = oautherr.New(refusal.Code, req.Description)
	}
	err = r.Store.Write(ctx, store.RedeemHandle{Service: r.Service.ID, Kind: model.HandleTicket, ID: id, Now: r.Now().Unix()})
	if errors.Is(err, store.ErrSpent) {
		return &FailResponse{Action: model.ActionBadRequest, ResponseContent: errTicket.JSON()}, nil
	}
	if err != nil {
		return nil, err
	}
	r.Refuse("authorization", "", client, refusal)
	resp := new(FailResponse)
	resp.Action, resp.ResponseContent, err = p.fail(r, refusal)
	return resp, err
}

// lookup reads the request behind a ticket. It returns no request when there
// is none that could be answered; whether it still may be is decided by the
// write that redeems it.
func lookup(ctx context.Context, r *realm.Realm, ticket string) (model.ID, *pending, *model.Client, error) {
	id, secret, err := handle.Parse(handle.Ticket, ticket)
	if err != nil {
		return 0, nil, nil, nil
	}
	h, err := r.Store.Handle(ctx, r.Service.ID, model.HandleTicket, id)
	if errors.Is(err, store.ErrNotFound) || err == nil && !secret.Matches(h.Hash) {
		return 0, nil, nil, nil
	}
	if err != nil {
		return 0, nil, nil, err
	}
	p := new(pending)
	if err := json.Unmarshal(h.Payload, p); err != nil {
		return 0, nil, nil, err
	}
	c, err := r.Client(ctx, p.Client)
	if errors.Is(err, store.ErrNotFound) {
		return 0, nil, nil, nil
	}
	if err != nil || !RedirectMatches(c.RedirectURIs, p.RedirectURI) || !r.Service.SupportsResponse(p.Type) || !c.AllowsResponse(p.Type) {
		return 0, nil, nil, err // the client or the service has changed meanwhile
	}
	return id, p, c, nil
}
