// Package revocation ends tokens: at a client's request (RFC 7009), and at an
// operator's by token, grant, subject or client.
package revocation

import (
	"context"
	"errors"
	"strings"

	"github.com/gatehouse-auth/gatehouse/engine/handle"
	"github.com/gatehouse-auth/gatehouse/engine/internal/clientauth"
	"github.com/gatehouse-auth/gatehouse/engine/internal/introspection"
	"github.com/gatehouse-auth/gatehouse/engine/internal/oautherr"
	"github.com/gatehouse-auth/gatehouse/engine/internal/realm"
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// Request is a revocation request (RFC 7009 §2.1) as it came in.
type Request struct {
	Parameters string
	Basic      clientauth.Credentials
}

// Response says what to answer: OK (200, no content), BAD_REQUEST (400) or
// INVALID_CLIENT (401).
type Response struct {
	Action          model.Action
	ResponseContent string
}

// Process answers a revocation request. The error is the store's.
func Process(ctx context.Context, r *realm.Realm, req Request) (*Response, error) {
	v, client, err := clientauth.Read(ctx, r, req.Parameters, req.Basic,
		clientauth.Endpoint{Address: r.Service.RevocationEndpoint, Methods: r.Service.SupportedRevocationAuthMethods})
	if err == nil && v.Get("token") == "" {
		err = oautherr.New(oautherr.InvalidRequest, "token is missing")
	}
	var refusal *oautherr.Error
	if errors.As(err, &refusal) {
		return refuse(r, client, refusal), nil
	}
	if err != nil {
		return nil, err
	}
	f, err := find(ctx, r, v.Get("token"))
	if err != nil {
		return nil, err
	}
	if f == nil {
		return &Response{Action: model.ActionOK}, nil // §2.2: an unknown token needs no revoking
	}
	if f.Client.ID != client.ID {
		return refuse(r, client, oautherr.New(oautherr.InvalidGrant, "the token was issued to another client")), nil
	}
	return &Response{Action: model.ActionOK}, end(ctx, r, f)
}

// Token ends a token whoever it was issued to. It reports whether there was one.
func Token(ctx context.Context, r *realm.Realm, text string) (bool, error) {
	f, err := find(ctx, r, text)
	if err != nil || f == nil {
		return false, err
	}
	return true, end(ctx, r, f)
}

// Grants ends all grants of a subject, of a client, or of a subject at a
// client, together with what else belongs into the same write.
func Grants(ctx context.Context, r *realm.Realm, subject string, client model.ID, also ...store.Step) error {
	steps := append(also, store.RevokeGrants{Service: r.Service.ID, Subject: subject, Client: client})
	if err := r.Store.Write(ctx, steps...); err != nil {
		return err
	}
	event := model.Event{Kind: model.EventRevoked, Operation: "revocation", Subject: subject}
	if c, err := r.Client(ctx, client); err == nil {
		event.Client = c.Alias
	}
	r.Report(event)
	return nil
}

func find(ctx context.Context, r *realm.Realm, text string) (*introspection.Found, error) {
	if strings.HasPrefix(text, string(handle.RefreshToken)) {
		return introspection.FindRefresh(ctx, r, text)
	}
	return introspection.FindAccess(ctx, r, text)
}

// end revokes an access token alone, and with a refresh token everything that
// comes from the same grant (RFC 7009 §2.1).
func end(ctx context.Context, r *realm.Realm, f *introspection.Found) error {
	var step store.Step = store.RevokeAccessToken{Service: r.Service.ID, ID: f.ID}
	if f.Refresh {
		step = store.RevokeGrant{Service: r.Service.ID, ID: f.Grant.ID}
	}
	if err := r.Store.Write(ctx, step); err != nil {
		return err
	}
	r.Report(model.Event{
		Kind: model.EventRevoked, Operation: "revocation", Client: f.Client.Alias,
		Subject: f.Grant.Subject, Grant: f.Grant.ID,
	})
	return nil
}

func refuse(r *realm.Realm, client *model.Client, refusal *oautherr.Error) *Response {
	resp := &Response{}
	resp.Action, resp.ResponseContent = r.Refuse("revocation", "", client, refusal)
	return resp
}
