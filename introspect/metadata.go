package introspect

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// WellKnown is where a resource's metadata starts (RFC 9728 §3).
const WellKnown = "/.well-known/oauth-protected-resource"

// Metadata is a protected resource's metadata document (RFC 9728 §2).
type Metadata struct {
	Resource                 string   `json:"resource"`
	AuthorizationServers     []string `json:"authorization_servers,omitempty"`
	JWKSURI                  string   `json:"jwks_uri,omitempty"`
	ScopesSupported          []string `json:"scopes_supported,omitempty"`
	BearerMethodsSupported   []string `json:"bearer_methods_supported,omitempty"`
	SigningAlgsSupported     []string `json:"resource_signing_alg_values_supported,omitempty"`
	ResourceName             string   `json:"resource_name,omitempty"`
	Documentation            string   `json:"resource_documentation,omitempty"`
	PolicyURI                string   `json:"resource_policy_uri,omitempty"`
	TermsOfServiceURI        string   `json:"resource_tos_uri,omitempty"`
	TLSBoundTokens           bool     `json:"tls_client_certificate_bound_access_tokens,omitempty"`
	AuthorizationDetailTypes []string `json:"authorization_details_types_supported,omitempty"`
	DPoPAlgsSupported        []string `json:"dpop_signing_alg_values_supported,omitempty"`
	DPoPBoundTokensRequired  bool     `json:"dpop_bound_access_tokens_required,omitempty"`
}

// ServeHTTP answers with the document (RFC 9728 §3.2). It is public, and
// browsers' scripts may read it wherever they come from.
func (m *Metadata) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Access-Control-Allow-Origin", "*")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.Set("Allow", "GET, HEAD")
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	body, err := json.Marshal(m)
	if err != nil { // strings and booleans: cannot fail
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Cache-Control", "public, max-age=3600")
	_, _ = w.Write(body) // the client may be gone
}

// MetadataURL returns where the metadata of a resource identifier is: the
// well-known path goes between its host and its path and query, after a slash
// that ends the host has gone (RFC 9728 §3.1). The identifier is an https URL
// without user and fragment (§1.2); http is accepted on loopback hosts.
func MetadataURL(resource string) (string, error) {
	u, err := parseResource(resource)
	if err != nil {
		return "", err
	}
	// Put together by hand: a path must come back exactly as it was written.
	host := u.Scheme + "://" + u.Host
	rest := resource[strings.Index(resource, "://")+3:]
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		rest = rest[i:]
	} else {
		rest = ""
	}
	if rest == "/" || strings.HasPrefix(rest, "/?") {
		rest = rest[1:]
	}
	return host + WellKnown + rest, nil
}

// MetadataPath returns the path, and with it the query if the identifier has
// one, of [MetadataURL].
func MetadataPath(resource string) (string, error) {
	full, err := MetadataURL(resource)
	if err != nil {
		return "", err
	}
	return full[strings.Index(full, WellKnown):], nil
}

func parseResource(resource string) (*url.URL, error) {
	u, err := url.Parse(resource)
	switch {
	case err != nil:
		return nil, fmt.Errorf("resource identifier: %w", err)
	case u.Host == "" || u.Opaque != "":
		return nil, fmt.Errorf("resource identifier %q: must be an absolute URL such as https://api.example.com/", resource)
	case u.User != nil:
		return nil, errors.New("resource identifier: must not hold a user name")
	case strings.Contains(resource, "#"):
		return nil, fmt.Errorf("resource identifier %q: must not have a fragment (RFC 9728 §1.2)", resource)
	case u.Scheme == "https", u.Scheme == "http" && isLoopback(u.Hostname()):
		return u, nil
	}
	return nil, fmt.Errorf("resource identifier %q: must use https", resource)
}

func isLoopback(host string) bool {
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
