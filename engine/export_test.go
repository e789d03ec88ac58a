package engine

import (
	"github.com/gatehouse-auth/gatehouse/engine/internal/keys"
	"github.com/gatehouse-auth/gatehouse/engine/model"
)

// SigningKeyForTest lends a service's own key to a test that forges with it.
func SigningKeyForTest(e *Engine, service model.ID, alg model.SignAlg) *keys.Key {
	key, err := e.byID[service].Keys.Signer(alg, "", e.house.Now())
	if err != nil {
		panic(err)
	}
	return key
}
