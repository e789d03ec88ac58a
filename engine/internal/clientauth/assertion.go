package clientauth

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/gatehouse-auth/gatehouse/engine/internal/jose"
	"github.com/gatehouse-auth/gatehouse/engine/internal/oautherr"
	"github.com/gatehouse-auth/gatehouse/engine/internal/params"
	"github.com/gatehouse-auth/gatehouse/engine/internal/realm"
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

const (
	// assertionType is RFC 7523 §2.2.
	assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
	maxAssertion  = 8 << 10 // bytes
	maxJTI        = 512     // characters
	// maxLifetime bounds how long an assertion may be good, in seconds, and so
	// how long its jti is kept.
	maxLifetime = 60 * 60
)

// assertion is a client assertion whose signature has not been looked at.
type assertion struct {
	*jose.Parsed
	claims map[string]json.RawMessage
}

// readAssertion takes a client assertion apart (RFC 7523 §2.2). The client is
// the one that iss and sub name; client_id may say so too.
func readAssertion(v params.Values) (*proof, *oautherr.Error) {
	if v.Get("client_assertion_type") != assertionType {
		return nil, oautherr.New(oautherr.InvalidClient, "client_assertion_type must be "+assertionType)
	}
	parsed, err := jose.Parse(v.Get("client_assertion"), maxAssertion)
	if err != nil {
		return nil, errUnknown.Because(err)
	}
	claims, err := jose.Object(parsed.Payload)
	if err != nil {
		return nil, errUnknown.Because(err)
	}
	id := jose.Text(claims["sub"])
	switch named := v.Get("client_id"); {
	case id == "" || jose.Text(claims["iss"]) != id: // §3, 1 and 2
		return nil, errUnknown.Because(errors.New("iss and sub of the assertion do not name one client"))
	case named != "" && named != id:
		return nil, oautherr.New(oautherr.InvalidRequest, "client_id differs from the client assertion")
	}
	return &proof{id: id, assertion: &assertion{parsed, claims}}, nil
}

// verifyAssertion is RFC 7523 §3. The assertion is spent by the last step, in
// the store, so that it counts once on all nodes together.
func verifyAssertion(ctx context.Context, r *realm.Realm, c *model.Client, a *assertion, at Endpoint) error {
	if err := a.verifySignature(ctx, r, c); err != nil {
		return err
	}
	if err := a.checkClaims(r, at); err != nil {
		return errUnknown.Because(err)
	}
	expires, _ := jose.Time(a.claims["exp"])
	// Another node accepts it until exp and the skew by its own clock, which may
	// be behind the one by which what was used is forgotten.
	err := r.Store.Write(ctx, store.UseOnce{
		Service: r.Service.ID, Now: r.Now().Unix(), ExpiresAt: expires + 2*r.Service.AllowableClockSkew + 1,
		Digest: sha256.Sum256([]byte("client assertion\x00" + c.Alias + "\x00" + jose.Text(a.claims["jti"]))),
	})
	if errors.Is(err, store.ErrSpent) {
		return errUnknown.Because(errors.New("the jti of the assertion was used before"))
	}
	return err
}

// verifySignature finds a key for the algorithm that the client is registered
// for. The header chooses neither the kind of algorithm nor the key's source
// (RFC 8725 §3.1).
func (a *assertion) verifySignature(ctx context.Context, r *realm.Realm, c *model.Client) error {
	symmetric := c.TokenAuthMethod == model.AuthClientSecretJWT
	switch {
	case c.TokenAuthSignAlg != "" && a.Alg != c.TokenAuthSignAlg:
		return errUnknown.Because(fmt.Errorf("the assertion is signed by another algorithm than %s", c.TokenAuthSignAlg))
	case symmetric != a.Alg.Symmetric() || a.Alg == model.AlgNone:
		return errUnknown.Because(fmt.Errorf("the algorithm of the assertion is not one of %s", c.TokenAuthMethod))
	case !slices.Contains([]string{"", "jwt", "client-authentication+jwt"}, strings.ToLower(a.Typ)):
		return errUnknown.Because(errors.New("the typ of the assertion is that of something else"))
	case symmetric && len(c.ClientSecret) < a.Alg.KeyBytes():
		return errUnknown.Because(fmt.Errorf("the client secret is too short for %s", a.Alg))
	case symmetric:
		if err := a.Verify([]byte(c.ClientSecret)); err != nil {
			return errUnknown.Because(err)
		}
		return nil
	}
	if err := r.VerifyClient(ctx, c, a.Parsed); err != nil {
		return errUnknown.Because(err)
	}
	return nil
}

// checkClaims is RFC 7523 §3, 3 to 7, and OpenID Connect Core §9, which
// requires jti. iat is required too: what has no beginning cannot be judged.
func (a *assertion) checkClaims(r *realm.Realm, at Endpoint) error {
	now, skew := r.Now().Unix(), r.Service.AllowableClockSkew
	expires, hasEnd := jose.Time(a.claims["exp"])
	issued, hasStart := jose.Time(a.claims["iat"])
	_, hasNotBefore := a.claims["nbf"]
	notBefore, valid := jose.Time(a.claims["nbf"])
	jti := jose.Text(a.claims["jti"])
	switch {
	case !hasEnd || expires+skew <= now:
		return errors.New("exp is missing or has passed")
	case expires > now+maxLifetime+skew:
		return fmt.Errorf("exp is more than %d seconds ahead", maxLifetime)
	case !hasStart || issued > now+skew:
		return errors.New("iat is missing or in the future")
	case hasNotBefore && (!valid || notBefore > now+skew):
		return errors.New("nbf is in the future")
	case jti == "" || len(jti) > maxJTI:
		return errors.New("jti is missing or too long")
	case !a.isFor(r, at):
		return errors.New("aud is not this authorization server")
	}
	return nil
}

// isFor reports whether the audience is this server: its issuer or, unless the
// service says otherwise, its token endpoint or the endpoint that was called.
func (a *assertion) isFor(r *realm.Realm, at Endpoint) bool {
	accepted := []string{r.Service.Issuer}
	if !r.Service.AssertionAudienceIssuer {
		accepted = append(accepted, r.Service.TokenEndpoint, at.Address)
	}
	return slices.ContainsFunc(jose.Texts(a.claims["aud"]), func(aud string) bool { return slices.Contains(accepted, aud) })
}
