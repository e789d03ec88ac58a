package engine

import (
	"context"

	"github.com/gatehouse-auth/gatehouse/engine/internal/registration"
	"github.com/gatehouse-auth/gatehouse/engine/model"
)

// ClientRegistration registers a client (RFC 7591 §3, OpenID Connect Dynamic
// Client Registration §3).
func (e *Engine) ClientRegistration(ctx context.Context, service model.ID, req ClientRegistrationRequest) (*ClientRegistrationResponse, error) {
	s, err := e.service(service)
	if err != nil {
		return nil, err
	}
	return registration.Register(ctx, s.Realm, req)
}

// ClientRegistrationGet returns what a client has registered (RFC 7592 §2.1).
func (e *Engine) ClientRegistrationGet(ctx context.Context, service model.ID, req ClientRegistrationRequest) (*ClientRegistrationResponse, error) {
	s, err := e.service(service)
	if err != nil {
		return nil, err
	}
	return registration.Get(ctx, s.Realm, req)
}

// ClientRegistrationUpdate replaces what a client has registered (RFC 7592 §2.2).
func (e *Engine) ClientRegistrationUpdate(ctx context.Context, service model.ID, req ClientRegistrationRequest) (*ClientRegistrationResponse, error) {
	s, err := e.service(service)
	if err != nil {
		return nil, err
	}
	return registration.Update(ctx, s.Realm, req)
}

// ClientRegistrationDelete removes a registered client and its grants (RFC 7592 §2.3).
func (e *Engine) ClientRegistrationDelete(ctx context.Context, service model.ID, req ClientRegistrationRequest) (*ClientRegistrationResponse, error) {
	s, err := e.service(service)
	if err != nil {
		return nil, err
	}
	return registration.Delete(ctx, s.Realm, req)
}
