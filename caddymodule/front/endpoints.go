package front

import (
	"net/http"

	"github.com/gatehouse-auth/gatehouse/engine"
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/introspect"
)

// authorization is RFC 6749 §3.1.
func (h *Handler) authorization(run *running, w http.ResponseWriter, r *http.Request) error {
	parameters := r.URL.RawQuery
	if r.Method == http.MethodPost {
		var err error
		if parameters, err = form(w, r); err != nil {
			return err
		}
	}
	resp, err := run.engine.Authorization(r.Context(), run.service.ID, engine.AuthorizationRequest{Parameters: parameters})
	if err != nil {
		return err
	}
	switch resp.Action {
	case model.ActionInteraction, model.ActionNoInteraction:
		return run.login.Begin(w, r, resp)
	case model.ActionLocation:
		redirect(w, resp.ResponseContent)
		return nil
	default:
		title, detail := "This request cannot be answered", describe(resp.ResponseContent)
		run.login.ErrorPage(w, r, http.StatusBadRequest, title, detail)
		return nil
	}
}

// token is RFC 6749 §3.2.
func (h *Handler) token(run *running, w http.ResponseWriter, r *http.Request) error {
	parameters, basic, err := clientRequest(w, r)
	if err != nil {
		return err
	}
	resp, err := run.engine.Token(r.Context(), run.service.ID, engine.TokenRequest{Parameters: parameters, Basic: basic})
	if err != nil {
		return err
	}
	answer(w, run, resp.Action, resp.ResponseContent)
	return nil
}

// introspection is RFC 7662 §2.
func (h *Handler) introspection(run *running, w http.ResponseWriter, r *http.Request) error {
	parameters, basic, err := clientRequest(w, r)
	if err != nil {
		return err
	}
	resp, err := run.engine.StandardIntrospection(r.Context(), run.service.ID,
		engine.StandardIntrospectionRequest{Parameters: parameters, Basic: basic})
	if err != nil {
		return err
	}
	answer(w, run, resp.Action, resp.ResponseContent)
	return nil
}

// revocation is RFC 7009 §2.
func (h *Handler) revocation(run *running, w http.ResponseWriter, r *http.Request) error {
	parameters, basic, err := clientRequest(w, r)
	if err != nil {
		return err
	}
	resp, err := run.engine.Revocation(r.Context(), run.service.ID, engine.RevocationRequest{Parameters: parameters, Basic: basic})
	if err != nil {
		return err
	}
	answer(w, run, resp.Action, resp.ResponseContent)
	return nil
}

// userInfo is OpenID Connect Core §5.3, with the token in the header.
func (h *Handler) userInfo(run *running, w http.ResponseWriter, r *http.Request) error {
	token, refusal := introspect.BearerToken(r, 0)
	if refusal == nil && token == "" {
		refusal = &introspect.Refusal{Status: http.StatusUnauthorized} // RFC 6750 §3.1: no error code
	}
	if refusal != nil {
		introspect.Refuse(w, introspect.Challenge{Realm: run.service.Issuer}, refusal)
		return nil
	}
	resp, err := run.engine.UserInfo(r.Context(), run.service.ID, engine.UserInfoRequest{Token: token})
	if err != nil {
		return err
	}
	if resp.Action != model.ActionOK {
		challenge(w, resp.Action, resp.ResponseContent)
		return nil
	}
	claims, err := run.accounts.Claims(r.Context(), resp.Subject)
	if err != nil {
		return err
	}
	issued, err := run.engine.UserInfoIssue(r.Context(), run.service.ID, engine.UserInfoIssueRequest{Token: token, Claims: claims})
	if err != nil {
		return err
	}
	if issued.Action != model.ActionJSON {
		challenge(w, issued.Action, issued.ResponseContent)
		return nil
	}
	writeJSON(w, http.StatusOK, issued.ResponseContent)
	return nil
}

// configuration is OpenID Connect Discovery §4 and RFC 8414 §3.
func (h *Handler) configuration(run *running, w http.ResponseWriter, r *http.Request) error {
	document, err := run.engine.ServiceConfiguration(r.Context(), run.service.ID)
	if err != nil {
		return err
	}
	writePublic(w, "application/json", document)
	return nil
}

// jwks serves the public keys (RFC 7517 §5).
func (h *Handler) jwks(run *running, w http.ResponseWriter, r *http.Request) error {
	document, err := run.engine.ServiceJWKS(r.Context(), run.service.ID)
	if err != nil {
		return err
	}
	writePublic(w, "application/jwk-set+json", document)
	return nil
}
