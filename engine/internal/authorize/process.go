package authorize

import (
	"context"
	"encoding/json"
	"errors"
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
	resp := new(Response)
	p, err := process(ctx, r, req, resp)
	var refusal *oautherr.Error
	switch {
	case err == nil:
		resp.Action = model.ActionInteraction
		if len(resp.Prompts) == 1 && resp.Prompts[0] == "none" {
			resp.Action = model.ActionNoInteraction
		}
		resp.Ticket, err = keep(ctx, r, p)
		return resp, err
	case !errors.As(err, &refusal):
		return nil, err
	case p == nil:
		// Nothing can be trusted to be the client's: the user is told instead
		// (RFC 6749 §4.1.2.1).
		action, content := r.Refuse("authorization", "", resp.Client, refusal)
		return &Response{Action: action, ResponseContent: content}, nil
	}
	r.Refuse("authorization", "", resp.Client, refusal)
	resp.Action, resp.ResponseContent, err = p.fail(r, refusal)
	return resp, err
}

// process reads a request. With an error, what it returns beside it is where
// to tell the client, or nil when that is not certain.
func process(ctx context.Context, r *realm.Realm, req Request, resp *Response) (*pending, error) {
	v, malformed := params.Parse(req.Parameters, r.Service.MaxRequestBytes)
	client, err := findClient(ctx, r, v)
	if err != nil {
		if malformed != nil {
			err = malformed
		}
		return nil, err
	}
	resp.Client = client
	var object *oautherr.Error
	if malformed == nil {
		merged, err := withRequestObject(ctx, r, client, v)
		if err != nil && !errors.As(err, &object) {
			return nil, err
		}
		if err == nil {
			v = merged
		}
	}
	d, refusal := newDestination(client, v)
	switch {
	case refusal != nil && malformed != nil:
		return nil, malformed
	case refusal != nil && object != nil:
		return nil, object
	case refusal != nil:
		return nil, refusal
	}
	p := &pending{destination: *d}
	switch {
	case malformed != nil:
		return p, malformed
	case object != nil:
		return p, object
	}
	return p, p.read(ctx, r, client, v, resp)
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
