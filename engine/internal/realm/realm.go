// Package realm is where a request is served: one service with its clients
// and keys, and the house that all services share.
package realm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/gatehouse-auth/gatehouse/engine/dpop"
	"github.com/gatehouse-auth/gatehouse/engine/fetch"
	"github.com/gatehouse-auth/gatehouse/engine/handle"
	"github.com/gatehouse-auth/gatehouse/engine/internal/jose"
	"github.com/gatehouse-auth/gatehouse/engine/internal/keys"
	"github.com/gatehouse-auth/gatehouse/engine/internal/oautherr"
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// House is what every realm of an engine shares.
type House struct {
	Store    store.Store
	Master   *keys.Master // of what is sealed
	Root     keys.Root    // of what is derived
	Now      func() time.Time
	Random   io.Reader
	IDs      *handle.IDs
	Subjects Subjects
	Observe  func(model.Event)
	Fetch    Fetcher
	RSA      *jose.Pool
}

// Subjects knows which users there are. It must be safe for concurrent use.
type Subjects interface {
	// Active reports whether the subject exists at the service and is not disabled.
	Active(ctx context.Context, service model.ID, subject string) (bool, error)
}

// Fetcher makes the requests that a client's settings lead to: *fetch.Client
// does. It must be safe for concurrent use, and guarded (threats.md 21).
type Fetcher interface {
	Get(ctx context.Context, address string, accept ...string) (fetch.Document, error)
	Do(ctx context.Context, r fetch.Request) (fetch.Response, error)
}

// Realm is one service, ready to serve. Its service and the clients that it
// gives are immutable.
type Realm struct {
	*House
	Service    *model.Service
	Keys       *keys.Ring
	Derivation keys.Derivation
	DPoP       *dpop.Checker // of proofs at this service's endpoints

	pairwise   keys.Derivation
	revocation keys.Derivation
	declared   map[string]*model.Client
	byID       map[model.ID]*model.Client
	registered registered
	clientKeys clientKeys
}

// New makes the realm of a service with the clients that its configuration declares.
func New(h *House, service model.Service, clients []model.Client, ring *keys.Ring) (*Realm, error) {
	r := &Realm{
		House: h, Service: &service, Keys: ring,
		declared: make(map[string]*model.Client, len(clients)),
		byID:     make(map[model.ID]*model.Client, len(clients)),
	}
	for purpose, key := range map[string]*keys.Derivation{
		keys.PurposeSuccession: &r.Derivation, keys.PurposePairwise: &r.pairwise, keys.PurposeRevocation: &r.revocation,
	} {
		var err error
		if *key, err = h.Root.Derive(service.ID, purpose); err != nil {
			return nil, err
		}
	}
	for _, c := range clients {
		if _, taken := r.declared[c.Alias]; taken {
			return nil, fmt.Errorf("client %s is declared twice", c.Alias)
		}
		hideSecret(&c)
		r.declared[c.Alias] = &c
		r.byID[c.ID] = &c
	}
	return r, r.openDPoP()
}

// openDPoP makes the checker of proofs. Every node has the same nonces.
func (r *Realm) openDPoP() error {
	nonces, err := r.Root.Derive(r.Service.ID, keys.PurposeNonce)
	if err != nil {
		return err
	}
	skew := time.Duration(r.Service.AllowableClockSkew) * time.Second
	r.DPoP, err = dpop.New(dpop.Options{
		MaxAge: dpop.DefaultMaxAge + skew, Skew: skew,
		RequireNonce: r.Service.DPoPNonceRequired, NonceKey: nonces[:], Now: r.Now,
	})
	return err
}

// TokenType is the token_type of an access token that is bound so (RFC 6749
// §7.1, RFC 9449 §5).
func (r *Realm) TokenType(c model.Confirmation) string {
	if c.JKT.IsZero() {
		return r.Service.AccessTokenType
	}
	return "DPoP"
}

// Scopes returns what a request gets of the scopes that it asks for: those that
// the service supports and the client may request, or the default ones when it
// asks for none. The others are ignored, as the rules of the parameter allow
// (RFC 6749 §3.3); the answer names those that were granted.
func (r *Realm) Scopes(c *model.Client, requested []string) ([]string, *oautherr.Error) {
	if len(requested) > maxScopes {
		return nil, oautherr.New(oautherr.InvalidScope, "there are too many scopes")
	}
	var scopes []string
	for _, scope := range r.Service.SupportedScopes {
		if len(requested) == 0 && scope.Default && c.MayRequest(scope.Name) {
			scopes = append(scopes, scope.Name)
		}
	}
	for _, name := range requested {
		if _, ok := r.Service.Scope(name); ok && c.MayRequest(name) {
			scopes = append(scopes, name)
		}
	}
	switch {
	case len(requested) > 0 && len(scopes) == 0:
		return nil, oautherr.New(oautherr.InvalidScope, "none of the scopes is one that the client may request")
	case len(scopes) == 0 && r.Service.ScopeRequired:
		return nil, oautherr.New(oautherr.InvalidScope, "scope is missing: this service requires it")
	}
	return scopes, nil
}

// maxScopes bounds the scopes of a request; a service has no more either.
const maxScopes = 255

// duration is how long a token is good: what the client says, or else the
// service, and no longer than any of its scopes says.
func (r *Realm) duration(service, client int64, scopes []string, attribute string) int64 {
	seconds := service
	if client > 0 {
		seconds = client
	}
	for _, name := range scopes {
		if scope, ok := r.Service.Scope(name); ok && len(scope.Attributes) > 0 {
			if limit := scope.Seconds(attribute); limit > 0 {
				seconds = min(seconds, limit)
			}
		}
	}
	return seconds
}

// AccessTokenDuration is in seconds.
func (r *Realm) AccessTokenDuration(c *model.Client, scopes []string) int64 {
	return r.duration(r.Service.AccessTokenDuration, c.AccessTokenDuration, scopes, model.AttributeAccessTokenDuration)
}

// RefreshTokenDuration is in seconds.
func (r *Realm) RefreshTokenDuration(c *model.Client, scopes []string) int64 {
	return r.duration(r.Service.RefreshTokenDuration, c.RefreshTokenDuration, scopes, model.AttributeRefreshTokenDuration)
}

// IDTokenDuration is in seconds.
func (r *Realm) IDTokenDuration(c *model.Client, scopes []string) int64 {
	return r.duration(r.Service.IDTokenDuration, c.IDTokenDuration, scopes, model.AttributeIDTokenDuration)
}

// SubjectActive reports whether tokens of the subject may still be used.
// A client acting for itself has no subject, and is always active.
func (r *Realm) SubjectActive(ctx context.Context, subject string) (bool, error) {
	if subject == "" || r.Subjects == nil {
		return true, nil
	}
	return r.Subjects.Active(ctx, r.Service.ID, subject)
}

// Report tells the observer of an event.
func (r *Realm) Report(e model.Event) {
	if r.Observe != nil {
		e.Service = r.Service.ID
		r.Observe(e)
	}
}

// Refuse reports a refusal and returns how it is answered at the endpoints
// that clients call directly: INVALID_CLIENT or BAD_REQUEST, with its JSON.
// The client may be nil, the grant type empty.
func (r *Realm) Refuse(operation string, g model.GrantType, c *model.Client, refusal *oautherr.Error) (model.Action, string) {
	event := model.Event{
		Kind: model.EventRefused, Operation: operation, GrantType: g,
		Code: refusal.Code, Description: refusal.Error(),
	}
	if c != nil {
		event.Client = c.Alias
	}
	r.Report(event)
	if r.Service.ErrorDescriptionOmitted {
		refusal = oautherr.New(refusal.Code, "")
	}
	if refusal.Code == oautherr.InvalidClient {
		return model.ActionInvalidClient, refusal.JSON()
	}
	return model.ActionBadRequest, refusal.JSON()
}

// maxDraws is how often a write whose ids are taken is tried with others.
const maxDraws = 4

// Write applies steps whose ids were drawn by build, again with other ids when
// those were taken.
func (r *Realm) Write(ctx context.Context, build func() ([]store.Step, error)) error {
	for draw := 1; ; draw++ {
		steps, err := build()
		if err != nil {
			return err
		}
		err = r.Store.Write(ctx, steps...)
		if errors.Is(err, store.ErrConflict) && draw < maxDraws {
			continue
		}
		return err
	}
}

// UsualAlg is the algorithm of what asks for none: RS256, or what a service
// without a key for it has first.
func (r *Realm) UsualAlg() model.SignAlg {
	algs := r.Keys.Algs(r.Now())
	if len(algs) == 0 || slices.Contains(algs, model.RS256) {
		return model.RS256
	}
	return algs[0]
}

// Algs are the algorithms that answers to clients can be signed with.
func (r *Realm) Algs() []model.SignAlg {
	return slices.Concat(r.Keys.Algs(r.Now()), model.SymmetricAlgs)
}
