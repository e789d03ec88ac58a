package bearer

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/gatehouse-auth/gatehouse/caddymodule/serving"
	"github.com/gatehouse-auth/gatehouse/introspect"
)

// keysPath is where the gateway's own keys are published.
const keysPath = "/.well-known/gatehouse/jwks.json"

// About describes the API in the metadata of RFC 9728.
type About struct {
	// Resource is this API's resource identifier: its URL. With it, the
	// metadata is served and named in challenges.
	Resource string `json:"resource,omitempty"`
	// ResourceName and the others are for people (RFC 9728 §2).
	ResourceName          string `json:"resource_name,omitempty"`
	ResourceDocumentation string `json:"resource_documentation,omitempty"`
	ResourcePolicyURI     string `json:"resource_policy_uri,omitempty"`
	ResourceTOSURI        string `json:"resource_tos_uri,omitempty"`
	// ResourceSigned adds signed_metadata (RFC 9728 §2.2), signed with the
	// gateway's own key.
	ResourceSigned bool `json:"resource_signed,omitempty"`
}

// unmarshal reads the option resource.
func (o *About) unmarshal(d *caddyfile.Dispenser, args []string) error {
	if len(args) != 1 {
		return d.Err("resource: expected one URL")
	}
	o.Resource = args[0]
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		name, args := d.Val(), d.RemainingArgs()
		to := map[string]*string{
			"name": &o.ResourceName, "documentation": &o.ResourceDocumentation,
			"policy": &o.ResourcePolicyURI, "terms_of_service": &o.ResourceTOSURI,
		}[name]
		switch {
		case to != nil && len(args) == 1:
			*to = args[0]
		case name == "signed" && len(args) == 0:
			o.ResourceSigned = true
		default:
			return d.Errf("resource: unknown option or wrong number of arguments: %s; expected name, documentation, policy, terms_of_service or signed", name)
		}
	}
	return nil
}

// origin is the resource's scheme, host and port; "" without a resource.
func (o *About) origin() string {
	u, err := url.Parse(o.Resource)
	if err != nil || u.Host == "" {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

// describeResource prepares the metadata of RFC 9728, when the API has a name.
func (h *Handler) describeResource() (err error) {
	if h.Resource == "" {
		return nil
	}
	challenge := &h.guard.Challenge
	if challenge.ResourceMetadata, err = introspect.MetadataURL(h.Resource); err != nil {
		return fmt.Errorf("resource: %w", err)
	}
	if h.metadataPath, err = introspect.MetadataPath(h.Resource); err != nil {
		return fmt.Errorf("resource: %w", err)
	}
	h.metadataPath, _, _ = strings.Cut(h.metadataPath, "?")
	h.document = &introspect.Metadata{
		Resource: h.Resource, AuthorizationServers: h.authorizationServers(),
		ScopesSupported: slices.Concat(h.Scopes, h.AnyScope), BearerMethodsSupported: []string{"header"},
		ResourceName: h.ResourceName, Documentation: h.ResourceDocumentation, PolicyURI: h.ResourcePolicyURI, TermsOfServiceURI: h.ResourceTOSURI,
		TLSBoundTokens: h.MTLS != nil, DPoPAlgsSupported: challenge.DPoPAlgs, DPoPBoundTokensRequired: challenge.DPoPOnly,
	}
	h.metadata = h.document
	if h.ownsKeys() {
		h.document.JWKSURI = h.origin() + keysPath
	}
	return nil
}

// ownsKeys reports whether something is signed here with the gateway's keys.
func (h *Handler) ownsKeys() bool {
	return h.ResourceSigned || h.Upstream != nil && h.Upstream.Mode == modeJWT
}

// publish serves the metadata and the gateway's keys; it says whether the
// request was for one of them. Both are public.
func (h *Handler) publish(w http.ResponseWriter, r *http.Request) bool {
	switch {
	case h.metadata != nil && r.URL.Path == h.metadataPath:
		h.metadata.ServeHTTP(w, r)
	case h.signer != nil && r.URL.Path == keysPath:
		h.signer.ServeHTTP(w, r)
	default:
		return false
	}
	return true
}

// sign takes the gateway's keys into use.
func (h *Handler) sign(keys *serving.Keys) {
	if !h.ownsKeys() {
		return
	}
	h.signer = keys.Signer
	if h.ResourceSigned {
		h.metadata = &introspect.SignedMetadata{Metadata: h.document, Issuer: h.origin(), Sign: keys.Signer.Sign}
	}
}

// authorizationServers are the issuers whose tokens this route may accept.
func (h *Handler) authorizationServers() []string {
	var list []string
	for _, i := range h.introspectors {
		for _, issuer := range i.Issuers {
			if !slices.Contains(list, issuer) && (len(h.Issuers) == 0 || slices.Contains(h.Issuers, issuer)) {
				list = append(list, issuer)
			}
		}
	}
	return list
}
