package bearer

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/gatehouse-auth/gatehouse/caddymodule/serving"
	"github.com/gatehouse-auth/gatehouse/introspect"
	"github.com/gatehouse-auth/gatehouse/introspect/dpop"
	"github.com/gatehouse-auth/gatehouse/introspect/mtls"
)

// Sender says which tokens are accepted that are bound to their sender. Without
// it none is: a stolen one would otherwise be worth as much as a bearer token.
type Sender struct {
	// DPoP accepts tokens bound to a key that the client proves to hold (RFC 9449).
	DPoP *DPoP `json:"dpop,omitempty"`
	// MTLS accepts tokens bound to the client's certificate (RFC 8705). The
	// site must ask for it: tls { client_auth { mode request } }.
	MTLS *MTLS `json:"mtls,omitempty"`
	// SenderConstrained refuses tokens that are bound to nothing.
	SenderConstrained bool `json:"sender_constrained,omitempty"`
}

// DPoP says which proofs are good.
type DPoP struct {
	// Origin is where clients find this API: scheme, host and port. Default:
	// that of the resource. The Host header has no say.
	Origin string `json:"origin,omitempty"`
	// Nonce demands a nonce of ours in every proof.
	Nonce bool `json:"nonce,omitempty"`
	// Algorithms are those that proofs may be signed with. Default: ES256,
	// Ed25519, EdDSA, PS256.
	Algorithms []string `json:"algorithms,omitempty"`
	// MaxAge is how old a proof may be. Default: 1 minute.
	MaxAge caddy.Duration `json:"max_age,omitempty"`
}

// MTLS says where the client's certificate is.
type MTLS struct {
	// ClientCertHeader takes it from the header Client-Cert (RFC 9440) of
	// requests that come from one of the server's trusted_proxies.
	ClientCertHeader bool `json:"client_cert_header,omitempty"`
}

// verifiers are the DPoP verifiers in use, by their settings. They outlive
// reloads, since they remember which proofs were used.
var verifiers = caddy.NewUsagePool()

type sharedVerifier struct{ *dpop.Verifier }

// Destruct is part of caddy.Destructor: there is nothing to close.
func (sharedVerifier) Destruct() error { return nil }

// bind makes the guard confirm what tokens are bound to. It is called once the
// app's keys are there.
func (h *Handler) bind(keys *serving.Keys) error {
	binding := &introspect.Binding{Required: h.SenderConstrained}
	if h.mtls != nil {
		binding.MTLS = h.mtls
	}
	if h.DPoP != nil {
		verifier, err := h.verifier(keys)
		if err != nil {
			return err
		}
		binding.DPoP = &dpop.Resource{Verifier: verifier, Target: h.target}
	}
	if h.DPoP != nil || h.MTLS != nil || h.SenderConstrained {
		h.guard.Confirm = binding.Confirm
	}
	return nil
}

func (h *Handler) verifier(keys *serving.Keys) (*dpop.Verifier, error) {
	key := fmt.Sprintf("%+v %x", *h.DPoP, keys.Nonce)
	value, _, err := verifiers.LoadOrNew(key, func() (caddy.Destructor, error) {
		verifier, err := dpop.New(h.proofs(keys.Nonce))
		return sharedVerifier{verifier}, err
	})
	if err != nil {
		return nil, err
	}
	h.held = append(h.held, func() { _, _ = verifiers.Delete(key) })
	return value.(sharedVerifier).Verifier, nil
}

func (h *Handler) proofs(nonceKey []byte) dpop.Options {
	return dpop.Options{
		Algorithms: h.DPoP.Algorithms, MaxAge: time.Duration(h.DPoP.MaxAge),
		RequireNonce: h.DPoP.Nonce, NonceKey: nonceKey,
	}
}

// checkSender finds mistakes, and settles what needs no key.
func (h *Handler) checkSender() (err error) {
	if h.MTLS != nil {
		trusted := func(r *http.Request) bool {
			from, _ := caddyhttp.GetVar(r.Context(), caddyhttp.TrustedProxyVarKey).(bool)
			return from && h.MTLS.ClientCertHeader
		}
		if h.mtls, err = mtls.New(trusted); err != nil {
			return err
		}
	}
	if h.SenderConstrained && h.DPoP == nil && h.MTLS == nil {
		return errors.New("sender_constrained needs dpop or mtls, or every token would be refused")
	}
	if h.DPoP == nil {
		return nil
	}
	if h.DPoP.Origin == "" {
		resource, err := url.Parse(h.Resource)
		if err != nil || resource.Host == "" {
			return errors.New("dpop: origin is missing, and there is no resource that has one: proofs name the URL that clients ask")
		}
		h.DPoP.Origin = resource.Scheme + "://" + resource.Host
	}
	at, err := dpop.At(h.DPoP.Origin)
	if err != nil {
		return err
	}
	h.target = func(r *http.Request) *url.URL { return at(asked(r)) }
	trial, err := dpop.New(h.proofs(nil))
	if err != nil {
		return err
	}
	h.guard.Challenge.DPoPAlgs = trial.Algorithms()
	h.guard.Challenge.DPoPOnly = h.SenderConstrained && h.MTLS == nil
	return nil
}

// asked is the request as the client sent it, before any rewrite.
func asked(r *http.Request) *http.Request {
	if original, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request); ok {
		return &original
	}
	return r
}

// unmarshal reads an option if it is one of these, and says whether it was.
func (s *Sender) unmarshal(d *caddyfile.Dispenser, name string, args []string) (bool, error) {
	switch name {
	case "dpop", "mtls", "sender_constrained":
	default:
		return false, nil
	}
	if len(args) > 0 {
		return true, d.Errf("%s: expected no arguments", name)
	}
	switch name {
	case "dpop":
		s.DPoP = new(DPoP)
		return true, s.DPoP.unmarshal(d)
	case "mtls":
		s.MTLS = new(MTLS)
		for nesting := d.Nesting(); d.NextBlock(nesting); {
			if d.Val() != "client_cert_header" || d.NextArg() {
				return true, d.Errf("mtls: unknown option %q; expected client_cert_header", d.Val())
			}
			s.MTLS.ClientCertHeader = true
		}
	default:
		s.SenderConstrained = true
	}
	return true, nil
}

func (p *DPoP) unmarshal(d *caddyfile.Dispenser) error {
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		name, args := d.Val(), d.RemainingArgs()
		switch {
		case name == "nonce" && len(args) == 0:
			p.Nonce = true
		case name == "origin" && len(args) == 1:
			p.Origin = args[0]
		case name == "algorithms" && len(args) > 0:
			p.Algorithms = append(p.Algorithms, args...)
		case name == "max_age" && len(args) == 1:
			if err := serving.UnmarshalDuration(d, name, args[0], &p.MaxAge); err != nil {
				return err
			}
		default:
			return d.Errf("dpop: unknown option or wrong number of arguments: %s; expected origin, nonce, algorithms or max_age", name)
		}
	}
	return nil
}
