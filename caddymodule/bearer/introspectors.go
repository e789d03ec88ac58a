package bearer

import (
	"errors"
	"fmt"
	"slices"

	"github.com/gatehouse-auth/gatehouse/caddymodule/serving"
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/introspect"
)

// reserve finds out who is asked about tokens: the introspectors that are
// named; otherwise the engines of the services whose issuers are; otherwise
// the only service, or the only introspector, that there is.
func (h *Handler) reserve() error {
	names := h.Introspectors
	declared, err := h.app.Declared("")
	switch {
	case len(names) > 0:
	case errors.Is(err, serving.ErrNoServices) && len(h.app.Introspectors()) == 1:
		names = h.app.Introspectors()
	case len(h.Issuers) > 1:
		names = h.Issuers
	case len(h.Issuers) == 1:
		if declared, err = h.app.Declared(h.Issuers[0]); err != nil {
			return err
		}
		return h.reserveEngine(declared)
	case err != nil:
		return err
	default:
		return h.reserveEngine(declared)
	}
	if h.CacheSettings != (serving.CacheSettings{}) {
		return errors.New("cache_size, cache_ttl and cache_negative_ttl belong to the introspectors that are named")
	}
	for _, name := range names {
		reserved, err := h.app.Introspector(name)
		if err != nil {
			return err
		}
		h.introspectors = append(h.introspectors, reserved)
	}
	if _, err := h.choose(func(*serving.Introspector) introspect.Introspector { return nil }); err != nil {
		return err
	}
	return h.checkIssuers()
}

// reserveEngine asks the engine of one service, whose settings tell mistakes.
func (h *Handler) reserveEngine(service *model.Service) error {
	for _, scope := range slices.Concat(h.Scopes, h.AnyScope) {
		if _, ok := service.Scope(scope); !ok {
			return fmt.Errorf("scope %s is not one that %s supports, so no token could have it", scope, service.Issuer)
		}
	}
	h.introspectors = []*serving.Introspector{h.app.EngineOf(service, h.CacheSettings)}
	return nil
}

// checkIssuers finds issuers whose tokens nobody here vouches for.
func (h *Handler) checkIssuers() error {
	known := []string{}
	for _, i := range h.introspectors {
		if len(i.Issuers) == 0 {
			return nil // whoever it is may vouch for them
		}
		known = append(known, i.Issuers...)
	}
	for _, issuer := range h.Issuers {
		if !slices.Contains(known, issuer) {
			return fmt.Errorf("issuer %s: none of the introspectors vouches for its tokens", issuer)
		}
	}
	return nil
}

// open joins the introspectors once the app has started.
func (h *Handler) open() (introspect.Introspector, error) {
	return h.choose(func(i *serving.Introspector) introspect.Introspector {
		if h.Uncached {
			return i.Open.From
		}
		return i.Open.Cache.Over(i.Open.From)
	})
}

// choose joins the introspectors into one that asks the right one.
func (h *Handler) choose(opened func(*serving.Introspector) introspect.Introspector) (introspect.Introspector, error) {
	if len(h.introspectors) == 1 && h.Introspectors == nil {
		return opened(h.introspectors[0]), nil // there is nobody else to ask
	}
	var candidates []introspect.Candidate
	for _, i := range h.introspectors {
		from := opened(i)
		for _, candidate := range i.Takes {
			candidate.Introspector = from
			candidates = append(candidates, candidate)
		}
	}
	return introspect.Choose(candidates...)
}
