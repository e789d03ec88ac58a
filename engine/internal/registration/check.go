package registration

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/gatehouse-auth/gatehouse/engine/internal/jose"
	"github.com/gatehouse-auth/gatehouse/engine/internal/keys"
	"github.com/gatehouse-auth/gatehouse/engine/internal/realm"
	"github.com/gatehouse-auth/gatehouse/engine/model"
)

// checks are what a draft must pass, whether it is new or replaces another, and
// whoever has attested it.
var checks = []func(*realm.Realm, *draft) error{
	checkFlows, checkAuthentication, checkScopes, checkAddresses, checkAlgorithms, checkKeys, checkWhole,
}

// permitted reports whether the policy leaves a value: an empty list leaves all.
func permitted[T comparable](policy []T, value T) bool {
	return len(policy) == 0 || slices.Contains(policy, value)
}

// checkFlows is RFC 7591 §2.1: the grant types are there that the response
// types need, and the service and its policy allow them all.
func checkFlows(r *realm.Realm, d *draft) error {
	s, c := r.Service, &d.client
	for _, g := range c.GrantTypes {
		if !s.Supports(g) || !permitted(s.RegistrationPolicy.GrantTypes, g) {
			return refuse("grant_types", "%q may not be registered here", g)
		}
	}
	for _, t := range c.ResponseTypes {
		if !s.SupportsResponse(t) || !permitted(s.RegistrationPolicy.ResponseTypes, t) {
			return refuse("response_types", "%q may not be registered here", t)
		}
		for _, g := range t.Grants() {
			if !c.Allows(g) {
				return refuse("grant_types", "%q of response_types needs %q (RFC 7591 section 2.1)", t, g)
			}
		}
	}
	redirects := len(c.ResponseTypes) > 0 || c.Allows(model.GrantAuthorizationCode) || c.Allows(model.GrantImplicit)
	if redirects && len(c.RedirectURIs) == 0 {
		return refuse("redirect_uris", "at least one is required")
	}
	return nil
}

func checkAuthentication(r *realm.Realm, d *draft) error {
	s, method := r.Service, d.client.TokenAuthMethod
	if d.client.CertificateBoundTokens && !s.CertificateBoundTokens {
		return refuse("tls_client_certificate_bound_access_tokens", "this server binds no access tokens to certificates")
	}
	if !slices.Contains(s.SupportedTokenAuthMethods, method) || !permitted(s.RegistrationPolicy.AuthMethods, method) {
		return refuse("token_endpoint_auth_method", "%q may not be registered here", method)
	}
	if method == model.AuthNone && d.needsSecret() {
		// OpenID Connect Core §10.1
		return refuse("token_endpoint_auth_method", "a client that uses none can keep no secret to sign or encrypt with")
	}
	return nil
}

// checkScopes leaves of the scopes those that the service knows, so that nobody
// gets today what may mean something tomorrow, and refuses those outside of the
// policy. Who asks for none in particular gets the policy's (threats.md 20).
func checkScopes(r *realm.Realm, d *draft) error {
	policy := r.Service.RegistrationPolicy.Scopes
	wanted := d.client.RequestableScopes
	if !d.has("scope") {
		if len(policy) == 0 {
			return nil
		}
		wanted = policy
	}
	scopes := []string{}
	for _, name := range wanted {
		if !permitted(policy, name) {
			return refuse("scope", "%q may not be registered here", name)
		}
		if _, known := r.Service.Scope(name); known && !slices.Contains(scopes, name) {
			scopes = append(scopes, name)
		}
	}
	return d.put("scope", strings.Join(scopes, " "))
}

// checkAlgorithms: what the service cannot do, nobody registers for.
func checkAlgorithms(r *realm.Realm, d *draft) error {
	c, algs := &d.client, r.Algs()
	for member, alg := range map[string]model.SignAlg{
		"id_token_signed_response_alg": c.IDTokenSignAlg, "userinfo_signed_response_alg": c.UserInfoSignAlg,
		"introspection_signed_response_alg": c.IntrospectionSignAlg,
	} {
		if d.has(member) && alg != model.AlgNone && !slices.Contains(algs, alg) {
			return refuse(member, "this server cannot sign by %s", alg)
		}
	}
	written := c.RequestEncryptionAlg
	if written != "" && !written.Symmetric() && !slices.Contains(r.Keys.EncAlgs(r.Now()), written) {
		return refuse("request_object_encryption_alg", "this server has no key for %s", written)
	}
	if c.RequestSignAlg == model.AlgNone && (c.RequestObjectRequired || r.Service.RequestObjectRequired) {
		return refuse("request_object_signing_alg", "signed request objects are required (RFC 9101 section 10.5)")
	}
	return nil
}

// checkKeys looks into jwks: public keys that can be used (RFC 7591 §2, RFC
// 7517 §9.2). What is at a jwks_uri is looked at when it is needed.
func checkKeys(_ *realm.Realm, d *draft) error {
	if d.client.JWKS == "" {
		return nil
	}
	set, err := keys.ParseSet([]byte(d.client.JWKS))
	if err != nil {
		return refuse("jwks", "%v", err)
	}
	var document struct {
		Keys []map[string]json.RawMessage `json:"keys"`
	}
	if json.Unmarshal([]byte(d.client.JWKS), &document) != nil {
		return refuse("jwks", "the keys are not JSON objects")
	}
	for _, key := range document.Keys {
		for name := range key {
			if slices.Contains(secretMembers, strings.ToLower(name)) {
				return refuse("jwks", "holds a private or symmetric key: it is no secret any more, make another one")
			}
		}
	}
	if len(set) == 0 {
		return refuse("jwks", "holds no public key that can be used")
	}
	return nil
}

// secretMembers are what only private and symmetric keys have (RFC 7518
// §6.2.2, §6.3.2, §6.4.1, RFC 8037 §2).
var secretMembers = []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"}

// checkWhole finds members that contradict each other.
func checkWhole(_ *realm.Realm, d *draft) error {
	settings := maps.Clone(d.settings)
	if d.needsSecret() {
		settings["clientSecret"] = jose.Raw(strings.Repeat("x", secretBytes*4/3)) // as long as the one to be issued
	}
	if _, err := model.NewClient("draft", settings); err != nil {
		return refuse("client metadata", "%s", inMembers(err))
	}
	if d.client.SubjectType == model.SubjectPairwise && d.client.Sector() == "" {
		return refuse("subject_type", "pairwise needs redirect_uris of one host, or a sector_identifier_uri (OpenID Connect Core section 8.1)")
	}
	return nil
}
