package registration

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/gatehouse-auth/gatehouse/engine/internal/jose"
	"github.com/gatehouse-auth/gatehouse/engine/internal/keys"
	"github.com/gatehouse-auth/gatehouse/engine/internal/oautherr"
	"github.com/gatehouse-auth/gatehouse/engine/internal/realm"
	"github.com/gatehouse-auth/gatehouse/engine/model"
)

var (
	errStatement  = oautherr.New(oautherr.InvalidSoftwareStmt, "the software statement is not good, or not for this server")
	errUnapproved = oautherr.New(oautherr.UnapprovedSoftwareStmt, "this server believes no software statements")
	errRequired   = oautherr.New(oautherr.InvalidSoftwareStmt, "this server requires a software statement")
)

// believe verifies the software statement of a body, if there is one, and
// returns it with the metadata that counts: what the statement says comes
// before what stands beside it (RFC 7591 §2.3).
func believe(r *realm.Realm, body members) (statement string, merged members, err error) {
	raw, ok := body["software_statement"]
	switch {
	case !ok && r.Service.SoftwareStatementRequired:
		return "", nil, errRequired
	case !ok:
		return "", body, nil
	case r.Service.SoftwareStatementJWKS == "":
		return "", nil, errUnapproved
	}
	statement = jose.Text(raw)
	claims, err := verifyStatement(r, statement)
	if err != nil {
		return "", nil, errStatement.Because(err)
	}
	return statement, prefer(claims, body), nil
}

// verifyStatement is RFC 7591 §2.3 with RFC 7519 §4.1. The key is one that the
// operator has configured: of what the header says, alg must suit the key, and
// kid may choose among the keys (threats.md 13, 16).
func verifyStatement(r *realm.Realm, statement string) (members, error) {
	parsed, err := jose.Parse(statement, int(r.Service.MaxRegistrationBytes))
	if err != nil {
		return nil, err
	}
	switch {
	case !slices.Contains(model.AsymmetricAlgs, parsed.Alg):
		return nil, errors.New("it is not signed by a private key")
	case !slices.Contains([]string{"", "jwt"}, strings.ToLower(parsed.Typ)):
		return nil, errors.New("its typ is that of something else") // RFC 8725 §3.11
	}
	set, err := keys.ParseSet([]byte(r.Service.SoftwareStatementJWKS))
	if err != nil {
		return nil, err
	}
	verifies := func(k keys.Public) bool {
		named := parsed.Kid == "" || k.KID == "" || k.KID == parsed.Kid
		return named && k.Suits(parsed.Alg) && parsed.Verify(k.Key) == nil
	}
	if !slices.ContainsFunc(set, verifies) {
		return nil, errors.New("none of the configured keys verifies it")
	}
	object, err := jose.Object(parsed.Payload)
	if err != nil {
		return nil, err
	}
	claims := withoutNulls(object)
	return claims, checkClaims(r, claims)
}

// checkClaims judges the claims that are about the statement (threats.md 12).
// iat is required beyond RFC 7591: what has no beginning cannot be judged.
func checkClaims(r *realm.Realm, claims members) error {
	now, skew := r.Now().Unix(), r.Service.AllowableClockSkew
	issued, hasStart := jose.Time(claims["iat"])
	expires, expiresValid := jose.Time(claims["exp"])
	notBefore, notBeforeValid := jose.Time(claims["nbf"])
	here := []string{r.Service.Issuer, r.Service.RegistrationEndpoint, r.Service.TokenEndpoint}
	isHere := func(audience string) bool { return slices.Contains(here, audience) }
	switch {
	case jose.Text(claims["iss"]) == "":
		return errors.New("iss is missing")
	case !hasStart || issued > now+skew:
		return errors.New("iat is missing or in the future")
	case claims["exp"] != nil && (!expiresValid || expires+skew <= now):
		return errors.New("exp has passed")
	case claims["nbf"] != nil && (!notBeforeValid || notBefore > now+skew):
		return errors.New("nbf is in the future")
	case claims["aud"] != nil && !slices.ContainsFunc(jose.Texts(claims["aud"]), isHere):
		return errors.New("aud is not this authorization server") // RFC 7519 §4.1.3
	}
	return nil
}

// prefer lets the claims of a statement replace members. What the statement
// says in one language, the body cannot say otherwise in another: people who
// read that would be shown a name that nobody has attested.
func prefer(claims, body members) members {
	merged := maps.Clone(body)
	for claim := range claims {
		base, _, _ := strings.Cut(claim, "#")
		maps.DeleteFunc(merged, func(name string, _ json.RawMessage) bool {
			return name == base || strings.HasPrefix(name, base+"#")
		})
	}
	maps.Copy(merged, claims)
	return merged
}
