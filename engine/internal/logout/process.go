package logout

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"strings"

	"github.com/gatehouse-auth/gatehouse/engine/internal/authorize"
	"github.com/gatehouse-auth/gatehouse/engine/internal/mint"
	"github.com/gatehouse-auth/gatehouse/engine/internal/oautherr"
	"github.com/gatehouse-auth/gatehouse/engine/internal/params"
	"github.com/gatehouse-auth/gatehouse/engine/internal/realm"
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

const operation = "end_session"

const (
	maxState      = 4096
	maxLogoutHint = 320
	maxLocales    = 20
)

// Process checks a logout request. It ends nothing. The error is the store's;
// every refusal is a Response.
func Process(ctx context.Context, r *realm.Realm, req Request) (*Response, error) {
	resp := new(Response)
	err := read(ctx, r, req.Parameters, resp)
	var refusal *oautherr.Error
	switch {
	case errors.As(err, &refusal):
		action, content := r.Refuse(operation, "", resp.Client, refusal)
		return &Response{Action: action, ResponseContent: content, UILocales: resp.UILocales}, nil
	case err != nil:
		return nil, err
	}
	resp.Action = model.ActionInteraction
	if req.Session == 0 || resp.concerns(r, req) {
		resp.Action = model.ActionNoInteraction
	}
	return resp, nil
}

// concerns reports whether the request proves to come from a client of this
// very user: without such a proof the user must be asked (§2, and §6 on those
// who would sign people out).
func (resp *Response) concerns(r *realm.Realm, req Request) bool {
	return resp.Proven && (resp.HintedSession == mint.SessionID(req.Session) || resp.HintedSubject == r.ClientSubject(resp.Client, req.Subject))
}

func read(ctx context.Context, r *realm.Realm, parameters string, resp *Response) error {
	v, malformed := params.Parse(parameters, r.Service.MaxRequestBytes)
	if malformed != nil {
		return malformed
	}
	resp.UILocales = slices.DeleteFunc(v.List("ui_locales"), func(tag string) bool { return !model.LanguageTag(tag) })
	resp.UILocales = resp.UILocales[:min(len(resp.UILocales), maxLocales)]
	if resp.LogoutHint = v.Get("logout_hint"); len(resp.LogoutHint) > maxLogoutHint {
		return oautherr.New(oautherr.InvalidRequest, "logout_hint is too long")
	}
	if err := resp.readHint(ctx, r, v.Get("id_token_hint")); err != nil {
		return err
	}
	if err := resp.readClient(ctx, r, v.Get("client_id")); err != nil {
		return err
	}
	if refusal := resp.readDestination(v); refusal != nil {
		return refusal
	}
	return nil
}

// readHint takes an ID token of this issuer, even one that has expired (§2).
func (resp *Response) readHint(ctx context.Context, r *realm.Realm, token string) error {
	if token == "" {
		return nil
	}
	hint, err := mint.ReadHint(ctx, r, token)
	if err != nil {
		return err
	}
	if hint == nil {
		return oautherr.New(oautherr.InvalidRequest, "id_token_hint is not an ID token of this issuer")
	}
	resp.Client, resp.Proven, resp.HintedSubject, resp.HintedSession = hint.Client, hint.Proven, hint.Subject, hint.Session
	return nil
}

// readClient: with both, client_id must be the one that the ID token was
// issued to (§2).
func (resp *Response) readClient(ctx context.Context, r *realm.Realm, alias string) error {
	switch {
	case alias == "":
		return nil
	case resp.Client != nil && resp.Client.Alias != alias:
		return oautherr.New(oautherr.InvalidRequest, "client_id is not the client that id_token_hint was issued to")
	case resp.Client != nil:
		return nil
	}
	client, err := r.ClientByAlias(ctx, alias)
	if errors.Is(err, store.ErrNotFound) {
		return oautherr.New(oautherr.InvalidRequest, "client_id names no client of this service")
	}
	resp.Client = client
	return err
}

// readDestination takes no address but a registered one (§3.1).
func (resp *Response) readDestination(v params.Values) *oautherr.Error {
	address, state := v.Get("post_logout_redirect_uri"), v.Get("state")
	switch {
	case len(state) > maxState:
		return oautherr.New(oautherr.InvalidRequest, "state is too long")
	case address == "":
		return nil
	case resp.Client == nil:
		return oautherr.New(oautherr.InvalidRequest, "post_logout_redirect_uri needs id_token_hint or client_id")
	case !authorize.RedirectMatches(resp.Client.PostLogoutRedirectURIs, address):
		return oautherr.New(oautherr.InvalidRequest, "post_logout_redirect_uri is not one that the client has registered")
	}
	if v.Has("state") {
		address = withQuery(address, "state="+url.QueryEscape(state))
	}
	resp.PostLogoutRedirectURI = address
	return nil
}

// withQuery adds to the query of an address that has no fragment.
func withQuery(address, query string) string {
	if strings.Contains(address, "?") {
		return address + "&" + query
	}
	return address + "?" + query
}
