package registration

import (
	neturl "net/url"
	"slices"

	"github.com/gatehouse-auth/gatehouse/engine/internal/realm"
	"github.com/gatehouse-auth/gatehouse/engine/model"
)

// fillIn gives the draft what it leaves out, so that the answer says what was
// registered (RFC 7591 §3.2.1), and it stays so when this server's defaults
// change. The values are those of OpenID Connect Dynamic Client Registration §2.
func (d *draft) fillIn(r *realm.Realm) error {
	if err := d.fillInFlows(); err != nil {
		return err
	}
	usual := map[string]any{
		"application_type":           d.usualApplication(),
		"token_endpoint_auth_method": model.AuthClientSecretBasic,
	}
	if r.Service.OpenID() {
		usual["id_token_signed_response_alg"] = r.UsualAlg()
		usual["subject_type"] = model.SubjectPublic
	}
	for _, what := range []string{"request_object_encryption", "id_token_encrypted_response", "userinfo_encrypted_response", "introspection_encrypted_response"} {
		if d.has(what + "_alg") {
			usual[what+"_enc"] = model.A128CBCHS256
		}
	}
	if d.has("default_max_age") && d.client.DefaultMaxAge == 0 {
		// It asks for a sign-in each time, and 0 means none to the rest of this
		// server: a second is the least that it can express (RFC 7591 §3.2.1
		// lets a server replace what it cannot do).
		if err := d.put("default_max_age", 1); err != nil {
			return err
		}
	}
	for member, value := range usual {
		if d.has(member) {
			continue
		}
		if err := d.put(member, value); err != nil {
			return err
		}
	}
	return nil
}

// usualApplication is web (§2), but native where no redirect address could be a
// web client's: each has a scheme of the application's own, or http on a
// loopback host (RFC 8252 §7.1, §7.3). Clients that know RFC 7591 alone, which
// has no application_type, register these and would be refused; they get nothing
// that saying native would not give them. With implicit it stays web, for whose
// addresses §2 has rules then.
func (d *draft) usualApplication() model.ApplicationType {
	addresses := d.client.RedirectURIs
	if len(addresses) == 0 || d.client.Allows(model.GrantImplicit) || slices.ContainsFunc(addresses, forWeb) {
		return model.ApplicationWeb
	}
	return model.ApplicationNative
}

// forWeb reports whether a redirect address can be a web client's.
func forWeb(address string) bool {
	u, err := neturl.Parse(address)
	return err != nil || u.Scheme == "https" || u.Scheme == "http" && !model.Loopback(u.Hostname())
}

// fillInFlows gives grant_types and response_types what each implies of the
// other (RFC 7591 §2.1). What is there stays as it is, and is checked later.
func (d *draft) fillInFlows() error {
	if !d.has("response_types") {
		types := []model.ResponseType{model.ResponseCode}
		if d.has("grant_types") && !d.client.Allows(model.GrantAuthorizationCode) && !d.client.Allows(model.GrantImplicit) {
			types = []model.ResponseType{} // a client that has no use for the authorization endpoint
		}
		if err := d.put("response_types", types); err != nil {
			return err
		}
	}
	if d.has("grant_types") {
		return nil
	}
	var grants []model.GrantType
	for _, t := range d.client.ResponseTypes {
		grants = append(grants, t.Grants()...)
	}
	if len(grants) == 0 {
		grants = []model.GrantType{model.GrantAuthorizationCode}
	}
	return d.put("grant_types", grants)
}
