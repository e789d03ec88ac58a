package engine

import (
	"context"

	"github.com/gatehouse-auth/gatehouse/engine/internal/logout"
	"github.com/gatehouse-auth/gatehouse/engine/model"
)

// Logout checks a logout request (OpenID Connect RP-Initiated Logout §2). It
// ends nothing: EndSession does.
func (e *Engine) Logout(ctx context.Context, service model.ID, req LogoutRequest) (*LogoutResponse, error) {
	s, err := e.service(service)
	if err != nil {
		return nil, err
	}
	return logout.Process(ctx, s.Realm, req)
}

// EndSession ends a sign-in session and those of its grants that do not outlive
// it. The clients of the session with a back-channel logout address are told in
// the background; those with a front-channel one are for the browser to tell.
func (e *Engine) EndSession(ctx context.Context, service model.ID, req EndSessionRequest) (*EndSessionResponse, error) {
	s, err := e.service(service)
	if err != nil {
		return nil, err
	}
	return logout.End(ctx, s.Realm, e.logouts, req)
}
