package dpop

import (
	"net/http"
	"net/url"

	"github.com/gatehouse-auth/gatehouse/introspect"
)

// Resource accepts at one resource only tokens that are bound to a DPoP key,
// from whoever proves to hold it: its Confirm is an [introspect.Guard]'s, or
// one half of an [introspect.Binding]. Both members are needed; resources may
// share a Verifier. It is safe for concurrent use if Target is.
type Resource struct {
	// Verifier checks the proofs.
	Verifier *Verifier
	// Target returns the URL that a request was sent to, as [Request.Target]
	// describes; [At] makes one.
	Target func(*http.Request) *url.URL
}

// Confirm implements [introspect.Confirmer]. A bound token under the Bearer
// scheme is refused whatever else the request proves (RFC 9449 §7.2).
func (d *Resource) Confirm(r *http.Request, c introspect.Credentials, f *introspect.Facts) error {
	jkt := f.Confirmation(introspect.ConfirmJKT)
	switch {
	case jkt == "":
		return invalidToken(c, "The access token is not bound to a DPoP key.")
	case c.Scheme != introspect.SchemeDPoP:
		return invalidToken(c, "The access token is bound to a DPoP key: send it under the DPoP scheme, with a proof.")
	}
	_, err := d.Verifier.Check(r.Header["Dpop"], Request{
		Method: r.Method, Target: d.Target(r), AccessToken: c.Token, JKT: jkt,
	})
	return err
}

func invalidToken(c introspect.Credentials, description string) error {
	refusal := refuse(introspect.CodeInvalidToken, description, nil)
	refusal.Scheme = c.Scheme
	return refusal
}
