package main_test

import (
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/engine/dpop/dpoptest"
)

// TestDPoPOfTheEngine (threat 17, RFC 9449): a token that the engine binds to a
// key is good at the gateway of the same process, at one elsewhere that asks the
// introspection endpoint, and at one that reads it as a JWT, for whoever proves
// to hold the key, and for nobody else.
func TestDPoPOfTheEngine(t *testing.T) {
	const bound = "\n\t\tdpop {\n\t\t\torigin http://localhost:{$API}\n\t\t}\n\t\tsender_constrained"
	for name, format := range map[string]string{"opaque": "", "JWT": "access_token_sign_alg ES256"} {
		t.Run(name, func(t *testing.T) {
			engine := startOwn(t, strings.Replace(caddyfile(t, "service", format), "scopes orders:read\n\t\tforward", "scopes orders:read"+bound+"\n\t\tforward", 1))
			text := strings.Replace(gatewayAlone, "# remote", "", 1)
			text = strings.Replace(text, "introspectors keys", "introspectors keys"+bound, 1)
			text = strings.Replace(text, "introspectors engine", "introspectors engine"+bound, 1)
			g := prepareOwn(t, text)
			g.env = append(g.env, "ENGINE="+engine.as[strings.LastIndex(engine.as, ":")+1:], "DEMO_SECRET="+demoSecret)
			g.start()

			key, other := dpoptest.NewKey(t, "ES256"), dpoptest.NewKey(t, "ES256")
			prove := func(by *dpoptest.Key, method, address, token string) string {
				claims := dpoptest.Members{"htm": method, "htu": address, "iat": time.Now().Unix()}
				if token != "" {
					claims["ath"] = dpoptest.Hash(token)
				}
				return by.Prove(t, claims)
			}
			issued := send(t, "POST", engine.as+"/token", form("grant_type", "client_credentials", "scope", "orders:read"),
				"Authorization", basic(demo, demoSecret), "DPoP", prove(key, "POST", engine.as+"/token", "")).want(t, 200)
			token := issued.text(t, "access_token")
			if got := issued.text(t, "token_type"); got != "DPoP" {
				t.Errorf("token_type is %s", got)
			}
			addresses := []string{engine.api + "/orders", g.api + "/orders"}
			if format != "" {
				addresses = append(addresses, g.api+"/keys/orders")
			}
			for _, address := range addresses {
				call := func(scheme string, by *dpoptest.Key) int {
					return get(t, address, "Authorization", scheme+" "+token, "DPoP", prove(by, "GET", address, token)).status
				}
				if got := call("DPoP", key); got != 200 {
					t.Errorf("%s, with its own key: %d", address, got)
				}
				if got := call("DPoP", other); got != 401 {
					t.Errorf("%s, with another key: %d", address, got)
				}
				if got := call("Bearer", key); got != 401 {
					t.Errorf("%s, as a bearer token: %d", address, got)
				}
				if got := status(t, "GET", address, engine.serviceToken("orders:read")); got != 401 {
					t.Errorf("%s, a token that is bound to nothing: %d", address, got)
				}
			}
		})
	}
}
