package introspect

import (
	"net/http"
	"strings"
)

// Members of cnf that bind a token to its sender (RFC 7800 §3.1).
const (
	ConfirmJKT = "jkt"      // a DPoP key's thumbprint (RFC 9449 §6.1)
	ConfirmX5T = "x5t#S256" // a client certificate's (RFC 8705 §3.1)
)

// Confirmation returns a member of the token's cnf that is text, or "".
func (f *Facts) Confirmation(member string) string {
	cnf, _ := f.Claims["cnf"].(map[string]any)
	s, _ := cnf[member].(string)
	return s
}

// Confirmer decides whether the sender of a request proves what one member of
// cnf demands. A token without that member is refused. Its errors are those of
// [Guard.Confirm]. It must be safe for concurrent use.
type Confirmer interface {
	Confirm(*http.Request, Credentials, *Facts) error
}

// Binding asks for every proof that a token is bound to, and refuses a token
// that is bound to something else: its Confirm is a [Guard]'s. It is not
// changed after its first use; it is then safe for concurrent use.
type Binding struct {
	// DPoP confirms jkt and every token that comes under the DPoP scheme, MTLS
	// confirms x5t#S256. Without one, tokens that need it are refused.
	DPoP, MTLS Confirmer
	// Required refuses tokens that are bound to nothing.
	Required bool
}

// Confirm implements [Guard.Confirm]. A token that is bound to both a key and a
// certificate needs both. The key comes last, since a proof can be used once.
func (b *Binding) Confirm(r *http.Request, c Credentials, f *Facts) error {
	const unknown = "The access token is bound to its sender in a way that is not known here."
	key, certificate := c.Scheme == SchemeDPoP || strings.EqualFold(f.TokenType, SchemeDPoP), false
	cnf, _ := f.Claims["cnf"].(map[string]any)
	for name := range cnf {
		switch name {
		case ConfirmJKT:
			key = true
		case ConfirmX5T:
			certificate = true
		default: // to pass over it would be to confirm it
			return unconfirmed(c, unknown)
		}
	}
	switch {
	case key || certificate:
	case f.SenderConstrained():
		return unconfirmed(c, unknown)
	case b.Required:
		return unconfirmed(c, "This resource wants access tokens that are bound to their sender.")
	}
	if certificate {
		if err := confirmBy(b.MTLS, r, c, f); err != nil {
			return err
		}
	}
	if key {
		return confirmBy(b.DPoP, r, c, f)
	}
	return nil
}

func confirmBy(by Confirmer, r *http.Request, c Credentials, f *Facts) error {
	if by == nil {
		return unconfirmed(c, "The access token is bound to its sender in a way that is not accepted here.")
	}
	return by.Confirm(r, c, f)
}

// unconfirmed refuses credentials whose token their sender may not use.
func unconfirmed(c Credentials, description string) error {
	refusal := invalidToken(ReasonProof, description)
	refusal.Scheme = c.Scheme
	return refusal
}
