package introspect

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

// WellKnown is where a resource's metadata starts (RFC 9728 §3).
const WellKnown = "/.well-known/oauth-protected-resource"

const (
	// DefaultMetadataLifetime is that of [SignedMetadata]'s JWT.
	DefaultMetadataLifetime = 2 * time.Hour

	metadataMaxAge = time.Hour
	// typeSignedMetadata is of our own making, since RFC 9728 names none.
	typeSignedMetadata = "resource-metadata+jwt"
)

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
	serveMetadata(w, r, metadataMaxAge, func() ([]byte, error) { return json.Marshal(m) })
}

// SignedMetadata serves a resource's metadata with signed_metadata in it (RFC
// 9728 §2.2). It is set before use and not changed after; it is then safe for
// concurrent use.
//
// Anybody can read the JWT. Its typ says that it is no access token (RFC 8725
// §3.11), to those who look: where it might meet a resource that does not, it
// should be signed with keys of its own (§3.12).
type SignedMetadata struct {
	Metadata *Metadata
	// Issuer is who attests to the metadata: the JWT's iss.
	Issuer string
	// Sign makes a JWT of a typ and claims, a JSON object.
	Sign func(typ string, claims []byte) (string, error)
	// Lifetime is that of the JWT, which is made anew when half of it is over;
	// 0 means [DefaultMetadataLifetime]. The key must be published as long.
	Lifetime time.Duration
	// Now is the clock; nil means time.Now.
	Now func() time.Time

	mu    sync.Mutex
	body  []byte
	renew time.Time // when body is made anew
}

// ServeHTTP answers with the document, as [Metadata.ServeHTTP] does, or with 503
// if it cannot be signed: one that says less would pass for a resource that
// does not sign.
func (s *SignedMetadata) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	serveMetadata(w, r, min(metadataMaxAge, s.lifetime()/2), s.document)
}

func (s *SignedMetadata) lifetime() time.Duration { return cmp.Or(s.Lifetime, DefaultMetadataLifetime) }

// document is the metadata with its signed form.
func (s *SignedMetadata) document() ([]byte, error) {
	now := time.Now
	if s.Now != nil {
		now = s.Now
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	issued := now()
	if s.body != nil && issued.Before(s.renew) {
		return s.body, nil
	}
	claims, err := json.Marshal(struct {
		Issuer    string `json:"iss"`
		IssuedAt  int64  `json:"iat"`
		ExpiresAt int64  `json:"exp"`
		*Metadata
	}{s.Issuer, issued.Unix(), issued.Add(s.lifetime()).Unix(), s.Metadata})
	if err != nil {
		return nil, err
	}
	signed, err := s.Sign(typeSignedMetadata, claims)
	if err != nil {
		return nil, err
	}
	body, err := json.Marshal(struct {
		*Metadata
		Signed string `json:"signed_metadata"`
	}{s.Metadata, signed})
	if err == nil {
		s.body, s.renew = body, issued.Add(s.lifetime()/2)
	}
	return body, err
}

func serveMetadata(w http.ResponseWriter, r *http.Request, maxAge time.Duration, document func() ([]byte, error)) {
	h := w.Header()
	h.Set("Access-Control-Allow-Origin", "*")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.Set("Allow", "GET, HEAD")
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	body, err := document()
	if err != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Cache-Control", "public, max-age="+strconv.FormatInt(int64(maxAge/time.Second), 10))
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
