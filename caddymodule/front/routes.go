package front

import (
	"cmp"
	"net/http"
	"net/url"

	"github.com/gatehouse-auth/gatehouse/caddymodule/login"
	"github.com/gatehouse-auth/gatehouse/engine/model"
)

// route is an endpoint and where it is. The addresses come from the service's
// settings, so that they cannot differ from the discovery document.
type route struct {
	address string
	// direct, before the service's API key, is its other path, which is open only
	// if directly. Empty: it has none.
	direct   string
	directly bool
	absent   bool // the service does nothing of the kind
	endpoint
}

// routes are those of the protocol's endpoints.
func routes(s *model.Service) []route {
	read, post := []string{http.MethodGet, http.MethodHead}, []string{http.MethodPost}
	both := []string{http.MethodGet, http.MethodHead, http.MethodPost}
	return []route{
		{address: s.AuthorizationEndpoint, direct: "/api/auth/authorization/direct/", directly: s.DirectAuthorization,
			endpoint: endpoint{name: "authorization", methods: both, browser: true, serve: (*Handler).authorization}},
		{address: s.TokenEndpoint, direct: "/api/auth/token/direct/", directly: s.DirectToken,
			endpoint: endpoint{name: "token", methods: post, cors: true, grants: true, serve: (*Handler).token}},
		{address: s.RevocationEndpoint, direct: "/api/auth/revocation/direct/", directly: s.DirectRevocation,
			endpoint: endpoint{name: "revocation", methods: post, cors: true, serve: (*Handler).revocation}},
		{address: s.IntrospectionEndpoint, direct: "/api/auth/introspection/direct/", directly: s.DirectIntrospection,
			endpoint: endpoint{name: "introspection", methods: post, serve: (*Handler).introspection}},
		{address: s.RevocationStreamEndpoint,
			endpoint: endpoint{name: "revocation stream", methods: post, lasts: true, serve: (*Handler).revocationStream}},
		{address: s.JWKSURI, direct: "/api/service/jwks/get/direct/", directly: s.DirectJWKS,
			endpoint: endpoint{name: "jwks", methods: read, cors: true, document: true, serve: (*Handler).jwks}},
		{address: s.UserInfoEndpoint, direct: "/api/auth/userinfo/direct/", directly: s.DirectUserInfo, absent: !s.OpenID(),
			endpoint: endpoint{name: "userinfo", methods: both, cors: true, serve: (*Handler).userInfo}},
		{address: s.RegistrationEndpoint, absent: !s.DynamicRegistrationSupported,
			endpoint: endpoint{name: "registration", methods: post, cors: true, body: largestRegistration, serve: (*Handler).register}},
	}
}

// layOut maps each path to its page or endpoint.
func (h *Handler) layOut(base string) {
	h.layOutPages(base)
	methods := []string{http.MethodGet, http.MethodHead}
	configuration := endpoint{name: "configuration", methods: methods, cors: true, document: true, serve: (*Handler).configuration}
	h.endpoints = map[string]endpoint{"/.well-known/oauth-authorization-server" + base: configuration} // RFC 8414 §3.1
	for _, r := range routes(h.service) {
		h.put(r)
		h.putDirect(r)
	}
	if h.service.OpenID() {
		h.endpoints[base+"/.well-known/openid-configuration"] = configuration
	}
}

func (h *Handler) layOutPages(base string) {
	h.paths = login.Paths{
		Login: cmp.Or(h.LoginPath, base+"/login"), Consent: cmp.Or(h.ConsentPath, base+"/consent"),
		Grants: cmp.Or(h.GrantsPath, base+"/grants"), EndSession: pathOf(h.service.EndSessionEndpoint),
	}
	if h.service.OpenID() {
		h.paths.CheckSession = pathOf(h.service.CheckSessionIframe)
	}
	if len(h.service.SupportedSNSes) > 0 {
		h.paths.Social = base + login.SocialPath
	}
}

// put lays a route out at the path of its address.
func (h *Handler) put(r route) {
	if !r.absent {
		h.endpoints[pathOf(r.address)] = r.endpoint
	}
}

// putDirect lays a route out at its other path, where there is nothing if that is
// not open.
func (h *Handler) putDirect(r route) {
	key := h.service.APIKey
	switch {
	case key == "" || r.direct == "":
	case r.directly && !r.absent:
		h.endpoints[r.direct+key] = r.endpoint
	default:
		h.endpoints[r.direct+key] = endpoint{name: r.name, document: true, serve: (*Handler).notFound}
	}
}

// pathOf is the path of an address that the catalogue has accepted.
func pathOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return u.Path
}
