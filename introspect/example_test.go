package introspect_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/gatehouse-auth/gatehouse/introspect"
)

func ExampleGuard() {
	engine := introspect.IntrospectorFunc(func(_ context.Context, token string) (*introspect.Facts, error) {
		return &introspect.Facts{Active: token == "abc", Subject: "alice", Scopes: []string{"orders:read"}}, nil
	})
	guard := &introspect.Guard{Introspector: engine, Policy: introspect.Policy{Scopes: []string{"orders:read"}}}
	api := guard.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "hello ", introspect.FromContext(r.Context()).Subject)
	}))
	for _, credentials := range []string{"", "Bearer abc"} {
		r, w := httptest.NewRequest("GET", "/orders", nil), httptest.NewRecorder()
		r.Header.Set("Authorization", credentials)
		api.ServeHTTP(w, r)
		fmt.Println(w.Code, w.Body, w.Header().Get("WWW-Authenticate"))
	}
	// Output:
	// 401  Bearer scope="orders:read"
	// 200 hello alice
}
