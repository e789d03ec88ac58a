package front

import (
	"context"
	"errors"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"github.com/gatehouse-auth/gatehouse/caddymodule/login"
	"github.com/gatehouse-auth/gatehouse/engine"
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/introspect"
)

// register is the client registration endpoint (RFC 7591 §3). Who may register
// presents a token or, when the operator knows developers, a name and password.
func (h *Handler) register(run *running, w http.ResponseWriter, r *http.Request) error {
	developer, err := h.developer(run, r)
	var throttled *login.ErrThrottled
	if errors.As(err, &throttled) {
		w.Header().Set("Retry-After", strconv.Itoa(throttled.Seconds()))
		writeJSON(w, http.StatusTooManyRequests, errorJSON("temporarily_unavailable", throttled.Error()))
		return nil
	}
	if err != nil {
		return err
	}
	return h.registration(run, w, r, func(ctx context.Context, service model.ID, req engine.ClientRegistrationRequest) (*engine.ClientRegistrationResponse, error) {
		req.Developer = developer
		return run.engine.ClientRegistration(ctx, service, req)
	})
}

// developer is whom the developer authentication callback vouches for: nobody
// when there is no callback, no name and password (RFC 7617 §2, where nothing
// is form-encoded), or a wrong one, which the engine then refuses.
func (h *Handler) developer(run *running, r *http.Request) (string, error) {
	name, password, basic := r.BasicAuth()
	if run.developers == nil || !basic || len(r.Header.Values("Authorization")) > 1 || len(name) > maxCredentials || len(password) > maxCredentials {
		return "", nil
	}
	developer, err := run.developers.Authenticate(r.Context(), name, password)
	if errors.Is(err, login.ErrCredentials) {
		return "", nil
	}
	return developer, err
}

// manage is the client configuration endpoint (RFC 7592 §2).
func (h *Handler) manage(run *running, w http.ResponseWriter, r *http.Request) error {
	operation := map[string]func(context.Context, model.ID, engine.ClientRegistrationRequest) (*engine.ClientRegistrationResponse, error){
		http.MethodGet: run.engine.ClientRegistrationGet, http.MethodPut: run.engine.ClientRegistrationUpdate,
		http.MethodDelete: run.engine.ClientRegistrationDelete,
	}[r.Method]
	return h.registration(run, w, r, operation)
}

func (h *Handler) registration(run *running, w http.ResponseWriter, r *http.Request,
	operation func(context.Context, model.ID, engine.ClientRegistrationRequest) (*engine.ClientRegistrationResponse, error)) error {
	req := engine.ClientRegistrationRequest{ClientID: strings.TrimPrefix(r.URL.Path, h.registrationPath()+"/")}
	credentials, refusal := introspect.ReadCredentials(r, 0)
	if refusal != nil {
		introspect.Refuse(w, introspect.Challenge{Realm: run.service.Issuer}, refusal)
		return nil
	}
	if credentials.Scheme == introspect.SchemeBearer {
		req.Token = credentials.Token
	}
	if r.Method == http.MethodPost || r.Method == http.MethodPut {
		var err error
		if req.JSON, err = jsonBody(r, run.service.MaxRegistrationBytes); err != nil {
			return err
		}
	}
	resp, err := operation(r.Context(), run.service.ID, req)
	if err != nil {
		return err
	}
	switch resp.Action {
	case model.ActionCreated:
		writeJSON(w, http.StatusCreated, resp.ResponseContent)
	case model.ActionDeleted:
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(http.StatusNoContent)
	case model.ActionUnauthorized:
		w.Header().Set("WWW-Authenticate", `Bearer realm="`+run.service.Issuer+`", error="invalid_token"`)
		if r.Method == http.MethodPost && run.developers != nil {
			w.Header().Add("WWW-Authenticate", basicChallenge(run))
		}
		writeJSON(w, http.StatusUnauthorized, resp.ResponseContent)
	case model.ActionNotFound:
		return h.notFound(run, w, r)
	case model.ActionBadRequest:
		writeJSON(w, http.StatusBadRequest, resp.ResponseContent)
	default:
		writeJSON(w, http.StatusOK, resp.ResponseContent)
	}
	return nil
}

// jsonBody reads a JSON body of at most that many bytes.
func jsonBody(r *http.Request, most int64) (string, error) {
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != "application/json" {
		return "", &httpError{http.StatusBadRequest, "invalid_client_metadata", "the Content-Type must be application/json"}
	}
	body, fits := text(r, most)
	if !fits {
		return "", &httpError{http.StatusRequestEntityTooLarge, "invalid_client_metadata", "the request body is too large"}
	}
	return body, nil
}

// registrationPath is where clients register.
func (h *Handler) registrationPath() string { return pathOf(h.service.RegistrationEndpoint) }
