package main_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// gatewayAlone is a gateway in a process of its own, without a service and a
// database, that asks the engine of another.
const gatewayAlone = `{
	default_bind 127.0.0.1
	admin localhost:{$ADMIN}
	gatehouse {
		introspector engine remote http://localhost:{$ENGINE}/introspect {
			issuer        http://localhost:{$ENGINE}
			client_id     demo-service
			client_secret {env.DEMO_SECRET}
			revocations   http://localhost:{$ENGINE}/revocations
			# remote
		}
		introspector keys jwt http://localhost:{$ENGINE} {
			audience http://localhost:{$ENGINE}
			min_interval 1s
		}
	}
}
http://localhost:{$API} {
	handle /keys/* {
		gatehouse_bearer {
			introspectors keys
		}
		respond "{http.auth.user.client_id}"
	}
	handle {
		gatehouse_bearer {
			introspectors engine
			scopes orders:read
			forward sub X-User
			forward client_id X-Client
		}
		respond "user={header.X-User} client={header.X-Client}"
	}
}
`

// startElsewhere starts a gateway for an engine, and waits until it hears what is
// revoked there.
func startElsewhere(t *testing.T, engine *server, options string) *server {
	t.Helper()
	g := prepareOwn(t, strings.Replace(gatewayAlone, "# remote", options, 1))
	g.env = append(g.env, "ENGINE="+engine.as[strings.LastIndex(engine.as, ":")+1:], "DEMO_SECRET="+demoSecret)
	g.start()
	g.hears()
	return g
}

// hears waits until the revocation stream is connected.
func (s *server) hears() {
	s.t.Helper()
	wait(s.t, "the revocation stream to be heard", func() error {
		r, err := try(plain, "GET", s.admin+"/gatehouse/health", "")
		if err != nil {
			return err
		}
		var health struct {
			Introspectors []struct {
				Status struct{ Revocations struct{ Connected bool } }
			}
		}
		if err := json.Unmarshal([]byte(r.body), &health); err != nil {
			return err
		}
		for _, i := range health.Introspectors {
			if i.Status.Revocations.Connected {
				return nil
			}
		}
		return fmt.Errorf("health: %s", r.body)
	})
}

// TestGatewayElsewhere (promises 5, 6 and 12): a gateway on another machine
// remembers what the engine says, forgets what is revoked there within a
// second, and goes on with what it knows while the engine is gone.
func TestGatewayElsewhere(t *testing.T) {
	engine := startOwn(t, caddyfile(t))
	g := startElsewhere(t, engine, "")
	g.call("ga_unknown").want(t, 401)
	kept := engine.serviceToken("orders:read")
	if got := g.call(kept).want(t, 200).body; got != "user= client=demo-service" {
		t.Errorf("the API sees %q", got)
	}
	user := engine.person(t).signIn("openid orders:read offline_access")
	g.call(user["access_token"].(string)).want(t, 200)

	// Each way of revoking, measured from the answer of the revocation endpoint.
	var lags []time.Duration
	for range 20 {
		token := engine.serviceToken("orders:read")
		g.call(token).want(t, 200)
		g.call(token).want(t, 200)
		engine.revoke(demo, demoSecret, token)
		lags = append(lags, g.refuses(token))
	}
	slices.Sort(lags)
	t.Logf("from the 200 of /revoke to a 401 here: median %s, worst of %d %s", lags[len(lags)/2], len(lags), lags[len(lags)-1])
	if median := lags[len(lags)/2]; median > time.Second {
		t.Errorf("the median is %s", median)
	}
	engine.revoke(web, webSecret, user["refresh_token"].(string)) // ends the grant
	g.refuses(user["access_token"].(string))
	again := engine.person(t).signIn("openid orders:read")["access_token"].(string)
	g.call(again).want(t, 200)
	send(t, "POST", engine.admin+"/gatehouse/revoke", "", "Content-Type", "application/json") // malformed: ends nothing
	g.call(again).want(t, 200)
	revoked, err := try(plain, "POST", engine.admin+"/gatehouse/revoke", `{"subject":"alice"}`, "Content-Type", "application/json")
	if err != nil || revoked.status != 200 {
		t.Fatalf("%v %+v", err, revoked)
	}
	g.refuses(again)
	g.remembers(kept) // nobody revoked that

	// The engine goes and comes back. What was revoked in between is refused.
	meanwhile := engine.serviceToken("orders:read")
	g.call(meanwhile).want(t, 200)
	engine.stop()
	g.call(kept).want(t, 200)
	if r := g.call("ga_unknown2").want(t, 503); r.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	engine.start()
	engine.revoke(demo, demoSecret, meanwhile)
	g.hears()
	g.refuses(meanwhile)
	g.call(kept).want(t, 200)

	metrics := get(t, g.admin+"/metrics").body
	for _, want := range []string{`gatehouse_revocation_lag_seconds_count{introspector="engine"}`, `gatehouse_revocation_stream_connected{introspector="engine"} 1`} {
		if !strings.Contains(metrics, want) {
			t.Errorf("the metrics lack %s", want)
		}
	}
}

// refuses waits until a token is refused, as promise 5 says, and says how long
// that took.
func (s *server) refuses(token string) time.Duration {
	s.t.Helper()
	start := time.Now()
	for s.call(token).status == 200 {
		if time.Since(start) > promised {
			s.t.Errorf("a revoked token is still good after %s", time.Since(start))
			break
		}
	}
	return time.Since(start)
}

// TestGatewayReloads: reloads neither lose what a gateway remembers nor make it
// ask the engine anew, and the stream stays connected (promise 12).
func TestGatewayReloads(t *testing.T) {
	engine := startOwn(t, caddyfile(t))
	g := startElsewhere(t, engine, "")
	token := engine.serviceToken("orders:read")
	g.remembers(token)
	before := g.cacheStats()
	for i := range 5 {
		g.configure(strings.Replace(gatewayAlone, "scopes orders:read", "scopes orders:read\n\t\t\trealm r"+fmt.Sprint(i), 1))
		g.reload()
		g.call(token).want(t, 200)
	}
	if after := g.cacheStats(); after.Fetches != before.Fetches || after.Hits < before.Hits+5 {
		t.Errorf("the cache was %+v and is %+v", before, after)
	}
	engine.revoke(demo, demoSecret, token)
	g.refuses(token)
}

// TestJWTsOfTheEngine (promise 10): a gateway checks the engine's JWTs with its
// published keys; an ID token and an opaque token are not for it.
func TestJWTsOfTheEngine(t *testing.T) {
	engine := startOwn(t, caddyfile(t, "service", "access_token_sign_alg ES256"))
	g := startElsewhere(t, engine, "")
	tokens := engine.person(t).signIn("openid orders:read")
	keys := g.api + "/keys/"
	for name, test := range map[string]struct {
		token string
		want  int
	}{
		"access token": {tokens["access_token"].(string), 200},
		"ID token":     {tokens["id_token"].(string), 401},
		"opaque":       {"ga_AAAA", 401},
		"altered":      {tokens["access_token"].(string)[:40] + "A" + tokens["access_token"].(string)[41:], 401},
	} {
		if got := status(t, "GET", keys, test.token); got != test.want {
			t.Errorf("%s: %d, want %d", name, got, test.want)
		}
	}
	engine.stop()
	if got := status(t, "GET", keys, tokens["access_token"].(string)); got != 200 {
		t.Errorf("with the issuer gone: %d", got)
	}
}
