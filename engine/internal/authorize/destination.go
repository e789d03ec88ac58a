package authorize

import (
	"context"
	"errors"

	"github.com/gatehouse-auth/gatehouse/engine/internal/oautherr"
	"github.com/gatehouse-auth/gatehouse/engine/internal/params"
	"github.com/gatehouse-auth/gatehouse/engine/internal/realm"
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// destination is where the answer to a request goes, and how.
type destination struct {
	Client      model.ID `json:"c"`
	RedirectURI string   `json:"r"`
	// RedirectOmitted: the request named no redirect_uri, so the token request
	// need not either (RFC 6749 §4.1.3).
	RedirectOmitted bool               `json:"ro,omitempty"`
	State           string             `json:"s,omitempty"`
	HasState        bool               `json:"hs,omitempty"`
	Type            model.ResponseType `json:"t"`
	Mode            model.ResponseMode `json:"m"`
}

// findClient finds the client that a request names.
func findClient(ctx context.Context, r *realm.Realm, v params.Values) (*model.Client, error) {
	switch {
	case v.Repeated("client_id"):
		return nil, oautherr.New(oautherr.InvalidRequest, "client_id is there more than once")
	case v.Get("client_id") == "":
		return nil, oautherr.New(oautherr.InvalidRequest, "client_id is missing")
	}
	client, err := r.ClientByAlias(ctx, v.Get("client_id"))
	if errors.Is(err, store.ErrNotFound) {
		return nil, oautherr.New(oautherr.InvalidRequest, "client_id names no client of this service")
	}
	return client, err
}

// newDestination finds out where an answer goes. Until that is certain, no
// redirect is made. The response type and mode may be unknown yet: an error
// goes where the request most likely wants it.
func newDestination(c *model.Client, v params.Values) (*destination, *oautherr.Error) {
	d := &destination{
		Client: c.ID, RedirectURI: v.Get("redirect_uri"), RedirectOmitted: !v.Has("redirect_uri"),
		State: v.Get("state"), HasState: v.Has("state"),
	}
	switch {
	case v.Repeated("redirect_uri"):
		return nil, oautherr.New(oautherr.InvalidRequest, "redirect_uri is there more than once")
	case d.RedirectOmitted && len(c.RedirectURIs) != 1:
		return nil, oautherr.New(oautherr.InvalidRequest, "redirect_uri is missing")
	case d.RedirectOmitted:
		d.RedirectURI = c.RedirectURIs[0] // RFC 6749 §3.1.2.3: the only one that is registered
	case !RedirectMatches(c.RedirectURIs, d.RedirectURI):
		return nil, oautherr.New(oautherr.InvalidRequest, "redirect_uri is not one that the client has registered")
	}
	d.Type, _ = model.ParseResponseType(v.Get("response_type"))
	d.Mode = model.ResponseMode(v.Get("response_mode"))
	if !d.modeFits() {
		d.Mode = d.defaultMode()
	}
	return d, nil
}

// defaultMode is that of the response type: no token may be in a query, where
// logs and referrers would have it (Multiple Response Types §5).
func (d *destination) defaultMode() model.ResponseMode {
	if d.Type.Token() || d.Type.IDToken() {
		return model.ModeFragment
	}
	return model.ModeQuery
}

// modeFits reports whether the mode is one that the response type may have.
func (d *destination) modeFits() bool {
	return d.Mode == d.defaultMode() || d.Mode == model.ModeFragment || d.Mode == model.ModeFormPost
}
