// A plain net/http server whose orders need an access token. No Caddy is in it:
// the package introspect asks the authorization server, remembers the answers
// and refuses as RFC 6750 says.
package main

import (
	"fmt"
	"log"
	"net/http"

	"github.com/gatehouse-auth/gatehouse/introspect"
	"github.com/gatehouse-auth/gatehouse/introspect/remote"
)

func main() {
	server, err := remote.New(remote.Options{
		Endpoint:       "http://localhost:8180/introspect",
		Authentication: remote.Authentication{Method: remote.MethodClientSecretBasic, ClientID: "orders-api", Secret: "orders-api-secret"},
	})
	check(err)
	cache, err := introspect.NewCache(introspect.Options{Identity: "http://localhost:8180/introspect", Client: "orders-api"})
	check(err)
	guard := &introspect.Guard{Introspector: cache.Over(server), Policy: introspect.Policy{Scopes: []string{"orders:read"}}}
	http.Handle("/orders", guard.Handler(http.HandlerFunc(orders)))
	log.Fatal(http.ListenAndServe("localhost:8181", nil))
}

func orders(w http.ResponseWriter, r *http.Request) {
	fmt.Fprintf(w, "Orders for %s.\n", introspect.FromContext(r.Context()).ClientID)
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
