package upstream_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/lestrrat-go/jwx/v2/jwk"

	"github.com/gatehouse-auth/gatehouse/introspect"
	"github.com/gatehouse-auth/gatehouse/introspect/upstream"
)

// An API that knows JWTs only sits behind a guard that knows opaque tokens.
func ExampleHandler() {
	key, err := upstream.Generate("ES256")
	if err != nil {
		log.Fatal(err)
	}
	keys := jwk.NewSet()
	if err := keys.AddKey(key); err != nil {
		log.Fatal(err)
	}
	signer, err := upstream.NewSigner(keys) // also the handler of the keys' address
	if err != nil {
		log.Fatal(err)
	}
	phantom, err := upstream.NewPhantom(upstream.PhantomOptions{
		Signer: signer, Issuer: "https://gateway.example.com", Audience: []string{"https://orders.example.com"},
	})
	if err != nil {
		log.Fatal(err)
	}
	replace, err := upstream.Replace(phantom, "")
	if err != nil {
		log.Fatal(err)
	}
	defer phantom.Close()

	api := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		fmt.Println("the API sees a JWT:", strings.Count(token, ".") == 2)
	})
	guard := &introspect.Guard{Introspector: introspect.IntrospectorFunc(func(context.Context, string) (*introspect.Facts, error) {
		return &introspect.Facts{Active: true, Subject: "alice"}, nil
	})}
	r := httptest.NewRequest(http.MethodGet, "/orders", nil)
	r.Header.Set("Authorization", "Bearer opaque")
	guard.Handler(upstream.Handler(replace, guard, api)).ServeHTTP(httptest.NewRecorder(), r)
	// Output: the API sees a JWT: true
}
