package authorize

import (
	"context"
	"encoding/json"
	"errors"
	"slices"

	"github.com/gatehouse-auth/gatehouse/engine/handle"
	"github.com/gatehouse-auth/gatehouse/engine/internal/oautherr"
	"github.com/gatehouse-auth/gatehouse/engine/internal/realm"
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

var errTicket = oautherr.New(oautherr.InvalidRequest, "this authorization request is unknown, has expired or was answered before")

// Issue redeems a ticket for an authorization code. The error is the store's.
func Issue(ctx context.Context, r *realm.Realm, req IssueRequest) (*IssueResponse, error) {
	id, p, err := lookup(ctx, r, req.Ticket)
	if p == nil || err != nil {
		return &IssueResponse{Action: model.ActionBadRequest, ResponseContent: errTicket.JSON()}, err
	}
	if req.Subject == "" {
		return nil, errors.New("issue: the subject is missing")
	}
	active, err := r.SubjectActive(ctx, req.Subject)
	if err != nil {
		return nil, err
	}
	if !active {
		fail, err := Fail(ctx, r, FailRequest{Ticket: req.Ticket, Reason: ReasonNotAuthenticated})
		if err != nil {
			return nil, err
		}
		return &IssueResponse{Action: fail.Action, ResponseContent: fail.ResponseContent}, nil
	}
	if req.Scopes != nil {
		p.Scopes = slices.DeleteFunc(p.Scopes, func(s string) bool { return !slices.Contains(req.Scopes, s) })
	}
	code, err := redeemForCode(ctx, r, id, p, req)
	if errors.Is(err, store.ErrSpent) {
		return &IssueResponse{Action: model.ActionBadRequest, ResponseContent: errTicket.JSON()}, nil
	}
	if err != nil {
		return nil, err
	}
	return &IssueResponse{Action: model.ActionLocation, ResponseContent: p.location(r, "code", code), AuthorizationCode: code}, nil
}

// redeemForCode spends the ticket and stores the grant and its code, in one write.
func redeemForCode(ctx context.Context, r *realm.Realm, ticket model.ID, p *pending, req IssueRequest) (string, error) {
	payload, err := json.Marshal(Code{
		RedirectURI: p.RedirectURI, RedirectOmitted: p.RedirectOmitted,
		Nonce: p.Nonce, Challenge: p.Challenge, AuthTimeWanted: p.MaxAge != nil,
	})
	if err != nil {
		return "", err
	}
	grant := model.Grant{
		Service: r.Service.ID, Client: p.Client, Subject: req.Subject, Scopes: p.Scopes,
		Session: req.Session, AuthTime: req.AuthTime,
	}
	if p.openID() {
		grant.Claims = model.GrantClaims{
			UserInfo: p.UserInfoClaims, IDToken: p.IDTokenClaims,
			Values: wanted(req.Claims, p.IDTokenClaims), ACR: req.ACR, AMR: req.AMR,
		}
	}
	var code string
	err = r.Write(ctx, func() ([]store.Step, error) {
		secret, err := handle.NewSecret(r.Random)
		if err != nil {
			return nil, err
		}
		now := r.Now().Unix()
		grant.ID, grant.ExpiresAt = r.IDs.Next(), now+r.Service.AuthorizationCodeDuration
		id := r.IDs.Next()
		code = handle.Format(handle.Code, id, &secret)
		return []store.Step{
			store.RedeemHandle{Service: r.Service.ID, Kind: model.HandleTicket, ID: ticket, Now: now},
			store.InsertGrant{Grant: grant},
			store.InsertHandle{Handle: model.Handle{
				Service: r.Service.ID, ID: id, Kind: model.HandleCode, Hash: secret.Hash(),
				ExpiresAt: grant.ExpiresAt, Grant: grant.ID, Payload: payload,
			}},
		}, nil
	})
	return code, err
}

func wanted(values map[string]json.RawMessage, names []string) map[string]json.RawMessage {
	kept := make(map[string]json.RawMessage, len(names))
	for _, name := range names {
		if value, ok := values[name]; ok {
			kept[name] = value
		}
	}
	return kept
}

// reasons maps a failure to the error that the client is sent.
var reasons = map[Reason]*oautherr.Error{
	ReasonUnknown:                  oautherr.New(oautherr.ServerError, "the authorization request failed"),
	ReasonNotLoggedIn:              oautherr.New(oautherr.LoginRequired, "the user is not signed in"),
	ReasonExceedsMaxAge:            oautherr.New(oautherr.LoginRequired, "the user signed in too long ago"),
	ReasonDifferentSubject:         oautherr.New(oautherr.LoginRequired, "another user is signed in"),
	ReasonDenied:                   oautherr.New(oautherr.AccessDenied, "the user denied the request"),
	ReasonServerError:              oautherr.New(oautherr.ServerError, "the authorization server failed"),
	ReasonNotAuthenticated:         oautherr.New(oautherr.AccessDenied, "the user was not authenticated"),
	ReasonAccountSelectionRequired: oautherr.New(oautherr.AccountSelectionReq, "the user must choose an account"),
	ReasonConsentRequired:          oautherr.New(oautherr.ConsentRequired, "the user has not consented"),
	ReasonInteractionRequired:      oautherr.New(oautherr.InteractionRequired, "the user must interact"),
}

// Fail redeems a ticket for an error. The error returned is the store's.
func Fail(ctx context.Context, r *realm.Realm, req FailRequest) (*FailResponse, error) {
	id, p, err := lookup(ctx, r, req.Ticket)
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
	client, _ := r.Client(p.Client)
	r.Refuse("authorization", "", client, refusal)
	return &FailResponse{Action: model.ActionLocation, ResponseContent: p.errorLocation(r, refusal)}, nil
}

// lookup reads the request behind a ticket. It returns no request when there
// is none that could be answered; whether it still may be is decided by the
// write that redeems it.
func lookup(ctx context.Context, r *realm.Realm, ticket string) (model.ID, *pending, error) {
	id, secret, err := handle.Parse(handle.Ticket, ticket)
	if err != nil {
		return 0, nil, nil
	}
	h, err := r.Store.Handle(ctx, r.Service.ID, model.HandleTicket, id)
	if errors.Is(err, store.ErrNotFound) || err == nil && !secret.Matches(h.Hash) {
		return 0, nil, nil
	}
	if err != nil {
		return 0, nil, err
	}
	p := new(pending)
	if err := json.Unmarshal(h.Payload, p); err != nil {
		return 0, nil, err
	}
	if c, ok := r.Client(p.Client); !ok || !RedirectMatches(c.RedirectURIs, p.RedirectURI) {
		return 0, nil, nil // the client was removed or changed meanwhile
	}
	return id, p, nil
}
