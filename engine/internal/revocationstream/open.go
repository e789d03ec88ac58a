package revocationstream

import (
	"context"
	"errors"

	"github.com/gatehouse-auth/gatehouse/engine/internal/clientauth"
	"github.com/gatehouse-auth/gatehouse/engine/internal/introspection"
	"github.com/gatehouse-auth/gatehouse/engine/internal/oautherr"
	"github.com/gatehouse-auth/gatehouse/engine/model"
)

// Request is a request for the stream as it came in: client authentication as
// for introspection, and the parameter after, the position to go on from.
type Request struct {
	Parameters string
	Basic      clientauth.Credentials
}

// Response says what to answer: OK (200) with the stream, or BAD_REQUEST (400)
// or INVALID_CLIENT (401) with the content as JSON.
type Response struct {
	Action          model.Action
	ResponseContent string
	// Stream is what to send, as application/x-ndjson; nil unless OK. Who gets it
	// closes it.
	Stream *Stream
}

// Open begins a stream. The error is ErrTooMany, or the store's.
func (h *Hub) Open(ctx context.Context, req Request) (*Response, error) {
	r := h.realm
	v, caller, err := introspection.Caller(ctx, r, req.Parameters, req.Basic, r.Service.RevocationStreamEndpoint)
	var refusal *oautherr.Error
	if errors.As(err, &refusal) {
		resp := &Response{}
		resp.Action, resp.ResponseContent = r.Refuse("revocation_stream", "", caller, refusal)
		return resp, nil
	}
	if err != nil {
		return nil, err
	}
	s, err := h.join(caller) // before the first look, so that nothing comes unnoticed after it
	if err != nil {
		return nil, err
	}
	if err := s.start(ctx, h.place(v.Get("after"))); err != nil {
		s.Close()
		return nil, err
	}
	return &Response{Action: model.ActionOK, Stream: s}, nil
}
