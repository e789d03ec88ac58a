package main_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/lestrrat-go/jwx/v2/jwk"
	"github.com/lestrrat-go/jwx/v2/jwt"
)

// remoteIntrospection: by the engine, a revoked token is refused within a
// second; by the keys, it is good until it expires.
func remoteIntrospection(t *testing.T, s *server) {
	s.admin = "http://localhost:8193"
	s.hears()
	token := grant(t, "http://localhost:8190/token", "shop", "shop-secret", "stock:read")
	byEngine, byKeys := "http://localhost:8191/stock", "http://localhost:8191/keys/stock"
	for address, want := range map[string]string{byEngine: "Stock for shop, by the engine.", byKeys: "Stock for shop, by the keys."} {
		if got := get(t, address, "Authorization", "Bearer "+token).want(t, 200).body; got != want {
			t.Errorf("%s: %s", address, got)
		}
	}
	send(t, "POST", "http://localhost:8190/revoke", form("token", token), "Authorization", basic("shop", "shop-secret")).want(t, 200)
	s.api = "http://localhost:8191"
	s.refuses(token)
	if got := status(t, http.MethodGet, byKeys, token); got != 200 {
		t.Errorf("by the keys: %d", got)
	}
}

// policies: each route asks for what its comment says.
func policies(t *testing.T, s *server) {
	token := grant(t, "http://localhost:8200/token", "batch", "batch-secret", "orders:read orders:write")
	const api = "http://localhost:8201"
	stepUp := send(t, "GET", api+"/payments", "", "Authorization", "Bearer "+token).want(t, 401).header.Get("WWW-Authenticate")
	if !strings.Contains(stepUp, `error="insufficient_user_authentication"`) || !strings.Contains(stepUp, `max_age="300"`) {
		t.Errorf("the challenge is %s", stepUp)
	}
	if got := send(t, "GET", api+"/limits", "", "Authorization", "Bearer "+token).want(t, 401).header.Get("WWW-Authenticate"); !strings.Contains(got, `acr_values="2"`) {
		t.Errorf("the challenge is %s", got)
	}
	if got := status(t, "GET", api+"/nightly", token); got != 200 {
		t.Errorf("nightly: %d", got)
	}
	if got := status(t, "POST", api+"/nightly", token); got != 403 {
		t.Errorf("nightly, to write: %d", got)
	}
	for token, want := range map[string]string{token: "You may order.", "": "You may look."} {
		headers := []string{}
		if token != "" {
			headers = append(headers, "Authorization", "Bearer "+token)
		}
		if got := get(t, api+"/", headers...).want(t, 200).body; got != want {
			t.Errorf("%q", got)
		}
	}
	phantom := strings.TrimPrefix(get(t, api+"/orders", "Authorization", "Bearer "+token).want(t, 200).body, "Bearer ")
	metadata := get(t, api+"/.well-known/oauth-protected-resource/orders").want(t, 200)
	keys, err := jwk.ParseString(get(t, metadata.text(t, "jwks_uri")).want(t, 200).body)
	if err != nil {
		t.Fatal(err)
	}
	claims, err := jwt.ParseString(phantom, jwt.WithKeySet(keys), jwt.WithAudience("orders"), jwt.WithIssuer(api))
	if err != nil || phantom == token {
		t.Fatalf("%s: %v", phantom, err)
	}
	if client, _ := claims.Get("client_id"); client != "batch" {
		t.Errorf("the API learns of %v", client)
	}
	if _, err := jwt.ParseString(metadata.text(t, "signed_metadata"), jwt.WithKeySet(keys)); err != nil {
		t.Errorf("signed metadata: %v", err)
	}
	routes := get(t, "http://localhost:8203/gatehouse/routes").want(t, 200).body
	for _, want := range []string{`"max_age":300000000000`, `"acr":["2"]`, `"/payments"`, `"mode":"jwt"`} {
		if !strings.Contains(routes, want) {
			t.Errorf("the admin endpoint does not show %s: %s", want, routes)
		}
	}
}
