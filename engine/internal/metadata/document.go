// Package metadata makes the documents from which clients configure
// themselves: discovery (OpenID Connect Discovery §3, RFC 8414 §2) and the
// JWK Set.
package metadata

import (
	"encoding/json"
	"slices"

	"github.com/gatehouse-auth/gatehouse/engine/internal/realm"
	"github.com/gatehouse-auth/gatehouse/engine/model"
)

// Configuration returns the discovery document of a service. Each setting that
// says which member it feeds is there; the rest is what this engine does.
func Configuration(r *realm.Realm) ([]byte, error) {
	openID := slices.ContainsFunc(r.Service.SupportedScopes, func(s model.Scope) bool { return s.Name == "openid" })
	document := map[string]any{}
	for i := range model.ServiceSettings {
		s := &model.ServiceSettings[i]
		if s.Metadata == "" || !openID && openIDOnly(s.Metadata) {
			continue
		}
		if v := s.Value(r.Service); !empty(v) {
			document[s.Metadata] = v
		}
	}
	// RFC 8414 §2: required, empty when no grant type uses the authorization endpoint.
	document["response_types_supported"] = []string{}
	if r.Supports(model.GrantAuthorizationCode) {
		document["response_types_supported"] = []string{"code"}
		document["response_modes_supported"] = []string{"query"}
		document["code_challenge_methods_supported"] = []string{"S256"} // RFC 8414 §2
		document["authorization_response_iss_parameter_supported"] = true
		document["request_parameter_supported"] = false
		document["request_uri_parameter_supported"] = false
	} else {
		delete(document, "authorization_endpoint")
	}
	if openID {
		document["subject_types_supported"] = []string{"public"}
		document["id_token_signing_alg_values_supported"] = model.SignAlgs
		document["claims_parameter_supported"] = true
		document["prompt_values_supported"] = []string{"none", "login", "consent", "select_account"}
	}
	return json.Marshal(document)
}

// openIDOnly names the members that mean nothing without OpenID Connect.
func openIDOnly(metadata string) bool {
	return metadata == "userinfo_endpoint" || metadata == "claims_supported"
}

func empty(v any) bool {
	switch v := v.(type) {
	case string:
		return v == ""
	case []string:
		return len(v) == 0
	default:
		return false
	}
}

// JWKS returns the JWK Set of a service (RFC 7517 §5), public keys alone.
func JWKS(r *realm.Realm) ([]byte, error) { return r.Keys.PublicSet(r.Now()) }
