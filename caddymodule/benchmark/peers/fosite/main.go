// Command fosite is a token endpoint made of ory/fosite, for comparison: one
// client, client_credentials, opaque tokens (HMAC-SHA-256). Its store is
// fosite's MemoryStore: nothing is durable.
package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"flag"
	"log"
	"net/http"

	"github.com/ory/fosite"
	"github.com/ory/fosite/compose"
	"github.com/ory/fosite/storage"
)

func main() {
	address := flag.String("listen", "127.0.0.1:0", "the `address` to listen on")
	id := flag.String("client", "", "the client_id")
	secret := flag.String("secret", "", "its client_secret")
	scope := flag.String("scope", "", "the scope that it may request")
	flag.Parse()
	provider, err := newProvider(*id, *secret, *scope)
	if err != nil {
		log.Fatal(err)
	}
	http.HandleFunc("POST /token", func(w http.ResponseWriter, r *http.Request) { serveToken(provider, w, r) })
	log.Fatal(http.ListenAndServe(*address, nil)) // #nosec G114 -- loopback, for minutes
}

func newProvider(id, secret, scope string) (fosite.OAuth2Provider, error) {
	key := make([]byte, 32)
	if _, err := rand.Read(key); err != nil {
		return nil, err
	}
	hash, _ := hasher{}.Hash(context.Background(), []byte(secret))
	store := storage.NewMemoryStore()
	store.Clients[id] = &fosite.DefaultClient{
		ID: id, Secret: hash, GrantTypes: fosite.Arguments{"client_credentials"}, Scopes: fosite.Arguments{scope},
	}
	config := &fosite.Config{GlobalSecret: key, ClientSecretsHasher: hasher{}}
	return compose.Compose(config, store,
		&compose.CommonStrategy{CoreStrategy: compose.NewOAuth2HMACStrategy(config)},
		compose.OAuth2ClientCredentialsGrantFactory), nil
}

func serveToken(provider fosite.OAuth2Provider, w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	request, err := provider.NewAccessRequest(ctx, r, &fosite.DefaultSession{})
	if err != nil {
		provider.WriteAccessError(ctx, w, request, err)
		return
	}
	for _, scope := range request.GetRequestedScopes() {
		request.GrantScope(scope)
	}
	response, err := provider.NewAccessResponse(ctx, request)
	if err != nil {
		provider.WriteAccessError(ctx, w, request, err)
		return
	}
	provider.WriteAccessResponse(ctx, w, request, response)
}

// hasher compares secrets as Gatehouse does. fosite's own default, bcrypt at
// cost 12, would take a quarter of a second for each request.
type hasher struct{}

// Hash is part of fosite.Hasher.
func (hasher) Hash(_ context.Context, data []byte) ([]byte, error) {
	sum := sha256.Sum256(data)
	return sum[:], nil
}

// Compare is part of fosite.Hasher.
func (hasher) Compare(_ context.Context, hash, data []byte) error {
	if sum := sha256.Sum256(data); subtle.ConstantTimeCompare(sum[:], hash) != 1 {
		return errors.New("wrong secret")
	}
	return nil
}
