package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/gatehouse-auth/gatehouse/engine"
	"github.com/gatehouse-auth/gatehouse/engine/model"
)

// defaultAnnounce is how long a new key is published before it signs. Clients
// may keep the JWK Set for a quarter of that.
const defaultAnnounce = time.Hour

// defaultOverlap is how long an old key still verifies: as long as any token
// that it signed may live, but no shorter than a day and no longer than ten years.
func defaultOverlap(s *model.Service) time.Duration {
	const day, decade = 24 * 60 * 60, 10 * 365 * 24 * 60 * 60
	longest := max(s.IDTokenDuration, s.AccessTokenDuration, day)
	return time.Duration(min(longest, decade)) * time.Second
}

// rotateKeys checks a rotation's plan and carries it out. No algorithms means
// all that have keys; a nil overlap means the default.
func rotateKeys(ctx context.Context, e *engine.Engine, service *model.Service, algs []string, announce time.Duration, overlap *time.Duration) ([]string, error) {
	for _, alg := range algs {
		if !slices.Contains(model.AsymmetricAlgs, model.SignAlg(alg)) && alg != string(model.RSAOAEP256) && alg != string(model.ECDHES) {
			return nil, fmt.Errorf("%w: there are no keys for %q", errPlan, alg)
		}
	}
	plan, err := rotation(service, announce, overlap)
	if err != nil {
		return nil, err
	}
	return e.RotateKeys(ctx, service.ID, algs, plan)
}

func rotation(service *model.Service, announce time.Duration, overlap *time.Duration) (engine.Rotation, error) {
	plan := engine.Rotation{Announce: announce, Overlap: defaultOverlap(service)}
	if overlap != nil {
		plan.Overlap = *overlap
	}
	if plan.Announce < 0 || plan.Overlap < 0 {
		return plan, fmt.Errorf("%w: announce and overlap cannot be negative", errPlan)
	}
	return plan, nil
}

var errPlan = errors.New("this rotation cannot be done")
