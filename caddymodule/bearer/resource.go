package bearer

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gatehouse-auth/gatehouse/introspect"
)

// describeResource prepares the metadata of RFC 9728, when the API has a name.
func (h *Handler) describeResource() (err error) {
	if h.Resource == "" {
		return nil
	}
	if h.guard.Challenge.ResourceMetadata, err = introspect.MetadataURL(h.Resource); err != nil {
		return fmt.Errorf("resource: %w", err)
	}
	if h.metadataPath, err = introspect.MetadataPath(h.Resource); err != nil {
		return fmt.Errorf("resource: %w", err)
	}
	h.metadataPath, _, _ = strings.Cut(h.metadataPath, "?")
	h.metadata = &introspect.Metadata{
		Resource: h.Resource, AuthorizationServers: h.authorizationServers(),
		ScopesSupported: slices.Concat(h.Scopes, h.AnyScope), BearerMethodsSupported: []string{"header"},
	}
	return nil
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
