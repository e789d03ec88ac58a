package relyingparty

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	_ "github.com/caddyserver/caddy/v2/modules/caddyhttp/standard"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"
)

// Each option of the Caddyfile becomes the JSON that it should, and the
// directive comes before basic_auth and so before reverse_proxy.
func TestCaddyfile(t *testing.T) {
	text := `https://app.example.com {
	reverse_proxy localhost:3000
	gatehouse_login {
		issuer https://auth.example.com
		client_id web
		client_secret {env.WEB_SECRET}
		origin https://app.example.com
		scopes openid profile
		acr_values gold silver
		max_age 1h
		parameter prompt login
		parameter resource https://a.example.com https://b.example.com
		userinfo
		session server
		cookie_secret {env.A} {env.B}
		session_duration 8h
		idle 30m
		login_path /in
		callback_path /cb
		logout_path /out
		backchannel_logout_path /back
		frontchannel_logout_path /front
		after_logout /bye
		forward sub X-User
		pass_token
		optional
		trust a.pem b.pem
	}
}`
	adapted, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(text), nil)
	if err != nil {
		t.Fatal(err)
	}
	var config struct {
		Apps struct {
			HTTP struct {
				Servers map[string]struct {
					Routes []struct {
						Handle []struct {
							Routes []struct{ Handle []json.RawMessage }
						}
					}
				}
			}
		}
	}
	if err := json.Unmarshal(adapted, &config); err != nil {
		t.Fatal(err)
	}
	handlers := config.Apps.HTTP.Servers["srv0"].Routes[0].Handle[0].Routes
	got := string(handlers[0].Handle[0])
	want := `{"acr_values":["gold","silver"],"after_logout":"/bye","backchannel_logout_path":"/back","callback_path":"/cb","client_id":"web",` +
		`"client_secret":"{env.WEB_SECRET}","cookie_secrets":["{env.A}","{env.B}"],"forward":[{"Claim":"sub","Header":"X-User"}],` +
		`"frontchannel_logout_path":"/front","handler":"gatehouse_login","idle":1800000000000,"issuer":"https://auth.example.com",` +
		`"login_path":"/in","logout_path":"/out","max_age":3600000000000,"optional":true,"origin":"https://app.example.com",` +
		`"parameters":{"prompt":["login"],"resource":["https://a.example.com","https://b.example.com"]},"pass_token":true,` +
		`"scopes":["openid","profile"],"session":"server","session_duration":28800000000000,"trust":["a.pem","b.pem"],"userinfo":true}`
	var gotMap, wantMap map[string]any
	if json.Unmarshal([]byte(got), &gotMap) != nil || json.Unmarshal([]byte(want), &wantMap) != nil {
		t.Fatal(got)
	}
	delete(gotMap, "forward") // whose form is introspect's
	delete(wantMap, "forward")
	if diff := cmp.Diff(wantMap, gotMap); diff != "" || !strings.Contains(got, "X-User") {
		t.Errorf("%s\n%s", diff, got)
	}
}

// Mistakes in the Caddyfile are named (threat 35).
func TestCaddyfileMistakes(t *testing.T) {
	for text, want := range map[string]string{
		"nonsense 1":        "expected issuer, client_id",
		"issuer":            "issuer: expected one value",
		"issuer a b":        "issuer: expected one value",
		"scopes":            "scopes: expected at least one value",
		"idle soon":         "idle: expected a duration",
		"idle -1h":          "idle: expected a duration",
		"idle 1h 2h":        "idle: expected one duration",
		"optional yes":      "optional: expected no arguments",
		"parameter prompt":  "parameter: expected a name and at least one value",
		"forward sub":       "forward: expected a claim and a header",
		"forward sub Host":  "forward: ",
		"client_secret a b": "client_secret: expected one value",
	} {
		d := caddyfile.NewTestDispenser("gatehouse_login {\n" + text + "\n}")
		if err := new(Handler).UnmarshalCaddyfile(d); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
	if err := new(Handler).UnmarshalCaddyfile(caddyfile.NewTestDispenser("gatehouse_login https://auth.example.com")); err == nil {
		t.Error("an argument is accepted")
	}
}

// What cannot be read or cannot be stops the start, with a reason and without
// the secret (threats 25 and 35); nothing is asked over the network.
func TestProvisionMistakes(t *testing.T) {
	t.Setenv("GATEHOUSE_TEST_ID", "web")
	folder := t.TempDir()
	empty := filepath.Join(folder, "empty.pem")
	if err := os.WriteFile(empty, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	base := options{"issuer": "https://auth.example.com", "client_id": "{env.GATEHOUSE_TEST_ID}", "origin": "https://app.example.com"}
	if _, err := provision(t, folder, time.Now, zap.NewNop(), base); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]options{
		"needs issuer":     {"issuer": ""},
		"needs client_id":  {"client_id": ""},
		"needs origin":     {"origin": ""},
		"client_secret: ":  {"client_secret": "{env.GATEHOUSE_NO_SUCH}"},
		"cookie_secret: ":  {"cookie_secrets": []string{"{env.GATEHOUSE_NO_SUCH}"}},
		"expected 32":      {"cookie_secrets": []string{"hunter2hunter2"}},
		"expected 32 ":     {"cookie_secrets": []string{secret() + "00"}},
		"issuer: ":         {"issuer": "http://auth.example.com"},
		"origin: ":         {"origin": "http://app.example.com"},
		"origin: \"":       {"origin": "app.example.com"},
		"has more":         {"origin": "https://app.example.com/path"},
		"openid must":      {"scopes": []string{"profile"}},
		"expected cookie":  {"session": "memory"},
		"idle is not":      {"session_duration": "1h", "idle": "2h"},
		"after_logout: ":   {"after_logout": "//example.com"},
		"not a path":       {"login_path": "login"},
		"is not a path":    {"callback_path": "/cb?x=y"},
		"must differ":      {"callback_path": "/.gatehouse/login"},
		"parameter: state": {"parameters": map[string][]string{"state": {"x"}}},
		"trust: open":      {"trust": []string{filepath.Join(folder, "none.pem")}},
		"no certificate":   {"trust": []string{empty}},
		"forward: ":        {"forward": []map[string]string{{"Claim": "sub", "Header": "Cookie"}}},
	} {
		all := options{}
		for name, value := range base {
			all[name] = value
		}
		for name, value := range change {
			all[name] = value
		}
		_, err := provision(t, folder, time.Now, zap.NewNop(), all)
		if err == nil || !strings.Contains(err.Error(), strings.TrimSpace(want)) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", want, err)
		}
	}
}

// On http://localhost, and only there, cookies have neither Secure nor a prefix
// that asks for it.
func TestLocalhost(t *testing.T) {
	for origin, secure := range map[string]bool{
		"http://localhost:8080": false, "http://127.0.0.1": false, "http://[::1]:1": false, "http://app.localhost": false, "https://localhost": true,
	} {
		h, err := provision(t, t.TempDir(), time.Now, zap.NewNop(), options{"issuer": "https://auth.example.com", "client_id": "web", "origin": origin})
		if err != nil {
			t.Fatal(err)
		}
		if h.cookies.secure != secure || strings.HasPrefix(h.cookies.session, "__Host-") != secure {
			t.Errorf("%s: %+v", origin, h.cookies)
		}
		_ = h.Cleanup()
	}
}

// Promise 12: 100 reloads under load end no session, ask the provider nothing
// again, and leak no goroutine.
func TestHundredReloads(t *testing.T) {
	bothKinds(t, nil, func(t *testing.T, s *site) {
		b := s.signedIn()
		kind := options{"session": s.handler.Load().Session}
		b.fetch("/").want(t, 200, "hello")
		stop, done := make(chan struct{}), make(chan error)
		go func() {
			for {
				select {
				case <-stop:
					done <- nil
					return
				default:
				}
				r, _ := http.NewRequest("GET", s.http.URL+"/", nil)
				resp, err := b.client.Do(r)
				if err == nil {
					resp.Body.Close()
					if resp.StatusCode != 200 {
						err = fmt.Errorf("status %d", resp.StatusCode)
					}
				}
				if err != nil {
					done <- err
					return
				}
			}
		}()
		before := runtime.NumGoroutine()
		for range 100 {
			s.load(kind)
		}
		close(stop)
		if err := <-done; err != nil {
			t.Error(err)
		}
		for deadline := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before+5; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("goroutines: %d before, %d now", before, runtime.NumGoroutine())
			}
		}
		s.wantSignIn(t, true)
		for _, endpoint := range []string{"/.well-known/openid-configuration", "/jwks"} {
			if n := s.provider.count(endpoint); n != 1 {
				t.Errorf("%s was asked %d times", endpoint, n)
			}
		}
	})
}

// The end of the last configuration ends what runs for it, also a request that
// the provider does not answer.
func TestCleanup(t *testing.T) {
	s := newSite(t, nil)
	arrived, release := make(chan struct{}), make(chan struct{})
	defer close(release)
	s.provider.told(func() {
		s.provider.instead["/.well-known/openid-configuration"] = func(http.ResponseWriter, *http.Request) {
			close(arrived)
			<-release
		}
	})
	answered := make(chan int, 1)
	go func() {
		r, _ := http.NewRequest("GET", s.http.URL+"/.gatehouse/login", nil)
		resp, err := s.browser().client.Do(r)
		if err != nil {
			answered <- 0
			return
		}
		resp.Body.Close()
		answered <- resp.StatusCode
	}()
	<-arrived
	_ = s.handler.Load().Cleanup()
	s.handler.Load().release = nil
	if status := <-answered; status != http.StatusServiceUnavailable {
		t.Errorf("status %d", status)
	}
	if err := s.handler.Load().shared.run(nil); err != errStopped {
		t.Error(err)
	}
}
