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
// says which member it feeds is there; the rest is what this engine does with
// the service as it is.
func Configuration(r *realm.Realm) ([]byte, error) {
	document := map[string]any{}
	for i := range model.ServiceSettings {
		s := &model.ServiceSettings[i]
		if s.Metadata == "" || !r.Service.OpenID() && slices.Contains(openIDOnly, s.Metadata) {
			continue
		}
		if v := s.Value(r.Service); !empty(v) {
			document[s.Metadata] = v
		}
	}
	authorization(r, document)
	endpoints(r, document)
	if r.Service.OpenID() {
		openID(r, document)
	}
	return json.Marshal(document)
}

// openIDOnly names the members that mean nothing without OpenID Connect.
var openIDOnly = []string{
	"userinfo_endpoint", "claims_supported", "claim_types_supported", "claims_locales_supported", "acr_values_supported",
	"display_values_supported", "end_session_endpoint", "check_session_iframe",
}

func empty(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case string:
		return v == ""
	case bool:
		return !v
	case []string:
		return len(v) == 0
	default:
		return false
	}
}

// authorization is what the authorization endpoint does. What is not turned on
// does not exist.
func authorization(r *realm.Realm, document map[string]any) {
	types := r.Service.ResponseTypes()
	document["response_types_supported"] = types // RFC 8414 §2: required, though it may be empty
	if len(types) == 0 {
		delete(document, "authorization_endpoint")
		return
	}
	document["response_modes_supported"] = []model.ResponseMode{model.ModeQuery, model.ModeFragment, model.ModeFormPost}
	if slices.ContainsFunc(types, model.ResponseType.Code) {
		methods := []string{"S256"}
		if !r.Service.PKCES256Required {
			methods = append(methods, "plain")
		}
		document["code_challenge_methods_supported"] = methods // RFC 8414 §2
	}
	document["authorization_response_iss_parameter_supported"] = !r.Service.ISSSuppressed // RFC 9207 §3
	document["request_parameter_supported"] = true
	document["request_uri_parameter_supported"] = true
	document["require_request_uri_registration"] = true
	algs := slices.Concat(model.SymmetricAlgs, model.AsymmetricAlgs)
	if !r.Service.RequestObjectRequired {
		algs = append([]model.SignAlg{model.AlgNone}, algs...)
	}
	document["request_object_signing_alg_values_supported"] = algs
	document["request_object_encryption_alg_values_supported"] = append(r.Keys.EncAlgs(r.Now()), symmetricEncAlgs()...)
	document["request_object_encryption_enc_values_supported"] = model.ContentEncs
}

func symmetricEncAlgs() []model.EncAlg {
	return slices.DeleteFunc(slices.Clone(model.EncAlgs), func(a model.EncAlg) bool { return !a.Symmetric() })
}

// endpoints is what clients that authenticate may do.
func endpoints(r *realm.Realm, document map[string]any) {
	if !r.Service.DynamicRegistrationSupported {
		delete(document, "registration_endpoint")
	}
	for name, methods := range map[string][]model.ClientAuthMethod{
		"token_endpoint":         r.Service.SupportedTokenAuthMethods,
		"revocation_endpoint":    r.Service.SupportedRevocationAuthMethods,
		"introspection_endpoint": r.Service.SupportedIntrospectionAuthMethods,
	} {
		var algs []model.SignAlg
		if slices.Contains(methods, model.AuthClientSecretJWT) {
			algs = append(algs, model.SymmetricAlgs...)
		}
		if slices.Contains(methods, model.AuthPrivateKeyJWT) {
			algs = append(algs, model.AsymmetricAlgs...)
		}
		if len(algs) > 0 {
			document[name+"_auth_signing_alg_values_supported"] = algs
		}
	}
	document["dpop_signing_alg_values_supported"] = r.DPoP.Algorithms() // RFC 9449 §5.1
	document["introspection_signing_alg_values_supported"] = r.Algs()   // RFC 9701 §7
	encrypts(document, "introspection")
}

// encrypts says by what answers of a kind can be encrypted: everything.
func encrypts(document map[string]any, what string) {
	document[what+"_encryption_alg_values_supported"] = model.EncAlgs
	document[what+"_encryption_enc_values_supported"] = model.ContentEncs
}

// openID is what OpenID Connect adds.
func openID(r *realm.Realm, document map[string]any) {
	algs := r.Algs()
	document["subject_types_supported"] = []model.SubjectType{model.SubjectPublic, model.SubjectPairwise}
	document["userinfo_signing_alg_values_supported"] = append([]model.SignAlg{model.AlgNone}, algs...)
	if slices.ContainsFunc(r.Service.ResponseTypes(), model.ResponseType.Code) {
		algs = append([]model.SignAlg{model.AlgNone}, algs...) // in the code flow alone (Discovery §3)
	}
	document["id_token_signing_alg_values_supported"] = algs
	encrypts(document, "id_token")
	encrypts(document, "userinfo")
	document["claims_parameter_supported"] = true
	document["prompt_values_supported"] = []string{"none", "login", "consent", "select_account"}
	document["frontchannel_logout_supported"] = true
	document["frontchannel_logout_session_supported"] = true
	document["backchannel_logout_supported"] = true
	document["backchannel_logout_session_supported"] = true
}

// JWKS returns the JWK Set of a service (RFC 7517 §5), public keys alone.
func JWKS(r *realm.Realm) ([]byte, error) { return r.Keys.PublicSet(r.Now()) }
