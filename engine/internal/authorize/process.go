package authorize

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/gatehouse-auth/gatehouse/engine/handle"
	"github.com/gatehouse-auth/gatehouse/engine/internal/oautherr"
	"github.com/gatehouse-auth/gatehouse/engine/internal/params"
	"github.com/gatehouse-auth/gatehouse/engine/internal/realm"
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// ticketDuration is how long an authorization request waits for its answer, in seconds.
const ticketDuration = 24 * 60 * 60

// Process checks an authorization request and keeps it under a ticket. The
// error is the store's; every refusal is a Response.
func Process(ctx context.Context, r *realm.Realm, req Request) (*Response, error) {
	v, malformed := params.Parse(req.Parameters)
	client, redirect, err := destination(r, v)
	if err != nil {
		// Nothing can be trusted to be the client's: the user is told instead
		// (RFC 6749 §4.1.2.1).
		if malformed != nil {
			err = malformed
		}
		action, content := r.Refuse("authorization", "", client, err)
		return &Response{Action: action, ResponseContent: content}, nil
	}
	p := &pending{
		Client: client.ID, RedirectURI: redirect, RedirectOmitted: !v.Has("redirect_uri"),
		State: v.Get("state"), HasState: v.Has("state"),
	}
	resp := &Response{Client: client, LoginHint: v.Get("login_hint")}
	if malformed == nil {
		malformed = p.read(r, client, v, resp)
	}
	if malformed != nil {
		r.Refuse("authorization", "", client, malformed)
		resp.Action = model.ActionLocation
		resp.ResponseContent = p.errorLocation(r, malformed)
		return resp, nil
	}
	resp.Action = model.ActionInteraction
	if len(resp.Prompts) == 1 && resp.Prompts[0] == "none" {
		resp.Action = model.ActionNoInteraction
	}
	ticket, storeErr := keep(ctx, r, p)
	resp.Ticket = ticket
	return resp, storeErr
}

// destination finds the client and where its answer goes. Until both are
// certain, no redirect is made.
func destination(r *realm.Realm, v params.Values) (*model.Client, string, *oautherr.Error) {
	alias := v.Get("client_id")
	switch {
	case v.Repeated("client_id") || v.Repeated("redirect_uri"):
		return nil, "", oautherr.New(oautherr.InvalidRequest, "client_id or redirect_uri is there more than once")
	case alias == "":
		return nil, "", oautherr.New(oautherr.InvalidRequest, "client_id is missing")
	}
	client, ok := r.ClientByAlias(alias)
	if !ok {
		return nil, "", oautherr.New(oautherr.InvalidRequest, "client_id names no client of this service")
	}
	uri := v.Get("redirect_uri")
	if uri == "" {
		// RFC 6749 §3.1.2.3: it may be left out when only one is registered.
		if v.Has("redirect_uri") || len(client.RedirectURIs) != 1 {
			return client, "", oautherr.New(oautherr.InvalidRequest, "redirect_uri is missing")
		}
		return client, client.RedirectURIs[0], nil
	}
	if !RedirectMatches(client.RedirectURIs, uri) {
		return client, "", oautherr.New(oautherr.InvalidRequest, "redirect_uri is not one that the client has registered")
	}
	return client, uri, nil
}

// keep stores the request and returns its ticket.
func keep(ctx context.Context, r *realm.Realm, p *pending) (string, error) {
	payload, err := json.Marshal(p)
	if err != nil {
		return "", err
	}
	if len(payload) > model.MaxHandlePayload {
		return "", fmt.Errorf("authorization request of %d bytes cannot be kept", len(payload))
	}
	var ticket string
	err = r.Write(ctx, func() ([]store.Step, error) {
		secret, err := handle.NewSecret(r.Random)
		if err != nil {
			return nil, err
		}
		id := r.IDs.Next()
		ticket = handle.Format(handle.Ticket, id, &secret)
		return []store.Step{store.InsertHandle{Handle: model.Handle{
			Service: r.Service.ID, ID: id, Kind: model.HandleTicket, Hash: secret.Hash(),
			ExpiresAt: r.Now().Unix() + ticketDuration, Payload: payload,
		}}}, nil
	})
	return ticket, err
}
