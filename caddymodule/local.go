package caddymodule

import (
	"context"

	"github.com/gatehouse-auth/gatehouse/engine"
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/introspect"
)

// local asks the engine of this process about the tokens of one service.
type local struct {
	engine  *engine.Engine
	service *model.Service
}

// Introspect is part of introspect.Introspector.
func (l local) Introspect(ctx context.Context, token string) (*introspect.Facts, error) {
	resp, err := l.engine.Introspection(ctx, l.service.ID, engine.IntrospectionRequest{Token: token})
	if err != nil {
		return nil, err
	}
	if !resp.Usable {
		return &introspect.Facts{}, nil
	}
	facts := &introspect.Facts{
		Active: true, Issuer: l.service.Issuer, Subject: resp.Subject, ClientID: resp.ClientAlias, TokenType: introspect.SchemeBearer,
		Scopes: resp.Scopes, Audience: resp.Audience,
		ExpiresAt: resp.ExpiresAt, IssuedAt: resp.IssuedAt, AuthTime: resp.AuthTime,
		Ref: introspect.Ref{
			Service: int64(l.service.ID), Token: int64(resp.Token), Grant: int64(resp.Grant),
			Client: int64(resp.Client), Subject: resp.Subject,
		},
		Claims: map[string]any{},
	}
	for _, p := range resp.Properties {
		switch p.Key {
		case "acr", "amr", "cnf": // the engine's to say, also when it says nothing
		default:
			facts.Claims[p.Key] = p.Value
		}
	}
	if cnf := confirmation(resp.Confirmation); len(cnf) > 0 {
		facts.TokenType, facts.Claims["cnf"] = resp.TokenType, cnf
	}
	if resp.ACR != "" {
		facts.Claims["acr"] = resp.ACR
	}
	if len(resp.AMR) > 0 {
		facts.Claims["amr"] = resp.AMR
	}
	return facts, nil
}

// confirmation is the claim cnf (RFC 7800 §3.1).
func confirmation(c model.Confirmation) map[string]any {
	cnf := map[string]any{}
	for member, bound := range map[string]model.Thumbprint{introspect.ConfirmJKT: c.JKT, introspect.ConfirmX5T: c.X5T} {
		if !bound.IsZero() {
			cnf[member] = bound.String()
		}
	}
	return cnf
}
