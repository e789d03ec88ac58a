package front

import (
	"errors"
	"net/http"

	"github.com/gatehouse-auth/gatehouse/caddymodule/login"
	"github.com/gatehouse-auth/gatehouse/engine"
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/introspect"
)

// authorization is RFC 6749 §3.1.
func (h *Handler) authorization(run *running, w http.ResponseWriter, r *http.Request) error {
	parameters := r.URL.RawQuery
	if r.Method == http.MethodPost {
		var err error
		if parameters, err = form(r, run.service.MaxRequestBytes); err != nil {
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
	case model.ActionLocation, model.ActionForm:
		return run.login.CarryOut(w, resp.Action, resp.ResponseContent)
	default:
		title, detail := "This request cannot be answered", login.Describe(resp.ResponseContent)
		run.login.ErrorPage(w, r, http.StatusBadRequest, title, detail)
		return nil
	}
}

// token is RFC 6749 §3.2.
func (h *Handler) token(run *running, w http.ResponseWriter, r *http.Request) error {
	parameters, basic, err := clientRequest(r, run.service.MaxRequestBytes)
	if err != nil {
		return err
	}
	resp, err := run.engine.Token(r.Context(), run.service.ID, engine.TokenRequest{
		Parameters: parameters, Basic: basic, Sender: sender(run, r, run.service.TokenEndpoint),
	})
	if err != nil {
		return err
	}
	passNonce(w, resp.DPoPNonce)
	if resp.Action == model.ActionPassword {
		if resp, err = h.password(run, r, resp); err != nil {
			return err
		}
	}
	answer(w, run, resp.Action, resp.ResponseContent)
	return nil
}

// password finds out whose name and password a token request has (RFC 6749
// §4.3), under the same throttle as the sign-in page.
func (h *Handler) password(run *running, r *http.Request, asked *engine.TokenResponse) (*engine.TokenResponse, error) {
	user, err := run.accounts.Authenticate(r.Context(), asked.Username, asked.Password, asked.Client.ID)
	var throttled *login.ErrThrottled
	switch {
	case err == nil:
		return run.engine.TokenIssue(r.Context(), run.service.ID, engine.TokenIssueRequest{
			Ticket: asked.Ticket, Subject: user, AuthTime: run.engine.Now().Unix(),
		})
	case errors.Is(err, login.ErrCredentials), errors.As(err, &throttled):
		return run.engine.TokenFail(r.Context(), run.service.ID, engine.TokenFailRequest{
			Ticket: asked.Ticket, Reason: engine.TokenFailInvalidCredentials,
		})
	default:
		return nil, err
	}
}

// introspection is RFC 7662 §2, and RFC 9701 §4 for who accepts a JWT.
func (h *Handler) introspection(run *running, w http.ResponseWriter, r *http.Request) error {
	parameters, basic, err := clientRequest(r, run.service.MaxRequestBytes)
	if err != nil {
		return err
	}
	resp, err := run.engine.StandardIntrospection(r.Context(), run.service.ID,
		engine.StandardIntrospectionRequest{Parameters: parameters, Basic: basic, JWT: accepts(r, introspectionJWT)})
	if err != nil {
		return err
	}
	if resp.Action == model.ActionJWT {
		write(w, http.StatusOK, introspectionJWT, resp.ResponseContent)
		return nil
	}
	answer(w, run, resp.Action, resp.ResponseContent)
	return nil
}

const introspectionJWT = "application/token-introspection+jwt"

// revocation is RFC 7009 §2.
func (h *Handler) revocation(run *running, w http.ResponseWriter, r *http.Request) error {
	parameters, basic, err := clientRequest(r, run.service.MaxRequestBytes)
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

// userInfo is OpenID Connect Core §5.3.
func (h *Handler) userInfo(run *running, w http.ResponseWriter, r *http.Request) error {
	credentials, refusal, err := userInfoCredentials(r, run.service.MaxRequestBytes)
	if err != nil {
		return err
	}
	if refusal == nil && credentials.Token == "" {
		refusal = &introspect.Refusal{Status: http.StatusUnauthorized} // RFC 6750 §3.1: no error code
	}
	if refusal != nil {
		introspect.Refuse(w, introspect.Challenge{Realm: run.service.Issuer, DPoPAlgs: run.engine.DPoPAlgorithms(run.service.ID)}, refusal)
		return nil
	}
	resp, err := run.engine.UserInfo(r.Context(), run.service.ID, engine.UserInfoRequest{
		Token: credentials.Token, Scheme: credentials.Scheme, Sender: sender(run, r, run.service.UserInfoEndpoint),
	})
	if err != nil {
		return err
	}
	passNonce(w, resp.DPoPNonce)
	if resp.Action != model.ActionOK {
		challenge(w, resp.Action, resp.ResponseContent)
		return nil
	}
	claims, err := run.accounts.Claims(r.Context(), resp.Subject)
	if err != nil {
		return err
	}
	issued, err := run.engine.UserInfoIssue(r.Context(), run.service.ID, engine.UserInfoIssueRequest{
		Token: credentials.Token, Scheme: credentials.Scheme, Claims: claims,
	})
	if err != nil {
		return err
	}
	switch issued.Action {
	case model.ActionJSON:
		writeJSON(w, http.StatusOK, issued.ResponseContent)
	case model.ActionJWT:
		write(w, http.StatusOK, "application/jwt", issued.ResponseContent)
	default:
		challenge(w, issued.Action, issued.ResponseContent)
	}
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

// notFound is an endpoint that the service has not turned on.
func (h *Handler) notFound(_ *running, w http.ResponseWriter, _ *http.Request) error {
	writeJSON(w, http.StatusNotFound, errorJSON("not_found", "this endpoint is not enabled"))
	return nil
}
