// Package binding ties tokens to their sender: to a DPoP key (RFC 9449) and to
// a client certificate (RFC 8705 §3).
package binding

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"net/url"
	"time"

	"github.com/gatehouse-auth/gatehouse/engine/dpop"
	"github.com/gatehouse-auth/gatehouse/engine/internal/oautherr"
	"github.com/gatehouse-auth/gatehouse/engine/internal/realm"
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// Sender is by what a request shows who sends it, beside its client's
// credentials and its token.
type Sender struct {
	// DPoP are the values of the DPoP header (RFC 9449 §4.1): of two neither counts.
	DPoP []string
	// HTM is the method of the request. HTU is the URL that it was sent to,
	// which must not come from the Host header; empty for the endpoint's own.
	HTM, HTU string
	// ClientCertificate is that of the TLS connection, as DER; empty without one.
	ClientCertificate []byte
}

// ForTokens decides what the tokens of a token request are bound to, and uses
// its proof up (RFC 9449 §5, RFC 8705 §3). The error is an *oautherr.Error, or
// the store's.
func ForTokens(ctx context.Context, r *realm.Realm, c *model.Client, s Sender) (b model.Confirmation, err error) {
	if c.CertificateBoundTokens {
		switch {
		case !r.Service.CertificateBoundTokens:
			return b, oautherr.New(oautherr.UnauthorizedClient, "this service binds no access tokens to certificates, which the client is registered for")
		case len(s.ClientCertificate) == 0:
			return b, oautherr.New(oautherr.InvalidRequest, "the request has no client certificate, which the client's access tokens are bound to")
		}
		b.X5T = sha256.Sum256(s.ClientCertificate)
	}
	if len(s.DPoP) > 0 || c.DPoPRequired {
		b.JKT, err = prove(ctx, r, s, r.Service.TokenEndpoint, dpop.Request{})
	}
	return b, err
}

// The schemes by which a request carries an access token.
const (
	Bearer = "Bearer" // RFC 6750
	DPoP   = "DPoP"   // RFC 9449 §7.1
)

// Access is the use of an access token at a resource of the engine's own.
type Access struct {
	Scheme, Token string
	Bound         model.Confirmation // what the token is bound to
	Address       string             // of the resource
}

// Confirm decides whether the sender of a request may use an access token (RFC
// 9449 §7.1, §7.2, RFC 8705 §3). The key comes last, since a proof can be used
// once. The error is as for ForTokens.
func Confirm(ctx context.Context, r *realm.Realm, s Sender, a Access) error {
	switch {
	case a.Bound.JKT.IsZero() && a.Scheme == DPoP:
		return oautherr.New(oautherr.InvalidToken, "the access token is not bound to a DPoP key")
	case !a.Bound.JKT.IsZero() && a.Scheme != DPoP:
		return oautherr.New(oautherr.InvalidToken, "the access token is bound to a DPoP key: send it under the DPoP scheme, with a proof")
	case !a.Bound.X5T.IsZero() && (len(s.ClientCertificate) == 0 || a.Bound.X5T != sha256.Sum256(s.ClientCertificate)):
		return oautherr.New(oautherr.InvalidToken, "the access token is bound to another client certificate than the request's")
	case a.Bound.JKT.IsZero():
		return nil
	}
	_, err := prove(ctx, r, s, a.Address, dpop.Request{AccessToken: a.Token, JKT: a.Bound.JKT.String()})
	return err
}

// prove checks a proof and uses it up, in the store, so that it counts once on
// all nodes together (RFC 9449 §11.1). Whatever becomes of the request, it is spent.
func prove(ctx context.Context, r *realm.Realm, s Sender, address string, about dpop.Request) (jkt model.Thumbprint, err error) {
	about.Method = s.HTM
	if about.Target, err = url.Parse(cmp.Or(s.HTU, address)); err != nil {
		return jkt, err
	}
	proof, err := r.DPoP.Check(s.DPoP, about)
	if bad, is := errors.AsType[*dpop.Error](err); is {
		return jkt, &oautherr.Error{Code: bad.Code, Description: bad.Description, Cause: bad.Cause}
	}
	if err != nil {
		return jkt, err
	}
	now := r.Now().Unix()
	err = r.Store.Write(ctx, store.UseOnce{
		Service: r.Service.ID, Digest: sha256.Sum256([]byte("DPoP proof\x00" + proof.JKT + "\x00" + proof.JTI)),
		Now: now, ExpiresAt: now + int64(r.DPoP.Window()/time.Second) + r.Service.AllowableClockSkew,
	})
	if errors.Is(err, store.ErrSpent) {
		return jkt, oautherr.New(oautherr.InvalidDPoPProof, "the DPoP proof was used before")
	}
	if err != nil {
		return jkt, err
	}
	err = jkt.UnmarshalText([]byte(proof.JKT))
	return jkt, err
}

// Nonce is the one to give to the sender for its next proof, if the service
// demands one and the sender makes proofs (RFC 9449 §8.2, §9).
func Nonce(r *realm.Realm, s Sender) string {
	if !r.Service.DPoPNonceRequired || len(s.DPoP) == 0 {
		return ""
	}
	return r.DPoP.NewNonce()
}
